"""The learning curve of a few-shot learner as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from learners.checkpoint import Report


def draw(path: Path, history: Sequence[Report], title: str) -> bool:
    """Draw training loss and validation score over meta-iterations into a PNG.

    The band is the 95% interval of the validation. Returns whether matplotlib was there to do it.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - optional
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        return False
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot([row.iteration for row in history], [row.loss for row in history], color="0.6")
    axes.set(xlabel="meta-iteration", ylabel="training loss (grey)", title=title)
    scored = [(row.iteration, row.validation) for row in history if row.validation is not None]
    if scored:
        at = [iteration for iteration, _ in scored]
        mean = [score.mean for _, score in scored]
        half = [score.half_width for _, score in scored]
        right = axes.twinx()
        right.plot(at, mean, color="C0")
        low = [m - h for m, h in zip(mean, half, strict=True)]
        high = [m + h for m, h in zip(mean, half, strict=True)]
        right.fill_between(at, low, high, color="C0", alpha=0.2)
        accuracy = scored[0][1].larger_is_better
        right.set_ylabel(f"validation {'accuracy' if accuracy else 'squared error'} (blue)")
    figure.savefig(path, dpi=120)
    return True
