"""Bridges of moto's Step Functions: status events, stopping, retry waits, task clients.

Redrive: `local.redrive`.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
import uuid
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from botocore.config import Config
from moto.core.config import default_user_config
from moto.core.responses import ActionResult
from moto.stepfunctions.parser.api import ExecutionStatus
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task import StateTask
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor
from moto.stepfunctions.parser.asl.utils import boto_client, json_path
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse

from local.access import Access
from local.moto_events import emit_execution_status
from local.replacements import Replacements


def bridge_execution(replace: Replacements) -> None:
    """AWS runs state machines. moto does when a setting tells it to."""
    replace.put_item(default_user_config, "stepfunctions", {"execute_state_machine": True})


def bridge_start(replace: Replacements) -> None:
    """AWS makes up a missing name, refuses a bad one, and starts one execution for a name.

    moto's executing backend names it "None", checks nothing, and lets two callers at once both
    start one.
    """
    start = StepFunctionsParserBackend.start_execution
    one_at_a_time = threading.Lock()

    def start_execution(
        self: Any, arn: str, name: str | None = None, *rest: Any, **options: Any
    ) -> Any:
        if name is not None:
            self._validate_name(name)
        with one_at_a_time:
            return start(self, arn, name or str(uuid.uuid4()), *rest, **options)

    replace.put(StepFunctionsParserBackend, "start_execution", start_execution)


def bridge_context(replace: Replacements) -> None:
    """AWS: `$$.Execution.RedriveCount`. moto knows no redrives."""
    environment = ExecutionWorker._get_evaluation_environment

    def with_redrive_count(self: Any) -> Any:
        made = environment(self)
        context: Any = made.states.context_object.context_object_data
        context["Execution"]["RedriveCount"] = getattr(self, "redrive_count", 0)
        return made

    replace.put(ExecutionWorker, "_get_evaluation_environment", with_redrive_count)


def bridge_parsing(replace: Replacements) -> None:
    """moto parses a definition anew for each execution, which costs 0.1 s of its processor."""
    parse = AmazonStateLanguageParser.parse
    tree_of = lru_cache(maxsize=8)(lambda definition: parse(definition)[1])

    def parse_once(definition: str) -> tuple[Any, Any]:
        tree = tree_of(definition)
        return Preprocessor().visit(tree), tree

    replace.put(AmazonStateLanguageParser, "parse", staticmethod(parse_once))


def bridge_filters(replace: Replacements) -> None:
    """AWS: a path with a filter that nothing passes is an empty list. To moto it is an error."""
    may_be_empty = json_path._contains_slice_or_wildcard_array
    replace.put(
        json_path,
        "_contains_slice_or_wildcard_array",
        lambda path: "[?(" in path or may_be_empty(path),
    )


def bridge_status_events(replace: Replacements) -> None:
    """AWS sends an event when an execution starts and when it ends. moto sends none."""
    start, terminated = Execution.start, BaseExecutionWorkerCommunication.terminated

    def start_and_tell(self: Any) -> None:
        start(self)
        emit_execution_status(self)

    def end_and_tell(self: Any) -> None:
        current = self.execution.exec_worker._execution_communication is self
        # A stopped execution ends before its last task does, and may have been redriven since.
        if current and self.execution.exec_status == ExecutionStatus.RUNNING:
            terminated(self)
            emit_execution_status(self.execution)

    replace.put(Execution, "start", start_and_tell)
    replace.put(BaseExecutionWorkerCommunication, "terminated", end_and_tell)


def bridge_stop(replace: Replacements) -> None:
    """AWS: StopExecution ends the execution at once, with the caller's error and cause.

    moto forgets both, and waits for the running task before it says ABORTED.
    """

    def stop_execution(self: Any) -> ActionResult:
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        if execution.exec_status == ExecutionStatus.RUNNING:
            abort(execution, self._get_param("error"), self._get_param("cause"))
            emit_execution_status(execution)
        return ActionResult({"stopDate": execution.stop_date})

    replace.put(StepFunctionResponse, "stop_execution", stop_execution)


def abort(execution: Any, error: str | None = None, cause: str | None = None) -> None:
    now = dt.datetime.now(tz=dt.UTC)
    execution.exec_status, execution.stop_date = ExecutionStatus.ABORTED, now
    execution.error, execution.cause = error, cause
    if _has_begun(execution.exec_worker):
        execution.stop(stop_date=now, error=error, cause=cause)


def _has_begun(worker: Any, within_s: float = 60) -> bool:
    """A worker that has not entered its first state yet would not notice that it is stopped."""
    pause, end = threading.Event(), time.monotonic() + within_s
    while worker.env is None or worker.env.program_state() is None:
        if time.monotonic() > end:
            return False
        pause.wait(0.005)
    return True


def bridge_descriptions(replace: Replacements) -> None:
    """AWS: ended executions have a stopDate, and all their redrives. moto has neither.

    moto leaves the stopDate out after TIMED_OUT only.
    """
    describe, list_all = (
        StepFunctionResponse.describe_execution,
        StepFunctionResponse.list_executions,
    )

    def describe_execution(self: Any) -> ActionResult:
        answer: Any = describe(self).result
        execution = self.stepfunction_backend.describe_execution(answer["executionArn"])
        return ActionResult(answer | _ending(execution) | _redrivability(execution))

    def list_executions(self: Any) -> ActionResult:
        answer: Any = list_all(self).result
        for item in answer["executions"]:
            item.update(_ending(self.stepfunction_backend.describe_execution(item["executionArn"])))
        return ActionResult(answer)

    replace.put(StepFunctionResponse, "describe_execution", describe_execution)
    replace.put(StepFunctionResponse, "list_executions", list_executions)


def bridge_history_order(replace: Replacements) -> None:
    """AWS gives the newest event first to who asks so. moto takes no notice of `reverseOrder`."""
    get_history = StepFunctionResponse.get_execution_history

    def get_execution_history(self: Any) -> ActionResult:
        answer: dict[str, Any] = get_history(self).result
        step = -1 if self._get_param("reverseOrder") else 1
        return ActionResult(answer | {"events": answer["events"][::step]})

    replace.put(StepFunctionResponse, "get_execution_history", get_execution_history)


def _ending(execution: Any) -> dict[str, Any]:
    fields = {
        "stopDate": execution.stop_date,
        "redriveCount": getattr(execution, "redrive_count", 0),
        "redriveDate": getattr(execution, "redrive_date", None),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _redrivability(execution: Any) -> dict[str, str]:
    reason = f"Execution is {execution.status} and cannot be redriven"
    if execution.exec_status in REDRIVABLE:
        if dt.datetime.now(tz=dt.UTC) - execution.stop_date < REDRIVABLE_FOR:
            return {"redriveStatus": "REDRIVABLE"}
        reason = "Execution has exceeded its redrivable period"
    return {"redriveStatus": "NOT_REDRIVABLE", "redriveStatusReason": reason}


REDRIVABLE_FOR = dt.timedelta(days=14)
REDRIVABLE = (ExecutionStatus.FAILED, ExecutionStatus.ABORTED, ExecutionStatus.TIMED_OUT)


def bridge_retry_waits(replace: Replacements, longest_s: float) -> None:
    """AWS waits as long as Retry says.

    Here at most `longest_s`: nobody waits five minutes for a laptop's demo.

    The one bridge that leaves AWS's behaviour on purpose. Wait states wait in full.
    """
    pause = threading.Event()
    clock = SimpleNamespace(sleep=lambda interval_s: pause.wait(min(interval_s, longest_s)))
    replace.put(retrier_decl, "time", clock)


def bridge_task_clients(replace: Replacements, clients: Any, access: Access) -> None:
    """Tasks call the other services through boto3, in the name of the state machine's role.

    moto makes a client for each call, nobody's, which takes longer than the call and is not safe in
    the parallel branches of a Map; here one client a service serves them all, with moto's settings:
    a function may take its 15 minutes, and is not called twice.
    """
    find, calling = StateTask._eval_state_credentials, threading.local()

    def remembered(self: Any, env: Any) -> Any:
        """A task finds its role, then makes its client, in one thread."""
        found = find(self, env)
        calling.role_arn = found.role_arn
        return found

    def client(service_name: str, config: Config, **_: Any) -> Any:
        return clients.client(service_name, config, access.credentials(calling.role_arn))

    replace.put(StateTask, "_eval_state_credentials", remembered)
    replace.put(boto_client, "boto3", SimpleNamespace(client=client))
