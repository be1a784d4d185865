"""`<key>.txt`: the text alone, with one newline at its end."""

from __future__ import annotations

from dropscribe.options import JobOptions
from dropscribe.transcript import Transcript


def text(transcript: Transcript, options: JobOptions) -> str:
    return transcript.text + "\n"
