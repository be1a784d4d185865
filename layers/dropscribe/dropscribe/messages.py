"""The messages on the route, each parsed by the step that receives it. Samples: `events/`."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import unquote_plus

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, computed_field

from dropscribe.job import Source
from dropscribe.notification import Notification


class _Message(BaseModel):
    """Fields that we do not use are ignored: AWS adds some now and then."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)


class _BucketRef(_Message):
    name: str


class _ObjectRef(_Message):
    key: str
    """URL-encoded, `+` for a space: decoded in `UploadRecord.source`, nowhere else."""
    size: int
    etag: str = Field("", alias="eTag")
    version_id: str | None = Field(None, alias="versionId")
    sequencer: str | None = None


class _S3(_Message):
    bucket: _BucketRef
    object: _ObjectRef


class UploadRecord(_Message):
    event_time: str = Field(alias="eventTime")
    s3: _S3

    @property
    def source(self) -> Source:
        uploaded = self.s3.object
        return Source(
            bucket=self.s3.bucket.name,
            key=unquote_plus(uploaded.key),
            version_id=uploaded.version_id if uploaded.version_id != "null" else None,
            etag=uploaded.etag,
            size=uploaded.size,
            sequencer=uploaded.sequencer,
            uploaded_at=self.event_time,
        )


class UploadNotification(_Message):
    """The body of a queue message: S3's event notification."""

    records: list[UploadRecord] = Field(alias="Records")


class SetupNotification(_Message):
    """What S3 sends once, when the notification is set up."""

    event: Literal["s3:TestEvent"] = Field(alias="Event")


class ExecutionInput(_Message):
    """A job that waits for its turn in the queue of jobs, and then what its execution begins with.

    Not the execution's name: a job that can no longer be redriven runs again under another one.
    """

    job_id: str
    source: Source


class NormalizeRequest(_Message):
    job_id: str
    source: Source


class NormalizeResult(_Message):
    """Chunk indexes only: state machine data is limited to 256 KiB, the manifest is in S3."""

    job_id: str
    leaders: list[int]
    """Those that have to be transcribed before the others; often none."""
    chunks: list[int]
    """The others."""
    max_concurrency: int
    max_aligning: int
    """Chunks whose words are looked for at once, by the function of engine whisper."""
    transcriber: str
    """ARN of the function that transcribes, by the job's engine."""


class TranscribeRequest(_Message):
    job_id: str
    run: str = ""
    """The execution, and how often it was redriven: what somebody started on purpose. Empty in
    executions from before this was told."""
    chunk: int
    """Index in the manifest."""


class AlignRequest(_Message):
    """A chunk that was answered with text alone, to the function of engine whisper."""

    job_id: str
    chunk: int
    """Index in the manifest."""
    align: Literal[True]
    """Unlike in `TranscribeRequest`, which the same function takes."""
    begun: AwareDatetime | None = None
    """When the job's first chunk was to be aligned; None in executions from before this was told.
    """


class FormatRequest(_Message):
    job_id: str


class NotifyRequest(_Message):
    """What the Notify state publishes."""

    subject: str
    message: Notification
    attributes: dict[str, dict[str, str]]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def body(self) -> str:
        """The message as it is published: in ASCII, as queues that subscribe take less than that.

        SQS refuses U+FFFE and U+FFFF, which the key of an upload may have.
        """
        return self.message.model_dump_json(ensure_ascii=True)


class _ExecutionDetail(_Message):
    execution_arn: str = Field(alias="executionArn")


class ExecutionFailed(_Message):
    """EventBridge's "Step Functions Execution Status Change" of one that did not succeed.

    How it stands now is asked of Step Functions: such an event may come late.
    """

    detail: _ExecutionDetail


class SweepRequest(_Message):
    """What the schedule sends; by hand, other times may be given."""

    overdue_s: Annotated[int, Field(ge=0)]
    """Older uploads should have ended: longer than the longest job."""
    window_s: Annotated[int, Field(gt=0)]
    """How far back from there: longer than the time between two sweeps."""
