"""The command `headstart`: each command parses, calls one function, and prints.

Heavy imports wait inside the commands, so that `headstart --help` is quick.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from metastore.describing import Describing
    from metastore.importers.mlflow_runs import MlflowReport
    from metastore.importers.table import ImportReport
    from metastore.store import MetaStore

app = typer.Typer(
    name="headstart",
    no_args_is_help=True,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
imports = typer.Typer(
    help="Import runs or meta-features from files.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(imports, name="import")
start = typer.Typer(
    help="Add, send and receive starts.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(start, name="start")
zoo = typer.Typer(
    help="Train starts of your own to fine-tune from.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(zoo, name="zoo")

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


TRACEBACK = "HEADSTART_TRACEBACK"


def main() -> None:
    """Run the command line: what goes wrong is said on stderr, in words.

    Exit status 2 says that the input cannot be used, 70 that Headstart is at fault, 130 that
    it was interrupted, 141 that nobody read its output to the end.
    """
    warnings.showwarning = _say
    # Importing libraries makes many objects that all stay: a collection every 700 of them costs
    # a cold answer about a fourteenth of its time.
    gc.set_threshold(100_000, 50, 100)
    if wrong := foreign_package(Path(__file__).parent):
        print(f"headstart: {wrong}", file=sys.stderr)
        sys.exit(2)
    try:
        status = app(prog_name="headstart", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except Exception as error:
        sys.exit(_failed(error))
    if status == INTERRUPTED:
        _err("headstart: interrupted")
    sys.exit(status if isinstance(status, int) else 0)


INTERRUPTED = 130


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


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)
    ] = False,
) -> None:
    """Remember every run, and start the next dataset from what they taught."""
    if version:
        from importlib import metadata  # noqa: PLC0415

        _out(metadata.version("headstart"))
        raise typer.Exit


def _say(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Say what a library warns of, once."""
    words = str(message)
    if words not in _said:
        _said.add(words)
        _err(f"headstart: {words}")


_said: set[str] = set()


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
    with _working(f"importing {file}"):
        report = _to_fill(store, file).import_table(
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
    with _working(f"importing {file}"):
        report = _to_fill(store, file).import_metafeatures(file)
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
    with _working("importing from MLflow"):
        report = _open(store, create=True).import_mlflow(
            uri or None,
            experiments=experiment or (),
            dataset=dataset,
            algorithm=algorithm,
            curves=curves,
        )
    _print_mlflow(report)


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
    """Run a command and record how it went.

    Its options become the config, lines of name=value become metrics, and its exit status
    becomes the run's end and the exit status of this command.

    \b
    Example: headstart run --dataset data.csv --target y -- python train.py --lr 0.1
    """  # noqa: D301 - \b keeps the example on a line
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
    n: Annotated[
        int | None,
        typer.Option("-n", min=1, help="How many configs: 5, or what fits into --budget."),
    ] = None,
    budget: Annotated[
        str, typer.Option(help="Time for all of them one after the other: 90s, 10m, 1h30m.")
    ] = "",
    recommender: Annotated[
        str,
        typer.Option(
            help="auto, which chooses by backtest, or one by name: empirical_bayes, nearest, "
            "learned_similarity, ranker, portfolio, best_on_average, random, copula, rgpe; with "
            "torch deep_kernel, deep_mixture, maml."
        ),
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
    form = _form(json, csv, table)
    _check_target(dataset, target)
    with _described_elsewhere(dataset, target, store) as describing:
        from metastore.rendering import Form, render, render_one, terminal_width  # noqa: PLC0415
        from recommenders import Question, ask  # noqa: PLC0415
        from recommenders.budgeting import parse_duration  # noqa: PLC0415
        from recommenders.explaining import as_json, rows, text  # noqa: PLC0415

        seconds = parse_duration(budget) if budget else None
        question = Question(
            metric,
            algorithm,
            n,
            recommender,
            seed,
            near_duplicates,
            as_new,
            budget_seconds=seconds,
        )
        with _working(f"looking for configs for {dataset}"):
            answer = ask(_open(store), dataset, target, question, describing)
    if form is Form.JSON:
        _data(render_one(as_json(answer)))
    elif form is Form.CSV:
        _data(render(rows(answer), form))
    else:
        _out(text(answer, min(100, terminal_width() or 100)))


@app.command()
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

    from metastore.rendering import Form, render, render_one, terminal_width  # noqa: PLC0415
    from recommenders import make, usual  # noqa: PLC0415
    from recommenders.backtest import backtest as measure  # noqa: PLC0415
    from recommenders.explaining import backtest_rows, backtest_words  # noqa: PLC0415

    form = _form(json, csv, table)
    for name in recommender or ():
        make(name)
    view = _open(store).view(metric, algorithm or None)
    with _bar("leaving datasets out") as advance:
        names = recommender or list(usual())
        found = measure(view, names, budget=budget, seed=seed, jobs=jobs, progress=advance)
    if form is Form.JSON:
        _data(render_one(found.to_dict()))
    elif form is Form.CSV:
        _data(render(found.rows(), form))
    else:
        width = min(100, terminal_width() or 100)
        _out(f"{render(backtest_rows(found), form)}\n\n{fill(backtest_words(found), width)}")


@app.command()
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

    from metastore.rendering import Form, render, render_one, terminal_width  # noqa: PLC0415
    from recommenders.worth import worth  # noqa: PLC0415

    form = _form(json, csv, table)
    found = worth(_open(store), dataset, metric)
    if form is Form.JSON:
        _data(render_one({"datasets": found.rows(), "overall": found.summary()}))
    elif form is Form.CSV:
        _data(render(found.rows(), form))
    else:
        words = fill(found.words(), min(100, terminal_width() or 100))
        _out(f"{render(found.shown(), form)}\n\n{words}" if found.worths else words)


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
    from metastore.rendering import Form, render  # noqa: PLC0415
    from metastore.reports import RunFilter, for_people  # noqa: PLC0415
    from metastore.reports import runs as listed  # noqa: PLC0415

    form = _form(json, csv, table)
    found = listed(_open(store), RunFilter(dataset, algorithm, status, metric, limit))
    _data(render(for_people(found) if form is Form.TABLE else found, form))


@app.command()
def datasets(
    store: Store = DEFAULT_STORE, json: Json = False, csv: Csv = False, table: Table = False
) -> None:
    """List the datasets and how much is known of each.

    Example: headstart datasets --csv
    """
    from metastore.reports import datasets as listed  # noqa: PLC0415

    _print(listed(_open(store)), json, csv, table)


@app.command()
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

    form = _form(json, csv, table)
    known = found(_open(store), what)
    if form is Form.CSV:
        _data(render([known], form))
    elif form is Form.JSON:
        _data(render_one(known))
    else:
        _out(sheet(known))


@app.command()
def doctor(
    store: Store = DEFAULT_STORE, json: Json = False, csv: Csv = False, table: Table = False
) -> None:
    """Look the store over: is it sound, and what needs a hand.

    Exit status 1 says that something needs a hand.

    Example: headstart doctor
    """
    from dataclasses import asdict  # noqa: PLC0415

    from metastore.reports import doctor as examined  # noqa: PLC0415

    findings = examined(_open(store))
    _print([asdict(finding) for finding in findings], json, csv, table)
    raise typer.Exit(0 if all(finding.well for finding in findings) else 1)


@app.command()
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
    opened = _open(store)
    known = [row["metric"] for row in metrics(opened)]
    if metric not in known:
        raise UnknownNameError(not_found("metric", metric, known))
    opened.set_direction(metric, higher_is_better=better == "higher")
    _out(f"{metric}: {better} is better")


@app.command()
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
    found = _open(store).rows(sql)
    _print(found, json, csv, table)


@app.command()
def learners(json: Json = False, csv: Csv = False, table: Table = False) -> None:
    """List the few-shot learning methods.

    With what each needs, what it is good for, and its citation.

    Example: headstart learners --json
    """
    from recommenders.learning import methods  # noqa: PLC0415

    _print(methods(), json, csv, table)


@app.command()
def learn(
    source: Annotated[
        str, typer.Argument(help="A folder of images by class, an npz, a table, or sinusoid.")
    ],
    out: Annotated[Path, typer.Option(help="The checkpoint to write, a .json file.")],
    method: Annotated[str, typer.Option(help="See headstart learners.")] = "protonet",
    minutes: Annotated[float | None, typer.Option(help="Train no longer than this.")] = None,
    episodes: Annotated[int | None, typer.Option(min=1, help="Train on so many.")] = None,
    n_way: Annotated[int, typer.Option("--way", min=2, help="Classes of an episode.")] = 5,
    k_shot: Annotated[int, typer.Option("--shot", min=1, help="Examples to learn from.")] = 1,
    n_query: Annotated[int, typer.Option("--query", min=1, help="Examples to test on.")] = 5,
    side: Annotated[
        int | None, typer.Option(min=8, help="Images become so high and wide; 28 from folders.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Of a table: what to predict.")] = None,
    group: Annotated[str | None, typer.Option(help="Of a table: rows of one task.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    test_episodes: Annotated[int, typer.Option(min=2, help="How many to test on.")] = 600,
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for its files.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from --out.")] = False,
    register: Annotated[bool, typer.Option(help="Keep it in the store as a start.")] = True,
    name: Annotated[str, typer.Option(help="Of the start; that of --out by default.")] = "",
    licence: Annotated[str, typer.Option(help="Of the weights.")] = "",
    note: Annotated[str, typer.Option(help="Where the weights came from.")] = "",
    store: Store = DEFAULT_STORE,
    seed: TrainingSeed = 0,
) -> None:
    """Train a few-shot learner on images or a table.

    It is tested on classes or groups that it never saw. Writes the checkpoint, and its learning
    curve as a PNG beside it, and keeps it in the store's registry of starts.

    \b
    Example: headstart learn images/ --out starts/images.json --minutes 10
    """  # noqa: D301 - \b keeps the example on a line
    from recommenders.learning import Lesson, report  # noqa: PLC0415
    from recommenders.learning import learn as train  # noqa: PLC0415

    wanted: dict[str, Any] = {"n_way": n_way, "k_shot": k_shot, "n_query": n_query, "side": side}
    wanted |= {"target": target, "group": group, "seed": seed}
    say = None if sys.stderr.isatty() else _err
    lesson = Lesson(
        source,
        out,
        method,
        minutes,
        episodes,
        device,
        resume,
        test_episodes,
        tensorboard,
        say,
        wanted,
        (lambda: _open(store, create=True)) if register else None,
        _label(name, out, licence, note) if register else None,
    )
    _out(report(train(lesson)))


@app.command()
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
    from metastore.rendering import Form, render, render_one, terminal_width  # noqa: PLC0415
    from recommenders.starts.rows import advice_rows, registry_rows  # noqa: PLC0415

    form = _form(json, csv, table)
    opened = _open_starts(store)
    if support is None:
        _print(registry_rows(opened.starts(), full=form is not Form.TABLE), json, csv, table)
        return
    from recommenders.starts import recommend as ranked  # noqa: PLC0415 - torch

    with _working(f"trying starts on {support}"):
        found = ranked(opened, support, n, target=target, seed=seed, seconds=seconds)
    if form is Form.JSON:
        _data(render_one(found.to_dict()))
    elif form is Form.CSV or table:
        _data(render(advice_rows(found), form))
    else:
        _out(found.text(min(100, terminal_width() or 100)))


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
    added = add_file(_open(store, create=True), file, _label(name, file, licence, note), **words)
    _out(f"start {added.name!r}: id {added.start_id}, weights {added.weights_sha256[:12]}")


@start.command("export")
def start_export(
    name: Annotated[str, typer.Argument(help="A start's name, or the beginning of its id.")],
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    store: Store = DEFAULT_STORE,
) -> None:
    """Write a start as one file.

    Example: headstart start export letters letters.start
    """
    exported = _open(store).export_start(name, file)
    _out(f"{file}: start {exported.name!r}, {file.stat().st_size:,} bytes")


@start.command("import")
def start_import(
    file: Annotated[Path, typer.Argument(help="What start export wrote.")],
    store: Store = DEFAULT_STORE,
) -> None:
    """Take in a start that somebody exported.

    Example: headstart start import letters.start
    """
    imported = _to_fill(store, str(file)).import_start(file)
    _out(f"start {imported.name!r}: id {imported.start_id}")


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
    found = _open(store).unused_weights(delete=delete, superseded=superseded)
    for path in found:
        _data(str(path))
    done = "deleted" if delete else "to delete"
    _err(f"{len(found):,} unused files of weights {done}")


@zoo.command("build")
def zoo_build(
    images: Annotated[
        Path | None, typer.Option(help="Images too: a folder a class, or an npz file.")
    ] = None,
    tables: Annotated[Path | None, typer.Option(help="A folder of tables too.")] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="Wall-clock time of it all.")] = 20.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    store: Store = DEFAULT_STORE,
    seed: TrainingSeed = 0,
) -> None:
    """Train starts on bundled data, on your folders and on the store's runs, and keep them.

    What was cut goes on when it is called again; what is done is passed over.

    \b
    Example: headstart zoo build --images letters/ --minutes 10
    """  # noqa: D301 - \b keeps the example on a line
    from recommenders.starts.zoo_building import build_zoo  # noqa: PLC0415

    filled = _open(store, create=True)
    for one in build_zoo(filled, images, tables, minutes, device=device, seed=seed, say=_err):
        _out(f"start {one.name!r}: id {one.start_id}")


def _label(name: str, file: Path, licence: str, note: str) -> Any:
    """What to say of a start, which is named after its file where it has no name."""
    from recommenders.starts.names import slug  # noqa: PLC0415
    from recommenders.starts.training import Label  # noqa: PLC0415

    return Label(name or slug(file.stem), licence, note)


@app.command()
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
    from metastore.rendering import Form, terminal_width  # noqa: PLC0415
    from recommenders.starts.finetune_words import shown  # noqa: PLC0415
    from recommenders.starts.finetuning import finetune as run  # noqa: PLC0415
    from recommenders.starts.model_folder import check_free  # noqa: PLC0415
    from recommenders.starts.support_sets import read_query, read_support  # noqa: PLC0415

    form = _form(json, csv, False)
    if form is Form.CSV and query is None:
        raise typer.BadParameter("--csv prints predictions: give --query as well")
    if out is not None:
        check_free(out)
    known = read_support(support, target)
    asks = None if query is None else read_query(query, known)
    with _working(f"fine-tuning on {known.name}"):
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
    say = _out if form is Form.TABLE else _data
    say(shown(found, form, out, min(100, terminal_width() or 100)))


@app.command()
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

    form = _form(json, csv, table)
    fitted = load(model)
    rows = fitted.read(query)
    found = prediction_rows(fitted, rows, fitted.fitted.probabilities(rows))
    if form is Form.TABLE:
        _out(prediction_text(found))
    else:
        _data(render(found, form))


def _open(store: str, *, create: bool = False) -> MetaStore:
    import metastore  # noqa: PLC0415

    return metastore.open(store, create=create)


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
    return _open(store)


def _open_to_finetune(store: str, start: str) -> MetaStore:
    """Open a store or make it, but make none for a start that there cannot be."""
    from metastore.store import is_there  # noqa: PLC0415
    from recommenders.starts.choice import OF_NO_STORE, no_start  # noqa: PLC0415

    if start not in OF_NO_STORE and not is_there(store):
        raise no_start(f"no start {start!r}; there is no store at {store}")
    return _open(store, create=True)


def _to_fill(store: str, file: str) -> MetaStore:
    """Open a store or make it, but make none for a file that is not there."""
    from metastore.errors import InvalidInputError  # noqa: PLC0415
    from metastore.journal import NotRecordedWarning  # noqa: PLC0415

    if not Path(file).exists():
        raise InvalidInputError(f"no file {file!r}: check the path")
    with warnings.catch_warnings():
        # what journals could still take, an import cannot: it says itself what is wrong
        warnings.simplefilter("ignore", NotRecordedWarning)
        return _open(store, create=True)


def _check_target(dataset: str, target: str | None) -> None:
    """Refuse a table file without a target: an answer for it would be about another task."""
    from metastore.datasets import is_table_file  # noqa: PLC0415
    from metastore.errors import InvalidInputError  # noqa: PLC0415

    if target is None and is_table_file(dataset):
        from metastore.table_files import read_frame  # noqa: PLC0415

        columns = ", ".join(map(str, list(read_frame(Path(dataset)).columns)[-8:]))
        raise InvalidInputError(
            f"which column of {dataset} is to be predicted? Say --target NAME; its last columns "
            f"are: {columns}"
        )


@contextmanager
def _described_elsewhere(
    dataset: str, target: str | None, store: str
) -> Iterator[Describing | None]:
    """Let another process describe a new table file, from before the slow imports on."""
    from metastore.describing import begin  # noqa: PLC0415
    from metastore.paths import StorePaths  # noqa: PLC0415

    paths = StorePaths.at(store)
    describing = begin(dataset, target, paths.folder) if paths.database.exists() else None
    try:
        yield describing
    finally:
        if describing is not None:
            describing.close()


def _form(json: bool, csv: bool, table: bool) -> Any:
    from metastore.rendering import Form  # noqa: PLC0415

    if json + csv + table > 1:
        raise typer.BadParameter("choose one of --json, --csv and --table")
    return Form.JSON if json else Form.CSV if csv else Form.TABLE


def _print(rows: list[dict[str, Any]], json: bool, csv: bool, table: bool) -> None:
    from metastore.rendering import render  # noqa: PLC0415

    _data(render(rows, _form(json, csv, table)))


def _err(text: str) -> None:
    """Say something on stderr; what was recorded cannot command the terminal by it."""
    from metastore.harmless import harmless  # noqa: PLC0415 - only once the package is ours

    print(harmless(text), file=sys.stderr, flush=True)


def _data(text: str) -> None:
    """Print what programs may read: to the letter, unless it goes to a terminal."""
    if sys.stdout.isatty():
        _out(text)
    else:
        _write(text)


def _out(text: str) -> None:
    """Print what people read; what was recorded cannot command the terminal by it."""
    from metastore.harmless import harmless  # noqa: PLC0415

    _write(harmless(text))


def _write(text: str) -> None:
    """Print; where nobody reads to the end, stop quietly with exit status 141."""
    try:
        print(text, end="\n" if text else "", flush=True)
    except BrokenPipeError:
        # Python flushes stdout once more when it ends, and would complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(UNREAD) from None


UNREAD = 141


def _print_import(report: ImportReport, what: str) -> None:
    """Print what an import did; exit status 1 says that rows were refused."""
    known = f", {report.known_runs:,} {what} were there already" if report.known_runs else ""
    failed = f" ({report.failed_runs:,} without a finite value: failed)" * bool(report.failed_runs)
    _out(f"{report.file}: {report.rows:,} rows, {report.new_runs:,} new {what}{failed}{known}")
    for note in report.notes:
        _err(f"  {note}")
    if report.refused:
        kept = ", a word in place of a number alone" if what == "values" else ""
        _err(f"headstart: {report.refused:,} rows were refused{kept}:")
        for line, reason in report.reasons[:20]:
            _err(f"  {report.counted} {line}: {reason}")
        if report.refused > len(report.reasons[:20]):
            _err(f"  and {report.refused - len(report.reasons[:20]):,} more")
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
    _out(", ".join(parts))
    if report.refused:
        _err(f"headstart: {len(report.refused):,} runs were refused:")
        for number, reason in report.refused[:20]:
            _err(f"  run {number}: {reason}")
        raise typer.Exit(1)


@contextmanager
def _working(what: str) -> Iterator[None]:
    """Show on a terminal's stderr that something is going on."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from metastore.harmless import harmless  # noqa: PLC0415

    with Console(stderr=True).status(Text(harmless(what))):  # a name is no markup
        yield


@contextmanager
def _bar(what: str) -> Iterator[Any]:
    """Show a progress bar on stderr; yields a function of (done, of all)."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    if not sys.stderr.isatty():
        yield None
        return
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


if __name__ == "__main__":
    main()
