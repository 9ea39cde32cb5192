"""Fingerprints know the same cells again; profiles know nearly the same ones."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

from metastore.errors import InvalidInputError
from metastore.fingerprint import cell_hashes, fingerprint, mix, profile, similarity
from metastore.resemblance import THRESHOLD
from metastore.tabular import Table, as_table

GOLDEN = "fp1-ba16ac8ff35fe97b293db8bfeba94796"

# cpu_small has 12 of the 21 columns of cpu_act, and the same rows and target
KNOWN_PAIRS = {
    ("197_cpu_act", "227_cpu_small"),
    ("197_cpu_act", "562_cpu_small"),
    ("227_cpu_small", "562_cpu_small"),
    ("294_satellite_image", "satimage"),
}

CELLS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=4),
    st.sampled_from([0.0, 1.0, "a", "b", None]),
)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    n_rows, n_columns = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    cells = draw(
        st.lists(
            st.lists(CELLS, min_size=n_rows, max_size=n_rows),
            min_size=n_columns,
            max_size=n_columns,
        )
    )
    frame = pd.DataFrame({f"c{i}": pd.Series(c, dtype=object) for i, c in enumerate(cells)})
    target = None if n_columns == 1 or frame["c0"].isna().all() else "c0"
    return as_table(frame, target)


def whole(table: Table) -> pd.DataFrame:
    frame = table.features.copy()
    if table.target is not None:
        frame["the target"] = table.target
    return frame


class TestFingerprint:
    @given(table=tables(), seed=st.integers(0, 1000))
    @settings(max_examples=60, deadline=None)
    def test_order_and_names_play_no_part(self, table, seed):
        rng = np.random.default_rng(seed)
        frame = whole(table).iloc[rng.permutation(len(table.features))]
        frame = frame.rename(columns={c: f"other {c}" for c in table.features.columns})
        frame = frame.iloc[:, rng.permutation(frame.shape[1])]
        again = as_table(frame, None if table.target is None else "the target")
        assert fingerprint(again) == fingerprint(table)

    @given(table=tables(), row=st.integers(0, 5), column=st.integers(0, 3))
    @settings(max_examples=60, deadline=None)
    def test_one_cell_changes_it(self, table, row, column):
        features = table.features.astype(object).copy()
        features.iat[row % len(features), column % features.shape[1]] = "something else"
        changed = Table(features, table.target)
        assert fingerprint(changed) != fingerprint(table)

    def test_rows_hang_together(self):
        X, y = load_iris(return_X_y=True)
        shuffled = X.copy()
        shuffled[:, 0] = np.random.default_rng(0).permutation(X[:, 0])
        assert fingerprint(as_table((shuffled, y))) != fingerprint(as_table((X, y)))
        assert fingerprint(as_table((X, y[::-1]))) != fingerprint(as_table((X, y)))

    def test_columns_of_equal_values_hang_together(self):
        # both columns hold the same values, so that only a second look tells the two tables apart
        def table(pairs):
            return as_table(np.array([(a, b, c) for (a, b), c in zip(pairs, "wxyz", strict=True)]))

        one = table([(0, 1), (1, 0), (0, 0), (1, 1)])
        assert fingerprint(one) == fingerprint(table([(1, 0), (0, 1), (0, 0), (1, 1)]))
        six = [(0, 1, "u"), (1, 0, "v"), (0, 1, "w"), (1, 0, "x"), (2, 3, "y"), (3, 2, "z")]
        other = [(0, 1, "u"), (1, 0, "v"), (1, 0, "w"), (0, 1, "x"), (2, 3, "y"), (3, 2, "z")]
        tables = [as_table(pd.DataFrame(rows)) for rows in (six, other)]
        assert fingerprint(tables[0]) != fingerprint(tables[1])

    def test_which_column_is_the_target(self):
        frame = load_iris(as_frame=True).frame
        prints = {fingerprint(as_table(frame, c)) for c in frame} | {fingerprint(as_table(frame))}
        assert len(prints) == 6

    def test_types_that_spell_the_same_number_agree(self):
        cells = [0, 1, 1, 0]
        columns = [
            pd.Series(cells),
            pd.Series(cells, dtype="float32"),
            pd.Series(cells, dtype="Int8"),
            pd.Series(cells, dtype=bool),
            pd.Series(cells, dtype=object),
            pd.Series([-0.0, 1.0, 1.0, 0.0]),
            pd.Series(cells, dtype="category"),
        ]
        assert len({tuple(cell_hashes(column)) for column in columns}) == 1

    def test_whole_numbers_beyond_floats_stay_apart(self):
        big = 2**53
        hashes = cell_hashes(pd.Series([big, big + 1, big + 2, -big - 1]))
        assert len(set(hashes.tolist())) == 4

    def test_text_and_missing(self):
        text = pd.Series(["a", None, "ü", "a"])
        hashes = cell_hashes(text)
        assert hashes[0] == hashes[3] != hashes[2]
        assert hashes[1] == cell_hashes(pd.Series([np.nan]))[0]
        assert (cell_hashes(text.astype("category")) == hashes).all()

    def test_dates_do_not_depend_on_the_unit(self):
        dates = pd.Series(pd.to_datetime(["2020-01-01", None]))
        for unit in ("s", "ms", "us", "ns"):
            assert (cell_hashes(dates.astype(f"datetime64[{unit}]")) == cell_hashes(dates)).all()
        zoned = dates.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
        assert (cell_hashes(zoned) == cell_hashes(dates)).all()

    def test_golden(self):
        # stored fingerprints must hold for ever: if this fails, the prefix has to move
        frame = pd.DataFrame({"a": [1, 2, None], "b": ["x", "y", "x"], "c": [True, False, True]})
        assert fingerprint(as_table(frame, "c")) == GOLDEN

    def test_mix_is_splitmix(self):
        # first output of SplitMix64 from state 0 (Steele et al. 2014, reference implementation)
        assert mix(np.zeros(1, dtype=np.uint64))[0] == 0xE220A8397B1DCDAF

    def test_does_not_depend_on_the_process(self):
        code = (
            "from metastore.tabular import as_table; from metastore.fingerprint import fingerprint;"
            "print(fingerprint(as_table(([['a', 1.5], ['b', 2.5]], ['u', 'v']))))"
        )
        out = {
            subprocess.run(
                [sys.executable, "-c", code],
                env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            for seed in ("1", "2")
        }
        assert len(out) == 1


def disguised(table: Table, seed: int, share: float = 0.02) -> Table:
    """Drop rows and a column, shuffle, rename, rescale and re-encode: the same data in disguise."""
    rng = np.random.default_rng(seed)
    assert table.target is not None
    n_rows = len(table.features)
    keep = rng.choice(n_rows, int(np.ceil(n_rows * (1 - share))), replace=False)
    frame, target = table.features.iloc[keep], table.target.iloc[keep]
    columns = rng.permutation(frame.shape[1])[: frame.shape[1] - (frame.shape[1] > 3)]
    out = {}
    for i, column in enumerate(columns):
        cells = frame.iloc[:, column]
        if cells.nunique() <= 10:
            out[f"z{i}"] = "level " + cells.rank(method="dense").astype("Int64").astype(str)
        else:
            out[f"z{i}"] = cells * rng.uniform(-3, 3) + rng.normal()
    codes = target if target.nunique() > 20 else target.map(lambda cell: f"class {cell}")
    return as_table((pd.DataFrame(out), codes))


class TestResemblance:
    @pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
    @pytest.mark.parametrize("seed", range(3))
    def test_knows_bundled_data_in_disguise(self, load, seed):
        table = as_table(load())
        assert similarity(profile(table), profile(disguised(table, seed))) >= THRESHOLD

    def test_bundled_datasets_stay_apart(self):
        texts = [profile(as_table(load())) for load in (load_iris, load_wine, load_breast_cancer)]
        for i, a in enumerate(texts):
            assert similarity(a, a) == pytest.approx(1)
            for b in texts[:i]:
                assert similarity(a, b) == pytest.approx(similarity(b, a))
                assert similarity(a, b) < 0.01

    def test_fresh_sample_of_the_same_source_stays_apart(self, realdata):
        for name in ("spambase", "phoneme", "wine_quality_white", "yeast"):
            frame = pd.read_parquet(realdata(f"pmlb/parquet/{name}.parquet"))
            frame = frame.sample(frac=1, random_state=0)
            halves = [as_table(frame.iloc[part::2], "target") for part in (0, 1)]
            assert similarity(*map(profile, halves)) < THRESHOLD - 0.2, name

    def test_same_cells_with_another_target(self, realdata):
        names = ("allbp", "allrep")
        tables = [as_table(realdata(f"pmlb/parquet/{n}.parquet"), "target") for n in names]
        assert similarity(*map(profile, tables)) > 0.9

    def test_penn_collection(self, realdata):
        folder = realdata("pmlb/parquet")
        found, missed = {}, []
        for i, path in enumerate(sorted(folder.glob("*.parquet"))[::4]):
            table = as_table(path, "target")
            found[path.stem] = profile(table)
            if similarity(found[path.stem], profile(disguised(table, i))) < THRESHOLD:
                missed.append(path.stem)
        assert len(found) > 60
        assert len(missed) <= 0.03 * len(found), missed
        names = list(found)
        pairs = {
            (a, b)
            for i, b in enumerate(names)
            for a in names[:i]
            if similarity(found[a], found[b]) >= THRESHOLD
        }
        assert pairs <= KNOWN_PAIRS, pairs - KNOWN_PAIRS

    def test_holds_no_cell(self):
        frame = pd.DataFrame(
            {
                "name": ["Ann Example"] * 9 + ["Bob Example"],
                "salary": [98765.25] * 8 + [12345.75, 3],
            }
        )
        text = profile(as_table(frame, "salary"))
        for secret in ("Ann", "Bob", "name", "salary", "98765", "12345"):
            assert secret not in text

    def test_row_and_column_order_play_no_part(self):
        table = as_table(load_wine())
        rng = np.random.default_rng(0)
        order = rng.permutation(len(table.features))
        features = table.features.iloc[order, rng.permutation(13)]
        assert table.target is not None
        a, b = profile(table), profile(as_table((features, table.target.iloc[order])))
        assert similarity(a, b) == pytest.approx(1, abs=1e-4)

    def test_wide_table_keeps_to_the_limit(self):
        rng = np.random.default_rng(0)
        frame = pd.DataFrame(rng.normal(size=(50, 300)))
        text = profile(as_table(frame))
        assert len(text) < 20_000
        assert similarity(text, text) == pytest.approx(1)

    @pytest.mark.parametrize(
        "frame",
        [
            {"a": [None, None], "b": [1, 2]},
            {"a": [1, 1]},
            {"a": [1e308, -1e308, 1e308]},
            {"a": [np.inf, 1.0, -np.inf]},
            {"a": pd.date_range("2020", periods=3)},
            {"a": [1, "b", None]},
        ],
    )
    def test_odd_columns(self, frame):
        text = profile(as_table(pd.DataFrame(frame)))
        json.loads(text, parse_constant=pytest.fail)
        assert 0 <= similarity(text, text) <= 1

    @pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"version": 1}'])
    def test_refuses_what_is_no_profile(self, text):
        with pytest.raises(InvalidInputError, match="expected a dataset profile"):
            similarity(text, text)

    def test_refuses_another_version(self):
        with pytest.raises(InvalidInputError, match="version 2"):
            similarity('{"version": 2}', '{"version": 2}')
