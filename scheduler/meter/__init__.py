"""Metering without a queue: a command (``lowtide meter``), or a part of a program::

    from scheduler.meter import track

    with track(zone="DE") as run:
        train()
    print(run.report())

Importing it is cheap: what settles a run is loaded when a report is asked for.
"""

from scheduler.meter.tracking import Run, track

__all__ = ["Run", "track"]
