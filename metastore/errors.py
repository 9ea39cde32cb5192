"""Errors a user can act on: what was expected, what came, what to do."""

from __future__ import annotations


class HeadstartError(Exception):
    """Base of every error that Headstart raises on purpose.

    The command line prints its message without a traceback and exits with status 2.
    """


class InvalidInputError(HeadstartError, ValueError):
    """An argument, a file or a row cannot be used as given."""


class UnknownNameError(HeadstartError, LookupError):
    """A dataset, metric, recommender or run was asked for that the store does not have."""


class MixedDirectionError(HeadstartError, ValueError):
    """The same metric was recorded both as larger-is-better and as smaller-is-better."""


class StoreBusyError(HeadstartError, TimeoutError):
    """Another process held the store for longer than the caller was ready to wait."""


class StoreReadOnlyError(HeadstartError, PermissionError):
    """The store lies where this process cannot write."""


class StoreFullError(HeadstartError, OSError):
    """There is no room for the store's tables to change."""


class StoreVersionError(HeadstartError, RuntimeError):
    """The store was written by a newer Headstart than this one."""


class MissingDependencyError(HeadstartError, ImportError):
    """An optional dependency is needed for what was asked."""
