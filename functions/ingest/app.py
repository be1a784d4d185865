"""Ingest: upload events from S3, one job in the queue of jobs for each recording."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from dropscribe.job import Source, job_id_of
from dropscribe.stages.ingest import enqueue, uploads

logger = Logger()
metrics = Metrics()
processor = BatchProcessor(EventType.SQS)


@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Messages that fail are reported one by one, return to the queue and end in its DLQ."""
    return process_partial_response(event, record_handler, processor, context)


def record_handler(record: SQSRecord) -> None:
    try:
        for source in uploads(record.body):
            ingest(source)
    except Exception:
        # Who is paged by the dead-letter queue's alarm looks for the reason here.
        logger.exception("message refused", message_id=record.message_id)
        raise


def ingest(source: Source) -> None:
    logger.set_correlation_id(job_id_of(source))
    enqueue(source, os.environ["JOBS_QUEUE_URL"])
    logger.info("job queued", key=source.key)
    metrics.add_metric("JobsQueued", MetricUnit.Count, 1)
