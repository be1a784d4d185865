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
        talk, machine = tmp_path / "my talk.mp3", cloud.outputs["PipelineArn"]
        talk.write_bytes(b"words" * 2_000_000)
        tool(cloud, "aws", "s3", "cp", str(talk), f"s3://{cloud.outputs['UploadsName']}/calls/")
        sfn = cloud.client("stepfunctions")
        eventually(lambda: sfn.list_executions(stateMachineArn=machine)["executions"])
        command = ("stepfunctions", "list-executions", "--state-machine-arn", machine)
        arns = [
            execution["executionArn"]
            for execution in json.loads(tool(cloud, "aws", *command))["executions"]
        ]
        inputs = [json.loads(sfn.describe_execution(executionArn=arn)["input"]) for arn in arns]
        # moto sends the event of a Put besides: one more duplicate, as any route must expect.
        records = [
            (it["record"]["eventName"], it["record"]["s3"]["object"]["key"]) for it in inputs
        ]
        assert ("ObjectCreated:CompleteMultipartUpload", "calls/my+talk.mp3") in records

    def test_a_subscribed_queue_is_told(self, cloud: Cloud, tool: Tool) -> None:
        sqs, topic = cloud.client("sqs"), cloud.outputs["TopicArn"]
        queue = sqs.create_queue(QueueName="mine")["QueueUrl"]
        asked = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        endpoint = ("--notification-endpoint", asked["Attributes"]["QueueArn"])
        tool(cloud, "aws", "sns", "subscribe", "--topic-arn", topic, "--protocol", "sqs", *endpoint)
        cloud.client("sns").publish(TopicArn=topic, Message="hello")
        received = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)
        assert json.loads(received["Messages"][0]["Body"])["Message"] == "hello"


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
