"""Which words of two texts are the same: of two tellings, or where one begins as the other ends."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, product
from typing import Final, NamedTuple

_CONTIGUOUS: Final = 0.5
"""What a pair is worth more that follows another one on both sides: "the … the" means little."""
_AHEAD: Final = 12
"""How many words two tellings of the same may be apart."""
_SPACELESS: Final = (
    *((0x0E00, 0x0EFF), (0x0F00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF)),
    *((0x3000, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF)),
    *((0xFF00, 0xFFEF), (0x20000, 0x3FFFF)),
)
"""Scripts written without spaces between words: Thai, Lao, Tibetan, Burmese, Khmer, Chinese and
Japanese, with their punctuation (Unicode blocks). Korean has spaces."""

_WORD: Final = re.compile(
    "[^ \t-\r\x1c-\x1f\x85\u1680\u2000-\u2006\u2008-\u200a\u2028\u2029\u205f\u3000]+"
)
"""All that is no space. Those that forbid a break are none: U+00A0, U+2007 and U+202F."""


class Token(NamedTuple):
    """A word; of a script without spaces, a character."""

    start: int
    """Where it is in its text: the offset of its first character, …"""
    end: int
    """… and that after its last."""
    sound: str
    """What is compared: without case and punctuation; empty for a dash that stands alone."""


class Pair(NamedTuple):
    """The same word in both texts, by its indexes."""

    left: int
    right: int


def tokens(text: str) -> list[Token]:
    """The words of a text."""
    return [
        Token(start, end, sound(text[start:end]))
        for begin, finish in _words(text)
        for start, end in _divided(text, begin, finish)
    ]


def sound(word: str) -> str:
    """A word as it is compared."""
    if word.isascii() and word.isalnum():
        return word.lower()
    folded = unicodedata.normalize("NFKC", word).casefold()
    return "".join(c for c in folded if unicodedata.category(c)[0] in "LMN")


def joined(texts: Sequence[str]) -> str:
    """One text of several, with a space between two where their scripts have one."""
    found: list[str] = []
    for text in texts:
        if not text:
            continue
        if found and not (is_spaceless(found[-1][-1]) and is_spaceless(text[0])):
            found.append(" ")
        found.append(text)
    return "".join(found)


def spaced(text: str) -> str:
    """The text on one line, with one space between words; spaces that forbid a break stay."""
    return " ".join(_WORD.findall(text))


def is_spaceless(character: str) -> bool:
    """Whether a character belongs to a script without spaces between words."""
    return ord(character) >= _SPACELESS[0][0] and any(
        first <= ord(character) <= last for first, last in _SPACELESS
    )


def aligned(
    left: Sequence[str], right: Sequence[str], worth: Callable[[int, int], float] | None = None
) -> list[Pair]:
    """The same words in the same order: as many as there can be, rather in one piece than strewn.

    `worth`: of pairing two indexes, up to 1 and 0 for never, where it is more than a matter of
    what they sound like. Takes time and memory in proportion to the product of both lengths.
    """
    best = [[0.0] * (len(right) + 1) for _ in range(len(left) + 1)]
    """[row][column]: the worth of the best pairs among the first so many words."""
    ending = [[0.0] * (len(right) + 1) for _ in range(len(left) + 1)]
    """Of those that end in a pair of the last two; 0 where these are none."""
    for row, column in product(range(len(left)), range(len(right))):
        if left[row] and left[row] == right[column]:
            own = worth(row, column) if worth else 1.0
            run = ending[row][column] + _CONTIGUOUS if ending[row][column] else 0.0
            ending[row + 1][column + 1] = own and own + max(best[row][column], run)
        best[row + 1][column + 1] = max(
            best[row][column + 1], best[row + 1][column], ending[row + 1][column + 1]
        )
    return list(_traced(best, ending))[::-1]


def _traced(best: list[list[float]], ending: list[list[float]]) -> Iterator[Pair]:
    """The pairs of the best alignment, from the last to the first."""
    row, column = len(best) - 1, len(best[0]) - 1
    in_run = False
    while row and column:
        if ending[row][column] and (in_run or ending[row][column] == best[row][column]):
            yield Pair(row - 1, column - 1)
            row, column = row - 1, column - 1
            in_run = (
                bool(ending[row][column]) and ending[row][column] + _CONTIGUOUS > best[row][column]
            )
        elif best[row - 1][column] >= best[row][column - 1]:
            row -= 1
        else:
            column -= 1


def overlapping(left: Sequence[str], right: Sequence[str], unpaired: float) -> list[Pair]:
    """The words that both have, where the end of one text is the beginning of the other.

    `unpaired`: what a word without a pair takes from the worth of an overlap, to which each pair
    adds 1. It is counted up to both edges: of a phrase that is said again and again, the place
    that reaches them is right. Takes time and memory in proportion to the product of both lengths.
    """
    best = [[-unpaired * column for column in range(len(right) + 1)]]
    """[row][column]: the worth of an overlap that reaches so far; it begins in any row."""
    for word in left:
        above, own = best[-1], [0.0]
        for column, other in enumerate(right):
            step = 1.0 if word == other else -unpaired
            beside = max(above[column + 1], own[-1]) - unpaired
            own.append(max(above[column] + step, beside))
        best.append(own)
    last = max(range(len(right) + 1), key=lambda column: best[-1][column])
    return list(_overlap(best, left, right, last))[::-1]


def _overlap(
    best: list[list[float]], left: Sequence[str], right: Sequence[str], column: int
) -> Iterator[Pair]:
    """The pairs of the best overlap, from the last to the first."""
    row = len(left)
    while row and column:
        if left[row - 1] == right[column - 1]:
            row, column = row - 1, column - 1
            yield Pair(row, column)
        else:
            steps = ((row - 1, column - 1), (row - 1, column), (row, column - 1))
            row, column = max(steps, key=lambda step: best[step[0]][step[1]])


def matched(left: Sequence[str], right: Sequence[str]) -> list[range]:
    """For each word of one telling those of another telling of the same: their indexes.

    Words may be divided otherwise, be missing, or be others: then what stands between two that are
    the same is shared out by length. Where there is none it is an empty range. Linear.
    """
    found: list[range] = []
    for rows, columns in _blocks(left, right):
        ours, theirs = ([len(word) for word in part] for part in (left[rows], right[columns]))
        found += _shared(ours, theirs, columns.start)
    return found


def _blocks(left: Sequence[str], right: Sequence[str]) -> Iterator[tuple[slice, slice]]:
    """What belongs together, in order: all of it, or single words and what is between them."""
    row = column = first = begin = 0
    same = "".join(left) == "".join(right)
    while not same and row < len(left) and column < len(right):
        ahead = _ahead(left, right, row, column)
        if ahead is None:
            row, column = row + 1, column + 1
            continue
        yield slice(first, ahead.left), slice(begin, ahead.right)
        row, column = first, begin = ahead.left + 1, ahead.right + 1
        yield slice(ahead.left, row), slice(ahead.right, column)
    yield slice(first, len(left)), slice(begin, len(right))


def _ahead(left: Sequence[str], right: Sequence[str], row: int, column: int) -> Pair | None:
    """The nearest word that both have; with its next one, if one side alone has words before it."""
    rows, columns = left[row : row + _AHEAD + 1], right[column : column + _AHEAD + 1]
    for steps in range(len(rows) + len(columns)):
        for a in range(max(0, steps - len(columns) + 1), min(steps + 1, len(rows))):
            b = steps - a
            if rows[a] and rows[a] == columns[b]:
                sure = a == b or rows[a + 1 : a + 2] == columns[b + 1 : b + 2]
                if sure:
                    return Pair(row + a, column + b)
    return None


def _shared(ours: Sequence[int], theirs: Sequence[int], first: int) -> Iterator[range]:
    """By lengths: the words of the other that each has a share in, counted from `first`."""
    ends, end = list(accumulate(theirs)), first
    at, whole = 0, sum(ours)
    for length in ours:
        begin, at = at, at + length
        start = end
        if length and ends and ends[-1]:
            start = first + bisect_right(ends, begin * ends[-1] // whole)
            end = first + bisect_right(ends, (at * ends[-1] - 1) // whole) + 1
        yield range(start, end)


def longest_run(pairs: Sequence[Pair]) -> list[Pair]:
    """The longest stretch of pairs that follow each other on both sides; of equals, the middle."""
    runs: list[list[Pair]] = []
    for pair in pairs:
        follows = runs and runs[-1][-1] == Pair(pair.left - 1, pair.right - 1)
        if follows:
            runs[-1].append(pair)
        else:
            runs.append([pair])
    most = max((len(run) for run in runs), default=0)
    longest = [run for run in runs if len(run) == most]
    return longest[len(longest) // 2] if longest else []


def _words(text: str) -> Iterator[tuple[int, int]]:
    """What stands between spaces, by its offsets; one that forbids a break is none."""
    return (match.span() for match in _WORD.finditer(text))


def _divided(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A word of a script without spaces as its characters, each with the marks that follow it."""
    begin = start
    for at in range(start + 1, 0 if text[start:end].isascii() else end):
        mark = unicodedata.category(text[at])[0] in "MP"
        if not mark and (is_spaceless(text[at]) or is_spaceless(text[at - 1])):
            yield begin, at
            begin = at
    yield begin, end
