"""Benchmarks: each is a command that writes a result file."""
