"""Support sets of real data, and starts trained just enough, for tests of fine-tuning."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metastore.start_registry import Registry
from metastore.starts import Start, StartSpec, weights_of
from metastore.types import uuid7
from recommenders.starts.tuning import Tuning

if TYPE_CHECKING:
    from metastore import MetaStore
    from recommenders.starts.loading import LoadedStart

STEPS = Tuning("gradient", 3, 1e-3, "all", "none")


def digits(per_class: int, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Return digits bundled with scikit-learn as bytes `(8, 8)`, `per_class` of each."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - slow to import

    bunch = load_digits()
    random = np.random.default_rng(seed)
    rows = np.concatenate(
        [random.permutation(np.flatnonzero(bunch.target == k))[:per_class] for k in range(10)]
    )
    images = (bunch.images[rows] * (255 / 16)).round().astype(np.uint8)
    return list(images), bunch.target[rows]


def write_folder(folder: Path, images: list[np.ndarray], labels: np.ndarray) -> Path:
    """Write images as PNG files, one folder a class."""
    from PIL import Image  # noqa: PLC0415 - an optional dependency

    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i:04d}.png")
    return folder


def start_of(learner: Any, name: str = "a-start", **said: Any) -> LoadedStart:
    """Return an untrained learner of 28 x 28 images as a loaded start."""
    from learners.networks import Conv4  # noqa: PLC0415 - torch
    from recommenders.starts.loading import LoadedStart  # noqa: PLC0415

    images = {"kind": "images", "input_shape": (1, 28, 28)}
    scale = {"scale": "bytes divided by 255"}
    network = getattr(learner, "network", None)
    assert network is None or isinstance(network, Conv4)
    start = Start(
        name,
        **images | {"normalisation": scale} | said,
        start_id=uuid7(),
        weights_sha256="",
        weights_path=Path(),
        recorded_at=datetime.now(UTC),
    )
    return LoadedStart(start, learner, learner.init(0))


def with_starts(store: MetaStore) -> MetaStore:
    """Put an untrained start into a store that compares, and one that takes gradient steps."""
    from learners.maml import maml  # noqa: PLC0415 - torch
    from learners.networks import Conv4  # noqa: PLC0415 - torch
    from learners.protonet import ProtoNet  # noqa: PLC0415 - torch
    from recommenders.starts.loading import register  # noqa: PLC0415 - torch

    learner = ProtoNet(Conv4(0, filters=8))
    scale = {"normalisation": {"scale": "bytes divided by 255"}}
    images = {"kind": "images", "input_shape": (1, 28, 28)} | scale
    register(store, learner, learner.init(0), name="small-proto", method="protonet", **images)
    other = maml(Conv4(5, strided=True, filters=8))
    register(store, other, other.init(0), name="small-maml", method="maml", **images)
    return store


def planted(store: MetaStore, weights: Any, **said: Any) -> Start:
    """Put a start into a store as versions did that checked less of what is said of it."""
    store._ensure_tables()
    with store._engine.write() as con:
        return Registry(con, store.paths.weights).add(StartSpec(**said), weights_of(weights))
