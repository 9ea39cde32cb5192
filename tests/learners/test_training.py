from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from learners import training as training_module
from learners.checkpoint import Snapshot, load, load_episode, restore, save
from learners.episode import Episodes, Examples, examples, pad
from learners.errors import CheckpointError, LearnerError, NonFiniteLossError
from learners.evaluation import Score, evaluate
from learners.execution import Execution
from learners.inner_loop import GradientLearner
from learners.losses import mean_squared_error
from learners.maml import maml
from learners.networks import MLP, ModuleNetwork
from learners.samplers import ClassSampler, Shape
from learners.sinusoid import SinusoidSampler
from learners.training import Budget, Training, meta_train

LEARNER = maml(MLP((1, 8, 1)), rate=0.01, regression=True)
SAMPLER = SinusoidSampler()
QUICK = Training(meta_batch=4, validate_every=5, checkpoint_every=5, progress=False)


def test_same_seed_same_result() -> None:
    one, same = (meta_train(LEARNER, SAMPLER, Budget(8), QUICK) for _ in range(2))
    other = meta_train(LEARNER, SAMPLER, Budget(8), replace(QUICK, seed=1))
    assert all(torch.equal(one.state[name], same.state[name]) for name in one.state)
    assert any(not torch.equal(one.state[name], other.state[name]) for name in one.state)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_run_cut_at_a_checkpoint_ends_in_the_same_bits(tmp_path: Path, schedule: str) -> None:
    class Cut(Exception):  # noqa: N818 - stands for a kill
        pass

    class Fragile(SinusoidSampler):
        def sample(self, index: int, n_episodes: int):
            if index == 13:
                raise Cut
            return super().sample(index, n_episodes)

    settings = replace(QUICK, schedule=schedule, checkpoint=tmp_path / "run.json")
    whole = meta_train(
        LEARNER, SAMPLER, Budget(20), replace(settings, checkpoint=None), SinusoidSampler(seed=9)
    )
    with pytest.raises(Cut):
        meta_train(LEARNER, Fragile(), Budget(20), settings, SinusoidSampler(seed=9))
    assert load(tmp_path / "run.json", LEARNER).iteration == 10
    resumed = meta_train(LEARNER, SAMPLER, Budget(20), settings, SinusoidSampler(seed=9))
    assert resumed.iterations == 20
    assert all(torch.equal(whole.state[name], resumed.state[name]) for name in whole.state)
    assert [row.validation for row in whole.history] == [row.validation for row in resumed.history]
    assert [row.loss for row in whole.history] == [row.loss for row in resumed.history]


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


def test_a_non_finite_loss_stops_with_the_episode_saved(tmp_path: Path) -> None:
    settings = replace(QUICK, checkpoint=tmp_path / "run.json")
    learner = maml(MLP((1, 8, 1)), rate=1e30, steps=3, regression=True)
    with pytest.raises(NonFiniteLossError, match="meta-iteration 0: the loss of episode") as caught:
        meta_train(learner, SAMPLER, Budget(5), settings)
    tensors = load_file(caught.value.episode_file)
    assert tensors["support/x"].shape == (1, 10, 1)
    assert "state/net.head.weight" in tensors


def test_what_made_a_loss_non_finite_can_be_replayed(tmp_path: Path) -> None:
    settings = replace(QUICK, checkpoint=tmp_path / "run.json")
    for learner, sampler in (
        (maml(MLP((1, 8, 1)), rate=1e30, steps=3, regression=True), SAMPLER),
        (
            maml(MLP((4, 8, 2)), rate=1e38, steps=3),
            ClassSampler(torch.rand(3, 4, 4), Shape(2, 1, 2)),
        ),
    ):
        with pytest.raises(NonFiniteLossError) as caught:
            meta_train(learner, sampler, Budget(5), settings)
        state, episodes = load_episode(caught.value.episode_file)
        losses = learner.meta_gradient(state, episodes, learner.phase(0), Execution())[1]
        assert len(losses) == 1 and not torch.isfinite(losses).any()
    for name in ("run.json", "none.safetensors"):
        (tmp_path / "run.json").write_text("{}")
        with pytest.raises(CheckpointError, match="holds no episodes"):
            load_episode(tmp_path / name)


def test_a_non_finite_gradient_stops_before_it_reaches_the_state() -> None:
    @dataclass(frozen=True)
    class Steep(GradientLearner):
        def meta_gradient(self, *arguments):
            gradient, losses = super().meta_gradient(*arguments)
            return {name: value * torch.inf for name, value in gradient.items()}, losses

    learner = Steep(LEARNER.network, LEARNER.loop, regression=True)
    with pytest.raises(NonFiniteLossError, match="the meta-gradient is NaN"):
        meta_train(learner, SAMPLER, Budget(5), QUICK)


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


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")  # torch's own import
def test_compiled_equals_eager() -> None:
    state, episodes = LEARNER.init(0), SAMPLER.sample(0, 4)
    eager, _ = LEARNER.meta_gradient(state, episodes, LEARNER.phase(0), Execution())
    built, _ = LEARNER.meta_gradient(state, episodes, LEARNER.phase(0), Execution(compiled=True))
    for name, value in eager.items():
        torch.testing.assert_close(built[name], value, rtol=1e-4, atol=1e-6)


class TestFiles:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "run.json"
        save(path, LEARNER, Snapshot(LEARNER.init(0), iteration=7))
        return path

    def change(self, path: Path, **entries) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | entries))

    def test_what_is_written_is_read(self, path: Path) -> None:
        learner, state = restore(path)
        assert learner == LEARNER
        assert all(torch.equal(value, state[name]) for name, value in LEARNER.init(0).items())

    def test_a_newer_checkpoint_replaces_the_old_one_whole(self, path: Path) -> None:
        save(path, LEARNER, Snapshot(LEARNER.init(1), iteration=8))
        assert load(path, LEARNER).iteration == 8
        assert len(list(path.parent.glob("*.safetensors"))) == 1
        assert not list(path.parent.glob("*.tmp"))

    def test_a_flipped_bit_is_noticed(self, path: Path) -> None:
        file = next(path.parent.glob("*.safetensors"))
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(bytes(data))
        with pytest.raises(CheckpointError, match="is damaged: its SHA-256"):
            load(path, LEARNER)

    def test_missing_tensors_are_named(self, path: Path) -> None:
        next(path.parent.glob("*.safetensors")).unlink()
        with pytest.raises(CheckpointError, match="cannot be read"):
            load(path, LEARNER)

    def test_another_schema_is_refused(self, path: Path) -> None:
        self.change(path, schema=99)
        with pytest.raises(CheckpointError, match="schema 1, found 99"):
            load(path, LEARNER)

    def test_text_that_is_no_checkpoint_is_refused(self, path: Path) -> None:
        path.write_text("{")
        with pytest.raises(CheckpointError, match="not a readable checkpoint"):
            load(path, LEARNER)
        path.write_text('{"schema": 1}')
        with pytest.raises(CheckpointError, match="it lacks"):
            load(path, LEARNER)

    def test_another_learner_is_refused(self, path: Path) -> None:
        with pytest.raises(CheckpointError, match="holds another learner"):
            load(path, maml(MLP((1, 9, 1)), rate=0.01, regression=True))

    def test_a_class_that_is_not_ours_is_never_built(self, path: Path) -> None:
        self.change(path, learner={"type": "os.system", "command": "true"})
        with pytest.raises(CheckpointError, match="cannot build"):
            restore(path)

    def test_a_path_in_the_sidecar_cannot_leave_the_folder(self, path: Path) -> None:
        file = next(path.parent.glob("*.safetensors"))
        outside = path.parent.parent / file.name
        file.rename(outside)
        self.change(path, tensors=f"../{file.name}")
        with pytest.raises(CheckpointError, match="cannot be read"):
            load(path, LEARNER)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"tensors": None},
            {"best_score": {"mean": 1.0}},
            {"best_score": "good"},
            {"history": None},
            {"history": [{}]},
            {"iteration": "seven"},
            {"iteration": -1},
            {"stale": None},
            {"seconds": "long"},
        ],
    )
    def test_what_a_damaged_sidecar_records_is_refused(self, path: Path, wrong) -> None:
        self.change(path, **wrong)
        with pytest.raises(CheckpointError):
            load(path, LEARNER)

    def test_two_names_that_differ_in_their_ending_keep_tensors_of_their_own(
        self, path: Path
    ) -> None:
        other = path.with_suffix(".old")
        save(other, LEARNER, Snapshot(LEARNER.init(1), iteration=8))
        assert load(path, LEARNER).iteration == 7
        assert load(other, LEARNER).iteration == 8

    def test_a_users_module_is_kept_by_its_shapes(self, tmp_path: Path) -> None:
        module = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
        learner = maml(ModuleNetwork(module), rate=0.01, regression=True)
        settings = replace(QUICK, checkpoint=tmp_path / "own.json")
        trained = meta_train(learner, SAMPLER, Budget(5), settings)
        loaded = load(tmp_path / "own.json", learner)
        assert torch.equal(loaded.state["net.0.weight"], trained.state["net.0.weight"])
        with pytest.raises(CheckpointError, match="Pass the learner itself"):
            restore(tmp_path / "own.json")


def test_a_module_that_keeps_statistics_is_refused() -> None:
    with pytest.raises(LearnerError, match="track_running_stats=False"):
        ModuleNetwork(torch.nn.Sequential(torch.nn.BatchNorm1d(3)))
    with pytest.raises(LearnerError, match="dropout"):
        ModuleNetwork(torch.nn.Sequential(torch.nn.Dropout()))


def test_score_prints_its_interval_and_knows_its_direction() -> None:
    accuracy = Score(0.9, 0.01, 100, True)
    assert str(accuracy) == "0.9000 ± 0.0100"
    assert accuracy.better_than(replace(accuracy, mean=0.8))
    assert not replace(accuracy, larger_is_better=False).better_than(replace(accuracy, mean=0.8))
    assert not replace(accuracy, mean=float("nan")).better_than(None)


@pytest.mark.parametrize("classification", [True, False])
def test_a_score_is_the_mean_over_real_queries_and_1_96_standard_errors(classification) -> None:
    """Query sets of 2, 5 and 9 rows weigh alike; what pads them does not count."""
    generator = torch.Generator().manual_seed(0)
    learner = maml(MLP((3, 4, 2)), regression=not classification)
    state = learner.init(0)

    def drawn(n: int) -> Examples:
        x = torch.randn(n, 3, generator=generator)
        y = torch.randint(2, (n,), generator=generator)
        return examples(x, y if classification else torch.randn(n, 2, generator=generator))

    sets = [(drawn(4), drawn(n)) for n in (2, 5, 9)]

    class Uneven:
        def sample(self, index: int, n_episodes: int) -> Episodes:
            support, query = (pad(part) for part in zip(*sets, strict=True))
            return Episodes(support, query, 2 * classification)

    found = evaluate(learner, state, Uneven(), 3)
    each = []
    for support, query in sets:
        predicted = learner.adapt(state, support, 2 * classification).predict(query.x)
        right = (
            (predicted.argmax(1) == query.y).double()
            if classification
            else (predicted - query.y).square().double()
        )
        each.append(float(right.mean()))
    assert found.mean == pytest.approx(np.mean(each), rel=1e-5)
    assert found.half_width == pytest.approx(1.96 * np.std(each, ddof=1) / 3**0.5, rel=1e-5)


def test_an_interval_needs_two_episodes() -> None:
    with pytest.raises(LearnerError, match="at least 2"):
        evaluate(LEARNER, LEARNER.init(0), SAMPLER, 1)


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


def test_processor_seconds_go_on_where_a_run_was_cut(tmp_path: Path) -> None:
    settings = replace(QUICK, checkpoint=tmp_path / "run.json")
    first = meta_train(LEARNER, SAMPLER, Budget(5), settings).history[-1].cpu_seconds
    both = meta_train(LEARNER, SAMPLER, Budget(10), settings).history
    spent = [row.cpu_seconds for row in both]
    assert first is not None and spent[0] == first and 0 < spent[0] < spent[1]
    sidecar = json.loads((tmp_path / "run.json").read_text())
    assert sidecar["cpu_seconds"] >= spent[1]


def test_a_checkpoint_from_before_processor_seconds_is_read(tmp_path: Path) -> None:
    settings = replace(QUICK, checkpoint=tmp_path / "run.json")
    meta_train(LEARNER, SAMPLER, Budget(5), settings)
    sidecar = json.loads((tmp_path / "run.json").read_text())
    del sidecar["cpu_seconds"]
    for row in sidecar["history"]:
        del row["cpu_seconds"]
    (tmp_path / "run.json").write_text(json.dumps(sidecar))
    old = load(tmp_path / "run.json", LEARNER)
    assert old.cpu_seconds == 0.0 and old.history[0].cpu_seconds is None


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
    monkeypatch.setitem(
        training_module._SCHEDULES, "cosine", lambda done: seen.append(done) or 1 - done
    )
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


def test_what_cannot_be_kept_is_told_before_the_first_iteration(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Own:
        normalises: bool = False

        def init(self, generator):
            return {"w": torch.ones(1, 1)}

        def __call__(self, params, x, mask):
            return x @ params["w"]

    class Never:
        def sample(self, index: int, n_episodes: int):
            raise AssertionError("training began")

    (tmp_path / "file").write_text("a file")
    for learner, path, why in (
        (maml(Own(), regression=True), tmp_path / "run.json", "Own cannot be described"),
        (LEARNER, tmp_path / "file" / "run.json", "no checkpoint can be written"),
    ):
        with pytest.raises(LearnerError, match=why):
            meta_train(learner, Never(), Budget(3), replace(QUICK, checkpoint=path))
    with pytest.raises(LearnerError, match="about holds JSON values"):
        replace(QUICK, about={"scale": torch.ones(1)})


def test_a_checkpoint_may_be_named_by_text(tmp_path: Path) -> None:
    settings = replace(QUICK, checkpoint=str(tmp_path / "run.json"))
    trained = meta_train(LEARNER, SAMPLER, Budget(2), settings)
    assert torch.equal(
        restore(tmp_path / "run.json")[1]["net.head.bias"], trained.state["net.head.bias"]
    )


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


def test_the_squared_error_is_a_mean_over_targets_and_real_rows() -> None:
    apart = torch.tensor([[1.0, 3.0], [2.0, 0.0], [9.0, 9.0]])
    mask = torch.tensor([True, True, False])
    assert float(mean_squared_error(apart, torch.zeros(3, 2), mask)) == (5.0 + 2.0) / 2
