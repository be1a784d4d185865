"""The server's worker processes: as many as requests that may run at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final, Self

from dropscribe.engines import Recognized
from dropscribe.server.refused import Refused, server_error

_LONGEST_LINE_BYTES: Final = 64 << 20
RESTART_S: Final = 1
logger = logging.getLogger("dropscribe.server")


class Workers:
    """`async with Workers("offline", 4) as workers:` loads the engine in each."""

    def __init__(self, engine: str, count: int) -> None:
        self._engine, self._count = engine, count
        self._idle: asyncio.Queue[Process] = asyncio.Queue()
        self._all: set[Process] = set()
        self._starting: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await asyncio.gather(*(self._start() for _ in range(self._count)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._starting:
            task.cancel()
        for process in list(self._all):
            await self._stop(process)

    async def recognize(self, tracks: list[Path]) -> AsyncGenerator[tuple[int, Recognized]]:
        """Track and part, in the order of speech, as soon as each is known.

        Who stops listening before the end has the work stopped: its process is replaced.
        """
        process = await self._living()
        whole = False
        try:
            await _ask(process, tracks)
            while answer := await _line(process):
                whole = "part" not in answer
                if "error" in answer:
                    raise Refused(500, server_error(answer["error"]))
                if "done" in answer:
                    return
                yield answer["track"], Recognized.model_validate(answer["part"])
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
        while (process := await self._idle.get()).returncode is not None:
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
        command = (sys.executable, "-m", "dropscribe.server.worker", self._engine)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, limit=_LONGEST_LINE_BYTES, start_new_session=True
        )
        self._all.add(process)
        if not await _line(process):
            self._all.discard(process)
            raise RuntimeError(f"engine `{self._engine}` did not start, see the lines above")
        self._idle.put_nowait(process)

    async def _stop(self, process: Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _ask(process: Process, tracks: list[Path]) -> None:
    assert process.stdin is not None  # noqa: S101 - PIPE
    with contextlib.suppress(ConnectionError):  # it is dead, which reading from it tells
        process.stdin.write(json.dumps({"tracks": [str(track) for track in tracks]}).encode())
        process.stdin.write(b"\n")
        await process.stdin.drain()


async def _line(process: Process) -> dict[str, Any]:
    """A worker's next line; empty where it died."""
    assert process.stdout is not None  # noqa: S101 - PIPE
    line = await process.stdout.readline()
    message: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
    return message
