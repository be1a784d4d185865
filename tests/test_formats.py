"""The six formats, whole documents compared; what is unsafe to write is made safe."""

from __future__ import annotations

import itertools
import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropscribe.api import Format
from dropscribe.cues import cues
from dropscribe.formats import OUTPUTS
from dropscribe.merge import merge
from dropscribe.options import JobOptions, SubtitleOptions
from dropscribe.passage import parse_answer, passage
from dropscribe.spans import Span
from dropscribe.timestamps import timestamp
from dropscribe.transcript import Segment, Transcript, Word, add_usage
from tests.api_server import RECORDED

MINUTE = Span(0, 60_000)


def recorded(name: str, response_format: str) -> Any:
    return parse_answer(response_format, json.loads(RECORDED[name]["body"]))


def merged(*names: str, response_format: str = "verbose_json") -> Transcript:
    parts = [passage(MINUTE, recorded(name, response_format)) for name in names]
    return merge(parts, duration_ms=1700, task="transcribe", language=None)


def render(name: Format, transcript: Transcript, **options: Any) -> str:
    return OUTPUTS[name].render(transcript, JobOptions(**options))


class TestAgainstTheApi:
    """From one recorded answer come the API's own documents for the others."""

    @pytest.mark.parametrize(
        ("name", "answer"), [("json", "json_whisper"), ("text", "text_whisper")]
    )
    def test_documents_equal_the_recorded_ones(self, name: Format, answer: str) -> None:
        assert render(name, merged("verbose_default")) == RECORDED[answer]["body"]

    def test_verbose_json_keeps_what_was_measured(self) -> None:
        document = json.loads(render("verbose_json", merged("verbose_word_segment")))
        expected = json.loads(RECORDED["verbose_word_segment"]["body"])
        assert list(document) == list(expected)
        assert list(document["segments"][0]).sort() == list(expected["segments"][0]).sort()
        assert document["segments"][0]["tokens"] == expected["segments"][0]["tokens"]
        assert document["segments"][0]["avg_logprob"] == expected["segments"][0]["avg_logprob"]
        assert [w["word"] for w in document["words"]] == [w["word"] for w in expected["words"]]

    def test_granularities_choose_what_verbose_json_holds(self) -> None:
        transcript = merged("verbose_word_segment")
        words = json.loads(render("verbose_json", transcript, timestamp_granularities=["word"]))
        assert "segments" not in words
        assert "words" in words

    def test_diarized_json_equals_the_recorded_one_up_to_milliseconds(self) -> None:
        transcript = merge(
            [passage(MINUTE, recorded("diarized_2026_08", "diarized_json"))],
            duration_ms=3700,
            task="transcribe",
            language=None,
        )
        document = json.loads(render("diarized_json", transcript))
        expected = json.loads(RECORDED["diarized_2026_08"]["body"])
        expected["segments"][0]["end"] = 3.15  # the service sent 3.1499999999999995
        assert document == expected


def spoken(*texts: str, speakers: str = "", length_ms: int = 1000) -> Transcript:
    segments = [
        Segment(
            text=text,
            start_ms=index * length_ms,
            end_ms=(index + 1) * length_ms,
            speaker=speakers[index] if speakers else None,
        )
        for index, text in enumerate(texts)
    ]
    text = " ".join(texts)
    length = len(texts) * length_ms
    return Transcript(text=text, task="transcribe", duration_ms=length, segments=segments)


def talk(*turns: tuple[str, int, int, str]) -> Transcript:
    """Each turn: speaker, start and end in milliseconds, what was said."""
    segments = [Segment(text=t, start_ms=a, end_ms=b, speaker=who) for who, a, b, t in turns]
    return Transcript(text="", task="transcribe", duration_ms=9000, segments=segments)


class TestSubtitles:
    def test_srt_names_the_speaker_where_the_turn_changes(self) -> None:
        transcript = spoken("Hello.", "Still me.", "And me.", speakers="AAB", length_ms=2000)
        assert render("srt", transcript) == (
            "1\n00:00:00,000 --> 00:00:01,917\nA: Hello.\n\n"
            "2\n00:00:02,000 --> 00:00:03,917\nStill me.\n\n"
            "3\n00:00:04,000 --> 00:00:06,000\nB: And me.\n\n\n"
        )

    def test_vtt_has_voices_and_escapes_markup(self) -> None:
        transcript = spoken("a <b> & c --> d", speakers="B")
        assert render("vtt", transcript) == (
            "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n<v B>a &lt;b&gt; &amp; c --&gt; d\n\n"
        )

    def test_who_speaks_alone_is_not_called_a(self) -> None:
        transcript = spoken("Good morning.", speakers="A")
        assert "<v" not in render("vtt", transcript)
        assert "A:" not in render("srt", transcript)

    def test_an_arrow_in_speech_does_not_break_srt(self) -> None:
        body = render("srt", spoken("from a --> b"))
        assert body.count("-->") == 1
        assert "from a → b" in body

    def test_nothing_said_gives_empty_documents(self) -> None:
        transcript = spoken()
        assert render("vtt", transcript) == "WEBVTT\n\n"
        assert render("srt", transcript) == "\n"
        assert render("text", transcript) == "\n"

    def test_a_long_segment_is_cut_and_its_lines_are_balanced(self) -> None:
        text = "one two three four five six seven eight nine ten eleven twelve thirteen " * 2
        transcript = spoken(text.strip(), length_ms=12_000)
        assert [cue.lines for cue in cues(transcript, SubtitleOptions())] == [
            ("one two three four five six seven eight", "nine ten eleven twelve thirteen one two"),
            ("three four five six seven eight", "nine ten eleven twelve thirteen"),
        ]

    def test_cues_take_the_times_of_their_words(self) -> None:
        words = [
            Word(text=text, start_ms=start, end_ms=start + 400)
            for text, start in [("Hello", 100), ("there", 600), ("again", 9000)]
        ]
        segment = Segment(text="Hello, there … again!".replace(" …", ""), start_ms=0, end_ms=9500)
        transcript = Transcript(
            text="", task="transcribe", duration_ms=9500, segments=[segment], words=words
        )
        found = cues(transcript, SubtitleOptions())
        assert [(cue.start_ms, cue.lines) for cue in found] == [
            (100, ("Hello, there",)),
            (9000, ("again!",)),
        ]

    def test_text_without_spaces_is_broken_between_characters(self) -> None:
        text = "今天我们来谈谈如何把一段很长的录音自动变成带有时间的字幕文件。" * 2
        found = cues(spoken(text, length_ms=6000), SubtitleOptions())
        assert [cue.lines for cue in found] == [(text[:31], text[31:])]

    def test_a_character_keeps_its_combining_marks(self) -> None:
        words = ["n\u0303" * 10, "กำ" * 8, "か\u3099" * 9]
        options = SubtitleOptions(max_line_length=11, max_lines=4)
        found = cues(spoken(*words, length_ms=6000), options)
        assert [cue.lines for cue in found] == [
            ("n\u0303" * 5, "n\u0303" * 5),
            ("กำ" * 4, "กำ" * 4),
            ("か\u3099" * 5, "か\u3099" * 4),
        ]

    def test_parts_of_a_broken_word_share_its_time(self) -> None:
        found = cues(spoken("字" * 40, length_ms=8000), SubtitleOptions(max_line_length=10))
        assert [(cue.start_ms, cue.end_ms, cue.lines) for cue in found] == [
            (0, 3917, ("字" * 10, "字" * 10)),
            (4000, 8000, ("字" * 10, "字" * 10)),
        ]

    def test_two_who_talk_at_once_are_on_the_screen_together(self) -> None:
        transcript = talk(
            ("A", 1000, 4000, "Let me explain this first."),
            ("B", 1001, 3000, "Please let me go first."),
            ("A", 4000, 5000, "Thank you."),
        )
        assert render("vtt", transcript) == (
            "WEBVTT\n\n"
            "00:00:01.000 --> 00:00:03.917\n<v A>Let me explain this first.\n\n"
            "00:00:01.001 --> 00:00:03.000\n<v B>Please let me go first.\n\n"
            "00:00:04.000 --> 00:00:05.000\n<v A>Thank you.\n\n"
        )

    def test_a_cue_that_needs_longer_to_read_makes_way_for_another_speaker(self) -> None:
        transcript = talk(
            ("A", 0, 1000, "All of this was said within a second."), ("B", 1200, 3000, "Was it?")
        )
        assert [(c.start_ms, c.end_ms) for c in cues(transcript, SubtitleOptions())] == [
            (0, 1117),
            (1200, 3000),
        ]

    def test_a_short_answer_stays_for_the_least_duration(self) -> None:
        transcript = talk(("A", 0, 200, "Yes."), ("B", 250, 3000, "Then we begin."))
        first, _ = cues(transcript, SubtitleOptions(min_duration_ms=800))
        assert (first.start_ms, first.end_ms) == (0, 800)

    def test_a_gap_takes_half_of_a_cue_at_most(self) -> None:
        first, _ = cues(spoken("One", "two", length_ms=60), SubtitleOptions())
        assert (first.start_ms, first.end_ms) == (0, 30)

    def test_a_name_in_srt_counts_against_the_line(self) -> None:
        transcript = spoken("one two three four five six", speakers="B", length_ms=3000)
        assert [cue.lines for cue in cues(transcript, SubtitleOptions(max_line_length=14))] == [
            ("one two three", "four five six")
        ]
        assert render("srt", transcript, subtitles={"max_line_length": 14}) == (
            "1\n00:00:00,000 --> 00:00:01,962\nB: one two\nthree four\n\n"
            "2\n00:00:02,045 --> 00:00:03,000\nfive six\n\n\n"
        )

    @pytest.mark.parametrize(
        ("label", "in_srt", "in_vtt"),
        [
            ("Ann\r\n\n00:00:09.000", "Ann 00:00:09.000: ", "<v Ann 00:00:09.000>"),
            ("1 --> 2", "1 → 2: ", "<v 1 --&gt; 2>"),
            ("<b>&", "<b>&: ", "<v &lt;b&gt;&amp;>"),
            (" \n", "", ""),
        ],
    )
    def test_a_name_cannot_break_a_document(self, label: str, in_srt: str, in_vtt: str) -> None:
        transcript = talk((label, 0, 2000, "Hi."))
        srt, vtt = (render("srt", transcript), render("vtt", transcript))
        assert srt == f"1\n00:00:00,000 --> 00:00:02,000\n{in_srt}Hi.\n\n\n"
        assert vtt == f"WEBVTT\n\n00:00:00.000 --> 00:00:02.000\n{in_vtt}Hi.\n\n"

    @given(
        st.lists(
            st.tuples(
                st.text("abc é字\u0301-", min_size=1, max_size=120).filter(str.strip),
                st.integers(0, 3000),
                st.integers(0, 9000),
                st.sampled_from(["A", "B", None]),
            ),
            max_size=12,
        ),
        st.integers(10, 60),
        st.integers(1, 3),
    )
    def test_all_characters_stay_in_order_and_no_speakers_cues_overlap(
        self, turns: list[tuple[str, int, int, str | None]], width: int, lines: int
    ) -> None:
        ends: dict[str | None, int] = {}
        segments = []
        for text, pause, length, speaker in turns:
            start = ends.get(speaker, 0) + pause
            ends[speaker] = start + length
            segments.append(
                Segment(text=text.strip(), start_ms=start, end_ms=ends[speaker], speaker=speaker)
            )
        segments.sort(key=lambda segment: segment.start_ms)
        transcript = Transcript(text="", task="transcribe", duration_ms=0, segments=segments)
        options = SubtitleOptions(max_line_length=width, max_lines=lines)
        found = cues(transcript, options)
        assert [cue.start_ms for cue in found] == sorted(cue.start_ms for cue in found)
        assert all(cue.end_ms > cue.start_ms for cue in found)
        assert all(len(cue.lines) <= lines for cue in found)
        for line in itertools.chain.from_iterable(cue.lines for cue in found):
            assert sum(not unicodedata.combining(character) for character in line) <= width
        for speaker in ("A", "B", None):
            own = [cue for cue in found if cue.speaker == speaker]
            said = [word for s in segments if s.speaker == speaker for word in s.text.split()]
            shown = [word for cue in own for line in cue.lines for word in line.split()]
            assert shown == said or any(len(word) > width for word in said)
            assert "".join(shown) == "".join(said)
            for cue, following in itertools.pairwise(own):
                assert cue.end_ms <= max(following.start_ms, cue.start_ms + 1)


class TestMerge:
    def test_chunks_are_shifted_to_their_place(self) -> None:
        answer = recorded("verbose_word_segment", "verbose_json")
        transcript = merge(
            [passage(MINUTE, answer), passage(MINUTE.moved(60_000), answer)],
            duration_ms=120_000,
            task="transcribe",
            language=None,
        )
        assert [s.start_ms for s in transcript.segments or []] == [0, 60_000]
        assert (transcript.words or [])[6].start_ms == 60_000
        assert transcript.text == "Hello world, this is a test. Hello world, this is a test."
        assert transcript.language == "en"
        assert transcript.usage is not None
        assert transcript.usage.model_dump() == {"type": "duration", "seconds": 4}

    def test_channels_are_interleaved_each_a_speaker(self) -> None:
        def answer(text: str, start: float) -> Any:
            segment = {"id": 0, "start": start, "end": start + 1, "text": f" {text}"}
            body = {"language": "english", "duration": 9, "text": text, "segments": [segment]}
            return parse_answer("verbose_json", body)

        transcript = merge(
            [
                passage(MINUTE, answer("I am late.", 5), channel=0),
                passage(MINUTE, answer("Hi.", 1), channel=1),
            ],
            duration_ms=9000,
            task="transcribe",
            language=None,
        )
        assert transcript.text == "Hi. I am late."
        assert transcript.speakers == ["B", "A"]

    def test_a_text_without_times_has_no_subtitles_and_is_kept(self) -> None:
        transcript = merged("json_gpt_transcribe", response_format="json")
        assert transcript.segments is None
        assert transcript.language == "en"
        assert transcript.text == "The quick brown fox jumps over the lazy dog."

    def test_text_that_came_without_its_segments_is_not_lost(self) -> None:
        body = {"language": "english", "duration": 2.0, "text": "Hello."}
        transcript = merge(
            [passage(MINUTE, parse_answer("verbose_json", body))],
            duration_ms=2000,
            task="transcribe",
            language=None,
        )
        assert [s.text for s in transcript.segments or []] == ["Hello."]

    def test_mixed_kinds_of_usage_are_not_added(self) -> None:
        seconds = recorded("json_whisper", "json").usage
        tokens = recorded("json_mini_tokens", "json").usage
        assert add_usage([seconds, tokens]) is None
        total = add_usage([tokens, tokens])
        assert total is not None
        assert total.model_dump()["input_token_details"] == {"audio_tokens": 34, "text_tokens": 0}


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "00:00:00.000"),
        (59_999, "00:00:59.999"),
        (60_000, "00:01:00.000"),
        (3_723_004, "01:02:03.004"),
        (360_000_000, "100:00:00.000"),
    ],
)
def test_timestamps(ms: int, text: str) -> None:
    assert timestamp(ms) == text
