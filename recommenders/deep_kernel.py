"""Few-shot Bayesian optimisation with a deep-kernel Gaussian process (FSBO).

Wistuba and Grabocka, "Few-Shot Bayesian Optimization with Deep Kernel Surrogates", ICLR 2021.
Past datasets are the episodes: network and kernel are learned together by the marginal likelihood
of batches of one dataset's runs, whose scores are put on a new random scale each time (section
4.1), so that the process does not come to rely on one. A new dataset's observed runs condition the
process, after some steps on their own marginal likelihood (section 4.2), and the config of highest
expected improvement is next. Until something is observed the configs are those that cover past
datasets, which is what the paper's warm start searches for (section 4.3).

Departures: greedy cover in place of the evolutionary search; conditions on scores scaled to their
own range; several configs at once are chosen one after the other, each taken for what the process
expects of it (kriging believer; Ginsbourger, Le Riche and Carraro, 2010). It needs
`headstart[learners]`, is trained at the first question, on a GPU where there is one, and is kept
in `cache` by what was learned from: the same past is not learned from twice, and training that
was killed goes on where it was.

Intervals and expected scores are those of past datasets, as of every recommender over a table.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from metastore.errors import InvalidInputError
from metastore.view import FloatArray
from recommenders.past_runs import runs_of
from recommenders.portfolio import covering
from recommenders.posteriors import expected_improvement
from recommenders.sessions import Case, Choice
from recommenders.table_recommender import TableRecommender

if TYPE_CHECKING:
    from recommenders.deep_surrogate import DeepSurrogate

FEWEST_RUNS = 3
MOST_RUNS = 500


class DeepKernelSearch(TableRecommender):
    """Chooses by a deep-kernel Gaussian process that was meta-trained on past datasets.

    Args:
        seed: fixes how the network starts and which episodes it sees.
        iterations: meta-training steps; 0 for as many as the number of past runs calls for.
        fine_tune: steps on the observed runs before each answer.
        cache: folder to keep what was learned in; None keeps it in memory alone.
        device: where to train, such as "cpu" or "cuda"; "auto" for a GPU where there is one.
        progress: whether to show a progress bar while training.
    """

    name: ClassVar[str] = "deep_kernel"
    adaptive: ClassVar[bool] = True

    def __init__(  # noqa: PLR0913 - each has a default and a name
        self,
        seed: int = 0,
        iterations: int = 0,
        fine_tune: int = 10,
        cache: str | Path | None = None,
        device: str = "auto",
        *,
        progress: bool = False,
    ) -> None:
        super().__init__(seed)
        for what, count in (("iterations", iterations), ("fine_tune", fine_tune)):
            if count < 0:
                raise InvalidInputError(f"{what}: expected 0 or more steps, got {count}")
        self.iterations = iterations
        self.fine_tune = fine_tune
        self.cache = None if cache is None else Path(cache)
        self.device = device
        self.progress = progress

    def prepare(self) -> None:
        """Forget what an earlier past taught; the next question trains."""
        self._surrogate: DeepSurrogate | None = None
        self._asked = False

    def rehearse(self, case: Case, n: int) -> Choice:
        """Return configs that cover past datasets."""
        return Choice(covering(case, n), case.weights)

    def choose(self, case: Case, n: int) -> Choice:
        """Return the next configs by expected improvement, or by coverage before any score."""
        surrogate = self.surrogate() if len(case.seen.columns) else None
        if surrogate is None:
            return self.rehearse(case, n)
        points = self.past.surrogates.points(case.table.keys)
        seen, values = case.seen.columns.tolist(), case.seen.scores
        left = np.flatnonzero(~case.seen.taken)
        chosen: list[int] = []
        predict = surrogate.adapted(points[seen], values, self.fine_tune)
        while len(chosen) < min(n, len(left)):
            mean, deviation = predict(points[seen], values, points[left])
            gain = expected_improvement(mean, deviation, float(values.max()))
            gain[np.isin(left, chosen)] = -np.inf
            best = int(np.argmax(gain.round(12)))
            chosen.append(int(left[best]))
            seen, values = [*seen, chosen[-1]], np.append(values, mean[best])
        return Choice(np.array(chosen, dtype=np.int64), case.weights)

    def surrogate(self) -> DeepSurrogate | None:
        """Return the process, trained when first asked for; None where nothing can be learned.

        Raises:
            InvalidInputError: if `headstart[learners]` is not installed.
        """
        if not self._asked:
            rows = np.flatnonzero(self.past.spread > 0).tolist()
            runs = [runs_of(self.past, row, MOST_RUNS) for row in rows]
            runs = [(keys, regrets) for keys, regrets in runs if len(keys) >= FEWEST_RUNS]
            encoder = self.past.surrogates.encoder()
            episodes = [(encoder.encode(keys), -regrets) for keys, regrets in runs]
            if episodes and episodes[0][0].shape[1]:
                self._surrogate = _trained(self, episodes)
            self._asked = True  # only now: an error must come again, not end in no surrogate
        return self._surrogate


def _trained(
    options: DeepKernelSearch, episodes: list[tuple[FloatArray, FloatArray]]
) -> DeepSurrogate:
    try:
        from recommenders.deep_surrogate import Plan, train  # noqa: PLC0415 - needs torch
    except ImportError as error:
        raise InvalidInputError(
            f"recommender 'deep_kernel' needs torch ({error}); install headstart[learners]"
        ) from error
    plan = Plan(options.iterations, options.seed, options.device, options.cache, options.progress)
    return train(episodes, plan)
