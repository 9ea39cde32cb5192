"""A network that sees images shifted: views against numpy's, and the mean over them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from learners.description import build, describe
from learners.errors import LearnerError
from learners.networks import MLP, Conv4
from learners.protonet import ProtoNet
from learners.shifted import PLACES, Shifted, views


@pytest.mark.parametrize("side", [12, 28, 84])
def test_views_are_those_of_a_padded_image(side: int) -> None:
    x = torch.rand(3, 2, side, side, generator=torch.Generator().manual_seed(0))
    by = max(1, round(side / 28))
    wide = np.pad(x.numpy(), ((0, 0), (0, 0), (by, by), (by, by)), mode="edge")
    found = views(x)
    assert torch.equal(found[0], x)
    for view, (down, right) in zip(found, PLACES, strict=True):
        there = np.roll(wide, (by * down, by * right), (2, 3))[:, :, by:-by, by:-by]
        assert np.array_equal(view.numpy(), there)


def test_outputs_are_the_mean_over_views() -> None:
    net, generator = Conv4(0, filters=8), torch.Generator().manual_seed(1)
    x, mask = torch.rand(4, 1, 28, 28, generator=generator), torch.ones(4, dtype=torch.bool)
    params = net.init(generator)
    params |= {f"block{i}.mean": torch.zeros(8) for i in range(4)}
    params |= {f"block{i}.variance": torch.ones(8) for i in range(4)}
    each = [net(params, one, mask) for one in views(x)]
    assert torch.allclose(Shifted(net)(params, x, mask), sum(each) / len(each), atol=1e-6)
    assert Shifted(net).normalises
    assert (
        Shifted(net).init(torch.Generator().manual_seed(1)).keys()
        == Conv4(0).init(generator).keys()
    )
    # An image and itself shifted by a pixel are less apart.
    near, far = (
        (which(params, x, mask) - which(params, views(x)[1], mask)).norm()
        for which in (Shifted(net), net)
    )
    assert near < far


def test_it_is_described_and_built_again() -> None:
    learner = ProtoNet(Shifted(Conv4(0, filters=8)))
    assert build(describe(learner)) == learner


def test_rows_are_no_images() -> None:
    net = Shifted(MLP((4, 2)))
    assert not net.normalises
    params = net.init(torch.Generator().manual_seed(0))
    with pytest.raises(LearnerError, match="can be shifted, got"):
        net(params, torch.zeros(3, 4), torch.ones(3, dtype=torch.bool))
