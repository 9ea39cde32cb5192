"""The command `headstart`: each command parses, calls one function, and prints.

Heavy imports wait inside the commands, so that `headstart --help` is quick.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from metastore.importers.table import ImportReport
    from metastore.store import MetaStore

app = typer.Typer(
    name="headstart",
    help="Remember every run, and start the next dataset from what they taught.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
imports = typer.Typer(
    help="Import runs or meta-features that lie in files.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(imports, name="import")

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
DEFAULT_STORE = "headstart-store"


def main() -> None:
    """Run the command line; what goes wrong is one line on stderr and exit status 2."""
    warnings.showwarning = _say
    try:
        app()
    except (KeyboardInterrupt, BrokenPipeError):
        sys.stderr.close()
        sys.exit(130)
    except (ValueError, LookupError, OSError, ImportError, RuntimeError) as error:
        from metastore.errors import HeadstartError  # noqa: PLC0415 - only when it goes wrong

        if not isinstance(error, HeadstartError | OSError):
            raise
        print(f"headstart: {error}", file=sys.stderr)
        sys.exit(2)


def _say(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    print(f"headstart: {message}", file=sys.stderr)


@imports.command("table")
def import_table(
    file: Annotated[str, typer.Argument(help="Parquet, CSV, TSV or JSON lines.")],
    store: Store = DEFAULT_STORE,
    algorithm: Annotated[
        str, typer.Option(help="The algorithm of a table that has no such column.")
    ] = "",
    higher_is_better: Annotated[
        bool | None,
        typer.Option(
            "--higher-is-better/--lower-is-better",
            help="Direction of metrics that the table gives none for.",
        ),
    ] = None,
) -> None:
    """Import a table of runs: dataset, algorithm, config, metric, value, ...

    Example: headstart import table runs.parquet
    """
    with _working(f"importing {file}"):
        report = _open(store, create=True).import_table(
            file, algorithm=algorithm, higher_is_better=higher_is_better
        )
    _print_import(report, "runs")


@imports.command("metafeatures")
def import_metafeatures(
    file: Annotated[str, typer.Argument(help="A column dataset, then numeric columns.")],
    store: Store = DEFAULT_STORE,
) -> None:
    """Import a table of meta-features, one row a dataset.

    Example: headstart import metafeatures metafeatures.parquet
    """
    with _working(f"importing {file}"):
        report = _open(store, create=True).import_metafeatures(file)
    _print_import(report, "values")


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(help="The command, after --.")],
    dataset: Annotated[str, typer.Option(help="A table file, a name, or openml:ID.")],
    store: Store = DEFAULT_STORE,
    target: Annotated[str | None, typer.Option(help="Name of the target column.")] = None,
    algorithm: Annotated[str, typer.Option(help="By default the script's name.")] = "",
    seed: Annotated[int | None, typer.Option(help="The random seed, to be recorded.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds before it is stopped.")] = None,
) -> None:
    """Run a command and record it: its options, what it prints as name=value, how it ended.

    Example: headstart run --dataset data.csv --target y -- python train.py --lr 0.1
    """
    from metastore.wrap import run_command  # noqa: PLC0415

    status = run_command(
        _open(store, create=True),
        command,
        dataset,
        target=target,
        algorithm=algorithm,
        seed=seed,
        timeout=timeout,
    )
    raise typer.Exit(status)


@app.command()
def recommend(
    dataset: Annotated[str, typer.Argument(help="A table file, or a stored dataset's name.")],
    store: Store = DEFAULT_STORE,
    target: Annotated[str | None, typer.Option(help="Name of the target column.")] = None,
    metric: Annotated[str, typer.Option(help="By default the most recorded one.")] = "",
    algorithm: Annotated[str, typer.Option(help="Only configs of this algorithm.")] = "",
    n: Annotated[int, typer.Option("-n", min=1, help="How many configs.")] = 5,
    recommender: Annotated[
        str, typer.Option(help="auto, nearest, portfolio, best_on_average or random.")
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
    from metastore.rendering import Form, render  # noqa: PLC0415
    from recommenders import Question, ask  # noqa: PLC0415
    from recommenders.explaining import as_json, rows, text  # noqa: PLC0415

    form = _form(json, csv, table)
    question = Question(metric, algorithm, n, recommender, seed, near_duplicates, as_new)
    with _working(f"looking for configs for {dataset}"):
        answer = ask(_open(store), dataset, target, question)
    if form is Form.JSON:
        print(render([as_json(answer)], form))
    else:
        print(text(answer) if form is Form.TABLE else render(rows(answer), form))


@app.command()
def backtest(
    metric: Annotated[str, typer.Option(help="The metric to do well in.")],
    store: Store = DEFAULT_STORE,
    algorithm: Annotated[str, typer.Option(help="Only configs of this algorithm.")] = "",
    recommender: Annotated[
        list[str] | None, typer.Option(help="Repeat to compare several; all by default.")
    ] = None,
    budget: Annotated[int, typer.Option(min=1, help="Configs tried on each dataset.")] = 25,
    seed: Seed = 0,
    json: Json = False,
    csv: Csv = False,
    table: Table = False,
) -> None:
    """Tell what recommendations would have been worth on your own datasets, left out one by one.

    Example: headstart backtest --metric accuracy --recommender nearest --recommender random
    """
    from metastore.rendering import Form, render  # noqa: PLC0415
    from recommenders import names  # noqa: PLC0415
    from recommenders.backtest import backtest as measure  # noqa: PLC0415
    from recommenders.explaining import backtest_rows, backtest_words  # noqa: PLC0415

    form = _form(json, csv, table)
    view = _open(store).view(metric, algorithm or None)
    with _bar("leaving datasets out") as advance:
        found = measure(
            view, recommender or list(names()), budget=budget, seed=seed, progress=advance
        )
    if form is Form.JSON:
        print(render([found.to_dict()], form))
    elif form is Form.CSV:
        print(render(found.rows(), form))
    else:
        print(f"{render(backtest_rows(found), form)}\n\n{backtest_words(found)}")


@app.command()
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
    from metastore.reports import RunFilter  # noqa: PLC0415
    from metastore.reports import runs as listed  # noqa: PLC0415

    which = RunFilter(dataset, algorithm, status, metric, limit)
    _print(listed(_open(store), which), json, csv, table)


@app.command()
def datasets(
    store: Store = DEFAULT_STORE, json: Json = False, csv: Csv = False, table: Table = False
) -> None:
    """List the datasets, with how many runs and meta-features each has.

    Example: headstart datasets --csv
    """
    from metastore.reports import datasets as listed  # noqa: PLC0415

    _print(listed(_open(store)), json, csv, table)


@app.command()
def show(
    what: Annotated[str, typer.Argument(help="A run's id, or a dataset's or algorithm's name.")],
    store: Store = DEFAULT_STORE,
    json: Json = False,
    csv: Csv = False,
    table: Table = False,
) -> None:
    """Show everything known of one run, one dataset or one algorithm with its search space.

    Example: headstart show iris
    """
    from metastore.rendering import Form, render  # noqa: PLC0415
    from metastore.reports import show as found  # noqa: PLC0415

    known = found(_open(store), what)
    form = _form(json, csv, table)
    if form is not Form.TABLE:
        print(render([known], form))
        return
    plain = {
        n: v for n, v in known.items() if not isinstance(v, list | dict) and "\n" not in str(v)
    }
    print(render([{"": name, "value": value} for name, value in plain.items()], form))
    for name, value in known.items():
        if value and isinstance(value, dict):
            value = [{"name": key, "value": item} for key, item in value.items()]  # noqa: PLW2901
        if value and isinstance(value, list):
            print(f"\n{name}\n{render(value, form)}")
        elif isinstance(value, str) and name not in plain:
            print(f"\n{name}\n{value}")


@app.command()
def doctor(
    store: Store = DEFAULT_STORE, json: Json = False, csv: Csv = False, table: Table = False
) -> None:
    """Look the store over: is it sound, which journals wait, what crashed.

    Exit status 1 says that something needs a hand.

    Example: headstart doctor
    """
    from dataclasses import asdict  # noqa: PLC0415

    from metastore.reports import doctor as examined  # noqa: PLC0415

    findings = examined(_open(store))
    _print([asdict(finding) for finding in findings], json, csv, table)
    raise typer.Exit(0 if all(finding.well for finding in findings) else 1)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="A query over the store's tables; read-only.")],
    store: Store = DEFAULT_STORE,
    json: Json = False,
    csv: Csv = False,
    table: Table = False,
) -> None:
    """Ask the store in SQL, read-only.

    Example: headstart query "SELECT algorithm, count(*) AS runs FROM runs GROUP BY ALL"
    """
    found = _open(store).rows(sql)
    _print(found, json, csv, table)


def _open(store: str, *, create: bool = False) -> MetaStore:
    import metastore  # noqa: PLC0415

    return metastore.open(store, create=create)


def _form(json: bool, csv: bool, table: bool) -> Any:
    from metastore.rendering import Form  # noqa: PLC0415

    if json + csv + table > 1:
        raise typer.BadParameter("choose one of --json, --csv and --table")
    return Form.JSON if json else Form.CSV if csv else Form.TABLE


def _print(rows: list[dict[str, Any]], json: bool, csv: bool, table: bool) -> None:
    from metastore.rendering import render  # noqa: PLC0415

    print(render(rows, _form(json, csv, table)))


def _print_import(report: ImportReport, what: str) -> None:
    """Print what an import did; exit status 1 says that rows were refused."""
    known = f", {report.known_runs:,} {what} were there already" if report.known_runs else ""
    failed = f" ({report.failed_runs:,} without a finite value: failed)" * bool(report.failed_runs)
    print(f"{report.file}: {report.rows:,} rows, {report.new_runs:,} new {what}{failed}{known}")
    for note in report.notes:
        print(f"  {note}", file=sys.stderr)
    if report.refused:
        print(f"headstart: {report.refused:,} rows were refused:", file=sys.stderr)
        for line, reason in report.reasons[:20]:
            print(f"  line {line}: {reason}", file=sys.stderr)
        if report.refused > len(report.reasons[:20]):
            print(f"  and {report.refused - len(report.reasons[:20]):,} more", file=sys.stderr)
        raise typer.Exit(1)


@contextmanager
def _working(what: str) -> Iterator[None]:
    """Show on a terminal's stderr that something is going on."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415

    with Console(stderr=True).status(what):
        yield


@contextmanager
def _bar(what: str) -> Iterator[Any]:
    """Show a progress bar on stderr; yields a function of (done, of all)."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


if __name__ == "__main__":
    main()
