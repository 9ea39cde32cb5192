"""A learner and the settings of its training for each method, given what the episodes look like.

The settings are the papers' where they fit a short run on a CPU, and smaller where they do not;
they are a start, not a search.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from learners.anil import anil
from learners.cnp import ConditionalNeuralProcess
from learners.deep_kernel import DeepKernel
from learners.errors import LearnerError
from learners.fomaml import fomaml
from learners.hypernetwork import Hypernetwork
from learners.learned_optimizer import LearnedOptimizer
from learners.learner import Learner
from learners.maml import maml
from learners.maml_plus_plus import maml_plus_plus
from learners.mann import LRUACell, Mann
from learners.matching import Matching
from learners.meta_lstm import MetaLSTM
from learners.meta_sgd import meta_sgd
from learners.networks import MLP, Conv4, Flatten, Network
from learners.protonet import ProtoNet
from learners.relation import Relation
from learners.reptile import Reptile
from learners.set_encoder import SetEncoder
from learners.siamese import Siamese
from learners.snail import Snail
from learners.training import Training

_HIDDEN = 64


@dataclass(frozen=True)
class Inputs:
    """What episodes look like.

    Args:
        shape: of one input: `(channels, side, side)` for images, `(d,)` for rows of numbers.
        n_way: classes of an episode; 0 for regression.
        k_shot: support examples a class, or in all for regression.
        n_out: targets of a regression.
    """

    shape: tuple[int, ...]
    n_way: int = 0
    k_shot: int = 1
    n_out: int = 1

    @property
    def images(self) -> bool:
        """Whether an input is an image."""
        return len(self.shape) == 3

    @property
    def regression(self) -> bool:
        """Whether targets are numbers."""
        return not self.n_way


@dataclass(frozen=True)
class Recipe:
    """A learner and how its outer loop is set."""

    learner: Learner
    training: Training


def recipe(method: str, inputs: Inputs) -> Recipe:
    """Return the learner of a method for episodes of a kind.

    Args:
        method: its key in the catalogue, such as "protonet".
        inputs: what episodes look like.

    Raises:
        LearnerError: if there is no such method, or it does not take such episodes.
    """
    if method not in _MADE:
        raise LearnerError(f"no method named {method!r}; there are: {', '.join(_MADE)}")
    if inputs.regression and method in _CLASSES_ONLY:
        raise LearnerError(
            f"{method} classifies, and these episodes are regression; take one of: "
            + ", ".join(name for name in _MADE if name not in _CLASSES_ONLY)
        )
    if method == "relation" and not inputs.images:
        raise LearnerError("relation networks compare maps of images, and these are rows")
    if method == "set_encoder" and inputs.images:
        raise LearnerError("a set encoder reads columns of a table, and these are images")
    return _MADE[method](inputs)


def _network(inputs: Inputs) -> Network:
    """Return a whole network: its outputs are the answer."""
    n_out = inputs.n_out if inputs.regression else inputs.n_way
    if inputs.images:
        return Conv4(n_out, inputs.shape[0], strided=True, side=inputs.shape[1])
    return MLP((inputs.shape[0], 40, 40, n_out))


def _embedding(inputs: Inputs, n_out: int = 0) -> Network:
    """Return a network to compare by; `n_out` 0 leaves flat convolutional features."""
    if inputs.images:
        # As many halvings as leave a pixel: the paper's four from 16 pixels on.
        n_pooled = min(4, inputs.shape[1].bit_length() - 1)
        return Conv4(n_out, inputs.shape[0], side=inputs.shape[1], n_pooled=n_pooled)
    return MLP((inputs.shape[0], 128, n_out or _HIDDEN))


def _maps(inputs: Inputs) -> Conv4:
    """Return a network that keeps maps of 4 x 4 or more where images have as many pixels."""
    channels, side = inputs.shape[:2]
    return Conv4(0, channels, side=side, n_pooled=max(0, min(2, side.bit_length() - 3)))


def _gradient(factory: Callable[..., Learner], **settings: Any) -> Callable[[Inputs], Recipe]:
    def made(inputs: Inputs) -> Recipe:
        rate = {"rate": 0.01} if inputs.regression else {}
        learner = factory(_network(inputs), **{**settings, **rate}, regression=inputs.regression)
        return Recipe(learner, Training(16, 3e-3, clip=10.0))

    return made


def _comparing(learner: Callable[[Inputs], Learner], batch: int = 4) -> Callable[[Inputs], Recipe]:
    return lambda inputs: Recipe(learner(inputs), Training(batch, 2e-3))


def _reptile(inputs: Inputs) -> Recipe:
    learner = Reptile(
        _network(inputs),
        steps=8,
        rate=0.02 if inputs.regression else 1e-3,
        batch=0 if inputs.regression else 10,
        adam=not inputs.regression,
        prediction_steps=32,
        regression=inputs.regression,
    )
    return Recipe(learner, Training(5, 0.5, optimizer="sgd"))


def _mann(inputs: Inputs) -> Recipe:
    cell = LRUACell(n_slots=32, n_reads=1, hidden=128, strength=True)
    learner = Mann(_embedding(inputs, _HIDDEN), _HIDDEN, inputs.n_way, cell)
    return Recipe(learner, Training(16, 1e-3, clip=10.0))


def _snail(inputs: Inputs) -> Recipe:
    length = inputs.n_way * inputs.k_shot + 1
    learner = Snail(_embedding(inputs, _HIDDEN), _HIDDEN, inputs.n_way, length)
    return Recipe(learner, Training(8, 1e-3))


def _cnp(inputs: Inputs) -> Recipe:
    if inputs.regression:
        d = _numbers(inputs)
        learner = ConditionalNeuralProcess(
            Flatten(),
            MLP((d + inputs.n_out, 128, 128, 128)),
            MLP((d + 128, 128, 128, 2 * inputs.n_out)),
        )
    else:
        wide = _HIDDEN * (inputs.n_way + 1)
        learner = ConditionalNeuralProcess(
            _embedding(inputs, _HIDDEN),
            MLP((_HIDDEN, _HIDDEN)),
            MLP((wide, 128, inputs.n_way)),
            inputs.n_way,
        )
    return Recipe(learner, Training(16, 1e-3))


def _hypernetwork(inputs: Inputs) -> Recipe:
    if inputs.regression:
        d = _numbers(inputs)
        encoder, main = MLP((d + inputs.n_out, 64, 64, 64)), MLP((d, 40, 40, inputs.n_out))
        learner = Hypernetwork(Flatten(), encoder, main, regression=True)
    else:
        encoder, main = MLP((_HIDDEN, _HIDDEN)), MLP((_HIDDEN, _HIDDEN, 1))
        learner = Hypernetwork(_embedding(inputs, _HIDDEN), encoder, main)
    return Recipe(learner, Training(16, 1e-3))


def _deep_kernel(inputs: Inputs) -> Recipe:
    network = _embedding(inputs, 0 if inputs.images else 32)
    learner = DeepKernel(
        network, kernel="rbf" if inputs.regression else "cosine", regression=inputs.regression
    )
    return Recipe(learner, Training(8, 1e-3))


def _numbers(inputs: Inputs) -> int:
    if inputs.images:
        raise LearnerError("regression on images has no recipe; build the learner in Python")
    return inputs.shape[0]


_MADE: dict[str, Callable[[Inputs], Recipe]] = {
    "maml": _gradient(maml),
    "fomaml": _gradient(fomaml, steps=3, rate=0.1),
    "anil": _gradient(anil),
    "meta_sgd": _gradient(meta_sgd),
    "maml_plus_plus": lambda inputs: Recipe(
        maml_plus_plus(_network(inputs), steps=3), Training(16, 3e-3, clip=10.0)
    ),
    "reptile": _reptile,
    "protonet": _comparing(lambda inputs: ProtoNet(_embedding(inputs))),
    "matching": _comparing(lambda inputs: Matching(_embedding(inputs))),
    "siamese": _comparing(lambda inputs: Siamese(_embedding(inputs, _HIDDEN), _HIDDEN)),
    "relation": _comparing(lambda inputs: Relation(_maps(inputs))),
    "set_encoder": lambda inputs: Recipe(
        SetEncoder(), Training(8, 3e-3, schedule="cosine", clip=1.0)
    ),
    "deep_kernel": _deep_kernel,
    "mann": _mann,
    "snail": _snail,
    "cnp": _cnp,
    "hypernetwork": _hypernetwork,
    "learned_optimizer": lambda inputs: Recipe(
        LearnedOptimizer(
            _network(inputs),
            steps=10,
            unroll=10,
            regression=inputs.regression,
            learned_start=True,
        ),
        Training(8, 3e-3),
    ),
    "meta_lstm": lambda inputs: Recipe(
        MetaLSTM(
            _network(inputs),
            steps=5,
            rate=0.01 if inputs.regression else 0.1,
            regression=inputs.regression,
        ),
        Training(8, 3e-3),
    ),
}

_CLASSES_ONLY = {
    *("maml_plus_plus", "protonet", "matching", "siamese", "relation", "mann", "snail"),
    "set_encoder",
}
