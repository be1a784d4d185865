"""What a recognizer found as the API would answer it: keys, texts, counts, subtitles."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dropscribe.api import (
    Logprob,
    Request,
    TranscriptionRequest,
    TranscriptionSegment,
    TranscriptionWord,
    TranslationRequest,
    wire,
)
from dropscribe.engines import Recognized
from dropscribe.models import Model, named
from dropscribe.server.answers import Heard, answer, done, latest, turn_events
from dropscribe.transcript import Segment
from tests.api_server import RECORDED

Asked = dict[str, Any]


def part(start: float, *words: str) -> Recognized:
    """A stretch of speech of which each word takes half a second."""
    tokens = [f" {word}" for word in words]
    return Recognized(
        segment=TranscriptionSegment(
            id=7,
            seek=round(start * 100),
            start=start,
            end=start + len(words) / 2,
            text="".join(tokens),
            tokens=[1] * len(words),
            temperature=0.0,
            avg_logprob=-0.5,
            compression_ratio=0.8,
            no_speech_prob=0.0,
        ),
        words=[
            TranscriptionWord(word=word, start=start + at / 2, end=start + (at + 1) / 2)
            for at, word in enumerate(words)
        ],
        logprobs=[
            Logprob(token=token, logprob=-0.5, bytes=list(token.encode())) for token in tokens
        ],
    )


HELLO = [(0, part(0.25, "Grüße", "all")), (0, part(1.5, "hello", "you"))]
CUES = (
    "00:00:00.250 --> 00:00:01.417\nGrüße all",
    "00:00:01.500 --> 00:00:02.500\nhello you",
)
TALK = [(1, part(0.5, "yes")), (0, part(1.0, "no")), (1, part(2.0, "well"))]


def model(name: str) -> Model:
    found = named(name)
    assert found
    return found


def heard(
    name: str = "whisper-1",
    parts: list[tuple[int, Recognized]] = HELLO,
    kind: type[Request] = TranscriptionRequest,
    audio_ms: int = 2601,
    spoken: str | None = "en",
    **asked: Any,
) -> Heard:
    request = kind.model_validate({"model": name, **asked})
    return Heard(request, model(name), audio_ms, spoken, list(parts))


def answered(given: Heard) -> dict[str, Any]:
    found = answer(given)
    assert not isinstance(found, str)
    parsed: dict[str, Any] = json.loads(wire(found))
    return parsed


def shape(value: Any) -> Any:
    """Keys in their order and kinds of values; of lists those of the first item."""
    if isinstance(value, dict):
        return [(key, shape(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return type(value)


WORDS: Asked = {"response_format": "verbose_json", "timestamp_granularities": ["word"]}
BOTH: Asked = {"response_format": "verbose_json", "timestamp_granularities": ["word", "segment"]}


class TestShape:
    @pytest.mark.parametrize(
        ("recording", "name", "asked"),
        [
            ("json_whisper", "whisper-1", {}),
            ("verbose_default", "whisper-1", {"response_format": "verbose_json"}),
            ("verbose_word", "whisper-1", WORDS),
            ("verbose_word_segment", "whisper-1", BOTH),
            ("json_mini_tokens", "gpt-4o-mini-transcribe", {}),
            ("json_logprobs", "gpt-4o-transcribe", {"include": ["logprobs"]}),
            (
                "diarized_2026_08",
                *("gpt-4o-transcribe-diarize", {"response_format": "diarized_json"}),
            ),
            ("json_gpt_transcribe", "gpt-transcribe", {}),
        ],
    )
    def test_keys_and_kinds_are_those_of_the_recorded_answer(
        self, recording: str, name: str, asked: dict[str, Any]
    ) -> None:
        recorded = json.loads(RECORDED[recording]["body"])
        assert shape(answered(heard(name, **asked))) == shape(recorded)

    @pytest.mark.parametrize(
        ("recording", "name", "asked"),
        [
            ("sse_text", "gpt-4o-mini-transcribe", {}),
            ("sse_logprobs", "gpt-4o-mini-transcribe", {"include": ["logprobs"]}),
            ("sse_diarized", "gpt-4o-transcribe-diarize", {"response_format": "diarized_json"}),
        ],
    )
    def test_keys_of_events_are_those_of_the_recorded_stream(
        self, recording: str, name: str, asked: dict[str, Any]
    ) -> None:
        *_, last, end = (line for line in RECORDED[recording]["body"].split("\r\n\r\n") if line)
        first = RECORDED[recording]["body"].split("\r\n\r\n")[0]
        given = heard(name, **asked)
        events = [json.loads(wire(event)) for event in (latest(given), done(given))]
        assert [shape(event) for event in events] == [
            shape(json.loads(line.removeprefix("data: "))) for line in (first, last)
        ]
        assert end == "data: [DONE]"

    def test_silence_is_answered_as_recorded(self) -> None:
        given = heard("gpt-transcribe", [], audio_ms=1500, include=["logprobs"])
        answer_of_silence = answer(given)
        assert not isinstance(answer_of_silence, str)
        assert wire(answer_of_silence) == RECORDED["json_gpt_transcribe_silence"]["body"]

    @pytest.mark.parametrize(
        ("asked", "keys"),
        [
            ({}, ["text"]),
            (
                {"response_format": "verbose_json"},
                ["task", "language", "duration", "text", "segments"],
            ),
        ],
    )
    def test_a_translation_has_neither_words_nor_usage(
        self, asked: dict[str, Any], keys: list[str]
    ) -> None:
        found = answered(heard(kind=TranslationRequest, **asked))
        assert list(found) == keys
        assert found.get("task", "translate") == "translate"
        assert found.get("language", "english") == "english"


class TestContent:
    def test_segments_are_numbered_and_texts_begin_without_a_space(self) -> None:
        found = answered(heard(**BOTH))
        assert found["text"] == "Grüße all hello you"
        assert [segment["id"] for segment in found["segments"]] == [0, 1]
        assert [segment["text"] for segment in found["segments"]] == [" Grüße all", " hello you"]
        assert found["words"][0] == {"word": "Grüße", "start": 0.25, "end": 0.75}
        assert (found["language"], found["duration"]) == ("english", 2.601)

    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_tokens_joined_are_the_text(self, count: int) -> None:
        found = answered(heard("gpt-4o-transcribe", HELLO[:count], include=["logprobs"]))
        tokens = found.get("logprobs", [])
        assert "".join(token["token"] for token in tokens) == found["text"]
        assert b"".join(bytes(token["bytes"]) for token in tokens).decode() == found["text"]
        assert ("logprobs" in found) == bool(count)

    def test_deltas_joined_are_the_text_and_their_tokens_those_of_the_end(self) -> None:
        given = heard("gpt-4o-transcribe", [], include=["logprobs"])
        events = []
        for found in HELLO:
            given.parts.append(found)
            events.append(json.loads(wire(latest(given))))
        end = json.loads(wire(done(given)))
        assert [event["delta"] for event in events] == ["Grüße all", " hello you"]
        assert "".join(event["delta"] for event in events) == end["text"]
        assert [token for event in events for token in event["logprobs"]] == end["logprobs"]

    def test_log_probabilities_come_only_when_asked_for(self) -> None:
        given = heard("gpt-4o-transcribe")
        for found in (latest(given), done(given)):
            assert "logprobs" not in json.loads(wire(found))

    def test_speakers_are_named_in_the_order_of_first_speech(self) -> None:
        asked: Asked = {"response_format": "diarized_json"}
        found = answered(heard("gpt-4o-transcribe-diarize", TALK, **asked))
        assert [(turn["id"], turn["speaker"], turn["text"]) for turn in found["segments"]] == [
            *(("seg_0", "A", " yes"), ("seg_1", "B", " no"), ("seg_2", "A", " well"))
        ]
        assert found["text"] == "yes no well"

    @pytest.mark.parametrize("words", [("yes", "no"), ("你好", "再见")])
    def test_speakers_told_by_voice_have_texts_that_begin_as_the_engines_do(
        self, words: tuple[str, str]
    ) -> None:
        space = "" if words[0] == "你好" else " "
        asked: Asked = {"response_format": "diarized_json"}
        given = heard("gpt-4o-transcribe-diarize", [(0, part(0.5, *words))], **asked)
        if not space:
            segment = given.parts[0][1].segment.model_copy(update={"text": "".join(words)})
            given.parts[0] = (0, given.parts[0][1].model_copy(update={"segment": segment}))
        given.said = [
            Segment(text=words[0], start_ms=500, end_ms=1000, speaker="Ann"),
            Segment(text=words[1], start_ms=1000, end_ms=1500, speaker="A"),
        ]
        found = answered(given)
        assert [(turn["speaker"], turn["text"]) for turn in found["segments"]] == [
            ("Ann", f"{space}{words[0]}"),
            ("A", f"{space}{words[1]}"),
        ]
        assert "".join(turn["text"] for turn in found["segments"]).strip() == found["text"]
        assert [json.loads(wire(event)) for event in turn_events(given)] == found["segments"]

    @pytest.mark.parametrize(
        ("language", "asked", "named"),
        [("de", None, "german"), (None, "de", "german"), (None, None, ""), ("xx", None, "xx")],
    )
    def test_the_language_is_what_was_heard_else_what_was_asked_for(
        self, language: str | None, asked: str | None, named: str
    ) -> None:
        given = heard(parts=[], spoken=language, **{**WORDS, "language": asked})
        assert answered(given)["language"] == named

    def test_segments_of_a_stream_are_those_of_the_whole(self) -> None:
        asked: Asked = {"response_format": "diarized_json"}
        given = heard("gpt-4o-transcribe-diarize", [], **asked)
        events = []
        for turn in TALK:
            given.parts.append(turn)
            events.append(json.loads(wire(latest(given))))
        assert events == answered(given)["segments"]

    @pytest.mark.parametrize(
        ("name", "audio_ms", "usage"),
        [
            ("whisper-1", 2000, {"type": "duration", "seconds": 2}),
            ("gpt-transcribe", 2001, {"type": "duration", "seconds": 3}),
            (
                "gpt-4o-transcribe",
                2001,
                {
                    **{"type": "tokens", "total_tokens": 25, "input_tokens": 21},
                    "input_token_details": {"text_tokens": 0, "audio_tokens": 21},
                    "output_tokens": 4,
                },
            ),
        ],
    )
    def test_usage_is_counted_as_the_model_is_billed(
        self, name: str, audio_ms: int, usage: dict[str, Any]
    ) -> None:
        given = heard(name, audio_ms=audio_ms)
        assert answered(given)["usage"] == json.loads(wire(done(given)))["usage"] == usage

    @pytest.mark.parametrize("kind", [TranscriptionRequest, TranslationRequest])
    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ("text", "Grüße all hello you\n"),
            (
                "srt",
                f"1\n{CUES[0]}\n\n2\n{CUES[1]}\n\n\n".replace(".", ","),
            ),
            (
                "vtt",
                f"WEBVTT\n\n{CUES[0]}\n\n{CUES[1]}\n\n",
            ),
        ],
    )
    def test_text_and_subtitles_are_written_as_recorded(
        self, kind: type[Request], wanted: str, expected: str
    ) -> None:
        assert answer(heard(kind=kind, response_format=wanted)) == expected

    @pytest.mark.parametrize(("wanted", "expected"), [("text", "\n"), ("vtt", "WEBVTT\n\n")])
    def test_of_silence_there_is_an_empty_text(self, wanted: str, expected: str) -> None:
        assert answer(heard(parts=[], response_format=wanted)) == expected
