"""Format: merge the chunk results, write every format and the receipt, compose the notification."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from dropscribe import __version__
from dropscribe.api import Answer
from dropscribe.aws import Bucket
from dropscribe.errors import Rejected
from dropscribe.formats import OUTPUTS, RECEIPT_SUFFIX
from dropscribe.job import (
    Call,
    Chunk,
    ChunkRecord,
    ChunkResult,
    Manifest,
    Totals,
    calls_prefix,
    chunk_record_key,
    transcript_key,
)
from dropscribe.messages import NotifyRequest
from dropscribe.notification import Data, attributes, notification, origin, subject
from dropscribe.options import Format
from dropscribe.publish import publish, retire_others, superseded
from dropscribe.receipt import OutputFile, receipt
from dropscribe.stages.transcribe import load_manifest
from dropscribe.transcript import Transcript, merge, parse_answer

_COMPLETED: Final = "transcription.job.completed"
_LATE: Final = (
    "a newer upload of the same name has its transcripts there already: "
    "the files of this one are kept apart, in the work bucket"
)
_Parts = Sequence[tuple[Chunk, Answer]]


def format_job(job_id: str, work: Bucket, transcripts: Bucket) -> NotifyRequest:
    """Write a job's outputs, compose its notification. Raises `Rejected`, `Unavailable`."""
    started = time.monotonic()
    manifest = load_manifest(work, job_id)
    records = [_read_record(work, job_id, chunk.index) for chunk in manifest.chunks]
    parts = [
        (chunk, _read_answer(work, record))
        for chunk, record in zip(manifest.chunks, records, strict=True)
    ]
    transcript = _merged(manifest, parts)
    work.write(transcript_key(job_id), transcript.model_dump_json())

    place = _Place(manifest, work, transcripts, late=superseded(transcripts, manifest.source))
    files = [_write(name, transcript, place) for name in manifest.formats]
    warnings = [*manifest.warnings, *([_LATE] if place.late else [])]
    timings_ms = manifest.timings_ms | {
        "transcribe": max(record.transcribe_ms for record in records),
        "format": round((time.monotonic() - started) * 1000),
    }
    written = receipt(
        manifest,
        transcript,
        _totals(work, job_id, records, parts),
        files,
        timings_ms=timings_ms,
        warnings=warnings,
        version=__version__,
    )
    place.put(RECEIPT_SUFFIX, written.model_dump_json().encode(), "application/json")
    if not place.late:
        kept = {OUTPUTS[name].suffix for name in manifest.formats}
        retire_others(transcripts, manifest.source, kept)
    return _notify(manifest, transcript, files, warnings)


@dataclass
class _Place:
    """Where files go: beside the upload's name, or apart when a newer upload's are there."""

    manifest: Manifest
    work: Bucket
    transcripts: Bucket
    late: bool

    def put(self, suffix: str, content: bytes, content_type: str) -> str:
        """Write one file and return its URI."""
        source, job_id = self.manifest.source, self.manifest.job_id
        if not self.late and publish(
            self.transcripts, source, job_id, suffix, content, content_type
        ):
            return self.transcripts.uri(source.key + suffix)
        self.late = True
        key = f"jobs/{job_id}/outputs/transcript{suffix}"
        self.work.write(key, content, content_type)
        return self.work.uri(key)


def _write(name: Format, transcript: Transcript, place: _Place) -> OutputFile:
    output = OUTPUTS[name]
    content = output.render(transcript, place.manifest.options).encode()
    uri = place.put(output.suffix, content, output.content_type)
    return OutputFile(format=name, uri=uri, size=len(content))


def _merged(manifest: Manifest, parts: _Parts) -> Transcript:
    """A translation is in English, whatever was spoken."""
    options = manifest.options
    told = "en" if options.task == "translate" else options.language
    return merge(parts, duration_ms=manifest.audio_ms, task=options.task, language=told)


def _notify(
    manifest: Manifest, transcript: Transcript, files: list[OutputFile], warnings: list[str]
) -> NotifyRequest:
    data = Data(
        job_id=manifest.job_id,
        source=origin(manifest.source),
        outputs={file.format: file.uri for file in files},
        engine=manifest.engine,
        model=manifest.model,
        language=transcript.language,
        audio_seconds=manifest.audio_ms / 1000,
        speakers=transcript.speakers,
        usage=transcript.usage or {},
        labels=manifest.options.labels,
        warnings=warnings,
        error=None,
    )
    message = notification(_COMPLETED, data, datetime.now(UTC))
    return NotifyRequest(
        subject=subject(_COMPLETED, manifest.source),
        message=message,
        attributes=attributes(message, manifest.options.tenant),
    )


def _totals(work: Bucket, job_id: str, records: Sequence[ChunkRecord], parts: _Parts) -> Totals:
    """Count this job's own calls from what was noted before and after each."""
    prefix = calls_prefix(job_id)
    calls = {key: _read_call(work, key) for key in work.keys(prefix)}
    states = Counter(call.state for call in calls.values())
    paid = {
        int(key.removeprefix(prefix).partition("-")[0])
        for key, call in calls.items()
        if call.state == "answered"
    }
    return Totals(
        made=len(calls),
        answered=states["answered"],
        refused=states["refused"],
        ambiguous=states["sent"],
        cached=sum(record.cached and record.index not in paid for record in records),
        usage=[a.usage for chunk, a in parts if a.usage and chunk.index in paid],
    )


def _read_call(work: Bucket, key: str) -> Call:
    return Call.model_validate_json(_read(work, key))


def _read_record(work: Bucket, job_id: str, index: int) -> ChunkRecord:
    return ChunkRecord.model_validate_json(_read(work, chunk_record_key(job_id, index)))


def _read_answer(work: Bucket, record: ChunkRecord) -> Answer:
    result = ChunkResult.model_validate_json(_read(work, record.result_key))
    return parse_answer(result.response_format, result.response)


def _read(work: Bucket, key: str) -> bytes:
    content = work.read(key)
    if content is None:
        raise Rejected(
            "internal", f"{work.uri(key)} is gone (the work bucket expires): upload again"
        )
    return content
