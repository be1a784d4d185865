"""The six formats, whole documents compared; what is unsafe to write is made safe."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropscribe.cues import cues
from dropscribe.formats import OUTPUTS
from dropscribe.job import Chunk
from dropscribe.options import Format, JobOptions, SubtitleOptions
from dropscribe.timestamps import timestamp
from dropscribe.transcript import Segment, Transcript, Word, add_usage, merge, parse_answer
from tests.api_server import RECORDED


def chunk(index: int = 0, start_ms: int = 0, channel: int | None = None) -> Chunk:
    return Chunk(
        index=index,
        key="k",
        sha256="s",
        size=1,
        start_ms=start_ms,
        duration_ms=60_000,
        channel=channel,
    )


def recorded(name: str, response_format: str) -> Any:
    return parse_answer(response_format, json.loads(RECORDED[name]["body"]))


def merged(*names: str, response_format: str = "verbose_json") -> Transcript:
    parts = [(chunk(), recorded(name, response_format)) for name in names]
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
            [(chunk(), recorded("diarized_2026_08", "diarized_json"))],
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


class TestSubtitles:
    def test_srt_names_the_speaker_where_the_turn_changes(self) -> None:
        transcript = spoken("Hello.", "Still me.", "And me.", speakers="AAB", length_ms=2000)
        assert render("srt", transcript) == (
            "1\n00:00:00,000 --> 00:00:01,917\nA: Hello.\n\n"
            "2\n00:00:02,000 --> 00:00:03,917\nStill me.\n\n"
            "3\n00:00:04,000 --> 00:00:06,000\nB: And me.\n\n\n"
        )

    def test_vtt_has_voices_and_escapes_markup(self) -> None:
        transcript = spoken("a <b> & c --> d", speakers="A")
        assert render("vtt", transcript) == (
            "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n<v A>a &lt;b&gt; &amp; c --&gt; d\n\n"
        )

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

    @given(
        st.lists(
            st.tuples(
                st.text("abc é字-", min_size=1, max_size=120).filter(str.strip),
                st.integers(0, 3000),
                st.integers(0, 9000),
            ),
            max_size=12,
        ),
        st.integers(10, 60),
        st.integers(1, 3),
    )
    def test_all_words_stay_in_order_and_no_cue_overlaps(
        self, parts: list[tuple[str, int, int]], width: int, lines: int
    ) -> None:
        at, segments = 0, []
        for text, gap, length in parts:
            start, at = at + gap, at + gap + length
            segments.append(Segment(text=text.strip(), start_ms=start, end_ms=at))
        transcript = Transcript(text="", task="transcribe", duration_ms=at, segments=segments)
        options = SubtitleOptions(max_line_length=width, max_lines=lines)
        found = cues(transcript, options)
        words = [word for segment in segments for word in segment.text.split()]
        assert [word for cue in found for line in cue.lines for word in line.split()] == words
        for cue in found:
            assert cue.end_ms > cue.start_ms
            assert len(cue.lines) <= lines or any(len(word) > width for word in words)
            assert all(len(line) <= width or " " not in line for line in cue.lines)
        for cue, following in itertools.pairwise(found):
            assert cue.end_ms <= max(following.start_ms, cue.start_ms + 1)


class TestMerge:
    def test_chunks_are_shifted_to_their_place(self) -> None:
        answer = recorded("verbose_word_segment", "verbose_json")
        transcript = merge(
            [(chunk(0), answer), (chunk(1, 60_000), answer)],
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
                (chunk(0, channel=0), answer("I am late.", 5)),
                (chunk(1, channel=1), answer("Hi.", 1)),
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
            [(chunk(), parse_answer("verbose_json", body))],
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
