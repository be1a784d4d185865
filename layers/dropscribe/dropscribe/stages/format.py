"""Format: merge the chunk results, write every format and the receipt, compose the notification."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from dropscribe.api import Answer, DurationUsage, Format
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
    late_output_key,
    transcript_key,
)
from dropscribe.messages import NotifyRequest
from dropscribe.notification import Data, attributes, notification, origin, subject
from dropscribe.publish import Document, publish_all, retire_others
from dropscribe.receipt import Billing, OutputFile, Receipt, receipt
from dropscribe.stages.transcribe import load_manifest
from dropscribe.transcript import Transcript, add_usage, merge, parse_answer

_COMPLETED: Final = "transcription.job.completed"
_LATE: Final = (
    "a newer upload of the same name has its transcripts there already: "
    "the files of this one are kept apart, in the work bucket"
)


@dataclass(frozen=True)
class _Job:
    """What the steps before have left of a job."""

    work: Bucket
    manifest: Manifest
    records: list[ChunkRecord]
    answers: list[Answer]

    @property
    def parts(self) -> Iterable[tuple[Chunk, Answer]]:
        return zip(self.manifest.chunks, self.answers, strict=True)


def format_job(job_id: str, work: Bucket, transcripts: Bucket) -> NotifyRequest:
    """Write a job's outputs, compose its notification. Raises `Rejected`, `Unavailable`."""
    started = time.monotonic()
    job = _load(job_id, work)
    transcript = _merged(job)
    work.write(transcript_key(job_id), transcript.model_dump_json())
    documents = {name: _render(name, transcript, job) for name in job.manifest.formats}
    timings_ms = job.manifest.timings_ms | {
        "transcribe": max(record.transcribe_ms for record in job.records),
        "format": round((time.monotonic() - started) * 1000),
    }
    written = _deliver(job, documents, transcript, timings_ms, transcripts)
    return _notify(job, transcript, written)


def _load(job_id: str, work: Bucket) -> _Job:
    manifest = load_manifest(work, job_id)
    records = [
        ChunkRecord.model_validate_json(_read(work, chunk_record_key(job_id, chunk.index)))
        for chunk in manifest.chunks
    ]
    return _Job(work, manifest, records, [_read_answer(work, record) for record in records])


def _merged(job: _Job) -> Transcript:
    """A translation is in English, whatever was spoken."""
    options = job.manifest.options
    told = "en" if options.task == "translate" else options.language
    return merge(
        list(job.parts), duration_ms=job.manifest.audio_ms, task=options.task, language=told
    )


def _render(name: Format, transcript: Transcript, job: _Job) -> Document:
    output = OUTPUTS[name]
    content = output.render(transcript, job.manifest.options).encode()
    return Document(output.suffix, content, output.content_type)


def _deliver(
    job: _Job,
    documents: dict[Format, Document],
    transcript: Transcript,
    timings_ms: dict[str, int],
    transcripts: Bucket,
) -> Receipt:
    """Write documents and receipt beside the upload's name, or apart when they come too late."""
    billing, manifest = _billing(job), job.manifest

    def receipt_of(uris: dict[Format, str], *warnings: str) -> Receipt:
        files = [
            OutputFile(format=name, uri=uri, size=len(documents[name].content))
            for name, uri in uris.items()
        ]
        return receipt(
            manifest,
            billing,
            files,
            language=transcript.language,
            timings_ms=timings_ms,
            warnings=[*manifest.warnings, *warnings],
        )

    key = manifest.source.key
    beside = receipt_of({n: transcripts.uri(key + d.suffix) for n, d in documents.items()})
    all_documents = [*documents.values(), _document(beside)]
    if publish_all(transcripts, manifest.source, manifest.job_id, all_documents):
        retire_others(transcripts, manifest.source, {d.suffix for d in documents.values()})
        return beside
    keys = {n: late_output_key(manifest.job_id, d.suffix) for n, d in documents.items()}
    apart = receipt_of({n: job.work.uri(key) for n, key in keys.items()}, _LATE)
    for document in [*documents.values(), _document(apart)]:
        late_key = late_output_key(manifest.job_id, document.suffix)
        job.work.write(late_key, document.content, document.content_type)
    return apart


def _document(written: Receipt) -> Document:
    return Document(RECEIPT_SUFFIX, written.model_dump_json().encode(), "application/json")


def _notify(job: _Job, transcript: Transcript, written: Receipt) -> NotifyRequest:
    manifest = job.manifest
    data = Data(
        job_id=manifest.job_id,
        source=origin(manifest.source),
        outputs={file.format: file.uri for file in written.outputs},
        engine=manifest.engine,
        model=manifest.model,
        language=transcript.language,
        audio_seconds=written.audio_seconds,
        speakers=transcript.speakers,
        usage=written.usage or {},
        labels=manifest.options.labels,
        warnings=written.warnings,
        error=None,
    )
    message = notification(_COMPLETED, data, datetime.now(UTC))
    return NotifyRequest(
        subject=subject(_COMPLETED, manifest.source),
        message=message,
        attributes=attributes(message, manifest.options.tenant),
    )


def _billing(job: _Job) -> Billing:
    """This job's own calls: a chunk that was answered twice was billed twice."""
    prefix = calls_prefix(job.manifest.job_id)
    calls = [
        (int(key.removeprefix(prefix).partition("-")[0]), _read_call(job.work, key).state)
        for key in job.work.keys(prefix)
    ]
    states = Counter(state for _, state in calls)
    answered = Counter(index for index, state in calls if state == "answered")
    billed = [(c, a) for c, a in job.parts for _ in range(answered[c.index])]
    return Billing(
        calls=Totals(
            made=len(calls),
            answered=states["answered"],
            refused=states["refused"],
            ambiguous=states["sent"],
            cached=sum(r.cached and not answered[r.index] for r in job.records),
        ),
        usage=add_usage([answer.usage for _, answer in billed if answer.usage]),
        seconds=sum(_billed_seconds(chunk, answer) for chunk, answer in billed),
    )


def _billed_seconds(chunk: Chunk, answer: Answer) -> float:
    usage = answer.usage
    return usage.seconds if isinstance(usage, DurationUsage) else chunk.duration_ms / 1000


def _read_call(work: Bucket, key: str) -> Call:
    return Call.model_validate_json(_read(work, key))


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
