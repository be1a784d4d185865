"""The transcription API beside the embedded cloud: `dropscribe serve` as a process."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_COMMAND = (sys.executable, "-c", "from dropscribe.cli import main; main()", "serve", "--port", "0")


@dataclass(frozen=True)
class LocalApi:
    base_url: str
    key: str


@contextmanager
def local_api() -> Iterator[LocalApi]:
    """Started on a free port with a key of its own; ready when it is yielded.

    Raises `RuntimeError` where it does not start; its log says why.
    """
    key = f"sk-local-{secrets.token_hex(16)}"
    environment = os.environ | {"DROPSCRIBE_API_KEYS": key}
    with subprocess.Popen(_COMMAND, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - PIPE
            base_url = process.stdout.readline().strip()
            if not base_url:
                raise RuntimeError("the transcription API did not start, see the lines above")
            yield LocalApi(base_url, key)
        finally:
            process.terminate()
