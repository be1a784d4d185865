"""Ingest: one execution for each uploaded object version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydantic import TypeAdapter

from dropscribe import aws
from dropscribe.job import Source, job_id_of
from dropscribe.messages import ExecutionInput, SetupNotification, UploadNotification
from dropscribe.options import SPEAKERS_FOLDER, is_option_file

_MESSAGES: Final = TypeAdapter[UploadNotification | SetupNotification](
    UploadNotification | SetupNotification
)


def uploads(body: str) -> Iterator[Source]:
    """The recordings that a queue message tells of.

    Option files, known speakers' voices, "folders" and S3's test are none.

    Raises `ValueError` for any other message, so that it ends in the dead-letter queue.
    """
    message = _MESSAGES.validate_json(body)
    for record in message.records if isinstance(message, UploadNotification) else []:
        source = record.source
        is_folder = source.key.endswith("/") and source.size == 0
        is_other = is_option_file(source.key) or source.key.startswith(SPEAKERS_FOLDER)
        if not is_folder and not is_other:
            yield source


def start(source: Source, state_machine_arn: str) -> bool:
    """Start the job of an upload; False where an earlier event about it has done so."""
    data = ExecutionInput(source=source).model_dump(mode="json")
    return aws.start_execution(state_machine_arn, job_id_of(source), data)
