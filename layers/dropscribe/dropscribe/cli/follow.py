"""Follow jobs until each has ended. The executions in AWS are the truth, this only looks on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from dropscribe import aws
from dropscribe.aws import Execution
from dropscribe.cli.display import Show
from dropscribe.cli.stack import Job, Stack
from dropscribe.errors import Failure, read_failure
from dropscribe.job import STAGES

LONGEST_START_S: Final = 120
"""From an upload to its execution: S3's event and the queue take seconds."""
CALLS_PER_S: Final = 5
"""Of each kind, at most: Step Functions refills an account's allowance by 15 a second."""

_SHARES: Final = {"normalize": 0.15, "transcribe": 0.7, "format": 0.1, "notify": 0.05}
"""Roughly, of a job's time: for a progress bar that moves evenly."""
_TRANSCRIBING: Final = ("TranscribeLeaders", "TranscribeChunks")
_ENDED_BADLY: Final = ("ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted")


@dataclass
class Step:
    """One stage, entered once; a redrive enters it again."""

    stage: str
    entered: datetime
    ended: datetime | None = None
    outcome: str = "running"
    """`running`, `completed` or `failed`."""
    failed_tries: int = 0


@dataclass
class Course:
    """Where a job is, from its execution's history: `advance` it by each new event. Pure."""

    steps: list[Step] = field(default_factory=list)
    chunks: int = 0
    """In all; 0 until known."""
    ahead: int = 0
    """Of these, in the Map before this one."""
    transcribed: set[int] = field(default_factory=set)
    """Iterations of this Map that are done."""
    trouble: Failure | None = None
    """The last failed try of the running stage."""
    last_event: int = 0
    counting: bool = False
    """Whether the Map is one that transcribes: words may be aligned in another one after it."""

    def advance(self, events: Iterable[dict[str, Any]]) -> None:
        for event in events:
            self._advance(event)
            self.last_event = event["id"]

    @property
    def stage(self) -> str | None:
        return self.steps[-1].stage if self.steps else None

    @property
    def fraction(self) -> float:
        """0 to 1."""
        stages = list(_SHARES)
        if self.stage not in stages:
            return 0.0
        before = sum(_SHARES[stage] for stage in stages[: stages.index(self.stage)])
        within = self.done / self.chunks if self.chunks else 0.0
        return before + (_SHARES["transcribe"] * within if self.stage == "transcribe" else 0.0)

    @property
    def done(self) -> int:
        """Chunks."""
        return self.ahead + len(self.transcribed)

    @property
    def label(self) -> str:
        """What goes on, in a few words."""
        label = self.stage or "starting"
        if self.stage == "transcribe" and self.chunks:
            label += f" {self.done} of {self.chunks}"
        return f"{label}, again after {self.trouble.code}" if self.trouble else label

    def _advance(self, event: dict[str, Any]) -> None:
        kind, when = event["type"], event["timestamp"]
        if kind.endswith("StateEntered"):
            self._enter(event["stateEnteredEventDetails"]["name"], when)
        elif kind.endswith("StateExited"):
            self._exit(event["stateExitedEventDetails"]["name"], when)
        elif kind == "MapStateStarted" and self.counting:
            self.transcribed = set()
            self.chunks = self.ahead + event["mapStateStartedEventDetails"]["length"]
        elif kind == "MapIterationSucceeded":
            self.trouble = None
            if self.counting:
                self.transcribed.add(event["mapIterationSucceededEventDetails"]["index"])
        elif kind in ("TaskFailed", "TaskTimedOut"):
            details = event.get("taskFailedEventDetails") or event.get("taskTimedOutEventDetails")
            self._stumble(details or {})
        elif kind == "TaskSucceeded":
            self.trouble = None
        elif kind in _ENDED_BADLY:
            self._end("failed", when)
        elif kind == "ExecutionRedriven" and self.steps:
            self.steps.append(Step(self.steps[-1].stage, when))
            self.trouble = None

    def _enter(self, state: str, when: datetime) -> None:
        """A redrive has entered its stage already; two states may be one stage."""
        if state in STAGES:
            self.counting = state in _TRANSCRIBING
        stage = STAGES.get(state)
        if stage and self.stage == stage and self.steps[-1].outcome != "failed":
            self.steps[-1].ended, self.steps[-1].outcome = None, "running"
        elif stage:
            self.steps.append(Step(stage, when))

    def _exit(self, state: str, when: datetime) -> None:
        if state in STAGES:
            # Also after a failure that was caught.
            self.trouble = None
            self._end("completed", when)
        if state == "TranscribeLeaders":
            self.ahead = len(self.transcribed)

    def _end(self, outcome: str, when: datetime) -> None:
        if self.steps and self.steps[-1].outcome == "running":
            self.steps[-1].ended, self.steps[-1].outcome = when, outcome

    def _stumble(self, details: dict[str, Any]) -> None:
        error, cause = details.get("error", ""), details.get("cause", "")
        self.trouble = read_failure(error, cause, self.stage or "normalize")
        if self.steps:
            self.steps[-1].failed_tries += 1


@dataclass
class Watch:
    """One job as it stood at the last look."""

    job: Job
    execution: Execution | None = None
    """None until it has started."""
    course: Course = field(default_factory=Course)

    @property
    def status(self) -> str:
        """`waiting`, `running`, `completed` or `failed`."""
        if self.execution is None:
            return "waiting"
        if self.execution.running:
            return "running"
        return "completed" if self.execution.output is not None else "failed"

    @property
    def error(self) -> Failure | None:
        """Of a job that failed."""
        if self.execution is None or self.status != "failed":
            return None
        error = self.execution.error or self.execution.status
        stage = self.course.stage or "normalize"
        return read_failure(error, self.execution.cause or "", stage)

    def look(self) -> None:
        self.execution = aws.execution(self.job.arn)
        if self.execution:
            self.course.advance(aws.history_since(self.job.arn, self.course.last_event))


def _in_line(stack: Stack) -> bool:
    """Whether uploads or jobs, of whomever, wait for their turn."""
    return any(aws.messages_in(stack.queue_urls[name]) for name in ("uploads", "jobs"))


def follow(stack: Stack, jobs: Sequence[Job], show: Show) -> Iterator[Watch]:
    """Each job as soon as it has ended, or should have started long ago and none is in line."""
    watches, began = [Watch(job) for job in jobs], time.monotonic()
    while watches:
        late = time.monotonic() - began > LONGEST_START_S
        if late and any(watch.execution is None for watch in watches) and _in_line(stack):
            late, began = False, time.monotonic()
        for watch in list(watches):
            watch.look()
            if watch.status in ("completed", "failed") or (late and watch.execution is None):
                watches.remove(watch)
                yield watch
            elif watch.execution:
                show(watch.job.name, watch.course.label, watch.course.fraction)
        if watches:
            time.sleep(max(stack.pause_s, len(watches) / CALLS_PER_S))
