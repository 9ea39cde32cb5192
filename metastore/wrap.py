"""`headstart run`: any command as a recorded run.

Its options become the config, what it prints as `name=value` becomes metrics, its exit status
and duration become the run's end. Options that look like secrets are never recorded.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from metastore.errors import InvalidInputError

if TYPE_CHECKING:
    from metastore.run import Run
    from metastore.store import MetaStore

_SECRET = re.compile(
    r"pass(word|wd|phrase)?|secret|token|api[-_]?key|credential|auth", re.IGNORECASE
)
_PAIR = re.compile(
    r"([A-Za-z_][\w./@%-]*)\s*=\s*([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf))",
    re.IGNORECASE,
)
_STEPS = ("step", "epoch", "iteration", "iter", "global_step")
HIDDEN = "***"
CHUNK_BYTES = 1 << 16
LINE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Command:
    """A command line and what is recorded of it.

    Args:
        line: the arguments, as they are run.
        config: its options by name, without secrets.
        text: the command line as it is recorded, secrets replaced by `***`.
    """

    line: tuple[str, ...]
    config: Mapping[str, Any] = field(hash=False)
    text: str = ""


def parse(line: Sequence[str]) -> Command:
    """Read the options of a command line as hyperparameters.

    `--lr 0.1`, `--lr=0.1`, `-n 5` and `lr=0.1` give `lr` and `n`; an option without a value is
    True; positional arguments are numbered `arg1`, `arg2`, ... The program and its script are
    left out.

    Raises:
        InvalidInputError: if there is no command.

    >>> dict(parse(["python", "train.py", "--lr", "0.1", "--deep", "--token", "abc"]).config)
    {'lr': 0.1, 'deep': True}
    """
    if not line:
        raise InvalidInputError(
            "no command to run; put it after --, for example: "
            "headstart run --dataset iris -- python train.py --lr 0.1"
        )
    config: dict[str, Any] = {}
    shown = [line[0]]
    rest = list(line[1:])
    position = 0
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        option = name.startswith("-") and not _is_number(name)
        if option and not equals and rest and (not rest[0].startswith("-") or _is_number(rest[0])):
            equals, value = " ", rest.pop(0)
        key = name.lstrip("-").replace("-", "_")
        if option or (equals and re.fullmatch(r"[A-Za-z_][\w.]*", name)):
            secret = bool(_SECRET.search(key))
            shown.append(f"{name}{equals}{HIDDEN if secret and equals else value}")
            if not secret:
                config[key] = _typed(value) if equals else True
            continue
        shown.append(re.sub(r"://[^/@\s]+@", f"://{HIDDEN}@", word))
        if position or not _is_program(word):
            position += 1
            config[f"arg{position}"] = _typed(word)
    return Command(tuple(line), config, " ".join(shown))


def _is_program(word: str) -> bool:
    return word.endswith((".py", ".sh", ".R", ".jl", ".ipynb")) or os.sep in word


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) is not None


def _typed(text: str) -> Any:
    if re.fullmatch(r"[-+]?\d+", text):
        return int(text)
    if _is_number(text):
        return float(text)
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return text


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
            step = int(number) if number == int(number) else None
    return step, found


def run_command(
    store: MetaStore,
    line: Sequence[str],
    dataset: Any,
    *,
    algorithm: str = "",
    timeout: float | None = None,
    **options: Any,
) -> int:
    """Run a command, pass its output on, record it, and return its exit status.

    Args:
        store: where it is recorded.
        line: the command and its arguments.
        dataset: what it trains on, as in `MetaStore.run`.
        algorithm: name of the algorithm; by default the script's or program's name.
        timeout: seconds after which it is stopped and recorded as timed out.
        options: further arguments of `MetaStore.run`.

    Returns:
        The command's exit status; 127 where it cannot be found, 124 where it took too long,
        128 and the signal's number where a signal ended it.
    """
    command = parse(line)
    name = algorithm or next((Path(w).name for w in line if _is_program(w)), line[0])
    tags = {**dict(options.pop("tags", None) or {}), "command": command.text}
    run = store.run(dataset, name, command.config, tags=tags, **options)
    with run:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **run.environment(store.paths)}
        try:
            process = subprocess.Popen(
                command.line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
            )
        except OSError as error:
            run.failed(f"cannot start {line[0]!r}: {error.strerror}")
            print(f"headstart: cannot start {line[0]!r}: {error.strerror}", file=sys.stderr)
            return 127
        return _follow(process, run, timeout)


def _follow(process: subprocess.Popen[bytes], run: Run, timeout: float | None) -> int:
    """Pass the output on until the process ends, and tell the run how it ended."""
    assert process.stdout is not None
    assert process.stderr is not None
    last: list[str] = []
    threads = [
        threading.Thread(target=_pass_on, args=(process.stdout, sys.stdout, _Metrics(run))),
        threading.Thread(target=_pass_on, args=(process.stderr, sys.stderr, _Last(last))),
    ]
    for thread in threads:
        thread.start()
    try:
        status = process.wait(timeout)
    except subprocess.TimeoutExpired:
        _stop(process)
        run.timed_out()
        return 124
    except KeyboardInterrupt:
        _stop(process)
        run.failed("interrupted")
        return 130
    finally:
        for thread in threads:
            thread.join()
    if status < 0:
        run.failed(f"ended by signal {signal.Signals(-status).name}")
        return 128 - status
    if status:
        run.failed(f"exit status {status}" + (f": {last[0]}" if last else ""))
    return status


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Metrics:
    """Takes what a command prints on its standard output."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def line(self, text: str) -> None:
        step, metrics = metrics_of(text)
        if metrics:
            self.run.log(step, **metrics)


class _Last:
    """Keeps the last line that says something."""

    def __init__(self, last: list[str]) -> None:
        self.last = last

    def line(self, text: str) -> None:
        if text.strip():
            self.last[:] = [text.strip()[:500]]


def _pass_on(source: IO[bytes], out: Any, listener: _Metrics | _Last) -> None:
    """Pass bytes on as they come, and tell the listener each line of a length people read.

    Where nobody reads the output any more the command is still listened to.
    """
    lines = _Lines(listener)
    descriptor = source.fileno()
    while chunk := os.read(descriptor, CHUNK_BYTES):
        if out is not None:
            try:
                _write(out, chunk)
            except (OSError, ValueError):
                out = None  # the reader is gone, as with `| head`; the run goes on
        lines.feed(chunk)
    lines.end()
    source.close()


def _write(out: Any, chunk: bytes) -> None:
    raw: BinaryIO | None = getattr(out, "buffer", None)
    if raw is not None:
        raw.write(chunk)
    else:
        out.write(chunk.decode("utf-8", "replace"))
    out.flush()


class _Lines:
    """Cuts a stream of bytes into lines; longer ones than `LINE_BYTES` are nobody's metrics."""

    def __init__(self, listener: _Metrics | _Last) -> None:
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
