"""`dropscribe submit` and `dropscribe redrive`: begin jobs, follow them to their ends, report."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from dropscribe import aws
from dropscribe.aws import Bucket, Execution
from dropscribe.cli import report
from dropscribe.cli.advice import advice
from dropscribe.cli.display import Show, display
from dropscribe.cli.follow import follow
from dropscribe.cli.outcome import Outcome, collect
from dropscribe.cli.paying import await_answers
from dropscribe.cli.settings import Carried
from dropscribe.cli.stack import DEFAULT, Job, Stack, find, job_of
from dropscribe.errors import read_failure
from dropscribe.formats import RECEIPT_SUFFIX
from dropscribe.job import Source, job_of_run, run_name
from dropscribe.messages import ExecutionInput
from dropscribe.options import SIDECAR_SUFFIX, is_option_file
from dropscribe.publish import JOB
from dropscribe.stages.sweep import source_of

INTERRUPTED: Final = 130
REDRIVEN_AT_ONCE: Final = 20
"""Of all that failed: the functions of one account are shared with what is uploaded meanwhile."""
_OURS: Final = {"written-by": "dropscribe-submit"}
"""Marks sidecars that a command wrote, so that the next one may replace them."""


def check_recordings(paths: Iterable[Path]) -> list[Path]:
    """The same paths. Raises a usage error for the first that cannot become an upload."""
    seen: dict[str, Path] = {}
    for path in paths:
        _check_recording(path)
        if path.name in seen:
            raise click.UsageError(
                f"{seen[path.name]} and {path} have the same name, and so would be one upload: "
                "rename one of them or submit it in a second command"
            )
        seen[path.name] = path
    return list(seen.values())


def _check_recording(path: Path) -> None:
    if path.is_dir():
        raise click.UsageError(f"{path} is a folder: name the recordings in it")
    if not path.is_file():
        raise click.UsageError(f"{path} does not exist")
    if is_option_file(path.name):
        raise click.UsageError(f"{path} holds options, not a recording: give options with --set")
    if any(unicodedata.category(character) == "Cc" for character in path.name):
        raise click.UsageError(f"the name of {path!r} holds a control character: rename it")
    try:
        path.name.encode()
        path.open("rb").close()
    except UnicodeEncodeError as error:
        raise click.UsageError(f"the name of {path!r} is not UTF-8: rename it") from error
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from error


def submit(
    stack: Stack,
    files: list[tuple[Path, Carried]],
    out: Path,
    *,
    as_json: bool,
    outlives: bool = True,
) -> int:
    """The exit code."""
    session = Session(stack, out, outlives)
    return session.run(lambda show: session.upload(files, show), as_json=as_json)


def redrive(stack: Stack, job: str, out: Path, *, as_json: bool) -> int:
    """The exit code. Raises `ClickException` where there is nothing to run again."""
    session = Session(stack, out)
    return session.run(lambda show: session.redrive([find(stack, job)], show), as_json=as_json)


def redrive_all(stack: Stack, since: datetime, out: Path, *, as_json: bool) -> int:
    """The same for all jobs that have failed since then and may succeed without a change."""
    arns = (arn for arn, _ in aws.failed_since(stack.pipeline_arn, since))
    names = {job_of_run(arn.rpartition(":")[2]) for arn in arns}
    latest = [run for name in sorted(names) if (run := aws.latest_run(stack.pipeline_arn, name))]
    ended = [run for run in latest if run.failed and not run.forgotten]
    failed = [run for run in ended if run.status != "ABORTED"]
    if stopped := len(ended) - len(failed):
        click.echo(f"{stopped} stopped by hand are left: redrive them by name.", err=True)
    # Those may have to be waited for which failed last: see `await_answers`.
    again = sorted(filter(_may_succeed, failed), key=lambda run: run.stopped or run.started)
    hopeless = len(failed) - len(again)
    if hopeless:
        click.echo(
            f"{hopeless} of {len(failed)} failed jobs cannot succeed as they are and are left: "
            "their errors say what to change. Then upload again, or redrive them by name.",
            err=True,
        )
    if not again:
        click.echo(f"Nothing to run again has failed since {since:%Y-%m-%d %H:%M %Z}.", err=True)
        return 0
    session = Session(stack, out)
    jobs = [job_of(run) for run in again]
    return session.run(lambda show: session.redrive(jobs, show), as_json=as_json)


def run_again(stack: Stack, job: Job) -> Job:
    """Start a job that has failed from where it failed; the job, with its execution.

    Where Step Functions takes no redrive, 14 days after the job's end, by an execution of another
    name: what is still in the work bucket is not done again. Raises `ClickException`.
    """
    run = aws.execution(job.arn)
    if run is not None and not run.failed:
        state = "is running" if run.running else "has completed"
        raise click.ClickException(f"The job {job.id} cannot be run again: it {state}.")
    if run is not None and run.forgotten:
        raise click.ClickException(f"The job {job.id} cannot be run again: it was forgotten.")
    if run is not None and run.not_redrivable is None:
        aws.redrive(job.arn)
        return job
    if run is None and _is_done(stack, job):
        raise click.ClickException(f"The job {job.id} cannot be run again: it has completed.")
    source = _source(stack, job) if run is None else _input(run).source
    number = int(job.arn.removeprefix(stack.execution_arn(job.id)).lstrip("-") or "1")
    name = run_name(job.id, number + 1 if run else number)
    data = ExecutionInput(job_id=job.id, source=source).model_dump(mode="json")
    aws.start_execution(stack.pipeline_arn, name, data)
    return replace(job, arn=stack.execution_arn(name))


def _is_running(job: Job) -> bool:
    run = aws.execution(job.arn)
    return run is not None and run.running


def _may_succeed(run: Execution) -> bool:
    return read_failure(run.error or run.status, run.cause or "", "").retryable


def _is_done(stack: Stack, job: Job) -> bool:
    """Whether its receipt is there, though Step Functions has forgotten the job."""
    found = stack.transcripts.head(job.key + RECEIPT_SUFFIX)
    return found is not None and found.metadata.get(JOB) == job.id


def _input(run: Execution) -> ExecutionInput:
    return ExecutionInput.model_validate_json(run.input)


def _source(stack: Stack, job: Job) -> Source:
    """Of an upload whose job has never started, or so long ago that it is forgotten."""
    for version in stack.uploads.versions_of(job.key):
        if version.id == job.version_id and version.size is not None:
            return source_of(stack.uploads.name, version)
    raise click.ClickException(f"The upload {stack.uploads.uri(job.key)} has been deleted.")


@contextmanager
def interruptible(show: Show) -> Iterator[Show]:
    """A `show` that ends the command once it was interrupted.

    Python raises KeyboardInterrupt wherever it is, which may be where nobody lets it through.
    """
    interrupted = threading.Event()

    def interrupt(*_: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    def shown(name: str, stage: str, fraction: float) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        show(name, stage, fraction)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield shown
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass
class Session:
    """The jobs of one command, known as soon as they exist: an interrupt must not lose them."""

    stack: Stack
    out: Path
    outlives: bool = True
    """The stack is there after this command has ended."""
    jobs: list[Job] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Jobs that were to run again and did not."""

    def run(self, begin: Callable[[Show], None], *, as_json: bool) -> int:
        """Begin the jobs, follow them to their ends, report. The exit code."""
        outcomes: list[Outcome] = []
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.out).close()
            with display() as shown, interruptible(shown) as show:
                begin(show)
                for watch in follow(self.stack, self.jobs, show):
                    outcomes.append(collect(self.stack, watch, self.out))
                    show(watch.job.name, outcomes[-1].status, 1)
        except KeyboardInterrupt:
            click.echo(f"\nInterrupted. {self._afterwards()}", err=True)
            return INTERRUPTED
        except aws.ERRORS as error:
            raise click.ClickException(f"{advice(error)}\n{self._afterwards()}") from error
        except OSError as error:
            raise click.ClickException(f"{error}\n{self._afterwards()}") from error
        outcomes.sort(key=lambda outcome: self.jobs.index(outcome.job))
        if as_json:
            report.print_json(outcomes)
        else:
            report.print_outcomes(outcomes, redrivable=self.outlives)
        return int(bool(self.refused) or any(outcome.error for outcome in outcomes))

    def redrive(self, jobs: list[Job], show: Show) -> None:
        """Not more at a time than leave room for those that come in meanwhile."""
        working: list[Job] = []
        for job in jobs:
            while len(working := [one for one in working if _is_running(one)]) >= REDRIVEN_AT_ONCE:
                time.sleep(self.stack.pause_s)
            try:
                await_answers(self.stack, job, show)
                self.jobs.append(run_again(self.stack, job))
            except (click.ClickException, *aws.ERRORS) as error:
                if len(jobs) == 1:
                    raise
                self.refused.append(job.id)
                click.echo(f"{job.id} was not run again: {error}", err=True)
            else:
                working.append(self.jobs[-1])
                show(job.name, "starting again", 0)

    def upload(self, files: list[tuple[Path, Carried]], show: Show) -> None:
        for path, options in files:
            _put_sidecar(self.stack.uploads, path.name + SIDECAR_SUFFIX, options.sidecar)
            self.jobs.append(_upload(self.stack, path, options.metadata, show))

    def _afterwards(self) -> str:
        if not self.jobs:
            return "No job was started."
        if not self.outlives:
            return "The embedded cloud has ended, and its jobs with it."
        name = "" if self.stack.name == DEFAULT else f" --stack {self.stack.name}"
        looks = [f"  dropscribe status {job.id}{name}" for job in self.jobs]
        return "\n".join(["What was uploaded is being transcribed all the same:", *looks])


def _upload(stack: Stack, path: Path, metadata: dict[str, str], show: Show) -> Job:
    size, sent = path.stat().st_size, 0

    def count(piece: int) -> None:
        nonlocal sent
        sent += piece
        show(path.name, "uploading", 0.99 * sent / (size or 1))

    count(0)
    version = stack.uploads.upload_version(path.name, path, metadata, count)
    if version is None:
        raise click.ClickException(
            f"The bucket {stack.uploads.name} keeps no versions: turn them on."
        )
    show(path.name, "waiting to start", 0)
    return stack.job(path.name, version)


def _put_sidecar(uploads: Bucket, key: str, content: bytes | None) -> None:
    """Before the recording, whose upload starts the job. No sidecar of an earlier command stays."""
    current = uploads.head(key)
    ours = current is not None and _OURS.items() <= current.metadata.items()
    if content is None:
        if current and ours:
            uploads.delete_if(key, current)
    elif current and not ours:
        raise click.ClickException(
            f"{uploads.uri(key)} exists, and no command of this kind wrote it: put the options "
            "into that file and submit without them, or delete it."
        )
    else:
        uploads.write_if(key, content, replacing=current, metadata=_OURS)
