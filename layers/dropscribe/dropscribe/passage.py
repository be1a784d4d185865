"""What was heard in one piece of a recording, at the times of the recording."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import TypeAdapter

from dropscribe.api import (
    Answer,
    Logprob,
    Transcription,
    TranscriptionDiarized,
    TranscriptionVerbose,
    Usage,
)
from dropscribe.languages import code_of
from dropscribe.placement import sentences
from dropscribe.spans import Span
from dropscribe.timestamps import to_ms
from dropscribe.transcript import Segment, Word, channel_speaker

_ANSWERS: Final[dict[str, type[Answer]]] = {
    "json": Transcription,
    "verbose_json": TranscriptionVerbose,
    "diarized_json": TranscriptionDiarized,
}
_OWN_FIELDS: Final = frozenset({"id", "start", "end", "text", "type", "speaker"})
_SEEK_MS: Final = 10
"""Whisper's `seek` counts frames of this length."""


@dataclass(frozen=True)
class Passage:
    """An engine's answer to one piece of audio."""

    span: Span
    """Where the piece lies in the recording."""
    text: str
    """Without space around it."""
    channel: int | None = None
    segments: list[Segment] | None = None
    """In order of their start, inside the span; None where the engine gave no times."""
    words: list[Word] | None = None
    placed: Sequence[Word] = ()
    """When its words are said, as we found it where the engine gave no times of words."""
    logprobs: list[Logprob] | None = None
    language: str | None = None
    """Code, where the engine named one."""
    usage: Usage | None = None


def parse_answer(response_format: str, response: dict[str, Any]) -> Answer:
    """An engine's answer as the API's object. Raises pydantic's ValidationError."""
    return TypeAdapter[Answer](_ANSWERS[response_format]).validate_python(response)


def passage(
    span: Span, answer: Answer, channel: int | None = None, labels: Mapping[str, str] | None = None
) -> Passage:
    """An answer to the piece of audio at `span`. Times that are no numbers are the piece's own.

    A channel of its own is one speaker. `labels`: of the answer's speakers → of the recording's.
    """
    return Passage(
        span=span,
        text=answer.text.strip(),
        channel=channel,
        segments=_segments(span, answer, channel_speaker(channel), labels or {}),
        words=_words(span, answer, channel_speaker(channel)),
        logprobs=answer.logprobs if isinstance(answer, Transcription) else None,
        language=_language(answer),
        usage=answer.usage,
    )


def _segments(
    span: Span, answer: Answer, channel: str | None, labels: Mapping[str, str]
) -> list[Segment] | None:
    if isinstance(answer, Transcription):
        return None
    if not answer.segments and answer.text.strip():
        # Of servers that tell times of words alone, or of nothing.
        words = _words(span, answer, channel)
        told = sentences(words, answer.text.strip()) if words else None
        return told and [replace(segment, speaker=channel) for segment in told]
    found = []
    for part in answer.segments or []:
        fields = part.model_dump(exclude_none=True)
        label = fields.get("speaker")
        measured = {name: value for name, value in fields.items() if name not in _OWN_FIELDS}
        if "seek" in measured:
            measured["seek"] += span.start_ms // _SEEK_MS
        found.append(
            Segment(
                part.text.strip(),
                *_at(span, part.start, part.end),
                speaker=channel or labels.get(str(label), label),
                measured=measured,
            )
        )
    return sorted((part for part in found if part.text), key=lambda part: part.start_ms)


def _words(span: Span, answer: Answer, channel: str | None) -> list[Word] | None:
    if not isinstance(answer, TranscriptionVerbose) or not answer.words:
        return None
    first_ms, last_ms = span
    found = []
    # Without a Span for each: a day has 200,000 words.
    for word in answer.words:
        start_ms = min(max(_ms(word.start, 0) + first_ms, first_ms), last_ms)
        end_ms = max(start_ms, min(_ms(word.end, span.duration_ms) + first_ms, last_ms))
        if text := word.word.strip():
            found.append(Word(text, start_ms, end_ms, channel))
    found.sort(key=lambda word: word.start_ms)
    return found


def _at(span: Span, start_s: float, end_s: float) -> Span:
    """Times of an answer in the recording; Whisper's may lie beyond the end of the audio."""
    start_ms, end_ms = _ms(start_s, 0), _ms(end_s, span.duration_ms)
    return Span(start_ms, max(start_ms, end_ms)).moved(span.start_ms).within(span)


def _ms(seconds: float, otherwise_ms: int) -> int:
    """Servers have answered with what is no number."""
    return to_ms(seconds) if math.isfinite(seconds) else otherwise_ms


def _language(answer: Answer) -> str | None:
    if isinstance(answer, TranscriptionVerbose):
        return code_of(answer.language) if answer.language else None
    named = answer.languages if isinstance(answer, Transcription) else None
    return code_of(named[0].code) if named and len(named) == 1 else None
