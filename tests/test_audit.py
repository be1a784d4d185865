"""What has no words, and what was perhaps not said: from times and texts alone."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropscribe.audit import (
    Audit,
    Doubt,
    audit,
    believed,
    cleaned,
    divided,
    doubts,
    holes,
    normalized,
    text_spans,
    warnings,
)
from dropscribe.phantoms import PHANTOMS
from dropscribe.spans import Span, total_ms
from dropscribe.transcript import Segment, Word

S = Span
DAY_MS = 24 * 3600 * 1000


def segment(start_ms: int, end_ms: int, text: str = "what was said", **fields: Any) -> Segment:
    speaker = fields.pop("speaker", None)
    return Segment(text=text, start_ms=start_ms, end_ms=end_ms, speaker=speaker, measured=fields)


def word(start_ms: int, end_ms: int, text: str = "word", speaker: str | None = None) -> Word:
    return Word(text=text, start_ms=start_ms, end_ms=end_ms, speaker=speaker)


def in_a_row(*texts: str, start_ms: int = 0, **fields: Any) -> list[Segment]:
    """A second each."""
    return [
        segment(start_ms + 1000 * number, start_ms + 1000 * number + 1000, text, **fields)
        for number, text in enumerate(texts)
    ]


def told(found: list[Doubt]) -> list[tuple[int, int, str, str, bool]]:
    return [(d.start_ms, d.end_ms, d.text, d.reason, d.removed) for d in found]


class TestHoles:
    @pytest.mark.parametrize(
        ("speech", "texts", "expected"),
        [
            ([], [], []),
            ([], [S(0, 9000)], []),
            ([S(0, 1999)], [], []),
            ([S(0, 2000)], [], [S(0, 2000)]),
            ([S(0, 9000)], [S(0, 9000)], []),
            # What is less than 0.3 s from a text is its own, whatever the recognizer's times say.
            ([S(0, 9000)], [S(0, 4000), S(6599, 9000)], []),
            ([S(0, 9000)], [S(0, 4000), S(6600, 9000)], [S(4300, 6300)]),
            ([S(1000, 9000)], [S(5000, 5000)], [S(1000, 4700), S(5300, 9000)]),
            ([S(1000, 9000)], [S(5000, 5001)], [S(1000, 4700), S(5301, 9000)]),
            # Pauses of up to three seconds divide no hole, but do not count as speech.
            ([S(0, 1000), S(2000, 3000)], [], [S(0, 3000)]),
            ([S(0, 1000), S(2000, 2999)], [], []),
            ([S(0, 1500), S(4501, 6001)], [], []),
            ([S(0, 3000), S(3500, 6000)], [S(3100, 3400)], [S(0, 2800), S(3700, 6000)]),
            # Two halves on both sides of a text are no hole.
            ([S(0, 1500), S(2200, 3700)], [S(1700, 1900)], []),
            ([S(7000, 9000), S(0, 3000), S(2000, 2500)], [], [S(0, 3000), S(7000, 9000)]),
            ([S(0, 3000)], [S(-900, -800), S(99_000, 98_000)], [S(0, 3000)]),
        ],
    )
    def test_are_speech_of_two_seconds_without_words(
        self, speech: list[Span], texts: list[Span], expected: list[Span]
    ) -> None:
        assert holes(speech, texts) == expected

    @given(
        st.lists(st.builds(lambda a, n: S(a, a + n), st.integers(0, 60_000), st.integers(0, 9000))),
        st.lists(st.builds(lambda a, n: S(a, a + n), st.integers(0, 60_000), st.integers(1, 9000))),
    )
    def test_touch_no_text_and_begin_and_end_with_speech(
        self, speech: list[Span], texts: list[Span]
    ) -> None:
        found = holes(speech, texts)
        for hole in found:
            assert hole.duration_ms >= 2000
            assert all(t.end_ms <= hole.start_ms or t.start_ms >= hole.end_ms for t in texts)
            assert any(s.start_ms <= hole.start_ms < s.end_ms for s in speech)
            assert any(s.start_ms < hole.end_ms <= s.end_ms for s in speech)
        assert found == sorted(found)


class TestDivided:
    @pytest.mark.parametrize(
        ("hole", "speech", "expected"),
        [
            (S(5000, 65_000), [], [S(5000, 65_000)]),
            (S(7000, 7000), [], [S(7000, 7000)]),
            # In the middle of the pause that is longest near an even cut.
            (
                S(100_000, 190_000),
                [S(100_000, 140_000), S(141_000, 144_000), S(146_000, 190_000)],
                [S(100_000, 145_000), S(145_000, 190_000)],
            ),
            # What lies outside the hole, in any order, double, or upside down is no matter.
            (
                S(100_000, 190_000),
                [S(146_000, 250_000), S(0, 144_000), S(0, 144_000), S(147_000, 146_000)],
                [S(100_000, 145_000), S(145_000, 190_000)],
            ),
            # No pause: both hear what is said at the cut.
            (
                S(100_000, 190_000),
                [S(0, 250_000)],
                [S(100_000, 149_000), S(141_000, 190_000)],
            ),
        ],
    )
    def test_a_hole_is_cut_where_nobody_speaks(
        self, hole: Span, speech: list[Span], expected: list[Span]
    ) -> None:
        assert divided(hole, speech) == expected

    @given(
        st.builds(lambda a, n: S(a, a + n), st.integers(0, 90_000), st.integers(0, 900_000)),
        st.lists(
            st.builds(lambda a, n: S(a, a + n), st.integers(0, 900_000), st.integers(0, 90_000))
        ),
        st.integers(1000, 60_000),
    )
    def test_parts_are_short_in_order_and_leave_nothing_out(
        self, hole: Span, speech: list[Span], longest_ms: int
    ) -> None:
        parts = divided(hole, speech, longest_ms)
        assert parts[0].start_ms == hole.start_ms
        assert parts[-1].end_ms == hole.end_ms
        assert max(part.duration_ms for part in parts) <= longest_ms
        for left, right in pairwise(parts):
            assert left.start_ms < right.start_ms <= left.end_ms < right.end_ms


class TestTextSpans:
    @pytest.mark.parametrize(
        ("segments", "words", "expected"),
        [
            ([], [], []),
            ([segment(0, 5000)], [], [S(0, 5000)]),
            ([segment(5000, 6000), segment(0, 5000)], [], [S(0, 5000), S(5000, 6000)]),
            # Words tell more than their segment, and say nothing of another one.
            (
                [segment(0, 5000), segment(5000, 9000)],
                [word(1000, 1500), word(1600, 2000)],
                [S(1000, 2000), S(5000, 9000)],
            ),
            ([], [word(1000, 1500), word(2500, 3000)], [S(1000, 3000)]),
            ([], [word(1000, 1500), word(2501, 3000)], [S(1000, 1500), S(2501, 3000)]),
            ([], [word(2000, 2500), word(1000, 1500)], [S(1000, 2500)]),
            # Near words of two segments stay apart: one of them may have been made up.
            (
                [segment(0, 2000), segment(2000, 4000)],
                [word(0, 1900), word(2000, 3900)],
                [S(0, 1900), S(2000, 3900)],
            ),
            # A word has a length and an end, even where the engine gave none.
            ([], [word(1000, 1000)], [S(1000, 1001)]),
            ([], [word(1000, 400)], [S(1000, 1001)]),
            ([segment(700, 700)], [], [S(700, 701)]),
            ([], [word(1000, 60_000)], [S(1000, 4000)]),
            ([segment(0, 60_000)], [word(1000, 60_000)], [S(1000, 4000)]),
            # Two who speak at once are two texts.
            (
                [segment(0, 3000, speaker="A"), segment(1000, 2000, speaker="B")],
                [word(0, 900, speaker="A"), word(1500, 1900, speaker="A")],
                [S(0, 1900), S(1000, 2000)],
            ),
            # Words of nobody known belong to whoever speaks then.
            ([segment(0, 3000, speaker="A")], [word(500, 900)], [S(500, 900)]),
            ([segment(0, 3000)], [word(3000, 3500)], [S(0, 3000), S(3000, 3500)]),
        ],
    )
    def test_are_of_words_where_there_are_any(
        self, segments: list[Segment], words: list[Word], expected: list[Span]
    ) -> None:
        assert text_spans(segments, words) == expected

    def test_of_words_without_a_pause_are_of_ten_seconds_at_most(self) -> None:
        """One `yes, speech` for an hour would prove nothing."""
        spans = text_spans([], [word(at, at + 300) for at in range(0, 3_600_000, 300)])
        assert max(span.duration_ms for span in spans) <= 10_000
        assert total_ms(spans) == 3_600_000


QUIET = [S(0, 100_000)]
LOOP = "I know it. " * 6


class TestDoubts:
    @pytest.mark.parametrize("silent", [[], [S(20_000, 30_000)], [S(5, 5)]])
    @pytest.mark.parametrize(
        "text", ["Thank you for watching!", "what was said", "no no", "", "♪♪"]
    )
    def test_what_is_said_is_not_doubted(self, text: str, silent: list[Span]) -> None:
        segments = [segment(0, 3000, text, no_speech_prob=0.99, compression_ratio=9)]
        assert doubts(segments, [], silent) == []

    @pytest.mark.parametrize(
        ("measured", "removed"),
        [
            ({}, False),
            ({"no_speech_prob": 0.61}, False),
            ({"avg_logprob": -1.01}, False),
            ({"no_speech_prob": 0.6, "avg_logprob": -1.01}, False),
            ({"no_speech_prob": 0.61, "avg_logprob": -1.0}, False),
            ({"no_speech_prob": 0.61, "avg_logprob": -1.01}, True),
            ({"no_speech_prob": "much", "avg_logprob": -1.01}, False),
            ({"no_speech_prob": 0.61, "avg_logprob": None}, False),
        ],
    )
    def test_text_over_no_speech_goes_where_whisper_says_so_too(
        self, measured: dict[str, Any], removed: bool
    ) -> None:
        segments = [segment(1000, 3000, "what was said", **measured)]
        for whisper in (True, False):
            assert told(doubts(segments, [], [S(1000, 3000)], whisper=whisper)) == [
                (1000, 3000, "what was said", "no_speech", removed and whisper)
            ]

    @pytest.mark.parametrize(
        "text",
        [
            "Thank you for watching!",
            " THANK YOU   for watching",
            "Subtitles by the Amara.org community",
            "Sous-titres réalisés para la communauté d\u2019Amara.org",
            "Vielen Dank fu\u0308rs Zuschauen.",
            "ご視聴ありがとうございました。",
            "Продолжение следует…",
        ],
    )
    def test_phantoms_go_where_nobody_speaks(self, text: str) -> None:
        assert told(doubts([segment(0, 2000, text)], [], QUIET)) == [
            (0, 2000, text, "phantom", True)
        ]

    def test_only_whole_segments_are_phantoms(self) -> None:
        text = "Thank you for watching the gate."
        assert [d.reason for d in doubts([segment(0, 2000, text)], [], QUIET)] == ["no_speech"]

    def test_known_phantoms_are_written_as_people_write_and_each_once(self) -> None:
        spelled = [phrase for phrase in PHANTOMS if not normalized(phrase)]
        assert spelled == []
        assert len(set(PHANTOMS)) == len(PHANTOMS)

    @pytest.mark.parametrize(
        ("segments", "expected"),
        [
            (in_a_row("No.", "No.", "No."), []),
            (in_a_row("No.", "no", "No!", "NO"), [(0, 4000, "No.", "repeated", False)]),
            (in_a_row("No.", "No.", "Yes.", "No.", "No."), []),
            (in_a_row("", "♪", "", "…", ""), []),
            (in_a_row("So.", *["No."] * 5, "So."), [(1000, 6000, "No.", "repeated", False)]),
        ],
    )
    def test_the_same_four_times_in_a_row_is_a_loop(
        self, segments: list[Segment], expected: list[object]
    ) -> None:
        assert told(doubts(segments, [], [])) == expected

    def test_two_who_say_the_same_make_no_loop(self) -> None:
        segments = [segment(1000 * n, 1000 * n + 900, "No.", speaker="AB"[n % 2]) for n in range(6)]
        assert doubts(segments, [], []) == []

    @pytest.mark.parametrize(
        ("text", "measured", "is_loop"),
        [
            (LOOP, {}, True),
            ("and then " + LOOP + "he left", {}, True),
            ("no no no no", {}, False),
            ("no no no no no", {}, True),
            ("I know it. " * 4, {"compression_ratio": 2.5}, True),
            ("I know it. " * 4, {"compression_ratio": 2.3}, False),
            ("I know it. " * 2, {"compression_ratio": 9}, False),
            # Of a window of which this is a part: the text itself repeats nothing.
            ("what was said before the meeting", {"compression_ratio": 9}, False),
            ("very very very good as it was in those times", {"compression_ratio": 3}, False),
            ("ご視聴ありがとうございました" * 5, {}, True),
            ("ご視聴ありがとうございました", {}, False),
            ("谢谢观看谢谢观看谢谢观看谢谢观看谢谢观看", {}, True),
            (" ".join(str(number) for number in range(500)), {}, False),
        ],
    )  # fmt: skip
    def test_a_phrase_again_and_again_is_a_loop(
        self, text: str, measured: dict[str, Any], is_loop: bool
    ) -> None:
        found = doubts([segment(0, 3000, text, **measured)], [], [])
        assert [(d.reason, d.removed) for d in found] == [("repeated", False)] * is_loop

    def test_a_loop_goes_where_nobody_speaks_and_stays_where_it_was_said(self) -> None:
        """Whisper's own: what was said last, again and again over the music that follows."""
        segments = in_a_row(*["Good night."] * 6)
        found = doubts(segments, [], [S(2000, 6000)])
        assert told(found) == [
            (0, 2000, "Good night.", "repeated", False),
            (2000, 6000, "Good night.", "repeated", True),
        ]
        assert cleaned(segments, [], found) == (segments[:2], [])

    def test_loops_far_apart_take_nothing_between_them(self) -> None:
        segments = [
            *in_a_row(*["No."] * 4),
            segment(50_000, 51_000, "No."),
            *in_a_row(*["No."] * 4, start_ms=90_000),
        ]
        middle = segments[4]
        aside = [*segments[:4], segment(40_000, 41_000), middle, segment(60_000, 61_000)]
        aside += segments[5:]
        found = doubts(aside, [], [S(0, 4000), S(90_000, 94_000)])
        assert [(d.start_ms, d.end_ms, d.removed) for d in found] == [
            (0, 4000, True),
            (90_000, 94_000, True),
        ]
        assert cleaned(aside, [], found)[0] == aside[4:7]

    def test_words_where_nobody_speaks_are_named_and_kept(self) -> None:
        segments = [segment(0, 9000, "said made up")]
        words = [word(0, 900, "said"), word(6000, 6500, "made"), word(6600, 7000, "up")]
        found = doubts(segments, words, [S(6000, 7000)])
        assert told(found) == [(6000, 7000, "made up", "no_speech", False)]
        assert cleaned(segments, words, found) == (segments, words)

    def test_words_of_no_segment_are_named_too(self) -> None:
        found = doubts([], [word(0, 900, "said"), word(6000, 6500, "made")], [S(6000, 6500)])
        assert told(found) == [(6000, 6500, "made", "no_speech", False)]

    def test_removed_segments_take_their_words_with_them(self) -> None:
        segments = [segment(0, 3000, "so long"), segment(3000, 6000, "Thank you.")]
        words = [word(0, 900, "so"), word(1000, 1500, "long"), word(3000, 3400, "Thank"),
                 word(3500, 4000, "you."), word(7000, 7500, "ah")]  # fmt: skip
        found = doubts(segments, words, [S(3000, 4000)])
        assert told(found) == [(3000, 6000, "Thank you.", "phantom", True)]
        assert cleaned(segments, words, found) == (segments[:1], [*words[:2], words[4]])

    def test_who_says_it_at_the_same_time_keeps_it(self) -> None:
        segments = [
            segment(0, 2000, "Thank you.", speaker="A"),
            segment(500, 1500, "Thank you.", speaker="B"),
        ]
        removed = Doubt(start_ms=0, end_ms=2000, text="Thank you.", speaker="A",
                        reason="phantom", removed=True)  # fmt: skip
        assert cleaned(segments, [], [removed])[0] == segments[1:]

    def test_a_text_is_silent_only_as_a_whole(self) -> None:
        segments = [segment(0, 3000, "Thank you.")]
        assert doubts(segments, [], [S(0, 2999)]) == []
        assert doubts(segments, [], [S(1500, 3000), S(0, 1500)]) != []

    def test_of_nothing_there_is_no_doubt(self) -> None:
        assert doubts([], [], QUIET) == []
        assert cleaned([], [], []) == ([], [])

    def test_a_text_of_no_length_can_be_silent(self) -> None:
        segments = [segment(700, 700, "Thank you.")]
        found = doubts(segments, [], text_spans(segments, []))
        assert cleaned(segments, [], found) == ([], [])


NOT_SAID = {"no_speech_prob": 0.9, "avg_logprob": -1.5}


class TestBelieved:
    """Of the answer to a hole, in which there is speech."""

    @pytest.mark.parametrize("whisper", [False, True])
    def test_what_was_said_is_taken_over(self, *, whisper: bool) -> None:
        segments = [
            segment(0, 2000, "what was said", no_speech_prob=0.9, avg_logprob=-0.5),
            segment(2000, 3000, "Thank you for watching the gate."),
            *in_a_row("No.", "No.", "No.", start_ms=3000),
        ]
        words = [word(0, 900, "what"), word(9000, 9500, "outside")]
        assert believed(segments, words, whisper=whisper) == (segments, words, [])
        assert believed([], [], whisper=whisper) == ([], [], [])

    @pytest.mark.parametrize(
        ("text", "measured", "reason"),
        [
            (" Thank you for watching!", {}, "phantom"),
            ("Subtitles by the Amara.org community", NOT_SAID, "phantom"),
            (LOOP, {}, "repeated"),
            ("what was said", NOT_SAID, "no_speech"),
        ],
    )
    def test_what_is_made_up_is_not_and_is_listed(
        self, text: str, measured: dict[str, Any], reason: str
    ) -> None:
        segments = [segment(0, 900, "so"), segment(1000, 3000, text, **measured)]
        words = [word(0, 800, "so"), word(1000, 2000, "made"), word(2000, 3000, "up")]
        kept, left, found = believed(segments, words, whisper=True)
        assert (kept, left) == (segments[:1], words[:1])
        assert told(found) == [(1000, 3000, text, reason, True)]

    def test_another_engine_measures_otherwise(self) -> None:
        segments = [segment(0, 3000, "what was said", **NOT_SAID)]
        assert believed(segments, []) == (segments, [], [])

    def test_a_loop_is_listed_once_and_gone_as_a_whole(self) -> None:
        segments = in_a_row("So.", *["It is."] * 5, "Good.")
        kept, _, found = believed(segments, [])
        assert kept == [segments[0], segments[-1]]
        assert told(found) == [(1000, 6000, "It is.", "repeated", True)]

    def test_segments_in_any_order_are_listed_in_theirs(self) -> None:
        segments = [segment(5000, 6000, "Thank you."), segment(0, 1000, "Bye.")]
        kept, _, found = believed(segments, [])
        assert kept == []
        assert [doubt.start_ms for doubt in found] == [0, 5000]


class TestAudit:
    def test_tells_how_much_has_words_and_where_none_are(self) -> None:
        segments = [segment(0, 4000), segment(15_000, 20_000)]
        found = audit(segments, None, [S(0, 5000), S(9000, 14_000), S(16_000, 20_000)], [])
        assert found.model_dump() == {
            "coverage": round(1 - (700 + 5000) / 14_000, 4),
            "speech_seconds": 14.0,
            "uncovered_spans": [{"start": 9.0, "end": 14.0}],
            "doubtful_text": [],
        }

    def test_of_text_without_times_nothing_is_known(self) -> None:
        found = audit(None, None, [S(0, 5000)], [])
        assert found == Audit(coverage=None, speech_seconds=5, uncovered_spans=[], doubtful_text=[])
        assert warnings(found) == []

    @pytest.mark.parametrize(
        ("segments", "speech", "coverage"),
        [([], [], 1.0), ([segment(0, 900)], [], 1.0), ([], [S(0, 5000)], 0.0),
         ([segment(0, 9000)], [S(3000, 5000)], 1.0),
         ([segment(0, 9000)] * 3, [S(3000, 5000)] * 3, 1.0)],
    )  # fmt: skip
    def test_coverage_is_from_none_to_all(
        self, segments: list[Segment], speech: list[Span], coverage: float
    ) -> None:
        found = audit(segments, [], speech, [])
        assert found.coverage == coverage
        assert found.speech_seconds == (5 if coverage == 0 else 2 if speech else 0)

    def test_times_of_doubts_are_seconds_and_in_order(self) -> None:
        first = Doubt(start_ms=1500, end_ms=2500, text="a", speaker="B", reason="repeated",
                      removed=False)  # fmt: skip
        second = first.model_copy(update={"start_ms": 2000, "reason": "phantom", "removed": True})
        document = audit([], [], [], [second, first]).model_dump()
        assert document["doubtful_text"] == [
            {"start": 1.5, "end": 2.5, "text": "a", "speaker": "B", "reason": "repeated",
             "removed": False},
            {"start": 2.0, "end": 2.5, "text": "a", "speaker": "B", "reason": "phantom",
             "removed": True},
        ]  # fmt: skip


class TestWarnings:
    def test_there_are_none_where_all_is_well(self) -> None:
        assert warnings(audit([segment(0, 5000)], None, [S(0, 5000)], [])) == []

    def test_there_is_one_of_each_kind_with_its_first_places(self) -> None:
        doubtful = [
            Doubt(start_ms=at, end_ms=at + 1000, text="x", reason="no_speech", removed=at == 5000)
            for at in (5000, 61_000, 65_000, 3_600_000, 3_700_000)
        ]
        speech = [S(10_000, 13_000), S(20_000, 24_500)]
        bare, removed, kept = warnings(audit([], [], speech, doubtful))
        assert bare == (
            "7.5 s of speech have no words: 2 places, "
            "00:00:10.000 to 00:00:13.000, 00:00:20.000 to 00:00:24.500"
        )
        assert removed == "text was removed where nobody speaks: 00:00:05.000 to 00:00:06.000"
        assert kept == (
            "text may be wrong (doubtful_text in the receipt): 4 places, "
            "00:01:01.000 to 00:01:02.000, 00:01:05.000 to 00:01:06.000, "
            "01:00:00.000 to 01:00:01.000, …"
        )

    def test_they_are_short_however_much_is_wrong(self) -> None:
        doubtful = [
            Doubt(start_ms=at, end_ms=at + 1, text="x" * 999, reason="phantom", removed=at % 2 > 0)
            for at in range(9999)
        ]
        speech = [S(at, at + 3000) for at in range(0, DAY_MS, 10_000)]
        found = warnings(audit([], [], speech, doubtful))
        assert len(found) == 3
        assert max(map(len, found)) < 200


def test_a_day_of_words_is_audited_as_a_minute_is() -> None:
    dice = random.Random(4)
    words, segments, speech = [], [], []
    for number in range(20_000):
        start_ms = number * (DAY_MS // 20_000)
        segments.append(segment(start_ms, start_ms + 4000, f"said {dice.random()} here"))
        words += [word(start_ms + 400 * n, start_ms + 400 * n + 350) for n in range(10)]
        if number % 100:
            speech.append(S(start_ms, start_ms + 4200))
    silent = [span for span in text_spans(segments, words) if not span.start_ms % (DAY_MS // 200)]
    found = doubts(segments, words, silent)
    assert {doubt.reason for doubt in found} == {"no_speech"}
    assert len(found) == len(silent) == 200
    kept, _ = cleaned(segments, words, found)
    assert len(kept) == 20_000
    assert audit(segments, words, speech, found).coverage == 1
