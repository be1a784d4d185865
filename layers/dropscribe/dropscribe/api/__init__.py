"""The transcription API's own objects, one module a family. Times in them are float seconds.

Unknown fields of an answer are kept; fields that were not measured stay unset and are left out
when written (`wire`). Source: the API reference and recorded answers.
"""

from __future__ import annotations

from dropscribe.api.diarized import TranscriptionDiarized, TranscriptionDiarizedSegment
from dropscribe.api.error import ErrorBody, ErrorObject, invalid_request
from dropscribe.api.events import (
    END_OF_STREAM,
    TranscriptionStreamEvent,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionTextSegmentEvent,
)
from dropscribe.api.models import ModelInfo, ModelList
from dropscribe.api.object import ApiObject, wire
from dropscribe.api.request import (
    FORMATS,
    PATHS,
    Format,
    Parameters,
    Request,
    TranscriptionRequest,
    TranslationRequest,
    VadConfig,
    from_form,
    to_form,
)
from dropscribe.api.transcription import DetectedLanguage, Logprob, Transcription
from dropscribe.api.translation import Translation, TranslationVerbose
from dropscribe.api.usage import DurationUsage, InputTokenDetails, TokenUsage, Usage
from dropscribe.api.verbose import TranscriptionSegment, TranscriptionVerbose, TranscriptionWord

__all__ = [
    "END_OF_STREAM",
    "FORMATS",
    "PATHS",
    "Answer",
    "ApiObject",
    "DetectedLanguage",
    "DurationUsage",
    "ErrorBody",
    "ErrorObject",
    "Format",
    "InputTokenDetails",
    "Logprob",
    "ModelInfo",
    "ModelList",
    "Parameters",
    "Request",
    "TokenUsage",
    "Transcription",
    "TranscriptionDiarized",
    "TranscriptionDiarizedSegment",
    "TranscriptionRequest",
    "TranscriptionSegment",
    "TranscriptionStreamEvent",
    "TranscriptionTextDeltaEvent",
    "TranscriptionTextDoneEvent",
    "TranscriptionTextSegmentEvent",
    "TranscriptionVerbose",
    "TranscriptionWord",
    "Translation",
    "TranslationRequest",
    "TranslationVerbose",
    "Usage",
    "VadConfig",
    "from_form",
    "invalid_request",
    "to_form",
    "wire",
]

Answer = Transcription | TranscriptionVerbose | TranscriptionDiarized
"""Of a transcription, in the formats that are JSON."""
