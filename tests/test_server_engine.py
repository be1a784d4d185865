"""`dropscribe serve --engine offline` as a process: real recordings, real recognition, its end."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import DATA, ROOT

KEY = "sk-local-0123456789abcdef"
PATIENCE_S = 60
COMMAND = [sys.executable, "-c", "from dropscribe.cli import main; main()", "serve"]
SPEECH = DATA / "austen-0880.wav"
Form = dict[str, Any]
DIARIZE: Form = {"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json"}


def environment(**more: str) -> dict[str, str]:
    variables = {name: text for name, text in os.environ.items() if name != "DROPSCRIBE_API_KEYS"}
    return {**variables, "PYTHONPATH": str(ROOT / "layers" / "dropscribe"), **more}


class Server:
    """One server with one worker, which has a folder of its own for everything temporary."""

    def __init__(self, folder: Path, *arguments: str, **more: str) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "--port", "0", "--concurrency", "1", *arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(TMPDIR=str(self.temporary), **more),
            )
        assert self.process.stdout
        self.base_url = self.process.stdout.readline().strip()
        self.http = httpx.Client(
            base_url=self.base_url,
            headers={"authorization": f"Bearer {KEY}"},
            timeout=PATIENCE_S,
        )

    def post(
        self,
        audio: Path | bytes,
        path: str = "transcriptions",
        name: str | None = None,
        **form: Any,
    ) -> httpx.Response:
        content = audio if isinstance(audio, bytes) else audio.read_bytes()
        named = name or (audio.name if isinstance(audio, Path) else "a.wav")
        data = {"model": "whisper-1", **form}
        return self.http.post(f"/audio/{path}", data=data, files={"file": (named, content)})

    @contextmanager
    def listening(self, content: bytes) -> Iterator[Iterator[str]]:
        """The lines of a stream of events, as they come."""
        data, files = {"model": "gpt-transcribe", "stream": "true"}, {"file": ("a.wav", content)}
        with self.http.stream("POST", "/audio/transcriptions", data=data, files=files) as response:
            yield (line for line in response.iter_lines() if line)

    def running(self) -> int:
        """Requests at work."""
        address = self.base_url.removesuffix("/v1") + "/health"
        return int(self.http.get(address).json()["running"])

    def workers(self) -> set[int]:
        """Processes that were started by the server and live."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return {int(pid) for pid in children.split() if "server.worker" in _command_of(int(pid))}

    def close(self) -> None:
        self.http.close()
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        assert self.process.stdout
        self.process.stdout.close()


def _command_of(pid: int) -> str:
    """Empty for one that has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, ffmpeg_on_path: None) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with closing(Server(folder, DROPSCRIBE_API_KEYS=f"{KEY}, other")) as running:
        yield running


def wav(frames: bytes, channels: int = 1) -> bytes:
    """A recording of 16 kHz."""
    with io.BytesIO() as target, wave.open(target, "wb") as recording:
        recording.setparams((channels, 2, 16_000, 0, "NONE", ""))
        recording.writeframes(frames)
        return target.getvalue()


def speech(seconds: float | None = None) -> bytes:
    with wave.open(str(SPEECH)) as recording:
        frames = recording.getnframes() if seconds is None else int(seconds * 16_000)
        return recording.readframes(frames)


def silence(seconds: float) -> bytes:
    return bytes(2 * int(16_000 * seconds))


LONG = wav((speech() + silence(1)) * 10)
"""40 s, of which each sentence takes the recognizer a while."""


def refused(response: httpx.Response, status: int = 400) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    return error


def events(response: httpx.Response) -> list[dict[str, Any]]:
    *told, last = [line[6:] for line in response.iter_lines() if line]
    assert last == "[DONE]"
    return [json.loads(event) for event in told]


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

    def test_speakers_on_one_track_are_not_told_apart(self, server: Server) -> None:
        error = refused(server.post(SPEECH, **DIARIZE))
        assert (error["param"], error["code"]) == ("response_format", "unsupported_value")

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
        ("reference", "param", "said"),
        [
            (wav(speech(1)), "known_speaker_references", "is 1.0 seconds long, not 2 to 10"),
            (wav(speech(2.75) * 4), "known_speaker_references", "is 11.0 seconds long"),
            (wav(speech(2.75)), "known_speaker_names", "does not compare voices"),
            (b"Dear Sir", "known_speaker_references", "is no audio"),
            (None, "known_speaker_references", "is no data URL"),
        ],
    )
    def test_known_speakers_are_judged_before_they_are_refused(
        self, server: Server, reference: bytes | None, param: str, said: str
    ) -> None:
        content = base64.b64encode(reference or b"").decode()
        url = (
            "https://example.com/a.wav" if reference is None else f"data:audio/wav;base64,{content}"
        )
        speakers = {"known_speaker_names[]": "Ann", "known_speaker_references[]": url}
        error = refused(server.post(DATA / "two-lines.flac", **DIARIZE, **speakers))
        assert error["param"] == param
        assert said in error["message"]


class TestWorkers:
    def test_who_hangs_up_in_the_middle_stops_the_work(self, server: Server) -> None:
        (worker,) = server.workers()
        with server.listening(LONG) as lines:
            next(lines)
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
        with server.listening(LONG) as lines:
            next(lines)
            assert server.post(SPEECH).status_code == 429
        until(lambda: not server.running())


def served(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The whole run of a server that does not start."""
    command = [*COMMAND, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment(), check=False, timeout=PATIENCE_S
    )


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
        log = server.log.read_text()
        lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        others = {line for line in log.splitlines() if not line.startswith("{")}
        # Of the one that was killed before it was ready.
        assert others <= {"engine `offline` did not start, see the lines above"}
        assert {line["status"] for line in lines} >= {200, 401}
        assert not [said for said in (text, KEY, "secret", "classified") if said in log]
