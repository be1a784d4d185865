"""The transcription API on a bad day, with books of what it would bill.

It recognizes what it is sent (`tests.coded_api`), fails as the plan says, and answers no two
requests quite alike, as a model does: who keeps two answers to one question is found out.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

from tests.api_server import Answer, Seen, error
from tests.chaos.plan import Plan
from tests.coded_api import CodedApi

HANGS_S: Final = 8.0
"""Until whoever stands between us and the model loses patience."""
KINDS: Final = (
    "429", "429 retry-after", "500", "503", "502 html", "504", "hang", "lost", "half", "html",
)  # fmt: skip
BILLED: Final = frozenset({"answered", "504", "hang", "lost", "half", "html"})
"""What was served has to be paid, whatever became of the answer."""
SPOILED: Final = frozenset({"half", "html"})
"""Came as a success, and cannot be read: a redrive is the only way to ask again."""
_PAGE: Final = b"<html><head><title>Bad gateway</title></head><body>nginx</body></html>"
_SHARE_BEFORE: Final = 0.15
"""Of all faults, those that strike before the request was read."""


@dataclass(frozen=True)
class Entry:
    """One request that was read."""

    prompt: str
    outcome: str
    """`answered`, `refused`, or the kind of the fault."""

    @property
    def billed(self) -> bool:
        return self.outcome in BILLED


class ChaosApi(CodedApi):
    """`with ChaosApi(plan) as api:` serves on a free loopback port."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.books: list[Entry] = []
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._arrived = 0
        self._books_lock = threading.Lock()
        super().__init__()

    @property
    def down(self) -> Answer | None:
        """What a request meets that is not even read; asked anew for each."""
        with self._books_lock:
            self._arrived += 1
            number = self._arrived
        if not self._plan.fails("API unread", number, share=_SHARE_BEFORE):
            return None
        if self._plan.draw("API reset", number) < 0.5:
            self._plan.note("API reset before", number)
            return Answer(0, b"", unread=True, hang_up=True, reset=True)
        self._plan.note("API 503 unread", number)
        return replace(error(503, "overloaded"), unread=True)

    @down.setter
    def down(self, answer: Answer | None) -> None:
        """It comes and goes as the plan says."""

    def answer(self, seen: Seen) -> Answer:
        prompt = dict(seen.fields).get("prompt", "")
        sha256 = hashlib.sha256(seen.audio).hexdigest()
        with self._books_lock:
            self._attempts[prompt, sha256] += 1
            what = ("API", prompt, sha256, self._attempts[prompt, sha256])
        true = super().answer(seen)
        outcome = "answered" if true.status == 200 else "refused"
        if outcome == "answered" and self._plan.fails(*what, share=1 - _SHARE_BEFORE):
            outcome = self._plan.choice(KINDS, *what)
            self._plan.note(f"API {outcome}", prompt, what[-1])
        with self._books_lock:
            self.books.append(Entry(prompt, outcome))
        return self._delivered(outcome, _unlike(true, self._plan.draw("unlike", *what)))

    def _delivered(self, outcome: str, true: Answer) -> Answer:
        if outcome == "hang":
            time.sleep(HANGS_S)
        if outcome == "half":
            return replace(true, body=true.body[: len(true.body) // 2], broken_off=True)
        return _ANSWERS.get(outcome, true)


_ANSWERS: Final = {
    "429": error(429, "Rate limit reached", code="rate_limit_exceeded"),
    "429 retry-after": error(429, "Slow down", code="rate_limit_exceeded", retry_after="0.3"),
    "500": error(500, "The server had an error"),
    "503": error(503, "The server is currently overloaded"),
    "502 html": Answer(502, _PAGE, "text/html"),
    "504": Answer(504, _PAGE, "text/html"),
    "hang": Answer(0, b"", hang_up=True, reset=True),
    "lost": Answer(0, b"", hang_up=True, reset=True),
    "html": Answer(200, _PAGE, "text/html"),
}


def _unlike(answer: Answer, draw: float) -> Answer:
    """The same words, held for a little more or less certain than the last time."""
    if answer.status != 200 or b'"avg_logprob"' not in answer.body:
        return answer
    body = json.loads(answer.body)
    for segment in body["segments"]:
        segment["avg_logprob"] = round(-0.2 - 0.1 * draw, 6)
    return replace(answer, body=json.dumps(body).encode())
