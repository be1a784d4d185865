"""End to end with hostile and sloppy input: a clear error, nothing lost, the upload untouched."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api_server import ApiServer
from tests.conftest import DATA
from tests.route import Route

SPEECH = DATA / "austen-0880.wav"
ALL = {".json", ".txt", ".srt", ".vtt", ".verbose.json", ".diarized.json", ".receipt.json"}
RECORDED_TEXT = "Hello, world! This is a test."


def receipt(route: Route, key: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(route.files(key)[".receipt.json"])
    return parsed


class TestBadInput:
    """Each ends in an error object and a failed notification, the upload untouched."""

    def failed(
        self, route: Route, key: str, content: bytes | Path, **options: str
    ) -> dict[str, Any]:
        body = content.read_bytes() if isinstance(content, Path) else content
        news = route.run(key, body, **options)
        assert news["type"] == "transcription.job.failed"
        assert set(route.files(key)) == {".error.json"}
        written = json.loads(route.files(key)[".error.json"])
        assert written["error"] == news["data"]["error"]
        assert written["job_id"] == news["data"]["job_id"]
        untouched = route.s3.get_object(Bucket=route.uploads, Key=key)["Body"].read()
        assert untouched == body
        parsed: dict[str, Any] = written["error"]
        return parsed

    @pytest.mark.parametrize(
        ("name", "code", "start"),
        [
            ("empty.mp3", "empty_audio", "the file is empty"),
            ("text.mp3", "not_media", "this is no audio or video file that can be read"),
            ("silent-video.mp4", "no_audio_stream", "the file has no sound track"),
            ("encrypted.mp4", "not_media", "the file is encrypted or DRM-protected"),
            ("long.flac", "too_long", "the recording is longer than 2 minutes"),
        ],
    )
    def test_media(self, route: Route, media: Path, name: str, code: str, start: str) -> None:
        failure = self.failed(route, f"bad/{name}", media / name, labels='{"a": "b"}')
        assert (failure["code"], failure["stage"], failure["retryable"]) == (
            code,
            "normalize",
            False,
        )
        assert failure["message"].startswith(start)

    def test_a_key_of_characters_that_sqs_does_not_take_fails_like_any_other(
        self, route: Route
    ) -> None:
        key = "bad/\ufffe\uffff.mp3"
        assert route.run(key, b"text")["data"]["source"]["key"] == key
        error = json.loads(route.read(route.transcripts, f"{key}.error.json"))
        assert error["error"]["code"] == "not_media"

    def test_the_news_of_a_failure_carries_labels_and_attributes(self, route: Route) -> None:
        news = route.run("bad/labelled.mp3", b"text", labels='{"case": "1"}', tenant="acme")
        assert news["data"]["labels"] == {"case": "1"}
        received = next(n for n in route.received() if n["message"]["id"] == news["id"])
        assert received["attributes"] == {
            "event_type": "transcription.job.failed",
            "status": "failed",
            "engine": "offline",
            "tenant": "acme",
            "error_code": "not_media",
        }

    @pytest.fixture
    def listener(self) -> Iterator[tuple[int, list[str]]]:
        visitors: list[str] = []
        with socket.create_server(("127.0.0.1", 0)) as server:

            def serve() -> None:
                while True:
                    try:
                        connection, address = server.accept()
                    except OSError:
                        return
                    visitors.append(str(address))
                    connection.close()

            threading.Thread(target=serve, daemon=True).start()
            yield server.getsockname()[1], visitors

    @pytest.mark.parametrize("kind", ["hls", "concat", "svg"])
    def test_scripts_that_point_elsewhere(
        self, route: Route, listener: tuple[int, list[str]], kind: str
    ) -> None:
        from tests.test_audio import SCRIPTS

        port, visitors = listener
        script = SCRIPTS[kind].format(target=f"http://127.0.0.1:{port}/a.ts")
        assert self.failed(route, f"bad/{kind}.mp3", script.encode())["code"] == "not_media"
        assert visitors == []

    @pytest.mark.parametrize(
        ("options", "part"),
        [
            (
                {"langauge": "en"},
                "unknown option `langauge` in the upload's metadata. Did you mean",
            ),
            ({"temperature": "hot"}, "option `temperature` in the upload's metadata: Input should"),
            ({"language": "en", "languages": "de,fr"}, "exclude each other"),
            ({"labels": "{"}, "is not JSON"),
            ({"labels": json.dumps({"a": "b" * 300})}, "at most 256 characters"),
        ],
    )
    def test_options(self, route: Route, options: dict[str, str], part: str) -> None:
        failure = self.failed(route, f"bad/options-{len(part)}.wav", SPEECH, **options)
        assert failure["code"] == "invalid_options"
        assert part in failure["message"]

    def test_option_files_that_are_no_json(self, route: Route) -> None:
        key = "badfolder/x.wav"
        folder = "badfolder/_dropscribe.json"
        route.s3.put_object(Bucket=route.uploads, Key=folder, Body=b"language: en")
        failure = self.failed(route, key, SPEECH)
        assert (failure["code"], failure["stage"]) == ("invalid_options", "normalize")
        assert failure["message"].startswith(f"{folder} is not JSON")

    def test_labels_that_no_notification_could_carry(self, route: Route) -> None:
        labels = {str(n): "x" * 8000 for n in range(50)}
        body = json.dumps({"labels": labels}).encode()
        route.s3.put_object(Bucket=route.uploads, Key="large/_dropscribe.json", Body=body)
        assert self.failed(route, "large/x.wav", SPEECH)["code"] == "invalid_options"

    def test_half_a_character(self, route: Route) -> None:
        body = rb'{"\ud800": 1}'
        route.s3.put_object(Bucket=route.uploads, Key="half/_dropscribe.json", Body=body)
        assert self.failed(route, "half/x.wav", SPEECH)["code"] == "invalid_options"

    def test_what_no_model_can_do(self, route: Route) -> None:
        failure = self.failed(route, "bad/impossible.wav", SPEECH, languages="de")
        assert failure["code"] == "unsupported_by_model"

    def test_a_key_that_the_api_refuses(self, route: Route, api: ApiServer) -> None:
        from tests.api_server import recorded

        api.down = recorded("error_401")
        failure = self.failed(route, "bad/key.wav", SPEECH, engine="openai", prompt="401")
        assert (failure["code"], failure["stage"]) == ("unauthorized", "transcribe")
        assert "chunk 0 (00:00:00.000 to 00:00:02.990)" in failure["message"]
        assert "ApiKeySecretArn" in failure["message"]
        assert len(api.requests) == 1

    def test_a_cut_recording_is_transcribed_as_far_as_it_goes(
        self, route: Route, media: Path
    ) -> None:
        news = route.run("cut.mp3", media / "cut-speech.mp3")
        assert news["type"] == "transcription.job.completed"
        assert "could be decoded and are transcribed" in news["data"]["warnings"][0]
        assert receipt(route, "cut.mp3")["warnings"] == news["data"]["warnings"]

    def test_a_key_too_long_for_its_outputs_is_told_of(self, route: Route) -> None:
        key = "k" * 1020 + ".mp3"
        news = route.run(key, SPEECH)
        assert news["data"]["error"]["code"] == "invalid_options"
        assert "use at most 1010" in news["data"]["error"]["message"]
        assert route.files(key) == {}
