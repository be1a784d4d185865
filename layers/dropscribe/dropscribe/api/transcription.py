"""`response_format=json`."""

from __future__ import annotations

from dropscribe.api.object import ApiObject, Extra
from dropscribe.api.usage import Usage


class Logprob(ApiObject):
    """One token with its log probability. All tokens joined are the text."""

    token: str | None = None
    """With the space before it."""
    logprob: float | None = None
    """Natural logarithm; at most 0, in real answers sometimes slightly above."""
    bytes: list[int] | None = None
    """UTF-8 bytes of the token, 0 to 255 each."""


class DetectedLanguage(ApiObject):
    code: str
    """ISO 639-1, or 639-3 where that has none."""


class Transcription(ApiObject):
    text: str
    """Without space around it."""
    logprobs: Extra[list[Logprob]] = None
    """Only with `include[]=logprobs`, and not of silence."""
    languages: Extra[list[DetectedLanguage]] = None
    """Of `gpt-transcribe`, as recorded in July 2026; not in the reference. Empty for silence."""
    usage: Extra[Usage] = None
