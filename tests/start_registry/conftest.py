"""A start that is trained here, and the digits it is trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.datasets import load_digits

if TYPE_CHECKING:
    import torch

    from learners.training import Trained


@pytest.fixture(autouse=True)
def one_thread() -> None:
    import torch  # noqa: PLC0415 - without it the tests here are skipped

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits() -> list[torch.Tensor]:
    """Scikit-learn's digits by class, as bytes `(n, 1, 8, 8)`."""
    import torch  # noqa: PLC0415

    data = load_digits()
    pixels = torch.from_numpy((data.images * 15.9).astype(np.uint8))[:, None]
    return [pixels[torch.from_numpy(data.target == label)] for label in range(10)]


@pytest.fixture(scope="session")
def trained(digits: list[torch.Tensor]) -> Trained:
    import torch  # noqa: PLC0415

    from learners.networks import Conv4  # noqa: PLC0415
    from learners.protonet import ProtoNet  # noqa: PLC0415
    from learners.samplers import Shape, UnevenClassSampler  # noqa: PLC0415
    from learners.training import Budget, Training, meta_train  # noqa: PLC0415

    torch.set_num_threads(1)
    learner = ProtoNet(Conv4(0, 1, filters=8, side=8, n_pooled=2))
    sampler = UnevenClassSampler(digits[:7], Shape(5, 1, 5))
    return meta_train(learner, sampler, Budget(20), Training(meta_batch=2, rate=2e-3))
