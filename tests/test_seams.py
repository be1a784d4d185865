"""What two overlapping pieces of audio both heard stands once in the transcript."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dropscribe.alignment import Pair, aligned, joined, longest_run, tokens
from dropscribe.api import Logprob, Transcription, TranscriptionVerbose
from dropscribe.merge import in_order, merge
from dropscribe.passage import Passage, passage
from dropscribe.seams import filled
from dropscribe.spans import Span
from dropscribe.transcript import Segment, Transcript, Word

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
