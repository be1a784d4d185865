"""Which faults strike: drawn from a seed and from what they strike, not from when it happens.

Two runs of one seed differ only where the threads of the route do.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

_Choice = TypeVar("_Choice")


class Plan:
    """Draws faults and keeps the diary of those that struck."""

    def __init__(self, seed: int, rate: float, diary: Path) -> None:
        """`rate`: the share of all that fails, 0 to 1. `diary`: a line of JSON for each fault."""
        self.seed, self.rate = seed, rate
        self.struck: Counter[str] = Counter()
        """Faults by site and kind."""
        self._failing = threading.Event()
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._diary = diary.open("w")

    def start(self) -> None:
        """From now on things fail."""
        self._failing.set()

    def stop(self) -> None:
        """From now on nothing fails."""
        self._failing.clear()

    @property
    def calm(self) -> bool:
        return not self._failing.is_set()

    def draw(self, *what: object) -> float:
        """From 0 up to, not including, 1: always the same for the same seed and the same words."""
        words = "\0".join(map(str, (self.seed, *what)))
        return int.from_bytes(hashlib.sha256(words.encode()).digest()[:6], "big") / 2**48

    def fails(self, *what: object, share: float = 1.0) -> bool:
        """Whether this fails; `share`: of the rate."""
        return not self.calm and self.draw(*what) < self.rate * share

    def choice(self, among: Sequence[_Choice], *what: object) -> _Choice:
        return among[int(self.draw("choice", *what) * len(among))]

    def note(self, site: str, *what: object) -> None:
        """Write down a fault that did strike."""
        with self._lock:
            self.struck[site] += 1
            line = {"s": round(time.monotonic() - self._started, 3), "site": site, "what": what}
            self._diary.write(json.dumps(line, default=str, ensure_ascii=False) + "\n")
            self._diary.flush()

    def close(self) -> None:
        self._diary.close()
