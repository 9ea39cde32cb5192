"""Commands that say what advice is worth: on past datasets, and what became of it."""

from __future__ import annotations

from typing import Annotated

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
from metastore.commands.printing import bar, print_data, print_out, text_width


def backtest(
    metric: Annotated[str, typer.Option(help="The metric to do well in.")],
    store: Store = DEFAULT_STORE,
    algorithm: Annotated[str, typer.Option(help="Only configs of this algorithm.")] = "",
    recommender: Annotated[
        list[str] | None,
        typer.Option(
            help="Repeat to compare several; by default all but copula, deep_kernel, "
            "deep_mixture, learned_similarity, maml, ranker and rgpe, which take longer."
        ),
    ] = None,
    budget: Annotated[int, typer.Option(min=1, help="Configs tried on each dataset.")] = 25,
    seed: Seed = 0,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Processes; by default one a processor where that pays."),
    ] = None,
    json: Json = False,
    csv: Csv = False,
    table: Table = False,
) -> None:
    """Measure what advice would have been worth on your own data.

    Each dataset is left out in turn, with its near-duplicates, and then asked about.

    \b
    Example: headstart backtest --metric accuracy --recommender nearest --recommender random
    """  # noqa: D301 - \b keeps the example on a line
    from textwrap import fill  # noqa: PLC0415

    from metastore.rendering import Form, render, render_one  # noqa: PLC0415
    from recommenders import make, usual  # noqa: PLC0415
    from recommenders.backtest import backtest as measure  # noqa: PLC0415
    from recommenders.explaining import backtest_rows, backtest_words  # noqa: PLC0415

    form = chosen_form(json, csv, table)
    for name in recommender or ():
        make(name)
    view = open_store(store).view(metric, algorithm or None)
    with bar("leaving datasets out") as advance:
        names = recommender or list(usual())
        found = measure(view, names, budget=budget, seed=seed, jobs=jobs, progress=advance)
    if form is Form.JSON:
        print_data(render_one(found.to_dict()))
    elif form is Form.CSV:
        print_data(render(found.rows(), form))
    else:
        width = text_width()
        print_out(f"{render(backtest_rows(found), form)}\n\n{fill(backtest_words(found), width)}")


def report(
    store: Store = DEFAULT_STORE,
    dataset: Annotated[str, typer.Option(help="Only advice on this dataset.")] = "",
    metric: Annotated[str, typer.Option(help="Only advice on this metric.")] = "",
    json: Json = False,
    csv: Csv = False,
    table: Table = False,
) -> None:
    """Say what the advice was worth on your own data.

    Regret against the best that ever ran on each dataset, against random at equal budget, and how
    often the intervals held.

    Example: headstart report --dataset iris
    """
    from textwrap import fill  # noqa: PLC0415

    from metastore.rendering import Form, render, render_one  # noqa: PLC0415
    from recommenders.worth import worth  # noqa: PLC0415

    form = chosen_form(json, csv, table)
    found = worth(open_store(store), dataset, metric)
    if form is Form.JSON:
        print_data(render_one({"datasets": found.rows(), "overall": found.summary()}))
    elif form is Form.CSV:
        print_data(render(found.rows(), form))
    else:
        words = fill(found.words(), text_width())
        print_out(f"{render(found.shown(), form)}\n\n{words}" if found.worths else words)
