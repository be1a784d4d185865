"""Media made by hand, byte by byte: valid, or hostile in one place."""

from __future__ import annotations

import struct
from typing import Any

RATE_HZ = 16_000
SOUND = b"".join(struct.pack("<h", (at * 2311) % 20_000 - 10_000) for at in range(RATE_HZ))
"""A second of 16-bit samples."""


def wav(**forged: Any) -> bytes:
    """A RIFF file; by name: `tag, channels, rate, align, bits, data_size, data`."""
    fields: dict[str, Any] = {
        "tag": 1,
        "channels": 1,
        "rate": RATE_HZ,
        "align": 2,
        "bits": 16,
        "data": SOUND,
    }
    fields = fields | forged
    data = fields["data"]
    described = struct.pack(
        "<HHIIHH",
        fields["tag"],
        fields["channels"],
        fields["rate"],
        fields["rate"] * fields["align"] & 0xFFFFFFFF,
        fields["align"],
        fields["bits"],
    )
    size = fields.get("data_size", len(data))
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + described
    chunks += b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", fields.get("size", len(chunks))) + chunks


def box(kind: bytes, *content: bytes) -> bytes:
    joined = b"".join(content)
    return struct.pack(">I", 8 + len(joined)) + kind + joined


def full(kind: bytes, *content: bytes, flags: int = 0) -> bytes:
    """A box with version 0 and flags."""
    return box(kind, struct.pack(">I", flags), *content)


def reference(kind: bytes, target: bytes) -> bytes:
    """An entry of `dref` that says that the samples are elsewhere."""
    return full(kind, target)


def alias(path: bytes) -> bytes:
    """As QuickTime has it: volume, folders and the absolute path in a row of tagged strings."""
    name = path.rpartition(b"/")[2]
    fixed = struct.pack(">4sHHH", b"\0" * 4, 0, 2, 0) + bytes([1]) + b"V".ljust(27, b"\0")
    fixed += bytes(12) + bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16)
    fixed += struct.pack(">hh", 0, 0) + bytes(16)
    padded = path + b"\0" * (len(path) % 2)
    absolute = struct.pack(">HH", 18, len(path)) + padded
    absolute += struct.pack(">HH", 2, len(path)) + padded.replace(b"/", b":")
    return full(b"alis", fixed + absolute + struct.pack(">HH", 0xFFFF, 0))


SELF_CONTAINED = full(b"url ", flags=1)


def mov(**forged: Any) -> bytes:
    """A QuickTime file of one PCM track.

    By name: `dref` (an entry), `timescale, duration, count` (of samples, in stsz), `deltas` (pairs
    of count and duration, in stts), `per_chunk`, `offset` (of the data), `offsets` (how many stco
    claims), `rate, channels`.
    """
    head = box(b"ftyp", b"qt  ", struct.pack(">I", 0), b"qt  ")
    offset = forged.get("offset", len(head) + 8)
    scale = forged.get("timescale", RATE_HZ)
    duration = forged.get("duration", RATE_HZ)
    rate = forged.get("rate", RATE_HZ) & 0xFFFF
    described = struct.pack(
        ">6xHHHIHHHHI", 1, 0, 0, 0, forged.get("channels", 1), 16, 0, 0, rate << 16
    )
    deltas = forged.get("deltas", [(RATE_HZ, 1)])
    table = box(
        b"stbl",
        full(b"stsd", struct.pack(">I", 1), box(b"sowt", described)),
        full(b"stts", struct.pack(">I", len(deltas)), *(struct.pack(">II", *d) for d in deltas)),
        full(b"stsc", struct.pack(">IIII", 1, 1, forged.get("per_chunk", RATE_HZ), 1)),
        full(b"stsz", struct.pack(">II", 2, forged.get("count", RATE_HZ))),
        full(b"stco", struct.pack(">II", forged.get("offsets", 1), offset & 0xFFFFFFFF)),
    )
    references = full(b"dref", struct.pack(">I", 1), forged.get("dref", SELF_CONTAINED))
    media = box(
        b"mdia",
        full(b"mdhd", struct.pack(">IIIIHH", 0, 0, scale, duration, 0, 0)),
        full(b"hdlr", b"mhlrsoun", bytes(12), b"\0"),
        box(b"minf", full(b"smhd", bytes(4)), box(b"dinf", references), table),
    )
    track = full(b"tkhd", struct.pack(">IIIII", 0, 0, 1, 0, duration), bytes(60), flags=3)
    movie = full(b"mvhd", struct.pack(">IIII", 0, 0, scale, duration), bytes(80))
    return head + box(b"mdat", SOUND) + box(b"moov", movie, box(b"trak", track, media))


def synchsafe(size: int) -> bytes:
    return bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))


def id3(frame: bytes, claimed: int, content: bytes, *, tag_size: int | None = None) -> bytes:
    """An ID3v2.3 tag with one frame, which may claim to be longer than it is."""
    body = frame + struct.pack(">IH", claimed, 0) + content
    return b"ID3\x03\0\0" + synchsafe(len(body) if tag_size is None else tag_size) + body
