"""`<key>.json`: the API's `Transcription`."""

from __future__ import annotations

from dropscribe.api import Transcription, wire
from dropscribe.options import JobOptions
from dropscribe.transcript import Transcript


def json(transcript: Transcript, options: JobOptions) -> str:
    return wire(
        Transcription(text=transcript.text, logprobs=transcript.logprobs, usage=transcript.usage)
    )
