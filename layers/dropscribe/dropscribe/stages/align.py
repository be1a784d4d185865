"""Align: the words of a chunk that was answered with text alone, by an engine that hears them.

For chunks that were transcribed elsewhere: the engine is too large for the function that asks an
API. Nothing is paid here, and nothing is lost where it fails: the words keep the times that they
have, and the record of the chunk says why.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from dropscribe import sound
from dropscribe.aws import Bucket
from dropscribe.errors import Rejected
from dropscribe.job import (
    UNANSWERED,
    Chunk,
    ChunkRecord,
    ChunkResult,
    Piece,
    chunk_record_key,
    stop_key,
    stopped_key,
)
from dropscribe.messages import AlignRequest
from dropscribe.options import JobOptions
from dropscribe.passage import parse_answer
from dropscribe.spans import Span
from dropscribe.speech import voiced
from dropscribe.stages.kept import load_manifest, load_record, read
from dropscribe.stages.times import with_aligned
from dropscribe.stages.transcribe import FOLDER_PREFIX
from dropscribe.transcript import Word

Aligner = Callable[[Path, str, str | None, Sequence[Span]], list[Word] | None]
"""Audio, text, language as a code, where somebody speaks → the words as `whispered.align` has them.
"""

LONGEST_ALIGNING: Final = timedelta(hours=6)
"""Of all chunks of a job, since the first: an execution has a day, and transcribing may have taken
half of it."""


def align(asked: AlignRequest, work: Bucket, aligner: Aligner) -> ChunkRecord:
    """Give the words of one chunk better times, if they can be found; note them or why not.

    A second run changes nothing. Raises what `aligner` raises, after it was noted, and `Rejected`
    where the recording is being forgotten or the job has no more time for this.
    """
    manifest = load_manifest(work, asked.job_id)
    record = load_record(work, asked.job_id, asked.chunk)
    chunk, options = manifest.chunks[asked.chunk], manifest.options
    _check_stop(asked, work, chunk)
    try:
        _check_begun(asked)
        if record.chunk.timing == "estimated" and record.chunk.unaligned != UNANSWERED:
            # What a run before this one wrote last: who forgets the recording waits for this one.
            record = _keep(asked, work, record, _awaiting(record.chunk))
        piece = _aligned(record.chunk, chunk, work, options, aligner)
    except Exception as error:
        _keep_failure(asked, work, f"{type(error).__name__}: {error}"[:300])
        raise
    return _keep(asked, work, record, piece)


def _check_begun(asked: AlignRequest) -> None:
    """Raises `Rejected` where the job has waited for better times long enough."""
    if asked.begun and datetime.now(UTC) - asked.begun > LONGEST_ALIGNING:
        hours = LONGEST_ALIGNING // timedelta(hours=1)
        raise Rejected("timed_out", f"after {hours} hours the job waits no longer for better times")


def _check_stop(asked: AlignRequest, work: Bucket, chunk: Chunk) -> None:
    """Raises `Rejected` where the recording is being forgotten."""
    if work.head(stop_key(asked.job_id)):
        work.write(stopped_key(asked.job_id, chunk.name), b"", "text/plain")
        raise Rejected("internal", "the recording is being forgotten")


def _awaiting(piece: Piece) -> Piece:
    return piece.model_copy(update={"unaligned": UNANSWERED})


def _keep_failure(asked: AlignRequest, work: Bucket, failed: str) -> None:
    """Unless another run of this step has meanwhile found the words."""
    record = load_record(work, asked.job_id, asked.chunk)
    if record.chunk.timing != "aligned":
        before = record.chunk.unaligned_before
        told = f"{before}; {failed}" if before else failed
        _keep(asked, work, record, record.chunk.model_copy(update={"unaligned": told}))


def _keep(asked: AlignRequest, work: Bucket, record: ChunkRecord, piece: Piece) -> ChunkRecord:
    """Written last, also where nothing is new: then it is known that nobody is at work."""
    record = record.model_copy(update={"chunk": piece})
    work.write(chunk_record_key(asked.job_id, asked.chunk), record.model_dump_json())
    return record


def _aligned(
    piece: Piece, chunk: Chunk, work: Bucket, options: JobOptions, aligner: Aligner
) -> Piece:
    if piece.timing != "estimated":
        return piece

    def found() -> list[Word] | None:
        kept = ChunkResult.model_validate_json(read(work, piece.result_key))
        text = parse_answer(kept.response_format, kept.response).text
        with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX) as folder:
            audio = Path(folder, "chunk.flac")
            if work.download(chunk.key, audio) is None:
                raise Rejected("internal", f"{work.uri(chunk.key)} is gone: upload again")
            return aligner(audio, text, piece.language, voiced(sound.read(audio)))

    return with_aligned(piece, work, options, found)
