"""What a request was billed for: tokens or seconds, by model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag

from dropscribe.api.object import ApiObject


class InputTokenDetails(ApiObject):
    text_tokens: int | None = None
    """Of the prompt and of known speakers."""
    audio_tokens: int | None = None
    """Of the recording; observed: ten a second."""


class TokenUsage(ApiObject):
    type: Literal["tokens"] = "tokens"
    total_tokens: int
    """Input and output."""
    input_tokens: int
    input_token_details: InputTokenDetails | None = None
    output_tokens: int


class DurationUsage(ApiObject):
    type: Literal["duration"] = "duration"
    seconds: int | float
    """Billed seconds of audio; the API rounds up to a whole number."""


def _kind(value: Any) -> str:
    """`type` is missing in some streamed answers: then the fields tell."""
    fields = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    return str(fields.get("type") or ("duration" if "seconds" in fields else "tokens"))


Usage = Annotated[
    Annotated[TokenUsage, Tag("tokens")] | Annotated[DurationUsage, Tag("duration")],
    Discriminator(_kind),
]
