"""A convolutional network whose normalisations are by moments of training, not of an episode.

One shot of five classes is five images: moments of so few differ from one support set to the
next, and a prediction with them. Here the mean and the variance of each block are entries of
the parameters, which no step changes: those of a network that was trained and finished before
(`learners.embedding`), given by `Training.start`. Then rows do not see each other, a query is
read alone, and what an inner step moves is filters, scales, shifts and head.

Features behind a ReLU are positive and share most of their length, so that a step on the head
moves all classes together before it tells them apart. They are centred and scaled by fixed
moments, too:

    z = (f - mean) / sqrt(variance)      f: features `(n, d)`; mean `(d,)`; variance: a scalar

Methods that take this network depart in it from their papers, which normalise by the episode.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from learners.losses import at_least_float32
from learners.networks import MLP, Conv4, Network, Params

_MOMENTS = (".mean", ".variance")


@dataclass(frozen=True)
class Settled:
    """A `Conv4` with fixed moments of normalisation, and features that are centred by some.

    Args:
        network: the layers.
    """

    network: Conv4

    @property
    def normalises(self) -> bool:
        """False: rows do not see each other."""
        return False

    def init(self, generator: torch.Generator) -> Params:
        """Return the layers' parameters, means of 0 and variances of 1.

        With these nothing is normalised: they stand where values of a trained network belong.
        """
        params = self.network.init(generator)
        for i in range(4):
            scale = params[f"block{i}.scale"]
            params[f"block{i}.mean"] = torch.zeros_like(scale)
            params[f"block{i}.variance"] = torch.ones_like(scale)
        params["features.mean"] = torch.zeros(self.network.n_features)
        params["features.variance"] = torch.ones(())
        return params

    def __call__(self, params: Params, x: Tensor, mask: Tensor) -> Tensor:
        """Return outputs `(n, n_out)`, or features `(n, d)`, for images `(n, c, side, side)`."""
        constant = {
            name: value.detach() if name.endswith(_MOMENTS) else value
            for name, value in params.items()
        }
        features = at_least_float32(replace(self.network, n_out=0)(constant, x, mask))
        z = (features - constant["features.mean"]) * constant["features.variance"].rsqrt()
        if not self.network.n_out:
            return z
        return z @ params["head.weight"] + params["head.bias"]

    def centred(self, params: Params, images: Tensor) -> Params:
        """Return the parameters with the moments of the features of some images.

        Args:
            params: of the layers, the moments of their blocks among them.
            images: `(n, c, side, side)`, of what is trained on.
        """
        plain = replace(self.network, n_out=0)
        mask = torch.ones(len(images), dtype=torch.bool)
        with torch.no_grad():
            features = plain(params, images, mask)
        moments = {
            "features.mean": features.mean(0),
            "features.variance": features.var(0, unbiased=False).mean(),
        }
        return {**params, **moments}


def body_and_head(network: Network) -> tuple[Network, Network] | None:
    """Return what gives a network's features, and its last layer over them.

    Both take the whole network's parameters by the same names. None where the two cannot be told
    apart, or where there is no head.

    >>> body, head = body_and_head(Conv4(5, strided=True))
    >>> body.n_out, head
    (0, MLP(sizes=(64, 5), activation='relu'))
    """
    layers = network.network if isinstance(network, Settled) else network
    if not isinstance(layers, Conv4) or not layers.n_out:
        return None
    bare = replace(layers, n_out=0)
    body = Settled(bare) if isinstance(network, Settled) else bare
    return body, MLP((layers.n_features, layers.n_out))
