"""A valid recording in every container that `audio.DEMUXERS` names and ffmpeg can write."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from tests.conftest import DATA

PICTURE: Final = ("-f", "lavfi", "-i", "testsrc=s=64x48:d=1.5:r=10")
CONTAINERS: Final[dict[str, tuple[str, ...]]] = {
    "aac": (),
    "ac3": (),
    "eac3": (),
    "aiff": (),
    "caf.aiff": ("-c:a", "pcm_f32be", "-f", "aiff"),
    "amr": ("-ar", "8000"),
    "asf": ("-c:a", "wmav2"),
    "video.asf": (*PICTURE, "-c:v", "mpeg4", "-c:a", "wmav1"),
    "au": (),
    "mulaw.au": ("-c:a", "pcm_mulaw"),
    "avi": (*PICTURE, "-c:v", "mpeg4", "-c:a", "libmp3lame"),
    "adpcm.avi": ("-c:a", "adpcm_ima_wav"),
    "caf": (),
    "alac.caf": ("-c:a", "alac"),
    "dts": ("-c:a", "dca", "-strict", "-2"),
    "flac": (),
    "deep.flac": ("-sample_fmt", "s32", "-ar", "96000"),
    "flv": ("-ar", "22050", "-c:a", "libmp3lame"),
    "nelly.flv": ("-ar", "11025", "-c:a", "nellymoser"),
    "mkv": (*PICTURE, "-c:v", "mpeg4", "-c:a", "vorbis", "-strict", "-2", "-ac", "2"),
    "flac.mka": ("-c:a", "flac"),
    "two.mka": ("-map", "0", "-map", "0", "-c:a", "libmp3lame"),
    "truehd.mka": ("-c:a", "truehd", "-strict", "-2", "-ac", "2", "-ar", "48000"),
    "webm": ("-c:a", "libopus"),
    "mov": ("-c:a", "pcm_s24le"),
    "alac.mov": ("-c:a", "alac"),
    "mp4": (*PICTURE, "-c:v", "mpeg4", "-c:a", "aac"),
    "fragments.mp4": ("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov+default_base_moof"),
    "faststart.m4a": ("-c:a", "aac", "-movflags", "faststart"),
    "opus.mp4": ("-c:a", "libopus"),
    "3gp": ("-ar", "8000", "-c:a", "libopencore_amrnb"),
    "3g2": ("-c:a", "aac"),
    "mp3": ("-metadata", "title=a", "-metadata", "comment=b"),
    "mp2": (),
    "cover.mp3": (*PICTURE, "-frames:v", "1", "-c:v", "png", "-disposition:v", "attached_pic"),
    "mpg": (*PICTURE, "-c:v", "mpeg1video", "-r", "25", "-c:a", "mp2", "-f", "mpeg"),
    "vob": ("-c:a", "ac3", "-f", "vob"),
    "ts": ("-c:a", "aac"),
    "mp2.ts": ("-c:a", "mp2", "-f", "mpegts"),
    "latm.ts": ("-c:a", "aac", "-f", "mpegts", "-mpegts_flags", "latm"),
    "ogg": ("-c:a", "libvorbis"),
    "opus": (),
    "flac.oga": ("-c:a", "flac", "-f", "oga"),
    "rm": ("-c:a", "ac3"),
    "ra144.rm": ("-ar", "8000", "-c:a", "real_144"),
    "tta": (),
    "voc": ("-c:a", "pcm_u8"),
    "w64": (),
    "wav": (),
    "float.wav": ("-c:a", "pcm_f64le"),
    "adpcm.wav": ("-c:a", "adpcm_ms"),
    "g726.wav": ("-ar", "8000", "-c:a", "g726"),
    "mp3.wav": ("-c:a", "libmp3lame"),
    "six.wav": ("-ac", "6"),
    "rf64.wav": ("-rf64", "always"),
    "wv": (),
}
"""Name → how it is made; the part after the last dot is the container."""


def make(folder: Path) -> list[Path]:
    """1.5 s of speech in each, the same bytes every time."""
    return [_make(folder / f"original.{name}", CONTAINERS[name]) for name in CONTAINERS]


def _make(path: Path, arguments: tuple[str, ...]) -> Path:
    more, out = (arguments[:4], arguments[4:]) if arguments[:2] == PICTURE[:2] else ((), arguments)
    exact = ("-fflags", "+bitexact", "-flags:a", "+bitexact", "-flags:v", "+bitexact")
    speech = ("-t", "1.5", "-i", str(DATA / "austen-0880.wav"))
    command = ["ffmpeg", "-v", "error", "-y", *speech, *more, *out, *exact, str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path
