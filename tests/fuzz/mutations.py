"""What is done to valid media: damage, and forgery of the numbers that their headers hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

Mutation = Callable[[bytearray, bytes, Random], bytearray]
"""From a file and another one, which stays as it is."""

LONGEST_BYTES: Final = 1 << 20
_NAME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9 ]{3}")
"""Of a box, a chunk, an atom: its length stands before or after it."""


def mutated(original: bytes, others: Sequence[bytes], chance: Random) -> bytes:
    """One to four mutations; the same for the same `chance`."""
    content = bytearray(original)
    for _ in range(chance.choice((1, 1, 2, 3, 4))):
        mutation = chance.choice(MUTATIONS)
        content = mutation(content, chance.choice(others), chance) or bytearray(b"\0")
    return bytes(content[:LONGEST_BYTES])


def _place(content: bytearray, chance: Random) -> int:
    """Half of the time in the header, where it matters most."""
    end = min(len(content), chance.choice((64, 1024, len(content), len(content))))
    return chance.randrange(max(end, 1))


def _block(content: bytes | bytearray, chance: Random) -> tuple[int, int]:
    start = chance.randrange(max(len(content), 1))
    return start, start + chance.choice((1, 4, 16, 188, 1024, chance.randrange(1, 65_536)))


def _number(chance: Random, size: int) -> bytes:
    most = (1 << 8 * size) - 1
    values = (0, 1, 2, most, most - 1, most >> 1, (most >> 1) + 1, chance.randint(0, most))
    return chance.choice(values).to_bytes(size, chance.choice(("little", "big")))


def flip_bits(content: bytearray, other: bytes, chance: Random) -> bytearray:
    for _ in range(chance.choice((1, 2, 8, 64))):
        content[_place(content, chance)] ^= 1 << chance.randrange(8)
    return content


def overwrite(content: bytearray, other: bytes, chance: Random) -> bytearray:
    at, size = _place(content, chance), chance.choice((1, 4, 32, 512, 8192))
    run = chance.choice((b"\0" * size, b"\xff" * size, chance.randbytes(size)))
    content[at : at + size] = run[: len(content) - at]
    return content


def truncate(content: bytearray, other: bytes, chance: Random) -> bytearray:
    return content[: _place(content, chance)]


def behead(content: bytearray, other: bytes, chance: Random) -> bytearray:
    return content[_place(content, chance) :]


def splice(content: bytearray, other: bytes, chance: Random) -> bytearray:
    return content[: _place(content, chance)] + other[chance.randrange(len(other)) :]


def repeat(content: bytearray, other: bytes, chance: Random) -> bytearray:
    start, end = _block(content, chance)
    times = chance.choice((1, 1, 2, 16, 300))
    return content[:end] + content[start:end] * times + content[end:]


def remove(content: bytearray, other: bytes, chance: Random) -> bytearray:
    start, end = _block(content, chance)
    return content[:start] + content[end:]


def insert_foreign(content: bytearray, other: bytes, chance: Random) -> bytearray:
    at, (start, end) = _place(content, chance), _block(other, chance)
    return content[:at] + other[start:end] + content[at:]


def set_number(content: bytearray, other: bytes, chance: Random) -> bytearray:
    at, size = _place(content, chance), chance.choice((1, 2, 4, 8))
    content[at : at + size] = _number(chance, size)
    return content


def set_named_number(content: bytearray, other: bytes, chance: Random) -> bytearray:
    """At most 40 bytes from the name of a box or chunk: its length, a count, a rate."""
    names = [found.start() for found in _NAME.finditer(bytes(content[:65_536]))]
    if not names:
        return content
    size = chance.choice((2, 4, 4, 8))
    at = max(chance.choice(names) + chance.choice((-4, 4, 8, 12, 16, 20, 24, 28, 36)), 0)
    content[at : at + size] = _number(chance, size)
    return content


def rename(content: bytearray, other: bytes, chance: Random) -> bytearray:
    """A box or chunk becomes another one, of this file or of a foreign one."""
    names = list(_NAME.finditer(bytes(content[:65_536])))
    donors = _NAME.findall(chance.choice((bytes(content), other))[:65_536])
    if names and donors:
        at = chance.choice(names).start()
        content[at : at + 4] = chance.choice(donors)
    return content


MUTATIONS: Final[tuple[Mutation, ...]] = (
    *(flip_bits, overwrite, truncate, behead, splice, repeat, remove, insert_foreign),
    *(set_number, set_number, set_named_number, set_named_number, set_named_number, rename),
)
"""Those of numbers more often: they lead furthest into a demuxer."""
