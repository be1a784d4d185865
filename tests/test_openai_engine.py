"""Engine `openai` over real HTTP: wire encoding, retries, errors, what is counted as paid."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dropscribe.engines import Request
from dropscribe.engines.openai import OpenAI
from dropscribe.errors import JobError, Rejected, Unavailable
from tests.api_server import KEY, RECORDED, Answer, ApiServer, error, recorded


class Ledger:
    """Keeps what is recorded of each call, in memory."""

    def __init__(self) -> None:
        self.states: list[str] = []

    def sent(self) -> str:
        self.states.append("sent")
        return str(len(self.states) - 1)

    def concluded(self, call: str, state: str) -> None:
        self.states[int(call)] = state


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with ApiServer() as api:
        yield api


@pytest.fixture
def api(server: ApiServer) -> ApiServer:
    server.behave()
    return server


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    path = tmp_path / "chunk.flac"
    path.write_bytes(b"fLaC" + bytes(range(256)) * 8)
    return path


REQUEST = Request(task="transcribe", model="whisper-1", response_format="verbose_json")


def engine(
    api: ApiServer, key: str | None = KEY, seconds: float = 30
) -> tuple[OpenAI, list[float]]:
    waits: list[float] = []
    deadline = time.monotonic() + seconds
    return OpenAI(api.base_url, lambda: key, deadline, sleep=waits.append), waits


class TestWire:
    def test_a_minimal_request_sends_nothing_that_was_not_given(
        self, api: ApiServer, audio: Path
    ) -> None:
        answer = engine(api)[0](audio, REQUEST, Ledger())
        assert answer == json.loads(RECORDED["verbose_default"]["body"])
        (seen,) = api.requests
        assert seen.path == "/v1/audio/transcriptions"
        assert seen.fields == [("model", "whisper-1"), ("response_format", "verbose_json")]
        assert (seen.file_name, seen.file_type) == ("audio.flac", "audio/flac")
        assert seen.audio == audio.read_bytes()
        assert seen.authorization == f"Bearer {KEY}"

    def test_lists_are_repeated_parts_and_objects_have_brackets(
        self, api: ApiServer, audio: Path
    ) -> None:
        request = Request(
            task="transcribe",
            model="gpt-4o-transcribe-diarize",
            response_format="diarized_json",
            temperature=0.0,
            include=["logprobs"],
            timestamp_granularities=["word", "segment"],
            known_speaker_names=["Ann", "Ben"],
            known_speaker_references=["data:audio/wav;base64,AAAA", "data:audio/wav;base64,BBBB"],
            chunking_strategy={"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": None},
        )
        engine(api)[0](audio, request, Ledger())
        assert api.requests[0].fields == [
            ("chunking_strategy[threshold]", "0.5"),
            ("chunking_strategy[type]", "server_vad"),
            ("include[]", "logprobs"),
            ("known_speaker_names[]", "Ann"),
            ("known_speaker_names[]", "Ben"),
            ("known_speaker_references[]", "data:audio/wav;base64,AAAA"),
            ("known_speaker_references[]", "data:audio/wav;base64,BBBB"),
            ("model", "gpt-4o-transcribe-diarize"),
            ("response_format", "diarized_json"),
            ("temperature", "0.0"),
            ("timestamp_granularities[]", "segment"),
            ("timestamp_granularities[]", "word"),
        ]

    def test_a_translation_goes_to_its_own_address_with_its_own_fields(
        self, api: ApiServer, audio: Path
    ) -> None:
        request = REQUEST.model_copy(update={"task": "translate", "language": "de", "prompt": "x"})
        engine(api)[0](audio, request, Ledger())
        (seen,) = api.requests
        assert seen.path == "/v1/audio/translations"
        assert dict(seen.fields) == {
            "model": "whisper-1",
            "prompt": "x",
            "response_format": "verbose_json",
        }

    def test_without_a_key_no_header_is_sent(self, api: ApiServer, audio: Path) -> None:
        with pytest.raises(Rejected):
            engine(api, key=None)[0](audio, REQUEST, Ledger())
        assert api.requests[0].authorization is None


class TestRetries:
    @pytest.mark.parametrize(
        ("headers", "wait_s"),
        [
            ({"retry_after_ms": "250"}, 0.25),
            ({"retry_after": "3"}, 3.0),
            ({"retry_after": "999"}, 60.0),
            ({"retry_after": "-5"}, 0.0),
            ({"retry_after_ms": "nan", "retry_after": "0"}, None),
            ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ],
    )
    def test_it_waits_as_the_server_says_and_sends_the_whole_body_again(
        self, api: ApiServer, audio: Path, headers: dict[str, str], wait_s: float | None
    ) -> None:
        api.planned.append(error(429, "slow down", **headers))
        transcribe, waits = engine(api, seconds=300)
        ledger = Ledger()
        assert transcribe(audio, REQUEST, ledger)["text"]
        assert waits == [wait_s] if wait_s is not None else 0.3 < waits[0] <= 0.5
        assert [seen.audio for seen in api.requests] == [audio.read_bytes()] * 2
        assert ledger.states == ["refused", "answered"]

    def test_without_advice_it_backs_off_with_jitter(self, api: ApiServer, audio: Path) -> None:
        api.planned += [error(500, "oops"), Answer(503, b"<html>busy</html>", "text/html")]
        transcribe, waits = engine(api)
        transcribe(audio, REQUEST, Ledger())
        assert 0.375 <= waits[0] <= 0.5
        assert 0.75 <= waits[1] <= 1.0

    def test_it_gives_up_after_three_attempts(self, api: ApiServer, audio: Path) -> None:
        api.down = error(503, "maintenance")
        ledger = Ledger()
        with pytest.raises(Unavailable, match="engine_unavailable: the API answered 503: mainten"):
            engine(api)[0](audio, REQUEST, ledger)
        assert ledger.states == ["refused"] * 3

    def test_it_does_not_wait_beyond_its_callers_time(self, api: ApiServer, audio: Path) -> None:
        api.down = error(429, "slow down", retry_after="30")
        transcribe, waits = engine(api, seconds=20)
        with pytest.raises(Unavailable, match="rate_limited"):
            transcribe(audio, REQUEST, Ledger())
        assert (waits, len(api.requests)) == ([], 1)


class TestErrors:
    @pytest.mark.parametrize(
        ("answer", "kind", "start"),
        [
            (recorded("error_401"), Rejected, "unauthorized: the API answered 401: Incorrect API"),
            (error(403, "no"), Rejected, "unauthorized: the API answered 403: no"),
            (
                error(429, "out of money", code="insufficient_quota"),
                Rejected,
                "quota_exceeded: the API answered 429: out of money",
            ),
            (recorded("error_413"), Rejected, "too_long: the API answered 413"),
            (recorded("error_400_corrupt"), Rejected, "not_media: the API answered 400: Audio"),
            (recorded("error_400_language"), Rejected, "unsupported_by_model: the API answered"),
            (error(404, "no such model"), Rejected, "unsupported_by_model: the API answered 404"),
            (
                Answer(502, b"<html><h1>Bad\ngateway</h1>", "text/html"),
                Unavailable,
                "engine_unavailable: the API answered 502: (not the API's JSON) <html><h1>Bad gat",
            ),
            (
                Answer(200, b"<html>a captive portal</html>", "text/html"),
                Rejected,
                "engine_failed: the API answered 200 with 29 bytes of text/html that hold no tran",
            ),
            (Answer(200, b'{"text": null}'), Rejected, "engine_failed: the API answered 200 with"),
            (
                Answer(503, b"{}", headers={"x-should-retry": "false"}),
                Rejected,
                "engine_unavailable: the API answered 503",
            ),
        ],
    )
    def test_each_answer_has_its_own_error(
        self, api: ApiServer, audio: Path, answer: Answer, kind: type[JobError], start: str
    ) -> None:
        api.down = answer
        with pytest.raises(kind) as caught:
            engine(api)[0](audio, REQUEST, Ledger())
        assert str(caught.value).startswith(start)
        assert KEY not in str(caught.value)

    def test_a_paid_answer_that_cannot_be_read_is_not_asked_for_again(
        self, api: ApiServer, audio: Path
    ) -> None:
        api.down = Answer(200, b"{", "application/json")
        with pytest.raises(Rejected):
            engine(api)[0](audio, REQUEST, Ledger())
        assert len(api.requests) == 1

    @pytest.mark.parametrize("lost", [Answer(0, b"", hang_up=True), Answer(504, b"<html>")])
    def test_a_lost_answer_is_counted_and_asked_for_once_more(
        self, api: ApiServer, audio: Path, lost: Answer
    ) -> None:
        api.planned.append(lost)
        ledger = Ledger()
        assert engine(api)[0](audio, REQUEST, ledger)["text"]
        assert ledger.states == ["sent", "answered"]

    @pytest.mark.parametrize("lost", [Answer(0, b"", hang_up=True), Answer(504, b"<html>")])
    def test_after_two_lost_answers_somebody_has_to_look(
        self, api: ApiServer, audio: Path, lost: Answer
    ) -> None:
        """Each may have been billed; the state machine does not repeat a rejection."""
        api.down = lost
        ledger = Ledger()
        with pytest.raises(Rejected, match=r"may have been billed, so it is not sent again"):
            engine(api)[0](audio, REQUEST, ledger)
        assert ledger.states == ["sent", "sent"]

    def test_an_answer_that_drips_ends_at_the_deadline(self, api: ApiServer, audio: Path) -> None:
        api.down = Answer(200, b"x" * 100, drip_s=0.2)
        started = time.monotonic()
        with pytest.raises(Rejected, match=r"timed_out: .* gave no answer"):
            engine(api, seconds=1)[0](audio, REQUEST, Ledger())
        assert time.monotonic() - started < 5


class TestKeys:
    def test_space_around_a_key_is_no_part_of_it(self, api: ApiServer, audio: Path) -> None:
        engine(api, key=f" {KEY}\n")[0](audio, REQUEST, Ledger())
        assert api.requests[0].authorization == f"Bearer {KEY}"

    @pytest.mark.parametrize("secret", ["", "sk-ä", "sk-a\nsk-b", f'{{"OPENAI_API_KEY":"{KEY}"}}'])
    def test_a_text_that_is_no_key_is_refused_without_showing_it(
        self, api: ApiServer, audio: Path, secret: str
    ) -> None:
        ledger = Ledger()
        with pytest.raises(
            Rejected, match="unauthorized: the secret's text is no API key"
        ) as caught:
            engine(api, key=secret)[0](audio, REQUEST, ledger)
        assert not secret or secret not in str(caught.value)
        assert (api.requests, ledger.states) == ([], [])


class TestConnections:
    def test_no_connection_costs_nothing(self, audio: Path) -> None:
        with ApiServer() as gone:
            pass
        ledger = Ledger()
        with pytest.raises(Unavailable, match="engine_unavailable: no connection to http"):
            engine(gone)[0](audio, REQUEST, ledger)
        assert ledger.states == ["refused"]


def test_every_recorded_answer_of_a_transcription_is_understood() -> None:
    from dropscribe.transcript import parse_answer

    formats: dict[str, Any] = {
        "json": "json",
        "verbose": "verbose_json",
        "diarized": "diarized_json",
    }
    for name, answer in RECORDED.items():
        kind = formats.get(name.split("_")[0])
        if kind and answer["status"] == 200:
            body = json.loads(answer["body"])
            parsed = parse_answer(kind, body)
            assert parsed.model_dump(exclude_unset=True, mode="json") == body, name
