"""Waiting for what must come."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

PATIENCE_S: Final = 600.0
"""Before a test that waits for something has failed.

More than a loaded machine stalls; where all is well nobody waits so long.
"""

T = TypeVar("T")


def until(check: Callable[[], T]) -> T:
    """The first true answer."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := check()):
        assert time.monotonic() < deadline, f"nothing within {PATIENCE_S:.0f} s"
        time.sleep(0.02)
    return answer
