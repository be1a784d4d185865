"""Ingest: one execution for each uploaded object version."""

from __future__ import annotations

from collections.abc import Iterator

from dropscribe import aws
from dropscribe.job import Source, job_id_of
from dropscribe.messages import ExecutionInput, UploadNotification
from dropscribe.options import is_option_file


def uploads(body: str) -> Iterator[Source]:
    """The recordings that a queue message tells of: no option files, no "folders", no S3 test."""
    for record in UploadNotification.model_validate_json(body).records:
        source = record.source
        if not is_option_file(source.key) and not source.key.endswith("/"):
            yield source


def start(source: Source, state_machine_arn: str) -> bool:
    """Start the job of an upload; False where an earlier event about it has done so."""
    data = ExecutionInput(source=source).model_dump(mode="json")
    return aws.start_execution(state_machine_arn, job_id_of(source), data)
