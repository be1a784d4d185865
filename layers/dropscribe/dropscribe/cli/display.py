"""Progress on stderr: bars on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Protocol, Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

WIDEST: Final = 100
"""Columns."""
_NOT_YET: Final = 0.999
"""A bar that was full once has its clock stopped for good."""


class Display(Protocol):
    """What is told while jobs run. Jobs go by their file's name."""

    def at(self, name: str, label: str, fraction: float) -> None:
        """A job is `fraction` (0 to 1) of the way through, and does what `label` says."""

    def sending(self, name: str, sent: int, size: int) -> None:
        """Bytes of an upload."""

    def ended(self, name: str, label: str) -> None: ...

    def note(self, text: str) -> None:
        """Something worth knowing, about no job in particular."""


@contextmanager
def display() -> Iterator[Display]:
    if sys.stderr.isatty():
        with _Bars() as bars:
            yield bars
    else:
        yield _Lines()


def printable(name: str) -> str:
    """A file's name without characters that would move the cursor."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


class _Lines:
    """For logs: nothing is overwritten, nothing is repeated."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def at(self, name: str, label: str, fraction: float) -> None:
        self._say(name, f"{printable(name)}: {label}")

    def sending(self, name: str, sent: int, size: int) -> None:
        self.at(name, f"uploading {megabytes(size)}", 0)

    def ended(self, name: str, label: str) -> None:
        self.at(name, label, 1)

    def note(self, text: str) -> None:
        self._say("", text)

    def _say(self, about: str, line: str) -> None:
        if self._last.get(about) != line:
            self._last[about] = line
            click.echo(line, err=True)


class _Bars:
    """For people: one line a job."""

    def __init__(self) -> None:
        def text(of: str, ratio: int) -> TextColumn:
            column = Column(ratio=ratio, no_wrap=True, overflow="ellipsis")
            return TextColumn(of, markup=False, table_column=column)

        console = Console(stderr=True, highlight=False)
        console.width = min(console.width, WIDEST)
        self._progress = Progress(
            text("{task.description}", 3),
            text("{task.fields[label]}", 4),
            BarColumn(None, table_column=Column(ratio=3)),
            TimeElapsedColumn(),
            console=console,
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._progress.stop()

    def at(self, name: str, label: str, fraction: float) -> None:
        completed = min(fraction, _NOT_YET)
        self._progress.update(self._task(name), completed=completed, label=label)

    def sending(self, name: str, sent: int, size: int) -> None:
        """A bar of its own, which starts anew for the job."""
        label = f"uploading {sent / 1e6:.1f} of {megabytes(size)}"
        self.at(name, label, sent / size if size else 1)

    def ended(self, name: str, label: str) -> None:
        self._progress.update(self._task(name), completed=1, label=label)

    def note(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._progress.console.print(text, markup=False)

    def _task(self, name: str) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(printable(name), total=1, label="")
        return self._tasks[name]
