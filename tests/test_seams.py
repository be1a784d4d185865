"""What two overlapping pieces of audio both heard stands once in the transcript."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dropscribe.alignment import Pair, aligned, joined, longest_run, matched, overlapping, tokens
from dropscribe.api import DurationUsage, Logprob, Transcription, TranscriptionVerbose
from dropscribe.merge import in_order, merge
from dropscribe.passage import Passage, passage
from dropscribe.seams import filled
from dropscribe.spans import Span
from dropscribe.transcript import Segment, Transcript, Word

Timed = TypeVar("Timed", Segment, Word)
ZONE = Span(6_000, 14_000)
"""Where the two pieces of these tests overlap: 0 to 14 s and 6 to 20 s."""


def heard(span: Span, said: str, *, words: bool = True, from_ms: int | None = None) -> Passage:
    """One segment a sentence, a word every half second; a `_` is a half second of nothing."""
    at_ms = span.start_ms if from_ms is None else from_ms
    segments: list[Segment] = []
    spoken: list[Word] = []
    for sentence in said.split("|"):
        own = []
        for text in sentence.split():
            if text != "_":
                own.append(Word(text, at_ms, at_ms + 400))
            at_ms += 500
        if own:
            text = " ".join(word.text for word in own)
            segments.append(Segment(text, own[0].start_ms, own[-1].end_ms, measured={"tokens": []}))
            spoken += own
    text = joined([segment.text for segment in segments])
    return Passage(span, text, segments=segments, words=spoken if words else None)


def whole(*parts: Passage) -> Transcript:
    return merge(parts, duration_ms=20_000, task="transcribe", language=None)


LEFT, RIGHT = Span(0, 14_000), Span(6_000, 20_000)
TALK = [f"w{number}" for number in range(40)]
"""A word every half second of 20 s."""


class TestTimedSeams:
    @pytest.mark.parametrize("words", [True, False])
    @pytest.mark.parametrize("noise_ms", [0, 300, -300])
    def test_each_word_stands_once(self, words: bool, noise_ms: int) -> None:
        left = heard(LEFT, " ".join(TALK[:28]), words=words)
        right = heard(RIGHT, " ".join(TALK[12:]), words=words, from_ms=6_000 + noise_ms)
        transcript = whole(left, right)
        assert transcript.text.split() == TALK
        assert len(transcript.segments or []) == 2
        if words:
            assert (transcript.segments or [])[0].text == " ".join(TALK[:21])
            assert [word.text for word in transcript.words or []] == TALK
        for before, after in pairwise(transcript.segments or []):
            assert before.end_ms <= after.start_ms

    def test_a_word_cut_in_two_at_an_edge_is_dropped(self) -> None:
        left = heard(LEFT, " ".join([*TALK[:27], "w2"]))
        right = heard(RIGHT, " ".join(["12", *TALK[13:]]))
        assert whole(left, right).text.split() == TALK

    def test_what_is_no_word_at_an_edge_is_dropped_too(self) -> None:
        """A dash, an ellipsis, as a segment of its own."""
        left = heard(LEFT, f"{' '.join(TALK[:27])} | ...")
        right = heard(RIGHT, f"- | {' '.join(TALK[13:])}")
        assert whole(left, right).text.split() == TALK

    def test_repeated_words_are_not_taken_for_an_overlap(self) -> None:
        said = [*TALK[:14], *["very"] * 6, *TALK[20:22], *["I", "said"] * 3, *TALK[28:]]
        transcript = whole(heard(LEFT, " ".join(said[:28])), heard(RIGHT, " ".join(said[12:])))
        assert transcript.text.split() == said

    def test_what_one_alone_heard_is_kept(self) -> None:
        """The second begins to hear late; the first misses something in the middle."""
        left = [*TALK[:20], "_", "_", *TALK[22:28]]
        right = [*["_"] * 7, *TALK[19:]]
        transcript = whole(heard(LEFT, " ".join(left)), heard(RIGHT, " ".join(right)))
        assert transcript.text.split() == TALK

    def test_where_only_one_heard_anything_all_of_it_is_kept(self) -> None:
        left, right = heard(LEFT, " ".join(TALK[:28])), heard(RIGHT, "", from_ms=14_000)
        assert whole(left, right).text.split() == TALK[:28]
        left, right = heard(LEFT, " ".join(TALK[:12])), heard(RIGHT, " ".join(TALK[12:]))
        assert whole(left, right).text.split() == TALK

    def test_where_they_heard_other_words_the_middle_decides(self) -> None:
        left = heard(LEFT, " ".join(f"a{number}" for number in range(28)))
        right = heard(RIGHT, " ".join(f"b{number}" for number in range(12, 40)))
        said = [f"a{number}" for number in range(20)] + [f"b{number}" for number in range(20, 40)]
        assert whole(left, right).text.split() == said

    def test_rather_between_two_sentences(self) -> None:
        left = heard(LEFT, f"{' '.join(TALK[:18])} | {' '.join(TALK[18:28])}")
        right = heard(RIGHT, f"{' '.join(TALK[12:18])} | {' '.join(TALK[18:])}")
        segments = whole(left, right).segments or []
        assert [s.text for s in segments] == [" ".join(TALK[:18]), " ".join(TALK[18:])]
        assert all("tokens" in segment.measured for segment in segments)

    def test_token_ids_of_a_text_that_is_cut_are_left_out(self) -> None:
        """They would spell what is not there."""
        transcript = whole(heard(LEFT, " ".join(TALK[:28])), heard(RIGHT, " ".join(TALK[12:])))
        assert not any("tokens" in segment.measured for segment in transcript.segments or [])

    def test_case_and_punctuation_do_not_matter(self) -> None:
        left = heard(LEFT, " ".join([*TALK[:24], "Well,", "it\u2019s", "W26\u2026", "- w27"]))
        right = heard(
            RIGHT, " ".join(["\u2013", *TALK[13:24], "well", "it's", "w26", "W27.", *TALK[28:]])
        )
        text = whole(left, right).text.lower().replace("\u2019", "'")
        said = [word.strip(",.") for word in text.split()]
        assert said == [*TALK[:24], "well", "it's", "w26", "w27", *TALK[28:]]

    def test_chinese_is_aligned_by_character_and_joined_without_spaces(self) -> None:
        talk = "今天我们一起去公园看花然后回家吃饭晚上再去听音乐会明天早上还要上班所以不能太晚"
        left, right = (
            Passage(span, text, segments=[Segment(text, span.start_ms, span.end_ms)])
            for span, text in ((LEFT, talk[:28] + "。"), (RIGHT, talk[12:]))
        )
        assert whole(left, right).text == talk

    @settings(max_examples=60, deadline=None)
    @given(
        said=st.lists(
            st.sampled_from(["a", "the", "b", "no", "c", "so"]), min_size=40, max_size=40
        ),
        first_missing=st.sets(st.integers(0, 27), max_size=3),
        then_missing=st.sets(st.integers(12, 39), max_size=3),
    )
    def test_of_few_words_said_again_and_again_none_is_lost_or_doubled(
        self, said: list[str], first_missing: set[int], then_missing: set[int]
    ) -> None:
        """Each recognizer misses some; what both miss is lost, what one hears is kept."""
        left = ["_" if at in first_missing else said[at] for at in range(28)]
        right = ["_" if at in then_missing else said[at] for at in range(12, 40)]
        transcript = whole(heard(LEFT, " ".join(left)), heard(RIGHT, " ".join(right)))
        starts = [word.start_ms for word in transcript.words or []]
        assert starts == sorted(set(starts))
        alone = {at for at in first_missing if at < 12} | {at for at in then_missing if at >= 28}
        most = {at for at in range(40) if at not in alone}
        assert set(starts) <= {at * 500 for at in most}
        assert len(starts) >= len(most) - len(first_missing) - len(then_missing)

    @pytest.mark.parametrize("late_ms", [20, 300, -300])
    @pytest.mark.parametrize("jitter_ms", [0, 90])
    def test_words_belong_to_segments_whatever_these_say_of_their_times(
        self, late_ms: int, jitter_ms: int
    ) -> None:
        """In sequence: a word 20 ms before its segment is not another segment's."""
        parts = []
        for span, said in ((LEFT, TALK[:28]), (RIGHT, TALK[12:])):
            sentences = " | ".join(" ".join(said[at : at + 3]) for at in range(0, len(said), 3))
            part = heard(span, sentences)
            segments = [moved(segment, late_ms) for segment in part.segments or []]
            words = [moved(w, jitter_ms * (-1) ** n) for n, w in enumerate(part.words or [])]
            parts.append(replace(part, segments=segments, words=words))
        transcript = whole(*parts)
        assert transcript.text.split() == TALK
        assert " ".join(s.text for s in transcript.segments or []).split() == TALK
        assert [word.text for word in transcript.words or []] == TALK

    def test_words_may_be_written_otherwise_than_in_the_segments(self) -> None:
        """Numbers, and one word for two; those around them have their times all the same."""
        left, right = heard(LEFT, " ".join(TALK[:28])), heard(RIGHT, " ".join(TALK[12:]))
        segments = [
            replace(s, text=s.text.replace("w21 w22", "twenty-one").replace("w18", "w 18"))
            for part in (left, right)
            for s in part.segments or []
        ]
        texts = [segment.text for segment in segments]
        left = replace(left, text=texts[0], segments=segments[:1])
        right = replace(right, text=texts[1], segments=segments[1:])
        transcript = whole(left, right)
        said = " ".join(TALK).replace("w21 w22", "twenty-one").replace("w18", "w 18")
        assert transcript.text == said
        assert [word.text for word in transcript.words or []] == TALK

    def test_chinese_words_of_several_characters_are_kept_whole(self) -> None:
        talk = [
            f"{a}{b}"
            for a, b in pairwise(
                "今天我们一起去公园看花然后回家吃饭晚上再听音乐会明早还要上班所以不能太晚了"
            )
        ]
        parts = []
        for span, said in ((LEFT, talk[:28]), (RIGHT, talk[12:])):
            part = heard(span, " ".join(said))
            segments = [replace(s, text="".join(said)) for s in part.segments or []]
            parts.append(replace(part, text="".join(said), segments=segments))
        transcript = whole(*parts)
        assert transcript.text == "".join(talk)
        assert [word.text for word in transcript.words or []] == talk

    def test_a_segment_of_no_length_at_the_very_end_is_no_other_one(self) -> None:
        left, right = (
            Passage(span, "", segments=[Segment(text, *times) for text, times in told])
            for span, told in (
                (LEFT, [("one two three four", (8_000, 12_000)), ("five six", (14_000, 14_000))]),
                (RIGHT, [("two three four", (9_000, 12_000)), ("five six", (12_500, 14_500))]),
            )
        )
        segments = whole(left, right).segments or []
        assert [s.text for s in segments] == ["one two three four", "five six"]

    def test_text_that_no_segment_has_is_kept(self) -> None:
        left = heard(LEFT, " ".join(TALK[:28]))
        left = replace(left, text=f"It begins. {left.text}")
        right = heard(RIGHT, " ".join(TALK[12:]))
        right = replace(right, text=f"{right.text} It ends.")
        assert whole(left, right).text == f"It begins. {' '.join(TALK)} It ends."

    def test_of_a_long_passage_all_is_kept_that_is_far_from_a_seam(self) -> None:
        talk = [f"w{number}" for number in range(400)]
        first, then = Span(0, 110_000), Span(100_000, 200_000)
        sentences = [" ".join(talk[at : at + 10]) for at in range(0, 400, 10)]
        left, right = (
            heard(first, " | ".join(sentences[:22])),
            heard(then, "|".join(sentences[20:])),
        )
        assert left.segments
        moved_on = [moved(segment, 20) for segment in left.segments]
        transcript = whole(replace(left, segments=moved_on), right)
        assert transcript.text.split() == talk
        assert [word.text for word in transcript.words or []] == talk
        assert [s.text for s in transcript.segments or []] == sentences


def moved(part: Timed, by_ms: int) -> Timed:
    start_ms = max(part.start_ms + by_ms, 0)
    return replace(part, start_ms=start_ms, end_ms=part.end_ms + by_ms)


class TestSeamsOfTexts:
    @staticmethod
    def text(span: Span, said: str, *, logprobs: bool = False) -> Passage:
        probed = [Logprob(token=f" {word}", logprob=-0.1) for word in said.split()]
        answer = Transcription(text=said, logprobs=probed if logprobs else None)
        return passage(span, answer)

    def test_the_words_of_both_stand_once(self) -> None:
        left, right = "one two three four five six sev", "ree four, five six seven eight"
        transcript = whole(
            self.text(LEFT, left, logprobs=True), self.text(RIGHT, right, logprobs=True)
        )
        assert transcript.text == "one two three four five six seven eight"
        spelled = "".join(logprob.token or "" for logprob in transcript.logprobs or [])
        assert spelled.strip() == transcript.text

    @pytest.mark.parametrize(
        ("left", "right", "text"),
        [
            ("the one and the other", "but the third", "the one and the other but the third"),
            ("nothing at all", "", "nothing at all"),
            ("", "", ""),
            ("and then he said yes", "Yes, I will", "and then he said yes I will"),
            ("is it true", "true enough it is not", "is it true enough it is not"),
            ("我们去公园看花然后", "看花然后回家吃饭。", "我们去公园看花然后回家吃饭。"),
            ("one two the four", "the five six", "one two the four the five six"),
            (
                "so x much do every you x much do every you x much",
                "do every you x much do every you x much do every you he",
                "so x much do every you x much do every you x much do every you he",
            ),
        ],
    )
    def test_a_word_that_is_there_by_chance_is_no_seam(
        self, left: str, right: str, text: str
    ) -> None:
        assert whole(self.text(LEFT, left), self.text(RIGHT, right)).text == text

    def test_without_an_overlap_nothing_is_dropped(self) -> None:
        left, right = (
            self.text(Span(0, 10_000), "so he said"),
            self.text(Span(10_000, 20_000), "said he"),
        )
        assert whole(left, right).text == "so he said said he"


class TestPassages:
    def test_times_beyond_the_audio_are_brought_back(self) -> None:
        """Whisper's windows are of 30 s, however short the audio is."""
        segments: list[Any] = [
            {"id": 0, "start": 9.0, "end": 30.0, "text": " Bye.", "seek": 100},
            {"id": 1, "start": 30.0, "end": 29.0, "text": " Bye."},
            {"id": 2, "start": -0.5, "end": 1.0, "text": " Hi."},
            {"id": 3, "start": 3.0, "end": 4.0, "text": " "},
        ]
        answer = TranscriptionVerbose.model_validate(
            {"text": "Hi. Bye. Bye.", "segments": segments}
        )
        told = passage(Span(60_000, 70_000), answer)
        assert [(s.text, s.start_ms, s.end_ms) for s in told.segments or []] == [
            ("Hi.", 60_000, 61_000), ("Bye.", 69_000, 70_000), ("Bye.", 70_000, 70_000),
        ]  # fmt: skip
        assert (told.segments or [])[1].measured["seek"] == 6100

    def test_what_runs_into_the_next_ends_there_but_not_another_speakers(self) -> None:
        said = [Segment("b", 500, 900, "A"), Segment("a", 0, 700, "A"), Segment("c", 600, 800, "B")]
        assert [(s.text, s.start_ms, s.end_ms) for s in in_order(said)] == [
            ("a", 0, 500), ("b", 500, 900), ("c", 600, 800),
        ]  # fmt: skip

    def test_the_language_of_most_of_the_speech_wins(self) -> None:
        """What is named of silence does not count."""
        parts = [
            Passage(Span(0, 9000), "", language="en"),
            Passage(Span(9000, 12_000), "ja", language="de"),
            Passage(Span(12_000, 14_000), "oui", language="fr"),
            Passage(Span(14_000, 15_500), "oui", language="fr"),
        ]
        assert whole(*parts).language == "fr"
        assert whole(parts[0]).language == "en"

    def test_what_was_found_in_a_hole_is_put_there(self) -> None:
        left = heard(Span(0, 20_000), "a b c d | _ _ _ _ _ _ | k l")
        found = heard(Span(1_700, 5_300), "d e f g h i j k", from_ms=1_500)
        once = filled(left, Span(2_000, 5_000), found)
        assert once.text == "a b c d e f g h i j k l"
        assert [word.start_ms for word in once.words or []] == list(range(0, 6000, 500))

    @pytest.mark.parametrize("words", [True, False])
    def test_a_hole_may_be_within_a_segment(self, words: bool) -> None:
        """Without words nobody knows where it is divided: here as if spoken evenly."""
        left = heard(
            Span(0, 20_000), "one two six ten" + " _" * 12 + " six ten one two", words=words
        )
        found = heard(Span(1_700, 8_300), "three four five", from_ms=3_500)
        once = filled(left, Span(2_300, 7_700), found)
        assert once.text == "one two six ten three four five six ten one two"
        texts = [segment.text for segment in once.segments or []]
        assert texts == ["one two six ten", "three four five", "six ten one two"]
        assert ["tokens" in s.measured for s in once.segments or []] == [False, True, False]
        if words:
            assert [word.text for word in once.words or []] == once.text.split()
            times = [(s.start_ms, s.end_ms) for s in once.segments or []]
            assert times == [(0, 1_900), (3_500, 4_900), (8_000, 9_900)]

    @pytest.mark.parametrize(
        ("again", "at", "late_ms", "text"),
        [
            ("d e f g k", 0, 350, "a b c d e f g k l"),
            ("d e f g k", -1, -350, "a b c d e f g k l"),
            ("- e f g -", 0, 0, "a b c d e f g k l"),
            ("_ e f d k", 0, 0, "a b c d e f d k l"),
            ("d d e f k", 1, -100, "a b c d d e f k l"),
            ("d e f k k", -2, 100, "a b c d e f k k l"),
        ],
    )
    def test_a_word_beside_a_hole_that_is_heard_late_is_not_another_one(
        self, again: str, at: int, late_ms: int, text: str
    ) -> None:
        """Unless it was heard in its time too: then it is said twice."""
        left = heard(Span(0, 20_000), "a b c d | _ _ _ | k l")
        found = heard(Span(1_300, 3_900), again, from_ms=1_500)
        words = found.words or []
        words[at] = moved(words[at], late_ms)
        once = filled(left, Span(2_200, 3_300), found)
        assert once.text == text
        assert [word.text for word in once.words or []] == text.split()

    def test_what_was_found_follows_what_was_heard_before_whatever_a_segment_says(self) -> None:
        """One that is said to begin in the hole before its first word."""
        left = heard(Span(0, 20_000), "a b | _ _ _ _ _ _ _ _ | k l")
        early = [replace(s, start_ms=2_000) if s.text == "k l" else s for s in left.segments or []]
        found = heard(Span(800, 5_000), "c d | e f", from_ms=1_500)
        once = filled(replace(left, segments=early), Span(1_200, 4_700), found)
        assert once.text == whole(once).text == "a b c d e f k l"
        assert [s.text for s in whole(once).segments or []] == ["a b", "c d", "e f", "k l"]

    def test_what_was_asked_again_is_paid_too(self) -> None:
        parts = [
            replace(heard(Span(0, 9_000), said), usage=DurationUsage(seconds=seconds))
            for said, seconds in (("a", 9.0), ("b", 3.0))
        ]
        assert filled(parts[0], Span(2_000, 5_000), parts[1]).usage == DurationUsage(seconds=12.0)
        untimed = [replace(part, segments=None, words=None) for part in parts]
        assert filled(untimed[0], Span(2_000, 5_000), untimed[1]).usage == DurationUsage(seconds=12)

    @pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
    def test_times_that_are_no_numbers_are_those_of_the_piece(self, wrong: float) -> None:
        answer = TranscriptionVerbose.model_validate(
            {
                "text": "Hi.",
                "segments": [{"id": 0, "start": wrong, "end": wrong, "text": "Hi."}],
                "words": [{"word": "Hi", "start": wrong, "end": wrong}],
            }
        )
        told = passage(Span(60_000, 70_000), answer)
        assert told.segments == [Segment("Hi.", 60_000, 70_000)]
        assert told.words == [Word("Hi", 60_000, 70_000)]

    def test_a_hole_that_is_all_of_a_text_without_times_is_filled_by_text(self) -> None:
        empty, found = Passage(LEFT, ""), Passage(Span(1000, 5000), "hello")
        once = filled(empty, Span(1000, 5000), found)
        assert once.text == "hello"
        assert filled(once, Span(7000, 9000), Passage(Span(7000, 9000), "you")).text == "hello you"
        assert filled(once, Span(7000, 9000), empty).text == "hello"


class TestAlignment:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("Hello, world - it's", ["hello", "world", "", "its"]),
            ("漢字ABC。ok", ["漢", "字", "abc", "ok"]),
            ("ไปไหน", ["ไ", "ป", "ไ", "ห", "น"]),
            ("한국어 말", ["한국어", "말"]),
            (" \n", []),
        ],
    )
    def test_words_are_what_stands_between_spaces(self, text: str, words: list[str]) -> None:
        found = tokens(text)
        assert [token.sound for token in found] == words
        assert "".join(text[t.start : t.end] for t in found) == "".join(text.split())

    @given(
        st.lists(st.sampled_from("abc"), max_size=9), st.lists(st.sampled_from("abc"), max_size=9)
    )
    def test_pairs_are_equal_words_in_order(self, left: list[str], right: list[str]) -> None:
        pairs = aligned(left, right)
        assert all(left[a] == right[b] for a, b in pairs)
        for one, other in pairwise(pairs):
            assert one.left < other.left
            assert one.right < other.right
        assert bool(pairs) == bool(set(left) & set(right))

    def test_one_piece_is_preferred_to_strewn_words(self) -> None:
        left, right = ["a", "x", "b", "y", "a", "b", "c"], ["a", "b", "c", "d"]
        assert aligned(left, right) == [Pair(4, 0), Pair(5, 1), Pair(6, 2)]
        assert longest_run([Pair(0, 0), Pair(4, 1), Pair(5, 2)]) == [Pair(4, 1), Pair(5, 2)]

    @pytest.mark.parametrize(
        ("left", "right", "own"),
        [
            ("a b c", "a b c", "0 1 2"),
            ("its a", "it s a", "01 2"),
            ("i t", "it", "0 0"),
            ("a x b c", "a b c", "0 - 1 2"),
            ("a b c", "a x b c", "0 2 3"),
            ("a x b", "a y b", "0 1 2"),
            ("a - b", "a b", "0 - 1"),
            ("a b", "", "- -"),
            ("", "a", ""),
        ],
    )
    def test_two_tellings_of_the_same_are_matched(self, left: str, right: str, own: str) -> None:
        sounds = [["" if word == "-" else word for word in side.split()] for side in (left, right)]
        found = ["".join(map(str, part)) or "-" for part in matched(*sounds)]
        assert found == own.split()

    @given(st.lists(st.sampled_from(["a", "bc", ""])), st.lists(st.sampled_from(["a", "bc", "d"])))
    def test_each_word_has_its_match_in_order(self, left: list[str], right: list[str]) -> None:
        own = matched(left, right)
        assert len(own) == len(left)
        for one, other in pairwise(part for part in own if part):
            assert one.start <= other.start
            assert one.stop <= other.stop
        assert all(0 <= part.start <= part.stop <= len(right) for part in own)

    def test_an_overlap_reaches_the_edges(self) -> None:
        pairs = overlapping(list("xabcab"), list("abcabcy"), 0.5)
        assert pairs == [Pair(at + 1, at) for at in range(5)]
        assert overlapping(["a", "x", "y"], ["z", "a"], 0.5) == []

    @pytest.mark.parametrize(
        ("texts", "text"),
        [
            (["one", "", "two"], "one two"),
            (["今天。", "明天"], "今天。明天"),
            (["สวัสดี", "ครับ"], "สวัสดีครับ"),
            (["用", "Python", "写"], "用 Python 写"),
            (["안녕", "하세요"], "안녕 하세요"),
        ],
    )
    def test_texts_are_joined_as_their_script_is_written(self, texts: list[str], text: str) -> None:
        assert joined(texts) == text
