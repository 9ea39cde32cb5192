"""Secrets are hidden, hyperparameters are not."""

from __future__ import annotations

import time

import pytest

from metastore.redaction import is_secret, redact, secrets_in


@pytest.mark.parametrize(
    "name",
    ["password", "--db-password", "DB_PASS", "apiKey", "api_key", "AWS_SECRET_ACCESS_KEY",
     "github-token", "auth", "Authorization", "pwd", "WANDB_API_KEY", "private-key"],
)  # fmt: skip
def test_secret_names(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    ["tokenizer", "max_tokens", "num-tokens", "author", "passes", "n_passes", "bypass", "key",
     "keys", "num_key_value_heads", "compass", "lr", "secretary"],
)  # fmt: skip
def test_hyperparameters_are_no_secrets(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    "text",
    ["https://me:SECRET@host/x", "postgres://SECRET@host", "Authorization: Bearer SECRET",
     "x?token=SECRET&y=1", "PASSWORD=SECRET", "sk-SECRET0123456789ab", "hf_SECRET0123456789",
     "api_key: SECRET", "http://h:80/x?a=1&token=SECRET", "a=b=password=SECRET"],
)  # fmt: skip
def test_secret_values(text: str) -> None:
    assert "SECRET" not in redact(text)


@pytest.mark.parametrize("text", ["lr=0.1", "http://host/path", "a b", "tokens=5", "sk-1", "d:x"])
def test_other_values_stay(text: str) -> None:
    assert redact(text) == text


def test_known_secrets_are_hidden_anywhere() -> None:
    assert redact("could not log in with hunter22", ["hunter22"]) == "could not log in with ***"
    assert secrets_in({"MY_TOKEN": "abcdefgh", "HOME": "/root", "PW": "x"}) == {"abcdefgh"}


def test_long_texts_take_no_time() -> None:
    start = time.monotonic()
    for text in ("x" * 200_000, "a=" * 100_000, "://" * 60_000, "token=" * 30_000):
        redact(text)
    assert time.monotonic() - start < 5
