"""A deployed stack as the command line sees it: in AWS or embedded, by the same code."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import click

from dropscribe import aws
from dropscribe.aws import Bucket
from dropscribe.job import job_id
from dropscribe.messages import ExecutionInput

DEFAULT: Final = "dropscribe"
_JOB_ID: Final = re.compile(r"[A-Za-z0-9-]{1,40}-[0-9a-f]{32}")


@dataclass(frozen=True)
class Job:
    """One upload and its execution."""

    id: str
    arn: str
    """Of the execution, whether it has started or not."""
    key: str
    version_id: str | None

    @property
    def name(self) -> str:
        return self.key.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Stack:
    """The outputs of template.yaml that the commands need."""

    name: str
    uploads: Bucket
    transcripts: Bucket
    work: Bucket
    pipeline_arn: str
    queue_url: str
    dead_letter_queue_url: str
    pause_s: float
    """Between two looks at a job."""

    def job(self, key: str, version_id: str) -> Job:
        """The job of an upload: computed, so there is nothing to search."""
        name = job_id(self.uploads.name, key, version_id)
        return Job(name, self.execution_arn(name), key, version_id)

    def execution_arn(self, job: str) -> str:
        return f"{self.pipeline_arn.replace(':stateMachine:', ':execution:')}:{job}"


def load(name: str) -> Stack:
    """Raises `ClickException` where there is no such stack, or it is not one of ours."""
    outputs = aws.stack_outputs(name)
    if outputs is None:
        raise click.ClickException(
            f"There is no stack {name!r} in {_place()}. Name yours with --stack, "
            "deploy one with `sam build && sam deploy --guided`, or try `submit --local`."
        )
    try:
        return _stack(name, outputs)
    except KeyError as error:
        raise click.ClickException(
            f"The stack {name!r} has no output {error}: it is still being deployed, "
            "or it was not made from Dropscribe's template.yaml."
        ) from error


def find(stack: Stack, job_or_key: str) -> Job:
    """A job by its id, or that of the latest upload of a key. Raises `ClickException`."""
    if _JOB_ID.fullmatch(job_or_key) and (job := _by_id(stack, job_or_key)):
        return job
    stored = stack.uploads.head(job_or_key) if job_or_key else None
    if stored is None or stored.version_id is None:
        raise click.ClickException(
            f"The stack {stack.name!r} has neither a job nor an upload {job_or_key!r}. "
            "Step Functions keeps ended jobs for 90 days."
        )
    return stack.job(job_or_key, stored.version_id)


def _by_id(stack: Stack, job: str) -> Job | None:
    arn = stack.execution_arn(job)
    found = aws.execution(arn)
    if found is None:
        return None
    source = ExecutionInput.model_validate_json(found.input).source
    return Job(job, arn, source.key, source.version_id)


def _stack(name: str, outputs: dict[str, str]) -> Stack:
    host = urlsplit(aws.endpoint("stepfunctions")).hostname
    return Stack(
        name=name,
        uploads=Bucket(outputs["UploadsBucketName"]),
        transcripts=Bucket(outputs["TranscriptsBucketName"]),
        work=Bucket(outputs["WorkBucketName"]),
        pipeline_arn=outputs["PipelineArn"],
        queue_url=outputs["UploadsQueueUrl"],
        dead_letter_queue_url=outputs["UploadsDeadLetterQueueUrl"],
        pause_s=0.5 if host in ("localhost", "127.0.0.1") else 2.0,
    )


def _place() -> str:
    profile = os.environ.get("AWS_PROFILE")
    return aws.endpoint("cloudformation") + (f" (profile {profile})" if profile else "")
