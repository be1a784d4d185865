"""One execution environment of a function: process, Runtime API, log and temporary folder."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from local.runtime_api import Invocation, Outcome, RuntimeApi, deadline_ms, failure

BOOTSTRAP = Path(__file__).with_name("bootstrap.py")

STARTING_S = 60
"""For importing a function's module. Lambda gives 10 s, then begins anew on the function's time."""


@dataclass(frozen=True)
class Installation:
    """A function's code and layers, unpacked."""

    handler: str
    folder: Path
    """Where the function's own code lies: the working directory, LAMBDA_TASK_ROOT."""

    before: tuple[str, ...]
    """On the module path before the standard library."""

    after: tuple[str, ...]
    """On the module path after it."""

    def command(self) -> list[str]:
        path = json.dumps({"before": self.before, "after": self.after})
        # -u: what a function prints must be in its log when the invocation ends.
        return [sys.executable, "-I", "-S", "-u", str(BOOTSTRAP), self.handler, path]


class Environment:
    """Takes one invocation after the other, until it times out, crashes or is closed."""

    def __init__(self, installation: Installation, variables: dict[str, str], folder: Path) -> None:
        """`folder`: where it makes its own."""
        self._api = RuntimeApi()
        self._folder = Path(tempfile.mkdtemp(prefix="environment-", dir=folder))
        self._log = self._folder / "log"
        scratch = self._folder / "tmp"
        scratch.mkdir()
        own = {
            "TMPDIR": str(scratch),
            "HOME": str(scratch),
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                installation.command(),
                cwd=installation.folder,
                env=variables | own,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        threading.Thread(target=self._report_exit, daemon=True).start()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def invoke(self, function_arn: str, event: bytes, timeout_s: float) -> tuple[Outcome, str]:
        """The outcome, and what the function wrote meanwhile.

        The timeout counts from when the function takes the event, unless it starts up for longer
        than `STARTING_S`.
        """
        start = self._log.stat().st_size
        self._api.ready.wait(STARTING_S)
        invocation = Invocation(function_arn, event, deadline_ms(timeout_s))
        self._api.put(invocation)
        try:
            outcome = self._api.outcomes.get(timeout=timeout_s)
        except queue.Empty:
            request = f"RequestId: {invocation.request_id}"
            timed_out = f"{request} Error: Task timed out after {timeout_s:.2f} seconds"
            outcome = failure("Sandbox.Timedout", timed_out)
        if outcome.last:
            self._kill()
        written = self._written_since(start)
        if outcome.last:
            self.close()
        return outcome, written

    def close(self) -> None:
        self._kill()
        self._api.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _kill(self) -> None:
        """With everything that the process started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _written_since(self, start: int) -> str:
        with self._log.open("rb") as log:
            log.seek(start)
            return log.read().decode(errors="replace")

    def _report_exit(self) -> None:
        status = self._process.wait()
        how = f"signal: {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        self._api.end(failure("Runtime.ExitError", f"Error: Runtime exited with error: {how}"))
