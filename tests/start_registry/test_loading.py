"""Starts of any kind are loaded as they were: own modules, bare weights, every method."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

from learners.catalogue import catalogue  # noqa: E402
from learners.episode import examples  # noqa: E402
from learners.errors import LearnerError  # noqa: E402
from learners.recipes import Inputs, recipe  # noqa: E402
from learners.samplers import Shape, UnevenClassSampler  # noqa: E402
from learners.training import Trained  # noqa: E402
from metastore import MetaStore  # noqa: E402
from metastore.errors import InvalidInputError  # noqa: E402
from recommenders.starts.loading import load_start, register  # noqa: E402
from recommenders.starts.training import TASKS, tasks_of  # noqa: E402

# What is kept here without a network or a shape is looked at, not used.
pytestmark = pytest.mark.filterwarnings("ignore:start .* cannot be used as it is")


class Pretrained(torch.nn.Sequential):
    """A network as others train them: running statistics, dropout, float16 weights' kin."""

    def __init__(self) -> None:
        super().__init__(
            *(torch.nn.Conv2d(1, 6, 3), torch.nn.BatchNorm2d(6), torch.nn.ReLU()),
            *(torch.nn.Dropout(0.5), torch.nn.Flatten(), torch.nn.Linear(216, 12)),
        )


def test_a_users_own_module_is_filled_and_left_alone(
    store: MetaStore, digits: list[torch.Tensor]
) -> None:
    torch.manual_seed(0)
    module = Pretrained()
    pixels = torch.cat(digits[:3])[:60] / 255
    module(pixels)  # moves the running statistics
    added = store.add_start(module, name="own", input_shape=(1, 8, 8))
    assert added.learner["class"] == "Pretrained"
    assert added.method == "pretrained"
    fresh = Pretrained()
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    loaded = load_start(added, module=fresh)
    assert fresh.training
    assert all(torch.equal(value, before[name]) for name, value in fresh.state_dict().items())
    support = examples(pixels[:6], torch.tensor([0, 0, 1, 1, 2, 2]))
    context = loaded.learner.adapt(loaded.state, support).context
    with torch.no_grad():
        wanted = module.eval()(pixels[:6])
    assert torch.allclose(context["z"][0], wanted, atol=1e-6)
    with pytest.raises(InvalidInputError, match=r"'Pretrained' of your own.*modules="):
        load_start(added)
    with pytest.raises(InvalidInputError, match="not this module's"):
        load_start(added, module=torch.nn.Linear(2, 2))


def test_a_state_dict_with_its_network_can_be_loaded(store: MetaStore, trained: Trained) -> None:
    network = {"type": "Conv4", "n_out": 0, "channels": 1, "filters": 8, "side": 8, "n_pooled": 2}
    weights = {name.removeprefix("net."): value for name, value in trained.state.items()}
    added = store.add_start(weights, name="bare", learner=network, input_shape=(1, 8, 8))
    loaded = load_start(added)
    assert loaded.learner == trained.learner
    assert set(loaded.state) == set(trained.state)
    wrong = store.add_start(weights, name="wrong", learner=network | {"filters": 16})
    with pytest.raises(InvalidInputError, match=r"do not fit its network.*should be \(16,\)"):
        load_start(wrong)
    unknown = store.add_start(weights, name="unknown", learner={"type": "Transformer"})
    with pytest.raises(InvalidInputError, match=r"cannot be built.*Transformer"):
        load_start(unknown)


def test_a_safetensors_file_and_bfloat16_keep_their_numbers(
    store: MetaStore, tmp_path: Path
) -> None:
    half = torch.tensor([[1.5, -2.25], [0.0, 3e38]], dtype=torch.bfloat16)
    save_file({"w": half, "n": torch.tensor(7)}, tmp_path / "w.safetensors")
    from_file = store.add_start(tmp_path / "w.safetensors", name="file").state()
    from_dict = store.add_start({"w": half, "n": torch.tensor(7)}, name="dict").state()
    for state in (from_file, from_dict):
        assert torch.equal(torch.from_numpy(state["w"]), half.float())
        assert state["n"].shape == ()
        assert state["n"] == 7


def test_every_recipe_can_be_registered_and_loaded(store: MetaStore) -> None:
    for method in ("maml", "meta_sgd", "reptile", "matching", "relation", "snail", "cnp"):
        learner = recipe(method, Inputs((1, 28, 28), 5, 1)).learner
        state = learner.init(0)
        loaded = load_start(register(store, learner, state, name=method, method=method))
        assert loaded.learner == learner
        assert all(torch.equal(loaded.state[name], value) for name, value in state.items())


@pytest.mark.parametrize("method", [one.key for one in catalogue()])
def test_every_classifier_keeps_what_its_training_tasks_look_like(
    digits: list[torch.Tensor], method: str
) -> None:
    framed = [torch.nn.functional.pad(images, (4, 4, 4, 4)) for images in digits[:7]]
    sampler = UnevenClassSampler(framed, Shape(4, 2, 3))
    try:
        learner = recipe(method, Inputs((1, 16, 16), 4, 2)).learner
        state = learner.init(0)
    except LearnerError as error:  # of rows alone
        pytest.skip(str(error))
    tasks = tasks_of(learner, state, sampler)
    assert tasks is not None
    assert tasks.shape[0] == TASKS
    assert np.isfinite(tasks).all()
    assert len({tuple(row) for row in tasks.round(9)}) > TASKS // 2
    assert np.array_equal(tasks, tasks_of(learner, state, sampler))
