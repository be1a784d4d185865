"""The messages in events/ are contracts: each is parsed by the model that its reader uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from dropscribe.errors import Failure, read_failure
from dropscribe.job import job_id_of
from dropscribe.messages import (
    AlignRequest,
    ExecutionFailed,
    ExecutionInput,
    FormatRequest,
    NormalizeRequest,
    NormalizeResult,
    NotifyRequest,
    SetupNotification,
    SweepRequest,
    TranscribeRequest,
    UploadNotification,
)
from dropscribe.notification import Notification
from dropscribe.stages.ingest import uploads

EVENTS = Path(__file__).parents[1] / "events"
JOB = "monday-mp4-e63289368fd11dad8bea0e4bec61af56"


def event(name: str) -> Any:
    return json.loads((EVENTS / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("01-s3-upload-notification.json", UploadNotification),
        ("02-s3-test-event.json", SetupNotification),
        ("04-execution-input.json", ExecutionInput),
        ("05-normalize-request.json", NormalizeRequest),
        ("06-normalize-result.json", NormalizeResult),
        ("07-transcribe-request.json", TranscribeRequest),
        ("07-align-request.json", AlignRequest),
        ("08-format-request.json", FormatRequest),
        ("09-notify-request.json", NotifyRequest),
        ("10-notification-completed.json", Notification),
        ("11-execution-failed.json", ExecutionFailed),
        ("12-notification-failed.json", Notification),
        ("13-sweep-request.json", SweepRequest),
    ],
)
def test_each_sample_is_parsed_by_its_reader(name: str, model: type[BaseModel]) -> None:
    assert isinstance(model.model_validate(event(name)), model)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("04-execution-input.json", ExecutionInput),
        ("06-normalize-result.json", NormalizeResult),
        ("09-notify-request.json", NotifyRequest),
        ("10-notification-completed.json", Notification),
        ("12-notification-failed.json", Notification),
    ],
)
def test_what_we_send_is_exactly_what_the_sample_shows(name: str, model: type[BaseModel]) -> None:
    assert model.model_validate(event(name)).model_dump(mode="json") == event(name)


def test_what_is_published_of_any_key_is_ascii() -> None:
    sent = event("09-notify-request.json")
    sent["message"]["data"]["source"]["key"] = "é\ufffe\uffff.wav"
    body = NotifyRequest.model_validate(sent).body
    assert body.isascii()
    assert json.loads(body) == sent["message"]


def test_every_sample_is_in_the_table_of_the_readme() -> None:
    table = (EVENTS / "README.md").read_text(encoding="utf-8")
    assert [p.name for p in sorted(EVENTS.glob("*.json")) if p.name not in table] == []


class TestUploads:
    def test_keys_are_decoded_once(self) -> None:
        body = json.dumps(event("01-s3-upload-notification.json"))
        assert [source.key for source in uploads(body)] == [
            "calls/acme/monday.mp4",
            "talks/my talk + notes.final.v2.mp3",
            "50%/ça va? déjà vu.m4a",
            "emoji/🎙️ folge №7.wav",
            "a&b=c/one'two\"three.ogg",
        ]

    def test_the_jobs_of_a_sample_do_not_change_their_names(self) -> None:
        """Names are reserved for 90 days: another name would be another, paid, job."""
        source = next(uploads(json.dumps(event("01-s3-upload-notification.json"))))
        assert job_id_of(source) == JOB

    def test_s3s_test_event_starts_nothing(self) -> None:
        assert list(uploads(json.dumps(event("02-s3-test-event.json")))) == []

    @pytest.mark.parametrize(
        "key", ["folder/", "_dropscribe.json", "a/_dropscribe.json", "a/x.mp3.dropscribe.json"]
    )
    def test_folders_and_option_files_start_nothing(self, key: str) -> None:
        sample = event("01-s3-upload-notification.json")
        sample["Records"] = sample["Records"][:1]
        sample["Records"][0]["s3"]["object"] |= {"key": key, "size": 0}
        assert list(uploads(json.dumps(sample))) == []

    def test_an_object_with_content_is_no_folder(self) -> None:
        sample = event("01-s3-upload-notification.json")
        sample["Records"][0]["s3"]["object"] |= {"key": "strange/", "size": 5}
        assert next(uploads(json.dumps(sample))).key == "strange/"

    @pytest.mark.parametrize(
        "body",
        [
            *("", "not json", "[]", "{}", '{"Event": "s3:Other"}', '{"Records": [{"s3": {}}]}'),
            '{"Type": "Notification", "Message": "{}"}',
        ],
    )
    def test_a_message_that_is_none_raises(self, body: str) -> None:
        """It returns to the queue and ends in the dead-letter queue, where somebody sees it."""
        with pytest.raises(ValueError, match="UploadNotification"):
            list(uploads(body))


class TestFailures:
    def test_a_rejection_keeps_its_code_and_sentence(self) -> None:
        detail = event("11-execution-failed.json")["detail"]
        assert read_failure(detail["error"], detail["cause"], "normalize") == Failure(
            code="no_audio_stream",
            message="the file has no sound track: nothing to transcribe",
            stage="normalize",
            retryable=False,
        )

    @pytest.mark.parametrize(
        ("error", "cause", "code", "message"),
        [
            ("Unavailable", "rate_limited: slow down", "rate_limited", "slow down"),
            ("Rejected", "unauthorized: wrong key", "unauthorized", "wrong key"),
            ("Rejected", "quota_exceeded: pay", "quota_exceeded", "pay"),
            ("Lambda.Unknown", "The function's Task timed out after 3 s", "timed_out", None),
            ("Sandbox.Timedout", '{"errorMessage": "Task timed out"}', "timed_out", None),
            ("States.Timeout", "", "timed_out", "transcribe did not finish in its time."),
            ("TIMED_OUT", "", "timed_out", None),
            ("ABORTED", "", "internal", None),
            ("KeyError", '{"errorMessage": "\'x\'"}', "internal", "KeyError: 'x'"),
            ("KeyError", "[1]", "internal", "KeyError: [1]"),
            ("", "", "internal", "unknown error: "),
            ("ValueError", "nonsense: x", "internal", "ValueError: nonsense: x"),
        ],
    )
    def test_whatever_ended_an_execution_gets_a_code(
        self, error: str, cause: str, code: str, message: str | None
    ) -> None:
        failure = read_failure(error, cause, "transcribe")
        assert (failure.code, failure.retryable) == (code, True)
        assert message is None or failure.message == message

    def test_a_long_cause_is_cut(self) -> None:
        assert len(read_failure("X", "y" * 100_000, "format").message) == 1000
