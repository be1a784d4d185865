"""The canonical transcript: what every format is made from. Times are integer milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from dropscribe.api import DurationUsage, InputTokenDetails, Logprob, TokenUsage, Usage

Timing = Literal["model", "aligned", "estimated"]
"""Where times come from: the engine gave them; its text was found in the audio again, word by word;
or its words are spread over the stretches in which somebody speaks."""


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    start_ms: int
    end_ms: int
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    text: str
    """Without space around it."""
    start_ms: int
    end_ms: int
    speaker: str | None = None
    """None where nobody knows, or where it is of several: its words tell."""
    measured: dict[str, Any] = field(default_factory=dict)
    """The engine's own fields of the segment (`avg_logprob`, …), as it gave them."""


class Transcript(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    text: str
    task: str
    language: str | None = None
    """Code, e.g. `en`; None where nobody named it."""
    duration_ms: int
    """Of the recording, as we decoded it."""
    segments: list[Segment] | None = None
    """In order of their start; None where the engine gave no times."""
    words: list[Word] | None = None
    timing: Timing | None = None
    """Of the segments; None where there are none."""
    word_timing: Timing | None = None
    """Of the words; None where there are none."""
    logprobs: list[Logprob] | None = None
    usage: Usage | None = None

    @property
    def speakers(self) -> list[str]:
        """Labels in order of first speech."""
        parts: list[Segment | Word] = [*(self.segments or []), *(self.words or [])]
        spoken = sorted((p for p in parts if p.speaker), key=lambda part: part.start_ms)
        return list(dict.fromkeys(part.speaker for part in spoken if part.speaker))

    @property
    def names_speakers(self) -> bool:
        """Whether subtitles have anybody to name: who speaks alone is not called `A`."""
        return self.speakers not in ([], ["A"])


def add_usage(usages: Sequence[Usage]) -> Usage | None:
    """The sum; None where nothing was billed or where kinds are mixed."""
    if usages and all(isinstance(usage, DurationUsage) for usage in usages):
        return DurationUsage(seconds=sum(u.seconds for u in usages if isinstance(u, DurationUsage)))
    tokens = [usage for usage in usages if isinstance(usage, TokenUsage)]
    if not tokens or len(tokens) < len(usages):
        return None
    details = [usage.input_token_details for usage in tokens if usage.input_token_details]
    return TokenUsage(
        total_tokens=sum(usage.total_tokens for usage in tokens),
        input_tokens=sum(usage.input_tokens for usage in tokens),
        output_tokens=sum(usage.output_tokens for usage in tokens),
        input_token_details=InputTokenDetails(
            audio_tokens=sum(detail.audio_tokens or 0 for detail in details),
            text_tokens=sum(detail.text_tokens or 0 for detail in details),
        )
        if len(details) == len(tokens)
        else None,
    )


def channel_speaker(channel: int | None) -> str | None:
    """`0` → `A`: one speaker a channel."""
    return None if channel is None else chr(ord("A") + channel)
