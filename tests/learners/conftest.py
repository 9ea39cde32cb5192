from __future__ import annotations

import pytest
import torch

from learners.episode import Episodes
from learners.samplers import ClassSampler, Shape, class_images
from learners.sinusoid import SinusoidSampler


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Small tensors on several threads of a shared machine can run ten times slower."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def glyphs(realdata) -> torch.Tensor:
    """40 characters of Omniglot, 20 drawings each."""
    images = class_images(realdata("omniglot/omniglot_28x28.npz"))
    return torch.from_numpy(images[:40])[:, :, None]


@pytest.fixture(scope="session")
def glyph_episodes(glyphs) -> Episodes:
    return ClassSampler(glyphs, Shape(3, 2, 2), seed=1).sample(0, 3)


@pytest.fixture(scope="session")
def waves() -> Episodes:
    return SinusoidSampler(seed=1).sample(0, 3)
