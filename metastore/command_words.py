"""What a command line says: the program, and its options as a config, without secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metastore.errors import InvalidInputError
from metastore.redaction import HIDDEN, is_secret, redact


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
