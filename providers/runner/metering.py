"""The meters of one attempt: chosen, opened, sampled; a failing meter is a gap, never a fault
of the job.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from providers import registry
from providers.base import Component, Reading, Scope, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.base import Meter


class Metering:
    """For each component, the first meter of the list that offers it.

    ``used`` tells the meter of each component; ``notes`` the meters that failed, and why.
    """

    def __init__(self, names: Sequence[str], scope: Scope) -> None:
        self.notes: list[str] = []
        self.used: dict[str, str] = {}
        self._meters: list[tuple[str, Meter, frozenset[str]]] = []
        components: list[Component] = []
        for name in names:
            try:
                meter: Meter = registry.load("meters", name).open(scope)
                offered = meter.components()
            except Exception as e:  # noqa: BLE001 -- a meter may never harm the job
                self.notes.append(f"meter {name} is not used: {e}")
                continue
            new = [c for c in offered if c.name not in self.used]
            components += new
            self.used |= {c.name: name for c in new}
            self._meters.append((name, meter, frozenset(c.name for c in new)))
        components += [
            Component(f"gpu:{uuid}", "missing", "assigned, but no meter reads it")
            for uuid in scope.gpus
            if f"gpu:{uuid}" not in self.used
        ]
        self.components = tuple(components)
        self._failing: set[str] = set()

    def sample(self, usage: Usage) -> list[Reading]:
        """What can be read now."""
        readings: list[Reading] = []
        for name, meter, wanted in self._meters:
            try:
                readings += [r for r in meter.sample(usage) if r.component in wanted]
            except Exception as e:  # noqa: BLE001 -- a meter may never harm the job
                if name not in self._failing:
                    self._failing.add(name)
                    self.notes.append(f"meter {name} failed: {e}")
        return readings

    def close(self) -> None:
        """Release all devices."""
        for _, meter, _ in self._meters:
            # The record is complete by now: what cannot be released ends with the process.
            with suppress(Exception):
                meter.close()
