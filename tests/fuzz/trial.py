"""One input through the normalize step, and whether what became of it may be."""

from __future__ import annotations

import re
import resource
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from dropscribe import audio
from dropscribe.aws import Bucket, client
from dropscribe.confined import confined
from dropscribe.errors import Rejected
from dropscribe.job import Source, job_id_of
from dropscribe.plan import plan
from dropscribe.stages.normalize import Settings, normalize
from tests.stages import UPLOADS, WORK

MAX_MS: Final = 120_000
TIMEOUT_S: Final = 60.0
SETTINGS: Final = Settings(
    WORK_BUCKET=WORK,
    ENGINE="openai",
    MODEL="whisper-1",
    FORMATS="",
    MAX_AUDIO_MINUTES=MAX_MS / 60_000,
    MAX_CONCURRENCY=2,
    TRANSCRIBE_FUNCTION_ARN="transcribe",
    WHISPER_FUNCTION_ARN="",
    WHISPER_MODEL="",
    VOICE_MODEL="none",
    WHISPER_MAX_CONCURRENCY=1,
)
ALLOWED: Final = re.compile(r"upload|track-\d\.pcm(\.pauses-\d\d)?|chunk-\d+\.flac")
"""Names that the step may leave in its folder, which its caller deletes."""
_OF_C_LIBRARY: Final = frozenset({"/proc/sys/vm/overcommit_memory", "/etc/localtime"})
"""Where it looks as it gives memory back, and at the first date; it does well without answers."""
_CALL: Final = re.compile(r"^(?:\[?pid +\d+\]? |\d+ +)?(\w+)\((.*)$")
_PATH: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_FORBIDDEN: Final = frozenset(
    {"socket", "socketpair", "connect", "bind", "listen", "sendto", "sendmsg", "fork", "vfork"}
)


@dataclass(frozen=True)
class Outcome:
    """What became of one input."""

    name: str
    code: str
    """`decoded`, or that of the rejection."""
    seconds: float
    problem: str = ""
    """Why this must not be; empty: it may."""
    crashed: bool = False
    """ffmpeg ended by a signal, which is a rejection."""
    traced: bool = False
    memory_mb: int = 0
    """The most that any process of ours took so far."""


def trial(
    name: str, content: bytes, *, split: bool, whole: bool, harmless: frozenset[str] | None
) -> Outcome:
    """`whole`: the step with its storage, instead of decoding, planning and cutting alone.

    `harmless`: what ffmpeg looks for outside its folder with any file; None: not traced.
    """
    started = time.monotonic()
    code, problem, message = "decoded", "", ""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as top:
        folder = Path(top) / "work"
        folder.mkdir()
        upload = folder / "upload"
        upload.write_bytes(content)
        trace = Path(top) / "trace"
        try:
            with (
                patch.object(tempfile, "tempdir", top),
                nullcontext() if harmless is None else traced(trace),
            ):
                if whole:
                    _whole_step(name, upload, split=split)
                else:
                    _step(upload, folder, split=split)
        except Rejected as error:
            code, message = error.code, error.message
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
            code, problem = "failed", f"{type(error).__name__}: {error}"
        problem = problem or _left(folder, Path(top))
        if harmless is not None and trace.exists():
            elsewhere = sorted(outside(trace.read_text("utf-8", "replace"), top) - harmless)
            problem = problem or (f"opened {elsewhere}" if elsewhere else "")
    memory_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    return Outcome(
        name,
        code,
        time.monotonic() - started,
        problem,
        crashed="ffmpeg crashes on it" in message,
        traced=harmless is not None,
        memory_mb=memory_mb,
    )


def _step(upload: Path, folder: Path, *, split: bool) -> None:
    """As `stages.normalize` does, without its storage. Raises `AssertionError` for odd results."""
    normalized = audio.normalize(upload, folder, max_ms=MAX_MS, split=split, timeout_s=TIMEOUT_S)
    assert 1 <= len(normalized.tracks) <= 2
    for track in normalized.tracks:
        assert track.path.stat().st_size == 2 * track.samples > 0
        assert track.duration_ms <= MAX_MS
        for pauses in track.pauses:
            assert all(0 <= span.start_ms <= span.end_ms for span in pauses)
            assert all(a.end_ms <= b.start_ms for a, b in pairwise(pauses))
            assert not pauses or pauses[-1].end_ms <= track.duration_ms + 1
        for at, span in enumerate(
            plan(track.duration_ms, track.pauses, longest_ms=30_000, parallel=2)
        ):
            chunk = folder / f"chunk-{at:05d}.flac"
            audio.cut(track, span, chunk, timeout_s=TIMEOUT_S)
            chunk.unlink()
    assert all(warning.isprintable() for warning in normalized.warnings)


def _whole_step(name: str, upload: Path, *, split: bool) -> None:
    """Of the upload in a bucket, its key a hostile one too. Raises `AssertionError`."""
    key = f"../-i concat:%00{name}\n"
    stored = client("s3").put_object(
        Bucket=UPLOADS,
        Key=key,
        Body=upload.read_bytes(),
        Metadata={"channels": "split" if split else "mix"},
    )
    source = Source(
        bucket=UPLOADS,
        key=key,
        version_id=stored["VersionId"],
        etag=stored["ETag"],
        size=upload.stat().st_size,
        sequencer="0",
        uploaded_at="2026-11-20T12:00:00Z",
    )
    work = Bucket(WORK)
    job_id = job_id_of(source)
    manifest = normalize(job_id, source, SETTINGS, time.monotonic() + TIMEOUT_S)
    assert manifest.chunks
    assert all(work.head(chunk.key) for chunk in manifest.chunks)


def _left(folder: Path, top: Path) -> str:
    """What is there that should not be: beside the working folder, or in it."""
    left = [path.name for path in folder.iterdir() if not ALLOWED.fullmatch(path.name)]
    left += [path.name for path in top.iterdir() if path.name not in ("work", "trace")]
    return f"left {sorted(left)}" if left else ""


@contextmanager
def traced(log: Path) -> Iterator[None]:
    """ffmpeg runs under strace, which appends to the log what files and sockets it asks for."""
    strace = shutil.which("strace")
    assert strace is not None
    before = [strace, "-f", "-qq", "-A", "-s", "512", "-e", "trace=%file,%network,%process"]

    def command(*arguments: Any, **places: Any) -> list[str]:
        return [*before, "-o", str(log), *confined(*arguments, **places)]

    with patch.object(audio, "confined", command):
        yield


def outside(trace: str, folder: str) -> frozenset[str]:
    """What ffmpeg asked for: paths not in its folder, and calls that make sockets or processes."""
    found: set[str] = set()
    ours = False
    for line in trace.splitlines():
        call = _CALL.match(line)
        if not call:
            continue
        name, rest = call.groups()
        if name == "execve":
            ours = _is_ffmpeg(rest)
        if ours and (name in _FORBIDDEN or (name == "clone" and "CLONE_THREAD" not in rest)):
            found.add(name)
        elif ours and name != "execve":
            found.update(_elsewhere(_PATH.findall(rest), folder))
    return frozenset(found - _OF_C_LIBRARY)


def _is_ffmpeg(arguments: str) -> bool:
    """Not the script that starts it, which may do as it likes."""
    return "confine.py" not in arguments.partition("], ")[0]


def _elsewhere(paths: Iterable[str], folder: str) -> set[str]:
    """A path without a folder is one in the folder that ffmpeg runs in."""
    return {
        path
        for path in paths
        if ".." in path.split("/")
        or (path.startswith("/") and not path.startswith(f"{folder}/"))
        or not (path.startswith("/") or ALLOWED.fullmatch(path) or path == "")
    }
