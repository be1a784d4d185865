"""Transcribe: one chunk through its engine, unless its answer is known already."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dropscribe import models
from dropscribe.aws import Bucket
from dropscribe.engines import Engine, request_for, result_key
from dropscribe.errors import JobError, Rejected
from dropscribe.job import (
    Call,
    Chunk,
    ChunkRecord,
    ChunkResult,
    Manifest,
    calls_prefix,
    chunk_record_key,
    manifest_key,
)
from dropscribe.timestamps import timestamp


@dataclass(frozen=True)
class CallLog:
    """Paid requests of one chunk, each an object in the work bucket before it is sent."""

    work: Bucket
    prefix: str

    def sent(self) -> str:
        key = f"{self.prefix}{uuid.uuid4().hex}.json"
        self.work.write(key, Call(state="sent").model_dump_json())
        return key

    def concluded(self, call: str, state: str) -> None:
        self.work.write(call, Call(state=state).model_dump_json())


def transcribe(
    job_id: str, index: int, work: Bucket, engine_for: Callable[[str], tuple[Engine, str]]
) -> ChunkRecord:
    """Get one chunk's answer and note where it is. Raises `Rejected` or `Unavailable`.

    `engine_for`: an engine's name → the engine and its endpoint.
    """
    started = time.monotonic()
    manifest = load_manifest(work, job_id)
    chunk = manifest.chunks[index]
    engine, endpoint = engine_for(manifest.engine)
    model = models.choose(
        manifest.options.model_copy(update={"model": manifest.model}), datetime.now(UTC).date()
    )
    request = request_for(manifest.options, model)
    key = result_key(chunk.sha256, endpoint, request)
    cached = work.head(key) is not None
    if not cached:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "chunk.flac"
            if work.download(chunk.key, path) is None:
                raise Rejected("internal", f"{work.uri(chunk.key)} is gone: upload again")
            calls = CallLog(work, f"{calls_prefix(job_id)}{index:05d}-")
            try:
                answer = engine(path, request, calls)
            except JobError as error:
                raise type(error)(error.code, f"{_place(chunk)}: {error.message}") from error
        result = ChunkResult(
            engine=manifest.engine,
            model=manifest.model,
            response_format=request.response_format,
            response=answer.model_dump(mode="json", exclude_unset=True),
        )
        # Whoever was first keeps its answer: two jobs that ran at once then agree.
        work.write_if(key, result.model_dump_json().encode(), replacing=None)
    record = ChunkRecord(
        index=index,
        result_key=key,
        cached=cached,
        transcribe_ms=round((time.monotonic() - started) * 1000),
    )
    work.write(chunk_record_key(job_id, index), record.model_dump_json())
    return record


def load_manifest(work: Bucket, job_id: str) -> Manifest:
    """Raises `Rejected` where the work bucket no longer has it."""
    content = work.read(manifest_key(job_id))
    if content is None:
        raise Rejected("internal", f"{work.uri(manifest_key(job_id))} is gone: upload again")
    return Manifest.model_validate_json(content)


def _place(chunk: Chunk) -> str:
    """Which part of the recording, for people."""
    end_ms = chunk.start_ms + chunk.duration_ms
    channel = "" if chunk.channel is None else f", channel {chunk.channel + 1}"
    return f"chunk {chunk.index} ({timestamp(chunk.start_ms)} to {timestamp(end_ms)}{channel})"
