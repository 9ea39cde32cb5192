"""The configs that a study may try, in the store's words and in the study's.

The store knows a config by everything that was recorded of it. A study suggests some of those
hyperparameters, perhaps in other ranges, and perhaps others beside them. An `Offer` is one config
in both words. What the study does not suggest keeps its past value in the store's words, so that
what past datasets know of the config is not lost; a value that had to be moved into the study's
range makes another config of it, whose scores are predicted.

Where several algorithms are at stake, a parameter of the study says which: in the store's words
the algorithm's name then stands in the config under that parameter's name.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from metastore.importers.flows import plain_config
from metastore.search_space import Condition, SearchSpace
from metastore.space_columns import ABSENT, Codec, is_number
from metastore.space_inference import infer
from metastore.space_reconcile import Policy, reconcile
from metastore.types import Config, canonical_json
from metastore.view import FloatArray
from recommenders.encoding import Key

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FAR, NEAR = 0.3, 0.01
"""Standard deviations, of a parameter's range, between which neighbours are drawn."""

FLIPPED = 0.15
"""How often a neighbour takes another category."""


@dataclass(frozen=True, eq=False)
class Offer:
    """A config that may be tried: `config` in the store's words, `params` in the study's."""

    algorithm: str
    config: Config
    params: Mapping[str, Any]

    @cached_property
    def key(self) -> Key:
        """The algorithm and the canonical JSON of the config."""
        return self.algorithm, canonical_json(self.config)

    @cached_property
    def text(self) -> str:
        """The same for offers that set a study's parameters alike."""
        return even_text(self.params)


def even_text(params: Mapping[str, Any]) -> str:
    """Return a text that is the same for the same params; 1 and 1.0 are the same to a study.

    >>> even_text({"b": 1, "a": True}) == even_text({"a": True, "b": 1.0})
    True
    """
    even = {
        name: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in params.items()
    }
    return canonical_json(even)


class StudySpace:
    """A study's distributions beside what the store recorded of the same hyperparameters.

    Args:
        past: the past configs worth offering.
        distributions: what the study suggests, as far as that is known; nothing at first.
        algorithm_param: the study's parameter that says which algorithm; empty for one algorithm.
    """

    def __init__(
        self,
        past: Sequence[Key],
        distributions: Mapping[str, BaseDistribution],
        algorithm_param: str = "",
    ) -> None:
        self.algorithm_param = algorithm_param
        self.algorithms = tuple(sorted({algorithm for algorithm, _ in past}))
        self._configs = [self.joined(algorithm, json.loads(text)) for algorithm, text in past]
        self._stored = infer(self._configs) if self._configs else SearchSpace({})
        known = {name: d for name, d in distributions.items() if name in self._stored}
        self._renamed = self._short_names(SearchSpace(known))
        conditions = self._conditions(known)
        optional = frozenset(self._gaps() & {*known} - {*conditions})
        self.space = SearchSpace(known, conditions=conditions, optional=optional)

    def joined(self, algorithm: str, config: Config) -> dict[str, Any]:
        """Return a config with the algorithm's name in it, where that is a parameter."""
        named = {self.algorithm_param: algorithm} if self.algorithm_param else {}
        return {**named, **config}

    def _gaps(self) -> set[str]:
        """Return the names that a past config may lack."""
        return {*self._stored.conditions, *self._stored.optional}

    def _conditions(self, known: Mapping[str, BaseDistribution]) -> dict[str, Condition]:
        """Return what past configs show about when a parameter of the study is active."""
        found = {}
        for name, condition in self._stored.conditions.items():
            if name in known and condition.parent in known:
                meant = self._renamed.get(condition.parent, {})
                values = tuple(meant.get(v, v) if meant else v for v in condition.values)
                found[name] = Condition(condition.parent, values)
        return found

    def _short_names(self, space: SearchSpace) -> dict[str, dict[Any, Any]]:
        """Return which of the study's choices means which algorithm: `SVC` for `a.svm.SVC`."""
        codec = space.codecs.get(self.algorithm_param)
        if codec is None:
            return {}
        short = {name: name.rpartition(".")[2] for name in self.algorithms}
        meant = {n: s for n, s in short.items() if codec.code(n) < 0 and codec.code(s) >= 0}
        return {self.algorithm_param: meant}

    @cached_property
    def past(self) -> tuple[Offer, ...]:
        """Past configs as far as they fit the study's distributions."""
        policy = Policy(categories=self._renamed)
        found = reconcile(self._stored, self.space, self._configs, policy)
        return tuple(
            self._offer(fitted, self._configs[i])
            for fitted, i in zip(found.kept, found.kept_index, strict=True)
        )

    def _offer(self, fitted: Config, like: Config) -> Offer:
        """Return an offer of fitted values on top of a config in the store's words."""
        codecs = self.space.codecs
        return self.offer({name: native(codecs[name], fitted[name]) for name in fitted}, like)

    def offer(self, params: Mapping[str, Any], like: Config | None = None) -> Offer:
        """Return the offer that sets a study's params.

        Args:
            params: values of the study's parameters; those that the store never heard of are
                left out.
            like: what the other hyperparameters are, in the store's words; None for what most
                past configs have.
        """
        known = {name: value for name, value in params.items() if name in self._stored}
        config = dict(self.usual if like is None else like)
        for name, value in plain_config(known).items():
            if not (name in config and _same(config[name], value)):
                config[name] = value
        algorithm = self.algorithms[0] if self.algorithms else ""
        if self.algorithm_param:
            algorithm = self._long_name(config.get(self.algorithm_param, algorithm))
            config[self.algorithm_param] = algorithm
        for name in self._stored.conditions:
            if name in config and not self._stored.is_active(name, config):
                del config[name]
        config.pop(self.algorithm_param, None)
        return Offer(algorithm, config, known)

    def _long_name(self, name: Any) -> str:
        ends = [a for a in self.algorithms if a.rpartition(".")[2] == name]
        return str(name) if name in self.algorithms or not ends else ends[0]

    @cached_property
    def usual(self) -> dict[str, Any]:
        """The most frequent past value of what the study does not suggest and no run lacks."""
        fixed = [n for n in self._stored.distributions if n not in self.space]
        usual = {}
        for name in (n for n in fixed if n not in self._gaps()):
            values = {canonical_json({"": c[name]}): c[name] for c in self._configs}
            counts = Counter(canonical_json({"": c[name]}) for c in self._configs)
            usual[name] = values[counts.most_common(1)[0][0]]
        return usual

    def drawn(self, n: int, seed: int) -> list[Offer]:
        """Return `n` random offers."""
        if not len(self.space):
            return []
        return [self._offer(config, self.usual) for config in self.space.sample(n, seed)]

    def near(self, params: Mapping[str, Any], n: int, rng: np.random.Generator) -> list[Offer]:
        """Return `n` random offers around what was tried, some nearer and some farther."""
        if not len(self.space):
            return []
        centre = self.space.encode([plain_config(params)] * n)
        other = self.space.encode(self.space.sample(n, int(rng.integers(2**31))))
        return [
            self._offer(config, self.usual)
            for config in self.space.decode(self._moved(centre, other, rng))
        ]

    def _moved(self, centre: FloatArray, other: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Move numbers by a normal step, and take some categories from another vector."""
        n = len(centre)
        width = np.exp(rng.uniform(np.log(NEAR), np.log(FAR), size=(n, 1)))
        moved = centre.copy()
        for name, columns in self.space.columns.items():
            codec = self.space.codecs[name]
            start = columns.start + codec.has_number
            if codec.has_number:
                step = width[:, 0] * rng.normal(size=n)
                moved[:, columns.start] = np.clip(centre[:, columns.start] + step, 0, 1)
            flipped = rng.random(n) < FLIPPED
            moved[flipped, start : columns.stop] = other[flipped, start : columns.stop]
        return moved

    def fits(self, name: str, distribution: BaseDistribution, config: Config) -> Any:
        """Return what a config sets a parameter to, `ABSENT` if it does not or cannot.

        Args:
            name: the parameter that a study is asking for right now.
            distribution: where its value may lie.
            config: a config in the store's words, with the algorithm's name where that is a
                parameter.
        """
        if name not in config:
            return ABSENT
        asked = SearchSpace({name: distribution})
        policy = Policy(categories=self._short_names(asked))
        kept = reconcile(asked, asked, [config], policy).kept
        return native(asked.codecs[name], kept[0][name]) if kept else ABSENT


def native(codec: Codec, value: Any) -> Any:
    """Return a value as a study's distribution has it: one of its choices, an int or a float."""
    code = codec.code(value)
    if code >= 0:
        return codec.choices[code]
    whole = codec.scale is not None and codec.scale.integer
    return int(value) if whole else float(value)


def _same(old: Any, new: Any) -> bool:
    """Whether two values are one to a study, so that the stored spelling can stay."""
    if is_number(old) and is_number(new):
        return bool(old == new)
    return type(old) is type(new) and bool(old == new)


def distinct(offers: Iterable[Offer]) -> list[Offer]:
    """Return the offers without those whose config came before."""
    first: dict[Key, Offer] = {}
    for offer in offers:
        first.setdefault(offer.key, offer)
    return list(first.values())
