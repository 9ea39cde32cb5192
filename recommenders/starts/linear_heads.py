"""Logistic regression on a start's embeddings: what a network tells apart, told anew.

Prototypes trust the distances that meta-training made. On images unlike those it was made for,
these say less than the embeddings do: Chen et al., "A Closer Look at Few-shot Classification",
ICLR 2019, and Tian et al., "Rethinking Few-Shot Image Classification", ECCV 2020, have a linear
classifier on a network that stays as it is.

Notation
    z   embeddings `(n, d)`;  m, s  their mean `(d,)`, and one deviation for all columns
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

from learners.episode import Examples
from learners.learner import Learner, State
from learners.networks import without_net
from recommenders.starts.cross_validation import FloatArray, Folds, HeldOut, IntArray
from recommenders.starts.evidence import embedded
from recommenders.starts.heads import CLASSES, Tunable
from recommenders.threads import one_thread

PENALTY = 0.1
"""What half the squared weights cost beside the summed loss."""
ABSENT = -1e4
"""Log-odds of a class without examples."""


def linear_head(learner: Learner, state: State, examples: Examples, n_classes: int) -> Tunable:
    """Return a start's network with a linear head that was fitted to its embeddings.

    Args:
        learner: one that embeds rows one by one.
        state: what it learned.
        examples: the support set `(n, ...)`.
        n_classes: classes of the task.
    """
    z = embedded(learner, state, examples).double().cpu().numpy()
    weight, bias = regressed(z, examples.y.cpu().numpy(), n_classes)
    network: Any = learner.network  # type: ignore[attr-defined]
    head = {f"{CLASSES}weight": weight, f"{CLASSES}bias": bias}
    on_device = {
        name: torch.from_numpy(value).float().to(examples.x.device) for name, value in head.items()
    }
    return Tunable(network, without_net(state) | on_device, CLASSES)


def held_out_linear(
    learner: Learner, state: State, support: Examples, n_way: int, folds: Folds
) -> HeldOut:
    """Return what linear heads answer for each held-out row; every row is embedded once.

    Args:
        learner: one that embeds rows one by one.
        state: what it learned.
        support: the whole support set `(n, ...)`.
        n_way: its classes.
        folds: what to hold out; at least one fold.
    """
    z, labels = embedded(learner, state, support).double().cpu().numpy(), support.y.cpu().numpy()
    answers = []
    for train, held in zip(folds.train, folds.held, strict=True):
        weight, bias = regressed(z[train], labels[train], n_way)
        answers.append(z[held] @ weight + bias)
    rows = folds.rows
    return HeldOut(np.concatenate(answers), labels[rows].astype(np.int64), rows)


def regressed(z: FloatArray, y: IntArray, n_classes: int) -> tuple[FloatArray, FloatArray]:
    """Return weights `(d, n_classes)` and offsets `(n_classes,)` of log-odds z @ weight + offset.

    Args:
        z: embeddings `(n, d)`.
        y: classes `(n,)`, two or more.
        n_classes: of the task; those that are absent get `ABSENT`.

    >>> weight, bias = regressed(np.array([[0.0], [1.0], [4.0], [5.0]]), np.array([0, 0, 2, 2]), 3)
    >>> (np.array([[0.5], [4.5]]) @ weight + bias).argmax(1).tolist()
    [0, 2]
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - slow to import

    mean, deviation = z.mean(0), max(float((z - z.mean(0)).std()), 1e-12)
    with one_thread(), warnings.catch_warnings():
        # A fit that stops at its limit of iterations is good enough.
        warnings.filterwarnings("ignore", module="sklearn")
        found = LogisticRegression(C=1 / PENALTY, max_iter=300).fit((z - mean) / deviation, y)
    coefficients, offsets = found.coef_ / deviation, found.intercept_
    if len(found.classes_) == 2:
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        offsets = np.concatenate([-offsets, offsets]) / 2
    weight, bias = np.zeros((z.shape[1], n_classes)), np.full(n_classes, ABSENT)
    weight[:, found.classes_] = coefficients.T
    bias[found.classes_] = offsets - coefficients @ mean
    return weight, bias
