"""Commands that record: a run of another command, the direction of a metric."""

from __future__ import annotations

from typing import Annotated

import typer

from metastore.commands.options import DEFAULT_STORE, Store, open_store
from metastore.commands.printing import print_out

PASSED_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""The settings of `run`: what it does not know belongs to the command that it runs."""


def run(
    command: Annotated[list[str], typer.Argument(help="The command, after --.")],
    dataset: Annotated[str, typer.Option(help="A table file, a name, or openml:ID.")],
    store: Store = DEFAULT_STORE,
    target: Annotated[str | None, typer.Option(help="Name of the target column.")] = None,
    algorithm: Annotated[str, typer.Option(help="By default the script's name.")] = "",
    seed: Annotated[int | None, typer.Option(help="The random seed, to be recorded.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds before it is stopped.")] = None,
) -> None:
    """Run a command and record how it went.

    Its options become the config, lines of name=value become metrics, and its exit status
    becomes the run's end and the exit status of this command.

    \b
    Example: headstart run --dataset data.csv --target y -- python train.py --lr 0.1
    """  # noqa: D301 - \b keeps the example on a line
    from metastore.wrap import run_command  # noqa: PLC0415

    status = run_command(
        open_store(store, create=True),
        command,
        dataset,
        target=target,
        algorithm=algorithm,
        seed=seed,
        timeout=timeout,
    )
    raise typer.Exit(status)


def direction(
    metric: Annotated[str, typer.Argument(help="The metric's name, as it was recorded.")],
    better: Annotated[str, typer.Argument(help="Which is better: higher or lower.")],
    store: Store = DEFAULT_STORE,
) -> None:
    """Settle which direction of a metric is better.

    It holds over what runs say of it.

    Example: headstart direction quux lower
    """
    from metastore.errors import InvalidInputError, UnknownNameError  # noqa: PLC0415
    from metastore.reading import not_found  # noqa: PLC0415
    from metastore.reports import metrics  # noqa: PLC0415

    if better not in ("higher", "lower"):
        raise InvalidInputError(f"direction: expected higher or lower, got {better!r}")
    opened = open_store(store)
    known = [row["metric"] for row in metrics(opened)]
    if metric not in known:
        raise UnknownNameError(not_found("metric", metric, known))
    opened.set_direction(metric, higher_is_better=better == "higher")
    print_out(f"{metric}: {better} is better")
