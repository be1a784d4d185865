"""Samples of our own chunks: 16 kHz mono FLAC files to 16-bit PCM, and pieces of that.

Pieces are written as WAV files, and read again as chunks are.

The only module that uses miniaudio. Recordings of other people's never come here: `audio` makes
chunks of them.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import miniaudio

from dropscribe.errors import Rejected
from dropscribe.spans import Span

SAMPLE_RATE_HZ: Final = 16_000
SAMPLE_BYTES: Final = 2
"""Signed, little-endian."""
SAMPLES_PER_MS: Final = SAMPLE_RATE_HZ // 1000
BYTES_PER_MS: Final = SAMPLES_PER_MS * SAMPLE_BYTES


def read(path: Path) -> bytes:
    """All samples of a chunk or piece: 115 MB an hour.

    Raises `Rejected("engine_failed")`: neither FLAC nor 16-bit WAV, or not 16 kHz mono.
    """
    if _is_wav(path):
        with _wav(path) as file:
            return file.readframes(file.getnframes())
    _check(path)
    try:
        return bytes(miniaudio.flac_read_file_s16(str(path)).samples)
    except miniaudio.DecodeError as error:
        raise _unreadable(path, error) from error


def frames(path: Path, size: int) -> Iterator[tuple[bytes, bool]]:
    """Samples in frames of `size` bytes while the file is read, and whether each is the last.

    The last one may be shorter. Raises as `read` does, before the first.
    """
    stream = _stream(path, size // SAMPLE_BYTES)
    frame = next(stream, b"")
    while frame:
        following = next(stream, b"")
        yield frame, not following
        frame = following


def length_s(path: Path) -> float:
    """Of a chunk or piece, in seconds, as its header says. Raises as `read` does."""
    if _is_wav(path):
        with _wav(path) as file:
            return file.getnframes() / SAMPLE_RATE_HZ
    return float(_check(path).duration)


def length_ms(samples: bytes) -> int:
    """In whole milliseconds, the last one counted when it is begun."""
    return -(-len(samples) // BYTES_PER_MS)


def cut(samples: bytes, span: Span) -> bytes:
    """The samples of `span`, exactly; of what lies outside the sound there are none."""
    start, end = (max(ms, 0) * BYTES_PER_MS for ms in span)
    return samples[start : min(end, len(samples) // SAMPLE_BYTES * SAMPLE_BYTES)]


def wav(samples: bytes) -> bytes:
    """A WAV file of the samples. Half a sample at the end is left out."""
    file = io.BytesIO()
    with wave.open(file, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(SAMPLE_BYTES)
        target.setframerate(SAMPLE_RATE_HZ)
        target.writeframes(samples[: len(samples) // SAMPLE_BYTES * SAMPLE_BYTES])
    return file.getvalue()


def _stream(path: Path, samples: int) -> Iterator[bytes]:
    if _is_wav(path):
        with _wav(path) as file:
            while frame := file.readframes(samples):
                yield frame
    else:
        _check(path)
        yield from map(bytes, miniaudio.flac_stream_file(str(path), samples))


def _is_wav(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"RIFF"


@contextmanager
def _wav(path: Path) -> Iterator[wave.Wave_read]:
    try:
        with wave.open(str(path)) as file:
            if file.getparams()[:3] != (1, SAMPLE_BYTES, SAMPLE_RATE_HZ):
                raise _another_kind()
            yield file
    except (wave.Error, EOFError) as error:
        raise _unreadable(path, error) from error


def _check(path: Path) -> miniaudio.SoundFileInfo:
    """What the header says; only 16 kHz mono passes."""
    try:
        info = miniaudio.flac_get_file_info(str(path))
    except miniaudio.DecodeError as error:
        raise _unreadable(path, error) from error
    if info.sample_rate != SAMPLE_RATE_HZ or info.nchannels != 1:
        raise _another_kind()
    return info


def _another_kind() -> Rejected:
    return Rejected("engine_failed", "only 16 kHz mono audio, of 16 bits, is taken here")


def _unreadable(path: Path, error: Exception) -> Rejected:
    return Rejected("engine_failed", f"{path.name} cannot be read as FLAC or WAV: {error}")
