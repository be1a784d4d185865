"""From a bucket to a function by way of a queue; and what the bucket promises."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Self
from urllib.parse import unquote_plus

import pytest
from botocore.exceptions import ClientError

from local.cloud import Cloud
from local.moto_lambda import failed_messages
from local.runtime_api import Outcome

Wait = Callable[..., Any]


@pytest.fixture(scope="module")
def s3(cloud: Cloud) -> Any:
    return cloud.client("s3")


@pytest.fixture(scope="module")
def bucket(cloud: Cloud) -> str:
    return cloud.outputs["UploadsName"]


def executions(cloud: Cloud) -> list[dict[str, Any]]:
    sfn = cloud.client("stepfunctions")
    found = sfn.list_executions(stateMachineArn=cloud.outputs["PipelineArn"])["executions"]
    return [
        json.loads(sfn.describe_execution(executionArn=item["executionArn"])["input"])
        for item in found
    ]


class TestNotifications:
    """An upload becomes a message as S3 writes it."""

    def test_the_record_has_what_aws_puts_into_it(
        self, cloud: Cloud, s3: Any, bucket: str, eventually: Wait
    ) -> None:
        key = "calls/a b+c%d/naïve “🎧”.two.dots.mp3"
        began = time.monotonic()
        put = s3.put_object(Bucket=bucket, Key=key, Body=b"abc")
        assert time.monotonic() - began < 0.5, (
            "an upload must not wait for the function that it starts"
        )

        def mine() -> list[Any]:
            records = [item["record"] for item in executions(cloud) if "record" in item]
            return [
                record for record in records if unquote_plus(record["s3"]["object"]["key"]) == key
            ]

        record = eventually(mine)[0]
        described = record["s3"]["object"]
        assert described["key"].startswith("calls/a+b%2Bc%25d/na%C3%AFve")
        assert described["versionId"] == put["VersionId"]
        assert described["eTag"] == put["ETag"].strip('"')
        assert described["size"] == 3
        assert record["eventName"] == "ObjectCreated:Put"

    def test_a_later_upload_has_a_greater_sequencer(
        self, cloud: Cloud, s3: Any, bucket: str, eventually: Wait
    ) -> None:
        first = s3.put_object(Bucket=bucket, Key="again", Body=b"1")["VersionId"]
        second = s3.put_object(Bucket=bucket, Key="again", Body=b"2")["VersionId"]

        def sequencers() -> dict[str, str] | None:
            objects = [
                item["record"]["s3"]["object"] for item in executions(cloud) if "record" in item
            ]
            found = {entry["versionId"]: entry["sequencer"] for entry in objects}
            return found if {first, second} <= found.keys() else None

        found = eventually(sequencers)
        assert int(found[first], 16) < int(found[second], 16)

    def test_the_test_event_of_the_deployment_came_first(
        self, cloud: Cloud, eventually: Wait
    ) -> None:
        eventually(lambda: "received" in cloud.logs("IngestFunction"))


class TestQueue:
    """What a function reports as failed comes back, and ends in the dead-letter queue."""

    def test_only_the_failed_message_of_a_batch_comes_back(
        self, cloud: Cloud, eventually: Wait
    ) -> None:
        sqs = cloud.client("sqs")
        entries = [{"Id": str(n), "MessageBody": json.dumps({"fail": n == 1})} for n in range(3)]
        sent = sqs.send_message_batch(QueueUrl=cloud.outputs["UploadsQueueUrl"], Entries=entries)[
            "Successful"
        ]
        ids = {entry["Id"]: entry["MessageId"] for entry in sent}
        message = eventually(
            lambda: sqs.receive_message(QueueUrl=cloud.outputs["DeadLettersUrl"]).get("Messages")
        )[0]
        assert message["MessageId"] == ids["1"]
        log = cloud.logs("IngestFunction")
        assert [log.count(f"received {ids[n]}") for n in "012"] == [1, 2, 1]
        assert f"received {ids['1']} 2" in log

    @pytest.mark.parametrize("character", ["\0", "\x1b", "\ufffe", "\uffff"])
    def test_a_body_with_characters_that_are_no_text_is_refused(
        self, cloud: Cloud, character: str
    ) -> None:
        url = cloud.outputs["DeadLettersUrl"]
        with pytest.raises(ClientError, match="InvalidMessageContents"):
            cloud.client("sqs").send_message(QueueUrl=url, MessageBody=f"a{character}")

    @pytest.mark.parametrize(
        ("payload", "expected"),
        [
            (b"null", set()),
            (b'{"batchItemFailures": []}', set()),
            (b'{"batchItemFailures": [{"itemIdentifier": "a"}]}', {"a"}),
            (b'{"batchItemFailures": [{"itemIdentifier": ""}]}', {"a", "b"}),
            (b'{"batchItemFailures": [{"item": "a"}]}', {"a", "b"}),
            (b'{"batchItemFailures": [{"itemIdentifier": "unknown"}]}', {"a", "b"}),
            (b'"words"', {"a", "b"}),
        ],
    )
    def test_a_report_that_cannot_be_trusted_returns_the_batch(
        self, payload: bytes, expected: set[str]
    ) -> None:
        outcome = Outcome(payload, failed=False)
        assert failed_messages(outcome, {"a", "b"}, ["ReportBatchItemFailures"]) == expected


class TestConditions:
    """Conditional requests, versions and absences."""

    def test_only_one_of_many_writers_creates_an_object(self, s3: Any, bucket: str) -> None:
        def write(body: int) -> int:
            try:
                answer = s3.put_object(Bucket=bucket, Key="_once", Body=str(body), IfNoneMatch="*")
            except ClientError as error:
                answer = error.response
            return int(answer["ResponseMetadata"]["HTTPStatusCode"])

        with ThreadPoolExecutor(8) as writers:
            assert sorted(writers.map(write, range(16))) == [200] + [412] * 15

    def test_a_write_for_another_etag_is_refused(self, s3: Any, bucket: str) -> None:
        etag = s3.put_object(Bucket=bucket, Key="_etag", Body=b"1")["ETag"]
        s3.put_object(Bucket=bucket, Key="_etag", Body=b"2", IfMatch=etag)
        for request in (s3.put_object, s3.delete_object):
            with pytest.raises(ClientError, match="PreconditionFailed"):
                request(Bucket=bucket, Key="_etag", IfMatch=etag)

    def test_a_deleted_object_may_be_created_again_and_its_versions_stay(
        self, s3: Any, bucket: str
    ) -> None:
        version = s3.put_object(Bucket=bucket, Key="_deleted", Body=b"1")["VersionId"]
        assert s3.delete_object(Bucket=bucket, Key="_deleted")["DeleteMarker"]
        with pytest.raises(s3.exceptions.NoSuchKey):
            s3.get_object(Bucket=bucket, Key="_deleted")
        assert (
            s3.get_object(Bucket=bucket, Key="_deleted", VersionId=version)["Body"].read() == b"1"
        )
        s3.put_object(Bucket=bucket, Key="_deleted", Body=b"2", IfNoneMatch="*")

    def test_a_missing_object_is_404(self, s3: Any, bucket: str) -> None:
        with pytest.raises(s3.exceptions.NoSuchKey):
            s3.get_object(Bucket=bucket, Key="absent")
        with pytest.raises(ClientError, match="404"):
            s3.head_object(Bucket=bucket, Key="absent")


class TestWebHooks:
    """A web hook is told as SNS tells it."""

    def test_it_gets_headers_and_attributes_and_is_tried_again(
        self, cloud: Cloud, eventually: Wait
    ) -> None:
        sns = cloud.client("sns")
        with Receiver(refusals=1) as receiver:
            topic = sns.create_topic(Name="mine")["TopicArn"]
            sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=receiver.url)
            attributes = {"status": {"DataType": "String", "StringValue": "failed"}}
            sns.publish(
                TopicArn=topic,
                Message="words",
                Subject="Done",
                MessageAttributes=attributes,
            )
            headers, body = eventually(lambda: receiver.taken)[0]
        assert headers["x-amz-sns-message-type"] == "Notification"
        assert headers["x-amz-sns-topic-arn"] == topic
        assert (body["Message"], body["Subject"]) == ("words", "Done")
        assert body["MessageAttributes"] == {"status": {"Type": "String", "Value": "failed"}}
        # It is gone now, and publishing does not mind.
        sns.publish(TopicArn=topic, Message="to nobody")


class Receiver:
    """A web server that refuses some requests before it takes one."""

    def __init__(self, refusals: int) -> None:
        self.taken: list[tuple[dict[str, str], dict[str, Any]]] = []
        receiver, left = self, [503] * refusals

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = left.pop() if left else 200
                if status == 200:
                    receiver.taken.append((dict(self.headers), json.loads(body)))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
