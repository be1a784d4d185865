"""Fail: put on record and tell of an execution that failed, timed out or was stopped."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from pydantic import BaseModel, ConfigDict

from dropscribe import aws
from dropscribe.aws import Bucket
from dropscribe.errors import Failure, read_failure
from dropscribe.formats import ERROR_SUFFIX, LONGEST_KEY_BYTES
from dropscribe.job import (
    FORGOTTEN,
    INNER_STATES,
    RESERVED,
    STAGES,
    Manifest,
    Source,
    manifest_key,
    options_key,
)
from dropscribe.messages import ExecutionFailed, ExecutionInput
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


def fail(
    event: ExecutionFailed, transcripts: Bucket, work: Bucket, topic_arn: str
) -> Failure | None:
    """Write the error object, unless a newer upload's result is there, and publish.

    None where the news is old: the execution has been redriven since. None also where the recording
    was forgotten: nothing may be left of it.
    """
    detail = event.detail
    if detail.error == FORGOTTEN or (detail.input or {}).get(RESERVED):
        return None
    now = aws.execution(detail.execution_arn)
    if now is not None and (now.running or now.status == "SUCCEEDED"):
        return None
    job_id, source = detail.name, ExecutionInput.model_validate(detail.input).source
    failure = read_failure(detail.error or detail.status, detail.cause or "", _stage(event))
    options = _options(work, job_id)
    data = _data(job_id, source, failure, options, _manifest(work, job_id))
    message = notification(_FAILED, data, datetime.now(UTC))
    _record(transcripts, source, job_id, failure, message.timestamp)
    tenant = options.tenant if options else None
    aws.publish(
        topic_arn,
        subject(_FAILED, source),
        message.model_dump_json(),
        attributes(message, tenant),
    )
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


def _stage(event: ExecutionFailed) -> str:
    """That of the state which failed."""
    state = aws.last_state(event.detail.execution_arn) or "Normalize"
    return (STAGES | INNER_STATES)[state]


def _options(work: Bucket, job_id: str) -> JobOptions | None:
    """None where the job failed before they were known."""
    content = work.read(options_key(job_id))
    return JobOptions.model_validate_json(content) if content else None


def _manifest(work: Bucket, job_id: str) -> Manifest | None:
    """None where the job failed before it had one."""
    content = work.read(manifest_key(job_id))
    return Manifest.model_validate_json(content) if content else None


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
