"""What comes in as a dataset, and what is refused with which words."""

from __future__ import annotations

import builtins
import gzip
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import load_iris, load_wine

from metastore.errors import InvalidInputError, MissingDependencyError
from metastore.tabular import Table, as_table, task_type

PACKED = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(99)))
FRAME = pd.DataFrame(
    {"age": [1, 2, 3, 4], "city": ["a", "b", None, "a"], "y": [0.5, 1.5, 2.25, 3.0]}
)


def shape(table: Table) -> tuple[int, ...]:
    return table.features.shape


class TestShapes:
    def test_pair_of_arrays(self):
        X, y = load_iris(return_X_y=True)
        table = as_table((X, y))
        assert shape(table) == (150, 4)
        assert list(table.features.columns) == ["x0", "x1", "x2", "x3"]
        assert table.target is not None and table.target.tolist() == y.tolist()

    def test_pair_of_lists_keeps_numbers_apart_from_text(self):
        table = as_table(([[1, "a"], [2, "b"]], ["u", "v"]))
        assert pd.api.types.is_integer_dtype(table.features["x0"])
        assert table.features["x1"].tolist() == ["a", "b"]

    @pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix])
    def test_sparse(self, make):
        table = as_table((make(np.eye(3)), [0, 1, 0]))
        assert (table.features.to_numpy() == np.eye(3)).all()

    def test_frame_and_target_name(self):
        table = as_table(FRAME, "y", name="mine")
        assert list(table.features.columns) == ["age", "city"]
        assert table.name == "mine"
        assert as_table((FRAME, "y")).features.equals(table.features)

    def test_columns_that_are_numbered_are_named_by_number(self):
        frame = pd.DataFrame(FRAME.to_numpy())
        place = FRAME.columns.get_loc("y")
        for number in (place, np.int64(place)):
            table = as_table(frame, target=number)
            assert table.target is not None and table.target.tolist() == FRAME["y"].tolist()
            assert table.features.shape[1] == FRAME.shape[1] - 1
        with pytest.raises(InvalidInputError, match="no column named '77'"):
            as_table(frame, target=77)

    def test_target_named_in_attrs(self):
        frame = FRAME.copy()
        frame.attrs["target"] = "y"
        assert list(as_table(frame).features.columns) == ["age", "city"]

    def test_rows_pair_by_position_not_by_index(self):
        y = pd.Series([1, 0, 1, 0], index=[9, 8, 7, 6])
        table = as_table((FRAME[["age"]].iloc[::-1], y))
        assert table.target is not None and table.target.tolist() == [1, 0, 1, 0]
        assert table.target.index.equals(table.features.index)
        assert table.features["age"].tolist() == [4, 3, 2, 1]

    def test_array_without_target(self):
        table = as_table(np.eye(3))
        assert table.target is None

    def test_bunch(self):
        table = as_table(load_wine())
        assert table.features.columns[0] == "alcohol"
        assert shape(as_table(load_wine(as_frame=True), "hue")) == (178, 13)

    def test_arrow_table(self):
        import pyarrow as pa  # noqa: PLC0415

        assert shape(as_table(pa.table({"a": [1, 2], "b": [3, 4]}), "b")) == (2, 1)

    def test_a_table_stays(self):
        table = as_table(FRAME, "y")
        assert as_table(table).features is table.features

    def test_doubled_labels_become_unique(self):
        frame = pd.DataFrame([[1, 2, 3]], columns=["a", "a", "b"])
        assert list(as_table(frame, "b").features.columns) == ["a", "a.1"]


class TestFiles:
    @pytest.mark.parametrize(
        ("name", "write"),
        [
            ("d.csv", lambda f, p: f.to_csv(p, index=False)),
            ("d.tsv", lambda f, p: f.to_csv(p, index=False, sep="\t")),
            ("d.csv.gz", lambda f, p: f.to_csv(p, index=False)),
            ("semi.csv", lambda f, p: f.to_csv(p, index=False, sep=";")),
            ("d.parquet", lambda f, p: f.to_parquet(p)),
            ("d.jsonl", lambda f, p: f.to_json(p, orient="records", lines=True)),
            ("d.jsonl.gz", lambda f, p: f.to_json(p, orient="records", lines=True)),
            ("d.json", lambda f, p: f.to_json(p, orient="records")),
        ],
    )
    def test_round_trip(self, tmp_path, name, write):
        write(FRAME, tmp_path / name)
        for reference in (tmp_path / name, str(tmp_path / name)):
            table = as_table(reference, "y")
            assert table.name == name.split(".")[0]
            assert table.features["age"].tolist() == [1, 2, 3, 4]
            assert table.features["city"].isna().tolist() == [False, False, True, False]

    def test_two_columns_of_one_name_are_told_apart_by_nobody(self, tmp_path):
        path = tmp_path / "d.csv"
        path.write_text("a,y,c,y\n1,2,3,4\n5,6,7,8\n")
        with pytest.raises(InvalidInputError, match="2 columns are named 'y'"):
            as_table(path, "y")
        assert list(as_table(path, "c").features.columns) == ["a", "y", "y.1"]

    def test_spaces_around_labels_are_no_part_of_them(self, tmp_path):
        path = tmp_path / "d.csv"
        path.write_text(" a , b ,, y \n1 , 2 , 3, p\n4 , 5 , 6, q\n")
        table = as_table(path, "y")
        assert list(table.features.columns) == ["a", "b", "Unnamed: 2"]

    def test_decimal_commas_where_semicolons_separate(self, tmp_path):
        path = tmp_path / "d.csv"
        path.write_text("a;b;c;y\n0,5;1.234,25;1,2,3;7\n-1,25;12;4,5;8\n;0,1e3;6;9\n")
        features = as_table(path, "y").features
        assert features["a"].tolist()[:2] == [0.5, -1.25]
        assert features["b"].tolist() == [1234.25, 12.0, 100.0]
        assert features["c"].tolist() == ["1,2,3", "4,5", "6"]

    def test_dates_and_question_marks(self, tmp_path):
        path = tmp_path / "d.csv"
        path.write_text("when,x,y\n2020-01-01,?,1\n2020-02-01,2,0\n")
        table = as_table(path, "y")
        assert table.features["when"].dtype.kind == "M"
        assert table.features["x"].isna().tolist() == [True, False]

    def test_arff(self, tmp_path):
        path = tmp_path / "d.arff"
        path.write_text(
            "@relation r\n@attribute a numeric\n@attribute c {u,v}\n@data\n1,u\n?,v\n3,?\n"
        )
        table = as_table(path, "c")
        assert table.target is not None and table.target.isna().tolist() == [False, False, True]
        assert table.features["a"].isna().tolist() == [False, True, False]

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            ("empty.csv", b"", "is empty"),
            ("header.csv", b"a,b\n", "header but no rows"),
            ("blank.csv", b"\n\n\n", "no rows"),
            ("prose.txt", b"Dear all,\nplease, read, this.\nYours\n", "no table"),
            ("one.csv", b"a\n1\n2\n", "one column only"),
            ("long.csv", b"a,b\n" + b"1,2\n" * 300 + b"1,2,3\n", "no csv table"),
            ("binary.csv", bytes(range(256)) * 4, "not UTF-8|binary"),
            ("nul.csv", b"a,b\n1,\x00\n", "binary"),
            ("photo.png", b"\x89PNG", "do not know how to read"),
            ("nothing", b"a,b\n1,2\n", "do not know how to read"),
            ("broken.parquet", b"PAR1 but not really", "no parquet table"),
            ("broken.jsonl", b'{"a": 1}\n{"a": \n', "no jsonl table"),
            ("nested.jsonl", b'{"a": [1], "b": 2}\n', "lists or objects"),
            ("broken.csv.gz", b"\x1f\x8b but not really", "no csv table"),
            ("changed.csv.gz", PACKED[:30] + b"\xff\x00" + PACKED[32:], "no csv table"),
            ("cut.csv.gz", PACKED[:-20], "no csv table"),
            ("text.arff", b"@relation r\n@attribute a string\n@data\nx\n", "ARFF cannot be read"),
        ],
    )
    def test_refused(self, tmp_path, name, content, words):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidInputError, match=words):
            as_table(tmp_path / name, "b")

    def test_gzip_of_nothing(self, tmp_path):
        path = tmp_path / "d.csv.gz"
        path.write_bytes(gzip.compress(b""))
        with pytest.raises(InvalidInputError, match="no rows"):
            as_table(path)

    def test_no_file_and_a_folder(self, tmp_path):
        with pytest.raises(InvalidInputError, match="no file"):
            as_table(tmp_path / "absent.csv")
        with pytest.raises(InvalidInputError, match="folder"):
            as_table(tmp_path)


class TestRefused:
    def test_wrong_target_name_says_what_is_near(self):
        with pytest.raises(InvalidInputError, match=r"did you mean 'city'\?.*age, city, y"):
            as_table(FRAME, "citty")
        with pytest.raises(InvalidInputError, match="did you mean 'y'"):
            as_table(FRAME, "Y")

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            ((np.eye(3), [1, 2]), "different lengths: 3 rows against 2"),
            (np.zeros((2, 3, 4)), r"shape \(2, 3, 4\)"),
            (([[1], [2]], [None, None]), "missing in all 2 rows"),
            ((np.empty((0, 3)), []), "empty"),
            ((np.eye(2), np.eye(2)), "one target value a row"),
            ((np.eye(2), [1, 2], "y"), "a tuple of 3"),
            ([[1, 2], [3]], "different lengths"),
            (np.array([[1j]]), "complex"),
            ({"a": 1}, "Bunch"),
            (object(), "cannot make a table of object"),
            (None, "cannot make a table of NoneType"),
            (True, "cannot make a table of bool"),
            (b"a,b", "cannot make a table of bytes"),
            ((np.eye(2), 3), "no column named '3'"),
            ((np.eye(2), 0.5), "target column's name or its values"),
            (pd.DataFrame({"a": [[1], [2]], "b": [1, 2]}), "column 'a' holds lists"),
        ],
    )
    def test_clear_error(self, data, words):
        with pytest.raises(InvalidInputError, match=words):
            as_table(data)

    def test_target_given_twice(self):
        with pytest.raises(InvalidInputError, match="twice"):
            as_table((FRAME, "y"), "y")

    def test_doubled_target(self):
        frame = pd.DataFrame([[1, 2, 3]], columns=["y", "y", "b"])
        with pytest.raises(InvalidInputError, match="2 columns are named 'y'"):
            as_table(frame, "y")


class TestOpenML:
    def test_without_the_client(self, monkeypatch):
        real = builtins.__import__

        def without(name, *args, **kwargs):
            if name.split(".")[0] == "openml":
                raise ImportError(name)
            return real(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", without)
        for reference in ("openml:31", 31):
            with pytest.raises(MissingDependencyError, match="pip install"):
                as_table(reference)

    @pytest.mark.filterwarnings("ignore")
    def test_cached_dataset(self, realdata, tmp_path, monkeypatch):
        openml = pytest.importorskip("openml")
        cache = tmp_path / "cache"
        shutil.copytree(realdata("openml_client_cache"), cache)
        for folder in cache.rglob("*"):
            folder.chmod(0o755)
        monkeypatch.setattr(openml.config, "server", "https://test.openml.org/api/v1/xml")
        openml.config.set_root_cache_directory(str(cache))
        table = as_table("openml:2")
        assert table.source_id == "openml:2"
        assert shape(table) == (898, 38)
        assert table.target is not None and task_type(table) == "classification"


@pytest.mark.parametrize(
    ("target", "task"),
    [
        (["a", "b", "c"] * 3, "classification"),
        ([True, False] * 5, "classification"),
        ([0, 1] * 5, "classification"),
        ([0.0, 1.0, 2.0] * 10, "classification"),
        (list(range(30)), "regression"),
        ([0.5, 1.5, 2.5] * 10, "regression"),
        (list(pd.date_range("2020-01-01", periods=9)), "regression"),
        ([0.5, None, 1.5, 2.5], "regression"),
    ],
)
def test_task_type(target, task):
    assert task_type(as_table((np.zeros((len(target), 1)), target))) == task


def test_no_target_has_no_task():
    with pytest.raises(InvalidInputError, match="no target"):
        task_type(as_table(np.eye(2)))


def test_every_class_target_of_the_penn_collection_is_one(realdata):
    index = pd.read_csv(realdata("pmlb/index.csv"))
    index = index[index.file.notna() & (index.task == "classification")]
    assert len(index) > 90
    for row in index.itertuples():
        frame = pd.read_parquet(realdata(f"pmlb/{row.file}"), columns=["target"])
        assert task_type(as_table(frame.assign(x=0), "target")) == "classification", row.dataset
