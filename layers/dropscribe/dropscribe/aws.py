"""What Dropscribe asks of AWS; the only module that uses boto3. Clients are made when used."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import count, takewhile
from pathlib import Path
from typing import Any, Final

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from dropscribe.errors import Rejected
from dropscribe.job import FORGOTTEN, RESERVED, run_name

_PIECE_BYTES: Final = 1 << 20
"""Of a download, in memory at a time."""
_PART_BYTES: Final = 8 << 20
"""Of an upload; S3 takes 10,000 parts of at least 5 MiB."""
_DELETED_AT_ONCE: Final = 1000
"""Versions in one request, S3's limit."""
_CONFIG: Final = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=10)
_LONGEST_FUNCTION_S: Final = 900
_MISSING: Final = frozenset({"NoSuchKey", "NoSuchVersion", "404", "MethodNotAllowed", "405"})
"""What S3 answers where there is no object, or a delete marker."""
_RACE: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_TRANSIENT: Final = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException"})

_LISTED_AT_ONCE: Final = 1000
"""Executions, the most that Step Functions gives."""

ERRORS: Final = (ClientError, BotoCoreError, Boto3Error)
"""All that a call of AWS may raise."""


@cache
def client(service: str) -> Any:
    """One client a service and process."""
    # At DEBUG, which Lambda sets for all of Python, it logs whole answers: the API key's too.
    logging.getLogger("botocore").setLevel(logging.INFO)
    return boto3.client(service, config=_CONFIG)


def forget_clients() -> None:
    """After the environment has changed: addresses and credentials are read anew."""
    client.cache_clear()
    boto3.DEFAULT_SESSION = None


def error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def problem(error: BaseException) -> str:
    """The name of an error of `ERRORS`: AWS's own code, or the class where AWS was not reached."""
    cause = error.__context__ if isinstance(error, Boto3Error) and error.__context__ else error
    return error_code(cause) if isinstance(cause, ClientError) else type(cause).__name__


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed in a while."""
    if isinstance(error, (NoConnectionError, HTTPClientError)):
        return True
    if not isinstance(error, ClientError):
        return False
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or error_code(error) in _TRANSIENT


@dataclass(frozen=True)
class Stored:
    """What is known of an object without its content."""

    etag: str
    size: int
    """Bytes."""
    metadata: dict[str, str]
    version_id: str | None


@dataclass(frozen=True)
class Version:
    """One version of an object, or a delete marker."""

    key: str
    id: str
    """`null` for what was put while the bucket kept no versions."""
    etag: str
    """Without its quotes; empty for a delete marker."""
    size: int | None
    """Bytes; None for a delete marker."""
    modified: datetime
    latest: bool
    """Whether nothing has been put, or deleted, under this key since."""


@dataclass(frozen=True)
class Bucket:
    """One S3 bucket."""

    name: str

    def uri(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    def read(self, key: str, largest: int | None = None) -> bytes | None:
        """An object's content, None where there is none; at most `largest` bytes and one more."""
        found = self._get(key)
        if found is None:
            return None
        content: bytes = found["Body"].read(None if largest is None else largest + 1)
        return content

    def head(self, key: str, version_id: str | None = None) -> Stored | None:
        """An object's description, None where there is none."""
        version = {"VersionId": version_id} if version_id else {}
        try:
            found = client("s3").head_object(Bucket=self.name, Key=key, **version)
        except ClientError as error:
            if error_code(error) in _MISSING:
                return None
            raise
        return Stored(
            found["ETag"], found["ContentLength"], found["Metadata"], found.get("VersionId")
        )

    def write(self, key: str, content: str | bytes, content_type: str = "application/json") -> None:
        """Put an object, whatever was there."""
        body = content.encode() if isinstance(content, str) else content
        client("s3").put_object(Bucket=self.name, Key=key, Body=body, ContentType=content_type)

    def write_if(
        self,
        key: str,
        content: bytes,
        *,
        replacing: Stored | None,
        content_type: str = "application/json",
        metadata: dict[str, str] | None = None,
    ) -> bool:
        """Put an object over `replacing` alone (None: where there is none); False: others did."""
        condition = {"IfMatch": replacing.etag} if replacing else {"IfNoneMatch": "*"}
        try:
            client("s3").put_object(
                Bucket=self.name,
                Key=key,
                Body=content,
                ContentType=content_type,
                Metadata=metadata or {},
                **condition,
            )
        except ClientError as error:
            # NoSuchKey: what was to be replaced has been deleted meanwhile.
            if error_code(error) in _RACE | _MISSING:
                return False
            raise
        return True

    def delete_if(self, key: str, existing: Stored) -> None:
        """Delete an object unless it was replaced meanwhile (versioned: it can be restored)."""
        try:
            client("s3").delete_object(Bucket=self.name, Key=key, IfMatch=existing.etag)
        except ClientError as error:
            if error_code(error) not in _RACE | _MISSING:
                raise

    def upload(self, key: str, path: Path, content_type: str) -> None:
        """Put a file, in parts where it is large; one part at a time is in memory."""
        client("s3").upload_file(
            str(path),
            self.name,
            key,
            ExtraArgs={"ContentType": content_type},
            Config=TransferConfig(multipart_chunksize=_PART_BYTES, use_threads=False),
        )

    def upload_version(
        self, key: str, path: Path, metadata: dict[str, str], on_bytes: Callable[[int], None]
    ) -> str | None:
        """Put a file and return its version: of this very upload, whoever else writes the key.

        `on_bytes` is told of each piece that was sent, its size in bytes.
        """
        events, versions = client("s3").meta.events, []

        def note(parsed: dict[str, Any], **_: Any) -> None:
            if "VersionId" in parsed:
                versions.append(str(parsed["VersionId"]))

        # What the transfer manager returns has no version, S3's answers do.
        answers = ("after-call.s3.PutObject", "after-call.s3.CompleteMultipartUpload")
        for answer in answers:
            events.register(answer, note)
        try:
            client("s3").upload_file(
                str(path), self.name, key, ExtraArgs={"Metadata": metadata}, Callback=on_bytes
            )
        finally:
            for answer in answers:
                events.unregister(answer, note)
        return versions[-1] if versions else None

    def download(self, key: str, path: Path, version_id: str | None = None) -> str | None:
        """Get an object into a file: its SHA-256, None where there is none.

        Memory does not grow with its size. Raises `Rejected` where the object can't be read.
        """
        found = self._get(key, version_id)
        if found is None:
            return None
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for piece in found["Body"].iter_chunks(_PIECE_BYTES):
                digest.update(piece)
                file.write(piece)
        return digest.hexdigest()

    def _get(self, key: str, version_id: str | None = None) -> Any:
        """S3's answer, None where there is no object."""
        version = {"VersionId": version_id} if version_id else {}
        try:
            return client("s3").get_object(Bucket=self.name, Key=key, **version)
        except ClientError as error:
            if error_code(error) in _MISSING:
                return None
            if error_code(error) == "InvalidObjectState":
                raise Rejected("not_media", f"{self.uri(key)} is archived: restore it") from error
            if error_code(error) == "AccessDenied":
                raise Rejected(
                    "unauthorized",
                    f"{self.uri(key)} may not be read: is it encrypted with a key of its own?",
                ) from error
            raise

    def keys(self, prefix: str) -> Iterator[str]:
        pages = (
            client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        )
        for page in pages:
            yield from (item["Key"] for item in page.get("Contents", []))

    def read_version(self, version: Version) -> bytes | None:
        """None where it is gone."""
        found = self._get(version.key, version.id)
        return None if found is None else bytes(found["Body"].read())

    def versions(self, prefix: str = "") -> Iterator[Version]:
        """All versions and delete markers of keys that begin so, in the order of the keys."""
        pages = client("s3").get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=self.name, Prefix=prefix):
            found = [
                Version(
                    key=item["Key"],
                    id=item["VersionId"],
                    etag=item.get("ETag", "").strip('"'),
                    size=item.get("Size"),
                    modified=item["LastModified"],
                    latest=item["IsLatest"],
                )
                for kind in ("Versions", "DeleteMarkers")
                for item in page.get(kind, [])
            ]
            yield from sorted(found, key=lambda version: version.key)

    def versions_of(self, key: str) -> list[Version]:
        """Those of this very key: of all keys that begin so it comes first."""
        return list(takewhile(lambda version: version.key == key, self.versions(key)))

    def folders(self, prefix: str) -> Iterator[str]:
        """What begins so, up to its next slash, whichever versions are in there."""
        pages = client("s3").get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=self.name, Prefix=prefix, Delimiter="/"):
            yield from (item["Prefix"] for item in page.get("CommonPrefixes", []))

    def unfinished(self, prefix: str) -> list[tuple[str, str]]:
        """Multipart uploads that nobody has completed yet: key and upload id of each."""
        pages = client("s3").get_paginator("list_multipart_uploads")
        return [
            (item["Key"], item["UploadId"])
            for page in pages.paginate(Bucket=self.name, Prefix=prefix)
            for item in page.get("Uploads", [])
        ]

    def abort_unfinished(self, key: str, upload_id: str) -> None:
        try:
            client("s3").abort_multipart_upload(Bucket=self.name, Key=key, UploadId=upload_id)
        except ClientError as error:
            if error_code(error) != "NoSuchUpload":
                raise

    def delete_for_good(self, versions: Iterable[Version]) -> dict[Version, str]:
        """Delete versions and delete markers; of what could not be deleted the reason."""
        failed: dict[Version, str] = {}
        sendable: list[Version] = []
        for version in versions:
            # XML 1.0, in which many are named at once, has no way to write some characters.
            if version.key.isprintable():
                sendable.append(version)
            else:
                failed |= self._delete_one(version)
        for first in range(0, len(sendable), _DELETED_AT_ONCE):
            failed |= self._delete_all(sendable[first : first + _DELETED_AT_ONCE])
        return failed

    def _delete_all(self, versions: list[Version]) -> dict[Version, str]:
        objects = [{"Key": version.key, "VersionId": version.id} for version in versions]
        answer = client("s3").delete_objects(
            Bucket=self.name, Delete={"Objects": objects, "Quiet": True}
        )
        return {
            version: f"{error['Code']}: {error.get('Message', '')}"
            for error in answer.get("Errors", [])
            for version in versions
            if (version.key, version.id) == (error["Key"], error.get("VersionId", version.id))
        }

    def _delete_one(self, version: Version) -> dict[Version, str]:
        try:
            client("s3").delete_object(Bucket=self.name, Key=version.key, VersionId=version.id)
        except ClientError as error:
            return {version: f"{error_code(error)}: {error}"}
        return {}


def send_message(queue_url: str, body: str, group: str) -> None:
    """Into a fair queue: who sends many in one `group` does not hold up the others."""
    client("sqs").send_message(QueueUrl=queue_url, MessageBody=body, MessageGroupId=group)


def messages_in(queue_url: str) -> int:
    """How many messages a queue holds, about: those at work too."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)
    return sum(int(found["Attributes"][name]) for name in names)


def show_again(queue_url: str, receipt_handle: str, after_s: int) -> None:
    """Let a message that was received be received again, sooner than its queue would."""
    client("sqs").change_message_visibility(
        QueueUrl=queue_url, ReceiptHandle=receipt_handle, VisibilityTimeout=after_s
    )


def start_execution(state_machine_arn: str, name: str, data: dict[str, Any]) -> bool:
    """Start an execution. False where one of this name has ended.

    AWS lets a repeat of a running one pass as if it had started it.
    """
    try:
        client("stepfunctions").start_execution(
            stateMachineArn=state_machine_arn, name=name, input=json.dumps(data)
        )
    except ClientError as error:
        if error_code(error) == "ExecutionAlreadyExists":
            return False
        raise
    return True


FAILED_STATUSES: Final = ("FAILED", "TIMED_OUT", "ABORTED")


@dataclass(frozen=True)
class Execution:
    """One execution as it stands."""

    arn: str
    status: str
    """`RUNNING`, `SUCCEEDED`, `FAILED`, `TIMED_OUT`, `ABORTED` or `PENDING_REDRIVE`."""
    input: str
    """JSON."""
    output: str | None
    """JSON; None until it succeeded."""
    error: str | None
    cause: str | None
    started: datetime
    stopped: datetime | None
    not_redrivable: str | None
    """Why it cannot be run again, None where it can."""

    @property
    def running(self) -> bool:
        return self.status in ("RUNNING", "PENDING_REDRIVE")

    @property
    def failed(self) -> bool:
        return self.status in FAILED_STATUSES

    @property
    def forgotten(self) -> bool:
        """Its recording was: nobody is told of it, and nothing is to be run again."""
        return self.error == FORGOTTEN or RESERVED in json.loads(self.input)


def execution(arn: str) -> Execution | None:
    """None where there is none, not yet or no longer."""
    try:
        found = client("stepfunctions").describe_execution(executionArn=arn)
    except ClientError as error:
        if error_code(error) == "ExecutionDoesNotExist":
            return None
        raise
    redrivable = found.get("redriveStatus", "").startswith("REDRIVABLE")
    return Execution(
        arn=arn,
        status=found["status"],
        input=found.get("input", "{}"),
        output=found.get("output"),
        error=found.get("error"),
        cause=found.get("cause"),
        started=found["startDate"],
        stopped=found.get("stopDate"),
        not_redrivable=None if redrivable else found.get("redriveStatusReason", ""),
    )


def execution_arn(state_machine_arn: str, name: str) -> str:
    return f"{state_machine_arn.replace(':stateMachine:', ':execution:')}:{name}"


def latest_run(state_machine_arn: str, job: str) -> Execution | None:
    """The newest execution of a job, which is run under another name where it cannot be redriven.

    None where it has never started, or so long ago that Step Functions has forgotten; it forgets
    the first one before the second.
    """
    latest, missing = None, 0
    for number in count(1):
        found = execution(execution_arn(state_machine_arn, run_name(job, number)))
        latest, missing = (found, 0) if found else (latest, missing + 1)
        if missing == (1 if latest else 2):
            return latest
    raise AssertionError("unreachable: there is always a number that nobody has used")


def failed_since(state_machine_arn: str, since: datetime) -> Iterator[tuple[str, datetime]]:
    """Executions that have ended without success since then, of the last 90 days: ARN and end."""
    pages = client("stepfunctions").get_paginator("list_executions")
    for status in FAILED_STATUSES:
        found = pages.paginate(
            stateMachineArn=state_machine_arn, statusFilter=status, maxResults=_LISTED_AT_ONCE
        )
        # All of them: in which order they come is not laid down.
        for page in found:
            for item in page["executions"]:
                if item["stopDate"] >= since:
                    yield item["executionArn"], item["stopDate"]


def count_running(state_machine_arn: str, most: int) -> int:
    """How many executions run, counted up to `most`; those of the last moments may be missing."""
    running = (
        client("stepfunctions")
        .get_paginator("list_executions")
        .paginate(
            stateMachineArn=state_machine_arn,
            statusFilter="RUNNING",
            PaginationConfig={"MaxItems": most, "PageSize": min(most, _LISTED_AT_ONCE)},
        )
    )
    return sum(len(page["executions"]) for page in running)


def redrive(execution_arn: str) -> None:
    """Run a failed execution again from where it failed."""
    client("stepfunctions").redrive_execution(executionArn=execution_arn)


def history_since(execution_arn: str, event_id: int) -> list[dict[str, Any]]:
    """The events after one, oldest first. Read from the newest back: few calls for a long one."""
    pages = (
        client("stepfunctions")
        .get_paginator("get_execution_history")
        .paginate(executionArn=execution_arn, reverseOrder=True, includeExecutionData=False)
    )
    events: list[dict[str, Any]] = []
    for page in pages:
        new = [event for event in page["events"] if event["id"] > event_id]
        events += new
        if len(new) < len(page["events"]):
            break
    return events[::-1]


def stack_outputs(stack: str) -> dict[str, str] | None:
    """What a CloudFormation stack says of itself; None where there is none of this name."""
    try:
        found = client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if error_code(error) == "ValidationError" and "does not exist" in str(error):
            return None
        raise
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


def endpoint(service: str) -> str:
    """The address that calls go to."""
    return str(client(service).meta.endpoint_url)


def last_state(execution_arn: str) -> str | None:
    """The task state that an execution entered last; the Map around tasks does not count."""
    pages = (
        client("stepfunctions")
        .get_paginator("get_execution_history")
        .paginate(executionArn=execution_arn, reverseOrder=True, includeExecutionData=False)
    )
    for page in pages:
        for event in page["events"]:
            if event["type"] == "TaskStateEntered":
                return str(event["stateEnteredEventDetails"]["name"])
    return None


def publish(topic_arn: str, subject: str, message: str, attributes: dict[str, Any]) -> None:
    client("sns").publish(
        TopicArn=topic_arn, Subject=subject, Message=message, MessageAttributes=attributes
    )


def running_executions(state_machine_arn: str) -> Iterator[str]:
    """Names of those that run."""
    pages = client("stepfunctions").get_paginator("list_executions")
    for page in pages.paginate(stateMachineArn=state_machine_arn, statusFilter="RUNNING"):
        yield from (str(item["name"]) for item in page["executions"])


def stop_execution(execution_arn: str, error: str, cause: str) -> None:
    """A function that is at work for it goes on: see `unfinished_tasks`."""
    client("stepfunctions").stop_execution(executionArn=execution_arn, error=error, cause=cause)


@dataclass(frozen=True)
class Task:
    """One call of a function by an execution."""

    payload: dict[str, Any]
    scheduled: datetime
    until: datetime
    """When the function has ended at the latest."""


def unfinished_tasks(execution_arn: str) -> list[Task]:
    """Functions that were at work when their execution ended, and may still be."""
    pages = client("stepfunctions").get_paginator("get_execution_history")
    events = {
        event["id"]: event
        for page in pages.paginate(executionArn=execution_arn)
        for event in page["events"]
    }
    open_tasks = {n: event for n, event in events.items() if event["type"] == "TaskScheduled"}
    for event in events.values():
        if event["type"] in _TASK_ENDS:
            at = event["previousEventId"]
            while at in events and events[at]["type"] in _TASK_COURSE:
                at = events[at]["previousEventId"]
            open_tasks.pop(at, None)
    found = (_task(event) for event in open_tasks.values())
    return [task for task in found if task is not None]


_TASK_COURSE: Final = ("TaskStarted", "TaskSubmitted")
_TASK_ENDS: Final = (
    *("TaskSucceeded", "TaskFailed", "TaskTimedOut"),
    *("TaskStartFailed", "TaskSubmitFailed"),
)


def _task(event: dict[str, Any]) -> Task | None:
    """None where it calls no function."""
    details = event["taskScheduledEventDetails"]
    if details["resourceType"] != "lambda":
        return None
    seconds = details.get("timeoutInSeconds", _LONGEST_FUNCTION_S)
    payload = json.loads(details["parameters"]).get("Payload", {})
    return Task(payload, event["timestamp"], event["timestamp"] + timedelta(seconds=seconds))
