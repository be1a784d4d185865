"""A run's report, for people."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.run import Result
from tests.chaos.verdict import Verdict

MOST_NAMED = 5
"""Of those that something is wrong with."""


def lines(result: Result, verdict: Verdict) -> Iterator[str]:
    """What happened, what became of it, and what must not be."""
    yield from _outcomes(result, verdict)
    yield from _paid(result, verdict)
    yield f"faults                        {sum(result.struck.values())}"
    for site, many in result.struck.items():
        yield f"  {site:40} {many}"
    yield "must be 0"
    for name, whose in verdict.wrong.items():
        yield f"  {name:50} {len(whose)}"
        yield from (f"      {one}" for one in whose[:MOST_NAMED])
    yield f"wall time                     {result.wall_s:.0f} s"


def _outcomes(result: Result, verdict: Verdict) -> Iterator[str]:
    news = [case.trace.news for case in verdict.cases]
    repeats = sum(len(told) - len({n["message"]["id"] for n in told}) for told in news)
    yield f"uploads                       {len(verdict.cases)}"
    yield f"  completed                   {verdict.outcomes['completed']}"
    yield f"  failed with a reason        {verdict.outcomes['failed']}"
    for code, many in sorted(verdict.codes.items()):
        yield f"    {code:25} {many}"
    yield f"  run again by hand           {result.redriven}"
    yield f"  started by the sweep        {result.queued}"
    yield f"  reported by the sweep       {result.reported}"
    yield f"notifications                 {sum(map(len, news))}, of which repeats {repeats}"
    yield f"dead letters                  {result.dead_letters}"


def _paid(result: Result, verdict: Verdict) -> Iterator[str]:
    billed = sum(entry.billed for entry in result.books)
    pieces = sum(len(case.trace.pieces) for case in verdict.cases)
    ambiguous = sum(case.trace.calls["sent"] for case in verdict.cases)
    yield f"API requests                  {len(result.books)}, of which billed {billed}"
    yield f"  pieces asked about          {pieces}"
    yield f"  ambiguous calls             {ambiguous}"
