"""`<key>.diarized.json`: the API's `TranscriptionDiarized`."""

from __future__ import annotations

from dropscribe.api import TranscriptionDiarized, TranscriptionDiarizedSegment, wire
from dropscribe.options import JobOptions
from dropscribe.timestamps import to_seconds
from dropscribe.transcript import Transcript
from dropscribe.turns import spoken


def diarized_json(transcript: Transcript, options: JobOptions) -> str:
    segments = [
        TranscriptionDiarizedSegment(
            text=f" {segment.text}",
            speaker=segment.speaker,
            start=to_seconds(segment.start_ms),
            end=to_seconds(segment.end_ms),
            id=f"seg_{index}",
        )
        for index, segment in enumerate(spoken(transcript.segments or [], transcript.words or []))
        if segment.speaker
    ]
    return wire(
        TranscriptionDiarized(
            text=transcript.text,
            task=transcript.task,
            duration=to_seconds(transcript.duration_ms),
            segments=segments,
            usage=transcript.usage,
        )
    )
