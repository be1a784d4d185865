"""`response_format=verbose_json`: segments and words with times in seconds."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from dropscribe.api.usage import Usage


class TranscriptionWord(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    word: str
    """Without surrounding punctuation and space."""
    start: float
    end: float


class TranscriptionSegment(BaseModel):
    """The measures below are Whisper's; another engine leaves out those it does not have."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: int
    seek: int | None = None
    """Offset of the decoding window in frames of 10 ms."""
    start: float
    end: float
    """May lie after the end of the recording."""
    text: str
    """Begins with a space."""
    tokens: list[int] | None = None
    temperature: float | None = None
    avg_logprob: float | None = None
    """Below -1: consider the segment failed."""
    compression_ratio: float | None = None
    """Above 2.4: consider the segment failed (repetition)."""
    no_speech_prob: float | None = None
    """0 to 1."""


class TranscriptionVerbose(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    task: str | None = None
    language: str
    """Lower-case English name, e.g. `english`."""
    duration: float
    text: str
    segments: list[TranscriptionSegment] | None = None
    """Absent when only words were asked for."""
    words: list[TranscriptionWord] | None = None
    """Absent unless asked for."""
    usage: Usage | None = None
