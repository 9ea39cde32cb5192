"""A user's own module, fine-tuned: it is loaded with what its layers keep, and only with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from learners.networks import Conv4, ModuleNetwork  # noqa: E402
from learners.protonet import ProtoNet  # noqa: E402
from metastore import MetaStore  # noqa: E402
from metastore.errors import InvalidInputError  # noqa: E402
from recommenders.starts.finetuned import FineTuned, load, skeleton  # noqa: E402
from recommenders.starts.finetuning import finetune  # noqa: E402
from recommenders.starts.fitting import fit_start  # noqa: E402
from recommenders.starts.inputs import prepare  # noqa: E402
from recommenders.starts.support_sets import SupportSet  # noqa: E402
from recommenders.starts.tuning import Tuning  # noqa: E402
from tests.starts import STEPS, start_of  # noqa: E402


def test_a_model_of_a_users_module_needs_it_to_be_loaded(
    support: SupportSet, query: SupportSet, tmp_path: Path
) -> None:
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 16), torch.nn.Tanh())
    learner = ProtoNet(ModuleNetwork(module))
    loaded = replace(start_of(ProtoNet(Conv4(0))), learner=learner, state=learner.init(0))
    for tuning in (STEPS, Tuning(views="shifted")):
        fitted = fit_start(loaded, prepare(loaded.start, support), support, tuning)
        FineTuned(fitted, skeleton(support)).save(tmp_path / tuning.mode)
        with pytest.raises(InvalidInputError, match=r"load\(folder, module=...\)"):
            load(tmp_path / tuning.mode)
        again = load(tmp_path / tuning.mode, module=module)
        assert np.allclose(again.predict_proba(query), fitted.probabilities(query), atol=1e-6)


class Normed(torch.nn.Sequential):
    """A user's own network that keeps statistics."""

    def __init__(self, filters: int = 4) -> None:
        norm = torch.nn.BatchNorm2d(filters)
        pool = torch.nn.AdaptiveAvgPool2d(4)
        super().__init__(torch.nn.Conv2d(1, filters, 3), norm, pool, torch.nn.Flatten())


@pytest.mark.parametrize("tuning", [Tuning(), Tuning("linear"), STEPS, Tuning(views="shifted")])
def test_a_users_module_is_loaded_with_what_its_layers_keep(
    tuning: Tuning, store: MetaStore, support: SupportSet, query: SupportSet, tmp_path: Path
) -> None:
    """A fresh module has other running statistics; they belong to the model."""
    trained = Normed()
    start = {"kind": "images", "input_shape": (1, 28, 28)}
    for _ in range(3):
        trained(torch.from_numpy(prepare(None, support).array(support)))
    store.add_start(trained, name="own", **start)
    model = finetune(
        store, support, "own", modules={"own": Normed()}, tuning=tuning, record=False
    ).model
    model.save(tmp_path / "model")
    given = Normed()
    before = given[1].running_mean.clone()
    again = load(tmp_path / "model", module=given)
    assert np.allclose(again.predict_proba(query), model.predict_proba(query), atol=1e-6)
    assert given.training and torch.equal(given[1].running_mean, before)
    with pytest.raises(InvalidInputError, match=r"'0.bias' should be \(4,\), found \(5"):
        load(tmp_path / "model", module=Normed(5))
    with pytest.raises(InvalidInputError, match="of class 'Normed', and the one given is a 'Seq"):
        load(tmp_path / "model", module=torch.nn.Sequential(*Normed()))


@pytest.mark.parametrize("tuning", [Tuning(), Tuning("linear"), STEPS, Tuning(views="shifted")])
def test_a_users_module_that_normalises_by_its_rows(
    tuning: Tuning, store: MetaStore, support: SupportSet, query: SupportSet, tmp_path: Path
) -> None:
    """Without running statistics, by the support set: a prediction hangs on no other query."""

    def module() -> torch.nn.Module:
        torch.manual_seed(0)
        norm = torch.nn.BatchNorm2d(4, track_running_stats=False)
        pool = torch.nn.AdaptiveAvgPool2d(4)
        return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), norm, pool, torch.nn.Flatten())

    store.add_start(module(), name="own", kind="images", input_shape=(1, 28, 28))
    model = finetune(
        store, support, "own", modules={"own": module()}, tuning=tuning, record=False
    ).model
    together = model.predict_proba(query)
    alone = np.concatenate([model.predict_proba(query.take(np.array([i]))) for i in range(3)])
    assert np.allclose(together[:3], alone, atol=1e-5)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model", module=module())
    assert np.allclose(again.predict_proba(query), together, atol=1e-5)
