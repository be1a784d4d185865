"""`response_format=verbose_json`: segments and words with times in seconds."""

from __future__ import annotations

from dropscribe.api.object import ApiObject, Extra
from dropscribe.api.usage import Usage


class TranscriptionWord(ApiObject):
    word: str
    """Without surrounding punctuation and space."""
    start: float
    """Seconds from the beginning of the recording."""
    end: float
    """Seconds; may equal the next word's start."""


class TranscriptionSegment(ApiObject):
    """One stretch of speech. What an engine does not measure is absent."""

    id: int
    """From 0."""
    seek: int | None = None
    """Offset of the decoding window in frames of 10 ms."""
    start: float
    """Seconds from the beginning of the recording."""
    end: float
    """Seconds; may lie after the end of the recording."""
    text: str
    """Begins with a space."""
    tokens: list[int] | None = None
    """Ids in the model's own vocabulary."""
    temperature: float | None = None
    """0 to 1: what the segment was sampled at."""
    avg_logprob: float | None = None
    """Natural logarithm. Below -1: consider the segment failed."""
    compression_ratio: float | None = None
    """Bytes of the text to bytes compressed. Above 2.4: the segment failed, by repetition."""
    no_speech_prob: float | None = None
    """0 to 1. The reference's "higher than 1.0" is a slip of its own; Whisper takes 0.6, together
    with an `avg_logprob` below -1, for silence."""


class TranscriptionVerbose(ApiObject):
    task: str | None = None
    """`transcribe` or `translate`; in real answers, not in the reference's schema."""
    language: str | None = None
    """Lower-case English name, e.g. `english`; absent from some compatible servers."""
    duration: float | None = None
    """Seconds; a string in older references, absent from some compatible servers."""
    text: str
    segments: list[TranscriptionSegment] | None = None
    """Absent when only words were asked for."""
    words: list[TranscriptionWord] | None = None
    """Absent unless asked for."""
    usage: Extra[Usage] = None
    """`duration` in the reference."""
