"""Which words of a text were heard where a recognizer listened for it, and may have misheard."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from itertools import islice
from typing import Final

from dropscribe.alignment import Pair, aligned

RUN: Final = 3
"""Words in a row that show where in the text we are, …"""
MOST_PLACES: Final = 20
"""… unless they are in more places than this."""
MOST_PRODUCT: Final = 400_000
"""Words of the text times words heard that are compared each with each: half a second."""


def paired(text: Sequence[Hashable], heard: Sequence[Hashable]) -> list[Pair]:
    """Which heard word is which of the text, in order of both.

    First the runs that place themselves, then what is between them, word by word.
    """
    found: list[Pair] = []
    fixed = [] if len(text) * len(heard) <= MOST_PRODUCT else _runs(text, heard)
    last = Pair(-1, -1)
    for pair in [*fixed, Pair(len(text), len(heard))]:
        ours = [str(number) for number in text[last.left + 1 : pair.left]]
        theirs = [str(number) for number in heard[last.right + 1 : pair.right]]
        if len(ours) * len(theirs) <= MOST_PRODUCT:
            between = aligned(ours, theirs)
            found += (Pair(a + last.left + 1, b + last.right + 1) for a, b in between)
        found.append(pair)
        last = pair
    return found[:-1]


def sure(pairs: Sequence[Pair], text: int, heard: int) -> list[Pair]:
    """Those that follow each other on both sides, or begin or end both: single ones are chance."""
    around = {*pairs, Pair(-1, -1), Pair(text, heard)}
    return [
        pair
        for pair in pairs
        if {Pair(pair.left - 1, pair.right - 1), Pair(pair.left + 1, pair.right + 1)} & around
    ]


def _runs(text: Sequence[Hashable], heard: Sequence[Hashable]) -> list[Pair]:
    """The first words of runs that both have: as many as there are in the same order."""
    places = _places(heard)
    ends: list[int] = []
    """Of the chains so far of each length the last heard word of that which ends first, …"""
    links: list[tuple[Pair, object]] = []
    """… and the chain itself: its last pair and the chain before that."""
    for left, run in _grams(text):
        # From behind, so that no chain has two of them.
        for right in reversed(places.get(run, [])):
            length = bisect_left(ends, right)
            link = (Pair(left, right), links[length - 1] if length else None)
            ends[length : length + 1], links[length : length + 1] = [right], [link]
    return _chain(links[-1] if links else None)


def _chain(link: object) -> list[Pair]:
    found: list[Pair] = []
    while isinstance(link, tuple):
        pair, link = link
        found.append(pair)
    return found[::-1]


def _places(words: Sequence[Hashable]) -> dict[tuple[Hashable, ...], list[int]]:
    """Where each run begins, without those that are everywhere."""
    found: dict[tuple[Hashable, ...], list[int]] = defaultdict(list)
    for at, run in _grams(words):
        found[run].append(at)
    return {run: places for run, places in found.items() if len(places) <= MOST_PLACES}


def _grams(words: Sequence[Hashable]) -> Iterator[tuple[int, tuple[Hashable, ...]]]:
    shifted = (islice(words, first, None) for first in range(RUN))
    return enumerate(zip(*shifted, strict=False))
