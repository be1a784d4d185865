"""The HTTP service that Lambda gives a runtime: hands out events, takes answers.

AWS documents it as the Lambda Runtime API (2018-06-01); awslambdaric, started with its address, is
the client.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Invocation:
    """One event on its way to a function."""

    function_arn: str
    event: bytes
    deadline_ms: int
    """Unix time; what `context.get_remaining_time_in_millis()` counts down to."""

    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True)
class Outcome:
    """How an invocation ended."""

    payload: bytes
    """JSON: the function's result, or `{"errorType": …, "errorMessage": …}`."""

    failed: bool
    last: bool = False
    """The environment cannot take another event."""


def failure(error_type: str, message: str) -> Outcome:
    """An error that the platform reports, in AWS's words, after which the environment is gone."""
    return Outcome(
        json.dumps({"errorType": error_type, "errorMessage": message}).encode(),
        failed=True,
        last=True,
    )


class RuntimeApi:
    """The service for one execution environment: one event at a time."""

    def __init__(self) -> None:
        self._events: queue.Queue[Invocation] = queue.Queue()
        self.outcomes: queue.Queue[Outcome] = queue.Queue()
        self.ready = threading.Event()
        """The runtime has asked for an event, or never will."""
        self._server = _Server(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self) -> str:
        """What goes into AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self._server.server_port}"

    def put(self, invocation: Invocation) -> None:
        self._events.put(invocation)

    def take(self) -> Invocation:
        self.ready.set()
        return self._events.get()

    def end(self, outcome: Outcome) -> None:
        """Of the invocation at work, or of the start."""
        self.outcomes.put(outcome)
        self.ready.set()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        return type("Handler", (_Handler,), {"api": self})


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """An environment may be killed at any moment, also in the middle of its request."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answers the runtime client.

    Without the next three lines each call waits for TCP: 88 ms instead of 6.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    api: RuntimeApi

    def do_GET(self) -> None:
        """`/runtime/invocation/next`: waits until there is an event."""
        invocation = self.api.take()
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
        }
        self._answer(200, invocation.event, headers)

    def do_POST(self) -> None:
        """`/runtime/invocation/{id}/response`, or `…/error`, or `/runtime/init/error`."""
        body = self._body()
        self._answer(202, b'{"status":"OK"}', {"Content-Type": "application/json"})
        self.api.end(
            Outcome(
                body,
                failed=not self.path.endswith("/response"),
                last=self.path.endswith("/init/error"),
            )
        )

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            return b"".join(iter(self._chunk, b""))
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        chunk = self.rfile.read(size)
        self.rfile.readline()
        return chunk

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Quiet: a function's own output is what counts."""


def deadline_ms(timeout_s: float) -> int:
    return int((time.time() + timeout_s) * 1000)
