"""The state that meta-training begins with: a fresh one, some of its values given."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from learners.episode import tensor_of
from learners.errors import LearnerError
from learners.learner import State

_MOMENTS = (".mean", ".variance")


def begun(fresh: State, start: Mapping[str, Tensor]) -> State:
    """Return a fresh state with some of its values replaced, in its own types and order.

    Raises:
        LearnerError: if a name is not in the state, or a shape differs, or the state is empty.
    """
    if not fresh:
        raise LearnerError(
            "there is nothing to train: this learner's network has no parameters; give it some, "
            "or call learner.adapt({}, support) as it is"
        )
    given = {name: tensor_of(value) for name, value in start.items()}
    for name, value in given.items():
        if name not in fresh or value.shape != fresh[name].shape:
            raise LearnerError(_misfit(name, value, fresh))
    return {
        name: given.get(name, value).detach().to(value.dtype).clone()
        for name, value in fresh.items()
    }


def _misfit(name: str, value: Tensor, fresh: State) -> str:
    if name not in fresh and name.endswith(_MOMENTS):
        return (
            f"Training.start: {name!r} is a moment that another learner measured when its "
            "training ended, and this one keeps none; leave those out: {k: v for k, v in "
            "state.items() if not k.endswith(('.mean', '.variance'))}"
        )
    expected = tuple(fresh[name].shape) if name in fresh else f"one of {sorted(fresh)}"
    return (
        f"Training.start: {name!r} of shape {tuple(value.shape)} does not fit this "
        f"learner's state, which has {expected}; give the values of the same network"
    )
