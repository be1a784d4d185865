"""What the commands say of jobs on stdout: tables for people, or one JSON document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dropscribe.cli.display import WIDEST, printable
from dropscribe.cli.follow import Course, Step, Watch
from dropscribe.cli.outcome import Outcome
from dropscribe.errors import Failure
from dropscribe.messages import NotifyRequest

_NOTHING: Final = "\N{EN DASH}"


def print_json(outcomes: Iterable[Outcome]) -> None:
    """Of `submit` and `redrive`."""
    jobs = [
        {
            "job_id": outcome.job.id,
            "key": outcome.job.key,
            "version_id": outcome.job.version_id,
            "status": outcome.status,
            "outputs": {name: str(path) for name, path in outcome.files.items()},
            "error": outcome.error and outcome.error.model_dump(),
            "warnings": outcome.warnings,
            "receipt": outcome.receipt and outcome.receipt.model_dump(mode="json"),
        }
        for outcome in outcomes
    ]
    click.echo(json.dumps({"jobs": jobs}, indent=2))


def print_outcomes(outcomes: Sequence[Outcome], *, redrivable: bool) -> None:
    """`redrivable`: whether the stack outlives this command."""
    console = _console()
    console.print()
    console.print(_summary(outcomes))
    for outcome in outcomes:
        _print_files(console, outcome)
    for outcome in outcomes:
        for warning in outcome.warnings:
            _say(console, f"{printable(outcome.job.name)}: {warning}", "yellow")
        if outcome.error:
            _print_error(console, outcome.job.name, outcome.error)
            if redrivable and outcome.error.retryable:
                _say(console, f"  dropscribe redrive {outcome.job.id}")


def print_status_json(watch: Watch) -> None:
    document = {
        "job_id": watch.job.id,
        "key": watch.job.key,
        "version_id": watch.job.version_id,
        "status": watch.status,
        "stage": watch.course.stage,
        "chunks": watch.course.chunks,
        "chunks_transcribed": len(watch.course.transcribed),
        "steps": [vars(step) for step in watch.course.steps],
        "error": watch.error and watch.error.model_dump(),
        "outputs": _outputs(watch),
    }
    click.echo(json.dumps(document, indent=2, default=datetime.isoformat))


def print_status(watch: Watch) -> None:
    console, job, course = _console(), watch.job, watch.course
    colour = {"completed": "green", "failed": "red"}.get(watch.status, "yellow")
    console.print(Text(printable(job.name), "bold"), Text(watch.status, colour), soft_wrap=True)
    console.print(Text(job.id, "dim"), soft_wrap=True)
    if watch.execution is None:
        _say(console, "Its job has not started yet, or it ended more than 90 days ago.")
        return
    console.print()
    console.print(_steps(course))
    if watch.error:
        _print_error(console, job.name, watch.error)
        if watch.execution.not_redrivable is None and watch.error.retryable:
            _say(console, f"  dropscribe redrive {job.id}")
    elif course.trouble:
        _say(console, f"\nLast failed try: {course.trouble.code}: {course.trouble.message}")
    if watch.status == "completed":
        console.print()
    for uri in _outputs(watch).values():
        console.print(Text(printable(uri)), soft_wrap=True)


def _console() -> Console:
    console = Console(highlight=False)
    console.width = min(console.width, WIDEST)
    return console


def _say(console: Console, text: str, style: str = "") -> None:
    """One paragraph, whole where something other than a person reads it."""
    console.print(Text(text, style), soft_wrap=not console.is_terminal or "dropscribe " in text)


def _print_error(console: Console, name: str, error: Failure) -> None:
    console.print()
    heading = Text.assemble((f"{printable(name)} ", "bold"), f"failed in {error.stage}: ")
    console.print(heading.append(error.code, "red"), soft_wrap=True)
    message = Text(printable(error.message))
    # Beyond a terminal it is whole, for whoever reads it.
    console.print(
        Padding(message, (0, 0, 0, 2)) if console.is_terminal else message,
        soft_wrap=not console.is_terminal,
    )


def _summary(outcomes: Sequence[Outcome]) -> Table:
    """Where it is narrow, the columns that may be shortened are: names and models."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("File", overflow="ellipsis", min_width=12)
    table.add_column("Status", no_wrap=True)
    table.add_column("Language", no_wrap=True)
    table.add_column("Audio", no_wrap=True, justify="right")
    table.add_column("Model", overflow="ellipsis", min_width=12)
    table.add_column("Cost", no_wrap=True, justify="right")
    table.add_column("Files", no_wrap=True, justify="right")
    for outcome in outcomes:
        status = Text(outcome.status, "red" if outcome.error else "green")
        table.add_row(Text(printable(outcome.job.name)), status, *_facts(outcome))
    return table


def _facts(outcome: Outcome) -> tuple[str, str, str, str, str]:
    receipt, files = outcome.receipt, str(len(outcome.files))
    if receipt is None:
        return _NOTHING, _NOTHING, _NOTHING, _NOTHING, files
    minutes, seconds = divmod(round(receipt.audio_seconds), 60)
    usd = receipt.estimated_cost.usd
    cost = "unknown" if usd is None else f"${usd:.4f}" if usd else "free"
    return receipt.language or _NOTHING, f"{minutes}:{seconds:02}", receipt.model, cost, files


def _print_files(console: Console, outcome: Outcome) -> None:
    """What the names begin with, then what each ends with."""
    if not outcome.files:
        return
    paths = list(outcome.files.values())
    common = str(paths[0].with_name(outcome.job.name))
    ends = [path.name.removeprefix(outcome.job.name) for path in paths]
    console.print()
    console.print(Text(printable(common)), soft_wrap=True)
    console.print(Text("  " + " · ".join(ends), "dim"), soft_wrap=True)


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


def _outputs(watch: Watch) -> dict[str, str]:
    """Format → address, of a completed job."""
    if watch.execution is None or watch.execution.output is None:
        return {}
    return NotifyRequest.model_validate_json(watch.execution.output).message.data.outputs
