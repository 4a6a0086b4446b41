"""Replays a job log, or a cluster's accounting, against intensity traces, through the planner that
runs live.
"""

from scheduler.simulate.admission import POLICIES, Policy, Rules
from scheduler.simulate.knowledge import Knowledge, read
from scheduler.simulate.log import LogJob, Past, read_jobs
from scheduler.simulate.outcome import Outcome
from scheduler.simulate.replay import simulate
from scheduler.simulate.sacct import Rates, read_sacct
from scheduler.simulate.swf import is_swf, read_swf

__all__ = [
    "POLICIES",
    "Knowledge",
    "LogJob",
    "Outcome",
    "Past",
    "Policy",
    "Rates",
    "Rules",
    "is_swf",
    "read",
    "read_jobs",
    "read_sacct",
    "read_swf",
    "simulate",
]
