"""A start in the registry, with all that can be said of it."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import metastore
from learners.training import Trained
from metastore import MetaStore
from metastore.starts import Accuracy
from recommenders.starts.loading import register


def add_digits(store: MetaStore, trained: Trained, **said: object) -> metastore.starts.Start:
    words = {
        "name": "digits-protonet",
        "method": "protonet",
        "input_shape": (1, 8, 8),
        "normalisation": {"scale": "bytes divided by 255"},
        "trained_on": ["digits:0", "digits:1"],
        "accuracies": [Accuracy(5, 1, 0.8, 0.02, 100)],
        "seconds": 3.5,
        "licence": "Apache-2.0",
        "source": "trained in a test",
    }
    return register(store, trained.learner, trained.state, **words | said)
