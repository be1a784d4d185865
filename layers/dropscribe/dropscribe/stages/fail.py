"""Fail: put on record and tell of an execution that failed, timed out or was stopped."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from dropscribe import aws
from dropscribe.aws import Bucket
from dropscribe.errors import Failure, Unavailable, read_failure
from dropscribe.formats import ERROR_SUFFIX, LONGEST_KEY_BYTES
from dropscribe.job import (
    INNER_STATES,
    STAGES,
    Manifest,
    Reported,
    Source,
    manifest_key,
    options_key,
    reported_key,
    run_after,
)
from dropscribe.messages import ExecutionInput
from dropscribe.notification import Data, Origin, attributes, notification, origin, subject
from dropscribe.options import JobOptions
from dropscribe.publish import Document, publish, superseded

_FAILED: Final = "transcription.job.failed"


class ErrorObject(BaseModel):
    """`<key>.error.json`."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    source: Origin
    error: Failure
    timestamp: str
    redrive: str | None
    """The command that runs the job again from where it failed; None where that cannot help."""


@dataclass(frozen=True)
class Desk:
    """Where failures are written and told."""

    transcripts: Bucket
    work: Bucket
    topic_arn: str


def fail(execution_arn: str, desk: Desk) -> Failure | None:
    """Write the error object, unless a newer upload's result is there, and publish.

    None where there is no news: it was told already, or the job has been run again since. None also
    where the recording was forgotten: nothing may be left of it.
    """
    run = aws.execution(execution_arn)
    if run is None:
        raise Unavailable("internal", f"{execution_arn} is not to be found (yet)")
    if not run.failed or run.forgotten:
        return None
    job = ExecutionInput.model_validate_json(run.input)
    reported = Reported(execution_arn=run.arn, stopped=run.stopped or run.started)
    if desk.work.read(reported_key(job.job_id)) == reported.model_dump_json().encode():
        return None
    if aws.execution(run_after(run.arn)):
        return None
    failure = read_failure(run.error or run.status, run.cause or "", _stage(run.arn))
    options = _options(desk.work, job.job_id)
    data = _data(job.job_id, job.source, failure, options, _manifest(desk.work, job.job_id))
    message = notification(_FAILED, data, datetime.now(UTC))
    _record(desk.transcripts, job.source, job.job_id, failure, message.timestamp)
    tenant = options.tenant if options else None
    aws.publish(
        desk.topic_arn,
        subject(_FAILED, job.source),
        # ASCII, as queues may subscribe: see `ingest.enqueue`.
        message.model_dump_json(ensure_ascii=True),
        attributes(message, tenant),
    )
    desk.work.write(reported_key(job.job_id), reported.model_dump_json())
    return failure


def _record(
    transcripts: Bucket, source: Source, job_id: str, failure: Failure, timestamp: str
) -> None:
    """Write the error object.

    Not where the key is too long for one, and not beside transcripts that are there in full while
    only the news of them could not be sent.
    """
    fits = len((source.key + ERROR_SUFFIX).encode()) <= LONGEST_KEY_BYTES
    delivered = failure.stage == "notify"
    if not fits or delivered or superseded(transcripts, source):
        return
    written = ErrorObject(
        job_id=job_id,
        source=origin(source),
        error=failure,
        timestamp=timestamp,
        redrive=f"dropscribe redrive {job_id}" if failure.retryable else None,
    )
    content = written.model_dump_json().encode()
    publish(transcripts, source, job_id, Document(ERROR_SUFFIX, content, "application/json"))


def _stage(execution_arn: str) -> str:
    """That of the state which failed."""
    state = aws.last_state(execution_arn) or "Normalize"
    return (STAGES | INNER_STATES)[state]


def _options(work: Bucket, job_id: str) -> JobOptions | None:
    """None where the job failed before they were known, or another version has written them."""
    content = work.read(options_key(job_id))
    with suppress(ValidationError):
        return JobOptions.model_validate_json(content) if content else None
    return None


def _manifest(work: Bucket, job_id: str) -> Manifest | None:
    """None where the job failed before it had one, or another version has written it."""
    content = work.read(manifest_key(job_id))
    with suppress(ValidationError):
        return Manifest.model_validate_json(content) if content else None
    return None


def _data(
    job_id: str,
    source: Source,
    failure: Failure,
    options: JobOptions | None,
    manifest: Manifest | None,
) -> Data:
    return Data(
        job_id=job_id,
        source=origin(source),
        outputs={},
        engine=options.engine if options else None,
        model=manifest.model if manifest else None,
        language=None,
        audio_seconds=manifest.audio_ms / 1000 if manifest else None,
        speakers=[],
        usage={},
        labels=options.labels if options else {},
        warnings=manifest.warnings if manifest else [],
        error=failure,
    )
