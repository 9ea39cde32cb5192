"""A convolutional network whose normalisations are by moments of training, not of an episode.

One shot of five classes is five images: moments of so few differ from one support set to the
next, and a prediction with them. Here the mean and the variance of each block are entries of
the parameters, which no step changes: those of a network that was trained and finished before
(`learners.embedding`), given by `Training.start`. Then rows do not see each other, a query is
read alone, and what an inner step moves is filters, scales, shifts and head.

Methods that take this network depart in it from their papers, which normalise by the episode.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from learners.networks import MLP, Conv4, Network, Params

_MOMENTS = (".mean", ".variance")


@dataclass(frozen=True)
class Settled:
    """A `Conv4` with fixed moments of normalisation.

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
        return params

    def __call__(self, params: Params, x: Tensor, mask: Tensor) -> Tensor:
        """Return outputs `(n, n_out)` for images `(n, c, side, side)`."""
        constant = {
            name: value.detach() if name.endswith(_MOMENTS) else value
            for name, value in params.items()
        }
        return self.network(constant, x, mask)


def body_and_head(network: Network) -> tuple[Network, Network] | None:
    """Return what gives a network's features, and its last layer over them.

    Both take the whole network's parameters by the same names. None where the two cannot be told
    apart, or where there is no head.

    >>> body, head = body_and_head(Conv4(5, strided=True))
    >>> body.n_out, head
    (0, MLP(sizes=(64, 5), activation='relu'))
    """
    if isinstance(network, Settled):
        found = body_and_head(network.network)
        if found is None or not isinstance(found[0], Conv4):
            return None
        return Settled(found[0]), found[1]
    if isinstance(network, Conv4) and network.n_out:
        return replace(network, n_out=0), MLP((network.n_features, network.n_out))
    return None
