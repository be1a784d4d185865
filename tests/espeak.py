"""Speech made by espeak-ng, with the times of its words: the library and voices of a pip wheel.

The same text, voice, rate and pitch give the same samples in every process. Many voices exist:
a language of the wheel's `espeak-ng-data/lang` ("en", "en-us", "de"), and after a plus sign a
variant of its `voices/!v` ("en+f3", "de+m5").
"""

from __future__ import annotations

import _ctypes
import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

RATE_HZ: Final = 16_000

_RETRIEVAL: Final = 1
"""espeak_ng.h: hand the samples to the callback, play nothing."""
_NO_EXIT: Final = 0x8000
_UTF8: Final = 1
_FROM_CHARACTER: Final = 1
_WORDS_PER_MINUTE: Final = 1
_PITCH: Final = 3
_LIST_ENDS, _WORD_BEGINS = 0, 1
_QUIET: Final = 0.02
"""Of the loudest 10 ms: what is below it at either end is no speech."""
_TAPS: Final = 24
"""On either side of a sample that is made from its neighbours."""


class Word(NamedTuple):
    text: str
    start_ms: int
    end_ms: int
    """Where the next word starts, or the sound ends; espeak leaves no gap but at punctuation,
    and that gap belongs to the word before it."""


class Said(NamedTuple):
    samples: NDArray[np.int16]
    """Mono at 16 kHz, from the first sound to the last."""
    words: tuple[Word, ...]


class _Event(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_int),
        ("message", ctypes.c_uint),
        ("character", ctypes.c_int),  # of the text, from 1
        ("length", ctypes.c_int),
        ("at_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user", ctypes.c_void_p),
        ("name", ctypes.c_void_p),
    )


_Hear = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)
_SYNTH: Final = (
    ctypes.c_char_p,  # text
    ctypes.c_size_t,  # bytes with the zero behind them
    ctypes.c_uint,
    ctypes.c_int,
    ctypes.c_uint,
    ctypes.c_uint,
    ctypes.c_void_p,
    ctypes.c_void_p,
)
_one_at_a_time = threading.Lock()


def say(text: str, voice: str = "en", rate: int = 160, pitch: int = 50) -> Said:
    """`text` as `voice` reads it, with `rate` words a minute (80 to 450) and `pitch` from 0 to 99.

    Raises ValueError for a voice that espeak does not have, and where nothing is to be heard.
    """
    with _one_at_a_time:
        pieces, starts, rate_hz = _synthesized(text, voice, rate, pitch)
    heard = _at_16_khz(np.concatenate([np.zeros(1, np.int16), *pieces]), rate_hz)
    first, end = _sounding(heard)
    begin_ms = round(first * 1000 / RATE_HZ)
    return Said(
        heard[first:end],
        tuple(_words(text, starts, begin_ms, round(end * 1000 / RATE_HZ))),
    )


def _synthesized(
    text: str, voice: str, rate: int, pitch: int
) -> tuple[list[NDArray[np.int16]], list[tuple[int, int]], int]:
    """Samples at espeak's own rate; of each word its first character and its start in ms."""
    pieces: list[NDArray[np.int16]] = []
    starts: list[tuple[int, int]] = []

    def hear(samples: Any, count: int, events: Any) -> int:
        if samples and count:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        at = 0
        while events[at].kind != _LIST_ENDS:
            if events[at].kind == _WORD_BEGINS:
                starts.append((events[at].character - 1, events[at].at_ms))
            at += 1
        return 0

    with _library() as (library, rate_hz):
        kept = _Hear(hear)
        library.espeak_SetSynthCallback(kept)
        if not _has_variant(voice) or library.espeak_SetVoiceByName(voice.encode()):
            raise ValueError(f"espeak has no voice {voice!r}")
        library.espeak_SetParameter(_WORDS_PER_MINUTE, rate, 0)
        library.espeak_SetParameter(_PITCH, pitch, 0)
        spoken = text.encode()
        library.espeak_Synth(spoken, len(spoken) + 1, 0, _FROM_CHARACTER, 0, _UTF8, None, None)
        library.espeak_Synchronize()
    return pieces, starts, rate_hz


def _has_variant(voice: str) -> bool:
    """Espeak itself passes over one that it does not have."""
    _, _, variant = voice.partition("+")
    return Path(espeakng_loader.get_data_path(), "voices", "!v", variant).exists()


@contextmanager
def _library() -> Iterator[tuple[ctypes.CDLL, int]]:
    """espeak-ng as if just loaded, and the rate of its samples in Hz.

    It keeps the phase of its waves and its dice in static variables, which only unloading clears.
    """
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    try:
        library.espeak_Synth.argtypes = _SYNTH
        data = os.fsencode(espeakng_loader.get_data_path())
        rate_hz = library.espeak_Initialize(_RETRIEVAL, 200, data, _NO_EXIT)
        if rate_hz <= 0:
            raise OSError(f"espeak-ng finds no voices in {os.fsdecode(data)}")
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        yield library, rate_hz
    finally:
        library.espeak_Terminate()
        _ctypes.dlclose(library._handle)


def _words(text: str, starts: list[tuple[int, int]], begin_ms: int, end_ms: int) -> Iterator[Word]:
    """Times from `begin_ms` on; a word that espeak does not announce belongs to the one before."""
    after = [*starts[1:], (len(text), end_ms)]
    for at, ((first, start_ms), (end, next_ms)) in enumerate(zip(starts, after, strict=True)):
        begin = max(0, start_ms - begin_ms) if at else 0
        yield Word(text[first:end].strip(), begin, max(begin, next_ms - begin_ms))


def _sounding(samples: NDArray[np.int16]) -> tuple[int, int]:
    """From the first to behind the last sample of the 10 ms that can be heard."""
    step = RATE_HZ // 100
    whole = samples[: len(samples) // step * step].astype(np.float64).reshape(-1, step)
    loudness = np.sqrt((whole**2).mean(axis=1))
    if not loudness.size or not loudness.max():
        raise ValueError("nothing to be heard")
    (loud,) = np.nonzero(loudness > _QUIET * loudness.max())
    return int(loud[0]) * step, (int(loud[-1]) + 1) * step


def _at_16_khz(samples: NDArray[np.int16], rate_hz: int) -> NDArray[np.int16]:
    """Each new sample a weighted mean of its neighbours: a sinc under a Hann window."""
    divisor = int(np.gcd(RATE_HZ, rate_hz))
    phases, step = RATE_HZ // divisor, rate_hz // divisor
    cut = min(1.0, RATE_HZ / rate_hz)
    reach = np.arange(-_TAPS, _TAPS + 1) - (np.arange(phases) * step % phases / phases)[:, None]
    weights = np.sinc(reach * cut) * cut * np.cos(np.pi * reach / (2 * _TAPS + 2)) ** 2
    count = len(samples) * phases // step
    wanted = np.arange(count)
    padded = np.pad(samples.astype(np.float32), _TAPS)
    near = np.lib.stride_tricks.sliding_window_view(padded, 2 * _TAPS + 1)[wanted * step // phases]
    made = np.einsum("ij,ij->i", near, weights.astype(np.float32)[wanted % phases])
    return np.clip(np.round(made), -32768, 32767).astype(np.int16)
