"""Which functions of a failed execution a redrive waits for: those that may still pay."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Event
from types import SimpleNamespace
from typing import Any, Final

import pytest

from dropscribe import aws
from dropscribe.aws import Task
from dropscribe.cli import paying
from dropscribe.cli.stack import Job
from dropscribe.errors import JobError
from dropscribe.job import Call, asked_key, calls_prefix, chunk_record_key, manifest_key
from tests.api_server import Answer, ApiServer, error, recorded
from tests.conftest import DATA
from tests.patience import until
from tests.stages import Stages, stages

SPEECH: Final = DATA / "austen-0880.wav"
MINE, EARLIER = "1", "0"
"""Runs; `Stages` calls its own "1"."""
NUMBERS: Final = count()


class Failed:
    """A job whose execution has just failed, with one function of it not known to have ended."""

    def __init__(self, staged: Stages, patch: pytest.MonkeyPatch, **options: Any) -> None:
        self.staged = staged
        self.manifest = staged.begin(SPEECH, **options)
        self.id = self.manifest.job_id
        self.tasks: list[Task] = []
        self.run = SimpleNamespace(arn="any", failed=True, forgotten=False)
        self.run.stopped = datetime.now(UTC)
        patch.setattr(aws, "execution", lambda _: self.run)
        patch.setattr(aws, "unfinished_tasks", lambda _: self.tasks)

    def began(self, seconds_ago: float = 10, index: int = 0, **more: Any) -> None:
        scheduled = datetime.now(UTC) - timedelta(seconds=seconds_ago)
        payload = {"chunk": index, "run": MINE} | more
        payload = {name: value for name, value in payload.items() if value is not None}
        self.tasks = [Task(payload, scheduled, scheduled + timedelta(minutes=31))]

    def note(self, piece: str, state: str, run: str = MINE, *, over: bool = False) -> None:
        key = f"{calls_prefix(self.id)}{piece}-{state}{run}{over}.json"
        self.staged.work.write(key, Call(state=state, run=run, over=over).model_dump_json())

    def is_waited_for(self) -> bool:
        stack: Any = SimpleNamespace(work=self.staged.work)
        found = paying.paying(stack, Job(self.id, "any", "a.wav", None))
        assert found in ([], self.tasks)
        return bool(found)


@pytest.fixture(scope="module")
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture(scope="module")
def staged(api: ApiServer) -> Iterator[Stages]:
    with stages(api.base_url) as made:
        yield made


@pytest.fixture
def failed(staged: Stages, api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Failed:
    api.behave()
    # Nobody has asked the same before, and got an answer that is kept.
    return Failed(staged, monkeypatch, prompt=f"job {next(NUMBERS)}")


SENT, REFUSED, ANSWERED = ({"piece": "00000", "state": s} for s in ("sent", "refused", "answered"))
OVER = {"over": True}


@pytest.mark.parametrize(
    ("began_s_ago", "calls", "waited_for"),
    [
        pytest.param(10, [], True, id="about to send"),
        pytest.param(70, [], False, id="died before it sent"),
        pytest.param(10, [SENT], True, id="open"),
        pytest.param(800, [SENT], True, id="open for long"),
        pytest.param(1000, [SENT], False, id="no function lives so long"),
        pytest.param(10, [SENT | OVER], False, id="answer lost"),
        pytest.param(10, [REFUSED], True, id="refused, and about to be repeated"),
        pytest.param(10, [REFUSED | OVER], False, id="refused"),
        pytest.param(10, [REFUSED | OVER, SENT], True, id="refused before, and open"),
        pytest.param(70, [ANSWERED], True, id="answered a moment ago, and looks for holes"),
        pytest.param(10, [ANSWERED | OVER], False, id="answer that cannot be read"),
        pytest.param(10, [ANSWERED, SENT | {"piece": "00000.1"}], True, id="asks about a hole"),
        pytest.param(70, [SENT | {"run": EARLIER}], False, id="lost in an earlier run"),
        pytest.param(10, [REFUSED | OVER | {"run": EARLIER}], True, id="failed in an earlier run"),
        pytest.param(70, [SENT | {"piece": "00001"}], False, id="another chunk's"),
    ],
)
def test_a_function_is_waited_for_while_it_may_pay(
    failed: Failed, began_s_ago: float, calls: list[dict[str, Any]], *, waited_for: bool
) -> None:
    failed.began(began_s_ago)
    for call in calls:
        failed.note(**call)
    assert failed.is_waited_for() is waited_for


def test_what_is_kept_of_a_chunk_ends_the_waiting(
    failed: Failed, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, result = failed.staged.work, "results/kept.json"
    failed.began(70)
    failed.note("00000", "sent")
    work.write(asked_key(failed.id, "00000"), result)
    assert failed.is_waited_for()
    work.write(result, "{}")
    with monkeypatch.context() as patch:
        patch.setattr(paying, "SOON", timedelta(0))
        assert not failed.is_waited_for()
    assert failed.is_waited_for(), "it may ask about a hole in a moment"
    work.write(chunk_record_key(failed.id, 0), "{}")
    assert not failed.is_waited_for()


def test_nobody_is_waited_for_who_cannot_be_at_work(failed: Failed) -> None:
    failed.note("00000", "sent")
    failed.began(run=None, align=True)
    assert not failed.is_waited_for(), "a function that aligns"
    failed.began()
    assert failed.is_waited_for()
    failed.run.forgotten = True
    assert not failed.is_waited_for(), "no job of this is run again"
    failed.run.forgotten = False
    failed.run.stopped -= timedelta(minutes=16)
    assert not failed.is_waited_for(), "long ago"


def test_engines_of_our_own_are_not_paid(staged: Stages, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Failed(staged, monkeypatch, engine="offline")
    failed.began()
    assert not failed.is_waited_for()


def test_a_job_of_which_nothing_is_left_is_not_waited_for(failed: Failed) -> None:
    failed.began()
    aws.client("s3").delete_object(Bucket=failed.staged.work.name, Key=manifest_key(failed.id))
    assert not failed.is_waited_for()


def test_a_function_at_work_is_waited_for_until_it_has_its_answer(
    failed: Failed, api: ApiServer
) -> None:
    held = Event()
    api.planned.append(error(503, "busy", retry_after="0"))
    api.planned.append(replace(recorded("verbose_default"), held=held))
    failed.began()
    with ThreadPoolExecutor(1) as pool:
        function = pool.submit(failed.staged.chunk, failed.manifest, 0)
        until(lambda: len(api.requests) == 2)
        assert failed.is_waited_for()
        held.set()
        function.result()
    assert not failed.is_waited_for()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(recorded("error_401"), id="refused"),
        pytest.param(error(503, "down", retry_after="0"), id="refused again and again"),
        pytest.param(error(429, "slow down", retry_after="0"), id="limited"),
        pytest.param(Answer(0, b"", hang_up=True), id="lost"),
        pytest.param(Answer(200, b"<html>", "text/html"), id="no answer"),
        pytest.param(Answer(200, b"{}", broken_off=True), id="broken off"),
    ],
)
def test_a_function_that_has_failed_says_so_and_nobody_waits(
    failed: Failed, api: ApiServer, fault: Answer
) -> None:
    """Of its failure after the execution's end Step Functions knows nothing."""
    api.down = fault
    failed.began()
    with pytest.raises(JobError):
        failed.staged.chunk(failed.manifest, 0)
    assert api.requests
    assert not failed.is_waited_for()


def test_a_function_that_was_killed_is_waited_for_as_nobody_can_know(
    failed: Failed,
) -> None:
    failed.began()
    failed.staged.dying.add(0)
    with pytest.raises(KeyboardInterrupt):
        failed.staged.chunk(failed.manifest, 0)
    assert failed.is_waited_for()


def test_a_call_that_was_noted_before_this_was_told_is_read() -> None:
    assert not Call.model_validate_json('{"state": "sent", "run": "a.0"}').over
