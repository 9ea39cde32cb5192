"""The start zoo: starts that anyone can train in minutes, on bundled data and on one's own.

    headstart zoo build [--images FOLDER] [--tables FOLDER] [--minutes 20]

Always trained: starts for images on scikit-learn's digits, a start for tables of any width on its
bundled tables, and, where the store holds runs on three datasets or more, a deep-kernel surrogate
of them. A user's own folders bring further ones, named after them. What was cut goes on, what is
done is passed over, and data that changed is learned from anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from learners.checkpoint import load
from learners.execution import Execution
from learners.fomaml import fomaml
from learners.learner import Learner, State
from learners.matching import Matching
from learners.networks import Conv4
from learners.protonet import ProtoNet
from learners.recipes import Inputs, recipe
from learners.samplers import Sampler, Shape, UnevenClassSampler
from learners.training import Budget, Training, meta_train
from learners.wide_tables import WideShape, WideTableSampler
from metastore.errors import InvalidInputError
from metastore.starts import Accuracy, Start
from metastore.store import MetaStore
from recommenders.image_sizes import background_of
from recommenders.starts.loading import register
from recommenders.starts.names import slug
from recommenders.starts.training import accuracies, tasks_of
from recommenders.starts.zoo_data import (
    BUNDLED_NAMES,
    BUNDLED_TABLES,
    ImageData,
    TableData,
    bundled_digits,
    bundled_tables,
    split_tables,
    user_images,
    user_tables,
)
from recommenders.starts.zoo_surrogate import surrogate_of
from recommenders.starts.zoo_tables import crossed_accuracies, table_accuracies, table_embeddings

MINUTES = 20.0
WAYS = 5
_CHECKPOINT_EVERY = 50
_BUNDLED_LICENCE = "BSD-3-Clause (data bundled with scikit-learn)"


@dataclass(frozen=True)
class Zoo:
    """What to build.

    Args:
        images: a folder of images by class, or an npz file; None for the bundled digits alone.
        tables: a folder of tables; None for the bundled ones alone.
        minutes: wall-clock bound of the whole; what is cut goes on when built again.
        device: where to train.
        seed: of every start.
        say: called with a line of progress.
    """

    images: Path | None = None
    tables: Path | None = None
    minutes: float = MINUTES
    device: str = "cpu"
    seed: int = 0
    say: Callable[[str], None] = field(default=lambda line: None)


@dataclass(frozen=True, eq=False)
class Exhibit:
    """One start to train.

    Args:
        name: of the start.
        method: key of the catalogue.
        digest: of the data.
        learner: what is trained.
        sampler: of its episodes.
        training: settings of the outer loop.
        iterations: of it.
        measure: accuracies of the trained state, in so many seconds if more training is needed.
        said: further fields of `metastore.starts.StartSpec`.
        tasks: embeddings of what it was trained on, from the trained state.
    """

    name: str
    method: str
    digest: str
    learner: Learner
    sampler: Sampler
    training: Training
    iterations: int
    measure: Callable[[State, float], tuple[Accuracy, ...]]
    said: dict[str, Any]
    tasks: Callable[[State], Any]

    @property
    def source(self) -> str:
        """The note that tells which data it was trained on."""
        return f"headstart zoo, data {self.digest}"


def build(store: MetaStore, zoo: Zoo) -> list[Start]:
    """Train what is missing, put it into the store, and return the zoo's starts.

    Args:
        store: where the starts go; checkpoints lie in the folder `zoo` beside it.
        zoo: what to build.

    Raises:
        InvalidInputError: if a folder holds nothing to learn from, or the time is not positive.
    """
    if not zoo.minutes > 0:
        raise InvalidInputError(f"minutes: expected a positive number, got {zoo.minutes}")
    end = time.monotonic() + 60 * zoo.minutes
    exhibits = list(_exhibits(zoo))
    known = {start.name: start for start in store.starts()}
    found = []
    for i, exhibit in enumerate(exhibits):
        start = known.get(exhibit.name)
        path = store.paths.folder / "zoo" / f"{exhibit.name}-{exhibit.digest}.json"
        same = start is not None and start.source == exhibit.source and start.accuracies
        if start is not None and same and _done(exhibit, path):
            zoo.say(f"{exhibit.name}: there already")
            found.append(start)
            continue
        # One more share than there are exhibits: the last is the surrogate's.
        share = (end - time.monotonic()) / (len(exhibits) - i + 1)
        trained = _trained(store, exhibit, path, max(0.0, share), zoo)
        found += [] if trained is None else [trained]
    surrogate = surrogate_of(store, max(0.0, end - time.monotonic()), zoo.device, zoo.say)
    return found if surrogate is None else [*found, surrogate]


def _exhibits(zoo: Zoo) -> Iterator[Exhibit]:
    digits = bundled_digits()
    for method in ("protonet", "fomaml"):
        yield _of_images(digits, method, _BUNDLED_LICENCE, zoo)
    if zoo.images is not None:
        images = user_images(zoo.images)
        for method in ("protonet", "matching", "fomaml"):
            yield _of_images(images, method, "", zoo)
    yield _of_tables(BUNDLED_TABLES, split_tables(bundled_tables()), _BUNDLED_LICENCE, zoo)
    if zoo.tables is not None:
        tables = bundled_tables() | user_tables(zoo.tables)
        name = slug(zoo.tables.resolve().name, BUNDLED_NAMES)
        yield _of_tables(name, split_tables(tables), "", zoo)


def _of_images(data: ImageData, method: str, licence: str, zoo: Zoo) -> Exhibit:
    classes, kept = list(data.train.values()), list(data.held_out.values())
    shape = (int(classes[0].shape[1]), *map(int, classes[0].shape[2:]))
    each = min(map(len, (*classes, *kept)))
    shots = min(5, each - 2)
    queries = min(5, each - shots)
    head = method == "fomaml"
    drawn = Shape(WAYS if head else min(20, len(classes)), shots, queries)
    test = UnevenClassSampler(kept, Shape(WAYS, 1, queries), zoo.seed + 1)
    sampler = UnevenClassSampler(classes, drawn, zoo.seed)
    learner, training, iterations = _image_learner(method, shape)
    return Exhibit(
        f"{data.name}-{method}",
        method,
        data.digest,
        learner,
        sampler,
        training,
        iterations,
        lambda state, seconds: accuracies(learner, state, test),
        {
            "kind": "images",
            "input_shape": shape,
            "n_way": WAYS if head else None,
            "normalisation": {
                "scale": "bytes divided by 255",
                "background": background_of(classes),
            },
            "trained_on": tuple(f"{data.name}:{name}" for name in data.train),
            "licence": licence,
        },
        lambda state: tasks_of(learner, state, sampler),
    )


def _image_learner(method: str, shape: tuple[int, ...]) -> tuple[Learner, Training, int]:
    channels, side = shape[0], shape[1]
    if method == "fomaml":
        network = Conv4(WAYS, channels, filters=32, strided=True, side=side)
        return fomaml(network, steps=3, rate=0.1), _outer(4, 3e-3, 10.0), 1000
    embedding = Conv4(0, channels, filters=32, side=side)
    if method == "matching":
        return Matching(embedding), _outer(1, 2e-3), 1000
    return ProtoNet(embedding), _outer(1, 2e-3), 1000


def _outer(batch: int, rate: float, clip: float | None = None) -> Training:
    # An episode alone runs twice as fast in bfloat16; several under one vmap do not.
    execution = Execution(dtype="bfloat16" if batch == 1 else "float32")
    return Training(batch, rate, schedule="cosine", clip=clip, execution=execution)


def _of_tables(name: str, data: TableData, licence: str, zoo: Zoo) -> Exhibit:
    made = recipe("set_encoder", Inputs((1,), WAYS))
    iterations = 600 if len(data.train) > 10 else 200

    def measure(state: State, seconds: float) -> tuple[Accuracy, ...]:
        if data.held_out:
            return table_accuracies(made.learner, state, data.held_out)
        zoo.say(f"{name}-tables: measuring, each table left out of the training in turn")
        budget = Budget(iterations, seconds)
        return crossed_accuracies(made.learner, data.train, _told(made.training, zoo), budget)

    return Exhibit(
        f"{name}-tables",
        "set_encoder",
        data.digest,
        made.learner,
        WideTableSampler(list(data.train.values()), WideShape(), zoo.seed),
        made.training,
        iterations,
        measure,
        {
            "kind": "tables",
            "n_way": None,
            "normalisation": {},
            "trained_on": tuple(f"table:{one}" for one in data.train),
            "licence": licence,
        },
        lambda state: table_embeddings(made.learner, state, data.train),
    )


def _trained(
    store: MetaStore, exhibit: Exhibit, path: Path, seconds: float, zoo: Zoo
) -> Start | None:
    zoo.say(f"{exhibit.name}: training on {len(exhibit.said['trained_on'])} classes or tables")
    training = replace(
        _told(exhibit.training, zoo),
        checkpoint=path,
        about={"method": exhibit.method, "data": exhibit.digest},
    )
    until = time.monotonic() + seconds
    budget = Budget(exhibit.iterations, seconds)
    trained = meta_train(exhibit.learner, exhibit.sampler, budget, training)
    if not trained.iterations:
        zoo.say(f"{exhibit.name}: no time left; build again to train it")
        return None
    state = {name: value.cpu() for name, value in trained.state.items()}
    shown = exhibit.measure(state, max(0.0, until - time.monotonic()))
    words = "; ".join(
        f"{one.n_way}-way {one.k_shot}-shot {one.value:.3f} ± {one.half_width:.3f}" for one in shown
    )
    cut = "" if trained.iterations >= exhibit.iterations else ", cut: build again to go on"
    zoo.say(
        f"{exhibit.name}: {trained.iterations} iterations in "
        f"{trained.history[-1].seconds:.0f} s{cut}" + (f"; {words}" if words else "")
    )
    return register(
        store,
        exhibit.learner,
        state,
        name=exhibit.name,
        method=exhibit.method,
        accuracies=shown,
        seconds=trained.history[-1].seconds,
        source=exhibit.source,
        tasks=exhibit.tasks(state),
        **exhibit.said,
    )


def _told(training: Training, zoo: Zoo) -> Training:
    """Return settings of the outer loop with what all starts of a zoo share."""
    return replace(
        training,
        seed=zoo.seed,
        checkpoint_every=_CHECKPOINT_EVERY,
        validate_every=_CHECKPOINT_EVERY,
        progress=False,
        execution=replace(training.execution, device=zoo.device),
    )


def _done(exhibit: Exhibit, path: Path) -> bool:
    return path.exists() and load(path, exhibit.learner).iteration >= exhibit.iterations
