"""`<key>.verbose.json`: the API's `TranscriptionVerbose`, with what the engine measured."""

from __future__ import annotations

from dropscribe.api import TranscriptionSegment, TranscriptionVerbose, TranscriptionWord, wire
from dropscribe.languages import name_of
from dropscribe.options import JobOptions
from dropscribe.timestamps import to_seconds
from dropscribe.transcript import Segment, Transcript


def verbose_json(transcript: Transcript, options: JobOptions) -> str:
    """Segments and words as far as they are known; `timestamp_granularities` chooses among them."""
    wanted = options.timestamp_granularities or ["segment", "word"]
    segments = [_segment(index, part) for index, part in enumerate(transcript.segments or [])]
    words = [
        TranscriptionWord(
            word=word.text, start=to_seconds(word.start_ms), end=to_seconds(word.end_ms)
        )
        for word in transcript.words or []
    ]
    return wire(
        TranscriptionVerbose(
            task=transcript.task,
            language=name_of(transcript.language) if transcript.language else None,
            duration=to_seconds(transcript.duration_ms),
            text=transcript.text,
            segments=segments if "segment" in wanted else None,
            words=words if "word" in wanted and transcript.words is not None else None,
            usage=transcript.usage,
        )
    )


def _segment(index: int, segment: Segment) -> TranscriptionSegment:
    fields = {
        **segment.measured,
        **{"id": index, "start": to_seconds(segment.start_ms), "end": to_seconds(segment.end_ms)},
        "text": f" {segment.text}",
    }
    return TranscriptionSegment.model_validate(fields)
