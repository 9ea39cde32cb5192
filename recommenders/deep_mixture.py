"""The mixture of `recommenders.empirical_bayes` on a kernel that past datasets taught.

A part of a new dataset's scores is left to how alike configs are, since what past datasets say of
a config is a prediction where it did not run there. `empirical_bayes` takes configs for alike
whose encodings are near; here those are that scored alike on past datasets
(`recommenders.learned_kernel`; deep kernels with past datasets as episodes: Wistuba and Grabocka,
2021). One more guard knows that kernel and no past scores. All are weighted by the marginal
likelihood of what was observed, and the guards of `empirical_bayes`, on encodings, are among
them: a learned kernel that the new dataset contradicts loses its weight like any wrong past.

Where low scores count as the median, past ones do while the kernel is learned, too, and it is
used from then on that they do. Until then, where datasets share at least half of their configs,
and where there is too little to learn from (fewer than `FEWEST_GROUPS` groups of datasets with
`FEWEST_RUNS` runs), this is `empirical_bayes`.

It needs `headstart[learners]`. The kernel is learned at the first question with a score, which
takes about 15 seconds, and is kept in `cache` by what was learned from. When a few runs have
arrived since, learning begins from what is kept and takes a share of that time; with a cache,
answers hang on what was asked before as well as on the past, unless `refresh=False`
(`recommenders.refreshing`).

How it was chosen: of five sets of kinds and the sizes of the network by 40 tasks of openml_pimp's
SVC table and 38 of its random forest table, those that `recommenders.empirical_bayes` names.
What came of it (`benchmarks.recommend.own_configs --tasks development`, and `--tasks untouched`):
the learned kernel explains new datasets' scores far better, and the regret is the same within the
errors. On the development tasks it was never the lower one by a standard error, and the higher
one at 25 and 50 on SVC by one and a half of the paired difference; on the untouched ones it was
lower at 25 and 50 and higher at 10 by about one. So `auto` does not use it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from metastore.errors import InvalidInputError
from metastore.view import FloatArray, IntArray
from recommenders.bayes_kinds import Kind
from recommenders.cells import spread_over
from recommenders.empirical_bayes import GUARDS, KINDS, EmpiricalBayes, Lesson, Lessons
from recommenders.own_pools import SHARED
from recommenders.past_runs import runs_of
from recommenders.sessions import Case

if TYPE_CHECKING:
    from recommenders.learned_kernel import LearnedKernel

FEWEST_GROUPS = 16
FEWEST_RUNS = 20
MOST_RUNS = 500
MOST_DATASETS = 256
MOST_ENCODED = 60_000
"""Runs that are learned from; 94 datasets x 500 are fewer."""

DEEP_KINDS = (
    *(
        Kind(width, residual, noise, 1.0, learned=True)
        for residual in (0.1, 0.3)
        for width in (0.0, 0.3, 1.0)
        for noise in (0.03, 0.1, 0.3)
    ),
    *(Kind(0.0, 1.0, noise, 0.5, cold=True, learned=True) for noise in (0.03, 0.1, 0.3)),
    *GUARDS,
)
"""What components take scores to be where a kernel was learned."""


class DeepMixture(EmpiricalBayes):
    """Expected improvement under a mixture of processes, some on a kernel learned from the past.

    Args:
        seed: fixes how the network starts and which episodes it sees.
        adapt: whether observed scores change what comes next.
        iterations: meta-training steps; 0 for as many as were found to be enough.
        cache: folder to keep what was learned in; None keeps it in memory alone.
        progress: whether to show a progress bar while learning.
        refresh: whether to begin from what `cache` has of nearly the same past; False always
            learns from scratch what is not kept.
    """

    name: ClassVar[str] = "deep_mixture"

    def __init__(  # noqa: PLR0913 - each has a default and a name
        self,
        seed: int = 0,
        adapt: bool = True,
        *,
        iterations: int = 0,
        cache: str | Path | None = None,
        progress: bool = False,
        refresh: bool = True,
    ) -> None:
        super().__init__(seed, adapt)
        if iterations < 0:
            raise InvalidInputError(f"iterations: expected 0 or more steps, got {iterations}")
        self.iterations = iterations
        self.cache = None if cache is None else Path(cache)
        self.progress = progress
        self.refresh = refresh

    def prepare(self) -> None:
        """Forget what an earlier past taught; the first question with a score learns."""
        super().prepare()
        self._kernels: dict[bool, LearnedKernel | None] = {}

    def lessons(self, case: Case) -> Lessons:
        """Return what the past says of a case, with the learned kernel where it can be had."""
        plain = super().lessons(case)
        if plain.whole.kinds is KINDS:
            return plain
        spoilt = plain.upper is not None
        kernel = self.kernel(spoilt)
        if kernel is None:
            return plain
        features = kernel.features(self.past.surrogates.points(case.table.keys))
        if plain.upper is None:
            return Lessons(_with(plain.whole, features))
        return Lessons(plain.whole, _with(plain.upper, features))

    def kernel(self, spoilt: bool) -> LearnedKernel | None:
        """Return the kernel, learned when first asked for; None where the past is too small.

        Args:
            spoilt: whether scores below the median of their dataset count as the median.

        Raises:
            InvalidInputError: if `headstart[learners]` is not installed.
        """
        if spoilt not in self._kernels:
            self._kernels[spoilt] = self._learned(spoilt) if self.learns else None
        return self._kernels[spoilt]

    @property
    def learns(self) -> bool:
        """Whether the past is large enough to learn a kernel from, and datasets share little."""
        if self.past.view.density >= SHARED:
            return False
        return len(set(self.past.groups[self._rows()].tolist())) >= FEWEST_GROUPS

    def _rows(self) -> IntArray:
        """Return which datasets are learned from: spread over the alphabet where they are many."""
        counts = np.diff(self.past.cells[0])
        rows = np.flatnonzero((self.past.spread > 0) & (counts >= FEWEST_RUNS))
        return spread_over(rows, MOST_DATASETS)

    def _learned(self, spoilt: bool) -> LearnedKernel | None:
        try:
            from recommenders.learned_kernel import learn  # noqa: PLC0415 - needs torch
            from recommenders.surrogate_training import Plan  # noqa: PLC0415
        except ImportError as error:
            raise InvalidInputError(
                f"recommender 'deep_mixture' needs torch ({error}); install headstart[learners]"
            ) from error
        episodes = self._episodes(spoilt)
        if not episodes or not next(iter(episodes.values()))[0].shape[1]:
            return None
        plan = Plan(
            self.iterations,
            self.seed,
            cache=self.cache,
            progress=self.progress,
            refresh=self.refresh,
        )
        return learn(list(episodes.values()), plan, tuple(episodes))

    def _episodes(self, spoilt: bool) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Return encoded configs `(n, d)` and merits `(n,)` of each dataset learned from."""
        rows, encoder = self._rows(), self.past.surrogates.encoder()
        most = min(MOST_RUNS, MOST_ENCODED // len(rows))
        episodes = {}
        for row in rows.tolist():
            keys, regrets = runs_of(self.past, row, most)
            merits = np.maximum(-regrets, np.median(-regrets)) if spoilt else -regrets
            if np.ptp(merits) > 0:
                episodes[self.past.datasets[row]] = (encoder.encode(keys), merits)
        return episodes


def _with(lesson: Lesson, features: FloatArray) -> Lesson:
    return Lesson(replace(lesson.prior, features=features), DEEP_KINDS)
