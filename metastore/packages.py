"""Whether the packages that are imported as ours are ours, and which version they are."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from metastore.errors import HeadstartError

OURS = ("metastore", "recommenders", "learners")


class ShadowedPackageError(HeadstartError, ImportError):
    """Another distribution's package is found in the place of one of Headstart's."""


def check(root: Path) -> None:
    """Raise if Python would import one of Headstart's packages from somewhere else.

    There are other distributions whose import name is `recommenders`; whichever lies first on
    the path hides the other one.

    Args:
        root: the folder that Headstart's own packages lie in.

    Raises:
        ShadowedPackageError: if one is missing there, or found elsewhere first.
    """
    for name in OURS:
        spec = find_spec(name)
        found = Path(spec.origin).parent if spec is not None and spec.origin else None
        if found is None or found.resolve() != (root / name).resolve():
            raise ShadowedPackageError(
                f"expected Headstart's package {name!r} in {root}, but Python finds "
                f"{found or 'none'}: another distribution of that import name is in the way. "
                f"Uninstall it (pip uninstall {name}) and reinstall headstart, or give Headstart "
                "a virtual environment of its own"
            )


def version() -> str:
    """Return the installed version of Headstart."""
    try:
        return metadata.version("headstart")
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"
