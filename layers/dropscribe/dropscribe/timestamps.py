"""Times are integer milliseconds inside; this is the only place that prints or reads others."""

from __future__ import annotations


def timestamp(ms: int, decimal: str = ".") -> str:
    """`3_723_004` → ``01:02:03.004``; hours grow past two digits where they must."""
    seconds, milliseconds = divmod(ms, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02d}:{minute:02d}:{second:02d}{decimal}{milliseconds:03d}"


def to_seconds(ms: int) -> float:
    """Milliseconds as the API's float seconds."""
    return ms / 1000


def to_ms(seconds: float) -> int:
    """The API's float seconds as milliseconds, rounded to the nearest."""
    return round(seconds * 1000)
