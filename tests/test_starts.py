"""Which start for which support set, on characters and digits, with starts trained here."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits, load_wine

import metastore
from benchmarks.starts import choosing, choosing_tables
from benchmarks.starts import tuning as tuning_bench
from learners.description import describe
from learners.episode import Examples
from learners.fomaml import fomaml
from learners.learner import Learner, State
from learners.matching import Matching
from learners.networks import MLP, Conv4
from learners.protonet import ProtoNet
from learners.samplers import ClassSampler, Shape
from learners.set_encoder import SetEncoder
from learners.siamese import Siamese
from learners.training import Budget, Training, meta_train
from metastore import MetaStore
from metastore.errors import InvalidInputError
from metastore.starts import Accuracy
from metastore.types import DatasetRef
from recommenders.starts import (
    Asked,
    StartAdvice,
    answer,
    candidates,
    case,
    finetune,
    fits,
    gathering,
    load,
    recommend,
)
from recommenders.starts.backtest import (
    HINDSIGHT,
    WAYS,
    Outcome,
    Task,
    backtest,
    remembering,
    summary,
)
from recommenders.starts.candidates import BY_LINE, Shown, Trial
from recommenders.starts.choice import Chosen, Settings, choose
from recommenders.starts.cross_validation import HeldOut, plan
from recommenders.starts.evidence import embedded, held_out, novelty, task_embeddings
from recommenders.starts.finetune_words import outcome_text
from recommenders.starts.fitted import Fitted, Vote, softmax
from recommenders.starts.loading import register
from recommenders.starts.plain_classifiers import fit_plain
from recommenders.starts.record import past_tasks
from recommenders.starts.support_sets import SupportSet, read_query, read_support
from recommenders.starts.tuning import LINEAR, Tuning
from recommenders.starts.votes import together, vote
from recommenders.starts.work import prepared
from tests.commands import RunIt
from tests.starts import start_of

SHAPE = Shape(5, 1, 3)
SAID = {
    "kind": "images",
    "input_shape": (1, 28, 28),
    "normalisation": {"scale": "bytes divided by 255"},
}
STEPS = Tuning("gradient", 5)


@pytest.fixture(scope="session")
def characters(realdata: Callable[[str], Path]) -> np.ndarray:
    """Images of background characters `(60, 20, 28, 28)`."""
    with np.load(realdata("omniglot") / "omniglot_28x28.npz", allow_pickle=False) as file:
        images: np.ndarray = file["images"][file["is_background"]][::16][:60]
    return images


@pytest.fixture(scope="session")
def prototypes(characters: np.ndarray) -> tuple[Learner, State]:
    """A prototypical network, briefly trained on forty characters."""
    learner = ProtoNet(Conv4(0, filters=16))
    sampler = ClassSampler(torch.from_numpy(characters[:40])[:, :, None], SHAPE)
    training = Training(2, 3e-3, progress=False, validate_every=10**6)
    trained = meta_train(learner, sampler, Budget(300), training)
    return learner, trained.state


@pytest.fixture(scope="session")
def made(
    tmp_path_factory: pytest.TempPathFactory,
    characters: np.ndarray,
    prototypes: tuple[Learner, State],
) -> Path:
    """A store with a trained start, an untrained one that boasts, and one for rows."""
    folder = tmp_path_factory.mktemp("starts") / "store"
    store = metastore.open(folder, create=True)
    learner, state = prototypes
    sampler = ClassSampler(torch.from_numpy(characters[:40])[:, :, None], SHAPE)
    tasks = task_embeddings(learner, state, sampler, 12)
    record = [Accuracy(5, 1, 0.8, 0.02, 100)]
    register(
        store, learner, state, name="letters", method="protonet", accuracies=record,
        tasks=tasks, trained_on=("characters",), **SAID,
    )  # fmt: skip
    gradient = fomaml(Conv4(3, filters=8, strided=True), steps=1)
    boast = [Accuracy(5, 1, 0.85, 0.02, 100)]
    register(
        store, gradient, gradient.init(0), name="boaster", method="fomaml", accuracies=boast, **SAID
    )
    rows = ProtoNet(MLP((4, 8, 8)))
    register(
        store, rows, rows.init(0), name="four-columns", method="protonet", kind="rows",
        input_shape=(4,),
    )  # fmt: skip
    return folder


@pytest.fixture
def starts_store(made: Path) -> MetaStore:
    return metastore.open(made)


def drawn(
    characters: np.ndarray, counts: list[int], seed: int = 0
) -> tuple[SupportSet, SupportSet]:
    """Return a support set of unseen characters with so many examples, and a query of five each."""
    rng = np.random.default_rng(seed)
    chosen = 40 + rng.permutation(20)[: len(counts)]
    orders = [rng.permutation(20) for _ in counts]
    names = [f"character {i}" for i in range(len(counts))]

    def part(first: list[int], n: list[int]) -> tuple[np.ndarray, np.ndarray]:
        pairs = list(zip(chosen, orders, first, n, strict=True))
        images = np.concatenate([characters[c][o[f : f + k]] for c, o, f, k in pairs])
        return images, np.repeat(names, n)

    support = read_support(part([0] * len(counts), counts), name="characters")
    return support, read_query(part(counts, [5] * len(counts)), support)


def looped(learner: Learner, state: State, support: Examples, n_way: int, seed: int) -> np.ndarray:
    """Return held-out answers by adapting to one fold after the other."""
    folds, found = plan(support.y.numpy(), 2, seed), []
    for train, held in zip(folds.train, folds.held, strict=True):
        inner = Examples(*(part[torch.from_numpy(train)] for part in support))
        predictor = learner.adapt(state, inner, n_way)
        found.append(predictor.predict(support.x[torch.from_numpy(held)])[:, :n_way])
    return torch.cat(found).double().numpy()


@pytest.mark.parametrize(
    "learner",
    [
        ProtoNet(Conv4(0, filters=4)),
        Matching(Conv4(0, filters=4)),
        Siamese(Conv4(6, filters=4), 6),
        fomaml(Conv4(4, filters=4, strided=True), steps=2),
    ],
    ids=lambda learner: type(learner).__name__,
)
def test_folds_at_once_answer_as_one_after_the_other(
    characters: np.ndarray, learner: Learner
) -> None:
    support, _ = drawn(characters, [3, 2, 4, 1])
    x = torch.from_numpy(np.stack(support.images)).permute(0, 3, 1, 2).float() / 255
    y = torch.from_numpy(support.labels)
    examples = Examples(x, y, torch.ones(len(y), dtype=torch.bool))
    state = learner.init(0)
    sampler = ClassSampler(torch.from_numpy(characters[:40])[:, :, None], Shape(4, 1, 1))
    state = learner.finish(state, sampler.sample(0, 2))
    found = held_out(learner, state, examples, 4, plan(support.labels, 2, seed=3))
    assert found.log_odds == pytest.approx(looped(learner, state, examples, 4, 3), abs=1e-4)
    assert (found.labels == support.labels[found.rows]).all()


def test_embeddings_are_what_is_compared_or_what_lies_before_the_head(
    characters: np.ndarray,
) -> None:
    x = torch.from_numpy(characters[:4, 0])[:, None].float() / 255
    examples = Examples(x, torch.arange(4), torch.ones(4, dtype=torch.bool))
    siamese = Siamese(Conv4(6, filters=4), 6)
    assert embedded(siamese, siamese.init(0), examples).shape == (4, 6)
    gradient = fomaml(Conv4(3, filters=4, strided=True))
    state = gradient.init(0)
    features = embedded(gradient, state, examples)
    head = features @ state["net.head.weight"] + state["net.head.bias"]
    params = {name.removeprefix("net."): value for name, value in state.items()}
    assert torch.allclose(head, gradient.network(params, x, examples.mask), atol=1e-5)
    rows = fomaml(MLP((3, 7, 2)))
    flat = Examples(torch.randn(4, 3), torch.zeros(4, dtype=torch.long), examples.mask)
    state = rows.init(0)
    features = embedded(rows, state, flat)
    assert features.shape == (4, 7)
    answers = features @ state["net.head.weight"] + state["net.head.bias"]
    predicted = rows.network(
        {k.removeprefix("net."): v for k, v in state.items()}, flat.x, flat.mask
    )
    assert torch.allclose(answers, predicted, atol=1e-5)


def test_photographs_of_noise_are_stranger_than_characters(
    characters: np.ndarray, prototypes: tuple[Learner, State]
) -> None:
    learner, state = prototypes
    sampler = ClassSampler(torch.from_numpy(characters[:40])[:, :, None], SHAPE)
    tasks = task_embeddings(learner, state, sampler, 12)
    assert tasks.shape == (12, 16)

    def away(images: np.ndarray) -> float:
        x = torch.from_numpy(images)[:, None].float() / 255
        mask = torch.ones(len(x), dtype=torch.bool)
        z = embedded(learner, state, Examples(x, torch.zeros(len(x), dtype=torch.long), mask))
        return novelty(z.mean(0).double().numpy(), tasks)

    own, inverted = characters[41:46, 0], 255 - characters[41:46, 0]
    assert away(own) < away(inverted)
    assert np.isnan(novelty(np.zeros(2), np.zeros((2, 2))))


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


def test_a_start_by_gradient_steps_is_a_candidate_and_what_was_judged_is_fitted(
    tmp_path: Path, characters: np.ndarray
) -> None:
    store = metastore.open(tmp_path / "store", create=True)
    gradient = fomaml(Conv4(5, filters=8, strided=True), steps=1)
    register(store, gradient, gradient.init(0), name="raw", method="fomaml", **SAID)
    support, query = drawn(characters, [5] * 3)
    found = answer(store, support, Asked(without_starts=False))
    (best,) = found.ranked  # a start is listed once, by its own rule or by steps
    assert best.tuning is not None
    assert best.tuning.mode == "gradient"
    assert best.evidence.n_held == 15
    assert "raw, by 60 gradient steps" in found.text()
    without = answer(store, support, Asked(without_starts=False, by_steps=False)).best
    assert without.tuning == Tuning()
    assert without.accuracy < best.accuracy
    past = (({"start": "raw", "mode": "adapt"}, 0.9), ({"start": "raw"} | STEPS.config(), 0.2))
    for number in range(4):  # what other tasks say of its own rule is not what was judged here
        for config, value in past:
            with store.run(DatasetRef(f"task {number}"), "finetune", config) as run:
                run.log(accuracy=value)
    chosen = Chosen("raw", best.start, best.reason, best.tuning, best.preparation)
    work = prepared(store, support, chosen, Settings("raw"))
    assert [one.tuning for one in work.tunings] == [best.tuning]
    fitted = work.fit(support, best.tuning)
    assert fitted.preparation is best.preparation
    assert fitted.accuracy(query) > 0.5


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


def test_a_tuning_that_was_asked_for_is_what_is_fitted(
    made: Path, tmp_path: Path, characters: np.ndarray
) -> None:
    shutil.copytree(made, tmp_path / "copy")
    store = metastore.open(tmp_path / "copy")
    support, _ = drawn(characters, [3] * 4)
    assert answer(store, support, Asked()).best.choice == "vote"
    fitted = finetune(store, support, tuning=STEPS, record=False).model.fitted
    assert not isinstance(fitted.model, Vote)


def test_an_uneven_set_is_told_with_classes_counted_alike(
    made: Path, tmp_path: Path, characters: np.ndarray
) -> None:
    shutil.copytree(made, tmp_path / "copy")
    store = metastore.open(tmp_path / "copy")
    support, query = drawn(characters, [6, 2, 2])
    found = answer(store, support, Asked())
    assert found.best.held is not None
    share = found.best.held.balanced
    assert f"counted alike, {share:.0%} of what {found.best.choice}" in found.notes[-1]
    assert "2 to 6 examples" in found.notes[-1]
    outcome = finetune(store, support, query=query, record=False)
    assert outcome.held_out is not None
    said = " ".join(outcome_text(outcome).split())
    assert f"{outcome.held_out.balanced:.1%} with classes counted alike" in said
    even, _ = drawn(characters, [3, 2, 3])
    assert not any("counted alike" in note for note in answer(store, even, Asked()).notes)


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


def test_what_takes_long_is_tried_only_where_it_may_win(
    starts_store: MetaStore, characters: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    support, _ = drawn(characters, [4] * 4)
    asked = Asked(5, without_starts=False, by_steps=False)
    monkeypatch.setattr(candidates, "CHEAP", 0.0)

    def boaster() -> StartAdvice:
        ranked = answer(starts_store, support, asked).ranked
        return next(one for one in ranked if one.choice == "boaster")

    assert boaster().evidence.n_held == 16  # by what it says of itself it may be the best
    monkeypatch.setattr(case, "WORTH_TRYING", 1.1)
    untried = boaster()
    assert untried.evidence.n_held == 0
    assert "not tried: a chance of" in untried.evidence.notes[-1]


def test_folds_in_two_parts_answer_as_all_of_them() -> None:
    labels = np.repeat(np.arange(3), 4)
    folds = plan(labels, 2)
    once, rest = folds.split(4)
    assert len(once) == len(rest) == 4
    assert once.n_repeats == 1
    assert [*once.rows, *rest.rows] == folds.rows.tolist()
    odds = np.random.default_rng(0).standard_normal((24, 3))
    whole = HeldOut(odds, labels[folds.rows], folds.rows)
    parts = [
        HeldOut(part, labels[some.rows], some.rows)
        for part, some in zip((odds[:12], odds[12:]), (once, rest), strict=True)
    ]
    assert parts[0].joined(parts[1]).correct == pytest.approx(whole.correct)
    assert np.array_equal(parts[0].each, whole.each)


def test_past_tunings_of_another_mode_say_nothing(tmp_path: Path) -> None:
    store = metastore.open(tmp_path / "store", create=True)
    for mode, value in (("adapt", 0.5), ("gradient", 0.9)):
        with store.run(DatasetRef("one"), "finetune", {"start": "s", "mode": mode}) as run:
            run.log(accuracy=value)
    found = past_tasks(store, [("s", "adapt"), ("s", "gradient"), ("s", None), ("t", None)])
    shares = 1 / (1 + np.exp(-found))
    assert shares[0, :3] == pytest.approx([0.5, 0.9, 0.7], abs=0.01)
    assert np.isnan(found[0, 3])


def test_the_backtest_charges_every_way_with_what_it_chose(
    starts_store: MetaStore, characters: np.ndarray
) -> None:
    tasks = []
    for seed, count in enumerate((1, 2, 3)):
        support, query = drawn(characters, [count] * 4, seed)
        tasks.append(Task(f"task {seed}", f"group {seed % 2}", support, query))
    seen: list[str] = []
    asked = Asked(without_starts=False)
    outcomes = backtest(starts_store, tasks, asked, lambda one: seen.append(one.task))
    assert seen == ["task 0", "task 1", "task 2"]
    for one in outcomes:
        assert one.of(HINDSIGHT) == max(one.accuracy.values())
        assert one.of("combined") == one.accuracy[one.chosen["combined"]]
        assert one.chosen["static"] == "boaster"
    rows = {row["choice"]: row for row in summary(outcomes)}
    assert set(WAYS) < set(rows)
    assert rows[HINDSIGHT]["behind"] == 0
    assert rows["combined"]["accuracy"] > rows["static"]["accuracy"]
    assert rows["held-out rows"]["tasks"] == 2
    kept = [Outcome(**json.loads(json.dumps(asdict(one)))) for one in outcomes]
    assert [one.chosen for one in remembering(kept)] == [one.chosen for one in outcomes]


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
    """It would be taken for the vote itself; a script can have added it nevertheless."""
    shutil.copytree(made, tmp_path / "copy")
    store = metastore.open(tmp_path / "copy")
    learner, state = prototypes
    with pytest.raises(InvalidInputError, match="no start can be named 'vote'"):
        register(store, learner, state, name="vote", **SAID)
    store.add_start(state, name="vote", learner=describe(learner), **SAID)
    support, _ = drawn(characters, [2] * 3)
    found = answer(store, support, Asked(10))
    assert "no start can be named 'vote'" in dict(found.refused)["vote"]
    assert [one.start for one in found.ranked if one.choice == "vote"] == [None]


def test_what_other_threads_work_is_no_time_of_a_candidate(
    wine_trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(time, "process_time", lambda: 100.0 * next(ticks))
    for one in fits.show_plain(wine_trial)[:2]:
        assert one.notes == ()
        assert set(one.held.rows) == set(range(len(wine_trial.support)))
    learner = fomaml(MLP((13, 8, 3)), steps=1)
    loaded = replace(start_of(ProtoNet(Conv4(0))), learner=learner, state=learner.init(0))
    start = replace(loaded.start, kind="rows", input_shape=(13,))
    monkeypatch.setattr(candidates, "load_start", lambda *_, **__: replace(loaded, start=start))
    monkeypatch.setattr(candidates, "CHEAP", 50.0)
    assert candidates.show_start(wine_trial, start).held is not None


@pytest.fixture
def wine_trial() -> Trial:
    support = read_support(load_wine(as_frame=True).frame[::6], "target")
    return Trial(support, plan(support.labels, 2, 0))


@pytest.mark.parametrize("read", [choosing.outcomes, choosing_tables.outcomes, tuning_bench.done])
def test_a_line_that_a_kill_tore_is_no_end_of_a_benchmark(
    read: Callable[[Path], list[Any]], tmp_path: Path
) -> None:
    by_folder = read is choosing_tables.outcomes
    file = tmp_path / "chosen.jsonl"
    if read is tuning_bench.done:
        row: dict[str, Any] = {"task": "a", "group": "g", "accuracy": [0.5]}
    else:
        row = asdict(Outcome("a", "g", {"x": 0.5}, {"combined": "x"}, (0.5, 0.4, 0.6), 1.0))
    line = json.dumps(row) + "\n"
    place = tmp_path if by_folder else file
    assert read(place) == []
    file.write_text(line + line + line[: len(line) // 2])
    assert [one.task for one in read(place)] == ["a", "a"]
    with file.open("a") as more:
        more.write(line)
    assert len(read(place)) == 3
