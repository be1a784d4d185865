"""The transcription API's own objects, one module a family. Times in them are float seconds.

Unknown fields of an answer are kept; fields that were not measured stay unset and are left out
when written (`wire`). Source: the API reference and recorded answers.
"""

from __future__ import annotations

from dropscribe.api.diarized import TranscriptionDiarized, TranscriptionDiarizedSegment
from dropscribe.api.transcription import Logprob, Transcription
from dropscribe.api.usage import DurationUsage, InputTokenDetails, TokenUsage, Usage
from dropscribe.api.verbose import TranscriptionSegment, TranscriptionVerbose, TranscriptionWord

__all__ = [
    "Answer",
    "DurationUsage",
    "InputTokenDetails",
    "Logprob",
    "TokenUsage",
    "Transcription",
    "TranscriptionDiarized",
    "TranscriptionDiarizedSegment",
    "TranscriptionSegment",
    "TranscriptionVerbose",
    "TranscriptionWord",
    "Usage",
    "wire",
]

Answer = Transcription | TranscriptionVerbose | TranscriptionDiarized


def wire(answer: Answer) -> str:
    """The JSON that the API would send: compact, unset fields absent, non-ASCII as it is."""
    return answer.model_dump_json(exclude_none=True)
