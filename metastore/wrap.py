"""`headstart run`: any command as a recorded run.

Its options become the config, what it prints as `name=value` becomes metrics, its exit status
and duration become the run's end. Options that look like secrets are never recorded.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from metastore.command_words import parse
from metastore.printed import LastLine, PrintedMetrics, pass_on
from metastore.redaction import redact, secrets_in

if TYPE_CHECKING:
    from metastore.run import Run
    from metastore.store import MetaStore

STOPPED = ("SIGINT", "SIGTERM", "SIGHUP")
"""Signals by which somebody stops a command; others, such as SIGKILL for its memory, are its own
doing."""
STOP_SECONDS = 5.0
LINGER_SECONDS = 5.0


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
        threading.Thread(target=pass_on, args=(source, out, listener), daemon=True)
        for source, out, listener in (
            (process.stdout, sys.stdout, PrintedMetrics(run)),
            (process.stderr, sys.stderr, LastLine(last)),
        )
    ]
    with contextlib.ExitStack() as stopped:
        try:
            with _terminable(stopped):
                for thread in threads:
                    thread.start()
                status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            _stop(process, signal.SIGTERM)
            run.timed_out()
            return 124
        except _TerminatedError as asked:
            _stop(process, asked.number)
            run.interrupted(f"ended by signal {asked.number.name}")
            return 128 + asked.number
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
    """This process was asked to end, by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)


@contextlib.contextmanager
def _terminable(stopped: contextlib.ExitStack) -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an exception, so that the command ends too and the run is told.

    A signal that is ignored, as SIGHUP under `nohup`, stays so. Once one came, others are ignored
    until `stopped` is closed: a terminal that closes may send several.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = (name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
    heeded = [n for n in map(signal.Signals.__getitem__, names) if not _is_ignored(n)]

    def raise_it(number: int, _: object) -> None:
        for one in heeded:
            signal.signal(one, signal.SIG_IGN)
        raise _TerminatedError(number)

    with contextlib.ExitStack() as handled:
        for one in heeded:
            handled.callback(signal.signal, one, signal.signal(one, raise_it))
        try:
            yield
        except _TerminatedError:
            stopped.push(handled.pop_all())
            raise


def _is_ignored(number: signal.Signals) -> bool:
    """Whether a signal is not to be touched; None is a handler that Python does not know."""
    return signal.getsignal(number) in (signal.SIG_IGN, None)


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
