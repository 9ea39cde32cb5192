"""Fitted scikit-learn objects kept in files; nothing is unpickled.

skops builds only types that it is told to trust. By itself it trusts public types of scikit-learn
and NumPy; the few more that our estimators hold are listed here, and any other is refused.
"""

from __future__ import annotations

from typing import Any

from metastore.errors import InvalidInputError, MissingDependencyError

TRUSTED = ("numpy.dtype",)
"""Types beyond those that skops trusts by itself: what imputers keep."""


def written(estimator: Any) -> bytes:
    """Return a fitted scikit-learn object as bytes.

    Raises:
        MissingDependencyError: if skops is not installed.
    """
    data: bytes = _skops().dumps(estimator)
    return data


def read(data: bytes, what: str) -> Any:
    """Return the fitted object in bytes that `written` gave.

    Args:
        data: from a file that may come from anywhere.
        what: what it is, for the message of an error.

    Raises:
        InvalidInputError: if it is damaged, or holds a type that is not trusted.
        MissingDependencyError: if skops is not installed.
    """
    skops = _skops()
    try:
        return skops.loads(data, trusted=list(TRUSTED))
    except Exception as error:  # damaged files raise errors of many libraries
        raise InvalidInputError(
            f"{what} cannot be read: {str(error)[:300]}; fit and save the model again"
        ) from error


def _skops() -> Any:
    try:
        from skops import io  # noqa: PLC0415 - slow to import, only to keep or read a model
    except ImportError as error:
        raise MissingDependencyError(
            "keeping a model with scikit-learn parts needs skops: pip install 'headstart[learners]'"
        ) from error
    return io
