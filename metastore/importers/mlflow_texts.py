"""What MLflow keeps as text, as what it was: parameters, and the names of classes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from metastore.importers.flows import NOT_HYPERPARAMETERS
from metastore.redaction import HIDDEN, is_secret, redact

_INTEGER = re.compile(r"[+-]?\d{1,18}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_CALL = re.compile(r"(\w+)\(")
_WORDS: Mapping[str, Any] = {"None": None, "True": True, "False": False}
_WRAPPED = frozenset({"lightgbm", "xgboost", "catboost"})


def value_of(text: str) -> Any:
    """Return the value that a parameter's text was written from.

    >>> [value_of(text) for text in ("10", "1e-3", "True", "None", "[8, 8]", "rbf", "1.2.3")]
    [10, 0.001, True, None, [8, 8], 'rbf', '1.2.3']
    """
    bare = text.strip()
    if bare in _WORDS:
        return _WORDS[bare]
    if _INTEGER.fullmatch(bare):
        return int(bare)
    if _NUMBER.fullmatch(bare):
        return float(bare)
    if bare[:1] in ("[", "{", "("):
        listed = f"[{bare[1:-1].rstrip(', ')}]" if bare[0] == "(" else bare
        try:
            return json.loads(listed)
        except ValueError:
            return redact(bare)
    return redact(bare)


def config_of(params: Mapping[str, str]) -> dict[str, Any]:
    """Return a config of MLflow's parameters.

    Those that change how a fit runs and not what is fitted (`n_jobs`, `random_state`) are no part
    of it, nor are a pipeline's steps, whose own parameters are there; what looks like a secret is
    hidden.
    """
    config, steps = {}, parts_of(params)
    for name, text in params.items():
        last = name.rpartition("__")[2]
        if last in NOT_HYPERPARAMETERS or last == "steps" or name in steps:
            continue
        config[name] = HIDDEN if is_secret(name) else value_of(text)
    return config


def parts_of(params: Mapping[str, str]) -> dict[str, str]:
    """Return the classes of an estimator's parts by name: those that have parameters themselves.

    In a pipeline's order of steps.

    >>> parts_of({"svc": "SVC(C=2)", "svc__C": "2", "verbose": "False"})
    {'svc': 'SVC'}
    """
    owners = {name.rpartition("__")[0] for name in params}
    found = {name: _CALL.match(text.strip()) for name, text in params.items() if name in owners}
    steps = params.get("steps", "")
    order = sorted(found, key=lambda name: (steps.find(repr(name)), name))
    return {name: called[1] for name in order if (called := found[name])}


def seed_of(params: Mapping[str, str]) -> int | None:
    """Return the seed that parameters tell; None where none does."""
    for name in ("random_state", "seed", "random_seed"):
        if _INTEGER.fullmatch(params.get(name, "").strip()):
            return int(params[name])
    return None


def public_path(path: str) -> str:
    """Return the path by which a class is usually imported, from where it is defined.

    Nothing is imported for it: the text comes from anybody's tracking server.

    >>> public_path("sklearn.ensemble._forest.RandomForestClassifier")
    'sklearn.ensemble.RandomForestClassifier'
    >>> public_path("lightgbm.sklearn.LGBMClassifier")
    'lightgbm.LGBMClassifier'
    """
    parts = [part for part in path.split(".") if not part.startswith("_")]
    if len(parts) > 2 and parts[0] in _WRAPPED:
        parts = [parts[0], parts[-1]]
    return ".".join(parts)
