"""Commands that show what the store holds, and whether it is sound."""

from __future__ import annotations

from typing import Annotated

import typer

from metastore.commands.options import (
    DEFAULT_STORE,
    Csv,
    Json,
    Store,
    Table,
    chosen_form,
    open_store,
)
from metastore.commands.printing import print_data, print_out, print_rows


def runs(
    store: Store = DEFAULT_STORE,
    dataset: Annotated[str, typer.Option(help="Only runs on this dataset.")] = "",
    algorithm: Annotated[str, typer.Option(help="Only runs of this algorithm.")] = "",
    status: Annotated[str, typer.Option(help="Only runs with this status.")] = "",
    metric: Annotated[str, typer.Option(help="Only this metric, and runs that have it.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many.")] = 20,
    json: Json = False,
    csv: Csv = False,
    table: Table = False,
) -> None:
    """List the newest runs.

    Example: headstart runs --dataset iris --status failed
    """
    from metastore.rendering import Form, render  # noqa: PLC0415
    from metastore.reports import RunFilter, for_people  # noqa: PLC0415
    from metastore.reports import runs as listed  # noqa: PLC0415

    form = chosen_form(json, csv, table)
    found = listed(open_store(store), RunFilter(dataset, algorithm, status, metric, limit))
    print_data(render(for_people(found) if form is Form.TABLE else found, form))


def datasets(
    store: Store = DEFAULT_STORE, json: Json = False, csv: Csv = False, table: Table = False
) -> None:
    """List the datasets and how much is known of each.

    Example: headstart datasets --csv
    """
    from metastore.reports import datasets as listed  # noqa: PLC0415

    print_rows(listed(open_store(store)), json, csv, table)


def show(
    what: Annotated[
        str,
        typer.Argument(
            help="A dataset's, an algorithm's or a start's name, or a run's id or the end of it."
        ),
    ],
    store: Store = DEFAULT_STORE,
    json: Json = False,
    csv: Csv = False,
    table: Table = False,
) -> None:
    """Show all of a run, a dataset, an algorithm or a start.

    Example: headstart show iris
    """
    from metastore.rendering import Form, render, render_one, sheet  # noqa: PLC0415
    from metastore.reports import show as found  # noqa: PLC0415

    form = chosen_form(json, csv, table)
    known = found(open_store(store), what)
    if form is Form.CSV:
        print_data(render([known], form))
    elif form is Form.JSON:
        print_data(render_one(known))
    else:
        print_out(sheet(known))


def doctor(
    store: Store = DEFAULT_STORE, json: Json = False, csv: Csv = False, table: Table = False
) -> None:
    """Look the store over: is it sound, and what needs a hand.

    Exit status 1 says that something needs a hand.

    Example: headstart doctor
    """
    from dataclasses import asdict  # noqa: PLC0415

    from metastore.reports import doctor as examined  # noqa: PLC0415

    findings = examined(open_store(store))
    print_rows([asdict(finding) for finding in findings], json, csv, table)
    raise typer.Exit(0 if all(finding.well for finding in findings) else 1)


def query(
    sql: Annotated[str, typer.Argument(help="A query over the store's tables; read-only.")],
    store: Store = DEFAULT_STORE,
    json: Json = False,
    csv: Csv = False,
    table: Table = False,
) -> None:
    """Ask the store in SQL, read-only.

    \b
    Example: headstart query "SELECT algorithm, count(*) AS runs FROM runs GROUP BY ALL"
    """  # noqa: D301 - \b keeps the example on a line
    found = open_store(store).rows(sql)
    print_rows(found, json, csv, table)
