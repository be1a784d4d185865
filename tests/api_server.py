"""A small server that speaks the transcription API's contract, for tests over real HTTP.

Checks the key and the validity matrix as the hosted API does, answers with its recorded bodies, and
fails on demand. It does not recognize speech.
"""

from __future__ import annotations

import contextlib
import io
import json
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from werkzeug.formparser import parse_form_data

from tests.patience import PATIENCE_S

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "api" / "observed-responses.json").read_text("utf-8")
)
KEY = "sk-test-4711"
ALLOWED = {
    "whisper-1": {"json", "text", "srt", "verbose_json", "vtt"},
    "gpt-4o-transcribe": {"json", "text"},
    "gpt-4o-mini-transcribe": {"json", "text"},
    "gpt-transcribe": {"json", "text"},
    "gpt-4o-transcribe-diarize": {"json", "text", "diarized_json"},
}
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing the socket resets the connection."""


@dataclass
class Answer:
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    drip_s: float = 0
    """Seconds between the bytes of the body."""
    hang_up: bool = False
    """Close the connection where the answer should come."""
    unread: bool = False
    """Answer, and close the connection, before the request's body was read."""
    broken_off: bool = False
    """Close the connection before the body's announced end."""
    reset: bool = False
    """Where the connection is closed: by a reset."""
    held: threading.Event | None = None
    """Answer only once it is set."""


@dataclass
class Seen:
    """One request as it arrived."""

    path: str
    fields: list[tuple[str, str]]
    file_name: str
    file_type: str
    audio: bytes
    authorization: str | None
    headers: list[tuple[str, str]]
    """Names in lower case."""
    form: list[tuple[str, str]] = field(default_factory=list)
    """The fields, those of one name in the order in which they were sent."""


def recorded(name: str) -> Answer:
    body = RECORDED[name]
    return Answer(body["status"], body["body"].encode(), body["content_type"])


def error(status: int, message: str, *, code: str | None = None, **headers: str) -> Answer:
    content = {"error": {"message": message, "type": "server_error", "param": None, "code": code}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps(content).encode(), headers=named)


def stream(*events: dict[str, Any] | str, **fault: Any) -> Answer:
    """An answer that is a stream of these events, framed as the hosted API frames them."""
    texts = [event if isinstance(event, str) else json.dumps(event) for event in events]
    body = "".join(f"data: {text}\r\n\r\n" for text in texts).encode()
    return Answer(200, body, "text/event-stream; charset=utf-8", **fault)


class ApiServer:
    """`with ApiServer() as api:` serves on a free loopback port."""

    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.planned: deque[Answer] = deque()
        """Answers to the next requests, before it behaves again."""
        self.down: Answer | None = None
        """Answer to every request, while set."""
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                answer = api.down or (api.planned.popleft() if api.planned else None)
                if answer is None or not answer.unread:
                    seen = _read(self)
                    api.requests.append(seen)
                    answer = answer or api.answer(seen)
                if answer.held:
                    answer.held.wait(PATIENCE_S)
                if answer.reset:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self.close_connection = answer.hang_up or answer.unread or answer.broken_off
                # Whoever asked may be gone.
                with contextlib.suppress(OSError):
                    if not answer.hang_up:
                        self._send(answer)

            def _send(self, answer: Answer) -> None:
                evented = answer.content_type.startswith("text/event-stream")
                framing = (
                    ("transfer-encoding", "chunked")
                    if evented
                    else ("content-length", str(len(answer.body) + answer.broken_off))
                )
                self.send_response(answer.status)
                self.send_header("content-type", answer.content_type)
                for name, value in [framing, *answer.headers.items()]:
                    self.send_header(name, value)
                self.end_headers()
                for piece in _pieces(answer, evented):
                    time.sleep(answer.drip_s)
                    self.wfile.write(piece)

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, seen: Seen) -> Answer:
        """To a request that no answer was planned for; several are asked for at the same time."""
        return _answer(seen)

    def behave(self) -> None:
        """Forget what was planned and seen."""
        self.down = None
        self.planned.clear()
        self.requests.clear()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client may leave when it likes."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """An orderly end before the reset would be what the client sees."""
        if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_RESET)) == _RESET:
            self.close_request(request)
        else:
            super().shutdown_request(request)


def _pieces(answer: Answer, chunked: bool) -> Iterator[bytes]:
    """The body as it is written; chunks of a stream end anywhere, as proxies cut them."""
    size = 1 if answer.drip_s else 7 if chunked else max(len(answer.body), 1)
    for at in range(0, len(answer.body), size):
        piece = answer.body[at : at + size]
        yield b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
    if chunked and not answer.broken_off:
        yield b"0\r\n\r\n"


def _read(handler: BaseHTTPRequestHandler) -> Seen:
    length = int(handler.headers.get("content-length", "0"))
    body = handler.rfile.read(length)
    if len(body) < length:
        raise ConnectionResetError("whoever asked is gone")
    environ = {
        "wsgi.input": io.BytesIO(body),
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": handler.headers["content-type"],
        "CONTENT_LENGTH": handler.headers.get("content-length", "0"),
    }
    _, form, files = parse_form_data(environ)
    file = files["file"]
    with contextlib.closing(file):
        return Seen(
            path=handler.path,
            fields=sorted(form.items(multi=True)),
            form=list(form.items(multi=True)),
            file_name=file.filename or "",
            file_type=file.content_type or "",
            audio=file.read(),
            authorization=handler.headers.get("authorization"),
            headers=[(name.lower(), value) for name, value in handler.headers.items()],
        )


def _answer(seen: Seen) -> Answer:  # noqa: PLR0911 - a table of what is answered when
    """What the hosted API answers: key, then matrix, then the recorded body."""
    fields = dict(seen.fields)
    model, wanted = fields.get("model", ""), fields.get("response_format", "json")
    if seen.authorization != f"Bearer {KEY}":
        return recorded("error_401")
    if model in ALLOWED and wanted not in ALLOWED[model]:
        return error(400, f"response_format '{wanted}' is not compatible with model '{model}'.")
    if "/translations" in seen.path and model != "whisper-1":
        return error(404, f"The model `{model}` does not exist", code="model_not_found")
    if fields.get("stream") == "true" and model != "whisper-1":
        if wanted == "diarized_json":
            return recorded("sse_diarized")
        return recorded("sse_logprobs" if "include[]" in fields else "sse_text")
    if wanted in ("text", "srt", "vtt"):
        return recorded(f"{wanted}_whisper")
    if model == "gpt-transcribe":
        return recorded("json_gpt_transcribe")
    if wanted == "diarized_json":
        return recorded(
            "diarized_2026_08"
            if "known_speaker_names[]" not in fields
            else "diarized_known_speaker"
        )
    if wanted == "verbose_json":
        words = ("timestamp_granularities[]", "word") in seen.fields
        return recorded("verbose_word_segment" if words else "verbose_default")
    return recorded("json_logprobs" if "include[]" in fields else "json_whisper")
