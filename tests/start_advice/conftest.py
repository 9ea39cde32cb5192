"""Starts that are trained here, on characters, and the store that has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import metastore
from learners.fomaml import fomaml
from learners.learner import Learner, State
from learners.networks import MLP, Conv4
from learners.protonet import ProtoNet
from learners.samplers import ClassSampler
from learners.training import Budget, Training, meta_train
from metastore import MetaStore
from metastore.starts import Accuracy
from recommenders.starts.evidence import task_embeddings
from recommenders.starts.loading import register
from tests.start_advice.helpers import SAID, SHAPE


@pytest.fixture(scope="session")
def characters(realdata: Callable[[str], Path]) -> np.ndarray:
    """Images of background characters `(60, 20, 28, 28)`."""
    with np.load(realdata("omniglot") / "omniglot_28x28.npz", allow_pickle=False) as file:
        images: np.ndarray = file["images"][file["is_background"]][::16][:60]
    return images


@pytest.fixture(scope="session")
def prototypes(characters: np.ndarray) -> tuple[Learner, State]:
    """A prototypical network, briefly trained on forty characters."""
    learner = ProtoNet(Conv4(0, filters=16))
    sampler = ClassSampler(torch.from_numpy(characters[:40])[:, :, None], SHAPE)
    training = Training(2, 3e-3, progress=False, validate_every=10**6)
    trained = meta_train(learner, sampler, Budget(300), training)
    return learner, trained.state


@pytest.fixture(scope="session")
def made(
    tmp_path_factory: pytest.TempPathFactory,
    characters: np.ndarray,
    prototypes: tuple[Learner, State],
) -> Path:
    """A store with a trained start, an untrained one that boasts, and one for rows."""
    folder = tmp_path_factory.mktemp("starts") / "store"
    store = metastore.open(folder, create=True)
    learner, state = prototypes
    sampler = ClassSampler(torch.from_numpy(characters[:40])[:, :, None], SHAPE)
    tasks = task_embeddings(learner, state, sampler, 12)
    record = [Accuracy(5, 1, 0.8, 0.02, 100)]
    register(
        store, learner, state, name="letters", method="protonet", accuracies=record,
        tasks=tasks, trained_on=("characters",), **SAID,
    )  # fmt: skip
    gradient = fomaml(Conv4(3, filters=8, strided=True), steps=1)
    boast = [Accuracy(5, 1, 0.85, 0.02, 100)]
    register(
        store, gradient, gradient.init(0), name="boaster", method="fomaml", accuracies=boast, **SAID
    )
    rows = ProtoNet(MLP((4, 8, 8)))
    register(
        store, rows, rows.init(0), name="four-columns", method="protonet", kind="rows",
        input_shape=(4,),
    )  # fmt: skip
    return folder


@pytest.fixture
def starts_store(made: Path) -> MetaStore:
    return metastore.open(made)
