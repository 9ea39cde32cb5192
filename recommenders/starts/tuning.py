"""How a start is fine-tuned: settings that are themselves searched and recommended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from metastore.errors import InvalidInputError

if TYPE_CHECKING:
    from metastore.search_space import SearchSpace

MODES = ("adapt", "linear", "gradient")
LAYERS = ("head", "top", "all")
AUGMENTATIONS = ("none", "jitter")
VIEWS = ("one", "shifted")
MOST_STEPS = 2000


@dataclass(frozen=True)
class Tuning:
    """Settings of one fine-tuning.

    Args:
        mode: "adapt" for the learner's own rule and "linear" for logistic regression on its
            embeddings, which have no settings; "gradient" for steps of Adam (Kingma and Ba 2015)
            on the support set, at rates that fall along a half cosine.
        steps: gradient steps; fewer where held-out rows say so.
        rate: learning rate of the first step.
        layers: what moves: the "head", the "top" (head and the last layer before it), or "all".
        augmentation: "none", or "jitter": images are turned, scaled and shifted a little, and
            rows of tables get noise of a tenth of a deviation.
        views: how an image is seen once a start is adapted: "one" for as it is, "shifted" for
            shifted by a pixel to each side as well, what is said of it averaged; any mode of a
            start that embeds and compares, and gradient steps.

    Raises:
        InvalidInputError: if a setting is out of its range.
    """

    mode: str = "adapt"
    steps: int = 60
    rate: float = 1e-3
    layers: str = "all"
    augmentation: str = "none"
    views: str = "one"

    def __post_init__(self) -> None:
        for name, choices in (
            ("mode", MODES),
            ("layers", LAYERS),
            ("augmentation", AUGMENTATIONS),
            ("views", VIEWS),
        ):
            if getattr(self, name) not in choices:
                raise InvalidInputError(
                    f"tuning: {name} is one of {', '.join(choices)}, got {getattr(self, name)!r}"
                )
        if not 1 <= self.steps <= MOST_STEPS or not 0 < self.rate <= 1:
            raise InvalidInputError(
                f"tuning: steps are 1 to {MOST_STEPS} and the rate above 0 and at most 1, got "
                f"steps={self.steps} and rate={self.rate}"
            )

    def config(self) -> dict[str, Any]:
        """Return the settings that count, for a store.

        >>> Tuning().config()
        {'mode': 'adapt'}
        >>> Tuning("gradient", 30).config()["steps"]
        30
        """
        said = asdict(self) if self.mode == "gradient" else {"mode": self.mode}
        # Runs of before there were views are of one.
        said.pop("views", None)
        return said if self.views == "one" else {**said, "views": self.views}

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Tuning:
        """Return the settings of a config; what it leaves out is by default."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in config.items() if name in known})

    def but(self, **changes: Any) -> Tuning:
        """Return the same with some settings changed."""
        return replace(self, **changes)


SCRATCH = Tuning("gradient", 150, 3e-3, "all", "jitter")
"""What an untrained network gets where nobody says otherwise."""

GRADIENT = Tuning("gradient", 60, 1e-3, "all", "jitter")
"""What a start gets whose own rule does not fit the task."""

LINEAR = Tuning("linear")
"""Logistic regression on a start's embeddings."""


def tuning_space(modes: tuple[str, ...] = MODES) -> SearchSpace:
    """Return the search space of tunings, without those modes that a start does not have.

    >>> list(tuning_space(("adapt",)).distributions)
    ['mode']
    """
    from optuna.distributions import (  # noqa: PLC0415 - slow to import
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    from metastore.search_space import Condition, SearchSpace  # noqa: PLC0415

    distributions: dict[str, BaseDistribution] = {"mode": CategoricalDistribution(modes)}
    if "gradient" in modes:
        distributions |= {
            "steps": IntDistribution(5, 300, log=True),
            "rate": FloatDistribution(1e-4, 3e-2, log=True),
            "layers": CategoricalDistribution(LAYERS),
            "augmentation": CategoricalDistribution(AUGMENTATIONS),
        }
    active = Condition("mode", ("gradient",))
    conditions = {name: active for name in distributions if name != "mode"}
    return SearchSpace(distributions, conditions, name="finetune")
