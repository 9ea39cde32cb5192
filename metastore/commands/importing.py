"""Commands that import runs and meta-features: `headstart import ...`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from metastore.commands.options import DEFAULT_STORE, Store, open_store, open_to_fill
from metastore.commands.printing import print_err, print_out, working

if TYPE_CHECKING:
    from metastore.importers.mlflow_runs import MlflowReport
    from metastore.importers.table import ImportReport

imports = typer.Typer(
    help="Import runs or meta-features from files.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@imports.command("table")
def import_table(
    file: Annotated[str, typer.Argument(help="Parquet, CSV, TSV or JSON lines (.gz too).")],
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
    """Import a table of runs.

    Its columns: dataset, algorithm, config (JSON, or one column config.NAME a parameter),
    metric, value, and others such as higher_is_better, seed, step, fold, runtime_s, status.

    Example: headstart import table runs.parquet
    """
    with working(f"importing {file}"):
        report = open_to_fill(store, file).import_table(
            file, algorithm=algorithm, higher_is_better=higher_is_better
        )
    _print_import(report, "runs")


@imports.command("metafeatures")
def import_metafeatures(
    file: Annotated[str, typer.Argument(help="A column dataset, then numeric columns.")],
    store: Store = DEFAULT_STORE,
) -> None:
    """Import a table of meta-features, one row a dataset.

    A cell that is no number is refused with its line; the rest of its row is kept.

    Example: headstart import metafeatures metafeatures.parquet
    """
    with working(f"importing {file}"):
        report = open_to_fill(store, file).import_metafeatures(file)
    _print_import(report, "values")


@imports.command("mlflow")
def import_mlflow(
    uri: Annotated[str, typer.Argument(help="http://..., sqlite:///mlflow.db, or a folder.")] = "",
    store: Store = DEFAULT_STORE,
    experiment: Annotated[
        list[str] | None, typer.Option(help="Only this experiment; may be given several times.")
    ] = None,
    dataset: Annotated[str, typer.Option(help="The tag or parameter that names the dataset.")] = "",
    algorithm: Annotated[str, typer.Option(help="The algorithm of all runs.")] = "",
    curves: Annotated[bool, typer.Option(help="Read the history of each metric.")] = True,
) -> None:
    """Import the ended runs of an MLflow tracking server, or of its database or folder.

    The dataset is what mlflow.log_input says, or a tag or parameter dataset, or the experiment;
    the algorithm is what autologging says, or a tag or parameter algorithm or model.

    Example: headstart import mlflow sqlite:///mlflow.db
    """
    with working("importing from MLflow"):
        report = open_store(store, create=True).import_mlflow(
            uri or None,
            experiments=experiment or (),
            dataset=dataset,
            algorithm=algorithm,
            curves=curves,
        )
    _print_mlflow(report)


def _print_import(report: ImportReport, what: str) -> None:
    """Print what an import did; exit status 1 says that rows were refused."""
    known = f", {report.known_runs:,} {what} were there already" if report.known_runs else ""
    failed = f" ({report.failed_runs:,} without a finite value: failed)" * bool(report.failed_runs)
    print_out(f"{report.file}: {report.rows:,} rows, {report.new_runs:,} new {what}{failed}{known}")
    for note in report.notes:
        print_err(f"  {note}")
    if report.refused:
        kept = ", a word in place of a number alone" if what == "values" else ""
        print_err(f"headstart: {report.refused:,} rows were refused{kept}:")
        for line, reason in report.reasons[:20]:
            print_err(f"  {report.counted} {line}: {reason}")
        if report.refused > len(report.reasons[:20]):
            print_err(f"  and {report.refused - len(report.reasons[:20]):,} more")
        raise typer.Exit(1)


def _print_mlflow(report: MlflowReport) -> None:
    """Print what an import from MLflow did; exit status 1 says that runs were refused."""
    parts = [
        f"{report.new_runs:,} new runs"
        + f" ({report.failed_runs:,} of them failed)" * bool(report.failed_runs)
    ]
    parts += [f"{report.known_runs:,} were there already"] * bool(report.known_runs)
    parts += [f"{report.running:,} have not ended"] * bool(report.running)
    parts += [f"{report.left_out:,} hold nothing but other runs"] * bool(report.left_out)
    print_out(", ".join(parts))
    if report.refused:
        print_err(f"headstart: {len(report.refused):,} runs were refused:")
        for number, reason in report.refused[:20]:
            print_err(f"  run {number}: {reason}")
        raise typer.Exit(1)
