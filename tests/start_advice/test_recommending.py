"""Which start for which support set, on characters and digits, with starts trained here."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits, load_iris, load_wine

import metastore
from learners.description import describe
from learners.fomaml import fomaml
from learners.learner import Learner, State
from learners.networks import Conv4
from metastore import MetaStore
from metastore.errors import InvalidInputError
from metastore.starts import Accuracy
from metastore.types import DatasetRef
from recommenders.starts import (
    Asked,
    answer,
    case,
    finetune,
    fits,
    recommend,
)
from recommenders.starts.fitted import Fitted
from recommenders.starts.loading import register
from recommenders.starts.plain_classifiers import fit_plain
from tests.commands import RunIt
from tests.start_advice.helpers import SAID, drawn
from tests.starts import planted


def test_the_start_that_helps_is_recommended_whatever_another_one_says_of_itself(
    starts_store: MetaStore, characters: np.ndarray
) -> None:
    support, _ = drawn(characters, [5] * 5)
    found = answer(starts_store, support, Asked(without_starts=False, by_vote=False))
    assert found.best.choice == "letters"
    assert found.best.start == starts_store.start("letters")
    assert found.best.evidence.n_held == 25
    assert found.best.evidence.novelty < 3
    assert set(found.best.evidence.scores) == {"logme", "h_score"}
    assert found.best.tuning is not None
    assert len(found.ranked) == 2
    low, high = found.best.interval
    assert 0.2 < low < found.best.accuracy < high <= 1
    assert dict(found.refused) == {
        "four-columns": "it takes rows of a table, and the support set holds images"
    }


def test_the_same_question_has_the_same_answer_and_order_of_rows_hardly_matters(
    starts_store: MetaStore, characters: np.ndarray
) -> None:
    support, _ = drawn(characters, [3, 3, 3])
    asked = Asked(without_starts=False)
    first, again = (answer(starts_store, support, asked) for _ in range(2))
    assert [replace(one, seconds=0.0) for one in first.ranked] == [
        replace(one, seconds=0.0) for one in again.ranked
    ]
    turned = answer(starts_store, support.take(np.arange(len(support))[::-1]), asked)
    assert turned.best.choice == first.best.choice


def test_characters_dark_on_light_are_turned_where_that_helps(
    starts_store: MetaStore, characters: np.ndarray
) -> None:
    support, _ = drawn(characters, [10] * 5)
    negative = replace(support, images=tuple(255 - image for image in support.images))
    asked = Asked(without_starts=False)
    first, other = (
        next(one for one in answer(starts_store, each, asked).ranked if one.choice == "letters")
        for each in (support, negative)
    )
    said = "light and dark are exchanged: more held-out rows are right that way"
    assert said in other.evidence.notes
    assert said not in first.evidence.notes
    assert other.evidence.held_out == first.evidence.held_out
    assert other.evidence.novelty == pytest.approx(first.evidence.novelty, rel=1e-3)


def test_with_one_example_a_class_it_says_that_nothing_could_be_held_out(
    starts_store: MetaStore, characters: np.ndarray
) -> None:
    support, _ = drawn(characters, [1] * 4)
    found = recommend(starts_store, support, 10)
    assert all(one.evidence.n_held == 0 for one in found.ranked)
    assert "nothing can be held out" in found.text()
    assert {"from scratch", "logistic regression"} < {one.choice for one in found.ranked}


def test_a_class_with_one_example_is_named(starts_store: MetaStore, characters: np.ndarray) -> None:
    support, _ = drawn(characters, [4, 1, 4])
    found = answer(starts_store, support, Asked(without_starts=False))
    assert found.best.evidence.n_held == 8
    assert "cannot be held out: character 1." in found.text()


def test_no_time_leaves_what_is_believed_beforehand(
    starts_store: MetaStore, characters: np.ndarray
) -> None:
    support, _ = drawn(characters, [4] * 4)
    found = recommend(starts_store, support, 10, seconds=0)
    assert all(one.evidence.n_held == 0 for one in found.ranked)
    scratch = next(one for one in found.ranked if one.choice == "from scratch")
    assert scratch.evidence.notes == ("no time was left to try it",)


def test_a_plain_classifier_is_recommended_where_no_start_helps(tmp_path: Path) -> None:
    store = metastore.open(tmp_path / "store", create=True)
    gradient = fomaml(Conv4(10, filters=4, strided=True), steps=1)
    register(store, gradient, gradient.init(0), name="untrained", method="fomaml", **SAID)
    x, y = load_digits(return_X_y=True)
    rows = np.concatenate([np.flatnonzero(y == c)[:6] for c in range(5)])
    images = (x[rows].reshape(-1, 8, 8) * 15).astype(np.uint8)
    found = recommend(store, (images, y[rows]), seconds=20)
    assert found.best.start is None
    assert found.best.accuracy > 0.6


def test_a_table_without_any_start_gets_what_suits_it(starts_store: MetaStore) -> None:
    x, y = load_wine(return_X_y=True)
    found = recommend(starts_store, (x[::4], y[::4]), seconds=30)
    assert found.best.start is None
    assert found.best.accuracy > 0.8
    assert "no start that takes this set" in found.text()
    reason = dict(found.refused)["four-columns"]
    assert reason == "it takes rows of 4 columns, and the support set has 13"


def test_more_classes_than_a_head_has_room_for_are_judged_with_a_wider_one(
    starts_store: MetaStore, characters: np.ndarray
) -> None:
    support, _ = drawn(characters, [2] * 6)
    found = answer(starts_store, support, Asked(without_starts=False))
    boaster = next(one for one in found.ranked if one.choice == "boaster")
    assert boaster.evidence.n_held > 0


def test_what_past_tasks_taught_counts_and_the_own_task_does_not(
    made: Path, tmp_path: Path, characters: np.ndarray
) -> None:
    shutil.copytree(made, tmp_path / "copy")
    store = metastore.open(tmp_path / "copy")
    support, _ = drawn(characters, [1] * 4)
    asked = Asked(10, by_vote=False)
    before = answer(store, support, asked)
    assert before.best.choice == "boaster"
    for dataset, values in {
        **{f"task {i}": (0.9, 0.4) for i in range(6)}, "own": (0.1, 1.0)
    }.items():  # fmt: skip
        ref = support.dataset() if dataset == "own" else DatasetRef(dataset)
        for start, value in zip(("letters", "boaster"), values, strict=True):
            config = {"start": start, "mode": "adapt"}
            with store.run(ref, "finetune", config) as run:
                run.log(accuracy=value)
    after = answer(store, support, asked)
    assert after.best.choice == "letters"
    assert after.best.evidence.past_tasks == 6
    assert "on 6 earlier tasks" in after.best.reason


def test_what_cannot_be_asked_is_refused(starts_store: MetaStore, characters: np.ndarray) -> None:
    with pytest.raises(InvalidInputError, match="two classes"):
        recommend(starts_store, (characters[0, :4], ["a"] * 4))
    with pytest.raises(InvalidInputError, match="how many starts"):
        recommend(starts_store, (characters[:2, 0], ["a", "b"]), 0)


def test_the_command_lists_and_ranks(
    headstart: RunIt, made: Path, characters: np.ndarray, tmp_path: Path
) -> None:
    support, _ = drawn(characters, [3, 3])
    images = np.stack(support.images)[..., 0]
    np.savez(tmp_path / "set.npz", images=images, labels=support.labels)
    listed = headstart("starts", "-s", made, "--json")
    assert [row["start"] for row in listed.json] == ["boaster", "four-columns", "letters"]
    assert "80% (5 classes, 1 each)" in headstart("starts", "-s", made).out
    quick = ("starts", tmp_path / "set.npz", "-s", made, "--seconds", 2)
    ranked = headstart(*quick, "-n", 2, "--json")
    assert ranked.status == 0
    assert len(ranked.json["ranked"]) == 2
    assert ranked.json["refused"][0]["start"] == "four-columns"
    words = headstart(*quick)
    assert re.search(r"^1\. \S.*: expected accuracy \d+%", words.out, re.MULTILINE)
    assert "Not usable here: four-columns, because it takes rows" in words.out
    table = headstart(*quick, "--table")
    assert "held_out" in table.out
    wrong = headstart("starts", tmp_path / "none.npz", "-s", made)
    assert wrong.status == 2
    assert wrong.err.startswith("headstart: ")


@pytest.mark.parametrize(
    "column", [["red", "red", "red", "blue", "red", "red"], [0, 0, 0, 0, 1, 0], [1.5] * 6]
)
def test_a_small_table_whose_folds_are_constant_has_advice(
    column: list[object], starts_store: MetaStore
) -> None:
    frame = pd.DataFrame({"x": column, "y": list("aabbab")})
    found = recommend(starts_store, frame, 20, target="y")
    assert {"nearest centroid", "logistic regression"} <= {one.choice for one in found.ranked}
    assert finetune(starts_store, frame, target="y", record=False).probabilities is None


@pytest.mark.parametrize("n", [10, 15])
def test_where_no_column_varies_no_more_is_expected_than_the_largest_class(
    n: int, starts_store: MetaStore
) -> None:
    frame = pd.DataFrame({"w": 1.0, "x": 0.5, "y": "red", "z": [None] * 20})
    frame["class"] = ["a"] * n + ["b"] * (20 - n)
    found = recommend(starts_store, frame, 20, target="class")
    assert found.best.accuracy == pytest.approx(n / 20, abs=0.03)
    assert max(one.accuracy for one in found.ranked) == found.best.accuracy
    low, high = found.best.interval
    assert low < n / 20 < high
    assert high - low > 0.2
    assert "No column varies" in found.text()
    frame["w"] = range(20)
    assert "No column varies" not in recommend(starts_store, frame, target="class").text()


def test_a_candidate_that_fails_is_a_note_and_not_the_end(
    starts_store: MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(name: str, *args: Any, **kwargs: Any) -> Fitted:
        if name == "random forest":
            raise ValueError("a forest needs rain")
        return fit_plain(name, *args, **kwargs)

    def no_network(*_: Any, **__: Any) -> Fitted:
        raise RuntimeError("no gradient")

    monkeypatch.setattr(fits, "fit_plain", failing)
    monkeypatch.setattr(fits, "fit_scratch", no_network)
    monkeypatch.setattr(case, "WORTH_TRYING", 0.0)
    monkeypatch.setattr(case, "WORTH_GAINING", 0.0)
    wine = load_wine(as_frame=True).frame[::6]
    found = recommend(starts_store, wine, 20, target="target")
    refused = dict(found.refused)
    assert "a forest needs rain" in refused["random forest"]
    assert "RuntimeError: no gradient" in refused["from scratch"]
    assert not {"random forest", "from scratch"} & {one.choice for one in found.ranked}
    assert "Not usable here: random forest, because" in found.text()


def test_a_start_that_is_called_as_a_choice_is_refused(
    made: Path, tmp_path: Path, prototypes: tuple[Learner, State], characters: np.ndarray
) -> None:
    """It would be taken for the vote itself; an earlier version let scripts add it nevertheless."""
    shutil.copytree(made, tmp_path / "copy")
    store = metastore.open(tmp_path / "copy")
    learner, state = prototypes
    with pytest.raises(InvalidInputError, match="no start can be named 'vote'"):
        register(store, learner, state, name="vote", **SAID)
    with pytest.raises(InvalidInputError, match="no start can be named 'vote'"):
        store.add_start(state, name="vote", learner=describe(learner), **SAID)
    planted(store, state, name="vote", learner=describe(learner), **SAID)
    support, _ = drawn(characters, [2] * 3)
    found = answer(store, support, Asked(10))
    assert "no start can be named 'vote'" in dict(found.refused)["vote"]
    assert [one.start for one in found.ranked if one.choice == "vote"] == [None]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"accuracies": (Accuracy(5, 1, 97.0, 0.5, 100),)}, "did you mean 0.97"),
        ({"accuracies": (Accuracy(None, 1, 0.9, 0.5, 100),)}, "n_way: expected a whole number"),  # type: ignore[arg-type]
        ({"n_way": "five"}, "n_way: expected a whole number"),
        ({"learner": "x"}, "learner: expected"),
        ({"kind": "rows", "input_shape": (1, 8, 8)}, "takes rows of a table"),
    ],
)
def test_a_start_that_says_nonsense_is_fatal_for_no_other(
    fields: dict[str, Any],
    why: str,
    store: MetaStore,
    prototypes: tuple[Learner, State],
    characters: np.ndarray,
) -> None:
    learner, state = prototypes
    register(store, learner, state, name="letters", **SAID)
    planted(store, state, **{"name": "wrong", "learner": describe(learner), **SAID, **fields})
    support, _ = drawn(characters, [2] * 3)
    found = answer(store, support, Asked(10))
    assert why in dict(found.refused)["wrong"]
    assert "letters" in {one.choice for one in found.ranked}
    with pytest.raises(InvalidInputError, match=why):
        finetune(store, support, "wrong", record=False)


def test_rows_are_not_asked_of_a_start_whose_columns_nobody_said(
    store: MetaStore, prototypes: tuple[Learner, State]
) -> None:
    learner, state = prototypes
    with pytest.warns(UserWarning, match="nothing says what shape an input has"):
        store.add_start(state, name="wide", learner=describe(learner), kind="rows")
    iris = load_iris(as_frame=True).frame[::10]
    found = recommend(store, iris, 3, target="target")
    assert "kind='rows', input_shape=(4,))" in dict(found.refused)["wide"]
