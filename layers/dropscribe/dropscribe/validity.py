"""What a request may ask of a model: the API's validity matrix, answered with the API's own errors.

The client asks here before it sends a byte, the server before it decodes one. Messages and codes
are those that the API was seen to answer; where none was seen they follow its manner.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any, Final

from pydantic import ValidationError

from dropscribe.api import ErrorObject, Parameters, Request, TranslationRequest, invalid_request
from dropscribe.models import Model

INVALID: Final = "invalid_value"
UNSUPPORTED: Final = "unsupported_value"
FILE_SUFFIXES: Final = (
    *("flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "opus", "wav", "webm"),
)
_REFUSED_OF_DIARIZATION: Final = {
    "include": "Logprobs are not supported for diarization models",
    "prompt": "Prompt is not supported for diarization models",
    "timestamp_granularities": "Timestamp granularities are not supported for diarization models",
}
_NEEDED_FORMAT: Final = {"include": "json", "timestamp_granularities": "verbose_json"}
"""Parameter → the only `response_format` that has room for what it asks for."""


def refusal(request: Request, model: Model | None) -> ErrorObject | None:
    """Why a model refuses a request, None where it does not.

    Of a model that is not in the table nothing is known, and nothing refused.
    """
    if model is None:
        return None
    if isinstance(request, TranslationRequest):
        if model.translates:
            return None
        message = f"The model `{model.name}` does not support translations."
        return invalid_request(message, "model", UNSUPPORTED)
    return _format(request.response_format, model) or _parameters(
        request, request.response_format, model
    )


def audio_refusal(audio_ms: int, *, chunked: bool, model: Model) -> ErrorObject | None:
    """Why a model refuses audio of this length; `chunked`: the request has a chunking strategy."""
    if audio_ms < model.min_audio_ms:
        return _length(audio_ms, f"shorter than {model.min_audio_ms / 1000:g} seconds", "minimum")
    if model.max_audio_ms and audio_ms > model.max_audio_ms:
        return _length(audio_ms, f"longer than {model.max_audio_ms / 1000:g} seconds", "maximum")
    if model.max_unchunked_ms is not None and audio_ms > model.max_unchunked_ms and not chunked:
        message = "chunking_strategy is required for diarization models"
        return invalid_request(message, "chunking_strategy", INVALID)
    return None


def file_refusal(name: str, model: Model) -> ErrorObject | None:
    """Why a model refuses a file of this name; one without a suffix is judged by its content."""
    suffix = PurePosixPath(name).suffix.lower().removeprefix(".")
    if not suffix or suffix in FILE_SUFFIXES:
        return None
    if model.name == "whisper-1":
        listed = [known for known in FILE_SUFFIXES if known != "opus"]
        return invalid_request(f"Invalid file format. Supported formats: {listed}")
    return invalid_request(f"Unsupported file format {suffix}", "file", UNSUPPORTED)


def explained(error: ValidationError) -> ErrorObject:
    """The first thing that is wrong with a form's values, as the API would say it."""
    errors: list[Any] = list(error.errors(include_url=False))
    # Of a union's branches the one that was read furthest is the one that was meant.
    same = [other for other in errors if other["loc"][:1] == errors[0]["loc"][:1]]
    first = max(same, key=lambda other: len(other["loc"]))
    path = [str(part) for part in first["loc"] if part not in _TAGS]
    param = ".".join(path) or None
    if path and path[0] == "language":
        return _language(str(first["input"]))
    if first["type"] == "missing":
        return invalid_request(
            f"Missing required parameter: '{param}'.", param, "missing_required_parameter"
        )
    said = first["msg"].removeprefix("Value error, ")
    if param is None:
        named = re.search(r"`(\w+)`", said)
        return invalid_request(f"{said}.", named[1] if named else None, INVALID)
    return invalid_request(f"Invalid value for '{param}': {said}.", param, INVALID)


_TAGS: Final = frozenset({"literal['auto']", "VadConfig"})
"""Names of a union's branches, which pydantic puts into the path."""


def _format(wanted: str, model: Model) -> ErrorObject | None:
    if wanted in model.formats:
        return None
    hint = "" if wanted == "diarized_json" else " Use 'json' or 'text' instead."
    return invalid_request(
        f"response_format '{wanted}' is not compatible with model '{model.name}'.{hint}",
        "response_format",
        UNSUPPORTED,
    )


def _parameters(request: Parameters, wanted: str, model: Model) -> ErrorObject | None:
    for name in Parameters.model_fields:
        if getattr(request, name) is None:
            continue
        if name not in model.parameters | model.tolerated:
            message = _REFUSED_OF_DIARIZATION.get(name) if model.speakers else None
            message = message or f"'{name}' is not supported with model '{model.name}'."
            return invalid_request(message, name, UNSUPPORTED)
        if wanted != _NEEDED_FORMAT.get(name, wanted):
            message = f"'{name}' requires response_format '{_NEEDED_FORMAT[name]}'."
            return invalid_request(message, name, UNSUPPORTED)
    if model.two_letter_language and request.language and len(request.language) != 2:
        return _language(request.language)
    return None


def _length(audio_ms: int, than: str, limit: str) -> ErrorObject:
    seconds = f"audio duration {audio_ms / 1000} seconds is {than}"
    return invalid_request(f"{seconds} which is the {limit} for this model", code=INVALID)


def _language(given: str) -> ErrorObject:
    return invalid_request(
        f"Invalid language '{given[:100]}'. "
        "Language parameter must be specified in ISO-639-1 format.",
        "language",
        "invalid_language_format",
    )
