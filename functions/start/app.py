"""Start: one job from the queue of jobs, as soon as there is room for it."""

from __future__ import annotations

import os
import random
import time
from typing import Any, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.data_classes import SQSEvent
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from dropscribe.aws import show_again
from dropscribe.messages import ExecutionInput
from dropscribe.seeing import Measure, emit, queue_seconds, tell
from dropscribe.stages.start import start

logger = Logger()

ENDED: Final = "job has ended already"
LEFT_FOR_RETURNING_S: Final = 20
LONGEST_RETURN_S: Final = 30
"""Until a job that found no room, or met an error, is looked at again by whoever is free then."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """A batch is one message: what waits here is out of the queue, where lines are fair."""
    left_s = context.get_remaining_time_in_millis() / 1000 - LEFT_FOR_RETURNING_S
    deadline = time.monotonic() + left_s
    waiting = []
    for record in SQSEvent(event).records:
        try:
            if not begun(record, deadline):
                waiting.append({"itemIdentifier": record.message_id})
        except Exception as error:
            tell(logger, error)
            give_back(record)
            raise
    return {"batchItemFailures": waiting}


def begun(record: SQSRecord, deadline: float) -> bool:
    """Whether its job has begun, now or before. Else the message is soon looked at again."""
    logger.append_keys(message_id=record.message_id)
    job = ExecutionInput.model_validate_json(record.body)
    logger.set_correlation_id(job.job_id)
    most, look_every_s = int(os.environ["MAX_JOBS"]), float(os.environ["LOOK_EVERY_S"])
    started = start(job, os.environ["STATE_MACHINE_ARN"], most, deadline, look_every_s)
    if started is None:
        give_back(record)
        logger.info("no room for the job yet", running_at_most=most)
        emit(Measure("WaitingSeconds", queue_seconds(record)))
        return False
    waited_s = queue_seconds(record)
    said = "job started" if started else "job has ended already"
    logger.info(said, queue_ms=round(waited_s * 1000))
    emit(
        Measure("QueueSeconds", waited_s),
        Measure("JobsStarted" if started else "DuplicateEvents", 1),
    )
    return True


def give_back(record: SQSRecord) -> None:
    """Not after the minutes that the queue hides a message whose function may have died."""
    after_s = random.randint(1, LONGEST_RETURN_S)
    show_again(os.environ["JOBS_QUEUE_URL"], record.receipt_handle, after_s)
