"""The error tree; every error lowtide raises on purpose has this base.

LowtideError
├── ProviderError            carbon data: exit code 4
│   ├── AccessDenied         a source refuses the key, or wants one
│   ├── BadData              a source answered, but the answer cannot be trusted
│   │   └── Implausible      its receiver refuses it: no series, or no grid can be so
│   ├── NoData               a source does not cover this zone
│   │   └── TooLittle        it covers the zone, and has nothing of this time
│   └── Unavailable          a source does not answer now; it may later
│       └── NotAsked         it is not asked just now
├── SettingsError            a provider was configured wrongly: exit code 3
├── ExecutorError            an engine refused or failed to take a job: exit code 1
└── in scheduler.errors      UsageError (2), ConfigError (3), StoreError (5), DamagedRow (5),
                             JobFailed (1)

A message says what was asked, what was found and what to do, in one line.
"""

# A field of a file may have any length; of what is told of it the beginning and the end count.
LONGEST, _END = 2000, 500


class LowtideError(Exception):
    """Base of the tree. ``exit_code`` is what the command line returns for it."""

    exit_code = 1

    def __str__(self) -> str:
        """One line of at most :data:`LONGEST` characters, whatever it repeats."""
        said = " ".join(super().__str__().splitlines())
        return said if len(said) <= LONGEST else f"{said[: LONGEST - _END - 3]}...{said[-_END:]}"


class ProviderError(LowtideError):
    """Carbon data could not be had."""

    exit_code = 4


class AccessDenied(ProviderError):
    """A source refuses the key, or wants one."""


class BadData(ProviderError):
    """A source answered, but its answer cannot be trusted."""


class Implausible(BadData):
    """A source's answer was refused by its receiver: no series, or not what a grid can emit."""


class NoData(ProviderError):
    """A source does not cover this zone, or has no data of this kind at all."""


class TooLittle(NoData):
    """A source covers the zone, and has nothing (or too little) of this time."""


class Unavailable(ProviderError):
    """A source does not answer now."""


# What a source that covers a zone may fail with now, and do better at later; other errors last.
OUTAGES = (Unavailable, BadData, TooLittle)


class NotAsked(Unavailable):
    """A source is not asked just now, and nothing that it said before is of use."""


class SettingsError(LowtideError):
    """A provider was configured wrongly."""

    exit_code = 3


class ExecutorError(LowtideError):
    """An engine refused or failed to take a job."""
