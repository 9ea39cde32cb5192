"""What trains on each benchmark: a learner, how its outer loop is set, and its episodes.

Published networks wherever they fit half an hour of one core. Settings were chosen on training
and validation characters alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from learners.anil import anil
from learners.cnp import ConditionalNeuralProcess
from learners.deep_kernel import DeepKernel
from learners.embedding import EmbeddingLearner
from learners.fomaml import fomaml
from learners.hypernetwork import Hypernetwork
from learners.inner_loop import GradientLearner
from learners.learner import Learner
from learners.maml import maml
from learners.maml_plus_plus import maml_plus_plus
from learners.mann import LRUACell, Mann
from learners.matching import Matching
from learners.meta_sgd import meta_sgd
from learners.networks import MLP, Conv4, Flatten
from learners.protonet import ProtoNet
from learners.recipes import Inputs
from learners.recipes import recipe as ready_made
from learners.relation import Relation
from learners.reptile import Reptile
from learners.samplers import Shape
from learners.settled import Settled
from learners.siamese import Siamese
from learners.snail import Snail
from learners.training import Training

SETTINGS = {"5w1s": (5, 1), "5w5s": (5, 5), "20w1s": (20, 1), "20w5s": (20, 5)}

#: Configurations of the one inner loop.
GRADIENT: dict[str, Callable[..., GradientLearner]] = {
    "maml": maml,
    "fomaml": fomaml,
    "anil": anil,
    "meta_sgd": meta_sgd,
    "maml++": maml_plus_plus,
}

#: Methods that compare embeddings and take any number of classes: trained once, tested on all.
COMPARING: dict[str, Callable[[], EmbeddingLearner]] = {
    "protonet": lambda: ProtoNet(Conv4(0)),
    "matching": lambda: Matching(Conv4(0), sharpness=20.0),
    "siamese": lambda: Siamese(Conv4(0)),
    "relation": lambda: Relation(Conv4(0, n_pooled=2)),
}

#: Methods whose settings on waves are those of `headstart learn`.
READY_MADE = ("mann", "snail", "cnp", "hypernetwork", "learned_optimizer", "meta_lstm")

_NARROW, _WIDE = 32, 64

METHODS = (*GRADIENT, "reptile", "deep_kernel", *COMPARING, *READY_MADE)


@dataclass(frozen=True)
class Recipe:
    """A learner, how its outer loop is set, and the episodes it trains on.

    Args:
        learner: what trains.
        training: settings of its outer loop.
        train: its episodes; the benchmark's with as many queries as shots if None.
        easier: iterations until which episodes are of fewer classes and shots, with both numbers.
        iterations: meta-iterations, over which the outer rate's schedule runs.
        bfloat16: whether autocast pays on a CPU.
        first: a learner by comparison that is trained before; its cost counts. This one's network
            is the same and begins as that one left it.
        fixed: whether, instead, the embeddings of the first are this one's inputs and stay as
            they are.
    """

    learner: Learner
    training: Training
    train: Shape | None = None
    easier: tuple[tuple[int, int, int], ...] = ()
    iterations: int = 60_000
    bfloat16: bool = False
    first: Recipe | None = None
    fixed: bool = False


def recipe(method: str, benchmark: str) -> Recipe:
    """Return what trains on a benchmark."""
    if benchmark == "sinusoid":
        return _sinusoid(method)
    way, shot = SETTINGS[benchmark]
    if method in COMPARING:
        return _comparing(method, shot)
    if method in READING:
        return READING[method](way, shot)
    if method == "reptile":
        return _reptile(way, shot)
    if method == "anil":
        return _anil(way, shot)
    if method == "deep_kernel":
        return _deep_kernel(way, shot)
    if method in GRADIENT:
        return _gradient(GRADIENT[method], way, shot)
    made = ready_made(method, Inputs((1, 28, 28), way, shot))
    return Recipe(made.learner, replace(made.training, validate_every=200))


def _comparing(method: str, shot: int) -> Recipe:
    """Return one episode of many classes at a time: as many comparisons as many of few have."""
    training = Training(1, rate=2e-3, schedule="cosine", validate_every=400)
    iterations = {"siamese": 1000, "relation": 1500}.get(method, 1700)
    # A relation network's cost goes with the pairs of class and query.
    ways = 20 if method == "relation" else 60
    learner, shape = COMPARING[method](), Shape(ways, shot, 5)
    return Recipe(learner, training, shape, iterations=iterations, bfloat16=True)


def _gradient(factory: Callable[..., GradientLearner], way: int, shot: int) -> Recipe:
    """Return MAML's published Omniglot settings: 0.4 and 1 step 5-way, 0.1 and 5 steps 20-way."""
    settings = {"steps": 1, "rate": 0.4} if way == 5 else {"steps": 5, "rate": 0.1}
    if factory is maml_plus_plus:
        settings = {"steps": 5, "rate": 0.1}
    learner = factory(Conv4(way, strided=True), **settings)
    training = Training(32 if way == 5 else 16, rate=3e-3, schedule="cosine")
    return Recipe(learner, training, Shape(way, shot, shot))


def _embedding_first(shot: int, filters: int = _NARROW) -> Recipe:
    """Return a prototypical network to begin with: of half the published width, or wider.

    What reads a support set has little to bind labels to before inputs of one class lie together.
    """
    training = Training(1, rate=2e-3, schedule="cosine", validate_every=400)
    learner = ProtoNet(Conv4(0, filters=filters))
    iterations = 1200 if filters == _NARROW else 1700
    return Recipe(learner, training, Shape(60, shot, 5), iterations=iterations, bfloat16=True)


def _anil(way: int, shot: int) -> Recipe:
    """Return ANIL with ten inner steps on the head, over an embedding trained first.

    With shorter inner steps the outer loss is of what is too little certain, and training mends
    that at the cost of what is right: these begin with a low loss. Outer steps five times as long
    cost accuracy, too.
    """
    learner = anil(Settled(Conv4(way)), steps=10, rate=0.2)
    training = Training(8, 2e-5, schedule="cosine", validate_every=100)
    return Recipe(
        learner,
        training,
        Shape(way, shot, 5),
        iterations=200,
        bfloat16=True,
        first=_embedding_first(shot, _WIDE),
    )


def _reptile(way: int, shot: int) -> Recipe:
    """Return Reptile with five plain inner steps, begun at an embedding trained first.

    Not Adam's, as published: their length is the same for every weight, whatever its gradient, and
    fifty of them on five images undo what was trained.
    """
    learner = Reptile(Settled(Conv4(way)), rate=0.03, adam=False, prediction_steps=5)
    training = Training(5, 0.25, "sgd", "linear", validate_every=100)
    return Recipe(
        learner,
        training,
        Shape(way, 10, 1),
        iterations=300,
        bfloat16=True,
        first=_embedding_first(shot, _WIDE),
    )


def _deep_kernel(way: int, shot: int) -> Recipe:
    """Return DKT with the cosine of centred features, begun at an embedding trained first."""
    learner = DeepKernel(Settled(Conv4(0)), kernel="cosine", noise=0.1)
    training = Training(8, 1e-4, schedule="cosine", validate_every=100)
    return Recipe(
        learner,
        training,
        Shape(way, shot, 5),
        iterations=300,
        bfloat16=True,
        first=_embedding_first(shot, _WIDE),
    )


def _over_embeddings(
    learner: Learner, training: Training, way: int, shot: int, filters: int = _NARROW
) -> Recipe:
    """Return what reads the embeddings of a network that was trained first and stays as it is."""
    return Recipe(
        learner,
        training,
        Shape(way, shot, 3),
        iterations=5000,
        first=_embedding_first(shot, filters),
        fixed=True,
    )


def _snail(way: int, shot: int) -> Recipe:
    """Return SNAIL with a quarter of its published widths, which reads embeddings."""
    learner = Snail(Flatten(), _WIDE, way, way * shot + 1, scale=0.25)
    training = Training(32, 2e-3, schedule="cosine", clip=1.0, validate_every=1000)
    return _over_embeddings(learner, training, way, shot, _WIDE)


def _mann(way: int, shot: int) -> Recipe:
    """Return a smaller memory that reads embeddings, with fewer classes and shots to begin with.

    Slots that stay blank share the attention of a read: a few more than the support set are
    better than many. Binding a label to what was seen is learned from short sequences: with one
    shot of each class first, episodes of five end at 95.8 on validation characters, and at 58
    with five shots throughout. More classes little by little are no help: 20-way 1-shot, by way of
    5, 8, 12 and 16 until iteration 3,000, ended at 40 in place of 49.
    """
    cell = LRUACell(n_slots=8 * shot * (1 if way == 5 else 4), n_reads=1, strength=True)
    learner = Mann(Flatten(), _NARROW, way, cell)
    training = Training(32, 1e-2, schedule="cosine", clip=10.0, validate_every=500)
    easier = [(200, 2, 1), (400, 3, 1), (600, 4, 1)]
    if shot > 1:
        easier += [(2000, way, 1), (2500, way, 2)]
    return replace(_over_embeddings(learner, training, way, shot), easier=tuple(easier))


def _cnp(way: int, shot: int) -> Recipe:
    """Return a conditional neural process that reads embeddings."""
    decoder = MLP((_NARROW + 64 * way, 256, 256, way))
    learner = ConditionalNeuralProcess(Flatten(), MLP((_NARROW, 128, 64)), decoder, way)
    training = Training(32, 2e-3, schedule="cosine", validate_every=1000)
    return _over_embeddings(learner, training, way, shot)


def _hypernetwork(way: int, shot: int) -> Recipe:
    """Return a hypernetwork that reads embeddings and writes two layers over them."""
    learner = Hypernetwork(Flatten(), MLP((_WIDE, 128, 64)), MLP((_WIDE, 64, 1)))
    training = Training(32, 1e-3, schedule="cosine", clip=1.0, validate_every=1000)
    return _over_embeddings(learner, training, way, shot, _WIDE)


#: Methods that read the support set with a network of their own.
READING: dict[str, Callable[[int, int], Recipe]] = {
    "mann": _mann,
    "snail": _snail,
    "cnp": _cnp,
    "hypernetwork": _hypernetwork,
}


def _sinusoid(method: str) -> Recipe:
    """Return the settings for waves: two hidden layers of 40, inner steps of 0.01."""
    if method in READY_MADE:
        made = ready_made(method, Inputs((1,), 0, 10))
        return Recipe(made.learner, replace(made.training, validate_every=200))
    network = MLP((1, 40, 40, 1))
    training = Training(25, rate=5e-3, schedule="cosine", clip=10.0, validate_every=1000)
    if method == "reptile":
        smooth = MLP((1, 64, 64, 1), "tanh")
        learner: Learner = Reptile(smooth, 10, 0.02, 0, False, 32, regression=True)
        outer = replace(training, meta_batch=10, optimizer="sgd", schedule="linear", rate=1.0)
        return Recipe(learner, outer)
    if method not in GRADIENT:
        raise SystemExit(f"{method} compares classes; a wave has none")
    factory = GRADIENT[method]
    steps = 1 if factory is meta_sgd else 5
    return Recipe(factory(network, steps=steps, rate=0.01, regression=True), training)
