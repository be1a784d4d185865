"""`dropscribe forget`: what belongs to a recording and what does not, and what may go wrong.

On moto's storage, without jobs that run: those are in `tests/test_data_lifetime.py`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from moto import mock_aws

from dropscribe import aws
from dropscribe.cli import main
from dropscribe.cli.embedded import pointed_at
from dropscribe.job import job_id
from dropscribe.publish import JOB
from tests.cli.conftest import Command

ROLE: Final = "arn:aws:iam::123456789012:role/any"
OUTPUT_NAMES: Final = {
    "UploadsBucketName": "uploads",
    "TranscriptsBucketName": "transcripts",
    "WorkBucketName": "work",
    **dict.fromkeys(("UploadsQueueUrl", "UploadsDeadLetterQueueUrl"), "-"),
    **dict.fromkeys(("JobsQueueUrl", "JobsDeadLetterQueueUrl"), "-"),
}
TEMPLATE: Final = {
    "Resources": {
        "Pipeline": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {
                "StateMachineName": "pipeline",
                "DefinitionString": '{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}',
                "RoleArn": ROLE,
            },
        }
    },
    "Outputs": {
        **{name: {"Value": value} for name, value in OUTPUT_NAMES.items()},
        "PipelineArn": {"Value": {"Ref": "Pipeline"}},
    },
}
BUCKETS: Final = ("uploads", "transcripts", "work")
CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_DEFAULT_REGION": "us-east-1",
}
DIGEST: Final = "0123456789abcdef" * 4
ODD_KEYS: Final = (
    *("a", "a.b", "a/b", "-i", "../../etc/passwd", "a b+c%20ü.mp3", "a<b>&\"'.mp3"),
    *("line\nbreak.mp3", "call.json", "call", "ẞ" * 300),
)
"""Not \\x01 and \\r: S3 lists them URL-encoded, moto not."""


@pytest.fixture(autouse=True)
def storage() -> Iterator[None]:
    """An empty stack `dropscribe`."""
    with pointed_at(CREDENTIALS), mock_aws():
        for bucket in BUCKETS:
            aws.client("s3").create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
        body = json.dumps(TEMPLATE)
        aws.client("cloudformation").create_stack(StackName="dropscribe", TemplateBody=body)
        yield


def put(bucket: str, key: str, content: str = "x", **metadata: str) -> str:
    """The version id."""
    stored = aws.client("s3").put_object(
        Bucket=bucket, Key=key, Body=content.encode(), Metadata=metadata
    )
    return str(stored["VersionId"])


def put_recording(key: str, digest: str = DIGEST) -> str:
    """An upload as a job leaves it, in everything that matters here; the job's id."""
    put("uploads", f"{key}.dropscribe.json", "{}")
    job = job_id("uploads", key, put("uploads", key))
    put_rest(key, job, digest)
    return job


def put_rest(key: str, job: str, digest: str = DIGEST) -> None:
    """What a job leaves outside of the uploads bucket."""
    for suffix in (".json", ".verbose.json", ".error.json"):
        put("transcripts", key + suffix, f"{suffix} of {job}", **{JOB: job})
    put_work(key, job, digest)


def put_work(key: str, job: str, digest: str = DIGEST) -> None:
    """What a job leaves in the work bucket; answers it asked for by a digest."""
    put("work", f"jobs/{job}/manifest.json", json.dumps({"source": {"key": key}}))
    put("work", f"jobs/{job}/chunks/00000.flac", "sound")
    record = {"chunk": {"result_key": f"results/{digest}.json"}}
    put("work", f"jobs/{job}/chunks/00000.json", json.dumps(record))
    put("work", f"jobs/{job}/asked/00000.1.txt", f"results/{digest[::-1]}.json")
    put("work", f"results/{digest}.json", f"answer {digest}")
    put("work", f"results/{digest}.words-en.json", "words")
    put("work", f"results/{digest[::-1]}.json", "asked, and nobody recorded it")


def everything() -> set[tuple[str, str, str]]:
    """Bucket, key and id of every version and delete marker."""
    return {
        (bucket, version.key, version.id)
        for bucket in BUCKETS
        for version in aws.Bucket(bucket).versions("")
    }


@contextmanager
def terminal(answer: str) -> Iterator[None]:
    """Somebody at a terminal who types this."""
    ours, theirs = os.openpty()
    with (
        os.fdopen(ours, "wb", buffering=0) as keyboard,
        os.fdopen(theirs) as screen,
        pytest.MonkeyPatch.context() as patch,
    ):
        keyboard.write(answer.encode())
        patch.setattr(sys, "stdin", screen)
        yield


class TestWhatBelongsToIt:
    def test_each_key_is_taken_literally_and_whole(self, dropscribe: Command) -> None:
        """One after the other, while the neighbours of each are there."""
        before, left = everything(), {}
        for number, key in enumerate(ODD_KEYS):
            job = put_recording(key, f"{number:064x}")
            left[key] = job, everything() - before
            before = everything()
        for key, (job, own) in left.items():
            result = dropscribe("forget", "--yes", "--json", "--", key)
            told = json.loads(result.stdout)
            assert (result.exit_code, told["left"], told["job_ids"]) == (0, {}, [job]), key
            before -= own
            assert everything() == before, key
        assert before == set()

    def test_what_was_deleted_before_goes_with_its_versions_and_markers(
        self, dropscribe: Command
    ) -> None:
        put_recording("a")
        for bucket, key, _ in everything():
            aws.client("s3").delete_object(Bucket=bucket, Key=key)
        assert dropscribe("forget", "a", "--yes").exit_code == 0
        assert everything() == set()

    def test_outputs_alone_lead_to_the_rest(self, dropscribe: Command) -> None:
        put_rest("a", job_id("uploads", "a", "gone"))
        assert dropscribe("forget", "a", "--yes").exit_code == 0
        assert everything() == set()

    def test_intermediates_alone_are_found_by_the_name_in_their_manifest(
        self, dropscribe: Command
    ) -> None:
        put_work("other/a", job_id("uploads", "other/a", "gone"), "f" * 64)
        before = everything()
        put_work("a", job_id("uploads", "a", "gone"))
        assert dropscribe("forget", "a", "--yes").exit_code == 0
        assert everything() == before

    @pytest.mark.parametrize("key", ["a", "a" * 50])
    def test_what_another_recording_has_under_the_same_name_stays(
        self, dropscribe: Command, key: str
    ) -> None:
        """`a.verbose.json` may be of `a`, and it may be the json of `a.verbose`.

        Of long names the ids of both jobs begin alike.
        """
        put_recording(f"{key}.verbose", "f" * 64)
        aws.client("s3").delete_object(Bucket="transcripts", Key=f"{key}.verbose.json")
        before = everything()
        put_recording(key)
        assert dropscribe("forget", key, "--yes").exit_code == 0
        assert everything() == before

    def test_parts_of_uploads_that_were_never_completed_go_too(self, dropscribe: Command) -> None:
        job = put_recording("a")
        begin = aws.client("s3").create_multipart_upload
        for bucket, key in (("work", f"jobs/{job}/chunks/00001.flac"), ("uploads", "a")):
            begin(Bucket=bucket, Key=key)
        stays = begin(Bucket="uploads", Key="a.b")["UploadId"]
        result = dropscribe("forget", "a", "--yes", "--json")
        assert json.loads(result.stdout)["unfinished_uploads"] == 2
        assert aws.Bucket("work").unfinished("") == []
        assert aws.Bucket("uploads").unfinished("") == [("a.b", stays)]

    def test_more_versions_than_one_request_lists_or_names(
        self, dropscribe: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "7")
        monkeypatch.setattr(aws, "_DELETED_AT_ONCE", 5)
        jobs = [put_recording("a") for _ in range(4)]
        told = json.loads(dropscribe("forget", "a", "--yes", "--json").stdout)
        assert told["job_ids"] == sorted(jobs)
        assert everything() == set()


class TestWhatGoesWrong:
    def hold(self, bucket: str, key: str, status: str) -> None:
        aws.client("s3").put_object_legal_hold(Bucket=bucket, Key=key, LegalHold={"Status": status})

    @pytest.mark.parametrize("kind", ["answer", "record"])
    def test_what_cannot_be_deleted_is_told_and_found_again(
        self, dropscribe: Command, kind: str
    ) -> None:
        job = put_recording("a")
        key = f"results/{DIGEST}.json" if kind == "answer" else f"jobs/{job}/chunks/00000.json"
        self.hold("work", key, "ON")
        result = dropscribe("forget", "a", "--yes", "--json")
        left = json.loads(result.stdout)["left"]
        named = f"{aws.Bucket('work').uri(key)} ("
        (why,) = [reason for uri, reason in left.items() if uri.startswith(named)]
        assert (result.exit_code, why.partition(":")[0]) == (1, "AccessDenied")
        assert {("uploads", "a"), ("transcripts", "a.json")} <= {it[:2] for it in everything()}
        told = dropscribe("forget", "a", "--yes")
        assert told.exit_code == 1
        assert named in told.stdout.partition("Not removed")[2]

        self.hold("work", key, "OFF")
        assert dropscribe("forget", "a", "--yes").exit_code == 0
        assert everything() == set()

    def test_a_second_time_there_is_nothing_to_do(self, dropscribe: Command) -> None:
        put_recording("a")
        dropscribe("forget", "a", "--yes")
        again = dropscribe("forget", "a")
        assert (again.exit_code, again.stdout) == (0, "Nothing of a is kept in dropscribe.\n")

    def test_what_was_never_there_is_no_error(self, dropscribe: Command) -> None:
        told = json.loads(dropscribe("forget", "none.mp3", "--json").stdout)
        assert (told["job_ids"], told["removed"], told["left"]) == ([], {}, {})

    @pytest.mark.parametrize("key", ["", "\udce9.mp3"])
    def test_what_cannot_be_a_key_is_refused(self, dropscribe: Command, key: str) -> None:
        result = dropscribe("forget", key, "--yes")
        assert (result.exit_code, "in UTF-8" in result.stderr) == (2, True)


class TestQuestion:
    def test_where_nobody_can_answer_nothing_is_deleted(self, dropscribe: Command) -> None:
        put_recording("a")
        before = everything()
        result = dropscribe("forget", "a")
        assert (result.exit_code, "give --yes" in result.stderr) == (2, True)
        assert everything() == before

    @pytest.mark.parametrize(("answer", "left"), [("n\n", True), ("\n", True), ("y\n", False)])
    def test_at_a_terminal_only_yes_is_yes(
        self, capsys: pytest.CaptureFixture[str], answer: str, *, left: bool
    ) -> None:
        put_recording("a")
        with terminal(answer), pytest.raises(SystemExit) as ended:
            main(["forget", "a"])
        assert ended.value.code == int(left)
        assert bool(everything()) is left
        assert "uploads                   1   1 bytes" in capsys.readouterr().err


class TestReport:
    def test_it_says_what_was_removed_and_what_it_cannot_remove(self, dropscribe: Command) -> None:
        job = put_recording("a")
        said = dropscribe("forget", "a", "--yes").stdout
        assert said.startswith("Removed of a, with all versions:\n")
        assert f"  job {job}\n" in said
        assert "  cached answers            3   " in said
        for word in ("Step Functions", "Logs", "CloudTrail", "Notifications", "dead-letter"):
            assert word in said.partition("What this command cannot remove:")[2]
