"""The outcomes as one table, and below it what was expected where something else came."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.conformance.cases import HTTP, NOT_PASSED, SDKS, Level

OWN: Final = "client"
COLUMNS: Final = (*SDKS, *HTTP, OWN)
NO_CALL: Final = "–"  # noqa: RUF001 - a dash, as tables have it
WIDTH: Final = 118
TITLE_WIDTH: Final = 38


@dataclass(frozen=True)
class Row:
    """One case. A client that is not in `problems` has no way to make the call."""

    id: str
    level: Level
    title: str
    problems: dict[str, list[str]] = field(default_factory=dict)
    """Client → what is wrong, empty where nothing is."""
    missing: bool = False
    """It should have been asked, and was not."""

    @property
    def failed(self) -> list[str]:
        return [client for client, problems in self.problems.items() if problems]

    @property
    def passed(self) -> bool:
        return not self.failed and not self.missing


def show(rows: list[Row], seconds: float) -> int:
    """Print it all; the exit code tells whether everything that must be passed is."""
    lines = [_line("case", "level", "what", COLUMNS), "-" * WIDTH]
    lines += [_line(row.id, row.level, row.title, _cells(row)) for row in rows]
    for row in rows:
        lines += _explained(row)
    print("\n".join([*lines, "", _totals(rows, seconds)]))  # noqa: T201 - it is there to print
    return int(any(row.level == "must" and not row.passed for row in rows))


def _line(id_: str, level: str, title: str, cells: tuple[str, ...]) -> str:
    head = f"{id_:<9}{level:<7}{title[:TITLE_WIDTH]:<{TITLE_WIDTH + 1}}"
    return (head + "".join(f"{cell:>9}" for cell in cells)).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    if row.missing:
        return tuple("missing" if column == OWN else NO_CALL for column in COLUMNS)
    marks = {client: "FAIL" if problems else "ok" for client, problems in row.problems.items()}
    return tuple(marks.get(column, NO_CALL) for column in COLUMNS)


def _explained(row: Row) -> Iterator[str]:
    """What came instead; clients that saw the same are named together."""
    seen: dict[str, list[str]] = {}
    for client in row.failed:
        seen.setdefault("\n".join(row.problems[client]), []).append(client)
    for problems, clients in seen.items():
        yield f"\n{row.id} ({row.level}) {row.title}: {', '.join(clients)}"
        for problem in problems.split("\n"):
            yield textwrap.fill(problem, WIDTH, initial_indent="  ", subsequent_indent="    ")
    if seen and row.id in NOT_PASSED:
        yield textwrap.fill(f"Why: {NOT_PASSED[row.id]}", WIDTH, initial_indent="  ")


def _totals(rows: list[Row], seconds: float) -> str:
    parts = []
    for level in ("must", "should"):
        of_level = [row for row in rows if row.level == level]
        parts.append(f"{sum(row.passed for row in of_level)} of {len(of_level)} `{level}`")
    calls = sum(len(row.problems) for row in rows)
    failed = sum(len(row.failed) for row in rows)
    return f"Passed: {', '.join(parts)}; {calls} outcomes, {failed} FAIL, {seconds:.0f} s"
