"""Ingest: upload events from S3, one job in the queue of jobs for each recording."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from dropscribe.job import Source, job_id_of
from dropscribe.seeing import Measure, emit, queue_seconds, tell
from dropscribe.stages.ingest import enqueue, uploads

logger = Logger()
processor = BatchProcessor(EventType.SQS)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Messages that fail are reported one by one, return to the queue and end in its DLQ."""
    return process_partial_response(event, record_handler, processor, context)


def record_handler(record: SQSRecord) -> None:
    logger.set_correlation_id(None)
    logger.append_keys(message_id=record.message_id)
    waited_s = queue_seconds(record)
    try:
        for source in uploads(record.body):
            ingest(source, waited_s)
    except Exception as error:
        # Who is paged by the dead-letter queue's alarm looks for the reason here.
        tell(logger, error)
        raise
    emit(Measure("QueueSeconds", waited_s))


def ingest(source: Source, waited_s: float) -> None:
    logger.set_correlation_id(job_id_of(source))
    enqueue(source, os.environ["JOBS_QUEUE_URL"])
    logger.info("job queued", bytes=source.size, queue_ms=round(waited_s * 1000))
    emit(Measure("JobsQueued", 1))
