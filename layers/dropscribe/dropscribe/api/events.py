"""`stream=true`: what arrives while a recording is transcribed, one JSON object an event.

On the wire each is a `data:` line and a blank line; `data: [DONE]` ends the stream.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dropscribe.api.diarized import TranscriptionDiarizedSegment
from dropscribe.api.object import ApiObject, Extra
from dropscribe.api.transcription import DetectedLanguage, Logprob
from dropscribe.api.usage import Usage


class TranscriptionTextDeltaEvent(ApiObject):
    """More text. The first event of a stream, but for diarized ones, which send segments."""

    type: Literal["transcript.text.delta"] = "transcript.text.delta"
    delta: str
    """With the space before it: deltas joined are the text."""
    logprobs: Extra[list[Logprob]] = None
    """Only with `include[]=logprobs`."""
    segment_id: str | None = None
    """Only of diarizing models (reference; never seen in a recorded answer)."""


class TranscriptionTextSegmentEvent(TranscriptionDiarizedSegment):
    """One speaker's segment, complete: only with `response_format=diarized_json`."""


class TranscriptionTextDoneEvent(ApiObject):
    """The end. A stream without it is no short transcript but a failed one."""

    type: Literal["transcript.text.done"] = "transcript.text.done"
    text: str
    logprobs: Extra[list[Logprob]] = None
    """Only with `include[]=logprobs`."""
    languages: Extra[list[DetectedLanguage]] = None
    """Of `gpt-transcribe`; not in the reference."""
    usage: Extra[Usage] = None
    """Tokens in the reference; seconds of models that are billed so."""


TranscriptionStreamEvent = Annotated[
    TranscriptionTextDeltaEvent | TranscriptionTextSegmentEvent | TranscriptionTextDoneEvent,
    Field(discriminator="type"),
]
END_OF_STREAM = "[DONE]"
