"""Learning curves for TensorBoard; needs the package `tensorboard` beside torch."""

from __future__ import annotations

from pathlib import Path

from learners.checkpoint import Report
from learners.errors import LearnerError


class TensorBoard:
    """Writes every report of a run; give it to `Training(watch=(TensorBoard(folder),))`.

    Args:
        folder: where TensorBoard looks for files; made if it is not there.

    Raises:
        LearnerError: if `tensorboard` is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise LearnerError(
                "writing for TensorBoard needs its package: pip install 'headstart[tensorboard]'"
            ) from error
        self._writer = SummaryWriter(str(folder))

    def __call__(self, report: Report) -> None:
        """Write loss and validation of one report, at once to the disk."""
        self._writer.add_scalar("train/loss", report.loss, report.iteration)
        if report.validation is not None:
            score = report.validation
            name = "accuracy" if score.larger_is_better else "squared_error"
            self._writer.add_scalar(f"validation/{name}", score.mean, report.iteration)
            self._writer.add_scalar(
                f"validation/{name}_half_width", score.half_width, report.iteration
            )
        self._writer.flush()
