"""Names of time zones: IANA only, from ``zoneinfo``."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

if TYPE_CHECKING:
    from collections.abc import Mapping


def checked(name: str) -> str:
    """The name itself; :class:`ValueError` where there is no such zone."""
    if _known(name):
        return name
    near = difflib.get_close_matches(name, available_timezones(), n=1)
    hint = f"did you mean {near[0]!r}?" if near else "write an IANA name, e.g. Europe/Berlin"
    raise ValueError(f"{name!r} is not a time zone: {hint}")


def of_system(environ: Mapping[str, str], etc: Path = Path("/etc")) -> str:
    """The zone that this machine's clocks show: ``TZ``, what ``etc`` says, else UTC."""
    stated = etc / "timezone"
    candidates = (
        environ.get("TZ", "").removeprefix(":"),
        stated.read_text(encoding="utf-8").strip() if stated.is_file() else "",
        str((etc / "localtime").resolve()),
    )
    names = (text.rpartition("zoneinfo/")[2] for text in candidates)
    return next((name for name in names if _known(name)), "UTC")


def local(configured: str | None, environ: Mapping[str, str]) -> ZoneInfo:
    """The zone of times without an offset: the configured one, else this machine's."""
    return ZoneInfo(configured or of_system(environ))


def _known(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return bool(name)
