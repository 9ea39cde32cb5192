"""The one place that asks the OpenML client for a dataset's cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from metastore.errors import InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    from pandas import DataFrame


def read_openml(number: int) -> tuple[DataFrame, str | None, str]:
    """Return the cells of an OpenML dataset, its default target and its name.

    The client's cache is used where it has the dataset; otherwise it is downloaded.

    Raises:
        MissingDependencyError: if `openml` is not installed.
        InvalidInputError: if there is no such dataset, or OpenML cannot be reached.
    """
    try:
        import openml  # noqa: PLC0415 - optional, and slow to import
        from openml.exceptions import PyOpenMLError  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            f"openml:{number} needs the OpenML client: pip install 'headstart[openml]'"
        ) from error
    try:
        dataset = openml.datasets.get_dataset(
            number,
            download_data=True,
            download_qualities=False,
            download_features_meta_data=True,
        )
        frame = cast("DataFrame", dataset.get_data()[0])
    except (PyOpenMLError, OSError) as error:
        raise InvalidInputError(
            f"openml:{number} could not be had from {openml.config.server}: {error}. "
            "Check the id and the connection, or pass a file that you downloaded"
        ) from error
    default = dataset.default_target_attribute
    drop = [*(dataset.ignore_attribute or []), dataset.row_id_attribute]
    frame = frame.drop(columns=[c for c in drop if c in frame.columns and c != default])
    # several targets are written as "a,b": nobody can choose between them but the caller
    return frame, default if default in frame.columns else None, str(dataset.name)
