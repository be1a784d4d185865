"""Subtitle cues from a transcript: lines of readable length, on screen long enough to read.

Time and memory grow in proportion to the text; a word is looked up by bisection.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from dropscribe.options import SubtitleOptions
from dropscribe.transcript import Segment, Transcript, Word
from dropscribe.turns import spoken


@dataclass(frozen=True)
class Cue:
    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    speaker: str | None = None
    """On one line, whatever was in the label."""


@dataclass(frozen=True)
class _Part:
    """What no line break divides: a word, or a character of one that is longer than a line."""

    text: str
    start_ms: int
    end_ms: int
    glued: bool = False
    """Continues the word before it: no space between them."""


@dataclass(frozen=True)
class _Group:
    """Parts of one speaker that fit on the screen together."""

    parts: list[_Part]
    speaker: str | None

    @property
    def start_ms(self) -> int:
        return self.parts[0].start_ms


def cues(transcript: Transcript, options: SubtitleOptions, *, named: bool = False) -> list[Cue]:
    """Cues in order of their start. A transcript without times has none.

    Cues of one speaker do not overlap; those of two who talk at once do. `named`: the lines say
    who speaks where the turn changes, for a format that has no field for it.
    """
    words = _by_speaker(transcript.words or [])
    groups = [
        group
        for segment in spoken(transcript.segments or [], transcript.words or [])
        for group in _groups(
            segment, _inside(words.get(segment.speaker, []), segment), options, named
        )
    ]
    groups.sort(key=lambda group: group.start_ms)
    return _shown(_cues(groups, options, named), options)


def _by_speaker(words: Iterable[Word]) -> dict[str | None, list[Word]]:
    """Each speaker's words, in order of their start."""
    found: dict[str | None, list[Word]] = {}
    for word in sorted(words, key=lambda word: word.start_ms):
        found.setdefault(word.speaker, []).append(word)
    return found


def _inside(words: list[Word], segment: Segment) -> list[Word]:
    """The words that belong to a segment, when they say the same as it does."""
    end_ms = max(segment.end_ms, segment.start_ms + 1)
    first, last = (
        bisect_left(words, ms, key=lambda word: word.start_ms) for ms in (segment.start_ms, end_ms)
    )
    same = last - first == len(segment.text.split())
    return words[first:last] if same else []


def _groups(
    segment: Segment, words: list[Word], options: SubtitleOptions, named: bool
) -> Iterator[_Group]:
    """A segment's parts, in groups that fit on the screen, with room for the name if need be."""
    speaker = _name(segment.speaker)
    width, name = options.max_line_length, _name_parts(speaker, options) if named else []
    parts: list[_Part] = []
    lines = _lines(name, width)
    for part in _parts(segment, words, width):
        _append(lines, part, width)
        too_long = parts and part.end_ms - parts[0].start_ms > options.max_duration_ms
        if parts and (too_long or len(lines) > options.max_lines):
            yield _Group(parts, speaker)
            parts, lines = [], _lines(name, width)
            _append(lines, replace(part, glued=False), width)
        parts.append(part if parts else replace(part, glued=False))
    if parts:
        yield _Group(parts, speaker)


def _parts(segment: Segment, words: list[Word], width: int) -> Iterator[_Part]:
    """The segment's own text, with its punctuation, at the times of its words.

    Times are in proportion to the number of characters where none are known.
    """
    texts = segment.text.split()
    spans = (
        [(word.start_ms, word.end_ms) for word in words]
        if words
        else _spread(texts, segment.start_ms, segment.end_ms)
    )
    for text, (start_ms, end_ms) in zip(texts, spans, strict=True):
        yield from _broken(text, start_ms, end_ms, width)


def _broken(text: str, start_ms: int, end_ms: int, width: int) -> Iterator[_Part]:
    """A word as one part; character by character where it is longer than a line.

    Such are sentences of scripts without spaces (Chinese, Japanese, Thai), and long addresses.
    """
    pieces = [text] if len(text) <= width else _characters(text)
    for index, (piece, span) in enumerate(
        zip(pieces, _spread(pieces, start_ms, end_ms), strict=True)
    ):
        yield _Part(piece, *span, glued=index > 0)


def _characters(text: str) -> list[str]:
    """Characters, each with the combining marks that follow it."""
    found: list[str] = []
    for character in text:
        if found and unicodedata.category(character).startswith("M"):
            found[-1] += character
        else:
            found.append(character)
    return found


def _spread(texts: Sequence[str], start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    """Start and end of each text in a span of time, in proportion to its length."""
    total = sum(len(text) for text in texts)
    length_ms = max(end_ms - start_ms, 0)
    spans, said = [], 0
    for text in texts:
        begin = start_ms + length_ms * said // total
        said += len(text)
        spans.append((begin, start_ms + length_ms * said // total))
    return spans


def _name(speaker: str | None) -> str | None:
    """A label as one line: a line break in it would end a cue's line of text."""
    return " ".join((speaker or "").split()) or None


def _name_parts(speaker: str | None, options: SubtitleOptions) -> list[_Part]:
    """`A: ` as the text that stands before what A says."""
    if speaker is None:
        return []
    texts = f"{speaker}:".split()
    return [part for text in texts for part in _broken(text, 0, 0, options.max_line_length)]


def _lines(parts: Iterable[_Part], width: int) -> list[str]:
    """Lines that are each as full as they can be; a part longer than `width` stands alone."""
    lines: list[str] = []
    for part in parts:
        _append(lines, part, width)
    return lines


def _append(lines: list[str], part: _Part, width: int) -> None:
    """Add to the last line, or begin one where there is no room."""
    text = part.text if part.glued else f" {part.text}"
    if lines and len(lines[-1]) + len(text) <= width:
        lines[-1] += text
    else:
        lines.append(part.text)


def _balanced(parts: list[_Part], options: SubtitleOptions) -> tuple[str, ...]:
    """As few lines as it takes, of lengths as equal as they can be: the narrowest such."""
    fewest = len(_lines(parts, options.max_line_length))
    widths = range(1, options.max_line_length + 1)
    narrowest = bisect_left(widths, True, key=lambda width: len(_lines(parts, width)) <= fewest)
    return tuple(_lines(parts, widths[narrowest]))


def _cues(groups: Iterable[_Group], options: SubtitleOptions, named: bool) -> Iterator[Cue]:
    """One cue a group, from its first word to the end of its last."""
    speaker = None
    for group in groups:
        turn = named and group.speaker != speaker
        name = _name_parts(group.speaker, options) if turn else []
        speaker = group.speaker
        lines = _balanced([*name, *group.parts], options)
        yield Cue(group.start_ms, group.parts[-1].end_ms, lines, speaker)


def _shown(spoken: Iterable[Cue], options: SubtitleOptions) -> list[Cue]:
    """Keep each cue for as long as it takes to read, at most until the next one.

    A speaker's next cue always ends it. Another speaker's leaves it its speech and the least
    duration: who talks at the same time does not wipe it off the screen.
    """
    shown: list[Cue] = []
    own_next_ms: dict[str | None, int] = {}
    next_ms: int | None = None
    for cue in reversed(list(spoken)):
        ends_ms = [_read_ms(cue, options)]
        if next_ms is not None:
            kept_ms = max(cue.end_ms, cue.start_ms + options.min_duration_ms)
            ends_ms.append(_before(next_ms, cue, options) if next_ms >= kept_ms else kept_ms)
        if cue.speaker in own_next_ms:
            ends_ms.append(_before(own_next_ms[cue.speaker], cue, options))
        shown.append(replace(cue, end_ms=max(min(ends_ms), cue.start_ms + 1)))
        next_ms = own_next_ms[cue.speaker] = cue.start_ms
    return shown[::-1]


def _read_ms(cue: Cue, options: SubtitleOptions) -> int:
    """When a cue has been spoken and read, if nothing follows."""
    characters = sum(len(line) for line in cue.lines)
    reading_ms = round(characters * 1000 / options.max_characters_per_second)
    shown_ms = max(cue.end_ms - cue.start_ms, reading_ms, options.min_duration_ms)
    return cue.start_ms + min(shown_ms, options.max_duration_ms)


def _before(next_ms: int, cue: Cue, options: SubtitleOptions) -> int:
    """The end of a cue that makes way for the next; the gap takes half of its time at most."""
    return next_ms - min(options.min_gap_ms, (next_ms - cue.start_ms) // 2)
