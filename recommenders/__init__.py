"""Recommenders: what to run next on a dataset, and why."""
