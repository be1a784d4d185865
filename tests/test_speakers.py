"""One label a speaker over all chunks: clips, references and aliases, links, letters."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dropscribe.spans import Span
from dropscribe.speakers import (
    ChunkVoices,
    Heard,
    Links,
    Voice,
    VoiceModel,
    alias,
    clips,
    label_of,
    labels,
    link,
    references,
    speech_ms,
)
from dropscribe.transcript import Segment

NAN, INF = math.nan, math.inf


def said(*turns: tuple[str | None, int, int]) -> list[Segment]:
    """Each turn: speaker, start and end in milliseconds."""
    return [Segment(text="x", speaker=who, start_ms=a, end_ms=b) for who, a, b in turns]


class TestClips:
    @pytest.mark.parametrize(
        ("segments", "expected"),
        [
            ([], {}),
            ([("A", 0, 1999)], {}),
            ([("A", 0, 2000)], {"A": (0, 2000)}),
            ([("A", 0, 10_000)], {"A": (0, 10_000)}),
            ([("A", 0, 10_001)], {"A": (0, 10_000)}),
            ([("A", 0, 20_000)], {"A": (5000, 15_000)}),
            # The longest; the first of two that are equally long.
            ([("A", 0, 2000), ("A", 3000, 6000), ("A", 7000, 9500)], {"A": (3000, 6000)}),
            ([("A", 0, 2000), ("A", 3000, 5000)], {"A": (0, 2000)}),
            # A pause of one speaker is no end.
            ([("A", 0, 1000), ("A", 1500, 2500)], {"A": (0, 2500)}),
            ([("A", 0, 1500), ("A", 2001, 3500)], {}),
            # Somebody else is near, talks in the pause or throughout.
            ([("A", 0, 3000), ("B", 3200, 6000)], {"A": (0, 3000), "B": (3200, 6000)}),
            ([("A", 0, 3000), ("B", 3100, 6000)], {"A": (0, 2900), "B": (3200, 6000)}),
            ([("A", 0, 1800), ("B", 1900, 2000), ("A", 2100, 3900)], {}),
            ([("A", 0, 9000), ("B", 0, 9000)], {}),
            ([("A", 0, 9000), ("B", 1000, 2000)], {"A": (2200, 9000)}),
            ([("A", 0, 9000), ("B", 7000, 8000), ("C", 1000, 1100)], {"A": (1300, 6800)}),
        ],
    )
    def test_the_longest_stretch_in_which_only_one_talks(
        self, segments: list[tuple[str, int, int]], expected: dict[str, tuple[int, int]]
    ) -> None:
        assert clips(said(*segments), duration_ms=60_000) == expected

    @pytest.mark.parametrize(
        ("segments", "expected"),
        [
            # Not in order; one within another; the same twice.
            ([("A", 4000, 6000), ("A", 0, 3900)], {"A": (0, 6000)}),
            ([("A", 0, 5000), ("A", 1000, 2000), ("A", 0, 5000)], {"A": (0, 5000)}),
            # Of no length, or ending before they begin: no speech to cut, but somebody's voice.
            ([("A", 3000, 3000), ("A", 5000, 1000)], {}),
            ([("A", 0, 8000), ("B", 5000, 5000)], {"A": (0, 4800)}),
            ([("A", 0, 8000), ("B", 6000, 5000)], {"A": (0, 4800)}),
            # Outside of the audio, which is 9 s long.
            ([("A", 8000, 12_000)], {}),
            ([("A", 5000, 99_000)], {"A": (5000, 9000)}),
            ([("A", -5000, 2500)], {"A": (0, 2500)}),
            ([("A", 20_000, 30_000)], {}),
            ([("A", 0, 9000), ("B", 9100, 9900)], {"A": (0, 8900)}),
            # Nobody's labels are nobody's voice; who it was that spoke is not known.
            ([(None, 0, 5000), ("", 0, 5000), (" ", 0, 5000)], {}),
            ([("A", 0, 8000), (None, 3000, 4000)], {"A": (4200, 8000)}),
            ([("A", 0, 8000), (" ", 3000, 4000)], {"A": (4200, 8000)}),
        ],
    )
    def test_sloppy_answers_give_no_wrong_clips(
        self, segments: list[tuple[str | None, int, int]], expected: dict[str, tuple[int, int]]
    ) -> None:
        assert clips(said(*segments), duration_ms=9000) == expected

    @pytest.mark.parametrize("duration_ms", [0, -1])
    def test_no_audio_has_no_clips(self, duration_ms: int) -> None:
        assert clips(said(("A", 0, 9000)), duration_ms=duration_ms) == {}
        assert speech_ms(said(("A", 0, 9000)), duration_ms=duration_ms) == {"A": 0}

    @settings(deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["A", "B", "C", "", None]),
                st.integers(-9000, 40_000),
                st.integers(-9000, 40_000),
            )
        )
    )
    def test_in_a_clip_nobody_else_talks(self, turns: list[tuple[str | None, int, int]]) -> None:
        for label, clip in clips(said(*turns), duration_ms=30_000).items():
            assert 2000 <= clip.duration_ms <= 10_000
            assert 0 <= clip.start_ms <= clip.end_ms <= 30_000
            near = Span(clip.start_ms - 199, clip.end_ms + 199)
            others = [Span(min(a, b), max(a, b)) for who, a, b in turns if who != label]
            assert not any(near.start_ms < o.end_ms and o.start_ms < near.end_ms for o in others)

    def test_speech_is_counted_once_and_inside_the_audio(self) -> None:
        turns = [("A", 0, 2000), ("A", 1000, 3000), ("A", 3400, 4000), ("B", 1000, 99_000)]
        segments = said(*turns, ("C", 5, 5), (None, 0, 9000), (" ", 0, 9000))
        assert speech_ms(segments, duration_ms=10_000) == {"A": 3600, "B": 9000, "C": 0}


def spoke(label: str, ms: int = 5000, clip: str | None = "clip") -> Voice:
    return Voice(label=label, speech_ms=ms, clip_key=clip)


class TestReferences:
    @pytest.mark.parametrize(
        ("leader", "names", "expected"),
        [
            ([], [], ""),
            ([spoke("A", 1), spoke("B", 3), spoke("C", 2)], [], "BCA"),
            ([spoke(who, ms) for ms, who in enumerate("ABCDEF")], [], "FEDC"),
            ([spoke(who, ms) for ms, who in enumerate("ABCDEF")], ["Ann"], "FED"),
            ([spoke(who, ms) for ms, who in enumerate("ABCDEF")], list("wxyz"), ""),
            ([spoke(who) for who in "ABCDEF"], list("uvwxyz"), ""),
            # Without a clip there is nothing to send.
            ([spoke("A", 9, None), spoke("B", 1)], [], "B"),
            # The user's own speakers are sent with the user's own clips.
            ([spoke("Ann", 9), spoke("B", 1)], ["Ann"], "B"),
            ([spoke("A", 9), spoke("B", 1)], ["A"], "B"),
            # Equal speech: always the same ones. Said twice: sent once.
            ([spoke(who) for who in "FBEADC"], [], "ABCD"),
            ([spoke("A"), spoke("A")], [], "A"),
        ],
    )
    def test_who_speaks_most_comes_first(
        self, leader: list[Voice], names: list[str], expected: str
    ) -> None:
        assert "".join(voice.label for voice in references(leader, names)) == expected

    @pytest.mark.parametrize(
        "names",
        [
            [],
            ["A", "B"],
            ["voice_A"],
            ["VOICE_a"],
            [" voice_A"],
            ["voice_A", "Voice__A"],
            ["voice_" * 9],
            ["voice"],
        ],
    )
    def test_an_alias_is_nobody_elses_name(self, names: list[str]) -> None:
        own = ["A", "B", "AA", "voice_A", "_A", "speaker_0", ""]
        sent = [alias(label, names) for label in own]
        assert [label_of(name, names) for name in sent] == own
        taken = {name.strip().casefold() for name in names} | set("abcdefgh")
        assert not taken & {name.casefold() for name in sent}
        assert len(set(sent)) == len(own)

    @pytest.mark.parametrize("name", ["A", "Ann", "voice", "_", "", "voice_A"])
    def test_a_name_that_is_no_alias_has_no_label(self, name: str) -> None:
        assert label_of(name, ["Ann", "voice_A"]) is None


class TestVoice:
    @pytest.mark.parametrize(
        "vector", [[], [0.0], [0.0, -0.0], [NAN, 1.0], [INF], [-INF, NAN], [1.7e308, 1.7e308]]
    )
    def test_a_vector_without_a_direction_is_none(self, vector: list[float]) -> None:
        voice = Voice(label="A", speech_ms=1, embedding=vector, threshold=0.5)
        assert voice.embedding is None
        assert Voice.model_validate_json(voice.model_dump_json()) == voice

    @pytest.mark.parametrize("threshold", [NAN, INF, -INF])
    def test_a_threshold_that_is_no_number_is_none(self, threshold: float) -> None:
        voice = Voice(label="A", speech_ms=1, embedding=[1.0], threshold=threshold)
        assert voice.threshold is None

    def test_a_voice_comes_back_from_its_record(self) -> None:
        voice = Voice(label="A", speech_ms=1, clip_key="k", embedding=[0.1, 1e-300], threshold=0.7)
        assert Voice.model_validate_json(voice.model_dump_json()) == voice

    def test_a_model_is_whatever_has_a_threshold_and_embeds(self) -> None:
        class Loudness:
            threshold = 0.9

            def embed(self, samples: bytes) -> list[float]:
                return [float(len(samples))]

        model: VoiceModel = Loudness()
        assert model.embed(b"\0\0") == [2.0]


Said = Mapping[str, Sequence[float] | None]
"""The labels of one chunk, each with the vector of its voice."""


def chunks_of(*chunks: Said, threshold: float = 0.7) -> list[ChunkVoices]:
    return [
        ChunkVoices(
            index=index,
            voices=[
                Voice(
                    label=label,
                    speech_ms=1,
                    embedding=None if vector is None else list(vector),
                    threshold=threshold,
                )
                for label, vector in chunk.items()
            ],
        )
        for index, chunk in enumerate(chunks)
    ]


def linked(*chunks: Said, names: Sequence[str] = (), threshold: float = 0.7) -> str:
    """What each label of each chunk is called, chunk by chunk, in the order given."""
    links = link(chunks_of(*chunks, threshold=threshold), names)
    spoken = [Heard(index, label) for index, chunk in enumerate(chunks) for label in chunk]
    called = labels(links, spoken)
    return " | ".join(
        " ".join(called[Heard(index, label)] for label in chunk)
        for index, chunk in enumerate(chunks)
    )


def at(degrees: float) -> list[float]:
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]


X, Y, Z = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]


class TestLink:
    def test_nobody_is_nobody(self) -> None:
        assert link([], []) == Links({}, {}, (), ())
        assert link(chunks_of({}, {}), ["Ann"]) == Links({}, {}, ("Ann",), ())

    @pytest.mark.parametrize(
        ("chunks", "names", "expected"),
        [
            # Letters are of their chunk, aliases the leader's, names the user's.
            ([{"A": None}, {"A": None}], [], "A | B"),
            ([{"A": None, "B": None}, {"voice_B": None, "A": None}], [], "A B | B C"),
            ([{"B": None}, {"voice_B": None}, {"A": None, "voice_B": None}], [], "A | A | B A"),
            ([{"Ann": None, "A": None}, {"Ann": None}], ["Ann"], "Ann A | Ann"),
            ([{"A": None}, {"A": None, "B": None}], ["A"], "A | A B"),
            ([{"B": None}, {"A": None}], ["A"], "B | A"),
            ([{"B": None, "C": None}, {"A": None}], ["a", " b "], "C D | E"),
            # What looks like an alias and is none.
            ([{"A": None}, {"voice_B": None}], [], "A | B"),
            ([{"voice_A": None, "A": None}], [], "A B"),
            ([{"A": None}, {"voice_A": None, "A": None}], [], "A | A B"),
            ([{"A": None}, {"voice_A": None, "voice__A": None}], ["voice_A"], "A | voice_A A"),
            ([{"Ann": None}, {"voice_Ann": None}], ["Ann"], "Ann | A"),
            # The leader is silent: nobody was sent along.
            ([{}, {"A": X}, {"A": Y, "B": X}], [], " | A | B A"),
            ([{}, {"A": None}, {"A": None}], [], " | A | B"),
        ],
    )
    def test_names_and_aliases(self, chunks: list[Said], names: list[str], expected: str) -> None:
        assert linked(*chunks, names=names) == expected

    @pytest.mark.parametrize(
        ("chunks", "names", "expected"),
        [
            ([{"A": X, "B": Y}, {"A": Y, "B": X}], [], "A B | B A"),
            ([{"A": [9.0, 0, 0]}, {"A": [1e-200, 0, 0]}], [], "A | A"),
            # Unlike anybody, or just below the threshold.
            ([{"A": X, "Ann": Y}, {"A": Z}], ["Ann"], "A Ann | B"),
            ([{"Ann": at(0)}, {"A": at(45.6)}], ["Ann"], "Ann | A"),
            ([{"Ann": at(0)}, {"A": at(45.5)}], ["Ann"], "Ann | Ann"),
            ([{"Ann": at(0)}, {"A": [-1.0, 0.0]}], ["Ann"], "Ann | A"),
            # A letter, and a leader's voice, is the user's where it sounds so.
            ([{"A": X}, {"Ann": X, "voice_A": X}], ["Ann"], "A | Ann A"),
            ([{"A": X}, {"Ann": X}, {"voice_A": X}], ["Ann"], "Ann | Ann | Ann"),
            ([{"A": X}, {"A": X, "Ann": Y}, {"voice_A": X}], ["Ann"], "A | A Ann | A"),
            # Two names are two persons, and so are two of the leader's voices.
            ([{"Ann": X}, {"Ben": X}], ["Ann", "Ben"], "Ann | Ben"),
            ([{"A": X, "B": X}, {"voice_A": X}, {"voice_B": X}], [], "A B | A | B"),
            # Two labels of one chunk are two persons, also through a third; the more alike wins.
            ([{"A": at(0), "B": at(10)}, {"A": at(6)}], [], "A B | B"),
            ([{"A": at(0), "B": at(10)}, {"A": at(4)}, {"A": at(5.5)}], [], "A B | A | A"),
            ([{"A": X, "B": X}, {"A": X, "B": X}, {"A": X, "B": X}], [], "A B | A B | A B"),
            # On average: the chain 0°, 40°, 80° is not one person.
            ([{"A": at(0)}, {"A": at(40)}, {"A": at(80)}], [], "A | A | B"),
            # By name it is Ann, however she sounds; what she sounds like is the average.
            ([{"Ann": X}, {"Ann": Y}, {"A": X}], ["Ann"], "Ann | Ann | A"),
            ([{"Ann": X}, {"Ann": None}, {"A": X}], ["Ann"], "Ann | Ann | Ann"),
            # Vectors that compare with nothing.
            ([{"A": X}, {"A": [1.0, 0.0]}, {"A": X}], [], "A | B | A"),
            ([{"A": X}, {"A": [NAN, 0.0, 0.0]}, {"A": [0.0] * 3}, {"A": X}], [], "A | B | C | A"),
        ],
    )
    def test_voices_that_sound_alike_are_one(
        self, chunks: list[Said], names: list[str], expected: str
    ) -> None:
        assert linked(*chunks, names=names) == expected

    @pytest.mark.parametrize("threshold", [0.5, 0.9])
    def test_voices_of_two_models_are_not_compared(self, threshold: float) -> None:
        """As when the model was exchanged between a job and its repetition."""
        old = [Heard(0, "A"), Heard(1, "A"), Heard(2, "A")]
        chunks = [
            *chunks_of({"A": X}, {"A": X}, {"A": X}),
            *[c.model_copy(update={"index": 3}) for c in chunks_of({"A": X}, threshold=threshold)],
        ]
        identities = link(chunks, []).identities
        assert len({identities[heard] for heard in old}) == 1
        assert identities[Heard(3, "A")] != identities[Heard(0, "A")]

    @pytest.mark.parametrize(("threshold", "persons"), [(0.6, 1), (0.6000001, 2)])
    def test_who_is_exactly_at_the_threshold_is_the_same(
        self, threshold: float, persons: int
    ) -> None:
        chunks = chunks_of({"A": [1.0, 0.0]}, {"A": [0.6, 0.8]}, threshold=threshold)
        assert len(set(link(chunks, []).identities.values())) == persons

    def test_many_voices_in_one_chunk_are_each_compared(self) -> None:
        chance = random.Random(6)
        chunk = {str(number): noisy(number, chance, 100) for number in range(100)}
        identities = link(chunks_of(chunk, chunk), []).identities
        assert all(identities[Heard(0, who)] == identities[Heard(1, who)] for who in chunk)
        assert len(set(identities.values())) == 100

    def test_a_vector_without_a_threshold_is_not_compared(self) -> None:
        voices = [Voice(label="A", speech_ms=1, embedding=X)]
        links = link([ChunkVoices(index=i, voices=voices) for i in (0, 1)], [])
        assert links.identities == {Heard(0, "A"): 0, Heard(1, "A"): 1}
        assert links.uncompared == (Heard(1, "A"),)

    def test_the_same_chunk_twice_is_one_chunk(self) -> None:
        chunks = chunks_of({"A": X, "B": X}, {"A": X})
        assert link([*chunks, *chunks], []) == link(chunks, [])

    @pytest.mark.parametrize(
        ("chunks", "names", "expected"),
        [
            ([{"A": None, "B": None}], [], []),
            ([{"A": X}, {"A": Y}], [], []),
            ([{"A": None}, {"voice_A": None, "Ann": None}], ["Ann"], []),
            ([{"A": None}, {"Ann": None}], ["Ann"], []),
            ([{"A": X}, {"A": None}], [], [(1, "A")]),
            ([{"Ann": X}, {"A": None}], ["Ann"], [(1, "A")]),
            ([{"A": None}, {"A": X}, {"A": None}], [], [(2, "A")]),
            ([{}, {"A": None}, {"A": None, "B": X}], [], [(1, "A"), (2, "A")]),
            # There is nobody else that it may be: all others were heard in the same chunk.
            ([{"A": None}, {"voice_A": None, "A": None}], [], []),
            ([{}, {"A": None, "B": None}], [], []),
        ],
    )
    def test_who_could_not_be_compared_is_told(
        self, chunks: list[Said], names: list[str], expected: list[tuple[int, str]]
    ) -> None:
        links = link(chunks_of(*chunks), names)
        assert list(links.uncompared) == expected
        assert (links.warning is None) == (not expected)

    def test_the_warning_is_one_sentence_for_people(self) -> None:
        one = link(chunks_of({"A": None}, {"A": None}), [])
        two = link(chunks_of({"A": None}, {"A": None, "B": None}), [])
        assert one.warning == (
            "1 voice could not be compared with those of other parts of the recording and has a "
            "letter of its own: one person may appear under more than one letter"
        )
        assert two.warning
        assert two.warning.startswith("2 voices could not be compared")


def parts_of(*chunks: Sequence[tuple[list[float], int]]) -> list[ChunkVoices]:
    """Local voices, each a direction and its weight: two of one chunk may be one person."""
    return [
        ChunkVoices(
            index=index,
            voices=[
                Voice(label=str(at), speech_ms=1, embedding=vector, threshold=0.7, weight=weight)
                for at, (vector, weight) in enumerate(chunk)
            ],
            distinct=False,
        )
        for index, chunk in enumerate(chunks)
    ]


def persons(links: Links) -> str:
    """The number of each label, in order of chunk and label."""
    return " ".join(str(links.identities[heard]) for heard in sorted(links.identities))


class TestLocalVoices:
    def test_two_of_one_chunk_may_be_one_person(self) -> None:
        assert persons(link(parts_of([(X, 1), (X, 1), (Y, 1)]), [])) == "0 0 1"

    def test_their_labels_are_nobodys_names_or_aliases(self) -> None:
        local = ChunkVoices(
            index=1,
            voices=[Voice(label=label, speech_ms=1) for label in ("Ann", "voice_A")],
            distinct=False,
        )
        links = link([*chunks_of({"A": None, "Ann": None}), local], ["Ann"])
        assert len(set(links.identities.values())) == 4
        assert list(links.named.values()) == ["Ann"]

    def test_a_voice_counts_as_often_as_it_weighs(self) -> None:
        """40° joins 0°; what is at 80° is then compared with their mean, by weight."""
        light = parts_of([(at(0), 1)], [(at(40), 1)], [(at(80), 1)])
        heavy = parts_of([(at(0), 1)], [(at(40), 9)], [(at(80), 1)])
        assert persons(link(light, [])) == "0 0 1"
        assert persons(link(heavy, [])) == "0 0 0"

    def test_a_weight_is_as_many_voices(self) -> None:
        chance = random.Random(8)
        vectors = [[chance.gauss(0.4, 1) for _ in range(5)] for _ in range(12)]
        weights = [chance.randrange(1, 4) for _ in vectors]
        weighed = link(parts_of(list(zip(vectors, weights, strict=True))), [])
        single = link(
            parts_of([(v, 1) for v, w in zip(vectors, weights, strict=True) for _ in range(w)]), []
        )
        assert len(set(weighed.identities.values())) == len(set(single.identities.values()))

    @pytest.mark.parametrize("weight", [0, -1])
    def test_no_weight_is_none(self, weight: int) -> None:
        with pytest.raises(ValueError, match="weight"):
            Voice(label="A", speech_ms=1, weight=weight)

    def test_a_record_from_before_is_of_distinct_labels_of_weight_one(self) -> None:
        said = {"index": 0, "voices": [{"label": "A", "speech_ms": 1}]}
        chunk = ChunkVoices.model_validate(said)
        assert chunk.distinct
        assert chunk.voices[0].weight == 1

    def test_thousands_are_linked_in_seconds(self) -> None:
        """A day: 72 chunks of 40 local voices of 12 persons. Each with each would be 4 million."""
        chance = random.Random(9)
        told = [[chance.randrange(12) for _ in range(40)] for _ in range(72)]
        chunks = [[(noisy(who, chance), chance.randrange(1, 90)) for who in c] for c in told]
        identities = link(parts_of(*chunks), []).identities
        pairs = {
            (who, identities[Heard(index, str(number))])
            for index, chunk in enumerate(told)
            for number, who in enumerate(chunk)
        }
        assert len(pairs) == 12


class TestNumberOfSpeakers:
    THREE = ((at(0), 30), (at(50), 30), (at(100), 30))

    @pytest.mark.parametrize(
        ("least", "most", "count"),
        [
            (None, None, 3), (1, 3, 3), (3, 3, 3), (None, 2, 2), (2, 2, 2), (None, 1, 1),
            (5, None, 3), (5, 9, 3), (0, 0, 1), (-3, -2, 1),
        ],
    )  # fmt: skip
    def test_no_more_speak_than_the_user_says(
        self, least: int | None, most: int | None, count: int
    ) -> None:
        links = link(parts_of(self.THREE), [], min_speakers=least, max_speakers=most)
        assert len(set(links.identities.values())) == count

    @pytest.mark.parametrize("least", [1, 2, 3, 4, 5])
    def test_no_fewer_speak_than_the_user_says(self, least: int) -> None:
        chunks = parts_of([(at(0), 5), (at(4), 5)], [(at(1), 5), (at(8), 5)])
        links = link(chunks, [], min_speakers=least)
        assert len(set(links.identities.values())) == min(least, 4)

    def test_who_spoke_least_joins_another_first(self) -> None:
        """Laughter is like nobody; two who speak for an hour each stay two."""
        chunks = parts_of([(at(0), 900), (at(60), 900), (at(180), 2)])
        assert persons(link(chunks, [], max_speakers=2)) == "0 1 1"

    def test_over_all_chunks_not_in_each(self) -> None:
        chunks = parts_of([(X, 5), (Y, 5)], [(Y, 5), (Z, 5)])
        assert persons(link(chunks, [], min_speakers=3, max_speakers=3)) == "0 1 1 2"
        assert len(set(link(chunks, [], max_speakers=2).identities.values())) == 2

    def test_labels_of_an_api_stay_distinct_persons(self) -> None:
        links = link(chunks_of({"A": X, "B": Y, "C": Z}), [], max_speakers=1)
        assert len(set(links.identities.values())) == 3

    def test_a_thousand_voices_become_as_few_as_the_user_says(self) -> None:
        chance = random.Random(10)
        chunk = [([chance.gauss(0, 1) for _ in range(8)], 1) for _ in range(1000)]
        links = link(parts_of(chunk), [], max_speakers=3)
        assert len(set(links.identities.values())) == 3


class TestKnownVoices:
    @pytest.mark.parametrize(
        ("known", "expected"),
        [
            ({}, "A B"),
            ({"Ann": X}, "Ann A"),
            ({"Ann": X, "Ben": Y}, "Ann Ben"),
            # Unlike anybody here; or comparable with nobody.
            ({"Ann": Z}, "A B"),
            ({"Ann": [1.0, 0.0]}, "A B"),
            ({"Ann": []}, "A B"),
            ({"Ann": [0.0] * 3}, "A B"),
            ({"Ann": [NAN, 0.0, 0.0]}, "A B"),
            ({"Ann": [INF, 0.0, 0.0]}, "A B"),
            # However long the vector; just below the threshold.
            ({"Ann": [9.0, 0.0, 0.0]}, "Ann A"),
            ({"Ann": [0.71, 0.704, 0.0]}, "Ann A"),
            ({"Ann": [0.69, 0.0, 0.724]}, "A B"),
            # Two names for one voice: the better one. One name for two voices: the better one.
            ({"Ann": [0.9, 0.0, 0.4], "Eva": X}, "Eva A"),
            ({"Ann": [0.7, 0.714, 0.0]}, "A Ann"),
            # A letter that is a name is nobody else's.
            ({"B": X, "A": Z}, "B C"),
        ],
    )
    def test_who_is_like_enough_has_the_name(
        self, known: dict[str, list[float]], expected: str
    ) -> None:
        chunks = parts_of([(X, 3), (Y, 3)], [(X, 3)])
        links = link(chunks, [], known=known)
        called = labels(links, [Heard(0, "0"), Heard(0, "1"), Heard(1, "0")])
        assert f"{called[Heard(0, '0')]} {called[Heard(0, '1')]}" == expected
        assert called[Heard(1, "0")] == called[Heard(0, "0")]

    def test_a_name_that_the_api_gave_is_taken(self) -> None:
        links = link(chunks_of({"Ann": X, "A": Y}), ["Ann"], known={"Ann": Y})
        assert list(links.named.values()) == ["Ann"]
        assert links.names == ("Ann",)


class TestLabels:
    def test_letters_go_on_after_z(self) -> None:
        spoken = [Heard(0, str(number)) for number in range(26 * 27 + 1)]
        called = list(labels(link([], []), spoken).values())
        assert called[:2] + called[25:28] == ["A", "B", "Z", "AA", "AB"]
        assert called[-2:] == ["ZZ", "AAA"]

    def test_who_speaks_first_is_a_whatever_the_chunk_called_them(self) -> None:
        links = link(chunks_of({"A": X, "B": Y}, {"A": Y}), [])
        spoken = [Heard(0, "B"), Heard(0, "A"), Heard(1, "A"), Heard(0, "B")]
        assert labels(links, spoken) == dict(zip(spoken, "ABA", strict=False))

    def test_letters_that_are_names_are_left_out(self) -> None:
        links = link([], ["B", "c", " AA "])
        called = labels(links, [Heard(0, str(number)) for number in range(26)])
        assert list(called.values()) == [*"ADEFGHIJKLMNOPQRSTUVWXYZ", "AB", "AC"]

    def test_who_was_not_linked_is_a_person_of_their_own(self) -> None:
        links = link(chunks_of({"A": X}), ["Ann"])
        spoken = [Heard(0, "A"), Heard(1, "A"), Heard(2, "A"), Heard(1, "Ann"), Heard(2, "Ann")]
        assert list(labels(links, spoken).values()) == ["A", "B", "C", "Ann", "Ann"]


def truth(
    *chunks: Iterable[str], names: Sequence[str], sent: Sequence[str]
) -> list[dict[str, str]]:
    """For each chunk the label of each person in it, as the API would give it.

    Persons called as one of `names` are the user's; those in `sent` go along from the leader,
    where they have the first letters.
    """
    first = dict(zip((p for p in chunks[0] if p not in names), "ABCDEFGH", strict=False))
    found = []
    for index, people in enumerate(chunks):
        letters = iter("ABCDEFGH")
        called = {}
        for person in people:
            known = index > 0 and person in sent and person in first
            label = alias(first[person], names) if known else None
            called[person] = person if person in names else label or next(letters)
        found.append(called)
    return found


def noisy(direction: int, chance: random.Random, size: int = 32) -> list[float]:
    """Of one direction any two have a similarity about 0.9; of two, about 0."""
    vector = [chance.gauss(0, 0.05) for _ in range(size)]
    vector[direction] += 1
    return vector


class TestRecordings:
    def test_five_speakers_over_twelve_chunks(self) -> None:
        """Eva comes late; Dan never speaks alone; four go along, so Cid's letters are linked."""
        chance = random.Random(4)
        people = ["ann", "ben", "cid", "dan"]
        chunks = [people] + [
            [*chance.sample(people, 3), *(["eva"] if index >= 9 else [])] for index in range(1, 12)
        ]
        called = truth(*chunks, names=[], sent=["ann", "ben"])
        order = [*people, "eva"]
        voices = [
            {
                label: None if who == "dan" else noisy(order.index(who), chance)
                for who, label in chunk.items()
            }
            for chunk in called
        ]
        links = link(chunks_of(*voices), [])
        ids = [
            {who: links.identities[Heard(i, label)] for who, label in chunk.items()}
            for i, chunk in enumerate(called)
        ]
        for who in ("ann", "ben", "cid", "eva"):
            assert len({chunk[who] for chunk in ids if who in chunk}) == 1
        dans = [chunk["dan"] for chunk in ids if "dan" in chunk]
        assert len(set(dans)) == len(dans) > 2  # nothing to compare him by: said in the warning
        assert len(links.uncompared) == len(dans) - 1
        assert len(set(links.identities.values())) == 4 + len(dans)

    def test_a_day_of_chunks_is_linked_as_an_hour_is(self) -> None:
        chance = random.Random(5)
        people = [str(number) for number in range(9)]
        chunks = [chance.sample(people, 6) for _ in range(120)]
        called = truth(*chunks, names=["3"], sent=["1", "2"])
        voices = [{c[who]: noisy(int(who), chance) for who in c} for c in called]
        links = link(chunks_of(*voices), ["3"])
        persons = {
            (who, links.identities[Heard(index, label)])
            for index, chunk in enumerate(called)
            for who, label in chunk.items()
        }
        assert len(persons) == len({who for who, _ in persons}) == 9
        assert len({identity for _, identity in persons}) == 9

    @settings(deadline=None)
    @given(st.data())
    def test_links_are_the_truth_where_voices_are_well_apart(self, data: st.DataObject) -> None:
        people = [f"p{number}" for number in range(data.draw(st.integers(1, 6)))]
        chunks = data.draw(
            st.lists(st.permutations(people).map(lambda p: p[: 1 + len(p) // 2]), min_size=1)
        )
        names = data.draw(st.lists(st.sampled_from(people), unique=True, max_size=2))
        sent = data.draw(st.lists(st.sampled_from(people), unique=True, max_size=3))
        chance = random.Random(data.draw(st.integers(0, 99)))
        called = truth(*chunks, names=names, sent=sent)
        voices = [{c[who]: noisy(people.index(who), chance) for who in c} for c in called]
        given = chunks_of(*voices)
        links = link(given, names)
        identities = {
            (who, links.identities[Heard(index, label)])
            for index, chunk in enumerate(called)
            for who, label in chunk.items()
        }
        heard = {who for chunk in chunks for who in chunk}
        assert len(identities) == len(heard) == len({identity for _, identity in identities})
        assert {links.named[i] for who, i in identities if i in links.named} == heard & set(names)
        assert link(data.draw(st.permutations(given)), names) == links

    @settings(deadline=None)
    @given(
        st.lists(
            st.dictionaries(
                st.sampled_from(["A", "B", "voice_A", "voice_B", "Ann", "Ben"]),
                st.none()
                | st.lists(st.floats(), min_size=3, max_size=3)
                | st.sampled_from([X, Y, Z, [1.0]]),
            ),
            max_size=8,
        ),
        st.floats(-1, 1),
    )
    def test_two_labels_of_one_chunk_are_two_persons_whatever_the_voices(
        self, chunks: list[dict[str, list[float] | None]], threshold: float
    ) -> None:
        names = ["Ann", "Ben"]
        links = link(chunks_of(*chunks, threshold=threshold), names)
        for index, chunk in enumerate(chunks):
            ids = [links.identities[Heard(index, label)] for label in chunk]
            assert len(set(ids)) == len(ids)
        for heard, identity in links.identities.items():
            if heard.label in names:
                assert links.named[identity] == heard.label
        assert set(links.identities.values()) == set(range(len(set(links.identities.values()))))

    @pytest.mark.parametrize("seed", range(30))
    def test_the_most_alike_are_linked_first_and_on_average(self, seed: int) -> None:
        """Against the definition, computed anew for each step."""
        chance = random.Random(seed)
        voices = [
            {label: [chance.gauss(0.4, 1) for _ in range(5)] for label in "ABC"} for _ in range(6)
        ]
        links = link(chunks_of(*voices, threshold=0.4), [])
        by_definition = _agglomerated(voices, 0.4)
        found: dict[int, set[Heard]] = {}
        for heard, identity in links.identities.items():
            found.setdefault(identity, set()).add(heard)
        assert {frozenset(group) for group in found.values()} == by_definition


def _agglomerated(
    voices: Sequence[Mapping[str, list[float]]], threshold: float
) -> set[frozenset[Heard]]:
    vectors = {Heard(i, label): v for i, chunk in enumerate(voices) for label, v in chunk.items()}
    groups = {frozenset([heard]) for heard in vectors}

    def alike(one: frozenset[Heard], other: frozenset[Heard]) -> float:
        if {heard.chunk for heard in one} & {heard.chunk for heard in other}:
            return -INF
        pairs = [(vectors[a], vectors[b]) for a in one for b in other]
        cosines = [
            sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))
            for a, b in pairs
        ]
        return sum(cosines) / len(cosines)

    while len(groups) > 1:
        one, other = max(itertools.combinations(groups, 2), key=lambda pair: alike(*pair))
        if alike(one, other) < threshold:
            break
        groups = groups - {one, other} | {one | other}
    return groups
