"""Errors of deciding and recording; the tree is drawn in :mod:`providers.errors`."""

from providers.errors import LowtideError


class UsageError(LowtideError):
    """An option, region, time or executable is wrong."""

    exit_code = 2


class ConfigError(LowtideError):
    """A config or job file is wrong, or the home folder cannot be written."""

    exit_code = 3


class StoreError(LowtideError):
    """The database cannot be used, or another daemon holds this home."""

    exit_code = 5


class StoreUnreachable(StoreError):
    """The database's server does not answer now; it may later."""


class JobFailed(LowtideError):
    """A job in the foreground ended badly."""
