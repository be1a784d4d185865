"""Before a job runs again: what its failed execution still pays for is waited for.

When one chunk fails, the execution ends at once, and functions of other chunks go on, their
requests open. Who started these chunks again would pay for them twice.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

import click

from dropscribe import aws
from dropscribe.aws import Bucket, Task, Version
from dropscribe.cli.display import Show
from dropscribe.cli.forget import CLOCKS, written
from dropscribe.cli.stack import Job, Stack
from dropscribe.job import (
    Call,
    Manifest,
    asked_key,
    calls_prefix,
    chunk_record_key,
    manifest_key,
)

LONGEST_RUN: Final = timedelta(minutes=15)
"""Of a Lambda function."""
SOON: Final = timedelta(minutes=1)
"""A function that has begun, or has got the answer about its chunk and looks for holes in it, sends
a request within that time, or none."""


def await_answers(stack: Stack, job: Job, show: Show) -> None:
    """Wait until no function of the job's failed execution has a paid request open."""
    tasks = paying(stack, job)
    if tasks:
        until = (max(task.scheduled for task in tasks) + LONGEST_RUN).astimezone()
        click.echo(
            f"functions that still ask the API for {job.id}: {len(tasks)}; waiting for them, so "
            f"that nothing is paid twice, until {until:%H:%M:%S} at most",
            err=True,
        )
    while any(_is_paying(stack.work, job.id, task) for task in tasks):
        show(job.name, "waiting for the API", 0)
        time.sleep(stack.pause_s)


def paying(stack: Stack, job: Job) -> list[Task]:
    """Functions that had not ended when the execution failed, and have a request open, or soon."""
    run = aws.execution(job.arn)
    if run is None or not run.failed or run.forgotten or run.stopped is None:
        return []
    if datetime.now(UTC) > run.stopped + LONGEST_RUN or not _is_paid(stack.work, job.id):
        return []
    # Of those with a chunk, Align has no run: it pays for nothing.
    tasks = (task for task in aws.unfinished_tasks(run.arn) if "run" in task.payload)
    return [task for task in tasks if _is_paying(stack.work, job.id, task)]


def _is_paid(work: Bucket, job: str) -> bool:
    """Engines of our own ask nobody."""
    manifest = work.read(manifest_key(job))
    return manifest is not None and Manifest.model_validate_json(manifest).engine == "openai"


def _is_paying(work: Bucket, job: str, task: Task) -> bool:
    now, record = datetime.now(UTC), chunk_record_key(job, task.payload["chunk"])
    if now > task.scheduled + LONGEST_RUN or written(work, record, task.scheduled):
        return False
    calls = _calls(work, job, task)
    if any(_is_open(work, job, version.key, call) for version, call in calls):
        return True
    last = max((version.modified for version, _ in calls), default=task.scheduled)
    return now < last + SOON and not any(call.over for _, call in calls)


def _calls(work: Bucket, job: str, task: Task) -> list[tuple[Version, Call]]:
    """What the function has noted of its requests, those about holes in its chunk too."""
    since, run = task.scheduled - CLOCKS, task.payload["run"]
    prefix = f"{calls_prefix(job)}{task.payload['chunk']:05d}"
    noted = [version for version in work.versions(prefix) if version.latest]
    found = ((version, work.read(version.key)) for version in noted if version.modified > since)
    calls = [(version, Call.model_validate_json(told)) for version, told in found if told]
    return [(version, call) for version, call in calls if call.run == run]


def _is_open(work: Bucket, job: str, key: str, call: Call) -> bool:
    """Whether the request may still be answered, or be repeated where it was refused."""
    if call.over or call.state == "answered":
        return False
    piece = key.removeprefix(calls_prefix(job)).partition("-")[0]
    result = work.read(asked_key(job, piece))
    return result is None or work.head(result.decode()) is None
