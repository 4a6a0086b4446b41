"""Frozen values of deciding and recording: no I/O, no clock.

Times are aware datetimes in UTC; units stand in names.
"""

from scheduler.models.job import (
    GIVEN,
    Attempt,
    AwareDatetime,
    Basis,
    Event,
    Job,
    JobSpec,
    JobState,
    Objective,
    Pausable,
    Plan,
    Power,
    QueuePlan,
    Recurrence,
    Window,
    saving_percent,
)
from scheduler.models.settlement import (
    AttemptEnergy,
    ComponentEnergy,
    Contributor,
    Deviation,
    FunctionalUnit,
    Hardware,
    IntensityUsed,
    Rule,
    Settlement,
    Site,
)

__all__ = [
    "GIVEN",
    "Attempt",
    "AttemptEnergy",
    "AwareDatetime",
    "Basis",
    "ComponentEnergy",
    "Contributor",
    "Deviation",
    "Event",
    "FunctionalUnit",
    "Hardware",
    "IntensityUsed",
    "Job",
    "JobSpec",
    "JobState",
    "Objective",
    "Pausable",
    "Plan",
    "Power",
    "QueuePlan",
    "Recurrence",
    "Rule",
    "Settlement",
    "Site",
    "Window",
    "saving_percent",
]
