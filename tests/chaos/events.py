"""Events that come twice, late, in another order, again when all is over, or not at all."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any, Final

from moto.s3 import notifications

from local import moto_events, moto_lambda
from local.replacements import Replacements
from tests.chaos.lives import Lives
from tests.chaos.plan import Plan

KINDS: Final = ("lost", "doubled", "late", "again later")
"""Of the events of a bucket. Those of one key change their order where one is late."""
STATUS_KINDS: Final = ("lost", "doubled", "late")
LATEST_S: Final = 12.0


class Events:
    """Between S3 and the queue, and between EventBridge and FailFunction."""

    def __init__(self, plan: Plan, lives: Lives) -> None:
        self._plan, self._lives = plan, lives
        self._seen: Counter[str] = Counter()
        self._pending = 0
        self._lock = threading.Lock()

    @property
    def pending(self) -> int:
        """Events that are still to come, and functions that are told of one just now."""
        return self._pending

    def bridge(self, replace: Replacements) -> None:
        """Both are told of by functions of moto and of ours, which are asked by these names."""
        send, invoke = notifications._send_sqs_message, moto_lambda.invoke_later
        until_done = moto_lambda._invoke_until_done

        def sent(account_id: str, event: Any, *where: str) -> None:
            self._deliver("S3 event", self._upload(event), KINDS, send, account_id, event, *where)

        def told(arn: str, event: dict[str, Any], *rest: Any) -> None:
            job = event["detail"]["name"]
            name = self._lives.names.get(job, job)
            self._deliver("status event", name, STATUS_KINDS, invoke, arn, event, *rest)

        def counted(*arguments: Any) -> None:
            self._count(1)
            try:
                until_done(*arguments)
            finally:
                self._count(-1)

        replace.put(notifications, "_send_sqs_message", sent)
        replace.put(moto_events, "invoke_later", told)
        replace.put(moto_lambda, "_invoke_until_done", counted)

    def _upload(self, event: Any) -> str:
        records = event.get("Records") or [{}]
        return str(records[0].get("s3", {}).get("object", {}).get("key", "setup"))

    def _deliver(
        self, site: str, name: str, kinds: tuple[str, ...], deliver: Any, *arguments: Any
    ) -> None:
        with self._lock:
            self._seen[name] += 1
            what = (site, name, str(self._seen[name]))
        kind = self._plan.choice(kinds, *what) if self._plan.fails(*what) else ""
        if kind:
            self._plan.note(f"{site} {kind}", *what[1:])
        if kind not in ("lost", "late"):
            deliver(*arguments)
        if kind == "doubled":
            deliver(*arguments)
        if kind in ("late", "again later"):
            self._later(LATEST_S * self._plan.draw("late", *what), deliver, arguments)

    def _later(self, wait_s: float, deliver: Any, arguments: tuple[Any, ...]) -> None:
        self._count(1)

        def late() -> None:
            try:
                deliver(*arguments)
            finally:
                self._count(-1)

        timer = threading.Timer(wait_s, late)
        timer.daemon = True
        timer.start()

    def _count(self, by: int) -> None:
        with self._lock:
            self._pending += by
