"""The command `headstart`: its parts put together, and what goes wrong put into words.

The commands are in `metastore.commands` and `recommenders.commands`: each parses, calls one
function, and prints.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

TRACEBACK = "HEADSTART_TRACEBACK"
INTERRUPTED = 130


def main() -> None:
    """Run the command line: what goes wrong is said on stderr, in words.

    Exit status 2 says that the input cannot be used, 70 that Headstart is at fault, 130 that
    it was interrupted, 141 that nobody read its output to the end.
    """
    # Importing libraries makes many objects that all stay: a collection every 700 of them costs
    # a cold answer about a fourteenth of its time.
    gc.set_threshold(100_000, 50, 100)
    if wrong := foreign_package(Path(__file__).parent):
        print(f"headstart: {wrong}", file=sys.stderr)
        sys.exit(2)
    from metastore.commands.printing import print_warning  # noqa: PLC0415 - see application

    warnings.showwarning = print_warning
    try:
        status = application()(prog_name="headstart", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except Exception as error:
        sys.exit(_failed(error))
    if status == INTERRUPTED:
        _err("headstart: interrupted")
    sys.exit(status if isinstance(status, int) else 0)


def foreign_package(root: Path) -> str:
    """Return what is wrong if Python would import one of our packages from elsewhere, else "".

    There are other distributions whose import name is `recommenders`; whichever lies first on
    the path hides the other. This imports neither.

    Args:
        root: the folder that Headstart's own packages lie in.
    """
    for name in ("metastore", "recommenders", "learners"):
        spec = find_spec(name)
        found = Path(spec.origin).parent if spec is not None and spec.origin else None
        if found is None or found.resolve() != (root / name).resolve():
            return (
                f"expected Headstart's package {name!r} in {root}, but Python finds "
                f"{found or 'none'}: another distribution of that import name is in the way. "
                f"Uninstall it (pip uninstall {name}) and reinstall headstart, or give Headstart "
                "a virtual environment of its own"
            )
    return ""


def application() -> typer.Typer:
    """Return the command with all its parts, in the order in which its help lists them.

    They are imported here, so that `foreign_package` can look first whether they are ours.
    """
    from metastore.commands.importing import imports  # noqa: PLC0415
    from metastore.commands.recording import PASSED_ON, direction, run  # noqa: PLC0415
    from metastore.commands.showing import datasets, doctor, query, runs, show  # noqa: PLC0415
    from recommenders.commands.advising import recommend  # noqa: PLC0415
    from recommenders.commands.finetuning import finetune, predict  # noqa: PLC0415
    from recommenders.commands.judging import backtest, report  # noqa: PLC0415
    from recommenders.commands.keeping import start  # noqa: PLC0415
    from recommenders.commands.ranking import starts  # noqa: PLC0415
    from recommenders.commands.training import learn, learners, zoo  # noqa: PLC0415

    app = typer.Typer(
        name="headstart",
        no_args_is_help=True,
        invoke_without_command=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options)
    app.command(context_settings=PASSED_ON)(run)
    advice = (recommend, backtest, report)
    stored = (runs, datasets, show, doctor, direction, query)
    few_shot = (learners, learn, starts, finetune, predict)
    for command in (*advice, *stored, *few_shot):
        app.command()(command)
    for name, group in (("import", imports), ("start", start), ("zoo", zoo)):
        app.add_typer(group, name=name)
    return app


def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)
    ] = False,
) -> None:
    """Remember every run, and start the next dataset from what they taught."""
    if version:
        from importlib import metadata  # noqa: PLC0415

        from metastore.commands.printing import print_out  # noqa: PLC0415

        print_out(metadata.version("headstart"))
        raise typer.Exit


def _misused(error: Any) -> int:
    """Say which argument is wrong and where the help is; return the exit status."""
    context = getattr(error, "ctx", None)
    text = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        _err(text)
    else:
        path = context.command_path if context else "headstart"
        text = " ".join(text.split()).rstrip(".")
        _err(f"headstart: {text[:1].lower()}{text[1:]}; see: {path} --help")
    return 2


def _failed(error: Exception) -> int:
    """Say what went wrong; return the exit status."""
    if hasattr(error, "format_message"):
        return _misused(error)
    from metastore.errors import HeadstartError  # noqa: PLC0415 - only when it goes wrong

    if os.environ.get(TRACEBACK):
        raise error
    if isinstance(error, OSError) and error.filename is not None:
        _err(f"headstart: cannot use {error.filename}: {error.strerror}")
        return 2
    if isinstance(error, HeadstartError | OSError):
        _err(f"headstart: {error}")
        return 2
    _err(
        f"headstart: unexpected {type(error).__name__}: {error}. This is a fault of Headstart; "
        f"{TRACEBACK}=1 shows where it is"
    )
    return 70


def _err(text: str) -> None:
    """Say something on stderr, once the package that knows how is known to be ours."""
    from metastore.commands.printing import print_err  # noqa: PLC0415 - see application

    print_err(text)


if __name__ == "__main__":
    main()
