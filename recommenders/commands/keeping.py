"""Commands that keep starts, send and receive them: `headstart start ...`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metastore.commands.options import DEFAULT_STORE, Store, open_store, open_to_fill
from metastore.commands.printing import print_data, print_err, print_out

if TYPE_CHECKING:
    from recommenders.starts.training import Label

start = typer.Typer(
    help="Add, send and receive starts.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@start.command("add")
def start_add(
    file: Annotated[Path, typer.Argument(help="A checkpoint (.json), or .safetensors.")],
    name: Annotated[str, typer.Option(help="What to call it; the file's name by default.")] = "",
    network: Annotated[str, typer.Option(help="Of .safetensors: its network, as JSON.")] = "{}",
    shape: Annotated[str, typer.Option(help="Of one input, such as 1,28,28.")] = "",
    licence: Annotated[str, typer.Option(help="Of the weights.")] = "",
    note: Annotated[str, typer.Option(help="Where the weights came from.")] = "",
    store: Store = DEFAULT_STORE,
) -> None:
    """Keep weights as a start.

    \b
    Example: headstart start add starts/images.json --name letters
    """  # noqa: D301 - \b keeps the example on a line
    from recommenders.starts.training import add_file, network_words  # noqa: PLC0415

    words = network_words(network, shape)
    added = add_file(
        open_store(store, create=True), file, label(name, file, licence, note), **words
    )
    print_out(f"start {added.name!r}: id {added.start_id}, weights {added.weights_sha256[:12]}")


@start.command("export")
def start_export(
    name: Annotated[str, typer.Argument(help="A start's name, or the beginning of its id.")],
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    store: Store = DEFAULT_STORE,
) -> None:
    """Write a start as one file.

    Example: headstart start export letters letters.start
    """
    exported = open_store(store).export_start(name, file)
    print_out(f"{file}: start {exported.name!r}, {file.stat().st_size:,} bytes")


@start.command("import")
def start_import(
    file: Annotated[Path, typer.Argument(help="What start export wrote.")],
    store: Store = DEFAULT_STORE,
) -> None:
    """Take in a start that somebody exported.

    Example: headstart start import letters.start
    """
    imported = open_to_fill(store, str(file)).import_start(file)
    print_out(f"start {imported.name!r}: id {imported.start_id}")


@start.command("clean")
def start_clean(
    delete: Annotated[bool, typer.Option("--delete", help="Delete them.")] = False,
    superseded: Annotated[
        bool,
        typer.Option("--superseded", help="Also of starts whose name a later one has."),
    ] = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """List files of weights that no start names, and delete them on request.

    Example: headstart start clean --superseded --delete
    """
    found = open_store(store).unused_weights(delete=delete, superseded=superseded)
    for path in found:
        print_data(str(path))
    done = "deleted" if delete else "to delete"
    print_err(f"{len(found):,} unused files of weights {done}")


def label(name: str, file: Path, licence: str, note: str) -> Label:
    """Return what to say of a start, which is named after its file where it has no name."""
    from recommenders.starts.names import slug  # noqa: PLC0415
    from recommenders.starts.training import Label  # noqa: PLC0415

    return Label(name or slug(file.stem), licence, note)
