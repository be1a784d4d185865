"""Words and segments given to those who speak, by turns: stretches of time, each of one voice.

Pure, and linear but for sorting: a day of words takes a few seconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final, NamedTuple

from dropscribe.transcript import Segment, Word

NEAR_MS: Final = 1_000
"""How far from its turn a word may lie: recognizers' times are not exact."""
SHORT_MS: Final = 700
"""Speech shorter than this inside somebody's sentence is a `mhm`, not a turn."""
SHORT_WORDS: Final = 2
"""So few words, all of them short, are none either."""
SHORT_WORD: Final = 4
"""Letters of a short word: `yes`, `okay`."""
EDGE_MS: Final = 300
"""Less than this at either end of a segment is a change of turn placed a little wrong."""
_SENTENCE_ENDS: Final = (".", "?", "!", "…", "。", "？", "！", "؟", "।")  # noqa: RUF001
_OPENING: Final = "\"'([{«„“‘‚‹¿¡「『（"  # noqa: RUF001
"""What is written before a word belongs to it."""
_CLOSING: Final = "\"'”’»)」』 "  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class Turn:
    """One voice speaks."""

    start_ms: int
    end_ms: int
    label: str


def assign(
    segments: Sequence[Segment], words: Sequence[Word], turns: Iterable[Turn]
) -> tuple[list[Segment], list[Word]]:
    """The same with speakers, as `turns` have them: each list in its order, whatever that is.

    A word has the speaker of most of its time, or of the nearest turn up to a second away; None
    where there is neither. What somebody else says inside a sentence of a segment, a word or two,
    is taken for that speaker's: a `mhm` divides no sentence.

    A segment has the speaker of its words; None where they are of several, or of nobody. One
    without words has the speaker of most of its time, as a word has.
    """
    floor = _Floor(turns)
    found = [_given(word, floor.of(word.start_ms, word.end_ms)) for word in words]
    told = []
    for segment, own in zip(segments, owned(segments, words), strict=True):
        for at, word in _smoothed(own, found):
            found[at] = word
        whole = floor.of(segment.start_ms, segment.end_ms)
        speaker = _agreed(found[at].speaker for at in own) if own else whole
        told.append(replace(segment, speaker=speaker))
    return told, found


def spoken(segments: Sequence[Segment], words: Sequence[Word]) -> list[Segment]:
    """The same text, divided where the speaker changes.

    Segments with a speaker, and those of whose words none has one, are as they were. Parts of the
    others have the times of their words and nothing that was measured of the whole. A word without
    a speaker stays with the one before it.
    """
    divided: list[Segment] = []
    if not any(word.speaker for word in words) or all(segment.speaker for segment in segments):
        return [*segments]
    for segment, own in zip(segments, owned(segments, words), strict=True):
        runs = [] if segment.speaker else _runs(own, words)
        divided += _parts(segment, runs, words) if runs else [segment]
    return divided


def _given(word: Word, speaker: str | None) -> Word:
    """As `replace`, in a quarter of the time: a day has 200,000 words."""
    return Word(word.text, word.start_ms, word.end_ms, speaker)


class _Floor:
    """Who has it when. Where turns overlap, whose began first."""

    def __init__(self, turns: Iterable[Turn]) -> None:
        self._turns: list[Turn] = []
        end_ms: int | None = None
        for turn in sorted(turns, key=lambda turn: (turn.start_ms, turn.end_ms)):
            start_ms = turn.start_ms if end_ms is None else max(turn.start_ms, end_ms)
            if start_ms < turn.end_ms:
                self._turns.append(replace(turn, start_ms=start_ms))
                end_ms = turn.end_ms
        self._ends = [turn.end_ms for turn in self._turns]

    def of(self, start_ms: int, end_ms: int) -> str | None:
        """The label of most of a time; of the nearest turn where nobody speaks in it."""
        end_ms = max(end_ms, start_ms + 1)
        shares: dict[str, int] = {}
        at = first = bisect_right(self._ends, start_ms)
        while at < len(self._turns) and self._turns[at].start_ms < end_ms:
            turn = self._turns[at]
            share_ms = min(turn.end_ms, end_ms) - max(turn.start_ms, start_ms)
            shares[turn.label] = shares.get(turn.label, 0) + share_ms
            at += 1
        if shares:
            return max(shares, key=lambda label: shares[label])
        near = self._turns[max(first - 1, 0) : first + 1]
        apart = [max(turn.start_ms - end_ms, start_ms - turn.end_ms) for turn in near]
        return near[apart.index(min(apart))].label if apart and min(apart) <= NEAR_MS else None


def owned(segments: Sequence[Segment], words: Sequence[Word]) -> list[list[int]]:
    """Of each segment the indices of its words, in order of time.

    A word is of the last segment that begins before it, or up to a second after it.
    """
    order = sorted(range(len(segments)), key=lambda at: segments[at].start_ms)
    starts = [segments[at].start_ms for at in order]
    owned: list[list[int]] = [[] for _ in segments]
    for at in sorted(range(len(words)), key=lambda at: (words[at].start_ms, words[at].end_ms)):
        start_ms = words[at].start_ms
        place = bisect_right(starts, start_ms)
        ended = place == 0 or segments[order[place - 1]].end_ms <= start_ms
        if ended and place < len(order) and _nearer(segments, order, place, start_ms):
            place += 1
        if place and start_ms - segments[order[place - 1]].end_ms < NEAR_MS:
            owned[order[place - 1]].append(at)
    return owned


def _nearer(segments: Sequence[Segment], order: Sequence[int], place: int, start_ms: int) -> bool:
    """Whether a word between two segments, or before all, is of the one that follows."""
    to_ms = segments[order[place]].start_ms - start_ms
    from_ms = start_ms - segments[order[place - 1]].end_ms if place else NEAR_MS
    return to_ms < min(from_ms, NEAR_MS)


class _Run(NamedTuple):
    """Words of one speaker that follow one another."""

    speaker: str
    members: list[int]


def _runs(own: Sequence[int], words: Sequence[Word]) -> list[_Run]:
    """None where nobody is known. Words of nobody are of whoever spoke before, or first."""
    known = [words[at].speaker for at in own]
    speaker = next((one for one in known if one), None)
    if speaker is None:
        return []
    told: list[str] = []
    for one in known:
        speaker = one or speaker
        told.append(speaker)
    pairs = groupby(zip(told, own, strict=True), key=lambda pair: pair[0])
    return [_Run(who, [at for _, at in members]) for who, members in pairs]


def _smoothed(own: Sequence[int], words: Sequence[Word]) -> Iterator[tuple[int, Word]]:
    """Each word whose speaker changes, after what divides no sentence was given to others."""
    runs: list[_Run] = []
    given = _runs(own, words)
    for at, run in enumerate(given):
        before = runs[-1] if runs else None
        after = given[at + 1] if at + 1 < len(given) else None
        host = _host(run, before, after, words)
        speaker = run.speaker if host is None else host.speaker
        if before is not None and before.speaker == speaker:
            before.members.extend(run.members)
        else:
            runs.append(_Run(speaker, [*run.members]))
    for run in runs:
        for at in run.members:
            if words[at].speaker != run.speaker:
                yield at, _given(words[at], run.speaker)


def _host(run: _Run, before: _Run | None, after: _Run | None, words: Sequence[Word]) -> _Run | None:
    """Into whose sentence a run of another speaker falls; None where it is a turn."""
    sides = [side for side in (before, after) if side is not None]
    if len({side.speaker for side in sides}) != 1:
        return None
    if sum(len(side.members) for side in sides) <= len(run.members):
        return None
    begins = before is None or _ends_sentence(words[before.members[-1]])
    ends = after is None or _ends_sentence(words[run.members[-1]])
    if begins and ends:
        return None
    length_ms = words[run.members[-1]].end_ms - words[run.members[0]].start_ms
    short = [words[at] for at in run.members if _letters(words[at]) <= SHORT_WORD]
    few = len(run.members) == len(short) <= SHORT_WORDS
    brief = length_ms < SHORT_MS or few if len(sides) > 1 else length_ms < EDGE_MS
    return sides[0] if brief else None


def _ends_sentence(word: Word) -> bool:
    return word.text.rstrip(_CLOSING).endswith(_SENTENCE_ENDS)


def _letters(word: Word) -> int:
    return sum(map(str.isalnum, word.text))


def _agreed(speakers: Iterable[str | None]) -> str | None:
    """Of those who are known, where they are one."""
    known = {speaker for speaker in speakers if speaker}
    return known.pop() if len(known) == 1 else None


def _parts(segment: Segment, runs: Sequence[_Run], words: Sequence[Word]) -> list[Segment]:
    """The segment in one part for each run."""
    if len(runs) == 1:
        return [replace(segment, speaker=runs[0].speaker)]
    texts = _texts(segment.text, runs, words)
    return [
        Segment(
            text=text,
            start_ms=words[run.members[0]].start_ms,
            end_ms=max(words[at].end_ms for at in run.members),
            speaker=run.speaker,
        )
        for run, text in zip(runs, texts, strict=True)
    ]


def _texts(text: str, runs: Sequence[_Run], words: Sequence[Word]) -> list[str]:
    """The segment's own text, with its punctuation, cut before each run's first word.

    The words' texts where the segment does not say the same.
    """
    cuts: list[int] = []
    lower = text.lower()
    plain = lower if len(lower) == len(text) else text
    at = 0
    for run in runs:
        for number, member in enumerate(run.members):
            said = words[member].text.strip()
            place = plain.find(said.lower() if plain is lower else said, at)
            if place < 0:
                return [" ".join(words[one].text.strip() for one in run.members) for run in runs]
            if number == 0:
                cuts.append(_opened(text, place))
            at = place + len(said)
    cuts[0] = 0
    ends = [*cuts[1:], len(text)]
    return [text[start:end].strip() for start, end in zip(cuts, ends, strict=True)]


def _opened(text: str, place: int) -> int:
    """Where a word begins, with the brackets and quotes before it."""
    while place > 0 and text[place - 1] in _OPENING:
        place -= 1
    return place
