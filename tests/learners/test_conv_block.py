"""Convolution, normalisation and ReLU of several episodes, against PyTorch's own operators."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as nnf

from learners import first_block
from learners.conv_block import features_by_rows
from learners.first_block import EPSILON
from learners.immediate import asked_once, differentiated_now, once

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


def ours(mask, shape):
    _, stride, n_pooled = shape
    return lambda x, *rest: features_by_rows([rest[:3], rest[3:]], x, mask, stride, n_pooled)


def theirs(mask, shape):
    _, stride, n_pooled = shape

    def function(*given):
        episodes = [[value[i] for value in given] for i in range(2)]
        return torch.stack(
            [
                plainly([rest[:3], rest[3:]], x, mask[i], stride, n_pooled)
                for i, (x, *rest) in enumerate(episodes)
            ]
        )

    return function


SHAPES = [(1, 2, 0), (4, 2, 0), (3, 1, 1), (1, 1, 2), (4, 1, 2)]


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_both_derivatives_are_those_of_pytorch(mask, shape) -> None:
    given = drawn(shape[0])
    found, expected = derivatives(ours(mask, shape), given), derivatives(theirs(mask, shape), given)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_so_are_they_where_images_are_constants(mask, shape) -> None:
    """The first block has ways of its own there."""
    x, *given = drawn(shape[0])
    x = x.detach()
    found, expected = (
        derivatives(lambda *rest, of=of: of(mask, shape)(x, *rest), given) for of in (ours, theirs)
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_asked_once_is_computed_a_few_images_at_a_time(mask, shape, monkeypatch) -> None:
    sizes = []
    plain = first_block.FirstBlock.maps
    monkeypatch.setattr(first_block, "_PART", 300)
    monkeypatch.setattr(
        first_block.FirstBlock, "maps", lambda *given: sizes.append(1) or plain(*given)
    )
    x, *given = drawn(shape[0])
    x = x.detach()
    with once():
        assert asked_once()
        out = ours(mask, shape)(x, *given)
        found = torch.autograd.grad(out.square().sum(), given)
    assert not asked_once()
    assert shape[0] > first_block.MOST_CHANNELS or len(sizes) > 2
    out = theirs(mask, shape)(x, *given)
    for one, other in zip(found, torch.autograd.grad(out.square().sum(), given), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("image", [torch.zeros(1, 6, 6), torch.ones(3, 6, 6), torch.eye(6)[None]])
def test_images_whose_patches_are_alike_are_normalised_as_by_pytorch(image) -> None:
    """Their covariance is of low rank."""
    c = len(image)
    mask, shape = torch.ones(2, 4, dtype=torch.bool), (c, 1, 0)
    _, *given = drawn(c)
    x = image.double().expand(2, 4, c, 6, 6)
    found, expected = ours(mask, shape)(x, *given), theirs(mask, shape)(x, *given)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7)
    assert all(one.isfinite().all() for one in torch.autograd.grad(found.sum(), given))


def test_images_that_are_not_finite_are_seen_in_the_features() -> None:
    x, *given = drawn(1)
    x = x.detach()
    x[0, 0, 0, 2, 2] = torch.nan
    found = ours(MASKS["all count"], (1, 2, 0))(x, *given)
    assert found[0].isnan().any() and found[1].isfinite().all()


def test_first_derivative_equals_finite_differences() -> None:
    """The reference above is differentiated by the same library; this one by no library."""
    function = ours(MASKS["some count"], (4, 2, 0))
    assert torch.autograd.gradcheck(function, drawn(4))
    x, *given = drawn(1)
    assert torch.autograd.gradcheck(lambda *rest: function(x.detach(), *rest), given)


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
