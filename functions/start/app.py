"""Start: one job from the queue of jobs, as soon as there is room for it."""

from __future__ import annotations

import os
import random
import time
from typing import Any, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSEvent, SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from dropscribe.aws import show_again
from dropscribe.messages import ExecutionInput
from dropscribe.seeing import Measure, emit, queue_seconds, step
from dropscribe.stages.start import start

logger = Logger()

LEFT_FOR_RETURNING_S: Final = 20
LONGEST_RETURN_S: Final = 30
"""Until a job that found no room is looked at again, by whoever is free then."""


@step(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """A batch is one message: what waits here is out of the queue, where lines are fair."""
    left_s = context.get_remaining_time_in_millis() / 1000 - LEFT_FOR_RETURNING_S
    deadline = time.monotonic() + left_s
    waiting = [record for record in SQSEvent(event).records if not started(record, deadline)]
    return {"batchItemFailures": [{"itemIdentifier": record.message_id} for record in waiting]}


def started(record: SQSRecord, deadline: float) -> bool:
    """Whether the job has begun, now or before; else its message is shown again in a while."""
    logger.append_keys(message_id=record.message_id)
    job = ExecutionInput.model_validate_json(record.body)
    logger.set_correlation_id(job.job_id)
    most = int(os.environ["MAX_JOBS"])
    new = start(job, os.environ["STATE_MACHINE_ARN"], most, deadline)
    if new is None:
        after_s = random.randint(1, LONGEST_RETURN_S)
        show_again(os.environ["JOBS_QUEUE_URL"], record.receipt_handle, after_s)
        logger.info("no room for the job yet", running_at_most=most)
        return False
    waited_s = queue_seconds(record)
    line = "job started" if new else "job has ended already"
    logger.info(line, queue_ms=round(waited_s * 1000))
    emit(Measure("JobsStarted" if new else "DuplicateEvents", 1), Measure("QueueSeconds", waited_s))
    return True
