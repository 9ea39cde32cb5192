"""Errors of the learners: what was expected, what came, what to do."""

from __future__ import annotations

from pathlib import Path


class LearnerError(ValueError):
    """An argument or a tensor cannot be used as given."""


class CheckpointError(LearnerError):
    """A checkpoint is missing, damaged, of an unknown version or of another learner."""


class NotTogetherError(LearnerError):
    """A user's own module cannot run for several episodes at once, so each has to run alone.

    Args:
        message: what failed.
        module: whose layers they are.
    """

    def __init__(self, message: str, module: object) -> None:
        super().__init__(message)
        self.module = module


class NonFiniteLossError(ArithmeticError):
    """A loss or a meta-gradient became NaN or infinite; training stopped there.

    Args:
        message: what happened and what to try.
        episode_file: the state and the episodes that caused it, for replay; None where
            no folder to write to was given.
    """

    def __init__(self, message: str, episode_file: Path | None) -> None:
        super().__init__(message)
        self.episode_file = episode_file
