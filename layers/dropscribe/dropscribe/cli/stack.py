"""A deployed stack as the command line sees it: in AWS or embedded, by the same code."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import click

from dropscribe import aws
from dropscribe.aws import Bucket, Execution
from dropscribe.job import job_id
from dropscribe.messages import ExecutionInput

DEFAULT: Final = "dropscribe"
_QUEUES: Final = {
    "uploads": "UploadsQueueUrl",
    "uploads given up": "UploadsDeadLetterQueueUrl",
    "jobs": "JobsQueueUrl",
    "jobs given up": "JobsDeadLetterQueueUrl",
}
"""What people call a queue → the template's output."""
_JOB_ID: Final = re.compile(r"([A-Za-z0-9-]{1,40}-[0-9a-f]{32})(-[0-9]{1,6})?")
"""And the number of a later execution of it."""


@dataclass(frozen=True)
class Job:
    """One upload and its execution."""

    id: str
    arn: str
    """Of the newest execution, whether it has started or not."""
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
    queue_urls: dict[str, str]
    """Uploads and jobs wait there, or have ended there: what people call it → URL."""
    pause_s: float
    """Between two looks at a job."""

    def job(self, key: str, version_id: str) -> Job:
        """The job of an upload: computed, so there is nothing to search."""
        name = job_id(self.uploads.name, key, version_id)
        return Job(name, self.execution_arn(name), key, version_id)

    def execution_arn(self, name: str) -> str:
        return aws.execution_arn(self.pipeline_arn, name)


def load(name: str) -> Stack:
    """Raises `ClickException` where there is no such stack, or it is not one of ours."""
    outputs = aws.stack_outputs(name)
    if outputs is None:
        raise click.ClickException(
            f"There is no stack {name!r} in {_place()}. Name yours with --stack, "
            "deploy one with `make deploy`, look into its region (AWS_DEFAULT_REGION), "
            "or try `submit --local`."
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
    named = _JOB_ID.fullmatch(job_or_key)
    if named and (job := _by_id(stack, named[1])):
        return job
    stored = stack.uploads.head(job_or_key) if job_or_key else None
    if stored is None or stored.version_id is None:
        raise click.ClickException(
            f"The stack {stack.name!r} has neither a job nor an upload {job_or_key!r}. "
            "Step Functions keeps ended jobs for 90 days."
        )
    job = stack.job(job_or_key, stored.version_id)
    return _by_id(stack, job.id) or job


def _by_id(stack: Stack, job: str) -> Job | None:
    run = aws.latest_run(stack.pipeline_arn, job)
    return None if run is None else job_of(run)


def job_of(run: Execution) -> Job:
    """The job that an execution belongs to."""
    found = ExecutionInput.model_validate_json(run.input)
    return Job(found.job_id, run.arn, found.source.key, found.source.version_id)


def _stack(name: str, outputs: dict[str, str]) -> Stack:
    host = urlsplit(aws.endpoint("stepfunctions")).hostname
    return Stack(
        name=name,
        uploads=Bucket(outputs["UploadsBucketName"]),
        transcripts=Bucket(outputs["TranscriptsBucketName"]),
        work=Bucket(outputs["WorkBucketName"]),
        pipeline_arn=outputs["PipelineArn"],
        queue_urls={name: outputs[output] for name, output in _QUEUES.items()},
        pause_s=0.5 if host in ("localhost", "127.0.0.1") else 2.0,
    )


def _place() -> str:
    profile = os.environ.get("AWS_PROFILE")
    return aws.endpoint("cloudformation") + (f" (profile {profile})" if profile else "")
