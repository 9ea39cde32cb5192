"""Omniglot's background alphabets by where they come from, and the characters kept to measure by.

A start is trained on some alphabets without the characters that are kept, which are the same
for every start: a seventh of all, chosen by the hash of their names. The evaluation alphabets
are never touched here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from benchmarks.realdata import realdata
from learners.samplers import quarter_turns

FILE = "omniglot/omniglot_28x28.npz"
KEPT = 7
"""One in so many characters is kept."""

EUROPE = (
    *("Anglo-Saxon_Futhorc", "Arcadian", "Armenian", "Asomtavruli_(Georgian)", "Cyrillic"),
    *("Greek", "Latin", "Mkhedruli_(Georgian)"),
)
ASIA = (
    *("Balinese", "Bengali", "Burmese_(Myanmar)", "Grantha", "Gujarati", "Japanese_(hiragana)"),
    *("Japanese_(katakana)", "Korean", "Sanskrit", "Tagalog"),
)


@dataclass(frozen=True, eq=False)
class Characters:
    """Images by character, `(n_characters, 20, 1, 28, 28)` bytes with ink 255.

    Args:
        alphabets: names of the alphabets.
        train: characters to train on, turned by quarters into four classes each.
        kept: characters of all background alphabets that no start is trained on.
    """

    alphabets: tuple[str, ...]
    train: Tensor
    kept: Tensor


def characters(part: str) -> Characters:
    """Return the characters of a part of the background alphabets.

    Args:
        part: "all", "europe", "asia", "elsewhere" (neither), or "half 0" or "half 1" by hash.
    """
    images, names = _background()
    alphabets = tuple(sorted({name.split("/")[0] for name in names}))
    chosen = tuple(name for name in alphabets if _within(part, name))
    kept = np.array([_hash(name) % KEPT == 0 for name in names])
    within = np.array([name.split("/")[0] in chosen for name in names])
    return Characters(chosen, quarter_turns(images[within & ~kept]), images[kept])


def background(part: str) -> dict[str, np.ndarray]:
    """Return the characters of each background alphabet of a part, `(n, 20, 28, 28)` bytes.

    Kept characters are among them: of alphabets that a start was not trained on, none is known.
    """
    images, names = _background()
    of = np.array([name.split("/")[0] for name in names])
    chosen = [name for name in sorted(set(of.tolist())) if _within(part, name)]
    return {name: images[of == name].numpy()[:, :, 0] for name in chosen}


def _within(part: str, alphabet: str) -> bool:
    if part.startswith("half "):
        return _hash(alphabet) % 2 == int(part.removeprefix("half "))
    elsewhere = alphabet not in EUROPE + ASIA
    return {
        "all": True,
        "europe": alphabet in EUROPE,
        "asia": alphabet in ASIA,
        "elsewhere": elsewhere,
    }[part]


@cache
def _background() -> tuple[Tensor, list[str]]:
    with np.load(realdata(FILE), allow_pickle=False) as file:
        background = file["is_background"]
        images = file["images"][background]
        names = [str(name) for name in file["class_name"][background]]
    return torch.from_numpy(images)[:, :, None], names


def _hash(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
