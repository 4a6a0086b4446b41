"""Replays a job log against intensity traces, through the planner that runs live."""

from scheduler.simulate.admission import POLICIES, Policy, Rules
from scheduler.simulate.knowledge import Knowledge, read
from scheduler.simulate.log import LogJob, read_jobs
from scheduler.simulate.outcome import Outcome
from scheduler.simulate.replay import simulate

__all__ = [
    "POLICIES",
    "Knowledge",
    "LogJob",
    "Outcome",
    "Policy",
    "Rules",
    "read",
    "read_jobs",
    "simulate",
]
