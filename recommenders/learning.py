"""Training a few-shot learner from a source of data: what `headstart learn` does."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from metastore.errors import HeadstartError, InvalidInputError, MissingDependencyError
from recommenders.starts.names import checked_name, slug

if TYPE_CHECKING:
    from learners.checkpoint import Report
    from learners.evaluation import Score
    from learners.training import Trained, Training
    from metastore.starts import Start
    from metastore.store import MetaStore
    from recommenders.episode_sources import Source, Wanted
    from recommenders.starts.training import Label

_PER_VALIDATION = 100
#: Iterations of a run that minutes alone bound.
_ENDLESS = 10**9


@dataclass(frozen=True)
class Lesson:
    """What to train, on what, and for how long.

    Args:
        source: a folder of images by class, an npz file, a table, or "sinusoid".
        out: path of the checkpoint's JSON file.
        method: a key of the catalogue of learners.
        minutes: wall-clock bound; None for none.
        episodes: training episodes; None for no bound. One of the two is needed.
        device: "auto" takes a GPU if there is one.
        resume: go on from the checkpoint at `out`.
        test_episodes: episodes of the test at the end, and at most of a validation.
        tensorboard: folder for TensorBoard's files; None writes none.
        say: called with a line for every validation; None shows a progress bar on a terminal.
        options: further settings of `recommenders.episode_sources.Wanted`.
        store: opens the store whose registry of starts it goes into, once nothing was refused
            and before training begins; None for none.
        label: what to call it there; by default it is named after `out`.
    """

    source: str
    out: Path
    method: str
    minutes: float | None = None
    episodes: int | None = None
    device: str = "auto"
    resume: bool = False
    test_episodes: int = 600
    tensorboard: Path | None = None
    say: Callable[[str], None] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    store: Callable[[], MetaStore] | None = None
    label: Label | None = None


@dataclass(frozen=True)
class Learned:
    """What came out.

    Args:
        checkpoint: the JSON file, with its tensors beside it.
        curve: the learning curve as a PNG; None without matplotlib.
        iterations: meta-iterations done, over all calls.
        seconds: wall-clock seconds of training, over all calls.
        test: accuracy or squared error on classes or groups never trained on.
        start: its entry in the registry; None if it was not to be registered.
    """

    checkpoint: Path
    curve: Path | None
    iterations: int
    seconds: float
    test: Score
    start: Start | None = None


def learn(lesson: Lesson) -> Learned:
    """Train, keep the checkpoint, draw the learning curve, and test on what was held out.

    Raises:
        InvalidInputError: if the source, the method or the checkpoint there cannot be used, or
            the loss became NaN.
        MissingDependencyError: if torch is not installed.
    """
    try:
        from learners.errors import LearnerError, NonFiniteLossError  # noqa: PLC0415 - torch
        from recommenders.episode_sources import Wanted, open_source  # noqa: PLC0415 - torch
    except ImportError as error:
        raise MissingDependencyError(
            f"learning needs torch, and {error.name} is not there: pip install "
            "'headstart[learners]'"
        ) from error
    wanted = _checked(lesson, Wanted(**lesson.options))
    try:
        return _trained(lesson, open_source(lesson.source, wanted))
    except (LearnerError, NonFiniteLossError) as error:
        raise InvalidInputError(str(error)) from error


def report(learned: Learned) -> str:
    """Return in words what came out."""
    kind = "accuracy" if learned.test.larger_is_better else "mean squared error"
    curve = f", learning curve {learned.curve.name}" if learned.curve else ""
    return (
        f"{learned.iterations:,} iterations in {learned.seconds:.0f} s; on "
        f"{learned.test.n_episodes} test episodes of unseen classes or groups: {kind} "
        f"{learned.test}\n"
        f"{learned.checkpoint}: learner and state{curve}{_registered(learned.start)}"
    )


def _registered(start: Start | None) -> str:
    if start is None:
        return ""
    shapes = ", ".join(
        f"{one.n_way}-way {one.k_shot}-shot {one.value:.3f} ± {one.half_width:.3f}"
        for one in start.accuracies
        if one.n_way
    )
    return f"\nstart {start.name!r} is in the registry" + (f": {shapes}" if shapes else "")


def methods() -> list[dict[str, str]]:
    """Return the catalogue of learners as rows; imports no torch."""
    from learners.catalogue import catalogue  # noqa: PLC0415 - it alone, not the package

    return [
        {
            "method": method.key,
            "name": method.name,
            "needs": method.needs,
            "good_for": method.good_for,
            "citation": method.citation,
        }
        for method in catalogue()
    ]


def _label(lesson: Lesson) -> Label:
    from recommenders.starts.training import Label  # noqa: PLC0415 - torch

    return lesson.label or Label(slug(lesson.out.stem))


def _checked(lesson: Lesson, wanted: Wanted) -> Wanted:
    if lesson.store is not None:
        checked_name(_label(lesson).name)
    if lesson.minutes is None and lesson.episodes is None:
        raise InvalidInputError("how long? Give a budget: --minutes, --episodes, or both")
    if lesson.minutes is not None and not lesson.minutes > 0:
        raise InvalidInputError(f"minutes are above 0, got {lesson.minutes}")
    if lesson.out.suffix != ".json":
        raise InvalidInputError(f"the checkpoint is a .json file, got {lesson.out}")
    if lesson.resume and not lesson.out.exists():
        raise InvalidInputError(f"no checkpoint at {lesson.out} to resume; leave out --resume")
    if not lesson.resume and lesson.out.exists():
        raise InvalidInputError(
            f"{lesson.out} is there already: --resume goes on from it, or choose another --out"
        )
    known = {row["method"] for row in methods()}
    if lesson.method not in known:
        raise InvalidInputError(
            f"no method named {lesson.method!r}; `headstart learners` lists: "
            + ", ".join(sorted(known))
        )
    return wanted


def _trained(lesson: Lesson, source: Source) -> Learned:
    from learners.checkpoint import about  # noqa: PLC0415 - torch
    from learners.evaluation import evaluate  # noqa: PLC0415
    from learners.recipes import recipe  # noqa: PLC0415
    from learners.training import Budget, meta_train  # noqa: PLC0415

    method = {"method": lesson.method}  # another one is refused as another learner
    if lesson.resume and {**about(lesson.out), **method} != _about(lesson, source):
        raise InvalidInputError(
            f"{lesson.out} was trained on other episodes: resume with the source, ways, shots, "
            "columns and seed that it began with, so that held-out classes stay held out"
        )
    chosen = recipe(lesson.method, source.inputs)
    training = _settings(lesson, chosen.training, source)
    iterations = _ENDLESS
    if lesson.episodes is not None:
        iterations = max(1, lesson.episodes // training.meta_batch)
    seconds = None if lesson.minutes is None else 60 * lesson.minutes
    store = None if lesson.store is None else lesson.store()
    trained = meta_train(
        chosen.learner,
        source.train,
        Budget(iterations, seconds, by_time=bool(seconds)),
        training,
        source.validation,
    )
    if not trained.iterations:
        raise InvalidInputError(
            f"{lesson.minutes} minutes were over before the first iteration; give more"
        )
    test = evaluate(
        trained.learner, trained.state, source.test, lesson.test_episodes, training.execution
    )
    seconds = trained.history[-1].seconds
    start = None
    if store is not None:
        start = _start(store, lesson, source, (trained, test, training))
    return Learned(lesson.out, _drawn(lesson, trained), trained.iterations, seconds, test, start)


def _about(lesson: Lesson, source: Source) -> dict[str, Any]:
    return {**source.about, "method": lesson.method}


def _start(
    store: MetaStore, lesson: Lesson, source: Source, came_out: tuple[Trained, Score, Training]
) -> Start | None:
    """Return the entry in the registry of what was trained, after measuring it."""
    from learners.samplers import Shape  # noqa: PLC0415 - torch
    from recommenders.starts.training import (  # noqa: PLC0415
        accuracies,
        accuracy,
        add_file,
        tasks_of,
    )

    label, (trained, test, training) = _label(lesson), came_out
    learner, state = trained.learner, trained.state
    told = {
        "accuracies": accuracies(
            learner, state, source.test, execution=training.execution, known=test
        )
        or (accuracy(test, Shape(0, source.inputs.k_shot, 0)),),
        "tasks": tasks_of(learner, state, source.train),
        "seconds": trained.history[-1].seconds,
    }
    try:
        return add_file(store, lesson.out, label, **told)
    except (OSError, HeadstartError) as error:
        warnings.warn(
            f"{lesson.out} was trained but is not in the registry: {error}. Add it later: "
            f"headstart start add {quote(str(lesson.out))} --name {label.name}",
            stacklevel=2,
        )
        return None


def _settings(lesson: Lesson, training: Training, source: Source) -> Training:
    device = device_of(lesson.device)
    watch: list[Callable[[Report], None]] = []
    if lesson.say is not None:
        watch.append(_teller(lesson.say))
    if lesson.tensorboard is not None:
        from learners.tensorboard import TensorBoard  # noqa: PLC0415 - only when asked for

        watch.append(TensorBoard(lesson.tensorboard))
    iterations = (lesson.episodes or _ENDLESS) // training.meta_batch
    return replace(
        training,
        validate_every=max(1, min(_PER_VALIDATION, iterations // 10)),
        validation_episodes=min(training.validation_episodes, lesson.test_episodes),
        checkpoint_every=_PER_VALIDATION,
        checkpoint=lesson.out,
        progress=lesson.say is None and sys.stderr.isatty(),
        execution=replace(training.execution, device=device),
        about=_about(lesson, source),
        watch=tuple(watch),
    )


def device_of(wanted: str) -> str:
    """Return where to train: "auto" takes a GPU if torch sees one.

    Raises:
        InvalidInputError: if it is none of auto, cpu and cuda, or there is no GPU.
    """
    import torch  # noqa: PLC0415 - heavy

    there = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted not in ("auto", "cpu", "cuda") or (wanted == "cuda" and there == "cpu"):
        raise InvalidInputError(
            f"cannot train on {wanted!r}: choose auto, cpu or cuda; torch sees "
            + ("a GPU here" if there == "cuda" else "no GPU here")
        )
    return there if wanted == "auto" else wanted


def _teller(say: Callable[[str], None]) -> Callable[[Report], None]:
    return lambda report: say(
        f"iteration {report.iteration}, {report.seconds:.0f} s: loss {report.loss:.3f}, "
        f"validation {report.validation}"
    )


def _drawn(lesson: Lesson, trained: Trained) -> Path | None:
    from recommenders.learning_curve import draw  # noqa: PLC0415 - matplotlib

    curve = lesson.out.with_suffix(".png")
    title = f"{lesson.method} on {Path(lesson.source).name}"
    return curve if draw(curve, trained.history, title) else None
