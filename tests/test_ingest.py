"""Whose line an upload waits in, and what a sweep does where it cannot look."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from dropscribe import aws
from dropscribe.formats import ERROR_SUFFIX
from dropscribe.job import Source, job_id_of, job_of_run, run_name
from dropscribe.messages import ExecutionInput
from dropscribe.publish import Document, publish
from dropscribe.stages.fail import Desk
from dropscribe.stages.ingest import LARGEST_READ_BYTES, enqueue, tenant
from dropscribe.stages.sweep import Sweeper, Swept, source_of

UPLOADS: Final = "uploads"
SINCE_EVER: Final = timedelta(days=1)


@pytest.fixture(autouse=True)
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        aws.forget_clients()
        s3 = aws.client("s3")
        for name in (UPLOADS, "work", "transcripts"):
            s3.create_bucket(Bucket=name)
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        yield
    aws.forget_clients()


def put(key: str, body: bytes = b"x", **metadata: str) -> Source:
    aws.client("s3").put_object(Bucket=UPLOADS, Key=key, Body=body, Metadata=metadata)
    return source_of(UPLOADS, aws.Bucket(UPLOADS).versions_of(key)[0])


class TestTenant:
    def test_the_last_word_counts(self) -> None:
        put("a/_dropscribe.json", b'{"tenant": "folder"}')
        assert tenant(put("a/b.wav")) == "folder"
        assert tenant(put("a/c.wav", tenant="upload")) == "upload"
        assert tenant(put("d.wav")) is None

    @pytest.mark.parametrize(
        "metadata", ["=?nope?q?x?=", "=?utf-8?b?a?=", "=?utf-8?q?=ff?=", "=?utf-16?q?=ff?="]
    )
    def test_metadata_that_nobody_can_read_costs_no_upload_its_job(self, metadata: str) -> None:
        assert tenant(put("e.wav", anything=metadata)) is None

    @pytest.mark.parametrize(
        "content",
        [
            b"not json",
            b'{"tenant": 7}',
            b'{"tenant": {"a": []}}',
            b"[" * 100_000,
            b'{"tenant": "t", "prompt": "' + b"x" * LARGEST_READ_BYTES + b'"}',
        ],
        ids=["text", "number", "object", "deep", "large"],
    )
    def test_neither_does_an_option_file(self, content: bytes) -> None:
        put("f/_dropscribe.json", content)
        assert tenant(put("f/g.wav")) is None

    def test_an_upload_that_is_gone_has_no_tenant(self) -> None:
        source = put("h.wav")
        aws.client("s3").delete_object(
            Bucket=UPLOADS, Key="h.wav", VersionId=source.version_id or ""
        )
        assert tenant(source) is None

    def test_storage_that_does_not_answer_is_asked_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By the queue, whose message comes back: else the upload would wait in another's line."""
        monkeypatch.setattr(aws.Bucket, "read", slow_down)
        with pytest.raises(ClientError):
            tenant(put("i.wav"))


def slow_down(*_: object) -> Any:
    answer: Any = {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
    raise ClientError(answer, "GetObject")


class Stubborn(aws.Bucket):
    """Of one recording it tells nothing."""

    def head(self, key: str, version_id: str | None = None) -> aws.Stored | None:
        if key.startswith("b.wav"):
            slow_down()
        return super().head(key, version_id)


@pytest.fixture
def queue() -> str:
    return str(aws.client("sqs").create_queue(QueueName="jobs")["QueueUrl"])


def queued(queue: str) -> list[dict[str, Any]]:
    received = aws.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in received.get("Messages", [])]


class TestEnqueue:
    def test_a_key_of_characters_that_sqs_does_not_take_reaches_its_job(self, queue: str) -> None:
        """In ASCII, as SQS takes some of Unicode alone."""
        source = put("j.wav").model_copy(update={"key": "j/\ufffe\uffff.wav"})
        enqueue(source, queue)
        received = aws.client("sqs").receive_message(QueueUrl=queue)
        body = received["Messages"][0]["Body"]
        assert body.isascii()
        assert ExecutionInput.model_validate_json(body).source == source


@dataclass
class Place:
    """What a sweep works on."""

    machine: str
    queue: str
    sweeper: Sweeper

    def sweep(self) -> Swept:
        """Of all that is there."""
        in_a_moment = datetime.now(UTC) + timedelta(seconds=2)
        return self.sweeper.sweep(in_a_moment, timedelta(0), window=SINCE_EVER)

    def failed_run(self, source: Source, number: int) -> None:
        job = job_id_of(source)
        data = ExecutionInput(job_id=job, source=source).model_dump(mode="json")
        aws.start_execution(self.machine, run_name(job, number), data)
        aws.stop_execution(
            aws.execution_arn(self.machine, run_name(job, number)), "Rejected", "not_media"
        )


@pytest.fixture
def place(queue: str) -> Place:
    machine = aws.client("stepfunctions").create_state_machine(
        name="m", definition="{}", roleArn="arn:aws:iam::123456789012:role/r"
    )["stateMachineArn"]
    topic = aws.client("sns").create_topic(Name="t")["TopicArn"]
    desk = Desk(Stubborn("transcripts"), aws.Bucket("work"), topic)
    return Place(machine, queue, Sweeper(aws.Bucket(UPLOADS), queue, machine, desk))


class TestSweep:
    def test_one_upload_that_cannot_be_looked_at_hides_no_other(self, place: Place) -> None:
        for key in ("a.wav", "b.wav", "c.wav", "d.wav"):
            put(key)
        swept = place.sweep()
        assert {job["source"]["key"] for job in queued(place.queue)} == {"a.wav", "c.wav", "d.wav"}
        assert [job.partition("-")[0] for job in swept.unclear] == ["b"]
        assert (swept.looked_at, swept.lost) == (4, 3)

    def test_a_failure_on_record_spares_step_functions_a_question_about_that_job_alone(
        self, place: Place
    ) -> None:
        """It is asked much less per second than S3; an older upload of the key may be lost."""
        lost, failed = put("e.wav"), put("e.wav", b"no recording")
        error = Document(ERROR_SUFFIX, b"{}", "application/json")
        publish(aws.Bucket("transcripts"), failed, job_id_of(failed), error)
        asked: list[str] = []
        aws.client("stepfunctions").meta.events.register(
            "provide-client-params.sfn.DescribeExecution",
            lambda params, **_: asked.append(params["executionArn"].rpartition(":")[2]),
        )
        assert place.sweep().queued == [job_id_of(lost)]
        assert set(map(job_of_run, asked)) == {job_id_of(lost)}

    def test_of_a_job_that_was_run_again_the_last_failure_alone_is_told_and_once(
        self, place: Place
    ) -> None:
        source = put("f.wav")
        for number in (1, 2):
            place.failed_run(source, number)
        assert [job for job, _ in place.sweep().reported] == [job_id_of(source)]
        assert place.sweep().reported == []
