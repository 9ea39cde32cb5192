"""Image starts that differ in training alphabets, learner and architecture.

PLANS     what to train
trained   trains one, or goes on from its checkpoint
measured  its accuracy on characters that no start was trained on
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks.starts.alphabets import FILE, KEPT, Characters, characters
from learners.anil import anil
from learners.episode import Episodes
from learners.evaluation import Score, evaluate
from learners.execution import Execution
from learners.fomaml import fomaml
from learners.learner import Learner
from learners.matching import Matching
from learners.meta_sgd import meta_sgd
from learners.networks import MLP, Conv4
from learners.protonet import ProtoNet
from learners.relation import Relation
from learners.reptile import Reptile
from learners.samplers import ClassSampler, Sampler, Shape
from learners.training import Budget, Trained, Training, meta_train

WAYS = 5
"""Classes that a head has room for."""

HEADS = ("fomaml", "anil", "meta_sgd", "reptile")

SETTINGS = ((5, 1), (5, 5), (20, 1), (20, 5))
"""Ways and shots that accuracies are measured at."""


@dataclass(frozen=True)
class Plan:
    """One start to train.

    Args:
        name: of the start.
        method: key of the catalogue.
        part: of the alphabets; see `alphabets.characters`.
        learner: what is trained.
        shapes: of the episodes, in turn.
        training: settings of the outer loop.
        iterations: of it.
    """

    name: str
    method: str
    part: str
    learner: Learner
    shapes: tuple[Shape, ...]
    training: Training
    iterations: int


@dataclass(frozen=True)
class InTurn:
    """The batches of several samplers, one after the other."""

    samplers: Sequence[Sampler]

    def sample(self, index: int, n_episodes: int) -> Episodes:
        """Return batch `index` of the sampler whose turn it is."""
        return self.samplers[index % len(self.samplers)].sample(index, n_episodes)


_MANY = (Shape(20, 5, 5), Shape(20, 1, 5))
_FIVE = (Shape(WAYS, 1, 5), Shape(WAYS, 5, 5))
_SMALL = Conv4(0, filters=32)
_HEAD = Conv4(WAYS, filters=32, strided=True)
_FAST = Execution(dtype="bfloat16")
_COMPARING = Training(1, 2e-3, schedule="cosine", execution=_FAST)
_GRADIENT = Training(8, 3e-3, schedule="cosine", clip=10.0)

PLANS = (
    Plan("protonet-all", "protonet", "all", ProtoNet(Conv4(0)), _MANY, _COMPARING, 500),
    Plan("protonet-asia", "protonet", "asia", ProtoNet(_SMALL), _MANY, _COMPARING, 500),
    Plan("protonet-europe", "protonet", "europe", ProtoNet(_SMALL), _MANY, _COMPARING, 500),
    Plan("protonet-half-0", "protonet", "half 0", ProtoNet(_SMALL), _MANY, _COMPARING, 500),
    Plan("matching-elsewhere", "matching", "elsewhere", Matching(_SMALL), _MANY, _COMPARING, 500),
    Plan("protonet-elsewhere", "protonet", "elsewhere", ProtoNet(_SMALL), _MANY, _COMPARING, 500),
    Plan(
        "protonet-half-1",
        "protonet",
        "half 1",
        ProtoNet(Conv4(0, filters=16)),
        _MANY,
        _COMPARING,
        700,
    ),
    Plan(
        "protonet-mlp-all",
        "protonet",
        "all",
        ProtoNet(MLP((784, 256, 128, 64))),
        _MANY,
        Training(2, 1e-3, schedule="cosine"),
        1500,
    ),
    Plan("fomaml-all", "fomaml", "all", fomaml(_HEAD, steps=3, rate=0.1), _FIVE, _GRADIENT, 350),
    Plan("anil-europe", "anil", "europe", anil(_HEAD, steps=3), _FIVE, _GRADIENT, 350),
    Plan("meta-sgd-asia", "meta_sgd", "asia", meta_sgd(_HEAD), _FIVE, _GRADIENT, 350),
    Plan(
        "reptile-half-0",
        "reptile",
        "half 0",
        Reptile(_HEAD, steps=5),
        (Shape(WAYS, 10, 1),),
        Training(5, 1.0, optimizer="sgd", schedule="linear"),
        350,
    ),
    Plan(
        "relation-half-1",
        "relation",
        "half 1",
        Relation(Conv4(0, filters=32, n_pooled=2)),
        (Shape(5, 1, 5), Shape(5, 5, 3)),
        Training(1, 1e-3, schedule="cosine", execution=_FAST),
        1000,
    ),
)


def trained(plan: Plan, training: Training, seconds: float | None = None) -> Trained:
    """Return what a plan's training gives, from its checkpoint where it was cut.

    Args:
        plan: what to train.
        training: the plan's settings with a checkpoint path.
        seconds: wall-clock bound of this call.
    """
    drawn = characters(plan.part)
    sampler = InTurn([ClassSampler(drawn.train, shape, i) for i, shape in enumerate(plan.shapes)])
    return meta_train(plan.learner, sampler, Budget(plan.iterations, seconds), training)


def about(plan: Plan) -> dict[str, Any]:
    """Return what is kept beside a checkpoint, in the words of `headstart learn`."""
    drawn: Characters = characters(plan.part)
    return {
        "source": Path(FILE).name,
        "input_shape": list(drawn.train.shape[2:]),
        "n_way": WAYS if plan.method in HEADS else None,
        "seed": plan.training.seed,
        "classes": {"train": list(drawn.alphabets)},
        "left_out": f"one in {KEPT} characters of each alphabet, by hash",
        "scale": "bytes divided by 255",
        "method": plan.method,
    }


def measured(plan: Plan, state: dict[str, Tensor], n_episodes: int) -> dict[str, Score]:
    """Return the accuracy on kept characters, by "WAYSwSHOTSs"."""
    kept = characters(plan.part).kept
    return {
        f"{way}w{shot}s": evaluate(
            plan.learner, state, ClassSampler(kept, Shape(way, shot, 5), 7), n_episodes
        )
        for way, shot in SETTINGS
        if way <= WAYS or plan.method not in HEADS
    }


def episodes_of(plan: Plan) -> ClassSampler:
    """Return episodes of few classes among those trained on, for a start's task embeddings."""
    return ClassSampler(characters(plan.part).train, Shape(WAYS, 5, 1), 11)
