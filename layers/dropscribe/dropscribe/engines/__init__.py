"""Recognizers: an audio file and a request in, the API's own object out.

openai    POST /audio/transcriptions of any OpenAI-compatible server
whisper   faster-whisper, in this process, on a GPU or without one
offline   PocketSphinx, in this process: for trying out
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from dropscribe.api import (
    ApiObject,
    Logprob,
    Request,
    TranscriptionRequest,
    TranscriptionSegment,
    TranscriptionWord,
    TranslationRequest,
)
from dropscribe.languages import code_of
from dropscribe.models import Model, takes
from dropscribe.options import JobOptions


class Recognized(BaseModel):
    """One stretch of speech, as a recognizer in this process hands it out while it works."""

    model_config = ConfigDict(frozen=True)

    segment: TranscriptionSegment
    words: list[TranscriptionWord]
    logprobs: list[Logprob]


class Calls(Protocol):
    """Keeps count of paid requests, so that none is forgotten when a function dies."""

    def sent(self) -> str:
        """Called before a request leaves; returns the name of the call."""
        ...

    def concluded(self, call: str, state: str) -> None:
        """Called when its answer is known: `answered` or `refused`."""
        ...

    def uncertain(self) -> int:
        """How many were sent about this piece and never concluded, by runs that died too."""
        ...


class Engine(Protocol):
    """Transcribes one audio file (16 kHz mono FLAC). Raises `Rejected` or `Unavailable`."""

    def __call__(self, audio: Path, request: Request, calls: Calls) -> ApiObject: ...


def request_for(options: JobOptions, model: Model) -> Request:
    """What one chunk of a job asks of its engine."""
    kind = TranslationRequest if options.task == "translate" else TranscriptionRequest
    ours = set() if model.speakers else {"known_speaker_names", "known_speaker_references"}
    given = options.model_dump(include=set(kind.model_fields) - ours, exclude_none=True)
    given |= {"model": model.name, "response_format": model.response_format}
    if kind is TranslationRequest:
        return TranslationRequest.model_validate(given)
    if options.language and len(options.language) > 2 and model.two_letter_language:
        given["language"] = code_of(options.language)
    if options.language and "language" not in model.parameters and takes(model, "language"):
        given["languages"] = [given.pop("language")]
    if model.speakers:
        # The API demands a strategy from diarizing models beyond 30 s.
        given.setdefault("chunking_strategy", "auto")
    if "word" in (options.timestamp_granularities or []):
        # Words alone would cost the segments, which subtitles are made of.
        given["timestamp_granularities"] = ["word", "segment"]
    return TranscriptionRequest.model_validate(given)


def result_key(audio_sha256: str, endpoint: str, request: Request) -> str:
    """Where the answer to a request is kept: the same question has the same key."""
    asked = f"{request.task}\0{request.model_dump_json(exclude_none=True)}"
    question = f"{audio_sha256}\0{endpoint}\0{asked}"
    return f"results/{hashlib.sha256(question.encode()).hexdigest()}.json"
