"""The API's client over real HTTP: wire encoding, streams, faults, retries, what counts as paid."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dropscribe.api import (
    ApiObject,
    DurationUsage,
    TokenUsage,
    TranscriptionDiarized,
    TranscriptionRequest,
    TranscriptionStreamEvent,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionVerbose,
    TranslationRequest,
    VadConfig,
)
from dropscribe.client import LONGEST_WAIT_S, Ambiguous, Client, Received, retry_wait_s
from dropscribe.engines import openai
from dropscribe.errors import JobError, RateLimited, Rejected, Unavailable
from dropscribe.merge import merge
from dropscribe.passage import Passage, passage
from dropscribe.spans import Span
from dropscribe.transcript import Transcript
from tests.api_server import KEY, RECORDED, Answer, ApiServer, error, recorded, stream
from tests.patience import PATIENCE_S

REQUEST = TranscriptionRequest(model="whisper-1", response_format="verbose_json")
STREAMED = TranscriptionRequest(model="gpt-4o-mini-transcribe")
DELTA = {"type": "transcript.text.delta", "delta": "Hi"}
LOST = {
    "no answer": Answer(0, b"", hang_up=True),
    "reset after the body": Answer(0, b"", hang_up=True, reset=True),
    "reset before the body": Answer(0, b"", hang_up=True, unread=True, reset=True),
    "gateway": Answer(504, b"<html>"),
    "gateway of a network": Answer(524, b"<html>"),
    "request timeout": error(408, "too slow"),
}
"""Ways to leave the client without knowing whether it was served."""
CUT = {
    "cut answer": replace(recorded("verbose_default"), broken_off=True),
    "answer reset": replace(recorded("verbose_default"), broken_off=True, reset=True),
    "no gzip": replace(recorded("verbose_default"), headers={"content-encoding": "gzip"}),
}
"""Ways to lose an answer that was given, and billed."""


@dataclass
class Ledger:
    """Keeps what is recorded of each call, in memory."""

    states: list[str] = field(default_factory=list)

    def sent(self) -> str:
        self.states.append("sent")
        return str(len(self.states) - 1)

    def concluded(self, call: str, state: str) -> None:
        self.states[int(call)] = state

    def uncertain(self) -> int:
        return self.states.count("sent")


@dataclass
class Asking:
    """A client, and what it notes."""

    client: Client
    audio: Path
    waits: list[float]
    ledger: Ledger = field(default_factory=Ledger)

    def ask(self, request: TranscriptionRequest = REQUEST) -> ApiObject | str:
        return self.client.transcribe(self.audio, request, self.ledger)

    def refusal(self, request: TranscriptionRequest = REQUEST) -> JobError:
        with pytest.raises(JobError) as caught:
            self.ask(request)
        return caught.value

    def listen(
        self, request: TranscriptionRequest = STREAMED
    ) -> tuple[list[TranscriptionStreamEvent], JobError | None]:
        """The events that came, and the error that ended them."""
        heard: list[TranscriptionStreamEvent] = []
        try:
            heard.extend(self.client.stream(self.audio, request, self.ledger))
        except JobError as error:
            # `extend` keeps what came before an error.
            return heard, error
        return heard, None


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    path = tmp_path / "chunk.flac"
    path.write_bytes(b"fLaC" + bytes(range(256)) * 8)
    return path


Make = Callable[..., Asking]


@pytest.fixture(scope="module")
def shared(api_server: ApiServer) -> Iterator[Client]:
    """For tests that need no client of their own: to make one takes long."""
    with Client(api_server.base_url, KEY) as client:
        yield client


@pytest.fixture
def make(shared: Client, api: ApiServer, audio: Path) -> Iterator[Make]:
    """Clients of the stand-in, with arguments of one's own."""
    made: list[Client] = []

    def asking(
        base_url: str = api.base_url,
        key: Any = KEY,
        headers: dict[str, str] | None = None,
        path: Path = audio,
        timeout_s: float = 600,
    ) -> Asking:
        client = shared
        if (base_url, key, headers) != (api.base_url, KEY, None):
            client = Client(base_url, key, headers=headers)
            made.append(client)
        waits: list[float] = []
        client.sleep, client.timeout_s = waits.append, timeout_s
        return Asking(client, path, waits)

    yield asking
    for client in made:
        client.close()


class TestWire:
    @pytest.mark.case("C02")
    def test_a_minimal_request_sends_nothing_that_was_not_given(
        self, api: ApiServer, make: Make
    ) -> None:
        asking = make()
        answer = asking.ask()
        assert isinstance(answer, TranscriptionVerbose)
        assert answer.model_dump(exclude_unset=True) == json.loads(
            RECORDED["verbose_default"]["body"]
        )
        (seen,) = api.requests
        assert seen.path == "/v1/audio/transcriptions"
        assert seen.fields == [("model", "whisper-1"), ("response_format", "verbose_json")]
        assert seen.file_name == "chunk.flac"
        assert seen.audio == asking.audio.read_bytes()
        assert seen.authorization == f"Bearer {KEY}"
        assert asking.ledger.states == ["answered"]

    @pytest.mark.case("C01")
    @pytest.mark.case("C03")
    def test_lists_are_repeated_parts_and_objects_have_brackets(
        self, api: ApiServer, make: Make
    ) -> None:
        voices = [f"data:audio/wav;base64,{text}" for text in ("AAAA", "BBBB")]
        request = TranscriptionRequest(
            model="a/server's-own",
            response_format="diarized_json",
            stream=True,
            temperature=0.0,
            include=["logprobs"],
            timestamp_granularities=["word", "segment"],
            known_speaker_names=["Ann", "Ben"],
            known_speaker_references=voices,
            chunking_strategy=VadConfig(type="server_vad", threshold=0.5),
            prompt="Zeile\n会議 “quoted”",
        )
        assert make().listen(request)[1] is None
        assert api.requests[0].fields == [
            ("chunking_strategy[threshold]", "0.5"),
            ("chunking_strategy[type]", "server_vad"),
            ("include[]", "logprobs"),
            ("known_speaker_names[]", "Ann"),
            ("known_speaker_names[]", "Ben"),
            ("known_speaker_references[]", voices[0]),
            ("known_speaker_references[]", voices[1]),
            ("model", "a/server's-own"),
            ("prompt", "Zeile\n会議 “quoted”"),
            ("response_format", "diarized_json"),
            ("stream", "true"),
            ("temperature", "0.0"),
            ("timestamp_granularities[]", "segment"),
            ("timestamp_granularities[]", "word"),
        ]

    def test_a_translation_goes_to_its_own_address(self, api: ApiServer, make: Make) -> None:
        asking = make()
        request = TranslationRequest(model="whisper-1", prompt="x", response_format="srt")
        answer = asking.client.translate(asking.audio, request, asking.ledger)
        assert answer == RECORDED["srt_whisper"]["body"]
        (seen,) = api.requests
        assert seen.path == "/v1/audio/translations"
        assert dict(seen.fields) == {"model": "whisper-1", "prompt": "x", "response_format": "srt"}

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("Gespräch 会議.mp3", "audio/mpeg"),
            ("a b;c=d.wav", "audio/wav"),
            ("chunk.flac", "audio/flac"),
            ("TALK.M4A", "audio/mp4"),
            ("nothing-known", "application/octet-stream"),
        ],
    )
    def test_the_file_keeps_its_name(
        self, api: ApiServer, make: Make, tmp_path: Path, name: str, kind: str
    ) -> None:
        path = tmp_path / name
        path.write_bytes(b"\r\n--x\r\n\r\n")
        make(path=path).ask()
        (seen,) = api.requests
        assert (seen.file_name, seen.audio) == (name, b"\r\n--x\r\n\r\n")
        assert seen.file_type.startswith(kind)

    def test_a_file_that_is_gone_was_not_sent(self, api: ApiServer, make: Make) -> None:
        asking = make(path=Path("/gone.flac"))
        with pytest.raises(FileNotFoundError):
            asking.ask()
        assert (api.requests, asking.ledger.states) == ([], [])

    def test_a_large_file_is_never_in_memory(self, api: ApiServer, tmp_path: Path) -> None:
        path = tmp_path / "large.flac"
        size = 24 << 20
        with path.open("wb") as file:
            file.truncate(size)
        program = """
import sys, tracemalloc
from pathlib import Path
from dropscribe.api import TranscriptionRequest
from dropscribe.client import Client
with Client(sys.argv[1], sys.argv[2]) as client:
    tracemalloc.start()
    client.transcribe(Path(sys.argv[3]), TranscriptionRequest(model="whisper-1"))
    print(tracemalloc.get_traced_memory()[1])
"""
        command = [sys.executable, "-c", program, api.base_url, KEY, str(path)]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        assert len(api.requests[0].audio) == size
        assert int(result.stdout) < 6 << 20


class TestAnswers:
    @pytest.mark.parametrize(
        ("name", "wanted"),
        [
            ("json_whisper", "json"),
            ("json_mini_tokens", "json"),
            ("json_logprobs", "json"),
            ("json_gpt_transcribe", "json"),
            ("json_gpt_transcribe_silence", "json"),
            pytest.param("verbose_default", "verbose_json", marks=pytest.mark.case("C18")),
            pytest.param("verbose_word", "verbose_json", marks=pytest.mark.case("C18")),
            ("verbose_word_segment", "verbose_json"),
            ("verbose_segment", "verbose_json"),
            pytest.param(
                "diarized_no_task_duration", "diarized_json", marks=pytest.mark.case("C05")
            ),
            pytest.param("diarized_2026_08", "diarized_json", marks=pytest.mark.case("C06")),
            ("diarized_known_speaker", "diarized_json"),
        ],
    )
    def test_every_recorded_answer_is_understood(
        self, api: ApiServer, make: Make, name: str, wanted: Any
    ) -> None:
        api.planned.append(recorded(name))
        answer = make().ask(TranscriptionRequest(model="a", response_format=wanted))
        assert isinstance(answer, ApiObject)
        body = json.loads(RECORDED[name]["body"])
        assert answer.model_dump(exclude_unset=True, mode="json") == body

    def test_the_recordings_hold_what_their_cases_are_about(self) -> None:
        """Else the table above would show less than it says."""
        verbose = json.loads(RECORDED["verbose_default"]["body"])
        assert verbose["segments"][-1]["end"] > verbose["duration"]
        old = json.loads(RECORDED["diarized_no_task_duration"]["body"])
        assert not {"task", "duration"} & set(old)

    @pytest.mark.case("C17")
    def test_a_probability_above_one_is_the_apis_rounding(self, api: ApiServer, make: Make) -> None:
        tokens = [{"token": " a", "logprob": 1.52587890625e-05, "bytes": [32, 97]}]
        content = {"type": "transcript.text.done", "text": "a", "logprobs": tokens}
        api.planned += [Answer(200, json.dumps(content).encode()), stream(content)]
        answer = make().ask(TranscriptionRequest(model="a", include=["logprobs"]))
        assert isinstance(answer, ApiObject)
        assert answer.model_dump()["logprobs"] == tokens
        assert make().listen()[0][0].model_dump()["logprobs"] == tokens

    @pytest.mark.case("C29")
    @pytest.mark.parametrize("wanted", ["text", "srt", "vtt"])
    def test_text_comes_as_it_was_sent_and_that_of_an_object_has_no_newline(
        self, make: Make, wanted: Any
    ) -> None:
        text = make().ask(TranscriptionRequest(model="whisper-1", response_format=wanted))
        assert text == RECORDED[f"{wanted}_whisper"]["body"]
        assert str(text).endswith("\n")
        answer = make().ask(TranscriptionRequest(model="whisper-1"))
        assert isinstance(answer, ApiObject)
        assert answer.model_dump()["text"] + "\n" == RECORDED["text_whisper"]["body"]

    @pytest.mark.parametrize(
        ("wanted", "body"),
        [
            ("json", {"text": "x", "usage": "none", "languages": ["en"], "logprobs": [0.1]}),
            ("json", {"text": "x", "usage": {"prompt_tokens": 1, "type": "credits"}}),
            ("verbose_json", {"text": "x", "segments": [], "usage": {"prompt_tokens": 1}}),
            ("diarized_json", {"text": "x", "segments": [], "usage": []}),
        ],
    )
    def test_a_paid_transcript_is_not_lost_over_what_stands_beside_it(
        self, api: ApiServer, make: Make, wanted: str, body: dict[str, Any]
    ) -> None:
        api.down = Answer(201, json.dumps(body).encode())
        asking = make()
        request = TranscriptionRequest.model_validate(
            {"model": "their-own", "response_format": wanted}
        )
        answer = asking.client.transcribe(asking.audio, request, asking.ledger)
        assert not isinstance(answer, str)
        assert (answer.text, answer.usage) == ("x", None)
        assert asking.ledger.states == ["answered"]

    def test_what_a_newer_server_adds_is_kept(self, api: ApiServer, make: Make) -> None:
        api.planned.append(Answer(200, b'{"text":"a","new":{"x":1},"usage":null}'))
        answer = make().ask(TranscriptionRequest(model="whisper-1"))
        assert isinstance(answer, ApiObject)
        assert answer.model_dump(exclude_unset=True)["new"] == {"x": 1}

    def test_a_stream_that_nobody_asked_for_is_no_text(self, api: ApiServer, make: Make) -> None:
        api.planned.append(recorded("sse_text"))
        asking = make()
        assert asking.refusal(STREAMED).code == "engine_failed"
        assert asking.ledger.states == ["answered"]


class TestStreams:
    @pytest.mark.case("C10")
    @pytest.mark.parametrize(
        ("name", "request_", "counts"),
        [
            ("sse_text", STREAMED, (8, 0)),
            ("sse_logprobs", STREAMED.model_copy(update={"include": ["logprobs"]}), (8, 0)),
            (
                "sse_diarized",
                TranscriptionRequest(
                    model="gpt-4o-transcribe-diarize", response_format="diarized_json"
                ),
                (0, 3),
            ),
        ],
    )
    def test_recorded_streams_arrive_event_by_event(
        self,
        api: ApiServer,
        make: Make,
        name: str,
        request_: TranscriptionRequest,
        counts: tuple[int, int],
    ) -> None:
        asking = make()
        events, failed = asking.listen(request_)
        assert failed is None
        sent = [text.removeprefix("data: ") for text in RECORDED[name]["body"].split("\r\n\r\n")]
        assert [event.model_dump(exclude_unset=True) for event in events] == [
            json.loads(text) for text in sent if text.startswith("{")
        ]
        kinds = [event.type for event in events]
        assert counts == (
            kinds.count("transcript.text.delta"),
            kinds.count("transcript.text.segment"),
        )
        done = events[-1]
        assert isinstance(done, TranscriptionTextDoneEvent)
        deltas = [event.delta for event in events if isinstance(event, TranscriptionTextDeltaEvent)]
        assert "".join(deltas) == (done.text if deltas else "")
        assert ("stream", "true") in api.requests[0].fields
        assert asking.ledger.states == ["answered"]

    @pytest.mark.case("C12")
    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            (stream(DELTA), "engine_failed"),
            (stream(DELTA, "[DONE]"), "engine_failed"),
            (stream(DELTA, '{"type":"transcript.text.do'), "engine_failed"),
            (stream(DELTA, {"type": "transcript.text.done"}), "engine_failed"),
            (stream(DELTA, "7"), "engine_failed"),
            (stream(DELTA, broken_off=True), "engine_unavailable"),
            (stream(DELTA, '{"type":"transc', broken_off=True), "engine_failed"),
            (stream(DELTA, DELTA, broken_off=True, reset=True), "engine_unavailable"),
        ],
        ids=[
            *("end", "end marker", "end within an event", "done without text", "no object"),
            *("cut", "cut within an event", "reset"),
        ],
    )
    def test_a_stream_that_was_not_done_is_no_short_transcript(
        self, api: ApiServer, make: Make, fault: Answer, code: str
    ) -> None:
        api.down = fault
        asking = make()
        events, failed = asking.listen()
        # A reset may overtake what was sent before it.
        assert fault.reset or events
        assert type(failed) is Ambiguous
        assert failed.code == code
        assert len(api.requests) == 1
        assert asking.ledger.states == ["sent"]

    def test_a_reset_within_an_event_is_an_error_too(self, api: ApiServer, make: Make) -> None:
        whole = recorded("sse_text")
        api.down = replace(whole, body=whole.body[:-150], broken_off=True, reset=True)
        asking = make()
        failed = asking.listen()[1]
        assert type(failed) is Ambiguous
        assert asking.ledger.states == ["sent"]

    @pytest.mark.case("C14")
    @pytest.mark.parametrize(
        ("fields", "kind", "code"),
        [
            ({"type": "server_error"}, Unavailable, "engine_unavailable"),
            ({}, Unavailable, "engine_unavailable"),
            ({"type": "requests", "code": "rate_limit_exceeded"}, RateLimited, "rate_limited"),
            ({"type": "rate_limit_exceeded"}, RateLimited, "rate_limited"),
            ({"code": "insufficient_quota"}, Rejected, "quota_exceeded"),
            ({"type": "invalid_request_error", "param": "file"}, Rejected, "not_media"),
            ({"type": "invalid_request_error"}, Rejected, "unsupported_by_model"),
            (
                {"type": "invalid_request_error", "code": "invalid_api_key"},
                Rejected,
                "unauthorized",
            ),
        ],
    )
    def test_an_error_in_the_stream_is_the_apis_error(
        self, api: ApiServer, make: Make, fields: dict[str, str], kind: type[JobError], code: str
    ) -> None:
        content = {"message": "the model stumbled", **fields}
        api.down = stream(DELTA, {"error": content})
        asking = make()
        events, failed = asking.listen()
        assert len(events) == 1
        assert type(failed) is kind
        assert failed.code == code
        assert failed.said is not None
        assert failed.said.model_dump(exclude_unset=True) == content
        assert asking.ledger.states == ["sent"]

    def test_a_stream_that_drips_ends_at_the_time_limit(self, api: ApiServer, make: Make) -> None:
        api.down = replace(recorded("sse_text"), drip_s=0.5)
        asking = make(timeout_s=3)
        failed = asking.listen()[1]
        assert type(failed) is Ambiguous
        assert failed.code == "timed_out"
        assert asking.ledger.states == ["sent"]

    def test_events_of_a_later_kind_are_passed_over(self, api: ApiServer, make: Make) -> None:
        done = {"type": "transcript.text.done", "text": "a", "error": None}
        api.down = stream({"type": "transcript.text.heartbeat"}, {"no": "type"}, done, "[DONE]")
        events, failed = make().listen()
        assert failed is None
        assert [event.type for event in events] == ["transcript.text.done"]

    @pytest.mark.case("C16")
    @pytest.mark.parametrize(
        ("usage", "kind"),
        [
            ({"type": "duration", "seconds": 8}, DurationUsage),
            ({"seconds": 8.5}, DurationUsage),
            ({"total_tokens": 9, "input_tokens": 8, "output_tokens": 1}, TokenUsage),
        ],
    )
    def test_usage_is_of_either_kind_and_may_lack_its_type(
        self, api: ApiServer, make: Make, usage: dict[str, Any], kind: type[ApiObject]
    ) -> None:
        content = {"type": "transcript.text.done", "text": "a", "usage": usage}
        api.planned += [stream(content), Answer(200, json.dumps(content).encode())]
        done = make().listen()[0][-1]
        assert isinstance(done, TranscriptionTextDoneEvent)
        assert isinstance(done.usage, kind)
        whole = make().ask(TranscriptionRequest(model="whisper-1"))
        assert isinstance(whole, ApiObject)
        assert whole.model_dump()["usage"].items() >= usage.items()

    @pytest.mark.parametrize(
        ("name", "wanted", "segments"),
        [
            ("json_logprobs", "json", 0),
            ("json_gpt_transcribe", "json", 0),
            ("verbose_default", "verbose_json", 0),
            ("diarized_known_speaker", "diarized_json", 3),
            ("text_whisper", "text", 0),
        ],
    )
    def test_an_answer_at_once_makes_the_events_of_a_stream(
        self, api: ApiServer, make: Make, name: str, wanted: Any, segments: int
    ) -> None:
        api.planned.append(recorded(name))
        asking = make()
        events, failed = asking.listen(TranscriptionRequest(model="a", response_format=wanted))
        assert failed is None
        *before, done = events
        assert [event.type for event in before] == ["transcript.text.segment"] * segments
        assert isinstance(done, TranscriptionTextDoneEvent)
        body = RECORDED[name]["body"]
        whole = {"text": body.rstrip("\n")} if wanted == "text" else json.loads(body)
        shared = {"text", "logprobs", "languages", "usage"} & whole.keys()
        fields = done.model_dump(exclude_none=True)
        assert {key: fields[key] for key in shared} == {key: whole[key] for key in shared}
        assert [event.model_dump() for event in before] == whole.get("segments", [])[:segments]
        assert asking.ledger.states == ["answered"]

    def test_it_is_asked_for_again_while_no_event_has_come(
        self, api: ApiServer, make: Make
    ) -> None:
        api.planned += [error(500, "oops"), Answer(0, b"", hang_up=True)]
        asking = make()
        events, failed = asking.listen()
        assert (len(events), failed) == (9, None)
        assert asking.ledger.states == ["refused", "sent", "answered"]

    def test_whoever_stops_listening_leaves_the_client_usable(self, make: Make) -> None:
        asking = make()
        for event in asking.client.stream(asking.audio, STREAMED, asking.ledger):
            assert event.type == "transcript.text.delta"
            break
        assert asking.ask()
        assert asking.ledger.states == ["sent", "answered"]


class TestLostAnswers:
    @pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
    def test_one_is_counted_and_asked_for_once_more(
        self, api: ApiServer, make: Make, lost: Answer
    ) -> None:
        api.planned.append(lost)
        asking = make()
        assert asking.ask()
        assert asking.ledger.states == ["sent", "answered"]
        assert api.requests[-1].audio == asking.audio.read_bytes()

    @pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
    def test_after_two_it_is_not_known_and_not_sent_again(
        self, api: ApiServer, make: Make, lost: Answer
    ) -> None:
        api.down = lost
        asking = make()
        assert type(asking.refusal()) is Ambiguous
        assert asking.ledger.states == ["sent", "sent"]

    @pytest.mark.parametrize("cut", CUT.values(), ids=CUT)
    def test_one_that_was_given_is_not_asked_for_again(
        self, api: ApiServer, make: Make, cut: Answer
    ) -> None:
        api.down = cut
        asking = make()
        failed = asking.refusal()
        assert (type(failed), failed.code) == (Rejected, "engine_unavailable")
        assert asking.ledger.states == ["answered"]
        assert len(api.requests) == 1

    def test_one_is_not_forgotten_over_refusals(self, api: ApiServer, make: Make) -> None:
        """`Unavailable` would say that nothing was billed."""
        api.planned += [LOST["no answer"], error(500, "a"), error(500, "b")]
        asking = make()
        assert type(asking.refusal()) is Ambiguous
        assert asking.ledger.states == ["sent", "refused", "refused"]

    def test_an_answer_that_settles_it_is_the_answer(self, api: ApiServer, make: Make) -> None:
        api.planned += [LOST["no answer"], error(400, "no")]
        asking = make()
        assert type(asking.refusal()) is Rejected
        assert asking.ledger.states == ["sent", "refused"]

    @pytest.mark.parametrize("status", [408, 504])
    def test_a_server_that_says_so_is_left_alone(
        self, api: ApiServer, make: Make, status: int
    ) -> None:
        api.down = error(status, "enough", x_should_retry="false")
        asking = make()
        assert type(asking.refusal()) is Ambiguous
        assert asking.ledger.states == ["sent"]

    def test_an_answer_that_drips_ends_at_the_time_limit(self, api: ApiServer, make: Make) -> None:
        api.down = Answer(200, b"x" * 1000, drip_s=0.5)
        asking = make(timeout_s=3)
        failed = asking.refusal()
        assert (type(failed), failed.code) == (Rejected, "timed_out")
        assert asking.ledger.states == ["answered"]

    def test_an_answer_that_unpacks_without_end_ends(self, api: ApiServer, make: Make) -> None:
        packed = gzip.compress(b'{"text": "' + bytes(80 << 20))
        api.down = Answer(200, packed, headers={"content-encoding": "gzip"})
        asking = make()
        failed = asking.refusal()
        assert (type(failed), failed.code) == (Rejected, "engine_unavailable")
        assert "broke off its answer (RemoteProtocolError), which was billed" in str(failed)
        assert asking.ledger.states == ["answered"]

    def test_a_refusal_is_heard_though_the_upload_was_not_read(
        self, api: ApiServer, make: Make, tmp_path: Path
    ) -> None:
        path = tmp_path / "large.flac"
        with path.open("wb") as file:
            file.truncate(24 << 20)
        api.down = replace(recorded("error_413"), unread=True)
        asking = make(path=path)
        failed = asking.refusal()
        assert (type(failed), failed.code) == (Rejected, "too_long")
        assert asking.ledger.states == ["refused"]


class TestRetries:
    @pytest.mark.case("C22")
    @pytest.mark.parametrize(
        ("headers", "wait_s"),
        [
            ({"retry_after_ms": "250"}, 0.25),
            ({"retry_after_ms": "250", "retry_after": "7"}, 0.25),
            ({"retry_after_ms": "soon", "retry_after": "7"}, 7.0),
            ({"retry_after": "3"}, 3.0),
            ({"retry_after": "1.5"}, 1.5),
            ({"retry_after": "999"}, 120.0),
            ({"retry_after": "1e300"}, 120.0),
            ({"retry_after": "-5"}, 0.0),
            ({"retry_after_ms": "-5"}, 0.0),
            ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
            ({"retry_after": "Wed, 21 Oct 2099 07:28:00 GMT"}, 120.0),
            ({"retry_after": "soon"}, None),
            ({"retry_after": ""}, None),
            ({"retry_after": "1e999"}, None),
            ({"retry_after_ms": "nan", "retry_after": "0"}, None),
        ],
    )
    def test_it_waits_as_the_server_says_and_sends_the_whole_body_again(
        self, api: ApiServer, make: Make, headers: dict[str, str], wait_s: float | None
    ) -> None:
        api.planned.append(error(429, "slow down", **headers))
        asking = make()
        assert asking.ask()
        assert asking.waits == [wait_s] if wait_s is not None else 0.3 < asking.waits[0] <= 0.5
        assert [seen.audio for seen in api.requests] == [asking.audio.read_bytes()] * 2
        assert asking.ledger.states == ["refused", "answered"]

    def test_a_date_is_counted_from_now(self) -> None:
        at = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
        told = Received(429, httpx.Headers({"retry-after": at}))
        assert 30 < retry_wait_s(told, 1) <= 60

    @settings(max_examples=50)
    @given(
        st.text(st.characters(codec="ascii"))
        | st.from_regex(r"Mon, [0-9]{1,2} Jan [0-9]{1,5} 00:00:00 [+-][0-9]{1,20}", fullmatch=True)
    )
    def test_no_header_breaks_it(self, value: str) -> None:
        for name in ("retry-after", "retry-after-ms"):
            told = Received(429, httpx.Headers({name: value}))
            assert 0 <= retry_wait_s(told, 1) <= LONGEST_WAIT_S

    def test_without_advice_it_backs_off_with_jitter(self, api: ApiServer, make: Make) -> None:
        api.planned += [error(500, "oops"), Answer(503, b"<html>busy</html>", "text/html")]
        asking = make()
        asking.ask()
        assert 0.375 <= asking.waits[0] <= 0.5
        assert 0.75 <= asking.waits[1] <= 1.0

    @pytest.mark.case("C22")
    @pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
    def test_these_are_asked_again(self, api: ApiServer, make: Make, status: int) -> None:
        api.planned.append(error(status, "later"))
        asking = make()
        assert asking.ask()
        assert len(api.requests) == 2

    @pytest.mark.case("C22")
    @pytest.mark.parametrize(
        "answer",
        [
            *(error(status, "never") for status in (400, 401, 402, 403, 404, 413, 422)),
            error(429, "out of money", code="insufficient_quota", retry_after="1"),
            *(error(status, "no", x_should_retry="false") for status in (409, 429, 500, 503)),
        ],
        ids=lambda answer: f"{answer.status} {answer.headers}",
    )
    def test_these_are_not(self, api: ApiServer, make: Make, answer: Answer) -> None:
        api.down = answer
        asking = make()
        assert type(asking.refusal()) is Rejected
        assert (len(api.requests), asking.waits) == (1, [])
        assert asking.ledger.states == ["refused"]

    def test_it_gives_up_after_three_attempts(self, api: ApiServer, make: Make) -> None:
        api.down = error(503, "maintenance")
        asking = make()
        failed = asking.refusal()
        assert type(failed) is Unavailable
        assert str(failed) == "engine_unavailable: the API answered 503: maintenance"
        assert asking.ledger.states == ["refused"] * 3

    def test_it_does_not_wait_beyond_its_callers_time(self, api: ApiServer, make: Make) -> None:
        api.down = error(429, "slow down", retry_after="30")
        asking = make(timeout_s=20)
        assert asking.refusal().code == "rate_limited"
        assert (asking.waits, len(api.requests)) == ([], 1)

    def test_no_connection_costs_nothing(self, make: Make) -> None:
        with ApiServer() as gone:
            pass
        asking = make(gone.base_url)
        failed = asking.refusal()
        assert type(failed) is Unavailable
        assert str(failed).startswith("engine_unavailable: no connection to http")
        assert asking.ledger.states == ["refused"] * 3


class TestErrors:
    @pytest.mark.parametrize(
        ("answer", "kind", "start"),
        [
            pytest.param(
                recorded("error_401"),
                Rejected,
                "unauthorized: the API answered 401: Incorrect API",
                marks=pytest.mark.case("C07"),
            ),
            (error(403, "no"), Rejected, "unauthorized: the API answered 403: no"),
            (
                error(429, "out of money", code="insufficient_quota"),
                Rejected,
                "quota_exceeded: the API answered 429: out of money",
            ),
            pytest.param(
                recorded("error_413"),
                Rejected,
                "too_long: the API answered 413: 413: Maximum content size",
                marks=pytest.mark.case("C08"),
            ),
            (recorded("error_400_corrupt"), Rejected, "not_media: the API answered 400: Audio"),
            (recorded("error_400_ext"), Rejected, "not_media: the API answered 400: Unsupported"),
            pytest.param(
                recorded("error_400_language"),
                Rejected,
                "unsupported_by_model: the API answered 400: Invalid language",
                marks=pytest.mark.case("C08"),
            ),
            (error(404, "no such model"), Rejected, "unsupported_by_model: the API answered 404"),
            (
                Answer(503, b"{}", headers={"x-should-retry": "false"}),
                Rejected,
                "engine_unavailable: the API answered 503",
            ),
        ],
    )
    def test_each_answer_has_its_own_error(
        self, api: ApiServer, make: Make, answer: Answer, kind: type[JobError], start: str
    ) -> None:
        api.down = answer
        failed = make().refusal()
        assert type(failed) is kind
        assert str(failed).startswith(start)
        content = json.loads(answer.body).get("error")
        assert failed.said is not None
        assert content is None or failed.said.model_dump(exclude_unset=True) == content

    def test_a_gateways_page_is_told_in_one_line(self, api: ApiServer, make: Make) -> None:
        api.down = Answer(502, b"<html><h1>Bad\ngateway</h1>" + b"x" * 5000, "text/html")
        failed = make().refusal()
        start = "the API answered 502: (not the API's JSON) <html><h1>Bad gateway</h1>xx"
        assert type(failed) is Unavailable
        assert failed.message.startswith(start)
        assert len(failed.message) < 300

    @pytest.mark.parametrize(
        ("answer", "wanted", "why"),
        [
            (Answer(200, b"<html>a portal</html>", "text/html"), "verbose_json", "text/html, no"),
            (Answer(200, b"<html>a portal</html>", "text/html"), "text", "21 bytes of text/html"),
            (Answer(200, b'{"text": null}'), "json", "(text: string_type)"),
            (Answer(200, b"{"), "json", "(body: json_invalid)"),
            (Answer(200, b'{"language": "the secret"}'), "verbose_json", "(text: missing)"),
        ],
    )
    def test_a_paid_answer_that_cannot_be_read_is_not_asked_for_again(
        self, api: ApiServer, make: Make, answer: Answer, wanted: Any, why: str
    ) -> None:
        api.down = answer
        asking = make()
        failed = asking.refusal(TranscriptionRequest(model="whisper-1", response_format=wanted))
        assert (type(failed), failed.code) == (Rejected, "engine_failed")
        assert why in failed.message
        assert "secret" not in failed.message
        assert asking.ledger.states == ["answered"]


class TestAddresses:
    @pytest.mark.parametrize(
        ("suffix", "path"),
        [
            ("/v1", "/v1/audio/transcriptions"),
            ("/v1/", "/v1/audio/transcriptions"),
            ("", "/audio/transcriptions"),
            ("/", "/audio/transcriptions"),
            ("/v1?", "/v1/audio/transcriptions"),
            (
                "/openai/deployments/d?api-version=1&x=%2F",
                "/openai/deployments/d/audio/transcriptions?api-version=1&x=%2F",
            ),
            ("/a%20b/v1/?q=1", "/a%20b/v1/audio/transcriptions?q=1"),
        ],
    )
    def test_the_path_goes_before_the_query(
        self, api: ApiServer, make: Make, suffix: str, path: str
    ) -> None:
        make(api.base_url.removesuffix("/v1") + suffix).ask()
        assert api.requests[0].path.removesuffix("?") == path

    @pytest.mark.parametrize("address", ["api.openai.com/v1", "ftp://me:hidden@host/v1?k=hidden"])
    def test_what_is_no_address_is_refused_at_once(self, address: str) -> None:
        with pytest.raises(ValueError, match="no address of an API") as caught:
            Client(address)
        assert "hidden" not in str(caught.value)

    def test_a_header_of_ones_own_may_carry_the_key(self, api: ApiServer, make: Make) -> None:
        api.down = recorded("verbose_default")
        make(headers={"Api-Key": "{key}", "X-Team": "red"}).ask()
        (seen,) = api.requests
        assert seen.authorization is None
        assert {("api-key", KEY), ("x-team", "red")} <= set(seen.headers)

    def test_an_authorization_of_ones_own_is_the_only_one(self, api: ApiServer, make: Make) -> None:
        api.down = recorded("verbose_default")
        make(headers={"Authorization": "Basic abc"}).ask()
        sent = [value for name, value in api.requests[0].headers if name == "authorization"]
        assert sent == ["Basic abc"]


class TestKeys:
    def test_without_a_key_no_header_is_sent(self, api: ApiServer, make: Make) -> None:
        assert make(key=None).refusal().code == "unauthorized"
        assert api.requests[0].authorization is None

    def test_space_around_a_key_is_no_part_of_it(self, api: ApiServer, make: Make) -> None:
        make(key=f" {KEY}\n").ask()
        assert api.requests[0].authorization == f"Bearer {KEY}"

    def test_a_function_is_asked_before_each_call(self, api: ApiServer, make: Make) -> None:
        keys = iter(["sk-1", "sk-2"])
        api.planned += [error(500, "oops"), *[recorded("verbose_default")] * 2]
        asking = make(key=lambda: next(keys))
        asking.ask()
        asking.ask()
        sent = [seen.authorization for seen in api.requests]
        assert sent == ["Bearer sk-1", "Bearer sk-1", "Bearer sk-2"]

    @pytest.mark.parametrize("secret", ["", "sk-ä", "sk-a\nsk-b", f'{{"OPENAI_API_KEY":"{KEY}"}}'])
    def test_a_text_that_is_no_key_is_refused_without_showing_it(
        self, api: ApiServer, make: Make, secret: str
    ) -> None:
        asking = make(key=lambda: secret)
        failed = asking.refusal()
        assert type(failed) is Rejected
        assert str(failed).startswith("unauthorized: the secret's text is no API key")
        assert not secret or secret not in str(failed)
        assert (api.requests, asking.ledger.states) == ([], [])

    @pytest.mark.parametrize(
        "answer",
        [
            *(LOST["no answer"], LOST["gateway"], error(401, "no"), error(500, "no")),
            *(Answer(200, b"{"), Answer(502, b"<html>"), recorded("sse_text")),
            stream(),
            stream("{"),
        ],
    )
    def test_no_error_tells_the_key_or_what_else_the_address_holds(
        self, api: ApiServer, make: Make, answer: Answer
    ) -> None:
        api.down = answer
        address = api.base_url + "?code=hidden-code"
        asking = make(address, headers={"x-extra": "hidden {key}"})
        assert "hidden-code" in str(asking.client.base_url)
        failures = [asking.refusal(), asking.listen()[1]]
        texts = [f"{failed} {failed!r} {failed.said!r}" for failed in failures if failed]
        texts.append(repr(asking.client))
        for text in texts:
            assert not [part for part in (KEY, "hidden") if part in text]

    def test_a_server_that_tells_the_key_is_not_repeated(self, api: ApiServer, make: Make) -> None:
        api.down = error(401, f"bad key {KEY}")
        failed = make().refusal()
        assert "bad key ***" in failed.message
        assert KEY not in f"{failed!r} {failed.said!r}"

    def test_a_server_that_sends_us_elsewhere_is_not_followed(
        self, api: ApiServer, make: Make
    ) -> None:
        """The key and the recording would go along."""
        with ApiServer() as elsewhere:
            address = f"{elsewhere.base_url}/audio/transcriptions"
            api.down = Answer(307, b"", headers={"location": address})
            failed = make().refusal()
            assert elsewhere.requests == []
        assert (type(failed), failed.code) == (Rejected, "engine_unavailable")

    @pytest.mark.parametrize("streamed", [False, True])
    def test_a_key_that_is_a_common_word_is_not_taken_out_of_a_transcript(
        self, api: ApiServer, make: Make, streamed: bool
    ) -> None:
        """Servers of one's own are often given `none` for a key."""
        said = TranscriptionTextDoneEvent(text="none of it").model_dump_json()
        api.down = stream(said) if streamed else Answer(200, b'{"text": "none of it"}')
        asking = make(key="none")
        request = TranscriptionRequest(model="gpt-4o-transcribe")
        call: Any = asking.client.stream if streamed else asking.client.transcribe
        answer = call(asking.audio, request)
        assert (next(answer) if streamed else answer).text == "none of it"

    def test_a_user_in_the_address_is_refused_without_showing_it(self) -> None:
        with pytest.raises(ValueError, match="holds a user") as refused:
            Client("https://me:pass-word@example.org/v1")
        assert "pass-word" not in str(refused.value)

    @pytest.mark.parametrize("value", ["{key} ", "a\r\nb: {key}", "\0{key}", "gr\u00fcn"])
    def test_a_header_that_cannot_be_sent_is_refused_before_a_call(self, value: str) -> None:
        """HTTP libraries quote it in their own error, with the key in it."""
        with pytest.raises(ValueError, match="header 'x-key' cannot be sent"):
            Client(api_key=KEY, headers={"X-Key": value})


class TestEngine:
    """`engines.openai`: the same for a job."""

    def test_a_job_gets_the_answer_and_its_calls_are_counted(
        self, api: ApiServer, audio: Path
    ) -> None:
        ledger = Ledger()
        transcribe = openai.engine(
            api.base_url, lambda: KEY, time.monotonic() + PATIENCE_S, {"x-team": "red"}
        )
        assert isinstance(transcribe(audio, REQUEST, ledger), TranscriptionVerbose)
        assert ("x-team", "red") in api.requests[0].headers
        assert ledger.states == ["answered"]

    @pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
    def test_after_two_lost_answers_somebody_has_to_look(
        self, api: ApiServer, audio: Path, lost: Answer
    ) -> None:
        """Each may have been billed; the state machine does not repeat a rejection."""
        api.down = lost
        ledger = Ledger()
        waits: list[float] = []
        transcribe = openai.engine(
            api.base_url, lambda: KEY, time.monotonic() + PATIENCE_S, sleep=waits.append
        )
        with pytest.raises(Rejected, match="may have been billed, so it is not sent again"):
            transcribe(audio, REQUEST, ledger)
        assert ledger.states == ["sent", "sent"]
        assert len(waits) == 1

    def test_what_was_not_served_may_be_tried_by_the_state_machine(
        self, api: ApiServer, audio: Path
    ) -> None:
        api.down = error(503, "later")
        transcribe = openai.engine(
            api.base_url, lambda: KEY, time.monotonic() + PATIENCE_S, sleep=lambda _: None
        )
        with pytest.raises(Unavailable, match="later"):
            transcribe(audio, REQUEST, Ledger())
        assert len(api.requests) == 3

    @pytest.mark.parametrize(("before", "asked"), [(1, 1), (2, 0), (3, 0)])
    def test_requests_of_runs_that_died_count_among_those_that_may_have_been_billed(
        self, api: ApiServer, audio: Path, before: int, asked: int
    ) -> None:
        api.down = Answer(0, b"", hang_up=True)
        ledger = Ledger(["sent"] * before)
        transcribe = openai.engine(
            api.base_url, lambda: KEY, time.monotonic() + PATIENCE_S, sleep=lambda _: None
        )
        with pytest.raises(Rejected, match="may have been billed, so it is not sent again"):
            transcribe(audio, REQUEST, ledger)
        assert len(api.requests) == asked

    def test_after_one_lost_answer_an_api_that_is_down_is_waited_for(
        self, api: ApiServer, audio: Path
    ) -> None:
        """Its count is kept: the next run may lose one more answer, and no third."""
        ledger = Ledger()
        transcribe = openai.engine(
            api.base_url, lambda: KEY, time.monotonic() + PATIENCE_S, sleep=lambda _: None
        )
        api.planned.extend([Answer(0, b"", hang_up=True), error(503, "a"), error(503, "b")])
        with pytest.raises(Unavailable, match="b"):
            transcribe(audio, REQUEST, ledger)
        assert isinstance(transcribe(audio, REQUEST, ledger), TranscriptionVerbose)
        assert ledger.states == ["sent", "refused", "refused", "answered"]

    def test_who_is_asked_too_much_is_told_apart_from_who_is_down(
        self, api: ApiServer, audio: Path
    ) -> None:
        """The state machine waits for the former as long as it takes."""
        api.down = error(429, "slow down")
        transcribe = openai.engine(
            api.base_url, lambda: KEY, time.monotonic() + PATIENCE_S, sleep=lambda _: None
        )
        with pytest.raises(RateLimited, match="slow down"):
            transcribe(audio, REQUEST, Ledger())


class TestTranscripts:
    """What of an answer must not be taken at its word."""

    @staticmethod
    def merged(*parts: Passage) -> Transcript:
        return merge(parts, duration_ms=9000, task="transcribe", language=None)

    @pytest.mark.case("C25")
    def test_the_speaker_a_of_one_request_is_not_that_of_another(self) -> None:
        answer = TranscriptionDiarized.model_validate_json(RECORDED["diarized_2026_08"]["body"])
        assert {segment.speaker for segment in answer.segments} == {"A"}
        transcript = self.merged(*(passage(Span(0, 9000), answer, channel) for channel in (0, 1)))
        assert transcript.speakers == ["A", "B"]

    @pytest.mark.case("C31")
    def test_a_word_that_has_no_time_is_not_lost(self) -> None:
        body = json.loads(RECORDED["verbose_word_segment"]["body"])
        body["words"] = body["words"][:2]
        transcript = self.merged(passage(Span(0, 9000), TranscriptionVerbose(**body)))
        assert transcript.text == body["text"]
        assert [segment.text for segment in transcript.segments or []] == [body["text"]]
