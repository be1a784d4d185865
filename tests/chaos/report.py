"""A run's report, for people."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.run import Result
from tests.chaos.verdict import Verdict

MOST_NAMED = 5
"""Of those that something is wrong with."""


def lines(result: Result, verdict: Verdict) -> Iterator[str]:
    """What happened, what became of it, and what must not be."""
    outcomes, codes = verdict.outcomes, verdict.codes
    yield f"uploads                    {len(verdict.cases)}"
    yield f"  completed                {outcomes['completed']}"
    yield f"  failed with a reason     {outcomes['failed']}"
    for code, many in sorted(codes.items()):
        yield f"    {code:22} {many}"
    yield f"  run again by hand        {result.redriven}"
    yield f"faults                     {sum(result.struck.values())}"
    for site, many in result.struck.items():
        yield f"  {site:40} {many}"
    yield f"sweeps                     {result.sweeps}"
    yield f"dead letters               {result.dead_letters}"
    yield "must be 0"
    for name, whose in verdict.wrong.items():
        yield f"  {name:50} {len(whose)}"
        yield from (f"      {one}" for one in whose[:MOST_NAMED])
    yield f"wall time                  {result.wall_s:.0f} s"
