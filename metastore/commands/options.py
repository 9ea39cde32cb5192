"""Options that several commands have, and what they ask for: a store, a form."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from metastore.rendering import Form
    from metastore.store import MetaStore

Store = Annotated[
    str,
    typer.Option(
        "--store", "-s", envvar="HEADSTART_STORE", help="The store: a folder or a .duckdb file."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
Table = Annotated[bool, typer.Option("--table", help="Print a table (the default).")]
Seed = Annotated[int, typer.Option(help="Fixes whatever is left to chance.")]
TryingSeed = Annotated[
    int,
    typer.Option(
        help="Fixes what is left to chance, but not on how many rows slow candidates are tried: "
        "that goes by the time they take."
    ),
]
TrainingSeed = Annotated[
    int,
    typer.Option(help="Fixes what is left to chance, but not how far training comes in --minutes."),
]
DEFAULT_STORE = "headstart-store"


def open_store(store: str, *, create: bool = False) -> MetaStore:
    """Open the store that a command was told."""
    import metastore  # noqa: PLC0415

    return metastore.open(store, create=create)


def open_to_fill(store: str, file: str) -> MetaStore:
    """Open a store or make it, but make none for a file that is not there."""
    from metastore.errors import InvalidInputError  # noqa: PLC0415
    from metastore.journal import NotRecordedWarning  # noqa: PLC0415

    if not Path(file).exists():
        raise InvalidInputError(f"no file {file!r}: check the path")
    with warnings.catch_warnings():
        # what journals could still take, an import cannot: it says itself what is wrong
        warnings.simplefilter("ignore", NotRecordedWarning)
        return open_store(store, create=True)


def chosen_form(json: bool, csv: bool, table: bool) -> Form:
    """Return the form of output that was asked for: a table where none was."""
    from metastore.rendering import Form  # noqa: PLC0415

    if json + csv + table > 1:
        raise typer.BadParameter("choose one of --json, --csv and --table")
    return Form.JSON if json else Form.CSV if csv else Form.TABLE
