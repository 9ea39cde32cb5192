"""A user's own modules keep what every learner keeps: normalised by rows, or one by one."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch
from torch import nn

from learners.episode import examples
from learners.errors import LearnerError
from learners.evaluation import evaluate
from learners.execution import Execution
from learners.maml import maml
from learners.matching import Matching
from learners.networks import Conv4, ModuleNetwork
from learners.protonet import ProtoNet
from learners.reptile import Reptile
from learners.samplers import ClassSampler, Shape
from learners.siamese import Siamese
from learners.training import Budget, Training, meta_train
from tests.learners.contract import LearnerContract, in_double
from tests.learners.differences import check_gradient, random_state

QUICK = Training(meta_batch=2, progress=False)


class Recurrent(nn.Module):
    """An LSTM over the rows of an image."""

    def __init__(self, n_out: int, kind: type[nn.RNNBase] = nn.LSTM) -> None:
        super().__init__()
        self.rnn = kind(28, 4, batch_first=True)
        self.head = nn.Linear(4, n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x[:, 0])[0][:, -1])


class Branching(nn.Module):
    """What is computed depends on a value, which `vmap` cannot look at."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(784, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        return self.head(x / 2 if x.mean().item() > 0.5 else x)


def normalised(n_out: int) -> nn.Module:
    """Convolution, batch normalisation by rows in two and in one dimension, and a head."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=4),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(4 * 49, 6),
        nn.BatchNorm1d(6, track_running_stats=False, affine=False),
        nn.Linear(6, n_out),
    )


def own(n_out: int) -> ModuleNetwork:
    torch.manual_seed(0)
    return ModuleNetwork(normalised(n_out), normalises=True)


def recurrent(n_out: int) -> ModuleNetwork:
    torch.manual_seed(0)
    return ModuleNetwork(Recurrent(n_out))


MAKERS = {
    "protonet": lambda: ProtoNet(own(5)),
    "matching": lambda: Matching(own(5)),
    "siamese": lambda: Siamese(own(5), 5),
    "maml": lambda: maml(own(3), steps=2, rate=0.1),
    "reptile": lambda: Reptile(own(3), steps=2, batch=0, prediction_steps=3),
    "recurrent protonet": lambda: ProtoNet(recurrent(5)),
    "recurrent maml": lambda: maml(recurrent(3), steps=2, rate=0.1),
}


ONE_BY_ONE = pytest.mark.filterwarnings("ignore:Recurrent cannot take several episodes at once")


@ONE_BY_ONE
class TestOwnModules(LearnerContract):
    @pytest.fixture(params=MAKERS)
    def learner(self, request):
        return MAKERS[request.param]()

    @pytest.fixture
    def episodes(self, glyph_episodes):
        return glyph_episodes

    def test_init_is_a_flat_dict_that_the_seed_fixes(self, learner) -> None:
        parameters = dict(learner.network.module.named_parameters())
        state = learner.init(1)
        assert all(torch.equal(state[f"net.{name}"], value) for name, value in parameters.items())

    def test_description_and_checkpoint_round_trip(self) -> None:
        pytest.skip("no code is kept in a checkpoint")

    def test_a_resumed_run_ends_in_the_same_bits(self, learner, tmp_path, glyphs) -> None:
        settings = replace(QUICK, checkpoint=tmp_path / "run.json")
        sampler = ClassSampler(glyphs, Shape(3, 2, 2))
        whole = meta_train(learner, sampler, Budget(3), QUICK).state
        meta_train(learner, sampler, Budget(2), settings)
        resumed = meta_train(learner, sampler, Budget(3), settings).state
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_modules_moments_are_measured_where_training_ends(glyphs) -> None:
    sampler = ClassSampler(glyphs, Shape(3, 2, 2))
    state = meta_train(ProtoNet(own(5)), sampler, Budget(1), QUICK).state
    moments = {f"net.{layer}.{of}" for layer in "15" for of in ("mean", "variance")}
    assert {k for k in state if k.endswith((".mean", ".variance"))} == moments


def test_moments_are_those_of_the_layers_inputs(glyph_episodes) -> None:
    network, x = own(5), in_double(glyph_episodes).support.x[0]
    params = {name: value.double() for name, value in network.init(torch.Generator()).items()}
    mask = torch.arange(len(x)) < len(x) - 2
    seen = network.statistics(params, x, mask)
    y = nn.functional.conv2d(x[mask], params["0.weight"], params["0.bias"], stride=4)
    torch.testing.assert_close(seen["1.mean"], y.mean((0, 2, 3)))
    torch.testing.assert_close(seen["1.variance"], y.var((0, 2, 3), unbiased=False))


def test_a_layer_over_several_rows_an_input_counts_those_of_real_inputs() -> None:
    class Pieces(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(4, track_running_stats=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(x.reshape(-1, 4)).reshape(len(x), -1)

    x = torch.rand(5, 12, generator=torch.Generator().manual_seed(0))
    network = ModuleNetwork(Pieces(), normalises=True)
    params = network.init(torch.Generator())
    mask = torch.tensor([True, True, True, False, False])
    whole = torch.ones(3, dtype=torch.bool)
    torch.testing.assert_close(network(params, x, mask)[:3], network(params, x[:3], whole))


def test_normalising_is_not_believed_without_a_layer_that_does() -> None:
    for module in (nn.Linear(3, 4), nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).eval()):
        with pytest.raises(LearnerError, match=r"no batch normalisation that goes by the rows"):
            ModuleNetwork(module, normalises=True)


@pytest.mark.parametrize("make", [ProtoNet, maml], ids=["protonet", "maml"])
@pytest.mark.parametrize(
    "module",
    [Recurrent(3), Recurrent(3, nn.GRU), Recurrent(3, nn.RNN), Branching()],
    ids=["lstm", "gru", "rnn", "branching"],
)
def test_what_vmap_cannot_take_runs_one_by_one_and_says_so_once(make, module, glyphs) -> None:
    torch.manual_seed(0)
    learner = make(ModuleNetwork(type(module)() if isinstance(module, Branching) else module))
    sampler = ClassSampler(glyphs, Shape(3, 2, 2))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trained = meta_train(learner, sampler, Budget(2), QUICK)
        score = evaluate(learner, trained.state, sampler, 3)
    said = [str(one.message) for one in caught]
    assert sum("one after the other, to the same result" in one for one in said) <= 1
    assert 0 <= score.mean <= 1
    double, state = in_double(sampler.sample(0, 3)), random_state(learner)
    together, alone = (
        learner.meta_gradient(state, double, learner.phase(0), Execution(chunk=chunk))
        for chunk in (0, 1)
    )
    torch.testing.assert_close(together, alone)


@ONE_BY_ONE
def test_meta_gradients_through_a_recurrent_layer_agree_with_differences(glyph_episodes) -> None:
    learner, double = MAKERS["recurrent maml"](), in_double(glyph_episodes)
    check_gradient(learner, random_state(learner), double)


def test_attention_has_second_derivatives(glyphs) -> None:
    layer = nn.TransformerEncoderLayer(28, 2, 8, dropout=0.0, batch_first=True)
    module = nn.Sequential(nn.Flatten(1, 2), layer, nn.Flatten(), nn.Linear(784, 3))
    sampler = ClassSampler(glyphs, Shape(3, 1, 1))
    meta_train(maml(ModuleNetwork(module), steps=1), sampler, Budget(1), QUICK)


def test_a_module_that_draws_in_its_forward_is_told_so() -> None:
    class Noisy(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.dropout(super().forward(x), 0.5)

    sampler = ClassSampler(torch.rand(4, 6, 5), Shape(2, 1, 2))
    with pytest.raises(LearnerError, match=r"Noisy draws random numbers"):
        meta_train(ProtoNet(ModuleNetwork(Noisy(5, 3))), sampler, Budget(1), QUICK)


def test_a_modules_own_error_stays_what_it_is() -> None:
    sampler = ClassSampler(torch.rand(4, 6, 5), Shape(2, 1, 2))
    with pytest.raises(RuntimeError, match=r"mat1 and mat2 shapes"):
        meta_train(ProtoNet(ModuleNetwork(nn.Linear(7, 3))), sampler, Budget(1), QUICK)


@pytest.mark.parametrize("network", [Conv4(0, filters=4), own(5)], ids=["conv4", "own"])
def test_training_goes_on_from_a_state_that_was_finished(network, glyphs) -> None:
    sampler = ClassSampler(glyphs, Shape(3, 1, 2))
    first = meta_train(ProtoNet(network), sampler, Budget(2), QUICK)
    assert any(name.endswith(".mean") for name in first.state)
    still = replace(QUICK, rate=0.0, start=first.state)
    again = meta_train(ProtoNet(network), sampler, Budget(1), still)
    for name, value in first.state.items():  # moments among them: of the same episodes
        torch.testing.assert_close(again.state[name], value)
    moved = meta_train(ProtoNet(network), sampler, Budget(1), replace(QUICK, start=first.state))
    assert any(not torch.equal(moved.state[k], v) for k, v in first.state.items())


def test_moments_that_a_learner_has_no_place_for_are_told_apart(glyphs) -> None:
    sampler = ClassSampler(glyphs, Shape(3, 1, 2))
    network = Conv4(3, filters=4, strided=True)
    embedded = meta_train(ProtoNet(replace(network, n_out=0)), sampler, Budget(1), QUICK).state
    learner = maml(network, steps=1)
    with pytest.raises(LearnerError, match=r"leave those out: \{k: v for k, v in state\.items"):
        meta_train(learner, sampler, Budget(1), replace(QUICK, start=embedded))
    rest = {k: v for k, v in embedded.items() if not k.endswith((".mean", ".variance"))}
    meta_train(learner, sampler, Budget(1), replace(QUICK, start=rest))


def test_values_to_begin_with_may_be_arrays() -> None:
    sampler = ClassSampler(torch.rand(4, 6, 5), Shape(2, 1, 2))
    learner = ProtoNet(ModuleNetwork(nn.Linear(5, 3)))
    start = {name: value.double().numpy() for name, value in learner.init(0).items()}
    still = replace(QUICK, rate=0.0, start=start)
    state = meta_train(learner, sampler, Budget(1), still).state
    assert all(torch.equal(state[k], v) for k, v in learner.init(0).items())


def test_predictions_of_an_untrained_module_do_not_depend_on_padding() -> None:
    x = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    learner = maml(own(2), steps=1)
    predictor = learner.adapt(learner.init(0), examples(x, torch.tensor([0, 0, 1, 1])))
    torch.testing.assert_close(predictor.predict(x[:1]), predictor.predict(x)[:1])
