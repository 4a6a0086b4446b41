"""The executor: what is submitted, refused, and asked of Ray."""

from __future__ import annotations

import hashlib
import os
import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from providers.base import Capabilities, Launch
from providers.errors import ExecutorError, SettingsError
from providers.executors.folder import FolderExecutor, Look, command
from providers.executors.ray.client import Client, RayJob
from providers.executors.ray.settings import RaySettings, parse
from providers.files import write_private
from providers.runner import journal

if TYPE_CHECKING:
    from collections.abc import Mapping

# Ray's words for a job that is over (ray.job_submission.JobStatus); a new word is none of them.
OVER = {"STOPPED", "SUCCEEDED", "FAILED"}
# Given up, where no runner has begun, before anything ran: no node was free for 15 min
# (RAY_JOB_START_TIMEOUT_SECONDS), or the process that was to start it did not come up, or died.
NOT_BEGUN = {
    "JOB_SUPERVISOR_ACTOR_START_TIMEOUT", "JOB_SUPERVISOR_ACTOR_START_FAILURE",
    "JOB_SUPERVISOR_ACTOR_DIED",
}  # fmt: skip
# Which of an attempt's submissions is the one that counts, where it is not the first.
AGAIN = "ray.json"
# What Ray needs for its stop beyond the grace of ours.
MARGIN_S = 5.0


class Ray(FolderExecutor):
    """The nodes of one cluster that carry a region's resource."""

    capabilities = Capabilities(multi_region=True, assigns_gpus=True)
    # What a job that uses Ray itself needs, and the boards that Ray gave it.
    inherited = (
        "RAY_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR", "CUDA_VISIBLE_DEVICES",
        "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ONEAPI_DEVICE_SELECTOR",
    )  # fmt: skip

    def __init__(self, settings: RaySettings, token: str | None, **more: Any) -> None:
        super().__init__(**more)
        self._settings = settings
        self._client = Client(settings.address, token)

    def slots(self) -> int:
        """CPUs of all its nodes, in use or not."""
        return int(sum(node.get("CPU", 0.0) for node in self._nodes()))

    def assignable_gpus(self) -> tuple[int, int]:
        """Boards of the node that has most of them, and of all its nodes."""
        boards = [int(node.get("GPU", 0.0)) for node in self._nodes()]
        return max(boards), sum(boards)

    def submit(self, launch: Launch) -> None:
        """Submit under an id of the attempt's own: Ray itself takes it only once.

        After a refusal under a new one: the supervisor of the old may live on and hold its name,
        and each later job of that name then fails. So too where the id is another submitter's.

        What no node could ever run is refused here: Ray would let it wait, and cannot stop what
        waits (ray-project/ray#58353).
        """
        self._refuse_infeasible(launch)
        number = _number(launch)
        job = self._client.job(submission_id(launch, number))
        if job is not None and (job.metadata != mark(launch) or _look(job).stage == "refused"):
            # Written first: who dies before Ray has it submits the same one again.
            number += 1
            journal.write_json(Path(launch.run_dir) / AGAIN, {"number": number})
        settings = self._settings
        words = shlex.join(command(launch, settings.python, settings.packages))
        self._client.submit(
            {
                "submission_id": submission_id(launch, number),
                # The shell that Ray starts becomes the runner.
                "entrypoint": f"exec {words}",
                "entrypoint_num_cpus": launch.slots,
                "entrypoint_num_gpus": launch.gpu_count,
                "entrypoint_resources": (
                    {settings.resource: settings.amount} if settings.resource else {}
                ),
                "metadata": mark(launch),
                # Nothing of the daemon's environment. A stop by Ray's own means lets the runner
                # leave its receipt: Ray kills after 3 s otherwise.
                "runtime_env": {
                    "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": f"{launch.grace_s + MARGIN_S:.0f}"}
                },
            }
        )

    def look(self, launch: Launch) -> Look | None:
        """Ray's status; its log is kept beside the runner's where there is no receipt."""
        job = self._own(launch)
        if job is None:
            return None
        found = _look(job)
        if found.stage == "ended":
            self._keep_log(launch)
        return found

    def cancel(self, launch: Launch) -> None:
        """Ray's own stop."""
        if self._own(launch) is not None:
            self._client.stop(submission_id(launch, _number(launch)))

    def _own(self, launch: Launch) -> RayJob | None:
        """Ray's job for the attempt; None also where what has its id does not carry its mark."""
        job = self._client.job(submission_id(launch, _number(launch)))
        return job if job is not None and job.metadata == mark(launch) else None

    def _nodes(self) -> list[dict[str, float]]:
        """Those of the region; :class:`ExecutorError` where there is none."""
        wanted, nodes = self._settings.resource, self._client.nodes()
        found = [node for node in nodes if not wanted or node.get(wanted, 0.0) > 0]
        if not found:
            named = sorted({name for node in nodes for name in node if ":" in name})
            said = ", ".join(n for n in named if not n.startswith("node:")) or "none like it"
            raise ExecutorError(f"Ray has no node with the resource {wanted!r}: it has {said}")
        return found

    def _refuse_infeasible(self, launch: Launch) -> None:
        wanted, amount = self._settings.resource, self._settings.amount
        nodes = self._nodes()
        for node in nodes:
            has_place = not wanted or node[wanted] >= amount
            fits = node.get("CPU", 0.0) >= launch.slots and node.get("GPU", 0.0) >= launch.gpu_count
            if has_place and fits:
                return
        largest = max(nodes, key=lambda node: (node.get("GPU", 0.0), node.get("CPU", 0.0)))
        where = f" with {amount:g} of {wanted!r}" if wanted else ""
        raise ExecutorError(
            f"no node of Ray{where} has {launch.slots} CPUs and {launch.gpu_count} GPUs at once: "
            f"the largest has {largest.get('CPU', 0.0):g} and {largest.get('GPU', 0.0):g}; "
            "ask for less"
        )

    def _keep_log(self, launch: Launch) -> None:
        path = Path(launch.run_dir) / "ray.log"
        if path.exists():
            return
        with suppress(ExecutorError, OSError):
            log = self._client.log(submission_id(launch, _number(launch)))
            write_private(path, log)


def mark(launch: Launch) -> dict[str, str]:
    """What a job of ours carries in its metadata, beside the token's digest in its id."""
    return {"lowtide_job": launch.job_id, "lowtide_attempt": str(launch.attempt)}


def submission_id(launch: Launch, number: int = 1) -> str:
    """Ray's name of an attempt's ``number``-th submission; any user can read it: only ids.

    The token tells homes apart that count their jobs alike; a digest of it is safe in a URL.
    """
    digest = hashlib.sha256(launch.token.encode()).hexdigest()[:12]
    again = f"-{number}" if number > 1 else ""
    return f"lowtide-{launch.job_id}-{launch.attempt}-{digest}{again}"


def _number(launch: Launch) -> int:
    found = (journal.read_json(Path(launch.run_dir) / AGAIN) or {}).get("number")
    return found if isinstance(found, int) else 1


def _look(job: RayJob) -> Look:
    lines = [line for line in job.message.splitlines() if line.strip()]
    said = f"Ray: {job.status}" + (f", {lines[-1].strip()[:200]}" if lines else "")
    if job.status == "FAILED" and job.error in NOT_BEGUN:
        return Look("refused", said)
    if job.status in OVER:
        return Look("ended", said)
    return Look("waiting" if job.status == "PENDING" else "running", said)


def build(settings: Mapping[str, Any], base_dir: Path) -> Ray:
    """The cluster and its nodes as ``executors.ray`` and the region's ``engine`` describe them."""
    parsed = parse(settings)
    token = None
    if parsed.token_env is not None:
        token = os.environ.get(parsed.token_env)
        if not token:
            raise SettingsError(
                f"executors.ray.token_env: the environment variable {parsed.token_env} is not set"
            )
    return Ray(parsed, token)
