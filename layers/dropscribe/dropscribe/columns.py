"""How wide text is: in columns, of which a Chinese character or an emoji takes two."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import wcwidth


def columns(text: str) -> int:
    """Of one line, as a font of fixed width has it: combining marks take none."""
    return len(text) if text.isascii() else wcwidth.width(text)


def graphemes(text: str) -> Iterator[str]:
    """What readers take for one character: a letter with its marks, an emoji with its parts."""
    return iter(text) if text.isascii() else wcwidth.iter_graphemes(text)


def is_wide(text: str) -> bool:
    """Whether most of a text is of characters two columns wide: Chinese, Japanese, Korean."""
    if text.isascii():
        return False
    letters = [character for character in text if character.isalpha()]
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in letters)
    return 2 * wide > len(letters)
