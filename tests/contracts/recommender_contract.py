"""What every recommender keeps: inherit `RecommenderContract`, give it a fixture `make_one`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from metastore.errors import InvalidInputError, UnknownNameError
from metastore.types import Observation, RunStatus, canonical_json
from metastore.view import View
from recommenders.pool_recommender import PoolRecommender
from recommenders.recommender import AskedTask, Candidate, Recommendation, Recommender
from recommenders.replay import Answers, seen_of
from recommenders.sessions import Session
from recommenders.tasks import resolve
from tests.views import small_view

MakeOne = Callable[[], Recommender]
D, C, P = 9, 14, 4


def example(seed: int = 3, **options: object) -> View:
    """A view in which datasets near in meta-features like the same configs."""
    rng = np.random.default_rng(seed)
    meta = rng.normal(size=(D, P))
    scores = 0.7 + 0.1 * np.tanh(meta @ rng.normal(size=(P, C))) + 0.01 * rng.normal(size=(D, C))
    return small_view(scores, meta=meta, **options)  # type: ignore[arg-type]


def _kernels() -> View:
    """A view in which one kernel is the better one everywhere, and configs differ a little."""
    rng = np.random.default_rng(7)
    rbf = np.arange(C) % 2 == 1
    scores = 0.5 + 0.03 * rbf + 0.1 * rng.random(C) + 0.05 * rng.random((D, C))
    configs = [{"kernel": "rbf" if r else "linear", "c": i} for i, r in enumerate(rbf.tolist())]
    return small_view(scores, meta=rng.normal(size=(D, P)), configs=configs)


def chosen(recommendations: list[Recommendation]) -> list[tuple[str, str]]:
    return [(r.algorithm, canonical_json(r.config)) for r in recommendations]


def whole(recommendations: list[Recommendation]) -> str:
    """Everything that was said, comparable also where it is NaN."""
    return repr(recommendations)


def pool(view: View) -> list[Candidate]:
    """All configs of a view as candidates."""
    return [(view.algorithm(c), view.config(c)) for c in range(view.n_configs)]


def observations(view: View, dataset: str, configs: list[int]) -> list[Observation]:
    """What was recorded of these configs on a dataset, in the metric's own direction."""
    scores = view.matrix()[view.datasets.index(dataset)]
    return [
        Observation(view.algorithm(c), view.config(c), view.value(float(scores[c])))
        for c in configs
    ]


def _session(one: Recommender, task: str, answers: Answers) -> Session:
    """Open a session over what a task has answers for."""
    assert isinstance(one, PoolRecommender)
    return one.session(resolve(task, one.past.view), one.past.table(answers.keys))


class RecommenderContract:
    @pytest.fixture
    def make_one(self) -> MakeOne:
        raise NotImplementedError

    def test_two_of_a_kind_agree(self, make_one: MakeOne) -> None:
        view = example()
        first = make_one().fit(view.without(["d0"])).recommend("d0", n=C)
        second = make_one().fit(view.without(["d0"])).recommend("d0", n=C)
        assert whole(first) == whole(second)
        assert len(first) == C

    def test_what_was_asked_before_changes_nothing(self, make_one: MakeOne) -> None:
        view = example()
        one = make_one().fit(view.without(["d0"]))
        before = one.recommend("d0", n=5)
        seen = observations(view, "d0", [1, 4, 6])
        told = one.recommend("d0", seen, n=3)
        one.recommend("d1", n=2)
        one.recommend(AskedTask("new"), seen[:1], candidates=[("a", {"c": 3})])
        assert whole(one.recommend("d0", n=5)) == whole(before)
        assert whole(one.recommend("d0", list(reversed(seen)), n=3)) == whole(told)

    def test_fit_returns_self_and_can_be_repeated(self, make_one: MakeOne) -> None:
        one = make_one()
        assert one.fit(example(1)) is one
        one.recommend("d0")
        again = one.fit(example(2)).recommend("d0", n=3)
        assert whole(again) == whole(make_one().fit(example(2)).recommend("d0", n=3))

    def test_neither_repeats_nor_observed(self, make_one: MakeOne) -> None:
        view = example()
        one = make_one().fit(view.without(["d0"]))
        seen = observations(view, "d0", [0, 2, 9])
        found = chosen(one.recommend("d0", seen, n=C + 5))
        assert len(found) == len(set(found)) == C - 3
        assert not {canonical_json(o.config) for o in seen} & {text for _, text in found}

    def test_new_configs_once_there_is_something_to_judge_them_by(self, make_one: MakeOne) -> None:
        view = _kernels()
        one = make_one().fit(view.without(["d0"]))
        known = {text for _, text in chosen(one.recommend("d0", n=C))}
        assert known == {canonical_json(view.config(c)) for c in range(C)}
        running = [replace(o, status=RunStatus.RUNNING) for o in observations(view, "d0", [0, 5])]
        claimed = one.recommend("d0", running, n=C - 2)
        assert {text for _, text in chosen(claimed)} < known
        everything = observations(view, "d0", list(range(C)))
        found = one.recommend("d0", everything, n=2)
        assert len(found) == 2
        for r in found:
            assert r.evidence.new
            assert canonical_json(r.config) not in known
            assert r.config["kernel"] in ("rbf", "linear")
            assert 0 <= r.config["c"] < C

    def test_what_ran_on_what_is_left_out_alone_is_new(self, make_one: MakeOne) -> None:
        scores = example().matrix()
        scores[1:, 3] = np.nan
        view = small_view(scores, meta=example().meta.values)
        one = make_one().fit(view.without(["d0"]))
        found = one.recommend("d0", n=2, candidates=[("a", {"c": 3}), ("a", {"c": 4})])
        assert {r.config["c"]: r.evidence.new for r in found} == {3: True, 4: False}

    def test_more_than_ran_anywhere(self, make_one: MakeOne) -> None:
        """However many are asked for, the search space has them, each once."""
        configs = [{"c": 0.5 * c} for c in range(C)]
        view = small_view(example().matrix(), meta=example().meta.values, configs=configs)
        one = make_one().fit(view.without(["d0"]))
        asked = one.recommend("d0", n=150)
        assert len(asked) == len(set(chosen(asked))) == 150
        assert {r.evidence.new for r in asked} == {True, False}
        assert {0 <= r.config["c"] <= 0.5 * (C - 1) for r in asked} == {True}

    def test_nothing_better_than_perfect_is_expected(self, make_one: MakeOne) -> None:
        """Where the worst config is good already, an interval still has a width."""
        scores = example().matrix() - 0.4 * (np.arange(C) == 5)
        view = small_view(scores, meta=example().meta.values)
        best, worst = view.config(int(scores.mean(axis=0).argmax())), view.config(5)
        one = make_one().fit(view.without(["d0"]))
        seen = [Observation("a", worst, 0.999)]
        (found,) = one.recommend("d0", seen, candidates=[("a", best)])
        low, high = found.interval
        assert low < found.value == high == 1

    def test_within_a_time(self, make_one: MakeOne) -> None:
        """What is chosen fits, is new, and is the same when asked again."""
        one = make_one()
        assert isinstance(one, PoolRecommender)
        view = example()
        view = replace(view, cell_seconds=2.0**view.cell_config)
        one.fit(view.without(["d0"]))
        for seen in ([], observations(view, "d0", [0, 2, 9])):
            for left in (1.0, 40.0, np.inf):
                found = one.recommend_within("d0", left, seen)
                if found is None:
                    assert left == 1.0  # the only one that takes a second was run
                    continue
                assert found.seconds <= left
                assert found.config["c"] not in {o.config["c"] for o in seen}
                assert repr(one.recommend_within("d0", left, list(reversed(seen)))) == repr(found)
        assert one.recommend_within("d0", 1e-3) is None
        for wrong in (float("nan"), "10m", True, None):
            with pytest.raises(InvalidInputError, match="left: expected seconds"):
                one.recommend_within("d0", wrong)  # type: ignore[arg-type]
        for few in (0, 1.5, "3", True):
            with pytest.raises(InvalidInputError, match="most: expected a positive whole number"):
                one.recommend_within("d0", 9.0, most=few)  # type: ignore[arg-type]
        slow = Observation("a", {"c": 1}, 0.5, seconds="3 s")  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match="number of seconds"):
            one.recommend("d0", [slow])

    def test_failed_observations_are_not_recommended_again(self, make_one: MakeOne) -> None:
        view = example()
        one = make_one().fit(view.without(["d0"]))
        bad = [
            Observation("a", {"c": 1}, None, RunStatus.FAILED),
            Observation("a", {"c": 2}, float("nan")),
            Observation("a", {"c": 3}, float("inf")),
        ]
        found = one.recommend("d0", bad, n=C)
        assert len(found) == C - 3
        assert {1, 2, 3}.isdisjoint(r.config["c"] for r in found)
        assert all(np.isfinite(r.value) for r in found)

    def test_what_fails_here_turns_the_advice_elsewhere(self, make_one: MakeOne) -> None:
        """All of a kernel that ran failed; of the other one the worst ran."""
        one, view = make_one(), _kernels()
        one.fit(view.without(["d0"]))
        if one.name == "random":  # it is what others are compared with, and learns from nothing
            order = [r.config["c"] for r in one.recommend("d0", n=C)]
            bad = [Observation("a", view.config(c), None, RunStatus.FAILED) for c in (1, 3, 7, 9)]
            told = [r.config["c"] for r in one.recommend("d0", bad, n=C, candidates=pool(view))]
            assert told == [c for c in order if c not in (1, 3, 7, 9)]
            return
        worst = np.argsort(view.matrix().mean(axis=0) + (np.arange(C) % 2))[:3]
        fine = observations(view, "d0", worst.tolist())
        for status in (RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.COMPLETED):
            bad = [Observation("a", view.config(c), None, status) for c in (1, 3, 7, 9, 11)]
            (found,) = one.recommend("d0", [*fine, *bad])
            assert found.config["kernel"] == "linear"
            asked = one.recommend("d0", [*fine, *bad], n=C)
            kernels = [r.config["kernel"] for r in asked]
            assert kernels == sorted(kernels)  # the hopeless ones last, yet they are there
            assert kernels[-1] == "rbf"

    def test_what_fails_may_be_of_a_category_that_is_new(self, make_one: MakeOne) -> None:
        one = make_one().fit(small_view(example().matrix(), meta=example().meta.values))
        pool = [("a", {"c": c, "device": d}) for c in range(6) for d in ("cpu", "gpu")]
        seen = [
            Observation("a", {"c": c, "device": d}, None if d == "gpu" else 0.7)
            for c in (1, 4)
            for d in ("cpu", "gpu")
        ]
        risk = {True: 0.0, False: 0.0}
        for r in one.recommend("d0", seen, n=8, candidates=pool):
            risk[r.config["device"] == "gpu"] += r.evidence.risk / 4
        assert risk[True] > 2 * risk[False]

    def test_a_failure_is_no_score(self, make_one: MakeOne) -> None:
        """What is expected of the others stays; only how likely they are to run changes."""
        view = _kernels()
        one = make_one().fit(view.without(["d0"]))
        fine = observations(view, "d0", [0, 5, 8])
        bad = [Observation("a", view.config(c), None, RunStatus.FAILED) for c in (1, 7)]
        before, after = (
            {canonical_json(r.config): r for r in one.recommend("d0", seen, C, pool(view))}
            for seen in (fine, [*fine, *bad])
        )
        assert len(after) == C - 5
        for text, r in after.items():
            same = [before[text].value, *before[text].interval]
            assert [r.value, *r.interval] == pytest.approx(same, rel=1e-12)
            assert 0 < r.evidence.risk < 1
            assert before[text].evidence.risk == 0

    def test_a_run_that_was_stopped_says_nothing(self, make_one: MakeOne) -> None:
        view = _kernels()
        one = make_one().fit(view.without(["d0"]))
        fine, config = observations(view, "d0", [0, 5, 8]), view.config(1)
        stopped = (
            RunStatus.RUNNING,
            RunStatus.PRUNED,
            RunStatus.CRASHED,
            RunStatus.INTERRUPTED,
        )
        for status in stopped:
            for r in one.recommend("d0", [*fine, Observation("a", config, None, status)], n=3):
                assert r.evidence.risk == 0
        told = [*fine, replace(fine[0], value=None, status=RunStatus.FAILED)]
        assert one.recommend("d0", told)[0].evidence.risk == 0  # it gave a score once

    def test_as_many_as_asked(self, make_one: MakeOne) -> None:
        one = make_one().fit(example())
        assert [len(one.recommend("d1", n=n)) for n in (1, 2, C)] == [1, 2, C]
        for n in (0, -1, 1.5, True, None):
            with pytest.raises(InvalidInputError, match="n: expected"):
                one.recommend("d1", n=n)  # type: ignore[arg-type]

    def test_only_from_the_candidates(self, make_one: MakeOne) -> None:
        one = make_one().fit(example())
        pool = [("a", {"c": 5}), ("a", {"c": 99}), ("b", {"x": 0.5, "k": "rbf"}), ("a", {"c": 5})]
        found = chosen(one.recommend("d1", n=10, candidates=pool))
        assert sorted(found) == sorted({(a, canonical_json(c)) for a, c in pool})
        seen = [Observation("a", {"c": 99}, 0.7), Observation("z", {"never": None}, 0.6)]
        rest = one.recommend("d1", seen, n=10, candidates=pool)
        assert sorted(chosen(rest)) == [("a", '{"c":5}'), ("b", '{"k":"rbf","x":0.5}')]
        assert one.recommend("d1", n=3, candidates=[]) == []

    def test_empty_view(self, make_one: MakeOne) -> None:
        one = make_one().fit(small_view(np.empty((0, 0))))
        assert one.recommend("anything") == []
        (only,) = one.recommend("anything", n=2, candidates=[("a", {"c": 1})])
        assert np.isnan(only.value)
        assert only.evidence.n_datasets == 0

    def test_one_dataset(self, make_one: MakeOne) -> None:
        view = small_view([[0.1, 0.9, 0.5]], meta=[[1.0, 2.0]])
        found = make_one().fit(view).recommend("d0", n=3)
        assert len(set(chosen(found))) == 3
        assert make_one().fit(view.without(["d0"])).recommend("d0", n=3) == []

    def test_two_datasets_left_of_which_one_is_asked(self, make_one: MakeOne) -> None:
        view = small_view([[0.1, 0.9], [0.9, 0.2]], meta=[[1.0], [2.0]])
        found = make_one().fit(view.without(["d0"])).recommend("d0", n=2)
        assert len(found) == 2

    def test_no_meta_features_at_all(self, make_one: MakeOne) -> None:
        view = small_view(example().matrix())
        found = make_one().fit(view.without(["d0"])).recommend("d0", n=3)
        assert len(found) == 3

    def test_missing_meta_features(self, make_one: MakeOne) -> None:
        view = example()
        values = view.meta.values.copy()
        values[::2, 1] = np.nan
        values[3] = np.nan
        values[:, 2] = np.nan
        values[4, 3] = np.inf
        view = replace(view, meta=replace(view.meta, values=values))
        one = make_one().fit(view.without(["d0"]))
        for asked in ("d0", "d3", "d4", AskedTask("new"), AskedTask("new", np.full(P, np.nan))):
            assert len(one.recommend(asked, n=3)) == 3

    def test_all_scores_equal(self, make_one: MakeOne) -> None:
        view = small_view(np.full((5, 4), 0.5), meta=np.arange(10.0).reshape(5, 2))
        one = make_one().fit(view.without(["d0"]))
        found = one.recommend("d0", observations(view, "d0", [1]), n=4)
        assert len(found) == 3
        assert all(r.value == pytest.approx(0.5) for r in found)

    def test_holes_and_failures(self, make_one: MakeOne) -> None:
        table = example().matrix()
        table[2, 3:9] = np.nan
        table[5, :] = np.nan
        table[5, 1] = 0.8
        view = small_view(table, meta=np.arange(D * 2.0).reshape(D, 2))
        view = replace(
            view,
            failed_dataset=np.array([2, 2]),
            failed_config=np.array([3, 4]),
            failed_seconds=np.array([np.nan, 1.0]),
        )
        found = make_one().fit(view.without(["d0"])).recommend("d0", n=C)
        assert len(found) == C
        assert all(np.isfinite(r.value) for r in found)

    def test_order_of_recording_changes_nothing(self, make_one: MakeOne) -> None:
        # Coarse scores, so that there are ties to be broken.
        view = small_view(example().matrix().round(1), meta=example().meta.values)
        rng = np.random.default_rng(5)
        rows, columns = rng.permutation(D), rng.permutation(C)
        mixed = small_view(
            view.matrix()[np.ix_(rows, columns)],
            meta=view.meta.values[rows],
            datasets=[view.datasets[r] for r in rows],
            configs=[view.config(int(c)) for c in columns],
        )
        seen = observations(view, "d0", [3, 7])
        for observed in ([], seen):
            expected = make_one().fit(view.without(["d0"])).recommend("d0", observed, n=C)
            found = make_one().fit(mixed.without(["d0"])).recommend("d0", observed, n=C)
            assert whole(found) == whole(expected)

    def test_direction_changes_nothing_but_the_sign(self, make_one: MakeOne) -> None:
        up, down = example(), replace(example(), higher_is_better=False)
        seen = [observations(view, "d0", [3, 7, 8]) for view in (up, down)]
        for first, second in ([], []), seen:
            gain = make_one().fit(up.without(["d0"])).recommend("d0", first, n=4)
            loss = make_one().fit(down.without(["d0"])).recommend("d0", second, n=4)
            assert chosen(gain) == chosen(loss)
            assert [r.value for r in gain] == [-r.value for r in loss]
            assert [r.interval for r in gain] == [(-b, -a) for a, b in (r.interval for r in loss)]

    def test_scores_of_what_is_left_out_do_not_leak(self, make_one: MakeOne) -> None:
        view = replace(example(), groups={"d0": 0, "d1": 0, "d2": 1})
        changed = view.cell_score.copy()
        left_out = np.isin(view.cell_dataset, [0, 1])
        changed[left_out] = np.random.default_rng(0).permutation(changed[left_out]) * 3 - 1
        other = replace(view, cell_score=changed)
        seen = observations(view, "d0", [3])
        for observed in ([], seen):
            honest = make_one().fit(view.without(["d0"])).recommend("d0", observed, n=C)
            found = make_one().fit(other.without(["d0"])).recommend("d0", observed, n=C)
            assert whole(found) == whole(honest)

    def test_interval_holds_the_value_and_evidence_adds_up(self, make_one: MakeOne) -> None:
        view = example()
        for observed in ([], observations(view, "d0", [2, 5, 6])):
            for r in make_one().fit(view.without(["d0"])).recommend("d0", observed, n=5):
                low, high = r.interval
                assert low <= r.value <= high
                evidence = r.evidence
                assert evidence.n_datasets == D - 1
                assert evidence.n_runs == (D - 1) * C
                weights = [neighbour.weight for neighbour in evidence.neighbours]
                assert weights == sorted(weights, reverse=True)
                assert 0 < sum(weights) <= 1 + 1e-9
                for neighbour in evidence.neighbours:
                    scores = view.matrix()[view.datasets.index(neighbour.dataset)]
                    assert neighbour.value == pytest.approx(scores[r.config["c"]])
                    assert neighbour.rank == 1 + int((scores > neighbour.value + 1e-9).sum())
                    assert neighbour.configs == C

    def test_a_session_answers_as_one_that_is_opened_anew(self, make_one: MakeOne) -> None:
        """Also where observed scores come to the level of past ones, after two far below all."""
        rng = np.random.default_rng(5)
        levels = np.array([1.0] * 6 + [9.0] * 3)
        losses = levels[:, None] * (3 + rng.random((D, C)))
        losses[0, :2] = 200, 203
        view = replace(small_view(-losses), higher_is_better=False)
        for name in ("d0", "d8"):
            answers, past = Answers.of(view, name), view.without([name])
            one, other = make_one().fit(past), make_one().fit(past)
            kept = _session(one, name, answers)
            columns = np.argsort(answers.score)[:2].tolist()
            for _ in range(6):
                seen = seen_of(columns, answers.score)
                anew = _session(other, name, answers)
                first, second = (session.step(seen, 1).choice for session in (kept, anew))
                assert first.columns.tolist() == second.columns.tolist()
                assert first.weights == pytest.approx(second.weights)
                columns += first.columns.tolist()

    def test_a_name_that_was_never_seen_is_an_error(self, make_one: MakeOne) -> None:
        one = make_one().fit(example())
        with pytest.raises(UnknownNameError, match="did you mean"):
            one.recommend("d11")
        assert one.recommend(AskedTask("d11"), n=2)

    def test_asking_before_fit_is_an_error(self, make_one: MakeOne) -> None:
        with pytest.raises(InvalidInputError, match="fit"):
            make_one().recommend("d0")
