"""Each method really learns: well above its untrained start, on few iterations, seeds fixed."""

from __future__ import annotations

import pytest

from benchmarks.few_shot.sinusoid import SinusoidSampler
from learners.anil import anil
from learners.evaluation import evaluate
from learners.fomaml import fomaml
from learners.maml import maml
from learners.maml_plus_plus import Annealing, maml_plus_plus
from learners.matching import Matching
from learners.meta_sgd import meta_sgd
from learners.networks import MLP, Conv4
from learners.protonet import ProtoNet
from learners.relation import Relation
from learners.reptile import Reptile
from learners.samplers import ClassSampler, Shape
from learners.siamese import Siamese
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
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_waves(name: str) -> None:
    learner, training = REGRESSORS[name]
    test = SinusoidSampler(seed=7)
    before = evaluate(learner, learner.init(0), test, 100)
    quiet = Training(**{**vars(training), "progress": False})
    trained = meta_train(learner, SinusoidSampler(), Budget(400), quiet)
    after = evaluate(learner, trained.state, test, 100)
    assert after.mean < 0.7 * before.mean
