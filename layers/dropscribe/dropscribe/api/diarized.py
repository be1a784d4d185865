"""`response_format=diarized_json`: who said what, times in seconds."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from dropscribe.api.usage import Usage


class TranscriptionDiarizedSegment(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    type: Literal["transcript.text.segment"] = "transcript.text.segment"
    text: str
    """Begins with a space."""
    speaker: str
    """A known speaker's name, or `A`, `B`, … in order of first speech."""
    start: float
    end: float
    id: str
    """`seg_0`, `seg_1`, …"""


class TranscriptionDiarized(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    text: str
    """Plain: without speakers."""
    task: str | None = None
    """Absent in answers before about March 2026."""
    duration: float | None = None
    """Absent in answers before about March 2026."""
    segments: list[TranscriptionDiarizedSegment]
    usage: Usage | None = None
