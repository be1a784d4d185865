"""`<key>.txt`: the text alone, a paragraph a line with a blank line between, nobody named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from dropscribe.alignment import is_spaceless
from dropscribe.formats.lines import safe
from dropscribe.options import JobOptions
from dropscribe.phrases import ends_sentence
from dropscribe.transcript import Segment, Transcript, Word
from dropscribe.turns import spoken

PAUSE_MS: Final = 2_000
"""Silence after a sentence that ends a paragraph."""
LONG: Final = 800
"""Characters of a paragraph that are enough: some ten lines of a book …"""
BREATH_MS: Final = 700
"""… after which a shorter silence ends it."""
AHEAD: Final = 200
"""Characters of the text in which a word is looked for: the text may say more than its words."""
_OPENING: Final = "\"'“‘«([{„‚‹¿¡「『《（-–—"  # noqa: RUF001
"""What is written before a word belongs to it."""


class _Turning(NamedTuple):
    """Where a paragraph may begin."""

    at: int
    """Offset in the text."""
    pause_ms: int
    """Silence before it; below 0 where two talk at once."""
    taken: bool
    """By somebody else than who spoke before."""


def text(transcript: Transcript, options: JobOptions) -> str:
    """The transcript's text but for its white space; what has no times is one paragraph."""
    whole = transcript.text
    cuts = [0, *_cuts(whole, list(_turnings(whole, _said(transcript)))), len(whole)]
    parts = (safe(whole[start:end]) for start, end in pairwise(cuts))
    return "\n\n".join(part for part in parts if part) + "\n"


def _cuts(whole: str, turnings: Sequence[_Turning]) -> Iterator[int]:
    """Where paragraphs begin, but for the first.

    Where no sentence has an end, as some recognizers write, the pause alone decides.
    """
    ends = [_ends(whole, turning.at) for turning in turnings]
    written = any(ends) or _ends(whole, len(whole))
    begun = 0
    for turning, ended in zip(turnings, ends, strict=True):
        enough_ms = BREATH_MS if turning.at - begun > LONG else PAUSE_MS
        if turning.taken or (turning.pause_ms >= enough_ms and (ended or not written)):
            begun = turning.at
            yield begun


def _ends(whole: str, at: int) -> bool:
    """Whether a sentence ends there."""
    before = whole[max(at - AHEAD, 0) : at].split()
    return bool(before) and ends_sentence(before[-1])


def _said(transcript: Transcript) -> Sequence[Segment | Word]:
    """Words, which know the pauses best; parts of segments where several speak.

    The words of those who talk at once alternate, and the text has one after the other.
    """
    words = transcript.words or []
    if words and len({word.speaker for word in words}) == 1:
        return words
    return spoken(transcript.segments or [], words)


def _turnings(whole: str, said: Sequence[Segment | Word]) -> Iterator[_Turning]:
    """Where a breath is taken or the speaker changes, in order: what is said is found in the text.

    What is not found there turns nothing.
    """
    place = lost = end_ms = 0
    speaker: str | None = None
    for part in said:
        pause_ms = part.start_ms - end_ms
        taken = None not in (speaker, part.speaker) and speaker != part.speaker
        turns = taken or pause_ms >= BREATH_MS
        for word in part.text.split():
            at = whole.find(word, place, place + lost + len(word) + AHEAD)
            if at < 0:
                lost += len(word) + 1
                continue
            if turns and place and (opened := _opened(whole, at, place)):
                yield _Turning(opened, pause_ms, taken)
            turns, lost, place = False, 0, at + len(word)
        end_ms = max(end_ms, part.end_ms)
        speaker = part.speaker or speaker


def _opened(whole: str, at: int, after: int) -> int:
    """Where a word begins, with the quotes and brackets before it; 0 where it is inside another."""
    while at > after and whole[at - 1] in _OPENING:
        at -= 1
    before = whole[at - 1]
    return at if before.isspace() or is_spaceless(before) else 0
