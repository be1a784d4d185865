"""`dropscribe serve --engine whisper` as a process, with a tiny model that knows a few words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from click.testing import CliRunner

from dropscribe.cli import main
from tests.conftest import DATA, ROOT
from tests.espeak import RATE_HZ, say
from tests.patience import PATIENCE_S, until
from tests.serving import (
    KEY,
    Process,
    Server,
    events,
    pause,
    refused,
    served,
    silence,
    wav,
)

PACKAGE = ROOT / "layers" / "dropscribe"
MODEL = DATA / "tiny-whisper"
ENGLISH, GERMAN = "en-us+f4", "de+f4"
"""Voices that the model did not learn from."""
MAN = "en+m7"
TALK = ("three seven hello garden", "open water nine", "two two zero tomorrow")
WORDS = [word for sentence in TALK for word in sentence.split()]
PAUSE_S = 2.0
Form = dict[str, Any]


def said(*sentences: str, voice: str = ENGLISH) -> bytes:
    """Samples of sentences, with a pause around each."""
    pause = silence(PAUSE_S)
    return pause + b"".join(say(text, voice).samples.tobytes() + pause for text in sentences)


def words(text: str) -> list[str]:
    return [word.strip(".,!?").lower() for word in text.split()]


TALKING = wav(said(*TALK))
TALK_S = len(TALKING) // (2 * RATE_HZ)
COUNTING = wav(said("eins zwei drei", "sieben acht", voice=GERMAN))
QUIET = wav(silence(2))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, ffmpeg_on_path: None) -> Iterator[Server]:
    arguments = ("--engine", "whisper", "--model", str(MODEL))
    folder = tmp_path_factory.mktemp("server")
    with closing(Server(folder, *arguments, DROPSCRIBE_API_KEYS=KEY)) as running:
        yield running


@pytest.fixture(scope="module")
def sdk(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as client:
        yield client


class TestStart:
    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("--engine", "whisper"), "--engine whisper needs --model: a folder with a Whisper"),
            (("--model", str(MODEL)), "--model is for engine whisper"),
        ],
    )
    def test_engine_and_model_have_to_fit(self, arguments: tuple[str, ...], reason: str) -> None:
        ended = CliRunner().invoke(main, ["serve", *arguments])
        assert ended.exit_code == 2
        assert reason in ended.output

    def test_without_a_model_it_ends_with_how_to_get_one(self) -> None:
        asked = ("--engine", "whisper", "--model", "no such!", "--concurrency", "2", "--port", "0")
        ended = served(*asked, HF_HUB_OFFLINE="1")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "Error: model `no such!` is not here (" in ended.stderr
        assert "ct2-transformers-converter" in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_a_missing_package_is_told_with_the_extra_that_brings_it(self, tmp_path: Path) -> None:
        broken = "raise ModuleNotFoundError('none here', name='faster_whisper')\n"
        (tmp_path / "faster_whisper.py").write_text(broken)
        path = f"{tmp_path}:{PACKAGE}"
        arguments = ("--engine", "whisper", "--model", str(MODEL), "--port", "0")
        ended = served(*arguments, PYTHONPATH=path)
        assert ended.returncode == 1
        assert "pip install 'dropscribe[server,speech,whisper]'" in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_it_has_the_models_name_and_not_its_place(self, server: Server) -> None:
        names = [model["id"] for model in server.http.get("/models").json()["data"]]
        assert names[0] == "tiny-whisper"
        assert {"whisper-1", "gpt-transcribe"} < set(names)
        assert len(names) == len(set(names))
        health = server.http.get(server.base_url.removesuffix("/v1") + "/health").json()
        assert (health["engine"], health["concurrency"]) == ("whisper", 1)


class TestHostile:
    @pytest.mark.parametrize("stream", ["true", "false"])
    @pytest.mark.parametrize(
        ("form", "param"),
        [
            ({"model": "tiny-whisper", "language": "xx"}, "language"),
            ({"model": "gpt-4o-transcribe", "language": "Gle"}, "language"),
            ({"model": "gpt-transcribe", "languages[]": "xx"}, "languages"),
        ],
    )
    def test_an_unknown_language_is_refused_before_anything_is_told(
        self, server: Server, form: Form, param: str, stream: str
    ) -> None:
        error = refused(server.post(TALKING, **form, stream=stream))
        assert (error["param"], error["code"]) == (param, "unsupported_value")
        assert error["message"].startswith(f"model `{form['model']}` does not know the language")
        assert str(MODEL) not in error["message"]

    def test_a_code_of_three_letters_is_refused_as_by_whisper(self, server: Server) -> None:
        error = refused(server.post(TALKING, language="deu"))
        assert (error["param"], error["code"]) == ("language", "invalid_language_format")

    def test_silence_is_no_words_and_of_no_language(self, server: Server) -> None:
        answer = server.post(QUIET, model="gpt-transcribe", **{"include[]": "logprobs"})
        expected = '{"text":"","languages":[],"usage":{"type":"duration","seconds":2}}'
        assert answer.text == expected
        (done,) = events(server.post(QUIET, model="gpt-transcribe", stream="true"))
        assert (done["text"], done["languages"]) == ("", [])
        assert server.post(QUIET, response_format="vtt").text == "WEBVTT\n\n"
        verbose = server.post(QUIET, response_format="verbose_json").json()
        assert (verbose["text"], verbose["segments"], verbose["language"]) == ("", [], "")
        named = server.post(QUIET, response_format="verbose_json", language="de").json()
        assert named["language"] == "german"

    def test_noise_is_survived(self, server: Server) -> None:
        noise = np.random.default_rng(1).integers(-32768, 32767, 3 * RATE_HZ, np.int16)
        assert server.post(wav(noise.tobytes())).status_code == 200

    def test_a_prompt_that_is_too_long_is_read_from_its_end(self, server: Server) -> None:
        answer = server.post(TALKING, model="whisper-1", prompt="Once upon a time. " * 300)
        assert answer.status_code == 200, answer.text
        assert "dropscribe-ignored" not in answer.headers

    def test_what_is_no_recording_is_told_by_the_server(self, server: Server) -> None:
        assert refused(server.post(b"Dear Sir or Madam"))["param"] == "file"

    def test_who_hangs_up_stops_the_work_and_the_next_is_served(self, server: Server) -> None:
        (worker,) = server.workers()
        long = wav(said(*TALK) * 60)
        with server.listening(long) as lines:
            next(lines)
            pause(worker)
        until(lambda: not server.running())
        until(lambda: worker not in server.workers())
        assert server.post(QUIET).status_code == 200
        assert list(server.temporary.glob("[ur][pe]*-*")) == []

    def test_told_to_end_while_it_loads_it_leaves_no_process(self, tmp_path: Path) -> None:
        """The engine hangs while it is imported."""
        (tmp_path / "faster_whisper.py").write_text("import time\ntime.sleep(600)\n")
        path = f"{tmp_path}:{PACKAGE}"
        arguments = ("--engine", "whisper", "--model", str(MODEL))
        with closing(Process(tmp_path, *arguments, PYTHONPATH=path)) as loading:
            until(loading.workers)
            (worker,) = loading.workers()
            loading.process.terminate()
            loading.process.wait(PATIENCE_S)
            until(lambda: not Path(f"/proc/{worker}").exists())


class TestRecognition:
    def test_what_is_said_is_found_with_its_times_and_language(self, server: Server) -> None:
        form: Form = {
            "response_format": "verbose_json",
            "timestamp_granularities[]": ["word", "segment"],
        }
        answer = server.post(TALKING, **form).json()
        assert words(answer["text"]) == WORDS
        assert (answer["task"], answer["language"]) == ("transcribe", "english")
        assert [word["word"].lower() for word in answer["words"]] == WORDS
        assert "".join(segment["text"] for segment in answer["segments"]).strip() == answer["text"]
        assert [segment["id"] for segment in answer["segments"]] == [0, 1, 2]
        assert all(
            0 <= word["start"] < word["end"] <= answer["duration"] for word in answer["words"]
        )
        assert answer["usage"] == {"type": "duration", "seconds": -(-len(TALKING) // 32_000)}

    def test_the_language_is_detected_unless_it_is_told(self, server: Server) -> None:
        detected = server.post(COUNTING, response_format="verbose_json").json()
        assert (detected["language"], words(detected["text"])) == (
            "german",
            ["eins", "zwei", "drei", "sieben", "acht"],
        )
        told = server.post(COUNTING, response_format="verbose_json", language="en").json()
        assert told["language"] == "english"
        longer = server.post(COUNTING, model="gpt-4o-transcribe", language="Deu").json()
        assert words(longer["text"]) == words(detected["text"])

    def test_one_hint_of_a_language_is_heeded_and_of_several_none(self, server: Server) -> None:
        form: Form = {"model": "gpt-transcribe"}
        one = server.post(COUNTING, **{**form, "languages[]": ["en"]})
        assert one.json()["languages"] == [{"code": "en"}]
        assert "dropscribe-ignored" not in one.headers
        two = server.post(COUNTING, **{**form, "languages[]": ["en", "fr"]})
        assert two.json()["languages"] == [{"code": "de"}]
        assert two.headers["dropscribe-ignored"] == "languages"

    def test_a_language_that_the_hosted_model_passes_over_is_passed_over(
        self, server: Server
    ) -> None:
        answer = server.post(COUNTING, model="gpt-transcribe", language="en")
        assert answer.json()["languages"] == [{"code": "de"}]
        assert answer.headers["dropscribe-ignored"] == "language"

    def test_a_translation_is_english(self, server: Server) -> None:
        answer = server.post(COUNTING, "translations", response_format="verbose_json").json()
        assert (answer["task"], answer["language"]) == ("translate", "english")
        assert "words" not in answer

    @pytest.mark.parametrize(
        ("wanted", "begins"), [("text", ""), ("srt", "1\n00:00:0"), ("vtt", "WEBVTT\n\n00:00:0")]
    )
    def test_text_and_subtitles_hold_every_word(
        self, server: Server, wanted: str, begins: str
    ) -> None:
        text = server.post(TALKING, response_format=wanted).text
        assert text.startswith(begins)
        assert [word for word in words(text) if word.isalpha() and word != "webvtt"] == WORDS

    def test_all_that_it_is_told_has_an_effect(self, server: Server) -> None:
        form: Form = {
            **{"model": "tiny-whisper", "prompt": "Hello.", "temperature": "0.2"},
            **{"keywords[]": ["garden"], "include[]": "logprobs", "language": "en"},
            "chunking_strategy": '{"type":"server_vad","silence_duration_ms":300}',
        }
        answer = server.post(TALKING, **form)
        assert answer.status_code == 200, answer.text
        assert "dropscribe-ignored" not in answer.headers

    def test_where_the_caller_wants_fainter_speech_left_out_it_is(self, server: Server) -> None:
        """Of server_vad's values the one whose effect can be heard."""
        deaf = '{"type":"server_vad","threshold":1.0}'
        form: Form = {"model": "gpt-4o-transcribe", "chunking_strategy": deaf}
        assert server.post(TALKING, **form).json()["text"] == ""

    def test_what_has_none_is_told(self, server: Server) -> None:
        form: Form = {"known_speaker_names[]": "Ann", "known_speaker_references[]": "data:,"}
        ignored = server.post(TALKING, **form).headers["dropscribe-ignored"]
        assert ignored == "known_speaker_names, known_speaker_references"

    def test_tokens_of_a_stream_make_its_text(self, server: Server) -> None:
        form = {"model": "gpt-transcribe", "stream": "true", "include[]": "logprobs"}
        *deltas, done = events(server.post(TALKING, **form))
        assert len(deltas) == len(TALK)
        assert "".join(delta["delta"] for delta in deltas) == done["text"]
        tokens = [token for delta in deltas for token in delta["logprobs"]]
        assert tokens == done["logprobs"]
        assert b"".join(bytes(token["bytes"]) for token in tokens).decode() == done["text"]
        assert all(token["logprob"] <= 0 for token in tokens)
        assert done["languages"] == [{"code": "en"}]

    def test_each_channel_is_a_speaker(self, server: Server) -> None:
        turns = [np.frombuffer(said(text), np.int16) for text in ("one two three", "open water")]
        first, second = (np.concatenate([turns[0], 0 * turns[1]]),
                         np.concatenate([0 * turns[0], turns[1]]))  # fmt: skip
        recording = wav(np.stack([second, first], axis=1).tobytes(), channels=2)
        form = {"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json"}
        answer = server.post(recording, **form).json()
        assert [(turn["speaker"], words(turn["text"])) for turn in answer["segments"]] == [
            ("A", ["one", "two", "three"]),
            ("B", ["open", "water"]),
        ]
        assert answer["usage"]["output_tokens"] >= 5

    def test_voices_on_one_track_are_told_apart(self, server: Server) -> None:
        sentence = "three seven hello garden open water nine stop please"
        recording = said(sentence) + said(sentence, voice=MAN) + said(sentence)
        form = {"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json"}
        answer = server.post(wav(recording), **form, chunking_strategy="auto").json()
        assert [turn["speaker"] for turn in answer["segments"]] == ["A", "B", "A"]
        assert words(" ".join(turn["text"] for turn in answer["segments"])) == words(answer["text"])
        *turns, done = events(
            server.post(wav(recording), **form, chunking_strategy="auto", stream="true")
        )
        assert [turn["text"] for turn in turns] == [turn["text"] for turn in answer["segments"]]
        assert done["text"] == answer["text"]


class TestSdk:
    def test_words_come_as_the_sdk_has_them(self, sdk: openai.OpenAI) -> None:
        answer = sdk.audio.transcriptions.create(
            model="whisper-1",
            file=("talk.wav", TALKING),
            response_format="verbose_json",
            timestamp_granularities=["word"],
        )
        assert [word.word.lower() for word in answer.words or []] == WORDS
        assert answer.language == "english"

    def test_silence_has_all_keys_that_the_sdk_reads(self, sdk: openai.OpenAI) -> None:
        answer = sdk.audio.transcriptions.create(
            model="whisper-1", file=("talk.wav", QUIET), response_format="verbose_json"
        )
        assert (answer.text, answer.language, answer.duration) == ("", "", 2.0)

    def test_a_stream_ends_with_the_text(self, sdk: openai.OpenAI) -> None:
        stream = sdk.audio.transcriptions.create(
            model="gpt-4o-mini-transcribe", file=("talk.wav", TALKING), stream=True
        )
        *deltas, done = list(stream)
        assert {event.type for event in deltas} == {"transcript.text.delta"}
        assert done.type == "transcript.text.done"
        assert words(done.text) == WORDS

    @pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
    def test_a_translation_is_asked_for_by_its_own_call(self, sdk: openai.OpenAI) -> None:
        answer = sdk.audio.translations.create(  # type: ignore[deprecated]
            model="whisper-1", file=("talk.wav", COUNTING), response_format="verbose_json"
        )
        assert answer.language == "english"

    def test_a_refusal_is_the_sdks_own_error(self, sdk: openai.OpenAI) -> None:
        with pytest.raises(openai.BadRequestError) as caught:
            sdk.audio.transcriptions.create(
                model="tiny-whisper", file=("talk.wav", TALKING), language="xx"
            )
        assert (caught.value.param, caught.value.code) == ("language", "unsupported_value")
