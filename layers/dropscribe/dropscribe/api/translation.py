"""Answers of `POST /audio/translations`: English text, whatever was spoken."""

from __future__ import annotations

from dropscribe.api.object import ApiObject
from dropscribe.api.verbose import TranscriptionSegment


class Translation(ApiObject):
    """`response_format=json`."""

    text: str


class TranslationVerbose(ApiObject):
    """`response_format=verbose_json`."""

    task: str | None = None
    """`translate`; in the reference's example, not in its schema."""
    language: str
    """Of the text: always `english`."""
    duration: float
    """Seconds."""
    text: str
    segments: list[TranscriptionSegment] | None = None
