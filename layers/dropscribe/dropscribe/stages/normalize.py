"""Normalize: resolve the options, decode the recording into chunks, write the manifest."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from dropscribe import audio, models
from dropscribe.aws import Bucket
from dropscribe.errors import Rejected
from dropscribe.formats import LONGEST_KEY_BYTES, LONGEST_UPLOAD_KEY_BYTES
from dropscribe.job import Chunk, Manifest, Source, chunk_audio_key, manifest_key, options_key
from dropscribe.options import (
    LARGEST_OPTION_FILE_BYTES,
    Layer,
    Resolved,
    file_layer,
    metadata_layer,
    option_file_keys,
    parameters_layer,
    resolve,
)

FOLDER_PREFIX: Final = "recording-"
"""Of the folder that a run works in."""
FLAC_BYTES_A_SECOND: Final = 2 * audio.SAMPLE_RATE_HZ
"""At most, of one track: 16-bit samples that did not compress."""


class Settings(BaseModel):
    """What the template tells the normalize function."""

    model_config = ConfigDict(frozen=True)

    WORK_BUCKET: str
    ENGINE: str
    MODEL: str
    FORMATS: str
    """Comma-separated; empty: all that a job can honestly give."""
    MAX_AUDIO_MINUTES: float
    MAX_CONCURRENCY: int

    @property
    def max_audio_ms(self) -> int:
        return round(self.MAX_AUDIO_MINUTES * 60_000)


def normalize(job_id: str, source: Source, settings: Settings, deadline: float) -> Manifest:
    """Read one upload and write its chunks and manifest. Raises `Rejected` or `Unavailable`.

    `deadline`: `time.monotonic()` at which the caller needs the result.
    """
    started = time.monotonic()
    work = Bucket(settings.WORK_BUCKET)
    _check_key(source.key)
    resolved = resolve(_option_layers(source, settings))
    # A job that fails from here on is told of with its labels and tenant.
    work.write(options_key(job_id), resolved.options.model_dump_json())
    model = _model(resolved)
    split = resolved.options.channels == "split"
    decoded = _decode(job_id, source, model, settings, split=split, deadline=deadline)
    decoded.timings_ms["normalize"] = _ms(time.monotonic() - started)
    manifest = _manifest(job_id, source, resolved, model, decoded)
    work.write(manifest_key(job_id), manifest.model_dump_json())
    return manifest


@dataclass(frozen=True)
class _Decoded:
    """What became of the upload's bytes."""

    sha256: str
    chunks: list[Chunk]
    warnings: list[str]
    timings_ms: dict[str, int]


def _decode(
    job_id: str,
    source: Source,
    model: models.Model,
    settings: Settings,
    *,
    split: bool,
    deadline: float,
) -> _Decoded:
    """From the upload to chunks in the work bucket, through this function's disk."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX) as name:
        folder = Path(name)
        upload = folder / "upload"
        sha256 = _fetch(source, upload, settings)
        fetched = time.monotonic()
        normalized = audio.normalize(
            upload,
            folder,
            max_ms=settings.max_audio_ms,
            split=split,
            timeout_s=deadline - fetched,
        )
        decoded = time.monotonic()
        work = Bucket(settings.WORK_BUCKET)
        chunks = [_store(work, job_id, i, t, model) for i, t in enumerate(normalized.tracks)]
    timings_ms = {"fetch": _ms(fetched - started), "decode": _ms(decoded - fetched)}
    return _Decoded(sha256, chunks, normalized.warnings, timings_ms)


def _model(resolved: Resolved) -> models.Model:
    """The job's model. Impossible formats are refused before the work, not after."""
    options = resolved.options
    model = models.choose(options, datetime.now(UTC).date())
    models.formats_for(model, options, speakers=options.channels == "split")
    return model


def _fetch(source: Source, path: Path, settings: Settings) -> str:
    """The upload into a file, with its SHA-256."""
    if source.size == 0:
        raise Rejected("empty_audio", "the file is empty: upload it again")
    _check_room(source, path.parent, settings)
    sha256 = Bucket(source.bucket).download(source.key, path, source.version_id)
    if sha256 is None:
        raise _gone()
    return sha256


def _manifest(
    job_id: str, source: Source, resolved: Resolved, model: models.Model, decoded: _Decoded
) -> Manifest:
    shutdown = models.shutdown_warning(model, datetime.now(UTC).date())
    speakers = len(decoded.chunks) > 1
    return Manifest(
        job_id=job_id,
        source=source,
        source_sha256=decoded.sha256,
        options=resolved.options,
        option_sources=resolved.sources,
        engine=model.engine,
        model=model.name,
        formats=models.formats_for(model, resolved.options, speakers=speakers),
        audio_ms=max(chunk.duration_ms for chunk in decoded.chunks),
        chunks=decoded.chunks,
        warnings=[*decoded.warnings, *([shutdown] if shutdown else [])],
        timings_ms=decoded.timings_ms,
    )


def _store(work: Bucket, job_id: str, index: int, track: audio.Track, model: models.Model) -> Chunk:
    size = track.path.stat().st_size
    models.check_size(model, track.duration_ms, size)
    key = chunk_audio_key(job_id, index)
    work.upload(key, track.path, "audio/flac")
    return Chunk(
        index=index,
        key=key,
        sha256=audio.sha256_of(track.path),
        size=size,
        start_ms=0,
        duration_ms=track.duration_ms,
        channel=track.channel,
    )


def _option_layers(source: Source, settings: Settings) -> list[Layer]:
    """All sources of options, in the order in which they apply."""
    uploads = Bucket(source.bucket)
    parameters = parameters_layer(settings.ENGINE, settings.MODEL, settings.FORMATS)
    files = [
        file_layer(key, content)
        for key in option_file_keys(source.key)
        if len(key.encode()) <= LONGEST_KEY_BYTES
        and (content := uploads.read(key, LARGEST_OPTION_FILE_BYTES)) is not None
    ]
    upload = uploads.head(source.key, source.version_id)
    if upload is None:
        raise _gone()
    return [parameters, *files, metadata_layer(upload.metadata)]


def _check_key(key: str) -> None:
    length = len(key.encode())
    if length > LONGEST_UPLOAD_KEY_BYTES:
        raise Rejected(
            "invalid_options",
            f"the key is {length} bytes long, its outputs would pass S3's {LONGEST_KEY_BYTES}: "
            f"use at most {LONGEST_UPLOAD_KEY_BYTES}",
        )


def _check_room(source: Source, folder: Path, settings: Settings) -> None:
    """The upload and what is made of it have to fit on this function's disk."""
    free = shutil.disk_usage(folder).free
    room = free - 2 * FLAC_BYTES_A_SECOND * settings.max_audio_ms // 1000
    if source.size > room:
        raise Rejected(
            "too_long",
            f"the upload is {source.size / 1e9:.1f} GB, this function has room for "
            f"{max(room, 0) / 1e9:.1f} GB: upload its sound track alone",
        )


def _gone() -> Rejected:
    return Rejected("not_media", "the upload was deleted before it could be read: upload it again")


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
