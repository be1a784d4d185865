"""What subscribers of the topic are told: envelope, attributes for filter policies, subject."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from dropscribe.api import Usage
from dropscribe.errors import Failure
from dropscribe.job import Source

EventType = Literal["transcription.job.completed", "transcription.job.failed"]
LONGEST_SUBJECT: Final = 99
"""Characters; SNS takes ASCII below 100."""
LONGEST_ATTRIBUTE: Final = 256


class Origin(BaseModel):
    model_config = ConfigDict(frozen=True)

    bucket: str
    key: str
    version_id: str | None


class Data(BaseModel):
    model_config = ConfigDict(frozen=True)

    job_id: str
    source: Origin
    outputs: dict[str, str]
    """Format → S3 URI."""
    engine: str | None
    model: str | None
    language: str | None
    """Code, e.g. `en`."""
    audio_seconds: float | None
    speakers: list[str]
    usage: Usage | dict[str, Any]
    """As the API billed it; `{}` where nothing was."""
    labels: dict[str, str]
    warnings: list[str]
    error: Failure | None


class Notification(BaseModel):
    """The message. No transcript text in it."""

    model_config = ConfigDict(frozen=True)

    id: str
    """The same for every repeat of the same news."""
    type: EventType
    version: Literal["1"] = "1"
    timestamp: str
    data: Data


def notification(event_type: EventType, data: Data, now: datetime) -> Notification:
    digest = hashlib.sha256(f"{data.job_id}\0{event_type}".encode()).hexdigest()
    timestamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Notification(id=f"evt_{digest[:32]}", type=event_type, timestamp=timestamp, data=data)


def origin(source: Source) -> Origin:
    return Origin(bucket=source.bucket, key=source.key, version_id=source.version_id)


def subject(event_type: EventType, source: Source) -> str:
    """One line of ASCII for e-mail."""
    verb = "Transcribed" if event_type == "transcription.job.completed" else "Not transcribed"
    line = f"{verb}: {source.name}".encode("ascii", "replace").decode()
    return "".join(c if c.isprintable() else "?" for c in line)[:LONGEST_SUBJECT]


def attributes(message: Notification, tenant: str | None = None) -> dict[str, dict[str, str]]:
    """SNS message attributes; those without a value are left out, as SNS demands."""
    data = message.data
    values = {
        "event_type": message.type,
        "status": message.type.rsplit(".", 1)[-1],
        "engine": data.engine,
        "language": data.language,
        "tenant": tenant,
        "error_code": data.error.code if data.error else None,
    }
    return {
        name: {"DataType": "String", "StringValue": value[:LONGEST_ATTRIBUTE]}
        for name, value in values.items()
        if value
    }
