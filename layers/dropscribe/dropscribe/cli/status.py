"""`dropscribe status`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from dropscribe import aws
from dropscribe.aws import Execution
from dropscribe.cli import report
from dropscribe.cli.course import Course, Step
from dropscribe.cli.display import printable
from dropscribe.cli.stack import Job, find, load
from dropscribe.errors import Failure, read_failure
from dropscribe.messages import NotifyRequest


@dataclass(frozen=True)
class Standing:
    """A job as it stands."""

    job: Job
    execution: Execution | None
    course: Course

    @property
    def status(self) -> str:
        """`waiting`, `running`, `completed` or `failed`."""
        if self.execution is None:
            return "waiting"
        if self.execution.running:
            return "running"
        return "completed" if self.execution.output is not None else "failed"

    @property
    def error(self) -> Failure | None:
        if self.execution is None or self.status != "failed":
            return None
        error = self.execution.error or self.execution.status
        return read_failure(error, self.execution.cause or "", self.course.stage or "normalize")

    @property
    def outputs(self) -> dict[str, str]:
        if self.execution is None or self.execution.output is None:
            return {}
        return NotifyRequest.model_validate_json(self.execution.output).message.data.outputs


def status(job: str, stack: str | None, as_json: bool) -> None:
    found = find(load(stack), job)
    course, execution = Course(), aws.execution(found.arn)
    if execution:
        course.advance(aws.history_since(found.arn, 0))
    standing = Standing(found, execution, course)
    if as_json:
        click.echo(json.dumps(_document(standing), indent=2))
    else:
        _print(standing)


def _print(standing: Standing) -> None:
    console, job, course = report.console_for_text(), standing.job, standing.course
    colour = {"completed": "green", "failed": "red"}.get(standing.status, "yellow")
    console.print(Text(printable(job.name), "bold"), Text(standing.status, colour), soft_wrap=True)
    console.print(Text(job.id, "dim"), soft_wrap=True)
    if standing.execution is None:
        report.say(console, "Its job has not started yet, or it ended more than 90 days ago.")
        return
    console.print()
    console.print(_steps(course))
    if standing.error:
        report.print_error(console, job.name, standing.error)
        if standing.execution.not_redrivable is None and report.can_be_redriven(standing.error):
            report.say(console, f"  dropscribe redrive {job.id}")
    elif course.trouble:
        report.say(console, f"\nLast failed try: {course.trouble.code}: {course.trouble.message}")
    if standing.outputs:
        console.print()
    for uri in standing.outputs.values():
        console.print(Text(printable(uri)), soft_wrap=True)


def _steps(course: Course) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("Stage", no_wrap=True)
    table.add_column("Since", no_wrap=True)
    table.add_column("Took", no_wrap=True, justify="right")
    table.add_column("", overflow="fold")
    for step in course.steps:
        since = step.entered.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(step.stage, since, f"{_seconds(step):.1f} s", _remark(step, course))
    return table


def _remark(step: Step, course: Course) -> str:
    parts = [] if step.outcome == "completed" else [step.outcome]
    if step.stage == "transcribe" and course.chunks:
        parts.append(f"{len(course.transcribed)} of {course.chunks} chunks")
    before = step.failed_tries - (step.outcome == "failed")
    if before > 0:
        parts.append(f"after {before} failed {'try' if before == 1 else 'tries'}")
    return ", ".join(parts)


def _seconds(step: Step) -> float:
    return ((step.ended or datetime.now(UTC)) - step.entered).total_seconds()


def _document(standing: Standing) -> dict[str, Any]:
    job, execution = standing.job, standing.execution
    return {
        "job_id": job.id,
        "key": job.key,
        "version_id": job.version_id,
        "status": standing.status,
        "stage": standing.course.stage,
        "started": execution and _iso(execution.started),
        "stopped": execution and execution.stopped and _iso(execution.stopped),
        "chunks": standing.course.chunks,
        "chunks_transcribed": len(standing.course.transcribed),
        "steps": [
            {
                "stage": step.stage,
                "outcome": step.outcome,
                "entered": _iso(step.entered),
                "seconds": round(_seconds(step), 3),
                "failed_tries": step.failed_tries,
            }
            for step in standing.course.steps
        ],
        "error": standing.error and standing.error.model_dump(),
        "outputs": standing.outputs,
    }


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
