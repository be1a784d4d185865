"""What it costs to start ffmpeg confined, and how much memory large recordings ask for.

    python -m bench.confined

The memory is what `audio.MEMORY_BYTES` limits; the recordings are made here, the largest of 370 MB.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import imageio_ffmpeg

from dropscribe.audio import BESIDE_TRACK_BYTES, MEMORY_BYTES, MOST_FILES, normalize_command
from dropscribe.confine import powers
from dropscribe.confined import Limits, confined

LIMITS: Final = Limits(600, MEMORY_BYTES, 3 * BESIDE_TRACK_BYTES, MOST_FILES)
ROUNDS: Final = 31


def main() -> None:
    print(f"confined by limits, {', '.join(powers())}")
    with tempfile.TemporaryDirectory() as name, _ffmpeg_on_path(Path(name)) as program:
        folder = Path(name)
        bare = [program, "-v", "quiet", "-version"]
        within = confined(bare, LIMITS, reads=[], writes=folder)
        rounds = [(_seconds(bare), _seconds(within)) for _ in range(ROUNDS)]
        alone, both = (statistics.median(column) * 1000 for column in zip(*rounds, strict=True))
        print(f"ffmpeg -version, ms, median of {ROUNDS}: {alone:.0f}, confined {both:.0f}")
        for what, path, unnamed in _recordings(folder, program):
            print(f"  {what:<44} {_memory_mb(path, folder, unnamed):>5} MB of memory")
            path.unlink()


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _recordings(folder: Path, program: str) -> Iterator[tuple[str, Path, int]]:
    """Each with the channels of which nothing says where they belong."""
    noise = ("-f", "lavfi", "-i", "anoisesrc=r=48000:a=0.1:d=600")

    def make(name: str, *arguments: str) -> Path:
        command = [program, "-v", "error", "-y", *arguments, str(folder / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return folder / name

    yield "10 minutes, FLAC", make("a.flac", *noise), 0
    many = "|".join(f"c{channel}=c0" for channel in range(64))
    layout = f"pan=64 channels|{many},aformat=channel_layouts=64 channels"
    raw = ("-f", "lavfi", "-i", "anoisesrc=r=192000:a=0.1:d=5", "-af", layout)
    samples = make("raw", *raw, "-f", "s32le")
    wide = ("-f", "s32le", "-ar", "192000", "-ch_layout", "64 channels", "-i", str(samples))
    yield (
        "5 s of 64 channels at 192 kHz, 32 bit, WAV",
        make("wide.wav", *wide, "-c:a", "pcm_s32le"),
        64,
    )
    jump = ("-af", "asetpts='PTS+if(gt(T,1.5),1700/TB,0)'", "-t", "1800", "-c:a", "libopus")
    yield "half an hour of silence in a gap, WebM", make("gap.webm", *noise, *jump), 0
    source = make("a.m4a", *noise, "-c:a", "aac", "-b:a", "32k")
    loops = ("-stream_loop", "143", "-i", str(source), "-c", "copy")
    yield "24 hours, AAC in m4a", make("day.m4a", *loops), 0


def _memory_mb(source: Path, folder: Path, unnamed: int) -> int:
    """The most, while the first 40 minutes are decoded. The index of all of it is read before."""
    command = normalize_command(source, [folder / "track-0.pcm"], 40 * 60_000, unnamed)
    run = confined(command, LIMITS, reads=[source], writes=folder)
    run[run.index("--") + 1] = str(folder / "bin" / "ffmpeg")
    most = 0
    with subprocess.Popen(run, cwd=folder, stderr=subprocess.DEVNULL) as process:
        status = Path("/proc") / str(process.pid) / "status"
        while process.poll() is None:
            found = re.search(r"VmData:\s+(\d+)", status.read_text())
            most = max(most, int(found[1]) if found else 0)
            time.sleep(0.005)
    assert process.returncode == 0
    return most >> 10


@contextmanager
def _ffmpeg_on_path(folder: Path) -> Iterator[str]:
    link = folder / "bin" / "ffmpeg"
    link.parent.mkdir()
    link.symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    os.environ["PATH"] = f"{link.parent}{os.pathsep}{os.environ['PATH']}"
    yield str(link)


if __name__ == "__main__":
    main()
