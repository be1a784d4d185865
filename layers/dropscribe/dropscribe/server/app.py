"""The HTTP side: keys, limits, forms, errors and events as the transcription API has them."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dropscribe import __version__, models, validity
from dropscribe.api import (
    END_OF_STREAM,
    ApiObject,
    ErrorObject,
    ModelInfo,
    ModelList,
    TranscriptionRequest,
    TranscriptionStreamEvent,
    TranslationRequest,
    from_form,
    invalid_request,
    wire,
)
from dropscribe.api import Request as Asked
from dropscribe.models import OPENAI_MAX_BODY_BYTES, Model
from dropscribe.server.refused import Refused, server_error
from dropscribe.server.threads import in_thread

logger = logging.getLogger("dropscribe.server")

RETRY_AFTER_S: Final = 1
DRAIN_S: Final = 30
MOST_PARTS: Final = 200
"""Of a form: four lists, and room."""
TEXT: Final = "text/plain; charset=utf-8"
"""Of text, srt and vtt: what the API sends, and what every SDK reads as text."""


class Backend(Protocol):
    """Who does the work."""

    @property
    def engine(self) -> Model: ...

    def ignored(self, request: Asked, model: Model) -> list[str]: ...

    def refusal(self, request: Asked, model: Model) -> ErrorObject | None: ...

    async def answer(self, upload: Path, request: Asked, model: Model) -> ApiObject | str: ...

    def events(
        self, upload: Path, request: Asked, model: Model
    ) -> AsyncGenerator[TranscriptionStreamEvent | None]: ...


@dataclass
class Service:
    """What one server has: its limits, and who works."""

    concurrency: int
    """Requests at work at once; more are answered with 429."""
    keys: frozenset[str] = frozenset()
    """Bearer keys; none: everybody may ask."""
    max_body_bytes: int = OPENAI_MAX_BODY_BYTES
    timeout_s: float = 600.0
    """For a request, from its first byte to the beginning of its answer, or the end of a stream."""
    backend: Backend | None = None
    """None until it is ready."""
    running: int = 0
    started: int = field(default_factory=lambda: int(time.time()))


def create_app(
    service: Service, lifespan: Callable[[], AbstractAsyncContextManager[None]] | None = None
) -> ASGIApp:
    """`lifespan`: entered before the first request, to fill `service.backend`."""

    @asynccontextmanager
    async def around(_: Starlette) -> AsyncIterator[None]:
        if lifespan is None:
            yield
            return
        async with lifespan():
            yield

    post, get = ["POST"], ["GET"]
    app = Starlette(
        routes=[
            Route(
                "/v1/audio/transcriptions", _endpoint(service, TranscriptionRequest), methods=post
            ),
            Route("/v1/audio/translations", _endpoint(service, TranslationRequest), methods=post),
            Route("/v1/models", _models(service), methods=get),
            Route("/v1/models/{name:path}", _model(service), methods=get),
            Route("/health", _health(service), methods=get),
        ],
        exception_handlers={
            **{Refused: _refused, HTTPException: _http, ClientDisconnect: _gone},
            Exception: _unexpected,
        },
        lifespan=around,
    )
    return _Identified(app, service.max_body_bytes)


@dataclass(frozen=True)
class _Identified:
    """Names every answer, says how long it took, and logs one line: never what was said."""

    app: ASGIApp
    most: int
    """Bytes that are read on of a body that was refused."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, name, status, whole = time.monotonic(), f"req_{uuid.uuid4().hex}", 0, False

        async def followed() -> Message:
            nonlocal whole
            message = await receive()
            whole = whole or not message.get("more_body", False)
            return message

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status >= 400 and not whole:
                    await _drain(receive, self.most)
                took = str(_ms_since(started)).encode()
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-request-id", name.encode()),
                    (b"openai-processing-ms", took),
                ]
            await send(message)

        try:
            await self.app(scope, followed, named)
        finally:
            line = {
                **{"request_id": name, "method": scope["method"], "path": scope["path"]},
                **{"status": status, "ms": _ms_since(started), **scope.get("dropscribe", {})},
            }
            logger.info("%s", json.dumps(line))


def _endpoint(service: Service, kind: type[Asked]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        _check_key(service, request)
        return await _Job(service, kind, request).respond()

    return answer


@dataclass
class _Job:
    """One request for a transcript, from its form to its answer."""

    service: Service
    kind: type[Asked]
    http: Request
    ignored: list[str] = field(default_factory=list)

    async def respond(self) -> Response:
        if self.service.running >= self.service.concurrency:
            raise _busy()
        self.service.running += 1
        handed_on = False
        try:
            async with asyncio.timeout(self.service.timeout_s) as limit:
                response = await self._work()
            if isinstance(response, _Events):
                handed_on = True
                response.deadline = limit.when()
        except TimeoutError as error:
            message = f"The request took more than {self.service.timeout_s:g} seconds."
            again = {"x-should-retry": "false"}
            raise Refused(504, server_error(message, "timeout"), again) from error
        finally:
            if not handed_on:
                self.service.running -= 1
        return response

    async def _work(self) -> Response:
        folder = tempfile.TemporaryDirectory(prefix="upload-")
        kept = False
        try:
            upload, asked, model = await self._read(Path(folder.name))
            if isinstance(asked, TranscriptionRequest) and _streams(asked, model):
                events = self._backend.events(upload, asked, model)
                # The first step decodes: what is refused is refused before the stream begins.
                await self._unless_gone(anext(events))
                kept = True
                return _Events(events, folder, self.service, self._headers())
            answer = await self._unless_gone(self._backend.answer(upload, asked, model))
        finally:
            if not kept:
                folder.cleanup()
        if isinstance(answer, str):
            return Response(answer, headers={"content-type": TEXT, **self._headers()})
        return Response(wire(answer), media_type="application/json", headers=self._headers())

    async def _read(self, folder: Path) -> tuple[Path, Asked, Model]:
        """The form, judged before anything is decoded."""
        async with self._form() as form:
            parts = form.multi_items()
            asked, model = self._asked(
                (name, text) for name, text in parts if isinstance(text, str)
            )
            files = (
                part for name, part in parts if name == "file" and isinstance(part, UploadFile)
            )
            file = next(files, None)
            if file is None:
                message = "Missing required parameter: 'file'."
                raise Refused(400, invalid_request(message, "file", "missing_required_parameter"))
            if refusal := validity.file_refusal(file.filename or "", model):
                raise Refused(400, refusal)
            upload = folder / "upload"
            with upload.open("wb") as target:
                await in_thread(shutil.copyfileobj, file.file, target)
        return upload, asked, model

    @asynccontextmanager
    async def _form(self) -> AsyncIterator[FormData]:
        """The parts of the body; no more than the limit is read."""
        content_type = self.http.headers.get("content-type", "").lower()
        if not content_type.startswith("multipart/form-data"):
            message = "The body has to be multipart/form-data with a part 'file'."
            raise Refused(400, invalid_request(message, "file", "invalid_content_type"))
        most = self.service.max_body_bytes
        counted = _Counted(self.http.receive, most)
        limited = Request(self.http.scope, counted)
        try:
            form = await limited.form(max_files=10, max_fields=MOST_PARTS, max_part_size=most)
        except _TooLarge as error:
            raise _too_large(most, counted.read) from error
        except UnicodeError as error:
            message = "The form's charset cannot be read: use UTF-8."
            raise Refused(400, invalid_request(message, code="invalid_content_type")) from error
        try:
            yield form
        finally:
            await form.close()

    def _asked(self, fields: Iterable[tuple[str, str]]) -> tuple[Asked, Model]:
        """What is asked for, and of which model, unless one of them refuses it."""
        values, self.ignored = from_form(fields, self.kind)
        try:
            asked = self.kind.model_validate(values)
        except ValidationError as error:
            raise _invalid(validity.explained(error)) from error
        model = _known(self.service, asked.model)
        if model is None:
            raise _no_model(asked.model)
        self.http.scope["dropscribe"] = {"model": asked.model, "format": asked.response_format}
        if refusal := validity.refusal(asked, model) or self._backend.refusal(asked, model):
            raise Refused(400, refusal)
        self.ignored += self._backend.ignored(asked, model)
        if isinstance(asked, TranscriptionRequest) and asked.stream and not _streams(asked, model):
            self.ignored.append("stream")
        return asked, model

    async def _unless_gone(self, work: Awaitable[Any]) -> Any:
        """The result of some work, which stops when nobody waits for it any more."""
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(_disconnected(self.http))
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ClientDisconnect
            return task.result()
        finally:
            for future in (task, gone):
                future.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)

    def _headers(self) -> dict[str, str]:
        """What of the request had no effect, and how much room there is."""
        names = [name for name in self.ignored if re.fullmatch(r"[\w.\[\]-]{1,60}", name, re.ASCII)]
        told = {"dropscribe-ignored": ", ".join(names[:20])} if names else {}
        limit = self.service.concurrency
        return {
            "x-ratelimit-limit-requests": str(limit),
            "x-ratelimit-remaining-requests": str(limit - self.service.running),
            **told,
        }

    @property
    def _backend(self) -> Backend:
        return _ready(self.service)


class _Events(StreamingResponse):
    """A stream of events; its folder and its place at work are given back when it ends."""

    def __init__(
        self,
        events: AsyncGenerator[TranscriptionStreamEvent | None],
        folder: tempfile.TemporaryDirectory[str],
        service: Service,
        headers: dict[str, str],
    ) -> None:
        fixed = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"}
        super().__init__(self._frames(events), headers={**headers, **fixed})
        self._events, self._folder, self._service = events, folder, service
        self.deadline: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            try:
                await self._events.aclose()
                self._folder.cleanup()
            finally:
                self._service.running -= 1

    async def _frames(
        self, events: AsyncGenerator[TranscriptionStreamEvent | None]
    ) -> AsyncGenerator[str]:
        """An error that comes late is an event too, and nothing is `done` then."""
        try:
            async with aclosing(events):
                while True:
                    async with asyncio.timeout_at(self.deadline):
                        event = await anext(events, None)
                    if event is None:
                        break
                    yield _frame(wire(event))
            yield _frame(END_OF_STREAM)
        except TimeoutError:
            message = f"The request took more than {self._service.timeout_s:g} seconds."
            yield _frame(json.dumps({"error": server_error(message, "timeout").model_dump()}))
        except Refused as error:
            yield _frame(json.dumps(error.body))
        except Exception:
            logger.exception("stream failed")
            yield _frame(json.dumps(_failed().body))


class _TooLarge(Exception):
    """The body passes the limit."""


@dataclass
class _Counted:
    """Receives a body up to a limit."""

    receive: Receive
    most: int
    read: int = 0

    async def __call__(self) -> Message:
        message = await self.receive()
        self.read += len(message.get("body", b""))
        if self.read > self.most:
            raise _TooLarge
        return message


async def _drain(receive: Receive, most: int) -> None:
    """Read on, within limits: who is still sending would miss the answer."""
    read = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            while read <= most:
                message = await receive()
                read += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _streams(asked: TranscriptionRequest, model: Model) -> bool:
    """Subtitles and verbose_json have no events."""
    evented = asked.response_format in ("json", "text", "diarized_json")
    return asked.stream and model.streams and evented


def _frame(text: str) -> str:
    return f"data: {text}\r\n\r\n"


def _check_key(service: Service, request: Request) -> None:
    if not service.keys:
        return
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    given = key.strip() if scheme.lower() == "bearer" else ""
    if any(hmac.compare_digest(given.encode(), known.encode()) for known in service.keys):
        return
    shown = f"***{given[-4:]}" if len(given) >= 12 else "***"
    message = (
        f"Incorrect API key provided: {shown}. Ask whoever runs this server for one."
        if given
        else "You didn't provide an API key. Send it in a header: Authorization: Bearer YOUR_KEY."
    )
    raise Refused(401, invalid_request(message, None, "invalid_api_key"))


def _known(service: Service, name: str) -> Model | None:
    """A model of this server: the engine's own, or a hosted one's name as an alias for it."""
    return next((model for model in _served(service) if model.name == name), None)


def _served(service: Service) -> list[Model]:
    engine = _ready(service).engine
    return [engine, *(model for model in models.MODELS if model.engine == "openai")]


def _ready(service: Service) -> Backend:
    if service.backend is None:
        error = server_error("The engine is being loaded: try again in a few seconds.")
        raise Refused(503, error, {"retry-after": str(RETRY_AFTER_S)})
    return service.backend


def _models(service: Service) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        _check_key(service, request)
        listed = ModelList(data=[_info(service, model) for model in _served(service)])
        return Response(wire(listed), media_type="application/json")

    return answer


def _model(service: Service) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        _check_key(service, request)
        model = _known(service, request.path_params["name"])
        if model is None:
            raise _no_model(request.path_params["name"])
        return Response(wire(_info(service, model)), media_type="application/json")

    return answer


def _info(service: Service, model: Model) -> ModelInfo:
    """`created`: since when it can be had here."""
    return ModelInfo(id=model.name, created=service.started, owned_by="dropscribe")


def _health(service: Service) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return JSONResponse(
            {
                **{"status": "ok", "version": __version__, "engine": _ready(service).engine.engine},
                **{"running": service.running, "concurrency": service.concurrency},
            }
        )

    return answer


def _no_model(name: str) -> Refused:
    message = f"The model `{name[:100]}` does not exist or you do not have access to it."
    return Refused(404, invalid_request(message, None, "model_not_found"))


def _busy() -> Refused:
    error = ErrorObject(
        message="All workers are busy: try again in a moment.",
        type="rate_limit_exceeded",
        code="rate_limit_exceeded",
    )
    return Refused(429, error, {"retry-after": str(RETRY_AFTER_S)})


def _too_large(most: int, read: int) -> Refused:
    message = f"413: Maximum content size limit ({most}) exceeded ({read} bytes read)"
    return Refused(413, server_error(message), beside=_NOTHING_BILLED)


def _invalid(error: ErrorObject) -> Refused:
    beside = _NOTHING_BILLED if error.code == "invalid_language_format" else None
    return Refused(400, error, beside=beside)


_NOTHING_BILLED: Final = {"usage": {"type": "duration", "seconds": 0}}


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - registered for it
    text = json.dumps(error.body, ensure_ascii=False, separators=(",", ":"))
    return Response(
        # A form may name a charset that yields half a surrogate pair, which a message repeats.
        text.encode("utf-8", "replace"),
        status_code=error.status,
        media_type="application/json",
        headers=error.headers,
    )


async def _http(request: Request, error: Exception) -> Response:
    """Unknown addresses, wrong methods, broken forms."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    about = f"{request.method} {request.url.path}"
    code = {404: "unknown_url", 405: "method_not_supported"}.get(error.status_code)
    message = f"Invalid URL ({about})" if error.status_code == 404 else f"{error.detail} ({about})"
    refused = Refused(error.status_code, invalid_request(message, code=code), error.headers)
    return await _refused(request, refused)


async def _gone(_: Request, error: Exception) -> Response:
    """Nobody reads it; the log has the status."""
    return Response(status_code=499)


async def _unexpected(request: Request, error: Exception) -> Response:
    """The error itself is raised on, and logged by uvicorn."""
    return await _refused(request, _failed())


def _failed() -> Refused:
    message = "The server had an error while processing your request, see its log."
    return Refused(500, server_error(message))


def _ms_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
