"""Commands that train few-shot learners: `headstart learners`, `learn` and `zoo ...`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from metastore.commands.options import (
    DEFAULT_STORE,
    Csv,
    Json,
    Store,
    Table,
    TrainingSeed,
    open_store,
)
from metastore.commands.printing import print_err, print_out, print_rows
from recommenders.commands.keeping import label

zoo = typer.Typer(
    help="Train starts of your own to fine-tune from.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def learners(json: Json = False, csv: Csv = False, table: Table = False) -> None:
    """List the few-shot learning methods.

    With what each needs, what it is good for, and its citation.

    Example: headstart learners --json
    """
    from recommenders.learning import methods  # noqa: PLC0415

    print_rows(methods(), json, csv, table)


def learn(
    source: Annotated[
        str, typer.Argument(help="A folder of images by class, an npz, a table, or sinusoid.")
    ],
    out: Annotated[Path, typer.Option(help="The checkpoint to write, a .json file.")],
    method: Annotated[str, typer.Option(help="See headstart learners.")] = "protonet",
    minutes: Annotated[float | None, typer.Option(help="Train no longer than this.")] = None,
    episodes: Annotated[int | None, typer.Option(min=1, help="Train on so many.")] = None,
    n_way: Annotated[int, typer.Option("--way", min=2, help="Classes of an episode.")] = 5,
    k_shot: Annotated[int, typer.Option("--shot", min=1, help="Examples to learn from.")] = 1,
    n_query: Annotated[int, typer.Option("--query", min=1, help="Examples to test on.")] = 5,
    side: Annotated[
        int | None, typer.Option(min=8, help="Images become so high and wide; 28 from folders.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Of a table: what to predict.")] = None,
    group: Annotated[str | None, typer.Option(help="Of a table: rows of one task.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    test_episodes: Annotated[int, typer.Option(min=2, help="How many to test on.")] = 600,
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for its files.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from --out.")] = False,
    register: Annotated[bool, typer.Option(help="Keep it in the store as a start.")] = True,
    name: Annotated[str, typer.Option(help="Of the start; that of --out by default.")] = "",
    licence: Annotated[str, typer.Option(help="Of the weights.")] = "",
    note: Annotated[str, typer.Option(help="Where the weights came from.")] = "",
    store: Store = DEFAULT_STORE,
    seed: TrainingSeed = 0,
) -> None:
    """Train a few-shot learner on images or a table.

    It is tested on classes or groups that it never saw. Writes the checkpoint, and its learning
    curve as a PNG beside it, and keeps it in the store's registry of starts.

    \b
    Example: headstart learn images/ --out starts/images.json --minutes 10
    """  # noqa: D301 - \b keeps the example on a line
    from recommenders.learning import Lesson, report  # noqa: PLC0415
    from recommenders.learning import learn as train  # noqa: PLC0415

    wanted: dict[str, Any] = {"n_way": n_way, "k_shot": k_shot, "n_query": n_query, "side": side}
    wanted |= {"target": target, "group": group, "seed": seed}
    say = None if sys.stderr.isatty() else print_err
    lesson = Lesson(
        source,
        out,
        method,
        minutes,
        episodes,
        device,
        resume,
        test_episodes,
        tensorboard,
        say,
        wanted,
        (lambda: open_store(store, create=True)) if register else None,
        label(name, out, licence, note) if register else None,
    )
    print_out(report(train(lesson)))


@zoo.command("build")
def zoo_build(
    images: Annotated[
        Path | None, typer.Option(help="Images too: a folder a class, or an npz file.")
    ] = None,
    tables: Annotated[Path | None, typer.Option(help="A folder of tables too.")] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="Wall-clock time of it all.")] = 20.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    store: Store = DEFAULT_STORE,
    seed: TrainingSeed = 0,
) -> None:
    """Train starts on bundled data, on your folders and on the store's runs, and keep them.

    What was cut goes on when it is called again; what is done is passed over.

    \b
    Example: headstart zoo build --images letters/ --minutes 10
    """  # noqa: D301 - \b keeps the example on a line
    from recommenders.starts.zoo_building import build_zoo  # noqa: PLC0415

    filled = open_store(store, create=True)
    for one in build_zoo(filled, images, tables, minutes, device=device, seed=seed, say=print_err):
        print_out(f"start {one.name!r}: id {one.start_id}")
