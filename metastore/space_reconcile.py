"""Bring past configs into the user's search space, and say what that took.

A past config is *kept* as it is, *projected* (kept with a change that has a reason), or
*dropped* with a reason. What happens, parameter by parameter of the asked space:

| the past config has ...                         | then                                        |
|-------------------------------------------------|---------------------------------------------|
| another name for it (`renames`)                 | renamed                                     |
| a value of the space                            | kept; log or linear makes no difference     |
| a number out of bounds or off the grid          | nearest value, or dropped (`outside`)       |
| a category with a new name (`categories`)       | renamed                                     |
| a category that the asked space lacks           | dropped                                     |
| nothing, and the parameter is new or missing    | `defaults`, or dropped                      |
| a parameter that is inactive in the asked space | left out                                    |
| a parameter that the asked space lacks          | left out, or dropped (`removed`)            |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from metastore.errors import InvalidInputError
from metastore.search_space import SearchSpace
from metastore.space_columns import Codec, is_number, plain
from metastore.types import Config


@dataclass(frozen=True, slots=True)
class Policy:
    """What to do with a past config that does not fit as it is.

    Args:
        renames: the asked space's name of a parameter, by its stored name.
        categories: by asked parameter name, the asked space's value by the stored one.
        defaults: value of a parameter that past configs lack, by asked name: what those runs
            used without saying so. Without one such a config is dropped.
        outside: whether a number out of bounds goes to the nearest value or drops the config.
        removed: whether a parameter that the asked space lacks is left out or drops the config.
    """

    renames: Mapping[str, str] = field(default_factory=dict)
    categories: Mapping[str, Mapping[Any, Any]] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    outside: Literal["project", "drop"] = "project"
    removed: Literal["ignore", "drop"] = "ignore"

    def check(self, stored: SearchSpace, asked: SearchSpace) -> None:
        """Refuse names that neither space has and words that mean nothing.

        Raises:
            InvalidInputError: naming what is wrong and what is known.
        """
        for word, known in (
            (self.outside, ("project", "drop")),
            (self.removed, ("ignore", "drop")),
        ):
            if word not in known:
                raise InvalidInputError(f"reconcile: expected one of {known}, got {word!r}")
        mine = {*self.renames.values(), *self.categories, *self.defaults} - {*asked.distributions}
        theirs = {*self.renames} - {*stored.distributions}
        for names, space, which in ((mine, asked, "asked"), (theirs, stored, "stored")):
            if names:
                raise InvalidInputError(
                    f"reconcile: {min(names)!r} is not a parameter of the {which} space; it has "
                    f"{', '.join(space.distributions) or 'none'}"
                )


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Past configs in the asked space, and what became of each.

    Args:
        kept: configs that the asked space contains, in the order they came.
        kept_index: which of the given configs each of `kept` was.
        dropped: index and reason of every config that does not fit.
        projected: index and reasons of every kept config that was changed.
        notes: what differs between the two spaces, one sentence each.
    """

    kept: list[dict[str, Any]]
    kept_index: list[int]
    dropped: list[tuple[int, str]]
    projected: list[tuple[int, str]]
    notes: list[str]

    def summary(self) -> str:
        """Return counts, the notes, and how often each reason was given, most frequent first."""
        n = len(self.kept) + len(self.dropped)
        lines = [
            f"{len(self.kept)} of {n} past configs fit, {len(self.projected)} of them changed; "
            f"{len(self.dropped)} dropped",
            *self.notes,
        ]
        for word, reasons in (("dropped", self.dropped), ("changed", self.projected)):
            counts = Counter(reason for _, reason in reasons).most_common()
            lines += [f"{word} {count}: {reason}" for reason, count in counts]
        return "\n".join(lines)


def reconcile(
    stored: SearchSpace,
    asked: SearchSpace,
    configs: Sequence[Config],
    policy: Policy | None = None,
) -> Reconciliation:
    """Map past configs from the space they were drawn from into the asked one.

    Args:
        stored: the space of the past configs, recorded or inferred.
        asked: the space the user wants answers from.
        configs: past configs; a name that `stored` lacks counts as removed.
        policy: what to do with what does not fit.

    Raises:
        InvalidInputError: if the policy names a parameter that is in neither space.

    >>> from optuna.distributions import FloatDistribution
    >>> old = SearchSpace({"C": FloatDistribution(0.01, 100.0)})
    >>> new = SearchSpace({"C": FloatDistribution(0.1, 10.0, log=True)})
    >>> result = reconcile(old, new, [{"C": 1.0}, {"C": 50.0}])
    >>> print(result.summary())
    2 of 2 past configs fit, 1 of them changed; 0 dropped
    'C': linear in the stored space, log in the asked one; values stay
    'C': bounds [0.01, 100] in the stored space, [0.1, 10] in the asked one
    changed 1: 'C': 50.0 is outside [0.1, 10.0], moved to 10.0
    """
    policy = policy or Policy()
    policy.check(stored, asked)
    result = Reconciliation([], [], [], [], _differences(stored, asked, policy))
    for index, config in enumerate(configs):
        fitted = _Fitting(asked, policy)
        fitted.take(config)
        if fitted.misfit:
            result.dropped.append((index, fitted.misfit))
            continue
        result.kept.append(fitted.config)
        result.kept_index.append(index)
        if fitted.changes:
            result.projected.append((index, "; ".join(fitted.changes)))
    return result


class _Fitting:
    """One past config on its way into the asked space."""

    def __init__(self, asked: SearchSpace, policy: Policy) -> None:
        self.asked = asked
        self.policy = policy
        self.config: dict[str, Any] = {}
        self.changes: list[str] = []
        self.misfit = ""

    def take(self, config: Config) -> None:
        """Fill `config` with what fits; set `misfit` if the whole does not."""
        renamed = self._renamed(config)
        for name in self.asked.order:
            if self.misfit:
                return
            if not self.asked.is_active(name, self.config):
                if name in renamed:
                    self.changes.append(f"{name!r}: left out, inactive in the asked space")
                continue
            if name in renamed:
                self._fit(name, renamed[name])
            elif name in self.policy.defaults:
                self._fit(name, self.policy.defaults[name])
                self.changes.append(f"{name!r}: missing, given {self.policy.defaults[name]!r}")
            elif name not in self.asked.optional:
                self.misfit = f"{name!r}: missing; give a default to keep such configs"
        self.config = {
            name: self.config[name] for name in self.asked.distributions if name in self.config
        }

    def _renamed(self, config: Config) -> dict[str, Any]:
        """Return the config under the asked names, less what the asked space lacks."""
        renamed = {}
        for old, value in config.items():
            name = self.policy.renames.get(old, old)
            if name in renamed:
                self.misfit = f"{old!r}: its new name {name!r} is taken"
            elif name in self.asked:
                renamed[name] = value
            elif self.policy.removed == "drop":
                self.misfit = f"{name!r}: not a parameter of the asked space"
            else:
                self.changes.append(f"{name!r}: left out, not a parameter of the asked space")
        return renamed

    def _fit(self, name: str, value: Any) -> None:
        codec = self.asked.codecs[name]
        value = plain(value)
        for old, new in self.policy.categories.get(name, {}).items():
            if type(old) is type(value) and old == value:
                self.changes.append(f"{name!r}: {value!r} is now {new!r}")
                value = new
                break
        reason = codec.why_not(value)
        if not reason:
            whole = codec.scale is not None and codec.scale.integer and isinstance(value, float)
            self.config[name] = codec.nearest(value) if whole and codec.code(value) < 0 else value
        elif self.policy.outside == "project" and projectable(codec, value):
            moved = codec.nearest(value)
            self.changes.append(f"{name!r}: {reason}, moved to {moved!r}")
            self.config[name] = moved
        else:
            self.misfit = f"{name!r}: {reason}"


def projectable(codec: Codec, value: Any) -> bool:
    """Whether a value that a parameter cannot have lies near one that it can."""
    return codec.scale is not None and is_number(value) and not np.isnan(value)


def _differences(stored: SearchSpace, asked: SearchSpace, policy: Policy) -> list[str]:
    """Return what differs between the spaces themselves, one sentence each."""
    old = {policy.renames.get(name, name): codec for name, codec in stored.codecs.items()}
    notes = [f"{a!r} is called {b!r} in the asked space" for a, b in policy.renames.items()]
    notes += [f"{name!r}: new in the asked space" for name in asked.codecs if name not in old]
    notes += [f"{name!r}: not in the asked space" for name in old if name not in asked]
    for name, codec in asked.codecs.items():
        if name in old:
            notes += [f"{name!r}: {text}" for text in _changes(old[name], codec)]
    return notes


def _changes(old: Codec, new: Codec) -> list[str]:
    notes = []
    if (old.scale is None) != (new.scale is None):
        words = ["categorical" if codec.scale is None else "a range" for codec in (old, new)]
        notes.append(f"{words[0]} in the stored space, {words[1]} in the asked one")
    elif old.scale is not None and new.scale is not None:
        if old.scale.log != new.scale.log:
            words = ["log" if scale.log else "linear" for scale in (old.scale, new.scale)]
            notes.append(
                f"{words[0]} in the stored space, {words[1]} in the asked one; values stay"
            )
        if (old.scale.low, old.scale.high) != (new.scale.low, new.scale.high):
            spans = [f"[{scale.low:g}, {scale.high:g}]" for scale in (old.scale, new.scale)]
            notes.append(f"bounds {spans[0]} in the stored space, {spans[1]} in the asked one")
    gone = [repr(value) for value in old.values if new.why_not(value)]
    added = [repr(value) for value in new.values if old.why_not(value)]
    if gone:
        notes.append(f"the asked space lacks {', '.join(gone)}")
    if added:
        notes.append(f"the asked space adds {', '.join(added)}")
    return notes
