"""What is handed to `adapt` and `predict`, of every method: taken as numbers, or refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits
from torch import nn

from learners.catalogue import catalogue
from learners.episode import examples
from learners.errors import LearnerError
from learners.networks import MLP, ModuleNetwork
from learners.protonet import ProtoNet
from learners.recipes import Inputs, recipe

CLASSIFIERS = [one.key for one in catalogue()]


def classifier(method: str):
    """Return a predictor of digits 0 to 3, its inputs and a query, as NumPy float32."""
    shape = (1, 8, 8) if method == "relation" else (64,)
    bunch = load_digits()
    rows = np.concatenate([np.flatnonzero(bunch.target == k)[:5] for k in range(4)])
    x = (bunch.data[rows] / 16).reshape(-1, *shape).astype(np.float32)
    if method == "relation":
        x = np.kron(x, np.ones((1, 1, 4, 4), dtype=np.float32))
    learner = recipe(method, Inputs(x.shape[1:], 4, 2)).learner
    state = learner.init(0)
    support = examples(x[:18], bunch.target[rows][:18])
    return learner, state, support, x[16:]


@pytest.mark.parametrize("method", CLASSIFIERS)
def test_queries_of_any_number_type_are_predicted_alike(method: str) -> None:
    learner, state, support, query = classifier(method)
    predictor = learner.adapt(state, support)
    expected = predictor.predict(torch.from_numpy(query))
    assert torch.equal(predictor.predict(query), expected)
    assert torch.equal(predictor.predict(query.astype(np.float64)), expected)
    assert torch.equal(predictor.predict(torch.from_numpy(query).double()), expected)
    double = support._replace(x=support.x.double())
    assert torch.equal(learner.adapt(state, double).predict(query), expected)
    assert predictor.predict(query[:0]).shape == (0, 4)


def test_whole_numbers_are_numbers_and_an_own_embedding_reads_them_as_they_are() -> None:
    x, y = np.array([[1, 2], [3, 4], [5, 6]]), np.array([0, 0, 1])
    learner = ProtoNet(MLP((2, 3)))
    state = learner.init(0)
    floats = learner.adapt(state, examples(x.astype(np.float32), y)).predict(x.astype(np.float32))
    assert torch.equal(learner.adapt(state, examples(x, y)).predict(x), floats)
    words = ProtoNet(ModuleNetwork(nn.Sequential(nn.Embedding(9, 4), nn.Flatten())))
    assert words.adapt(words.init(0), examples(x, y)).predict(x).shape == (3, 2)


def test_regression_takes_targets_of_either_precision() -> None:
    x, y = load_diabetes(return_X_y=True)
    for method in ("maml", "cnp", "deep_kernel", "reptile", "hypernetwork"):
        learner = recipe(method, Inputs((10,), 0, 9)).learner
        state = learner.init(0)
        expected = learner.adapt(state, examples(x[:9], y[:9] / 100)).predict(x[9:12])
        inputs, targets = torch.from_numpy(x[:9]), torch.from_numpy(y[:9] / 100)
        double = learner.adapt(state, examples(inputs, targets)).predict(x[9:12])
        torch.testing.assert_close(double, expected)


@pytest.mark.parametrize("method", CLASSIFIERS)
def test_queries_that_cannot_be_predicted_are_refused(method: str) -> None:
    learner, state, support, query = classifier(method)
    predictor = learner.adapt(state, support)
    with pytest.raises(LearnerError, match=r"query holds NaN or infinity"):
        predictor.predict(np.where(query > 0.9, np.nan, query))
    with pytest.raises(LearnerError, match=r"bytes.*divide by 255"):
        predictor.predict((query * 255).astype(np.uint8))
    for wrong in (query[..., :-1], query[0]):
        with pytest.raises(LearnerError, match=r"query's inputs are of shape .* the support set's"):
            predictor.predict(wrong)


def test_padding_of_a_query_may_hold_anything() -> None:
    learner, state, support, query = classifier("protonet")
    mask = torch.arange(len(query)) < 2
    filled = torch.from_numpy(query).masked_fill(~mask[:, None], torch.nan)
    found = learner.adapt(state, support).predict(filled, mask)[:2]
    torch.testing.assert_close(found, learner.adapt(state, support).predict(query)[:2])


def test_names_of_classes_are_told_how_to_become_numbers() -> None:
    for labels in (np.array(["cat", "dog"]), np.array(["cat", "dog"], dtype=object)):
        with pytest.raises(LearnerError, match=r"return_inverse=True"):
            examples(np.zeros((2, 3)), labels)
