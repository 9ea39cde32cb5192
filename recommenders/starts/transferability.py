"""How well embeddings, or a source head's probabilities, suit labels, without any fine-tuning.

LogME: You, Liu, Wang and Long, "LogME: Practical Assessment of Pre-trained Models for Transfer
Learning", ICML 2021, equations 2 to 4, with the fixed point over t = alpha / beta of their JMLR
2022 version. H-score: Bao et al., "An Information-Theoretic Approach to Transferability in Task
Transfer Learning", ICIP 2019, definition 2; with a shrunk covariance: Ibrahim, Ponomareva and
Mazumder, "Newer is not always better", ECML PKDD 2022, section 4. LEEP: Nguyen, Hassner, Seeger
and Archambeau, ICML 2020, equations 1 and 2. Larger is better in all of them. Departure: every
covariance divides by n.

Notation
    F       embeddings `(n, d)`, rows f_i;  y  labels `(n,)`;  C classes
    s_j     squared singular values of F;  u_j  left singular vectors
    theta   source probabilities `(n, n_source)`
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metastore.errors import InvalidInputError

FloatArray = NDArray[np.float64]
_IntArray = NDArray[np.intp]

_STEPS = 200
_FIRST = np.array([1e-4, 1e-2, 1.0, 1e2])
_TOLERANCE = 1e-7
#: Noise shares at which the evidence has reached its limit.
_LEAST, _MOST = 1e-12, 1e12


def logme(embeddings: ArrayLike, labels: ArrayLike) -> float:
    """Return the largest log evidence of a linear model of the labels, per example, in nats.

    For each class, y = F w + noise with w ~ N(0, I / alpha) and noise ~ N(0, 1 / beta), y being 1
    for its members and 0 for others; the mean over classes of max over alpha, beta of
    log p(y | F) / n. With t = alpha / beta the fixed point is

        gamma = sum_j s_j / (t + s_j),   t <- (gamma / m'm) (|y - F m|^2 / (n - gamma))

    from several first values, since the evidence can have more than one top.

    Args:
        embeddings: `(n, d)`.
        labels: `(n,)`, two classes or more.

    Raises:
        InvalidInputError: if shapes do not match, a value is not finite, or there is one class.

    >>> good = logme([[0.0], [0.1], [1.0], [1.1]], [0, 0, 1, 1])
    >>> good > logme([[0.0], [1.0], [0.1], [1.1]], [0, 0, 1, 1])
    True
    """
    f, y, n_classes = _checked(embeddings, labels)
    u, singular, _ = np.linalg.svd(f, full_matrices=False)
    kept = singular > singular.max(initial=0.0) * 1e-10
    if not kept.any():
        raise InvalidInputError("embeddings are all zero; they say nothing of any label")
    squares, u = singular[kept] ** 2, u[:, kept]
    members = np.eye(n_classes)[y]
    inside = (u.T @ members) ** 2
    outside = np.maximum((members**2).sum(0) - inside.sum(0), 0.0)
    return float(_Evidence(squares, inside, outside, len(y)).largest().mean()) / len(y)


class _Evidence:
    """The log evidence of C one-column targets as a function of t, at the best beta for it.

    Args:
        squares: s `(r,)`.
        inside: squared part of each target along each u_j `(r, C)`.
        outside: squared length of what lies outside of all u_j `(C,)`.
        n: rows.
    """

    def __init__(self, squares: FloatArray, inside: FloatArray, outside: FloatArray, n: int):
        self.squares, self.inside, self.outside, self.n = squares, inside, outside, n

    def at(self, t: FloatArray) -> FloatArray:
        """Return log p(y | F) `(C,)` at `t` `(C,)`; best beta = n / y' (I + F F' / t)^-1 y."""
        shrunk = t / (t + self.squares[:, None])
        misfit = (self.inside * shrunk).sum(0) + self.outside
        spread = np.log1p(self.squares[:, None] / t).sum(0)
        found: FloatArray = -0.5 * (self.n * np.log(2 * math.pi * misfit / self.n) + spread)
        return found - 0.5 * self.n

    def largest(self) -> FloatArray:
        """Return the largest log evidence `(C,)` over the fixed points that were found."""
        largest = self.at(np.full(len(self.outside), _MOST * self.squares.max()))
        for first in _FIRST * float(np.median(self.squares)):
            t = self.fixed_point(np.full(len(self.outside), first))
            largest = np.maximum(largest, self.at(t))
        return largest

    def fixed_point(self, t: FloatArray) -> FloatArray:
        """Return t `(C,)` where the iteration stands still, from a first value of it."""
        scale, squares = float(self.squares.max()), self.squares[:, None]
        for _ in range(_STEPS):
            share = squares / (t + squares)
            effective = share.sum(0)
            weight = (self.inside * squares / (t + squares) ** 2).sum(0)
            residual = (self.inside * (1 - share) ** 2).sum(0) + self.outside
            # A target that no column tells of has no weights: t grows without end.
            below = np.maximum(weight * (self.n - effective), np.finfo(np.float64).tiny)
            new: FloatArray = effective * residual / below
            new = new.clip(_LEAST * scale, _MOST * scale)
            if (np.abs(new - t) <= _TOLERANCE * t).all():
                return new
            t = new
        return t


def h_score(embeddings: ArrayLike, labels: ArrayLike, *, shrunk: bool = True) -> float:
    """Return tr(cov(f)^-1 cov(E[f | y])): how far classes lie apart for how far examples do.

    Args:
        embeddings: `(n, d)`.
        labels: `(n,)`, two classes or more.
        shrunk: whether cov(f) is shrunk as Ledoit and Wolf (2004) have it, the covariance of the
            class means being scaled by what the shrinkage leaves; needed where n is small for d.

    Raises:
        InvalidInputError: as `logme`.
    """
    f, y, n_classes = _checked(embeddings, labels)
    f = f - f.mean(0)
    members = np.eye(n_classes)[y]
    means = (members / members.sum(0)).T @ f
    between = (means.T * (members.sum(0) / len(f))) @ means
    within = f.T @ f / len(f)
    if not shrunk:
        return float(np.trace(np.linalg.pinv(within, hermitian=True) @ between))
    share = _shrinkage(f, within)
    mean = np.trace(within) / len(within)
    if mean <= 0:
        raise InvalidInputError("embeddings are all the same; they say nothing of any label")
    covariance = (1 - share) * within + share * mean * np.eye(len(within))
    return float((1 - share) * np.trace(np.linalg.solve(covariance, between)))


def _shrinkage(f: FloatArray, covariance: FloatArray) -> float:
    """Return the share of the identity in the covariance (Ledoit and Wolf 2004, section 3.3)."""
    n, d = f.shape
    mean = np.trace(covariance) / d
    apart = float(((covariance - mean * np.eye(d)) ** 2).sum()) / d
    # sum_i |f_i f_i' - S|^2 = sum_i |f_i|^4 - n |S|^2
    spread = float((f**2).sum(1) @ (f**2).sum(1)) / n - float((covariance**2).sum())
    return 1.0 if apart <= 0 else min(max(spread / (n * d), 0.0) / apart, 1.0)


def leep(source_probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean log-likelihood of the labels under the expected empirical predictor.

    p(y, z) = (1/n) sum over i with label y of theta_iz;  LEEP = (1/n) sum_i log sum_z
    p(y_i | z) theta_iz, in nats, at most 0.

    Args:
        source_probabilities: `(n, n_source)` of the source's own classes, rows adding up to 1.
        labels: `(n,)`, two classes or more.

    Raises:
        InvalidInputError: as `logme`, or if rows are no probabilities.

    >>> leep([[1.0, 0.0], [0.0, 1.0]], [0, 1])
    0.0
    """
    theta, y, n_classes = _checked(source_probabilities, labels)
    if (theta < 0).any() or not np.allclose(theta.sum(1), 1.0, atol=1e-4):
        raise InvalidInputError(
            "source_probabilities: expected rows of probabilities that add up to 1; turn log-odds "
            "into probabilities first"
        )
    members = np.eye(n_classes)[y]
    joint = members.T @ theta / len(y)
    conditional = joint / np.maximum(joint.sum(0), np.finfo(np.float64).tiny)
    return float(np.log((theta @ conditional.T)[np.arange(len(y)), y]).mean())


def _checked(values: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, _IntArray, int]:
    """Return finite `(n, d)`, class numbers `(n,)` from 0 without gaps, and how many classes."""
    rows = np.asarray(values, dtype=np.float64)
    given: NDArray[Any] = np.asarray(labels)
    if rows.ndim != 2 or given.shape != rows.shape[:1] or not rows.size:
        raise InvalidInputError(
            f"expected rows (n, d) and as many labels (n,), got {rows.shape} and {given.shape}"
        )
    if not np.isfinite(rows).all():
        raise InvalidInputError("rows hold NaN or infinity; leave those examples out")
    classes, y = np.unique(given, return_inverse=True)
    if len(classes) < 2:
        raise InvalidInputError("expected two classes or more, got one: there is nothing to tell")
    return rows, y.reshape(-1).astype(np.intp), len(classes)
