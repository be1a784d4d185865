"""The stages of the route one after the other, in this process: for many jobs in little time.

What the state machine does between them is done here: chunks at the same time, `Unavailable` tried
again at once. Storage is moto's; the API is whatever listens at its address.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, cast
from unittest.mock import patch

from moto import mock_aws

from dropscribe import aws
from dropscribe.api import ApiObject, Request
from dropscribe.diarization import WindowModel
from dropscribe.engines import Calls, Engine, offline, openai
from dropscribe.errors import Unavailable
from dropscribe.job import ChunkRecord, Manifest, Source, job_id_of
from dropscribe.messages import TranscribeRequest
from dropscribe.notification import Notification
from dropscribe.speakers import VoiceModel
from dropscribe.stages.format import format_job
from dropscribe.stages.normalize import Settings, normalize
from dropscribe.stages.transcribe import transcribe
from dropscribe.transcript import Transcript
from tests.api_server import KEY

UPLOADS, WORK, TRANSCRIPTS = "uploads", "work", "transcripts"
TRIES: Final = 9
"""Of one chunk, as in the state machine."""


@dataclass(frozen=True)
class Done:
    """What became of an upload."""

    manifest: Manifest
    records: list[ChunkRecord]
    message: Notification
    transcript: Transcript
    receipt: dict[str, Any]


class Stages:
    """`with stages(url) as route: route.run(path, model="whisper-1")`."""

    def __init__(self, api_url: str, voice_model: VoiceModel | None = None) -> None:
        self.api_url, self.voice_model = api_url, voice_model
        self.work, self.transcripts = aws.Bucket(WORK), aws.Bucket(TRANSCRIPTS)
        self.dying: set[int] = set()
        """Chunks whose next run ends when it has its answer, before it has kept it."""
        self.run_s = 120.0
        """How long a run of transcribe may take."""
        self._uploaded = 0

    def put(self, key: str, content: bytes) -> None:
        """An object in the uploads bucket, no recording."""
        aws.client("s3").put_object(Bucket=UPLOADS, Key=key, Body=content)

    def run(
        self, recording: Path, *, parallel: int = 10, key: str = "a.wav", **options: Any
    ) -> Done:
        """Upload a recording with these options, and do all that the route does with it."""
        return self.finish(self.begin(recording, parallel=parallel, key=key, **options))

    def begin(
        self, recording: Path, *, parallel: int = 10, key: str = "a.wav", **options: Any
    ) -> Manifest:
        """Normalize alone."""
        self._uploaded += 1
        put = aws.client("s3").put_object
        put(Bucket=UPLOADS, Key=f"{key}.dropscribe.json", Body=json.dumps(options).encode())
        stored = put(Bucket=UPLOADS, Key=key, Body=recording.read_bytes())
        source = Source(
            bucket=UPLOADS,
            key=key,
            version_id=stored["VersionId"],
            etag=stored["ETag"],
            size=recording.stat().st_size,
            sequencer=f"{self._uploaded:016x}",
            uploaded_at="2026-11-20T12:00:00Z",
        )
        settings = Settings(
            WORK_BUCKET=WORK,
            ENGINE="openai",
            MODEL="auto",
            FORMATS="",
            MAX_AUDIO_MINUTES=1440,
            MAX_CONCURRENCY=parallel,
            TRANSCRIBE_FUNCTION_ARN="transcribe",
            WHISPER_FUNCTION_ARN="whisper",
            WHISPER_MODEL="/opt/model",
            VOICE_MODEL="none",
            WHISPER_MAX_CONCURRENCY=parallel,
        )
        return normalize(job_id_of(source), source, settings, time.monotonic() + 800)

    def finish(self, manifest: Manifest) -> Done:
        """Transcribe and format; a second time is what a redrive does."""
        records = self.transcribe_all(manifest)
        message = format_job(manifest.job_id, self.work, self.transcripts)[0].message
        transcript = self.work.read(f"jobs/{manifest.job_id}/transcript.json") or b""
        receipt = self.transcripts.read(f"{manifest.source.key}.receipt.json") or b""
        return Done(
            manifest,
            records,
            message,
            Transcript.model_validate_json(transcript),
            json.loads(receipt),
        )

    def transcribe_all(self, manifest: Manifest, *, at_once: int = 10) -> list[ChunkRecord]:
        """All chunks, those that have to go ahead first; the first error is raised in the end."""
        leaders = [] if manifest.leader is None else [manifest.leader]
        others = [chunk.index for chunk in manifest.chunks if chunk.index not in leaders]
        with ThreadPoolExecutor(at_once) as pool:
            return [
                record
                for indexes in (leaders, others)
                for record in list(pool.map(lambda i: self._patiently(manifest, i), indexes))
            ]

    def chunk(self, manifest: Manifest, index: int) -> ChunkRecord:
        """One run of the function."""

        def engine_for(asked: Manifest) -> tuple[Engine, str]:
            engine, endpoint = self._engine(asked.engine)
            return (self._fatal(engine, index) if index in self.dying else engine), endpoint

        asked = TranscribeRequest(job_id=manifest.job_id, chunk=index, run="1")
        return transcribe(
            *(asked, self.work, engine_for, self.deadline()),
            lambda: cast(WindowModel | None, self.voice_model),
        )

    def deadline(self) -> float:
        """Of one run of the function."""
        return time.monotonic() + self.run_s

    def _fatal(self, engine: Engine, index: int) -> Engine:
        def dying(audio: Path, request: Request, calls: Calls) -> ApiObject:
            engine(audio, request, calls)
            self.dying.discard(index)
            raise KeyboardInterrupt

        return dying

    def _patiently(self, manifest: Manifest, index: int) -> ChunkRecord:
        for _ in range(TRIES - 1):
            try:
                return self.chunk(manifest, index)
            except Unavailable:
                continue
        return self.chunk(manifest, index)

    def _engine(self, name: str) -> tuple[Engine, str]:
        if name == "offline":
            return offline.transcribe, "offline"
        engine = openai.engine(self.api_url, lambda: KEY, self.deadline(), sleep=lambda _: None)
        return engine, self.api_url


_new_client = aws.client


@cache
def _client(service: str) -> Any:
    """Kept, as making one takes half a second. moto answers all that were made since its import."""
    aws.forget_clients()
    client = _new_client(service)
    aws.forget_clients()
    return client


@contextmanager
def stages(api_url: str, voice_model: VoiceModel | None = None) -> Iterator[Stages]:
    with mock_aws(), patch.object(aws, "client", _client):
        s3 = aws.client("s3")
        for bucket in (UPLOADS, WORK, TRANSCRIPTS):
            s3.create_bucket(Bucket=bucket)
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        yield Stages(api_url, voice_model)
