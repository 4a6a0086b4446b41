"""Which column of a file of recorded values holds what: in our form, in portals', in any other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from providers.errors import BadData, SettingsError
from providers.series import Factors, Flow, Signal

Value = Literal["actual", "forecast"]
# What a user may say of a column by its name.
Column = Literal["time", "value", "region", "ends"]
COLUMNS = ("timestamp_utc", "region", "g_per_kwh")
ENDS = "ends_utc"
# What the figures are, where a file says it in columns of these names.
FACTS: Mapping[str, tuple[str, ...]] = {
    "signal": get_args(Signal),
    "factors": get_args(Factors),
    "flow": get_args(Flow),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in a row what stands; ``region`` None: all rows are of ``zone``.

    ``blanks``: a row without a value is a hole, as exports of portals write it. ``estimated``: a
    column that says of a value that it is an estimate. ``utc``: the header says whose time it is.
    ``step_s`` is how long a value holds where the form of the file says it.
    """

    time: int
    value: int
    region: int | None
    zone: str = ""
    ends: int | None = None
    estimated: int | None = None
    facts: Mapping[str, int] = field(default_factory=dict)
    known: Mapping[str, str] = field(default_factory=dict)
    blanks: bool = False
    utc: bool = True
    step_s: float | None = None

    @property
    def width(self) -> int:
        """How many columns a row has at least."""
        places = (self.time, self.value, self.region, self.ends, self.estimated)
        return 1 + max(n for n in (*places, *self.facts.values()) if n is not None)


@dataclass(frozen=True, slots=True)
class Portal:
    """The form of a portal's export: patterns of the column names, lower case.

    Of ``values``, by the words that name them, the user chooses one; ``choice`` is the setting.
    """

    time: str
    values: Mapping[str, str]
    choice: Literal["factors", "kind"]
    known: Mapping[str, str]
    region: str | None = None
    zone: str = ""
    estimated: str | None = None
    step_s: float | None = None


PORTALS = (
    # app.electricitymaps.com/datasets; "LCA", with capitals, in files from before 2025.
    Portal(
        time=r"datetime \(utc\)",
        region=r"zone id",
        values={
            "direct": r"carbon intensity .*\(direct\)",
            "lifecycle": r"carbon intensity .*\((life ?cycle|lca)\)",
        },
        choice="factors",
        known={"signal": "average", "flow": "consumption"},
        estimated=r"data estimated",
    ),
    # National Carbon Intensity Forecast, neso.energy/data-portal; what it is as in neso.py.
    Portal(
        time=r"datetime",
        zone="GB",
        values={"actual": r"actual", "forecast": r"forecast"},
        choice="kind",
        known={"signal": "average", "factors": "direct", "flow": "consumption"},
        step_s=1800.0,
    ),
)


def layout_of(
    name: str,
    header: Sequence[str],
    columns: Mapping[Column, str],
    zone: str | None,
    chosen: Mapping[str, str | None],
) -> Layout:
    """The columns of a file with this header.

    ``columns`` are those that the user names; ``zone`` is whose values they are where no column
    says it; ``chosen`` are the settings ``factors`` and ``kind``. :class:`BadData` for a header
    that is of no known form, :class:`SettingsError` where the user has to choose.
    """
    lower = [column.casefold() for column in header]
    if not columns and not set(COLUMNS) & set(header):
        for portal in PORTALS:
            if _find(portal.time, lower) is not None and any(
                _find(pattern, lower) is not None for pattern in portal.values.values()
            ):
                return _exported(name, lower, portal, zone, chosen)
    return _plain(name, header, columns, zone)


def _plain(
    name: str, header: Sequence[str], columns: Mapping[Column, str], zone: str | None
) -> Layout:
    """Our own form, some of whose columns may have other names."""
    ours: dict[Column, str] = {"time": COLUMNS[0], "region": COLUMNS[1], "value": COLUMNS[2]}
    names = ours | dict(columns)
    if zone is not None and names["region"] not in header and "region" not in columns:
        del names["region"]
    missing = [column for column in names.values() if column not in header]
    if missing:
        fault = f"trace {name} has no column {', '.join(missing)}: its header is "
        fault += f"{','.join(header)!r}"
        if columns:
            hint = "; or name the zone of all rows with zone" if missing == [COLUMNS[1]] else ""
            raise SettingsError(fault + hint)
        raise BadData(
            f"{fault}; say what its columns are (on the command line of `lowtide history import` "
            "--columns time=...,value=...,region=...)"
        )
    ends = names.get("ends", ENDS)
    return Layout(
        time=header.index(names["time"]),
        value=header.index(names["value"]),
        region=header.index(names["region"]) if "region" in names else None,
        zone=zone or "",
        ends=header.index(ends) if ends in header else None,
        facts={fact: header.index(fact) for fact in FACTS if fact in header},
        blanks=bool(columns),
        utc="utc" in names["time"].casefold(),
    )


def _exported(
    name: str,
    lower: Sequence[str],
    portal: Portal,
    zone: str | None,
    chosen: Mapping[str, str | None],
) -> Layout:
    held = {what: _find(pattern, lower) for what, pattern in portal.values.items()}
    there = {what: place for what, place in held.items() if place is not None}
    asked = chosen[portal.choice]
    if asked is None and len(there) > 1:
        both = " and ".join(there)
        options = " or ".join(f"--{portal.choice} {what}" for what in there)
        raise SettingsError(
            f"trace {name} has {both} values: say which with {portal.choice} (on the command "
            f"line {options})"
        )
    asked = asked or next(iter(there))
    if asked not in there:
        raise SettingsError(f"trace {name} has no {asked} values: it has {', '.join(there)}")
    region = None if portal.region is None else _find(portal.region, lower)
    if region is None and not (zone or portal.zone):
        raise BadData(f"trace {name} has no column 'Zone id': its header is {','.join(lower)!r}")
    known = {**portal.known, portal.choice: asked}
    at = _find(portal.time, lower)
    assert at is not None  # by this column the portal was known
    return Layout(
        time=at,
        value=there[asked],
        region=region,
        zone=zone or portal.zone,
        estimated=None if portal.estimated is None else _find(portal.estimated, lower),
        known={fact: value for fact, value in known.items() if fact in FACTS},
        blanks=True,
        step_s=portal.step_s,
    )


def _find(pattern: str, lower: Sequence[str]) -> int | None:
    return next((n for n, name in enumerate(lower) if re.fullmatch(pattern, name)), None)
