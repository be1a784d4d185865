"""Progress on stderr: bars on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

WIDEST: Final = 100
"""Columns."""

Show = Callable[[str, str, float], None]
"""A file's name, what its job does, and how far it is: 1 at its very end, when its clock stops."""


@contextmanager
def display() -> Iterator[Show]:
    if not sys.stderr.isatty():
        yield _lines()
        return
    console = Console(stderr=True, highlight=False)
    console.width = min(console.width, WIDEST)
    columns = (
        *(_text("{task.description}", 3), _text("{task.fields[label]}", 4)),
        *(BarColumn(None, table_column=Column(ratio=3)), TimeElapsedColumn()),
    )
    with Progress(*columns, console=console, expand=True) as progress:
        yield _bars(progress)


def printable(name: str) -> str:
    """A file's name without characters that would move the cursor."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


def _lines() -> Show:
    """For logs: nothing is overwritten, nothing is repeated."""
    last: dict[str, str] = {}

    def show(name: str, label: str, fraction: float) -> None:
        if last.get(name) != label:
            last[name] = label
            click.echo(f"{printable(name)}: {label}", err=True)

    return show


def _bars(progress: Progress) -> Show:
    """For people: one line a job."""
    tasks: dict[str, TaskID] = {}

    def show(name: str, label: str, fraction: float) -> None:
        if name not in tasks:
            tasks[name] = progress.add_task(printable(name), total=1, label="")
        progress.update(tasks[name], completed=fraction, label=label)

    return show


def _text(of: str, ratio: int) -> TextColumn:
    column = Column(ratio=ratio, no_wrap=True, overflow="ellipsis")
    return TextColumn(of, markup=False, table_column=column)
