"""When each word of an answer is said, where the answer does not tell; found once, and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from dropscribe import __version__
from dropscribe.aws import Bucket
from dropscribe.job import Piece
from dropscribe.languages import code_of
from dropscribe.options import JobOptions
from dropscribe.passage import Passage
from dropscribe.placement import placed
from dropscribe.spans import Span
from dropscribe.speech import Prepared, voiced
from dropscribe.transcript import Timing, Word

ALIGNED_LANGUAGES: Final = ("en",)
"""That PocketSphinx knows."""
SLOWEST_ALIGNED: Final = 0.5
"""Seconds of processor time that a second of audio takes at most to be aligned."""


class _Times(BaseModel):
    """`results/<hash>.words-<language>.json`, beside the answer."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    dropscribe: str
    """The version that found them: a newer one may know better."""
    words: list[Word]
    """From the beginning of the piece."""
    timing: Timing
    language: str | None = None
    failed: str | None = None
    """Why they could not be aligned, where that was tried."""
    unheard_by: str | None = None
    """The other aligner that was asked too, and for which the text is not what is said."""


def with_times(
    piece: Piece,
    told: Passage,
    samples: bytes,
    prepared: Prepared,
    work: Bucket,
    options: JobOptions,
    left_s: float,
) -> Piece:
    """With the words of its answer at their times, and the language if nobody has named it.

    `told`: the answer, from the beginning of the piece. `left_s`: seconds of time that there is.
    """
    language = _named_by(options)
    if told.words or not told.text:
        return piece.model_copy(update={"timing": "model"})
    key = _key(piece, options)
    times = _kept(work, key)
    if times is None:
        code = language or told.language or named(told.text)
        spoken = None if options.task == "translate" else code or ""
        times = _found(told, prepared, samples, spoken, left_s)
        # A translation is in English, whatever was spoken.
        times = times.model_copy(update={"language": "en" if spoken is None else code})
        if times.timing == "aligned" or (left_s > _needed_s(told) and not times.failed):
            # What could not be aligned this time may be another day.
            work.write(key, times.model_dump_json())
    return _timed(piece, times)


def with_aligned(
    piece: Piece, work: Bucket, options: JobOptions, align: Callable[[], list[Word] | None]
) -> Piece:
    """With the times that another aligner finds, where it finds them, and keeps for the next job.

    `align`: from the beginning of the piece; None where the text is not what is said.
    """
    key = _key(piece, options)
    times = _kept(work, key)
    if times and times.unheard_by and times.unheard_by == piece.aligner:
        return _unheard(piece)
    if times is None or times.timing != "aligned":
        words = align()
        if words is None:
            if times is not None:
                # Where none are kept, the first aligner has failed, and is to try again.
                times = times.model_copy(update={"unheard_by": piece.aligner})
                work.write(key, times.model_dump_json())
            return _unheard(piece)
        times = _times(words, "aligned").model_copy(update={"language": piece.language})
        work.write(key, times.model_dump_json())
    return _timed(piece, times)


def _unheard(piece: Piece) -> Piece:
    update = {"unaligned": piece.unaligned_before, "unaligned_before": None}
    return piece.model_copy(update=update)


def _named_by(options: JobOptions) -> str | None:
    hints = [options.language] if options.language else (options.languages or [])
    return code_of(hints[0]) if len(hints) == 1 else None


def _key(piece: Piece, options: JobOptions) -> str:
    """Of its times. Who was told another language may have aligned it: the key tells."""
    answer = piece.result_key.removesuffix(".json")
    return f"{answer}.words-{_named_by(options) or 'any'}.json"


def _timed(piece: Piece, times: _Times) -> Piece:
    return piece.model_copy(
        update={
            "timing": times.timing,
            "words": [_moved(word, piece.start_ms) for word in times.words],
            "language": times.language,
            "unaligned": times.failed,
            "unaligned_before": None,
            "aligner": times.unheard_by,
        }
    )


def _kept(work: Bucket, key: str) -> _Times | None:
    """None where nothing is kept, or another version has found it."""
    kept = work.read(key)
    try:
        times = _Times.model_validate_json(kept) if kept else None
    except ValidationError:
        return None
    return times if times and times.dropscribe == __version__ else None


def named(text: str) -> str | None:
    """The language of a text; None where it is too short to tell, or nothing here can."""
    try:
        from dropscribe.text_language import language_of
    except ModuleNotFoundError:
        return None
    return language_of(text)


def _found(
    told: Passage, prepared: Prepared, samples: bytes, language: str | None, left_s: float
) -> _Times:
    if told.segments is not None:
        # The cheap detector's stretches: the network's are no better within segments, and cost.
        words = [
            word
            for segment in told.segments
            for word in placed(segment.text, Span(segment.start_ms, segment.end_ms), prepared.maybe)
        ]
        # In the order of the segments, which may overlap: so they are found again.
        return _times(words, "estimated")
    speech, failed = voiced(prepared), None
    if language in ALIGNED_LANGUAGES and left_s > _needed_s(told):
        try:
            aligned = _aligned(samples, told.text, speech)
        except Exception as error:  # noqa: BLE001 - told in the receipt; the words are there
            failed, aligned = f"{type(error).__name__}: {error}"[:300], None
        if aligned is not None:
            return _times(aligned, "aligned")
    return _times(placed(told.text, told.span, speech), "estimated", failed)


def _times(words: list[Word], timing: Timing, failed: str | None = None) -> _Times:
    return _Times(dropscribe=__version__, words=words, timing=timing, failed=failed)


def _aligned(samples: bytes, text: str, speech: Sequence[Span]) -> list[Word] | None:
    """None where the text is not what is said, or no aligner is installed."""
    try:
        from dropscribe.engines import forced
    except ModuleNotFoundError:
        return None
    return forced.align(samples, text, speech)


def _needed_s(told: Passage) -> float:
    return SLOWEST_ALIGNED * told.span.duration_ms / 1000


def _moved(word: Word, by_ms: int) -> Word:
    return Word(word.text, word.start_ms + by_ms, word.end_ms + by_ms, word.speaker)
