"""Runs the server until it is told to stop."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import uvicorn

from dropscribe import models
from dropscribe.server.app import create_app
from dropscribe.server.backend import Backend
from dropscribe.server.service import Service
from dropscribe.server.workers import Workers

KEYS_VARIABLE: Final = "DROPSCRIBE_API_KEYS"
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class NotServed(Exception):
    """The server cannot start as it was asked to; the text says why."""


def serve(engine: str, host: str, port: int, service: Service) -> None:
    """Listen, and print the base URL as the first line once requests can be answered."""
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
    model = next(model for model in models.MODELS if model.engine == engine)

    with _ffmpeg_on_path(), _listening(host, port) as listener:
        address = f"http://{_host(host)}:{listener.getsockname()[1]}/v1"

        @asynccontextmanager
        async def loaded() -> AsyncIterator[None]:
            async with Workers(engine, service.concurrency) as workers:
                service.backend = Backend(model, workers)
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
        server = uvicorn.Server(config)
        server.run(sockets=[listener])
        if not server.started:
            raise NotServed(f"engine `{engine}` did not start, see above")


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
