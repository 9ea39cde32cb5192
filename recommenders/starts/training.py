"""What `headstart learn` trained: measured on several shapes of episode, put into a registry."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from learners.evaluation import Score, evaluate
from learners.execution import Execution
from learners.inner_loop import GradientLearner
from learners.learned_optimizer import LearnedOptimizer
from learners.learner import Learner, State
from learners.meta_lstm import MetaLSTM
from learners.reptile import Reptile
from learners.samplers import Sampler, Shape, UnevenClassSampler
from metastore.errors import InvalidInputError
from metastore.starts import Accuracy, Start
from metastore.store import MetaStore
from recommenders.starts.cross_validation import FloatArray
from recommenders.starts.evidence import task_embeddings
from recommenders.starts.loading import register_checkpoint
from recommenders.starts.names import checked_name

WAYS = (2, 5, 20)
SHOTS = (1, 5)

EPISODES = 100
"""Episodes of each shape: 95% intervals of about two points."""

TASKS = 64
"""Training episodes whose embeddings a start keeps, to tell how far a new task is from them."""

_ONE_HEAD = (GradientLearner, Reptile, MetaLSTM, LearnedOptimizer)


@dataclass(frozen=True)
class Label:
    """What to call a start, and what to say of it.

    Args:
        name: of the start.
        licence: of its weights.
        note: where they came from.
    """

    name: str
    licence: str = ""
    note: str = ""


def shapes(learner: Learner, sampler: Sampler) -> list[Shape]:
    """Return the shapes of episodes that a learner can be measured on.

    Learners whose last layer has an output a class are measured on the classes that they were
    made for; what others were made for, and usual numbers of classes and shots as far as the
    sampler's classes go.

    Args:
        learner: who is measured.
        sampler: of held-out episodes.
    """
    if not isinstance(sampler, UnevenClassSampler):
        return []
    made, each = sampler.shape, min(map(len, sampler.classes))
    ways = {made.n_way} if isinstance(learner, _ONE_HEAD) else {made.n_way, *WAYS}
    most = min(len(sampler.classes), learner.most_ways or len(sampler.classes))
    return [
        Shape(way, shot, min(made.n_query, each - shot))
        for way in sorted(ways)
        for shot in sorted({made.k_shot, *SHOTS})
        if way <= most and shot < each
    ]


def accuracies(
    learner: Learner,
    state: State,
    sampler: Sampler,
    *,
    execution: Execution | None = None,
    known: Score | None = None,
) -> tuple[Accuracy, ...]:
    """Return accuracies on held-out episodes of every shape that can be drawn.

    Args:
        learner: who is measured.
        state: what it learned.
        sampler: of held-out episodes.
        execution: how batches run, and on which device.
        known: the score on the sampler's own shape, where it was measured already.
    """
    found = []
    for shape in shapes(learner, sampler):
        assert isinstance(sampler, UnevenClassSampler)
        score = known if shape == sampler.shape else None
        if score is None:
            drawn = replace(sampler, shape=shape)
            score = evaluate(learner, state, drawn, EPISODES, execution)
        found.append(accuracy(score, shape))
    return tuple(found)


def tasks_of(learner: Learner, state: State, sampler: Sampler) -> FloatArray | None:
    """Return the embeddings `(TASKS, d)` of training episodes of few classes; None of regression.

    Args:
        learner: whose network embeds; episodes are embedded on the CPU.
        state: what it learned, on any device.
        sampler: its training episodes.
    """
    if not isinstance(sampler, UnevenClassSampler):
        return None
    made = sampler.shape
    few = replace(sampler, shape=Shape(min(made.n_way, WAYS[1]), made.k_shot, 1))
    here = {name: value.cpu() for name, value in state.items()}
    return task_embeddings(learner, here, few, TASKS)


def accuracy(score: Score, shape: Shape) -> Accuracy:
    """Return a score as the registry keeps it."""
    return Accuracy(shape.n_way, shape.k_shot, score.mean, score.half_width, score.n_episodes)


def add_file(store: MetaStore, file: Path, label: Label, **said: Any) -> Start:
    """Put a checkpoint (.json) or weights (.safetensors) into the registry.

    Args:
        store: where to.
        file: what `headstart learn` wrote, or weights of other origin.
        label: what to say of it.
        said: other fields of `metastore.starts.StartSpec`, such as `learner`: the JSON
            description of the network that the weights are of.

    Raises:
        InvalidInputError: if the file is neither, or is damaged.
    """
    words = {"licence": label.licence} | said
    if label.note:
        words["source"] = label.note
    if file.suffix == ".json":
        return register_checkpoint(store, file, name=label.name, **words)
    if file.suffix != ".safetensors":
        raise InvalidInputError(
            f"expected a checkpoint (.json) or weights (.safetensors), got {file}; files that "
            "need unpickling (.pt, .pth, .pkl) are not read: save the state_dict with "
            "safetensors.torch.save_file"
        )
    return store.add_start(file, name=checked_name(label.name), **words)


def network_words(network: str, shape: str) -> dict[str, Any]:
    """Return fields of a start from the command line's words for weights of other origin.

    Args:
        network: JSON, such as `{"type": "Conv4", "n_out": 0}`; `{}` for none.
        shape: of one input, numbers with commas between them; "" for any.

    Raises:
        InvalidInputError: if either cannot be read.

    >>> network_words('{"type": "MLP", "sizes": [4, 8]}', "4")
    {'learner': {'type': 'MLP', 'sizes': [4, 8]}, 'kind': 'rows', 'input_shape': (4,)}
    """
    try:
        described = json.loads(network)
        sizes = tuple(int(size) for size in shape.split(",") if size.strip())
    except ValueError as error:
        raise InvalidInputError(
            'a network is JSON such as {"type": "Conv4", "n_out": 0} and a shape numbers such as '
            f"1,28,28: {error}"
        ) from error
    if not described:
        return {}
    kind = "rows" if len(sizes) == 1 else "images"
    return {"learner": described, "kind": kind, "input_shape": sizes}
