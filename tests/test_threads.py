"""BLAS and small sets get one thread while recommenders work, and give the others back."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_info

from recommenders.starts.plain_classifiers import fit_plain
from recommenders.starts.support_sets import read_support
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


def test_a_start_of_few_rows_is_boosted_so(monkeypatch: pytest.MonkeyPatch) -> None:
    if _of_trees() == 1:
        pytest.skip("there is one processor only")
    seen: list[int] = []
    for name in ("fit", "predict_proba"):
        before = getattr(HistGradientBoostingClassifier, name)

        def counted(*args: Any, _before: Any = before, **options: Any) -> Any:
            seen.append(_of_trees())
            return _before(*args, **options)

        monkeypatch.setattr(HistGradientBoostingClassifier, name, counted)
    x, y = load_iris(return_X_y=True)
    support = read_support((x[::5], y[::5]), name="irises")
    fit_plain("gradient boosting", support).log_odds(support)
    assert seen == [1, 1]
