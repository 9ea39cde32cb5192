"""`headstart finetune` and `headstart predict` as a person uses them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("torch")

from metastore import MetaStore
from recommenders.starts.finetuning import finetune
from tests.commands import RunIt
from tests.starts import digits, write_folder


@pytest.mark.parametrize("labelled", [True, False])
def test_a_table_is_asked_with_and_without_its_target(
    labelled: bool, store: MetaStore, headstart: RunIt, mixed: pd.DataFrame, tmp_path: Path
) -> None:
    query = mixed if labelled else mixed.drop(columns="tall")
    found = finetune(store, mixed, "random forest", query, target="tall", record=False)
    assert (found.query.labels >= 0).all() == labelled
    assert found.probabilities.shape == (40, 2)
    values = finetune(
        store, mixed[["age", "job"]], "random forest", query[:7], target=mixed["tall"].to_numpy()
    )
    assert len(values.probabilities) == 7
    mixed.to_csv(tmp_path / "jobs.csv", index=False)
    query.to_csv(tmp_path / "new.csv", index=False)
    args = ("finetune", "jobs.csv", "--target", "tall", "--start", "nearest centroid")
    shown = headstart(*args, "--query", "new.csv", "--out", "jobs")
    assert shown.status == 0, shown.err
    assert ("labelled query" in shown.out) == labelled
    assert "predicted" in shown.out
    assert headstart("predict", "jobs", "new.csv").status == 0


def test_the_commands(headstart: RunIt, tmp_path: Path, mixed: pd.DataFrame) -> None:
    write_folder(tmp_path / "digits", *digits(3))
    write_folder(tmp_path / "more", *digits(2, seed=5))
    args = ("finetune", "digits", "--start", "nearest centroid", "--query", "more")
    shown = headstart(*args, "--out", "model")
    assert shown.status == 0, shown.err
    assert "30 rows of 10 classes, 3 of each" in shown.out
    assert "labelled query" in shown.out
    assert "headstart predict model QUERY" in shown.out
    said = headstart(*args, "--json").json
    assert said["start"] == "nearest centroid"
    assert len(said["predictions"]) == 20
    rows = headstart("predict", "model", "more/3", "--json").json
    assert [row["predicted"] for row in rows].count("3") >= 1
    assert sum(rows[0][f"p({k})"] for k in range(10)) == pytest.approx(1)
    csv = headstart("predict", "model", "more", "--csv").out.splitlines()
    assert csv[0].startswith("row,label,predicted,probability,p(0)")
    assert len(csv) == 21
    mixed.to_csv(tmp_path / "jobs.csv", index=False)
    shown = headstart(
        "finetune", "jobs.csv", "--target", "tall", "--start", "random forest", "--out", "jobs"
    )
    assert shown.status == 0, shown.err
    assert "random forest" in shown.out
    assert headstart("predict", "jobs", "jobs.csv").status == 0
    assert "finetune" in headstart("runs").out


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("finetune", "empty"), "no images below"),
        (("finetune", "one"), "needs two classes or more"),
        (("finetune", "notes.txt", "--target", "y"), "is no table"),
        (("finetune", "jobs.csv"), "Say --target NAME"),
        (("finetune", "jobs.csv", "--target", "tal"), "did you mean 'tall'"),
        (("finetune", "digits", "--query", "jobs.csv"), "the query is of another kind"),
        (("finetune", "digits", "--csv"), "give --query as well"),
        (("finetune", "digits", "--start", "nothing"), "Besides starts there are"),
        (("finetune", "digits", "--start", "from scratch", "--device", "tpu"), "auto, cpu or cuda"),
        (("predict", "empty", "digits"), "no model in empty"),
    ],
)
def test_errors_are_clear(
    args: tuple[str, ...], says: str, headstart: RunIt, tmp_path: Path, mixed: pd.DataFrame
) -> None:
    write_folder(tmp_path / "digits", *digits(2))
    images, labels = digits(2)
    write_folder(tmp_path / "one", images[:2], labels[:2])
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("Dear diary,\ntoday, it rained, and\nI stayed in.\n")
    mixed.to_csv(tmp_path / "jobs.csv", index=False)
    failed = headstart(*args)
    assert failed.status == 2
    assert says in failed.err
    assert "Traceback" not in failed.err


@pytest.mark.parametrize("wrong", [("--start", "nope"), ("--query", "nowhere")])
def test_what_cannot_be_fine_tuned_makes_no_store(
    wrong: tuple[str, ...], headstart: RunIt, tmp_path: Path
) -> None:
    write_folder(tmp_path / "digits", *digits(2))
    failed = headstart("finetune", "digits", *wrong)
    assert failed.status == 2
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("starts",), "but not on how many rows slow candidates are tried"),
        (("finetune",), "but not on how many rows slow candidates are tried"),
        (("learn",), "but not how far training comes in --minutes"),
        (("zoo", "build"), "but not how far training comes in --minutes"),
    ],
)
def test_help_says_what_a_seed_does_not_fix(
    command: tuple[str, ...], says: str, headstart: RunIt
) -> None:
    shown = headstart(*command, "--help").out
    assert says in " ".join(shown.replace("│", " ").replace("|", " ").split())


def test_without_a_store_the_way_to_starts_is_said(headstart: RunIt, tmp_path: Path) -> None:
    write_folder(tmp_path / "digits", *digits(2))
    for args in (("starts",), ("starts", "digits")):
        failed = headstart(*args)
        assert failed.status == 2
        for way in ("headstart zoo build", "headstart learn", "headstart finetune"):
            assert way in failed.err
        assert "import runs" not in failed.err


def test_a_folder_that_is_taken_is_refused_before_fitting(
    headstart: RunIt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "digits", *digits(2))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("dear")
    monkeypatch.setattr("recommenders.starts.finetuning.choose", None)
    failed = headstart("finetune", "digits", "--out", "taken")
    assert failed.status == 2
    assert "holds something else" in failed.err
