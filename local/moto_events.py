"""Bridges of moto's EventBridge: rules that call functions, and Step Functions' own events."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from moto.events.models import Rule, events_backends

from local.functions import Functions
from local.moto_lambda import invoke_later
from local.replacements import Replacements


def bridge_function_targets(replace: Replacements, functions: Functions, wait_s: float) -> None:
    """AWS invokes the function of a rule's target, asynchronously.

    moto raises NotImplementedError, and sends every event to a rule that has a schedule instead of
    a pattern. Schedules do nothing here: who wants a sweep invokes its function.
    """
    send: Any = Rule.send_to_targets

    def send_to_targets(self: Any, event: dict[str, Any], transform_input: bool = True) -> None:
        by_event = self.state == "ENABLED" and self.event_pattern.get_pattern()
        if not by_event or not self.event_pattern.matches_event(event):
            return
        targets = {target["Arn"] for target in self.targets if ":lambda:" in target["Arn"]}
        for arn in targets:
            invoke_later(arn, event, functions, wait_s)
        if len(targets) < len(self.targets):
            send(self, event, transform_input)

    replace.put(Rule, "send_to_targets", send_to_targets)


def emit_execution_status(execution: Any) -> None:
    """Tell every rule of the default bus of a Step Functions Execution Status Change.

    `execution` is moto's. Standard state machines send one when an execution starts, and one when
    it ends.
    """
    event: Any = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": execution.account_id,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "region": execution.region_name,
        "resources": [execution.exec_arn],
        "detail": _detail(execution),
    }
    bus = events_backends[execution.account_id][execution.region_name].event_buses["default"]
    for rule in list(bus.rules.values()):
        rule.send_to_targets(event, transform_input=False)


def _detail(execution: Any) -> dict[str, Any]:
    succeeded = execution.status == "SUCCEEDED"
    return {
        "executionArn": execution.exec_arn,
        "stateMachineArn": execution.state_machine.arn,
        "name": execution.name,
        "status": execution.status,
        "startDate": _epoch_ms(execution.start_date),
        "stopDate": _epoch_ms(execution.stop_date),
        "input": execution.execution_input,
        "inputDetails": {"included": True},
        "output": json.dumps(execution.output) if succeeded else None,
        "outputDetails": {"included": True} if succeeded else None,
        "error": execution.error,
        "cause": execution.cause,
        "redriveCount": getattr(execution, "redrive_count", 0),
        "redriveDate": _epoch_ms(getattr(execution, "redrive_date", None)),
    }


def _epoch_ms(moment: Any) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
