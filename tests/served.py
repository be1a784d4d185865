"""The server's HTTP side under a real uvicorn, with a backend that does what a test tells it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import uvicorn

from dropscribe import models
from dropscribe.api import (
    ApiObject,
    DurationUsage,
    ErrorObject,
    Request,
    Transcription,
    TranscriptionStreamEvent,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
)
from dropscribe.models import OPENAI_MAX_BODY_BYTES, Model
from dropscribe.server.app import create_app
from dropscribe.server.service import Service
from tests.patience import PATIENCE_S

HELLO: Final = Transcription(text="hello", usage=DurationUsage(seconds=1))
EVENTS: Final = (
    TranscriptionTextDeltaEvent(delta="Grüße"),
    TranscriptionTextDeltaEvent(delta=" all"),
    TranscriptionTextDoneEvent(text="Grüße all", usage=DurationUsage(seconds=1)),
)
BOUNDARY: Final = "boundary-4711"
Step = TranscriptionStreamEvent | Exception | None


@dataclass(frozen=True)
class Seen:
    """One request as it reached the backend."""

    request: Request
    model: str
    upload: bytes
    folder: Path


class Stub:
    """A backend: says what is planned, or waits, and keeps what it was asked."""

    engine: Model = models.MODELS[-1]

    def __init__(self) -> None:
        self.behave()

    def behave(self) -> None:
        """Forget what was planned and seen."""
        self.reply: ApiObject | str | Exception = HELLO
        self.before: Exception | None = None
        """Raised before the first event of a stream."""
        self.steps: Sequence[Step] = EVENTS
        """Of a stream; None: wait until it is let go."""
        self.refuses: ErrorObject | None = None
        self.ignores: list[str] = []
        self.seen: list[Seen] = []
        self.holds = False
        """Whether an answer waits until it is let go."""
        self.at_work = threading.Semaphore(0)
        self.left = threading.Semaphore(0)

    def ignored(self, request: Request, model: Model) -> list[str]:
        return list(self.ignores)

    def refusal(self, request: Request, model: Model) -> ErrorObject | None:
        return self.refuses

    async def answer(self, upload: Path, request: Request, model: Model) -> ApiObject | str:
        with self._working(upload, request, model):
            if self.holds:
                await self._let_go.wait()
            if isinstance(self.reply, Exception):
                raise self.reply
            return self.reply

    async def events(
        self, upload: Path, request: Request, model: Model
    ) -> AsyncGenerator[TranscriptionStreamEvent | None]:
        with self._working(upload, request, model):
            if self.before:
                raise self.before
            yield None
            for step in self.steps:
                if isinstance(step, Exception):
                    raise step
                if step is None:
                    await self._let_go.wait()
                else:
                    yield step

    def let_go(self) -> None:
        """Those who wait go on."""
        self._loop.call_soon_threadsafe(self._let_go.set)

    @contextlib.contextmanager
    def _working(self, upload: Path, request: Request, model: Model) -> Iterator[None]:
        self._loop, self._let_go = asyncio.get_running_loop(), asyncio.Event()
        self.seen.append(Seen(request, model.name, upload.read_bytes(), upload.parent))
        self.at_work.release()
        try:
            yield
        finally:
            self.left.release()


@dataclass
class Watched(Service):
    """Tells when nothing is at work any more."""

    changed: threading.Condition = field(default_factory=threading.Condition)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in ("running", "uploading") and hasattr(self, "changed"):
            with self.changed:
                self.changed.notify_all()

    def is_idle(self) -> bool:
        """After a while at most."""
        with self.changed:
            return self.changed.wait_for(lambda: not self.running + self.uploading, PATIENCE_S)

    def awaits_uploads(self, number: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.uploading == number, PATIENCE_S)


@dataclass(frozen=True)
class Reply:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Served:
    """`with Served() as server:` answers on a free loopback port, in a thread."""

    def __init__(self) -> None:
        self.backend = Stub()
        self.service = Watched(concurrency=2, backend=self.backend)
        app = create_app(self.service)
        config = uvicorn.Config(app, log_config=None, access_log=False, ws="none")
        self._server = uvicorn.Server(config)
        # It listens from now on, so that nobody has to wait for the thread.
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],))
        self.port: int = self._listener.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join()

    def behave(self) -> None:
        """Roomy and open, with a backend that does its work."""
        self.backend.behave()
        service = self.service
        service.keys, service.concurrency = frozenset(), 2
        service.max_body_bytes, service.timeout_s = OPENAI_MAX_BODY_BYTES, 60.0

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)

    def post(
        self,
        *parts: bytes,
        path: str = "/v1/audio/transcriptions",
        **headers: str,
    ) -> Reply:
        """Send a form of such parts."""
        form = f"multipart/form-data; boundary={BOUNDARY}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, body(*parts), **{"content-type": form, **named})

    def ask(
        self, method: str, path: str, content: bytes | Iterable[bytes] = b"", **headers: str
    ) -> Reply:
        """Send any request; content in pieces goes without its length."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            chunked = not isinstance(content, bytes)
            connection.request(method, path, content, headers, encode_chunked=chunked)
            return read(connection.getresponse())


def read(response: http.client.HTTPResponse) -> Reply:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, headers, response.read())


def raw_request(*parts: bytes, path: str = "/v1/audio/transcriptions") -> bytes:
    """All bytes of a request."""
    content = body(*parts)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n"
        f"content-type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    )
    return head.encode() + content


def body(*parts: bytes) -> bytes:
    """A form of such parts."""
    begun = b"".join(b"--%b\r\n%b\r\n" % (BOUNDARY.encode(), part) for part in parts)
    return begun + f"--{BOUNDARY}--\r\n".encode()


def text(name: str, value: str | bytes) -> bytes:
    """A part of a form."""
    content = value.encode() if isinstance(value, str) else value
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + content


def file(content: bytes = b"RIFF", name: str | None = "a.wav", part: str = "file") -> bytes:
    """A part of a form; `name` as it is written on the wire, None: without one."""
    named = "" if name is None else f'; filename="{name}"'
    head = f'Content-Disposition: form-data; name="{part}"{named}\r\n'
    return head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + content


MODEL: Final = text("model", "pocketsphinx-en-us")
