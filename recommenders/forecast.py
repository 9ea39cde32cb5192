"""What to expect of a config: its score on a new dataset, an interval, and the cost.

The expected score is the weighted mean of the config's scores on past datasets; once scores of
the new dataset are known, it is their mean plus the weighted mean of how much better than the
same configs this one was elsewhere, times how much farther apart scores lie here: where all is
good a config is not better by as much as it was where most was bad. How wide the prior of that
scale is was chosen on half 0 of auto-sklearn's table and this project's own, by absolute errors.

The interval is conformal (Papadopoulos et al., 2002; Lei et al., 2018): each past dataset is left
out with its near-duplicates and forecast the same way, and the quantiles of its errors, divided by
the spread of the past scores behind the forecast, are multiplied by the spread at hand. Over
datasets like the past ones 80% of the intervals hold.

Notation: D datasets, T datasets left out in turn, Q configs asked of each, the best first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metastore.view import FloatArray

LEVEL = 0.8
STAGES = (0, 1, 3, 8)
AHEAD = 4
SLOPES = 1.0
"""Standard deviation of the scale."""

GRAIN = 0.02
"""Part of a dataset's best less worst score that differences between like configs are chance by."""

TINY = 1e-12
NOTHING = 0.1
"""A spread this small beside the error says nothing of it."""

FEWEST = 5


@dataclass(frozen=True, eq=False)
class Forecast:
    """Expected scores `(..., P)` and the spread `(..., P)` of the past scores behind each."""

    score: FloatArray
    spread: FloatArray


def forecast(  # noqa: PLR0913 - asked and observed configs, and their metric
    scores: FloatArray,
    weights: FloatArray,
    before: FloatArray | None = None,
    seen: FloatArray | None = None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    *,
    widths: FloatArray | None = None,
) -> Forecast:
    """Return what past scores say of configs on a new dataset, or on each of several.

    Args:
        scores: `(..., D, P)` past scores of the configs asked about.
        weights: `(..., D)` weights of the datasets, adding up to 1.
        before: `(..., D, k)` past scores of the configs that were observed.
        seen: `(..., k)` their scores on the new dataset.
        bounds: of scores; nothing beyond them is expected.
        widths: `(D,)` best less worst score of each dataset.
    """
    level, scale = np.zeros((1,)), np.ones((1,))
    if before is not None and seen is not None and seen.shape[-1]:
        scores = scores - before.mean(axis=-1, keepdims=True)
        level = seen.mean(axis=-1, keepdims=True)
        scale = _scale(weights, before, seen, widths)[..., None]
    across = weights[..., None, :]
    mean = across @ scores
    variance = (across @ (scores - mean) ** 2)[..., 0, :]
    expected = np.clip(scale * mean[..., 0, :] + level, *bounds)
    return Forecast(expected, scale * np.sqrt(np.maximum(variance, 0)))


def _scale(
    weights: FloatArray, before: FloatArray, seen: FloatArray, widths: FloatArray | None
) -> FloatArray:
    """Return how many times as far apart `(...)` observed scores lie as elsewhere, 0 at least.

    The slope of Bayesian linear regression (Bishop, 2006, section 3.3) of what was seen on what
    was expected, about 1. The variance of its noise is that between datasets, plus what no slope
    explains, plus chance: configs that scored alike everywhere say nothing of the scale.

    Args:
        weights: `(..., D)` of datasets.
        before: `(..., D, k)` past scores of the configs that were observed.
        seen: `(..., k)` their scores.
        widths: `(D,)` best less worst score of each dataset; without them nothing is chance.
    """
    apart = before - before.mean(axis=-1, keepdims=True)
    x = (weights[..., None] * apart).sum(axis=-2)
    y = seen - seen.mean(axis=-1, keepdims=True)
    noise = (weights[..., None] * (apart - x[..., None, :]) ** 2).sum(axis=-2).mean(axis=-1)
    along, length = (x * y).sum(axis=-1), (x * x).sum(axis=-1)
    unlike = (y * y).sum(axis=-1) - along**2 / np.maximum(length, TINY)
    noise += np.maximum(unlike, 0) / seen.shape[-1]
    if widths is not None:
        noise += (GRAIN * (weights @ widths)) ** 2
    noise = noise / SLOPES**2 + TINY
    slope: FloatArray = (along + noise) / (length + noise)
    return np.maximum(slope, 0)


def _floor(spreads: FloatArray, errors: FloatArray) -> float:
    """Return what is added to spreads: their median, or that of the errors where it says nothing.

    A forecast from one past dataset has no spread at all, whatever its error is.
    """
    spread, error = float(np.median(spreads)), float(np.median(np.abs(errors)))
    return (error if spread < NOTHING * error else spread) + TINY


@dataclass(frozen=True, eq=False)
class Calibration:
    """Errors of forecasts on datasets left out, in spreads; one sorted array for each stage.

    A stage is a number of observed configs; `floors` keep spreads from vanishing where the past
    datasets agree by chance, or are too few to differ.
    """

    errors: tuple[FloatArray, ...]
    floors: tuple[float, ...]

    @classmethod
    def fit(
        cls,
        weights: FloatArray,
        past: FloatArray,
        truth: FloatArray,
        bounds: tuple[float, float] = (-np.inf, np.inf),
        widths: FloatArray | None = None,
    ) -> Calibration:
        """Learn from datasets left out in turn.

        Args:
            weights: `(T, D)` what each of the others counts, 0 for the one left out.
            past: `(T, D, Q)` scores of the others on the configs asked of each.
            truth: `(T, Q)` the scores, NaN where unknown.
            bounds: of scores; nothing beyond them is expected.
            widths: `(D,)` best less worst score of each dataset.
        """
        errors, floors = [], []
        for stage in STAGES:
            if stage >= truth.shape[1]:
                break
            asked = slice(stage, stage + AHEAD)
            before, seen = past[:, :, :stage], truth[:, :stage]
            found = forecast(past[:, :, asked], weights, before, seen, bounds, widths=widths)
            residual, spread = truth[:, asked] - found.score, found.spread
            fine = np.isfinite(residual)
            if fine.sum() < FEWEST:
                break
            floor = _floor(spread[fine], residual[fine])
            floors.append(floor)
            errors.append(np.sort(residual[fine] / (spread[fine] + floor)))
        return cls(tuple(errors), tuple(floors))

    def interval(self, expected: Forecast, observed: int) -> tuple[FloatArray, FloatArray]:
        """Return the lower and upper ends `(P,)` of the 80% intervals of scores.

        They hold what is expected, also where the errors of past forecasts lie on one side.
        NaN where too few datasets were there to learn from.
        """
        stages = [i for i, s in enumerate(STAGES[: len(self.errors)]) if s <= observed]
        if not stages:
            nothing = np.full(len(expected.score), np.nan)
            return nothing, nothing.copy()
        errors, floor = self.errors[stages[-1]], self.floors[stages[-1]]
        tail, n = (1 - LEVEL) / 2, len(errors)
        low = errors[max(0, int(np.floor(tail * (n + 1))) - 1)]
        high = errors[min(n - 1, int(np.ceil((1 - tail) * (n + 1))) - 1)]
        spread = expected.spread + floor
        return expected.score + min(low, 0.0) * spread, expected.score + max(high, 0.0) * spread
