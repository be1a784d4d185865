"""End to end: one job for each upload, whatever arrives twice, late, or again."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from threading import Event
from typing import Any

import pytest

from dropscribe import aws
from dropscribe.job import Source, job_id
from dropscribe.publish import Document, publish_all
from tests.api_server import Answer, ApiServer, error
from tests.conftest import DATA
from tests.patience import until
from tests.route import Route

SPEECH = DATA / "austen-0880.wav"
ALL = {".json", ".txt", ".srt", ".vtt", ".verbose.json", ".diarized.json", ".receipt.json"}
RECORDED_TEXT = "Hello, world! This is a test."


def receipt(route: Route, key: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(route.files(key)[".receipt.json"])
    return parsed


class TestNoJob:
    def test_folders_and_option_files_start_none(self, route: Route) -> None:
        before = route.jobs()
        for key in ("folder/", "_dropscribe.json.d/", "n/_dropscribe.json", "n/x.dropscribe.json"):
            route.s3.put_object(Bucket=route.uploads, Key=key, Body=b"")
        route.run("n/after.mp3", b"", language="en")
        assert len(set(route.jobs()) - set(before)) == 1


class TestDuplicates:
    def test_five_events_about_one_upload_make_one_job(self, route: Route, api: ApiServer) -> None:
        key = "dup/five times.wav"
        job = route.upload(key, SPEECH, engine="openai", prompt="five times")
        head = route.s3.head_object(Bucket=route.uploads, Key=key)
        record = {
            **{"eventName": "ObjectCreated:Put", "eventTime": "2026-11-20T12:00:00.000Z"},
            "s3": {
                "bucket": {"name": route.uploads},
                "object": {
                    **{"key": "dup/five+times.wav", "size": head["ContentLength"]},
                    **{"eTag": head["ETag"].strip('"'), "versionId": head["VersionId"]},
                    "sequencer": "00",
                },
            },
        }
        queue = route.outputs["UploadsQueueUrl"]
        for _ in range(4):
            body = json.dumps({"Records": [record]})
            route.sqs.send_message(QueueUrl=queue, MessageBody=body)
        route.told(job)
        time.sleep(2)
        route.sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({"Records": [record]}))
        time.sleep(1)
        assert [name for name in route.jobs() if name.startswith("five-times")] == [job]
        assert len(api.requests) == 1
        told = [n for n in route.received() if n["message"]["data"]["job_id"] == job]
        assert len(told) == 1

    def test_new_content_under_the_same_key_is_a_new_job(
        self, route: Route, api: ApiServer
    ) -> None:
        key = "dup/twice.wav"
        first = route.upload(key, SPEECH)
        second = route.upload(key, DATA / "two-lines.flac")
        assert first != second
        assert {route.told(first)["type"], route.told(second)["type"]} == {
            "transcription.job.completed"
        }
        assert receipt(route, key)["job_id"] == second

    def test_the_newer_ones_outputs_stay_when_the_older_finishes_last(
        self, route: Route, api: ApiServer
    ) -> None:
        key = "dup/late.wav"
        held = Event()
        api.planned.append(replace(error(503, "busy", retry_after="0"), held=held))
        older = route.upload(key, SPEECH, engine="openai", prompt="older")
        until(lambda: api.requests)
        newer = route.upload(key, DATA / "two-lines.flac", model="gpt-transcribe", engine="openai")
        route.told(newer)
        mine = route.files(key)
        held.set()
        late = route.told(older)
        assert late["type"] == "transcription.job.completed"
        assert "a newer upload of the same name" in late["data"]["warnings"][-1]
        assert route.files(key) == mine
        assert {".json", ".txt", ".receipt.json"} <= set(mine)
        bucket, _, kept = late["data"]["outputs"]["text"].removeprefix("s3://").partition("/")
        assert (bucket, route.read(bucket, kept)) == (route.work, RECORDED_TEXT + "\n")

    def test_a_newer_upload_takes_the_place_of_all_that_an_older_one_left(
        self, route: Route, api: ApiServer
    ) -> None:
        key = "dup/replaced.wav"
        route.run(key, b"no recording")
        assert set(route.files(key)) == {".error.json"}
        route.run(key, SPEECH, engine="openai", prompt="replaced")
        assert ".error.json" not in route.files(key)
        route.run(key, SPEECH, engine="openai", formats="text", prompt="replaced")
        assert set(route.files(key)) == {".txt", ".receipt.json"}

    def test_the_same_recording_again_pays_nothing(self, route: Route, api: ApiServer) -> None:
        route.run("dup/again-1.wav", SPEECH, engine="openai", prompt="again")
        news = route.run("dup/again-2.wav", SPEECH, engine="openai", prompt="again", formats="json")
        assert len(api.requests) == 1
        done = receipt(route, "dup/again-2.wav")
        assert (done["calls"]["made"], done["calls"]["cached"]) == (0, 1)
        assert (done["estimated_cost"]["usd"], done["usage"]) == (0, None)
        assert news["data"]["usage"] == {}

    def test_an_older_job_that_is_overtaken_while_it_writes_leaves_nothing(
        self, route: Route, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in route.cloud.environment.items():
            monkeypatch.setenv(name, value)
        aws.forget_clients()
        older, newer = (
            Source(
                bucket=route.uploads, key="overtaken", etag="e", size=1, sequencer=order,
                uploaded_at="",
            )
            for order in ("01", "02")
        )  # fmt: skip

        class Overtaken(aws.Bucket):
            """The newer job comes between the older one's first and second file."""

            def write_if(self, key: str, *args: Any, **options: Any) -> bool:
                if key.endswith(".txt"):
                    documents = [Document(s, b"new", "x") for s in (".json", ".receipt.json")]
                    assert publish_all(aws.Bucket(self.name), newer, "new", documents)
                return super().write_if(key, *args, **options)

        documents = [Document(s, b"old", "x") for s in (".srt", ".txt", ".receipt.json")]
        assert not publish_all(Overtaken(route.transcripts), older, "old", documents)
        assert route.files("overtaken") == {".json": "new", ".receipt.json": "new"}
        aws.forget_clients()


class TestRedrive:
    def test_after_the_api_was_down_a_redrive_finishes_the_job(
        self, route: Route, api: ApiServer
    ) -> None:
        key = "redrive/down.wav"
        api.down = error(503, "maintenance", retry_after="0")
        job = route.upload(key, SPEECH, engine="openai", prompt="down")
        failed = route.told(job, "transcription.job.failed")
        failure = failed["data"]["error"]
        assert (failure["code"], failure["stage"], failure["retryable"]) == (
            "engine_unavailable",
            "transcribe",
            True,
        )
        written = json.loads(route.files(key)[".error.json"])
        assert written["redrive"] == f"dropscribe redrive {job}"
        refused = len(api.requests)
        api.behave()
        route.states.redrive_execution(executionArn=route.execution_arn(job))
        route.told(job, "transcription.job.completed")
        assert set(route.files(key)) == ALL
        done = receipt(route, key)
        assert (done["calls"]["answered"], done["calls"]["refused"]) == (1, refused)
        assert done["estimated_cost"]["usd"] == 0.0002

        # The event of the first failure arrives once more, late: it is old news.
        detail = {
            **{"executionArn": route.execution_arn(job), "name": job, "status": "FAILED"},
            "input": route.describe(job)["input"],
        }
        functions = route.cloud.client("lambda")
        name = next(
            f["FunctionName"]
            for f in functions.list_functions()["Functions"]
            if "FailFunction" in f["FunctionName"]
        )
        functions.invoke(FunctionName=name, Payload=json.dumps({"detail": detail}))
        assert ".error.json" not in route.files(key)

    def test_a_lost_answer_is_counted_and_tried_again(self, route: Route, api: ApiServer) -> None:
        key = "redrive/lost.wav"
        api.planned.append(Answer(0, b"", hang_up=True))
        route.run(key, SPEECH, engine="openai", prompt="lost")
        done = receipt(route, key)
        assert (done["calls"]["ambiguous"], done["calls"]["answered"]) == (1, 1)

    def test_a_stopped_job_is_told_of(self, route: Route, api: ApiServer) -> None:
        key = "redrive/stopped.wav"
        held = Event()
        api.planned.append(replace(error(429, "slow down"), held=held))
        job = route.upload(key, SPEECH, engine="openai", prompt="stopped")
        until(lambda: api.requests)
        route.states.stop_execution(executionArn=route.execution_arn(job))
        held.set()
        failure = route.told(job)["data"]["error"]
        assert (failure["code"], failure["stage"]) == ("internal", "transcribe")
        assert "stopped by hand" in failure["message"]


def test_an_upload_that_is_deleted_before_its_turn_is_told_of(route: Route) -> None:
    key = "gone.wav"
    put = route.s3.put_object(Bucket=route.uploads, Key=key, Body=SPEECH.read_bytes())
    route.s3.delete_object(Bucket=route.uploads, Key=key, VersionId=put["VersionId"])
    news = route.told(job_id(route.uploads, key, put["VersionId"]))
    assert news["type"] in ("transcription.job.failed", "transcription.job.completed")
