"""What looks like a secret in a command line or a message, so that it is never recorded.

Names are judged by whole words: `--token` hides its value, `--max-tokens` and `--tokenizer` are
hyperparameters. Values are judged by their shape: a password in a URL, a bearer header, a key
with a well-known prefix. No rule finds every secret; what a rule hides cannot leak.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping

HIDDEN = "***"
_WORDS = {
    "password", "passwd", "passphrase", "passwort", "pass", "pwd", "pw", "secret", "secrets",
    "token", "apikey", "credential", "credentials", "auth", "authorization", "cookie", "bearer",
    "authtoken", "accesskey", "secretkey", "privatekey", "dsn",
}  # fmt: skip
_KEYS = {"api", "access", "private", "secret", "account", "encryption", "signing", "ssh", "license"}
_IN_URL = re.compile(r"(://)[^/@\s]+@")
_KNOWN_SHAPE = re.compile(
    r"\b(?:sk-|gh[pousr]_|github_pat_|glpat-|hf_|xox[abeprs]-|AKIA|AIza|eyJ)[\w.~+/-]{12,}"
)
_SCHEME = re.compile(r"\b(bearer|basic)\s+\S+", re.IGNORECASE)
_NAMED = re.compile(r"(?<![\w.-])([\w.-]+)\s*[=:]\s*")
_VALUE = re.compile(r"[^\s&;,]+")
_MIN_KNOWN = 4


def is_secret(name: str) -> bool:
    """Return whether an option or variable of this name holds a secret.

    >>> is_secret("--api-key"), is_secret("AWS_SECRET_ACCESS_KEY"), is_secret("accessToken")
    (True, True, True)
    >>> is_secret("--max-tokens"), is_secret("tokenizer"), is_secret("author"), is_secret("key")
    (False, False, False, False)
    """
    words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower())
    pairs = itertools.pairwise(words)
    return bool(_WORDS.intersection(words)) or any(
        first in _KEYS and second in ("key", "keys") for first, second in pairs
    )


def redact(text: str, known: Iterable[str] = ()) -> str:
    """Return a text with what looks like a secret replaced by `***`.

    Args:
        text: a value of an option, or a message.
        known: secrets that are known already; those of at least 4 characters are replaced.

    >>> redact("postgres://me:pw@host/db?token=abc")
    'postgres://***@host/db?token=***'
    """
    for secret in sorted(known, key=len, reverse=True):
        if len(secret) >= _MIN_KNOWN:
            text = text.replace(secret, HIDDEN)
    text = _SCHEME.sub(rf"\1 {HIDDEN}", _IN_URL.sub(rf"\1{HIDDEN}@", text))
    return _hide_named(_KNOWN_SHAPE.sub(HIDDEN, text))


def _hide_named(text: str) -> str:
    """Hide what stands after `=` or `:` behind a secret's name, as in `?token=abc`."""
    kept, at = [], 0
    for found in _NAMED.finditer(text):
        if found.start() < at or not is_secret(found[1]):
            continue
        value = _VALUE.match(text, found.end())
        if value is not None:
            kept += [text[at : found.end()], HIDDEN]
            at = value.end()
    return "".join([*kept, text[at:]])


def secrets_in(environment: Mapping[str, str]) -> set[str]:
    """Return the values of the variables whose names say that they are secrets."""
    return {value for name, value in environment.items() if is_secret(name) and len(value) >= 8}
