"""Normalize: an upload becomes 16 kHz mono FLAC chunks and a manifest."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from dropscribe.messages import NormalizeRequest, NormalizeResult
from dropscribe.stages.normalize import Settings, normalize

logger = Logger()
metrics = Metrics()


@metrics.log_metrics
@logger.inject_lambda_context(correlation_id_path="job_id")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    request = NormalizeRequest.model_validate(event)
    settings = Settings.model_validate(dict(os.environ))
    manifest = normalize(request.job_id, request.source, settings)
    logger.info("normalized", audio_ms=manifest.audio_ms, warnings=manifest.warnings)
    metrics.add_metric("AudioSeconds", MetricUnit.Seconds, manifest.audio_ms / 1000)
    return NormalizeResult(
        job_id=request.job_id,
        chunks=[chunk.index for chunk in manifest.chunks],
        max_concurrency=settings.MAX_CONCURRENCY,
    ).model_dump()
