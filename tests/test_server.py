"""The HTTP contract of `dropscribe serve`, to the byte: keys, forms, errors, streams, limits."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest

from dropscribe.api import (
    Logprob,
    TranscriptionRequest,
    TranscriptionTextDeltaEvent,
    TranslationRequest,
    VadConfig,
    invalid_request,
)
from dropscribe.server import transport
from dropscribe.server.refused import Refused
from dropscribe.validity import FILE_SUFFIXES
from tests.api_server import RECORDED
from tests.patience import PATIENCE_S
from tests.served import (
    BOUNDARY,
    EVENTS,
    HELLO,
    MODEL,
    Reply,
    Served,
    body,
    file,
    raw_request,
    read,
    text,
)

MISSING_TYPE = ("chunking_strategy.type", "missing_required_parameter")
LOUD_VAD = (
    text("chunking_strategy[type]", "server_vad"),
    text("chunking_strategy[threshold]", "1.5"),
)
TRANSCRIPTIONS, TRANSLATIONS = "/v1/audio/transcriptions", "/v1/audio/translations"
KEY = "sk-local-0123456789abcdef"
SECRET = "the secret of the backend"
WHISPER, DIARIZING = text("model", "whisper-1"), text("model", "gpt-4o-transcribe-diarize")
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served() as running:
        yield running


@pytest.fixture
def server(served: Served) -> Served:
    served.behave()
    assert served.service.is_idle()
    return served


def error(reply: Reply) -> dict[str, Any]:
    """The error of an answer in the API's shape."""
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"].startswith("req_")
    found: dict[str, Any] = json.loads(reply.body)["error"]
    assert list(found) == ["message", "type", "param", "code"]
    return found


def frames(reply: Reply) -> list[str]:
    """The data of each event, all framed as the API does it."""
    *events, rest = reply.body.decode().split("\r\n\r\n")
    assert rest == ""
    assert all(event.startswith("data: ") and "\n" not in event for event in events)
    return [event.removeprefix("data: ") for event in events]


class TestKeys:
    @pytest.mark.case("S71")
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({}, "You didn't provide an API key."),
            ({"authorization": f"Basic {KEY}"}, "You didn't provide an API key."),
            ({"authorization": "Bearer"}, "You didn't provide an API key."),
            ({"authorization": KEY}, "You didn't provide an API key."),
            ({"authorization": "Bearer short"}, "Incorrect API key provided: ***."),
            ({"authorization": f"Bearer {KEY}x"}, "Incorrect API key provided: ***defx."),
            ({"authorization": f"Bearer {KEY[:-1]}"}, "Incorrect API key provided: ***bcde."),
            ({"authorization": f"Bearer {KEY} {KEY}"}, "Incorrect API key provided: ***cdef."),
            ({"authorization": "Bearer schlüssel-für-alle"}, "Incorrect API key provided: ***"),
        ],
    )
    def test_without_the_right_key_nothing_is_done_and_none_is_told(
        self, server: Served, given: dict[str, str], said: str
    ) -> None:
        server.service.keys = frozenset({KEY, "another"})
        encoded = {name: value.encode().decode("latin-1") for name, value in given.items()}
        for reply in (server.post(MODEL, file(), **encoded), server.ask("GET", "/v1/models")):
            assert reply.status == 401
            refused = error(reply)
            assert (refused["type"], refused["code"]) == (
                "invalid_request_error",
                "invalid_api_key",
            )
        assert error(server.post(MODEL, file(), **encoded))["message"].startswith(said)
        whole = given.get("authorization", "Bearer").removeprefix("Bearer ")
        assert f" {whole}." not in server.post(MODEL, file(), **encoded).body.decode()
        assert server.backend.seen == []

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
    @pytest.mark.parametrize("key", [KEY, "another"])
    def test_each_key_opens_however_its_scheme_is_written(
        self, server: Served, scheme: str, key: str
    ) -> None:
        server.service.keys = frozenset({KEY, "another"})
        assert server.post(MODEL, file(), authorization=f"{scheme} {key}").status == 200

    def test_health_can_be_asked_without_a_key(self, server: Served) -> None:
        server.service.keys = frozenset({KEY})
        reply = server.ask("GET", "/health")
        assert reply.status == 200
        assert json.loads(reply.body)["engine"] == "offline"

    def test_who_sends_megabytes_with_a_wrong_key_is_told(self, server: Served) -> None:
        """Who is still sending when the connection is closed misses the answer."""
        server.service.keys = frozenset({KEY})
        assert server.post(MODEL, file(bytes(8 << 20))).status == 401


class TestAddresses:
    @pytest.mark.case("S76")
    @pytest.mark.parametrize(
        ("method", "path", "status", "code"),
        [
            ("GET", "/", 404, "unknown_url"),
            ("POST", "/audio/transcriptions", 404, "unknown_url"),
            ("POST", "/v1/audio/speech", 404, "unknown_url"),
            ("GET", TRANSCRIPTIONS, 405, "method_not_supported"),
            ("DELETE", TRANSLATIONS, 405, "method_not_supported"),
            ("POST", "/v1/models", 405, "method_not_supported"),
            ("GET", "/v1/models/gpt-9", 404, "model_not_found"),
            ("GET", "/v1/models/%00/../x", 404, "model_not_found"),
        ],
    )
    def test_what_is_not_there_is_an_error_of_the_apis_shape(
        self, server: Served, method: str, path: str, status: int, code: str
    ) -> None:
        reply = server.ask(method, path)
        assert reply.status == status
        assert (error(reply)["type"], error(reply)["code"]) == ("invalid_request_error", code)
        assert "allow" in reply.headers or status != 405

    def test_every_request_has_a_name_of_its_own(self, server: Served) -> None:
        asked = [server.ask("GET", "/health"), server.ask("GET", "/"), server.post(MODEL, file())]
        assert len({reply.headers["x-request-id"] for reply in asked}) == 3

    def test_models_are_the_engines_own_and_the_hosted_names(self, server: Served) -> None:
        listed = json.loads(server.ask("GET", "/v1/models").body)
        assert list(listed) == ["object", "data"]
        names = [model["id"] for model in listed["data"]]
        assert names[0] == "pocketsphinx-en-us"
        assert {"whisper-1", "gpt-transcribe", "gpt-4o-transcribe-diarize"} < set(names)
        for model in listed["data"]:
            assert list(model) == ["id", "object", "created", "owned_by"]
            assert json.loads(server.ask("GET", f"/v1/models/{model['id']}").body) == model


class TestForms:
    @pytest.mark.case("S70")
    @pytest.mark.parametrize(
        ("content_type", "content", "said"),
        [
            (
                "application/json",
                b'{"model":"whisper-1"}',
                "The body has to be multipart/form-data",
            ),
            ("application/x-www-form-urlencoded", b"model=whisper-1", "The body has to be"),
            ("", b"", "The body has to be"),
            ("multipart/form-data", body(MODEL, file()), "Missing boundary in multipart."),
            ("multipart/form-data; boundary=", body(MODEL, file()), ""),
            ("multipart/form-data; boundary=other", body(MODEL, file()), "Invalid multipart data."),
            (FORM["content-type"], b"", ""),
            (FORM["content-type"], b"\0\xff" * 5000, "Invalid multipart data."),
            (FORM["content-type"], body(MODEL, b"X: y\r\n\r\nz"), "The Content-Disposition header"),
            (FORM["content-type"], body(MODEL, *[text("a", "b")] * 5000), "Too many fields."),
            (FORM["content-type"], body(MODEL, *[file()] * 5000), "Too many files."),
            (FORM["content-type"], body(MODEL, *[file(bytes(1 << 20))] * 15), "Too many files."),
        ],
    )
    def test_what_is_no_form_is_refused(
        self, server: Served, content_type: str, content: bytes, said: str
    ) -> None:
        reply = server.ask("POST", TRANSCRIPTIONS, content, **{"content-type": content_type})
        assert reply.status == 400
        assert error(reply)["message"].startswith(said)
        assert error(reply)["type"] == "invalid_request_error"

    def test_the_media_type_may_be_written_in_any_case(self, server: Served) -> None:
        written = f'Multipart/Form-Data; charset=utf-8; Boundary="{BOUNDARY}"'
        reply = server.ask("POST", TRANSCRIPTIONS, body(MODEL, file()), **{"content-type": written})
        assert reply.status == 200

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    # Starlette drops the file that has begun without closing it.
    @pytest.mark.filterwarnings("ignore:.*SpooledTemporaryFile")
    def test_a_form_that_ends_within_its_file_transcribes_nothing(
        self, server: Served, share: float
    ) -> None:
        whole = body(MODEL, file(b"x" * 1000))
        content = whole[: int(len(whole) * share)]
        reply = server.ask("POST", TRANSCRIPTIONS, content, **FORM)
        assert reply.status == 400
        assert error(reply)["type"] == "invalid_request_error"
        assert server.backend.seen == []

    @pytest.mark.case("S73")
    @pytest.mark.parametrize(
        "parts",
        [
            [MODEL],
            [MODEL, file(name=None)],
            [MODEL, text("file", "a.wav")],
            [MODEL, file(part="audio")],
            [MODEL, file(part="file[]")],
        ],
    )
    def test_a_form_without_a_file_says_so(self, server: Served, parts: list[bytes]) -> None:
        refused = error(server.post(*parts))
        assert refused["param"] == "file"
        assert refused["message"] == "Missing required parameter: 'file'."

    def test_of_two_files_the_first_is_taken(self, server: Served) -> None:
        assert server.post(file(b"first"), MODEL, file(b"second", "b.wav")).status == 200
        assert [seen.upload for seen in server.backend.seen] == [b"first"]

    @pytest.mark.parametrize("size", [0, 1, 3 << 20])
    def test_a_file_arrives_whole_and_is_gone_afterwards(self, server: Served, size: int) -> None:
        """Judging it, also when it is empty, is the backend's work."""
        content = bytes(range(256)) * (size // 256) + b"\r\n"[: size % 256]
        assert server.post(MODEL, file(content)).status == 200
        (seen,) = server.backend.seen
        assert seen.upload == content
        assert not seen.folder.exists()

    @pytest.mark.case("S48")
    @pytest.mark.parametrize(
        "name",
        [
            "sp ée%22ch.webm",
            'sp ée\\"ch.webm',
            "日本語.WAV",
            "a;b=c.mp3",
            "..\\\\..\\\\etc.flac",
            "../../etc/passwd.ogg",
            "upload",
            "blob",
            "",
            ".wav",
            "a" * 1000 + ".mp3",
            "=?utf-8?B?c3DDqS53YXY=?=\"; filename*=\"utf-8''sp%C3%A9.wav",
        ],
    )
    def test_a_file_may_have_any_name(self, server: Served, name: str) -> None:
        assert server.post(MODEL, file(b"x", name)).status == 200
        (seen,) = server.backend.seen
        assert (seen.upload, seen.folder.name[:7]) == (b"x", "upload-")

    @pytest.mark.parametrize("suffix", [*FILE_SUFFIXES, "FLAC", "tar.mp3"])
    def test_suffixes_of_the_reference_are_taken(self, server: Served, suffix: str) -> None:
        assert server.post(WHISPER, file(name=f"a.{suffix}")).status == 200

    @pytest.mark.case("S40")
    def test_other_suffixes_are_refused_as_recorded(self, server: Served) -> None:
        reply = server.post(text("model", "gpt-transcribe"), file(name="audio.bin"))
        assert (reply.status, reply.body.decode()) == (400, RECORDED["error_400_ext"]["body"])

    @pytest.mark.case("S41")
    def test_whisper_lists_the_suffixes(self, server: Served) -> None:
        refused = error(server.post(WHISPER, file(name="a.xyz")))
        listed = ["flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm"]
        assert refused == {
            "message": f"Invalid file format. Supported formats: {listed}",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }

    def test_empty_fields_are_fields_that_were_not_sent(self, server: Served) -> None:
        names = ("language", "prompt", "temperature", "response_format", "stream")
        empty = [text(name, "") for name in (*names, "chunking_strategy")]
        assert server.post(MODEL, file(), *empty).status == 200
        assert server.backend.seen[0].request == TranscriptionRequest(model="pocketsphinx-en-us")

    @pytest.mark.case("S49")
    def test_what_has_no_effect_is_named_in_a_header(self, server: Served) -> None:
        server.backend.ignores = ["prompt"]
        odd = [text("bogus_param", "x"), text("include", "logprobs"), text("user", "a")]
        hostile = [text("sp ace", "x"), text("é", "x"), text("a" * 61, "x")]
        reply = server.post(MODEL, file(), *odd, *hostile, text("prompt", "x"))
        assert reply.status == 200
        assert reply.headers["dropscribe-ignored"] == "bogus_param, include, user, prompt"

    def test_text_that_is_no_utf_8_is_no_failure(self, server: Served) -> None:
        reply = server.post(MODEL, file(), text("prompt", b"gr\xfc\xdfe \xff"))
        assert reply.status == 200
        request = server.backend.seen[0].request
        assert isinstance(request, TranscriptionRequest)
        assert request.prompt == "grüße ÿ"

    @pytest.mark.parametrize("charset", ["utf-7", "unicode_escape", "hex", "none", "punycode"])
    def test_a_charset_of_the_callers_choice_is_no_failure(
        self, server: Served, charset: str
    ) -> None:
        typed = {"content-type": f"multipart/form-data; charset={charset}; boundary={BOUNDARY}"}
        content = body(MODEL, file(), text("language", b"\\ud800 \xff-\xff"))
        reply = server.ask("POST", TRANSCRIPTIONS, content, **typed)
        assert reply.status == 400
        error(reply)


class TestParameters:
    @pytest.mark.parametrize(
        ("parts", "status", "param", "code"),
        [
            ([file()], 400, "model", "missing_required_parameter"),
            ([file(), text("model", "")], 400, "model", "missing_required_parameter"),
            ([file(), text("model", "gpt-9")], 404, None, "model_not_found"),
            ([file(), text("model", "x" * 201)], 400, "model", "invalid_value"),
            ([file(), MODEL, text("response_format", "xml")], 400, "response_format", ...),
            ([file(), MODEL, text("temperature", "1.5")], 400, "temperature", ...),
            ([file(), MODEL, text("temperature", "nan")], 400, "temperature", ...),
            ([file(), MODEL, text("temperature", "warm")], 400, "temperature", ...),
            ([file(), MODEL, text("stream", "maybe")], 400, "stream", ...),
            ([file(), MODEL, text("include[]", "tokens")], 400, "include.0", ...),
            ([file(), MODEL, text("chunking_strategy", "fast")], 400, "chunking_strategy", ...),
            ([file(), MODEL, text("chunking_strategy", "{}")], 400, *MISSING_TYPE),
            ([file(), MODEL, text("chunking_strategy", "{" * 9999)], 400, "chunking_strategy", ...),
            (
                [file(), MODEL, *LOUD_VAD],
                *(400, "chunking_strategy.threshold", ...),
            ),
            ([file(), MODEL, text("known_speaker_names[]", "a")], 400, "known_speaker_names", ...),
            (
                [file(), DIARIZING, *[text("known_speaker_names[]", "a")] * 5]
                + [text("known_speaker_references[]", "data:,")] * 5,
                *(400, "known_speaker_names", ...),
            ),
            (
                [file(), DIARIZING, text("include[]", "logprobs")],
                *(400, "include", "unsupported_value"),
            ),
            ([file(), DIARIZING, text("prompt", "x")], 400, "prompt", "unsupported_value"),
            (
                [file(), WHISPER, text("response_format", "diarized_json")],
                *(400, "response_format", "unsupported_value"),
            ),
        ],
    )
    def test_what_is_wrong_is_named(
        self, server: Served, parts: list[bytes], status: int, param: str | None, code: Any
    ) -> None:
        reply = server.post(*parts)
        assert reply.status == status
        refused = error(reply)
        assert refused["param"] == param
        assert refused["code"] == ("invalid_value" if code is ... else code)
        assert server.backend.seen == []

    @pytest.mark.case("S37")
    def test_a_bad_language_is_answered_as_recorded(self, server: Served) -> None:
        reply = server.post(WHISPER, file(), text("language", "this should cause an error"))
        assert (reply.status, reply.body.decode()) == (400, RECORDED["error_400_language"]["body"])

    @pytest.mark.case("S33")
    def test_a_bad_format_is_answered_as_recorded(self, server: Served) -> None:
        """But for the name of the model, which the API spells as its insiders do."""
        wanted = text("response_format", "verbose_json")
        reply = server.post(text("model", "gpt-transcribe"), file(), wanted)
        said = RECORDED["error_400_response_format"]["body"]
        assert reply.body.decode() == said.replace("gpt-transcribe-api-ev3", "gpt-transcribe")

    @pytest.mark.case("S52")
    @pytest.mark.parametrize(
        ("fields", "values"),
        [
            ([("stream", "FALSE"), ("temperature", "1e-07")], {"temperature": 1e-07}),
            (
                [("chunking_strategy", '{"type": "server_vad", "threshold": 0.25}')],
                {"chunking_strategy": VadConfig(type="server_vad", threshold=0.25)},
            ),
            ([("language", "en"), ("language", "de")], {"language": "de"}),
        ],
    )
    def test_values_are_read_however_they_are_written(
        self, server: Served, fields: list[tuple[str, str]], values: dict[str, Any]
    ) -> None:
        assert server.post(MODEL, file(), *[text(*field) for field in fields]).status == 200
        expected = TranscriptionRequest(model="pocketsphinx-en-us", **values)
        assert server.backend.seen[0].request == expected

    def test_a_translation_has_its_own_few_parameters(self, server: Served) -> None:
        parts = [MODEL, file(), text("prompt", "x"), text("language", "de"), text("stream", "true")]
        reply = server.post(*parts, path=TRANSLATIONS)
        assert (reply.status, reply.headers["dropscribe-ignored"]) == (200, "language, stream")
        asked = TranslationRequest(model="pocketsphinx-en-us", prompt="x")
        assert server.backend.seen[0].request == asked

    @pytest.mark.case("S83")
    def test_most_models_do_not_translate(self, server: Served) -> None:
        refused = error(server.post(DIARIZING, file(), path=TRANSLATIONS))
        assert (refused["param"], refused["code"]) == ("model", "unsupported_value")

    def test_what_the_engine_cannot_do_is_refused_before_it_is_tried(self, server: Served) -> None:
        server.backend.refuses = invalid_request("Not here.", "language", "unsupported_value")
        assert error(server.post(MODEL, file()))["message"] == "Not here."
        assert server.backend.seen == []


class TestAnswers:
    @pytest.mark.case("S69")
    def test_an_object_is_compact_json(self, server: Served) -> None:
        reply = server.post(MODEL, file())
        assert reply.body == b'{"text":"hello","usage":{"type":"duration","seconds":1}}'
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["content-length"] == str(len(reply.body))

    @pytest.mark.case("S68")
    def test_text_is_no_json(self, server: Served) -> None:
        server.backend.reply = "Grüße\n"
        reply = server.post(MODEL, file(), text("response_format", "text"))
        assert reply.body == "Grüße\n".encode()
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"

    @pytest.mark.case("S77")
    def test_headers_tell_how_much_room_there_is(self, server: Served) -> None:
        headers = server.post(MODEL, file()).headers
        assert headers["x-ratelimit-limit-requests"] == "2"
        assert headers["x-ratelimit-remaining-requests"] == "1"
        assert headers["openai-processing-ms"].isdecimal()

    @pytest.mark.parametrize("stream", ["true", "false"])
    def test_a_failure_is_told_without_its_details_which_are_in_the_log(
        self, stream: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with Served() as server:
            server.backend.reply = server.backend.before = ValueError(SECRET)
            reply = server.post(MODEL, file(), text("stream", stream))
        assert reply.status == 500
        assert error(reply)["type"] == "server_error"
        assert SECRET not in reply.body.decode()
        assert b"Traceback" not in reply.body
        assert f"ValueError: {SECRET}" in caplog.text

    def test_a_refusal_of_the_backend_keeps_its_headers(self, server: Served) -> None:
        refusal = Refused(400, invalid_request("no"), {"dropscribe-detail": "more"})
        server.backend.reply = refusal
        reply = server.post(MODEL, file())
        assert (error(reply)["message"], reply.headers["dropscribe-detail"]) == ("no", "more")

    def test_before_the_engine_is_loaded_callers_are_asked_to_wait(self, server: Served) -> None:
        backend, server.service.backend = server.service.backend, None
        try:
            replies = [server.post(MODEL, file()), server.ask("GET", "/health")]
        finally:
            server.service.backend = backend
        for reply in replies:
            assert (reply.status, reply.headers["retry-after"]) == (503, "1")
            assert error(reply)["type"] == "server_error"


class TestStreams:
    @pytest.mark.case("S12")
    @pytest.mark.case("S15")
    def test_events_are_framed_as_recorded(self, server: Served) -> None:
        usage = '{"type":"duration","seconds":1}'
        reply = server.post(MODEL, file(), text("stream", "True"))
        assert frames(reply) == [
            '{"type":"transcript.text.delta","delta":"Grüße"}',
            '{"type":"transcript.text.delta","delta":" all"}',
            f'{{"type":"transcript.text.done","text":"Grüße all","usage":{usage}}}',
            "[DONE]",
        ]
        assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-ratelimit-remaining-requests"] == "1"
        assert server.service.is_idle()
        assert not server.backend.seen[0].folder.exists()

    def test_a_recorded_stream_is_sent_to_the_byte(self, server: Served) -> None:
        recorded = RECORDED["sse_text"]["body"]
        told = [json.loads(frame[6:]) for frame in recorded.split("\r\n\r\n")[:-2]]
        server.backend.steps = [
            TranscriptionTextDeltaEvent.model_validate(event)
            if event["type"].endswith("delta")
            else EVENTS[-1].model_validate(event)
            for event in told
        ]
        reply = server.post(MODEL, file(), text("stream", "true"))
        assert reply.body.decode() == recorded

    def test_an_event_is_sent_as_soon_as_it_is_known(self, server: Served) -> None:
        """The rest waits until the first one has been read."""
        server.backend.steps = [EVENTS[0], None, *EVENTS[1:]]
        with streaming(server) as response:
            assert b"Gr" in response.readline()
            server.backend.let_go()
            assert response.read().endswith(b"data: [DONE]\r\n\r\n")

    @pytest.mark.case("S18")
    def test_an_error_before_the_first_event_is_no_stream(self, server: Served) -> None:
        server.backend.before = Refused(400, invalid_request("no", "file", "invalid_value"))
        reply = server.post(MODEL, file(), text("stream", "true"))
        assert (reply.status, error(reply)["param"]) == (400, "file")
        assert server.service.is_idle()

    @pytest.mark.parametrize("failure", [Refused(500, invalid_request("late")), ValueError(SECRET)])
    def test_an_error_in_a_stream_is_its_last_event(
        self, server: Served, failure: Exception
    ) -> None:
        server.backend.steps = [EVENTS[0], failure]
        first, last = frames(server.post(MODEL, file(), text("stream", "true")))
        assert "delta" in first
        assert list(json.loads(last)["error"]) == ["message", "type", "param", "code"]
        assert SECRET not in last
        assert server.service.is_idle()

    def test_a_stream_that_takes_too_long_ends_in_an_error(self, server: Served) -> None:
        server.service.timeout_s = 0.3
        server.backend.steps = [EVENTS[0], None]
        first, last = frames(server.post(MODEL, file(), text("stream", "true")))
        assert "delta" in first
        assert json.loads(last)["error"]["code"] == "timeout"
        assert server.service.is_idle()

    @pytest.mark.case("S17")
    @pytest.mark.parametrize("wanted", [[WHISPER], [MODEL, text("response_format", "srt")]])
    def test_what_has_no_events_is_answered_at_once(
        self, server: Served, wanted: list[bytes]
    ) -> None:
        reply = server.post(*wanted, file(), text("stream", "true"))
        assert (reply.status, reply.body) == (
            200,
            HELLO.model_dump_json(exclude_none=True).encode(),
        )


class TestSize:
    @pytest.mark.case("S55")
    @pytest.mark.parametrize("chunked", [False, True])
    def test_one_byte_more_than_the_limit_is_refused_as_recorded(
        self, server: Served, chunked: bool
    ) -> None:
        content = body(MODEL, file(bytes(300_000)))
        server.service.max_body_bytes = len(content) - 1
        given = pieces(content) if chunked else content
        reply = server.ask("POST", TRANSCRIPTIONS, given, **FORM)
        assert reply.status == 413
        read_bytes = int(error(reply)["message"].split("(")[2].split()[0])
        assert len(content) - 1 < read_bytes <= len(content)
        recorded = RECORDED["error_413"]["body"]
        said = recorded.replace("26214400", str(len(content) - 1))
        assert reply.body.decode() == said.replace("26214850", str(read_bytes))
        assert server.backend.seen == []
        assert server.service.is_idle()

    @pytest.mark.parametrize("chunked", [False, True])
    def test_a_body_of_exactly_the_limit_is_taken(self, server: Served, chunked: bool) -> None:
        content = body(MODEL, file(bytes(300_000)))
        server.service.max_body_bytes = len(content)
        given = pieces(content) if chunked else content
        assert server.ask("POST", TRANSCRIPTIONS, given, **FORM).status == 200

    def test_references_of_megabytes_are_taken(self, server: Served) -> None:
        voices = ["data:audio/wav;base64," + letter * (3 << 20) for letter in "ABCD"]
        speakers = [text("known_speaker_names[]", letter) for letter in "ABCD"]
        references = [text("known_speaker_references[]", voice) for voice in voices]
        assert server.post(DIARIZING, file(), *speakers, *references).status == 200
        request = server.backend.seen[0].request
        assert isinstance(request, TranscriptionRequest)
        assert request.known_speaker_references == voices


class TestRoom:
    """A request has a place while it is at work, and gives it back however it ends."""

    @pytest.fixture
    def full(self, server: Served) -> Served:
        server.service.concurrency = 1
        return server

    @pytest.fixture
    def alone(self, caplog: pytest.LogCaptureFixture) -> Iterator[Served]:
        """A full one of its own: all that it has to say of callers who left it has said by then."""
        with Served() as served:
            served.service.concurrency = 1
            yield served
        assert "ClientDisconnect" not in caplog.text

    @pytest.mark.case("S74")
    def test_one_more_than_there_is_room_for_is_asked_to_come_back(self, full: Served) -> None:
        full.backend.holds = True
        with posted(full) as first:
            reply = full.post(MODEL, file(bytes(1 << 20)))
            assert (reply.status, reply.headers["retry-after"]) == (429, "1")
            assert error(reply)["code"] == "rate_limit_exceeded"
            assert json.loads(full.ask("GET", "/health").body)["running"] == 1
            full.backend.let_go()
            assert answer_of(first).status == 200
        full.backend.holds = False
        assert full.post(MODEL, file()).status == 200

    @pytest.mark.parametrize(
        ("reply", "parts", "status"),
        [
            (HELLO, [MODEL, file()], 200),
            (HELLO, [MODEL, file(), text("stream", "true")], 200),
            (HELLO, [MODEL], 400),
            (HELLO, [b"X: y\r\n\r\nz"], 400),
            (Refused(500, invalid_request("no")), [MODEL, file()], 500),
            (ValueError("no"), [MODEL, file()], 500),
        ],
    )
    def test_a_place_is_free_again_after_each_end(
        self, full: Served, reply: Any, parts: list[bytes], status: int
    ) -> None:
        full.backend.reply = reply
        for _ in range(3):
            assert full.post(*parts).status == status
            assert full.service.is_idle()

    @pytest.mark.parametrize("stream", ["false", "true"])
    def test_who_hangs_up_stops_the_work_and_frees_the_place(
        self, alone: Served, stream: str
    ) -> None:
        alone.backend.holds, alone.backend.steps = True, [EVENTS[0], None]
        with posted(alone, text("stream", stream)):
            assert not alone.backend.left.acquire(blocking=False)
        assert alone.backend.left.acquire(timeout=PATIENCE_S)
        assert alone.service.is_idle()
        assert not alone.backend.seen[0].folder.exists()
        alone.backend.behave()
        assert alone.post(MODEL, file()).status == 200

    def test_who_hangs_up_while_sending_frees_the_place(self, alone: Served) -> None:
        with closing(alone.connect()) as connection:
            connection.sendall(raw_request(MODEL, file(bytes(1000)))[:-900])
            with alone.service.changed:
                assert alone.service.changed.wait_for(lambda: alone.service.uploading, PATIENCE_S)
        assert alone.service.is_idle()
        assert alone.backend.seen == []
        assert alone.post(MODEL, file()).status == 200

    def test_who_is_still_sending_takes_no_place_but_a_few_are_the_most(self, full: Served) -> None:
        """A place is for who is at work; what is kept on disk has a limit of its own."""
        with ExitStack() as slow:
            for sending in range(1, 5):
                connection = slow.enter_context(closing(full.connect()))
                connection.sendall(raw_request(MODEL, file())[:-9])
                full.service.awaits_uploads(sending)
                if sending < 4:
                    assert full.post(MODEL, file()).status == 200
            assert full.post(MODEL, file()).status == 429
        assert full.service.is_idle()
        assert full.post(MODEL, file()).status == 200

    def test_who_asks_before_sending_is_not_asked_to_send_what_is_refused(
        self, server: Served
    ) -> None:
        with closing(server.connect()) as connection:
            head, _, _ = raw_request(MODEL, file()).partition(b"\r\n\r\n")
            asking = head.replace(b"/v1/audio", b"/nowhere") + b"\r\nexpect: 100-continue\r\n\r\n"
            connection.sendall(asking)
            assert answer_of(connection).status == 404

    def test_work_that_takes_too_long_is_stopped(self, full: Served) -> None:
        full.service.timeout_s, full.backend.holds = 0.3, True
        reply = full.post(MODEL, file())
        assert (reply.status, error(reply)["code"]) == (504, "timeout")
        # It would take as long again: SDKs are told so.
        assert reply.headers["x-should-retry"] == "false"
        assert full.backend.left.acquire(timeout=PATIENCE_S)
        assert full.service.is_idle()

    def test_who_sends_too_slowly_is_not_waited_for(
        self, full: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transport, "DRAIN_S", 0.1)
        full.service.timeout_s = 0.3
        with closing(full.connect()) as connection:
            connection.sendall(raw_request(MODEL, file())[:-9])
            assert answer_of(connection).status == 504
        assert full.service.is_idle()


def test_logs_hold_neither_keys_nor_what_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    asked = (MODEL, file(SECRET.encode(), f"{SECRET}.wav"), text("prompt", SECRET))
    with Served() as server:
        server.service.keys = frozenset({KEY})
        token = Logprob(token=SECRET)
        server.backend.steps = [TranscriptionTextDeltaEvent(delta=SECRET, logprobs=[token])]
        server.backend.reply = HELLO.model_copy(update={"text": SECRET})
        replies = [
            server.post(*asked, authorization=f"Bearer {KEY}"),
            server.post(*asked, text("stream", "true"), authorization=f"Bearer {KEY}"),
            server.post(*asked, authorization=f"Bearer {KEY}{KEY}"),
        ]
    assert [SECRET in reply.body.decode() for reply in replies] == [True, True, False]
    lines = [json.loads(line) for line in caplog.messages if line.startswith("{")]
    told = {line["request_id"]: (line["path"], line["status"]) for line in lines}
    for reply in replies:
        assert told[reply.headers["x-request-id"]] == (TRANSCRIPTIONS, reply.status)
    assert {(line.get("model"), line.get("format")) for line in lines} == {
        *(("pocketsphinx-en-us", "json"), (None, None))
    }
    assert SECRET not in caplog.text
    assert KEY not in caplog.text


def pieces(content: bytes, size: int = 7001) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


@contextmanager
def posted(server: Served, *parts: bytes) -> Iterator[socket.socket]:
    """A connection on which a request is being worked on."""
    with closing(server.connect()) as connection:
        connection.sendall(raw_request(MODEL, file(), *parts))
        assert server.backend.at_work.acquire(timeout=PATIENCE_S)
        yield connection


@contextmanager
def streaming(server: Served) -> Iterator[http.client.HTTPResponse]:
    """The answer to a request for a stream, as it comes."""
    with posted(server, text("stream", "true")) as connection:
        response = http.client.HTTPResponse(connection)
        with closing(response):
            response.begin()
            yield response


def answer_of(connection: socket.socket) -> Reply:
    with closing(http.client.HTTPResponse(connection)) as response:
        response.begin()
        return read(response)
