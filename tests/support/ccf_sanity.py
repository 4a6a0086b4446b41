"""What no row of Cloud Carbon Footprint's coefficients may be like: faults of known kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Row = Mapping[str, str]


def faulty_watts(rows: Sequence[Row]) -> list[str]:
    """Rows of watts per vCPU that no server draws, and rows that only repeat another's.

    The limits stand around all of SPECpower's servers since Sandy Bridge; a bad join put EPYC 5th
    Gen outside them. The Gravitons of AWS have the figures of EPYC 2nd Gen to the last digit.
    """
    found = []
    seen: dict[tuple[str, ...], str] = {}
    for row in rows:
        name, idle, full = row["architecture"], float(row["min_w"]), float(row["max_w"])
        if not (0.3 < idle < 2.5 and 1.4 < full < 9 and idle < full / 2):
            found.append(f"{name}: {idle} W idle, {full} W at full load")
        figures = (row["provider"], row["min_w"], row["max_w"])
        twin = seen.setdefault(figures, name)
        if twin != name:
            found.append(f"{name}: repeats {twin}")
    return found


def faulty_embodied(rows: Sequence[Row]) -> list[str]:
    """Platforms that embody less than half of a bare server, or more than any of less than
    terabytes, and instances larger than their platform.
    """
    found = []
    for row in rows:
        kg, vcpus, platform = (float(row[k]) for k in ("platform_kg", "vcpus", "platform_vcpus"))
        if not 500 <= kg <= 10_000:
            found.append(f"{row['provider']} {row['type']}: a platform of {kg} kg")
        if not 1 <= vcpus <= platform <= 1024:
            found.append(f"{row['provider']} {row['type']}: {vcpus} of {platform} vCPUs")
    return found
