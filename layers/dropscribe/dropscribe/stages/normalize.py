"""Normalize: resolve the options, decode the recording into chunks, write the manifest."""

from __future__ import annotations

import shutil
import tempfile
import time
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
    Layer,
    file_layer,
    metadata_layer,
    option_file_keys,
    parameters_layer,
    resolve,
)

FLAC_BYTES_A_SECOND: Final = 32_000
"""At most: 16 kHz of 16 bits, uncompressed."""


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


def normalize(job_id: str, source: Source, settings: Settings) -> Manifest:
    """Read one upload and write its chunks and manifest. Raises `Rejected` or `Unavailable`."""
    started = time.monotonic()
    _check_key(source.key)
    if source.size == 0:
        raise Rejected("empty_audio", "the file is empty: upload it again")
    uploads, work = Bucket(source.bucket), Bucket(settings.WORK_BUCKET)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _check_room(source, folder, settings.MAX_AUDIO_MINUTES)
        resolved = resolve(_option_layers(uploads, source, settings))
        # A job that fails from here on is told of with its labels and tenant.
        work.write(options_key(job_id), resolved.options.model_dump_json())
        model = models.choose(resolved.options, datetime.now(UTC).date())
        split = resolved.options.channels == "split"
        # Impossible formats are refused before the work, not after.
        models.formats_for(model, resolved.options, speakers=split)
        upload = folder / "upload"
        sha256, _ = uploads.download(source.key, upload, source.version_id)
        fetched = time.monotonic()
        limit_ms = round(settings.MAX_AUDIO_MINUTES * 60_000)
        normalized = audio.normalize(upload, folder, max_ms=limit_ms, split=split)
        decoded = time.monotonic()
        chunks = [
            _store(work, job_id, index, track, model)
            for index, track in enumerate(normalized.tracks)
        ]
        warning = models.shutdown_warning(model, datetime.now(UTC).date())
        manifest = Manifest(
            job_id=job_id,
            source=source,
            source_sha256=sha256,
            options=resolved.options,
            option_sources=resolved.sources,
            engine=model.engine,
            model=model.name,
            formats=models.formats_for(
                model, resolved.options, speakers=len(normalized.tracks) > 1
            ),
            audio_ms=max(track.duration_ms for track in normalized.tracks),
            chunks=chunks,
            warnings=[*normalized.warnings, *([warning] if warning else [])],
            timings_ms={
                "fetch": _ms(fetched - started),
                "decode": _ms(decoded - fetched),
                "normalize": _ms(time.monotonic() - started),
            },
        )
    work.write(manifest_key(job_id), manifest.model_dump_json())
    return manifest


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


def _option_layers(uploads: Bucket, source: Source, settings: Settings) -> list[Layer]:
    """All sources of options, in the order in which they apply."""
    parameters = parameters_layer(settings.ENGINE, settings.MODEL, settings.FORMATS)
    files = [
        file_layer(key, content)
        for key in option_file_keys(source.key)
        if len(key.encode()) <= LONGEST_KEY_BYTES and (content := uploads.read(key)) is not None
    ]
    upload = uploads.head(source.key, source.version_id)
    if upload is None:
        raise Rejected(
            "not_media", "the upload was deleted before it could be read: upload it again"
        )
    return [parameters, *files, metadata_layer(upload.metadata)]


def _check_key(key: str) -> None:
    length = len(key.encode())
    if length > LONGEST_UPLOAD_KEY_BYTES:
        raise Rejected(
            "invalid_options",
            f"the key is {length} bytes long, its outputs would pass S3's {LONGEST_KEY_BYTES}: "
            f"use at most {LONGEST_UPLOAD_KEY_BYTES}",
        )


def _check_room(source: Source, folder: Path, max_minutes: float) -> None:
    """The upload and its chunks have to fit on this function's disk."""
    free = shutil.disk_usage(folder).free
    needed = source.size + min(source.size, max_minutes * 60 * FLAC_BYTES_A_SECOND)
    if source.size > free or (needed > free and source.size > free // 2):
        raise Rejected(
            "too_long",
            f"the upload is {source.size / 1e9:.1f} GB, this function has room for "
            f"{free / 1e9:.1f} GB: upload its sound track alone",
        )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
