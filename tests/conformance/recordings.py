"""The recordings that are sent: made of those in `tests/data`, short, as listening takes time."""

from __future__ import annotations

import base64
import io
import subprocess
import wave
from pathlib import Path

import imageio_ffmpeg

DATA = Path(__file__).parents[1] / "data"
RATE_HZ = 16_000
LIMIT_BYTES = 26_214_400
"""Of a request's body."""
ENCODED = ("mp3", "m4a", "mp4", "mpga", "mpeg", "flac", "ogg", "oga", "opus", "webm")
_CODECS = {"webm": ("-c:a", "libopus"), "opus": ("-c:a", "libopus"), "mpga": ("-f", "mp3"),
           "mpeg": ("-f", "mp3"), "oga": ("-f", "ogg", "-c:a", "libvorbis")}  # fmt: skip


def make(folder: Path) -> None:
    """Write every recording that a case names."""
    contents = {
        "speech.wav": _wav(_speech("austen-0880.wav", 1.5)),
        "meeting.wav": _wav(_meeting(), channels=2),
        "silence.wav": _wav(_silence(1.5)),
        "instant.wav": _wav(_silence(0.05)),
        "half-minute.wav": _wav(_silence(31) * 2, channels=2),
        "junk.mp3": b"Dear Sir or Madam, this is a letter.\n" * 60,
        "empty.wav": b"",
        "largest.wav": _wav(bytes(LIMIT_BYTES - 65_536 - 44), channels=2, rate_hz=48_000),
        "too-large.wav": bytes(LIMIT_BYTES + 1),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    for name in ENCODED:
        _ffmpeg(folder / f"speech.{name}", "-i", str(folder / "speech.wav"), *_CODECS.get(name, ()))
    _ffmpeg(folder / "long.flac", "-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "1830.5")


def voice(seconds: float) -> str:
    """A clip of somebody's voice as a data URL."""
    content = base64.b64encode(_wav(_speech("austen-0880.wav", 3) * 4, seconds=seconds))
    return f"data:audio/wav;base64,{content.decode()}"


def _speech(name: str, seconds: float) -> bytes:
    with wave.open(str(DATA / name)) as source:
        return source.readframes(int(seconds * source.getframerate()))


def _silence(seconds: float) -> bytes:
    return bytes(2 * int(seconds * RATE_HZ))


def _meeting() -> bytes:
    """Two people on a channel each, one after the other."""
    first, second = _speech("austen-0930.wav", 1.5), _speech("austen-0880.wav", 1.5)
    left, right = first + bytes(len(second)), bytes(len(first)) + second
    return b"".join(left[at : at + 2] + right[at : at + 2] for at in range(0, len(left), 2))


def _wav(
    frames: bytes, *, channels: int = 1, rate_hz: int = RATE_HZ, seconds: float | None = None
) -> bytes:
    with io.BytesIO() as target, wave.open(target, "wb") as file:
        file.setparams((channels, 2, rate_hz, 0, "NONE", ""))
        file.writeframes(frames[: int(seconds * rate_hz) * 2] if seconds else frames)
        return target.getvalue()


def _ffmpeg(target: Path, *arguments: str) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments, str(target)]
    subprocess.run(command, check=True)
