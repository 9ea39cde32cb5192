"""Exact Gaussian-process regression on masked, batched data (Rasmussen and Williams 2006, ch. 2).

Notation, with any leading axes before n
    X, Z    n training and m test inputs `(n, d)`, `(m, d)`
    Y       targets `(n, r)`: r outputs that share one kernel, each independent
    mask    `(n,)`, False where a row is padding
    K       kernel matrix plus noise `(n, n)`; rows and columns of padding are the identity's
    L, A    K = L L^T and A = K^-1 Y

    log p(Y) = -1/2 tr(Y^T A) - r sum_i log L_ii - r n/2 log 2 pi        (eq. 2.30)
    mean     = k(Z, X) A            variance = k(z, z) - |L^-1 k(X, z)|^2     (eq. 2.25, 2.26)

Padding adds log 1 to the determinant and nothing to the quadratic form.

Where level a and scale s of the targets are unknown, y = a + s f, a has a flat prior and s^2 an
inverse gamma one of nu = DEGREES degrees of freedom and mean scale 1 (ibid., section 2.7;
O'Hagan 1978): with S = 1^T K^-1 1 and q = y^T K^-1 y - (1^T K^-1 y)^2 / S, up to a constant

    log p(y) = -1/2 log |K| - 1/2 log S - (nu + n - 1)/2 log(nu + q)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

KERNELS = ("rbf", "matern52", "cosine")
DEGREES = 3.0


def kernel(name: str, X: Tensor, Z: Tensor) -> Tensor:
    """Return the kernel of unit variance between rows, `(..., n, m)`.

    Args:
        name: "rbf", exp(-r^2 / 2); "matern52", (1 + a + a^2 / 3) exp(-a) with a = sqrt(5) r;
            "cosine", the cosine of the angle between rows.
        X: `(..., n, d)`, already divided by its length scales.
        Z: `(..., m, d)`, likewise.
    """
    if name == "cosine":
        return _unit(X) @ _unit(Z).transpose(-1, -2)
    # Differences rather than the expanded square: exact zeros at equal points, so that the
    # square root below has a safe gradient and near points keep their digits.
    squared = (X[..., :, None, :] - Z[..., None, :, :]).square().sum(-1)
    if name == "rbf":
        return torch.exp(-0.5 * squared)
    scaled = torch.sqrt(5.0 * squared.clamp(min=1e-12))
    return (1 + scaled + scaled.square() / 3) * torch.exp(-scaled)


class Posterior(NamedTuple):
    """A Gaussian process that has seen data; a tree of tensors.

    Args:
        L: Cholesky factor `(..., n, n)`; NaN where the matrix was not positive definite.
        A: K^-1 Y `(..., n, r)`.
    """

    L: Tensor
    A: Tensor


def condition(K: Tensor, Y: Tensor, mask: Tensor, noise: Tensor) -> Posterior:
    """Return the factor and weights of noisy observations.

    Args:
        K: noise-free kernel matrix `(..., n, n)`.
        Y: targets `(..., n, r)`, prior mean subtracted.
        mask: `(..., n)`.
        noise: variance, a scalar or `(..., n)`.
    """
    real = mask.to(K.dtype)
    eye = torch.eye(K.shape[-1], dtype=K.dtype, device=K.device)
    diagonal = real * noise + (1 - real)
    K = K * real[..., :, None] * real[..., None, :] + eye * diagonal[..., None]
    L, info = torch.linalg.cholesky_ex(K)
    # A failure must not pass as a factor; the caller sees NaN and adds jitter.
    L = torch.where((info > 0)[..., None, None], torch.nan, L)
    return Posterior(L, torch.cholesky_solve(Y * real[..., None], L))


def log_likelihood(posterior: Posterior, Y: Tensor, mask: Tensor) -> Tensor:
    """Return log p(Y) in nats, summed over real rows and outputs `(...)`."""
    n, r = mask.sum(-1).to(Y.dtype), Y.shape[-1]
    fit = (Y * mask[..., None] * posterior.A).sum((-1, -2))
    volume = posterior.L.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return -0.5 * fit - r * volume - 0.5 * r * n * math.log(2 * math.pi)


def scale_free_log_likelihood(K: Tensor, Y: Tensor, mask: Tensor, noise: Tensor) -> Tensor:
    """Return log p(Y), up to a constant, with level and scale of each output averaged over.

    Args:
        K: noise-free kernel matrix `(..., n, n)`, in units of the unknown scale.
        Y: targets `(..., n, r)`.
        mask: `(..., n)`, two real rows or more.
        noise: variance in the same units, a scalar or `(..., n)`.

    Returns:
        In nats, summed over outputs `(...)`.
    """
    real = mask.to(Y.dtype)[..., None]
    L, A = condition(K, torch.cat([Y * real, real], dim=-1), mask, noise)
    solved, ones = A[..., :-1], (A[..., -1:] * real).sum(-2)
    squares = (Y * real * solved).sum(-2) - (real * solved).sum(-2).square() / ones
    volume = 2 * L.diagonal(dim1=-2, dim2=-1).log().sum(-1) + ones[..., 0].log()
    degrees = DEGREES + mask.sum(-1).to(Y.dtype) - 1
    fit = (DEGREES + squares.clamp(min=0)).log().sum(-1)
    return -0.5 * (Y.shape[-1] * volume + degrees * fit)


def predict(
    posterior: Posterior, cross: Tensor, mask: Tensor, prior: Tensor
) -> tuple[Tensor, Tensor]:
    """Return means `(..., m, r)` and variances `(..., m)` of the noise-free function.

    Args:
        posterior: what `condition` gave.
        cross: kernel between training and test inputs `(..., n, m)`.
        mask: of the training rows `(..., n)`.
        prior: variance of the test points before data `(..., m)`.
    """
    cross = cross * mask[..., None]
    mean = cross.transpose(-1, -2) @ posterior.A
    half = torch.linalg.solve_triangular(posterior.L, cross, upper=False)
    return mean, (prior - half.square().sum(-2)).clamp(min=0)


def _unit(X: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(X, dim=-1, keepdim=True)
    return X / length.clamp(min=1e-12)
