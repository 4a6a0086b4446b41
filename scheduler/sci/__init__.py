"""Software Carbon Intensity (ISO/IEC 21031:2024): pure, from journals to a settlement."""

from scheduler.sci.attribution import outer_of
from scheduler.sci.deviation import Expectation
from scheduler.sci.embodied import embodied_g
from scheduler.sci.energy import AttemptRecord
from scheduler.sci.methodology import boundary, methodology
from scheduler.sci.settle import NOT_CALIBRATED, Start, resettle, settle
from scheduler.sci.uncertainty import RULE
from scheduler.sci.work import AI_UNITS, Work, count, together, unit_name

__all__ = [
    "AI_UNITS",
    "NOT_CALIBRATED",
    "RULE",
    "AttemptRecord",
    "Expectation",
    "Start",
    "Work",
    "boundary",
    "count",
    "embodied_g",
    "methodology",
    "outer_of",
    "resettle",
    "settle",
    "together",
    "unit_name",
]
