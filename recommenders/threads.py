"""One thread for linear algebra while recommenders work.

A surrogate factorises thousands of matrices of some dozens of rows. A BLAS that wakes its other
threads for each of them, and has them spin while something else needs the processor, takes two to
four times as long as one thread does.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
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
