"""Where two pieces of audio overlap, what was said there is in both answers: it is kept once.

The words of both are aligned, and one of those that both heard becomes the seam: up to it stands
what the first piece heard, after it what the second did. Both hear badly at their own edge, where
a word may be cut in two, so the seam is sought in the middle.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from statistics import median_low
from typing import Final, NamedTuple, TypeVar

from dropscribe.alignment import (
    Pair,
    aligned,
    joined,
    longest_run,
    matched,
    overlapping,
    sound,
    tokens,
)
from dropscribe.api import Logprob
from dropscribe.passage import Passage
from dropscribe.spans import Span
from dropscribe.transcript import Segment, Word, add_usage

Timed = TypeVar("Timed", Segment, Word)

_APART_MS: Final = 1_500
"""At most, of two recognitions of one word, where both tell the times of words."""
_APART_GUESSED_MS: Final = 5_000
"""Where times are spread evenly over segments."""
_BESIDE_MS: Final = 8_000
"""At most, that two parts of one hole overlap."""
_LATE_MS: Final = 600
"""At most, of a word beside a hole that was heard once more with the hole."""
_LONGEST_WORD_MS: Final = 3_000
"""A word said to last longer has no known end."""
_AROUND_MS: Final = 20_000
"""How much beside an overlap is looked at with it; the rest of a long passage stays as it is."""
_ASTRAY: Final = 5
"""Part of that by which a pair may be more or less apart than the others."""
_LOST_MS: Final = 500
"""How far from the middle a seam is rather put than to leave out a word that only one side heard:
not further, as words heard by one side near its edge are mostly misheard."""
_SENTENCE_MS: Final = 4_000
"""How far rather than to divide a sentence."""
_WORDS_A_SECOND: Final = 6
"""More than anybody says; of scripts without spaces, characters."""

_UNPAIRED: Final = (0.55, 0.3)
"""What a word costs that one text alone has where they overlap: less where no run was found.

Measured: the first tells a phrase from its repetition, the second bears every third word wrong.
"""


class _Said(NamedTuple):
    """One word of a passage's segments."""

    sound: str
    start_ms: int
    end_ms: int
    segment: int
    """Index in the passage, of which it is the text from …"""
    start: int
    end: int
    """… to these offsets."""
    word: int = 0
    """The first of the passage's `words` that it is, …"""
    words: int = 0
    """… and how many there are up to its end."""

    @property
    def middle_ms(self) -> int:
        return self.start_ms + min(self.end_ms - self.start_ms, _LONGEST_WORD_MS) // 2


class _Seam(NamedTuple):
    """How many of the words near it each side has before it."""

    left: int
    right: int


def without_repeats(passages: Sequence[Passage]) -> list[Passage]:
    """Passages of one channel, in order: nothing that two of them heard stands in both."""
    whole = list(passages)
    for index in range(len(whole) - 1):
        left, right = whole[index], whole[index + 1]
        zone = Span(right.span.start_ms, left.span.end_ms)
        if zone.duration_ms <= 0:
            continue
        if left.segments is None or right.segments is None:
            whole[index : index + 2] = _parted_texts(left, right, zone)
        else:
            whole[index : index + 2] = _parted(left, right, zone)
    return whole


def filled(heard: Passage, hole: Span, found: Passage) -> Passage:
    """With what was found when a hole was listened to once more, a little beyond its edges too.

    Of that is kept what was said after the last word before the hole, and before the first after.
    """
    usage = add_usage([part.usage for part in (heard, found) if part.usage])
    placed = [*heard.placed, *found.placed]
    if heard.segments is None or found.segments is None:
        # Only where nothing was heard at all: it follows what was found in the hole before.
        if heard.text:
            heard, found = _parted_texts(heard, found, Span(0, _BESIDE_MS))
        logprobs = [*(heard.logprobs or []), *(found.logprobs or [])] or None
        text = joined([heard.text, found.text])
        return replace(heard, text=text, placed=placed, logprobs=logprobs, usage=usage)
    said, again = _said(heard), _said(found)
    middle_ms = (hole.start_ms + hole.end_ms) // 2
    at = sum(word.middle_ms < middle_ms for word in said)
    first, after = _new(again, said[:at][-1:], said[at:][:1], hole)
    parts = [
        _only(heard, said, 0, at),
        _only(found, again, first, after),
        _only(heard, said, at, len(said)),
    ]
    whole = _together(_together(parts[0], parts[1]), parts[2])
    return replace(
        whole,
        segments=_following(whole.segments or []),
        words=_following(whole.words or []) or None,
        placed=placed,
        usage=usage,
    )


def _new(
    found: Sequence[_Said], before: Sequence[_Said], after: Sequence[_Said], hole: Span
) -> tuple[int, int]:
    """Which of the words found are not the ones before and after the hole, or beyond these."""
    from_ms = min([hole.start_ms, *(word.end_ms for word in before)])
    until_ms = max([hole.end_ms, *(word.start_ms for word in after)])
    if not before:
        from_ms = min([from_ms, *(word.middle_ms for word in found)])
    if not after:
        until_ms = max([until_ms, *(word.middle_ms + 1 for word in found)])
    first = sum(word.middle_ms < from_ms for word in found)
    last = max(first, sum(word.middle_ms < until_ms for word in found))
    first += _again(found[:first], found[first:last], before, lambda word: word.start_ms)
    last -= _again(found[last:], found[first:last][::-1], after, lambda word: word.end_ms)
    return first, last


def _again(
    dropped: Sequence[_Said],
    kept: Sequence[_Said],
    beside: Sequence[_Said],
    edge: Callable[[_Said], int],
) -> int:
    """How many of the words kept, from an edge, are the one beside the hole at another time.

    None where that word is among those dropped: then it was said twice.
    """
    for word in beside:
        at = next((index for index, other in enumerate(kept) if other.sound), 0)
        if (
            kept[at:]
            and kept[at].sound == word.sound
            and abs(edge(kept[at]) - edge(word)) <= _LATE_MS
        ):
            return 0 if any(other.sound == word.sound for other in dropped) else at + 1
    return 0


def _parted(left: Passage, right: Passage, zone: Span) -> tuple[Passage, Passage]:
    first_ms, last_ms = zone.start_ms - _AROUND_MS, zone.end_ms + _AROUND_MS
    far = [part.end_ms < first_ms for part in left.segments or []]
    near = [part.start_ms <= last_ms for part in right.segments or []]
    before, ending = _split(left, 0 if _says_more(left) else [*far, False].index(False))
    beginning, after = _split(right, len(near) if _says_more(right) else sum(near))
    ending, beginning = _parted_near(ending, beginning, zone)
    return _together(before, ending), _together(beginning, after)


def _split(passage: Passage, at: int) -> tuple[Passage, Passage]:
    """Before a segment; words may be on the wrong side where its times are not theirs."""
    segments, words = passage.segments or [], passage.words or []
    none = replace(passage, text="", segments=[], words=None)
    if at in (0, len(segments)):
        return (passage, none) if at else (none, passage)
    word = bisect_left(words, segments[at].start_ms, key=lambda word: word.start_ms)
    parts = (segments[:at], words[:word]), (segments[at:], words[word:])
    first, then = (
        replace(none, text=joined([s.text for s in told]), segments=told, words=own or None)
        for told, own in parts
    )
    return first, then


def _together(first: Passage, then: Passage) -> Passage:
    """Two parts of one passage."""
    return replace(
        first,
        text=joined([first.text, then.text]),
        segments=[*(first.segments or []), *(then.segments or [])],
        words=[*(first.words or []), *(then.words or [])] or None,
    )


def _says_more(passage: Passage) -> bool:
    """Whether the text is another one than that of the segments."""
    told = joined([segment.text for segment in passage.segments or []])
    return bool(passage.text) and passage.text != told and sound(passage.text) != sound(told)


def _parted_near(left: Passage, right: Passage, zone: Span) -> tuple[Passage, Passage]:
    said, then = _said(left), _said(right)
    first = next((at for at, word in enumerate(said) if word.end_ms >= zone.start_ms), len(said))
    after = sum(word.start_ms < zone.end_ms for word in then)
    if first == len(said) or not after:
        # Only one of them heard anything there.
        return left, right
    timed = left.words is not None and right.words is not None
    seam = _seam(said[first:], then[:after], zone, _APART_MS if timed else _APART_GUESSED_MS)
    begun = _only(left, said, 0, first + seam.left)
    rest = _only(right, then, seam.right, len(then))
    return begun, replace(
        rest,
        segments=_following(rest.segments or [], begun.segments or []),
        words=_following(rest.words or [], begun.words or []) or None,
    )


def _following(parts: Sequence[Timed], before: Sequence[Timed] = ()) -> list[Timed]:
    """In the order given: none begins earlier than that before it, of those before it too."""
    found = list(before[-1:])
    for part in parts:
        if found and (part.start_ms, part.end_ms) < (found[-1].start_ms, found[-1].end_ms):
            end_ms = max(part.end_ms, found[-1].end_ms)
            found.append(replace(part, start_ms=found[-1].start_ms, end_ms=end_ms))
        else:
            found.append(part)
    return found[len(before[-1:]) :]


def _said(passage: Passage) -> list[_Said]:
    """The words of a passage's segments, in order of time: those of its `words`."""
    spread = [
        word
        for index, segment in enumerate(passage.segments or [])
        for word in _spread(segment, index)
    ]
    said = _timed(spread, passage.words) if passage.words and spread else spread
    return sorted(said, key=lambda word: word.start_ms)


def _spread(segment: Segment, index: int) -> Iterator[_Said]:
    """A segment's words, spread evenly over it: all that is known without `words`."""
    parts = tokens(segment.text)
    length = sum(len(part.sound) for part in parts) or 1
    lasts_ms = segment.end_ms - segment.start_ms
    at, end_ms = 0, segment.start_ms
    for part in parts:
        at, start_ms = at + len(part.sound), end_ms
        end_ms = segment.start_ms + lasts_ms * at // length
        yield _Said(part.sound, start_ms, end_ms, index, part.start, part.end)


def _timed(said: Sequence[_Said], words: Sequence[Word]) -> Iterator[_Said]:
    """At the times of `words`, one after the other, wherever the segments are said to be.

    What is missing in `words` lies between those beside it.
    """
    spoken = [part for index, word in enumerate(words) for part in _divided(word, index)]
    own = matched([word.sound for word in said], [part.sound for part in spoken])
    next_ms = [part.start_ms for part in spoken] + [max(word.end_ms for word in said)]
    end_ms, count = min(word.start_ms for word in said), 0
    for word, parts in zip(said, own, strict=True):
        if parts:
            start_ms, end_ms = spoken[parts[0]].start_ms, spoken[parts[-1]].end_ms
            first, count = spoken[parts[0]].word, spoken[parts[-1]].words
        else:
            first = count
            between = Span(end_ms, max(end_ms, next_ms[parts.stop]))
            start_ms, end_ms = Span(word.start_ms, word.end_ms).within(between)
        yield word._replace(start_ms=start_ms, end_ms=end_ms, word=first, words=count)


def _divided(word: Word, index: int) -> Iterator[_Said]:
    """One of `words` may be several here, or characters."""
    whole = Segment(word.text, word.start_ms, word.end_ms)
    return (part._replace(word=index, words=index + 1) for part in _spread(whole, index))


def _seam(left: list[_Said], right: list[_Said], zone: Span, apart_ms: int) -> _Seam:
    """After a word that both heard; where there is none, in the middle of the zone.

    Both hear with much the same delay: a pair that is further apart than most is one word that was
    said twice, and between the two everything would stand twice.
    """
    middle_ms = (zone.start_ms + zone.end_ms) // 2

    def worth(row: int, column: int) -> float:
        distance_ms = abs(left[row].middle_ms - right[column].middle_ms)
        return max(1 - 0.5 * distance_ms / apart_ms, 0) if distance_ms <= apart_ms else 0

    pairs = aligned([word.sound for word in left], [word.sound for word in right], worth)
    if not pairs:
        before = [sum(word.middle_ms < middle_ms for word in side) for side in (left, right)]
        return _Seam(*before)
    a, b = (
        list(accumulate((word.sound != "" for word in side), initial=0)) for side in (left, right)
    )
    offsets_ms = [left[row].middle_ms - right[column].middle_ms for row, column in pairs]
    usual_ms = median_low(offsets_ms)
    lost = _lost([Pair(a[row], b[column]) for row, column in pairs], a[-1], b[-1])

    def badness(index: int) -> tuple[bool, int]:
        a, b = pairs[index]
        between = _ends_segment(left, a) and _ends_segment(right, b)
        astray = abs(offsets_ms[index] - usual_ms) > apart_ms // _ASTRAY
        off_ms = abs(left[a].middle_ms - middle_ms) + (0 if between else _SENTENCE_MS)
        return astray, off_ms + lost[index] * _LOST_MS

    best = pairs[min(range(len(pairs)), key=badness)]
    return _Seam(best.left + 1, best.right + 1)


def _ends_segment(said: list[_Said], index: int) -> bool:
    """Not by the end of the audio."""
    return index + 1 < len(said) and said[index + 1].segment != said[index].segment


def _lost(pairs: list[Pair], left: int, right: int) -> list[int]:
    """For a seam at each pair: how many words would stand in neither that one side alone heard.

    Between two pairs either side counts, the longer one where the other misses words.
    """
    edges = [Pair(-1, -1), *pairs, Pair(left, right)]
    gaps = [(b.left - a.left, b.right - a.right) for a, b in pairwise(edges)]
    by_left = list(accumulate(max(r - a, 0) for a, r in gaps))
    by_right = [max(a - r, 0) for a, r in gaps]
    return [by_left[at] + sum(by_right[at + 1 :]) for at in range(len(pairs))]


def _only(passage: Passage, said: Sequence[_Said], first: int, after: int) -> Passage:
    """With none but the words from `first` up to `after`."""
    kept = said[first:after]
    if kept and len(kept) == len(said):
        return passage
    begin = {word.segment: word for word in reversed(kept)}
    end = {word.segment: word for word in kept}
    told = passage.segments or []
    segments = [_part(told[index], begin[index], end[index]) for index in sorted(end)]
    words = passage.words or []
    own = slice(
        max(said[first - 1].words, kept[0].word) if kept and first else 0,
        kept[-1].words if kept and after < len(said) else len(words),
    )
    text = joined([segment.text for segment in segments])
    if kept and _says_more(passage):
        text = _text(passage.text, said, first, after)
    return replace(
        passage, text=text, segments=segments, words=(words[own] if kept else []) or None
    )


def _part(segment: Segment, first: _Said, last: _Said) -> Segment:
    """From one word to another; the token ids of a segment are of the whole text."""
    if first.start == 0 and last.end == len(segment.text):
        return segment
    measured = {name: value for name, value in segment.measured.items() if name != "tokens"}
    start_ms = first.start_ms if first.start else segment.start_ms
    end_ms = last.end_ms if last.end < len(segment.text) else segment.end_ms
    return replace(
        segment,
        text=segment.text[first.start : last.end],
        start_ms=start_ms,
        end_ms=max(start_ms, end_ms),
        measured=measured,
    )


def _text(text: str, said: Sequence[_Said], first: int, after: int) -> str:
    """That part of a text which says more than its segments."""
    parts = tokens(text)
    ordered = sorted(range(len(said)), key=lambda at: (said[at].segment, said[at].start))
    own = matched([said[at].sound for at in ordered], [part.sound for part in parts])
    ends = [0, *(part.end for part in parts)]
    until = {at: ends[found.stop] for at, found in zip(ordered, own, strict=True)}
    begin = until[first - 1] if first else 0
    end = until[after - 1] if after < len(said) else len(text)
    return text[begin:end].strip()


def _parted_texts(left: Passage, right: Passage, zone: Span) -> tuple[Passage, Passage]:
    """Without times: by the words with which one ends and the other begins.

    Where there are none, or only a word that may be there by chance, both stay whole.
    """
    most = zone.duration_ms * _WORDS_A_SECOND // 1000
    ending = [word for word in tokens(left.text) if word.sound][-most:]
    beginning = [word for word in tokens(right.text) if word.sound][:most]
    runs = [
        longest_run(overlapping([a.sound for a in ending], [b.sound for b in beginning], cost))
        for cost in _UNPAIRED
    ]
    run = next((run for run in runs if len(run) > 1), runs[0])
    if not run or (len(run) == 1 and run[0] != Pair(len(ending) - 1, 0)):
        return left, right
    seam = run[len(run) // 2]
    cut_left, cut_right = ending[seam.left].end, beginning[seam.right].end
    return (
        replace(
            left,
            text=left.text[:cut_left],
            logprobs=_logprobs(left, 0, cut_left),
        ),
        replace(
            right,
            text=right.text[cut_right:].strip(),
            logprobs=_logprobs(right, cut_right, len(right.text)),
        ),
    )


def _logprobs(passage: Passage, first: int, after: int) -> list[Logprob] | None:
    """Of the tokens that begin in a part of the text, by the offsets of its characters."""
    found = passage.logprobs or []
    texts = [logprob.token or "" for logprob in found]
    whole = "".join(texts)
    if whole.strip() != passage.text:
        # They do not spell the text, so nobody can tell where they belong.
        return passage.logprobs
    indent = len(whole) - len(whole.lstrip())
    begins = accumulate((len(text) for text in texts), initial=-indent)
    inside = [
        logprob
        for logprob, begin, text in zip(found, begins, texts, strict=False)
        if first <= begin + len(text) - len(text.lstrip()) < after
    ]
    return inside or None
