"""How likely a config is to fail on a dataset where some already did.

What makes runs fail is mostly a rule: a kernel that is not installed, more memory than there is,
more time than was allowed, an option that another one does not go with. So each of many rules is
a hypothesis, and they are averaged by how well they explain which observed runs failed (Bayesian
model averaging; the acquisition times this probability is the constrained expected improvement of
Gelbart, Snoek and Adams, 2014, "Bayesian Optimization with Unknown Constraints", eq. 7, which has
a Gaussian process where this has rules).

A rule says that what lies in a region R fails at a rate a, and all else at a rate b. R is a half
line of one column of the encoded configs (an interval's end, or a category that is or is not), or
the meeting of two such: an interval, a corner, a kernel together with a large C. Beside the rules
stands the hypothesis that all configs fail at one rate c. With beta priors on the rates,

    p(data | R) = B(a1 + f_R, a0 + s_R) / B(a1, a0) x B(b1 + f - f_R, b0 + s - s_R) / B(b1, b0)

for f failed and s successful runs, f_R and s_R of them in R; a config in R then fails with
probability (a1 + f_R) / (a1 + a0 + f_R + s_R), and so outside. Columns weigh alike beforehand,
however many ends they have. All regions with their meetings are the products of two columns of
one matrix M `(P, R)` of memberships: f_ij is M_failed' M_failed, and what a config with membership
m expects of all of them is m' Q m.

Past datasets' failures need no word here: there they are the worst scores.

How constants were chosen: on the development tasks of openml_pimp's tables
(`benchmarks.recommend.own_tables.part_of`) and on every second dataset of this project's own, with
configs made to fail by kernel, C, gamma, both, number of features, leaf size, algorithm, duration,
or at random (`benchmarks.recommend.failures`). Gaussian processes on failed or not left more to
fail where most configs do, a kernel average half as many again everywhere. Expected improvement
goes where a hope is large and its chance one in fifty; squared chances (`CAUTION`) halved what
failed from the tenth trial on, at no more regret. Leaving alone what is less than half as likely
to run as the likeliest, in place of that, left as little to fail, but missed the best where it lay
beside a bound. Once little is left to gain among what runs, even a squared chance leads back to
what fails; so what is hopeless beside the likeliest (`HOPELESS`; .05 to .4 were tried) comes after
all else: on 20 development tasks of each table, by `empirical_bayes`, 2.1 in place of 2.2 of 20
trials failed on SVC, 3.2 in place of 3.4 on forests, the regrets are the same.

Notation: P configs, R regions, f failed, s successful runs.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from metastore.view import FloatArray, IntArray

IN_REGION = (1.0, 0.1)
OUTSIDE = (0.1, 1.0)
ANYWHERE = (0.2, 0.5)
"""Beta priors (failed, succeeded) of the rates: in a rule's region, outside, and without a rule."""

NO_RULE = 0.5
MEETINGS = 0.3
"""Prior of one rate for all, and of the rest what meetings of two regions have."""

CAUTION = 2.0
"""Power of the chance to run by which gains are multiplied."""

HOPELESS = 0.2
"""Share of the likeliest config's chance to run below which one comes after all others."""

MOST_ENDS = 12
MOST_REGIONS = 400
CHUNK = 4_096


def chances(points: FloatArray, ran: IntArray, failed: IntArray) -> FloatArray:
    """Return how likely each config `(P,)` is not to fail.

    Args:
        points: `(P, d)` encoded configs.
        ran: `(s,)` those that gave a score.
        failed: `(f,)` those that failed.

    >>> kernels = np.array([[0.0], [0.0], [1.0], [1.0]])
    >>> chances(kernels, ran=np.array([0]), failed=np.array([2])).round(2).tolist()
    [0.86, 0.86, 0.17, 0.17]
    """
    f, s = np.array(float(len(failed))), np.array(float(len(ran)))
    columns, ends, above = _regions(points, failed)
    if not len(columns):
        return np.full(len(points), 1 - _rate(ANYWHERE, f, s))
    bad = _member(points[failed], columns, ends, above)
    fine = _member(points[ran], columns, ends, above)
    f_in, s_in = bad.T @ bad, fine.T @ fine
    beta = _LogBeta(len(failed) + len(ran))
    logs = np.log((1 - NO_RULE) * _prior(columns))
    logs += beta(IN_REGION, f_in, s_in) + beta(OUTSIDE, f - f_in, s - s_in)
    none = math.log(NO_RULE) + float(beta(ANYWHERE, f, s))
    top = max(float(logs.max()), none)
    weights, alone = np.exp(logs - top), math.exp(none - top)
    total = float(weights.sum()) + alone
    inside, outside = _rate(IN_REGION, f_in, s_in), _rate(OUTSIDE, f - f_in, s - s_in)
    everywhere = (alone * _rate(ANYWHERE, f, s) + (weights * outside).sum()) / total
    more = weights * (inside - outside) / total
    fails = np.empty(len(points))
    for start in range(0, len(points), CHUNK):
        some = _member(points[start : start + CHUNK], columns, ends, above)
        fails[start : start + CHUNK] = everywhere + ((some @ more) * some).sum(axis=1)
    return np.clip(1 - fails, 0, 1)


def hopeless(chance: FloatArray, taken: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which configs `(P,)` are far less likely to run than the likeliest not taken.

    >>> hopeless(np.array([0.9, 0.5, 0.1]), taken=np.array([True, False, False])).tolist()
    [False, False, False]
    >>> hopeless(np.array([0.9, 0.5, 0.1]), taken=np.zeros(3, dtype=bool)).tolist()
    [False, False, True]
    """
    found: NDArray[np.bool_] = chance < HOPELESS * chance[~taken].max(initial=0.0)
    return found


def _rate(prior: tuple[float, float], failed: FloatArray, ran: FloatArray) -> FloatArray:
    """Return the expected rate of failures."""
    rate: FloatArray = (prior[0] + failed) / (sum(prior) + failed + ran)
    return rate


class _LogBeta:
    """Logarithms of how likely so many failures and successes are, up to `most` of them."""

    def __init__(self, most: int) -> None:
        self._counts = range(most + 1)

    def __call__(
        self, prior: tuple[float, float], failed: FloatArray, ran: FloatArray
    ) -> FloatArray:
        """Return log B(p1 + failed, p0 + ran) / B(p1, p0), element by element."""
        bad, fine = failed.astype(np.int64), ran.astype(np.int64)
        found: FloatArray = self._gamma(prior[0])[bad] + self._gamma(prior[1])[fine]
        found -= self._gamma(sum(prior))[bad + fine]
        return found

    def _gamma(self, shape: float) -> FloatArray:
        """Return log Gamma(shape + n) / Gamma(shape) for each count n."""
        return np.array([math.lgamma(shape + n) - math.lgamma(shape) for n in self._counts])


def _regions(
    points: FloatArray, failed: IntArray
) -> tuple[IntArray, FloatArray, NDArray[np.bool_]]:
    """Return column, end, and whether above it, of each region `(R,)`.

    Of more columns than there may be regions, those in which what failed is unlike the others.
    """
    values = [np.unique(column.round(9)) for column in points.T]
    live = [i for i, some in enumerate(values) if len(some) > 1]
    if len(live) > MOST_REGIONS // 2:
        unlike = np.abs(points[failed].mean(axis=0) - points.mean(axis=0))[live]
        live = [live[i] for i in np.argsort(-unlike, kind="stable")[: MOST_REGIONS // 2].tolist()]
    most = int(np.clip(MOST_REGIONS // (2 * max(1, len(live))), 1, MOST_ENDS))
    ends = [_spread((values[i][1:] + values[i][:-1]) / 2, most) for i in live]
    columns = np.repeat(np.array(live, dtype=np.int64), [len(some) for some in ends])
    every = np.concatenate([np.empty(0), *ends])
    above = np.arange(2 * len(columns)) < len(columns)
    return np.tile(columns, 2), np.tile(every, 2), above


def _spread(ends: FloatArray, most: int) -> FloatArray:
    """Return at most `most` of the sorted ends, evenly spread, not the outermost of many."""
    if len(ends) <= most:
        return ends
    return ends[np.linspace(0, len(ends) - 1, most + 2).round().astype(np.int64)[1:-1]]


def _member(
    points: FloatArray, columns: IntArray, ends: FloatArray, above: NDArray[np.bool_]
) -> FloatArray:
    """Return 1 where a config `(n, d)` lies in a region `(R,)`, else 0: `(n, R)`."""
    member: FloatArray = ((points[:, columns] > ends) == above).astype(np.float64)
    return member


def _prior(columns: IntArray) -> FloatArray:
    """Return the prior `(R, R)`, adding up to 1: of regions on the diagonal, else of meetings."""
    own = np.array([(columns == column).sum() for column in columns.tolist()])
    each = 1 / (own * len(set(columns.tolist())))
    prior: FloatArray = MEETINGS * np.outer(each, each)
    prior[np.diag_indices_from(prior)] = (1 - MEETINGS) * each
    return prior
