"""Times are integer milliseconds inside; this is the only place that prints or reads others."""

from __future__ import annotations


def timestamp(ms: int, decimal: str = ".") -> str:
    """`3_723_004` → ``01:02:03.004``; hours grow past two digits where they must."""
    hour, minute, second = ms // 3_600_000, ms // 60_000 % 60, ms // 1000 % 60
    # Half of the time of an f-string, and most of what writing subtitles takes.
    return "%02d:%02d:%02d%s%03d" % (hour, minute, second, decimal, ms % 1000)  # noqa: UP031


def to_seconds(ms: int) -> float:
    """Milliseconds as the API's float seconds."""
    return ms / 1000


def to_ms(seconds: float) -> int:
    """The API's float seconds as milliseconds, rounded to the nearest."""
    return round(seconds * 1000)
