"""What is done to every request: a name, a log line, limits on its body."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import uuid
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("dropscribe.server")

DRAIN_S: Final = 30


@dataclass(frozen=True)
class Identified:
    """Names every answer, says how long it took, and logs one line: never what was said."""

    app: ASGIApp
    most: int
    """Bytes that are read on of a body that was refused."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, name, status = time.monotonic(), f"req_{uuid.uuid4().hex}", 0
        # Who asks before sending is not asked to send what is refused.
        whole = any(header == b"expect" for header, _ in scope["headers"])

        async def followed() -> Message:
            nonlocal whole
            message = await receive()
            whole = not message.get("more_body", False)
            return message

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status >= 400 and not whole:
                    await drain(receive, self.most)
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


class TooLarge(Exception):
    """The body passes the limit."""


@dataclass
class Counted:
    """Receives a body up to a limit."""

    receive: Receive
    most: int
    read: int = 0

    async def __call__(self) -> Message:
        message = await self.receive()
        self.read += len(message.get("body", b""))
        if self.read > self.most:
            raise TooLarge
        return message


async def drain(receive: Receive, most: int) -> None:
    """Read on, within limits: who is still sending would miss the answer."""
    read = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            while read <= most:
                message = await receive()
                read += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return


async def disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _ms_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
