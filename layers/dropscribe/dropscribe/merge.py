"""One transcript from what was heard in the pieces of a recording."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, groupby
from typing import TypeVar

from dropscribe.alignment import joined
from dropscribe.passage import Passage
from dropscribe.placement import placed, sentences
from dropscribe.seams import without_repeats
from dropscribe.spans import Span
from dropscribe.transcript import Segment, Transcript, Word, add_usage, channel_speaker
from dropscribe.turns import owned

Timed = TypeVar("Timed", Segment, Word)


def merge(
    passages: Iterable[Passage], *, duration_ms: int, task: str, language: str | None
) -> Transcript:
    """The transcript of a recording, in its order.

    Channels are interleaved, each being one speaker (`A` is the first). `language` is what the job
    was told; what the engine named for most of the text's time wins. Segments, and words, of one
    speaker are in order and do not overlap.
    """
    whole = [
        with_times(part) for channel in _by_channel(passages) for part in without_repeats(channel)
    ]
    timed = any(part.segments is not None for part in whole)
    segments = in_order([segment for part in whole for segment in part.segments or []])
    words = in_order([word for part in whole for word in part.words or []])
    logprobs = [logprob for part in whole for logprob in part.logprobs or []]
    return Transcript(
        text=_text(whole, segments),
        task=task,
        language=_language(whole) or language,
        duration_ms=duration_ms,
        segments=segments if timed else None,
        words=words or None,
        logprobs=logprobs or None,
        usage=add_usage([part.usage for part in whole if part.usage]),
    )


def with_times(passage: Passage) -> Passage:
    """With the words, and segments of them, that were placed where the engine gave no times."""
    if not passage.placed:
        return passage
    letters = _Letters(passage.placed)
    if passage.segments is None:
        speaker = channel_speaker(passage.channel)
        words = letters.words_of(passage.text, passage.span, speaker)
        told = sentences(words, passage.text)
        segments = [replace(segment, speaker=speaker) for segment in told]
        return replace(passage, segments=segments, words=words)
    words = list(passage.words or [])
    for segment, own in zip(passage.segments, owned(passage.segments, words), strict=True):
        if not own:
            span = Span(segment.start_ms, max(segment.end_ms, segment.start_ms))
            words += letters.words_of(segment.text, span, segment.speaker)
    return replace(passage, words=sorted(words, key=lambda word: word.start_ms) or None)


class _Letters:
    """Placed words, to be found again by their letters: of a text that lost some at a seam."""

    def __init__(self, placed: Sequence[Word]) -> None:
        self._placed = placed
        self._all = "".join(word.text for word in placed)
        self._ends = list(accumulate(len(word.text) for word in placed))

    def words_of(self, text: str, span: Span, speaker: str | None) -> list[Word]:
        """Within `span`, near which they are; of several such texts those of the nearest."""
        wanted = "".join(text.split())
        places = list(self._places(wanted))
        if not places:
            heard = [Span(word.start_ms, word.end_ms) for word in self._placed]
            found = placed(text, span, [one for one in heard if one.start_ms < one.end_ms])
        else:
            at = min(places, key=lambda at: abs(self._at(at).start_ms - span.start_ms))
            found = list(self._cut(at, at + len(wanted), span))
        return [replace(word, speaker=speaker) for word in found]

    def _places(self, wanted: str) -> Iterator[int]:
        at = self._all.find(wanted) if wanted else -1
        while at >= 0:
            yield at
            at = self._all.find(wanted, at + 1)

    def _at(self, letter: int) -> Word:
        return self._placed[bisect_right(self._ends, letter)]

    def _cut(self, first: int, after: int, span: Span) -> Iterator[Word]:
        for at in range(bisect_right(self._ends, first), bisect_left(self._ends, after) + 1):
            word = self._placed[at]
            begin = self._ends[at] - len(word.text)
            start_ms, end_ms = (
                min(max(ms, span.start_ms), span.end_ms) for ms in (word.start_ms, word.end_ms)
            )
            yield Word(word.text[max(first - begin, 0) : after - begin], start_ms, end_ms)


def in_order(parts: Sequence[Timed]) -> list[Timed]:
    """By their start; what runs into the same speaker's next one ends where that begins."""
    ordered = sorted(parts, key=lambda part: (part.start_ms, part.end_ms))
    next_ms: dict[str | None, int] = {}
    for index in range(len(ordered) - 1, -1, -1):
        part = ordered[index]
        if part.end_ms > next_ms.get(part.speaker, part.end_ms):
            ordered[index] = replace(part, end_ms=next_ms[part.speaker])
        next_ms[part.speaker] = part.start_ms
    return ordered


def _by_channel(passages: Iterable[Passage]) -> list[list[Passage]]:
    def channel(part: Passage) -> int:
        return -1 if part.channel is None else part.channel

    ordered = sorted(passages, key=lambda part: (channel(part), part.span))
    return [list(parts) for _, parts in groupby(ordered, channel)]


def _text(passages: Sequence[Passage], segments: Sequence[Segment]) -> str:
    """The engine's own text; of separate channels, the segments in the order of speech."""
    if segments and any(part.channel is not None for part in passages):
        return joined([segment.text for segment in segments])
    return joined([part.text for part in passages])


def _language(passages: Iterable[Passage]) -> str | None:
    """What the engine named for the most time; where it heard nothing, it had to guess."""
    votes: dict[str, int] = {}
    for part in passages:
        if part.language and part.text:
            votes[part.language] = votes.get(part.language, 0) + part.span.duration_ms
    named = (part.language for part in passages if part.language)
    return max(votes, key=lambda code: votes[code]) if votes else next(named, None)
