"""What single fields of sacct's output say (sacct(1), Job Accounting Fields)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scheduler.simulate.log import LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Words of sacct for a time that has not come.
NEVER = {"", "Unknown", "None", "NONE", "N/A"}
# Why a row is left out, for people; the keys stand in the JSON document.
REASONS = {
    "steps_of_jobs": "steps, which are part of their jobs",
    "never_ran": "never ran",
    "power_of_gpus_not_given": "jobs with GPUs: give --power-per-gpu",
    "shares_of_gpus": "jobs with a share of a GPU (MPS, shard or MIG), whose power is unknown",
    "gpus_unknown": "jobs that seem to have had GPUs, with no AllocTRES that counts them",
    "start_before_submit": "Start is before Submit",
    "elapsed_beyond_end": "Elapsed is longer than from Start to End",
    "listed_twice": "listed twice",
}
_SPAN = re.compile(r"(?:(\d{1,6})-)?(?:(\d{1,4}):)?(\d{1,4}):(\d{2})(?:\.\d+)?", re.ASCII)
# All boards; where a site counts them by kind only, those of each kind.
_BOARDS = re.compile(r"(?:^|,)gres/gpu=(\d{1,6})(?=,|$)", re.ASCII)
_OF_A_KIND = re.compile(r"(?:^|,)gres/gpu:[^=,]+=(\d{1,6})(?=,|$)", re.ASCII)
# Slurm's own names of shares (gres.conf(5)), and NVIDIA's of MIG slices: a100_1g.5gb, 1c.3g.20gb.
_SHARES = re.compile(r"(?:^|[,/ ])(?:mps|shard)\b|gpu:[^=,]*(?:\d+g\.\d+gb|mig\b)", re.IGNORECASE)
# What sites call partitions and nodes with GPUs by: the word, or NVIDIA's and AMD's data centre
# boards (their product lists, 2014 to 2026).
_GPU_WORDS = re.compile(r"gpu|cuda|[dh]gx", re.IGNORECASE)
_BOARD_NAMES = re.compile(
    r"(?<![a-z0-9])(?:[ahpv]100|h200|b[23]00|g[bh]200|k[248]0|p40|t4|a[1-46]0|a[456]000|a800|l4|"
    r"l40s?|rtx\w*|titan\w*|mi[1-3]\d\d?[ax]?)(?![a-z0-9])",
    re.IGNORECASE,
)


def reason(why: str) -> str:
    """A key of :data:`REASONS`, or any other reason, for people."""
    return REASONS.get(why, why.replace("_", " "))


def span_s(name: str, text: str) -> float:
    """A span as sacct writes it, ``[days-][hours:]minutes:seconds``, in seconds."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError(f"{name} {text!r} is not a span of time as sacct writes it")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def elapsed_s(row: Mapping[str, str]) -> Iterator[float]:
    """How long a job ran (s) by the first reading, and by a second one where there is one.

    Two parts are minutes and seconds by sacct's manual; tools that rewrite its output put hours and
    minutes there.
    """
    raw, text = (row.get(name, "").strip() for name in ("ElapsedRaw", "Elapsed"))
    if re.fullmatch(r"\d{1,10}", raw, re.ASCII):
        yield float(raw)
    elif raw in NEVER and text in NEVER:
        yield 0.0
    else:
        found = span_s("Elapsed", text or raw)
        yield found
        if text.count(":") == 1 and "." not in text:
            days = found // 86400 * 86400
            yield days + (found - days) * 60


def cpus(row: Mapping[str, str]) -> int:
    """CPUs held; 0 where sacct has none."""
    text = next((row[name] for name in ("AllocCPUS", "NCPUS") if name in row), "").strip()
    if text in NEVER:
        return 0
    if not re.fullmatch(r"\d{1,7}", text, re.ASCII):
        raise ValueError(f"AllocCPUS {text!r} is not a number of CPUs")
    return int(text)


def gpus(row: Mapping[str, str]) -> int:
    """Whole GPUs held; :class:`LeftOut` where that is unknown, or a share of one."""
    held = row.get("AllocTRES", "")
    if _SHARES.search(held):
        raise LeftOut("shares_of_gpus")
    boards = _BOARDS.findall(held) or _OF_A_KIND.findall(held)
    if boards:
        return sum(map(int, boards))
    asked = "" if held else " ".join(row.get(n, "") for n in ("ReqTRES", "AllocGRES", "ReqGRES"))
    if _SHARES.search(asked):
        raise LeftOut("shares_of_gpus")
    where = "" if held else row.get("Partition", "")
    nodes = "" if held else row.get("NodeList", "")
    if _GPU_WORDS.search(" ".join((held, asked, where, nodes))) or _BOARD_NAMES.search(where):
        raise LeftOut("gpus_unknown")
    return 0
