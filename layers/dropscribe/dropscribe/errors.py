"""Why a job fails, branched by what happens next.

    JobError
    ├── Rejected         can never succeed as it is: recorded at once, not retried
    └── Unavailable      may succeed later: retried with backoff, then recorded
        └── RateLimited  will, when others have had their turn: retried for hours

The state machine retries by these class names (`functions/pipeline.asl.json`), so a code
travels in the message: ``"not_media: this is no audio or video file …"``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from dropscribe.api.error import ErrorObject

ErrorCode = Literal[
    "invalid_options",
    "not_media",
    "no_audio_stream",
    "empty_audio",
    "too_long",
    "unsupported_by_model",
    "unauthorized",
    "quota_exceeded",
    "rate_limited",
    "engine_unavailable",
    "engine_failed",
    "timed_out",
    "internal",
]
ERROR_CODES: Final[frozenset[str]] = frozenset(get_args(ErrorCode))
MENDED_OUTSIDE: Final = frozenset(
    {"unauthorized", "quota_exceeded", "engine_unavailable", "rate_limited", "timed_out"}
)
"""Codes of rejections whose cause somebody can mend, after which the same job may succeed."""

_TIMEOUTS: Final = frozenset({"States.Timeout", "Sandbox.Timedout", "TIMED_OUT"})
LONGEST_MESSAGE: Final = 1000
"""Characters of a message kept in an error object or a notification."""


class JobError(Exception):
    """A failure whose cause is known. `str()` is ``"<code>: <sentence that says what to do>"``."""

    def __init__(self, code: ErrorCode, message: str, said: ErrorObject | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.said = said
        """The API's own error, where it is one."""


class Rejected(JobError):
    """The job can never succeed as it is: somebody has to change the upload or its options."""


class Unavailable(JobError):
    """The job may succeed later, without anybody changing it."""


class RateLimited(Unavailable):
    """Too much is asked at once: the job waits, however long the line is."""


class Failure(BaseModel):
    """What `<key>.error.json` and the `failed` notification say about one failure."""

    model_config = ConfigDict(frozen=True)

    code: ErrorCode
    message: str
    stage: str
    """`normalize`, `transcribe`, `format` or `notify`."""
    retryable: bool
    """Whether running the same job again (`dropscribe redrive`) may succeed."""


def read_failure(error: str, cause: str, stage: str) -> Failure:
    """Read the error name and cause with which Step Functions ended an execution."""
    message = _message_of(cause)
    code, separator, sentence = message.partition(": ")
    if separator and code in ERROR_CODES:
        retryable = error != Rejected.__name__ or code in MENDED_OUTSIDE
        return Failure(code=code, message=_cut(sentence), stage=stage, retryable=retryable)  # type: ignore[arg-type]
    if error in _TIMEOUTS or "Task timed out" in message:
        message = f"{stage} did not finish in its time. {message}".strip()
        return Failure(code="timed_out", message=_cut(message), stage=stage, retryable=True)
    if error == "ABORTED":
        message = f"the execution was stopped by hand during {stage}. {message}".strip()
        return Failure(code="internal", message=_cut(message), stage=stage, retryable=True)
    message = f"{error or 'unknown error'}: {message}"
    return Failure(code="internal", message=_cut(message), stage=stage, retryable=True)


def _message_of(cause: str) -> str:
    """Lambda's cause is JSON with `errorMessage`; others are plain text."""
    try:
        parsed = json.loads(cause)
    except ValueError:
        return cause
    if isinstance(parsed, dict) and "errorMessage" in parsed:
        return str(parsed["errorMessage"])
    return cause


def _cut(message: str) -> str:
    return message if len(message) <= LONGEST_MESSAGE else message[: LONGEST_MESSAGE - 1] + "…"
