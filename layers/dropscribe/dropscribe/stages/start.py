"""Start: a job leaves the queue and begins, as soon as there is room for it.

What waits, waits in the queue: there one tenant's flood is passed by the others' few.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from dropscribe import aws
from dropscribe.messages import ExecutionInput


def start(
    job: ExecutionInput,
    state_machine_arn: str,
    max_jobs: int,
    deadline: float,
    look_every_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> bool | None:
    """Start a job's execution while fewer than `max_jobs` run.

    False where it has been started before. None: there was no room until `deadline`
    (`time.monotonic()`), though it was looked for every `look_every_s`. One or two more than
    `max_jobs` may run, as two functions look at once.
    """
    while not _is_room(state_machine_arn, max_jobs):
        pause_s = look_every_s * random.uniform(0.75, 1.25)
        if time.monotonic() + pause_s > deadline:
            return None
        sleep(pause_s)
    return aws.start_execution(state_machine_arn, job.job_id, job.model_dump(mode="json"))


def _is_room(state_machine_arn: str, max_jobs: int) -> bool:
    """No where Step Functions has been asked too often to say."""
    try:
        return max_jobs > 0 and aws.count_running(state_machine_arn, max_jobs) < max_jobs
    except aws.ERRORS as error:
        if aws.is_transient(error):
            return False
        raise
