"""`headstart zoo build`: starts from bundled data, from folders and from the store's runs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import metastore
from metastore.errors import InvalidInputError
from metastore.starts import Accuracy
from tests.commands import Outcome

torch = pytest.importorskip("torch")

from learners.checkpoint import Snapshot, save  # noqa: E402
from learners.episode import examples  # noqa: E402
from learners.set_encoder import SetEncoder  # noqa: E402
from learners.training import Budget, Training  # noqa: E402
from recommenders.starts import zoo as zoos  # noqa: E402
from recommenders.starts import zoo_tables  # noqa: E402
from recommenders.starts.loading import load_start, register_checkpoint  # noqa: E402
from recommenders.starts.names import checked_name  # noqa: E402
from recommenders.starts.zoo import Zoo, build  # noqa: E402
from recommenders.starts.zoo_data import (  # noqa: E402
    HELD_OUT_DIGITS,
    bundled_digits,
    bundled_tables,
    split_tables,
    user_images,
    user_tables,
)
from recommenders.starts.zoo_tables import SHOTS, crossed_accuracies  # noqa: E402


def few_accuracies(state, seconds):
    return (Accuracy(5, 1, 0.5, 0.1, 10),)


@pytest.fixture
def short(monkeypatch):
    """A few iterations of each start."""
    made = zoos._exhibits

    def few(zoo):
        for one in made(zoo):
            yield replace(one, iterations=3, measure=few_accuracies)

    monkeypatch.setattr(zoos, "_exhibits", few)


def test_bundled_starts_and_the_surrogate_of_the_runs_are_kept(short, small_store) -> None:
    store = metastore.open(small_store)
    found = {start.name: start for start in build(store, Zoo())}
    assert set(found) == {
        *("digits-protonet", "digits-fomaml", "bundled-tables", "runs-deep-kernel")
    }
    kinds = {name: start.kind for name, start in found.items()}
    assert kinds["bundled-tables"] == "tables" and kinds["digits-fomaml"] == "images"
    assert kinds["runs-deep-kernel"] == "surrogate"
    assert found["digits-fomaml"].n_way == 5 and found["bundled-tables"].n_way is None
    for start in store.starts():
        loaded = load_start(start)
        assert loaded.state and loaded.start.trained_on
    tasks = load_start(store.start("bundled-tables")).tasks
    assert tasks is not None and tasks.shape == (5, SetEncoder().width)


def test_a_start_for_tables_takes_a_table_of_another_width(short, store) -> None:
    build(store, Zoo())
    loaded = load_start(store.start("bundled-tables"))
    x, y = bundled_tables()["wine"]
    adapted = loaded.learner.adapt(loaded.state, examples(x[::4], y[::4]))
    right = adapted.predict(x[1::4]).argmax(1) == y[1::4]
    assert right.float().mean() > 0.9


def test_what_is_done_is_passed_over_and_what_was_cut_goes_on(short, store, monkeypatch) -> None:
    lines: list[str] = []
    first = build(store, Zoo(say=lines.append))
    assert len(first) == sum("3 iterations" in line for line in lines) == 3
    lines.clear()
    three = zoos._exhibits
    monkeypatch.setattr(zoos, "_exhibits", lambda z: [replace(e, iterations=5) for e in three(z)])
    second = build(store, Zoo(say=lines.append))
    assert sum("5 iterations" in line for line in lines) == len(second)
    assert {one.start_id for one in first}.isdisjoint({one.start_id for one in second})
    lines.clear()
    third = build(store, Zoo(say=lines.append))
    assert [one.start_id for one in third] == [one.start_id for one in second]
    assert sum("there already" in line for line in lines) == len(third)


def test_without_time_nothing_is_trained_and_it_says_so(short, store) -> None:
    lines: list[str] = []
    assert build(store, Zoo(minutes=1e-9, say=lines.append)) == [] == store.starts()
    assert sum("no time left" in line for line in lines) == 3


def test_users_folders_bring_starts_of_their_own(short, store, tmp_path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 7, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "glyphs.npz", images=images)
    folder = tmp_path / "farm"
    folder.mkdir()
    lines = ["colour,size,target"] + [
        f"{'red' if i % 3 else 'blue'},{i},{'yes' if i % 2 else 'no'}" for i in range(40)
    ]
    (folder / "cows.csv").write_text("\n".join(lines))
    built = build(store, Zoo(images=tmp_path / "glyphs.npz", tables=folder))
    names = {start.name for start in built}
    assert {"glyphs-protonet", "glyphs-matching", "glyphs-fomaml", "farm-tables"} <= names
    assert "table:cows" in store.start("farm-tables").trained_on


@pytest.mark.parametrize("name", ["digits", "my drawings", "auto"])
def test_names_are_good_before_training_and_none_is_a_bundled_one(name, tmp_path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 7, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / f"{name}.npz", images=images)
    (tmp_path / "bundled").mkdir()
    (tmp_path / "bundled" / "cows.csv").write_text("size,target\n" + "1,yes\n2,no\n" * 20)
    own = Zoo(images=tmp_path / f"{name}.npz", tables=tmp_path / "bundled")
    names = [exhibit.name for exhibit in zoos._exhibits(own)]
    assert len(set(names)) == len(names) == 7
    assert all(checked_name(one) == one for one in names)
    mine = {"digits": "my-digits", "auto": "my-auto"}.get(name, "my-drawings")
    assert f"{mine}-protonet" in names and "my-bundled-tables" in names


def test_what_learn_trained_on_one_table_takes_other_columns_too(store, tmp_path) -> None:
    learner = SetEncoder(width=4, levels=2)
    about = {"source": "a.csv", "input_shape": [7], "scale": {"mean": [0.0], "deviation": [1.0]}}
    save(tmp_path / "one.json", learner, Snapshot(learner.init(0)), about)
    kept = register_checkpoint(store, tmp_path / "one.json", name="one", method="set_encoder")
    assert (kept.kind, kept.input_shape, dict(kept.normalisation)) == ("tables", (), {})


def test_digits_measured_on_are_not_trained_on() -> None:
    data = bundled_digits()
    digits = {name.split()[0] for name in data.train}
    assert digits.isdisjoint(map(str, HELD_OUT_DIGITS)) and len(data.held_out) == 12
    assert all(
        one.shape[1:] == (1, 28, 28) and one.dtype == torch.uint8 for one in data.train.values()
    )


def test_tables_are_split_by_name_and_only_where_there_are_ten() -> None:
    tables = bundled_tables()
    assert not split_tables(tables).held_out
    many = {f"{name} {i}": one for name, one in tables.items() for i in range(3)}
    split = split_tables(many)
    assert len(split.held_out) == 3 and not set(split.held_out) & set(split.train)


@pytest.mark.slow
def test_a_start_for_tables_is_measured_on_tables_left_out_in_turn(store, monkeypatch) -> None:
    seen = []
    drawn = zoo_tables.WideTableSampler

    def watched(tables, shape, seed):
        seen.append(len(tables))
        return drawn(tables, shape, seed)

    monkeypatch.setattr(zoo_tables, "WideTableSampler", watched)
    data = split_tables(bundled_tables())
    (made,) = [one for one in zoos._exhibits(Zoo()) if one.name == "bundled-tables"]
    few = Training(2, 1e-3, progress=False)
    found = crossed_accuracies(made.learner, data.train, few, Budget(5), 4)
    assert {(one.n_way, one.k_shot) for one in found} == {(w, k) for w in (2, 5) for k in SHOTS}
    # Five trainings on four tables; each table is measured alone, digits with five classes, too.
    assert seen.count(4) == 5 and seen.count(1) == 5 * 3 + 3 and len(seen) == 23
    two = next(one for one in found if one.n_way == 2)
    assert two.n_episodes == 5 * 4 and 0.4 < two.value < 1 and two.half_width > 0
    assert made.measure(made.learner.init(0), 0.0) == ()
    assert crossed_accuracies(made.learner, {"one": data.train["wine"]}, few, Budget(5)) == ()


def test_what_was_not_measured_is_when_it_is_built_again(short, store, monkeypatch) -> None:
    measured = zoos._exhibits
    bare = lambda zoo: [replace(one, measure=lambda s, t: ()) for one in measured(zoo)]  # noqa: E731
    monkeypatch.setattr(zoos, "_exhibits", bare)
    assert all(not one.accuracies for one in build(store, Zoo()))
    monkeypatch.setattr(zoos, "_exhibits", measured)
    lines: list[str] = []
    assert all(one.accuracies for one in build(store, Zoo(say=lines.append)))
    assert not any("there already" in line for line in lines)


def test_a_target_of_numbers_is_cut_and_text_and_gaps_become_numbers(tmp_path) -> None:
    rows = ["kind,amount,target"] + [f"{'ab'[i % 2]},{i if i % 5 else ''},{i}" for i in range(90)]
    (tmp_path / "one.csv").write_text("\n".join(rows))
    (tmp_path / "note.csv").write_text("a,target\n1,2\n")
    tables = user_tables(tmp_path)
    assert set(tables) == {"one"}
    x, y = tables["one"]
    assert torch.isfinite(x).all() and y.bincount().tolist() == [30, 30, 30]


def test_folders_without_anything_to_learn_from_are_refused(tmp_path) -> None:
    with pytest.raises(InvalidInputError, match="no table to learn from"):
        user_tables(tmp_path)
    np.savez(tmp_path / "few.npz", images=np.zeros((4, 9, 28, 28), np.uint8))
    with pytest.raises(InvalidInputError, match="4 classes"):
        user_images(tmp_path / "few.npz")


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan")])
def test_no_time_is_refused(store, minutes) -> None:
    with pytest.raises(InvalidInputError, match="minutes"):
        build(store, Zoo(minutes=minutes))


def test_the_command_says_what_it_does(short, headstart, tmp_path: Path) -> None:
    done: Outcome = headstart("zoo", "build", "--store", tmp_path / "new", "--device", "cpu")
    assert re.search(r"start 'digits-protonet': id [0-9a-f-]+", done.out)
    assert "runs-deep-kernel: no runs in the store" in done.err
    wrong = headstart("zoo", "build", "--images", "nowhere", "--store", tmp_path / "new")
    assert wrong.status == 2 and "no folder or file 'nowhere'" in wrong.err
