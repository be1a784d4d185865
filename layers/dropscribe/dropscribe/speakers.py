"""One label a speaker over all chunks: a diarizing model names voices anew in each request.

The first chunk, the leader, is transcribed first. Clips of its voices go with the requests for the
others as known speakers, each under an alias, so that the API itself knows them again. A voice that
it does not know comes back as a letter, which means something within its chunk only: such are
linked by comparing voices, where a model for that is installed, and are persons of their own else.
"""

from __future__ import annotations

import base64
import heapq
import itertools
import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Final, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, field_validator

from dropscribe.spans import Span, joined, total_ms, without
from dropscribe.transcript import Segment

LEADER: Final = 0
"""Index of the piece whose voices the others are asked for, among those that `link` is given."""
MAX_REFERENCES: Final = 4
"""Known speakers that the API takes with one request."""
MIN_CLIP_MS: Final = 2_000
MAX_CLIP_MS: Final = 10_000
_SAME_TURN_MS: Final = 500
"""A pause up to which one speaker's segments are one stretch of speech."""
_APART_MS: Final = 200
"""Between a clip and anybody else's speech: segments' times are not exact."""
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TOGETHER: Final = 256
"""Voices up to which each is compared with each other: the time for it grows with the square."""
_NEIGHBOURS: Final = 64
"""Of more, how many are compared with each other first."""

if sys.version_info >= (3, 12):
    from math import sumprod as _dot
else:

    def _dot(one: Iterable[float], other: Iterable[float], /) -> float:
        product: float = sum(map(mul, one, other))
        return product


class VoiceModel(Protocol):
    """What tells voices apart, where one is installed."""

    @property
    def threshold(self) -> float:
        """Cosine similarity from which two clips are of one voice."""

    def embed(self, samples: bytes) -> list[float]:
        """A vector for 2 to 10 s of one voice: 16 kHz mono PCM of 16 bits."""


class Voice(BaseModel):
    """What is known of one label of one chunk. Kept in the chunk's record."""

    model_config = ConfigDict(frozen=True)

    label: str
    """As the answer has it: a letter, a name that the user gave, or an alias."""
    speech_ms: int
    clip_key: str | None = None
    """Where its clip lies in the work bucket; None where it never spoke long enough alone."""
    embedding: list[float] | None = None
    """Of any length but zero; None where there is no model, no clip or no use in the result."""
    threshold: float | None = None
    """The model's."""

    @field_validator("embedding")
    @classmethod
    def _with_a_direction(cls, vector: list[float] | None) -> list[float] | None:
        """None for what compares with nothing; NaN would not come back from JSON besides."""
        return vector if vector and 0 < math.hypot(*vector) < math.inf else None

    @field_validator("threshold")
    @classmethod
    def _finite(cls, threshold: float | None) -> float | None:
        return threshold if threshold is not None and math.isfinite(threshold) else None


class ChunkVoices(BaseModel):
    model_config = ConfigDict(frozen=True)

    index: int
    """Of the chunk."""
    voices: list[Voice]


class Heard(NamedTuple):
    """A label as the answer to one chunk has it."""

    chunk: int
    label: str


@dataclass(frozen=True)
class Links:
    """Which labels of which chunks are one person."""

    identities: dict[Heard, int]
    """Two that are one person have the same number; counted from 0."""
    named: dict[int, str]
    """The identities that bear a name which the user gave."""
    names: tuple[str, ...]
    """All that the user gave, whether heard or not."""
    uncompared: tuple[Heard, ...]
    """Persons of their own only because there was nothing to compare them by."""

    @property
    def warning(self) -> str | None:
        """One sentence for the receipt; None where nobody is in doubt."""
        if not self.uncompared:
            return None
        count = len(self.uncompared)
        voices, have = ("1 voice", "has") if count == 1 else (f"{count} voices", "have each")
        return (
            f"{voices} could not be compared with those of other parts of the recording and {have} "
            "a letter of its own: one person may appear under more than one letter"
        )


def clips(segments: Iterable[Segment], *, duration_ms: int) -> dict[str, Span]:
    """For each label the best stretch to know its voice by, 2 to 10 s in which nobody else talks.

    It is the longest, and the middle of one that is too long. Labels without such a stretch are
    absent. Times are from the beginning of the audio, which is `duration_ms` long.
    """
    turns = _turns(segments)
    found = {}
    for label in filter(None, turns):
        others = [
            Span(min(span) - _APART_MS, max(span) + _APART_MS)
            for other, spans in turns.items()
            if other != label
            for span in spans
        ]
        own = _inside(turns[label], duration_ms, gap_ms=_SAME_TURN_MS)
        best = max(without(own, others), key=lambda span: span.duration_ms, default=Span(0, 0))
        if best.duration_ms >= MIN_CLIP_MS:
            found[label] = _middle(best)
    return found


def speech_ms(segments: Iterable[Segment], *, duration_ms: int) -> dict[str, int]:
    """How long each label speaks in all, those that talk at once both counted."""
    turns = _turns(segments).items()
    return {label: total_ms(_inside(spans, duration_ms)) for label, spans in turns if label}


def _turns(segments: Iterable[Segment]) -> dict[str, list[Span]]:
    """Each label's segments; under the empty label those of nobody known."""
    found: dict[str, list[Span]] = {}
    for segment in segments:
        label = segment.speaker if segment.speaker and segment.speaker.strip() else ""
        found.setdefault(label, []).append(Span(segment.start_ms, segment.end_ms))
    return found


def _inside(spans: Iterable[Span], duration_ms: int, gap_ms: int = 0) -> list[Span]:
    audio = Span(0, max(duration_ms, 0))
    return joined((span.within(audio) for span in spans), gap_ms)


def _middle(span: Span) -> Span:
    """As much as a clip may have."""
    cut_ms = max(span.duration_ms - MAX_CLIP_MS, 0)
    start_ms = span.start_ms + cut_ms // 2
    return Span(start_ms, start_ms + span.duration_ms - cut_ms)


def references(leader: Iterable[Voice], names: Sequence[str]) -> list[Voice]:
    """The voices whose clips go with the other chunks: who speaks most comes first.

    `names` are those that the user gave, whose clips go with every request: they take their
    places first, and none of them is sent twice.
    """
    free = max(MAX_REFERENCES - len(names), 0)
    voices = {voice.label: voice for voice in leader if voice.clip_key and voice.label not in names}
    return sorted(voices.values(), key=lambda voice: (-voice.speech_ms, voice.label))[:free]


def data_url(clip: bytes, media_type: str) -> str:
    """A clip as requests carry it."""
    return f"data:{media_type};base64,{base64.b64encode(clip).decode()}"


def alias(label: str, names: Iterable[str]) -> str:
    """What a voice of the leader is called in requests: neither a letter nor one of `names`."""
    return _mark(names) + label


def label_of(name: str, names: Iterable[str]) -> str | None:
    """The leader's label whose alias `name` is; None for what is no alias. `names` as before."""
    mark = _mark(names)
    return name.removeprefix(mark) if name.startswith(mark) else None


def _mark(names: Iterable[str]) -> str:
    """What no user-given name begins with."""
    taken = [name.strip().casefold() for name in names]
    mark = "voice_"
    while any(name.startswith(mark) for name in taken):
        mark += "_"
    return mark


def link(chunks: Iterable[ChunkVoices], names: Sequence[str]) -> Links:
    """Who is the same person in which chunk. The order of what is given changes nothing.

    One person are: all of one user-given name; a voice of the leader and its alias; and whose
    voices are at least as alike, on average, as the model's threshold, the most alike first. Two
    labels of one chunk are never one person, nor are two user-given names.
    """
    voices = {Heard(c.index, voice.label): voice for c in chunks for voice in c.voices}
    vectors, threshold = _comparable(voices)
    known = _known(sorted(voices), vectors, names)
    groups = [group for group in known if not group.size]
    groups += _Comparison((group for group in known if group.size), threshold).linked()
    return Links(
        identities={heard: at for at, group in enumerate(groups) for heard in group.heard},
        named={at: group.name for at, group in enumerate(groups) if group.name is not None},
        names=tuple(names),
        uncompared=tuple(group.heard[0] for group in groups if _in_doubt(group, groups)),
    )


def labels(links: Links, spoken: Iterable[Heard]) -> dict[Heard, str]:
    """What everybody is called in the transcript: `A`, `B`, …, `Z`, `AA`, …, or the user's name.

    `spoken` are the labels of what was said, in its order over the whole recording; each may come
    any number of times. A letter that is a user-given name is left out. Who is not in `links` is a
    person of their own.
    """
    letters = _letters({name.strip().upper() for name in links.names})
    called: dict[int | Heard, str] = dict(links.named.items())
    found = {}
    for heard in dict.fromkeys(spoken):
        identity = links.identities.get(heard, heard)
        if identity not in called:
            own = identity == heard and heard.label in links.names
            called[identity] = heard.label if own else next(letters)
        found[heard] = called[identity]
    return found


def _letters(taken: set[str]) -> Iterator[str]:
    for length in itertools.count(1):
        for letters in itertools.product(_ALPHABET, repeat=length):
            if "".join(letters) not in taken:
                yield "".join(letters)


def _comparable(voices: Mapping[Heard, Voice]) -> tuple[dict[Heard, list[float]], float]:
    """Vectors of length 1, and the threshold for their products: of one model's, the commonest."""
    models = {
        heard: (len(voice.embedding), voice.threshold)
        for heard, voice in voices.items()
        if voice.embedding and voice.threshold is not None
    }
    if not models:
        return {}, math.inf
    counted = Counter(models.values())
    commonest = max(counted, key=lambda model: (counted[model], model))
    vectors = {
        heard: _unit(voices[heard].embedding or [])
        for heard, model in models.items()
        if model == commonest
    }
    return vectors, commonest[1]


def _unit(vector: list[float]) -> list[float]:
    length = math.hypot(*vector)
    return [value / length for value in vector]


@dataclass(frozen=True)
class _Group:
    """Labels that are one person."""

    heard: list[Heard]
    chunks: frozenset[int]
    vector: list[float]
    """Sum of the labels' vectors; empty where there is none."""
    size: int
    """How many vectors that are."""
    name: str | None
    """Which the user gave."""

    def may_be(self, other: _Group) -> bool:
        one_name = self.name is None or other.name is None
        return one_name and self.chunks.isdisjoint(other.chunks)

    def united(self, other: _Group) -> _Group:
        return _Group(
            heard=self.heard + other.heard,
            chunks=self.chunks | other.chunks,
            vector=_sum([self.vector, other.vector]),
            size=self.size + other.size,
            name=other.name if self.name is None else self.name,
        )


def _sum(vectors: Iterable[list[float]]) -> list[float]:
    return list(map(sum, zip(*vectors, strict=True)))


def _known(
    heard: Sequence[Heard], vectors: Mapping[Heard, list[float]], names: Sequence[str]
) -> list[_Group]:
    """Who is one person whatever the voices: by name and by alias."""
    members: dict[str | Heard, list[Heard]] = {}
    for one in heard:
        members.setdefault(_person(one, names), []).append(one)
    groups = []
    for person, own in members.items():
        known = [vectors[one] for one in own if one in vectors]
        groups.append(
            _Group(
                heard=own,
                chunks=frozenset(one.chunk for one in own),
                vector=_sum(known),
                size=len(known),
                name=person if isinstance(person, str) else None,
            )
        )
    return groups


def _person(heard: Heard, names: Sequence[str]) -> str | Heard:
    """A user-given name; the leader's voice; or the label itself."""
    if heard.label in names:
        return heard.label
    label = label_of(heard.label, names) if heard.chunk != LEADER else None
    return heard if label is None else Heard(LEADER, label)


class _Comparison:
    """Groups, of which the two most alike become one until none are alike enough.

    How alike two groups are is the average over all pairs of one vector from each: the product of
    the groups' sums, divided by the number of pairs. Products of groups made one just add up.
    """

    def __init__(self, groups: Iterable[_Group], threshold: float) -> None:
        self._groups = dict(enumerate(groups))
        self._threshold = threshold
        count = len(self._groups)
        self._products: list[list[float | None]] = [[None] * count for _ in range(count)]
        """None where they may not be one person, or were not compared yet."""
        self._queue: list[tuple[float, int, int, int]] = []
        """The most alike first: negative similarity, both groups, how many vectors they had."""

    def linked(self) -> list[_Group]:
        """Of many voices those of neighbouring chunks come first: few are left to compare then."""
        everyone = list(self._groups)
        width = _TOGETHER if len(everyone) <= _TOGETHER else _NEIGHBOURS
        blocks = [self._settled(everyone[at : at + width]) for at in range(0, len(everyone), width)]
        while len(blocks) > 1:
            pairs = itertools.zip_longest(blocks[::2], blocks[1::2], fillvalue=())
            blocks = [self._settled([*block, *next_]) for block, next_ in pairs]
        return list(self._groups.values())

    def _settled(self, block: Sequence[int]) -> Sequence[int]:
        """What is left of a block when those alike are one."""
        self._compare(block)
        left = set(block)
        while self._queue:
            _, one, other, size = heapq.heappop(self._queue)
            if {one, other} <= left and size == self._size(one, other):
                left.remove(other)
                self._unite(one, other, left - {one})
        return sorted(left)

    def _compare(self, block: Sequence[int]) -> None:
        for one, other in itertools.combinations(block, 2):
            known = self._products[one][other] is not None
            if not known and self._groups[one].may_be(self._groups[other]):
                product = _dot(self._groups[one].vector, self._groups[other].vector)
                self._note(one, other, product)

    def _note(self, one: int, other: int, product: float) -> None:
        self._products[one][other] = self._products[other][one] = product
        similarity = product / (self._groups[one].size * self._groups[other].size)
        if similarity >= self._threshold:
            heapq.heappush(self._queue, (-similarity, one, other, self._size(one, other)))

    def _size(self, one: int, other: int) -> int:
        """Grows with each group that joins: what was noted before is known by it."""
        return self._groups[one].size + self._groups[other].size

    def _unite(self, one: int, other: int, thirds: Iterable[int]) -> None:
        self._groups[one] = self._groups[one].united(self._groups.pop(other))
        for third in thirds:
            products = self._products[one][third], self._products[other][third]
            self._products[one][third] = self._products[third][one] = None
            if products[0] is not None and products[1] is not None:
                self._note(one, third, products[0] + products[1])


def _in_doubt(group: _Group, groups: Iterable[_Group]) -> bool:
    """A letter after the leader that has no vector, where there is anybody it may be."""
    if group.size or group.name is not None or LEADER in group.chunks:
        return False
    return any(group.may_be(other) for other in groups if other is not group)
