"""One way measured in a fresh process, for benchmarks that compare ways as they come.

A process that ran something else before has its memory, its threads and its kernels warm.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

KEPT = ", freed memory kept"
"""What a peer's name ends in where it is given `learners.execution.keep_freed_memory`."""

_MARK = "measured "
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def in_fresh_process(
    name: str, module: str, options: Sequence[str], threads: int | None = None, processes: int = 1
) -> dict[str, float]:
    """Return what `module --work name` told of itself by `tell`.

    Args:
        name: the way.
        module: the benchmark.
        options: more of its options.
        threads: of torch from the start; None leaves torch, or torchrun, to choose.
        processes: more than one run under torchrun, and one of them tells.
    """
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone"]
        start += ["--nproc-per-node", str(processes)]
    # None may find a number that was set for others.
    own = {key: value for key, value in os.environ.items() if key not in _THREADS}
    if threads is not None:
        own["OMP_NUM_THREADS"] = str(threads)
    command = [*start, "-m", module, "--work", name, *options]
    found = subprocess.run(command, capture_output=True, text=True, env=own, check=False)
    rows = [line for line in found.stdout.splitlines() if line.startswith(_MARK)]
    if len(rows) != 1:
        raise RuntimeError(f"{name} ended with {found.returncode}: {found.stderr[-1500:]}")
    told: dict[str, float] = json.loads(rows[0].removeprefix(_MARK))
    return told


def tell(**found: float) -> None:
    """Print what this process measured, for the one that started it."""
    print(_MARK + json.dumps(found), flush=True)


def seconds_of(
    run: Callable[[], Any], seconds: float, least: int, agreed: Callable[[int], int] = int
) -> float:
    """Return the seconds of one call, the mean of as many as take about `seconds`.

    Args:
        run: called once before, and once to see how long it takes.
        seconds: what all calls may take together.
        least: calls at least.
        agreed: gives the number of calls that all processes make, from what this one would.
    """
    run()
    start = time.perf_counter()
    run()
    count = agreed(max(least, int(seconds / (time.perf_counter() - start))))
    start = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - start) / count
