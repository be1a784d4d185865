"""Format: merge the chunk results, write every format and the receipt, compose the notification."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from dropscribe.api import Answer, DurationUsage, Format
from dropscribe.assembly import Asked, Assembled, Speakers, assemble
from dropscribe.aws import Bucket
from dropscribe.formats import OUTPUTS, RECEIPT_SUFFIX, Written, written
from dropscribe.job import (
    Call,
    Chunk,
    ChunkResult,
    Manifest,
    Piece,
    Totals,
    calls_prefix,
    late_output_key,
    transcript_key,
)
from dropscribe.languages import code_of
from dropscribe.messages import NotifyRequest
from dropscribe.notification import Data, attributes, notification, origin, subject
from dropscribe.passage import parse_answer
from dropscribe.publish import Document, publish_all, retire_others
from dropscribe.receipt import Billing, OutputFile, Receipt, Text, receipt
from dropscribe.stages.kept import load_manifest, load_record, read
from dropscribe.transcript import Transcript, add_usage

READS_AT_ONCE: Final = 8
"""Of S3: a day has hundreds of small objects, each a few hundredths of a second away."""
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
    asked: list[Asked]

    @property
    def pieces(self) -> list[tuple[Piece, Answer]]:
        return [
            pair for one in self.asked for pair in zip(one.record.pieces, one.answers, strict=True)
        ]


def format_job(job_id: str, work: Bucket, transcripts: Bucket) -> tuple[NotifyRequest, Receipt]:
    """Write a job's outputs, compose its notification. Raises `Rejected`, `Unavailable`."""
    started = time.monotonic()
    job = _load(job_id, work)
    whole = _assembled(job)
    work.write(transcript_key(job_id), whole.transcript.model_dump_json())
    manifest = job.manifest
    rendered = written(whole.transcript, manifest.options, manifest.formats)
    timings_ms = manifest.timings_ms | {
        "transcribe": max(one.record.transcribe_ms for one in job.asked),
        "format": round((time.monotonic() - started) * 1000),
    }
    delivered = _deliver(job, rendered, whole, timings_ms, transcripts)
    return _notify(job, whole.transcript, delivered), delivered


def _load(job_id: str, work: Bucket) -> _Job:
    manifest = load_manifest(work, job_id)

    def asked(chunk: Chunk) -> Asked:
        record = load_record(work, job_id, chunk.index)
        return Asked(chunk, record, [_read_answer(work, piece) for piece in record.pieces])

    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        return _Job(work, manifest, list(pool.map(asked, manifest.chunks)))


def _assembled(job: _Job) -> Assembled:
    """A translation is in English, whatever was spoken."""
    options = job.manifest.options
    spoken = code_of(options.language) if options.language else None
    return assemble(
        job.asked,
        duration_ms=job.manifest.audio_ms,
        task=options.task,
        language="en" if options.task == "translate" else spoken,
        whisper=job.manifest.engine != "offline",
        speakers=Speakers(
            known=options.known_speaker_names or [],
            leader=job.manifest.leader,
            by_voice=job.manifest.voices,
            fewest=options.min_speakers,
            most=options.max_speakers,
        ),
    )


def _deliver(
    job: _Job,
    rendered: Written,
    whole: Assembled,
    timings_ms: dict[str, int],
    transcripts: Bucket,
) -> Receipt:
    """Write documents and receipt beside the upload's name, or apart when they come too late."""
    billing, manifest = _billing(job), job.manifest
    documents = {
        name: Document(OUTPUTS[name].suffix, text.encode(), OUTPUTS[name].content_type)
        for name, text in rendered.documents.items()
    }

    def receipt_of(uris: dict[Format, str], *warnings: str) -> Receipt:
        files = [
            OutputFile(format=name, uri=uri, size=len(documents[name].content))
            for name, uri in uris.items()
        ]
        return receipt(
            manifest,
            billing,
            files,
            whole.audit,
            Text(whole.transcript, rendered.quality),
            timings_ms=timings_ms,
            warnings=[*manifest.warnings, *whole.warnings, *warnings],
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
    """This job's own calls: a piece that was answered twice was billed twice."""
    prefix = calls_prefix(job.manifest.job_id)
    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        keys = list(job.work.keys(prefix))
        states = list(pool.map(lambda key: _read_state(job.work, key), keys))
    names = [key.removeprefix(prefix).partition("-")[0] for key in keys]
    counted = Counter(states)
    answered = Counter(n for n, state in zip(names, states, strict=True) if state == "answered")
    billed = [pair for pair in job.pieces for _ in range(answered[pair[0].name])]
    return Billing(
        calls=Totals(
            made=len(keys),
            answered=counted["answered"],
            refused=counted["refused"],
            ambiguous=counted["sent"],
            cached=sum(piece.cached and not answered[piece.name] for piece, _ in job.pieces),
        ),
        usage=add_usage([answer.usage for _, answer in billed if answer.usage]),
        seconds=sum(_billed_seconds(piece, answer) for piece, answer in billed),
    )


def _billed_seconds(piece: Piece, answer: Answer) -> float:
    usage = answer.usage
    return usage.seconds if isinstance(usage, DurationUsage) else piece.duration_ms / 1000


def _read_state(work: Bucket, key: str) -> str:
    return Call.model_validate_json(read(work, key)).state


def _read_answer(work: Bucket, piece: Piece) -> Answer:
    result = ChunkResult.model_validate_json(read(work, piece.result_key))
    return parse_answer(result.response_format, result.response)
