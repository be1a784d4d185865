"""What the engine `whisper` takes beside faster-whisper alone, openai-whisper and transformers.

    python -m bench.whisper                      all four, about an hour on two slow cores
    python -m bench.whisper memory start         some of: speed, overhead, memory, start
    python -m bench.whisper speed --shapes large-v3-turbo --seconds 60 --models FOLDER

Models of the named shapes are made with random weights (bench.whisper_models); --models keeps them,
some GB. The tiny model of the tests says what it hears. In an environment of its own: see
bench/requirements.txt. Where a GPU is found it is used, with float16; else each processor core that
is asked for, CTranslate2 with int8 and torch with float32.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import av
import faster_whisper
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from bench.whisper_engines import ENGINES, Measured, Where, ctranslate2_device, torch_device
from bench.whisper_models import SHAPES, Made

ROOT: Final = Path(__file__).parents[1]
TINY: Final = ROOT / "tests" / "data" / "tiny-whisper"
OURS: Final = "dropscribe"
BATCHED: Final = "faster-whisper batched"
COMPARED: Final = (OURS, BATCHED, "faster-whisper", "openai-whisper", "transformers")
MEMORY_MINUTES: Final = (10, 60, 180)
RATE_HZ: Final = 16_000
WARM_UP_S: Final = 10
DIGITS: Final = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

Samples = NDArray[np.int16]


@dataclass(frozen=True)
class Asked:
    shapes: list[str]
    models: Path
    speech: Path
    """A folder of recordings, joined to one of the length that is wanted."""
    folder: Path
    """For recordings."""
    seconds: int
    rounds: int
    threads: int
    precision: str | None
    """Of CTranslate2's models; None: what the device is best at."""


def speed(asked: Asked) -> None:
    """Each engine in a process of its own, in turn, with one warm-up before what is measured."""
    audio, warm_up = _speech(asked, asked.seconds), _speech(asked, WARM_UP_S)
    for shape in asked.shapes:
        print(
            f"{shape}, random weights, {asked.seconds} s of speech, {asked.threads} threads, "
            f"{asked.rounds} processes each: time beside dropscribe's in the same round"
        )
        _print_compared(_rounds(asked, _made(asked, shape), COMPARED, audio, warm_up), asked)
    audio, warm_up = _digits(asked, asked.seconds), _digits(asked, WARM_UP_S)
    print(f"the tests' tiny model, {asked.seconds} s of digits")
    _print_compared(_rounds(asked, TINY, COMPARED[:3], audio, warm_up), asked)


def overhead(asked: Asked) -> None:
    """Ours and faster-whisper batched in turn, in this process."""
    print(
        f"overhead over faster-whisper batched, {asked.seconds} s of audio, "
        f"{_pairs(asked)} pairs: ratio of times, minimum and median; of processor times; spent "
        "outside faster-whisper, share and ms a minute of audio; stretches decoded again"
    )
    for name in asked.shapes:
        model = _source(_made(asked, name), "ctranslate2", _where(asked, "ctranslate2"))
        _print_overhead(asked, name, model, _speech(asked, asked.seconds))
    _print_overhead(asked, "tests' tiny", str(TINY), _digits(asked, asked.seconds))


def memory(asked: Asked) -> None:
    """Peak memory beside the recording's length."""
    print("peak memory with the tests' tiny model, MB: after import, with the model, in the end")
    names = (OURS, "dropscribe, whole answer", BATCHED)
    for name in names:
        peaks = []
        for minutes in MEMORY_MINUTES:
            told = _measured(asked, name, TINY, _digits(asked, minutes * 60))
            peaks.append(told.peak_mb)
            print(
                f"  {name:26}{minutes:4} minutes: {told.imported_mb:6.1f}  {told.loaded_mb:6.1f}  "
                f"{told.peak_mb:7.1f}  ({told.segments} segments, "
                f"{minutes * 60 / told.seconds:.0f} x real time)"
            )
        print(f"  {name:26}ratio {peaks[-1] / peaks[0]:.2f}")


def start(asked: Asked) -> None:
    """A fresh process each, files in the system's cache."""
    models: list[tuple[str, Made | Path]] = [("tests' tiny", TINY)]
    models += [(shape, _made(asked, shape)) for shape in asked.shapes]
    names = ("dropscribe's handler", OURS, BATCHED)
    print(f"start, s, minimum and median of {asked.rounds} processes: import, load, first segment")
    for title, model in models:
        audio = (_digits if model == TINY else _speech)(asked, WARM_UP_S)
        readings = _rounds(asked, model, names, audio, None)
        for name, each in readings.items():
            parts = ("import_s", "load_s", "first_s")
            told = (_low_and_median([getattr(one, part) for one in each]) for part in parts)
            whole = [one.import_s + one.load_s + one.first_s for one in each]
            ratio = statistics.median(
                own / (other.import_s + other.load_s + other.first_s)
                for own, other in zip(whole, readings[BATCHED], strict=True)
            )
            print(
                f"  {title:12} {name:24}{'  '.join(told)}  together {_low_and_median(whole)}",
                end="",
            )
            print(f"  ratio {ratio:.2f}")


def _made(asked: Asked, shape: str) -> Made:
    return Made(shape, asked.models / shape)


def _rounds(
    asked: Asked, model: Made | Path, names: Sequence[str], audio: Path, warm_up: Path | None
) -> dict[str, list[Measured]]:
    """Each engine once a round; each is first in its turn."""
    readings: dict[str, list[Measured]] = {name: [] for name in names}
    for number in range(asked.rounds):
        first = number % len(names)
        for name in [*names[first:], *names[:first]]:
            readings[name].append(_measured(asked, name, model, audio, warm_up))
    return readings


def _print_compared(readings: dict[str, list[Measured]], asked: Asked) -> None:
    for name, each in readings.items():
        pairs = [
            (one.seconds / own.seconds, one.cpu_s / own.cpu_s, one.peak_mb / own.peak_mb)
            for one, own in zip(each, readings[OURS], strict=True)
        ]
        ratio, ratio_cpu, ratio_memory = (
            statistics.median(column) for column in zip(*pairs, strict=True)
        )
        peak_mb = statistics.median(one.peak_mb for one in each)
        where = _where(asked, ENGINES[name].reads)
        gpu = f" + {each[-1].gpu_mb:.0f} of the GPU" if where.device == "cuda" else ""
        factors = [one.seconds / asked.seconds for one in each]
        print(
            f"  {name:24}{where.device} {where.precision:8} real-time factor "
            f"{_low_and_median(factors)}  ratio {ratio:.2f}, of processor time "
            f"{ratio_cpu:.2f}  peak {peak_mb:.0f} MB{gpu}, ratio {ratio_memory:.2f}  "
            f"({each[0].segments} segments, {each[0].words} words)"
        )


def _print_overhead(asked: Asked, title: str, model: str, audio: Path) -> None:
    where = _where(asked, "ctranslate2")
    own, plain = (ENGINES[name].load(model, where) for name in (OURS, BATCHED))
    taken: dict[Any, list[tuple[float, float]]] = {own: [], plain: []}
    shares = []
    said = [sum(run(audio)) for run in (own, plain)]
    with _clocked() as clock:
        for number in range(_pairs(asked)):
            for run in (own, plain)[:: 1 if number % 2 else -1]:
                clock.inside_s, clock.again = 0.0, 0
                begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
                sum(run(audio))
                seconds = time.perf_counter() - begun_s
                taken[run].append((seconds, time.process_time() - begun_cpu_s))
                if run is own:
                    shares.append(
                        (seconds - clock.inside_s, clock.again, 1 - clock.inside_s / seconds)
                    )
    walls, cpus = (
        [one[column] / other[column] for one, other in zip(taken[own], taken[plain], strict=True)]
        for column in (0, 1)
    )
    lowest = min(taken[own])[0] / min(taken[plain])[0]
    outside_s, again, share = (statistics.median(column) for column in zip(*shares, strict=True))
    print(
        f"  {title:15} {where.device} {where.precision}  {lowest:.3f} "
        f"{statistics.median(walls):.3f}  {statistics.median(cpus):.3f}  {share:.2%} "
        f"{outside_s / asked.seconds * 60_000:.1f} ms  {again:g}  "
        f"(words {said[0]}, {said[1]})"
    )


def _pairs(asked: Asked) -> int:
    return 5 * asked.rounds


@dataclass
class _Clock:
    inside_s: float = 0.0
    """Spent in faster-whisper."""
    again: int = 0
    """Calls of its sequential way."""
    kept: list[Any] = field(default_factory=list)


@contextmanager
def _clocked() -> Iterator[_Clock]:
    """Measure what is spent in faster-whisper, whoever calls it."""
    clock = _Clock()
    originals = [
        (kind, kind.transcribe)
        for kind in (faster_whisper.BatchedInferencePipeline, faster_whisper.WhisperModel)
    ]
    for kind, original in originals:
        kind.transcribe = _counting(clock, original, kind is faster_whisper.WhisperModel)
    try:
        yield clock
    finally:
        for kind, original in originals:
            kind.transcribe = original


def _counting(clock: _Clock, original: Any, is_again: bool) -> Any:
    def transcribe(*given: Any, **named: Any) -> Any:
        begun_s = time.perf_counter()
        segments, info = original(*given, **named)
        clock.inside_s += time.perf_counter() - begun_s
        clock.again += is_again
        return _watched(clock, iter(segments)), info

    return transcribe


def _watched(clock: _Clock, segments: Iterator[Any]) -> Iterator[Any]:
    while True:
        begun_s = time.perf_counter()
        segment = next(segments, None)
        clock.inside_s += time.perf_counter() - begun_s
        if segment is None:
            return
        yield segment


def _measured(
    asked: Asked, name: str, model: Made | Path, audio: Path, warm_up: Path | None = None
) -> Measured:
    where = _where(asked, ENGINES[name].reads)
    given = [name, _source(model, ENGINES[name].reads, where), audio, *where, warm_up or ""]
    child = subprocess.run(
        [sys.executable, "-m", "bench.whisper_engines", *map(str, given)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'layers' / 'dropscribe'}{os.pathsep}{ROOT}"},
        check=False,
        capture_output=True,
        text=True,
    )
    if child.returncode:
        raise SystemExit(f"{name}: exit code {child.returncode}\n{child.stderr[-4000:]}")
    return Measured(**json.loads(child.stdout.splitlines()[-1]))


def _where(asked: Asked, reads: str) -> Where:
    if reads == "ctranslate2":
        device = ctranslate2_device()
        return Where(
            device, asked.precision or ("float16" if device == "cuda" else "int8"), asked.threads
        )
    device = torch_device()
    return Where(device, "float16" if device == "cuda" else "float32", asked.threads)


def _source(model: Made | Path, reads: str, where: Where) -> str:
    if isinstance(model, Path):
        return str(model)
    if reads == "ctranslate2":
        return str(model.ctranslate2("int8" if where.precision.startswith("int8") else "float16"))
    return str(model.openai if reads == "openai" else model.transformers)


def _speech(asked: Asked, seconds: int) -> Path:
    """What lies in the folder, one file after the other, until it is long enough."""
    target = asked.folder / f"speech-{seconds}.flac"
    if not target.exists():
        names = sorted(
            path for path in asked.speech.iterdir() if path.suffix in (".flac", ".wav", ".mp3")
        )
        decoded = [
            (faster_whisper.decode_audio(str(name)) * 32767).astype(np.int16) for name in names
        ]
        _write(target, itertools.cycle(decoded), seconds)
    return target


def _digits(asked: Asked, seconds: int) -> Path:
    """Three digits at a time, with pauses: what the tests' tiny model understands."""
    from tests import espeak

    target = asked.folder / f"digits-{seconds}.flac"
    if not target.exists():
        pause = np.zeros(RATE_HZ, np.int16)
        texts = [" ".join((DIGITS * 2)[first : first + 3]) for first in range(len(DIGITS))]
        said = [np.concatenate([espeak.say(text).samples, pause]) for text in texts]
        _write(target, itertools.cycle(said), seconds)
    return target


def _write(target: Path, pieces: Iterator[Samples], seconds: int) -> None:
    """So many seconds of them as 16 kHz mono FLAC, as chunks are."""
    left = seconds * RATE_HZ
    with av.open(str(target), "w") as file:
        stream = file.add_stream("flac", rate=RATE_HZ, layout="mono", format="s16")
        while left:
            piece = next(pieces)[:left]
            frame = av.AudioFrame.from_ndarray(piece[None], format="s16", layout="mono")
            frame.rate = RATE_HZ
            file.mux(stream.encode(frame))
            left -= len(piece)
        file.mux(stream.encode(None))


def _low_and_median(values: Sequence[float]) -> str:
    return f"{min(values):.3f} {statistics.median(values):.3f}"


PARTS: Final = (speed, overhead, memory, start)


def _arguments(words: Sequence[str], folder: Path) -> tuple[list[str], Asked]:
    parser = argparse.ArgumentParser(prog="python -m bench.whisper", description=__doc__)
    parser.add_argument("parts", nargs="*", help="of: speed, overhead, memory, start")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["small"])
    parser.add_argument("--models", type=Path, default=folder / "models")
    parser.add_argument("--speech", type=Path, default=ROOT / "tests" / "data")
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", help="CTranslate2's: int8, float32, float16, …")
    given = vars(parser.parse_args(words))
    return given.pop("parts"), Asked(folder=folder, **given)


def main(words: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts, asked = _arguments(words, folder)
        (folder / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
        os.environ |= {
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": str(asked.threads),
            "HF_HUB_OFFLINE": "1",
        }
        if hasattr(os, "sched_setaffinity"):
            # Libraries count processors each in its own way, all by this.
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: asked.threads])
        for part in PARTS:
            if not parts or part.__name__ in parts:
                part(asked)


if __name__ == "__main__":
    main(sys.argv[1:])
