"""Known speakers' voices: clips that users give, as data URLs or as keys under `speakers/`."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Final

from dropscribe import audio
from dropscribe.aws import Bucket
from dropscribe.errors import Rejected
from dropscribe.options import SPEAKERS_FOLDER, JobOptions
from dropscribe.spans import Span
from dropscribe.speakers import MAX_CLIP_MS, MAX_REFERENCES, MIN_CLIP_MS, data_url

LARGEST_CLIP_BYTES: Final = 16 << 20
OWN_CLIP_BYTES: Final = (MAX_CLIP_MS * audio.SAMPLE_RATE_HZ * audio.SAMPLE_BYTES // 1000) * 4 // 3
"""At most, of a clip that we cut, as a data URL."""


def with_clips(options: JobOptions, uploads: Bucket) -> JobOptions:
    """With the clips themselves in place of their keys. Raises `Rejected("invalid_options")`."""
    given = options.known_speaker_references
    if not given:
        return options
    clips = [url if _is_data(url) else _stored(url, uploads) for url in given]
    return options.model_copy(update={"known_speaker_references": clips})


def as_clips(options: JobOptions, uploads: Bucket) -> dict[str, bytes]:
    """Name → clip as 16 kHz mono FLAC, of 2 to 10 s. Raises `Rejected("invalid_options")`."""
    names, given = options.known_speaker_names or [], options.known_speaker_references or []
    return {
        name: _as_flac(f"of {name}", _decoded(name, url) if _is_data(url) else _read(url, uploads))
        for name, url in zip(names, given, strict=True)
    }


def reserved_bytes(options: JobOptions) -> int:
    """What known speakers, the user's and those we find, take of a request's body."""
    given = options.known_speaker_references or []
    ours = MAX_REFERENCES - len(given)
    return sum(len(url) for url in given) + ours * (OWN_CLIP_BYTES + 1024)


def _is_data(url: str) -> bool:
    return url.startswith("data:")


def _decoded(name: str, url: str) -> bytes:
    head, _, content = url.partition(",")
    try:
        if head.endswith(";base64"):
            return base64.b64decode(content, validate=True)
    except ValueError as error:
        raise _invalid(f"of {name}", f"is not base64: {error}") from error
    raise _invalid(f"of {name}", "is no data URL with base64 content (data:audio/wav;base64,…)")


def _stored(key: str, uploads: Bucket) -> str:
    return data_url(_as_flac(key, _read(key, uploads)), "audio/flac")


def _read(key: str, uploads: Bucket) -> bytes:
    if not key.startswith(SPEAKERS_FOLDER):
        raise _invalid(key, f"is neither a data URL nor a key under {SPEAKERS_FOLDER}")
    content = uploads.read(key, LARGEST_CLIP_BYTES)
    if content is None:
        raise _invalid(key, f"does not exist: upload it to {uploads.uri(key)}")
    if len(content) > LARGEST_CLIP_BYTES:
        raise _invalid(key, f"is larger than {LARGEST_CLIP_BYTES >> 20} MiB")
    return content


def _as_flac(key: str, content: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        clip, target = Path(name) / "clip", Path(name) / "clip.flac"
        clip.write_bytes(content)
        try:
            (track,) = audio.normalize(clip, Path(name), max_ms=60_000, timeout_s=60).tracks
        except Rejected as error:
            if error.code == "too_long":
                raise _invalid(key, "is longer than a minute, not 2 to 10 s") from error
            raise _invalid(key, f"cannot be used: {error.message}") from error
        if not MIN_CLIP_MS <= track.duration_ms <= MAX_CLIP_MS:
            raise _invalid(key, f"is {track.duration_ms / 1000:g} s long, not 2 to 10")
        audio.cut(track, Span(0, track.duration_ms), target)
        return target.read_bytes()


def _invalid(key: str, what: str) -> Rejected:
    return Rejected("invalid_options", f"known speaker reference {key[:200]!r} {what}")
