"""What the steps of a job have kept in the work bucket, for those after them."""

from __future__ import annotations

from dropscribe.aws import Bucket
from dropscribe.errors import Rejected
from dropscribe.job import ChunkRecord, Manifest, chunk_record_key, manifest_key


def load_manifest(work: Bucket, job_id: str) -> Manifest:
    """Raises `Rejected` where the work bucket no longer has it."""
    return Manifest.model_validate_json(read(work, manifest_key(job_id)))


def load_record(work: Bucket, job_id: str, index: int) -> ChunkRecord:
    """Raises `Rejected` where the work bucket no longer has it."""
    return ChunkRecord.model_validate_json(read(work, chunk_record_key(job_id, index)))


def read(work: Bucket, key: str) -> bytes:
    """An object that an earlier step left. Raises `Rejected` where it is gone."""
    content = work.read(key)
    if content is None:
        raise Rejected(
            "internal", f"{work.uri(key)} is gone (the work bucket expires): upload again"
        )
    return content
