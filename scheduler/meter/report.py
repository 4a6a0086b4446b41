"""What a metered run has cost: the report of a job, as text, JSON, HTML and figures."""

from __future__ import annotations

import html
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from scheduler.report import schema, terminal

if TYPE_CHECKING:
    from datetime import tzinfo

    from providers.base import Triple
    from scheduler.models import ComponentEnergy, Job, Settlement


@dataclass(frozen=True, slots=True)
class Report:
    """The settlement of one run; a figure that is None has its reason in :attr:`nulls`.

    ``zone`` is the grid zone of its intensity, None where no place is known.
    """

    job: Job
    settlement: Settlement

    @property
    def zone(self) -> str | None:
        """The grid zone that it was settled in."""
        return self.settlement.place.zone if self.settlement.place else None

    @property
    def energy_kwh(self) -> Triple | None:
        """What it drew, and the idle draw of what it held, kWh."""
        return self.settlement.reserved_kwh

    @property
    def active_kwh(self) -> Triple | None:
        """What its work drew, kWh."""
        return self.settlement.active_kwh

    @property
    def operational_g(self) -> Triple | None:
        """Operational carbon, gCO2e; None without a place."""
        return self.settlement.operational_g

    @property
    def components(self) -> tuple[ComponentEnergy, ...]:
        """Energy by component, each with its method, source and coverage."""
        return self.settlement.components

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the figures must know."""
        return self.settlement.notes

    @property
    def nulls(self) -> dict[str, str]:
        """Why what is not known is not."""
        return self.settlement.nulls

    def json(self) -> dict[str, Any]:
        """One job of ``lowtide report --json``."""
        head = {"schema_version": schema.SCHEMA_VERSION}
        return head | schema.report_json(self.job, self.settlement)

    def text(self, tz: tzinfo) -> str:
        """As ``lowtide report`` prints it, with times in ``tz``."""
        return terminal.report(self.job, self.settlement, tz=tz)

    def __str__(self) -> str:
        return self.text(datetime.now().astimezone().tzinfo or UTC)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"
