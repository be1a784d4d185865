"""Ingest: upload events from the queue, one execution for each recording."""

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

from dropscribe.job import job_id_of
from dropscribe.stages.ingest import start, uploads

logger = Logger()
metrics = Metrics()
processor = BatchProcessor(EventType.SQS)


@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Messages that fail are reported one by one, return to the queue and end in its DLQ."""
    return process_partial_response(event, record_handler, processor, context)


def record_handler(record: SQSRecord) -> None:
    for source in uploads(record.body):
        job = job_id_of(source)
        started = start(source, os.environ["STATE_MACHINE_ARN"])
        logger.set_correlation_id(job)
        logger.info("job started" if started else "job exists already", key=source.key)
        metrics.add_metric("JobsStarted" if started else "DuplicateEvents", MetricUnit.Count, 1)
