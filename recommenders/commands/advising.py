"""The command that says what to run next: `headstart recommend`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metastore.commands.options import (
    DEFAULT_STORE,
    Csv,
    Json,
    Seed,
    Store,
    Table,
    chosen_form,
    open_store,
)
from metastore.commands.printing import print_data, print_out, text_width, working

if TYPE_CHECKING:
    from metastore.describing import Describing


def recommend(
    dataset: Annotated[str, typer.Argument(help="A table file, or a stored dataset's name.")],
    store: Store = DEFAULT_STORE,
    target: Annotated[str | None, typer.Option(help="Name of the target column.")] = None,
    metric: Annotated[str, typer.Option(help="By default the most recorded one.")] = "",
    algorithm: Annotated[str, typer.Option(help="Only configs of this algorithm.")] = "",
    n: Annotated[
        int | None,
        typer.Option("-n", min=1, help="How many configs: 5, or what fits into --budget."),
    ] = None,
    budget: Annotated[
        str, typer.Option(help="Time for all of them one after the other: 90s, 10m, 1h30m.")
    ] = "",
    recommender: Annotated[
        str,
        typer.Option(
            help="auto, which chooses by backtest, or one by name: empirical_bayes, nearest, "
            "learned_similarity, ranker, portfolio, best_on_average, random, copula, rgpe; with "
            "torch deep_kernel, deep_mixture, maml."
        ),
    ] = "auto",
    near_duplicates: Annotated[
        bool, typer.Option("--near-duplicates", help="Learn from near-duplicates too.")
    ] = False,
    as_new: Annotated[
        bool, typer.Option("--as-new", help="Ask as if nothing had run on it yet.")
    ] = False,
    seed: Seed = 0,
    json: Json = False,
    csv: Csv = False,
    table: Table = False,
) -> None:
    """Recommend what to run next on a dataset, with the evidence.

    Example: headstart recommend data.csv --target y -n 5
    """
    form = chosen_form(json, csv, table)
    _check_target(dataset, target)
    with _described_elsewhere(dataset, target, store) as describing:
        from metastore.rendering import Form, render, render_one  # noqa: PLC0415
        from recommenders import Question, ask  # noqa: PLC0415
        from recommenders.budgeting import parse_duration  # noqa: PLC0415
        from recommenders.explaining import as_json, rows, text  # noqa: PLC0415

        seconds = parse_duration(budget) if budget else None
        question = Question(
            metric,
            algorithm,
            n,
            recommender,
            seed,
            near_duplicates,
            as_new,
            budget_seconds=seconds,
        )
        with working(f"looking for configs for {dataset}"):
            answer = ask(open_store(store), dataset, target, question, describing)
    if form is Form.JSON:
        print_data(render_one(as_json(answer)))
    elif form is Form.CSV:
        print_data(render(rows(answer), form))
    else:
        print_out(text(answer, text_width()))


def _check_target(dataset: str, target: str | None) -> None:
    """Refuse a table file without a target: an answer for it would be about another task."""
    from metastore.datasets import is_table_file  # noqa: PLC0415
    from metastore.errors import InvalidInputError  # noqa: PLC0415

    if target is None and is_table_file(dataset):
        from metastore.table_files import read_frame  # noqa: PLC0415

        columns = ", ".join(map(str, list(read_frame(Path(dataset)).columns)[-8:]))
        raise InvalidInputError(
            f"which column of {dataset} is to be predicted? Say --target NAME; its last columns "
            f"are: {columns}"
        )


@contextmanager
def _described_elsewhere(
    dataset: str, target: str | None, store: str
) -> Iterator[Describing | None]:
    """Let another process describe a new table file, from before the slow imports on."""
    from metastore.describing import begin  # noqa: PLC0415
    from metastore.paths import StorePaths  # noqa: PLC0415

    paths = StorePaths.at(store)
    describing = begin(dataset, target, paths.folder) if paths.database.exists() else None
    try:
        yield describing
    finally:
        if describing is not None:
            describing.close()
