"""`<key>.verbose.json`: the API's `TranscriptionVerbose`, with what the engine measured."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

from dropscribe.api import TranscriptionSegment
from dropscribe.languages import name_of
from dropscribe.options import JobOptions
from dropscribe.timestamps import to_seconds
from dropscribe.transcript import Segment, Transcript, Word


def verbose_json(transcript: Transcript, options: JobOptions) -> str:
    """Segments and words as far as they are known; `timestamp_granularities` chooses among them.

    Words whose times are estimated are left out: nobody measured them. The language is empty where
    nobody named it: readers in typed languages fail without the key.
    """
    wanted = options.timestamp_granularities or ["segment", "word"]
    fields: dict[str, Any] = {
        "task": transcript.task,
        "language": name_of(transcript.language) if transcript.language else "",
        "duration": to_seconds(transcript.duration_ms),
        "text": transcript.text,
    }
    if "segment" in wanted:
        parts = enumerate(transcript.segments or [])
        fields["segments"] = [_segment(index, part) for index, part in parts]
    if "word" in wanted and transcript.words is not None and _measured(transcript):
        fields["words"] = [_word(word) for word in transcript.words]
    if transcript.usage is not None:
        fields["usage"] = transcript.usage
    return to_json(fields, exclude_none=True, inf_nan_mode="null").decode()


def _measured(transcript: Transcript) -> bool:
    return transcript.word_timing in (None, "model", "aligned")


def _segment(index: int, segment: Segment) -> TranscriptionSegment:
    fields = {
        **segment.measured,
        **{"id": index, "start": to_seconds(segment.start_ms), "end": to_seconds(segment.end_ms)},
        "text": f" {segment.text}",
    }
    return TranscriptionSegment.model_validate(fields)


def _word(word: Word) -> dict[str, object]:
    """The fields of a `TranscriptionWord`: a day has 200,000, and an object of each takes long."""
    return {
        "word": word.text,
        "start": to_seconds(word.start_ms),
        "end": to_seconds(word.end_ms),
    }
