"""How candidates are held out and told apart, and what it costs."""

from __future__ import annotations

import itertools
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine

import metastore
from learners.episode import Examples
from learners.fomaml import fomaml
from learners.learner import Learner, State
from learners.matching import Matching
from learners.networks import MLP, Conv4
from learners.protonet import ProtoNet
from learners.samplers import ClassSampler, Shape
from learners.siamese import Siamese
from metastore import MetaStore
from metastore.types import DatasetRef
from recommenders.starts import (
    Asked,
    StartAdvice,
    answer,
    candidates,
    case,
    finetune,
    fits,
)
from recommenders.starts.candidates import Trial
from recommenders.starts.choice import Chosen, Settings
from recommenders.starts.cross_validation import HeldOut, plan
from recommenders.starts.evidence import embedded, held_out, novelty, task_embeddings
from recommenders.starts.finetune_words import outcome_text
from recommenders.starts.fitted import Vote
from recommenders.starts.loading import register
from recommenders.starts.record import past_tasks
from recommenders.starts.support_sets import read_support
from recommenders.starts.tuning import Tuning
from recommenders.starts.work import prepared
from tests.start_advice.helpers import SAID, SHAPE, STEPS, drawn, looped
from tests.starts import start_of


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


@pytest.fixture
def wine_trial() -> Trial:
    support = read_support(load_wine(as_frame=True).frame[::6], "target")
    return Trial(support, plan(support.labels, 2, 0))


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
