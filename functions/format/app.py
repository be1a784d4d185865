"""Format: chunk results become the outputs, the receipt and the notification."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from dropscribe.aws import Bucket
from dropscribe.messages import FormatRequest
from dropscribe.stages.format import format_job

logger = Logger()
metrics = Metrics()


@metrics.log_metrics
@logger.inject_lambda_context(correlation_id_path="job_id")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    request = FormatRequest.model_validate(event)
    work, transcripts = Bucket(os.environ["WORK_BUCKET"]), Bucket(os.environ["TRANSCRIPTS_BUCKET"])
    result = format_job(request.job_id, work, transcripts)
    logger.info("formatted", outputs=result.message.data.outputs)
    metrics.add_metric("JobsCompleted", MetricUnit.Count, 1)
    return result.model_dump(mode="json")
