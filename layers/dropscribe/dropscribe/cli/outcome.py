"""How a job ended: its files downloaded, or its error."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from dropscribe.aws import Bucket, Execution
from dropscribe.cli.follow import LONGEST_START_S, Watch
from dropscribe.cli.stack import Job, Stack
from dropscribe.errors import Failure
from dropscribe.formats import ERROR_SUFFIX, LONGEST_KEY_BYTES, OUTPUTS, RECEIPT_SUFFIX
from dropscribe.job import late_output_key
from dropscribe.messages import ExecutionInput, NotifyRequest
from dropscribe.publish import superseded
from dropscribe.receipt import Receipt
from dropscribe.stages.fail import ErrorObject

LONGEST_REPORT_S: Final = 60
"""From the end of a failed execution to its error object."""


@dataclass
class Outcome:
    """One job at its end."""

    job: Job
    status: str
    """`completed` or `failed`."""
    files: dict[str, Path] = field(default_factory=dict)
    """Format, `receipt` or `error` → the file written here."""
    receipt: Receipt | None = None
    error: Failure | None = None
    warnings: list[str] = field(default_factory=list)


def collect(stack: Stack, watch: Watch, out: Path) -> Outcome:
    """Download what an ended job left, into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    if watch.execution and watch.execution.output:
        return _completed(stack, watch.job, watch.execution.output, out)
    outcome = Outcome(watch.job, "failed", error=watch.error or _not_started(stack))
    if watch.execution:
        _fetch_error(stack, outcome, out, watch.execution)
    return outcome


def _completed(stack: Stack, job: Job, output: str, out: Path) -> Outcome:
    data = NotifyRequest.model_validate_json(output).message.data
    outcome = Outcome(job, "completed", warnings=list(data.warnings))
    suffixes = {str(form): known.suffix for form, known in OUTPUTS.items()}
    for name, uri in data.outputs.items():
        _fetch(outcome, name, uri, out / (job.name + suffixes.get(name, f".{name}")))
    _fetch_receipt(stack, outcome, out)
    (out / (job.name + ERROR_SUFFIX)).unlink(missing_ok=True)  # of an earlier try
    return outcome


def _fetch_receipt(stack: Stack, outcome: Outcome, out: Path) -> None:
    """Beside the upload's name, or apart where a newer upload's is there."""
    job, path = outcome.job, out / (outcome.job.name + RECEIPT_SUFFIX)
    late = stack.work.uri(late_output_key(job.id, RECEIPT_SUFFIX))
    for uri in (late, stack.transcripts.uri(job.key + RECEIPT_SUFFIX)):
        if _fetch(outcome, "receipt", uri, path):
            found = Receipt.model_validate_json(path.read_bytes())
            if found.job_id == job.id:
                outcome.receipt = found
            else:
                outcome.warnings.append("a newer upload of this name has replaced its files")
            return


def _fetch(outcome: Outcome, name: str, uri: str, path: Path) -> bool:
    """Download one file whole; a link in its place is replaced, not followed."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".dropscribe-") as folder:
        part = Path(folder) / "part"
        if Bucket(bucket).download(key, part) is None:
            return False
        part.replace(path)
    outcome.files[name] = path
    return True


def _fetch_error(stack: Stack, outcome: Outcome, out: Path, execution: Execution) -> None:
    """The error object, where one will be written: not beside transcripts, nor of a long key."""
    job, failure = outcome.job, outcome.error
    key, source = job.key + ERROR_SUFFIX, ExecutionInput.model_validate_json(execution.input).source
    if failure is None or failure.stage == "notify" or len(key.encode()) > LONGEST_KEY_BYTES:
        return
    deadline = time.monotonic() + LONGEST_REPORT_S
    while time.monotonic() < deadline and not superseded(stack.transcripts, source):
        content = stack.transcripts.read(key)
        if content and _is_about(content, execution):
            _fetch(outcome, "error", stack.transcripts.uri(key), out / (job.name + ERROR_SUFFIX))
            return
        time.sleep(stack.pause_s)


def _is_about(content: bytes, execution: Execution) -> bool:
    """Not another upload's, nor an earlier failure of a job that has been redriven since."""
    found = ErrorObject.model_validate_json(content)
    ended = execution.stopped or execution.started
    written = datetime.fromisoformat(found.timestamp)
    of_this_job = found.job_id == ExecutionInput.model_validate_json(execution.input).job_id
    return of_this_job and written >= ended.replace(microsecond=0)


def _listed(queues: dict[str, str]) -> str:
    return ", ".join(f"{name} {url}" for name, url in queues.items())


def _not_started(stack: Stack) -> Failure:
    return Failure(
        code="timed_out",
        stage="ingest",
        retryable=False,
        message=f"no job has started within {LONGEST_START_S} s, though nothing is before it in "
        "line. The upload is safe, and within 29 hours the sweep starts it. Look for its message "
        f"in the queues: {_listed(stack.queue_urls)}.",
    )
