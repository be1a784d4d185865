"""Functions that die: at their start, at any of their requests to AWS, at any moment between.

Each environment's requests carry its name (`AWS_SDK_UA_APP_ID` becomes a part of the user agent),
so that a request that reaches the embedded cloud tells which process to kill.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from local import environment
from local.environment import Environment
from local.replacements import Replacements
from local.runtime_api import Outcome, failure
from tests.chaos.plan import Plan

DYING: Final = ("before a request", "after a request", "at a moment", "at its timeout")
REQUESTS: Final = {"normalize": 14, "transcribe": 11, "format": 22, "fail": 7}
"""That a run of a function makes of AWS, about; others make few."""
FEW: Final = 3
LONGEST_LIFE_S: Final = 1.5
HURRIED_S: Final = 21.0
"""Of a run that has little time: six seconds for the API, and 15 to write down what it said."""
_NAME: Final = re.compile(r"app/(env-\d+)")


@dataclass
class Life:
    """One run of a function."""

    what: tuple[str, ...]
    """Function, upload, chunk and how often it ran before: the same in each run of one seed."""
    dies: str = ""
    """One of `DYING`; empty: not at all."""
    at_request: int = 0
    requests: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    """How often each request was made in this run."""


class Lives:
    """All environments of a cloud."""

    def __init__(self, plan: Plan) -> None:
        self.names: dict[str, str] = {}
        """Job id → the upload's own name, which does not change from run to run."""
        self._plan = plan
        self._environments: dict[str, Environment] = {}
        self._lives: dict[str, Life] = {}
        self._runs: Counter[tuple[str, ...]] = Counter()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def bridge(self, replace: Replacements) -> None:
        start, invoke = Environment.__init__, Environment.invoke
        lives = self

        def named(self: Environment, installation: Any, variables: Any, folder: Any) -> None:
            name = f"env-{next(lives._numbers)}"
            self.name = name  # type: ignore[attr-defined]
            self.function = variables["POWERTOOLS_SERVICE_NAME"]  # type: ignore[attr-defined]
            start(self, installation, variables | {"AWS_SDK_UA_APP_ID": name}, folder)
            lives._environments[name] = self

        def mortal(
            self: Any, function_arn: str, event: bytes, timeout_s: float
        ) -> tuple[Outcome, str]:
            life = lives._begin(self, event)
            hurried = lives._hurried(life)
            try:
                return invoke(self, function_arn, event, HURRIED_S if hurried else timeout_s)
            finally:
                with lives._lock:
                    lives._lives.pop(self.name, None)

        replace.put(environment.Environment, "__init__", named)
        replace.put(environment.Environment, "invoke", mortal)

    def of(self, user_agent: str) -> Life | None:
        """The run that a request comes from."""
        found = _NAME.search(user_agent)
        with self._lock:
            return self._lives.get(found[1]) if found else None

    def strike(self, user_agent: str, life: Life, moment: str) -> bool:
        """Kill the run that makes this request, if this is when it has to die."""
        due = life.dies == moment and life.requests == life.at_request and not self._plan.calm
        found = _NAME.search(user_agent)
        if not due or not found:
            return False
        life.dies = ""
        self._kill(found[1], life, moment)
        return True

    def _begin(self, environment_: Any, event: bytes) -> Life:
        what = self._what(environment_.function, event)
        with self._lock:
            self._runs[what] += 1
            life = Life((*what, str(self._runs[what])))
            self._lives[environment_.name] = life
        fresh = not getattr(environment_, "used", False)
        environment_.used = True
        if fresh and self._plan.fails("start", *life.what, share=0.5):
            self._kill(environment_.name, life, "at its start")
        elif self._plan.fails("life", *life.what):
            self._doom(environment_.name, life)
        return life

    def _doom(self, name: str, life: Life) -> None:
        life.dies = self._plan.choice(DYING, "dies", *life.what)
        many = REQUESTS.get(life.what[0], FEW)
        life.at_request = 1 + int(many * self._plan.draw("at", *life.what))
        if life.dies in DYING[2:]:
            wait_s = LONGEST_LIFE_S * self._plan.draw("after", *life.what)
            timer = threading.Timer(wait_s, self._end, args=(name, life, life.dies))
            timer.daemon = True
            timer.start()

    def _end(self, name: str, life: Life, how: str) -> None:
        with self._lock:
            lives = self._lives.get(name) is life
        if lives and not self._plan.calm:
            self._kill(name, life, how)

    def _kill(self, name: str, life: Life, how: str) -> None:
        self._plan.note(f"killed {how}", *life.what)
        environment_: Any = self._environments[name]
        if how == "at its timeout":
            said = "Error: Task timed out after 900.00 seconds"
            environment_._api.outcomes.put(failure("Sandbox.Timedout", said))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(environment_._process.pid, signal.SIGKILL)

    def _hurried(self, life: Life) -> bool:
        short = life.what[0] == "transcribe" and self._plan.fails("hurried", *life.what, share=0.3)
        if short:
            self._plan.note("little time", *life.what)
        return short

    def _what(self, function: str, event: bytes) -> tuple[str, ...]:
        parsed = json.loads(event)
        detail = parsed.get("detail", {})
        job = parsed.get("job_id") or detail.get("name") or ""
        return (function, self.names.get(job, job), str(parsed.get("chunk", "")))
