"""What a recognizer found → what the API answers. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from dropscribe.api import (
    ApiObject,
    DetectedLanguage,
    DurationUsage,
    InputTokenDetails,
    Logprob,
    Request,
    TokenUsage,
    Transcription,
    TranscriptionDiarized,
    TranscriptionDiarizedSegment,
    TranscriptionRequest,
    TranscriptionSegment,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionTextSegmentEvent,
    TranscriptionVerbose,
    Translation,
    TranslationRequest,
    TranslationVerbose,
    Usage,
)
from dropscribe.cues import cues
from dropscribe.engines import Recognized
from dropscribe.formats.srt import srt_document
from dropscribe.formats.vtt import vtt_document
from dropscribe.languages import name_of
from dropscribe.models import Model
from dropscribe.options import SubtitleOptions
from dropscribe.timestamps import to_ms, to_seconds
from dropscribe.transcript import Segment, Transcript, Word, channel_speaker

AUDIO_TOKENS_A_SECOND = 10
"""Of models that are billed by token, as observed."""


@dataclass
class Heard:
    """What has been recognized of one recording so far."""

    request: Request
    model: Model
    """The one that was asked for."""
    audio_ms: int
    language: str | None = None
    """Code of the text's; None where nobody speaks, and before the engine has begun."""
    parts: list[tuple[int, Recognized]] = field(default_factory=list)
    """Track and what is said on it, in the order of speech."""
    said: list[Segment] | None = None
    """By speakers that were told apart by their voices; None: each track is one speaker."""

    @property
    def text(self) -> str:
        return "".join(part.segment.text for _, part in self.parts).strip()

    @property
    def logprobs(self) -> list[Logprob] | None:
        """Of all tokens, which joined are the text; None where they were not asked for, or none."""
        asked = isinstance(self.request, TranscriptionRequest) and self.request.include
        found = [logprob for _, part in self.parts for logprob in part.logprobs]
        return _begun(found) if asked and found else None

    @property
    def languages(self) -> list[DetectedLanguage] | None:
        if not self.model.lists_languages:
            return None
        return [DetectedLanguage(code=self.language)] if self.parts and self.language else []

    @property
    def usage(self) -> Usage:
        """As the asked model counts: tokens put out are the engine's own."""
        if self.model.billed == "duration":
            return DurationUsage(seconds=math.ceil(self.audio_ms / 1000))
        heard = math.ceil(self.audio_ms * AUDIO_TOKENS_A_SECOND / 1000)
        written = sum(len(part.segment.tokens or []) for _, part in self.parts)
        details = InputTokenDetails(text_tokens=0, audio_tokens=heard)
        return TokenUsage(
            total_tokens=heard + written,
            input_tokens=heard,
            input_token_details=details,
            output_tokens=written,
        )

    @property
    def turns(self) -> list[TranscriptionDiarizedSegment]:
        """Who says what, speakers being named by the order of first speech."""
        said = self._by_track() if self.said is None else self._by_voice(self.said)
        return [
            TranscriptionDiarizedSegment(
                text=segment.text,
                speaker=str(segment.speaker),
                start=to_seconds(segment.start_ms),
                end=to_seconds(segment.end_ms),
                id=f"seg_{index}",
            )
            for index, segment in enumerate(said)
        ]

    def _by_track(self) -> list[Segment]:
        tracks = list(dict.fromkeys(track for track, _ in self.parts))
        return [
            Segment(
                text=part.segment.text,
                start_ms=to_ms(part.segment.start),
                end_ms=to_ms(part.segment.end),
                speaker=channel_speaker(tracks.index(track)),
            )
            for track, part in self.parts
        ]

    def _by_voice(self, said: Sequence[Segment]) -> list[Segment]:
        """Each text begins as the engine's do: with a space, but in scripts that have none."""
        spaced = any(part.segment.text.startswith(" ") for _, part in self.parts)
        return [
            replace(segment, text=f" {segment.text}") if spaced else segment for segment in said
        ]


def answer(heard: Heard) -> ApiObject | str:
    """The whole answer, in the format that was asked for."""
    request = heard.request
    if request.response_format == "text":
        return f"{heard.text}\n"
    if request.response_format in ("srt", "vtt"):
        write = srt_document if request.response_format == "srt" else vtt_document
        return write(cues(_transcript(heard), SubtitleOptions()))
    if request.response_format == "verbose_json":
        return _verbose(heard)
    if isinstance(request, TranslationRequest):
        return Translation(text=heard.text)
    if request.response_format == "diarized_json":
        return TranscriptionDiarized(
            text=heard.text,
            task=request.task,
            duration=to_seconds(heard.audio_ms),
            segments=heard.turns,
            usage=heard.usage,
        )
    return Transcription(
        text=heard.text,
        logprobs=heard.logprobs,
        languages=heard.languages,
        usage=heard.usage,
    )


def latest(heard: Heard) -> TranscriptionTextDeltaEvent | TranscriptionTextSegmentEvent:
    """The event that tells of the part that came last."""
    if heard.request.response_format == "diarized_json":
        return _turn_event(heard.turns[-1])
    part = heard.parts[-1][1]
    logprobs = part.logprobs if heard.logprobs else None
    if len(heard.parts) > 1:
        return TranscriptionTextDeltaEvent(delta=part.segment.text, logprobs=logprobs)
    return TranscriptionTextDeltaEvent(
        delta=part.segment.text.lstrip(), logprobs=_begun(logprobs) if logprobs else None
    )


def turn_events(heard: Heard) -> list[TranscriptionTextSegmentEvent]:
    """Those of speakers that are known only at the end."""
    return [_turn_event(turn) for turn in heard.turns]


def _turn_event(turn: TranscriptionDiarizedSegment) -> TranscriptionTextSegmentEvent:
    return TranscriptionTextSegmentEvent.model_validate(turn.model_dump())


def done(heard: Heard) -> TranscriptionTextDoneEvent:
    return TranscriptionTextDoneEvent(
        text=heard.text,
        logprobs=heard.logprobs,
        languages=heard.languages,
        usage=heard.usage,
    )


def _begun(logprobs: Sequence[Logprob]) -> list[Logprob]:
    """No space before the first token: the text begins there."""
    first = (logprobs[0].token or "").lstrip()
    begun = logprobs[0].model_copy(update={"token": first, "bytes": list(first.encode())})
    return [begun, *logprobs[1:]]


def _verbose(heard: Heard) -> TranscriptionVerbose | TranslationVerbose:
    segments = [
        part.segment.model_copy(update={"id": index}) for index, (_, part) in enumerate(heard.parts)
    ]
    seconds = to_seconds(heard.audio_ms)
    if isinstance(heard.request, TranslationRequest):
        return TranslationVerbose(
            task="translate",
            language="english",
            duration=seconds,
            text=heard.text,
            segments=segments,
        )
    wanted = heard.request.timestamp_granularities or ["segment"]
    words = [word for _, part in heard.parts for word in part.words]
    return TranscriptionVerbose(
        task="transcribe",
        language=_language(heard.language or heard.request.language),
        duration=seconds,
        text=heard.text,
        segments=segments if "segment" in wanted else None,
        words=words if "word" in wanted else None,
        usage=heard.usage,
    )


def _language(code: str | None) -> str:
    """Empty where nobody speaks: SDKs in typed languages fail on an answer without the key."""
    return name_of(code) if code else ""


def _transcript(heard: Heard) -> Transcript:
    """What subtitles are made from."""
    return Transcript(
        text=heard.text,
        task=heard.request.task,
        language=heard.language,
        duration_ms=heard.audio_ms,
        segments=[_segment(part.segment) for _, part in heard.parts],
        words=[
            Word(text=word.word, start_ms=to_ms(word.start), end_ms=to_ms(word.end))
            for _, part in heard.parts
            for word in part.words
        ],
    )


def _segment(segment: TranscriptionSegment) -> Segment:
    return Segment(
        text=segment.text.strip(), start_ms=to_ms(segment.start), end_ms=to_ms(segment.end)
    )
