"""The race as a picture, or as a plot of characters where matplotlib is not installed.

What is drawn is the error, one less the best accuracy so far, on a log scale: near the best,
where configurations differ by a little, that is what sets them apart.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from examples.race import Race

FloatArray = NDArray[np.float64]

HEIGHT = 10
SMALLEST = 1e-3
"""A smaller error, such as none at all, is drawn as this one."""


def errors(accuracies: FloatArray) -> FloatArray:
    """Return one less the accuracies, at least `SMALLEST`."""
    return np.maximum(1 - accuracies, SMALLEST)


def draw_picture(race: Race, title: str, file: Path) -> bool:
    """Draw the error over runs into a PNG; return whether matplotlib was there to do it."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - optional
        from matplotlib.figure import Figure  # noqa: PLC0415
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415
    except ImportError:
        return False
    steps = np.arange(1, race.random.shape[1] + 1)
    figure = Figure(figsize=(7.2, 4.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(steps, errors(race.random).T, color="#9a9a9a", linewidth=0.8, alpha=0.6)
    axes.plot(
        steps,
        errors(race.random.mean(axis=0)),
        color="#3d3d3d",
        linewidth=2,
        marker="s",
        markersize=4,
        label=f"random search: mean of {len(race.random)}, and each of them",
    )
    axes.plot(
        steps,
        errors(race.recommended),
        color="#1f5fa8",
        linewidth=2.5,
        marker="o",
        label="advice, run one after another",
    )
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda error, _: f"{error:.2%}".replace(".00", ""))
    )
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="configurations tried", ylabel="cross-validated error of the best so far")
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xticks(steps)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, loc="upper right")
    figure.savefig(file)
    return True


def plot_text(race: Race) -> str:
    """Return the error over runs in characters, on a log scale.

    `o` is the advice, `x` the mean of the random searches, `*` both at once.
    """
    curves = {"o": errors(race.recommended), "x": errors(race.random.mean(axis=0))}
    logs = {mark: np.log(curve) for mark, curve in curves.items()}
    low = min(float(log.min()) for log in logs.values())
    high = max(float(log.max()) for log in logs.values())
    step = (high - low) / (HEIGHT - 1) or 1.0
    grid = [[" "] * race.random.shape[1] for _ in range(HEIGHT)]
    for mark, log in logs.items():
        for column, value in enumerate(log):
            line = round((high - float(value)) / step)
            grid[line][column] = "*" if grid[line][column] != " " else mark
    lines = [
        f"{np.exp(high - number * step):9.1%} |  {'   '.join(marks)}".rstrip()
        for number, marks in enumerate(grid)
    ]
    axis = "".join(f"{k + 1:<4}" for k in range(race.random.shape[1])).rstrip()
    return "\n".join(
        [
            "    error of the best so far: o advice, x mean of random searches, * both",
            *lines,
            f"{'':10}+{'-' * (len(axis) + 3)}",
            f"{'':13}{axis}  configurations tried",
        ]
    )
