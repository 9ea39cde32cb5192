"""What advice was worth: told from real runs that followed it, or did not."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metastore
from metastore import DatasetRef, MetaStore, MetricValue, RunRecord
from metastore.advice import advised
from metastore.errors import UnknownNameError
from metastore.types import RunStatus, canonical_json
from recommenders import Question, Recommendation, ask
from recommenders.asking import own_runs
from recommenders.worth import Worth, worth
from tests.commands import RunIt

KNN, LOGREG = "sklearn.x.KNeighborsClassifier", "sklearn.x.LogisticRegression"


@pytest.fixture
def store(small_store: Path) -> MetaStore:
    return metastore.open(small_store)


def advise(store: MetaStore, n: int = 2) -> tuple[Recommendation, ...]:
    """Ask about wine as if nothing had run on it."""
    question = Question("accuracy", n=n, recommender="portfolio", as_new=True)
    return ask(store, "wine", question=question).recommendations


def follow(store: MetaStore, one: Recommendation, accuracy: float | None) -> None:
    """Run a config on wine, with this result or a failure."""
    ref = DatasetRef("wine")
    if accuracy is None:
        with pytest.raises(ZeroDivisionError), store.run(ref, one.algorithm, one.config):
            raise ZeroDivisionError
        return
    with store.run(ref, one.algorithm, one.config) as run:
        run.result(accuracy=accuracy)


def only(store: MetaStore) -> Worth:
    (found,) = worth(store).worths
    return found


def test_no_advice_no_worth(store: MetaStore) -> None:
    assert worth(store).worths == ()
    assert "Nothing was recommended yet" in worth(store).words()
    with pytest.raises(UnknownNameError, match="nothing was recommended yet"):
        worth(store, "wine")


def test_a_run_that_diverged_makes_no_advice_look_good(tmp_path: Path) -> None:
    store = metastore.open(tmp_path)
    for name in ("a", "b"):
        for c, loss in enumerate((0.7, 0.8, 1.1, 1.4, 1.7, 1e16)):
            with store.run(name, KNN, {"c": c}) as run:
                run.result(loss=loss)
    (one,) = ask(store, "b", question=Question("loss", n=1, as_new=True)).recommendations
    with store.run("b", KNN, {"c": 3}) as run:
        run.result(loss=1.4)
    store.record_recommendations("b", "loss", [replace(one, config={"c": 3})])
    with store.run("b", KNN, {"c": 3}) as run:
        run.result(loss=1.4)
    found = only(store)
    assert found.best == 0.7
    assert 0.05 < found.regret < 0.2


def record(
    store: MetaStore, config: int, status: str, said: list[float], fidelity: float | None = None
) -> None:
    values = tuple(MetricValue("accuracy", value, None, True) for value in said)
    ended = RunStatus(status)
    store.add(RunRecord(DatasetRef("d"), KNN, {"c": config}, values, ended, fidelity=fidelity))


def advise_anything(store: MetaStore, config: int = 0) -> None:
    """Record advice on the dataset, of a config that need not be wise."""
    one, *_ = ask(store, "d", question=Question("accuracy", n=1, as_new=True)).recommendations
    one = replace(one, algorithm=KNN, config={"c": config}, interval=(0.0, 1.0))
    store.record_recommendations("d", "accuracy", [one])


RUN = st.tuples(
    st.integers(0, 3),
    st.sampled_from([s.value for s in RunStatus if s.value != "running"]),
    st.lists(st.sampled_from([0.2, 0.5, 0.75, math.nan]), max_size=2),
    st.sampled_from([None, None, 1.0, 9.0]),
)


@settings(deadline=None, max_examples=40)
@given(st.lists(RUN, max_size=12))
def test_results_are_those_of_the_view(
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[tuple[int, str, list[float], float | None]],
) -> None:
    store = metastore.open(tmp_path_factory.mktemp("store"))
    store.add(RunRecord(DatasetRef("e"), KNN, {}, (MetricValue("accuracy", 0.5, None, True),)))
    for run in [(9, "completed", [0.1], None), *runs]:
        record(store, *run)
    advise_anything(store)
    view = store.view("accuracy")
    expected = {
        canonical_json(one.config): math.nan if one.value is None else one.value
        for one in own_runs(view, "d")
    }
    texts = {
        str(r["id"]): r["config"] for r in store.rows("SELECT config_id AS id, config FROM configs")
    }
    (found,) = advised(store)
    results = {texts[number]: value for (_, number), value in found.results.items()}
    assert results == pytest.approx(expected, nan_ok=True)


def test_a_crash_is_not_the_end_of_what_was_advised(tmp_path: Path) -> None:
    store = metastore.open(tmp_path)
    store.add(RunRecord(DatasetRef("e"), KNN, {}, (MetricValue("accuracy", 0.5, None, True),)))
    for config, value in ((1, 0.4), (2, 0.8)):
        record(store, config, "completed", [value])
    advise_anything(store)
    record(store, 0, "crashed", [])
    assert only(store).followed == 0
    record(store, 0, "completed", [0.6], 9.0)
    record(store, 0, "completed", [0.3, 0.7])
    found = only(store)
    assert (found.followed, found.best_advised, found.tried) == (1, 0.7, 3)
    advise_anything(store, 5)
    for _ in range(2):
        record(store, 5, "crashed", [])
    assert (only(store).followed, only(store).tried) == (2, 4)


def test_advice_that_nobody_followed(store: MetaStore) -> None:
    advise(store)
    found = only(store)
    assert (found.dataset, found.metric) == ("wine", "accuracy")
    assert (found.advised, found.followed, found.tried) == (2, 0, 5)
    assert math.isnan(found.regret)
    assert "0 of 2 recommended configs ran" in worth(store).words()


def test_regret_against_the_best_and_against_chance(store: MetaStore) -> None:
    """By hand: all pairs of the five configs that ran, and what the best of each pair leaves."""
    first, _ = advise(store)
    recorded = {
        (r["algorithm"], r["config"]): r["value"]
        for r in store.rows(
            "SELECT algorithm, config, value FROM runs JOIN configs USING (config_id) "
            "JOIN datasets USING (dataset_id) JOIN metric_values USING (run_id) "
            "WHERE name = 'wine' AND metric = 'accuracy'"
        )
    }
    value = recorded[first.algorithm, json.dumps(dict(first.config), separators=(",", ":"))]
    follow(store, first, value)
    found = only(store)
    scores = np.array(list(recorded.values()))
    regrets = (scores.max() - scores) / (scores.max() - scores.min())
    assert found.followed == 1
    assert found.tried == 5
    assert found.best == pytest.approx(scores.max())
    assert found.best_advised == pytest.approx(value)
    assert found.regret == pytest.approx((scores.max() - value) / (scores.max() - scores.min()))
    assert found.random == pytest.approx(regrets.mean())
    second = advise(store)[1]
    follow(store, second, 0.0 + value)
    pairs = [min(pair) for pair in combinations(_regrets(store), 2)]
    assert only(store).random == pytest.approx(np.mean(pairs))


def test_where_nothing_else_ran_there_is_nothing_to_compare_with(store: MetaStore) -> None:
    """The best of all that ran is then an advised config, however bad the advice was."""
    first = advise(store, 1)[0]
    lonely = "never seen before"
    store.dataset(DatasetRef(lonely))
    store.record_recommendations(lonely, "accuracy", [first])
    with store.run(DatasetRef(lonely), first.algorithm, first.config) as run:
        run.result(accuracy=0.1)
    alone = worth(store, lonely)
    assert not alone.worths[0].compared
    assert "Nothing else ran there, so regret cannot be told." in alone.words()
    assert "hundredths" not in alone.words()
    assert alone.shown()[0]["regret"] == "" == alone.shown()[0]["random"]
    follow(store, first, 0.0)
    both = worth(store)
    (beside,) = (one for one in both.worths if one.compared)
    assert both.summary()["regret"] == beside.regret == 1.0
    assert "Nothing else ran on 1 of these" in both.words()
    assert "The best of them came on the other 1 within 100.0 hundredths" in both.words()


def _regrets(store: MetaStore) -> list[float]:
    (one,) = advised(store)
    scores = np.array(list(one.results.values()))
    return list((scores.max() - scores) / (scores.max() - scores.min()))


def test_runs_before_the_advice_do_not_follow_it(store: MetaStore) -> None:
    one = advise(store, 1)[0]
    assert only(store).followed == 0
    follow(store, one, 0.9)
    assert only(store).followed == 1


def test_a_config_advised_twice_counts_once_with_its_last_interval(store: MetaStore) -> None:
    first = advise(store, 1)[0]
    wide, narrow = replace(first, interval=(0.0, 1.0)), replace(first, interval=(0.1, 0.2))
    store.record_recommendations("wine", "accuracy", [wide])
    store.record_recommendations("wine", "accuracy", [narrow])
    follow(store, first, 0.9)
    follow(store, first, 0.15)
    found = only(store)
    assert (found.advised, found.followed) == (1, 1)
    assert (found.intervals, found.held) == (1, 0)
    assert found.best_advised == 0.9


def test_a_failed_run_is_the_worst_and_breaks_no_interval(store: MetaStore) -> None:
    first = replace(advise(store, 1)[0], interval=(0.0, 1.0))
    store.record_recommendations("wine", "accuracy", [first])
    follow(store, first, None)
    found = only(store)
    assert found.followed == 1
    assert found.regret == 1.0
    assert math.isnan(found.best_advised)
    assert found.intervals == 0


def test_folds_stand_for_a_result_that_nobody_gave(store: MetaStore) -> None:
    first = advise(store, 1)[0]
    values = tuple(MetricValue("accuracy", v, fold=i) for i, v in enumerate((0.8, 0.9, 1.0)))
    store.add(RunRecord(DatasetRef("wine"), first.algorithm, first.config, values))
    assert only(store).best_advised == pytest.approx(0.9)


def test_a_lower_is_better_metric(store: MetaStore) -> None:
    for name in ("iris", "wine"):
        for depth in (1, 2, 3):
            with store.run(name, "tree", {"depth": depth}) as run:
                run.result(rmse=depth / 10)
    one = ask(
        store, "wine", question=Question("rmse", n=3, recommender="portfolio", as_new=True)
    ).recommendations
    follow_at = {r.config["depth"]: r for r in one}
    with store.run("wine", "tree", dict(follow_at[2].config)) as run:
        run.result(rmse=0.2)
    found = only(store)
    assert (found.best, found.best_advised) == (0.1, 0.2)
    assert found.regret == pytest.approx(0.5)


def test_the_command_in_every_form(headstart: RunIt, small_store: Path) -> None:
    empty = headstart("report")
    assert (empty.status, empty.out) == (
        0,
        "Nothing was recommended yet; ask with: headstart recommend\n",
    )
    assert headstart("report", "--csv").out.startswith("dataset,metric,advised,followed,")
    headstart("recommend", "wine", "--as-new", "--recommender", "portfolio", "-n", "2")
    one = headstart("recommend", "wine", "--as-new", "--recommender", "portfolio", "--json").json
    store = metastore.open(small_store)
    first = one["recommendations"][0]
    with store.run("wine", first["algorithm"], first["config"]) as run:
        run.result(accuracy=0.5)
    shown = headstart("report").out
    assert "1 of 5" in shown
    assert "1 of 5 recommended configs ran, on 1 of 1 advised datasets" in shown
    found = headstart("report", "--json").json
    assert found["overall"]["followed"] == 1
    assert found["datasets"][0]["dataset"] == "wine"
    assert headstart("report", "--csv").out.startswith("dataset,metric,advised,followed,")
    refused = headstart("report", "--dataset", "whine")
    assert refused.status == 2
    assert "did you mean 'wine'" in refused.err
