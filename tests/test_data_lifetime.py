"""End to end: how long what is kept stays, and a recording that is forgotten.

After `dropscribe forget` everything in all three buckets is looked through, old versions too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest
from click.testing import CliRunner, Result

from dropscribe.cli import main
from dropscribe.cli.embedded import pointed_at
from tests.api_server import KEY, ApiServer, error, recorded
from tests.conftest import DATA, ROOT
from tests.patience import until
from tests.route import Route

SPEECH: Final = DATA / "austen-0880.wav"
OTHER: Final = DATA / "two-lines.flac"
ANSWER: Final = "json_whisper"
RETENTION: Final = {
    "RetentionDays": "14",
    "UploadRetentionDays": "30",
    "TranscriptRetentionDays": "60",
    "LogRetentionDays": "7",
}
KEY_ARN: Final = "arn:aws:kms:us-east-1:123456789012:key/12345678-90ab-cdef-1234-567890abcdef"


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with ApiServer() as api:
        yield api


@pytest.fixture(scope="module")
def route(server: ApiServer) -> Iterator[Route]:
    parameters = {"Engine": "openai", "Formats": "text,json", "KmsKeyArn": KEY_ARN, **RETENTION}
    template = ROOT / "template.yaml"
    with Route(template, api_url=server.base_url, api_key=KEY, parameters=parameters) as deployed:
        yield deployed


@pytest.fixture
def api(server: ApiServer) -> ApiServer:
    server.requests.clear()
    server.planned.clear()
    return server


def dropscribe(route: Route, *arguments: str) -> Result:
    with pointed_at(route.cloud.environment):
        return CliRunner().invoke(main, arguments, catch_exceptions=False)


def forget(route: Route, *arguments: str) -> Result:
    return dropscribe(route, "forget", *arguments)


def kept(route: Route) -> dict[tuple[str, str, str], bytes]:
    """Everything in the three buckets: bucket, key and version → content; markers are empty."""
    found: dict[tuple[str, str, str], bytes] = {}
    for bucket in (route.uploads, route.transcripts, route.work):
        for page in route.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for marker in page.get("DeleteMarkers", []):
                found[bucket, marker["Key"], marker["VersionId"]] = b""
            for version in page.get("Versions", []):
                name = {"Key": version["Key"], "VersionId": version["VersionId"]}
                content = route.s3.get_object(Bucket=bucket, **name)["Body"].read()
                found[bucket, version["Key"], version["VersionId"]] = content
    return found


def traces(route: Route, *texts: str) -> list[str]:
    """Keys and contents in which one of the texts is."""
    return [
        f"{text!r} in {bucket}/{key}"
        for (bucket, key, _), content in kept(route).items()
        for text in texts
        if text in key or text.encode() in content
    ]


def purge(route: Route, bucket: str, key: str, newest: int) -> None:
    """Delete versions and markers of one key, the newest first."""
    found = route.s3.list_object_versions(Bucket=bucket, Prefix=key)
    every = [*found.get("DeleteMarkers", []), *found.get("Versions", [])]
    mine = sorted((it for it in every if it["Key"] == key), key=lambda it: it["LastModified"])
    for version in mine[-newest:]:
        route.s3.delete_object(Bucket=bucket, Key=key, VersionId=version["VersionId"])


class TestForget:
    def test_nothing_is_left_of_all_its_versions_and_its_neighbours_keep_everything(
        self, route: Route, api: ApiServer
    ) -> None:
        """Neighbours whose jobs or files have names that begin in the same way."""
        key = "a/b 1.wav"
        near = {n: route.upload(n, OTHER) for n in ("a/b 1.wav.m4a", "b 1.wav")}
        for job in near.values():
            route.told(job)
        before = kept(route)
        api.planned.append(recorded(ANSWER))
        sidecar = json.dumps({"prompt": "weasel words"}).encode()
        route.s3.put_object(Bucket=route.uploads, Key=f"{key}.dropscribe.json", Body=sidecar)
        jobs = [route.upload(key, SPEECH)]
        route.told(jobs[0])
        jobs.append(route.upload(key, b"no recording, but weasel words"))
        route.told(jobs[1])
        # Of the first job the upload, of the second all that names it; but for its execution.
        route.s3.delete_object(Bucket=route.uploads, Key=key)
        purge(route, route.uploads, key, newest=2)
        purge(route, route.transcripts, f"{key}.error.json", newest=9)
        texts = (key + ".", *jobs, "weasel words")
        assert traces(route, *texts)

        result = forget(route, key, "--yes", "--json")

        told = json.loads(result.stdout)
        assert (result.exit_code, told["left"]) == (0, {}), result.output
        assert told["job_ids"] == sorted(jobs)
        assert kept(route) == before
        again = forget(route, key)
        assert (again.exit_code, again.output) == (0, f"Nothing of {key} is kept in dropscribe.\n")

    def test_a_job_at_work_is_stopped_and_its_answer_does_not_stay(
        self, route: Route, api: ApiServer
    ) -> None:
        before = kept(route)
        api.planned.append(replace(recorded("json_whisper"), drip_s=0.02))
        job = route.upload("at work.wav", SPEECH, prompt="at work")
        until(lambda: api.requests)
        result = forget(route, "at work.wav", "--yes")
        assert result.exit_code == 0, result.output
        assert "functions still at work for it: 1; waiting" in result.stderr
        assert route.describe(job)["status"] == "ABORTED"
        assert len(api.requests) == 1
        assert kept(route) == before
        assert not [n for n in route.received() if n["message"]["data"]["job_id"] == job]
        assert dropscribe(route, "redrive", "--all-failed", "--since", "1h").exit_code == 0
        refused = dropscribe(route, "redrive", job)
        assert (refused.exit_code, "it was forgotten" in refused.stderr) == (1, True)
        assert kept(route) == before

    def test_a_request_that_would_be_repeated_is_not(self, route: Route, api: ApiServer) -> None:
        before = kept(route)
        api.planned += [error(503, "busy", retry_after="2")] * 99
        job = route.upload("busy.wav", SPEECH, prompt="busy")
        until(lambda: api.requests)
        result = forget(route, "busy.wav", "--yes")
        assert result.exit_code == 0, result.output
        assert route.describe(job)["status"] == "ABORTED"
        asked = len(api.requests)
        assert kept(route) == before
        time.sleep(2.5)
        assert len(api.requests) == asked

    def test_an_event_that_comes_after_all_starts_nothing(
        self, route: Route, api: ApiServer
    ) -> None:
        before = kept(route)
        told = route.s3.get_bucket_notification_configuration(Bucket=route.uploads)
        told.pop("ResponseMetadata")
        silent = {"Bucket": route.uploads, "NotificationConfiguration": {}}
        route.s3.put_bucket_notification_configuration(**silent)
        job = route.upload("late.wav", SPEECH)
        version = route.s3.head_object(Bucket=route.uploads, Key="late.wav")["VersionId"]
        route.s3.put_bucket_notification_configuration(
            Bucket=route.uploads, NotificationConfiguration=told
        )
        assert forget(route, "late.wav", "--yes").exit_code == 0
        uploaded = {"key": "late.wav", "size": 9, "eTag": "0", "versionId": version}
        record = {
            **{"eventName": "ObjectCreated:Put", "eventTime": "2026-11-20T12:00:00.000Z"},
            "s3": {"bucket": {"name": route.uploads}, "object": uploaded | {"sequencer": "00"}},
        }
        queue = route.outputs["UploadsQueueUrl"]
        route.sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({"Records": [record]}))
        ended = "job has ended already"
        route.wait_for(lambda: [x for x in route.cloud.logs("StartFunction").splitlines()
                                if job in x and ended in x])  # fmt: skip
        execution = route.describe(job)
        assert execution["status"] in ("ABORTED", "FAILED")
        assert "late.wav" not in execution["input"]
        assert kept(route) == before
        assert not [n for n in route.received() if n["message"]["data"]["job_id"] == job]


class TestRetention:
    @pytest.mark.parametrize(
        ("bucket", "days"), [("uploads", 30), ("transcripts", 60), ("work", 14)]
    )
    def test_a_bucket_deletes_what_is_old_with_its_versions_and_markers(
        self, route: Route, bucket: str, days: int
    ) -> None:
        name = getattr(route, bucket)
        rules = route.s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
        assert all(rule["Status"] == "Enabled" for rule in rules)
        assert [
            rule["Expiration"]["Days"] for rule in rules if "Days" in rule.get("Expiration", {})
        ] == [days]
        assert [
            rule["NoncurrentVersionExpiration"]
            for rule in rules
            if "NoncurrentVersionExpiration" in rule
        ] == [{"NoncurrentDays": 1}]
        assert [
            rule for rule in rules if rule.get("Expiration", {}).get("ExpiredObjectDeleteMarker")
        ]
        assert [rule for rule in rules if "AbortIncompleteMultipartUpload" in rule]

    def test_logs_have_days_of_their_own(self, route: Route) -> None:
        groups = route.cloud.client("logs").describe_log_groups()["logGroups"]
        assert {group["retentionInDays"] for group in groups} == {7}


class TestKey:
    def test_what_is_written_is_encrypted_with_the_key_of_the_stack(self, route: Route) -> None:
        for bucket in (route.uploads, route.transcripts, route.work):
            stored = route.s3.put_object(Bucket=bucket, Key="_dropscribe.json", Body=b"{}")
            assert stored["ServerSideEncryption"] == "aws:kms"
            assert stored["SSEKMSKeyId"] == KEY_ARN
            route.s3.delete_object(Bucket=bucket, Key="_dropscribe.json")

    def test_queues_and_topic_have_it_too(self, route: Route) -> None:
        for name in ("UploadsQueueUrl", "UploadsDeadLetterQueueUrl"):
            url = route.outputs[name]
            queue = route.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
            assert queue["Attributes"]["KmsMasterKeyId"] == KEY_ARN
        topic = route.cloud.client("sns").get_topic_attributes(
            TopicArn=route.outputs["NotificationsTopicArn"]
        )
        assert topic["Attributes"]["KmsMasterKeyId"] == KEY_ARN
