"""One thread for linear algebra and for small sets while recommenders work.

A surrogate factorises thousands of matrices of some dozens of rows. A BLAS that wakes its other
threads for each of them, and has them spin while something else needs the processor, takes two to
four times as long as one thread does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> Any:
    import numpy.linalg  # noqa: F401, PLC0415 - what is not loaded yet cannot be limited

    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """Limit BLAS to one thread, and give the others back on leaving.

    Of several Python threads at once the first decides for the process, as long as it lives.
    """
    limit: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limit


@cache
def _boosting_controller() -> Any:
    import sklearn.ensemble  # noqa: F401, PLC0415 - what is not loaded yet cannot be limited

    return ThreadpoolController()


def one_thread_of_boosting(n_rows: int, most: int = 1000) -> AbstractContextManager[Any]:
    """Limit scikit-learn's histogram trees to one thread for a small set, and give the others back.

    They share every leaf by OpenMP, whose threads spin while they wait. On two processors one
    thread took half the time with 30 rows, as long with 1000, and a tenth with 30 rows beside
    other work; seconds of the processor had grown fivefold by the spinning alone.

    Args:
        n_rows: of the set.
        most: with more rows nothing is limited.
    """
    if n_rows > most:
        return nullcontext()
    limit: AbstractContextManager[Any] = _boosting_controller().limit(limits=1, user_api="openmp")
    return limit


@contextmanager
def one_thread_of_torch(n_rows: int, most: int = 300) -> Iterator[None]:
    """Limit torch to one thread for a small set, and give the others back on leaving.

    Some dozens of images are too little work to share: on two processors with other work on them,
    two threads that wait for each other took ten times as long as one.

    Args:
        n_rows: of the set.
        most: with more rows nothing is limited.
    """
    import torch  # noqa: PLC0415 - slow to import

    threads = torch.get_num_threads()
    torch.set_num_threads(1 if n_rows <= most else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
