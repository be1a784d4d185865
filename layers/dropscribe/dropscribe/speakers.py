"""One label a speaker over all chunks: a diarizing model names voices anew in each request.

The first chunk, the leader, is transcribed first. Clips of its voices go with the requests for the
others as known speakers, each under an alias, so that the API itself knows them again. A voice that
it does not know comes back as a letter, which means something within its chunk only: such are
linked by comparing voices, where a model for that is installed, and are persons of their own else.
"""

from __future__ import annotations

import base64
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dropscribe.linking import Comparison, Group, total, unit, with_names
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
    weight: int = Field(default=1, ge=1)
    """How many pieces of speech the vector is the mean of: it counts as often."""

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
    distinct: bool = True
    """Whether the labels are certainly different persons, and may be user-given names and aliases,
    as an API's are. Ours are parts of voices: two of them may be one person."""


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


def link(
    chunks: Iterable[ChunkVoices],
    names: Sequence[str],
    *,
    known: Mapping[str, Sequence[float]] | None = None,
    min_speakers: int | None = None,
    max_speakers: int | None = None,
) -> Links:
    """Who is the same person in which chunk. The order of what is given changes nothing.

    One person are: all of one user-given name; a voice of the leader and its alias; and whose
    voices are at least as alike, on average, as the model's threshold, the most alike first. Two
    labels of one chunk are never one person where they are `distinct`, nor are two user-given
    names.

    `known` are the voices of people whom the user names: who is at least as alike to one as the
    threshold says bears the name, the best match alone, and anybody else is called by a letter.
    `min_speakers`: voices stay apart, however alike, where they would be fewer. `max_speakers`:
    where there are more, the most alike and those who spoke least become one, however unlike, as
    far as they may.
    """
    given = list(chunks)
    voices = {Heard(c.index, voice.label): voice for c in given for voice in c.voices}
    distinct = frozenset(chunk.index for chunk in given if chunk.distinct)
    vectors, threshold = _comparable(voices)
    weights = {heard: voice.weight for heard, voice in voices.items()}
    persons = _known(sorted(voices), vectors, names, weights, distinct)
    groups = [person for person in persons if not person.weight]
    compared = Comparison((person for person in persons if person.weight), threshold).linked(
        max((min_speakers or 1) - len(groups), 1),
        None if max_speakers is None else max(max_speakers - len(groups), 1),
    )
    groups += with_names(compared, known or {}, threshold)
    return Links(
        identities={Heard(*heard): at for at, group in enumerate(groups) for heard in group.heard},
        named={at: group.name for at, group in enumerate(groups) if group.name is not None},
        names=tuple(dict.fromkeys([*names, *(known or {})])),
        uncompared=tuple(Heard(*group.heard[0]) for group in groups if _in_doubt(group, groups)),
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
    """Vectors as long as they weigh, of one model, the commonest, and its threshold."""
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
        heard: _weighed(voices[heard]) for heard, model in models.items() if model == commonest
    }
    return vectors, commonest[1]


def _weighed(voice: Voice) -> list[float]:
    return [value * voice.weight for value in unit(voice.embedding or [])]


def _known(
    heard: Sequence[Heard],
    vectors: Mapping[Heard, list[float]],
    names: Sequence[str],
    weights: Mapping[Heard, int],
    distinct: frozenset[int],
) -> list[Group]:
    """Who is one person whatever the voices: by name and by alias."""
    members: dict[str | Heard, list[Heard]] = {}
    for one in heard:
        person = _person(one, names) if one.chunk in distinct else one
        members.setdefault(person, []).append(one)
    return [
        Group(
            heard=[*own],
            chunks=distinct.intersection(one.chunk for one in own),
            vector=total([vectors[one] for one in own if one in vectors]),
            weight=sum(weights[one] for one in own if one in vectors),
            name=person if isinstance(person, str) else None,
        )
        for person, own in members.items()
    ]


def _person(heard: Heard, names: Sequence[str]) -> str | Heard:
    """A user-given name; the leader's voice; or the label itself."""
    if heard.label in names:
        return heard.label
    label = label_of(heard.label, names) if heard.chunk != LEADER else None
    return heard if label is None else Heard(LEADER, label)


def _in_doubt(group: Group, groups: Iterable[Group]) -> bool:
    """A letter after the leader that has no vector, where there is anybody it may be."""
    if group.weight or group.name is not None or any(chunk == LEADER for chunk, _ in group.heard):
        return False
    return any(group.may_be(other) for other in groups if other is not group)
