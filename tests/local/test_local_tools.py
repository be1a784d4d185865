"""The real `aws` and `sam` work against the embedded cloud, with nothing but its exports."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.cloud import Cloud

Tool = Callable[..., str]
Wait = Callable[..., Any]


class TestAws:
    """What the README tells users to type."""

    def test_a_copied_file_becomes_an_execution(
        self, cloud: Cloud, tool: Tool, tmp_path: Path, eventually: Wait
    ) -> None:
        talk = tmp_path / "my talk.mp3"
        talk.write_bytes(b"words" * 2_000_000)
        tool(cloud, "aws", "s3", "cp", str(talk), f"s3://{cloud.outputs['UploadsName']}/calls/")
        command = (
            "stepfunctions",
            "list-executions",
            "--state-machine-arn",
            cloud.outputs["PipelineArn"],
        )
        executions = eventually(lambda: json.loads(tool(cloud, "aws", *command))["executions"])
        arn = executions[0]["executionArn"]
        described = json.loads(
            tool(cloud, "aws", "stepfunctions", "describe-execution", "--execution-arn", arn)
        )
        record = json.loads(described["input"])["record"]
        assert record["eventName"] == "ObjectCreated:CompleteMultipartUpload"
        assert record["s3"]["object"]["key"] == "calls/my+talk.mp3"

    def test_a_queue_can_be_subscribed_and_read(self, cloud: Cloud, tool: Tool) -> None:
        # Version 1 of the AWS CLI overrides AWS_ENDPOINT_URL for SQS; version 2 does not.
        sqs = ("sqs", "--endpoint-url", cloud.endpoint)
        queue = json.loads(tool(cloud, "aws", *sqs, "create-queue", "--queue-name", "mine"))[
            "QueueUrl"
        ]
        attributes = tool(
            cloud,
            "aws",
            *sqs,
            "get-queue-attributes",
            "--queue-url",
            queue,
            "--attribute-names",
            "QueueArn",
        )
        topic = ("--topic-arn", cloud.outputs["TopicArn"])
        endpoint = json.loads(attributes)["Attributes"]["QueueArn"]
        tool(
            cloud,
            "aws",
            "sns",
            "subscribe",
            *topic,
            "--protocol",
            "sqs",
            "--notification-endpoint",
            endpoint,
        )
        tool(cloud, "aws", "sns", "publish", *topic, "--message", "hello")
        received = json.loads(tool(cloud, "aws", *sqs, "receive-message", "--queue-url", queue))
        assert json.loads(received["Messages"][0]["Body"])["Message"] == "hello"

    def test_a_failed_execution_can_be_redriven(
        self, cloud: Cloud, tool: Tool, eventually: Wait
    ) -> None:
        sfn = cloud.client("stepfunctions")
        body = json.dumps({"first": "reject", "items": []})
        arn = sfn.start_execution(stateMachineArn=cloud.outputs["PipelineArn"], input=body)[
            "executionArn"
        ]
        eventually(lambda: sfn.describe_execution(executionArn=arn)["status"] == "FAILED")
        assert "redriveDate" in json.loads(
            tool(cloud, "aws", "stepfunctions", "redrive-execution", "--execution-arn", arn)
        )


class TestSam:
    """`sam build && sam deploy`, and again after a change."""

    def test_a_stack_is_created_updated_and_runs(
        self, cloud: Cloud, tool: Tool, project: Path, eventually: Wait
    ) -> None:
        deploy = (
            "deploy",
            "--stack-name",
            "by-sam",
            "--resolve-s3",
            "--no-confirm-changeset",
            "--capabilities",
            "CAPABILITY_IAM",
        )
        tool(cloud, "sam", "build", cwd=project)
        tool(cloud, "sam", *deploy, cwd=project)
        assert greeting(cloud) == "hello"
        topic = stack_outputs(cloud)["TopicArn"]
        tool(
            cloud,
            "sam",
            *deploy,
            "--parameter-overrides",
            "Greeting=bye RetentionDays=14 Email=me@example.com",
            cwd=project,
        )
        assert greeting(cloud) == "bye"
        assert stack_outputs(cloud)["TopicArn"] == topic
        assert (
            len(cloud.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"])
            == 2
        )
        sfn, s3, outputs = cloud.client("stepfunctions"), cloud.client("s3"), stack_outputs(cloud)
        s3.put_object(Bucket=outputs["UploadsName"], Key="a.mp3", Body=b"words")
        machine = outputs["PipelineArn"]
        finished = eventually(
            lambda: sfn.list_executions(stateMachineArn=machine, statusFilter="SUCCEEDED")[
                "executions"
            ]
        )
        assert len(finished) == 1


def stack_outputs(cloud: Cloud) -> dict[str, str]:
    outputs = cloud.client("cloudformation").describe_stacks(StackName="by-sam")["Stacks"][0][
        "Outputs"
    ]
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}


def greeting(cloud: Cloud) -> str:
    """As a function of the stack finds it in its environment."""
    name = stack_outputs(cloud)["WorkFunctionName"]
    answer = cloud.client("lambda").invoke(
        FunctionName=name, Payload=json.dumps({"do": "describe"})
    )
    return json.loads(answer["Payload"].read())["environment"]["GREETING"]
