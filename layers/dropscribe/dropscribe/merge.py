"""One transcript from what was heard in the pieces of a recording."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TypeVar

from dropscribe.alignment import joined
from dropscribe.passage import Passage
from dropscribe.placement import divided, placed, sentences
from dropscribe.seams import without_repeats
from dropscribe.spans import Span
from dropscribe.transcript import Segment, Transcript, Word, add_usage, channel_speaker

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
    if not passage.placed or passage.words:
        return passage
    if passage.segments is None:
        words = _placed(passage.text, passage.span, passage.placed, passage.channel)
        return replace(passage, segments=sentences(words), words=words)
    words = []
    starts = [word.start_ms for word in passage.placed]
    for segment in passage.segments:
        span = Span(segment.start_ms, max(segment.end_ms, segment.start_ms))
        own = slice(*(bisect_left(starts, ms) for ms in span))
        found = _placed(segment.text, span, passage.placed[own], None)
        words += [replace(word, speaker=segment.speaker) for word in found]
    return replace(passage, words=words or None)


def _placed(text: str, span: Span, near: Sequence[Word], channel: int | None) -> list[Word]:
    """The words of a text that may have lost some at its ends, where two pieces overlap."""
    texts, known = divided(text), [word.text for word in near]
    for first in range(len(known) - len(texts) + 1):
        if known[first : first + len(texts)] == texts:
            words = list(near[first : first + len(texts)])
            break
    else:
        words = placed(text, span, [])
    return [replace(word, speaker=channel_speaker(channel)) for word in words]


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
