"""Text that breaks subtitles, and cues of it."""

from __future__ import annotations

import unicodedata
from typing import Final

from dropscribe.cues import Cue

HOSTILE: Final = [
    "a --> b",
    "00:00:09.000 --> 00:00:10.000",
    "-->",
    "--\x00>",
    "--\ufeff> no",
    "WEBVTT",
    "NOTE this",
    "STYLE",
    "REGION",
    "7",
    "<b>bold</b>",
    "<v Other>words",
    "<c.loud>",
    "</v>",
    "<00:00:01.000>",
    "a < b and c > d",
    "1 < 2",
    "<3",
    "<",
    "&lt; &amp; &#60; &nbsp;",
    "AT&T",
    r"{\an8}above",
    "{y:i}leaning",
    "\ufeffWEBVTT",
    "bo\ufeffm",
    "nul\x00l",
    "\x1b[31mred",
    "bell\x07 \x7f \x9b",
    "new\nline",
    "carriage\r\rreturn",
    "empty\n\n\nline",
    "form\x0cfeed \x0b \x1c\x1d\x1e\x1f",
    "next\x85line",
    "line\u2028paragraph\u2029end",
    "half \ud83d of",
    "\udcff",
    "e\u0301a\u0308",
    "\U0001f469\u200d\U0001f52c \U0001f1e9\U0001f1ea",
    "می\u200cخواهم",  # noqa: RUF001 -- Persian
    "\u202eforced\u202c",
    "שלום, Windows 11!",
    "  many   spaces  ",
    "\u3000全角\u3000",
]
BLANK: Final = ["", " ", "\n", "\t \r\n", "\x00", "\ufeff", "\u2028", "\u3000", "\x85 \x1c"]
NAMES: Final = [
    "A",
    "Ann Lee",
    "a>b",
    "a.b.c",
    ".x",
    "1 --> 2",
    "AT&T",
    "&gt;",
    "<v B>",
    "Ann\n\nB",
]


def ink(text: str) -> str:
    """What of a text can be seen, as UTF-8 has it."""
    whole = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    whole = whole.replace("\ufffd\ufffd\ufffd", "\ufffd")  # a half character has three bytes
    marks = "\ufeff\u202b\u202c"
    return "".join(
        c
        for c in whole
        if c not in marks and unicodedata.category(c) not in ("Cc", "Zs", "Zl", "Zp")
    )


def cue(start_ms: int, end_ms: int, *lines: str, speaker: str | None = None) -> Cue:
    """As it would be cut, but for the name, which is a matter of cutting."""
    return Cue(start_ms=start_ms, end_ms=end_ms, lines=lines, named=lines, speaker=speaker)


def shown(*texts: str, speaker: str | None = None, from_ms: int = 0) -> list[Cue]:
    """Each text a cue of one line, half of a second apart."""
    return [
        cue(from_ms + 2000 * at, from_ms + 2000 * at + 1500, text, speaker=speaker)
        for at, text in enumerate(texts)
    ]
