"""`headstart run`: any command as a recorded run.

Its options become the config, what it prints as `name=value` becomes metrics, its exit status
and duration become the run's end. Options that look like secrets are never recorded.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from metastore.errors import InvalidInputError
from metastore.journal import NotRecordedWarning
from metastore.redaction import HIDDEN, is_secret, redact, secrets_in

if TYPE_CHECKING:
    from metastore.run import Run
    from metastore.store import MetaStore

_PAIR = re.compile(
    r"([A-Za-z_][\w./@%-]*)\s*=\s*([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf))",
    re.IGNORECASE,
)
_STEPS = ("step", "epoch", "iteration", "iter", "global_step")
MOST_STEPS = 2**63
STOPPED = ("SIGINT", "SIGTERM", "SIGHUP")
"""Signals by which somebody stops a command; others, such as SIGKILL for its memory, are its own
doing."""
STOP_SECONDS = 5.0
LINGER_SECONDS = 5.0
CHUNK_BYTES = 1 << 16
LINE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Command:
    """A command line and what is recorded of it.

    Args:
        line: the arguments, as they are run.
        config: its options by name, without secrets.
        text: the command line as it is recorded, secrets replaced by `***`.
        name: the script's name, or the module's, or else the program's.
        secrets: the values that are not recorded.
    """

    line: tuple[str, ...]
    config: Mapping[str, Any] = field(hash=False)
    text: str = ""
    name: str = ""
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


def parse(line: Sequence[str]) -> Command:
    """Read the options of a command line as hyperparameters.

    `--lr 0.1`, `--lr=0.1`, `-n 5` and `lr=0.1` give `lr` and `n`; an option without a value is
    True; positional arguments are numbered `arg1`, `arg2`, ... The program and its script or
    module are left out, and so is what looks like a secret.

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
    start, name = _program(line)
    reader = _Reader([redact(word) for word in line[:start]], list(line[start:]))
    while reader.rest:
        reader.take()
    return Command(tuple(line), reader.config, " ".join(reader.shown), name, reader.secrets())


def _program(line: Sequence[str]) -> tuple[int, str]:
    """Return how many words are the program and its script or module, and their name."""
    first = Path(line[0]).name
    if re.fullmatch(r"(python|pypy)[\d.]*", first) and line[1:2] == ["-m"] and len(line) > 2:
        return 3, line[2]
    if len(line) > 1 and line[1].endswith((".py", ".sh", ".R", ".jl", ".ipynb")):
        return 2, Path(line[1]).name
    return 1, first


@dataclass(slots=True)
class _Reader:
    """Reads the words after the program: what is shown of them, and the config they make."""

    shown: list[str]
    rest: list[str]
    config: dict[str, Any] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)
    position: int = 0

    def take(self) -> None:
        """Take the next word, and the value after it where it is an option."""
        word = self.rest.pop(0)
        name, equals, value = word.partition("=")
        option = name.startswith("-") and not _is_number(name)
        if option and not equals and self._value_follows(name):
            equals, value = " ", self.rest.pop(0)
        if option or (equals and re.fullmatch(r"[A-Za-z_][\w.]*", name)):
            self._option(name, equals, value)
            return
        self.position += 1
        self._keep(f"arg{self.position}", word)
        self.shown.append(self._clean(word))

    def _value_follows(self, name: str) -> bool:
        if not self.rest:
            return False
        word = self.rest[0]
        return (
            not word.startswith("-")
            or _is_number(word)
            or (is_secret(name) and not word.startswith("--"))
        )

    def _option(self, name: str, equals: str, value: str) -> None:
        key = name.lstrip("-").replace("-", "_")
        # -p is a password to many programs; a number after it is a hyperparameter
        if is_secret(key) or (name == "-p" and not _is_number(value)):
            self.shown.append(f"{name}{equals}{HIDDEN}" if equals else name)
            self.hidden.append(value)
            return
        self.shown.append(f"{name}{equals}{self._clean(value)}")
        if equals:
            self._keep(key, value)
        else:
            self.config[key] = True

    def _keep(self, key: str, value: str) -> None:
        self.config[key] = _typed(self._clean(value))

    def _clean(self, value: str) -> str:
        clean = redact(value)
        if clean != value:
            self.hidden.append(value)
        return clean

    def secrets(self) -> frozenset[str]:
        """Return the values that were hidden."""
        return frozenset(filter(None, self.hidden))


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
            step = int(number) if number.is_integer() and abs(number) < MOST_STEPS else None
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
        The command's exit status; 127 where it cannot be found, 126 where it may not be run,
        124 where it took too long, 128 and the signal's number where a signal ended it.
    """
    command = parse(line)
    name = algorithm or command.name
    tags = {**dict(options.pop("tags", None) or {}), "command": command.text}
    run = store.run(dataset, name, command.config, tags=tags, **options)
    with run:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **run.environment(store.paths)}
        try:
            process = subprocess.Popen(
                command.line,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=not _typed_at(),
            )
        except OSError as error:
            run.failed(redact(f"cannot start {line[0]!r}: {error.strerror}"))
            print(f"headstart: cannot start {line[0]!r}: {error.strerror}", file=sys.stderr)
            return 126 if isinstance(error, PermissionError) else 127
        return _follow(process, run, timeout, command.secrets | secrets_in(os.environ))


def _typed_at() -> bool:
    """Whether the command may read from a terminal, which only one group of processes can."""
    return sys.stdin is not None and sys.stdin.isatty()


def _follow(
    process: subprocess.Popen[bytes], run: Run, timeout: float | None, secrets: frozenset[str]
) -> int:
    """Pass the output on until the process ends, and tell the run how it ended."""
    last: list[str] = []
    threads = [
        threading.Thread(target=_pass_on, args=(source, out, listener), daemon=True)
        for source, out, listener in (
            (process.stdout, sys.stdout, _Metrics(run)),
            (process.stderr, sys.stderr, _Last(last)),
        )
    ]
    try:
        with _terminable():
            for thread in threads:
                thread.start()
            status = process.wait(timeout)
    except subprocess.TimeoutExpired:
        _stop(process, signal.SIGTERM)
        run.timed_out()
        return 124
    except _TerminatedError:
        _stop(process, signal.SIGTERM)
        run.interrupted("ended by signal SIGTERM")
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        _stop(process, signal.SIGINT)
        run.interrupted("KeyboardInterrupt")
        return 128 + signal.SIGINT
    finally:
        for thread in filter(threading.Thread.is_alive, threads):
            thread.join(LINGER_SECONDS)  # what the command left behind may hold its output open
    if status < 0:
        name = signal.Signals(-status).name
        tell = run.interrupted if name in STOPPED else run.failed
        tell(f"ended by signal {name}")
        return 128 - status
    if status:
        said = redact(last[0], secrets) if last else ""
        run.failed(f"exit status {status}" + (f": {said}" if said else ""))
    return status


class _TerminatedError(Exception):
    """This process was asked to end."""


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that the command ends too and the run is told."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def raise_it(*_: object) -> None:
        raise _TerminatedError

    before = signal.signal(signal.SIGTERM, raise_it)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(process: subprocess.Popen[bytes], first: signal.Signals) -> None:
    """End a command and what it started, politely first."""
    for number in (first, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(process.pid) == process.pid:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
            return


class _Metrics:
    """Takes what a command prints on its standard output."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.warned = False

    def line(self, text: str) -> None:
        step, metrics = metrics_of(text)
        if not metrics:
            return
        try:
            self.run.log(step, **metrics)
        except InvalidInputError as error:
            if not self.warned:
                self.warned = True
                words = f"a printed line was not recorded, nor will others like it: {error}"
                warnings.warn(words, NotRecordedWarning, stacklevel=2)


class _Last:
    """Keeps the last line that says something."""

    def __init__(self, last: list[str]) -> None:
        self.last = last

    def line(self, text: str) -> None:
        if text.strip():
            self.last[:] = [text.strip()[:500]]


def _pass_on(source: IO[bytes], out: Any, listener: _Metrics | _Last) -> None:
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
