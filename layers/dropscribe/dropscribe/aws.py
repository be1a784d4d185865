"""What Dropscribe asks of AWS; the only module that uses boto3. Clients are made when used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Final

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from dropscribe.errors import Rejected
from dropscribe.job import run_name

_PIECE_BYTES: Final = 1 << 20
"""Of a download, in memory at a time."""
_PART_BYTES: Final = 8 << 20
"""Of an upload; S3 takes 10,000 parts of at least 5 MiB."""
_CONFIG: Final = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=10)
_MISSING: Final = frozenset({"NoSuchKey", "NoSuchVersion", "404", "MethodNotAllowed", "405"})
"""What S3 answers where there is no object, or a delete marker."""
_RACE: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_TRANSIENT: Final = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException"})

ERRORS: Final = (ClientError, BotoCoreError, Boto3Error)
"""All that a call of AWS may raise."""


@cache
def client(service: str) -> Any:
    """One client a service and process."""
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
    """One version of an object."""

    key: str
    version_id: str
    etag: str
    size: int
    """Bytes."""
    modified: datetime


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

    def versions(self, prefix: str = "") -> Iterator[Version]:
        """Every version of every object; delete markers are none."""
        pages = (
            client("s3")
            .get_paginator("list_object_versions")
            .paginate(Bucket=self.name, Prefix=prefix)
        )
        for page in pages:
            for item in page.get("Versions", []):
                yield Version(
                    item["Key"],
                    item["VersionId"],
                    item["ETag"].strip('"'),
                    item["Size"],
                    item["LastModified"],
                )


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

    None where it has never started, or so long ago that Step Functions has forgotten.
    """
    latest = None
    for number in count(1):
        found = execution(execution_arn(state_machine_arn, run_name(job, number)))
        if found is None:
            return latest
        latest = found
    raise AssertionError("unreachable: there is always a number that nobody has used")


def failed_since(state_machine_arn: str, since: datetime) -> Iterator[str]:
    """ARNs of executions that have ended without success since then, of the last 90 days."""
    pages = client("stepfunctions").get_paginator("list_executions")
    for status in FAILED_STATUSES:
        for page in pages.paginate(stateMachineArn=state_machine_arn, statusFilter=status):
            for item in page["executions"]:
                if item["stopDate"] >= since:
                    yield item["executionArn"]


def count_running(state_machine_arn: str, most: int) -> int:
    """How many executions run, counted up to `most`; those of the last moments may be missing."""
    running = (
        client("stepfunctions")
        .get_paginator("list_executions")
        .paginate(
            stateMachineArn=state_machine_arn,
            statusFilter="RUNNING",
            PaginationConfig={"MaxItems": most},
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
