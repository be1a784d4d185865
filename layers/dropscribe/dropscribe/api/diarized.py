"""`response_format=diarized_json`: who said what, times in seconds."""

from __future__ import annotations

from typing import Literal

from dropscribe.api.object import ApiObject, Extra
from dropscribe.api.usage import Usage


class TranscriptionDiarizedSegment(ApiObject):
    type: Literal["transcript.text.segment"] = "transcript.text.segment"
    text: str
    """Begins with a space."""
    speaker: str
    """A known speaker's name, or `A`, `B`, … in order of first speech. Of this one request."""
    start: float
    """Seconds from the beginning of the recording."""
    end: float
    """Seconds."""
    id: str
    """`seg_0`, `seg_1`, …"""


class TranscriptionDiarized(ApiObject):
    text: str
    """Plain: without speakers."""
    task: str | None = None
    """`transcribe`; absent in answers before about March 2026."""
    duration: float | None = None
    """Seconds; absent in answers before about March 2026."""
    segments: list[TranscriptionDiarizedSegment]
    usage: Extra[Usage] = None
