from __future__ import annotations

import math

import pytest
import torch

from learners.episode import Episodes, Examples
from learners.errors import LearnerError
from learners.execution import Execution
from learners.learned_optimizer import LearnedOptimizer
from learners.learner import Phase, State
from learners.meta_lstm import MetaLSTM
from learners.networks import MLP, Conv4
from learners.optimizer_learner import preprocessed
from tests.learners.contract import LearnerContract, in_double
from tests.learners.differences import check_entries, random_state
from tests.learners.test_memory import sigmoid, torch_lstm

NET = MLP((1, 3, 1), "tanh")
LEARNED = LearnedOptimizer(NET, steps=5, unroll=2, hidden=4, regression=True, learned_start=True)
META = MetaLSTM(NET, steps=3, hidden=4, regression=True)


class TestLearnedOptimizer(LearnerContract):
    @pytest.fixture
    def learner(self):
        return LEARNED

    @pytest.fixture
    def episodes(self, waves):
        return waves


class TestLearnedOptimizerOnImages(LearnerContract):
    @pytest.fixture
    def learner(self):
        return LearnedOptimizer(Conv4(3, filters=3, strided=True), steps=3, unroll=2, hidden=3)

    @pytest.fixture
    def episodes(self, glyph_episodes):
        return glyph_episodes


class TestMetaLSTM(LearnerContract):
    @pytest.fixture
    def learner(self):
        return META

    @pytest.fixture
    def episodes(self, waves):
        return waves


class TestMetaLSTMOnImages(LearnerContract):
    @pytest.fixture
    def learner(self):
        return MetaLSTM(Conv4(3, filters=3, strided=True), steps=2, hidden=3, prediction_steps=3)

    @pytest.fixture
    def episodes(self, glyph_episodes):
        return glyph_episodes


def one(examples: Examples, i: int = 0) -> Examples:
    return Examples(*(part[i] for part in examples))


def loss_and_gradient(theta: torch.Tensor, part: Examples) -> tuple[float, torch.Tensor]:
    """Mean squared error of NET with torch's own autograd; theta as `NET.init` orders it."""
    theta = theta.detach().clone().requires_grad_()
    w0, b0, w1, b1 = theta.split([3, 3, 3, 1])
    out = torch.tanh(part.x @ w0.reshape(1, 3) + b0) @ w1.reshape(3, 1) + b1
    loss = (out - part.y).square().mean()
    return float(loss.detach()), torch.autograd.grad(loss, theta)[0]


def theta_of(state: State) -> torch.Tensor:
    return torch.cat([v.flatten() for k, v in state.items() if k.startswith("net.")])


def preprocess(value: float) -> list[float]:
    if abs(value) >= math.exp(-10):
        return [math.log(abs(value)) / 10, math.copysign(1.0, value)]
    return [-1.0, math.exp(10) * value]


@pytest.mark.parametrize("value", [3.0, -1e-3, 4e-5, -5e-5, 1e-9, 0.0])
def test_preprocessing_is_that_of_the_appendix(value: float) -> None:
    found = preprocessed(torch.tensor(value, dtype=torch.float64))
    assert found.tolist() == pytest.approx(preprocess(value))


def cell(state: State, name: str) -> State:
    return {f"lstm.{k}": state[f"{name}.{k}"] for k in ("weight", "bias")}


def vector(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def andrychowicz(state: State, support: Examples, steps: int) -> list[torch.Tensor]:
    """Parameters after each step, a coordinate at a time (Andrychowicz et al., section 2.1)."""
    theta = theta_of(state)
    hidden = [[vector([0.0] * 4)] * 4 for _ in theta]
    path = []
    for _ in range(steps):
        _, gradient = loss_and_gradient(theta, support)
        theta = theta.clone()
        for i in range(len(theta)):
            h0, c0, h1, c1 = hidden[i]
            seen = vector(preprocess(float(gradient[i])))
            h0, c0 = torch_lstm(cell(state, "opt.lstm0"), seen, h0, c0, 4)
            h1, c1 = torch_lstm(cell(state, "opt.lstm1"), h0, h1, c1, 4)
            hidden[i] = [h0, c0, h1, c1]
            theta[i] += 0.1 * (h1 @ state["opt.step.weight"] + state["opt.step.bias"])
        path.append(theta)
    return path


def ravi(state: State, support: Examples, steps: int) -> list[torch.Tensor]:
    """Parameters after each step, a coordinate at a time (Ravi and Larochelle, section 3)."""
    theta = theta_of(state)
    n = len(theta)
    hidden = [[vector([0.0] * 4)] * 2 for _ in range(n)]
    keep, rate = [0.0] * n, [0.0] * n
    path = []
    for _ in range(steps):
        loss, gradient = loss_and_gradient(theta, support)
        before, theta = theta, theta.clone()
        for i in range(n):
            seen = vector(preprocess(float(gradient[i])) + preprocess(loss))
            hidden[i] = list(torch_lstm(cell(state, "opt.lstm"), seen, *hidden[i], 4))
            gates = {}
            for name, last in (("keep", keep[i]), ("rate", rate[i])):
                inputs = torch.cat([hidden[i][0], vector([float(before[i]), last])])
                raw = inputs @ state[f"opt.{name}.weight"] + state[f"opt.{name}.bias"]
                gates[name] = sigmoid(float(raw))
            keep[i], rate[i] = gates["keep"], gates["rate"]
            theta[i] = keep[i] * before[i] - rate[i] * gradient[i]
        path.append(theta)
    return path


@pytest.mark.parametrize(
    ("learner", "by_hand"), [(LEARNED, andrychowicz), (META, ravi)], ids=["learned", "meta"]
)
def test_each_inner_step_is_that_of_the_paper(learner, by_hand, waves: Episodes) -> None:
    support = one(in_double(waves).support)
    state = random_state(learner)
    at = learner.start(state)
    for expected in by_hand(state, support, learner.steps):
        at = learner.step(state, at, support)
        torch.testing.assert_close(at.theta, expected, rtol=1e-9, atol=1e-12)


def test_losses_of_all_steps_are_averaged(waves: Episodes) -> None:
    double, state = in_double(waves), random_state(LEARNED)
    support, query = one(double.support), one(double.query)
    path = andrychowicz(state, support, 5)
    expected = sum(loss_and_gradient(theta, query)[0] for theta in path) / 5
    assert float(LEARNED.loss(state, support, query, 0, Phase())) == pytest.approx(expected)


def test_the_last_steps_loss_alone_counts_for_the_meta_lstm(waves: Episodes) -> None:
    double, state = in_double(waves), random_state(META)
    support, query = one(double.support), one(double.query)
    expected = loss_and_gradient(ravi(state, support, 3)[-1], query)[0]
    assert float(META.loss(state, support, query, 0, Phase())) == pytest.approx(expected)


@pytest.mark.parametrize("learner", [LEARNED, META], ids=["learned", "meta"])
def test_meta_gradient_with_inner_gradients_held_fixed(learner, waves: Episodes) -> None:
    """Finite differences of the same unroll, fed with the gradients seen at the unmoved state;
    segments of the truncation start where they did, whatever the state."""
    double = in_double(waves)
    episode = Episodes(
        *(Examples(*(part[:1] for part in e)) for e in (double.support, double.query)), 0
    )
    support, query = one(double.support), one(double.query)
    state = random_state(learner)
    unroll = getattr(learner, "unroll", learner.steps)
    seen, at = [], learner.start(state)
    starts = []
    for _ in range(learner.steps):
        starts.append(at)
        loss, gradient = loss_and_gradient(at.theta, support)
        seen.append((gradient, torch.tensor(loss, dtype=torch.float64)))
        at = learner.step(state, at, support)

    def value(moved: State) -> float:
        total = 0.0
        at = learner.start(moved)
        for t in range(learner.steps):
            if t and t % unroll == 0:
                at = starts[t]
            at = learner.advance(moved, at, *seen[t])
            if learner is LEARNED or t == learner.steps - 1:
                total += loss_and_gradient(at.theta, query)[0]
        return total / (learner.steps if learner is LEARNED else 1)

    gradient, _ = learner.meta_gradient(state, episode, Phase(), Execution())
    check_entries(gradient, state, value, entries=3)


def test_segments_give_the_gradient_of_the_cut_loss(waves: Episodes) -> None:
    """One segment after the other, as memory asks, against the loss with cuts in one graph."""
    double, state = in_double(waves), random_state(LEARNED)
    expected, losses = super(LearnedOptimizer, LEARNED).meta_gradient(
        state, double, Phase(), Execution()
    )
    found, same = LEARNED.meta_gradient(state, double, Phase(), Execution())
    torch.testing.assert_close(same, losses)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_a_start_that_is_not_learned_gets_no_gradient(waves: Episodes) -> None:
    learner = LearnedOptimizer(NET, steps=4, unroll=4, hidden=4, regression=True)
    gradient, _ = learner.meta_gradient(learner.init(0), waves, Phase(), Execution())
    for name, value in gradient.items():
        assert bool(value.abs().sum() > 0) != name.startswith("net."), name


def test_a_fresh_meta_lstm_is_gradient_descent(waves: Episodes) -> None:
    """Gates near 1 and `rate`: within a few percent of plain steps of that rate."""
    learner = MetaLSTM(NET, steps=1, rate=0.05, regression=True)
    state = {name: value.double() for name, value in learner.init(0).items()}
    support = one(in_double(waves).support)
    theta = theta_of(state)
    moved = learner.step(state, learner.start(state), support).theta - theta
    _, gradient = loss_and_gradient(theta, support)
    torch.testing.assert_close(moved + 0.007 * theta, -0.05 * gradient, rtol=0.1, atol=0.004)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LearnedOptimizer(NET, steps=0),
        lambda: LearnedOptimizer(NET, unroll=0),
        lambda: MetaLSTM(NET, rate=0.0),
        lambda: MetaLSTM(NET, prediction_steps=-1),
    ],
)
def test_impossible_settings_are_refused(make) -> None:
    with pytest.raises(LearnerError):
        make()
