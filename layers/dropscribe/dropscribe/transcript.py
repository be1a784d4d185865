"""The canonical transcript: what every format is made from. Times are integer milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from dropscribe.api import (
    Answer,
    DurationUsage,
    InputTokenDetails,
    Logprob,
    TokenUsage,
    Transcription,
    TranscriptionDiarized,
    TranscriptionVerbose,
    Usage,
)
from dropscribe.job import Chunk
from dropscribe.languages import code_of
from dropscribe.timestamps import to_ms


class Word(BaseModel):
    model_config = ConfigDict(frozen=True)

    text: str
    start_ms: int
    end_ms: int
    speaker: str | None = None


class Segment(BaseModel):
    model_config = ConfigDict(frozen=True)

    text: str
    """Without space around it."""
    start_ms: int
    end_ms: int
    speaker: str | None = None
    measured: dict[str, Any] = {}
    """The engine's own fields of the segment (`avg_logprob`, …), as it gave them."""


class Transcript(BaseModel):
    model_config = ConfigDict(frozen=True)

    text: str
    task: str
    language: str | None = None
    """Code, e.g. `en`; None where nobody named it."""
    duration_ms: int
    """Of the recording, as we decoded it."""
    segments: list[Segment] | None = None
    """In order of their start; None where the engine gave no times."""
    words: list[Word] | None = None
    logprobs: list[Logprob] | None = None
    usage: Usage | None = None

    @property
    def speakers(self) -> list[str]:
        """Labels in order of first speech."""
        return list(dict.fromkeys(s.speaker for s in self.segments or [] if s.speaker))


_ANSWERS: dict[str, type[Answer]] = {
    "json": Transcription,
    "verbose_json": TranscriptionVerbose,
    "diarized_json": TranscriptionDiarized,
}


def parse_answer(response_format: str, response: dict[str, Any]) -> Answer:
    """An engine's answer as the API's object. Raises pydantic's ValidationError."""
    return TypeAdapter[Answer](_ANSWERS[response_format]).validate_python(response)


def merge(
    parts: Sequence[tuple[Chunk, Answer]], *, duration_ms: int, task: str, language: str | None
) -> Transcript:
    """One transcript from the answers to the chunks, in the order of the recording.

    Chunks of separate channels are interleaved, each channel being one speaker (`A` is the first).
    `language` is what the job was told; what the engine named wins.
    """
    segments = sorted(
        (segment for chunk, answer in parts for segment in _segments(chunk, answer)),
        key=lambda segment: segment.start_ms,
    )
    words = sorted(
        (word for chunk, answer in parts for word in _words(chunk, answer)),
        key=lambda word: word.start_ms,
    )
    timed = any(not isinstance(answer, Transcription) for _, answer in parts)
    return Transcript(
        text=_text(parts, segments),
        task=task,
        language=_language(parts) or language,
        duration_ms=duration_ms,
        segments=segments if timed else None,
        words=words or None,
        logprobs=_logprobs(parts),
        usage=add_usage([answer.usage for _, answer in parts if answer.usage]),
    )


def add_usage(usages: Sequence[Usage]) -> Usage | None:
    """The sum; None where nothing was billed or where kinds are mixed."""
    if usages and all(isinstance(usage, DurationUsage) for usage in usages):
        return DurationUsage(seconds=sum(u.seconds for u in usages if isinstance(u, DurationUsage)))
    tokens = [usage for usage in usages if isinstance(usage, TokenUsage)]
    if not tokens or len(tokens) < len(usages):
        return None
    details = [usage.input_token_details for usage in tokens if usage.input_token_details]
    return TokenUsage(
        total_tokens=sum(usage.total_tokens for usage in tokens),
        input_tokens=sum(usage.input_tokens for usage in tokens),
        output_tokens=sum(usage.output_tokens for usage in tokens),
        input_token_details=InputTokenDetails(
            audio_tokens=sum(detail.audio_tokens or 0 for detail in details),
            text_tokens=sum(detail.text_tokens or 0 for detail in details),
        )
        if len(details) == len(tokens)
        else None,
    )


def channel_speaker(channel: int | None) -> str | None:
    """`0` → `A`: one speaker a channel."""
    return None if channel is None else chr(ord("A") + channel)


_OWN_FIELDS = frozenset({"id", "start", "end", "text", "type", "speaker"})


def _segments(chunk: Chunk, answer: Answer) -> list[Segment]:
    if isinstance(answer, Transcription):
        return []
    label = channel_speaker(chunk.channel)
    if not answer.segments and answer.text.strip():
        # Text without times: all that is known is that it was said within the chunk.
        end_ms = chunk.start_ms + chunk.duration_ms
        text = answer.text.strip()
        return [Segment(text=text, start_ms=chunk.start_ms, end_ms=end_ms, speaker=label)]
    segments = []
    for part in answer.segments or []:
        fields = part.model_dump(exclude_none=True)
        segments.append(
            Segment(
                text=part.text.strip(),
                start_ms=chunk.start_ms + to_ms(part.start),
                end_ms=chunk.start_ms + to_ms(part.end),
                speaker=label or fields.get("speaker"),
                measured={k: v for k, v in fields.items() if k not in _OWN_FIELDS},
            )
        )
    return [segment for segment in segments if segment.text]


def _words(chunk: Chunk, answer: Answer) -> list[Word]:
    if not isinstance(answer, TranscriptionVerbose):
        return []
    return [
        Word(
            text=word.word.strip(),
            start_ms=chunk.start_ms + to_ms(word.start),
            end_ms=chunk.start_ms + to_ms(word.end),
            speaker=channel_speaker(chunk.channel),
        )
        for word in answer.words or []
    ]


def _text(parts: Sequence[tuple[Chunk, Answer]], segments: list[Segment]) -> str:
    """The engine's own text; of separate channels, the segments in the order of speech."""
    if any(chunk.channel is not None for chunk, _ in parts) and segments:
        return " ".join(segment.text for segment in segments)
    return " ".join(text for _, answer in parts if (text := answer.text.strip()))


def _language(parts: Sequence[tuple[Chunk, Answer]]) -> str | None:
    """What the engine named for the longest stretch of audio, as a code."""
    lengths: dict[str, int] = {}
    for chunk, answer in parts:
        if name := _named_language(answer):
            code = code_of(name)
            lengths[code] = lengths.get(code, 0) + chunk.duration_ms
    return max(lengths, key=lambda code: lengths[code]) if lengths else None


def _named_language(answer: Answer) -> str | None:
    if isinstance(answer, TranscriptionVerbose):
        return answer.language
    named = answer.languages if isinstance(answer, Transcription) else None
    return named[0].code if named and len(named) == 1 else None


def _logprobs(parts: Sequence[tuple[Chunk, Answer]]) -> list[Logprob] | None:
    found = [
        logprob
        for _, answer in parts
        if isinstance(answer, Transcription)
        for logprob in answer.logprobs or []
    ]
    return found or None
