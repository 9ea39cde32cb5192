"""What past datasets have still to gain: the part of a gain that no observation can talk away.

A mixture over hypotheses can be too sure of those that fit best. Beside its expected improvement
stands what a config would gain on the past datasets themselves, weighted as before anything was
observed: `sum_d w_d s_d max(0, reached_d - regret_dc)`, in scores, for `reached_d` the best regret
that the configs tried so far have there (`recommenders.coverage`).

Notation: A active datasets, L configs asked about.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from metastore.view import FloatArray, IntArray
from recommenders.sessions import Case


@dataclass(frozen=True, eq=False)
class Uncovered:
    """What is left to gain on past datasets.

    Args:
        weight: `(A,)` of each dataset times its spread.
        reached: `(A,)` best regret so far.
        regret: `(A, L)` of the configs asked about.
    """

    weight: FloatArray
    reached: FloatArray
    regret: FloatArray

    @classmethod
    def of(cls, case: Case, left: IntArray) -> Self:
        """Return what the observed configs of a case, at least one, leave to gain by `left`."""
        active = (case.weights > 0) & (case.spread > 0)
        regret = case.table.regret[active]
        reached: FloatArray = regret[:, case.seen.columns].min(axis=1)
        return cls(case.weights[active] * case.spread[active], reached, regret[:, left])

    def gains(self) -> FloatArray:
        """Return what each config `(L,)` would gain."""
        gains: FloatArray = self.weight @ np.maximum(self.reached[:, None] - self.regret, 0)
        return gains

    def after(self, at: int) -> Self:
        """Return what is left once the config at a place was tried."""
        return replace(self, reached=np.minimum(self.reached, self.regret[:, at]))
