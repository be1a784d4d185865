"""RedriveExecution, which moto lacks: a failed execution runs on from the state that failed.

AWS reruns only the failed iterations of a Map; here a redriven Map runs all of them again. Workflow
variables (`Assign`) of the first run are not restored.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from moto.core.exceptions import AWSError
from moto.core.responses import ActionResult
from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType
from moto.stepfunctions.parser.asl.component.common.flow.start_at import StartAt
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.responses import StepFunctionResponse

from local.moto_events import emit_execution_status
from local.moto_stepfunctions import REDRIVABLE
from local.replacements import Replacements


class ExecutionNotRedrivable(AWSError):
    TYPE = "ExecutionNotRedrivable"
    STATUS = 400


def bridge_redrive(replace: Replacements) -> None:
    """AWS has RedriveExecution. moto answers that it is not implemented."""

    def redrive_execution(self: Any) -> ActionResult:
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        if execution.exec_status not in REDRIVABLE:
            raise ExecutionNotRedrivable(f"Execution is {execution.status} and cannot be redriven")
        redrive(execution)
        return ActionResult({"redriveDate": execution.redrive_date})

    replace.put(StepFunctionResponse, "redrive_execution", redrive_execution)


def redrive(execution: Any) -> None:
    """`execution` is moto's: it runs on, with a new worker that continues the history."""
    state, state_input = failed_state(execution)
    execution.redrive_count = getattr(execution, "redrive_count", 0) + 1
    execution.redrive_date = dt.datetime.now(tz=dt.UTC)
    execution.stop_date = execution.error = execution.cause = None
    execution.exec_worker = RedriveWorker(execution, state, state_input)
    execution.exec_status = ExecutionStatus.RUNNING
    execution.exec_worker.start()
    emit_execution_status(execution)


def failed_state(execution: Any) -> tuple[str | None, Any]:
    """The top-level state entered last, with its input; None when there was none yet."""
    top_level = json.loads(execution.state_machine.definition)["States"]
    for event in reversed(execution.to_history_output()["events"]):
        entered = event.get("stateEnteredEventDetails")
        if entered and entered["name"] in top_level:
            return entered["name"], json.loads(entered["input"])
    return None, execution.input_data


class RedriveWorker(ExecutionWorker):
    """Runs the execution's own definition, from one state onwards."""

    def __init__(self, execution: Any, state: str | None, state_input: Any) -> None:
        first = execution._get_start_execution_worker()
        super().__init__(
            evaluation_details=first._evaluation_details,
            exec_comm=BaseExecutionWorkerCommunication(execution),
            cloud_watch_logging_session=None,
            activity_store=first._activity_store,
        )
        self._state, self._input = state, state_input
        self.redrive_count = execution.redrive_count
        self._earlier = execution.exec_worker.env
        self.env = self._continued()

    def _continued(self) -> Any:
        env = self._get_evaluation_environment()
        env.states.reset(input_value=self._input)
        if self._earlier is not None:
            env.event_manager = self._earlier.event_manager
        return env

    def _execution_logic(self) -> None:
        program: Any = self._get_evaluation_entrypoint()
        if self._state is not None:
            program.start_at = StartAt(self._state)
        env: Any = self.env
        details: Any = {"executionRedrivenEventDetails": {"redriveCount": self.redrive_count}}
        env.event_manager.add_event(
            env.event_history_context, HistoryEventType.ExecutionRedriven, details
        )
        program.eval(env)
        self._execution_communication.terminated()
