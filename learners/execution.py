"""How a batch of episodes is run: in chunks under `vmap`, one by one, compiled, and in what memory.

None of it changes the result beyond rounding.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakSet

import torch
from torch.func import vmap

from learners.errors import LearnerError, NotTogetherError
from learners.scoped import scoped

Part = TypeVar("Part")
Done = TypeVar("Done")

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8


@dataclass(frozen=True)
class Execution:
    """How a batch of episodes is run; it changes speed and memory, not the result.

    Args:
        chunk: episodes under one `vmap`; 1 loops without it, 0 takes the whole batch, None
            lets the learner choose for its network and device.
        compiled: whether `torch.compile` builds the meta-gradient: slow to start, then
            several times faster for small networks on a CPU, where it needs a C++ compiler.
        dtype: "float32", or "bfloat16" for autocast matrix products and convolutions.
        device: where states and episodes live.
        threads: of torch on the CPU while training. One is the default because small tensors
            on several threads can run ten times slower; start several processes instead.
        recompute: whether the derivative through inner steps runs each step again instead of
            keeping its activations: memory for one step, for one more forward pass. It is for
            gradient-based learners, and not to be had compiled.
        workers: threads of this process that share the chunks of a batch on the CPU, each with
            `threads` of torch. The gradient is the same to the bit whatever their number. None
            takes, within `prepared`, what torch had as threads before it where convolutional
            networks adapt by gradients, and otherwise one.
        sharded: whether the processes that torchrun started share each meta-batch; False trains
            in this one alone, whatever the others do.

    Raises:
        LearnerError: if a setting is none of these.
    """

    chunk: int | None = None
    compiled: bool = False
    dtype: str = "float32"
    device: str = "cpu"
    threads: int = 1
    recompute: bool = False
    workers: int | None = None
    sharded: bool = True

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "bfloat16"):
            raise LearnerError(f"dtype is 'float32' or 'bfloat16', got {self.dtype!r}")
        if self.workers is not None and self.workers < 1:
            raise LearnerError(f"workers is 1 or more, or None; got {self.workers}")
        if self.threads < 1:
            raise LearnerError(f"threads is 1 or more, got {self.threads}")
        if self.chunk is not None and self.chunk < 0:
            raise LearnerError(f"chunk is 0 or more, or None; got {self.chunk}")
        try:
            torch.device(self.device)
        except RuntimeError as error:
            raise LearnerError(f"device is 'cpu' or 'cuda', got {self.device!r}") from error
        if self.recompute and self.compiled:
            raise LearnerError("choose one of recompute and compiled")

    def check_compiler(self) -> None:
        """Check that what is compiled here can be.

        Raises:
            LearnerError: if torch would compile for the CPU, and finds no C++ compiler.
        """
        if torch.device(self.device).type != "cpu" or platform.system() == "Windows":
            return
        usual = "clang++" if platform.system() == "Darwin" else "g++"
        compiler = os.environ.get("CXX", usual)
        if shutil.which(compiler) is None:
            raise LearnerError(
                f"compiled=True needs a C++ compiler on a CPU, and there is no {compiler} here: "
                "install one, name it by the environment variable CXX, or leave compiled off"
            )

    def autocast(self) -> torch.autocast:
        """Return the context in which networks run."""
        enabled = self.dtype == "bfloat16"
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=enabled)

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Set the process up for a long run: threads for its duration, freed memory kept.

        Raises:
            LearnerError: if the device is a GPU and torch sees none.
        """
        if torch.device(self.device).type == "cuda" and not torch.cuda.is_available():
            raise LearnerError(
                f"device {self.device!r}: torch sees no GPU here; take device='cpu', or install "
                "a torch that was built for the GPU"
            )
        keep_freed_memory()
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with scoped(_SPARE, max(1, before // self.threads)):
                yield
        finally:
            torch.set_num_threads(before)


_TOGETHER: ContextVar[bool] = ContextVar("together", default=False)
_ON_TAPE: ContextVar[bool] = ContextVar("on_tape", default=False)
_SPARE: ContextVar[int] = ContextVar("spare", default=1)


def spare_workers() -> int:
    """Return how many workers may share a batch: what torch might use, within `prepared`.

    Under torchrun that is one, for it gives each process one thread.
    """
    return _SPARE.get()


def in_turn(
    function: Callable[[Part], Done], parts: Sequence[Part], workers: int
) -> Iterator[Done]:
    """Yield what `function` makes of each part, in their order, by as many threads.

    The calling thread is one of them: every `workers`-th part is its own.
    """
    workers = min(workers, len(parts))
    if workers == 1:
        yield from map(function, parts)
        return
    # A new thread would begin with as many threads of torch as the process did.
    begin, threads = torch.set_num_threads, torch.get_num_threads()
    with ThreadPoolExecutor(workers - 1, initializer=begin, initargs=(threads,)) as pool:
        others = {
            i: pool.submit(function, part) for i, part in enumerate(parts) if i % workers != 0
        }
        for i, part in enumerate(parts):
            yield others.pop(i).result() if i in others else function(part)


def alone() -> bool:
    """Whether code runs for one episode at a time: values can be looked at, kernels be fused.

    Under `vmap` they cannot, and a compiler fuses kernels by itself.
    """
    return not (torch.compiler.is_compiling() or _TOGETHER.get())


def on_tape() -> bool:
    """Whether gradients come from PyTorch's own tape, and not from `torch.func`.

    Functions with a derivative of their own can then stand in for many operators.
    """
    # A method's own loss may differentiate by `torch.func` inside (the meta-LSTM's does).
    return alone() and _ON_TAPE.get() and not torch._C._are_functorch_transforms_active()


def taped() -> AbstractContextManager[None]:
    """Say that what runs inside is differentiated by PyTorch's own tape, if at all."""
    return scoped(_ON_TAPE, True)


def over_episodes(function: Callable[..., Any], *batches: Any) -> Any:
    """Apply `function` to each episode of the leading axis: `vmap`, or none for one episode.

    Where a user's own module has a layer that `vmap` cannot take, episodes run one after the
    other instead, to the same result; a warning says so once.

    Args:
        function: takes one episode's part of each batch and returns tensors in a tree.
        batches: trees of tensors with the same leading axis.
    """
    first = next(iter(batches[0].values() if isinstance(batches[0], dict) else batches[0]))
    if first.shape[0] > 1 and torch.compiler.is_compiling():
        return vmap(function, randomness="error")(*batches)
    if first.shape[0] == 1:
        return _one_by_one(function, batches, 1)
    try:
        with scoped(_TOGETHER, True):
            return vmap(function, randomness="error")(*batches)
    except NotTogetherError as error:
        # Outside of this handler: what the module itself does wrong is no consequence of it.
        failed = error
    found = _one_by_one(function, batches, first.shape[0])
    if failed.module not in _LOOPED:
        _LOOPED.add(failed.module)
        warnings.warn(str(failed), stacklevel=2)
    return found


_LOOPED: WeakSet[Any] = WeakSet()
"""Users' own modules of which it is known that their episodes run one after the other."""


def _one_by_one(function: Callable[..., Any], batches: Sequence[Any], n_episodes: int) -> Any:
    tree = torch.utils._pytree  # the tree functions that torch.func itself is built on
    found = [
        function(*(tree.tree_map(lambda part, i=i: part[i], batch) for batch in batches))
        for i in range(n_episodes)
    ]
    return tree.tree_map(lambda *parts: torch.stack(parts), *found)


def looped(module: object) -> bool:
    """Whether it was seen that `vmap` cannot take a user's own module."""
    return module in _LOOPED


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed tensors instead of returning them to the system at every step.

    By default each large tensor is mapped and unmapped anew, and the system zeroes its pages
    every time: half of a training step of a convolutional network. Returns whether it applied;
    other C libraries are left as they are. The process keeps its peak memory until it ends. No
    arenas are added, so that threads mostly use what others freed; one that takes over the arena
    of a thread that ended keeps memory of its own there.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_ARENA_MAX, 1))
    return all(bool(libc.mallopt(*setting)) for setting in settings)
