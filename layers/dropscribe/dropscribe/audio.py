"""Recordings to 16 kHz mono FLAC, with ffmpeg. Untrusted input: see `_input`.

The only module that builds or runs an ffmpeg command.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import ffmpeg

from dropscribe.errors import Rejected, Unavailable

SAMPLE_RATE_HZ: Final = 16_000
"""What speech recognizers work at."""

DEMUXERS: Final = (
    *("aac", "ac3", "aiff", "amr", "ape", "asf", "au", "avi", "caf", "dts", "eac3", "flac", "flv"),
    *("gsm", "matroska", "webm", "mov", "mp4", "m4a", "3gp", "3g2", "mj2", "mp3", "mpeg"),
    *("mpegts", "ogg", "rm", "spx", "tta", "voc", "w64", "wav", "wv"),
)
"""Containers that recordings come in. Playlists, concat scripts and images stay out: they can make
ffmpeg open local files and addresses."""
_PCM: Final = tuple(
    f"pcm_{kind}"
    for kind in (
        *("u8", "s8", "s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be"),
        *("f64le", "f64be", "alaw", "mulaw", "bluray", "dvd", "s16le_planar", "s24le_planar"),
    )
)
DECODERS: Final = (
    *("aac", "aac_latm", "ac3", "alac", "amrnb", "amrwb", "ape", "cook", "dca", "eac3", "flac"),
    *("g723_1", "g729", "g722", "g726", "g726le", "gsm", "gsm_ms", "mp1", "mp1float", "mp2"),
    *("mp2float", "mp3", "mp3float", "nellymoser", "opus", "ra_144", "ra_288", "speex", "truehd"),
    *("truespeech", "tta", "vorbis", "wavpack", "wmalossless", "wmapro", "wmav1", "wmav2"),
    *("wmavoice", "adpcm_ima_wav", "adpcm_ima_qt", "adpcm_ms", "adpcm_g722", "adpcm_g726"),
    *("adpcm_g726le", "adpcm_swf", "adpcm_yamaha", *_PCM),
)
"""Audio only: no video or image decoder ever sees the upload."""

SHORTENED: Final = 0.02
"""Part of the announced length, and at least a quarter of a second, that may be missing before we
call a recording damaged."""
_LOG_BYTES: Final = 256 << 10
"""Of ffmpeg's log, from its beginning and from its end."""


@dataclass(frozen=True)
class Track:
    """One normalized piece of audio."""

    path: Path
    duration_ms: int
    channel: int | None = None
    """Counted from 0; None for the mix of all."""


@dataclass(frozen=True)
class Normalized:
    tracks: list[Track]
    warnings: list[str]


def normalize(
    source: Path, folder: Path, *, max_ms: int, split: bool = False, timeout_s: float = 840
) -> Normalized:
    """Decode the first audio track of `source` to 16 kHz 16-bit FLAC files in `folder`.

    One file, mixed down to mono; with `split` one for each of two channels. A damaged recording
    gives what could be decoded, and a warning. Raises `Rejected`: `empty_audio`, `not_media`,
    `no_audio_stream`, `too_long`, `invalid_options`; `Unavailable("timed_out")`.
    """
    if source.stat().st_size == 0:
        raise Rejected("empty_audio", "the file is empty: upload it again")
    if _is_encrypted_mp4(source):
        raise _protected()
    if split:
        _check_stereo(source, timeout_s)
    targets = [folder / f"track-{index}.flac" for index in range(2 if split else 1)]
    log, status = _run(normalize_command(source, targets, max_ms), timeout_s)
    _check_decoded(log, status, targets)
    tracks = [
        Track(path, flac_duration_ms(path), index if split else None)
        for index, path in enumerate(targets)
    ]
    return _checked(tracks, log, max_ms)


def normalize_command(source: Path, targets: list[Path], max_ms: int) -> list[str]:
    """The ffmpeg command; one target: the mix, two: each channel of a stereo recording.

    Decodes one second more than `max_ms`, to tell a recording that is too long without reading on.
    """
    stream = _input(source, t=max_ms / 1000 + 1)["a:0"]
    settings = {
        **{"c:a": "flac", "sample_fmt": "s16", "ar": SAMPLE_RATE_HZ, "ac": 1},
        **{"map_metadata": -1, "bitexact": None},
    }
    outputs = [
        ffmpeg.output(stream, _file(target), **settings, **_pick(index, targets))
        for index, target in enumerate(targets)
    ]
    merged = outputs[0] if len(outputs) == 1 else ffmpeg.merge_outputs(*outputs)
    return _command(merged.global_args("-y"))


def flac_duration_ms(path: Path) -> int:
    """Length from the header that ffmpeg writes when it has counted the samples, in milliseconds.

    STREAMINFO: after "fLaC" and the block header, 10 bytes of sizes, then 20 bits of rate, 3 of
    channels, 5 of depth and 36 of samples (RFC 9639, section 8.2).
    """
    with path.open("rb") as file:
        header = file.read(26)
    if header[:4] != b"fLaC" or len(header) < 26:
        return 0
    packed = int.from_bytes(header[18:26], "big")
    rate, samples = packed >> 44, packed & (1 << 36) - 1
    return round(samples * 1000 / rate)


def sha256_of(path: Path) -> str:
    """Hexadecimal digest of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _input(source: Path, **options: float) -> ffmpeg.nodes.FilterableStream:
    """Untrusted media: local file only, known containers, audio decoders only, no network."""
    return ffmpeg.input(
        _file(source),
        protocol_whitelist="file",
        format_whitelist=",".join(DEMUXERS),
        codec_whitelist=",".join(DECODERS),
        **options,
    )


def _file(path: Path) -> str:
    """With its protocol, so that no name can be taken for another one or for an option."""
    return f"file:{path}"


def _command(output: ffmpeg.nodes.OutputStream) -> list[str]:
    quiet = output.global_args("-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info")
    return list(quiet.compile())


def _pick(index: int, targets: list[Path]) -> dict[str, str]:
    return {"af": f"pan=mono|c0=c{index}"} if len(targets) > 1 else {}


def _run(command: list[str], timeout_s: float) -> tuple[str, int]:
    """Run ffmpeg; its log and exit status. Key and file name of the upload are never in `command`.

    The log goes through a file and is read in part: a damaged recording can make it very long.
    """
    with tempfile.TemporaryFile() as log:
        try:
            status = subprocess.run(
                command, stdout=log, stderr=subprocess.STDOUT, timeout=timeout_s, check=False
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise Unavailable(
                "timed_out", f"decoding took more than {timeout_s:.0f} s: split the recording"
            ) from error
        size = log.seek(0, os.SEEK_END)
        log.seek(0)
        text = log.read(_LOG_BYTES)
        log.seek(max(size - _LOG_BYTES, len(text)))
        text += log.read()
    return text.decode("utf-8", "replace"), status


def _check_stereo(source: Path, timeout_s: float) -> None:
    """Raise unless the first audio track has two channels."""
    header = ffmpeg.output(_input(source)["a:0"], "pipe:", format="framecrc", c="copy", t=0)
    log, status = _run(_command(header), timeout_s)
    layout = re.search(r"^#channel_layout_name 0: (.*)$", log, re.MULTILINE)
    if status == 0 and layout and layout[1] not in ("stereo", "2 channels", "downmix"):
        raise Rejected(
            "invalid_options",
            f"`channels: split` needs a stereo recording, this one is {layout[1]}: "
            "use `channels: mix`",
        )


def _check_decoded(log: str, status: int, targets: list[Path]) -> None:
    """Raise unless every target holds some audio."""
    if all(target.exists() and flac_duration_ms(target) for target in targets):
        return
    if re.search(r"\bDRM\b|encrypt|activation_bytes", log, re.IGNORECASE):
        raise _protected()
    if "matches no streams" in log:
        raise Rejected("no_audio_stream", "the file has no sound track: nothing to transcribe")
    if "moov atom not found" in log:
        raise Rejected(
            "not_media", "the file was cut off before its index (moov): upload the whole file"
        )
    if "Audio:" in log and status == 0:
        raise Rejected("empty_audio", "the sound track is empty: nothing to transcribe")
    if "Audio:" in log:
        raise Rejected(
            "not_media",
            f"the sound track cannot be decoded, it is damaged or encrypted ({_last_error(log)})",
        )
    raise Rejected(
        "not_media",
        f"this is no audio or video file that can be read ({_last_error(log)}): "
        "upload mp3, m4a, mp4, wav, flac, ogg, webm or another common container",
    )


def _checked(tracks: list[Track], log: str, max_ms: int) -> Normalized:
    """Raise when too long; warn about what is not as announced."""
    duration_ms = max(track.duration_ms for track in tracks)
    if duration_ms > max_ms:
        raise Rejected(
            "too_long",
            f"the recording is longer than {max_ms / 60_000:g} minutes: split it, or deploy with "
            "a larger MaxAudioMinutes",
        )
    warnings = [*_damage(duration_ms, log), *_other_tracks(log)]
    if len(tracks) > 1 and len({sha256_of(track.path) for track in tracks}) == 1:
        mix = Track(tracks[0].path, tracks[0].duration_ms)
        return Normalized([mix], ["both channels are identical: transcribed as one", *warnings])
    return Normalized(tracks, warnings)


def _damage(duration_ms: int, log: str) -> list[str]:
    """A warning when decoding met errors or less audio than the container announces."""
    announced_ms = _announced_ms(log)
    errors = [line for line in log.splitlines() if "[error]" in line and "whitelist" not in line]
    guessed = "Estimating duration from bitrate" in log
    tolerated_ms = max(SHORTENED * (announced_ms or 0), 250)
    short = announced_ms and not guessed and duration_ms < announced_ms - tolerated_ms
    if not errors and not short:
        return []
    length = f" of the {announced_ms / 1000:.1f} s announced" if announced_ms else ""
    decoded = f"{duration_ms / 1000:.1f} s{length} could be decoded and are transcribed"
    return [f"the recording is damaged or was cut off: {decoded}"]


def _other_tracks(log: str) -> list[str]:
    of_input = log.partition("Output #0")[0]
    tracks = len(re.findall(r"^\[info\]\s+Stream #0:.*Audio:", of_input, re.MULTILINE))
    if tracks < 2:
        return []
    return [f"the recording has {tracks} sound tracks: the first one is transcribed"]


def _announced_ms(log: str) -> int | None:
    match = re.search(r"Duration: (\d+):(\d\d):(\d\d)\.(\d\d)", log)
    if not match:
        return None
    hours, minutes, seconds, hundredths = (int(part) for part in match.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + hundredths * 10


def _last_error(log: str) -> str:
    """What ffmpeg said, without its memory addresses and our file names."""
    lines = [line for line in log.splitlines() if re.search(r"\[(error|fatal)\]", line)]
    if not lines:
        return "no reason given"
    words = re.sub(r"\[[^\]]*\] ?", "", lines[-1])
    return re.sub(r"file:\S+", "the upload", words)[:200]


def _protected() -> Rejected:
    return Rejected(
        "not_media", "the file is encrypted or DRM-protected: upload an unprotected copy"
    )


_LARGEST_MOOV_BYTES: Final = 64 << 20


def _is_encrypted_mp4(path: Path) -> bool:
    """Whether an MP4's index declares encrypted tracks (ISO/IEC 23001-7, Apple's, Audible's).

    ffmpeg would decode such a track to noise or to a row of errors, without naming the cause.
    """
    with path.open("rb") as file:
        offset, size = 0, path.stat().st_size
        while offset + 8 <= size:
            file.seek(offset)
            header = file.read(16)
            box_size, kind = int.from_bytes(header[:4], "big"), header[4:8]
            if box_size == 1:
                box_size = int.from_bytes(header[8:16], "big")
            if offset == 0 and kind != b"ftyp":
                return False
            if kind == b"moov":
                file.seek(offset)
                index = file.read(min(box_size or size, _LARGEST_MOOV_BYTES))
                entries = (b"enca", b"encv", b"drms", b"drmi", b"aavd")
                return b"sinf" in index and any(entry in index for entry in entries)
            if box_size < 8:
                return False
            offset += box_size
    return False
