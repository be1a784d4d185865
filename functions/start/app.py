"""Start: one job from the queue of jobs, as soon as there is room for it."""

from __future__ import annotations

import os
import random
import time
from typing import Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes import SQSEvent, event_source
from aws_lambda_powertools.utilities.typing import LambdaContext

from dropscribe.aws import show_again
from dropscribe.messages import ExecutionInput
from dropscribe.stages.start import start

logger = Logger()
metrics = Metrics()

LEFT_FOR_RETURNING_S: Final = 20
LONGEST_RETURN_S: Final = 30
"""Until a job that found no room is looked at again, by whoever is free then."""


@metrics.log_metrics
@event_source(data_class=SQSEvent)
def handler(event: SQSEvent, context: LambdaContext) -> dict[str, Any]:
    """A batch is one message: what waits here is out of the queue, where lines are fair."""
    left_s = context.get_remaining_time_in_millis() / 1000 - LEFT_FOR_RETURNING_S
    deadline = time.monotonic() + left_s
    waiting = []
    for record in event.records:
        job = ExecutionInput.model_validate_json(record.body)
        logger.set_correlation_id(job.job_id)
        machine, most = os.environ["STATE_MACHINE_ARN"], int(os.environ["MAX_JOBS"])
        started = start(job, machine, most, deadline)
        if started is None:
            queue, after_s = os.environ["JOBS_QUEUE_URL"], random.randint(1, LONGEST_RETURN_S)
            show_again(queue, record.receipt_handle, after_s)
            waiting.append({"itemIdentifier": record.message_id})
            logger.info("no room for the job yet", running_at_most=most)
            continue
        logger.info("job started" if started else "job has ended already")
        metrics.add_metric("JobsStarted" if started else "DuplicateEvents", MetricUnit.Count, 1)
    return {"batchItemFailures": waiting}
