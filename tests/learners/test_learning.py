"""Each method really learns: well above its untrained start, on few iterations, seeds fixed."""

from __future__ import annotations

import pytest

from learners.anil import anil
from learners.cnp import ConditionalNeuralProcess
from learners.evaluation import evaluate
from learners.fomaml import fomaml
from learners.hypernetwork import Hypernetwork
from learners.learned_optimizer import LearnedOptimizer
from learners.maml import maml
from learners.maml_plus_plus import Annealing, maml_plus_plus
from learners.mann import LRUACell, Mann
from learners.matching import Matching
from learners.meta_lstm import MetaLSTM
from learners.meta_sgd import meta_sgd
from learners.networks import MLP, Conv4, Flatten
from learners.ntm import NTMCell
from learners.protonet import ProtoNet
from learners.relation import Relation
from learners.reptile import Reptile
from learners.samplers import ClassSampler, Shape
from learners.siamese import Siamese
from learners.sinusoid import SinusoidSampler
from learners.snail import Snail
from learners.training import Budget, Training, meta_train

NET = Conv4(5, filters=16, strided=True)
WAVE = MLP((1, 40, 40, 1))

CLASSIFIERS = {
    "maml": (maml(NET, rate=0.4), Training(8, 1e-2)),
    "fomaml": (fomaml(NET, rate=0.1, steps=3), Training(8, 1e-2)),
    "anil": (anil(NET, rate=0.4), Training(8, 1e-2)),
    "meta_sgd": (meta_sgd(NET, rate=0.4), Training(8, 1e-2)),
    "maml++": (
        maml_plus_plus(NET, steps=2, rate=0.4, annealing=Annealing(50, 20)),
        Training(8, 1e-2, schedule="cosine"),
    ),
    "reptile": (
        Reptile(NET, steps=5, rate=0.1, adam=False, batch=0, prediction_steps=10),
        Training(5, 1.0, optimizer="sgd", schedule="linear"),
    ),
    "matching": (Matching(Conv4(32, filters=16)), Training(1, 1e-2)),
    "relation": (Relation(Conv4(0, filters=16, n_pooled=2)), Training(2, 3e-3)),
    "siamese": (Siamese(Conv4(0, filters=8), 8), Training(2, 1e-2)),
    "protonet": (ProtoNet(Conv4(0, filters=8)), Training(1, 3e-3)),
    "snail": (Snail(Conv4(32, filters=16), 32, scale=0.25), Training(8, 3e-3)),
    "cnp": (
        ConditionalNeuralProcess(Conv4(32, filters=16), MLP((32, 16)), MLP((112, 32, 5)), 5),
        Training(8, 3e-3),
    ),
    "hypernetwork": (
        Hypernetwork(Conv4(32, filters=16), MLP((32, 32)), MLP((32, 32, 1))),
        Training(8, 3e-3),
    ),
    "meta_lstm": (MetaLSTM(Conv4(5, filters=8, strided=True), 2, rate=0.2), Training(4, 2e-2)),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_characters(name: str, glyphs) -> None:
    learner, training = CLASSIFIERS[name]
    shots = 5 if name == "reptile" else 1
    sampler = ClassSampler(glyphs[:30], Shape(5, shots, 5), seed=0)
    test = ClassSampler(glyphs[30:], Shape(5, 1, 5), seed=1)
    start = learner.finish(learner.init(0), sampler.sample(0, 4))
    before = evaluate(learner, start, test, 60)
    quiet = Training(**{**vars(training), "progress": False})
    after = evaluate(learner, meta_train(learner, sampler, Budget(100), quiet).state, test, 60)
    assert after.mean - after.half_width > before.mean + before.half_width


REGRESSORS = {
    "maml": (maml(WAVE, rate=0.01, regression=True).predicting(5), Training(25, 3e-3)),
    "meta_sgd": (meta_sgd(WAVE, rate=0.01, regression=True), Training(25, 3e-3)),
    "reptile": (
        Reptile(
            MLP((1, 40, 40, 1), "tanh"),
            steps=10,
            rate=0.01,
            batch=0,
            adam=False,
            prediction_steps=30,
            regression=True,
        ),
        Training(10, 1.0, optimizer="sgd", schedule="linear"),
    ),
    "cnp": (ConditionalNeuralProcess(Flatten()), Training(25, 1e-3)),
    "hypernetwork": (Hypernetwork(Flatten(), regression=True), Training(25, 1e-3)),
    "meta_lstm": (MetaLSTM(MLP((1, 20, 20, 1)), regression=True), Training(8, 1e-2)),
    "learned_optimizer": (
        LearnedOptimizer(
            MLP((1, 20, 20, 1)), 5, regression=True, unroll=5, hidden=8, learned_start=True
        ),
        Training(8, 1e-2),
    ),
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_waves(name: str) -> None:
    learner, training = REGRESSORS[name]
    test = SinusoidSampler(seed=7)
    before = evaluate(learner, learner.init(0), test, 100)
    quiet = Training(**{**vars(training), "progress": False})
    # The neural process is at 0.69 after 400, give or take what rounding differs by.
    iterations = 600 if name == "cnp" else 400
    trained = meta_train(learner, SinusoidSampler(), Budget(iterations), quiet)
    after = evaluate(learner, trained.state, test, 100)
    assert after.mean < 0.7 * before.mean


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "iterations"),
    [
        (LRUACell(8, 20, n_reads=1, hidden=100, strength=True), 700),
        (NTMCell(8, 20, n_reads=1, hidden=32), 300),
    ],
    ids=["least recently used", "turing"],
)
def test_memories_bind_a_label_to_the_drawing_before_it(cell, iterations: int, glyphs) -> None:
    """Two characters, on pixels: hundreds of iterations go by before anything is learned."""
    learner = Mann(Flatten(), n_features=784, n_way=2, cell=cell)
    sampler = ClassSampler(glyphs[:30], Shape(2, 1, 4), seed=0)
    test = ClassSampler(glyphs[30:], Shape(2, 1, 5), seed=1)
    quiet = Training(16, 3e-3 if iterations > 500 else 1e-2, clip=10.0, progress=False)
    after = evaluate(learner, meta_train(learner, sampler, Budget(iterations), quiet).state, test)
    assert after.mean - after.half_width > 0.55
