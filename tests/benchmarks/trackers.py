"""One tracker around one job, in an interpreter of its own: ``python trackers.py NAME JOB``.

Prints JSON: energy, grams, what the tracker took. The trackers are imported nowhere else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Stop = Callable[[], dict[str, Any]]


def lowtide_track() -> Stop:
    from scheduler.meter import track

    block = track(zone="FR")
    run = block.__enter__()

    def stop() -> dict[str, Any]:
        block.__exit__(None, None, None)
        return {"report": run.report}

    return stop


def codecarbon(mode: str) -> Stop:
    from codecarbon import OfflineEmissionsTracker

    tracker = OfflineEmissionsTracker(
        country_iso_code="FRA", tracking_mode=mode, save_to_file=False, log_level="error"
    )
    tracker.start()

    def stop() -> dict[str, Any]:
        tracker.stop()
        told = tracker.final_emissions_data
        return {
            "energy_wh": [1000 * told.energy_consumed],
            "cpu_wh": 1000 * told.cpu_energy,
            "grams": [1000 * told.emissions],
        }

    return stop


def zeus() -> Stop:
    from zeus.monitor import ZeusMonitor

    monitor = ZeusMonitor()
    monitor.begin_window("job")

    def stop() -> dict[str, Any]:
        told = monitor.end_window("job")
        parts = [*told.gpu_energy.values(), *(told.cpu_energy or {}).values()]
        return {
            "energy_wh": [sum(parts) / 3600] if parts else None,
            "cpu_wh": sum((told.cpu_energy or {}).values()) / 3600 if told.cpu_energy else None,
            "grams": None,
        }

    return stop


STARTS: dict[str, Callable[[], Stop]] = {
    "track": lowtide_track,
    "codecarbon-machine": lambda: codecarbon("machine"),
    "codecarbon-process": lambda: codecarbon("process"),
    "zeus": zeus,
}


def figures(report: Any) -> dict[str, Any]:
    """What a report of ours says, in the same words."""
    content = report.json()
    energy, grams = content["energy_kwh"]["reserved"], content["operational_g"]
    cpu = next(c for c in content["components"] if c["name"] == "cpu")
    return {
        "energy_wh": [1000 * energy[k] for k in ("value", "low", "high")],
        "cpu_wh": 1000 * cpu["active_kwh"]["value"],
        "grams": [grams[k] for k in ("value", "low", "high")],
        "zone": content["zone"],
    }


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main(name: str, job: list[str]) -> dict[str, Any]:
    before_mb, begun = resident_mb(), time.perf_counter()
    stop = STARTS[name]()
    start_s = time.perf_counter() - begun
    cpu, begun = time.process_time(), time.perf_counter()
    subprocess.run(job, check=True)
    ran_s = time.perf_counter() - begun
    beside_s = time.process_time() - cpu
    added_mb = resident_mb() - before_mb
    begun = time.perf_counter()
    told = stop()
    stop_s = time.perf_counter() - begun
    if "report" in told:
        begun = time.perf_counter()
        told = figures(told.pop("report")())
        told["report_s"] = time.perf_counter() - begun
    return told | {
        "ran_s": ran_s,
        "start_s": start_s,
        "stop_s": stop_s,
        "beside_s": beside_s,
        "added_mb": added_mb,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2:])))
