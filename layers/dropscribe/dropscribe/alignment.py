"""Which words of two texts are the same, where one begins with the end of the other."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Final, NamedTuple

_CONTIGUOUS: Final = 0.5
"""What a pair is worth more that follows another one on both sides: "the … the" means little."""
_SPACELESS: Final = (
    *((0x0E00, 0x0EFF), (0x0F00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF)),
    *((0x3000, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF)),
    *((0xFF00, 0xFFEF), (0x20000, 0x3FFFF)),
)
"""Scripts written without spaces between words: Thai, Lao, Tibetan, Burmese, Khmer, Chinese and
Japanese, with their punctuation (Unicode blocks). Korean has spaces."""


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


def is_spaceless(character: str) -> bool:
    """Whether a character belongs to a script without spaces between words."""
    return any(first <= ord(character) <= last for first, last in _SPACELESS)


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
    """What stands between spaces, by its offsets."""
    return (match.span() for match in re.finditer(r"\S+", text))


def _divided(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A word of a script without spaces as its characters, each with the marks that follow it."""
    begin = start
    for at in range(start + 1, end):
        mark = unicodedata.category(text[at])[0] in "MP"
        if not mark and (is_spaceless(text[at]) or is_spaceless(text[at - 1])):
            yield begin, at
            begin = at
    yield begin, end
