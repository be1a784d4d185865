"""`response_format=json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from dropscribe.api.usage import Usage


class Logprob(BaseModel):
    """One token with its log probability."""

    model_config = ConfigDict(extra="allow", frozen=True)

    token: str | None = None
    logprob: float | None = None
    """Natural logarithm; may be slightly above 0 in real answers."""
    bytes: list[int] | None = None
    """UTF-8 bytes of the token."""


class Transcription(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    text: str
    logprobs: list[Logprob] | None = None
    """Only with `include[]=logprobs`."""
    usage: Usage | None = None
