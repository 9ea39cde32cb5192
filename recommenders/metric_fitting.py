"""Learning which meta-features tell what configs will do: metric learning for kernel regression.

Weinberger and Tesauro, "Metric Learning for Kernel Regression", AISTATS 2007 (MLKR): the metric
is the one of least leave-one-out error of kernel regression (their eq. 2), found by its gradient
(their eq. 4). Here the metric is nearest's distance with an importance a_p = exp(t_p) for each
meta-feature, and the targets are rows of scores:

    d_ij = sum_p a_p s_ijp |z_ip - z_jp| / sum_p a_p s_ijp
    k_ij = softmax over j of -d_ij^2 / (2 h_i^2),   h_i the distance to i's fifth nearest
    w_ij = (1 - u) k_ij + u / n_i
    L(t) = sum_i |y_i - sum_j w_ij y_j|^2 / sum_i |y_i - mean|^2 + r mean_p t_p^2

with s_ijp whether both datasets have a meta-feature, and i's near-duplicates left out of j. At
t = 0 this is the fixed metric of `recommenders.distances`, and `r` pulls towards it. Departures:
absolute differences instead of squared ones and a width for each dataset, as the fixed metric has
them; a diagonal metric, for there are few datasets. The gradient, with G_ij = dL/dw_ij =
2 (sum_k w_ik y_k - y_i).y_j over the denominator,

    dL/dlogit_ij = (1 - u) k_ij (G_ij - sum_k k_ik G_ik) =: e_ij
    dL/dd_ij     = -e_ij d_ij / h_i^2 + [j is i's fifth] sum_k e_ik d_ik^2 / h_i^3 =: c_ij
    dL/dt_p      = a_p sum_ij c_ij s_ijp (|z_ip - z_jp| - d_ij) / sum_q a_q s_ijq + 2 r t_p / P

Notation: D datasets, P meta-features, C configs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metastore.view import FloatArray, IntArray
from recommenders.distances import MIN_SHARED, NEIGHBOURS, UNIFORM

STRENGTHS = (3.0, 0.3, 0.03)
"""How hard the metric is pulled towards the fixed one, the most first."""

TINY = 1e-12
FOLDS = 4
FEWEST_GROUPS = 12
STEPS = 40
AHEAD = 1.0
"""Standard errors by which a learned metric must lower the held-out error to be used."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """What a metric is fitted to.

    Args:
        gaps: `(D, D, P)` absolute differences, 0 where one has no value.
        shared: `(D, D, P)` 1.0 where both have a value, else 0.0.
        allowed: `(D, D)` whether dataset j may speak for i.
        gram: `(D, D)` inner products of the rows of scores, centred over datasets.
    """

    gaps: FloatArray
    shared: FloatArray
    allowed: NDArray[np.bool_]
    gram: FloatArray

    @classmethod
    def of(cls, z: FloatArray, rows: FloatArray, groups: IntArray) -> Pairs:
        """Return the pairs of datasets with squashed z `(D, P)` and rows of scores `(D, C)`."""
        gaps = np.abs(z[:, None] - z[None])
        shared = np.isfinite(gaps)
        counts, has = shared.sum(axis=2), np.isfinite(z).sum(axis=1)
        enough = (counts > 0) & (counts >= MIN_SHARED * np.maximum(has[:, None], has[None]))
        centred = rows - rows.mean(axis=0)
        return cls(
            np.where(shared, gaps, 0.0),
            shared.astype(np.float64),
            enough & (groups[:, None] != groups[None]),
            centred @ centred.T,
        )

    def between(self, asked: NDArray[np.bool_], told: NDArray[np.bool_]) -> Pairs:
        """Return the pairs in which some datasets, `(D,)`, are asked about and others tell."""
        return replace(self, allowed=self.allowed & asked[:, None] & told[None])


def loss_and_gradient(t: FloatArray, pairs: Pairs, strength: float) -> tuple[float, FloatArray]:
    """Return L and its gradient `(P,)` at the logarithms of the importances `(P,)`."""
    now = _Regression.of(t, pairs)
    active = pairs.allowed.any(axis=1)
    total = max(float(np.diag(pairs.gram)[active].sum()), TINY)
    errors, smooth = now.errors(pairs.gram)
    loss = float(errors[active].sum()) / total + strength * float((t**2).mean())
    pull = 2 * (smooth - pairs.gram) / total
    kernel, width = now.kernel, now.width
    logit = (1 - UNIFORM) * kernel * (pull - (kernel * pull).sum(axis=1, keepdims=True))
    slope = -logit * now.apart / width[:, None] ** 2
    slope[np.arange(len(slope)), now.fifth] += (logit * now.apart**2).sum(axis=1) / width**3
    slope[~active] = 0.0
    flat = (slope / now.share).reshape(-1)
    through = flat @ pairs.gaps.reshape(len(flat), -1)
    through -= (flat * now.apart.reshape(-1)) @ pairs.shared.reshape(len(flat), -1)
    return loss, np.exp(t) * through + 2 * strength * t / len(t)


def errors_of(t: FloatArray, pairs: Pairs) -> FloatArray:
    """Return the `(D,)` squared errors of kernel regression, 0 where nobody may speak."""
    errors, _ = _Regression.of(t, pairs).errors(pairs.gram)
    return np.where(pairs.allowed.any(axis=1), errors, 0.0)


@dataclass(frozen=True, eq=False)
class _Regression:
    """d, k and w `(D, D)`, h `(D,)`, who is the fifth nearest `(D,)`, sums of importances."""

    apart: FloatArray
    kernel: FloatArray
    weights: FloatArray
    width: FloatArray
    fifth: IntArray
    share: FloatArray

    @classmethod
    def of(cls, t: FloatArray, pairs: Pairs) -> _Regression:
        allowed, importance = pairs.allowed, np.exp(t)
        share = pairs.shared @ importance
        share = np.where(share > 0, share, 1.0)
        apart = pairs.gaps @ importance / share
        far, counts = np.where(allowed, apart, np.inf), allowed.sum(axis=1)
        every = np.arange(len(far))
        place = np.maximum(np.minimum(NEIGHBOURS, counts) - 1, 0)
        fifth = np.argsort(far, axis=1, kind="stable")[every, place]
        width = np.where(counts > 0, np.maximum(far[every, fifth], TINY), 1.0)
        power = 0.5 * (far / width[:, None]) ** 2
        lowest = np.where(counts > 0, power.min(axis=1, initial=np.inf), 0.0)
        kernel = np.exp(lowest[:, None] - power)
        kernel /= np.maximum(kernel.sum(axis=1, keepdims=True), TINY)
        equal = allowed / np.maximum(counts, 1)[:, None]
        weights = (1 - UNIFORM) * kernel + UNIFORM * equal
        return cls(apart, kernel, weights, width, fifth, share)

    def errors(self, gram: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the squared errors `(D,)`, and w times the Gram matrix `(D, D)`."""
        smooth = self.weights @ gram
        return np.diag(gram) - 2 * np.diag(smooth) + (smooth * self.weights).sum(axis=1), smooth


def fitted(pairs: Pairs, strength: float, start: FloatArray) -> FloatArray:
    """Return the logarithms of the importances `(P,)` of least loss, found from `start`."""
    from scipy.optimize import minimize  # noqa: PLC0415 - half a second, and only this needs it

    found = minimize(
        loss_and_gradient, start, (pairs, strength), "L-BFGS-B", True, options={"maxiter": STEPS}
    )
    answer: FloatArray = np.asarray(found.x, dtype=np.float64)
    return answer


def metric_can_be_learned(groups: IntArray) -> bool:
    """Return whether there are enough groups of near-duplicates, `(D,)`, to judge a metric by."""
    return len(np.unique(groups)) >= FEWEST_GROUPS


def chosen(pairs: Pairs, groups: IntArray) -> tuple[FloatArray, float]:
    """Return the logarithms of the importances `(P,)`, and the held-out error over the fixed one's.

    Groups are dealt into folds; metrics are fitted to some folds and judged on the others, at each
    strength. Where none beats the fixed metric by `AHEAD` standard errors, or there are fewer
    than `FEWEST_GROUPS` groups, the answer is the fixed metric: zeros, and 1.
    """
    fixed = np.zeros(pairs.gaps.shape[2])
    if not metric_can_be_learned(groups):
        return fixed, 1.0
    ids = np.unique(groups, return_inverse=True)[1]
    errors: FloatArray = np.zeros((1 + len(STRENGTHS), len(ids)))
    for fold in range(FOLDS):
        held = ids % FOLDS == fold
        inner, outer = pairs.between(~held, ~held), pairs.between(held, ~held)
        errors[0] += errors_of(fixed, outer)
        t = fixed
        for i, strength in enumerate(STRENGTHS):
            t = fitted(inner, strength, t)
            errors[1 + i] += errors_of(t, outer)
    sums = np.stack([np.bincount(ids, row) for row in errors])
    best = int(np.argmin(sums.sum(axis=1)))
    saved = sums[0] - sums[best]
    if best == 0 or saved.mean() <= AHEAD * saved.std(ddof=1) / np.sqrt(len(saved)):
        return fixed, 1.0
    t = fixed
    for strength in STRENGTHS[:best]:
        t = fitted(pairs, strength, t)
    return t, float(sums[best].sum() / sums[0].sum())
