"""A surrogate start: the deep-kernel process that the store's own runs teach."""

from __future__ import annotations

from collections.abc import Callable

from learners.description import describe
from metastore.reports import metrics
from metastore.starts import Start
from metastore.store import MetaStore
from recommenders.deep_kernel import DeepKernelSearch
from recommenders.past_runs import runs_of
from recommenders.scores import Past

NAME = "runs-deep-kernel"
LEAST_DATASETS = 3
STEPS = 1_000
"""Of meta-training; fixed, so that a surrogate of the same runs is trained once."""


def surrogate_of(
    store: MetaStore, seconds: float, device: str, say: Callable[[str], None]
) -> Start | None:
    """Train and keep the surrogate of the most recorded metric; None where there are few runs.

    Args:
        store: whose runs teach it, and where it goes.
        seconds: that are left; with none the surrogate waits for the next time.
        device: where to train.
        say: called with a line of progress.
    """
    known = metrics(store)
    if not known:
        say(f"{NAME}: no runs in the store to learn from")
        return None
    metric = str(known[0]["metric"])
    past = Past.of(store.view(metric))
    if len(past.datasets) < LEAST_DATASETS:
        say(
            f"{NAME}: runs on {len(past.datasets)} datasets have {metric!r}, and a surrogate "
            f"needs {LEAST_DATASETS}"
        )
        return None
    if not seconds:
        say(f"{NAME}: no time left; build again to train it")
        return None
    # A start is made of its runs alone: not refreshed, whatever was built before.
    search = DeepKernelSearch(
        cache=store.paths.folder / "zoo", device=device, iterations=STEPS, refresh=False
    )
    search.fit_past(past)
    found = search.surrogate()
    if found is None:
        say(f"{NAME}: the runs have no hyperparameters to learn from")
        return None
    encoder = past.surrogates.encoder()
    start = store.add_start(
        found.state,
        name=NAME,
        method="deep_kernel",
        learner=describe(found.learner),
        kind="surrogate",
        input_shape=(len(encoder.encode(runs_of(past, 0, 1)[0])[0]),),
        n_way=0,
        normalisation={"metric": metric, "algorithms": list(encoder.algorithms)},
        trained_on=past.datasets,
        source="headstart zoo, the store's own runs",
    )
    say(f"{NAME}: {metric!r} on {len(past.datasets)} datasets")
    return start
