"""Follow jobs until each has ended. The executions in AWS are the truth, this only looks on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from dropscribe import aws
from dropscribe.aws import Execution
from dropscribe.cli.course import Course
from dropscribe.cli.display import Display
from dropscribe.cli.stack import Job, Stack

LONGEST_START_S: Final = 120
"""From an upload to its execution: S3's event and the queue take seconds."""
LONGEST_SILENCE_S: Final = 600
"""Of AWS not answering, until we stop looking. The jobs run on."""
SLOWEST_PAUSE_S: Final = 10


@dataclass
class Watch:
    """One job that is being followed."""

    job: Job
    since: float = field(default_factory=time.monotonic)
    course: Course = field(default_factory=Course)
    execution: Execution | None = None
    """None until it has started."""

    @property
    def lost(self) -> bool:
        """It should have started long ago."""
        return self.execution is None and time.monotonic() - self.since > LONGEST_START_S

    @property
    def ended(self) -> bool:
        return self.execution is not None and not self.execution.running


def follow(stack: Stack, jobs: Sequence[Job], display: Display) -> Iterator[Watch]:
    """Each job as soon as it has ended, or has been found lost. Raises one of `aws.ERRORS`."""
    watches = [Watch(job) for job in jobs]
    started = answered = time.monotonic()
    while watches:
        try:
            for watch in list(watches):
                _look(watch, display)
                if watch.ended or watch.lost:
                    watches.remove(watch)
                    yield watch
            answered = time.monotonic()
        except aws.ERRORS as error:
            if not aws.is_transient(error) or time.monotonic() - answered > LONGEST_SILENCE_S:
                raise
            display.note(f"AWS does not answer ({aws.problem(error)}): still trying")
        if watches:
            time.sleep(_pause_s(stack, len(watches), time.monotonic() - started))


def _look(watch: Watch, display: Display) -> None:
    watch.execution = aws.execution(watch.job.arn)
    if watch.execution is None:
        display.at(watch.job.name, "waiting to start", 0)
        return
    watch.course.advance(aws.history_since(watch.job.arn, watch.course.last_event))
    if not watch.ended:
        display.at(watch.job.name, watch.course.label, watch.course.fraction)


def _pause_s(stack: Stack, jobs: int, elapsed_s: float) -> float:
    """Long jobs and many jobs are looked at less often: AWS limits the calls of an account."""
    slower = stack.pause_s * max(1 + elapsed_s / 120, jobs / 5)
    return min(slower, max(SLOWEST_PAUSE_S, stack.pause_s * jobs / 5))
