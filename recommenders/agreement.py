"""How well past datasets explain what was observed, and what each one then promises.

Each past dataset d is a hypothesis: on the new one, scores are a level plus b times its merits
p_dc = 1 - regret, plus noise. The level is unknown (its prior is flat), the spread b is one of
a few quantiles of the past datasets' spreads, the noise has an inverse-gamma prior around
`NOISE`, counted as `DEGREES` observations. With k observed scores y, centred on their mean like
the merits of the same configs,

    ssr = sum (y/b - p_d)^2
    log weight(d, b) = log prior(d) - (k-1) log b - (DEGREES + k-1)/2 log(DEGREES NOISE^2 + ssr)

A single observation tells datasets apart in no way, and the prior never vanishes, so a dataset
that agrees by chance cannot silence the others. The gain of a config under (d, b) is the
expected excess over the best so far under logistic noise of the posterior scale s,
E max(0, m + e) = s log(1 + exp(m / s)): the expected improvement of a mixture.

Such a mixture can be too sure of the few datasets that fit best, and then do worse than a plain
portfolio. `GUARD` is how much of every gain is the gain in coverage under the weights before
anything was observed, which no observation can talk out of covering the others.

Notation: D datasets, B spreads, P configs, k observed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metastore.view import FloatArray, IntArray
from recommenders.sessions import Case
from recommenders.uncovered import Uncovered

NOISE = 0.02
DEGREES = 3.0
SPREADS = 5
COMPONENTS = 128
GUARD = 1 / 3
LOGISTIC = float(np.sqrt(3) / np.pi)


@dataclass(frozen=True, eq=False)
class Mixture:
    """The heaviest hypotheses: dataset `(H,)`, spread `(H,)`, weight `(H,)`, noise `(H,)`.

    `datasets` `(D,)` are the weights of datasets over all spreads.
    """

    dataset: IntArray
    spread: FloatArray
    weight: FloatArray
    noise: FloatArray
    datasets: FloatArray


def explain(case: Case) -> Mixture:
    """Return the hypotheses by how well they explain what was seen (at least one score)."""
    active = np.flatnonzero((case.weights > 0) & (case.spread > 0))
    middles = (np.arange(SPREADS) + 0.5) / SPREADS
    spreads = np.sort(case.spread[active])[(middles * len(active)).astype(np.int64)]
    merits = 1 - case.table.regret[np.ix_(active, case.seen.columns)]
    merits = merits - merits.mean(axis=1, keepdims=True)
    observed = (case.seen.scores - case.seen.scores.mean()) / spreads[:, None]
    ssr = ((observed[:, None] - merits[None]) ** 2).sum(axis=2)
    degrees = DEGREES + len(case.seen.columns) - 1
    variance = DEGREES * NOISE**2 + ssr
    logs = np.log(case.weights[active]) - 0.5 * degrees * np.log(variance)
    logs -= (len(case.seen.columns) - 1) * np.log(spreads)[:, None]
    weight = np.exp(logs - logs.max())
    weight /= weight.sum()
    datasets = np.zeros(len(case.weights))
    datasets[active] = weight.sum(axis=0)
    heavy = np.argsort(-weight, axis=None, kind="stable")[:COMPONENTS]
    which, whose = np.unravel_index(heavy, weight.shape)
    noise = np.sqrt(variance[which, whose] / degrees)
    return Mixture(active[whose], spreads[which], weight[which, whose], noise, datasets)


def improving(case: Case, mixture: Mixture, n: int) -> IntArray:
    """Return at most `n` configs by guarded expected improvement, each given those before it."""
    left = np.flatnonzero(~case.seen.taken)
    promised, scale = _promised(case, mixture, left)
    share = (1 - GUARD) * mixture.weight * mixture.spread * scale
    uncovered = Uncovered.of(case, left)
    chosen: list[int] = []
    for _ in range(min(n, len(left))):
        gain = share @ np.logaddexp(0, promised / scale[:, None])
        gain = case.hoped(gain + GUARD * uncovered.gains(), left)
        gain[chosen] = -np.inf
        at = int(np.argmax(gain))
        chosen.append(at)
        promised = promised - np.maximum(promised[:, [at]], 0)
        uncovered = uncovered.after(at)
    return left[chosen]


def _promised(case: Case, mixture: Mixture, left: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return how far above the best so far each hypothesis puts each config, and its noise."""
    merits = 1 - case.table.regret[mixture.dataset]
    known = merits[:, case.seen.columns].mean(axis=1)
    ahead = (case.seen.scores.max() - case.seen.scores.mean()) / mixture.spread
    return merits[:, left] - (known + ahead)[:, None], LOGISTIC * mixture.noise
