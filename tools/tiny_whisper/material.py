"""Speaks the training material: phrases by espeak-ng, whose word times are known, words by flite.

python -m tools.tiny_whisper.material material.npz
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tests.espeak import RATE_HZ, _at_16_khz, _sounding, say
from tools.tiny_whisper.words import ENGLISH, GERMAN, VOCABULARY

_ACCENTS: Final = (
    "en",
    "en-us",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-rp",
    "en-gb-x-gbcwmd",
)
_SPEAKERS: Final = (
    "", "+m1", "+m2", "+m3", "+m4", "+m6", "+m7", "+f1", "+f2", "+f3", "+f5", "+Andy", "+Alicia",
    "+Mario", "+Annie", "+Gene", "+Lee", "+Michael", "+linda", "+steph", "+adam", "+belinda",
    "+klatt", "+klatt3",
)  # fmt: skip
"""+m5 and +f4, and the accent en-029, are never heard in training: the tests have them."""
_FLITE: Final = ("slt", "rms", "kal16", "awb")
_LENGTHS: Final = (1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7)
_ENGLISH_PHRASES, _GERMAN_PHRASES = 4200, 2000
_SHORTEST_MS: Final = 60
"""A word said faster is no word to learn from."""


@dataclass(frozen=True)
class Utterance:
    words: tuple[int, ...]
    """Places in VOCABULARY."""
    times_ms: tuple[tuple[int, int], ...]
    samples: NDArray[np.int16]
    """Mono at 16 kHz."""
    whole: bool
    """A phrase; otherwise a single word, to be put together with others of its voice."""
    voice: int


def phrase(seed: int, *, german: bool) -> Utterance:
    dice = random.Random(seed)
    known = GERMAN if german else ENGLISH
    while True:
        words = [dice.choice(known) for _ in range(dice.choice(_LENGTHS))]
        speaker = dice.choice(_SPEAKERS)
        voice = ("de" if german else dice.choice(_ACCENTS)) + speaker
        said = say(" ".join(words), voice, dice.randint(115, 210), dice.randint(20, 80))
        times = tuple((word.start_ms, word.end_ms) for word in said.words)
        if len(times) == len(words) and all(end - at >= _SHORTEST_MS for at, end in times):
            return Utterance(
                tuple(map(VOCABULARY.index, words)), times, _levelled(said.samples), True, -1
            )


def flite_word(job: tuple[str, str, float]) -> Utterance:
    word, voice, stretch = job
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "word.wav")
        command = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch}"]
        subprocess.run([*command, "-t", word, "-o", path], check=True, capture_output=True)
        with wave.open(str(path)) as source:
            heard = np.frombuffer(source.readframes(source.getnframes()), np.int16)
            heard = _at_16_khz(heard, source.getframerate())
    first, end = _sounding(heard)
    times = ((0, (end - first) * 1000 // RATE_HZ),)
    of_voice = _FLITE.index(voice)
    return Utterance((VOCABULARY.index(word),), times, _levelled(heard[first:end]), False, of_voice)


def _levelled(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    loudest = float(np.abs(samples.astype(np.float32)).max())
    return (samples * (29000 / loudest)).astype(np.int16)


def write(path: Path, utterances: Sequence[Utterance]) -> None:
    """Flat arrays: those with `_ends` say where in the longer ones each utterance ends."""
    np.savez(
        path,
        samples=np.concatenate([one.samples for one in utterances]),
        sample_ends=np.cumsum([len(one.samples) for one in utterances]),
        words=np.concatenate([one.words for one in utterances]),
        times_ms=np.concatenate([one.times_ms for one in utterances]),
        word_ends=np.cumsum([len(one.words) for one in utterances]),
        whole=np.array([one.whole for one in utterances]),
        voice=np.array([one.voice for one in utterances]),
    )


def read(path: Path) -> Iterator[Utterance]:
    with np.load(path) as flat:
        samples = np.split(flat["samples"], flat["sample_ends"][:-1])
        words = np.split(flat["words"], flat["word_ends"][:-1])
        times = np.split(flat["times_ms"], flat["word_ends"][:-1])
        rest = zip(flat["whole"].tolist(), flat["voice"].tolist(), strict=True)
    for sound, said, at, (whole, voice) in zip(samples, words, times, rest, strict=True):
        times_ms = tuple((start, end) for start, end in at.tolist())
        yield Utterance(tuple(said.tolist()), times_ms, sound, whole, voice)


def main(path: Path) -> None:
    stretches = (0.8, 0.95, 1.1, 1.25)
    single = [(word, voice, by) for word in ENGLISH for voice in _FLITE for by in stretches]
    with Pool() as pool:
        english = pool.map(partial(phrase, german=False), range(_ENGLISH_PHRASES))
        german = pool.map(partial(phrase, german=True), range(10_000, 10_000 + _GERMAN_PHRASES))
        flite = pool.map(flite_word, single)
    made = [*english, *german, *flite]
    write(path, made)
    print(f"{len(made)} utterances, {sum(len(one.samples) for one in made) / RATE_HZ / 60:.0f} min")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
