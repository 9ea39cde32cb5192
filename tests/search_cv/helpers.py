"""What is searched on, and the configs of SVCs that are known."""

from __future__ import annotations

from typing import Any

from sklearn.datasets import load_wine

CONFIGS = [{"C": c, "gamma": g} for c in (0.1, 1.0, 30.0) for g in ("scale", 0.3, 3.0)]


def wine() -> tuple[Any, Any]:
    X, y = load_wine(return_X_y=True)
    return X / X.max(axis=0), y
