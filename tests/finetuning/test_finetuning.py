"""Fine-tuning from a store: what is recorded, kept and refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

from metastore import MetaStore
from metastore.errors import InvalidInputError, UnknownNameError
from recommenders.starts.finetuning import Outcome, finetune
from recommenders.starts.fitted import Fitted
from recommenders.starts.fitting import fit_start
from recommenders.starts.support_sets import SupportSet, read_support
from tests.starts import STEPS, with_starts


def test_a_run_is_recorded_with_its_curve(
    store: MetaStore, support: SupportSet, query: SupportSet
) -> None:
    with_starts(store)
    found: Outcome = finetune(store, support, "small-proto", query, tuning=STEPS)
    view = store.view("accuracy", "finetune")
    assert view.datasets == ("digits",)
    assert view.config(0) == {"start": "small-proto", **STEPS.config()}
    assert view.cell_score[0] == pytest.approx(found.accuracy)
    assert found.accuracy == pytest.approx(found.model.fitted.accuracy(query))
    points = store.rows("SELECT metric, step FROM metric_values WHERE step IS NOT NULL")
    assert {row["step"] for row in points if row["metric"] == "loss"} == {0, 1, 2, 3}
    assert found.probabilities.shape == (30, 10)
    assert found.held_out.n_rows == 40
    finetune(store, support, "nearest centroid")
    configs = {store.view("accuracy", "finetune").config(i)["start"] for i in range(2)}
    assert configs == {"small-proto", "nearest centroid"}


def test_a_failed_run_is_recorded_and_raised(
    store: MetaStore, support: SupportSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> Fitted:
        raise InvalidInputError("fine-tuning diverged")

    with_starts(store)
    monkeypatch.setattr("recommenders.starts.fitting.fit_start", broken)
    monkeypatch.setattr("recommenders.starts.image_polarity.fit_start", fit_start)
    with pytest.raises(InvalidInputError, match="diverged"):
        finetune(store, support, "small-proto")
    store.absorb()
    assert [row["status"] for row in store.rows("SELECT status FROM run_states")] == ["failed"]


def test_several_trials_are_recorded_and_the_best_is_kept(
    store: MetaStore, support: SupportSet
) -> None:
    with_starts(store)
    part = support.take(np.flatnonzero(support.labels < 3))
    part = read_support((list(part.images), part.labels), name="three")
    found = finetune(store, part, "small-proto", trials=2)
    view = store.view("accuracy", "finetune")
    assert {view.config(i)["mode"] for i in range(2)} == {"adapt", "gradient"}
    assert found.held_out.accuracy == pytest.approx(view.cell_score.max())


def test_a_wrong_start_is_named(store: MetaStore, support: SupportSet, mixed: pd.DataFrame) -> None:
    with_starts(store)
    with pytest.raises(UnknownNameError, match="Besides starts there are: 'from scratch'"):
        finetune(store, support, "smal-proto")
    with pytest.raises(InvalidInputError, match="takes images, and the support set holds rows"):
        finetune(store, mixed, "small-proto", target="tall")
    with pytest.raises(InvalidInputError, match="either a tuning or a number of trials"):
        finetune(store, support, "small-proto", tuning=STEPS, trials=2)


def test_without_torch_a_plain_classifier_still_works(
    store: MetaStore, support: SupportSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys  # noqa: PLC0415

    for name in ("recommenders.starts.image_polarity", "recommenders.starts.fitting", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
    found = finetune(store, support, "nearest centroid")
    assert found.accuracy > 0.5
    with pytest.raises(InvalidInputError.__mro__[1], match="fine-tuning needs torch"):
        finetune(store, support, "from scratch")
