"""One request for a transcript, from its form to its answer."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from dropscribe import validity
from dropscribe.api import (
    END_OF_STREAM,
    TranscriptionRequest,
    TranscriptionStreamEvent,
    from_form,
    invalid_request,
    wire,
)
from dropscribe.api import Request as Asked
from dropscribe.models import Model
from dropscribe.server.refused import (
    Refused,
    busy,
    failed,
    invalid,
    no_model,
    server_error,
    too_large,
)
from dropscribe.server.service import Backend, Service, known, ready
from dropscribe.server.threads import in_thread
from dropscribe.server.transport import Counted, TooLarge, disconnected

logger = logging.getLogger("dropscribe.server")

MOST_PARTS: Final = 200
"""Of a form: four lists, and room."""
CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
TEXT: Final = "text/plain; charset=utf-8"
"""Of text, srt and vtt: what the API sends, and what every SDK reads as text."""


@dataclass
class Job:
    """One request for a transcript, from its form to its answer."""

    service: Service
    kind: type[Asked]
    http: Request
    ignored: list[str] = field(default_factory=list)

    async def respond(self) -> Response:
        try:
            async with asyncio.timeout(self.service.timeout_s) as limit:
                response = await self._respond()
            if isinstance(response, _Events):
                response.deadline = limit.when()
        except TimeoutError as error:
            message = f"The request took more than {self.service.timeout_s:g} seconds."
            again = {"x-should-retry": "false"}
            raise Refused(504, server_error(message, "timeout"), again) from error
        return response

    async def _respond(self) -> Response:
        """Who is still sending holds no place at work, and no more of them than can be kept."""
        service = self.service
        if service.running >= service.concurrency or service.uploading >= service.most_uploads:
            raise busy()
        folder = tempfile.TemporaryDirectory(prefix="upload-")
        kept = False
        try:
            service.uploading += 1
            try:
                upload, asked, model = await self._read(Path(folder.name))
            finally:
                service.uploading -= 1
            if service.running >= service.concurrency:
                raise busy()
            service.running += 1
            try:
                response = await self._work(folder, upload, asked, model)
                kept = isinstance(response, _Events)
            finally:
                if not kept:
                    folder.cleanup()
                    service.running -= 1
        finally:
            if not kept:
                folder.cleanup()
        return response

    async def _work(
        self, folder: tempfile.TemporaryDirectory[str], upload: Path, asked: Asked, model: Model
    ) -> Response:
        """A stream takes over the folder and the place at work."""
        if isinstance(asked, TranscriptionRequest) and _streams(asked, model):
            events = self._backend.events(upload, asked, model)
            # The first step decodes: what is refused is refused before the stream begins.
            await self._unless_gone(anext(events))
            return _Events(events, folder, self.service, self._headers())
        answer = await self._unless_gone(self._backend.answer(upload, asked, model))
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
        charset = re.search(r"charset=\"?([^\s;\"]*)", content_type)
        if charset and charset[1] not in CHARSETS:
            # Python reads some in time that grows with the square of the length.
            message = "The form's charset has to be UTF-8."
            raise Refused(400, invalid_request(message, code="invalid_content_type"))
        most = self.service.max_body_bytes
        counted = Counted(self.http.receive, most)
        limited = Request(self.http.scope, counted)
        try:
            form = await limited.form(max_files=10, max_fields=MOST_PARTS, max_part_size=most)
        except TooLarge as error:
            raise too_large(most, counted.read) from error
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
            raise invalid(validity.explained(error)) from error
        model = known(self.service, asked.model)
        if model is None:
            raise no_model(asked.model)
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
        gone = asyncio.ensure_future(disconnected(self.http.receive))
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
        return ready(self.service)


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
            yield _frame(json.dumps(failed().body))


def _streams(asked: TranscriptionRequest, model: Model) -> bool:
    """Subtitles and verbose_json have no events."""
    evented = asked.response_format in ("json", "text", "diarized_json")
    return asked.stream and model.streams and evented


def _frame(text: str) -> str:
    return f"data: {text}\r\n\r\n"
