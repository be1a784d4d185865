"""How far subtitles keep the rules that they are made by: for the receipt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from dropscribe.columns import columns, is_wide
from dropscribe.cues import START_MS, Cue
from dropscribe.options import SubtitleOptions
from dropscribe.timestamps import to_seconds

Rule = Literal[
    "line_length",
    "lines",
    "reading_speed",
    "min_duration",
    "max_duration",
    "gap",
    "start",
    "line_break",
]
RULES: Final[tuple[Rule, ...]] = Rule.__args__  # type: ignore[attr-defined]


class WorstCue(BaseModel):
    """The one that is furthest from its rule, in proportion to it."""

    model_config = ConfigDict(frozen=True)

    number: int
    """From 1, as srt counts."""
    start: float
    """Seconds."""
    rule: Rule
    value: float
    """Columns, lines, columns a second, milliseconds or line ends, as the rule counts."""
    limit: float


class Quality(BaseModel):
    """Of one file."""

    model_config = ConfigDict(frozen=True)

    cues: int
    broken: dict[Rule, int]
    """In how many cues each rule is broken; all rules are named."""
    worst: WorstCue | None
    """None where every rule is kept."""


def quality(cues: Sequence[Cue], options: SubtitleOptions, *, named: bool = True) -> Quality:
    """Counted on the cues as they are shown; linear. `named`: with speakers' names in the lines."""
    broken = dict.fromkeys(RULES, 0)
    worst: WorstCue | None = None
    furthest = 0.0
    for number, cue in enumerate(cues, 1):
        after = cues[number] if number < len(cues) else None
        lines = cue.named if named else cue.lines
        for rule, value, limit, excess in _breaches(cue, lines, after, options):
            broken[rule] += 1
            if excess > furthest:
                furthest = excess
                worst = WorstCue(
                    number=number,
                    start=to_seconds(cue.start_ms),
                    rule=rule,
                    value=round(value, 2),
                    limit=limit,
                )
    return Quality(cues=len(cues), broken=broken, worst=worst)


def _breaches(
    cue: Cue, lines: Sequence[str], after: Cue | None, options: SubtitleOptions
) -> Iterator[tuple[Rule, float, float, float]]:
    """Rule, value, limit, and how far beyond it the value is, in proportion."""
    widths = [columns(line) for line in lines]
    width = options.max_line_length
    if max(widths) > min(width, 2 * options.wide_line_length) and is_wide("".join(lines)):
        width = 2 * options.wide_line_length
    shown_ms = cue.end_ms - cue.start_ms
    most: list[tuple[Rule, float, float]] = [
        ("line_length", max(widths), width),
        ("lines", len(lines), options.max_lines),
        # Of the whole milliseconds that there are.
        ("reading_speed", sum(widths) * 1000 / (shown_ms + 1), options.max_characters_per_second),
        ("max_duration", shown_ms, options.max_duration_ms),
        ("start", abs(cue.start_ms - cue.spoken_ms), START_MS),
        ("line_break", cue.torn, 0),
    ]
    least: list[tuple[Rule, float, float]] = [("min_duration", shown_ms, options.min_duration_ms)]
    if after is not None:
        least.append(("gap", after.start_ms - cue.end_ms, options.min_gap_ms))
    for rule, value, limit in most:
        if value > limit:
            yield rule, value, limit, value / limit - 1 if limit else 0.01 * value
    for rule, value, limit in least:
        if value < limit:
            yield rule, value, limit, 1 - value / limit
