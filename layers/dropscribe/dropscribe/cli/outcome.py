"""How a job ended: its files downloaded, or its error."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from dropscribe import aws
from dropscribe.aws import Bucket, Execution
from dropscribe.cli.follow import LONGEST_START_S, Watch
from dropscribe.cli.stack import Job, Stack
from dropscribe.errors import Failure, Rejected, read_failure
from dropscribe.formats import ERROR_SUFFIX, OUTPUTS, RECEIPT_SUFFIX
from dropscribe.messages import NotifyRequest
from dropscribe.publish import JOB
from dropscribe.receipt import Receipt
from dropscribe.stages.fail import ErrorObject

LONGEST_REPORT_S: Final = 60
"""From the end of a failed execution to its error object."""

Status = Literal["completed", "failed"]


@dataclass
class Outcome:
    """One job at its end."""

    job: Job
    status: Status
    files: dict[str, Path] = field(default_factory=dict)
    """Format, `receipt` or `error` → the file written here."""
    receipt: Receipt | None = None
    error: Failure | None = None
    warnings: list[str] = field(default_factory=list)


def collect(stack: Stack, watch: Watch, out: Path) -> Outcome:
    """Download what an ended job left, into `out`."""
    if watch.execution is None:
        return Outcome(watch.job, "failed", error=_not_started(stack))
    out.mkdir(parents=True, exist_ok=True)
    if watch.execution.output is None:
        return _failed(stack, watch.job, watch.execution, out)
    return _completed(stack, watch.job, watch.execution.output, out)


def _completed(stack: Stack, job: Job, output: str, out: Path) -> Outcome:
    data = NotifyRequest.model_validate_json(output).message.data
    outcome = Outcome(job, "completed", warnings=list(data.warnings))
    for name, uri in data.outputs.items():
        _fetch(outcome, name, uri, out / (job.name + suffix(name)))
    receipt = out / (job.name + RECEIPT_SUFFIX)
    for uri in _receipt_uris(stack, job):
        if _fetch(outcome, "receipt", uri, receipt, only_ours=True):
            outcome.receipt = Receipt.model_validate_json(receipt.read_bytes())
            break
    _forget_error(out / (job.name + ERROR_SUFFIX))
    return outcome


def _failed(stack: Stack, job: Job, execution: Execution, out: Path) -> Outcome:
    """The error object, and where there will be none, what it would say."""
    written = _error_object(stack, job, execution)
    if written is None:
        stage = (aws.last_state(execution.arn) or "normalize").lower()
        error = read_failure(execution.error or execution.status, execution.cause or "", stage)
        return Outcome(job, "failed", error=error)
    path = out / (job.name + ERROR_SUFFIX)
    _replace(path, json.dumps(written.model_dump(), indent=2).encode())
    return Outcome(job, "failed", {"error": path}, error=written.error)


def suffix(name: str) -> str:
    """What a format's file ends with; also of a format that a newer stack may know."""
    known = {str(form): output.suffix for form, output in OUTPUTS.items()}
    return known.get(name) or "." + re.sub(r"[^A-Za-z0-9]+", ".", name).strip(".")


def _fetch(outcome: Outcome, name: str, uri: str, path: Path, only_ours: bool = False) -> bool:
    """Download one output. A newer upload may have replaced it meanwhile: then say so."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".dropscribe-") as folder:
        part = Path(folder) / "part"
        try:
            _, metadata = Bucket(bucket).download(key, part)
        except Rejected:
            if not only_ours:
                outcome.warnings.append(f"{uri} is gone: it was not downloaded")
            return False
        if metadata.get(JOB, outcome.job.id) != outcome.job.id:
            if not only_ours:
                outcome.warnings.append(f"{uri} is a newer upload's by now: it was not downloaded")
            return False
        part.replace(path)
    outcome.files[name] = path
    return True


def _receipt_uris(stack: Stack, job: Job) -> tuple[str, str]:
    """Beside the upload's name, or apart where a newer upload's is there."""
    return (
        stack.work.uri(f"jobs/{job.id}/outputs/transcript{RECEIPT_SUFFIX}"),
        stack.transcripts.uri(job.key + RECEIPT_SUFFIX),
    )


def _error_object(stack: Stack, job: Job, execution: Execution) -> ErrorObject | None:
    """What the fail function wrote about this very failure; None where it did not in time."""
    deadline = time.monotonic() + LONGEST_REPORT_S
    while time.monotonic() < deadline:
        content = stack.transcripts.read(job.key + ERROR_SUFFIX)
        if content and (found := _parse(content)) and _is_about(found, job, execution):
            return found
        if stack.transcripts.head(job.key + RECEIPT_SUFFIX):
            break  # A newer upload's: the fail function leaves it alone.
        time.sleep(stack.pause_s)
    return None


def _is_about(found: ErrorObject, job: Job, execution: Execution) -> bool:
    """Not an earlier failure of a job that has been redriven since."""
    written = datetime.fromisoformat(found.timestamp)
    stopped = execution.stopped or execution.started
    return found.job_id == job.id and written >= stopped.replace(microsecond=0)


def _parse(content: bytes) -> ErrorObject | None:
    try:
        return ErrorObject.model_validate_json(content)
    except ValidationError:
        return None


def _forget_error(path: Path) -> None:
    """The error of an earlier try beside the transcripts would mislead; a file of yours stays."""
    with contextlib.suppress(FileNotFoundError):
        if path.is_file() and _parse(path.read_bytes()):
            path.unlink()


def _replace(path: Path, content: bytes) -> None:
    """Through a new file: a link of this name is replaced, not followed."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".dropscribe-") as folder:
        part = Path(folder) / "part"
        part.write_bytes(content)
        part.replace(path)


def _not_started(stack: Stack) -> Failure:
    return Failure(
        code="timed_out",
        stage="ingest",
        retryable=False,
        message=f"no job has started within {LONGEST_START_S} s of the upload. The upload is safe. "
        f"Look for its message in the queue {stack.queue_url}, which waits for the ingest "
        f"function, or in {stack.dead_letter_queue_url}, where that function gave it up.",
    )
