"""Meta-training: its steps, its schedules, what bounds it, and settings that are refused."""

from __future__ import annotations

import itertools
import os
import shutil
from dataclasses import replace

import pytest
import torch

from learners import training as training_module
from learners.errors import LearnerError
from learners.evaluation import evaluate
from learners.execution import Execution
from learners.outer_settings import SCHEDULES
from learners.sinusoid import SinusoidSampler
from learners.training import Budget, Training, meta_train
from tests.learners.quick_training import LEARNER, QUICK, SAMPLER


def test_same_seed_same_result() -> None:
    one, same = (meta_train(LEARNER, SAMPLER, Budget(8), QUICK) for _ in range(2))
    other = meta_train(LEARNER, SAMPLER, Budget(8), replace(QUICK, seed=1))
    assert all(torch.equal(one.state[name], same.state[name]) for name in one.state)
    assert any(not torch.equal(one.state[name], other.state[name]) for name in one.state)


def test_the_best_validated_state_is_kept_and_patience_stops() -> None:
    settings = replace(QUICK, rate=30.0)
    trained = meta_train(
        LEARNER, SAMPLER, Budget(500, patience=2), settings, SinusoidSampler(seed=9)
    )
    scores = [row.validation.mean for row in trained.history]
    assert trained.iterations < 500
    best = evaluate(LEARNER, trained.state, SinusoidSampler(seed=9), settings.validation_episodes)
    assert best.mean == min(scores)


def test_seconds_bound_a_run() -> None:
    trained = meta_train(LEARNER, SAMPLER, Budget(10**6, seconds=0.2), QUICK)
    assert 0 < trained.iterations < 10**6


def test_adam_steps_as_torch_does() -> None:
    """Three iterations against an optimizer fed with the same gradients."""
    trained = meta_train(LEARNER, SAMPLER, Budget(3), QUICK)
    state = {name: value.requires_grad_() for name, value in LEARNER.init(0).items()}
    optimizer = torch.optim.Adam(state.values(), lr=1e-3)
    for iteration in range(3):
        plain = {name: value.detach() for name, value in state.items()}
        gradient, _ = LEARNER.meta_gradient(
            plain, SAMPLER.sample(iteration, 4), LEARNER.phase(iteration), Execution()
        )
        for name, value in state.items():
            value.grad = gradient[name]
        optimizer.step()
    for name, value in state.items():
        assert torch.equal(trained.state[name], value)


def test_clipping_bounds_the_first_step_of_sgd() -> None:
    settings = replace(QUICK, optimizer="sgd", rate=1.0, clip=1e-3)
    trained = meta_train(LEARNER, SAMPLER, Budget(1), settings)
    start = LEARNER.init(0)
    moved = max(float((trained.state[name] - start[name]).abs().max()) for name in start)
    assert moved == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")  # torch's own import
def test_compiled_equals_eager() -> None:
    state, episodes = LEARNER.init(0), SAMPLER.sample(0, 4)
    eager, _ = LEARNER.meta_gradient(state, episodes, LEARNER.phase(0), Execution())
    built, _ = LEARNER.meta_gradient(state, episodes, LEARNER.phase(0), Execution(compiled=True))
    for name, value in eager.items():
        torch.testing.assert_close(built[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("wrong", [{"optimizer": "lion"}, {"schedule": "step"}])
def test_unknown_settings_are_refused(wrong) -> None:
    with pytest.raises(LearnerError):
        Training(**wrong)


def test_training_begins_with_the_values_given() -> None:
    weight = torch.full_like(LEARNER.init(0)["net.head.weight"], 0.25)
    still = replace(QUICK, rate=0.0, start={"net.head.weight": weight})
    state = meta_train(LEARNER, SAMPLER, Budget(1), still).state
    assert torch.equal(state["net.head.weight"], weight)
    fresh = LEARNER.init(QUICK.seed)
    assert all(torch.equal(state[k], v) for k, v in fresh.items() if k != "net.head.weight")


@pytest.mark.parametrize("name", ["net.head.weight", "net.absent"])
def test_values_to_begin_with_must_fit(name: str) -> None:
    start = {name: torch.zeros(3, 3)}
    with pytest.raises(LearnerError, match=f"Training.start: '{name}' of shape"):
        meta_train(LEARNER, SAMPLER, Budget(1), replace(QUICK, start=start))


@pytest.mark.parametrize(
    "wrong",
    [
        {"validate_every": 0},
        {"meta_batch": 0},
        {"rate": -1.0},
        {"rate": float("nan")},
        {"checkpoint_every": 0},
        {"clip": 0.0},
    ],
)
def test_settings_that_cannot_train_are_refused(wrong) -> None:
    with pytest.raises(LearnerError, match=next(iter(wrong))):
        Training(**wrong)


@pytest.mark.parametrize("dtype", ["bf16", "float64", torch.bfloat16])
def test_an_unknown_dtype_is_refused(dtype) -> None:
    with pytest.raises(LearnerError, match="'float32' or 'bfloat16'"):
        Execution(dtype=dtype)


def test_a_schedule_can_span_the_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where minutes alone bound a run, its rate falls with them."""
    ticks, seen = itertools.count(), []
    monkeypatch.setattr(training_module.time, "monotonic", lambda: next(ticks) * 0.1)
    monkeypatch.setitem(SCHEDULES, "cosine", lambda done: seen.append(done) or 1 - done)
    settings = replace(QUICK, schedule="cosine")
    meta_train(LEARNER, SAMPLER, Budget(10**9, seconds=6.0, by_time=True), settings)
    assert seen == sorted(seen)
    assert seen[0] < 0.1 and 0.8 < seen[-1] <= 1
    seen.clear()
    meta_train(LEARNER, SAMPLER, Budget(10, seconds=10**9, by_time=True), settings)
    assert seen == pytest.approx([k / 10 for k in range(10)], abs=0.01)
    seen.clear()
    meta_train(LEARNER, SAMPLER, Budget(10**9, seconds=3.0), settings)
    assert max(seen) < 1e-6
    with pytest.raises(LearnerError, match="by_time"):
        Budget(10, by_time=True)


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ("constant", [1.0, 1.0, 1.0, 1.0]),
        ("linear", [1.0, 0.75, 0.5, 0.25]),
        ("cosine", [1.0, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4]),
    ],
)
def test_the_outer_rate_falls_as_its_schedule_says(schedule: str, shares: list[float]) -> None:
    """Steps of SGD are the rate times the gradient, at quarters of the budget."""
    settings = replace(QUICK, optimizer="sgd", rate=0.1, schedule=schedule)
    expected = LEARNER.init(0)
    for iteration, share in enumerate(shares):
        gradient, _ = LEARNER.meta_gradient(
            expected, SAMPLER.sample(iteration, 4), LEARNER.phase(iteration), Execution()
        )
        expected = {k: value - 0.1 * share * gradient[k] for k, value in expected.items()}
    found = meta_train(LEARNER, SAMPLER, Budget(4), settings).state
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
