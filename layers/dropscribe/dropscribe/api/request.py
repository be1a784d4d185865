"""What can be asked: every parameter under the API's own name, and how it is written on the wire.

On the wire a request is a form (`multipart/form-data`): lists are repeated `name[]` parts, an
object is `name[key]` parts or one part of JSON, what is not set is not sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

Format = Literal["json", "text", "srt", "vtt", "verbose_json", "diarized_json"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
TranslationFormat = Literal["json", "text", "srt", "vtt", "verbose_json"]
Granularity = Literal["word", "segment"]
LanguageCode = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}$")]
"""ISO 639-1, for some models also 639-3."""


def _no_bool(value: object) -> object:
    """Python takes `true` for the number 1; the writer of a parameter did not mean it."""
    if isinstance(value, bool):
        raise ValueError("Input should be a number")  # noqa: TRY004 - pydantic reads ValueError
    return value


Prompt = Annotated[str | None, BeforeValidator(lambda text: text or None)]
"""An empty one is none: on the wire the two cannot be told apart."""
Temperature = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, le=1)]


class VadConfig(BaseModel):
    """Server-side voice activity detection (`chunking_strategy` as an object)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["server_vad"]
    prefix_padding_ms: Annotated[int, Field(ge=0)] | None = None
    """Audio kept before detected speech, in milliseconds; the API's default is 300."""
    silence_duration_ms: Annotated[int, Field(ge=0)] | None = None
    """Silence that ends speech, in milliseconds; the API's default is 200."""
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """0 to 1, higher needs louder speech; the API's default is 0.5."""


ChunkingStrategy = Literal["auto"] | VadConfig


class Parameters(BaseModel):
    """How a recording is to be transcribed; which model takes what is in `dropscribe.models`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    language: LanguageCode | None = None
    """Spoken language. Silently ignored by `gpt-transcribe`."""
    languages: list[LanguageCode] | None = None
    """Languages that may be spoken (`gpt-transcribe`; not in the reference)."""
    prompt: Prompt = None
    """Guides style and spelling; Whisper reads its last 224 tokens."""
    keywords: list[str] | None = None
    """Words that may be said (`gpt-transcribe`; not in the reference)."""
    temperature: Temperature | None = None
    """0 to 1. At 0 Whisper raises it by itself where log probabilities are low."""
    chunking_strategy: ChunkingStrategy | None = None
    """None: the audio is one block. `auto`: loudness is evened out, then cut by voice activity."""
    include: list[Literal["logprobs"]] | None = None
    timestamp_granularities: list[Granularity] | None = None
    """None: `segment`. Words take the API longer."""
    known_speaker_names: Annotated[list[str], Field(max_length=4)] | None = None
    known_speaker_references: Annotated[list[str], Field(max_length=4)] | None = None
    """Data URLs of 2 to 10 s of each known speaker's voice, in any format that `file` can have."""

    @field_validator(
        *("languages", "keywords", "include", "timestamp_granularities"),
        *("known_speaker_names", "known_speaker_references"),
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        """On the wire the two cannot be told apart."""
        return None if value == [] else value

    @model_validator(mode="after")
    def _one_reference_a_name(self) -> Self:
        if len(self.known_speaker_names or []) != len(self.known_speaker_references or []):
            raise ValueError(
                "`known_speaker_names` and `known_speaker_references` must be of the same length: "
                "one reference for each name"
            )
        return self


class TranscriptionRequest(Parameters):
    """`POST /audio/transcriptions`, but for the file."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    """Any name: servers have models of their own."""
    response_format: Format = "json"
    stream: bool = False
    """Events in place of one answer. `whisper-1` ignores it."""

    @property
    def task(self) -> Literal["transcribe"]:
        return "transcribe"


class TranslationRequest(BaseModel):
    """`POST /audio/translations`, but for the file: into English."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[str, Field(min_length=1, max_length=200)]
    prompt: Prompt = None
    """In English."""
    response_format: TranslationFormat = "json"
    temperature: Temperature | None = None

    @property
    def task(self) -> Literal["translate"]:
        return "translate"


Request = TranscriptionRequest | TranslationRequest
PATHS: Final = {"transcribe": "audio/transcriptions", "translate": "audio/translations"}
"""Task → path after the version."""


def to_form(request: Request) -> list[tuple[str, str]]:
    """A request as the form's fields, in the wire encoding that the API was seen to take."""
    fields: list[tuple[str, str]] = []
    for name, value in request.model_dump(exclude_none=True).items():
        if isinstance(value, list):
            fields += [(f"{name}[]", item) for item in value]
        elif isinstance(value, dict):
            fields += [(f"{name}[{key}]", str(item)) for key, item in value.items()]
        elif isinstance(value, bool):
            fields += [(name, "true")] if value else []
        else:
            fields.append((name, str(value)))
    return fields


def from_form(
    fields: Iterable[tuple[str, str]], kind: type[Request]
) -> tuple[dict[str, Any], list[str]]:
    """A form's fields as values that `kind` can validate, and the names of those not read.

    As observed: unknown fields are passed over, and so is a list without its brackets. An empty
    field is one that was not set, which is what some HTTP libraries send for it.
    """
    values: dict[str, Any] = {}
    unread: list[str] = []
    for name, text in fields:
        base, key = _split(name)
        if base not in kind.model_fields or (base in _LISTS) != (key == ""):
            unread.append(name)
        elif base in _LISTS:
            values.setdefault(base, []).append(text)
        elif key:
            begun = values.get(base)
            values[base] = {**(begun if isinstance(begun, dict) else {}), key: text}
        elif text:
            values[base] = _object(text) if base == "chunking_strategy" else text
    return values, list(dict.fromkeys(unread))


_LISTS: Final = frozenset(
    {"languages", "keywords", "include", "timestamp_granularities"}
    | {"known_speaker_names", "known_speaker_references"}
)


def _split(name: str) -> tuple[str, str | None]:
    """`a[]` → `("a", "")`, `a[b]` → `("a", "b")`, `a` → `("a", None)`."""
    match = re.fullmatch(r"(\w+)\[(\w*)\]", name)
    return (match[1], match[2]) if match else (name, None)


def _object(text: str) -> Any:
    """One part may hold JSON (.NET and Go send it so); what is none stays text."""
    try:
        return json.loads(text) if text.lstrip().startswith("{") else text
    except (ValueError, RecursionError):
        return text
