"""Format: chunk results become the outputs, the receipt and the notification."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from dropscribe.aws import Bucket
from dropscribe.messages import FormatRequest
from dropscribe.seeing import emit, job_seconds, of_completed, step
from dropscribe.stages.format import format_job

logger = Logger()


@step(logger, job_id_path="job_id")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    request = FormatRequest.model_validate(event)
    work, transcripts = Bucket(os.environ["WORK_BUCKET"]), Bucket(os.environ["TRANSCRIPTS_BUCKET"])
    result, receipt = format_job(request.job_id, work, transcripts)
    logger.info(
        "formatted",
        ms=receipt.timings_ms["format"],
        job_s=job_seconds(receipt),
        audio_ms=round(receipt.audio_seconds * 1000),
        bytes=sum(file.size for file in receipt.outputs),
        formats=" ".join(file.format for file in receipt.outputs),
        chunks=receipt.chunks,
        calls=receipt.calls.model_dump(),
        cost_usd=receipt.estimated_cost.usd,
        warnings=len(receipt.warnings),
    )
    emit(*of_completed(receipt))
    return result.model_dump(mode="json")
