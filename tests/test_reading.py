"""What a view says of the runs, against the same numbers from the files themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

import metastore
from metastore import MetaStore
from metastore.errors import InvalidInputError, MixedDirectionError, UnknownNameError
from metastore.types import DatasetRef, MetricValue, RunRecord, RunStatus, canonical_json
from metastore.view import View


def run(dataset: str | DatasetRef, value: float | None, *, C: float = 1.0, algorithm: str = "svc",
        metric: str = "accuracy", status: str = "completed", higher: bool | None = None,
        seconds: float | None = None, fold: int | None = None) -> RunRecord:  # fmt: skip
    ref = dataset if isinstance(dataset, DatasetRef) else DatasetRef(dataset)
    values = () if value is None else (MetricValue(metric, value, None, higher, fold),)
    return RunRecord(ref, algorithm, {"C": C}, values, RunStatus(status), seconds=seconds)


def table(view: View) -> pd.DataFrame:
    """Return a view's cells in the metric's own direction, by dataset and config."""
    return pd.DataFrame(
        {
            "dataset": [view.datasets[i] for i in view.cell_dataset],
            "algorithm": [view.algorithm(i) for i in view.cell_config],
            "config": [view.config_texts[i] for i in view.cell_config],
            "value": [view.value(s) for s in view.cell_score],
            "repeats": view.cell_repeats,
            "seconds": view.cell_seconds,
        }
    ).sort_values(["dataset", "algorithm", "config"], ignore_index=True)


@pytest.mark.parametrize(
    ("name", "metric", "raw"),
    [
        ("autosklearn_md/runs.parquet", "bac_loss", "config"),
        ("sklearn_benchmarks/runs_logreg_raw_repeats.parquet", "accuracy", ""),
        ("taskset_curves/runs.parquet", "final_valid_loss", "config"),
    ],
)
def test_a_view_holds_the_means_that_pandas_computes(
    store: MetaStore, realdata: Callable[[str], Path], name: str, metric: str, raw: str
) -> None:
    store.import_table(realdata(name))
    frame = pd.read_parquet(realdata(name))
    texts = frame.select_dtypes("category").columns
    frame[texts] = frame[texts].astype("str")
    if raw:
        frame = frame[frame["metric"] == metric]
        frame["config"] = [canonical_json(json.loads(text)) for text in frame["config"]]
    else:
        frame["config"] = [
            canonical_json({"C": c, "penalty": p})
            for c, p in zip(frame["C"], frame["penalty"], strict=True)
        ]
        frame["value"], frame["algorithm"] = frame["accuracy"], "runs_logreg_raw_repeats"
        frame["runtime_s"] = np.nan
    finite = frame[np.isfinite(frame["value"])]
    expected = (
        finite.groupby(["dataset", "algorithm", "config"], as_index=False)
        .agg(value=("value", "mean"), repeats=("value", "size"), seconds=("runtime_s", "mean"))
        .sort_values(["dataset", "algorithm", "config"], ignore_index=True)
    )
    view = store.view(metric)
    found = table(view)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-12)
    lower = metric != "accuracy"
    assert view.higher_is_better is not lower
    assert np.array_equal(np.sign(view.cell_score[:5]), np.sign(found["value"][:5]) * (-1) ** lower)
    cells = frame[["dataset", "algorithm", "config"]].drop_duplicates()
    assert len(view.failed_config) == len(cells) - len(expected)


def test_repeats_are_averaged_and_failures_kept_apart(store: MetaStore) -> None:
    store.add(
        [run("d", 0.4, seconds=1), run("d", 0.6, seconds=3), run("d", None, status="failed"),
         run("d", 0.1, status="timeout", seconds=100), run("e", None, status="crashed", seconds=7),
         run("e", None, status="pruned", C=3), run("f", 0.5, metric="f1"),
         run("f", None, status="failed", C=9)]
    )  # fmt: skip
    view = store.view("accuracy")
    [cell] = table(view).to_dict("records")
    assert cell == {"dataset": "d", "algorithm": "svc", "config": '{"C":1.0}', "value": 0.5,
                    "repeats": 2, "seconds": 2.0}  # fmt: skip
    assert [view.datasets[i] for i in view.failed_dataset] == []


@pytest.mark.parametrize("folds", [False, True])
def test_runs_that_do_not_count_are_as_though_not_there(store: MetaStore, folds: bool) -> None:
    kept = [run("d", 0.4, seconds=1), run("d", 0.8, C=2), run("e", 0.1, C=5),
            run("e", None, status="failed")]  # fmt: skip
    gone = [run("d", 0.6, seconds=3), run("f", 0.9), run("e", 0.3, C=4), run("d", 0.2, C=2)]
    if folds:
        kept.append(run("d", 0.5, C=3, fold=0))
    store.add(kept)
    expected = store.view("accuracy")
    store.add(gone)
    found = store.rows(
        "SELECT run_id::VARCHAR AS id FROM store.metric_values WHERE value IN (0.6, 0.9, 0.3, 0.2)"
    )
    ids = [row["id"] for row in found]
    assert len(ids) == len(gone)
    view = store.view("accuracy", without_runs=[one.upper() for one in ids])
    pd.testing.assert_frame_equal(table(view), table(expected))
    assert view.datasets == expected.datasets
    assert len(view.failed_config) == len(expected.failed_config) == 1
    assert len(store.view("accuracy").cell_score) == len(view.cell_score) + 2
    with pytest.raises(InvalidInputError, match=r"without_runs: expected ids.*'the last one'"):
        store.view("accuracy", without_runs=["the last one"])


def test_a_dataset_on_which_everything_failed_is_there(store: MetaStore) -> None:
    store.add([run("d", 0.5), run("e", float("nan"), status="failed", seconds=2.0)])
    view = store.view("accuracy")
    assert view.datasets == ("d", "e")
    assert [view.datasets[i] for i in view.failed_dataset] == ["e"]
    assert view.failed_seconds.tolist() == [2.0]


def test_folds_make_one_result(store: MetaStore) -> None:
    folds = tuple(MetricValue("accuracy", v, None, True, k) for k, v in enumerate((0.2, 0.4, 0.9)))
    whole = (*folds, MetricValue("accuracy", 0.45, None, True))
    store.add(
        [RunRecord(DatasetRef("d"), "a", {}, folds), RunRecord(DatasetRef("e"), "a", {}, whole)]
    )
    assert table(store.view("accuracy"))["value"].tolist() == pytest.approx([0.5, 0.45])


def test_lower_is_better_is_turned_once(store: MetaStore) -> None:
    store.add([run("d", 0.25, metric="log_loss"), run("d", 0.5, metric="log_loss", C=2)])
    view = store.view("log_loss")
    assert not view.higher_is_better
    assert sorted(view.cell_score) == [-0.5, -0.25]
    assert view.value(view.score(0.25)) == 0.25


def test_algorithms_are_chosen_by_name(store: MetaStore) -> None:
    store.add([run("d", 0.1, algorithm=a) for a in ("svc", "forest", "knn")])
    assert store.view("accuracy", algorithm="svc").n_cells == 1
    view = store.view("accuracy", algorithm=["forest", "knn"])
    assert {view.algorithm(i) for i in range(view.n_configs)} == {"forest", "knn"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"metric": "acuracy"}, "did you mean 'accuracy'"),
        ({"metric": "zzz"}, "the store has accuracy"),
        ({"metric": "accuracy", "algorithm": "svm"}, "no algorithm 'svm' in the store; did you"),
        ({"metric": "accuracy", "exclude": ["iri"]}, "did you mean 'iris'"),
    ],
)
def test_unknown_names_give_the_nearest(store: MetaStore, asked: dict[str, str], said: str) -> None:
    store.add([run("iris", 0.5)])
    with pytest.raises(UnknownNameError, match=said):
        store.view(**asked)  # type: ignore[arg-type]


def test_an_empty_store_says_so(store: MetaStore) -> None:
    with pytest.raises(UnknownNameError, match="the store is empty"):
        store.view("accuracy")


def test_mixed_directions_are_an_error_until_settled(store: MetaStore) -> None:
    store.add(
        [run("d", 0.5, metric="quux", higher=True), run("e", 0.7, metric="quux", higher=False)]
    )
    with pytest.raises(MixedDirectionError, match="settle it with"):
        store.view("quux")
    store.set_direction("quux", higher_is_better=False)
    assert sorted(store.view("quux").cell_score) == [-0.7, -0.5]
    store.set_direction("quux", higher_is_better=True)
    assert sorted(store.view("quux").cell_score) == [0.5, 0.7]


def test_a_direction_that_nobody_said_is_asked_for(store: MetaStore) -> None:
    store.add([run("d", 0.5, metric="quux")])
    with pytest.raises(InvalidInputError, match="nobody said"):
        store.view("quux")
    store.set_direction("quux", higher_is_better=False)
    assert store.view("quux").cell_score.tolist() == [-0.5]


def test_excluding_a_dataset_leaves_its_near_duplicates_out(
    store: MetaStore, realdata: Callable[[str], Path]
) -> None:
    store.add(
        [run(DatasetRef("a", source_id="openml:1"), 0.1), run("b", 0.2),
         run(DatasetRef("c", source_id="openml:1"), 0.3), run("lone", 0.5, metric="f1")]
    )  # fmt: skip
    view = store.view("accuracy", exclude=["a"])
    assert (view.datasets, set(view.excluded)) == (("b",), {"a", "c"})
    view = store.view("accuracy", exclude="a", near_duplicates=True)
    assert (view.datasets, view.excluded) == (("b", "c"), ("a",))
    assert set(view.group("a")) == {"a", "c"}
    view = store.view("accuracy", exclude=["lone"])
    assert (view.n_datasets, view.excluded) == (3, ("lone",))
    assert view.without(["a"]).datasets == ("b",)


def test_cells_and_a_bare_name_are_one_dataset(store: MetaStore) -> None:
    cells = DatasetRef("iris", fingerprint="fp1-00", n_rows=150)
    other = DatasetRef("iris", fingerprint="fp1-11", n_rows=99)
    store.add([run("iris", 0.4), run(cells, 0.6), run(cells, None, status="failed", C=2)])
    view = store.view("accuracy")
    assert view.datasets == ("iris",)
    assert (view.cell_score.tolist(), view.cell_repeats.tolist()) == ([0.5], [2])
    store.add([run(other, 0.9)])
    view = store.view("accuracy")
    assert view.datasets == ("iris", "iris@11")
    assert sorted(view.cell_score) == [0.5, 0.9]


def test_seconds_that_are_not_known_do_not_spoil_those_that_are(
    store: MetaStore, tmp_path: Path
) -> None:
    rows = {"dataset": "d", "config": "{}", "metric": "accuracy", "value": [0.1, 0.3],
            "runtime_s": [2.0, float("nan")], "seed": [1, 2]}  # fmt: skip
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    store.import_table(tmp_path / "a.parquet")
    assert store.view("accuracy").cell_seconds.tolist() == [2.0]


def test_query_only_reads_and_only_the_store(store: MetaStore, tmp_path: Path) -> None:
    store.add([run("d", 0.5)])
    assert store.query("SELECT 1 + ? AS two", [1])["two"].tolist() == [2]
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    for sql in ("DROP TABLE runs", "INSERT INTO configs VALUES (uuid(), 'x')", "SELEC",
                f"SELECT * FROM '{secret}'", f"COPY runs TO '{tmp_path / 'out.csv'}'",
                "SELECT 1; DROP TABLE store.runs",
                "SET enable_external_access = true"):  # fmt: skip
        with pytest.raises(InvalidInputError, match="the query failed"):
            store.query(sql)
    assert not (tmp_path / "out.csv").exists()
    assert store.query("SELECT count(*) FROM runs").iloc[0, 0] == 1


def test_a_view_does_not_change_with_the_store(store: MetaStore) -> None:
    store.add([run("d", 0.5)])
    view = store.view("accuracy")
    before = table(view)
    store.add([run("d", 0.9), run("e", 0.1)])
    pd.testing.assert_frame_equal(table(view), before)
    assert len(table(store.view("accuracy"))) == 2


def test_a_run_whose_dataset_is_not_known_spoils_nothing(store: MetaStore) -> None:
    store.add([run("d", 0.5), run("e", 0.7)])
    store.absorb()
    con = duckdb.connect(str(store.paths.database))
    con.execute("DELETE FROM datasets WHERE name = 'e'")
    con.close()
    view = metastore.open(store.paths.folder).view("accuracy")
    assert view.n_cells == 2
    assert "d" in view.datasets


def test_a_view_says_what_it_takes(store: MetaStore) -> None:
    store.add(RunRecord(DatasetRef("d"), "a", {}, (MetricValue("accuracy", 0.5, None, True),)))
    assert store.view("accuracy", exclude=None).datasets == ("d",)
    with pytest.raises(InvalidInputError, match="metric: expected its name, got None"):
        store.view(None)  # type: ignore[arg-type]


ZONED = {
    "SELECT TIMESTAMPTZ '2020-01-01 00:00:00+02' AS at": [{"at": datetime(2019, 12, 31, 22)}],
    "SELECT 'é;' AS e, 'epoch'::TIMESTAMPTZ AS \"a\"\"t\", 1 AS e -- é;\n ; -- é": [
        {"e": "é;", 'a"t': datetime(1970, 1, 1), "e_1": 1}
    ],
    "SET VARIABLE x = 3; SELECT epoch_ms(i)::TIMESTAMPTZ AS at FROM range(3) AS r(i) "
    "WHERE i < getvariable('x') ORDER BY i DESC LIMIT 1;": [
        {"at": datetime(1970, 1, 1, 0, 0, 0, 2000)}
    ],
    "WITH t AS (SELECT NULL::TIMESTAMPTZ AS at, uuid() IS NULL AS no) FROM t": [
        {"at": None, "no": False}
    ],
    "SELECT 'epoch'::TIMESTAMPTZ AS at WHERE false": [],
}


@pytest.mark.parametrize("sql", ZONED)
def test_times_with_a_zone_are_given_as_utc(store: MetaStore, sql: str) -> None:
    assert store.rows(sql) == ZONED[sql]
    frame = store.query(sql)
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    assert rows == ZONED[sql]


def test_times_with_a_zone_take_parameters(store: MetaStore) -> None:
    (row,) = store.rows("SELECT now() AS at, ? AS one", [1])
    assert row["at"].tzinfo is None and row["one"] == 1
    (row,) = store.rows("SELECT epoch_ms($n::BIGINT)::TIMESTAMPTZ AS at", {"n": 1000})
    assert row["at"] == datetime(1970, 1, 1, 0, 0, 1)


@pytest.mark.parametrize("sql", ["SELECT [now()] AS t", "SELECT {'a': now()} AS t, now() AS n"])
def test_times_with_a_zone_inside_others_are_refused_by_column(store: MetaStore, sql: str) -> None:
    with pytest.raises(InvalidInputError, match="column 't' holds times with a time zone"):
        store.rows(sql)
