"""What a study recorded: later studies start from it, and the worth of advice is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

import metastore
from metastore import MetaStore
from metastore.errors import StoreBusyError
from metastore.journal import NotRecordedWarning
from metastore.types import canonical_json
from recommenders.optuna_sampler import HeadstartSampler
from recommenders.worth import worth
from tests.optuna_sampler.helpers import SVC, objective, params, sampler, study, wine


def test_the_circle_closes(store: MetaStore, tmp_path: Path) -> None:
    """What a study recorded is what the next study starts from, on this and on other datasets."""
    import shutil  # noqa: PLC0415

    store.absorb()
    mine = metastore.open(shutil.copytree(store.paths.folder, tmp_path / "mine"))
    record = mine.optuna_callback(wine(), algorithm=SVC, metric="accuracy")
    one = optuna.create_study(direction="maximize", sampler=sampler(mine, wine()))
    one.optimize(objective, 5, callbacks=[record])
    assert len(mine.rows("SELECT run_id FROM runs WHERE parent_id IS NOT NULL")) == 5
    resumed = sampler(mine, wine())
    own = [dict(o.config) for o in resumed._advice.advisor.own]
    assert sorted(map(canonical_json, own)) == sorted(map(canonical_json, params(one)))
    two = optuna.create_study(direction="maximize", sampler=resumed)
    two.optimize(objective, 5)
    assert not set(map(canonical_json, params(two))) & set(map(canonical_json, params(one)))
    assert one.trials[0].params in [dict(c) for c in _past(sampler(mine, "iris"))]


def _past(one: HeadstartSampler) -> list[dict[str, Any]]:
    view = one._advice.view
    assert view is not None
    return [view.config(i) for i in range(view.n_configs)]


def test_what_was_advised_is_recorded_and_its_worth_told(store: MetaStore, tmp_path: Path) -> None:
    import shutil  # noqa: PLC0415

    store.absorb()
    mine = metastore.open(shutil.copytree(store.paths.folder, tmp_path / "mine"))
    ref = mine.dataset(*wine(), name="wine")
    record = mine.optuna_callback(ref, algorithm=SVC, metric="accuracy")
    one = optuna.create_study(direction="maximize", sampler=sampler(mine, ref))
    count = "SELECT count(*) AS n FROM recommendations"
    before = mine.rows(count)[0]["n"]
    one.optimize(objective, 6, callbacks=[record])
    (found,) = worth(mine, "wine").worths
    assert (found.followed, found.tried, found.regret) == (6, 6, 0)
    assert mine.rows(count)[0]["n"] == before + 6
    silent = optuna.create_study(direction="maximize", sampler=sampler(mine, ref, record=False))
    silent.optimize(objective, 1)
    assert mine.rows(count)[0]["n"] == before + 6


def test_a_store_that_is_busy_ends_no_study(
    store: MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any) -> int:
        raise StoreBusyError("another process holds it")

    one = study(store)
    monkeypatch.setattr(store, "record_recommendations", busy)
    with pytest.warns(NotRecordedWarning, match="another process holds it"):
        one.optimize(objective, 1)
    assert one.trials[0].state is TrialState.COMPLETE
