"""What the route itself costs around the recognizer, in time and memory.

    python -m bench.route            all four, about three minutes on two cores
    python -m bench.route imports    one of: route, imports, normalize, memory

Every figure stands beside a reference measured in the same run, in turn with it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import imageio_ffmpeg

from dropscribe import audio
from tests.api_server import KEY, ApiServer
from tests.route import Route

UNUSED = {
    **{"TRANSCRIBE_FUNCTION_ARN": "", "WHISPER_FUNCTION_ARN": "", "WHISPER_MODEL": ""},
    **{"WHISPER_MAX_CONCURRENCY": "1", "VOICE_MODEL": "none"},
}
"""Settings of normalize without an effect on what is measured."""

ROOT = Path(__file__).parents[1]
SPEECH = ROOT / "tests" / "data" / "jfk.flac"
HANDLERS = ("ingest", "normalize", "transcribe", "format", "fail")
REFERENCE = "import boto3; boto3.client('s3', region_name='us-east-1')"
ROUNDS = 7
NORMALIZE_ONCE = """
import os, pathlib, sys, threading, time
from dropscribe.aws import Bucket
from dropscribe.job import Source
from dropscribe.stages.normalize import Settings, normalize

def peak_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next((int(l.split()[1]) for l in status.splitlines() if l.startswith("VmHWM")), 0)

def watch():
    while not over.wait(0.02):
        for task in pathlib.Path("/proc/self/task").iterdir():
            for pid in (task / "children").read_text().split():
                try:
                    ffmpeg.append(peak_kib(pid))
                except OSError:
                    pass

over, ffmpeg = threading.Event(), [0]
bucket, key = sys.argv[1:]
head = Bucket(bucket).head(key)
source = Source(bucket=bucket, key=key, etag=head.etag, size=head.size, uploaded_at="now")
threading.Thread(target=watch, daemon=True).start()
settings = Settings.model_validate(dict(os.environ))
normalize(key.replace("/", "-"), source, settings, time.monotonic() + 800)
over.set()
print(peak_kib("self"), max(ffmpeg))
"""
"""The normalize step in a process that imports nothing else; prints peak KiB, its own and ffmpeg's.

From /proc: the kernel hands getrusage's peak on from parent to child.
"""


def route(folder: Path) -> None:
    """Upload to notification with a recognizer that answers at once: the first job, then others."""
    with ApiServer() as api, Route(ROOT / "template.yaml", api_url=api.base_url, api_key=KEY) as up:
        seconds = []
        for number in range(ROUNDS + 1):
            started = time.perf_counter()
            up.run(f"{number}.flac", SPEECH, engine="openai", prompt=str(number))
            seconds.append(time.perf_counter() - started)
        stages = json.loads(up.files(f"{ROUNDS}.flac")[".receipt.json"])["timings_ms"]
    print("route, 11 s of speech, recognizer answers at once (upload to notification)")
    print(f"  cold  {seconds[0]:6.2f} s   five functions start")
    print(f"  warm  {_spread(seconds[1:])} s")
    print("  of the last one, ms: " + ", ".join(f"{name} {ms}" for name, ms in stages.items()))


def imports(folder: Path) -> None:
    """Import time of each handler in a fresh process, beside that of a boto3 client."""
    print(f"import time of each handler, ratio to `{REFERENCE}`, median of {ROUNDS} pairs")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "layers" / "dropscribe")}
    environment |= {"POWERTOOLS_SERVICE_NAME": "x", "POWERTOOLS_METRICS_NAMESPACE": "x"}
    for name in HANDLERS:
        code = f"import sys; sys.path.insert(0, {str(ROOT / 'functions' / name)!r}); import app"
        pairs = [
            (_python(code, environment), _python(REFERENCE, environment)) for _ in range(ROUNDS)
        ]
        own, reference = ([pair[side] for pair in pairs] for side in (0, 1))
        print(f"  {name:11}{_spread(own)} s  reference{_spread(reference)} s  {_ratio(pairs)}")


def normalize(folder: Path) -> None:
    """`audio.normalize` beside the barest ffmpeg command for the same work."""
    print(f"ffmpeg normalisation, ratio to bare ffmpeg on the same file, median of {ROUNDS} pairs")
    for kind in ("wav", "mp3"):
        source = recording(folder, 10, kind)
        ours = partial(audio.normalize, source, folder, max_ms=86_400_000)
        bare = partial(_bare_ffmpeg, source, folder / "bare.flac")
        pairs = [(_timed(ours), _timed(bare)) for _ in range(ROUNDS)]
        own = [pair[0] for pair in pairs]
        speed = 600 / statistics.median(own)
        print(f"  10 min {kind}  {_spread(own)} s  {_ratio(pairs)}  {speed:.0f} x real time")


def _bare_ffmpeg(source: Path, target: Path) -> None:
    """The same conversion, with nothing looked after."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", str(source), "-ac", "1"]
    command += ["-ar", str(audio.SAMPLE_RATE_HZ), "-sample_fmt", "s16", str(target)]
    subprocess.run(command, check=True)


def memory(folder: Path) -> None:
    """Peak memory of the whole normalize step, S3 transfers included, in a process of its own."""
    print("peak memory of normalize, MB (Python process + ffmpeg)")
    with ApiServer() as api, Route(ROOT / "template.yaml", api_url=api.base_url, api_key=KEY) as up:
        peaks = []
        for minutes in (10, 180):
            source = recording(folder, minutes, "mp3")
            key = f"{minutes}.mp3"
            up.s3.upload_file(str(source), up.uploads, "bench/" + key)
            # A model without a limit on length: it is the memory that is measured.
            settings = {"WORK_BUCKET": up.work, "ENGINE": "openai", "MODEL": "any-whisper"}
            settings |= {
                "FORMATS": "",
                "MAX_AUDIO_MINUTES": "1440",
                "MAX_CONCURRENCY": "1",
                **UNUSED,
            }
            child = subprocess.run(
                [sys.executable, "-c", NORMALIZE_ONCE, up.uploads, "bench/" + key],
                env=os.environ | up.cloud.environment | settings | {"PYTHONPATH": _paths()},
                check=True,
                capture_output=True,
                text=True,
            )
            python, ffmpeg = (int(kib) / 1024 for kib in child.stdout.split())
            peaks.append(python + ffmpeg)
            print(f"  {minutes:4} minutes: {python:6.1f} + {ffmpeg:5.1f} = {python + ffmpeg:6.1f}")
    print(f"  ratio {peaks[1] / peaks[0]:.2f}")


def recording(folder: Path, minutes: int, kind: str) -> Path:
    """Real speech, repeated; stereo at 44.1 kHz. More than ten minutes are copies of ten."""
    path, ten = folder / f"{minutes}.{kind}", folder / f"10.{kind}"
    command = ["ffmpeg", "-v", "error", "-stream_loop", "-1"]
    if not ten.exists():
        sound = ["-i", str(SPEECH), "-t", "600", "-ac", "2", "-ar", "44100", "-b:a", "64k"]
        subprocess.run([*command, *sound, str(ten)], check=True)
    if not path.exists():
        copies = ["-i", str(ten), "-t", str(minutes * 60), "-c", "copy"]
        subprocess.run([*command, *copies, str(path)], check=True)
    return path


def _paths() -> str:
    return os.pathsep.join((str(ROOT / "layers" / "dropscribe"), str(ROOT)))


def _python(code: str, environment: dict[str, str]) -> float:
    command = [sys.executable, "-c", code]
    return _timed(lambda: subprocess.run(command, env=environment, check=True))


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _spread(seconds: Sequence[float]) -> str:
    middle = statistics.median(seconds)
    return f"{middle:6.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def _ratio(pairs: Sequence[tuple[float, float]]) -> str:
    return f"ratio {statistics.median(own / reference for own, reference in pairs):.2f}"


def main(names: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
        for part in (route, imports, normalize, memory):
            if not names or part.__name__ in names:
                part(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
