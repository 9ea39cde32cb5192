"""Several candidates together: who votes, what a vote is judged by, and how it is kept."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_wine

import metastore
from learners.description import describe
from learners.networks import Conv4
from learners.protonet import ProtoNet
from learners.set_encoder import SetEncoder
from metastore import MetaStore
from metastore.errors import InvalidInputError
from metastore.starts import Accuracy
from recommenders.starts import (
    Asked,
    answer,
    finetune,
    gathering,
    load,
)
from recommenders.starts.candidates import BY_LINE, Shown
from recommenders.starts.choice import Settings, choose
from recommenders.starts.cross_validation import HeldOut
from recommenders.starts.fitted import Vote, softmax
from recommenders.starts.loading import register
from recommenders.starts.record import past_tasks
from recommenders.starts.support_sets import read_query, read_support
from recommenders.starts.tuning import LINEAR, Tuning
from recommenders.starts.votes import together, vote
from tests.start_advice.helpers import STEPS, drawn
from tests.starts import start_of


def test_a_vote_is_judged_by_what_it_answers_and_kept_as_it_was_judged(
    made: Path, tmp_path: Path, characters: np.ndarray
) -> None:
    shutil.copytree(made, tmp_path / "copy")
    store = metastore.open(tmp_path / "copy")
    support, query = drawn(characters, [3] * 4)
    best = answer(store, support, Asked()).best
    assert best.choice == "vote"
    assert {"letters", "letters, by a linear head"} & {part.label for part in best.parts}
    assert best.held is not None
    assert best.evidence.n_held == 12
    seen = {part.label: part.tuning.views for part in best.parts if part.tuning is not None}
    assert seen["letters, by a linear head"] == seen["letters, by 60 gradient steps"] == "shifted"
    heat = {part.label: part.temperature for part in best.parts}
    assert heat["letters, by 60 gradient steps"] == 1.0  # they were not held out
    assert heat["letters, by a linear head"] != 1.0
    outcome = finetune(store, support, query=query)
    fitted = outcome.model.fitted
    assert isinstance(fitted.model, Vote)
    assert [part.name for part in fitted.model.parts] == [part.choice for part in best.parts]
    chances = np.mean([part.probabilities(query) for part in fitted.model.parts], axis=0)
    assert softmax(fitted.log_odds(query)) == pytest.approx(chances / chances.sum(1)[:, None])
    assert outcome.held_out is not None  # what was held out to choose is not held out again
    assert np.array_equal(outcome.held_out.log_odds, best.held.log_odds)
    kept = load(outcome.model.save(tmp_path / "model"))
    assert np.array_equal(kept.fitted.probabilities(query), outcome.probabilities)
    assert store.view("accuracy", "finetune").config(0)["start"] == "vote"
    assert past_tasks(store, [("vote", None)]).shape == (1, 1)


def test_a_vote_can_be_asked_for_by_name(
    made: Path, tmp_path: Path, characters: np.ndarray
) -> None:
    shutil.copytree(made, tmp_path / "copy")
    store = metastore.open(tmp_path / "copy")
    support, query = drawn(characters, [3] * 4)
    outcome = finetune(store, support, "vote", query, record=False)
    assert isinstance(outcome.model.fitted.model, Vote)
    asked = Settings("vote")
    assert choose(store, support, asked).name == "vote"
    with pytest.raises(InvalidInputError, match="fitted by its own rule"):
        Settings("vote", trials=2)
    with pytest.raises(InvalidInputError, match="fitted by its own rule"):
        Settings("vote", tuning=STEPS)


def test_seconds_of_a_vote_are_those_of_its_parts() -> None:
    learner = ProtoNet(Conv4(0, filters=8))
    start = replace(start_of(learner, "letters").start, learner=describe(learner))
    labels = np.arange(8) % 2
    held = HeldOut(np.eye(2)[labels], labels, np.arange(8))
    able = {"can_step": True, "can_shift": True}
    line = Shown("letters", start, held, 2.0, LINEAR, variant=BY_LINE, **able)
    own = Shown("letters", start, held, 0.1, Tuning(), **able)
    found = vote([line, own], np.array([0.9, 0.8]))
    assert found is not None
    # Both see five views; steps cost what embedding does, not what a linear head does.
    assert found.seconds == pytest.approx(5 * (2.0 + 0.1) + 60 * 0.4 * 0.1)


def test_where_nobody_can_vote_a_vote_is_refused(
    starts_store: MetaStore, characters: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    support, _ = drawn(characters, [3] * 4)
    monkeypatch.setattr(gathering, "vote", lambda shown, expected, kind: None)
    with pytest.raises(InvalidInputError, match="nothing can vote on characters"):
        choose(starts_store, support, Settings("vote"))


def test_a_vote_is_the_mean_of_what_its_parts_held_out() -> None:
    rng, labels, rows = np.random.default_rng(0), np.arange(8) % 2, np.arange(8)
    odds = np.eye(2)[labels]
    long, short = (
        Shown(name, held=HeldOut(odds[:n] + rng.standard_normal((n, 2)), labels[:n], rows[:n]))
        for name, n in (("nearest centroid", 8), ("random forest", 6))
    )
    found = together([long, short])
    assert found is not None
    assert long.held is not None
    assert short.held is not None
    each = [one.held.chances_apart()[:6] for one in (long, short)]
    assert np.exp(found.log_odds) == pytest.approx((each[0] + each[1]) / 2)
    assert together([long, Shown("support vectors")]) is None


def test_who_is_not_held_out_with_the_others_does_not_vote() -> None:
    labels = np.arange(8) % 2
    held = HeldOut(np.eye(2)[labels], labels, np.arange(8))
    part = HeldOut(held.log_odds[:4], labels[:4], np.arange(4))
    names = ("nearest centroid", "support vectors", "logistic regression", "from scratch")
    shown = [Shown(name, held=held) for name in names]
    shown[1] = Shown("support vectors", held=part)
    found = vote(shown, np.array([0.6, 0.9, 0.7, 0.8]))
    assert found is not None
    assert [one.choice for one in found.parts] == ["logistic regression", "nearest centroid"]


def test_an_answer_does_not_choose_the_temperature_it_is_judged_at() -> None:
    rng = np.random.default_rng(0)
    rows = np.tile(np.arange(12), 2)
    labels = (np.arange(12) % 3)[rows]
    odds = rng.standard_normal((24, 3)) + np.eye(3)[labels]
    found = HeldOut(odds, labels, rows).chances_apart()
    assert found.sum(1) == pytest.approx(1.0)
    for row in range(12):
        own, others = rows == row, rows % 5 != row % 5
        heat = HeldOut(odds[others], labels[others], rows[others]).temperature
        assert found[own] == pytest.approx(softmax(odds[own] / heat))
    wrong = np.where(rows == 4, (labels + 1) % 3, labels)
    assert np.array_equal(HeldOut(odds, wrong, rows).chances_apart()[rows == 4], found[rows == 4])
    assert not np.array_equal(HeldOut(odds, wrong, rows).chances_apart(), found)


def test_unlike_classifiers_and_the_best_start_vote_on_a_table(tmp_path: Path) -> None:
    store = metastore.open(tmp_path / "store", create=True)
    learner = SetEncoder()
    register(
        store, learner, learner.init(0), name="any-columns", method="set_encoder", kind="tables",
        n_way=None, accuracies=[Accuracy(3, 5, 0.8, 0.02, 100)],
    )  # fmt: skip
    x, y = load_wine(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(y))
    support = read_support((x[rows[:30]], y[rows[:30]]), name="wines")
    query = read_query((x[rows[30:]], y[rows[30:]]), support)
    ranked = answer(store, support, Asked(10)).ranked
    together_ = next(one for one in ranked if one.choice == "vote")
    names = {part.choice for part in together_.parts}
    assert names == {"any-columns", "random forest", "support vectors", "gradient boosting"}
    outcome = finetune(store, support, "vote", query)
    assert outcome.accuracy > 0.85
    kept = load(outcome.model.save(tmp_path / "model"))
    assert kept.fitted.probabilities(query) == pytest.approx(outcome.probabilities, abs=1e-5)


def test_nobody_votes_on_a_table_of_which_no_row_can_be_held_out(tmp_path: Path) -> None:
    store = metastore.open(tmp_path / "store", create=True)
    x, y = load_wine(return_X_y=True)
    first = [int(np.argmax(y == label)) for label in range(3)]
    ranked = answer(store, read_support((x[first], y[first]), name="three"), Asked(10)).ranked
    assert "vote" not in {one.choice for one in ranked}
