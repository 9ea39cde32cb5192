"""Every classification learner is fitted to sets of any shape, by its own rule and by gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

torch = pytest.importorskip("torch")

from learners.catalogue import catalogue  # noqa: E402
from learners.episode import Examples  # noqa: E402
from learners.errors import LearnerError  # noqa: E402
from learners.execution import Execution  # noqa: E402
from learners.networks import MLP, Conv4  # noqa: E402
from learners.protonet import ProtoNet  # noqa: E402
from learners.recipes import Inputs, recipe  # noqa: E402
from learners.samplers import ClassSampler, Shape  # noqa: E402
from learners.shifted import views  # noqa: E402
from learners.training import Budget, Training, meta_train  # noqa: E402
from metastore.errors import InvalidInputError, UnknownNameError  # noqa: E402
from recommenders.starts import fitting, gradient_tuning  # noqa: E402
from recommenders.starts.augmentation import jittered  # noqa: E402
from recommenders.starts.cross_validation import plan  # noqa: E402
from recommenders.starts.evidence import embedded  # noqa: E402
from recommenders.starts.fit_checks import cross_validated  # noqa: E402
from recommenders.starts.fitted import softmax  # noqa: E402
from recommenders.starts.fitting import fit_scratch, fit_start, usual_tuning  # noqa: E402
from recommenders.starts.gradient_tuning import Chunks, moved, scored  # noqa: E402
from recommenders.starts.heads import modes_of, resized, tunable  # noqa: E402
from recommenders.starts.image_polarity import suited  # noqa: E402
from recommenders.starts.inputs import prepare  # noqa: E402
from recommenders.starts.linear_heads import (  # noqa: E402
    PENALTY,
    held_out_linear,
    regressed,
)
from recommenders.starts.loading import LoadedStart  # noqa: E402
from recommenders.starts.plain_classifiers import PLAIN, fit_plain  # noqa: E402
from recommenders.starts.support_sets import SupportSet, read_query, read_support  # noqa: E402
from recommenders.starts.tuning import GRADIENT, LINEAR, Tuning, tuning_space  # noqa: E402
from tests.starts import start_of  # noqa: E402

QUICK = Tuning("gradient", 3, 1e-3, "all", "none")


def classifiers() -> list[str]:
    found = []
    for method in catalogue():
        try:
            recipe(method.key, Inputs((1, 28, 28), 5, 1))
        except LearnerError:
            continue
        found.append(method.key)
    return found


@pytest.fixture(scope="module")
def drawings(realdata) -> np.ndarray:
    with np.load(realdata("omniglot/omniglot_28x28.npz")) as file:
        return file["images"][:60]


def drawn(
    drawings: np.ndarray, counts: list[int], first: int = 40
) -> tuple[SupportSet, SupportSet]:
    """Return a support set of so many drawings of each character, and 5 more of each."""
    n_way = len(counts)
    chosen = [drawings[first + k] for k in range(n_way)]
    images = [one for k, n in enumerate(counts) for one in chosen[k][:n]]
    support = read_support((images, np.repeat(np.arange(n_way), counts)), name="drawn")
    rest = [one for k, n in enumerate(counts) for one in chosen[k][n : n + 5]]
    return support, read_query((rest, np.repeat(np.arange(n_way), 5)), support)


@pytest.fixture(scope="module")
def trained(drawings: np.ndarray) -> LoadedStart:
    """A small prototypical network, trained on other characters for some seconds."""
    learner = ProtoNet(Conv4(0, filters=16))
    sampler = ClassSampler(torch.from_numpy(drawings[:40, :, None]), Shape(10, 1, 3))
    found = meta_train(learner, sampler, Budget(40), Training(1, 5e-3, execution=Execution()))
    return replace(start_of(learner, "proto-16"), state=found.state)


@pytest.mark.parametrize("method", classifiers())
def test_every_learner_is_fitted_to_an_uneven_set(method: str, drawings: np.ndarray) -> None:
    support, query = drawn(drawings, [1, 2, 4, 3])
    loaded = start_of(recipe(method, Inputs((1, 28, 28), 5, 1)).learner, method)
    preparation = prepare(loaded.start, support)
    modes = modes_of(loaded.learner, 4)
    assert modes in (("adapt", "gradient"), ("adapt", "linear", "gradient"))
    for mode in modes:
        fitted = fit_start(loaded, preparation, support, QUICK.but(mode=mode))
        chances = fitted.probabilities(query)
        assert chances.shape == (20, 4)
        assert np.isfinite(chances).all()
        assert np.allclose(chances.sum(1), 1)
        # A prediction does not depend on the other queries.
        alone = fitted.probabilities(query.take([7]))
        assert np.allclose(alone, chances[7], atol=1e-4)


@pytest.mark.parametrize("method", ["maml", "maml_plus_plus", "meta_sgd", "reptile", "snail"])
def test_more_classes_than_trained_with(method: str, drawings: np.ndarray) -> None:
    support, query = drawn(drawings, [2] * 7)
    loaded = start_of(recipe(method, Inputs((1, 28, 28), 5, 1)).learner, method)
    preparation = prepare(loaded.start, support)
    for mode in modes_of(loaded.learner, 7):
        fitted = fit_start(loaded, preparation, support, QUICK.but(mode=mode))
        assert fitted.probabilities(query).shape == (35, 7)
    if method == "snail":
        assert usual_tuning(loaded.learner, 7) == GRADIENT
        with pytest.raises(InvalidInputError, match="'adapt' for 7 classes; it can by: gradient"):
            fit_start(loaded, preparation, support, Tuning())


def test_a_widened_head_treats_all_classes_alike() -> None:
    learner = recipe("meta_sgd", Inputs((1, 28, 28), 5, 1)).learner
    state = learner.init(0)
    wide, found = resized(learner, state, 9)
    assert found["net.head.weight"].shape == (64, 9)
    assert found["rate.head.weight"].shape == (64, 9)
    mean = state["net.head.weight"].mean(1)
    assert all(torch.equal(column, mean) for column in found["net.head.weight"].T)
    assert {k: v.shape for k, v in wide.init(0).items()} == {k: v.shape for k, v in found.items()}
    assert resized(learner, state, 3) == (learner, state)


def test_a_linear_head_is_logistic_regression_and_held_out_fold_by_fold(
    trained: LoadedStart, drawings: np.ndarray
) -> None:
    support, query = drawn(drawings, [4, 3, 2])
    preparation = prepare(trained.start, support)
    examples, learner = preparation.tensors(support), trained.learner
    fitted = fit_start(trained, preparation, support, LINEAR)
    z, asked = (
        embedded(learner, trained.state, preparation.tensors(one)).double().numpy()
        for one in (support, query)
    )
    scale = (z - z.mean(0)).std()
    peer = LogisticRegression(C=1 / PENALTY, max_iter=300)
    peer.fit((z - z.mean(0)) / scale, support.labels)
    expected = peer.predict_proba((asked - z.mean(0)) / scale)
    assert fitted.probabilities(query) == pytest.approx(expected, abs=1e-4)
    folds = plan(support.labels, 1)
    found = held_out_linear(learner, trained.state, examples, 3, folds)
    train, held = folds.train[1], folds.held[1]
    alone = fit_start(trained, preparation, support.take(train), LINEAR)
    chances = softmax(found.log_odds[np.isin(found.rows, held)])
    assert chances == pytest.approx(alone.probabilities(support.take(held)), abs=1e-4)
    two = support.labels < 2  # scikit-learn has one column of weights for two classes
    weight, bias = regressed(z[two], support.labels[two], 3)
    scale = (z[two] - z[two].mean(0)).std()
    peer.fit((z[two] - z[two].mean(0)) / scale, support.labels[two])
    expected = peer.predict_proba((asked - z[two].mean(0)) / scale)
    assert softmax(asked @ weight + bias)[:, :2] == pytest.approx(expected)


def test_a_head_begins_as_the_prototypical_network(drawings: np.ndarray) -> None:
    """Snell et al. 2017, equation 8: both give the same probabilities."""
    support, query = drawn(drawings, [1, 2, 3, 4])
    x = torch.from_numpy(prepare(None, support).array(support)).flatten(1)
    asked = torch.from_numpy(prepare(None, support).array(query)).flatten(1)
    learner = ProtoNet(MLP((784, 32, 16)))
    state, y = learner.init(3), torch.from_numpy(support.labels)
    begin = tunable(learner, state, x, y, 4)
    ours = scored(begin, begin.params, asked, Chunks()).softmax(1)
    mask = torch.ones(len(y), dtype=torch.bool)
    theirs = learner.adapt(state, gradient_tuning.Examples(x, y, mask), 4).predict(asked).softmax(1)
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_trained_start_beats_pixels_and_gradients_help_it(
    trained: LoadedStart, drawings: np.ndarray
) -> None:
    support, query = drawn(drawings, [3] * 10)
    preparation = prepare(trained.start, support)
    adapted = fit_start(trained, preparation, support)
    plain = fit_plain("nearest centroid", support)
    assert adapted.accuracy(query) > plain.accuracy(query) + 0.1
    moved_on = fit_start(trained, preparation, support, GRADIENT.but(steps=30))
    assert moved_on.accuracy(query) > adapted.accuracy(query) - 0.05
    assert moved_on.curve[-1].loss < moved_on.curve[0].loss


def test_held_out_rows_stop_the_steps_where_there_are_enough(
    trained: LoadedStart, drawings: np.ndarray
) -> None:
    support, query = drawn(drawings, [12, 13, 12])
    preparation = prepare(trained.start, support)
    fitted = fit_start(trained, preparation, support, QUICK)
    assert "9 held-out rows" in fitted.rule
    assert "trained again on all rows" in fitted.rule
    assert fitted.curve[0].held_loss is not None
    given = fit_start(trained, preparation, support, QUICK, held_out=query)
    assert "loss of the given rows" in given.rule
    few = fit_start(trained, preparation, drawn(drawings, [11, 13])[0], QUICK)
    assert few.rule == "3 steps: too few examples a class to hold any out"
    assert few.curve[0].held_loss is None


def test_memory_that_runs_out_halves_the_chunk(
    trained: LoadedStart, drawings: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    support, query = drawn(drawings, [3, 3])
    preparation = prepare(trained.start, support)
    whole = gradient_tuning.Descent._loss
    failed: list[int] = []

    def once(self, params, part):
        if len(failed) < 2:
            failed.append(len(part.y))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, params, part)

    monkeypatch.setattr(fitting, "Chunks", lambda: Chunks(6))
    monkeypatch.setattr(gradient_tuning.Descent, "_loss", once)
    fitted = fit_start(trained, preparation, support, QUICK)
    assert failed == [6, 3]
    assert "memory ran out: 1 rows at once instead of 6" in fitted.notes
    assert np.isfinite(fitted.probabilities(query)).all()


def test_memory_that_never_suffices_is_an_error() -> None:
    def work() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        Chunks(8).run(work)


def test_training_that_diverges_says_so(trained: LoadedStart, drawings: np.ndarray) -> None:
    support, _ = drawn(drawings, [2, 2])
    broken = {name: value * torch.inf for name, value in trained.state.items()}
    with pytest.raises(InvalidInputError, match="diverged: the loss is nan at step 0"):
        fit_start(replace(trained, state=broken), prepare(None, support), support, QUICK)


def test_layers_that_move(trained: LoadedStart, drawings: np.ndarray) -> None:
    support, _ = drawn(drawings, [2, 2])
    examples = prepare(trained.start, support).tensors(support)
    begin = tunable(trained.learner, trained.state, examples.x, examples.y, 2)
    head = ["classes.weight", "classes.bias"]
    assert moved(begin, "head") == head
    assert moved(begin, "top") == ["block3.weight", "block3.scale", "block3.shift", *head]
    assert len(moved(begin, "all")) == 12 + 2
    fitted = fit_start(trained, prepare(trained.start, support), support, QUICK.but(layers="top"))
    after = fitted.model.params
    assert torch.equal(after["block2.weight"], trained.state["net.block2.weight"])
    assert not torch.equal(after["block3.weight"], trained.state["net.block3.weight"])


def test_strokes_are_turned_where_that_helps(trained: LoadedStart, drawings: np.ndarray) -> None:
    support, _ = drawn(drawings, [4] * 8)
    assert not suited(trained, support).inverted
    paper = replace(support, images=tuple(255 - one for one in support.images))
    preparation = suited(trained, paper)
    assert preparation.inverted
    assert "light and dark were exchanged" in preparation.notes[-1]
    shots = drawn(drawings, [1] * 8)[0]
    assert "could not be tried" in suited(trained, shots).notes[-1]
    known = replace(
        trained.start, normalisation={**trained.start.normalisation, "background": "dark"}
    )
    shots = replace(shots, images=tuple(255 - one for one in shots.images))
    assert suited(replace(trained, start=known), shots).inverted


def test_a_table_from_scratch_and_plain(realdata) -> None:
    whole = read_support(realdata("pmlb/parquet/iris.parquet"), "target")
    support, query = whole.take(range(0, 150, 5)), whole.take(range(2, 150, 5))
    fits = [fit_plain(name, support) for name in PLAIN]
    fits.append(fit_scratch(support))
    for fitted in fits:
        assert fitted.accuracy(query) > 0.7, fitted.name
        assert np.allclose(fitted.probabilities(query).sum(1), 1)
    held = cross_validated(lambda part: fit_plain("random forest", part), support)
    assert held is not None
    assert held.accuracy > 0.8
    with pytest.raises(UnknownNameError, match="there are: logistic regression"):
        fit_plain("svm", support)
    with pytest.raises(InvalidInputError, match="mode='gradient'"):
        fit_scratch(support, Tuning())


def test_jitter_moves_little() -> None:
    x = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.avg_pool2d(x, 7, 1, 3)
    again = jittered(smooth, torch.Generator().manual_seed(1))
    assert not torch.equal(again, smooth)
    assert (again - smooth).abs().mean() < 0.1
    rows = torch.zeros(2000, 3)
    assert jittered(rows, torch.Generator().manual_seed(1)).std() == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("mode", ["adapt", "linear", "gradient"])
def test_images_seen_shifted_are_answered_by_the_mean(
    mode: str, trained: LoadedStart, drawings: np.ndarray
) -> None:
    support, query = drawn(drawings, [3, 2, 4])
    preparation = prepare(trained.start, support)
    once = fit_start(trained, preparation, support, QUICK.but(mode=mode))
    fitted = fit_start(trained, preparation, support, QUICK.but(mode=mode, views="shifted"))
    assert fitted.tuning is not None
    assert fitted.tuning.config()["views"] == "shifted"
    shifted = [one.numpy() for one in views(torch.from_numpy(preparation.array(query)))]
    if mode == "gradient":  # the head is on what the mean says
        mean = np.mean([once.model.log_odds(one) for one in shifted], axis=0)  # type: ignore[union-attr]
    else:
        shown = [one.numpy() for one in views(torch.from_numpy(preparation.array(support)))]
        z, q = (np.mean([embed(trained, one) for one in rows], 0) for rows in (shown, shifted))
        if mode == "adapt":
            centres = np.stack([z[support.labels == k].mean(0) for k in range(3)])
            mean = -np.square(q[:, None] - centres[None]).sum(2)
        else:
            weight, bias = regressed(z, support.labels, 3)
            mean = q @ weight + bias
    assert np.allclose(fitted.log_odds(query), mean, rtol=1e-3, atol=1e-3)
    assert not np.allclose(fitted.log_odds(query), once.log_odds(query), rtol=1e-3, atol=1e-3)


def embed(loaded: LoadedStart, x: np.ndarray) -> np.ndarray:
    rows = torch.from_numpy(np.ascontiguousarray(x))
    seen = Examples(rows, torch.zeros(len(x)), torch.ones(len(x), dtype=torch.bool))
    return embedded(loaded.learner, loaded.state, seen).double().numpy()


def test_who_cannot_see_images_shifted_is_refused(drawings: np.ndarray) -> None:
    support, _ = drawn(drawings, [2, 2])
    loaded = start_of(recipe("maml", Inputs((1, 28, 28), 5, 1)).learner, "maml")
    with pytest.raises(InvalidInputError, match="cannot see rows shifted by 'adapt'"):
        fit_start(loaded, prepare(loaded.start, support), support, Tuning(views="shifted"))
    with pytest.raises(InvalidInputError, match="views is one of one, shifted"):
        Tuning(views="some")


def test_tunings_are_configs_of_their_space() -> None:
    space = tuning_space()
    for config in space.sample(20, 0):
        tuning = Tuning.of(config)
        assert set(tuning.config()) == set(config)
        space.encode([tuning.config()])
    with pytest.raises(InvalidInputError, match="layers is one of head, top, all"):
        Tuning(layers="some")
    with pytest.raises(InvalidInputError, match="steps are 1 to 2000"):
        Tuning(steps=0)


def test_prototypes_of_rows_that_are_all_alike_answer_evenly() -> None:
    frame = pd.DataFrame({"colour": ["red"] * 5, "y": list("aabbc")})
    support = read_support(frame, "y")
    fitted = fit_plain("nearest centroid", support)
    assert np.allclose(fitted.probabilities(support), 1 / 3)
