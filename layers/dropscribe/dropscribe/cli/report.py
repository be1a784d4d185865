"""What a command ends with: a table, the files, the errors; or one JSON document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dropscribe.cli.display import WIDEST, printable
from dropscribe.cli.outcome import Outcome
from dropscribe.errors import Failure
from dropscribe.receipt import Receipt

_NOTHING: Final = "\N{EN DASH}"
_MENDABLE: Final = ("unauthorized", "quota_exceeded")
"""Rejected, but for a reason outside of the upload: once mended, the same job can go on."""


def as_json(outcomes: Iterable[Outcome]) -> None:
    click.echo(json.dumps({"jobs": [_document(outcome) for outcome in outcomes]}, indent=2))


def as_text(outcomes: Sequence[Outcome], *, redrivable: bool) -> None:
    """`redrivable`: whether the stack outlives this command."""
    console = console_for_text()
    console.print()
    console.print(_table(outcomes))
    for outcome in outcomes:
        _print_files(console, outcome)
    for outcome in outcomes:
        for warning in outcome.warnings:
            say(console, f"{printable(outcome.job.name)}: {warning}", "yellow")
        if outcome.error:
            print_error(console, outcome.job.name, outcome.error)
            if redrivable and can_be_redriven(outcome.error):
                say(console, f"  dropscribe redrive {outcome.job.id}")


def console_for_text() -> Console:
    console = Console(highlight=False)
    console.width = min(console.width, WIDEST)
    return console


def say(console: Console, text: str, style: str = "") -> None:
    """One paragraph, whole where something other than a person reads it."""
    console.print(Text(text, style), soft_wrap=not console.is_terminal or "dropscribe " in text)


def print_error(console: Console, name: str, error: Failure) -> None:
    console.print()
    heading = Text.assemble((f"{printable(name)} ", "bold"), f"failed in {error.stage}: ")
    console.print(heading.append(error.code, "red"), soft_wrap=True)
    message = Text(printable(error.message))
    if console.is_terminal:
        console.print(Padding(message, (0, 0, 0, 2)))
    else:
        console.print(Text("  ") + message, soft_wrap=True)


def can_be_redriven(error: Failure) -> bool:
    """Whether running the same job again is worth a try."""
    return error.retryable or error.code in _MENDABLE


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _table(outcomes: Sequence[Outcome]) -> Table:
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
        table.add_row(Text(printable(outcome.job.name)), _status(outcome), *_facts(outcome))
    return table


def _status(outcome: Outcome) -> Text:
    return Text(outcome.status, "green" if outcome.status == "completed" else "red")


def _facts(outcome: Outcome) -> tuple[str, str, str, str, str]:
    receipt, files = outcome.receipt, str(len(outcome.files))
    if receipt is None:
        return _NOTHING, _NOTHING, _NOTHING, _NOTHING, files
    audio = duration(receipt.audio_seconds)
    return receipt.language or _NOTHING, audio, receipt.model, _cost(receipt), files


def _cost(receipt: Receipt) -> str:
    usd = receipt.estimated_cost.usd
    if usd is None:
        return "unknown"
    return f"${usd:.4f}" if usd else "free"


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


def _document(outcome: Outcome) -> dict[str, Any]:
    return {
        "job_id": outcome.job.id,
        "key": outcome.job.key,
        "version_id": outcome.job.version_id,
        "status": outcome.status,
        "outputs": {name: str(path) for name, path in outcome.files.items()},
        "error": outcome.error and outcome.error.model_dump(),
        "warnings": outcome.warnings,
        "receipt": outcome.receipt and outcome.receipt.model_dump(mode="json"),
    }
