"""A client of an MLflow tracking server, of its database or its folder, and what it lists.

Needs `mlflow-skinny`, or MLflow itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from metastore.errors import (
    HeadstartError,
    InvalidInputError,
    MissingDependencyError,
    UnknownNameError,
)
from metastore.reading import not_found
from metastore.redaction import redact

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

_FOLDERS = "MLFLOW_ALLOW_FILE_STORE"
_PAGE = 1_000


def connect(tracking_uri: str | None) -> MlflowClient:
    """Return a client of a tracking server; None for the one of MLflow's own settings.

    Raises:
        MissingDependencyError: if MLflow is not installed.
        InvalidInputError: if there is no such database or folder.
        HeadstartError: if it cannot be read.
    """
    try:
        from mlflow.tracking import MlflowClient  # noqa: PLC0415 - few stores need it
    except ImportError as error:
        raise MissingDependencyError(
            f"importing from MLflow needs it ({error}): pip install 'headstart[mlflow]'"
        ) from error
    _check_there(tracking_uri or "")
    with reading(), _folders_allowed():
        return MlflowClient(tracking_uri=tracking_uri)


@contextmanager
def reading() -> Iterator[None]:
    """Say in one line what went wrong on a server.

    Raises:
        HeadstartError: in place of any error of the server, its database or the network.
    """
    try:
        yield
    except Exception as error:
        said = " ".join(redact(str(error)).split())[:300]
        raise HeadstartError(f"MLflow cannot be read: {said}") from error


@contextmanager
def _folders_allowed() -> Iterator[None]:
    """Let MLflow open a folder, which it does not write to any more unless it is asked to."""
    before = os.environ.get(_FOLDERS)
    os.environ[_FOLDERS] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FOLDERS]
        else:
            os.environ[_FOLDERS] = before


def _check_there(uri: str) -> None:
    """Refuse a database or a folder that is not there: MLflow would make an empty one."""
    scheme, _, rest = uri.rpartition("://")
    place = Path(rest.removeprefix("/") if scheme == "sqlite" else rest)
    if uri and scheme in ("", "file", "sqlite") and rest != "/:memory:" and not place.exists():
        raise InvalidInputError(
            f"no MLflow database or folder {str(place)!r}: expected the tracking URI of a server "
            "(http://...), a database (sqlite:///mlflow.db) or a folder (mlruns)"
        )


def experiments_of(client: MlflowClient, wanted: Sequence[str]) -> dict[str, str]:
    """Return names by id of the experiments that are wanted."""
    every, token = [], None
    while True:
        with reading():
            some = client.search_experiments(max_results=_PAGE, page_token=token)
        every += list(some)
        token = some.token
        if not token:
            break
    names = {one.experiment_id: one.name for one in every}
    for name in wanted:
        if name not in names.values():
            where = not_found("experiment", name, names.values())
            raise UnknownNameError(where.replace("the store", "MLflow"))
    return {i: name for i, name in names.items() if not wanted or name in wanted}


def pages_of(client: MlflowClient, experiments: list[str]) -> Iterator[list[Run]]:
    """Return the runs of experiments, a page at a time, the oldest first."""
    token = None
    while experiments:
        with reading():
            page = client.search_runs(
                experiments,
                max_results=_PAGE,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
        yield list(page)
        token = page.token
        if not token:
            return
