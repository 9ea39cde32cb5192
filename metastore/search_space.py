"""Search spaces: placeholder signature, replaced by its own change."""

from __future__ import annotations


class SearchSpace:
    """Named distributions of an algorithm's hyperparameters."""
