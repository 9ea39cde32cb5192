"""Print every Omniglot result beside its published figures, and draw the learning curves.

    python -m benchmarks.few_shot.table

Reads `benchmarks/few_shot/results/`, trains nothing. A cell is a mean accuracy in percent with its
95% interval; "not run" where there is no result. A method with several results at one setting
shows the first seed's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.few_shot.full_protocol import FILE
from benchmarks.few_shot.published import ASKED, PUBLISHED
from benchmarks.few_shot.recipes import METHODS, SETTINGS

RESULTS = Path(__file__).parent / "results"
Result = dict[str, Any]


def results(folder: Path) -> dict[str, list[Result]]:
    """Return the result files of each method, by method."""
    found: dict[str, list[Result]] = {}
    for setting in SETTINGS:
        for path in sorted(folder.glob(f"*-{setting}-*.json")):
            method = path.stem.partition("-")[0]
            found.setdefault(method, []).append(json.loads(path.read_text()))
    return found


def cpu_seconds(result: Result) -> float | None:
    """Return the processor seconds of all that was trained; None in files that lack them."""
    own = result.get("cpu_seconds", result.get("cpu_seconds_of_this_process"))
    if own is None:
        return None
    return float(own) + sum(float(one["cpu_seconds"]) for one in result.get("first", ()))


def budget(result: Result) -> str:
    """Return what a training cost, in words."""
    iterations = " + ".join(f"{one['iterations']:,}" for one in (*result.get("first", ()), result))
    cpu = cpu_seconds(result)
    spent = f"{result['seconds'] / 60:.0f} min wall" if cpu is None else f"{cpu / 60:.1f} CPU min"
    begun = result.get("begun")
    after = f", begun at {100 * begun['mean']:.1f} on validation characters" if begun else ""
    return f"{iterations} iterations, {spent}{after}"


def budgets(found: list[Result]) -> str:
    """Return what all trainings of a method cost, each with where it was tested if several."""
    if len(found) == 1:
        return budget(found[0])
    return "; ".join(f"{next(iter(one['scores']))}: {budget(one)}" for one in found)


def cells(found: list[Result], suffix: str) -> list[str]:
    """Return a method's accuracy at each setting."""

    def cell(setting: str) -> str:
        for result in found:
            score = result["scores"].get(setting + suffix)
            if score:
                return f"{100 * score['mean']:.1f} ± {100 * score['half_width']:.1f}"
        return "not run"

    return [cell(setting) for setting in SETTINGS]


def figures(row: tuple[float | None, ...]) -> list[str]:
    """Return percentages as cells."""
    return ["" if value is None else f"{value:.1f}" for value in row]


def rows(found: dict[str, list[Result]]) -> Iterator[list[str]]:
    """Yield the lines of the table: each method's results, what was asked, what was published."""
    for method in METHODS:
        mine = found.get(method, [])
        yield [method, budgets(mine), *cells(mine, "")]
        other = f"{method}, transductive"
        if any(key.endswith("transductive") for one in mine for key in one["scores"]):
            yield [other, "the same state", *cells(mine, ", transductive")]
        if method in ASKED:
            yield ["asked", "half an hour of two cores", *figures(ASKED[method])]
        for name in (method, other):
            if name in PUBLISHED:
                label = "published" if name == method else "published, transductive"
                yield [label, "", *figures(PUBLISHED[name])]


def not_run(folder: Path) -> Iterator[list[str]]:
    """Yield a line for each method whose published protocol was timed, and not run."""
    path = folder / FILE
    if not path.exists():
        return
    for method, timed in json.loads(path.read_text())["iterations"].items():
        hours = [
            f"not run, {timed[setting]['hours']:.0f} h" if setting in timed else "not run"
            for setting in SETTINGS
        ]
        yield [f"{method}, published protocol", "60,000 iterations, hours of one core", *hours]


def markdown(lines: list[list[str]]) -> str:
    """Return a Markdown table."""
    head = ["", "budget", *SETTINGS]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


def curve(result: Result) -> tuple[list[float], list[float]]:
    """Return processor seconds and validation accuracy in percent.

    A method that was begun by another starts where that one ended. Where a point's processor
    seconds were not measured, they are its share of the training's, or of its wall seconds.
    """
    before = sum(one["cpu_seconds"] for one in result.get("first", ()))
    total = cpu_seconds(result)
    whole = result["seconds"] if total is None else total - before
    x, y = [], []
    for point in result["history"]:
        if point["validation"]:
            own = point.get("cpu_seconds")
            share = point["iteration"] / result["iterations"]
            x.append(before + (whole * share if own is None else own))
            y.append(100 * point["validation"]["mean"])
    return x, y


def draw(found: dict[str, list[Result]], path: Path) -> None:
    """Write the learning curves of the 5-way 1-shot results as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - pictures alone
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for i, method in enumerate(method for method in METHODS if method in found):
        one = next((one for one in found[method] if "5w1s" in one["scores"]), None)
        if one is not None:
            label = method if cpu_seconds(one) is not None else f"{method} (wall seconds)"
            axes.plot(*curve(one), marker="o^s"[i // 10], markersize=3, label=label)
    axes.set(
        xlabel="processor seconds",
        ylabel="accuracy on validation characters, %",
        title="Omniglot, 5-way 1-shot",
        xscale="log",
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="lower right")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=RESULTS / "omniglot.png")
    options = parser.parse_args()
    found = results(options.results)
    print(markdown([*rows(found), *not_run(options.results)]))
    draw(found, options.out)


if __name__ == "__main__":
    main()
