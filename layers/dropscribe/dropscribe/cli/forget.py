"""`dropscribe forget`: end a recording's jobs, then delete every trace of it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import click

from dropscribe import aws
from dropscribe.aws import Bucket, Execution, Task, Version
from dropscribe.cli.display import printable
from dropscribe.cli.stack import Stack
from dropscribe.formats import RECEIPT_SUFFIX
from dropscribe.job import (
    FORGOTTEN,
    RESERVED,
    UNANSWERED,
    Source,
    chunk_record_key,
    job_of_run,
    late_output_key,
    manifest_key,
    reported_key,
    stop_key,
    stopped_key,
)
from dropscribe.messages import ExecutionInput
from dropscribe.publish import JOB
from dropscribe.traces import Recording, Removed, Traces

LONGEST_IN_QUEUES: Final = timedelta(days=28)
"""An upload's message waits 14 days at most in each queue on its way to becoming a job."""
REPORTED_WITHIN: Final = timedelta(minutes=1)
"""After a job failed: as a rule it takes seconds."""
LONGEST_AT_WORK: Final = timedelta(days=1)
"""After an execution's end no function of it is at work; the template's are much quicker."""
CLOCKS: Final = timedelta(seconds=2)
"""S3 tells when an object was written in whole seconds."""

REMAINS: Final = (
    "Step Functions keeps its history for 90 days: key, job ids, labels, messages of errors.",
    "Logs keep job ids and messages of errors, for LogRetentionDays, or else RetentionDays.",
    "CloudTrail and access logs of S3 keep the key, where you have them.",
    "Notifications that were sent are with whoever got them; they hold no text of the recording.",
    "Messages in queues and dead-letter queues keep the key for 14 days at most.",
    "A failure that is told late may leave an error object again: then run this once more.",
    "A provider of the API that transcribed it keeps what its own terms say.",
    "Whoever downloaded the recording or its transcripts has them still.",
    "An identical recording had the same cached answers: they are gone for both.",
)
"""What this command cannot delete."""
_NEW: Final = "not tried, or new since"


def forget(stack: Stack, key: str, *, yes: bool, as_json: bool) -> int:
    """The exit code: 1 where something is left."""
    recording = Recording(key, stack.uploads, stack.transcripts, stack.work)
    jobs, removed = _jobs(stack, recording), Removed()
    traces = recording.traces(jobs)
    if jobs or traces:
        if not yes:
            _ask(stack, traces)
        _Ending(stack, recording).end(jobs)
        recording.traces(jobs).delete(removed)
        jobs |= _jobs(stack, recording)
        removed.left = list(recording.traces(jobs).uris())
    (_print_json if as_json else _print)(stack, key, sorted(jobs), removed)
    return int(bool(removed.left))


def _jobs(stack: Stack, recording: Recording) -> set[str]:
    """Those that left something, and those that run and have left nothing yet."""

    def key_of(job: str) -> str | None:
        execution = aws.latest_run(stack.pipeline_arn, job)
        return _source(execution).key if execution else None

    runs = map(job_of_run, aws.running_executions(stack.pipeline_arn))
    running = filter(recording.may_be_mine, runs)
    return recording.jobs(key_of) | {job for job in running if key_of(job) == recording.key}


def _source(execution: Execution) -> Source:
    return ExecutionInput.model_validate_json(execution.input).source


def _ask(stack: Stack, traces: Traces) -> None:
    """Raises `UsageError` where nobody can answer, `Abort` where the answer is no."""
    if not sys.stdin.isatty():
        raise click.UsageError("this deletes for good, and nobody can be asked here: give --yes")
    for kind, versions in traces.versions.items():
        click.echo(f"  {kind:<20} {_told(len(versions), _size(versions))}", err=True)
    key = printable(traces.recording.key)
    click.confirm(f"Delete {key} from {stack.name} for good?", abort=True, err=True)


@dataclass(frozen=True)
class _Ending:
    """Sees to it that no job of a recording writes anything any more."""

    stack: Stack
    recording: Recording

    def end(self, jobs: Iterable[str]) -> None:
        uploaded = self.recording.uploaded()
        for job in jobs:
            self._stop(job, uploaded.get(job))
        tasks = [(job, task) for job in jobs for task in self._at_work(job)]
        if tasks:
            until = max(task.until for _, task in tasks).astimezone()
            click.echo(
                f"functions still at work for it: {len(tasks)}; waiting for them, "
                f"until {until:%H:%M:%S} at most",
                err=True,
            )
        while any(self._is_at_work(job, task) for job, task in tasks):
            time.sleep(self.stack.pause_s)
        while any(self._is_to_be_reported(job) for job in jobs):
            time.sleep(self.stack.pause_s)

    def _stop(self, job: str, upload: Version | None) -> None:
        """Stop the job's execution. Where it has none, see to it that it never gets one."""
        execution = self._run(job)
        waits = upload is not None and datetime.now(UTC) - upload.modified < LONGEST_IN_QUEUES
        if execution is None and waits:
            self._reserve(job)
            execution = self._run(job)
        if execution is None or execution.status == "SUCCEEDED":
            return
        # Whoever is at work sends no more requests, from here on.
        self.stack.work.write(stop_key(job), b"", "text/plain")
        if execution.running:
            aws.stop_execution(execution.arn, FORGOTTEN, "dropscribe forget")
        while (execution := self._run(job)) and execution.running:
            time.sleep(self.stack.pause_s)

    def _run(self, job: str) -> Execution | None:
        return aws.latest_run(self.stack.pipeline_arn, job)

    def _reserve(self, job: str) -> None:
        """Take the job's name, so that an event about the upload which comes yet starts nothing.

        The execution finds no upload, and its history no key.
        """
        nothing = Source(
            bucket=self.stack.uploads.name,
            key=f"({RESERVED})",
            etag="",
            size=0,
            uploaded_at=datetime.now(UTC).isoformat(),
        )
        data = ExecutionInput(job_id=job, source=nothing).model_dump(mode="json") | {RESERVED: True}
        aws.start_execution(self.stack.pipeline_arn, job, data)

    def _at_work(self, job: str) -> list[Task]:
        """Functions that had not ended when the job's execution did: nothing stops these.

        Not even where it has succeeded: when one chunk cannot be aligned, others are not awaited.
        """
        execution = self._run(job)
        if execution is None or execution.stopped is None:
            return []
        reserved = RESERVED in json.loads(execution.input)
        if reserved or datetime.now(UTC) - execution.stopped > LONGEST_AT_WORK:
            return []
        tasks = aws.unfinished_tasks(execution.arn)
        return [task for task in tasks if self._is_at_work(job, task)]

    def _is_at_work(self, job: str, task: Task) -> bool:
        return datetime.now(UTC) < task.until and not self._has_ended(job, task)

    def _has_ended(self, job: str, task: Task) -> bool:
        """Whether there is what its function writes last."""
        work, payload = self.stack.work, task.payload
        if "chunk" in payload:
            index = payload["chunk"]
            last = [chunk_record_key(job, index), stopped_key(job, f"{index:05d}")]
            if "align" in payload and self._is_unanswered(last[0]):
                last = last[1:]
        elif "source" in payload:
            last = [manifest_key(job)]
        else:
            last = [late_output_key(job, RECEIPT_SUFFIX)]
            receipt = self.recording.key + RECEIPT_SUFFIX
            receipts = written(self.stack.transcripts, receipt, task.scheduled)
            if any(self._is_of(job, version) for version in receipts):
                return True
        return any(written(work, key, task.scheduled) for key in last)

    def _is_unanswered(self, record: str) -> bool:
        """The step before Align writes the same record, and so does a run of it that begins."""
        return UNANSWERED.encode() in (self.stack.work.read(record) or b"")

    def _is_to_be_reported(self, job: str) -> bool:
        """Whether its failure may still be about to be told, and noted."""
        execution = self._run(job)
        if execution is None or execution.stopped is None or execution.status == "SUCCEEDED":
            return False
        if execution.forgotten:
            return False
        if datetime.now(UTC) - execution.stopped > REPORTED_WITHIN:
            return False
        return not written(self.stack.work, reported_key(job), execution.stopped)

    def _is_of(self, job: str, output: Version) -> bool:
        if output.size is None:
            return False
        stored = self.stack.transcripts.head(output.key, output.id)
        return stored is not None and stored.metadata.get(JOB) == job


def written(bucket: Bucket, key: str, since: datetime) -> list[Version]:
    """Versions of an object that are not older."""
    versions = (version for version in bucket.versions_of(key) if version.size is not None)
    return [version for version in versions if version.modified > since - CLOCKS]


def _print_json(stack: Stack, key: str, jobs: list[str], removed: Removed) -> None:
    document = {
        "key": key,
        "stack": stack.name,
        "job_ids": jobs,
        "removed": {
            kind: {"versions": count, "bytes": removed.sizes[kind]}
            for kind, count in removed.counts.items()
        },
        "unfinished_uploads": removed.unfinished_uploads,
        "left": {uri: removed.failed.get(uri, _NEW) for uri in removed.left},
        "remains": REMAINS,
    }
    click.echo(json.dumps(document, indent=2))


def _print(stack: Stack, key: str, jobs: list[str], removed: Removed) -> None:
    name = printable(key)
    if not (jobs or removed.counts or removed.left):
        click.echo(f"Nothing of {name} is kept in {stack.name}.")
        return
    click.echo(f"Removed of {name}, with all versions:")
    for kind, count in removed.counts.items():
        click.echo(f"  {kind:<20} {_told(count, removed.sizes[kind])}")
    click.echo(f"  {'unfinished uploads':<20} {removed.unfinished_uploads:>6}")
    for job in jobs:
        click.echo(f"  job {job}")
    if removed.left:
        click.echo("Not removed; run the command again once the cause is mended:")
        for uri in removed.left:
            click.echo(f"  {printable(uri)}: {removed.failed.get(uri, _NEW)}")
    click.echo("What this command cannot remove:")
    for text in REMAINS:
        click.echo(f"  - {text}")


def _told(count: int, size: int) -> str:
    return f"{count:>6}   {size:,} bytes"


def _size(versions: Iterable[Version]) -> int:
    return sum(version.size or 0 for version in versions)
