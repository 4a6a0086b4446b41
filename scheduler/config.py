"""The configuration file and the environment -> :class:`Config`.

Unknown keys, broken YAML and values of the wrong kind are :class:`ConfigError`, naming the
file, the line where YAML knows it, and the nearest known key.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    model_validator,
)

from scheduler import address, checked, config_files, documents, quantities, zones
from scheduler.address import Address
from scheduler.errors import ConfigError
from scheduler.hardware_settings import HardwareSettings
from scheduler.models import MOST
from scheduler.sections import Bounds, Seconds, Section, text

if TYPE_CHECKING:
    from collections.abc import Mapping

# A file that several programs share has lowtide's settings below this key.
MARK = "lowtide"
# Likeness (difflib's ratio) of a word to one that it was meant to be: two letters of seven are
# swapped (`regoins`) at 0.86.
SLIP = 0.8
# The keys of a file that no YAML reader takes, as far as they can be seen.
_TOP = re.compile(r"^(\w+)\s*:", re.MULTILINE)


def _zone(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError('a bare NO means false in YAML: quote the zone, e.g. zone: "NO-NO1"')
    return value


def _country(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError('a bare NO means false in YAML: quote the country, e.g. country: "NO"')
    return value.upper() if isinstance(value, str) else value


Span = Annotated[float, text(quantities.span_s), Field(ge=0, le=quantities.LONGEST_S)]
# Written as any share is: 5% or 0.05; the defaults below are percent already.
Percent = Annotated[float, text(quantities.percent), Field(ge=0, le=100)]


def _part(text: str) -> float:
    return quantities.percent(text) / 100


TimeZone = Annotated[str, AfterValidator(zones.checked)]
Zone = Annotated[str, BeforeValidator(_zone), Field(min_length=1)]
Country = Annotated[str, BeforeValidator(_country), Field(pattern="^[A-Z]{2}$")]


# Slots all day, or 24 numbers: of each hour in UTC.
Slots = Annotated[int, Field(ge=0, le=MOST)]
Capacity = (
    Annotated[int, Field(ge=1, le=MOST)]
    | Annotated[tuple[Slots, ...], Field(min_length=24, max_length=24)]
)


class Pue(Bounds):
    """Power usage effectiveness (ISO/IEC 30134-2), never without a source."""

    value: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    low: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    source: Annotated[str, Field(min_length=1)]


class Wue(Bounds):
    """Litres of water used on site for each kWh of the computers (ISO/IEC 30134-9)."""

    value: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    low: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    source: Annotated[str, Field(min_length=1)]


class Price(Section):
    """What holding and running things costs in a region, in the config's ``currency``."""

    per_slot_hour: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    per_gpu_hour: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    per_kwh: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class Transfer(Section):
    """What bringing a gigabyte of data to another region takes."""

    seconds_per_gb: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 8.0
    kwh_per_gb: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.001


class RegionSettings(Section):
    """A place where jobs can run, or that is only compared (no executor).

    ``zones`` is what a source calls the grid zone where it has a name of its own for it;
    ``engine`` are settings of the executor for this region, laid over ``executors.<name>``.
    """

    zone: Zone | None = None
    zones: dict[str, Zone] = Field(default_factory=dict)
    place: Annotated[str, Field(min_length=1)] | None = None
    country: Country | None = None
    lat: Annotated[float, Field(ge=-90, le=90)] | None = None
    lon: Annotated[float, Field(ge=-180, le=180)] | None = None
    executor: str | None = None
    host: Annotated[str, Field(min_length=1)] | None = None
    engine: dict[str, Any] = Field(default_factory=dict)
    slots: Capacity | None = None
    price: Price | None = None
    pue: Pue | None = None
    wue_l_per_kwh: Wue | None = None
    hardware: HardwareSettings | None = None
    providers: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _on_the_map(self) -> RegionSettings:
        if (self.lat is None) != (self.lon is None):
            raise ValueError("lat and lon stand together: give both or neither")
        return self

    @model_validator(mode="after")
    def _known_from_afar(self) -> RegionSettings:
        if self.host is not None and self.slots is None:
            raise ValueError("host needs slots beside it: other hosts cannot count them")
        return self


class Defaults(Section):
    """What a job gets where its options say nothing."""

    slack: Seconds = 86400.0
    min_saving: Percent = 0.0
    retries: Annotated[int, Field(ge=0, le=MOST)] = 0
    resume_overhead: Span = 60.0
    min_run: Span = 600.0


class DatabaseSettings(Section):
    """Where the database is, and which environment variable holds its password."""

    url: Annotated[str, Field(min_length=1)]
    password_env: Annotated[str, Field(min_length=1)] | None = None


def _database(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


class Outage(Section):
    """What to do while no source answers."""

    policy: Literal["run-now", "hold", "last-known"] = "last-known"
    max_age: Seconds = 86400.0

    @property
    def keeps(self) -> bool:
        """Whether a silent source's last forecast stands in for it."""
        return self.policy == "last-known"


class History(Section):
    """How cautiously a duration is learned from past runs of a group, and how far back the
    forecaster looks for actual intensities.

    A quantile below the median would be no bound.
    """

    quantile: Annotated[float, text(_part), Field(ge=0.5, lt=1)] = 0.9
    days: Annotated[int, Field(ge=14, le=3660)] = 400


class RetentionSettings(Section):
    """How long run folders and stories of ended jobs are kept; None: until the user prunes them."""

    runs: Seconds | None = None


LOCAL: dict[str, Any] = {
    "executor": "local",
    "pue": {
        "value": 1.0,
        "source": "a machine outside a data centre has no cooling plant of its own to count",
    },
}


# Keys of sources under their usual names: no job gets them, whatever ``secrets`` adds.
SECRETS = ("ELECTRICITY_MAPS_TOKEN", "WATTTIME_PASSWORD", "EIA_API_KEY", "ENTSOE_TOKEN")


class Settings(Section):
    """The whole file. ``regions.local`` is laid over the built-in one."""

    home: str = "local"
    regions: dict[str, RegionSettings] = Field(default_factory=dict)
    providers: tuple[str, ...] = ("forecaster", "climatology", "country_mean")
    order: Literal["stated", "accuracy"] = "stated"
    sources: dict[str, dict[str, Any]] = Field(default_factory=dict)
    executors: dict[str, dict[str, Any]] = Field(default_factory=dict)
    defaults: Defaults = Defaults()
    database: Annotated[DatabaseSettings, BeforeValidator(_database)] | None = None
    shared_runs: Annotated[str, Field(min_length=1)] | None = None
    lease: Annotated[Seconds, Field(ge=5, le=3600)] = 60.0
    outage: Outage = Outage()
    history: History = History()
    retention: RetentionSettings = RetentionSettings()
    transfer: Transfer = Transfer()
    currency: str = "EUR"
    hysteresis: Percent = 1.0
    meters: tuple[str, ...] = ("nvml", "rapl", "model")
    sample_interval: Seconds = 1.0
    grace: Seconds = 10.0
    refresh: Seconds = 900.0
    tick: Seconds = 10.0
    timezone: TimeZone | None = None
    secrets: tuple[str, ...] = SECRETS

    @model_validator(mode="before")
    @classmethod
    def _with_local(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and isinstance(raw.get("regions") or {}, dict):
            regions = dict(raw.get("regions") or {})
            own = regions.get("local") or {}
            if isinstance(own, dict):
                regions["local"] = LOCAL | own
            return {**raw, "regions": regions}
        return raw


@dataclass(frozen=True)
class Config:
    """Settings, the folder that relative paths in them start from, and lowtide's home.

    ``database`` is None for the one in home. ``text`` is what the file held, ``why`` how it was
    found, ``hints`` which other files were not read, and why.
    """

    settings: Settings
    path: Path
    home: Path
    database: Address | None = None
    text: bytes = b""
    why: str = ""
    hints: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Tells this configuration from any other; relative paths in a file depend on its place."""
        return hashlib.sha256(str(self.path.absolute()).encode() + b"\0" + self.text).hexdigest()

    @property
    def edit(self) -> str:
        """Where to set a key, as a message goes on after its name: never in the packaged file."""
        if self.path == config_files.packaged():
            return f"in a file of your own (`lowtide init` writes {config_files.users()})"
        return f"in {self.path}"

    @property
    def base_dir(self) -> Path:
        """The folder of the config file."""
        return self.path.parent

    @property
    def meters(self) -> tuple[str, ...]:
        """Meters, first choice first; a path that one is to use (``replay:PATH``) is absolute."""
        named = (name.partition(":") for name in self.settings.meters)
        return tuple(
            f"{head}:{(self.base_dir / Path(path).expanduser()).absolute()}" if path else head
            for head, _, path in named
        )

    @property
    def key_variables(self) -> frozenset[str]:
        """Environment variables that hold keys: of ``secrets``, sources, engines, database."""
        engines = (region.engine for region in self.settings.regions.values())
        named = (
            value
            for settings in (
                *self.settings.sources.values(),
                *self.settings.executors.values(),
                *engines,
            )
            for key, value in settings.items()
            if key.endswith("_env") and isinstance(value, str)
        )
        database = self.settings.database
        password = () if database is None or not database.password_env else (database.password_env,)
        return frozenset((*SECRETS, *self.settings.secrets, *named, "PGPASSWORD", *password))

    @property
    def shared_runs(self) -> Path | None:
        """The folder of run folders that every host sees; None: they stay in home."""
        named = self.settings.shared_runs
        return None if named is None else self.base_dir / Path(named).expanduser()


def load(path: str | None, environ: Mapping[str, str], cwd: Path) -> Config:
    """Find, read and check the configuration; nothing is written.

    ``path`` is ``--config``; :func:`config_files.candidates` has the order of all others.
    ``LOWTIDE_HOME`` names the folder of database and runs, ``LOWTIDE_DATABASE`` another database
    than the file's.
    """
    hints: list[str] = []
    for found in config_files.candidates(path, environ, cwd):
        foreign = found.refused or (_foreign(found.path) if found.plain else "")
        if not foreign:
            break
        hints.append(f"{found.path} is ignored: {foreign}")
    config = parse(checked.text_of(found.path), found.path, config_files.home(environ, cwd))
    database = _address(config.settings.database, environ.get("LOWTIDE_DATABASE"), found.path, cwd)
    return replace(config, database=database, why=found.why, hints=tuple(hints))


def parse(text: bytes, path: Path, home: Path) -> Config:
    """The configuration that ``text``, read from ``path``, stands for; without its database."""
    settings = checked.validate(Settings, _section(checked.mapping(text, path)), path)
    return Config(settings, path, home, text=text)


def _section(content: dict[str, Any]) -> dict[str, Any]:
    """What of a file is lowtide's: the mapping under ``lowtide``, where several programs share it.

    Any other value of that key only marks the file as lowtide's.
    """
    if MARK not in content:
        return content
    own = content[MARK]
    return own if isinstance(own, dict) else {k: v for k, v in content.items() if k != MARK}


def _foreign(path: Path) -> str:
    """Why a file that is called as many programs call theirs is not lowtide's; empty: it is.

    A misspelled key of lowtide's does not make it another program's.
    """
    try:
        keys = [str(key) for key in checked.read_yaml(path)]
        broken = ""
    except ConfigError as e:
        keys, broken = [], f"it is not lowtide's as far as it can be read ({e})"
        with suppress(OSError, ValueError):
            keys = _TOP.findall(documents.read(path).decode())
    if MARK in keys:
        return ""
    if not keys:
        return broken or "it is empty"
    known = list(Settings.model_fields)
    strange = [key for key in keys if not difflib.get_close_matches(key, known, 1, cutoff=SLIP)]
    if not strange:
        return ""
    return broken or (
        f"it has the key {strange[0]!r}, so it seems to be another program's (lowtide's own file "
        f"is called {config_files.NAME}; or put its keys under `{MARK}:`)"
    )


def _address(
    settings: DatabaseSettings | None, named: str | None, path: Path, cwd: Path
) -> Address | None:
    """The database of the environment, else that of the file; None: the one in home."""
    password_env = None if settings is None else settings.password_env
    where, url, base_dir = f"{path}: database", settings.url if settings else None, path.parent
    if named:
        where, url, base_dir = "LOWTIDE_DATABASE", named, cwd
    try:
        return None if url is None else address.parse(url, base_dir, password_env)
    except ValueError as e:
        raise ConfigError(f"{where} {e}") from e
