"""Commands that fine-tune a start and predict: `headstart finetune` and `predict`."""

from __future__ import annotations

from pathlib import Path
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
from metastore.commands.printing import print_data, print_out, text_width, working

if TYPE_CHECKING:
    from metastore.store import MetaStore


def finetune(
    support: Annotated[
        str, typer.Argument(help="A folder of images by class, an npz file, or a table.")
    ],
    target: Annotated[str | None, typer.Option(help="Of a table: what to predict.")] = None,
    start: Annotated[
        str, typer.Option(help="A start's name, 'from scratch', a plain classifier, vote, or auto.")
    ] = "auto",
    query: Annotated[
        str | None, typer.Option(help="Rows or images to predict, labelled or not.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to keep the model in.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Tunings to try; held-out rows choose.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    store: Store = DEFAULT_STORE,
    seed: TryingSeed = 0,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print the predictions as CSV.")] = False,
) -> None:
    """Fine-tune the best start on a few examples.

    Examples are labelled images or rows of a table, and --query predicts others. The start comes
    from the store (see headstart starts); where none helps, a plain classifier is taken. The run
    is recorded, so that later choices know of it.

    \b
    Example: headstart finetune cats_and_dogs/ --query new_photos/ --out model/
    """  # noqa: D301 - \b keeps the example on a line
    from metastore.rendering import Form  # noqa: PLC0415
    from recommenders.starts.finetune_words import shown  # noqa: PLC0415
    from recommenders.starts.finetuning import finetune as run  # noqa: PLC0415
    from recommenders.starts.model_folder import check_free  # noqa: PLC0415
    from recommenders.starts.support_sets import read_query, read_support  # noqa: PLC0415

    form = chosen_form(json, csv, False)
    if form is Form.CSV and query is None:
        raise typer.BadParameter("--csv prints predictions: give --query as well")
    if out is not None:
        check_free(out)
    known = read_support(support, target)
    asks = None if query is None else read_query(query, known)
    with working(f"fine-tuning on {known.name}"):
        found = run(
            _open_to_finetune(store, start),
            known,
            start,
            asks,
            target=target,
            trials=trials,
            device=device,
            seed=seed,
        )
    if out is not None:
        found.model.save(out)
    say = print_out if form is Form.TABLE else print_data
    say(shown(found, form, out, text_width()))


def predict(
    model: Annotated[Path, typer.Argument(help="The folder that headstart finetune wrote.")],
    query: Annotated[str, typer.Argument(help="Rows or images, like those it was fitted on.")],
    json: Json = False,
    csv: Csv = False,
    table: Table = False,
) -> None:
    """Predict by a fine-tuned model, with probabilities.

    Example: headstart predict model/ new_photos/ --csv
    """
    from metastore.rendering import Form, render  # noqa: PLC0415
    from recommenders.starts.finetune_words import prediction_rows, prediction_text  # noqa: PLC0415
    from recommenders.starts.finetuned import load  # noqa: PLC0415

    form = chosen_form(json, csv, table)
    fitted = load(model)
    rows = fitted.read(query)
    found = prediction_rows(fitted, rows, fitted.fitted.probabilities(rows))
    if form is Form.TABLE:
        print_out(prediction_text(found))
    else:
        print_data(render(found, form))


def _open_to_finetune(store: str, start: str) -> MetaStore:
    """Open a store or make it, but make none for a start that there cannot be."""
    from metastore.store import is_there  # noqa: PLC0415
    from recommenders.starts.choice import OF_NO_STORE, no_start  # noqa: PLC0415

    if start not in OF_NO_STORE and not is_there(store):
        raise no_start(f"no start {start!r}; there is no store at {store}")
    return open_store(store, create=True)
