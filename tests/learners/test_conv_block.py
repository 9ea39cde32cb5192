"""Convolution, normalisation and ReLU of several episodes, against PyTorch's own operators."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as nnf

from learners import patches
from learners.conv_block import EPSILON, features_by_rows
from learners.immediate import differentiated_now

MASKS = {
    "all count": torch.ones(2, 4, dtype=torch.bool),
    "some count": torch.tensor([[True, True, False, True], [True, False, True, False]]),
}


def plainly(blocks, x, mask, stride, n_pooled):
    """Return features of one episode by PyTorch's operators, whose tape differentiates them."""
    for i, (filters, scale, shift) in enumerate(blocks):
        y = nnf.conv2d(x, filters, stride=stride, padding=1)
        mean = y[mask].mean((0, 2, 3), keepdim=True)
        variance = (y[mask] - mean).square().mean((0, 2, 3), keepdim=True)
        y = (y - mean) * (variance + EPSILON).rsqrt()
        x = (y * scale[:, None, None] + shift[:, None, None]).relu()
        x = nnf.max_pool2d(x, 2) if i < n_pooled else x
    return x.mean((2, 3)) if stride > 1 else x.flatten(1)


def drawn(c: int):
    generator = torch.Generator().manual_seed(c)
    shapes = [(2, 4, c, 6, 7), (2, 5, c, 3, 3), (2, 5), (2, 5), (2, 3, 5, 3, 3), (2, 3), (2, 3)]
    return [
        torch.randn(shape, generator=generator, dtype=torch.double, requires_grad=True)
        for shape in shapes
    ]


def derivatives(function, given):
    """Return a value, its derivative along a cotangent, and that one's along others."""
    out = function(*given)
    generator = torch.Generator().manual_seed(7)

    def like(one):
        return torch.randn(one.shape, generator=generator, dtype=torch.double)

    cotangent = like(out).requires_grad_()
    first = torch.autograd.grad(out, given, cotangent, create_graph=True)
    along = [like(one) for one in first]
    second = torch.autograd.grad(first, (cotangent, *given), along, allow_unused=True)
    return out, first, [torch.zeros(()) if one is None else one for one in second]


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("cached", [2**18, 0], ids=["patches", "convolutions"])
@pytest.mark.parametrize("shape", [(1, 2, 0), (4, 2, 0), (3, 1, 1), (4, 1, 2)])
def test_both_derivatives_are_those_of_pytorch(mask, cached, shape, monkeypatch) -> None:
    c, stride, n_pooled = shape
    monkeypatch.setattr(patches, "_CACHED", cached)

    def ours(x, *rest):
        return features_by_rows([rest[:3], rest[3:]], x, mask, stride, n_pooled)

    def theirs(*given):
        episodes = [[value[i] for value in given] for i in range(2)]
        return torch.stack(
            [
                plainly([rest[:3], rest[3:]], x, mask[i], stride, n_pooled)
                for i, (x, *rest) in enumerate(episodes)
            ]
        )

    given = drawn(c)
    for one, other in zip(derivatives(ours, given), derivatives(theirs, given), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_first_derivative_equals_finite_differences() -> None:
    """The reference above is differentiated by the same library; this one by no library."""
    mask = MASKS["some count"]
    assert torch.autograd.gradcheck(
        lambda x, *rest: features_by_rows([rest[:3], rest[3:]], x, mask, 2, 0), drawn(4)
    )


def test_one_episode_and_shared_parameters_are_episodes_like_others() -> None:
    x, *rest = (value.detach() for value in drawn(4))
    mask = MASKS["some count"]
    whole = features_by_rows([rest[:3], rest[3:]], x, mask, 2, 0)
    first = [value[0] for value in rest]
    alone = features_by_rows([first[:3], first[3:]], x[0], mask[0], 2, 0)
    torch.testing.assert_close(alone, whole[0])
    shared = features_by_rows([first[:3], first[3:]], x, mask, 2, 0)
    torch.testing.assert_close(shared[0], whole[0])


def test_a_gradient_taken_at_once_is_the_same() -> None:
    at = {name: torch.tensor([1.0, 2.0]).requires_grad_() for name in ("one", "other", "not read")}

    def loss(at):
        return (at["one"] * at["other"].square()).sum()

    gradients = [
        torch.autograd.grad(3 * value, list(at.values()), allow_unused=True)
        for value in (loss(at), differentiated_now(loss, at))
    ]
    assert gradients[0][2] is None and gradients[1][2] is None
    torch.testing.assert_close(gradients[0][:2], gradients[1][:2])
