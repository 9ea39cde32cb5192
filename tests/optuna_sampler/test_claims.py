"""Trials that run at once get configs of their own, whoever asks from wherever."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import optuna
import pytest

from metastore import MetaStore
from metastore.types import canonical_json
from recommenders.study_trials import CLAIM
from tests.optuna_sampler.helpers import GRID, objective, params, sampler, study
from tests.processes import python


@pytest.mark.parametrize("storage", ["memory", "sqlite"])
def test_trials_that_run_at_once_get_configs_of_their_own(
    store: MetaStore, storage: str, tmp_path: Path
) -> None:
    """Six trials are open at a time; none gets what another one has or had."""
    url = f"sqlite:///{tmp_path / 'study.db'}" if storage == "sqlite" else None
    one = optuna.create_study(direction="maximize", sampler=sampler(store), storage=url)
    gate = threading.Barrier(6, timeout=60)

    def together(trial: optuna.Trial) -> float:
        value = objective(trial)
        gate.wait()
        return value

    one.optimize(together, 12, n_jobs=6)
    claims = [str(t.system_attrs[CLAIM]["config"]) for t in one.trials]
    assert len(set(claims)) == len(claims) == 12
    tried = [canonical_json(p) for p in params(one)]
    assert len(set(tried)) == 12


WORKER = """
import sys, optuna, metastore
from recommenders.optuna_sampler import HeadstartSampler
optuna.logging.set_verbosity(optuna.logging.CRITICAL)
folder, url, seed = sys.argv[1:]
store = metastore.open(folder, wait_seconds=60)
sampler = HeadstartSampler(store, "wine", metric="accuracy", algorithm="sklearn.svm.SVC", seed=0)
study = optuna.load_study(study_name="shared", storage=url, sampler=sampler)
def objective(trial):
    kernel = trial.suggest_categorical("kernel", ["rbf", "linear"])
    return trial.suggest_float("C", 0.01, 100, log=True) + (kernel == "rbf")
study.optimize(objective, 6)
"""


def test_processes_on_one_storage_get_configs_of_their_own(
    store: MetaStore, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    one = optuna.create_study(study_name="shared", storage=url, direction="maximize")
    arguments = [str(store.paths.folder), url]
    ended = []
    threads = [
        threading.Thread(target=lambda i=i: ended.append(python(WORKER, *arguments, i)))
        for i in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [done.returncode for done in ended] == [0, 0], [done.stderr for done in ended]
    claims = [str(t.system_attrs[CLAIM]["config"]) for t in one.trials]
    assert len(set(claims)) == len(claims) == 12


def test_of_two_that_claim_at_once_one_gives_way(store: MetaStore) -> None:
    """The other trial claims the same config between our choice and our look at the claims."""
    one = study(store)
    rival, mine = one.ask(), one.ask()
    storage = one._storage
    write = storage.set_trial_system_attr

    def jump_the_queue(trial_id: int, name: str, value: Any) -> None:
        write(trial_id, name, value)
        if trial_id == mine._trial_id:
            storage.set_trial_system_attr = write  # type: ignore[method-assign]
            write(rival._trial_id, name, value)

    storage.set_trial_system_attr = jump_the_queue  # type: ignore[method-assign]
    mine.suggest_categorical("kernel", ["rbf", "linear"])
    claims = [t.system_attrs[CLAIM]["config"] for t in one.trials]
    assert claims[0] != claims[1]


def test_enqueued_trials_are_left_as_they_are(store: MetaStore) -> None:
    one = study(store)
    one.enqueue_trial({"kernel": "linear", "C": 7.0})
    one.enqueue_trial(dict(GRID[0]))
    one.enqueue_trial({"kernel": "linear"})
    one.optimize(objective, 6)
    assert params(one)[:2] == [{"kernel": "linear", "C": 7.0}, GRID[0]]
    assert params(one)[2]["kernel"] == "linear"
    assert GRID[0] not in params(one)[2:]
    assert [CLAIM in trial.system_attrs for trial in one.trials] == [False] * 3 + [True] * 3
