"""Configs in tables: in columns, in texts of any spelling or as objects, one id each."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metastore
from metastore import MetaStore
from metastore.types import MAX_CONFIG_BYTES, canonical_json, config_id
from tests.run_tables import COLUMNS, Rows, rows, write


def test_columns_of_hyperparameters_keep_their_types(store: MetaStore, tmp_path: Path) -> None:
    table: Rows = [
        {"dataset": "d", "config.C": 1.5, "config.n": 3, "config.deep": True, "config.kind": "rbf"},
        {"dataset": "d", "config.C": 1e-05, "config.n": 4, "config.deep": False,
         "config.kind": None},
    ]  # fmt: skip
    table = [{**row, "metric": "accuracy", "value": 0.5} for row in table]
    for suffix in (".csv", ".parquet", ".jsonl"):
        store.import_table(write(tmp_path / f"svc{suffix}", table))
    configs = set(store.query("SELECT config FROM configs")["config"])
    assert '{"C":1.5,"deep":true,"kind":"rbf","n":3}' in configs
    assert '{"C":1e-05,"deep":false,"n":4}' in configs


def test_a_config_that_is_an_object_keeps_its_own_keys(store: MetaStore, tmp_path: Path) -> None:
    table = [{**rows(1)[0], "config": config} for config in ({"C": 1}, {"depth": None, "n": 2.0})]
    store.import_table(write(tmp_path / "a.jsonl", table))
    configs = set(store.query("SELECT config FROM configs")["config"])
    assert configs == {'{"C":1}', '{"depth":null,"n":2.0}'}


def test_a_parquet_config_may_be_a_struct(store: MetaStore, tmp_path: Path) -> None:
    table = [{**rows(1)[0], "config": {"C": float(i), "kernel": "rbf"}} for i in range(3)]
    assert store.import_table(write(tmp_path / "a.parquet", table)).new_runs == 3
    assert store.view("accuracy").config(0).keys() == {"C", "kernel"}


SMALL = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner,
                                                                max_size=3),
    max_leaves=6,
)  # fmt: skip
CONFIGS = st.dictionaries(st.text(max_size=6), SMALL, max_size=5)


def spellings(config: Mapping[str, Any]) -> list[str]:
    """Return texts that mean the same config."""
    backwards = dict(reversed(list(config.items())))
    return [
        json.dumps(config),
        json.dumps(backwards, indent=1, ensure_ascii=False),
        canonical_json(config),
    ]


@pytest.fixture(scope="module")
def one_store(tmp_path_factory: pytest.TempPathFactory) -> MetaStore:
    return metastore.open(tmp_path_factory.mktemp("configs") / "store")


@settings(max_examples=20, deadline=None)
@given(configs=st.lists(CONFIGS, min_size=5, max_size=40))
def test_ids_of_configs_are_those_of_canonical_json(
    one_store: MetaStore, configs: list[dict[str, Any]]
) -> None:
    texts = [text for config in configs for text in spellings(config)]
    table = [{**rows(1)[0], "config": text, "seed": i} for i, text in enumerate(texts)]
    file = write(one_store.paths.folder / "a.parquet", table)
    assert one_store.import_table(file).refused == 0
    found = dict(
        one_store.query("SELECT config, config_id::VARCHAR FROM configs").to_numpy().tolist()
    )
    wanted = {canonical_json(config) for config in configs}
    assert wanted <= found.keys()
    assert all(str(config_id(text)) == number for text, number in found.items())


def test_csv_configs_survive_any_quoting(store: MetaStore, tmp_path: Path) -> None:
    table = rows(3)
    table[0]["config"] = '{"a":"x, \\"y\\"; z\\n","b":[1,2]}'
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as out:
        writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
        writer.writerow(COLUMNS)
        writer.writerows([row[c] for c in COLUMNS] for row in table)
    assert store.import_table(path).refused == 0
    assert table[0]["config"] in set(store.query("SELECT config FROM configs")["config"])


def test_the_limit_on_configs_is_the_same_for_tables(store: MetaStore, tmp_path: Path) -> None:
    fits = canonical_json({"a": "x" * (MAX_CONFIG_BYTES - 8)})
    assert len(fits) == MAX_CONFIG_BYTES
    table = [{**rows(1)[0], "config": fits}, {**rows(1)[0], "config": fits.replace("x", "xx", 1)}]
    report = store.import_table(write(tmp_path / "a.parquet", table))
    assert (report.new_runs, report.refused) == (1, 1)


def test_numbers_in_other_spellings_are_numbers_and_spaces_are_no_part_of_anything(
    store: MetaStore, tmp_path: Path
) -> None:
    cells = [" 3", "+1", ".5", "-.5 ", "2.", "2.e3", " TRUE", " rbf ", "007", "1.2.3", "  "]
    said = "".join(f"d, svc, {cell}, {i}, accuracy, 0.5\n" for i, cell in enumerate(cells))
    file = tmp_path / "runs.csv"
    file.write_text(f"dataset, algorithm, config.x, seed, metric, value\n{said}")
    assert store.import_table(file).new_runs == len(cells)
    found = store.query(
        "SELECT algorithm, config FROM runs JOIN configs USING (config_id) ORDER BY seed"
    )
    assert set(found["algorithm"]) == {"svc"}
    assert [json.loads(text).get("x") for text in found["config"]] == [
        3, 1, 0.5, -0.5, 2.0, 2000.0, True, "rbf", "007", "1.2.3", None,
    ]  # fmt: skip
