"""The demo is honest: real tables, relatives left out, and it says so when random wins."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import metastore
from examples import demo, report
from examples.algorithms import SPACES, accuracy, draw, short
from examples.picture import draw_picture, plot_text
from examples.race import Race, compared, follow
from examples.tables import ROWS, tables
from recommenders import Evidence, Recommendation

ADVICE = Recommendation(
    "sklearn.svm.SVC", {"C": 1.0}, 0.9, (0.8, 1.0), 0.1, Evidence("portfolio", (), 3, 12)
)


def race_of(advised: list[float], random: list[list[float]]) -> Race:
    return compared([ADVICE] * len(advised), advised, random)


def test_tables_are_whole_and_say_where_they_are_from() -> None:
    found = tables()
    assert 12 <= len(found) <= 20
    for name, table in found.items():
        assert table.name == name
        assert table.source_id.startswith("sklearn:")
        assert table.target is not None
        assert 2 <= table.target.nunique() <= 10
        assert 50 < len(table.features) == len(table.target) <= ROWS
        assert not table.features.isna().any(axis=None)


def test_random_configs_lie_in_their_spaces_and_every_algorithm_has_its_turn() -> None:
    drawn = draw(20, seed=3)
    assert drawn == draw(20, seed=3) != draw(20, seed=4)
    assert all(SPACES[algorithm].contains(config) for algorithm, config in drawn)
    assert sorted(a for a, _ in drawn) == sorted([*SPACES] * 4)


@pytest.mark.parametrize("algorithm", SPACES, ids=short)
def test_every_algorithm_trains_from_its_recorded_name(algorithm: str) -> None:
    table = tables()["iris_two_species"]
    (config,) = SPACES[algorithm].sample(1, seed=0)
    first, again = (accuracy(table, algorithm, config) for _ in range(2))
    assert first == again
    assert all(0 <= fold <= 1 for fold in first)


def test_tables_of_one_source_are_left_out_together(tmp_path: Path) -> None:
    store = metastore.open(tmp_path / "store")
    for name in ("iris", "iris_sepals", "wine"):
        with store.run(tables()[name], "a", {"x": 1}, metafeatures=False) as run:
            run.result(accuracy=0.5)
    asked = store.dataset(tables()["iris_two_species"])
    assert store.view("accuracy", exclude=[asked.name]).datasets == ("wine",)


def test_asking_goes_on_with_what_was_observed() -> None:
    asked: list[int] = []

    def recommend(task: str, observed: list[metastore.Observation], n: int) -> list[Recommendation]:
        asked.append(len(observed))
        return [replace(ADVICE, config={"C": float(len(observed))})]

    advice, results = follow(recommend, "iris", 3, lambda one: float(one.config["C"]) / 10)
    assert asked == [0, 1, 2]
    assert results == [0.0, 0.1, 0.2]
    assert [one.config["C"] for one in advice] == [0.0, 1.0, 2.0]


def test_a_race_is_of_the_best_so_far() -> None:
    race = race_of([0.6, 0.5, 0.9], [[0.5, 0.7, 0.1], [0.6, 0.6, 0.8]])
    assert race.recommended.tolist() == [0.6, 0.6, 0.9]
    assert race.random.tolist() == [[0.5, 0.7, 0.7], [0.6, 0.6, 0.8]]
    assert race.beaten.tolist() == [1.5, 0.5, 2.0]
    assert race.runs_to_match() == 2


@pytest.mark.parametrize(
    ("advised", "random", "wins"), [([0.9, 0.9], 0.5, False), ([0.4, 0.4], 0.5, True)]
)
def test_it_says_so_when_random_wins(advised: list[float], random: float, wins: bool) -> None:
    said = " ".join(report.verdict(race_of(advised, [[random] * 2] * 3)).split())
    assert ("RANDOM SEARCH DOES AS WELL OR BETTER" in said) == wins


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "race.png"
    assert draw_picture(race_of([0.6, 1.0], [[0.5, 0.7], [0.6, 0.6]]), "iris", file)
    assert file.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_there_is_a_plot_of_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    race = race_of([0.9, 0.9], [[0.5, 0.9], [0.5, 0.9]])
    assert not draw_picture(race, "iris", tmp_path / "race.png")
    lines = plot_text(race).splitlines()
    assert lines[1].split("|") == ["    50.0% ", "  x"]
    assert lines[10].split("|") == ["    10.0% ", "  o   *"]
    assert np.char.count(lines[2:10], "x").sum() == 0


def test_a_wrong_name_is_a_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        demo.main(["--dataset", "digit"])
    assert "did you mean digits?" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_demo_in_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("iris", "wine_two_growers", "diabetes_blood", "photos_statistics", "iris_two_species")
    monkeypatch.setattr(demo, "tables", lambda: {name: tables()[name] for name in few})
    for size, number in {"PAST_CONFIGS": 5, "RUNS": 2, "RANDOM_SEARCHES": 2}.items():
        monkeypatch.setattr(demo, size, number)
    demo.main(["--dataset", "iris_two_species", "--out", str(tmp_path), "--processes", "2"])
    printed = capsys.readouterr().out
    assert "20 runs (20 completed) of 5 algorithms on 4 tables by 2 processes" in printed
    assert "cut from the same source (sklearn:iris): iris." in printed
    assert (tmp_path / "race-iris_two_species.png").exists()
    store = metastore.open(tmp_path / "store-1")
    runs = store.query("SELECT count(*) AS runs FROM run_states WHERE status = 'completed'")
    assert runs["runs"].item() == 20 + 2 + 2 * 2
