"""Words and segments given to those who speak."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dropscribe.transcript import Segment, Word
from dropscribe.turns import Turn, assign, spoken

A, B = "A", "B"


def turns(*told: tuple[int, int, str]) -> list[Turn]:
    return [Turn(*turn) for turn in told]


def words(text: str, step_ms: int = 500, start_ms: int = 0) -> list[Word]:
    """One after another, each of `step_ms`."""
    return [
        Word(word, start_ms + at * step_ms, start_ms + (at + 1) * step_ms)
        for at, word in enumerate(text.split())
    ]


def segment(text: str, start_ms: int, end_ms: int, speaker: str | None = None) -> Segment:
    return Segment(text, start_ms, end_ms, speaker, {"avg_logprob": -0.1})


def speakers(text: str, told: list[Turn], step_ms: int = 500) -> str:
    """Of the words of one segment, whose own speaker comes before them."""
    said = words(text, step_ms)
    whole = segment(text, 0, max(len(said), 1) * step_ms)
    (found,), ours = assign([whole], said, told)
    return f"{found.speaker or '?'}: " + " ".join(word.speaker or "?" for word in ours)


class TestAssign:
    def test_nothing_has_nobody(self) -> None:
        assert assign([], [], []) == ([], [])
        assert assign([], [], turns((0, 9, A))) == ([], [])
        assert assign([segment("x", 0, 9)], [], []) == ([segment("x", 0, 9)], [])

    @pytest.mark.parametrize(
        ("word", "told", "speaker"),
        [
            # Most of its time; the first where it is a tie.
            ((0, 1000), [(0, 400, A), (400, 2000, B)], B),
            ((0, 1000), [(0, 500, A), (500, 2000, B)], A),
            ((0, 1000), [(0, 300, A), (300, 700, B), (700, 1000, A)], A),
            # Nobody speaks in it: the nearest, up to a second away.
            ((5000, 5400), [(0, 4700, A), (6000, 7000, B)], A),
            ((5000, 5400), [(0, 4000, A), (5900, 7000, B)], B),
            ((5000, 5400), [(0, 4000, A)], A),
            ((5000, 5400), [(0, 3999, A)], None),
            ((5000, 5400), [(6401, 9000, A)], None),
            # Of no length, or ending before it begins.
            ((500, 500), [(0, 500, A), (500, 900, B)], B),
            ((500, 200), [(0, 600, A)], A),
            # Turns that overlap, are double, of no length, out of order.
            ((1000, 1500), [(0, 2000, A), (1000, 2000, B)], A),
            ((2500, 2600), [(0, 2000, A), (1000, 3000, B)], B),
            ((0, 100), [(50, 50, B), (0, 100, A), (0, 100, A), (90, 20, B)], A),
            ((5000, 5400), [(5000, 6000, B), (0, 1000, A)], B),
        ],
    )
    def test_a_word_is_of_who_has_most_of_its_time(
        self, word: tuple[int, int], told: list[tuple[int, int, str]], speaker: str | None
    ) -> None:
        assert assign([], [Word("x", *word)], turns(*told))[1] == [Word("x", *word, speaker)]
        found = assign([segment("x", *word)], [], turns(*told))[0]
        assert found == [segment("x", *word, speaker)]

    @pytest.mark.parametrize(
        ("text", "told", "expected"),
        [
            ("one two three four", [(0, 2000, A)], "A: A A A A"),
            # A change of turn divides a segment, with or without a full stop.
            ("how are you fine thank you", [(0, 1500, A), (1500, 3000, B)], "?: A A A B B B"),
            ("Are you there? Yes. Good then.", [(0, 1500, A), (1500, 2000, B), (2000, 3000, A)],
             "?: A A A B A A"),
            # A `mhm` inside a sentence does not.
            ("so we went mhm to the sea", [(0, 1500, A), (1500, 2000, B), (2000, 3500, A)],
             "A: A A A A A A A"),
            ("so we went to the sea", [(0, 1500, A), (1500, 2400, B), (2400, 3000, A)],
             "A: A A A A A A"),
            # Longer words, or three of them, are somebody else's.
            ("so we went somewhere else to the sea", [(0, 1500, A), (1500, 2500, B),
             (2500, 4000, A)], "?: A A A B B A A A"),
            ("so we went no you no to the sea", [(0, 1500, A), (1500, 3000, B), (3000, 4500, A)],
             "?: A A A B B B A A A"),
            # Among three persons it is nobody's sentence.
            ("one two mhm three four", [(0, 1000, A), (1000, 1500, B), (1500, 2500, "C")],
             "?: A A B C C"),
            # As many words of the one as of the other: nobody interrupts.
            ("yes no", [(0, 500, A), (500, 1000, B)], "?: A B"),
            ("yes no yes no", [(0, 500, A), (500, 1000, B), (1000, 1500, A), (1500, 2000, B)],
             "?: A A A B"),
            # Words of nobody disagree with nobody.
            ("one two three", [(0, 400, A)], "A: A A A"),
            ("one two three", [], "?: ? ? ?"),
        ],
    )  # fmt: skip
    def test_a_word_or_two_inside_a_sentence_divide_nothing(
        self, text: str, told: list[tuple[int, int, str]], expected: str
    ) -> None:
        assert speakers(text, turns(*told)) == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("to all of you here", "A: A A A A A"),
            ("to all of you. here", "?: A A A A B"),
        ],
    )
    def test_a_short_word_at_the_end_is_its_sentences(self, text: str, expected: str) -> None:
        assert speakers(text, turns((0, 800, A), (800, 5000, B)), step_ms=200) == expected

    def test_two_who_alternate_each_second_keep_their_words(self) -> None:
        told = turns(*((at * 1000, at * 1000 + 1000, "AB"[at % 2]) for at in range(20)))
        text = "certainly three words"
        said = [word for at in range(20) for word in words(text, 333, at * 1000)]
        (found,), ours = assign([segment(" ".join([text] * 20), 0, 20_000)], said, told)
        assert found.speaker is None
        assert [word.speaker for word in ours] == [who for _ in range(10) for who in "AAABBB"]

    def test_a_mhm_is_a_turn_where_it_is_a_segment(self) -> None:
        said = words("so we went mhm to the sea")
        segments = [
            segment("so we went", 0, 1500),
            segment("mhm", 1500, 2000),
            segment("to the sea", 2000, 3500),
        ]
        told = turns((0, 1500, A), (1500, 2000, B), (2000, 3500, A))
        found, _ = assign(segments, said, told)
        assert [one.speaker for one in found] == [A, B, A]

    def test_lists_keep_their_order_and_all_else_of_their_members(self) -> None:
        said = [*reversed(words("one two three four"))]
        segments = [segment("three four", 1000, 2000), segment("one two", 0, 1000)]
        found, ours = assign(segments, said, turns((0, 1000, A), (1000, 2000, B)))
        assert found == [segment("three four", 1000, 2000, B), segment("one two", 0, 1000, A)]
        assert [(word.text, word.speaker) for word in ours] == [
            ("four", B), ("three", B), ("two", A), ("one", A)]  # fmt: skip

    def test_a_speaker_given_before_is_forgotten(self) -> None:
        found, ours = assign([segment("x", 0, 500, "old")], [Word("x", 0, 500, "old")], [])
        assert found == [segment("x", 0, 500)]
        assert ours == [Word("x", 0, 500)]

    @settings(deadline=None)
    @given(
        st.lists(st.tuples(st.integers(-9, 99), st.integers(-9, 99)), max_size=20),
        st.lists(st.tuples(st.integers(-9, 99), st.integers(-9, 99)), max_size=20),
        st.lists(st.tuples(st.integers(-9, 99), st.integers(-9, 99), st.sampled_from("AB"))),
    )
    def test_whatever_the_times_no_text_is_lost(
        self,
        segments: list[tuple[int, int]],
        said: list[tuple[int, int]],
        told: list[tuple[int, int, str]],
    ) -> None:
        given_segments = [segment(str(at), *span) for at, span in enumerate(segments)]
        given_words = [Word(str(at), *span) for at, span in enumerate(said)]
        found, ours = assign(given_segments, given_words, turns(*told))
        assert [one.text for one in found] == [one.text for one in given_segments]
        assert [one.text for one in ours] == [one.text for one in given_words]
        assert len(spoken(found, ours)) >= len(found)

    def test_hours_are_assigned_word_by_word(self) -> None:
        """50,000 words and 10,000 turns: what grows with their product would take hours."""
        chance = random.Random(1)
        said = words("word " * 50_000, 432)
        told, at_ms = [], 0
        while at_ms < said[-1].end_ms:
            length_ms = chance.randrange(500, 4000)
            told.append(Turn(at_ms, at_ms + length_ms, chance.choice("ABCDE")))
            at_ms += length_ms
        segments = [
            segment("word " * 10, at * 4320, (at + 1) * 4320) for at in range(len(said) // 10)
        ]
        found, ours = assign(segments, said, told)
        assert {word.speaker for word in ours} == set("ABCDE")
        parts = spoken(found, ours)
        assert sum(len(part.text.split()) for part in parts) == len(said)


class TestSpoken:
    @pytest.mark.parametrize(
        ("text", "said", "expected"),
        [
            ("How are you? Fine, thanks.", "A:how A:are A:you B:fine B:thanks",
             ["How are you?", "Fine, thanks."]),
            ('He said: "go" (Now?) Yes.', "A:he A:said A:go B:now A:yes",
             ['He said: "go"', "(Now?)", "Yes."]),
            # A word of nobody stays with the one before, or is of who speaks first.
            ("a b c d", "?:a A:b ?:c B:d", ["a b c", "d"]),
            # Scripts without spaces.
            ("你好吗？很好。", "A:你 A:好 A:吗 B:很 B:好", ["你好吗？", "很好。"]),  # noqa: RUF001
            # Of a word within another it is the right one.
            ("a banana an end", "A:a A:banana B:an B:end", ["a banana", "an end"]),
            # The segment does not say what the words do: the words are believed.
            ("4 people came", "A:four A:people B:came", ["four people", "came"]),
        ],
    )  # fmt: skip
    def test_text_is_divided_where_the_speaker_changes(
        self, text: str, said: str, expected: list[str]
    ) -> None:
        told = [one.split(":") for one in said.split()]
        given_words = [
            Word(word, at * 500, at * 500 + 400, None if who == "?" else who)
            for at, (who, word) in enumerate(told)
        ]
        parts = spoken([segment(text, 0, 500 * len(told))], given_words)
        assert [part.text for part in parts] == expected
        assert all(part.measured == {} and part.speaker for part in parts)

    def test_parts_have_the_times_of_their_words(self) -> None:
        said = [Word("one", 100, 300, A), Word("two", 350, 900, A), Word("three", 950, 1200, B)]
        assert spoken([segment("One two, three.", 0, 1500)], said) == [
            Segment("One two,", 100, 900, A),
            Segment("three.", 950, 1200, B),
        ]

    @pytest.mark.parametrize(
        ("whole", "said"),
        [
            (segment("one two", 0, 1000, A), [Word("one", 0, 400, A), Word("two", 500, 900, B)]),
            (segment("one two", 0, 1000), [Word("one", 0, 400), Word("two", 500, 900)]),
            (segment("one two", 0, 1000), []),
            (segment("one two", 0, 1000), [Word("one", 5000, 5400, A), Word("x", 6000, 6400, B)]),
        ],
        ids=["of one speaker", "of nobody", "without words", "with words elsewhere"],
    )
    def test_others_are_as_they_were(self, whole: Segment, said: list[Word]) -> None:
        assert spoken([whole], said) == [whole]

    def test_a_segment_whose_words_are_of_one_stays_whole(self) -> None:
        said = [Word("one", 0, 400, A), Word("two", 500, 900)]
        whole = segment("one two", 0, 1000)
        assert spoken([whole], said) == [segment("one two", 0, 1000, A)]
