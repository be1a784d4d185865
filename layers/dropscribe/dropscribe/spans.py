"""Stretches of time in integer milliseconds, and what can be done with lists of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """From `start_ms` up to, not including, `end_ms`."""

    start_ms: int
    end_ms: int

    @property
    def duration_ms(self) -> int:
        return self.end_ms - self.start_ms

    def moved(self, by_ms: int) -> Span:
        return Span(self.start_ms + by_ms, self.end_ms + by_ms)

    def within(self, bounds: Span) -> Span:
        """The part inside `bounds`; of no length where there is none."""
        start_ms = min(max(self.start_ms, bounds.start_ms), bounds.end_ms)
        return Span(start_ms, max(start_ms, min(self.end_ms, bounds.end_ms)))


def joined(spans: Iterable[Span], gap_ms: int = 0) -> list[Span]:
    """In order, without overlaps; those no more than `gap_ms` apart become one."""
    found: list[Span] = []
    for span in sorted(span for span in spans if span.duration_ms > 0):
        if found and span.start_ms <= found[-1].end_ms + gap_ms:
            found[-1] = Span(found[-1].start_ms, max(found[-1].end_ms, span.end_ms))
        else:
            found.append(span)
    return found


def without(spans: Iterable[Span], others: Iterable[Span]) -> list[Span]:
    """What of `spans` lies in none of `others`."""
    left: list[Span] = []
    taken = joined(others)
    first = 0
    for start_ms, end_ms in joined(spans):
        while first < len(taken) and taken[first].end_ms <= start_ms:
            first += 1
        at = first
        while at < len(taken) and taken[at].start_ms < end_ms:
            left.append(Span(start_ms, taken[at].start_ms))
            start_ms = taken[at].end_ms  # noqa: PLW2901 - what is left of the span
            at += 1
        left.append(Span(start_ms, end_ms))
    return [span for span in left if span.duration_ms > 0]


def total_ms(spans: Sequence[Span]) -> int:
    """Of all lengths; what overlaps counts twice."""
    return sum(span.duration_ms for span in spans)
