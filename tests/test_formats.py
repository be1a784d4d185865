"""The six formats, whole documents compared; what is unsafe to write is made safe."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import audio
from pydantic import BaseModel

from dropscribe.api import Format, TranscriptionVerbose, wire
from dropscribe.formats import OUTPUTS
from dropscribe.formats.lines import written
from dropscribe.formats.srt import srt_document
from dropscribe.formats.vtt import vtt_document
from dropscribe.merge import merge
from dropscribe.options import JobOptions
from dropscribe.passage import parse_answer, passage
from dropscribe.spans import Span
from dropscribe.timestamps import timestamp
from dropscribe.transcript import Segment, Transcript, Word, add_usage
from tests.api_server import RECORDED
from tests.hostile import cue

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
    """Documents of cues. How these are cut: test_cues.py; who can read them: test_judges.py."""

    TURNS = (
        cue(0, 1917, "Hello.", "Who is there?", speaker="A"),
        cue(2000, 3917, "It is me.", speaker="Bob"),
    )

    def test_srt_is_numbered_and_says_who_speaks_as_the_cue_does(self) -> None:
        turns = [replace(self.TURNS[0], named=("A: Hello.", "Who is there?")), self.TURNS[1]]
        assert srt_document(turns) == (
            "1\n00:00:00,000 --> 00:00:01,917\nA: Hello.\nWho is there?\n\n"
            "2\n00:00:02,000 --> 00:00:03,917\nIt is me.\n\n\n"
        )

    def test_vtt_has_a_note_and_voices(self) -> None:
        assert vtt_document(self.TURNS, ["Made by hand", "for -->\n\nnobody"]) == (
            "WEBVTT\n\n"
            "NOTE\nMade by hand\nfor --&gt; nobody\n\n"
            "00:00:00.000 --> 00:00:01.917\n<v A>Hello.\nWho is there?\n\n"
            "00:00:02.000 --> 00:00:03.917\n<v Bob>It is me.\n\n"
        )

    @pytest.mark.parametrize(
        ("known", "lines"),
        [
            ({}, ""),
            ({"language": "en", "timing": "model"}, "Language: en\n"),
            ({"timing": "estimated"}, "Timing: estimated\n"),
            ({"timing": "model", "word_timing": "aligned"}, "Timing: aligned\n"),
            ({"timing": "estimated", "word_timing": "model"}, ""),
        ],
    )
    def test_the_note_says_where_a_document_comes_from(
        self, known: dict[str, str], lines: str
    ) -> None:
        transcript = spoken("Good morning.").model_copy(update=known)
        assert render("vtt", transcript).startswith(
            f"WEBVTT\n\nNOTE\nTranscribed by dropscribe\n{lines}\n00:00:00.000 --> "
        )

    def test_who_speaks_alone_is_not_called_a(self) -> None:
        transcript = spoken("Good morning.", speakers="A")
        assert "<v" not in render("vtt", transcript)
        assert "A:" not in render("srt", transcript)

    def test_who_has_a_name_is_called_by_it(self) -> None:
        transcript = talk(("Ann\r\n\nLee", 0, 2000, "Hi."))
        assert "\nAnn Lee: Hi.\n" in render("srt", transcript)
        assert "\n<v Ann Lee>Hi.\n" in render("vtt", transcript)

    def test_nothing_said_gives_empty_documents(self) -> None:
        transcript = spoken()
        assert render("vtt", transcript) == "WEBVTT\n\nNOTE\nTranscribed by dropscribe\n\n"
        assert render("srt", transcript) == "\n"
        assert render("text", transcript) == "\n"

    @pytest.mark.parametrize(
        ("text", "in_srt", "in_vtt"),
        [
            ("a <b> & c --> d", "a ‹b› & c → d", "a &lt;b&gt; &amp; c --&gt; d"),  # noqa: RUF001
            ("1 < 2, 3 > 2, <3", "1 < 2, 3 > 2, <3", "1 &lt; 2, 3 &gt; 2, &lt;3"),
            (r"{\an8}so {it} goes", r"(\an8)so (it) goes", r"{\an8}so {it} goes"),
            ("\ufeffone\x00 \n\ntwo\u2028three\x1b", "one two three", "one two three"),
            ("half \ud83d", "half \ufffd", "half \ufffd"),
            ("no\u00a0break, e\u0301, می\u200cخ", *["no\u00a0break, e\u0301, می\u200cخ"] * 2),
        ],
    )
    def test_what_would_be_read_otherwise_is_written_otherwise(
        self, text: str, in_srt: str, in_vtt: str
    ) -> None:
        cues = [cue(0, 1000, text)]
        assert srt_document(cues) == f"1\n00:00:00,000 --> 00:00:01,000\n{in_srt}\n\n\n"
        assert vtt_document(cues) == f"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{in_vtt}\n\n"


class TestRightToLeft:
    @pytest.mark.parametrize(
        "line",
        [
            "قال المدير إن Windows جيد",
            "Windows نظام جيد",
            "2024 كان عاما صعبا",
            "مرحبا بكم.",
            "שלום (סוף סוף)",
            "Dr. Cohen אמר: כן",
        ],
    )
    def test_a_line_that_has_another_order_too_is_embedded(self, line: str) -> None:
        assert written([line], [line]) == f"\u202b{line}\u202c"

    @pytest.mark.parametrize(
        "line",
        [
            "مرحبا بكم",
            "في عام 2024 كان العدد كبيرا",
            "هل أنت هنا؟",
            "He said שלום and left.",
            "Good morning.",
            "今天我们来谈谈。",
            "",
        ],
    )
    def test_a_line_that_is_in_order_by_itself_has_no_marks(self, line: str) -> None:
        assert written([line], [line]) == line

    def test_the_lines_of_a_cue_have_one_direction_whatever_each_holds(self) -> None:
        lines = ["قال المدير إن", "Windows 11"]
        assert written(lines, lines) == "قال المدير إن\n\u202bWindows 11\u202c"

    def test_a_name_of_another_script_does_not_turn_what_is_said(self) -> None:
        assert written(["Ann Mary Lee: نعم"], ["نعم"]) == "\u202bAnn Mary Lee: نعم\u202c"
        assert written(["محمد: yes"], ["yes"]) == "محمد: yes"


def at_times(*parts: tuple[int, str], text: str | None = None) -> Transcript:
    """Segments of one speaker, each as many seconds long as it has words, from its start in s."""
    segments = [
        Segment(text=t, start_ms=at * 1000, end_ms=(at + len(t.split())) * 1000) for at, t in parts
    ]
    whole = " ".join(t for _, t in parts) if text is None else text
    return Transcript(text=whole, task="transcribe", duration_ms=0, segments=segments)


class TestParagraphs:
    @pytest.mark.parametrize(
        ("parts", "paragraphs"),
        [
            ([(0, "One two."), (4, "Three.")], ["One two.", "Three."]),
            ([(0, "One two."), (3, "Three.")], ["One two. Three."]),
            ([(0, "One two,"), (9, "three.")], ["One two, three."]),
            ([(0, "one two"), (4, "three")], ["one two", "three"]),
            ([(0, "Thank you, Dr."), (9, "Lee.")], ["Thank you, Dr. Lee."]),
            ([(0, "He left."), (9, '"Why?"'), (19, "(No.)")], ["He left.", '"Why?"', "(No.)"]),
            ([(0, "你好。"), (9, "再见。")], ["你好。", "再见。"]),
        ],
    )
    def test_a_long_pause_after_a_sentence_ends_one(
        self, parts: list[tuple[int, str]], paragraphs: list[str]
    ) -> None:
        assert render("text", at_times(*parts)) == "\n\n".join(paragraphs) + "\n"

    def test_in_a_long_one_a_short_pause_is_enough(self) -> None:
        long = " ".join(["word"] * 170) + "."
        parts = [(0, long), (171, "Next one."), (174, "Last.")]
        assert render("text", at_times(*parts)) == f"{long}\n\nNext one. Last.\n"

    def test_pauses_are_those_of_words_where_segments_have_none(self) -> None:
        words = [
            Word(text=text, start_ms=at, end_ms=at + 400)
            for text, at in [("One", 0), ("two", 500), ("Three", 5000)]
        ]
        segments = [
            Segment(text="One two.", start_ms=0, end_ms=5000),
            Segment(text="«Three»", start_ms=5000, end_ms=6000),
        ]
        whole = {"task": "transcribe", "duration_ms": 6000, "segments": segments, "words": words}
        transcript = Transcript.model_validate({"text": "One two. «Three»", **whole})
        assert render("text", transcript) == "One two.\n\n«Three»\n"

    def test_another_speaker_begins_one(self) -> None:
        transcript = spoken("Hello.", "Still me", "and me.", "Yes.", speakers="AABA")
        assert render("text", transcript) == "Hello. Still me\n\nand me.\n\nYes.\n"

    def test_an_unknown_speaker_begins_none(self) -> None:
        segments = [
            Segment(text=text, start_ms=at * 1000, end_ms=at * 1000 + 1000, speaker=speaker)
            for at, (text, speaker) in enumerate([("One.", "A"), ("Hm.", None), ("Two.", "A")])
        ]
        whole = {"text": "One. Hm. Two.", "task": "transcribe", "duration_ms": 3000}
        transcript = Transcript.model_validate({**whole, "segments": segments})
        assert render("text", transcript) == "One. Hm. Two.\n"

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("One two. And more. Three.", "One two. And more.\n\nThree.\n"),
            ("One two. xThree.", "One two. xThree.\n"),
            ("Something else.", "Something else.\n"),
            ("", "\n"),
        ],
    )
    def test_a_text_that_says_other_than_its_segments_is_kept(
        self, text: str, expected: str
    ) -> None:
        assert render("text", at_times((0, "One two."), (9, "Three"), text=text)) == expected

    def test_a_text_without_times_is_one_paragraph_on_one_line(self) -> None:
        transcript = Transcript(text="One.\nTwo.\r\n\n Three.", task="transcribe", duration_ms=0)
        assert render("text", transcript) == "One. Two. Three.\n"

    @given(
        st.lists(
            st.tuples(
                st.lists(st.text('ab.?字é"-(', min_size=1, max_size=6), min_size=1, max_size=5),
                st.integers(0, 4000),
                st.integers(0, 4000),
                st.sampled_from(["A", "B", None]),
            ),
            max_size=12,
        ),
        st.none() | st.text("ab.?字é \n", max_size=40),
    )
    def test_nothing_but_white_space_is_changed(
        self, turns: list[tuple[list[str], int, int, str | None]], other: str | None
    ) -> None:
        segments, at_ms = [], 0
        for said, pause_ms, length_ms, speaker in turns:
            at_ms += pause_ms
            segments.append(Segment(" ".join(said), at_ms, at_ms + length_ms, speaker))
            at_ms += length_ms
        whole = " ".join(segment.text for segment in segments) if other is None else other
        fields = {"text": whole, "task": "transcribe", "duration_ms": at_ms}
        document = render("text", Transcript.model_validate({**fields, "segments": segments}))
        assert "".join(document.split()) == "".join(whole.split())
        if "字" not in whole:
            assert document.split() == whole.split()
        assert document.endswith("\n")
        assert "\n\n\n" not in document


class TestSdk:
    """The official SDK's own types, taken at their word: nothing missing, nothing of another."""

    WHOLE = merged("verbose_word_segment")

    @pytest.mark.parametrize(
        ("name", "kind"),
        [("json", audio.Transcription), ("verbose_json", audio.TranscriptionVerbose)],
    )
    def test_documents_are_valid(self, name: Format, kind: type[BaseModel]) -> None:
        document = render(name, self.WHOLE)
        loaded = kind.model_validate_json(document, strict=True)
        assert not loaded.model_extra or list(loaded.model_extra) == ["task"]
        given = json.loads(document)
        assert json.loads(loaded.model_dump_json(exclude_unset=True)) == given

    def test_a_diarized_document_is_valid(self) -> None:
        answer = recorded("diarized_2026_08", "diarized_json")
        whole = merge([passage(MINUTE, answer)], duration_ms=3700, task="transcribe", language=None)
        loaded = audio.TranscriptionDiarized.model_validate_json(
            render("diarized_json", whole), strict=True
        )
        assert not loaded.model_extra
        assert loaded.segments

    def test_verbose_json_of_a_text_alone_is_valid(self) -> None:
        whole = Transcript(text="Hello.", task="transcribe", duration_ms=1234)
        loaded = audio.TranscriptionVerbose.model_validate_json(
            render("verbose_json", whole), strict=True
        )
        assert (loaded.language, loaded.duration, loaded.words) == ("", 1.234, None)

    def test_words_and_segments_are_written_as_the_api_object_would_be(self) -> None:
        document = render("verbose_json", self.WHOLE)
        assert wire(TranscriptionVerbose.model_validate_json(document)) == document

    def test_what_was_not_measured_is_left_out(self) -> None:
        measured = {"avg_logprob": None, "temperature": 0.0}
        segment = Segment("Hi.", 0, 900, measured=measured)
        whole = Transcript(text="Hi.", task="transcribe", duration_ms=900, segments=[segment])
        document = json.loads(render("verbose_json", whole))
        assert document == {
            **{"task": "transcribe", "language": "", "duration": 0.9, "text": "Hi."},
            "segments": [{"id": 0, "start": 0.0, "end": 0.9, "text": " Hi.", "temperature": 0.0}],
        }


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
        assert (transcript.text, transcript.segments) == ("Hello.", None)

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
