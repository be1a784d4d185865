"""What stands in a cue of srt and vtt: nothing that would end it, and each line in its order."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

_NOTHING: Final = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), 0xFEFF))
"""Control characters, and the mark of byte order that players show or take for a new document."""
_SPACE: Final = dict.fromkeys((*range(0x09, 0x0E), *range(0x1C, 0x20), 0x85, 0x2028, 0x2029), " ")
"""What some reader or other takes for the end of a line."""
_LOST: Final = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
"""Halves of characters: no UTF-8 is made of them."""
_SAFE: Final = {**_NOTHING, **_SPACE, **_LOST}
_RIGHT_TO_LEFT: Final = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
_EMBEDDED: Final = "\u202b{}\u202c"
"""A line of its own direction whatever the player's is: RLE … PDF. A mark at its ends (RLM) would
turn its punctuation only, and leave `Word شيء` in a left-to-right order."""


def written(lines: Sequence[str], said: Sequence[str]) -> str:
    """A cue's lines joined by line feeds; empty where nothing of them can be shown.

    `said`: the lines without the speaker's name, which may be of another script.
    """
    shown = [shown for line in lines if (shown := safe(line))]
    if _is_right_to_left(said):
        shown = [line if _is_plain(line) else _EMBEDDED.format(line) for line in shown]
    return "\n".join(shown)


def safe(text: str) -> str:
    """One line of UTF-8 without control characters, and without space around it."""
    if text.isprintable():
        return text.strip()
    return " ".join(part for part in text.translate(_SAFE).split(" ") if part).strip()


def _is_right_to_left(said: Sequence[str]) -> bool:
    """Whether most words of a cue are: words and not letters, as names in Latin are long."""
    whole = " ".join(said)
    if whole.isascii() or not _RIGHT_TO_LEFT.search(whole):
        return False
    words = whole.split()
    turned = sum(bool(_RIGHT_TO_LEFT.search(word)) for word in words)
    return 2 * turned >= sum(any(map(str.isalpha, word)) for word in words)


def _is_plain(line: str) -> bool:
    """Whether a line is in order by itself: of its own direction alone, and at both ends."""
    kinds = [unicodedata.bidirectional(character) for character in line]
    return "L" not in kinds and {kinds[0], kinds[-1]} <= {"R", "AL"}
