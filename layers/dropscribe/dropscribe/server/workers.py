"""The server's worker processes: as many as requests that may run at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from typing import Final, Self

from dropscribe.errors import Rejected
from dropscribe.server.protocol import (
    Answer,
    Begun,
    Done,
    Failed,
    Part,
    Question,
    Ready,
    Said,
    read,
)
from dropscribe.server.refused import Refused, server_error

_LONGEST_LINE_BYTES: Final = 64 << 20
RESTART_S: Final = 1
logger = logging.getLogger("dropscribe.server")


class NotStarted(RuntimeError):
    """A worker ended before it was ready; the text says why, if it did."""


class Workers:
    """`async with Workers(4, "whisper", "small") as workers:` loads the engine in each."""

    def __init__(self, count: int, engine: str, *model: str) -> None:
        self._engine, self._model, self._count = engine, model, count
        self._idle: asyncio.Queue[Process] = asyncio.Queue()
        self._all: set[Process] = set()
        self._starting: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Raises `NotStarted`."""
        starting = [asyncio.create_task(self._start()) for _ in range(self._count)]
        try:
            await asyncio.gather(*starting)
        except BaseException:
            # One failed; another may be about to make its process, which nobody would end.
            for task in starting:
                task.cancel()
            await asyncio.wait(starting)
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._starting:
            task.cancel()
        for process in list(self._all):
            await self._stop(process)

    async def recognize(self, question: Question) -> AsyncGenerator[Begun | Part | Said]:
        """What a worker answers as soon as it does, parts of several tracks in the order of speech.

        Who stops listening before the end has the work stopped: its process is replaced. Raises
        `Rejected`, in place of the first answer, where the engine cannot do what is asked, and
        `Refused` where it failed.
        """
        process = await self._living()
        whole = False
        try:
            await _ask(process, question)
            while answer := await _line(process):
                whole = isinstance(answer, Done | Failed)
                match answer:
                    case Done():
                        return
                    case Failed():
                        raise _failure(answer)
                    case Begun() | Part() | Said():
                        yield answer
            # Killing it before asyncio has noticed its death would take its exit status away.
            await process.wait()
            raise Refused(500, server_error("the recognizer died at work: send the request again"))
        finally:
            if whole:
                self._idle.put_nowait(process)
            else:
                self._replace(process)

    async def _living(self) -> Process:
        """An idle one; some may have been killed meanwhile, as when memory runs out."""
        while _has_ended(process := await self._idle.get()):
            await process.wait()
            self._replace(process)
        return process

    def _replace(self, process: Process) -> None:
        """Without waiting for it: whoever comes next does, if all others are busy."""
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        self._all.discard(process)
        task = asyncio.create_task(self._restart())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _restart(self) -> None:
        """Until one runs: with none left, requests would wait in vain."""
        while True:
            try:
                return await self._start()
            except (OSError, RuntimeError) as error:
                logger.error("%s", error)  # noqa: TRY400 - its text says it all
                await asyncio.sleep(RESTART_S)

    async def _start(self) -> None:
        command = (sys.executable, "-m", "dropscribe.server.worker", self._engine, *self._model)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, limit=_LONGEST_LINE_BYTES, start_new_session=True
        )
        self._all.add(process)
        answer = await _line(process)
        if not isinstance(answer, Ready):
            await process.wait()
            self._all.discard(process)
            lacking = f"engine `{self._engine}` did not start, see the lines above"
            raise NotStarted(answer.message if isinstance(answer, Failed) else lacking)
        self._idle.put_nowait(process)

    async def _stop(self, process: Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _failure(answer: Failed) -> Rejected | Refused:
    if answer.code == "unsupported_by_model":
        return Rejected(answer.code, answer.message)
    return Refused(500, server_error(answer.message))


def _has_ended(process: Process) -> bool:
    """Also before asyncio has noticed, where the system tells without taking its exit status."""
    if process.returncode is not None or not hasattr(os, "waitid"):
        return process.returncode is not None
    with contextlib.suppress(ChildProcessError):
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, process.pid, flags) is not None
    return True


async def _ask(process: Process, question: Question) -> None:
    assert process.stdin is not None  # noqa: S101 - PIPE
    with contextlib.suppress(ConnectionError):  # it is dead, which reading from it tells
        process.stdin.write(question.model_dump_json().encode() + b"\n")
        await process.stdin.drain()


async def _line(process: Process) -> Answer | None:
    """A worker's next line; None where it died."""
    assert process.stdout is not None  # noqa: S101 - PIPE
    line = await process.stdout.readline()
    return read(line) if line.endswith(b"\n") else None
