"""Where a long recording is cut into chunks: pure arithmetic on its length and its pauses."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from math import ceil
from typing import Final

from dropscribe.spans import Span, total_ms

SHORTEST_MS: Final = 60_000
"""A recording is not cut into chunks that are on average shorter than this."""
OVERLAP_MS: Final = 8_000
"""Of two chunks where no pause is in reach: some twenty words, by which the seam is found again."""
REACH: Final = 0.25
"""How far a cut may be from where all chunks would be equal, in parts of their length."""
FILLED: Final = 0.8
"""Of the longest chunk allowed, on average: leaves room to move the cuts into pauses."""
_LONG_PAUSE_MS: Final = 3_000
"""Longer ones are no better: nobody is in the middle of a sentence."""
_EDGE_MS: Final = 150
"""Kept from a pause's edge, where a word fades."""
_TELLING: Final = 0.5
"""Part of the time that may lie below a level whose pauses are to mean something."""

Pauses = Sequence[Sequence[Span]]
"""Pauses in order of time, for each of some levels below which it is silent, quietest first."""


def plan(
    duration_ms: int,
    pauses: Pauses,
    *,
    longest_ms: int,
    parallel: int = 1,
    shortest_ms: int = SHORTEST_MS,
) -> list[Span]:
    """The chunks of a recording, in order, from 0 to `duration_ms`, each at most `longest_ms`.

    As many as can be transcribed at once (`parallel`, or a multiple of it where the limit demands
    more), but not shorter than `shortest_ms` on average. One ends where the next begins, in the
    middle of a pause; where none is in reach, both go `OVERLAP_MS / 2` beyond the cut.
    """
    overlap_ms = min(OVERLAP_MS, longest_ms // 4)
    most_ms = longest_ms - overlap_ms
    count = _count(duration_ms, longest_ms, most_ms, parallel, shortest_ms)
    cuts = [(0, False), *_cuts(duration_ms, pauses, count, most_ms), (duration_ms, False)]
    beyond_ms = overlap_ms // 2
    return [
        Span(start - beyond_ms * overlaps, end + beyond_ms * overlapping)
        for (start, overlaps), (end, overlapping) in pairwise(cuts)
    ]


def liveliest(chunks: Sequence[Span], pauses: Pauses) -> int:
    """The index of the chunk with the fewest pauses in it, by their share of its time."""

    def silent(index: int) -> float:
        chunk = chunks[index]
        silent_ms = sum(total_ms([p.within(chunk) for p in level]) for level in pauses)
        return silent_ms / max(chunk.duration_ms, 1)

    return min(range(len(chunks)), key=silent)


def _count(duration_ms: int, longest_ms: int, most_ms: int, parallel: int, shortest_ms: int) -> int:
    """How many chunks: whole rounds of `parallel` ones, so that no round has an idle place."""
    filled_ms = min(most_ms, round(longest_ms * FILLED))
    needed = 1 if duration_ms <= longest_ms else ceil(duration_ms / filled_ms)
    affordable = max(duration_ms // shortest_ms, 1)
    rounds = ceil(needed / parallel)
    return max(needed, min(rounds * parallel, affordable))


def _cuts(duration_ms: int, pauses: Pauses, count: int, most_ms: int) -> Iterator[tuple[int, bool]]:
    """Each place to cut, and whether the chunks overlap there.

    The chunks that are left are always evened out anew, so that a cut that had to move does not
    make the last chunk longer than allowed.
    """
    start_ms = 0
    for left in range(count, 1, -1):
        even_ms = start_ms + (duration_ms - start_ms) // left
        reach_ms = round((even_ms - start_ms) * REACH)
        window = Span(
            max(even_ms - reach_ms, duration_ms - (left - 1) * most_ms),
            min(even_ms + reach_ms, start_ms + most_ms),
        )
        found_ms = _in_pause(pauses, window, even_ms)
        start_ms = even_ms if found_ms is None else found_ms
        yield start_ms, found_ms is None


def _in_pause(pauses: Pauses, window: Span, even_ms: int) -> int | None:
    """The best place in the quietest pauses of a window; None where there are none.

    A level below which it is mostly quiet does not tell pauses from faint speech: only the
    quietest one, which nobody speaks below, is trusted then.
    """
    for level, spans in enumerate(pauses):
        near = list(_near(spans, window))
        telling = total_ms(near) <= _TELLING * window.duration_ms
        if near and (telling or level == 0):
            return max((_worth(span, window, even_ms), _place(span, even_ms)) for span in near)[1]
    return None


def _near(spans: Sequence[Span], window: Span) -> Iterator[Span]:
    """The parts of pauses that lie in the window, without the edges of the pauses."""
    first = bisect_left(spans, window.start_ms, key=lambda span: span.end_ms)
    for span in islice(spans, first, None):
        if span.start_ms >= window.end_ms:
            return
        inner = Span(span.start_ms + _EDGE_MS, span.end_ms - _EDGE_MS).within(window)
        if inner.duration_ms > 0:
            yield inner


def _place(span: Span, even_ms: int) -> int:
    """The middle of a pause; in a long one, as near to an even cut as it is safe."""
    inset_ms = min(span.duration_ms, _LONG_PAUSE_MS) // 2
    return min(max(even_ms, span.start_ms + inset_ms), span.end_ms - inset_ms)


def _worth(span: Span, window: Span, even_ms: int) -> float:
    """Long pauses are worth going some way for."""
    length = min(span.duration_ms / _LONG_PAUSE_MS, 1)
    return length - abs(_place(span, even_ms) - even_ms) / max(window.duration_ms, 1)
