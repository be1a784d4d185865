"""English speech made by flite, with the times of its words: the libraries of Debian's `flite`.

Its voices are built from recordings of real speakers, so recognizers take them for speech. The same
text and voice give the same samples in every process.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

RATE_HZ: Final = 16_000
VOICES: Final = ("awb", "rms", "slt")
"""A Scottish man, and a man and a woman of the United States; all of 16 kHz."""
_FIRST_SOUND: Final = b"R:Token.daughter1.R:SylStructure.daughter1.daughter1.R:Segment.p.end"
_LAST_SOUND: Final = b"R:Token.daughtern.R:SylStructure.daughtern.daughtern.R:Segment.end"
_one_at_a_time = threading.Lock()


class Word(NamedTuple):
    text: str
    start_ms: int
    end_ms: int
    """Of its last sound: a pause belongs to no word."""


class Said(NamedTuple):
    samples: NDArray[np.int16]
    """Mono at 16 kHz, in whole milliseconds, with flite's own silence at both ends."""
    words: tuple[Word, ...]


class _Wave(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_char_p),
        ("rate_hz", ctypes.c_int),
        ("count", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    )


def is_here() -> bool:
    """Whether its libraries are installed."""
    try:
        _library()
    except OSError:
        return False
    return True


def say(text: str, voice: str = "slt") -> Said:
    """`text` as one of `VOICES` reads it.

    Raises ValueError for another voice, and for a text of which flite divides the words otherwise
    than spaces do; OSError where it is not installed.
    """
    if voice not in VOICES:
        raise ValueError(f"flite has no voice {voice!r}")
    with _one_at_a_time:
        flite = _library()
        utterance = flite.flite_synth_text(text.encode(), _voice(voice))
        try:
            samples, times = _heard(flite, utterance), list(_times(flite, utterance))
        finally:
            flite.delete_utterance(utterance)
    words = text.split()
    if len(words) != len(times):
        raise ValueError(f"flite reads {len(times)} words where there are {len(words)}")
    return Said(samples, tuple(Word(word, *at) for word, at in zip(words, times, strict=True)))


def _heard(flite: ctypes.CDLL, utterance: int) -> NDArray[np.int16]:
    wave = flite.utt_wave(utterance).contents
    whole = wave.count // (RATE_HZ // 1000) * (RATE_HZ // 1000)
    return np.ctypeslib.as_array(wave.samples, (wave.count,))[:whole].copy()


def _times(flite: ctypes.CDLL, utterance: int) -> Iterator[tuple[int, int]]:
    """Of each token from its first sound to its last."""
    token = flite.relation_head(flite.utt_relation(utterance, b"Token"))
    while token:
        ends = (flite.ffeature_float(token, path) for path in (_FIRST_SOUND, _LAST_SOUND))
        start_ms, end_ms = (round(end_s * 1000) for end_s in ends)
        yield start_ms, end_ms
        token = flite.item_next(token)


@cache
def _library() -> ctypes.CDLL:
    flite = ctypes.CDLL("libflite.so.1", mode=ctypes.RTLD_GLOBAL)
    for part in ("cmulex", "usenglish"):
        ctypes.CDLL(f"libflite_{part}.so.1", mode=ctypes.RTLD_GLOBAL)
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    types: dict[str, tuple[Any, ...]] = {
        "flite_init": (ctypes.c_int,),
        "flite_synth_text": (pointer, text, pointer),
        "utt_wave": (ctypes.POINTER(_Wave), pointer),
        "utt_relation": (pointer, pointer, text),
        "relation_head": (pointer, pointer),
        "item_next": (pointer, pointer),
        "ffeature_float": (ctypes.c_float, pointer, text),
        "delete_utterance": (None, pointer),
    }
    for name, (given, *taken) in types.items():
        function = getattr(flite, name)
        function.restype, function.argtypes = given, taken
    flite.flite_init()
    return flite


@cache
def _voice(name: str) -> int:
    library = ctypes.CDLL(f"libflite_cmu_us_{name}.so.1", mode=ctypes.RTLD_GLOBAL)
    register = getattr(library, f"register_cmu_us_{name}")
    register.restype, register.argtypes = ctypes.c_void_p, (ctypes.c_char_p,)
    return int(register(None))
