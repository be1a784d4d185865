"""What the server and its worker processes say to each other: lines of JSON.

A worker says first that it is `Ready`, or how it `Failed`. Then it is asked a `Question` at a time,
and answers each with `Begun`, a `Part` as soon as it is recognized, `Said` where speakers are to be
told apart, and `Done`; with `Failed` in place of what it cannot do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from dropscribe.api import Request, TranscriptionRequest, TranslationRequest
from dropscribe.engines import Recognized
from dropscribe.errors import ErrorCode
from dropscribe.transcript import Segment


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True)


class Question(_Line):
    tracks: list[Path]
    """16 kHz mono FLAC."""
    task: Literal["transcribe", "translate"]
    parameters: dict[str, Any]
    known: dict[str, Path] | None
    """Who speaks on the only track is asked for: name → a clip of each known voice, which may be
    none. None: it is not."""

    @classmethod
    def about(
        cls, tracks: list[Path], request: Request, known: Mapping[str, Path] | None = None
    ) -> Self:
        clips = {"known_speaker_names", "known_speaker_references"}
        parameters = request.model_dump(mode="json", exclude_defaults=True, exclude=clips)
        named = None if known is None else dict(known)
        return cls(tracks=tracks, task=request.task, parameters=parameters, known=named)

    def request(self, model: str) -> Request:
        """As it was asked, of `model`."""
        kind = TranslationRequest if self.task == "translate" else TranscriptionRequest
        return kind.model_validate({**self.parameters, "model": model})

    @property
    def model(self) -> str:
        """The name that the caller gave."""
        return str(self.parameters["model"])


class Ready(_Line):
    kind: Literal["ready"] = "ready"


class Begun(_Line):
    kind: Literal["begun"] = "begun"
    language: str | None
    """Code of the text's; None where nobody speaks."""


class Part(_Line):
    kind: Literal["part"] = "part"
    track: int
    recognized: Recognized


class Said(_Line):
    kind: Literal["said"] = "said"
    segments: list[Segment]
    """What was recognized, divided by speakers."""


class Done(_Line):
    kind: Literal["done"] = "done"


class Failed(_Line):
    kind: Literal["failed"] = "failed"
    message: str
    code: ErrorCode | None = None
    """None: nobody knows why."""


Answer = Ready | Begun | Part | Said | Done | Failed
_ANSWER: TypeAdapter[Answer] = TypeAdapter(Annotated[Answer, Field(discriminator="kind")])


def read(line: bytes) -> Answer:
    return _ANSWER.validate_json(line)
