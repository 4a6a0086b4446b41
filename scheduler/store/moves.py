"""How a job may move from state to state."""

from __future__ import annotations

from scheduler.models import JobState

LEGAL_MOVES: frozenset[tuple[JobState, JobState]] = frozenset(
    {
        (JobState.QUEUED, JobState.PLANNED),
        (JobState.QUEUED, JobState.CANCELLED),
        (JobState.PLANNED, JobState.PLANNED),  # planned anew
        (JobState.PLANNED, JobState.STARTING),  # claimed
        (JobState.PLANNED, JobState.CANCELLED),
        (JobState.STARTING, JobState.RUNNING),
        (JobState.STARTING, JobState.PAUSED),
        (JobState.RUNNING, JobState.PAUSED),
        (JobState.PAUSED, JobState.PAUSED),  # planned anew
        (JobState.PAUSED, JobState.STARTING),  # what it checkpointed is run again
        (JobState.PAUSED, JobState.RUNNING),  # its stopped processes go on
        *(
            (start, end)
            for start in (JobState.STARTING, JobState.RUNNING, JobState.PAUSED)
            for end in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.LOST)
        ),
        (JobState.FAILED, JobState.QUEUED),  # retried
        (JobState.LOST, JobState.QUEUED),
    }
)
