"""Runs that already exist somewhere else, turned into the store's own."""
