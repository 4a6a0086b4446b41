"""Software Carbon Intensity (ISO/IEC 21031:2024): pure, from journals to a settlement."""

from scheduler.sci.energy import AttemptRecord
from scheduler.sci.settle import embodied_g, settle
from scheduler.sci.work import Work, count

__all__ = ["AttemptRecord", "Work", "count", "embodied_g", "settle"]
