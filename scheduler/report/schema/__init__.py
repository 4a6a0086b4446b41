"""JSON for programs. Triples are ``{low, value, high}``, times ISO 8601 in UTC with ``Z``; an
unknown is null and named with its reason in ``null_reasons`` of the same object.
"""

from scheduler.report.schema.common import SCHEMA_VERSION, figure, iso
from scheduler.report.schema.job import damaged_json, job_json, listing_json, overrun
from scheduler.report.schema.plan import (
    NO_BOUND,
    pareto_json,
    plan_json,
    queue_json,
    ranked_json,
    recurrence_json,
    series_json,
)
from scheduler.report.schema.report import report_json
from scheduler.report.schema.totals import HasState, JobCost, Totals, outermost, totals

__all__ = [
    "NO_BOUND",
    "SCHEMA_VERSION",
    "HasState",
    "JobCost",
    "Totals",
    "damaged_json",
    "figure",
    "iso",
    "job_json",
    "listing_json",
    "outermost",
    "overrun",
    "pareto_json",
    "plan_json",
    "queue_json",
    "ranked_json",
    "recurrence_json",
    "report_json",
    "series_json",
    "totals",
]
