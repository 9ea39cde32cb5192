"""Importers: what other tools recorded, as Headstart's own runs."""
