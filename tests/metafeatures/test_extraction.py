"""Meta-features of any table: all of them, in one order, and the same in other spellings."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes, load_digits

from metastore.errors import InvalidInputError
from metastore.metafeatures import EXTRACTOR, VERSION, Status, catalogue, extract
from metastore.tabular import as_table
from tests.metafeatures.helpers import IRIS, MIXED, NAMES, values
from tests.processes import ROOT


class TestContract:
    @pytest.mark.parametrize(
        "table",
        [
            IRIS,
            as_table(load_diabetes()),
            as_table(MIXED, "y"),
            as_table(MIXED, "number"),
            as_table(MIXED),
            as_table(np.zeros((1, 1))),
        ],
    )
    def test_every_name_has_a_value_or_a_reason(self, table):
        features = extract(table)
        assert [f.name for f in features] == NAMES
        for f in features:
            assert (f.extractor, f.version) == (EXTRACTOR, VERSION)
            assert f.seconds >= 0
            if f.status is Status.COMPUTED:
                assert f.value is not None and math.isfinite(f.value), f
            else:
                assert f.value is None and f.message, f

    def test_names_are_unique(self):
        assert len(set(NAMES)) == len(NAMES) > 90

    def test_same_seed_same_values(self):
        table = as_table(load_digits())
        assert values(table, max_rows=500) == values(table, max_rows=500)
        assert values(table, max_rows=500) != values(table, max_rows=500, seed=1)

    def test_groups_are_chosen(self):
        assert {f.group for f in extract(IRIS, groups=["missing", "simple"])} == {
            "simple",
            "missing",
        }

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"groups": ["simpel"]}, "no group of meta-features named 'simpel'; there are simple"),
            ({"limit_seconds": -1}, "limit_seconds >= 0"),
            ({"limit_seconds": math.nan}, "limit_seconds >= 0"),
            ({"max_rows": 0}, "max_rows >= 1"),
        ],
    )
    def test_refused(self, options, words):
        with pytest.raises(InvalidInputError, match=words):
            extract(IRIS, **options)

    def test_page_is_up_to_date(self):
        page = ROOT / "docs" / "metafeatures.md"
        assert page.read_text() == catalogue.markdown(), (
            "run: python -m metastore.metafeatures > docs/metafeatures.md"
        )

    def test_import_is_light(self):
        code = (
            "import sys, metastore.metafeatures, metastore.fingerprint, metastore.duplicates;"
            "print([m for m in ('sklearn', 'pymfe', 'scipy', 'pandas', 'torch')"
            " if m in sys.modules])"
        )
        out = subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        assert out.stdout.strip() == "[]"


class TestInvariance:
    GROUPS = ("simple", "missing", "categorical", "statistical", "information")

    @given(seed=st.integers(0, 10_000))
    @settings(max_examples=8, deadline=None)
    def test_order_names_and_units(self, seed):
        rng = np.random.default_rng(seed)
        frame = MIXED.drop(columns="y")
        for name in ("number", "inf"):
            frame[name] = frame[name] * rng.uniform(0.1, 10) + rng.normal()
        rows, columns = rng.permutation(len(frame)), rng.permutation(frame.shape[1])
        frame = frame.iloc[rows, columns]
        frame.columns = [f"z{i}" for i in range(frame.shape[1])]
        again = as_table((frame, MIXED["y"].iloc[rows]))
        one = values(as_table(MIXED, "y"), groups=self.GROUPS)
        two = values(again, groups=self.GROUPS)
        assert {k for k, v in one.items() if v is None} == {k for k, v in two.items() if v is None}
        for name, value in one.items():
            if value is not None:
                assert two[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name


def test_penn_collection(realdata):
    for path in sorted(realdata("pmlb/parquet").glob("*.parquet"))[::12]:
        features = extract(as_table(path, "target"))
        failed = [f for f in features if f.status in (Status.FAILED, Status.TIMED_OUT)]
        assert not failed, (path.name, failed)
