"""Bridges of moto's Lambda: functions run for real, and queues are polled in the background."""

from __future__ import annotations

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from moto.awslambda import models
from moto.awslambda.utils import get_backend
from moto.sqs.models import sqs_backends

from local.access import Need
from local.functions import Closed, Functions
from local.keys import decryption, encryption
from local.replacements import Replacements
from local.runtime_api import Outcome, failure

LOG = logging.getLogger(__name__)

POLL_S = 1
"""How long one look into a queue waits for a message, hence how long closing may take."""


def bridge_invocations(replace: Replacements, functions: Functions) -> None:
    """AWS runs the function. moto starts a Docker container for each call."""

    def _invoke_lambda(self: Any, event: Any = None) -> tuple[str, bool, str]:
        try:
            outcome, log = functions.invoke(self, event)
        except Closed:
            outcome, log = failure("Sandbox.Closed", "the embedded cloud has been closed"), ""
        return outcome.payload.decode(), outcome.failed, log

    replace.put(models.LambdaFunction, "_invoke_lambda", _invoke_lambda)


def bridge_event_sources(
    replace: Replacements, functions: Functions, wait_s: float
) -> threading.Event:
    """AWS polls the queue, deletes what succeeded, and lets the rest come back, or die.

    moto calls the function inside SendMessage (so an upload waits for a cold start), one message a
    call, knows no ReportBatchItemFailures, and makes a failed message visible but never delivers it
    again.
    """
    stopped = threading.Event()
    create = models.LambdaBackend.create_event_source_mapping

    def create_event_source_mapping(self: Any, spec: dict[str, Any]) -> Any:
        mapping = create(self, spec)
        _check_role(self.get_function(mapping.function_arn), mapping, functions)
        queue = sqs_backends[self.account_id][self.region_name].get_queue(_name(mapping))
        queue.lambda_event_source_mappings.clear()
        poller = Poller(self, mapping, functions, wait_s, stopped)
        threading.Thread(target=poller.run, daemon=True, name="event source").start()
        return mapping

    replace.put(models.LambdaBackend, "create_event_source_mapping", create_event_source_mapping)
    return stopped


def _check_role(function: Any, mapping: Any, functions: Functions) -> None:
    """Lambda reads the queue in the name of the function's role. Raises `Denied`.

    These three rights are what its developer guide asks for; a message that failed comes back when
    its visibility timeout ends, which needs no right.
    """
    arn = mapping.event_source_arn
    actions = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
    needs = [Need(action, arn) for action in actions]
    functions.access.check(function.role, *needs, *decryption("sqs", arn))


class Poller:
    """Carries messages from one queue to one function, until the mapping or the cloud is gone."""

    def __init__(
        self,
        backend: Any,
        mapping: Any,
        functions: Functions,
        wait_s: float,
        stopped: threading.Event,
    ) -> None:
        self._backend = backend
        self._mapping = mapping
        self._functions = functions
        self._retry_after_s = max(1, round(wait_s))
        self._stopped = stopped
        self._sqs = sqs_backends[backend.account_id][backend.region_name]

    def run(self) -> None:
        scaling = self._mapping.scaling_config or {}
        most = int(scaling.get("MaximumConcurrency", 10))
        free = threading.BoundedSemaphore(most)
        with ThreadPoolExecutor(most) as workers:
            while not self._stopped.is_set() and self._mapped():
                free.acquire()
                messages = self._receive()
                if messages:
                    workers.submit(self._deliver, messages).add_done_callback(
                        lambda _: free.release()
                    )
                else:
                    free.release()

    def _mapped(self) -> bool:
        return self._backend.get_event_source_mapping(self._mapping.uuid) is self._mapping

    def _receive(self) -> list[Any]:
        if not self._mapping.enabled:
            self._stopped.wait(POLL_S)
            return []
        queue: Any = self._sqs.get_queue(_name(self._mapping))
        return self._sqs.receive_message(
            queue.name, self._mapping.batch_size, POLL_S, queue.visibility_timeout
        )

    def _deliver(self, messages: list[Any]) -> None:
        try:
            failed = self._failed(messages)
        except Closed:
            return
        except Exception:  # whatever it was, the messages must come back
            LOG.exception("%s could not be invoked", self._mapping.function_arn)
            failed = {message.id for message in messages}
        for message in messages:
            self._settle(message, message.id in failed)

    def _failed(self, messages: list[Any]) -> set[str]:
        event = {"Records": [_record(message, self._mapping) for message in messages]}
        function = self._backend.get_function(self._mapping.function_arn)
        outcome, _ = self._functions.invoke(function, event)
        return failed_messages(
            outcome, {message.id for message in messages}, self._mapping.function_response_types
        )

    def _settle(self, message: Any, failed: bool) -> None:
        queue_name = _name(self._mapping)
        if failed:
            self._sqs.change_message_visibility(
                queue_name, message.receipt_handle, self._retry_after_s
            )
        else:
            self._sqs.delete_message(queue_name, message.receipt_handle)


def failed_messages(outcome: Outcome, ids: set[str], response_types: list[str] | None) -> set[str]:
    """Which messages come back; AWS returns all when the report is not one it can trust."""
    if outcome.failed:
        return ids
    if "ReportBatchItemFailures" not in (response_types or []):
        return set()
    try:
        report = json.loads(outcome.payload) or {}
        failed = {item["itemIdentifier"] for item in report.get("batchItemFailures") or []}
    except (ValueError, KeyError, TypeError, AttributeError):
        return ids
    unknown = failed - ids
    return ids if unknown else failed


def _name(mapping: Any) -> str:
    return str(mapping.event_source_arn).rsplit(":", 1)[-1]


def _record(message: Any, mapping: Any) -> dict[str, Any]:
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": {
            "ApproximateReceiveCount": str(message.approximate_receive_count),
            "SentTimestamp": str(int(message.sent_timestamp)),
            "SenderId": message.sender_id,
            "ApproximateFirstReceiveTimestamp": str(message.approximate_first_receive_timestamp),
        },
        "messageAttributes": {},
        "md5OfBody": message.body_md5,
        "eventSource": "aws:sqs",
        "eventSourceARN": mapping.event_source_arn,
        "awsRegion": mapping.region,
    }


def invoke_later(arn: str, event: dict[str, Any], functions: Functions, wait_s: float) -> None:
    """An asynchronous invocation: two retries, then the function's dead-letter queue."""
    threading.Thread(
        target=_invoke_until_done, args=(arn, event, functions, wait_s), daemon=True
    ).start()


def _invoke_until_done(
    arn: str, event: dict[str, Any], functions: Functions, wait_s: float
) -> None:
    _, _, _, region, account, *_ = arn.split(":")
    function = get_backend(account, region).get_function(arn)
    pause, why = threading.Event(), ""
    for delay_s in (0, min(60, wait_s), min(120, wait_s)):
        pause.wait(delay_s)
        try:
            outcome, _ = functions.invoke(function, event)
        except Closed:
            return
        if not outcome.failed:
            return
        why = outcome.payload.decode()
    LOG.error("%s failed three times: %s", arn, why)
    target = getattr(function, "dead_letter_arn", None)
    if target:
        needs = [Need("sqs:SendMessage", target), *encryption("sqs", target, also_decrypts=True)]
        functions.access.check(function.role, *needs)
        sqs_backends[account][region].send_message(target.rsplit(":", 1)[-1], json.dumps(event))
