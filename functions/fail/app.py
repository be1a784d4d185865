"""Fail: an execution that did not succeed leaves an error object and a notification."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from dropscribe.aws import Bucket
from dropscribe.messages import ExecutionFailed
from dropscribe.stages.fail import Desk, fail

logger = Logger()
metrics = Metrics()


@metrics.log_metrics
@logger.inject_lambda_context(correlation_id_path="detail.name")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    failed = ExecutionFailed.model_validate(event)
    work, transcripts = Bucket(os.environ["WORK_BUCKET"]), Bucket(os.environ["TRANSCRIPTS_BUCKET"])
    desk = Desk(transcripts, work, os.environ["NOTIFICATIONS_TOPIC_ARN"])
    failure = fail(failed.detail.execution_arn, desk)
    if failure is None:
        logger.info("told already, or the job has been redriven since")
        return {}
    logger.error("job failed", failure=failure.model_dump())
    metrics.add_metric("JobsFailed", MetricUnit.Count, 1)
    return failure.model_dump()
