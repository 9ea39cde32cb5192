"""Where episodes come from: images in folders, npz files, tables, or drawn waves.

Files become tensors here, because `learners` takes tensors alone. Classes, or groups of rows
that belong together, are split into those to train on, to choose the state by and to test on;
single examples never are, since a learner must meet classes it has not seen.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from learners.recipes import Inputs
from learners.samplers import Sampler, Shape, TableSampler, UnevenClassSampler, split_classes
from learners.sinusoid import SinusoidSampler
from metastore.errors import InvalidInputError
from recommenders.image_folders import image_folder, npz_classes
from recommenders.image_sizes import background_of
from recommenders.table_groups import class_rows, group_tables, input_columns, scaled

SINUSOID = "sinusoid"
SIDE = 28


@dataclass(frozen=True)
class Wanted:
    """What episodes are asked for.

    Args:
        n_way: classes of an episode.
        k_shot: support examples a class; in regression, in all.
        n_query: query examples a class; in regression, in all.
        side: height and width that images are brought to; None leaves those of an npz file as
            they are, and brings those of folders to `SIDE`.
        target: of a table: the column to predict.
        group: of a table: the column that says which rows belong together; with it, a target
            of numbers is predicted for new groups, without it, new classes of the target.
        seed: splits classes and draws episodes.
    """

    n_way: int = 5
    k_shot: int = 1
    n_query: int = 5
    side: int | None = None
    target: str | None = None
    group: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class Source:
    """Samplers over one source of data.

    Args:
        train: episodes to train on.
        validation: episodes of other classes or groups, to choose the state by.
        test: episodes of still others.
        inputs: what an episode looks like.
        about: JSON values that say what was read and how it was scaled.
    """

    train: Sampler
    validation: Sampler
    test: Sampler
    inputs: Inputs
    about: Mapping[str, Any] = field(default_factory=dict)


def open_source(where: str, wanted: Wanted) -> Source:
    """Return the samplers of a source.

    Args:
        where: a folder with one folder of images a class, an npz file, a table, or "sinusoid".
        wanted: the episodes to make of it.

    Raises:
        InvalidInputError: if it cannot be read, or has too few classes, groups or examples.
    """
    path = Path(where)
    if where != SINUSOID and not path.exists():
        raise InvalidInputError(
            f"no folder or file {where!r}: expected a folder of images by class, an npz file, a "
            f"table, or the word {SINUSOID}"
        )
    _check_options(where, wanted)
    if where == SINUSOID:
        return _waves(wanted)
    if path.is_dir():
        classes: Mapping[str, Tensor] = image_folder(path, wanted.side or SIDE)
    elif path.suffix == ".npz":
        classes = npz_classes(path, wanted.side)
    elif wanted.target is None:
        raise InvalidInputError(f"which column of {where} is to be predicted? Say --target NAME")
    elif wanted.group is not None:
        return _groups(path, wanted.target, wanted.group, wanted)
    else:
        return _classes(path, class_rows(path, wanted.target), wanted)
    return _classes(path, classes, wanted)


def _check_options(where: str, wanted: Wanted) -> None:
    """Refuse what is of another kind of source: it would be passed over without a word."""
    useless: tuple[str, ...]
    if where == SINUSOID:
        kind, useless = "a source of drawn waves", ("target", "group", "side")
    elif Path(where).is_dir() or Path(where).suffix == ".npz":
        kind, useless = "a source of images by class", ("target", "group")
    else:
        kind, useless = "a table", ("side",)
    given = [name for name in useless if getattr(wanted, name) is not None]
    if given:
        names = " and ".join(f"--{name}" for name in given)
        raise InvalidInputError(f"{where} is {kind}, which has no use for {names}: leave it out")


def split_sizes(n: int, least: int, what: str) -> tuple[int, int, int]:
    """Return how many of n classes or groups to train, to choose and to test with.

    Seven tenths train, and the rest is halved; each part has at least `least`.

    Raises:
        InvalidInputError: if there are fewer than three times `least`.

    >>> split_sizes(100, 5, "classes")
    (70, 15, 15)
    >>> split_sizes(16, 5, "classes")
    (6, 5, 5)
    """
    if n < 3 * least:
        raise InvalidInputError(
            f"{n} {what} are too few: training, validation and test need {least} each and share "
            "none; lower the ways, or bring more data"
        )
    held_out = max(least, round(0.15 * n))
    return n - 2 * held_out, held_out, held_out


def _classes(path: Path, classes: Mapping[str, Tensor], wanted: Wanted) -> Source:
    needed = wanted.k_shot + wanted.n_query
    kept = {name: one for name, one in classes.items() if len(one) >= needed}
    if not kept:
        raise InvalidInputError(
            f"no class of {path} has the {needed} examples that {wanted.k_shot} shots and "
            f"{wanted.n_query} queries take; the largest has "
            f"{max(map(len, classes.values()), default=0)}"
        )
    names = sorted(kept)
    _say_left_out(path, sorted(set(classes) - set(kept)), needed)
    sizes = split_sizes(len(names), wanted.n_way, f"classes of {needed} examples or more")
    parts = split_classes(len(names), sizes, wanted.seed)
    drawn = [[kept[names[int(i)]] for i in part] for part in parts]
    scale: dict[str, list[float]] = {}
    if drawn[0][0].ndim == 2:
        drawn, scale = scaled(drawn)
    shape = Shape(wanted.n_way, wanted.k_shot, wanted.n_query)
    inputs = Inputs(tuple(drawn[0][0].shape[1:]), wanted.n_way, wanted.k_shot)
    about = _about(path, wanted, inputs) | {
        "classes": {
            part: sorted(names[int(i)] for i in chosen)
            for part, chosen in zip(("train", "validation", "test"), parts, strict=True)
        },
        "left_out": sorted(set(classes) - set(kept)),
        "scale": scale or "bytes divided by 255",
    }
    if inputs.images:
        about["background"] = background_of(drawn[0])
    samplers = [UnevenClassSampler(part, shape, wanted.seed + i) for i, part in enumerate(drawn)]
    return Source(samplers[0], samplers[1], samplers[2], inputs, about)


def _say_left_out(path: Path, names: Sequence[str], needed: int) -> None:
    if names:
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        warnings.warn(
            f"{path}: {shown} left out, with fewer than the {needed} examples that shots and "
            "queries take",
            stacklevel=4,
        )


def _groups(path: Path, target: str, group: str, wanted: Wanted) -> Source:
    tables = group_tables(path, target, group)
    kept = {name: one for name, one in tables.items() if len(one) > wanted.k_shot}
    names = sorted(kept)
    sizes = split_sizes(len(names), 1, f"groups of more than {wanted.k_shot} rows")
    parts = split_classes(len(names), sizes, wanted.seed)
    drawn, scale = scaled([[kept[names[int(i)]] for i in part] for part in parts])
    inputs = Inputs((drawn[0][0].shape[1] - 1,), 0, wanted.k_shot)
    about = _about(path, wanted, inputs) | {
        "groups": {
            part: sorted(names[int(i)] for i in chosen)
            for part, chosen in zip(("train", "validation", "test"), parts, strict=True)
        },
        "left_out": sorted(set(tables) - set(kept)),
        "scale": scale,
    }
    samplers = [_regression(part, wanted, i) for i, part in enumerate(drawn)]
    return Source(samplers[0], samplers[1], samplers[2], inputs, about)


def _regression(tables: Sequence[Tensor], wanted: Wanted, part: int) -> Sampler:
    pairs = [(table[:, :-1], table[:, -1]) for table in tables]
    sizes = (wanted.k_shot, wanted.k_shot)
    return TableSampler(pairs, sizes, wanted.n_query, wanted.seed + part)


def _waves(wanted: Wanted) -> Source:
    samplers = [
        SinusoidSampler(wanted.k_shot, wanted.n_query, wanted.seed + part) for part in range(3)
    ]
    inputs = Inputs((1,), 0, wanted.k_shot)
    about = {"source": SINUSOID, "k_shot": wanted.k_shot, "seed": wanted.seed}
    return Source(samplers[0], samplers[1], samplers[2], inputs, about)


def _about(path: Path, wanted: Wanted, inputs: Inputs) -> dict[str, Any]:
    """Return what a resumed run must agree with; the file's name alone, not where it lies."""
    columns = {}
    if wanted.target is not None:
        columns = {"columns": input_columns(path, wanted.target, wanted.group)}
    return columns | {
        "source": path.name,
        "input_shape": list(inputs.shape),
        "n_way": inputs.n_way,
        "k_shot": wanted.k_shot,
        "n_query": wanted.n_query,
        "target": wanted.target,
        "group": wanted.group,
        "seed": wanted.seed,
    }
