"""An energy journal, read back: from a run folder, or from wherever one was taken to.

Reading never fails on rubbish: what cannot be read becomes a note.
"""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any, get_args

from providers.base import ZERO, Component, Journal, JournalFile, Method, Reading, Sample, Triple
from providers.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


# A runner writes a line for each 0.1 % of the run: some ten thousand, with 64 boards 10 kB each.
LIMIT_BYTES = 256 << 20
# What is made of it takes more memory: lines and readings, ten thousand times 64 and a margin.
LIMIT_READINGS = 700_000
# No figure is larger: 100 MW, more than any machine draws, for a hundred years are 3e17 J.
MOST = 1e18
# The end of the year 2399, in Unix seconds.
LAST_S = 13_569_465_599.0


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
            if "\\u" in text:
                json.dumps(line, ensure_ascii=False).encode()  # half a surrogate pair is no text
            if "components" in line:
                components = tuple(_component(c) for c in line["components"])
                meta = dict(line["meta"])
            elif "component" in line:
                late = _component(line["component"])
                components = (*components, late)
                if samples and late.method != "missing":
                    zero = Reading(late.name, ZERO, ZERO, 0.0)
                    samples[0] = replace(samples[0], readings=(*samples[0].readings, zero))
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
    from hashlib import sha256  # not where a runner starts: it takes milliseconds

    read_from = JournalFile(str(path.absolute()), sha256(content).hexdigest(), len(content))
    return Journal(components, tuple(samples), tuple(notes), meta, read_from)


def _bounded(*figures: Any) -> list[float]:
    """Numbers from 0 to :data:`MOST`; else :class:`ValueError`."""
    found = [float(figure) for figure in figures]
    if not all(0 <= figure <= MOST for figure in found):
        raise ValueError(f"a figure is a number from 0 to {MOST:g}")
    return found


_COMPONENT = frozenset(Component.__dataclass_fields__)


def _component(fields: dict[str, Any]) -> Component:
    """As a meter would tell it; else :class:`ValueError` or :class:`TypeError`."""
    # A newer runner may say more than this version reads: an upgrade meets daemons that run.
    made = Component(**{name: fields[name] for name in _COMPONENT if name in fields})
    _bounded(*(figure for figure in (made.max_w, made.poll_s) if figure is not None))
    if not 0 < made.share <= 1:
        raise ValueError("a component is a part of its board")
    if not (
        isinstance(made.name, str)
        and made.method in get_args(Method)
        and isinstance(made.source, str)
        and isinstance(made.replayed, bool)
    ):
        raise ValueError("a component is a name, a method and a source")
    return made


def _sample(line: dict[str, Any], components: Sequence[Component], last: Sample | None) -> Sample:
    """A sample that is finite and does not run backwards; else :class:`ValueError`."""
    readings = []
    for index, *numbers in line["read"]:
        stated = numbers.pop() if isinstance(numbers[-1], dict) else {}
        low, value, high, e_low, e_value, e_high, covered = _bounded(*numbers)
        facts = dict(zip(map(str, stated), _bounded(*stated.values()), strict=True))
        readings.append(
            Reading(
                components[index].name,
                Triple(low, value, high),
                Triple(e_low, e_value, e_high),
                covered,
                facts,
            )
        )
    at, cpu_s = _bounded(line["at"], line["cpu_s"])
    if at > LAST_S or (last is not None and at < last.at):
        raise ValueError("samples stand in order of time")
    share_s = line.get("share_s")
    return Sample(at, cpu_s, tuple(readings), None if share_s is None else _bounded(share_s)[0])
