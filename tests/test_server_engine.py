"""`dropscribe serve --engine offline` as a process: real recordings, real recognition, its end."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.conftest import DATA
from tests.patience import PATIENCE_S, until
from tests.serving import (
    DIARIZE,
    KEY,
    Server,
    events,
    pause,
    refused,
    served,
    silence,
    wav,
)

SPEECH = DATA / "austen-0880.wav"
Form = dict[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, ffmpeg_on_path: None) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with closing(Server(folder, DROPSCRIBE_API_KEYS=f"{KEY}, other")) as running:
        yield running


@pytest.fixture(scope="module")
def deaf(tmp_path_factory: pytest.TempPathFactory, ffmpeg_on_path: None) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("deaf")
    with closing(Server(folder, lacking="onnxruntime")) as running:
        yield running


def speech(seconds: float | None = None) -> bytes:
    with wave.open(str(SPEECH)) as recording:
        frames = recording.getnframes() if seconds is None else int(seconds * 16_000)
        return recording.readframes(frames)


def mono(path: Path) -> bytes:
    """Samples of any recording at 16 kHz."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-ac", "1", "-ar", "16000", "-f", "s16le"]
    return subprocess.run([*command, "-"], check=True, capture_output=True).stdout


def data_url(recording: bytes) -> str:
    return f"data:audio/wav;base64,{base64.b64encode(recording).decode()}"


def known(**urls: str) -> Form:
    return {
        "known_speaker_names[]": list(urls),
        "known_speaker_references[]": list(urls.values()),
    }


LONG = wav((speech() + silence(1)) * 10)
"""40 s, of which each sentence takes the recognizer a while."""


class TestRecognition:
    def test_what_is_said_is_found_with_its_times(self, server: Server) -> None:
        form: Form = {
            "response_format": "verbose_json",
            "timestamp_granularities[]": ["word", "segment"],
        }
        answer = server.post(SPEECH, **form).json()
        assert {"he", "was", "not", "young"} <= set(answer["text"].split())
        assert (answer["task"], answer["language"]) == ("transcribe", "english")
        assert answer["duration"] == 2.99
        assert answer["usage"] == {"type": "duration", "seconds": 3}
        assert [word["word"] for word in answer["words"]] == answer["text"].split()
        assert all(0 <= word["start"] < word["end"] <= 2.99 for word in answer["words"])

    def test_the_sound_of_a_video_is_transcribed(self, server: Server, media: Path) -> None:
        assert "young" in server.post(media / "video.mp4").json()["text"]

    def test_a_translation_of_english_is_its_transcript(self, server: Server) -> None:
        answer = server.post(SPEECH, "translations", response_format="verbose_json").json()
        assert (answer["task"], answer["language"]) == ("translate", "english")
        assert "young" in answer["text"]
        assert "usage" not in answer

    @pytest.mark.case("S13")
    def test_each_channel_is_a_speaker(self, server: Server) -> None:
        *turns, done = events(server.post(DATA / "two-lines.flac", stream="true", **DIARIZE))
        assert [turn["speaker"] for turn in turns] == ["A", "B"]
        assert [turn["id"] for turn in turns] == ["seg_0", "seg_1"]
        assert "himself" in turns[0]["text"]
        assert "young" in turns[1]["text"]
        assert turns[1]["start"] > 3
        assert list(done) == ["type", "text", "usage"]
        assert "".join(turn["text"] for turn in turns) == f" {done['text']}"
        assert done["usage"]["input_tokens"] == 64

    def test_tokens_of_a_stream_make_its_text(self, server: Server) -> None:
        recording = wav(speech() + silence(1) + speech())
        form = {"model": "gpt-transcribe", "stream": "true", "include[]": "logprobs"}
        *deltas, done = events(server.post(recording, **form))
        assert len(deltas) == 2
        assert "".join(delta["delta"] for delta in deltas) == done["text"]
        tokens = [token for delta in deltas for token in delta["logprobs"]]
        assert tokens == done["logprobs"]
        assert "".join(token["token"] for token in tokens) == done["text"]
        assert b"".join(bytes(token["bytes"]) for token in tokens).decode() == done["text"]
        assert all(token["logprob"] <= 0 for token in tokens)
        assert done["languages"] == [{"code": "en"}]

    @pytest.mark.case("S63")
    def test_silence_is_no_words(self, server: Server) -> None:
        form = {"model": "gpt-transcribe", "include[]": "logprobs"}
        response = server.post(wav(silence(1.5)), **form)
        expected = '{"text":"","languages":[],"usage":{"type":"duration","seconds":2}}'
        assert response.text == expected

    def test_an_event_arrives_while_the_rest_is_still_listened_to(self, server: Server) -> None:
        """The work is stopped after the first: had it been done by then, nothing would be left."""
        (worker,) = server.workers()
        with server.listening(LONG) as lines:
            assert json.loads(next(lines)[6:])["type"] == "transcript.text.delta"
            os.kill(worker, signal.SIGKILL)
            last = list(lines)[-1]
        assert list(json.loads(last[6:])) == ["error"]
        assert server.post(wav(silence(1))).status_code == 200


class TestRefused:
    @pytest.mark.case("S39")
    @pytest.mark.parametrize("stream", ["true", "false"])
    def test_what_is_no_recording_is_answered_as_recorded(
        self, server: Server, media: Path, stream: str
    ) -> None:
        response = server.post(media / "text.mp3", model="gpt-transcribe", stream=stream)
        assert response.text == (
            '{"error":{"message":"Audio file might be corrupted or unsupported",'
            '"type":"invalid_request_error","param":"file","code":"invalid_value"}}'
        )
        assert response.headers["dropscribe-detail"].startswith("this is no audio or video file")

    @pytest.mark.parametrize("name", ["empty.mp3", "silent-video.mp4", "encrypted.mp4"])
    def test_other_files_without_sound_are_too(
        self, server: Server, media: Path, name: str
    ) -> None:
        assert refused(server.post(media / name))["param"] == "file"

    @pytest.mark.case("S59")
    def test_an_instant_is_too_short(self, server: Server) -> None:
        error = refused(server.post(wav(silence(0.05)), model="gpt-4o-transcribe"))
        assert re.fullmatch(
            r"audio duration 0\.05\d* seconds is shorter than 0\.1 seconds "
            "which is the minimum for this model",
            error["message"],
        )
        assert (error["param"], error["code"]) == (None, "invalid_value")

    @pytest.mark.case("S26")
    @pytest.mark.parametrize("channels", [1, 2])
    def test_half_a_minute_of_speakers_needs_a_chunking_strategy(
        self, server: Server, channels: int
    ) -> None:
        response = server.post(wav(silence(30.1) * channels, channels), **DIARIZE)
        assert response.text == (
            '{"error":{"message":"chunking_strategy is required for diarization models",'
            '"type":"invalid_request_error","param":"chunking_strategy","code":"invalid_value"}}'
        )

    @pytest.mark.parametrize(
        ("form", "param"),
        [
            ({"language": "de"}, "language"),
            ({"model": "gpt-transcribe", "languages[]": ["de", "fr"]}, "languages"),
        ],
    )
    def test_it_knows_english_only(self, server: Server, form: dict[str, Any], param: str) -> None:
        error = refused(server.post(SPEECH, **form))
        assert (error["param"], error["code"]) == (param, "unsupported_value")

    @pytest.mark.case("S60")
    @pytest.mark.parametrize(
        ("reference", "said"),
        [
            (wav(speech(1)), "is 1.0 seconds long, not 2 to 10"),
            (wav(speech(2.75) * 4), "is 11.0 seconds long"),
            (b"Dear Sir", "is no audio"),
            (None, "is no data URL"),
        ],
    )
    def test_a_reference_that_tells_no_voice_is_refused(
        self, server: Server, reference: bytes | None, said: str
    ) -> None:
        url = "https://example.com/a.wav" if reference is None else data_url(reference)
        error = refused(server.post(DATA / "two-lines.flac", **DIARIZE, **known(Ann=url)))
        assert error["param"] == "known_speaker_references"
        assert said in error["message"]


class TestVoices:
    """On one track."""

    def test_who_talks_alone_is_one_speaker(self, server: Server) -> None:
        answer = server.post(SPEECH, **DIARIZE).json()
        assert [turn["speaker"] for turn in answer["segments"]] == ["A"]
        assert answer["segments"][0]["text"] == f" {answer['text']}"
        assert answer["usage"]["output_tokens"] == len(answer["text"].split())

    @pytest.mark.case("S60")
    def test_who_is_known_has_the_name_and_others_have_letters(self, server: Server) -> None:
        """Told as events when all has been heard; channels are mixed, as names are of voices."""
        kennedy = mono(DATA / "jfk.flac")[: 2 * 16_000 * 4]
        one = mono(DATA / "librispeech-1688-142285-0002.flac") + silence(1)
        two = kennedy + silence(1)
        left, right = one + bytes(len(two)), bytes(len(one)) + two
        stereo = np.stack([np.frombuffer(side, np.int16) for side in (left, right)], axis=1)
        named = known(Kennedy=data_url(wav(kennedy)))
        form = {**DIARIZE, **named, "stream": "true"}
        *turns, done = events(server.post(wav(stereo.tobytes(), 2), **form))
        assert list(dict.fromkeys(turn["speaker"] for turn in turns)) == ["A", "Kennedy"]
        assert {turn["type"] for turn in turns} == {"transcript.text.segment"}
        assert "".join(turn["text"] for turn in turns) == f" {done['text']}"

    def test_silence_is_nobody(self, server: Server) -> None:
        answer = server.post(wav(silence(2)), **DIARIZE).json()
        assert (answer["text"], answer["segments"]) == ("", [])
        (done,) = events(server.post(wav(silence(2)), **DIARIZE, stream="true"))
        assert done["text"] == ""


class TestWithoutVoices:
    """Where the packages that tell voices apart are missing."""

    def test_speakers_on_one_track_are_not_told_apart(self, deaf: Server) -> None:
        error = refused(deaf.post(SPEECH, **DIARIZE))
        assert (error["param"], error["code"]) == ("response_format", "unsupported_value")
        turns = deaf.post(DATA / "two-lines.flac", **DIARIZE).json()["segments"]
        assert [turn["speaker"] for turn in turns] == ["A", "B"]

    def test_known_speakers_are_judged_before_they_are_refused(self, deaf: Server) -> None:
        good, bad = data_url(wav(speech(2.75))), data_url(b"Dear Sir")
        both = {**DIARIZE, **known(Ann=good, Bob=bad)}
        error = refused(deaf.post(DATA / "two-lines.flac", **both))
        assert error["param"] == "known_speaker_references"
        error = refused(deaf.post(DATA / "two-lines.flac", **DIARIZE, **known(Ann=good)))
        assert error["param"] == "known_speaker_names"
        assert "does not compare voices" in error["message"]


class TestWorkers:
    def test_who_hangs_up_in_the_middle_stops_the_work(self, server: Server) -> None:
        (worker,) = server.workers()
        with server.listening(LONG) as lines:
            next(lines)
            pause(worker)
        until(lambda: not server.running())
        until(lambda: worker not in server.workers())
        assert server.post(wav(silence(1))).status_code == 200
        assert list(server.temporary.glob("[ur][pe]*-*")) == []

    def test_one_that_is_killed_between_requests_costs_none(self, server: Server) -> None:
        assert server.post(wav(silence(1))).status_code == 200
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        until(lambda: worker not in server.workers())
        with ThreadPoolExecutor() as pool:
            response = pool.submit(server.post, wav(silence(1)))
            until(server.workers)
            # Its successor dies before it is ready, and has one too.
            for successor in server.workers():
                os.kill(successor, signal.SIGKILL)
            assert response.result(PATIENCE_S).status_code == 200

    def test_one_more_than_there_is_room_for_is_asked_to_come_back(self, server: Server) -> None:
        (worker,) = server.workers()
        with server.listening(LONG) as lines:
            next(lines)
            pause(worker)
            assert server.post(SPEECH).status_code == 429
        until(lambda: not server.running())


class TestProcess:
    def test_without_keys_it_listens_on_this_machine_only(self) -> None:
        ended = served("--host", "0.0.0.0", "--port", "0")  # noqa: S104 - what is refused
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr == (
            "Error: without keys it listens on this machine only: set DROPSCRIBE_API_KEYS to one "
            "or more, separated by commas\n"
        )

    def test_a_taken_port_is_said_in_a_sentence(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            ended = served("--port", port)
        assert (ended.returncode, ended.stdout) == (1, "")
        said = f"Error: cannot listen on 127.0.0.1 port {port}: Address already in use\n"
        assert ended.stderr == said

    def test_told_to_end_while_it_works_it_leaves_nothing_behind(self, tmp_path: Path) -> None:
        """With the ffmpeg that a package brings, for which it makes a folder."""
        with closing(Server(tmp_path, PATH="/nowhere")) as server:
            (worker,) = server.workers()
            with server.listening(wav(speech() + silence(1) + speech())) as lines:
                next(lines)
                server.process.terminate()
                # What can be finished in a few seconds is.
                with suppress(httpx.RemoteProtocolError):
                    list(lines)
            assert server.process.wait(PATIENCE_S) == 0
        assert not Path(f"/proc/{worker}").exists()
        assert list(server.temporary.iterdir()) == []

    def test_its_log_holds_neither_keys_nor_what_is_said(self, server: Server) -> None:
        """Of all that was asked of it so far."""
        text = server.post(SPEECH, name="my-secret.wav", prompt="classified").json()["text"]
        assert server.http.get("/models", headers={"authorization": "Bearer x"}).status_code == 401

        def lines() -> list[dict[str, object]]:
            text = server.log.read_text()
            return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

        # A line is written after the answer.
        until(lambda: {line["status"] for line in lines()} >= {200, 401})
        log = server.log.read_text()
        others = {line for line in log.splitlines() if not line.startswith("{")}
        # Of the one that was killed before it was ready.
        assert others <= {"engine `offline` did not start, see the lines above"}
        assert not [said for said in (text, KEY, "secret", "classified") if said in log]
