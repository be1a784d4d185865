"""What an upload with `dropscribe.client.Client` costs beside the official `openai` package.

    python -m bench.api              all three, about a minute on two cores
    python -m bench.api memory       one of: uploads, memory, imports

Both send the same files to a server in a process of its own that reads the body and answers at
once, so what is measured is the clients. The SDK takes the file as a path, which it reads whole, or
open, which it reads in pieces; ratios are to whichever of the two costs less.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from openai import OpenAI

from dropscribe.api import TranscriptionRequest
from dropscribe.client import Client

ROOT = Path(__file__).parents[1]
RECORDED = ROOT / "tests" / "data" / "api" / "observed-responses.json"
MODEL = "gpt-transcribe"
MB = 1_000_000
ROUNDS = {1: 401, 24: 101}
"""By the size of the file in MB."""
FRESH = 11
"""Rounds where each takes a fresh process."""
OURS = "dropscribe"
IMPORTS = {OURS: "from dropscribe.client import Client", "openai": "from openai import OpenAI"}
ONE_UPLOAD = {
    OURS: """
from dropscribe.api import TranscriptionRequest
from dropscribe.client import Client
def upload():
    with Client(url, "k") as client:
        client.transcribe(path, TranscriptionRequest(model=model))
""",
    "openai, path": """
from openai import OpenAI
def upload():
    with OpenAI(base_url=url, api_key="k", max_retries=0) as client:
        client.audio.transcriptions.create(file=path, model=model)
""",
    "openai, open file": """
from openai import OpenAI
def upload():
    with OpenAI(base_url=url, api_key="k", max_retries=0) as client, path.open("rb") as file:
        client.audio.transcriptions.create(file=file, model=model)
""",
}
PEAKS = """
import pathlib, sys

def peak_kib():
    status = pathlib.Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))

url, path, model = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
{client}
imported = peak_kib()
upload()
print(imported, peak_kib())
"""
"""Prints peak KiB after the import and after the upload.

From /proc: the kernel hands getrusage's peak on from parent to child.
"""


def uploads(url: str, folder: Path) -> None:
    """One upload after another on connections that are kept, the clients taking turns."""
    with Client(url, "k") as own, OpenAI(base_url=url, api_key="k", max_retries=0) as sdk:
        for size, rounds in ROUNDS.items():
            path = recording(folder, size)

            def ours(path: Path = path) -> None:
                own.transcribe(path, TranscriptionRequest(model=MODEL))

            def sdk_path(path: Path = path) -> None:
                sdk.audio.transcriptions.create(file=path, model=MODEL)

            def sdk_file(path: Path = path) -> None:
                with path.open("rb") as file:
                    sdk.audio.transcriptions.create(file=file, model=MODEL)

            ways = {OURS: ours, "openai, path": sdk_path, "openai, open file": sdk_file}
            wall, cpu = _in_turn({name: _upload_ms(way) for name, way in ways.items()}, rounds)
            print(
                f"upload of {size} MB, ms, median of {rounds} rounds: time, CPU time of the client"
            )
            for name in ways:
                print(f"  {name:18}{_spread(wall[name])}  {_spread(cpu[name])}")
            print(f"  ratio {_ratio(wall):.2f}, of CPU time {_ratio(cpu):.2f}")


def memory(url: str, folder: Path) -> None:
    """Peak memory of a process that does nothing but import a client and upload one file."""
    path = recording(folder, 24)
    print(
        f"peak memory of one upload of 24 MB, MB, median of {FRESH} processes (after import + rise)"
    )
    readings: dict[str, list[list[float]]] = {name: [] for name in ONE_UPLOAD}
    for _ in range(FRESH):
        for name, client in ONE_UPLOAD.items():
            child = subprocess.run(
                [sys.executable, "-c", PEAKS.format(client=client), url, str(path), MODEL],
                check=True,
                capture_output=True,
                text=True,
            )
            readings[name].append([int(kib) * 1024 / MB for kib in child.stdout.split()])
    peaks, rises = {}, {}
    for name, each in readings.items():
        peaks[name] = [peak for _, peak in each]
        rises[name] = [peak - imported for imported, peak in each]
        peak, rise = statistics.median(peaks[name]), statistics.median(rises[name])
        print(f"  {name:18}{peak - rise:6.1f} +{rise:6.1f} ={peak:6.1f}")
    print(f"  ratio {_ratio(peaks):.2f}, of the rise {_ratio(rises):.2f}")


def imports(url: str, folder: Path) -> None:
    """What it takes in a fresh process to have the class."""
    print(f"import in a fresh process, s, median of {FRESH} rounds: time, CPU time")
    wall, cpu = _in_turn({name: _python(code) for name, code in IMPORTS.items()}, FRESH)
    for name in IMPORTS:
        print(f"  {name:18}{_spread(wall[name])}  {_spread(cpu[name])}")
    print(f"  ratio {_ratio(wall):.2f}, of CPU time {_ratio(cpu):.2f}")


def recording(folder: Path, size: int) -> Path:
    """So many MB that nothing can compress, under a recording's name."""
    path = folder / f"{size}.flac"
    if not path.exists():
        path.write_bytes(os.urandom(size * MB))
    return path


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Start the server in a process of its own: its base URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        process = multiprocessing.get_context("fork").Process(
            target=_serve, args=(listener,), daemon=True
        )
        process.start()
    # Closed on this side: where the server dies, clients are refused and do not wait.
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.join()


def _serve(listener: socket.socket) -> None:
    body = json.loads(RECORDED.read_text("utf-8"))["json_gpt_transcribe"]["body"].encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    while True:
        connection, _ = listener.accept()
        given = (connection, head.encode() + b"\r\n" + body)
        threading.Thread(target=_answer_each, args=given, daemon=True).start()


def _answer_each(connection: socket.socket, answer: bytes) -> None:
    """Read requests whose length is announced, and nothing of what they say."""
    buffer, room = b"", bytearray(MB)
    with connection:
        while True:
            while b"\r\n\r\n" not in buffer:
                piece = connection.recv(65_536)
                if not piece:
                    return
                buffer += piece
            head, _, begun = buffer.partition(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            left = int(fields[b"content-length"]) - len(begun)
            while left > 0:
                left -= connection.recv_into(room, min(left, len(room)))
            connection.sendall(answer)
            buffer = b""


Measured = tuple[float, float]
"""Time that passed, and CPU time of the client."""


def _in_turn(
    ways: dict[str, Callable[[], Measured]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Each way once a round, first once uncounted; each is first in its turn."""
    names = list(ways)
    wall: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        ways[name]()
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            passed, used = ways[name]()
            wall[name].append(passed)
            cpu[name].append(used)
    return wall, cpu


def _upload_ms(upload: Callable[[], None]) -> Callable[[], Measured]:
    def measure() -> Measured:
        started, cpu_before = time.perf_counter(), time.process_time()
        upload()
        cpu = time.process_time() - cpu_before
        return (time.perf_counter() - started) * 1000, cpu * 1000

    return measure


def _python(code: str) -> Callable[[], Measured]:
    def measure() -> Measured:
        before, started = os.times(), time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        passed, after = time.perf_counter() - started, os.times()
        used = after.children_user + after.children_system
        return passed, used - before.children_user - before.children_system

    return measure


def _ratio(readings: dict[str, list[float]]) -> float:
    """Ours to the one of the others that has the lower median, round by round."""
    others = (each for name, each in readings.items() if name != OURS)
    pairs = zip(readings[OURS], min(others, key=statistics.median), strict=True)
    return statistics.median(own / other for own, other in pairs)


def _spread(values: Sequence[float]) -> str:
    """Median, and the middle half: of hundreds of rounds the extremes say nothing."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:7.2f} ({low:.2f} to {high:.2f})"


def main(names: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as name, server() as url:
        for part in (uploads, memory, imports):
            if not names or part.__name__ in names:
                part(url, Path(name))


if __name__ == "__main__":
    main(sys.argv[1:])
