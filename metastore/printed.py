"""What a command prints: passed on as it comes, and listened to line by line."""

from __future__ import annotations

import os
import re
import warnings
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from metastore.errors import HeadstartError
from metastore.journal import NotRecordedWarning

if TYPE_CHECKING:
    from metastore.run import Run

_PAIR = re.compile(
    r"([A-Za-z_][\w./@%-]*)\s*=\s*([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf))",
    re.IGNORECASE,
)
_STEPS = ("step", "epoch", "iteration", "iter", "global_step")
MOST_STEPS = 2**63
CHUNK_BYTES = 1 << 16
LINE_BYTES = 4096


def metrics_of(line: str) -> tuple[int | None, dict[str, float]]:
    """Return the step and the metrics of a printed line that is nothing but `name=value` pairs.

    >>> metrics_of("epoch=3 loss=0.25, accuracy = 0.9")
    (3, {'loss': 0.25, 'accuracy': 0.9})
    >>> metrics_of("saved to out=3 files")
    (None, {})
    """
    if _PAIR.sub("", line).strip(" ,;|\t\r\n"):
        return None, {}
    found = {name: float(value) for name, value in _PAIR.findall(line)}
    step = None
    for name in list(found):
        if name.lower() in _STEPS:
            number = found.pop(name)
            step = int(number) if number.is_integer() and abs(number) < MOST_STEPS else None
    return step, found


class PrintedMetrics:
    """Takes what a command prints on its standard output."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.warned = False

    def line(self, text: str) -> None:
        """Record what a line says."""
        step, metrics = metrics_of(text)
        if not metrics:
            return
        try:
            self.run.log(step, **metrics)
        except HeadstartError as error:  # what is left behind may print after the run's end
            if not self.warned:
                self.warned = True
                words = f"a printed line was not recorded, nor will others like it: {error}"
                warnings.warn(words, NotRecordedWarning, stacklevel=2)


class LastLine:
    """Keeps the last line that says something."""

    def __init__(self, last: list[str]) -> None:
        self.last = last

    def line(self, text: str) -> None:
        """Keep a line."""
        if text.strip():
            self.last[:] = [text.strip()[:500]]


def pass_on(source: IO[bytes], out: Any, listener: PrintedMetrics | LastLine) -> None:
    """Pass bytes on as they come, and tell the listener each line of a length people read.

    Where nobody reads the output any more the command is still listened to, and where listening
    fails its output is still passed on: a command whose pipe is full would wait for ever.
    """
    lines = _Lines(listener)
    failure: Exception | None = None
    descriptor = source.fileno()
    while chunk := os.read(descriptor, CHUNK_BYTES):
        if out is not None:
            try:
                _write(out, chunk)
            except (OSError, ValueError):
                out = None  # the reader is gone, as with `| head`; the run goes on
        if failure is None:
            try:
                lines.feed(chunk)
            except Exception as error:
                failure = error
    source.close()
    if failure is not None:
        raise failure
    lines.end()


def _write(out: Any, chunk: bytes) -> None:
    raw: BinaryIO | None = getattr(out, "buffer", None)
    if raw is not None:
        raw.write(chunk)
    else:
        out.write(chunk.decode("utf-8", "replace"))
    out.flush()


class _Lines:
    """Cuts a stream of bytes into lines; longer ones than `LINE_BYTES` are nobody's metrics."""

    def __init__(self, listener: PrintedMetrics | LastLine) -> None:
        self.listener = listener
        self.rest = b""
        self.skipping = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        *whole, last = re.split(rb"[\r\n]", chunk)
        for piece in whole:
            self._piece(piece)
            self.end()
        self._piece(last)

    def _piece(self, piece: bytes) -> None:
        self.rest += piece[: LINE_BYTES + 1]
        if len(self.rest) > LINE_BYTES:
            self.rest, self.skipping = b"", True

    def end(self) -> None:
        """Tell the line that is complete now."""
        if self.rest and not self.skipping:
            self.listener.line(self.rest.decode("utf-8", "replace"))
        self.rest, self.skipping = b"", False
