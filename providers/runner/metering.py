"""The meters of one attempt: chosen, opened, sampled; a failing meter is a gap, never a fault
of the job.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from providers import registry
from providers.base import Component, Reading, Scope, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.base import Meter


class Metering:
    """For each component, the first meter of the list that can read it.

    Where none can, it is ``missing`` for the reason that the first one gives.

    ``used`` tells the meter of each component; ``notes`` the meters that failed, and why, after
    those that are given.
    """

    def __init__(self, names: Sequence[str], scope: Scope, notes: Sequence[str] = ()) -> None:
        self.notes: list[str] = [*notes]
        self.used: dict[str, str] = {}
        self._meters: list[tuple[str, Meter, set[str]]] = []
        components: list[Component] = []
        missing: dict[str, Component] = {}
        for name in names:
            try:
                meter: Meter = registry.meter(name).open(replace(scope, read=frozenset(self.used)))
                offered = meter.components()
            except Exception as e:  # noqa: BLE001 -- a meter may never harm the job
                self.notes.append(f"meter {name} is not used: {e}")
                continue
            for lacking in (c for c in offered if c.method == "missing"):
                missing.setdefault(lacking.name, lacking)
            new = [c for c in offered if c.method != "missing" and c.name not in self.used]
            components += new
            self.used |= {c.name: name for c in new}
            self._meters.append((name, meter, {c.name for c in new}))
        for uuid in scope.gpus:
            unread = Component(f"gpu:{uuid}", "missing", "assigned, but no meter reads it")
            missing.setdefault(unread.name, unread)
        components += [c for c in missing.values() if c.name not in self.used]
        self.components = tuple(components)
        self._failing: set[str] = set()
        self._told: dict[str, int] = {}

    def poll_s(self, interval_s: float) -> float:
        """How often to sample: as asked, or oftener where a counter would wrap unseen."""
        return min([interval_s, *(c.poll_s for c in self.components if c.poll_s is not None)])

    def sample(self, usage: Usage) -> list[Reading]:
        """What can be read now; what the meters have found goes into ``notes``."""
        readings: list[Reading] = []
        for name, meter, wanted in self._meters:
            try:
                found = meter.sample(usage)
                self._grow(name, meter, wanted)
                readings += [r for r in found if r.component in wanted]
                self._note(name, meter)
            except Exception as e:  # noqa: BLE001 -- a meter may never harm the job
                if name not in self._failing:
                    self._failing.add(name)
                    self.notes.append(f"meter {name} failed: {e}")
        return readings

    def _grow(self, name: str, meter: Meter, wanted: set[str]) -> None:
        """What the meter has found since it was opened."""
        known = {c.name for c in self.components}
        for new in (c for c in meter.components() if c.name not in known):
            self.components += (new,)
            if new.method != "missing":
                self.used[new.name] = name
                wanted.add(new.name)

    def _note(self, name: str, meter: Meter) -> None:
        found = meter.notes()
        self.notes += found[self._told.get(name, 0) :]
        self._told[name] = len(found)

    def close(self) -> None:
        """Release all devices."""
        for _, meter, _ in self._meters:
            # The record is complete by now: what cannot be released ends with the process.
            with suppress(Exception):
                meter.close()
