"""Which way is better: the direction of metrics that everybody knows."""

from __future__ import annotations

import re
from functools import lru_cache

_HIGHER = {
    "accuracy", "acc", "bac", "auc", "auroc", "auprc", "roc", "ap", "map", "f1", "fbeta",
    "precision", "recall", "r2", "kappa", "mcc", "ndcg", "mrr", "bleu", "rouge", "iou",
    "dice", "psnr", "ssim", "reward", "return", "likelihood", "sensitivity", "specificity",
    "jaccard", "gain", "hits", "variance", "correlation", "throughput",
}  # fmt: skip
_LOWER = {
    "loss", "error", "err", "rmse", "mse", "mae", "mape", "smape", "rmsle", "msle", "logloss",
    "perplexity", "ppl", "wer", "cer", "fid", "crps", "deviance", "regret", "cost", "brier",
    "nll", "latency", "distance", "divergence", "hinge", "pinball", "entropy", "time", "ece",
    "crossentropy", "losses", "errors", "seconds", "misclassification",
}  # fmt: skip


_CLASSES = {
    "accuracy", "acc", "bac", "auc", "auroc", "auprc", "roc", "f1", "fbeta", "kappa", "mcc",
    "logloss", "brier", "crossentropy", "misclassification", "sensitivity", "specificity",
}  # fmt: skip
_NUMBERS = {
    "r2", "rmse", "mse", "mae", "mape", "smape", "rmsle", "msle", "squared", "absolute", "pinball",
    "medae",
}  # fmt: skip

_COSTS = {"time", "seconds", "latency", "duration", "memory"}


def tells_little(metric: str) -> bool:
    """Return whether a metric says how dear a run was, or how it did on its training rows.

    >>> [tells_little(name) for name in ("fit_seconds", "train_accuracy", "accuracy", "r2")]
    [True, True, False, False]
    """
    words = _words(metric)
    return bool(words) and (words[-1] in _COSTS or words[0] in ("train", "training"))


def task_kind(metric: str) -> str:
    """Return what a metric of a familiar name judges: classes or numbers; empty if unsure.

    >>> [task_kind(name) for name in ("val_accuracy", "neg_log_loss", "RMSE", "loss")]
    ['classification', 'classification', 'regression', '']
    """
    words = {*_words(metric)}
    classes = bool(words & _CLASSES) or {"log", "loss"} <= words
    numbers = bool(words & _NUMBERS)
    if classes == numbers:
        return ""
    return "classification" if classes else "regression"


@lru_cache(maxsize=4096)
def known_direction(metric: str) -> bool | None:
    """Return whether larger is better for a metric of a familiar name, None if unsure.

    The last familiar word decides, as in `bac_loss` or `val/accuracy`; scikit-learn's
    `neg_...` turns it round.

    >>> known_direction("val_loss"), known_direction("balanced_accuracy")
    (False, True)
    >>> known_direction("neg_root_mean_squared_error"), known_direction("quux") is None
    (True, True)
    >>> known_direction("brier_score"), known_direction("test_score")
    (False, True)
    """
    if metric.startswith("d2_"):  # scikit-learn's shares of explained deviance
        return True
    words = _words(metric)
    for word in reversed(words):
        if word in _LOWER:
            return words[0] == "neg"
        if word in _HIGHER:
            return words[0] != "neg"
    return True if "score" in words else None


def _words(metric: str) -> list[str]:
    return re.findall(r"[a-z]+\d?", re.sub(r"([a-z])([A-Z])", r"\1_\2", metric).lower())
