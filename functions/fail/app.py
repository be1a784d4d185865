"""Fail: an execution that did not succeed leaves an error object and a notification."""

from __future__ import annotations

import os
from typing import Any, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from dropscribe.aws import Bucket
from dropscribe.messages import ExecutionFailed
from dropscribe.seeing import emit, of_failed, step
from dropscribe.stages.fail import Desk, fail

logger = Logger()

JOB_ID_PATH: Final = "detail.input && powertools_json(detail.input).job_id || detail.name"
"""EventBridge leaves out an input that is too large; a job's later runs have names of their own."""


@step(logger, job_id_path=JOB_ID_PATH)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    failed = ExecutionFailed.model_validate(event)
    work, transcripts = Bucket(os.environ["WORK_BUCKET"]), Bucket(os.environ["TRANSCRIPTS_BUCKET"])
    desk = Desk(transcripts, work, os.environ["NOTIFICATIONS_TOPIC_ARN"])
    failure = fail(failed.detail.execution_arn, desk)
    if failure is None:
        logger.info("told already, redriven since, or forgotten")
        return {}
    logger.error("job failed", **failure.model_dump(include={"code", "stage", "retryable"}))
    emit(*of_failed(failure))
    return failure.model_dump()
