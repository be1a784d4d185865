"""The deployed route as its users see it: upload, wait, look at what turned up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dropscribe.job import job_id
from local.cloud import Cloud
from tests.patience import PATIENCE_S

EVERYTHING = {"overdue_s": 0, "window_s": 86_400}
"""What a sweep looks at."""


class Route:
    """`with Route(template, …) as route:` deploys; `route.run(…)` uploads and awaits the news."""

    def __init__(
        self,
        template: Path,
        *,
        api_url: str,
        api_key: str,
        parameters: dict[str, str] | None = None,
        longest_wait_s: float = 1.0,
    ) -> None:
        """`parameters`: of the template, in place of those that most tests take.

        `longest_wait_s`: before a retry.
        """
        self._template, self._api_url, self._api_key = template, api_url, api_key
        self._parameters = parameters or {}
        self.cloud = Cloud(longest_wait_s=longest_wait_s)
        self.news: list[dict[str, Any]] = []
        """Notifications received so far, attributes beside the parsed message."""

    def __enter__(self) -> Self:
        self.cloud.start()
        try:
            self._deploy()
        except BaseException:
            # Else no other could be deployed in this process.
            self.cloud.stop()
            raise
        return self

    def _deploy(self) -> None:
        arn = self.cloud.put_secret("api-key", self._api_key)
        parameters = {
            **{"Engine": "offline", "ApiBaseUrl": self._api_url, "ApiKeySecretArn": arn},
            **{"MaxAudioMinutes": "2", "MaxConcurrency": "4"},
            **self._parameters,
        }
        self.outputs = self.cloud.deploy(self._template, "dropscribe", parameters)
        self.s3, self.sqs, self.states = map(self.cloud.client, ("s3", "sqs", "stepfunctions"))
        sns = self.cloud.client("sns")
        self._inbox = self.sqs.create_queue(QueueName="inbox")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self._inbox, AttributeNames=["QueueArn"])
        topic = self.outputs["NotificationsTopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cloud.stop()

    @property
    def uploads(self) -> str:
        return self.outputs["UploadsBucketName"]

    @property
    def transcripts(self) -> str:
        return self.outputs["TranscriptsBucketName"]

    @property
    def work(self) -> str:
        return self.outputs["WorkBucketName"]

    def upload(self, key: str, content: bytes | Path, **metadata: str) -> str:
        """Put a recording; returns the id of its job."""
        body = content.read_bytes() if isinstance(content, Path) else content
        put = self.s3.put_object(Bucket=self.uploads, Key=key, Body=body, Metadata=metadata)
        return job_id(self.uploads, key, put["VersionId"])

    def run(self, key: str, content: bytes | Path, **metadata: str) -> dict[str, Any]:
        """Put a recording and wait for the notification about it."""
        return self.told(self.upload(key, content, **metadata))

    def told(self, job: str, kind: str | None = None) -> dict[str, Any]:
        """The notification about a job (of one kind), waiting for it if need be."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for news in self.received():
                about = news["message"]["data"]["job_id"] == job
                if about and kind in (None, news["message"]["type"]):
                    return news["message"]
            time.sleep(0.1)
        raise AssertionError(f"no notification about {job}: {self.describe(job)}\n{self.logs()}")

    def ended(self, job: str) -> Any:
        """A job's execution at its end, waiting for it if need be."""

        def described() -> Any:
            if job not in self.jobs():
                return None
            found = self.describe(job)
            return None if found["status"] == "RUNNING" else found

        return self.wait_for(described)

    def wait_for(self, check: Callable[[], Any]) -> Any:
        """The first true answer."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if found := check():
                return found
            time.sleep(0.1)
        raise AssertionError(self.logs())

    def invoke(self, function: str, event: Any) -> Any:
        """Call a function by its logical id; its result."""
        name = self._physical_id(function)
        answer = self.cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
        result = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, result
        return result

    @contextmanager
    def no_upload_events(self) -> Iterator[None]:
        """S3 delivers at least once; this is the case that does not exist."""
        configured = self.s3.get_bucket_notification_configuration(Bucket=self.uploads)
        configured.pop("ResponseMetadata")
        put = self.s3.put_bucket_notification_configuration
        put(Bucket=self.uploads, NotificationConfiguration={})
        try:
            yield
        finally:
            put(Bucket=self.uploads, NotificationConfiguration=configured)

    @contextmanager
    def no_starts(self) -> Iterator[None]:
        """Jobs wait in their queue."""
        functions, name = self.cloud.client("lambda"), self._physical_id("StartFunction")
        (mapping,) = functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
        try:
            yield
        finally:
            functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)

    def waiting(self) -> int:
        """Jobs in their queue, with or without a function that looks for room."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        url = self._physical_id("JobsQueue")
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)

    @contextmanager
    def no_status_events(self) -> Iterator[None]:
        """EventBridge delivers by best effort only."""
        events = self.cloud.client("events")
        names = [rule["Name"] for rule in events.list_rules()["Rules"] if "EventPattern" in rule]
        for name in names:
            events.disable_rule(Name=name)
        try:
            yield
        finally:
            for name in names:
                events.enable_rule(Name=name)

    def shorten(self, function: str, timeout_s: int) -> None:
        """Give a function another timeout."""
        self.cloud.client("lambda").update_function_configuration(
            FunctionName=self._physical_id(function), Timeout=timeout_s
        )

    @contextmanager
    def setting(self, function: str, name: str, value: str) -> Iterator[None]:
        """An environment variable of a function for a while."""
        functions, named = self.cloud.client("lambda"), self._physical_id(function)
        found = functions.get_function_configuration(FunctionName=named)["Environment"]
        before = {key: str(text) for key, text in found["Variables"].items()}
        change = functions.update_function_configuration
        change(FunctionName=named, Environment={"Variables": before | {name: value}})
        try:
            yield
        finally:
            change(FunctionName=named, Environment={"Variables": before})

    def received(self) -> list[dict[str, Any]]:
        """All notifications so far."""
        found = self.sqs.receive_message(QueueUrl=self._inbox, MaxNumberOfMessages=10)
        for message in found.get("Messages", []):
            envelope = json.loads(message["Body"])
            attributes = {k: v["Value"] for k, v in envelope["MessageAttributes"].items()}
            news = {"message": json.loads(envelope["Message"]), "attributes": attributes}
            self.news.append(news | {"subject": envelope["Subject"]})
            self.sqs.delete_message(QueueUrl=self._inbox, ReceiptHandle=message["ReceiptHandle"])
        return self.news

    def files(self, key: str) -> dict[str, str]:
        """What lies beside an upload's name: suffix → content."""
        listed = self.s3.list_objects_v2(Bucket=self.transcripts, Prefix=key)
        return {
            item["Key"].removeprefix(key): self.read(self.transcripts, item["Key"])
            for item in listed.get("Contents", [])
        }

    def read(self, bucket: str, key: str) -> str:
        content: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content.decode()

    def execution_arn(self, job: str) -> str:
        machine = self.outputs["PipelineArn"]
        return machine.replace(":stateMachine:", ":execution:") + f":{job}"

    def describe(self, job: str) -> Any:
        return self.states.describe_execution(executionArn=self.execution_arn(job))

    def jobs(self) -> list[str]:
        """Names of all executions so far."""
        pages = self.states.get_paginator("list_executions")
        machine = self.outputs["PipelineArn"]
        return [
            execution["name"]
            for page in pages.paginate(stateMachineArn=machine)
            for execution in page["executions"]
        ]

    def _physical_id(self, logical_id: str) -> str:
        described = self.cloud.client("cloudformation").describe_stack_resource(
            StackName="dropscribe", LogicalResourceId=logical_id
        )
        return str(described["StackResourceDetail"]["PhysicalResourceId"])

    def logs(self) -> str:
        names = ("Ingest", "Start", "Normalize", "Transcribe", "Format", "Fail", "Sweep")
        return "\n".join(self.cloud.logs(f"{name}Function")[-8000:] for name in names)
