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
from typing import Final, NamedTuple

from dropscribe.alignment import Pair, aligned, joined, longest_run, sound, tokens
from dropscribe.api import Logprob
from dropscribe.passage import Passage, retold
from dropscribe.spans import Span
from dropscribe.transcript import Segment, Word

_APART_MS: Final = 1_500
"""At most, of two recognitions of one word, where both tell the times of words."""
_APART_GUESSED_MS: Final = 5_000
"""Where times are spread evenly over segments."""
_WORDS_A_SECOND: Final = 6
"""More than anybody says; of scripts without spaces, characters."""


class _Said(NamedTuple):
    """One word near a seam."""

    sound: str
    start_ms: int
    end_ms: int
    segment: int
    """Index in the passage, of which it is the text from …"""
    start: int
    end: int
    """… to these offsets."""

    @property
    def middle_ms(self) -> int:
        return (self.start_ms + self.end_ms) // 2


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
    if heard.segments is None or found.segments is None:
        # Only where nothing was heard at all: it follows what was found in the hole before.
        logprobs = [*(heard.logprobs or []), *(found.logprobs or [])]
        return replace(heard, text=joined([heard.text, found.text]), logprobs=logprobs or None)
    middle_ms = (hole.start_ms + hole.end_ms) // 2
    told = [Span(part.start_ms, part.end_ms) for part in heard.words or heard.segments]
    start_ms = max((t.end_ms for t in told if t.start_ms < middle_ms), default=found.span.start_ms)
    end_ms = min((t.start_ms for t in told if t.end_ms > middle_ms), default=found.span.end_ms)
    kept = _inside(found, Span(min(start_ms, hole.start_ms), max(end_ms, hole.end_ms)))
    words = [*(heard.words or []), *(kept.words or [])]
    return retold(heard, [*heard.segments, *(kept.segments or [])], words or None)


def _inside(passage: Passage, span: Span) -> Passage:
    """Only the words that were said within `span`."""
    said = _near(passage, passage.span)
    before = sum(word.middle_ms < span.start_ms for word in said)
    until = sum(word.middle_ms < span.end_ms for word in said)
    rest = _until(passage, said, until)
    return _after(rest, _near(rest, rest.span), before)


def _parted(left: Passage, right: Passage, zone: Span) -> tuple[Passage, Passage]:
    said = _near(left, zone), _near(right, zone)
    if not all(said):
        # Only one of them heard anything there.
        return left, right
    timed = left.words is not None and right.words is not None
    seam = _seam(*said, zone, _APART_MS if timed else _APART_GUESSED_MS)
    return _until(left, said[0], seam.left), _after(right, said[1], seam.right)


def _near(passage: Passage, zone: Span) -> list[_Said]:
    """The words of a passage in the zone, in order of time."""
    found = [
        word
        for index, segment in enumerate(passage.segments or [])
        if segment.end_ms >= zone.start_ms and segment.start_ms < zone.end_ms
        for word in _said(segment, index, passage.words or [])
        if zone.start_ms - (word.end_ms - word.start_ms) <= word.start_ms < zone.end_ms
    ]
    return sorted(found, key=lambda word: word.start_ms)


def _said(segment: Segment, index: int, words: Sequence[Word]) -> Iterator[_Said]:
    """A segment's words at the times of `words`, else spread evenly over the segment.

    A dash that stands alone is where the word before it ends.
    """
    parts = tokens(segment.text)
    times = _times(segment, words, sum(len(part.sound) for part in parts))
    at, end_ms = 0, segment.start_ms
    for part in parts:
        start_ms = end_ms
        if part.sound:
            start_ms, end_ms = times(at)[0], times(at + len(part.sound) - 1)[1]
        at += len(part.sound)
        yield _Said(part.sound, start_ms, end_ms, index, part.start, part.end)


def _times(
    segment: Segment, words: Sequence[Word], length: int
) -> Callable[[int], tuple[int, int]]:
    """When each character of a segment's words, counted without all else, begins and ends."""
    first, last = (
        bisect_left(words, ms, key=lambda word: word.start_ms)
        for ms in (segment.start_ms, max(segment.end_ms, segment.start_ms + 1))
    )
    inside = [word for word in words[first:last] if word.speaker == segment.speaker]
    lengths = [len(sound(word.text)) for word in inside]
    if sum(lengths) != length:
        whole = Span(segment.start_ms, segment.end_ms)
        return lambda at: _share(whole, at, length)
    ends = list(accumulate(lengths))

    def time(at: int) -> tuple[int, int]:
        index = bisect_left(ends, at + 1)
        spoken = Span(inside[index].start_ms, inside[index].end_ms)
        return _share(spoken, at - ends[index] + lengths[index], lengths[index])

    return time


def _share(span: Span, at: int, of: int) -> tuple[int, int]:
    """One of so many equal parts of a stretch of time."""
    starts = (span.start_ms + span.duration_ms * part // of for part in (at, at + 1))
    return next(starts), next(starts)


def _seam(left: list[_Said], right: list[_Said], zone: Span, apart_ms: int) -> _Seam:
    """After a word that both heard; where there is none, in the middle of the zone."""
    middle_ms = (zone.start_ms + zone.end_ms) // 2

    def worth(row: int, column: int) -> float:
        distance_ms = abs(left[row].middle_ms - right[column].middle_ms)
        return max(1 - 0.5 * distance_ms / apart_ms, 0) if distance_ms <= apart_ms else 0

    pairs = aligned([word.sound for word in left], [word.sound for word in right], worth)
    if not pairs:
        before = [sum(word.middle_ms < middle_ms for word in side) for side in (left, right)]
        return _Seam(*before)
    lost = _lost(pairs, len(left), len(right))

    def badness(index: int) -> tuple[int, bool, int]:
        a, b = pairs[index]
        between = _ends_segment(left, a) and _ends_segment(right, b)
        return lost[index], not between, abs(left[a].middle_ms - middle_ms)

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


def _until(passage: Passage, said: list[_Said], kept: int) -> Passage:
    """Without the words near its end from `kept` on."""
    dropped = said[kept:]
    if not dropped:
        return passage
    first = {word.segment: word for word in reversed(dropped)}
    last = {word.segment: word for word in said[:kept]}
    segments = list(passage.segments or [])
    for index, word in first.items():
        whole = segments[index]
        end_ms = last[index].end_ms if index in last else word.start_ms
        segments[index] = _part(whole, whole.text[: word.start], Span(whole.start_ms, end_ms))
    words = [word for word in passage.words or [] if word.start_ms < dropped[0].start_ms]
    return retold(passage, [segment for segment in segments if segment.text], words or None)


def _after(passage: Passage, said: list[_Said], begun: int) -> Passage:
    """Without the words near its beginning before `begun`."""
    dropped = said[:begun]
    if not dropped:
        return passage
    last = {word.segment: word for word in dropped}
    first = {word.segment: word for word in reversed(said[begun:])}
    segments = list(passage.segments or [])
    for index, word in last.items():
        whole = segments[index]
        start_ms = first[index].start_ms if index in first else word.end_ms
        segments[index] = _part(whole, whole.text[word.end :], Span(start_ms, whole.end_ms))
    words = [word for word in passage.words or [] if word.start_ms > dropped[-1].start_ms]
    return retold(passage, [segment for segment in segments if segment.text], words or None)


def _part(segment: Segment, text: str, span: Span) -> Segment:
    """Of a segment what stands on one side of a seam; its token ids are of the whole text."""
    measured = {name: value for name, value in segment.measured.items() if name != "tokens"}
    start_ms = min(span.start_ms, segment.end_ms)
    end_ms = max(start_ms, min(span.end_ms, segment.end_ms))
    return replace(segment, text=text.strip(), start_ms=start_ms, end_ms=end_ms, measured=measured)


def _parted_texts(left: Passage, right: Passage, zone: Span) -> tuple[Passage, Passage]:
    """Without times: the longest run of the same words at the end of one and begin of the other.

    Where there is none, or only a word that may be there by chance, both stay whole. Of equals
    those nearer to the edges are the likelier.
    """
    most = zone.duration_ms * _WORDS_A_SECOND // 1000
    ending, beginning = tokens(left.text)[-most:], tokens(right.text)[:most]

    def worth(row: int, column: int) -> float:
        inside = len(ending) - row + column
        return 1 - 0.3 * inside / (len(ending) + len(beginning))

    pairs = aligned([word.sound for word in ending], [word.sound for word in beginning], worth)
    run = longest_run(pairs)
    if not run or (len(run) == 1 and not _at_edges(run[0], len(ending))):
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


def _at_edges(pair: Pair, left: int) -> bool:
    """Whether a single word is where it must be; one side may have a fragment beyond it."""
    return left - 1 - pair.left + pair.right <= 1


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
