"""Whose words are whose: turns that were heard chunk by chunk, given to the words of all."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from dropscribe.merge import Timed
from dropscribe.speakers import ChunkVoices, Heard, Voice, labels, link
from dropscribe.transcript import Segment, Word
from dropscribe.turns import Turn, assign

_SOMEBODY: Final = Heard(0, "")
"""Whose words are heard where nobody's voice is."""


@dataclass(frozen=True)
class ChunkTurns:
    """What was heard of voices in one chunk. The labels mean nothing in another."""

    turns: Sequence[Turn]
    """At the times of the recording."""
    voices: Sequence[Voice]


class Attributed(NamedTuple):
    segments: list[Segment]
    words: list[Word]
    warning: str | None
    """A sentence where some voices could not be compared."""


def attributed(
    segments: Sequence[Segment],
    words: Sequence[Word],
    chunks: Sequence[ChunkTurns],
    *,
    known: Mapping[str, Sequence[float]] | None = None,
    min_speakers: int | None = None,
    max_speakers: int | None = None,
) -> Attributed:
    """The same with speakers: `A`, `B`, … in the order of their words, or the names of `known`.

    A segment in which several speak has none of its own; its words have. What is near nobody's turn
    is taken for what the speaker before said. Segments and words are in order of their start.
    """
    links = link(
        [
            ChunkVoices(index=index, voices=list(chunk.voices), distinct=False)
            for index, chunk in enumerate(chunks)
        ],
        names=(),
        known=known,
        min_speakers=min_speakers,
        max_speakers=max_speakers,
    )
    numbers: dict[int | Heard, str] = {}
    persons: dict[str, Heard] = {}
    """Under a number each, somebody's first label."""

    def number(heard: Heard) -> str:
        found = numbers.setdefault(links.identities.get(heard, heard), str(len(numbers)))
        persons.setdefault(found, heard)
        return found

    turns = [
        replace(turn, label=number(Heard(index, turn.label)))
        for index, chunk in enumerate(chunks)
        for turn in chunk.turns
    ]
    told, said = _everybody(*assign(segments, words, turns), somebody=number(_SOMEBODY))
    everything: list[Segment | Word] = [*said, *told]
    spoken = sorted((part.start_ms, persons[part.speaker]) for part in everything if part.speaker)
    called = labels(links, (heard for _, heard in spoken))
    names = {number: called[heard] for number, heard in persons.items() if heard in called}
    return Attributed(_renamed(told, names), _renamed(said, names), links.warning)


def _everybody(
    segments: Sequence[Segment], words: Sequence[Word], somebody: str
) -> tuple[list[Segment], list[Word]]:
    """With a speaker for all, whoever spoke before; the first is the first one known."""
    known = [*(word.speaker for word in words), *(segment.speaker for segment in segments)]
    first = last = next(filter(None, known), somebody)
    said = []
    for word in words:
        last = word.speaker or last
        said.append(replace(word, speaker=last))
    told, last = [], first
    starts = [word.start_ms for word in words]
    for segment in segments:
        bounds = (segment.start_ms, max(segment.end_ms, segment.start_ms + 1))
        own = [word.speaker for word in words[slice(*(bisect_left(starts, ms) for ms in bounds))]]
        divided = segment.speaker is None and any(own)
        last = next(filter(None, reversed(own)), last) if divided else segment.speaker or last
        told.append(segment if divided else replace(segment, speaker=last))
    return told, said


def _renamed(parts: Sequence[Timed], names: Mapping[str, str]) -> list[Timed]:
    return [replace(part, speaker=names[part.speaker]) if part.speaker else part for part in parts]
