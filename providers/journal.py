"""An energy journal, read back: from a run folder, or from wherever one was taken to.

Reading never fails on rubbish: what cannot be read becomes a note.
"""

from __future__ import annotations

import json
import math
from io import BytesIO
from typing import TYPE_CHECKING, Any, get_args

from providers.base import Component, Journal, Method, Reading, Sample, Triple
from providers.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


# A runner writes a line for each 0.1 % of the run: some ten thousand, with 64 boards 10 kB each.
LIMIT_BYTES = 256 << 20
# What is made of it takes more memory: lines and readings, ten thousand times 64 and a margin.
LIMIT_READINGS = 700_000


def read(path: Path) -> Journal:
    """A journal; an absent one has no components and a note."""
    try:
        with open_regular(path) as file:
            content = file.read(LIMIT_BYTES)
            longer = bool(file.read(1))
    except OSError as e:
        return Journal((), (), (f"no energy journal: {e.strerror}",))
    components: tuple[Component, ...] = ()
    meta: dict[str, Any] = {}
    samples: list[Sample] = []
    notes: list[str] = []
    torn = made = 0
    for raw in BytesIO(content):
        text = raw.decode("utf-8", errors="replace").removesuffix("\n")
        if not text:
            continue
        made += 1
        if made > LIMIT_READINGS:
            longer = True
            break
        try:
            line = json.loads(text)
            if "components" in line:
                components = tuple(_component(c) for c in line["components"])
                meta = dict(line["meta"])
            elif "note" in line:
                notes.append(str(line["note"]))
            elif "meta" in line:
                meta |= line["meta"]
            else:
                sample = _sample(line, components, samples[-1] if samples else None)
                samples.append(sample)
                made += len(sample.readings)
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
    if longer:
        notes.append(
            f"the energy journal is longer than {LIMIT_BYTES >> 20} MiB, or has more than "
            f"{LIMIT_READINGS} lines and readings: the rest is left out"
        )
    return Journal(components, tuple(samples), tuple(notes), meta)


def _component(told: dict[str, Any]) -> Component:
    """As a meter would tell it; else :class:`ValueError` or :class:`TypeError`."""
    made = Component(**told)
    figures = (made.max_w, made.poll_s)
    if not (
        isinstance(made.name, str)
        and made.method in get_args(Method)
        and isinstance(made.source, str)
        and isinstance(made.replayed, bool)
        and all(f is None or (isinstance(f, (int, float)) and 0 <= f < math.inf) for f in figures)
    ):
        raise ValueError("a component is a name, a method and a source")
    return made


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
