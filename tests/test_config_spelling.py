"""Configs of a table get the text and the id that they always got, however they are spelled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metastore.importers import table_configs
from metastore.importers.config_spelling import spellings
from metastore.importers.table_columns import Columns
from metastore.importers.table_source import reader
from metastore.types import canonical_json, config_id

ODD_NUMBERS = [
    "0", "-0", "0.0", "-0.0", "1.0", "01", "1.", ".5", "+1", "-12", "1e5", "1E5", "1e-05", "1e-5",
    "1.5e-07", "1.50e-07", "1e-100", "0.00001", "0.0001", "0.00010", "10.00001", "1e16", "1e+16",
    "10000000000000000", "10000000000000000.0", "1234567890123456.7", "12345678901234567.0",
    "0.10000000000000001", "0.30000000000000004", "123.45678901234567", "123.456789012345678",
    "100000000000000000000000", "0.12345678901234567", "NaN", "Infinity", "1e400",
]  # fmt: skip
NUMBERS = st.sampled_from(ODD_NUMBERS) | st.from_regex(
    r"-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,20})?(e[-+]?[0-9]{1,3})?", fullmatch=True
)
ODD_STRINGS = ["", "a", "a b", "a, b", 'x": 1', "a:b", "é", "\\u00e9", "\\n", "\t", "}"]
STRINGS = st.sampled_from(ODD_STRINGS)
VALUES = (
    NUMBERS
    | STRINGS.map('"{}"'.format)
    | st.sampled_from(["true", "false", "null", "True", "[1]", "[1, 2.0]", "{}", '{"b": 1}', ""])
)
KEYS = st.lists(st.sampled_from(["a", "b", "b c", "c", "é"]), max_size=4)
ODD_SEPARATORS = [(", ", ": "), (",", ":"), (" , ", " : "), (",", ": "), (", ", ":")]
SEPARATORS = st.sampled_from(ODD_SEPARATORS)


@st.composite
def texts(draw: Any) -> str:
    keys = draw(KEYS)
    if draw(st.booleans()):
        keys = sorted(set(keys))
    comma, colon = draw(SEPARATORS)
    return "{" + comma.join(f'"{key}"{colon}{draw(VALUES)}' for key in keys) + "}"


def staged(raws: list[str], folder: Path) -> list[tuple[str | None, str | None, str | None]]:
    """Return config, id and problem of each row of a table with these texts."""
    file = folder / "configs.parquet"
    pq.write_table(pa.table({"dataset": ["d"] * len(raws), "config": raws}), file)
    source = reader(file)
    columns = Columns({"dataset": "dataset", "config": "config"}, {}, (), (), {"config": "VARCHAR"})
    with duckdb.connect() as con:
        numbered = f"(SELECT file_row_number + 1 AS headstart_line, * FROM {source})"
        found = table_configs.stage_configs(con, numbered, columns)
        con.execute(
            f"CREATE TABLE staged AS SELECT headstart_line AS line, {found.id} AS config_id, "
            f"{found.problem} AS problem, uuid() AS run_id {found.beside} "
            f"FROM {found.rows} AS raw {found.join}",
            found.values,
        )
        table_configs.parse_rest(con, found)
        return con.execute(
            "SELECT c.config, s.config_id::VARCHAR, s.problem FROM staged AS s LEFT JOIN "
            f"(SELECT DISTINCT config_id, config FROM {found.table}) AS c USING (config_id) "
            "ORDER BY line"
        ).fetchall()


def by_the_first_rule(raws: list[str]) -> list[tuple[str | None, str | None, str | None]]:
    """Return the same as it was told by one long pattern and by Python."""
    with duckdb.connect() as con:
        con.register("rows", pa.table({"raw": raws}))
        con.execute("CREATE TABLE texts AS SELECT DISTINCT raw FROM rows")
        given = spellings(con, "texts")
        usual = con.execute(
            "SELECT raw, CASE WHEN regexp_full_match(raw, $usual) "
            "AND NOT regexp_matches(raw, $unusual) "
            """THEN replace(replace(raw, '": ', '":'), ', "', ',"') END FROM texts""",
            {name: given[name] for name in ("usual", "unusual")},
        ).fetchall()
    rules = {
        raw: (config, None) if config is not None else table_configs._canonical(raw)
        for raw, config in usual
    }
    return [
        (config, None if config is None else str(config_id(config)), problem)
        for config, problem in map(rules.__getitem__, raws)
    ]


@pytest.mark.parametrize("repeated", [False, True])
@settings(max_examples=60, deadline=None)
@given(raws=st.lists(texts(), min_size=1, max_size=40))
def test_every_spelling_keeps_its_identity(
    repeated: bool, raws: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("configs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_configs, "_repeat", lambda *_: repeated)
        assert staged(raws, folder) == by_the_first_rule(raws)


@pytest.mark.parametrize("repeated", [False, True])
def test_each_odd_value_keeps_its_identity(
    repeated: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    digits = ["1234567890123456789"[:n] for n in range(1, 20)]
    numbers = [f"{a}.{b}" for a in digits for b in digits] + [f"0.{'0' * n}12" for n in range(9)]
    numbers += [f"0.00{b}" for b in digits] + [f"1.{b}e-07" for b in digits] + digits
    values = [*ODD_NUMBERS, *numbers, *map('"{}"'.format, ODD_STRINGS)]
    raws = [
        f'{{"a"{colon}{value}{comma}"b c"{colon}{other}}}'
        for comma, colon in ODD_SEPARATORS
        for value, other in [*((one, "1") for one in values), *(("1", one) for one in values)]
    ]
    raws = [text for raw in raws for text in (raw, raw.replace("b c", "b"))]
    monkeypatch.setattr(table_configs, "_repeat", lambda *_: repeated)
    assert staged(raws, tmp_path) == by_the_first_rule(raws)


@pytest.mark.parametrize("separators", [None, (",", ":")])
def test_what_programs_write_is_told_without_parsing(
    separators: tuple[str, str] | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    numbers = np.concatenate([rng.random(2000), 10 ** rng.uniform(-12, 15, 3000)])
    configs = [
        {"C": value, "deep": i % 7, "kernel": "rbf", "shrinking": i % 2 == 0, "tol": 0.0}
        for i, value in enumerate((numbers * rng.choice([-1, 1], 5000)).tolist())
    ]
    raws = [json.dumps(config, separators=separators) for config in configs]
    parsed: list[str] = []

    def parse(raw: str) -> tuple[str | None, str | None]:
        parsed.append(raw)
        return canonical_json(json.loads(raw)), None

    monkeypatch.setattr(table_configs, "_canonical", parse)
    found = [config for config, _, _ in staged(raws, tmp_path)]
    assert found == [canonical_json(config) for config in configs]
    assert not [raw for raw in parsed if "e-1" not in raw and "e+" not in raw]
    assert len(parsed) < 200


def test_patterns_are_for_the_commonest_hyperparameters_in_order() -> None:
    with duckdb.connect() as con:
        rows = "(SELECT unnest(['{\"b\":1,\"a\":2}', '{\"a\":1}', '{\"a\":2}', 'x']) AS raw)"
        assert spellings(con, rows)["kinds"] == [["a"]]
        assert spellings(con, "(SELECT 'x' AS raw)")["kinds"] == [[]]
