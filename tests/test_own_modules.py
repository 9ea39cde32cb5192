"""A user's own module as a start: what is missing is said at once, what is wrong in words."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

from learners.description import describe  # noqa: E402
from learners.networks import Conv4  # noqa: E402
from learners.protonet import ProtoNet  # noqa: E402
from metastore import MetaStore  # noqa: E402
from metastore.errors import InvalidInputError  # noqa: E402
from recommenders.starts import recommend  # noqa: E402
from recommenders.starts.finetuning import finetune  # noqa: E402
from recommenders.starts.support_sets import SupportSet, read_support  # noqa: E402
from tests.commands import RunIt  # noqa: E402
from tests.starts import digits  # noqa: E402

SHAPE = {"input_shape": (1, 8, 8)}


@pytest.fixture(scope="module")
def support() -> SupportSet:
    return read_support(digits(3), name="digits")


def network(*last: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 16), *last)


class Pair(torch.nn.Module):
    """A module that returns two things."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z = self.inner(x)
        return z, z


def test_weights_without_a_network_or_a_shape_are_warned_of_and_can_still_be_used(
    store: MetaStore, support: SupportSet
) -> None:
    module = network()
    with pytest.warns(UserWarning, match=r"which network .*learner=.*modules=\{'sd': .*shape"):
        store.add_start(module.state_dict(), name="sd")
    with pytest.raises(InvalidInputError, match=r"nothing says what shape.*input_shape=\(1, 28"):
        finetune(store, support, "sd", modules={"sd": module}, record=False)
    with pytest.warns(UserWarning, match=r"which network") as said:
        store.add_start(module.state_dict(), name="sd", **SHAPE)
    assert "what shape" not in str(said[0].message)
    with pytest.raises(
        InvalidInputError, match=r"without a word .*modules=\{'sd': module\}, as in"
    ):
        finetune(store, support, "sd", record=False)
    assert "modules={'sd': module}" in dict(recommend(store, support, 9).refused)["sd"]
    found = finetune(store, support, "sd", modules={"sd": module}, record=False)
    assert found.held_out.accuracy > 0.5


def test_what_the_readme_says_of_own_weights_works(store: MetaStore, support: SupportSet) -> None:
    module = network()
    with pytest.warns(UserWarning, match="nothing says what shape an input has: give input_shape"):
        store.add_start(module, name="mine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.add_start(module, name="mine", **SHAPE)
        learner = ProtoNet(Conv4(0, filters=8, side=8, n_pooled=2))
        state = learner.init(0)
        store.add_start(state, name="described", learner=describe(learner), **SHAPE)
        rows = {"kind": "tables", "learner": {"type": "SetEncoder"}}
        store.add_start({"w": np.ones(2)}, name="any", **rows)
    assert finetune(store, support, "mine", modules={"mine": module}, record=False).model
    assert finetune(store, support, "described", record=False).model


def test_the_command_warns_too(headstart: RunIt, tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "w.safetensors")
    said = headstart("start", "add", "w.safetensors")
    assert said.status == 0
    assert "start 'w' is kept, and cannot be used as it is" in said.err
    assert "--network" in said.err and "--shape" in said.err


@pytest.mark.parametrize(
    ("module", "said", "why"),
    [
        (network(), {"input_shape": (1, 9, 9)}, r"fails on inputs \(2, 1, 9, 9\).*cannot be mult"),
        (
            torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3)),
            SHAPE,
            r"makes \(2, 3, 6, 6\) of inputs \(2, 1, 8, 8\); expected one tensor .*Flatten",
        ),
        (Pair(), SHAPE, "makes a tuple of inputs.*return the embeddings alone"),
        (network(torch.nn.Flatten(0)), SHAPE, r"makes \(32,\) of inputs"),
    ],
)
def test_a_module_that_does_not_fit_is_refused_in_words(
    store: MetaStore, support: SupportSet, module: Any, said: dict[str, Any], why: str
) -> None:
    store.add_start(module, name="own", **said)
    with pytest.raises(InvalidInputError, match=why):
        finetune(store, support, "own", modules={"own": module}, record=False)


def test_what_is_no_module_is_refused_in_words(store: MetaStore, support: SupportSet) -> None:
    store.add_start(Pair(), name="own", **SHAPE)
    for modules, why in (
        ({"own": "x"}, r"pass the torch module, not 'x': modules=\{'own': module\}"),
        ({"own": Pair}, r"not its class: Pair\(...\)"),
        ({"own": {}}, r"not \{\}: modules="),
        ("x", "modules: expected your own torch modules by the name of their start.*got str"),
        ({"other": Pair()}, r"class 'Pair' of your own.*modules=\{'own': module\}, as in"),
    ):
        with pytest.raises(InvalidInputError, match=why):
            finetune(store, support, "own", modules=modules, record=False)
