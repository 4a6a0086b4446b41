"""Software Carbon Intensity (ISO/IEC 21031:2024): pure, from journals to a settlement."""

from scheduler.sci.embodied import embodied_g
from scheduler.sci.energy import AttemptRecord
from scheduler.sci.settle import settle

__all__ = ["AttemptRecord", "embodied_g", "settle"]
