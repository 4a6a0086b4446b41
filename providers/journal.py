"""An energy journal, read back: from a run folder, or from wherever one was taken to.

Reading never fails on rubbish: what cannot be read becomes a note.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from providers.base import Component, Journal, Reading, Sample, Triple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def read(path: Path) -> Journal:
    """A journal; an absent one has no components and a note."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace")
    except OSError as e:
        return Journal((), (), (f"no energy journal: {e.strerror}",))
    components: tuple[Component, ...] = ()
    meta: dict[str, Any] = {}
    samples: list[Sample] = []
    notes: list[str] = []
    torn = 0
    for text in filter(None, lines.split("\n")):
        try:
            line = json.loads(text)
            if "components" in line:
                components = tuple(Component(**c) for c in line["components"])
                meta = dict(line["meta"])
            elif "note" in line:
                notes.append(str(line["note"]))
            elif "meta" in line:
                meta |= line["meta"]
            else:
                sample = _sample(line, components, samples[-1] if samples else None)
                samples.append(sample)
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ):
            torn += 1
    if torn:
        notes.append(f"{torn} damaged line(s) of the energy journal were left out")
    return Journal(components, tuple(samples), tuple(notes), meta)


def _sample(line: dict[str, Any], components: Sequence[Component], last: Sample | None) -> Sample:
    """A sample that is finite and does not run backwards; else :class:`ValueError`."""
    readings = []
    for index, *numbers in line["read"]:
        told = numbers.pop() if isinstance(numbers[-1], dict) else {}
        values = [float(x) for x in numbers]
        if len(values) != 7 or not all(math.isfinite(x) and x >= 0 for x in values):
            raise ValueError("a reading is seven finite numbers from 0 up")
        low, value, high, e_low, e_value, e_high, covered = values
        facts = {str(name): float(x) for name, x in told.items()}
        if not all(math.isfinite(x) for x in facts.values()):
            raise ValueError("facts are finite numbers")
        readings.append(
            Reading(
                components[index].name,
                Triple(low, value, high),
                Triple(e_low, e_value, e_high),
                covered,
                facts,
            )
        )
    at, cpu_s = float(line["at"]), float(line["cpu_s"])
    if not math.isfinite(at) or (last is not None and at < last.at):
        raise ValueError("samples stand in order of time")
    if not math.isfinite(cpu_s) or cpu_s < 0:
        raise ValueError("CPU seconds are finite, from 0 up")
    return Sample(at, cpu_s, tuple(readings))
