"""Normalize: an upload becomes 16 kHz mono FLAC chunks and a manifest."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from dropscribe.messages import NormalizeRequest, NormalizeResult
from dropscribe.seeing import emit, of_normalized, step
from dropscribe.stages.normalize import FOLDER_PREFIX, Settings, normalize

logger = Logger()

LEFT_FOR_STORING_S: Final = 60
"""Kept back from the function's time: to store the chunks of what was decoded."""


@step(logger, job_id_path="job_id")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    request = NormalizeRequest.model_validate(event)
    settings = Settings.model_validate(dict(os.environ))
    clear_leftovers()
    left_s = context.get_remaining_time_in_millis() / 1000 - LEFT_FOR_STORING_S
    deadline = time.monotonic() + left_s
    manifest = normalize(request.job_id, request.source, settings, deadline)
    logger.info(
        "normalized",
        ms=manifest.timings_ms["normalize"],
        timings_ms=manifest.timings_ms,
        bytes=request.source.size,
        audio_ms=manifest.audio_ms,
        chunks=len(manifest.chunks),
        engine=manifest.engine,
        warnings=len(manifest.warnings),
    )
    emit(*of_normalized(manifest))
    leaders = [] if manifest.leader is None else [manifest.leader]
    return NormalizeResult(
        job_id=request.job_id,
        leaders=leaders,
        chunks=[chunk.index for chunk in manifest.chunks if chunk.index not in leaders],
        max_concurrency=settings.concurrency(manifest.engine),
        max_aligning=settings.concurrency("whisper"),
        transcriber=settings.transcriber(manifest.engine),
    ).model_dump()


def clear_leftovers() -> None:
    """A run that was killed at its timeout leaves its files on this environment's disk."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)
