"""The scale of a number: from its range to [0, 1], and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metastore.errors import InvalidInputError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FloatArray = NDArray[np.float64]

MIDDLE = 0.5
"""What a number that is absent, inactive or unknown encodes to."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The range of a number: bounds, logarithm, grid.

    Args:
        low: smallest value.
        high: largest value.
        log: whether equal ratios are equal distances.
        step: distance of grid points, 0 where there is no grid.
        integer: whether decoded values are `int`.
    """

    low: float
    high: float
    log: bool = False
    step: float = 0.0
    integer: bool = False

    @classmethod
    def of(cls, name: str, distribution: BaseDistribution) -> Scale:
        """Return the range of a float or integer distribution of parameter `name`.

        Raises:
            InvalidInputError: if it is neither, or wider than a float can say.
        """
        from optuna.distributions import FloatDistribution, IntDistribution  # noqa: PLC0415 - light

        if not isinstance(distribution, FloatDistribution | IntDistribution):
            raise InvalidInputError(
                f"search space: {name!r} needs a distribution of optuna.distributions, got "
                f"{distribution!r} ({type(distribution).__name__})"
            )
        low, high = distribution.low, distribution.high
        if not math.isfinite(float(high) - float(low)):
            raise InvalidInputError(f"search space: {name!r} has no finite range: [{low}, {high}]")
        integer = isinstance(distribution, IntDistribution)
        return cls(low, high, distribution.log, distribution.step or 0, integer)

    @property
    def constant(self) -> bool:
        """Whether there is only one value, or values so near that the scale cannot part them."""
        low, high = self._ends()
        return self.low == self.high or low == high

    def _ends(self) -> tuple[float, float]:
        low, high = self.low - self.step / 2, self.high + self.step / 2
        return (math.log(low), math.log(high)) if self.log else (low, high)

    def to_unit(self, numbers: FloatArray) -> FloatArray:
        """Return `numbers` in [0, 1]; those outside take the nearest bound, NaN the middle."""
        low, high = self._ends()
        clipped = np.clip(numbers, self.low, self.high)
        unit = ((np.log(clipped) if self.log else clipped) - low) / (high - low)
        return np.where(np.isnan(unit), MIDDLE, unit)

    def from_unit(self, unit: FloatArray) -> FloatArray:
        """Return values of this scale, on the grid and within the bounds."""
        low, high = self._ends()
        numbers = low + np.clip(unit, 0.0, 1.0) * (high - low)
        if self.log:
            numbers = np.exp(numbers)
        return self.snap(numbers)

    def snap(self, numbers: FloatArray) -> FloatArray:
        """Return the nearest values that the scale has."""
        if self.step:
            numbers = self.low + np.round((numbers - self.low) / self.step) * self.step
        return np.clip(numbers, self.low, self.high)

    def why_not(self, number: float) -> str:
        """Say why the scale lacks a number, in words; empty if it has it."""
        if not self.low <= number <= self.high:
            return f"{number!r} is outside [{self.low!r}, {self.high!r}]"
        if self.step:
            nearest = float(self.snap(np.array([float(number)]))[0])
            if abs(nearest - number) > 1e-8 * max(1.0, abs(number)):
                return f"{number!r} is not on the grid {self.low!r} + k * {self.step!r}"
        return ""
