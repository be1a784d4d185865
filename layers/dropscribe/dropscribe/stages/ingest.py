"""Ingest: each uploaded object version becomes a job that waits for its turn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from pydantic import TypeAdapter

from dropscribe import aws
from dropscribe.aws import Bucket
from dropscribe.errors import Rejected
from dropscribe.formats import LONGEST_KEY_BYTES
from dropscribe.job import Source, job_id_of
from dropscribe.messages import ExecutionInput, SetupNotification, UploadNotification
from dropscribe.options import (
    LARGEST_OPTION_FILE_BYTES,
    SPEAKERS_FOLDER,
    Layer,
    file_layer,
    is_option_file,
    metadata_layer,
    option_file_keys,
)

LARGEST_READ_BYTES: Final = 256 << 10
"""Of an option file, where only the tenant is wanted: ten uploads at once must not take long, nor
much memory. In a larger one are voices, and nobody's tenant is found."""
_MESSAGES: Final = TypeAdapter[UploadNotification | SetupNotification](
    UploadNotification | SetupNotification
)


def uploads(body: str) -> Iterator[Source]:
    """The recordings that a queue message tells of.

    Raises `ValueError` for what is no message of S3, so that it ends in the dead-letter queue.
    """
    message = _MESSAGES.validate_json(body)
    records = message.records if isinstance(message, UploadNotification) else []
    return (record.source for record in records if is_recording(record.source))


def is_recording(source: Source) -> bool:
    """Not so option files, known speakers' voices and "folders"."""
    is_folder = source.key.endswith("/") and source.size == 0
    is_other = is_option_file(source.key) or source.key.startswith(SPEAKERS_FOLDER)
    return not is_folder and not is_other


def enqueue(source: Source, queue_url: str) -> str:
    """Put the job of an upload in the queue of jobs, in its tenant's line; the job's id.

    One that is put there twice starts once: its execution has a name.
    """
    job = ExecutionInput(job_id=job_id_of(source), source=source)
    line = hashlib.sha256((tenant(source) or "").encode()).hexdigest()[:32]
    # ASCII: SQS refuses U+FFFE and U+FFFF, which a key may have.
    aws.send_message(queue_url, job.model_dump_json(ensure_ascii=True), line)
    return job.job_id


def tenant(source: Source) -> str | None:
    """Whose upload it is, by its options; None also where these cannot be read.

    In which line a job waits is no reason to lose it: what is wrong with it, normalize says. Raises
    where S3 does not answer for now.
    """
    found = None
    try:
        for layer in option_layers(source, LARGEST_READ_BYTES):
            found = layer.values.get("tenant", found)
    except Exception as error:
        if isinstance(error, aws.ERRORS) and aws.is_transient(error):
            raise
        return None
    return found if isinstance(found, str) else None


def option_layers(
    source: Source, largest_bytes: int = LARGEST_OPTION_FILE_BYTES
) -> Iterator[Layer]:
    """The options beside and on an upload, in the order in which they apply.

    `largest_bytes`: of a file; a larger one is refused. Raises `Rejected`: one of them cannot be
    read, or the upload is gone.
    """
    bucket = Bucket(source.bucket)
    for key in option_file_keys(source.key):
        if len(key.encode()) > LONGEST_KEY_BYTES:
            continue
        content = bucket.read(key, largest_bytes)
        if content is not None:
            yield file_layer(key, content)
    upload = bucket.head(source.key, source.version_id)
    if upload is None:
        raise gone()
    yield metadata_layer(upload.metadata)


def gone() -> Rejected:
    return Rejected("not_media", "the upload was deleted before it could be read: upload it again")
