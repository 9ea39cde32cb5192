"""A user's own torch modules as networks: what is refused, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from learners.checkpoint import restore
from learners.episode import examples
from learners.errors import CheckpointError, LearnerError
from learners.maml import maml
from learners.networks import MLP, ModuleNetwork
from learners.protonet import ProtoNet
from learners.samplers import ClassSampler, Shape
from learners.training import Budget, Training, meta_train

_DRAWING = (
    nn.Dropout(),
    nn.Dropout2d(),
    nn.AlphaDropout(),
    nn.FeatureAlphaDropout(),
    nn.RReLU(),
    nn.LSTM(3, 3, num_layers=2, dropout=0.5),
    nn.MultiheadAttention(4, 2, dropout=0.1),
)


@pytest.mark.parametrize("layer", _DRAWING, ids=lambda layer: type(layer).__name__)
def test_every_layer_that_draws_random_numbers_is_refused_in_training_mode(
    layer: nn.Module,
) -> None:
    with pytest.raises(LearnerError, match=r"keeps state or draws random numbers"):
        ModuleNetwork(nn.Sequential(nn.Flatten(), layer))
    ModuleNetwork(nn.Sequential(nn.Flatten(), layer).eval())


def test_a_layer_that_could_draw_random_numbers_and_does_not_is_taken() -> None:
    ModuleNetwork(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0))


def test_batch_normalisation_that_mixes_rows_has_to_be_said() -> None:
    # Unsaid, a query's prediction would depend on the other queries.
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False))
    for mode in (True, False):
        with pytest.raises(LearnerError, match=r"normalises=True"):
            ModuleNetwork(module.train(mode))
    ModuleNetwork(module, normalises=True)
    ModuleNetwork(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).eval())


def test_a_checkpoint_of_an_own_module_says_whose_it_is(tmp_path: Path) -> None:
    images = torch.rand(4, 6, 5, generator=torch.Generator().manual_seed(0))
    sampler = ClassSampler(images, Shape(2, 1, 2))
    learner = ProtoNet(ModuleNetwork(nn.Linear(5, 3)))
    training = Training(meta_batch=2, checkpoint=tmp_path / "own.json", progress=False)
    meta_train(learner, sampler, Budget(2), training)
    with pytest.raises(CheckpointError, match=r"own module.*Linear.*Pass the learner"):
        restore(tmp_path / "own.json")


def test_a_network_with_too_few_outputs_for_the_classes_is_told_so() -> None:
    learner = maml(ModuleNetwork(nn.Linear(5, 2)))
    support = examples(torch.rand(3, 5), torch.tensor([0, 1, 2]))
    with pytest.raises(LearnerError, match=r"2 outputs.*3 classes"):
        learner.adapt(learner.init(0), support)


def test_a_network_with_more_outputs_than_classes_scores_the_classes_alone() -> None:
    learner = maml(MLP((5, 8, 7)))
    x = torch.rand(3, 5, generator=torch.Generator().manual_seed(0))
    predictor = learner.adapt(learner.init(0), examples(x, torch.arange(3)))
    assert predictor.predict(x).shape == (3, 3)


def test_a_network_with_another_number_of_outputs_than_targets_is_told_so() -> None:
    # One number would silently stand for both targets.
    learner = maml(MLP((5, 8, 1)), regression=True)
    support = examples(torch.rand(3, 5), torch.rand(3, 2))
    with pytest.raises(LearnerError, match=r"1 outputs a row.*2 targets"):
        learner.adapt(learner.init(0), support)


def test_a_network_without_parameters_has_nothing_to_train() -> None:
    sampler = ClassSampler(torch.rand(4, 6, 5), Shape(2, 1, 2))
    learner = ProtoNet(ModuleNetwork(nn.Flatten()))
    with pytest.raises(LearnerError, match=r"nothing to train"):
        meta_train(learner, sampler, Budget(2), Training(progress=False))


def test_a_module_that_keeps_statistics_is_refused() -> None:
    with pytest.raises(LearnerError, match="track_running_stats=False"):
        ModuleNetwork(torch.nn.Sequential(torch.nn.BatchNorm1d(3)))
    with pytest.raises(LearnerError, match="dropout"):
        ModuleNetwork(torch.nn.Sequential(torch.nn.Dropout()))
