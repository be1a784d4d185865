"""Server-sent events: bytes as they arrive → the text of each event. Source: the HTML standard."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator


def messages(pieces: Iterable[bytes]) -> Iterator[str]:
    """The `data` of each event, as soon as its last byte is there, however the bytes are split.

    Names and ids of events are passed over. An event that the stream ends in is given as far as it
    goes; whether it is whole its JSON tells.
    """
    data: list[str] = []
    for number, line in enumerate(_lines(pieces)):
        text = (line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line).decode(
            "utf-8", "replace"
        )
        field, _, value = text.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        elif not text and data:
            yield "\n".join(data)
            data = []
    if data:
        yield "\n".join(data)


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines that end in CR, LF or both; a CR ends its line without waiting for an LF.

    Not `bytes.splitlines` of the whole and not `str.splitlines`, which cuts at U+2028 too.
    """
    begun: list[bytes] = []
    after_cr = False
    for piece in pieces:
        rest = piece.removeprefix(b"\n") if after_cr else piece
        if not piece:
            continue
        after_cr = piece.endswith(b"\r")
        *ends, last = re.split(rb"\r\n|\n|\r", rest)
        for end in ends:
            yield b"".join([*begun, end])
            begun = []
        begun.append(last)
    if line := b"".join(begun):
        yield line
