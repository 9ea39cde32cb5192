"""Search spaces: names and distributions, and configs as vectors.

`optuna.distributions` is the vocabulary. A space adds what recorded configs need beside it:

* *conditions*: a parameter is active only while its parent has one of some values;
* *alternatives*: single values beside a range, such as `"scale"` beside the floats of `gamma`;
* *optional* parameters, which a config may lack without a parent that explains it;
* *structured* parameters, whose choices are the JSON texts of lists or dicts;
* *whole floats*, integers that were recorded as floats (`n_estimators=100.0`).

A space is a value: two with the same parameters are equal and have the same `id`, whatever
their `name` and `notes`. `encode` and `decode` are the only place in Headstart where a config
becomes numbers and back; `metastore.space_columns` says what the columns mean.

Notation: n configs, d columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from metastore import space_text
from metastore.errors import InvalidInputError
from metastore.space_columns import ABSENT, BoolArray, Codec, Parsed
from metastore.space_scale import FloatArray, Scale
from metastore.types import Config, content_id

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_CHUNK = 8192
"""Rows encoded at once: their vectors stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A parameter is active only while `parent` is active and has one of `values`."""

    parent: str
    values: tuple[Any, ...]

    def __str__(self) -> str:
        if len(self.values) == 1:
            return f"{self.parent} is {self.values[0]!r}"
        return f"{self.parent} is one of {', '.join(repr(v) for v in self.values)}"


@dataclass(frozen=True, eq=False)
class SearchSpace:
    """Named distributions of an algorithm's hyperparameters.

    Args:
        distributions: `optuna.distributions` objects by parameter name, in order.
        conditions: when a parameter is active, by name; one that is absent always is.
        alternatives: single values beside the range of a float or integer parameter, by name.
        optional: parameters that a config may lack although they are active.
        structured: categorical parameters whose choices are JSON texts of lists or dicts.
        whole_floats: integer parameters whose values are floats in a config.
        name: what the space is called, often the algorithm; not part of its identity.
        notes: what a person should know about a parameter, by name; not part of its identity.

    Raises:
        InvalidInputError: if a name is unknown, a condition runs in a circle, an alternative
            stands beside a categorical, or a range is too wide for a float.

    >>> from optuna.distributions import CategoricalDistribution, FloatDistribution
    >>> space = SearchSpace(
    ...     {"kernel": CategoricalDistribution(("linear", "rbf")),
    ...      "gamma": FloatDistribution(1e-3, 1e3, log=True)},
    ...     conditions={"gamma": Condition("kernel", ("rbf",))},
    ... )
    >>> space.encode([{"kernel": "rbf", "gamma": 1.0}, {"kernel": "linear"}])
    array([[0. , 1. , 0.5, 1. ],
           [1. , 0. , 0.5, 0. ]])
    >>> space.feature_names
    ('kernel=linear', 'kernel=rbf', 'gamma', 'gamma:active')
    """

    distributions: Mapping[str, BaseDistribution]
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    alternatives: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    structured: frozenset[str] = frozenset()
    whole_floats: frozenset[str] = frozenset()
    name: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        flags = self.optional | self.structured | self.whole_floats
        extras = {*self.conditions, *self.alternatives, *flags}
        parents = {condition.parent for condition in self.conditions.values()}
        for unknown in sorted((extras | parents) - set(self.distributions)):
            raise InvalidInputError(
                f"search space: {unknown!r} has a condition, an alternative or a child, but no "
                f"distribution; known parameters: {', '.join(self.distributions) or 'none'}"
            )
        for name in self.alternatives:
            if self.codecs[name].scale is None:
                raise InvalidInputError(
                    f"search space: {name!r} is categorical; put its alternatives "
                    f"{self.alternatives[name]!r} among its choices"
                )
        _ = self.order

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, SearchSpace) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __len__(self) -> int:
        return len(self.distributions)

    def __contains__(self, name: object) -> bool:
        return name in self.distributions

    @cached_property
    def codecs(self) -> Mapping[str, Codec]:
        """How each parameter turns into columns and back, by name."""
        return {name: self._codec(name) for name in self.distributions}

    def _codec(self, name: str) -> Codec:
        distribution = self.distributions[name]
        flagged = name in self.conditions or name in self.optional
        choices = getattr(distribution, "choices", None)
        if choices is not None:
            return Codec(name, None, tuple(choices), name in self.structured, flagged)
        scale = Scale.of(name, distribution)
        if name in self.whole_floats:
            scale = replace(scale, integer=False)
        return Codec(name, scale, tuple(self.alternatives.get(name, ())), flagged=flagged)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Names with every parent before its children."""
        order: dict[str, None] = {}
        for name in self.distributions:
            chain = [name]
            while chain[-1] in self.conditions and chain[-1] not in order:
                parent = self.conditions[chain[-1]].parent
                if parent in chain:
                    raise InvalidInputError(
                        "search space: conditions run in a circle: "
                        + " needs ".join([*chain, parent])
                    )
                chain.append(parent)
            order.update(dict.fromkeys(reversed(chain)))
        return tuple(order)

    @cached_property
    def columns(self) -> Mapping[str, slice]:
        """Which columns of a vector belong to each parameter."""
        ends = np.cumsum([codec.width for codec in self.codecs.values()]).tolist()
        return {
            name: slice(end - codec.width, end)
            for (name, codec), end in zip(self.codecs.items(), ends, strict=True)
        }

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the d columns of a vector."""
        return tuple(name for codec in self.codecs.values() for name in codec.feature_names)

    @property
    def n_features(self) -> int:
        """d, the number of columns of a vector."""
        return len(self.feature_names)

    def _active(
        self, name: str, parsed: Mapping[str, Parsed], active: Mapping[str, BoolArray]
    ) -> BoolArray:
        """Whether the parameter has a value and its parent, already in `active`, lets it."""
        condition = self.conditions.get(name)
        if condition is None:
            return parsed[name].present
        allowed = self.codecs[condition.parent].among(parsed[condition.parent], condition.values)
        return parsed[name].present & active[condition.parent] & allowed

    def encode(self, configs: Sequence[Config]) -> FloatArray:
        """Return configs as vectors `(n, d)` in [0, 1].

        Numbers stand on their scale and out-of-bounds ones on the nearest bound; choices are
        one-hot and unknown ones all zero. A parameter that is absent, or present although its
        condition does not hold, has number 0.5, no choice, and 0 in its `active` column where
        it has one. Names that the space does not know are ignored; `reconcile` reports them.
        """
        out = np.empty((len(configs), self.n_features))
        for start in range(0, len(configs), _CHUNK):
            self._encode_into(out[start : start + _CHUNK], configs[start : start + _CHUNK])
        return out

    def _encode_into(self, out: FloatArray, configs: Sequence[Config]) -> None:
        parsed: dict[str, Parsed] = {}
        active: dict[str, BoolArray] = {}
        for name in self.order:
            codec = self.codecs[name]
            parsed[name] = codec.parse([config.get(name, ABSENT) for config in configs])
            active[name] = self._active(name, parsed, active)
            out[:, self.columns[name]] = codec.encode(parsed[name], active[name])

    def decode(self, vectors: FloatArray) -> list[dict[str, Any]]:
        """Return the configs that vectors `(n, d)` stand for; every one is in the space.

        Values outside [0, 1] are clipped; whether a conditional parameter is there follows
        from its parent alone, unless it is optional too.

        Raises:
            InvalidInputError: if the shape is not `(n, d)` or a value is NaN.
        """
        vectors = np.asarray(vectors, dtype=np.float64)
        if vectors.ndim != 2 or vectors.shape[1] != self.n_features:
            raise InvalidInputError(
                f"decode: expected vectors of shape (n, {self.n_features}), got {vectors.shape}"
            )
        if np.isnan(vectors).any():
            raise InvalidInputError("decode: a vector holds NaN; numbers in [0, 1] were expected")
        parsed: dict[str, Parsed] = {}
        active: dict[str, BoolArray] = {}
        for name in self.order:
            block = self.codecs[name].decode(vectors[:, self.columns[name]])
            if name not in self.optional:
                block.present[:] = True
            parsed[name] = block
            active[name] = self._active(name, parsed, active)
        configs: list[dict[str, Any]] = [{} for _ in vectors]
        for name, codec in self.codecs.items():
            values = codec.to_values(parsed[name])
            for row in np.flatnonzero(active[name]):
                configs[row][name] = values[row]
        return configs

    def sample(self, n: int, seed: int | Sequence[int]) -> list[dict[str, Any]]:
        """Return n random configs.

        Numbers are uniform on their scale; choices, and alternatives beside a range taken as
        one choice, are equally likely; an optional parameter is there half the time.
        """
        rng = np.random.default_rng(seed)
        blocks = [codec.sample(rng, n) for codec in self.codecs.values()]
        return self.decode(np.concatenate([np.empty((n, 0)), *blocks], axis=1))

    def why_not(self, config: Config) -> str:
        """Say what keeps a config out of the space, in words; empty if it is in it."""
        for name in config:
            if name not in self.distributions:
                return f"{name!r} is not a parameter of the space"
        for name in self.distributions:
            active = self.is_active(name, config)
            if name in config and not active:
                return f"{name!r} is given, but inactive: active only while {self.conditions[name]}"
            if name not in config and active and name not in self.optional:
                return f"{name!r} is missing"
            if name in config and (reason := self.codecs[name].why_not(config[name])):
                return f"{name!r}: {reason}"
        return ""

    def is_active(self, name: str, config: Config) -> bool:
        """Whether a parameter's condition, and those above it, hold in a config."""
        condition = self.conditions.get(name)
        if condition is None:
            return True
        codec = self.codecs[condition.parent]
        parsed = codec.parse([config.get(condition.parent, ABSENT)])
        return self.is_active(condition.parent, config) and bool(
            codec.among(parsed, condition.values)[0]
        )

    def contains(self, config: Config) -> bool:
        """Whether a config has exactly the active parameters, each with a value of its own."""
        return not self.why_not(config)

    @cached_property
    def id(self) -> UUID:
        """Content hash of the parameters; name and notes do not count."""
        return content_id("search_space", space_text.dumps(space_text.entries(self)))

    def to_json(self) -> str:
        """Return the space as JSON text: the same space, the same text.

        Raises:
            InvalidInputError: if a choice has no JSON form.
        """
        body: dict[str, Any] = {"parameters": space_text.entries(self)}
        if self.name:
            body["name"] = self.name
        if self.notes:
            body["notes"] = dict(sorted(self.notes.items()))
        return space_text.dumps(body)

    @classmethod
    def from_json(cls, text: str) -> SearchSpace:
        """Return the space that `to_json` wrote.

        Raises:
            InvalidInputError: if the text is not such JSON.
        """
        with space_text.explained(text):
            body = json.loads(text)
            entries = body["parameters"]
            return cls(
                distributions={e["name"]: space_text.distribution(e) for e in entries},
                conditions={
                    e["name"]: Condition(e["condition"][0], tuple(e["condition"][1]))
                    for e in entries
                    if "condition" in e
                },
                alternatives={
                    e["name"]: tuple(e["alternatives"]) for e in entries if "alternatives" in e
                },
                optional=frozenset(e["name"] for e in entries if e.get("optional")),
                structured=frozenset(e["name"] for e in entries if e.get("structured")),
                whole_floats=frozenset(e["name"] for e in entries if e.get("whole_floats")),
                name=str(body.get("name", "")),
                notes=dict(body.get("notes", {})),
            )

    def describe(self) -> str:
        """Return a table a person can read: type, range, scale, and when each is active."""
        return space_text.table(self)


def as_space(given: SearchSpace | Mapping[str, BaseDistribution], what: str) -> SearchSpace:
    """Return a search space, made of Optuna's distributions by name where these are given.

    Args:
        given: the space or the distributions.
        what: what it is called where it was given.

    Raises:
        InvalidInputError: if it is neither.

    >>> from optuna.distributions import FloatDistribution
    >>> len(as_space({"C": FloatDistribution(1, 5)}, "space"))
    1
    """
    from optuna.distributions import BaseDistribution  # noqa: PLC0415 - slow to import

    if isinstance(given, SearchSpace):
        return given
    if isinstance(given, Mapping):
        wrong = [name for name in given if not isinstance(given[name], BaseDistribution)]
        if not wrong:
            return SearchSpace(dict(given))
        got = f"{wrong[0]!r}: {given[wrong[0]]!r}"[:80]
    else:
        got = repr(given)[:80]
    raise InvalidInputError(
        f"{what}: expected a SearchSpace, or optuna.distributions by parameter, got {got}"
    )
