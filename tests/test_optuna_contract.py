"""Optuna's own contract for samplers, on a store that knows the contract's parameters.

What does not apply: `MultiObjectiveSamplerTestCase`, since advice is on one metric; what
`SingleOnlySamplerTestCase` asks of such samplers holds instead. While the store is empty all is
left to Optuna's TPE, which samples independently: there `RelativeSamplerTestCase` has nothing to
look at, and Optuna's TPE as it is by default does not pass it either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import optuna
import pytest

import metastore
from metastore import MetaStore
from recommenders.optuna_sampler import HeadstartSampler

contract = pytest.importorskip("optuna.testing.pytest_samplers", reason="comes with Optuna 5")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield
    optuna.logging.set_verbosity(level)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> MetaStore:
    """Runs of the contract's own objective, `x + y + z`."""
    store = metastore.open(tmp_path_factory.mktemp("contract") / "store")
    for dataset in ("one", "two", "three"):
        for x, y, z in product((-1.0, 0.5, 7.0), (-1, 1, 10), (-0.5, 0.5)):
            with store.run(dataset, "sum", {"x": x, "y": y, "z": z}) as run:
                run.result(loss=x + y + z)
    with store.run("asked", "other", {}) as run:
        run.result(loss=0.0)
    return store


class TestKnowing(
    contract.BasicSamplerTestCase,  # type: ignore[misc,name-defined]
    contract.RelativeSamplerTestCase,  # type: ignore[misc,name-defined]
    contract.SingleOnlySamplerTestCase,  # type: ignore[misc,name-defined]
):
    @pytest.fixture
    def sampler(self, known: MetaStore) -> Callable[[], optuna.samplers.BaseSampler]:
        return lambda: HeadstartSampler(known, "asked", metric="loss", algorithm="sum", seed=0)


class TestWhereTimeCounts(
    contract.BasicSamplerTestCase,  # type: ignore[misc,name-defined]
    contract.RelativeSamplerTestCase,  # type: ignore[misc,name-defined]
    contract.SingleOnlySamplerTestCase,  # type: ignore[misc,name-defined]
):
    @pytest.fixture
    def sampler(self, known: MetaStore) -> Callable[[], optuna.samplers.BaseSampler]:
        return lambda: HeadstartSampler(
            known, "asked", metric="loss", algorithm="sum", seed=0, per_second=True
        )


class TestOfAnEmptyStore(
    contract.BasicSamplerTestCase,  # type: ignore[misc,name-defined]
    contract.SingleOnlySamplerTestCase,  # type: ignore[misc,name-defined]
):
    @pytest.fixture
    def sampler(self, tmp_path: Path) -> Callable[[], optuna.samplers.BaseSampler]:
        empty = metastore.open(tmp_path / "empty")
        return lambda: HeadstartSampler(empty, "asked", metric="loss", seed=0)
