"""Normalize: resolve the options, decode the recording, cut it into chunks, write the manifest."""

from __future__ import annotations

import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from dropscribe import audio, models
from dropscribe.aws import Bucket
from dropscribe.errors import Rejected
from dropscribe.formats import LONGEST_KEY_BYTES, LONGEST_UPLOAD_KEY_BYTES
from dropscribe.job import (
    Chunk,
    Manifest,
    Source,
    chunk_audio_key,
    chunks_prefix,
    known_voice_key,
    manifest_key,
    options_key,
)
from dropscribe.known_speakers import as_clips, reserved_bytes, with_clips
from dropscribe.options import JobOptions, Resolved, parameters_layer, resolve
from dropscribe.plan import SHORTEST_MS, liveliest, plan
from dropscribe.spans import Span
from dropscribe.stages.ingest import gone, option_layers

FOLDER_PREFIX: Final = "recording-"
"""Of the folder that a run works in."""
TRACK_BYTES_A_SECOND: Final = audio.SAMPLE_BYTES * audio.SAMPLE_RATE_HZ
CHUNKS_AT_ONCE: Final = 3
"""Cut, hashed and stored at the same time: while one is on its way, another is cut."""
NO_WHISPER: Final = (
    "engine `whisper` is not part of this deployment: build its image and deploy with parameter "
    "WhisperImageUri (docs/gpu.md), or use `openai` (any OpenAI-compatible Whisper server works "
    "through the ApiBaseUrl parameter) or `offline`"
)
SHORTEST_DIARIZED_MS: Final = 300_000
"""Who speaks is told within one request: fewer, longer chunks know more of each voice."""


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
    TRANSCRIBE_FUNCTION_ARN: str
    WHISPER_FUNCTION_ARN: str
    """Empty: engine `whisper` is not deployed."""
    WHISPER_MODEL: str
    """That of jobs for engine `whisper` which name none. `none`: they have to."""
    VOICE_MODEL: str
    """What tells voices apart where the model does not: see `voices.load`. `none`: nothing."""
    WHISPER_MAX_CONCURRENCY: int
    """Of one job's chunks: GPUs are fewer than functions."""

    @property
    def max_audio_ms(self) -> int:
        return round(self.MAX_AUDIO_MINUTES * 60_000)

    @property
    def tells_voices(self) -> bool:
        return self.VOICE_MODEL != "none"

    def transcriber(self, engine: str) -> str:
        """ARN of the function for an engine. Raises `Rejected`: it is not deployed."""
        if engine != "whisper":
            return self.TRANSCRIBE_FUNCTION_ARN
        if not self.WHISPER_FUNCTION_ARN:
            raise Rejected("unsupported_by_model", NO_WHISPER)
        return self.WHISPER_FUNCTION_ARN

    def concurrency(self, engine: str) -> int:
        """How many chunks of one job are transcribed at once."""
        return self.WHISPER_MAX_CONCURRENCY if engine == "whisper" else self.MAX_CONCURRENCY


def normalize(job_id: str, source: Source, settings: Settings, deadline: float) -> Manifest:
    """Read one upload and write its chunks and manifest. Raises `Rejected` or `Unavailable`.

    `deadline`: `time.monotonic()` at which the caller needs the result.
    """
    started = time.monotonic()
    work = Bucket(settings.WORK_BUCKET)
    if done := _done_before(job_id, work):
        return done
    _check_key(source.key)
    parameters = parameters_layer(settings.ENGINE, settings.MODEL, settings.FORMATS)
    resolved = resolve([parameters, *option_layers(source)])
    # A job that fails from here on is told of with its labels and tenant.
    work.write(options_key(job_id), resolved.options.model_dump_json())
    settings.transcriber(resolved.options.engine)
    model = _model(resolved.options, settings)
    options, known = _known_speakers(resolved.options, model, Bucket(source.bucket))
    decoded = _decode(job_id, source, _Wanted(model, options, settings), deadline)
    decoded.timings_ms["normalize"] = _ms(time.monotonic() - started)
    manifest = _manifest(
        job_id,
        source,
        resolved.model_copy(update={"options": options}),
        model,
        decoded,
        tells_voices=settings.tells_voices,
    )
    if manifest.voices:
        keys = {name: known_voice_key(job_id, at) for at, name in enumerate(known)}
        for name, key in keys.items():
            work.write(key, known[name], "audio/flac")
        manifest = manifest.model_copy(update={"known_voices": keys})
    work.write(manifest_key(job_id), manifest.model_dump_json())
    return manifest


def _done_before(job_id: str, work: Bucket) -> Manifest | None:
    """What a run before this one has made, if all of it is still there.

    That run died before it could say so, or is so long ago that Step Functions takes no redrive.
    """
    content = work.read(manifest_key(job_id))
    if content is None:
        return None
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError:
        # Of another version of this software.
        return None
    kept = set(work.keys(chunks_prefix(job_id)))
    return manifest if kept.issuperset(chunk.key for chunk in manifest.chunks) else None


def _known_speakers(
    options: JobOptions, model: models.Model, uploads: Bucket
) -> tuple[JobOptions, dict[str, bytes]]:
    """Their clips: with the options where the model compares voices, beside them where we do."""
    if model.speakers:
        return with_clips(options, uploads), {}
    return options, as_clips(options, uploads)


@dataclass(frozen=True)
class _Decoded:
    """What became of the upload's bytes."""

    sha256: str
    audio_ms: int
    chunks: list[Chunk]
    liveliest: int
    """Index of the chunk in which most is said."""
    warnings: list[str]
    timings_ms: dict[str, int]


@dataclass(frozen=True)
class _Wanted:
    """What the chunks are to be like."""

    model: models.Model
    options: JobOptions
    settings: Settings

    def spans(self, track: audio.Track, tracks: int) -> list[Span]:
        """Where a track is cut; the tracks share the places that there are at the same time."""
        beside_bytes = reserved_bytes(self.options) if self.model.speakers else 0
        return plan(
            track.duration_ms,
            track.pauses,
            longest_ms=models.longest_chunk_ms(self.model, beside_bytes),
            parallel=max(self.settings.concurrency(self.model.engine) // tracks, 1),
            shortest_ms=SHORTEST_DIARIZED_MS if self.model.speakers else SHORTEST_MS,
        )


def _decode(job_id: str, source: Source, wanted: _Wanted, deadline: float) -> _Decoded:
    """From the upload to chunks in the work bucket, through this function's disk."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX) as name:
        folder = Path(name)
        upload = folder / "upload"
        split = wanted.options.channels == "split"
        sha256 = _fetch(source, upload, wanted.settings, tracks=2 if split else 1)
        fetched = time.monotonic()
        normalized = audio.normalize(
            upload,
            folder,
            max_ms=wanted.settings.max_audio_ms,
            split=split,
            timeout_s=deadline - fetched,
        )
        upload.unlink()
        decoded = time.monotonic()
        audio_ms = max(track.duration_ms for track in normalized.tracks)
        _check_length(audio_ms, wanted.model)
        chunks = _cut(job_id, normalized.tracks, wanted, deadline)
        spans = [chunk.span for chunk in chunks]
        lively = liveliest(spans, normalized.tracks[0].pauses)
    timings_ms = {
        "fetch": _ms(fetched - started),
        "decode": _ms(decoded - fetched),
        "cut": _ms(time.monotonic() - decoded),
    }
    return _Decoded(sha256, audio_ms, chunks, lively, normalized.warnings, timings_ms)


def _cut(job_id: str, tracks: list[audio.Track], wanted: _Wanted, deadline: float) -> list[Chunk]:
    """The chunks of all tracks, each stored as soon as it is cut."""
    work = Bucket(wanted.settings.WORK_BUCKET)
    pieces = [(track, span) for track in tracks for span in wanted.spans(track, len(tracks))]

    def stored(index: int) -> Chunk:
        track, span = pieces[index]
        path = track.path.with_name(f"chunk-{index:05d}.flac")
        audio.cut(track, span, path, timeout_s=deadline - time.monotonic())
        key = chunk_audio_key(job_id, index)
        work.upload(key, path, "audio/flac")
        sha256, size = audio.sha256_of(path), path.stat().st_size
        path.unlink()
        return Chunk(
            index=index,
            key=key,
            sha256=sha256,
            size=size,
            start_ms=span.start_ms,
            duration_ms=span.duration_ms,
            channel=track.channel,
        )

    with ThreadPoolExecutor(CHUNKS_AT_ONCE) as pool:
        return list(pool.map(stored, range(len(pieces))))


def _model(options: JobOptions, settings: Settings) -> models.Model:
    """The job's model. Impossible formats are refused before the work, not after."""
    has_model = settings.WHISPER_MODEL != "none"
    if (options.engine, options.model) == ("whisper", "auto") and has_model:
        options = options.model_copy(update={"model": settings.WHISPER_MODEL})
    voices = settings.tells_voices
    model = models.choose(options, datetime.now(UTC).date(), voices=voices)
    models.formats_for(model, options, speakers=voices or options.channels == "split")
    return model


def _check_length(audio_ms: int, model: models.Model) -> None:
    if audio_ms < model.min_audio_ms:
        raise Rejected(
            "empty_audio",
            f"the recording is {audio_ms / 1000:g} s long, model `{model.name}` takes "
            f"{model.min_audio_ms / 1000:g} s at least: upload the whole recording",
        )


def _fetch(source: Source, path: Path, settings: Settings, tracks: int) -> str:
    """The upload into a file, with its SHA-256."""
    if source.size == 0:
        raise Rejected("empty_audio", "the file is empty: upload it again")
    _check_room(source, path.parent, settings, tracks)
    sha256 = Bucket(source.bucket).download(source.key, path, source.version_id)
    if sha256 is None:
        raise gone()
    return sha256


def _manifest(
    job_id: str,
    source: Source,
    resolved: Resolved,
    model: models.Model,
    decoded: _Decoded,
    *,
    tells_voices: bool,
) -> Manifest:
    channels = {chunk.channel for chunk in decoded.chunks}
    mixed = channels == {None}
    voices = tells_voices and mixed and not model.speakers
    formats = models.formats_for(model, resolved.options, speakers=voices or len(channels) > 1)
    voices = voices and "diarized_json" in formats
    return Manifest(
        job_id=job_id,
        source=source,
        source_sha256=decoded.sha256,
        options=resolved.options,
        option_sources=resolved.sources,
        engine=model.engine,
        model=model.name,
        formats=formats,
        audio_ms=decoded.audio_ms,
        chunks=decoded.chunks,
        voices=voices,
        leader=decoded.liveliest if model.speakers and mixed else None,
        warnings=[*decoded.warnings, *_warnings(model, resolved.options, told=voices)],
        timings_ms=decoded.timings_ms,
    )


def _warnings(model: models.Model, options: JobOptions, *, told: bool) -> list[str]:
    """`told`: whether we tell speakers apart by ourselves."""
    shutdown = models.shutdown_warning(model, datetime.now(UTC).date())
    given = options.min_speakers or options.max_speakers or options.known_speaker_names
    idle = "what was said of the speakers had no effect: nobody told them apart by their voices"
    return [
        *([shutdown] if shutdown else []),
        *([idle] if given and not (told or model.speakers) else []),
    ]


def _check_key(key: str) -> None:
    length = len(key.encode())
    if length > LONGEST_UPLOAD_KEY_BYTES:
        raise Rejected(
            "invalid_options",
            f"the key is {length} bytes long, its outputs would pass S3's {LONGEST_KEY_BYTES}: "
            f"use at most {LONGEST_UPLOAD_KEY_BYTES}",
        )


def _check_room(source: Source, folder: Path, settings: Settings, tracks: int) -> None:
    """The upload and what is made of it have to fit on this function's disk."""
    free = shutil.disk_usage(folder).free
    room = free - tracks * TRACK_BYTES_A_SECOND * settings.max_audio_ms // 1000
    if source.size > room:
        raise Rejected(
            "too_long",
            f"the upload is {source.size / 1e9:.1f} GB, this function has room for "
            f"{max(room, 0) / 1e9:.1f} GB: upload its sound track alone",
        )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
