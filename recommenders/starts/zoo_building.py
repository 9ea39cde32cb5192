"""The command `headstart zoo build`: says what is missing where torch is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from metastore.errors import InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    from metastore.starts import Start
    from metastore.store import MetaStore


def build_zoo(  # noqa: PLR0913 - a command's options
    store: MetaStore,
    images: Path | None,
    tables: Path | None,
    minutes: float,
    *,
    device: str = "auto",
    seed: int = 0,
    say: Callable[[str], None],
) -> list[Start]:
    """Build the zoo; see `recommenders.starts.zoo.build`.

    Raises:
        InvalidInputError: if a folder holds nothing to learn from, or training fails.
        MissingDependencyError: if torch is not installed.
    """
    try:
        from learners.errors import LearnerError, NonFiniteLossError  # noqa: PLC0415 - torch
        from recommenders.learning import device_of  # noqa: PLC0415
        from recommenders.starts.zoo import Zoo, build  # noqa: PLC0415 - torch
    except ImportError as error:
        raise MissingDependencyError(
            f"the zoo needs torch, and {error.name} is not there: pip install 'headstart[learners]'"
        ) from error
    for path in (images, tables):
        if path is not None and not path.exists():
            raise InvalidInputError(f"no folder or file {str(path)!r}; check the path")
    zoo = Zoo(images, tables, minutes, device_of(device), seed, say)
    try:
        return build(store, zoo)
    except (LearnerError, NonFiniteLossError) as error:
        raise InvalidInputError(str(error)) from error
