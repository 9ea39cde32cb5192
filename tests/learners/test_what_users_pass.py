"""What users hand to samplers, execution and training: taken, or refused with a word that helps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits

from learners.deep_kernel import DeepKernel, predict_distribution
from learners.episode import Examples, examples
from learners.errors import LearnerError
from learners.evaluation import evaluate
from learners.execution import Execution
from learners.maml import maml
from learners.networks import MLP, Conv4, ModuleNetwork
from learners.protonet import ProtoNet
from learners.samplers import ClassSampler, Shape, TableSampler, UnevenClassSampler
from learners.training import Budget, Training, meta_train

_QUIET = Training(meta_batch=2, progress=False)
_SHAPE = Shape(3, 2, 4)


def _digits() -> list[np.ndarray]:
    bunch = load_digits()
    return [bunch.data[bunch.target == c][:20] / 16 for c in range(10)]


def _tables() -> list[tuple[np.ndarray, np.ndarray]]:
    x, y = load_diabetes(return_X_y=True)
    return [(x[i::10], y[i::10] / 100) for i in range(10)]


@pytest.mark.parametrize(
    ("learner", "from_arrays", "from_tensors"),
    [
        (
            ProtoNet(MLP((64, 8))),
            lambda: ClassSampler(np.stack(_digits()), _SHAPE),
            lambda: ClassSampler(torch.tensor(np.stack(_digits())).float(), _SHAPE),
        ),
        (
            ProtoNet(MLP((64, 8))),
            lambda: UnevenClassSampler(_digits(), _SHAPE),
            lambda: UnevenClassSampler([torch.tensor(one).float() for one in _digits()], _SHAPE),
        ),
        (
            maml(MLP((10, 8, 1)), regression=True),
            lambda: TableSampler(_tables(), (3, 6), 5),
            lambda: TableSampler(
                [(torch.tensor(x).float(), torch.tensor(y).float()) for x, y in _tables()],
                (3, 6),
                5,
            ),
        ),
    ],
    ids=["classes", "uneven", "tables"],
)
def test_samplers_take_numpy_arrays_as_they_come(learner, from_arrays, from_tensors) -> None:
    found = meta_train(learner, from_arrays(), Budget(2), _QUIET)
    expected = meta_train(learner, from_tensors(), Budget(2), _QUIET)
    for name, value in expected.state.items():
        assert torch.equal(found.state[name], value)


@pytest.mark.parametrize("call", ["train", "evaluate"])
def test_classes_for_a_regressor_and_numbers_for_a_classifier_are_refused(call: str) -> None:
    classes = ClassSampler(np.stack(_digits()), _SHAPE)
    numbers = TableSampler(_tables(), (3, 6), 5)
    for learner, sampler in (
        (maml(MLP((64, 8, 1)), regression=True), classes),
        (ProtoNet(MLP((10, 8))), numbers),
    ):
        with pytest.raises(
            LearnerError, match=r"predicts (numbers|classes), and|expects (int64|float)"
        ):
            if call == "train":
                meta_train(learner, sampler, Budget(2), _QUIET)
            else:
                evaluate(learner, learner.init(0), sampler, 4)


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ({"threads": 0}, "threads"),
        ({"chunk": -1}, "chunk"),
        ({"device": "gpu"}, "device.*'gpu'"),
    ],
)
def test_an_execution_that_cannot_run_is_refused_when_it_is_made(setting, why: str) -> None:
    with pytest.raises(LearnerError, match=why):
        Execution(**setting)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_cuda_without_a_gpu_is_told_before_training() -> None:
    training = Training(progress=False, execution=Execution(device="cuda"))
    sampler = ClassSampler(np.stack(_digits()), _SHAPE)
    with pytest.raises(LearnerError, match=r"sees no GPU"):
        meta_train(ProtoNet(MLP((64, 8))), sampler, Budget(2), training)


def test_a_budget_below_zero_is_refused() -> None:
    with pytest.raises(LearnerError, match=r"iterations"):
        Budget(-1)


def test_a_support_set_of_numpy_arrays_is_taken_and_bytes_are_told_how_to_scale() -> None:
    rows = np.stack([one[:2] for one in _digits()[:3]]).reshape(6, 64)
    support = examples(rows, np.repeat(np.arange(3), 2))
    assert support.x.dtype == torch.float32
    learner = ProtoNet(MLP((64, 8)))
    assert learner.adapt(learner.init(0), support).predict(support.x).shape == (6, 3)
    with pytest.raises(LearnerError, match=r"bytes.*255"):
        examples((rows * 255).astype(np.uint8), np.repeat(np.arange(3), 2))


@pytest.mark.parametrize("kind", [np.int64, np.bool_])
def test_targets_of_a_table_of_whole_numbers_keep_their_digits(kind) -> None:
    x, y = np.arange(24).reshape(12, 2).astype(kind), np.linspace(0.1, 0.9, 12)
    episode = TableSampler([(x, y)], (3, 3), 4).sample(0, 1)
    assert episode.support.y.shape == (1, 3, 1)
    drawn = torch.cat([episode.support.y.flatten(), episode.query.y.flatten()])
    distance = (drawn[:, None] - torch.tensor(y)).abs().min(1).values
    assert distance.max() < 1e-6


@pytest.mark.parametrize("network", [MLP((64, 3)), ModuleNetwork(torch.nn.Linear(64, 3))])
@pytest.mark.parametrize("call", ["train", "adapt"])
def test_fewer_outputs_than_classes_are_told_for_several_episodes_at_once(network, call) -> None:
    learner, sampler = maml(network), ClassSampler(np.stack(_digits()), Shape(5, 1, 2))
    with pytest.raises(LearnerError, match=r"gives 3 outputs a row.* classes"):
        if call == "train":
            meta_train(learner, sampler, Budget(1), _QUIET)
        else:
            learner.adapt(learner.init(0), sampler.sample(0, 2).support)


@pytest.mark.parametrize(
    ("network", "shape", "why"),
    [
        (MLP((10, 8)), (6, 6, 7), r"takes 10 numbers a row, and got 7"),
        (Conv4(0, side=16), (6, 6, 3, 16, 16), r"of 1 channels.* got \(3, 16, 16\)"),
        (Conv4(0, side=16), (6, 6, 16, 16), r"of 1 channels.* got \(16, 16\)"),
    ],
)
def test_inputs_that_a_network_does_not_take_are_told_by_their_shape(network, shape, why) -> None:
    with pytest.raises(LearnerError, match=why):
        meta_train(ProtoNet(network), ClassSampler(torch.rand(shape), _SHAPE), Budget(1), _QUIET)


def test_training_takes_numbers_of_any_type() -> None:
    images = np.stack(_digits())
    whole = (images * 16).astype(np.int64)
    x, y = load_diabetes(return_X_y=True)
    rows = (x[:60] * 100).astype(np.int64)
    classifier, regressor = ProtoNet(MLP((64, 8))), maml(MLP((10, 8, 1)), regression=True)
    for given in (whole, whole > 0, whole.astype(np.float16), torch.tensor(whole).double()):
        plain = ClassSampler(np.asarray(given).astype(np.float32), _SHAPE)
        expected = meta_train(classifier, plain, Budget(2), _QUIET).state
        found = meta_train(classifier, ClassSampler(given, _SHAPE), Budget(2), _QUIET).state
        assert all(torch.equal(value, found[name]) for name, value in expected.items())
    for given in (rows, torch.tensor(rows).double()):
        table = TableSampler([(given, torch.tensor(y[:60] / 100))], (3, 6), 5)
        plain = TableSampler([(rows.astype(np.float32), y[:60] / 100)], (3, 6), 5)
        expected = meta_train(regressor, plain, Budget(2), _QUIET).state
        found = meta_train(regressor, table, Budget(2), _QUIET).state
        assert all(torch.equal(value, found[name]) for name, value in expected.items())


@pytest.mark.parametrize(
    ("support", "why"),
    [
        (Examples(torch.full((2, 5), torch.nan), torch.arange(2), torch.ones(2).bool()), "NaN"),
        (examples(torch.full((2, 5), 1e300, dtype=torch.float64), torch.arange(2)), "infinity"),
        (Examples(torch.zeros(2, 5), torch.arange(2), torch.zeros(2).bool()), "no real row"),
        (Examples(torch.zeros(2, 5), torch.arange(3) % 2, torch.ones(3).bool()), r"got x \(2, 5\)"),
        (Examples(torch.zeros(2, 5).byte(), torch.arange(2), torch.ones(2).bool()), "bytes"),
        (Examples(torch.zeros(2, 5), torch.eye(2).long(), torch.ones(2).bool()), r"y \(n,\)"),
    ],
)
def test_a_support_set_that_is_none_is_refused(support, why: str) -> None:
    learner = ProtoNet(MLP((5, 3)))
    with pytest.raises(LearnerError, match=why):
        learner.adapt(learner.init(0), support, 2)


def test_padding_of_a_support_set_may_hold_anything() -> None:
    learner = ProtoNet(MLP((5, 3)))
    x = torch.cat([torch.ones(2, 5), torch.full((1, 5), torch.inf)])
    support = Examples(x, torch.tensor([0, 1, 0]), torch.tensor([True, True, False]))
    assert learner.adapt(learner.init(0), support)


@pytest.mark.parametrize("kind", [np.int64, np.float64, np.float32])
def test_a_distribution_is_given_for_what_is_predicted(kind) -> None:
    x, y = load_diabetes(return_X_y=True)
    x = (100 * x[:12]).astype(kind)
    learner = DeepKernel(MLP((10, 4)), 4, regression=True)
    predictor = learner.adapt(learner.init(0), examples(x[:6], y[:6]))
    mean, _ = predict_distribution(predictor, x[6:])
    assert torch.equal(mean, predictor.predict(x[6:]))
    with pytest.raises(LearnerError, match="NaN"):
        predict_distribution(predictor, torch.full((2, 10), torch.nan))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: ClassSampler(np.stack(_digits()), Shape(0, 1, 1)), "n_way=0"),
        (lambda: ClassSampler(np.stack(_digits()), Shape(3, 0, 1)), "k_shot=0"),
        (lambda: ClassSampler(np.stack(_digits()), Shape(3, 1, 0)), "n_query=0"),
        (lambda: ClassSampler(np.zeros(5), _SHAPE), r"\(n_classes, n_each, \*shape\), got \(5,\)"),
        (
            lambda: UnevenClassSampler([np.zeros((6, 2)), np.zeros((6, 3))], Shape(2, 1, 1)),
            r"class 1 are of shape \(3,\)",
        ),
        (lambda: TableSampler([(np.zeros((9, 2)), np.zeros(8))], (2, 3), 1), "9 rows.* 8 targets"),
        (
            lambda: TableSampler([(np.zeros((9, d)), np.zeros(9)) for d in (2, 3)], (2, 3), 1),
            r"table 1 are of shape \(3,\)",
        ),
        (lambda: Budget(5, patience=-1), "patience"),
        (lambda: Budget(5, seconds=float("nan")), "seconds"),
        (lambda: examples(np.zeros((3, 2)), np.zeros((3, 1), int)), r"squeeze\(1\)"),
        (lambda: examples(torch.tensor(1.0), torch.tensor(1)), "as many labels as inputs"),
    ],
)
def test_what_makes_no_episode_or_budget_is_refused_when_it_is_made(make, why: str) -> None:
    with pytest.raises(LearnerError, match=why):
        make()


@pytest.mark.parametrize("make", [ProtoNet, maml])
def test_a_module_that_is_not_wrapped_is_told_how(make) -> None:
    sampler = ClassSampler(np.stack(_digits()), _SHAPE)
    with pytest.raises(LearnerError, match=r"ModuleNetwork\(module\)"):
        meta_train(make(torch.nn.Linear(64, 3)), sampler, Budget(1), _QUIET)
