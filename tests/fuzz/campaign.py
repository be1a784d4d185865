"""Many inputs, on all processors: what became of them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from multiprocessing.util import Finalize
from pathlib import Path
from random import Random
from typing import Final

import imageio_ffmpeg

from dropscribe.confine import powers
from tests.conftest import ROOT
from tests.fuzz.mutations import mutated
from tests.fuzz.originals import make
from tests.fuzz.trial import Outcome, _step, outside, traced, trial
from tests.stages import stages

KEPT: Final = ROOT / "out" / "fuzz"
TRACED: Final = 10
WHOLE: Final = 10
SPLIT: Final = 7
"""Of so many inputs one is traced, goes through the whole step with storage, or is split."""


@dataclass
class _Worker:
    """What one process keeps from input to input."""

    originals: list[tuple[str, bytes]] = field(default_factory=list)
    harmless: frozenset[str] | None = None


_worker: Final = _Worker()


def _begin(folder: Path, harmless: frozenset[str] | None) -> None:
    _put_ffmpeg_on_path(folder)
    names = sorted(folder.glob("original.*"))
    _worker.originals = [(path.name.partition(".")[2], path.read_bytes()) for path in names]
    _worker.harmless = harmless
    storage = ExitStack()
    storage.enter_context(stages("http://127.0.0.1:9"))
    Finalize(None, storage.close, exitpriority=1)


def _put_ffmpeg_on_path(folder: Path) -> None:
    link = folder / "bin" / "ffmpeg"
    link.parent.mkdir(exist_ok=True)
    if not link.exists():
        link.symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    os.environ["PATH"] = f"{link.parent}{os.pathsep}{os.environ['PATH']}"


def forged(originals: list[tuple[str, bytes]], seed: int, index: int) -> tuple[str, bytes]:
    """Name and content of one input: the same for the same numbers. Each original in its turn."""
    chance = Random(f"{seed}:{index}")
    name, original = originals[index % len(originals)]
    others = [content for _, content in originals]
    return f"{seed}-{index:05d}.{name}", mutated(original, others, chance)


def _try(seed: int, index: int) -> Outcome:
    name, content = forged(_worker.originals, seed, index)
    outcome = trial(
        name,
        content,
        split=index % SPLIT == 0,
        harmless=_worker.harmless if index % TRACED == 1 else None,
        whole=index % WHOLE == 2,
    )
    if outcome.problem or outcome.crashed:
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / name).write_bytes(content)
    return outcome


def harmless_paths(folder: Path) -> frozenset[str] | None:
    """What ffmpeg looks for outside its folder when all is well; None where there is no strace."""
    if not shutil.which("strace"):
        return None
    with tempfile.TemporaryDirectory(prefix="fuzz-") as top:
        upload = Path(top) / "upload"
        shutil.copy(folder / "original.wav", upload)
        with traced(Path(top) / "trace"):
            _step(upload, Path(top), split=False)
        return outside((Path(top) / "trace").read_text("utf-8", "replace"), top)


def fuzz(seed: int, inputs: range, processes: int) -> Iterator[Outcome]:
    """The outcome of each input, in order."""
    with tempfile.TemporaryDirectory(prefix="fuzz-originals-") as name:
        folder = Path(name)
        _put_ffmpeg_on_path(folder)
        make(folder)
        begin = partial(_begin, folder, harmless_paths(folder))
        with ProcessPoolExecutor(
            processes, mp_context=get_context("spawn"), initializer=begin
        ) as pool:
            yield from pool.map(partial(_try, seed), inputs, chunksize=5)


def report(outcomes: list[Outcome], seed: int, seconds: float) -> str:
    """For people."""
    codes = Counter(outcome.code for outcome in outcomes)
    traced_runs = sum(outcome.traced for outcome in outcomes)
    lines = [
        f"{len(outcomes)} inputs of seed {seed} in {seconds:.0f} s",
        f"confined by limits, {', '.join(powers())}",
        *(f"  {code:<18} {count:>5}" for code, count in codes.most_common()),
        f"ffmpeg crashed on {sum(outcome.crashed for outcome in outcomes)}, each a rejection",
        f"traced: {traced_runs} ({'strace' if traced_runs else 'no strace here'})",
        f"must not be: {sum(bool(outcome.problem) for outcome in outcomes)}",
        *(f"  {outcome.name}: {outcome.problem}" for outcome in outcomes if outcome.problem),
        "slowest, s: "
        + ", ".join(
            f"{outcome.seconds:.1f} {outcome.name} ({outcome.code})"
            for outcome in sorted(outcomes, key=lambda outcome: -outcome.seconds)[:3]
        ),
        f"largest ffmpeg: {max(outcome.memory_mb for outcome in outcomes)} MB of memory",
    ]
    return "\n".join(lines)
