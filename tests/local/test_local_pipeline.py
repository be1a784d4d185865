"""State machines and their events behave as AWS's do."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import Cloud

Start = Callable[..., str]
Wait = Callable[..., Any]


@pytest.fixture(scope="module")
def sfn(cloud: Cloud) -> Any:
    return cloud.client("stepfunctions")


@pytest.fixture(scope="module")
def start(cloud: Cloud, sfn: Any) -> Start:
    def run(first: str = "nothing", items: list[str] | None = None, **more: Any) -> str:
        body = json.dumps({"first": first, "items": items or ["nothing"], **more})
        return sfn.start_execution(
            stateMachineArn=cloud.outputs["PipelineArn"], name=uuid.uuid4().hex, input=body
        )["executionArn"]

    return run


@pytest.fixture(scope="module")
def ended(sfn: Any, eventually: Wait) -> Callable[[str], dict[str, Any]]:
    def wait(arn: str) -> dict[str, Any]:
        def description() -> Any:
            found = sfn.describe_execution(executionArn=arn)
            return found if found["status"] != "RUNNING" else None

        return eventually(description)

    return wait


@pytest.fixture(scope="module")
def reported(cloud: Cloud, eventually: Wait) -> Callable[[str], dict[str, Any]]:
    """The status event that the failure function was called with."""
    s3 = cloud.client("s3")

    def wait(arn: str) -> dict[str, Any]:
        key = f"events/{arn.rsplit(':', 1)[1]}.json"

        def event() -> Any:
            try:
                return json.loads(
                    s3.get_object(Bucket=cloud.outputs["ReportsName"], Key=key)["Body"].read()
                )
            except s3.exceptions.NoSuchKey:
                return None

        return eventually(event)

    return wait


def history(sfn: Any, arn: str) -> list[str]:
    return [event["type"] for event in sfn.get_execution_history(executionArn=arn)["events"]]


class TestSuccess:
    """A machine runs to its end, and tells the topic with attributes from its data."""

    def test_the_notification_has_its_attributes_and_its_text(
        self, cloud: Cloud, start: Start, ended: Any, eventually: Wait
    ) -> None:
        arn = start(items=["nothing", "nothing", "nothing"])
        assert ended(arn)["status"] == "SUCCEEDED"
        sqs = cloud.client("sqs")
        message = eventually(
            lambda: sqs.receive_message(QueueUrl=cloud.outputs["ToldUrl"]).get("Messages")
        )[0]
        body = json.loads(message["Body"])
        assert json.loads(body["Message"]) == {
            "job_id": arn.rsplit(":", 1)[1],
            "words": "naïve “🎧”",
        }
        assert body["Subject"] == "Done"
        assert body["MessageAttributes"] == {"status": {"Type": "String", "Value": "completed"}}

    def test_the_output_keeps_the_state_s_data(self, start: Start, ended: Any) -> None:
        output = json.loads(ended(start())["output"])
        assert output["subject"] == "Done"
        assert output["published"]["MessageId"]

    def test_a_map_runs_as_many_at_once_as_the_data_says(self, start: Start, ended: Any) -> None:
        began = time.monotonic()
        assert ended(start(items=["sleep:0.5"] * 4))["status"] == "SUCCEEDED"
        assert time.monotonic() - began >= 1


class TestNames:
    """An execution's name is used once."""

    def test_the_same_name_and_input_while_running_is_the_same_execution(
        self, cloud: Cloud, sfn: Any, ended: Any
    ) -> None:
        request = {
            "stateMachineArn": cloud.outputs["PipelineArn"],
            "name": "twice",
            "input": '{"first": "sleep:0.5", "items": []}',
        }
        first, second = sfn.start_execution(**request), sfn.start_execution(**request)
        assert first["executionArn"] == second["executionArn"]
        ended(first["executionArn"])
        with pytest.raises(sfn.exceptions.ExecutionAlreadyExists):
            sfn.start_execution(**request)

    def test_another_input_under_a_running_name_is_refused(self, cloud: Cloud, sfn: Any) -> None:
        request = {"stateMachineArn": cloud.outputs["PipelineArn"], "name": "other"}
        sfn.start_execution(**request, input='{"first": "sleep:0.5", "items": []}')
        with pytest.raises(sfn.exceptions.ExecutionAlreadyExists):
            sfn.start_execution(**request, input='{"first": "nothing", "items": []}')

    @pytest.mark.parametrize("name", ["a b", "a:b", "a/b"])
    def test_a_name_with_forbidden_characters_is_refused(
        self, cloud: Cloud, sfn: Any, name: str
    ) -> None:
        with pytest.raises(sfn.exceptions.InvalidName):
            sfn.start_execution(stateMachineArn=cloud.outputs["PipelineArn"], name=name)


class TestFailures:
    """An error ends the execution, and its event reaches the failure function."""

    def test_a_rejection_is_not_retried_and_is_reported(
        self, sfn: Any, start: Start, ended: Any, reported: Any
    ) -> None:
        arn = start("reject", note="kept")
        description = ended(arn)
        assert (description["status"], description["error"]) == ("FAILED", "Rejected")
        assert json.loads(description["cause"])["errorMessage"] == "no"
        assert history(sfn, arn).count("TaskFailed") == 1
        event = reported(arn)
        assert (event["source"], event["detail-type"]) == (
            "aws.states",
            "Step Functions Execution Status Change",
        )
        detail = event["detail"]
        assert (detail["executionArn"], detail["status"], detail["error"]) == (
            arn,
            "FAILED",
            "Rejected",
        )
        assert json.loads(detail["input"])["note"] == "kept"
        assert detail["startDate"] <= detail["stopDate"] <= time.time() * 1000
        assert detail["inputDetails"] == {"included": True}

    def test_another_error_is_retried_as_often_as_the_state_says(
        self, sfn: Any, start: Start, ended: Any
    ) -> None:
        arn = start("fail")
        assert ended(arn)["error"] == "Unavailable"
        assert history(sfn, arn).count("TaskFailed") == 3

    def test_a_retry_that_succeeds_goes_on(self, start: Start, ended: Any, tmp_path: Path) -> None:
        assert ended(start(f"count:{tmp_path}/calls"))["status"] == "SUCCEEDED"

    def test_an_iteration_s_error_is_the_execution_s(self, start: Start, ended: Any) -> None:
        assert ended(start(items=["nothing", "reject"]))["error"] == "Rejected"

    def test_stopping_is_immediate_and_reported(
        self, sfn: Any, start: Start, reported: Any
    ) -> None:
        arn = start("sleep:1.5")
        sfn.stop_execution(executionArn=arn, error="Enough", cause="said so")
        description = sfn.describe_execution(executionArn=arn)
        assert (description["status"], description["error"], description["cause"]) == (
            "ABORTED",
            "Enough",
            "said so",
        )
        assert reported(arn)["detail"]["status"] == "ABORTED"

    def test_an_execution_that_takes_too_long_is_timed_out_and_reported(
        self, sfn: Any, cloud: Cloud, start: Start, ended: Any, reported: Any
    ) -> None:
        machine = cloud.outputs["PipelineArn"]
        definition = sfn.describe_state_machine(stateMachineArn=machine)["definition"]
        hasty = json.dumps(json.loads(definition) | {"TimeoutSeconds": 2})
        sfn.update_state_machine(stateMachineArn=machine, definition=hasty)
        arn = start("sleep:6")
        sfn.update_state_machine(stateMachineArn=machine, definition=definition)
        description = ended(arn)
        assert description["status"] == "TIMED_OUT"
        assert description["stopDate"] > description["startDate"]
        assert reported(arn)["detail"]["status"] == "TIMED_OUT"

    def test_a_report_that_fails_too_goes_to_the_dead_letters(
        self, cloud: Cloud, start: Start, eventually: Wait
    ) -> None:
        arn = start("reject", fail_the_report=True)
        sqs = cloud.client("sqs")
        message = eventually(
            lambda: sqs.receive_message(QueueUrl=cloud.outputs["DeadLettersUrl"]).get("Messages")
        )[0]
        assert json.loads(message["Body"])["detail"]["executionArn"] == arn


class TestRedrive:
    """A failed execution runs on, under its ARN, from the state that failed."""

    def test_it_resumes_where_it_failed(
        self, sfn: Any, start: Start, ended: Any, tmp_path: Path
    ) -> None:
        arn = start(f"count:{tmp_path}/first", items=[f"until:{tmp_path}/repaired"])
        assert ended(arn)["redriveStatus"] == "REDRIVABLE"
        (tmp_path / "repaired").touch()
        assert sfn.redrive_execution(executionArn=arn)["redriveDate"]
        description = ended(arn)
        assert (description["status"], description["redriveCount"]) == ("SUCCEEDED", 1)
        assert description["redriveStatus"] == "NOT_REDRIVABLE"
        assert "error" not in description
        assert (tmp_path / "first").read_text() == "call\ncall\n"
        assert "ExecutionRedriven" in history(sfn, arn)

    def test_one_that_was_stopped_can_be_redriven(self, sfn: Any, start: Start, ended: Any) -> None:
        arn = start("sleep:0.5")
        sfn.stop_execution(executionArn=arn)
        sfn.redrive_execution(executionArn=arn)
        assert ended(arn)["status"] == "SUCCEEDED"

    def test_one_that_failed_again_can_be_redriven_again(
        self, sfn: Any, start: Start, ended: Any
    ) -> None:
        arn = start("reject")
        ended(arn)
        for count in (1, 2):
            sfn.redrive_execution(executionArn=arn)
            assert (ended(arn)["status"], ended(arn)["redriveCount"]) == ("FAILED", count)

    def test_one_that_succeeded_cannot(self, sfn: Any, start: Start, ended: Any) -> None:
        arn = start()
        ended(arn)
        with pytest.raises(ClientError, match="ExecutionNotRedrivable"):
            sfn.redrive_execution(executionArn=arn)

    def test_one_that_never_was_cannot(self, sfn: Any, start: Start) -> None:
        with pytest.raises(sfn.exceptions.ExecutionDoesNotExist):
            sfn.redrive_execution(executionArn=start() + "x")
