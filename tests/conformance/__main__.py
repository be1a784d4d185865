"""`python -m tests.conformance`: every case with every client it makes sense for, as one table."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.conformance import recordings
from tests.conformance.cases import CASES, KEY, OWN_CLIENT, OWN_TESTS, Case
from tests.conformance.checks import Reply
from tests.conformance.clients import ROOT, Client, started
from tests.conformance.table import OWN, Row, show

BUSY_FOR_S: Final = 1.5
"""How long the server stays busy after the SDKs were turned away: less than one of their waits."""


def main() -> int:
    arguments = _arguments()
    start_s = time.monotonic()
    chosen = [case for case in CASES if case.id.startswith(arguments.only)]
    rows = {id(case): Row(case.id, case.level, case.title) for case in chosen}
    with tempfile.TemporaryDirectory() as folder:
        recordings.make(Path(folder))
        with started(Path(folder)) as clients:
            run = Run(clients, Path(folder), rows)
            with _server("--concurrency", str(len(clients))) as url:
                run.ask([case for case in chosen if case.server == "free"], url)
            busy = [case for case in chosen if case.server != "free"]
            if busy:
                with _server("--concurrency", "1") as url:
                    run.ask_while_busy(busy, url)
    own = [] if arguments.only else _own_client()
    return show([*rows.values(), *own], time.monotonic() - start_s)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--only", default="", help="cases whose id begins so, e.g. S60")
    return parser.parse_args()


@contextmanager
def _server(*options: str) -> Iterator[str]:
    """`dropscribe serve` as a user starts it; yields its base URL."""
    command = [str(ROOT / ".venv/bin/dropscribe"), "serve", "--engine", "offline", "--port", "0"]
    environment = {**os.environ, "DROPSCRIBE_API_KEYS": KEY}
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            [*command, *options], env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            assert process.stdout
            url = process.stdout.readline().strip()
            if not url.startswith("http"):
                log.seek(0)
                raise SystemExit(f"dropscribe serve did not start: {url}\n{log.read()}")
            yield url
        finally:
            process.terminate()


@dataclass(frozen=True)
class Run:
    clients: list[Client]
    recordings: Path
    rows: dict[int, Row]
    """Of each case's `id()`."""

    def ask(self, cases: list[Case], url: str) -> None:
        """Every client through its cases in order, all clients at once."""

        def work(client: Client) -> None:
            for case in cases:
                if client.name in case.clients:
                    reply = client.reply(case, url)
                    self.rows[id(case)].problems[client.name] = _first(case, reply)

        with ThreadPoolExecutor(len(self.clients)) as pool:
            list(pool.map(work, self.clients))

    def ask_while_busy(self, cases: list[Case], url: str) -> None:
        """With the only place taken: first clients that give up, then clients that wait."""
        with _busy(url, self.recordings) as done:
            self.ask([case for case in cases if case.server == "busy"], url)
            threading.Timer(BUSY_FOR_S, done.set).start()
            self.ask([case for case in cases if case.server == "busy for a while"], url)


def _first(case: Case, reply: Reply) -> list[str]:
    """What the first check that does not pass says: with a wrong status no other says more."""
    return next((said for check in case.checks if (said := list(check(reply)))), [])


@contextmanager
def _busy(url: str, folder: Path) -> Iterator[threading.Event]:
    """Keep a server at work until the event is set: of two that ask, one has the place."""
    done = threading.Event()
    (folder / "jfk.flac").write_bytes((recordings.DATA / "jfk.flac").read_bytes())

    def occupy() -> None:
        while not done.is_set():
            if _post(url, folder / "jfk.flac").status_code == httpx.codes.TOO_MANY_REQUESTS:
                time.sleep(0.02)

    holders = [threading.Thread(target=occupy) for _ in range(2)]
    for holder in holders:
        holder.start()
    try:
        _wait_until_busy(url, folder)
        yield done
    finally:
        done.set()
        for holder in holders:
            holder.join()


def _wait_until_busy(url: str, folder: Path) -> None:
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s:
        if _post(url, folder / "silence.wav").status_code == httpx.codes.TOO_MANY_REQUESTS:
            return
    raise SystemExit("a server with one place was not seen to be busy")


def _post(url: str, path: Path) -> httpx.Response:
    form: Any = {"files": {"file": (path.name, path.read_bytes())}, "data": {"model": "whisper-1"}}
    headers = {"authorization": f"Bearer {KEY}"}
    return httpx.post(f"{url}/audio/transcriptions", headers=headers, timeout=60, **form)


class _Outcomes:
    """A plugin of pytest's: what became of the tests that are marked with a case's id."""

    def __init__(self) -> None:
        self.of: dict[str, list[str]] = {}
        """Id → what is wrong, empty where all is well."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        for name in [name for mark in item.iter_markers("case") for name in mark.args]:
            problems = self.of.setdefault(name, [])
            if not report.passed:
                problems.append(f"{item.nodeid}: {report.outcome} {report.longreprtext[-600:]}")
        return report


def _own_client() -> list[Row]:
    """Run the tests of the project's own client."""
    outcomes = _Outcomes()
    tests = [str(ROOT / "tests" / name) for name in OWN_TESTS]
    options = ["-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:xdist"]
    options += ["-o", "addopts=--import-mode=importlib"]
    # What runs this has imported httpx before pytest could rewrite its asserts.
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    with contextlib.redirect_stderr(io.StringIO()):  # it says there that no file is there
        pytest.main([*options, "--rootdir", str(ROOT), "-m", "case", *tests], plugins=[outcomes])
    return [
        Row(name, level, title, {OWN: outcomes.of[name]})
        if name in outcomes.of
        else Row(name, level, title, missing=True)
        for name, (level, title) in OWN_CLIENT.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
