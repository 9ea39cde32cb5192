"""The base of recommenders whose surrogate is meta-trained on past datasets' runs.

Every past dataset is an episode, and the new dataset's observed runs are the support set that the
surrogate adapts to. Until something is observed the configs are those that cover past datasets;
then the config of highest expected improvement is next. Several configs at once are chosen one
after the other, each taken for what the surrogate expects of it (kriging believer; Ginsbourger,
Le Riche and Carraro, 2010).

It needs `headstart[learners]`, is trained at the first question with a score, on a GPU where there
is one, and is kept in `cache` by what was learned from: the same past is not learned from twice,
and training that was killed goes on where it was. When a few runs have arrived since, it begins
from what is kept and takes a share of the steps; with a cache, answers hang on what was asked
before as well as on the past, unless `refresh=False` (`recommenders.refreshing`). Intervals and
expected scores are those of past datasets, as of every recommender over a table.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from metastore.errors import InvalidInputError
from metastore.view import FloatArray
from recommenders.past_runs import runs_of
from recommenders.portfolio import covering
from recommenders.posteriors import expected_improvement
from recommenders.sessions import Case, Choice
from recommenders.table_recommender import TableRecommender

if TYPE_CHECKING:
    from learners.learner import Learner, State

FEWEST_RUNS = 3
MOST_RUNS = 500

Predict = Callable[[FloatArray, FloatArray, FloatArray], tuple[FloatArray, FloatArray]]
"""From points seen, their scores, and points asked about to means and deviations `(P,)`."""

Runs = tuple[FloatArray, FloatArray]
"""Points `(n, d)` and scores `(n,)`, larger-is-better, of a past dataset."""


class Surrogate(Protocol):
    """What was meta-trained: a learner and its state."""

    @property
    def learner(self) -> Learner:
        """Return the method and its network."""
        ...

    @property
    def state(self) -> State:
        """Return what was learned."""
        ...

    def adapted(self, points: FloatArray, scores: FloatArray, steps: int) -> Predict:
        """Return what predicts for one task.

        Args:
            points: `(k, d)` encoded configs that were observed.
            scores: `(k,)` their scores, larger-is-better.
            steps: gradient steps on them.
        """
        ...


class SurrogateSearch(TableRecommender):
    """Chooses by a surrogate that was meta-trained on past datasets.

    Args:
        seed: fixes how the surrogate starts and which episodes it sees.
        iterations: meta-training steps; 0 for as many as the number of past runs calls for.
        fine_tune: gradient steps on the observed runs before each answer.
        cache: folder to keep what was learned in; None keeps it in memory alone.
        device: where to train, such as "cpu" or "cuda"; "auto" for a GPU where there is one.
        progress: whether to show a progress bar while training.
        refresh: whether to begin from what `cache` has of nearly the same past; False always
            trains from scratch what is not kept.
    """

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
        refresh: bool = True,
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
        self.refresh = refresh

    @abstractmethod
    def train(self, episodes: Mapping[str, Runs]) -> Surrogate:
        """Return the surrogate that past datasets' runs teach; may raise ImportError.

        Args:
            episodes: the runs of each past dataset, by its name.
        """

    def prepare(self) -> None:
        """Forget what an earlier past taught; the next question trains."""
        self._surrogate: Surrogate | None = None
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
            gain = case.hoped(gain, left)
            gain[np.isin(left, chosen)] = -np.inf
            best = int(np.argmax(gain.round(12)))
            chosen.append(int(left[best]))
            seen, values = [*seen, chosen[-1]], np.append(values, mean[best])
        return Choice(np.array(chosen, dtype=np.int64), case.weights)

    def surrogate(self) -> Surrogate | None:
        """Return the surrogate, trained when first asked for; None where nothing can be learned.

        Raises:
            InvalidInputError: if `headstart[learners]` is not installed.
        """
        if not self._asked:
            episodes = self.episodes()
            if episodes and next(iter(episodes.values()))[0].shape[1]:
                try:
                    self._surrogate = self.train(episodes)
                except ImportError as error:
                    raise InvalidInputError(
                        f"recommender {self.name!r} needs torch ({error}); install "
                        "headstart[learners]"
                    ) from error
            self._asked = True  # only now: an error must come again, not end in no surrogate
        return self._surrogate

    def episodes(self) -> dict[str, Runs]:
        """Return encoded configs and scores of the past datasets that have a few runs, by name."""
        rows = np.flatnonzero(self.past.spread > 0).tolist()
        runs = {self.past.datasets[row]: runs_of(self.past, row, MOST_RUNS) for row in rows}
        encoder = self.past.surrogates.encoder()
        return {
            name: (encoder.encode(keys), -regrets)
            for name, (keys, regrets) in runs.items()
            if len(keys) >= FEWEST_RUNS
        }
