"""Align: the words of a chunk that was answered with text alone, by an engine that hears them.

For chunks that were transcribed elsewhere: the engine is too large for the function that asks an
API. Nothing is paid here, and nothing is lost where it fails: the words keep the times that they
have, and the record of the chunk says why.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from dropscribe import sound
from dropscribe.aws import Bucket
from dropscribe.errors import Rejected
from dropscribe.job import Chunk, ChunkRecord, ChunkResult, Piece, chunk_record_key
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


def align(asked: AlignRequest, work: Bucket, aligner: Aligner) -> ChunkRecord:
    """Give the words of one chunk better times, if they can be found; note them or why not.

    A second run changes nothing. Raises what `aligner` raises, after it was noted.
    """
    manifest = load_manifest(work, asked.job_id)
    record = load_record(work, asked.job_id, asked.chunk)
    chunk, options = manifest.chunks[asked.chunk], manifest.options
    try:
        piece = _aligned(record.chunk, chunk, work, options, aligner)
    except Exception as error:
        failed = f"{type(error).__name__}: {error}"[:300]
        _keep(asked, work, record, record.chunk.model_copy(update={"unaligned": failed}))
        raise
    return _keep(asked, work, record, piece)


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
