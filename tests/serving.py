"""`dropscribe serve` as a process, as a user starts it, and recordings to send."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import ROOT
from tests.patience import PATIENCE_S

KEY = "sk-local-0123456789abcdef"
DIARIZE: dict[str, Any] = {
    "model": "gpt-4o-transcribe-diarize",
    "response_format": "diarized_json",
}


def command(*arguments: str, lacking: str | None = None) -> list[str]:
    """`lacking`: a package that the server, though not its workers, does not find."""
    hidden = f"import sys; sys.modules[{lacking!r}] = None; " if lacking else ""
    program = f"{hidden}from dropscribe.cli import main; main()"
    return [sys.executable, "-c", program, "serve", *arguments]


def environment(**more: str) -> dict[str, str]:
    variables = {name: text for name, text in os.environ.items() if name != "DROPSCRIBE_API_KEYS"}
    return {**variables, "PYTHONPATH": str(ROOT / "layers" / "dropscribe"), **more}


class Process:
    """One server with one worker, which has a folder of its own for everything temporary."""

    def __init__(
        self, folder: Path, *arguments: str, lacking: str | None = None, **more: str
    ) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command("--port", "0", "--concurrency", "1", *arguments, lacking=lacking),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(TMPDIR=str(self.temporary), **more),
            )

    def workers(self) -> set[int]:
        """Processes that were started by the server and live."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return {int(pid) for pid in children.split() if "server.worker" in _command_of(int(pid))}

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        assert self.process.stdout
        self.process.stdout.close()


class Server(Process):
    """One that answers."""

    def __init__(
        self, folder: Path, *arguments: str, lacking: str | None = None, **more: str
    ) -> None:
        super().__init__(folder, *arguments, lacking=lacking, **more)
        assert self.process.stdout
        self.base_url = self.process.stdout.readline().strip()
        self.http = httpx.Client(
            base_url=self.base_url,
            headers={"authorization": f"Bearer {KEY}"},
            timeout=PATIENCE_S,
        )

    def post(
        self,
        audio: Path | bytes,
        path: str = "transcriptions",
        name: str | None = None,
        **form: Any,
    ) -> httpx.Response:
        content = audio if isinstance(audio, bytes) else audio.read_bytes()
        named = name or (audio.name if isinstance(audio, Path) else "a.wav")
        data = {"model": "whisper-1", **form}
        return self.http.post(f"/audio/{path}", data=data, files={"file": (named, content)})

    @contextmanager
    def listening(self, content: bytes, model: str = "gpt-transcribe") -> Iterator[Iterator[str]]:
        """The lines of a stream of events, as they come."""
        data, files = {"model": model, "stream": "true"}, {"file": ("a.wav", content)}
        with self.http.stream("POST", "/audio/transcriptions", data=data, files=files) as response:
            yield (line for line in response.iter_lines() if line)

    def running(self) -> int:
        """Requests at work."""
        address = self.base_url.removesuffix("/v1") + "/health"
        return int(self.http.get(address).json()["running"])

    def close(self) -> None:
        self.http.close()
        super().close()


def _command_of(pid: int) -> str:
    """Empty for one that has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def pause(worker: int) -> None:
    """So it is at work however long the server or a test takes."""
    os.kill(worker, signal.SIGSTOP)


def wav(frames: bytes, channels: int = 1) -> bytes:
    """A recording of 16 kHz."""
    with io.BytesIO() as target, wave.open(target, "wb") as recording:
        recording.setparams((channels, 2, 16_000, 0, "NONE", ""))
        recording.writeframes(frames)
        return target.getvalue()


def silence(seconds: float) -> bytes:
    return bytes(2 * int(16_000 * seconds))


def refused(response: httpx.Response, status: int = 400) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    return error


def events(response: httpx.Response) -> list[dict[str, Any]]:
    *told, last = [line[6:] for line in response.iter_lines() if line]
    assert last == "[DONE]"
    return [json.loads(event) for event in told]


def served(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The whole run of a server that does not start."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        env=environment(**more),
        check=False,
        timeout=PATIENCE_S,
    )
