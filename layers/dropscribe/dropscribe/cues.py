"""Subtitle cues from a transcript: lines of readable length, on screen long enough to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from dropscribe.options import SubtitleOptions
from dropscribe.transcript import Segment, Transcript, Word


@dataclass(frozen=True)
class Cue:
    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    speaker: str | None = None


def cues(transcript: Transcript, options: SubtitleOptions) -> list[Cue]:
    """Cues in order, none overlapping the next. A transcript without times has none."""
    pieces = [
        piece
        for segment in transcript.segments or []
        for piece in _pieces(segment, _inside(transcript.words or [], segment), options)
    ]
    return list(_spaced([_cue(piece, options) for piece in pieces], options))


def _inside(words: Sequence[Word], segment: Segment) -> list[Word]:
    """The words that belong to a segment, when they say the same as it does."""
    own = [
        word
        for word in words
        if segment.start_ms <= word.start_ms < max(segment.end_ms, segment.start_ms + 1)
        and word.speaker == segment.speaker
    ]
    return own if len(own) == len(segment.text.split()) else []


def _pieces(segment: Segment, words: list[Word], options: SubtitleOptions) -> Iterator[list[Word]]:
    """A segment's words, in groups that fit on the screen; times are spread where none are known.

    The text is the segment's own, with its punctuation.
    """
    texts = segment.text.split()
    timed = (
        [word.model_copy(update={"text": text}) for word, text in zip(words, texts, strict=True)]
        if words
        else _spread(segment, texts)
    )
    group: list[Word] = []
    for word in timed:
        if group and not _fits([*group, word], options):
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _spread(segment: Segment, texts: list[str]) -> list[Word]:
    """Words of a segment at times in proportion to their length."""
    total = sum(len(text) for text in texts)
    length_ms = max(segment.end_ms - segment.start_ms, 0)
    words, said = [], 0
    for text in texts:
        start_ms = segment.start_ms + length_ms * said // total
        said += len(text)
        end_ms = segment.start_ms + length_ms * said // total
        words.append(Word(text=text, start_ms=start_ms, end_ms=end_ms, speaker=segment.speaker))
    return words


def _fits(words: list[Word], options: SubtitleOptions) -> bool:
    lines = _lines([word.text for word in words], options)
    too_long = words[-1].end_ms - words[0].start_ms > options.max_duration_ms
    return len(lines) <= options.max_lines and not too_long


def _cue(words: list[Word], options: SubtitleOptions) -> Cue:
    """One group of words; stays on screen long enough to be read."""
    lines = _balanced([word.text for word in words], options)
    characters = sum(len(line) for line in lines)
    reading_ms = round(characters * 1000 / options.max_characters_per_second)
    shown_ms = max(words[-1].end_ms - words[0].start_ms, reading_ms, options.min_duration_ms)
    end_ms = words[0].start_ms + min(shown_ms, options.max_duration_ms)
    return Cue(words[0].start_ms, end_ms, lines, words[0].speaker)


def _lines(texts: list[str], options: SubtitleOptions) -> list[str]:
    """Greedy lines; a single word longer than a line stands alone."""
    lines: list[str] = []
    for text in texts:
        if lines and len(lines[-1]) + 1 + len(text) <= options.max_line_length:
            lines[-1] += " " + text
        else:
            lines.append(text)
    return lines


def _balanced(texts: list[str], options: SubtitleOptions) -> tuple[str, ...]:
    """As few lines as it takes, of lengths as equal as they can be."""
    best = _lines(texts, options)
    for width in range(options.max_line_length - 1, 0, -1):
        narrower = options.model_copy(update={"max_line_length": width})
        lines = _lines(texts, narrower)
        if len(lines) > len(best):
            break
        best = lines
    return tuple(best)


def _spaced(cues: Iterable[Cue], options: SubtitleOptions) -> Iterator[Cue]:
    """Cut each cue where the next begins, leaving the gap where there is room for it."""
    ordered = sorted(cues, key=lambda cue: cue.start_ms)
    for cue, following in zip_longest(ordered, ordered[1:]):
        latest_ms = following.start_ms - options.min_gap_ms if following else cue.end_ms
        yield replace(cue, end_ms=min(cue.end_ms, max(latest_ms, cue.start_ms + 1)))
