"""The command that lists starts and ranks them: `headstart starts`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from metastore.commands.options import (
    DEFAULT_STORE,
    Csv,
    Json,
    Store,
    Table,
    TryingSeed,
    chosen_form,
    open_store,
)
from metastore.commands.printing import print_data, print_out, print_rows, text_width, working

if TYPE_CHECKING:
    from metastore.store import MetaStore


def starts(
    support: Annotated[
        str | None,
        typer.Argument(help="A folder of images by class, an npz file, or a table."),
    ] = None,
    store: Store = DEFAULT_STORE,
    target: Annotated[str | None, typer.Option(help="Of a table: what to predict.")] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="How many to show.")] = 3,
    seconds: Annotated[
        float | None,
        typer.Option(min=0, help="Of the processor, to hold rows out in; no limit by default."),
    ] = None,
    seed: TryingSeed = 0,
    json: Json = False,
    csv: Csv = False,
    table: Table = False,
) -> None:
    """List the starts, or rank them for a few labelled examples.

    Starts, an untrained network and plain classifiers are tried on rows that are held out; what
    their validation says and how they did on earlier tasks counts too. Says which starts cannot
    be used, and why.

    Example: headstart starts cats_and_dogs/ -n 5
    """
    from metastore.rendering import Form, render, render_one  # noqa: PLC0415
    from recommenders.starts.rows import advice_rows, registry_rows  # noqa: PLC0415

    form = chosen_form(json, csv, table)
    opened = _open_starts(store)
    if support is None:
        print_rows(registry_rows(opened.starts(), full=form is not Form.TABLE), json, csv, table)
        return
    from recommenders.starts import recommend as ranked  # noqa: PLC0415 - torch

    with working(f"trying starts on {support}"):
        found = ranked(opened, support, n, target=target, seed=seed, seconds=seconds)
    if form is Form.JSON:
        print_data(render_one(found.to_dict()))
    elif form is Form.CSV or table:
        print_data(render(advice_rows(found), form))
    else:
        print_out(found.text(text_width()))


def _open_starts(store: str) -> MetaStore:
    """Open a store for its starts; where there is none, say where starts come from."""
    from metastore.errors import InvalidInputError  # noqa: PLC0415
    from metastore.store import is_there  # noqa: PLC0415

    if not is_there(store):
        raise InvalidInputError(
            f"there is no store at {store}, and starts are kept in one: headstart zoo build trains "
            "some, and so does headstart learn on images of your own; headstart finetune SUPPORT "
            "works without a store"
        )
    return open_store(store)
