"""BLAS and small sets get one thread while recommenders work, and give the others back."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from recommenders.threads import one_thread, one_thread_of_boosting


def _threads() -> list[int]:
    np.linalg.cholesky(np.eye(2))
    return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]


def test_one_thread_inside_and_as_many_as_before_after() -> None:
    before = _threads()
    with one_thread():
        assert set(_threads()) == {1}
        with one_thread():
            pass
        assert set(_threads()) == {1}
    assert _threads() == before


def test_an_error_gives_them_back() -> None:
    before = _threads()
    with pytest.raises(ZeroDivisionError), one_thread():
        _ = 1 / 0
    assert _threads() == before


def test_another_thread_leaves_the_number_as_it_was() -> None:
    before = _threads()

    def work() -> None:
        with one_thread():
            pass

    with one_thread():
        other = threading.Thread(target=work)
        other.start()
        other.join()
        assert set(_threads()) == {1}
    assert _threads() == before


def _of_trees() -> int:
    # What scikit-learn itself asks before it boosts.
    from sklearn.utils._openmp_helpers import _openmp_effective_n_threads  # noqa: PLC0415

    return int(_openmp_effective_n_threads())


def test_small_sets_are_boosted_by_one_thread() -> None:
    before = _of_trees()
    with one_thread_of_boosting(1000):
        assert _of_trees() == 1
    with one_thread_of_boosting(1001):
        assert _of_trees() == before
    assert _of_trees() == before
