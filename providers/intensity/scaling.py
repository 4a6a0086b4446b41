"""One source's shape at another one's level, where both count emissions differently.

Lifecycle and direct factors differ by about a quarter, production and consumption by the
imports: side by side in one series they would make a step that is not there. Over a day or more
that both know, the ratio of their means brings one to the level of the other.
"""

from __future__ import annotations

from dataclasses import replace

from providers.arrays import np
from providers.series import Series

# A ratio over less than a day would be that of a night or of a noon.
LEAST_OVERLAP_S = 24 * 3600.0
MARK = " (scaled)"


def factor(level: Series, shape: Series) -> float | None:
    """The ratio of their means over what both know; None where that is less than a day."""
    if not len(level) or not len(shape):
        return None
    edges = np.unique(np.concatenate((level.starts, level.ends, shape.starts, shape.ends)))
    covered = [np.diff(s.covered(edges)) for s in (level, shape)]
    width = np.diff(edges)
    both = np.minimum(*covered) >= width * (1 - 1e-9)
    if width[both].sum() < LEAST_OVERLAP_S:
        return None
    means = [np.diff(s.integral(edges))[both].sum() for s in (level, shape)]
    return float(means[0] / means[1]) if means[1] > 0 else None


def scaled(shape: Series, by: float, level: Series) -> Series:
    """``shape`` times ``by``, on the basis of ``level``, each interval marked."""
    return replace(
        shape,
        g_per_kwh=shape.g_per_kwh * by,
        low=shape.low * by,
        high=shape.high * by,
        sources=np.char.add(shape.sources.astype(np.str_), MARK),
        factors=level.factors,
        flow=level.flow,
    )
