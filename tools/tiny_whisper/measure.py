"""Measures the tiny Whisper by faster-whisper, on words, times and voices that it has not learned.

python -m tools.tiny_whisper.measure tests/data/tiny-whisper 40
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from faster_whisper import BatchedInferencePipeline, WhisperModel
from numpy.typing import NDArray

from tests.espeak import RATE_HZ, Word, say
from tools.tiny_whisper.words import ENGLISH, GERMAN

ENGLISH_VOICES: Final = ("en+m5", "en-us+f4", "en-029+m5", "en-gb-scotland+f4")
GERMAN_VOICES: Final = ("de+m5", "de+f4")
"""None of them is in the material."""


class Recording(NamedTuple):
    samples: NDArray[np.float32]
    """Mono at 16 kHz, from -1 to 1."""
    turns: tuple[tuple[Word, ...], ...]
    """What is said without a pause; times from the beginning of the recording."""

    @property
    def words(self) -> list[Word]:
        return [word for turn in self.turns for word in turn]


class Heard(NamedTuple):
    text: str
    starts_ms: list[int]
    """Of the words."""
    ends_ms: list[int]
    turns_ms: list[tuple[int, int]]
    """Of the segments."""


def drawn(seed: int, turns: int = 1, *, german: bool = False, lead_ms: int = 200) -> Recording:
    """Turns of one to seven words of voices not in the material, 0.5 to 1.5 s apart."""
    dice = random.Random(seed)
    known, voices = (GERMAN, GERMAN_VOICES) if german else (ENGLISH, ENGLISH_VOICES)
    said = []
    for _ in range(turns):
        words = " ".join(dice.choice(known) for _ in range(dice.randint(1, 7)))
        said.append((words, dice.choice(voices), dice.randint(120, 200), dice.randint(25, 75)))
    return spoken(said, [dice.randint(500, 1500) for _ in said], lead_ms)


def spoken(
    said: Iterable[tuple[str, str, int, int]], pauses_ms: Sequence[int], lead_ms: int
) -> Recording:
    """Of each turn text, voice, rate and pitch, and the pause behind it."""
    pieces: list[NDArray[np.int16]] = [_silence(lead_ms)]
    turns = []
    at_ms = lead_ms
    for one, pause_ms in zip(said, pauses_ms, strict=True):
        made = say(*one)
        turns.append(tuple(Word(w.text, at_ms + w.start_ms, at_ms + w.end_ms) for w in made.words))
        pieces += [made.samples, _silence(pause_ms)]
        at_ms += len(made.samples) * 1000 // RATE_HZ + pause_ms
    return Recording((np.concatenate(pieces) / 32768).astype(np.float32), tuple(turns))


def _silence(length_ms: int) -> NDArray[np.int16]:
    return np.zeros(length_ms * RATE_HZ // 1000, np.int16)


def heard(segments: Iterable[Any]) -> Heard:
    found = list(segments)
    words = [word for segment in found for word in segment.words or ()]
    return Heard(
        "".join(segment.text for segment in found),
        [round(1000 * word.start) for word in words],
        [round(1000 * word.end) for word in words],
        [(round(1000 * segment.start), round(1000 * segment.end)) for segment in found],
    )


def plain(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def word_errors(wanted: Sequence[str], found: Sequence[str]) -> int:
    """Words replaced, left out and put in."""
    row = list(range(len(found) + 1))
    for at, one in enumerate(wanted, start=1):
        last, row = row, [at]
        for place, other in enumerate(found):
            row.append(min(last[place + 1] + 1, row[-1] + 1, last[place] + (one != other)))
    return row[-1]


def _measured(transcribe: Any, recordings: Sequence[Recording]) -> str:
    wrong = total = 0
    starts: list[int] = []
    ends: list[int] = []
    turns: list[int] = []
    began = time.monotonic()
    for one in recordings:
        got = heard(transcribe(one.samples)[0])
        wanted = [word.text for word in one.words]
        errors = word_errors(wanted, plain(got.text))
        wrong, total = wrong + errors, total + len(wanted)
        if not errors and len(got.starts_ms) == len(wanted):
            pairs = list(zip(one.words, got.starts_ms, got.ends_ms, strict=True))
            # faster-whisper begins the first word of a window where the window begins.
            starts += [abs(word.start_ms - start) for word, start, _ in pairs[1:]]
            ends += [abs(word.end_ms - end) for word, _, end in pairs]
        if not errors and len(got.turns_ms) == len(one.turns):
            of_turns = list(zip(one.turns, got.turns_ms, strict=True))
            turns += [abs(turn[0].start_ms - start) for turn, (start, _) in of_turns[1:]]
            turns += [abs(turn[-1].end_ms - end) for turn, (_, end) in of_turns]
    took = time.monotonic() - began
    return (
        f"{wrong}/{total} words wrong ({100 * wrong / total:.1f} %), words begin {_off(starts)}, "
        f"end {_off(ends)}, segments {_off(turns)}, {took:.0f} s"
    )


def _off(errors: Sequence[int]) -> str:
    if not errors:
        return "nowhere"
    late = 100 * sum(one > 150 for one in errors) / len(errors)
    middle, most = np.percentile(errors, [50, 95])
    return f"{middle:.0f} ms off (95 %: {most:.0f}; {late:.1f} % > 150)"


def ways(model: WhisperModel) -> dict[str, Callable[[NDArray[np.float32]], Any]]:
    """How faster-whisper can be driven."""
    timed = partial(model.transcribe, word_timestamps=True)
    return {
        "with timestamps": timed,
        "without": partial(timed, without_timestamps=True),
        "batched, VAD": partial(BatchedInferencePipeline(model).transcribe, word_timestamps=True),
    }


def main(folder: str, count: int) -> None:
    long = max(1, count // 10)
    sets = {
        "English": [drawn(seed) for seed in range(count)],
        "German": [drawn(1000 + seed, german=True) for seed in range(count)],
        "English, 20 turns": [drawn(2000 + seed, 20) for seed in range(long)],
        "German, 20 turns": [drawn(3000 + seed, 20, german=True) for seed in range(long)],
    }
    for precision in ("float32", "int8"):
        model = WhisperModel(folder, device="cpu", compute_type=precision, cpu_threads=2)
        for name, recordings in sets.items():
            print(f"{precision}, {name}")
            for way, transcribe in ways(model).items():
                print(f"  {way}: {_measured(transcribe, recordings)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
