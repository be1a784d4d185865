"""Sweep: on a schedule, uploads that should have ended and have not."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from dropscribe.aws import Bucket
from dropscribe.messages import SweepRequest
from dropscribe.seeing import Measure, emit, of_failed, step, tell
from dropscribe.stages.fail import Desk
from dropscribe.stages.sweep import Sweeper

logger = Logger()


@step(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    request = SweepRequest.model_validate(event)
    transcripts, work = Bucket(os.environ["TRANSCRIPTS_BUCKET"]), Bucket(os.environ["WORK_BUCKET"])
    sweeper = Sweeper(
        Bucket(os.environ["UPLOADS_BUCKET"]),
        os.environ["JOBS_QUEUE_URL"],
        os.environ["STATE_MACHINE_ARN"],
        Desk(transcripts, work, os.environ["NOTIFICATIONS_TOPIC_ARN"]),
    )
    overdue, window = timedelta(seconds=request.overdue_s), timedelta(seconds=request.window_s)
    swept = sweeper.sweep(datetime.now(UTC), overdue, window)
    for job in swept.queued:
        logger.set_correlation_id(job)
        logger.warning("lost job", mended="queued")
    for job, failure in swept.reported:
        logger.set_correlation_id(job)
        logger.warning("lost job", mended="told", code=failure.code, stage=failure.stage)
        emit(*of_failed(failure))
    for job, error in swept.unclear.items():
        logger.set_correlation_id(job)
        tell(logger, error)
    logger.set_correlation_id(None)
    logger.info("swept", looked_at=swept.looked_at, lost=swept.lost)
    emit(Measure("LostUploads", swept.lost))
    if swept.unclear:
        raise RuntimeError(f"{len(swept.unclear)} jobs could not be looked at: see the lines above")
    return {
        "looked_at": swept.looked_at,
        "queued": len(swept.queued),
        "reported": len(swept.reported),
    }
