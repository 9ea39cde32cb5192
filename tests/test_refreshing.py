"""What was meta-trained is brought up to date when runs arrive: when, how far, and when not."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metastore.view import View
from recommenders.deep_kernel import DeepKernelSearch
from recommenders.past_runs import runs_of
from recommenders.scores import Past
from tests.views import view_from_parquet

torch = pytest.importorskip("torch")

from learners.execution import Execution  # noqa: E402 - needs torch
from learners.learner import Learner, Phase, State  # noqa: E402
from recommenders import deep_surrogate, gradient_surrogate, learned_kernel  # noqa: E402
from recommenders.learned_runs import difference, keep, kept_with, rows_of  # noqa: E402
from recommenders.lineage import Lineage  # noqa: E402
from recommenders.refreshing import LEAST_STEPS, MOST_DRIFT, MOST_REFRESHES  # noqa: E402
from recommenders.surrogate_training import Plan, tensors  # noqa: E402

Runs = Mapping[str, tuple[np.ndarray, np.ndarray]]
STEPS = 40

LEARN: dict[str, Callable[..., Any]] = {
    "deep-kernel": deep_surrogate.train,
    "maml": gradient_surrogate.train,
    "learned-kernel": learned_kernel.learn,
}


@pytest.fixture(scope="module")
def view(realdata: Callable[[str], Path]) -> View:
    """Support vector machines on 100 datasets, 250 configs of its own each."""
    return view_from_parquet(realdata("openml_pimp/runs_svc.parquet"), "predictive_accuracy")


@pytest.fixture(scope="module")
def runs(view: View) -> Callable[[int], Runs]:
    """The encoded runs of the first so many datasets, as a store that has no others tells them."""

    @cache
    def get(count: int) -> Runs:
        past = Past.of(view.without(view.datasets[count:]))
        return encoded(past, past)

    return get


def encoded(past: Past, of: Past) -> Runs:
    encoder = past.surrogates.encoder()
    own = {name: runs_of(of, row, 60) for row, name in enumerate(of.datasets)}
    return {name: (encoder.encode(keys), -regrets) for name, (keys, regrets) in own.items()}


def learned(kind: str, runs: Runs, cache: Path | None, refresh: bool = True) -> Any:
    plan = Plan(STEPS, 0, "cpu", cache, progress=False, refresh=refresh)
    return LEARN[kind](list(runs.values()), plan, tuple(runs))


def lineages(cache: Path) -> list[Lineage]:
    """Of all that is kept, what was refreshed most often last."""
    found = [Lineage.of(path) for path in cache.glob("*.json")]
    return sorted(found, key=lambda one: (one.refreshes, one.new))


def same(one: State, other: State) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def shuffled(runs: Runs, count: int) -> Runs:
    rng = np.random.default_rng(0)
    found = dict(runs)
    for name in list(runs)[:count]:
        points, scores = runs[name]
        found[name] = (points, rng.permutation(scores))
    return found


class Counting:
    """Counts the steps of meta-training."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps = 0
        for kind in (learned_kernel.ScaleFreeDeepKernel, deep_surrogate.DeepKernel):
            self._watch(kind, monkeypatch)
        self._watch(gradient_surrogate.GradientLearner, monkeypatch)

    def _watch(self, kind: type[Learner], monkeypatch: pytest.MonkeyPatch) -> None:
        if "meta_gradient" not in vars(kind):
            return
        real = kind.meta_gradient

        def counted(*args: Any, **named: Any) -> Any:
            self.steps += 1
            return real(*args, **named)

        monkeypatch.setattr(kind, "meta_gradient", counted)

    def since(self) -> int:
        steps, self.steps = self.steps, 0
        return steps


SAMPLERS: dict[str, Callable[..., Any]] = {
    "deep-kernel": deep_surrogate.RescaledRuns,
    "maml": gradient_surrogate.StandardisedRuns,
    "learned-kernel": learned_kernel.Subsets,
}


def loss(kind: str, found: Any, held_out: Runs) -> tuple[float, float]:
    """Return the mean loss on datasets that were not learned from, and its standard error."""
    tables = [(x, (y - y.mean()) / y.std()) for x, y in held_out.values()]
    episodes = SAMPLERS[kind](tensors(tables), 99).sample(0, 128)
    _, losses = found.learner.meta_gradient(found.state, episodes, Phase(), Execution())
    return float(losses.mean()), float(losses.std() / math.sqrt(len(losses)))


@pytest.mark.parametrize("kind", LEARN)
def test_a_dataset_more_takes_a_share_of_the_steps_and_is_learned_as_well(
    kind: str,
    runs: Callable[[int], Runs],
    view: View,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counting = Counting(monkeypatch)
    learned(kind, runs(30), tmp_path)
    assert counting.since() == STEPS
    now = runs(31)
    found = learned(kind, now, tmp_path)
    assert counting.since() == math.ceil(LEAST_STEPS * STEPS)
    scratch = learned(kind, now, None)
    assert counting.since() == STEPS
    past = Past.of(view.without(view.datasets[31:]))
    held_out = encoded(past, Past.of(view.without(view.datasets[:60])))
    (new, error), (anew, _) = loss(kind, found, held_out), loss(kind, scratch, held_out)
    assert new < anew + 2 * error
    few = Plan(math.ceil(LEAST_STEPS * STEPS), 0, "cpu", progress=False)
    assert new < loss(kind, LEARN[kind](list(now.values()), few), held_out)[0]
    refreshed = lineages(tmp_path)[-1]
    assert refreshed.refreshes == 1
    assert refreshed.new == pytest.approx(1 / 31, abs=0.005)
    counting.since()
    assert same(learned(kind, now, tmp_path).state, found.state)  # it is kept, too
    assert counting.since() == 0


def test_the_same_questions_in_the_same_order_end_in_the_same_bits(
    runs: Callable[[int], Runs], tmp_path: Path
) -> None:
    found = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        learned("learned-kernel", runs(20), folder)
        found.append(learned("learned-kernel", runs(21), folder).state)
    assert same(*found)


def test_who_wants_it_trains_from_scratch_and_gets_what_no_cache_gives(
    runs: Callable[[int], Runs], tmp_path: Path
) -> None:
    learned("learned-kernel", runs(20), tmp_path)
    refreshed = learned("learned-kernel", runs(21), tmp_path).state
    scratch = learned("learned-kernel", runs(21), tmp_path, refresh=False).state
    assert same(scratch, learned("learned-kernel", runs(21), None).state)
    assert not same(scratch, refreshed)
    # From then on there is one of this very past trained from scratch.
    assert same(scratch, learned("learned-kernel", runs(21), tmp_path).state)


def test_another_past_is_learned_from_scratch(runs: Callable[[int], Runs], tmp_path: Path) -> None:
    """Other scores of most datasets, another meaning of the columns, other settings."""
    before, now = runs(20), runs(21)
    learned("learned-kernel", before, tmp_path)
    others = [
        shuffled(now, 12),
        {name: (points[:, ::-1].copy(), scores) for name, (points, scores) in now.items()},
        {name: (np.hstack([points, points]), scores) for name, (points, scores) in now.items()},
    ]
    for count, other in enumerate(others, start=2):
        found = learned("learned-kernel", other, tmp_path)
        assert [one.refreshes for one in lineages(tmp_path)] == [0] * count
        assert same(found.state, learned("learned-kernel", other, None).state)
    for plan in (Plan(STEPS, 1, cache=tmp_path), Plan(STEPS + 1, 0, cache=tmp_path)):
        learned_kernel.learn(list(now.values()), plan, tuple(now))
    assert {one.refreshes for one in lineages(tmp_path)} == {0}


def test_what_learned_from_a_dataset_that_is_left_out_is_not_begun_from(
    runs: Callable[[int], Runs], tmp_path: Path
) -> None:
    """Whoever asks about a dataset leaves it out, and must not be told by its own scores."""
    now = dict(runs(20))
    learned("learned-kernel", now, tmp_path)
    del now[next(iter(now))]
    found = learned("learned-kernel", now, tmp_path)
    assert same(found.state, learned("learned-kernel", now, None).state)


def test_drift_is_bounded_by_how_much_is_new_since_the_last_whole_training(
    runs: Callable[[int], Runs], tmp_path: Path
) -> None:
    whole = []
    for count in range(10, 30, 2):
        learned("learned-kernel", runs(count), tmp_path)
        whole = [len(one.datasets) for one in lineages(tmp_path) if not one.refreshes]
        if len(whole) > 1:
            break
    assert sorted(whole)[:1] == [10]
    assert 14 < max(whole) < 28
    kept = lineages(tmp_path)
    assert max(one.new for one in kept) <= MOST_DRIFT
    assert max(one.refreshes for one in kept) > 1


def test_refreshes_of_refreshes_come_to_an_end(runs: Callable[[int], Runs], tmp_path: Path) -> None:
    """Small changes each time, and what was trained from scratch long forgotten."""
    now = dict(runs(20))
    for _ in range(MOST_REFRESHES + 2):
        learned("learned-kernel", now, tmp_path)
        newest = max(tmp_path.glob("*.json"), key=lambda path: Lineage.of(path).runs)
        for path in set(tmp_path.glob("*.json")) - {newest}:
            path.unlink()
        name = next(iter(now))
        points, scores = now[name]
        now[name] = (np.vstack([points, points[:1]]), np.append(scores, scores[0]))
        found = Lineage.of(newest)
    assert found.refreshes == 0
    assert found.iterations == STEPS


KILLED = """
import os, sys
from pathlib import Path
import numpy as np
from learners.deep_kernel import DeepKernel
from recommenders import learned_kernel, surrogate_training
from recommenders.surrogate_training import Plan

left = int(sys.argv[2])
real = learned_kernel.ScaleFreeDeepKernel.meta_gradient
def dying(*args):
    global left
    left -= 1
    if left < 0:
        os._exit(9)
    return real(*args)
learned_kernel.ScaleFreeDeepKernel.meta_gradient = dying
surrogate_training.CHECKPOINT_EVERY = 2
kept = np.load(sys.argv[3])
names = sorted({name[2:] for name in kept})
past = [(kept["x " + name], kept["y " + name]) for name in names]
learned_kernel.learn(past, Plan(int(sys.argv[4]), cache=Path(sys.argv[1])), names)
"""


def process(cache: Path, steps: int, file: Path) -> subprocess.Popen[bytes]:
    told = map(str, (cache, steps, file, STEPS))
    return subprocess.Popen([sys.executable, "-c", KILLED, *told])


def saved(runs: Runs, file: Path) -> Runs:
    """Write runs for another process, and return them in its order."""
    parts = {f"x {name}": points for name, (points, _) in runs.items()}
    parts |= {f"y {name}": scores for name, (_, scores) in runs.items()}
    np.savez(file, **parts)  # type: ignore[arg-type]
    return {name: runs[name] for name in sorted(runs)}


def test_a_refresh_that_was_killed_goes_on_and_ends_in_the_same_bits(
    runs: Callable[[int], Runs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = saved(runs(21), tmp_path / "now.npz")
    states = []
    for folder, dies in ((tmp_path / "whole", False), (tmp_path / "cut", True)):
        learned("learned-kernel", runs(20), folder)
        if dies:
            assert process(folder, 3, tmp_path / "now.npz").wait() == 9
            (cut,) = folder.glob("*refreshed*.json")
            assert json.loads(cut.read_text())["iteration"] == 2
            # What it began from is not asked again: forgotten, it changes nothing.
            for path in set(folder.glob("*.json")) - {cut}:
                path.unlink()
        counting = Counting(monkeypatch)
        states.append(learned("learned-kernel", now, folder).state)
        assert counting.since() == 5 - 2 * dies
    assert same(*states)


def test_nothing_is_begun_from_a_training_that_was_killed(
    runs: Callable[[int], Runs], tmp_path: Path
) -> None:
    before = saved(runs(20), tmp_path / "before.npz")
    folder = tmp_path / "kept"
    assert process(folder, 6, tmp_path / "before.npz").wait() == 9
    (path,) = folder.glob("*.json")
    # As if a slower process had written it over what another one had finished.
    keep(path, rows_of(list(before.values()), tuple(before)))
    now = runs(21)
    found = learned("learned-kernel", now, folder).state
    assert same(found, learned("learned-kernel", now, None).state)
    resumed = learned("learned-kernel", before, folder).state
    assert same(resumed, learned("learned-kernel", before, None).state)


@pytest.mark.parametrize("part", ["tensors", "runs", "json", "lineage"])
def test_nothing_is_begun_from_a_damaged_file(
    part: str, runs: Callable[[int], Runs], tmp_path: Path
) -> None:
    learned("learned-kernel", runs(20), tmp_path)
    (path,) = tmp_path.glob("*.json")
    if part == "lineage":
        kept = json.loads(path.read_text())
        kept["about"]["refresh"]["datasets"] = 7
        path.write_text(json.dumps(kept))
    else:
        endings = {
            "tensors": ".*[0-9a-f].safetensors",
            "runs": ".runs.safetensors",
            "json": ".json",
        }
        (file,) = (one for one in tmp_path.glob(f"{path.stem}{endings[part]}"))
        file.write_bytes(file.read_bytes()[:-9])
    now = runs(21)
    found = learned("learned-kernel", now, tmp_path).state
    assert same(found, learned("learned-kernel", now, None).state)
    assert path.exists()  # it is not in anybody's way


def test_a_damaged_refresh_is_dropped_with_a_warning_and_made_again(
    runs: Callable[[int], Runs], tmp_path: Path
) -> None:
    learned("learned-kernel", runs(20), tmp_path)
    first = learned("learned-kernel", runs(21), tmp_path).state
    (path,) = tmp_path.glob("*refreshed*.json")
    for damaged in ('{"schema": 1', path.read_text().replace('"refreshes"', '"x"')):
        path.write_text(damaged)
        with pytest.warns(UserWarning, match="learned anew"):
            again = learned("learned-kernel", runs(21), tmp_path).state
        assert same(again, first)


def test_two_processes_that_refresh_at_once_do_no_harm(
    runs: Callable[[int], Runs], tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    now = saved(runs(21), tmp_path / "now.npz")
    learned("learned-kernel", runs(20), folder)
    both = [process(folder, 1000, tmp_path / "now.npz") for _ in range(2)]
    assert [one.wait() for one in both] == [0, 0]
    found = learned("learned-kernel", now, folder).state
    alone = tmp_path / "alone"
    learned("learned-kernel", runs(20), alone)
    assert same(found, learned("learned-kernel", now, alone).state)
    assert len(list(folder.glob("*.json"))) == 2


def test_a_recommender_refreshes_when_runs_arrive(view: View, tmp_path: Path) -> None:
    for count in (12, 13):
        past = Past.of(view.without(view.datasets[count:]))
        one = DeepKernelSearch(iterations=8, cache=tmp_path, device="cpu").fit_past(past)
        assert one.surrogate() is not None
    assert [found.iterations for found in lineages(tmp_path)] == [8, 2]
    other = DeepKernelSearch(iterations=8, cache=tmp_path, device="cpu", refresh=False)
    other.fit_past(past).surrogate()
    assert [found.iterations for found in lineages(tmp_path)] == [8, 8, 2]


def test_points_that_move_a_little_are_the_same_runs(runs: Callable[[int], Runs]) -> None:
    """Of a real table every point moves when a dataset joins, and nothing of it is new."""
    before, now = runs(30), runs(31)
    moved = [np.abs(now[name][0] - points).max() for name, (points, _) in before.items()]
    assert 0 < max(moved) < 0.02
    rows = [rows_of(list(one.values()), tuple(one)) for one in (before, now)]
    assert difference(rows[0], rows[1]) == pytest.approx(1 / 31)
    assert difference(rows[1], rows[0]) == 1


def test_runs_that_are_kept_differ_from_themselves_in_nothing(
    runs: Callable[[int], Runs], tmp_path: Path
) -> None:
    now = runs(5)
    rows = rows_of(list(now.values()), tuple(now))
    keep(tmp_path / "a.json", rows)
    assert difference(kept_with(tmp_path / "a.json"), rows) == 0
