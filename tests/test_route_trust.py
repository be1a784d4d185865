"""End to end: whatever got lost, every upload ends; whoever floods, the others have their turn."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from click.testing import CliRunner
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from dropscribe.cli import main
from dropscribe.cli.embedded import pointed_at
from dropscribe.cli.submit import INTERRUPTED
from dropscribe.job import Call, calls_prefix
from functions.start.app import LEFT_FOR_RETURNING_S
from local.cloud import REGION
from tests.api_server import KEY, Answer, ApiServer, error, recorded
from tests.cli.conftest import started
from tests.conftest import DATA, ROOT
from tests.patience import PATIENCE_S
from tests.route import EVERYTHING, Route

SPEECH, STEREO = DATA / "austen-0880.wav", DATA / "two-lines.flac"
COMPLETED, FAILED = "transcription.job.completed", "transcription.job.failed"


@pytest.fixture(scope="module")
def route(api_server: ApiServer) -> Iterator[Route]:
    """With room for one job at a time, and this process's commands pointed at it."""
    template = ROOT / "template.yaml"
    with (
        Route(
            template,
            api_url=api_server.base_url,
            api_key=KEY,
            parameters={"MaxJobs": "1", "VoiceModel": "none"},
            longest_wait_s=0.1,
        ) as deployed,
        pointed_at(deployed.cloud.environment),
        deployed.setting("StartFunction", "LOOK_EVERY_S", "0.2"),
    ):
        yield deployed


def sweep(route: Route, **times: int) -> Any:
    """A sweep by hand: of all that is there, unless told otherwise."""
    return route.invoke("SweepFunction", EVERYTHING | times)


def messages(route: Route, job: str) -> list[str]:
    """Types of the notifications about a job."""
    found = (news["message"] for news in route.received())
    return [message["type"] for message in found if message["data"]["job_id"] == job]


class TestSweep:
    @pytest.fixture(autouse=True)
    def swept_before(self, route: Route) -> None:
        """What other tests have left is none of a test's business."""
        sweep(route)

    def test_an_upload_that_no_event_told_of_gets_its_job(self, route: Route) -> None:
        with route.no_upload_events():
            job = route.upload("lost/event.wav", SPEECH)
        assert job not in route.jobs()
        assert sweep(route, overdue_s=3600)["queued"] == 0, "it may still come"
        found = sweep(route)
        assert (found["queued"], found["reported"]) == (1, 0)
        assert route.told(job)["type"] == COMPLETED
        assert sweep(route)["queued"] == 0

    def test_the_files_of_an_upload_that_was_found_late_give_way_to_a_newer_ones(
        self, route: Route
    ) -> None:
        """It has no sequencer, and the newer one has."""
        key = "lost/order.wav"
        with route.no_upload_events():
            older = route.upload(key, SPEECH)
        sweep(route)
        route.told(older)
        newer = route.run(key, DATA / "two-lines.flac")["data"]["job_id"]
        assert json.loads(route.files(key)[".receipt.json"])["job_id"] == newer

    def test_an_upload_that_was_found_late_leaves_a_newer_ones_files_alone(
        self, route: Route
    ) -> None:
        """Both are of the same second, as it happens, and the bucket knows no finer times."""
        key = "lost/same-second.wav"
        with route.no_upload_events():
            time.sleep(1 - time.time() % 1)
            older = route.upload(key, SPEECH)
        newer = route.run(key, DATA / "two-lines.flac")["data"]["job_id"]
        sweep(route)
        assert "a newer upload" in route.told(older)["data"]["warnings"][-1]
        assert json.loads(route.files(key)[".receipt.json"])["job_id"] == newer

    def test_a_failure_that_no_event_told_of_is_reported_once(self, route: Route) -> None:
        with route.no_status_events():
            job = route.upload("lost/failure.mp3", b"no recording")
            route.ended(job)
        assert route.files("lost/failure.mp3") == {}
        assert sweep(route)["reported"] == 1
        assert json.loads(route.files("lost/failure.mp3")[".error.json"])["job_id"] == job
        route.told(job, FAILED)
        assert sweep(route)["reported"] == 0
        assert messages(route, job) == [FAILED]

    def test_what_runs_is_left_alone(self, route: Route, api: ApiServer) -> None:
        held = Event()
        api.planned.append(replace(error(429, "slow down", retry_after="0"), held=held))
        job = route.upload("lost/running.wav", SPEECH, engine="openai", prompt="runs")
        route.wait_for(lambda: api.requests)
        assert sweep(route) | {"looked_at": 0} == {"looked_at": 0, "queued": 0, "reported": 0}
        held.set()
        assert route.told(job)["type"] == COMPLETED
        assert messages(route, job) == [COMPLETED]

    @pytest.mark.parametrize(
        "key", ["folder/", "lost/_dropscribe.json", "lost/a.wav.dropscribe.json", "speakers/a.wav"]
    )
    def test_what_is_no_recording_stays_without_a_job(self, route: Route, key: str) -> None:
        route.s3.put_object(Bucket=route.uploads, Key=key, Body=b"")
        assert sweep(route)["queued"] == 0


class TestFlood:
    def in_line(self, route: Route, jobs: list[str]) -> int:
        """Those too that a look into the queue, begun before all that, has taken out."""
        return route.waiting() + len({*jobs} & {*route.jobs()})

    def test_who_uploads_one_does_not_wait_for_all_of_another_tenants_flood(
        self, route: Route
    ) -> None:
        with route.no_starts():
            flood = [
                route.upload(f"flood/{at}.mp3", f"no recording {at}".encode(), tenant="noisy")
                for at in range(10)
            ]
            route.wait_for(lambda: self.in_line(route, flood) == len(flood))
            one = route.upload("quiet.mp3", b"no recording", tenant="quiet")
            route.wait_for(lambda: self.in_line(route, [*flood, one]) == len(flood) + 1)
        started = {job: route.ended(job)["startDate"] for job in [*flood, one]}
        after = [job for job in flood if started[job] > started[one]]
        # Some were with functions that waited for room, and such go for each place side by side.
        assert len(after) >= 2

    def test_no_more_jobs_run_at_once_than_there_is_room_for(self, route: Route) -> None:
        """Two functions start jobs here, and may look at the same moment."""
        jobs = [route.upload(f"room/{at}.mp3", b"no recording") for at in range(4)]
        spans = [(end["startDate"], end["stopDate"]) for end in map(route.ended, jobs)]
        at_once = max(sum(begin <= at < end for begin, end in spans) for at, _ in spans)
        assert at_once <= 2

    def test_a_job_that_finds_no_room_goes_back_into_its_line_and_starts_later(
        self, route: Route, api: ApiServer
    ) -> None:
        route.shorten("StartFunction", timeout_s=LEFT_FOR_RETURNING_S + 2)
        held = Event()
        api.planned.append(replace(error(429, "slow down", retry_after="0"), held=held))
        route.upload("room/first.wav", SPEECH, engine="openai", prompt="holds the room")
        route.wait_for(lambda: api.requests)
        second = route.upload("room/second.mp3", b"no recording")
        route.wait_for(lambda: "no room for the job yet" in route.cloud.logs("StartFunction"))
        assert second not in route.jobs()
        held.set()
        assert route.ended(second)["status"] == "FAILED"
        route.shorten("StartFunction", timeout_s=120)

    def test_an_api_that_is_asked_too_much_slows_a_job_and_does_not_fail_it(
        self, route: Route, api: ApiServer
    ) -> None:
        """More often than an API that is down is asked again."""
        api.planned.extend([error(429, "slow down", retry_after="0")] * 30)
        job = route.upload("rate/limited.wav", SPEECH, engine="openai", prompt="limited")
        assert route.told(job)["type"] == COMPLETED
        receipt = json.loads(route.files("rate/limited.wav")[".receipt.json"])
        assert (receipt["calls"]["refused"], receipt["calls"]["answered"]) == (30, 1)


def redrive(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["redrive", *arguments], catch_exceptions=False)


def make_older(route: Route, job: str, days: int) -> None:
    """As if an execution had ended that many days before it did."""
    backend = stepfunctions_parser_backends[DEFAULT_ACCOUNT_ID][REGION]
    execution: Any = backend.describe_execution(route.execution_arn(job))
    execution.stop_date -= timedelta(days=days)


def open_calls(route: Route, job: str) -> list[Call]:
    listed = route.s3.list_objects_v2(Bucket=route.work, Prefix=calls_prefix(job))
    texts = [route.read(route.work, item["Key"]) for item in listed["Contents"]]
    return [call for call in map(Call.model_validate_json, texts) if not call.over]


class TestRedrive:
    def fail(self, route: Route, api: ApiServer, key: str) -> str:
        """A job whose key is wrong, which somebody puts right."""
        api.down = recorded("error_401")
        job = route.upload(key, SPEECH, engine="openai", prompt=key)
        assert route.told(job, FAILED)["data"]["error"]["retryable"]
        api.behave()
        return job

    def stop(self, route: Route, api: ApiServer, key: str) -> str:
        """A job that somebody has stopped at work, as nobody wants it."""
        held = Event()
        api.planned.append(replace(error(503, "busy", retry_after="0"), held=held))
        job = route.upload(key, SPEECH, engine="openai", prompt=key)
        route.wait_for(lambda: api.requests)
        route.states.stop_execution(executionArn=route.execution_arn(job))
        held.set()
        route.told(job, FAILED)
        api.behave()
        return job

    def test_after_step_functions_own_time_a_job_goes_on_from_what_it_has(
        self, route: Route, api: ApiServer, tmp_path: Any
    ) -> None:
        key = "again/old.wav"
        job = self.fail(route, api, key)
        make_older(route, job, days=15)
        chunks = f"jobs/{job}/chunks/00000.flac"
        made = route.s3.head_object(Bucket=route.work, Key=chunks)["LastModified"]
        assert redrive(key, "--out", str(tmp_path)).exit_code == 0
        assert route.told(job, COMPLETED)
        assert f"{job}-2" in route.jobs()
        receipt = json.loads(route.files(key)[".receipt.json"])
        assert (receipt["job_id"], receipt["calls"]["answered"]) == (job, 1)
        assert route.s3.head_object(Bucket=route.work, Key=chunks)["LastModified"] == made
        again = redrive(f"{job}-2", "--out", str(tmp_path))
        assert (again.exit_code, "it has completed" in again.output) == (1, True)

    def test_all_that_failed_since_and_may_succeed_run_again(
        self, route: Route, api: ApiServer, tmp_path: Any
    ) -> None:
        wanted = [self.fail(route, api, f"again/{at}.wav") for at in range(2)]
        long_ago = self.fail(route, api, "again/long-ago.wav")
        make_older(route, long_ago, days=3)
        hopeless = route.run("again/letter.wav", b"Dear Sir or Madam")["data"]["job_id"]
        stopped = self.stop(route, api, "again/unwanted.wav")
        done = redrive("--all-failed", "--since", "2d", "--out", str(tmp_path))
        assert done.exit_code == 0, done.output
        assert "cannot succeed as they are" in done.output
        assert all(route.told(job, COMPLETED) for job in wanted)
        assert "1 stopped by hand are left" in done.output
        assert messages(route, hopeless) == messages(route, stopped) == [FAILED]
        assert messages(route, long_ago) == [FAILED]
        nothing = redrive("--all-failed", "--since", "2d", "--out", str(tmp_path))
        assert (nothing.exit_code, "Nothing to run again" in nothing.output) == (0, True)

    def test_a_chunk_that_is_being_paid_for_is_waited_for_and_paid_once(
        self, route: Route, api: ApiServer, tmp_path: Any
    ) -> None:
        """Its function goes on, though the job has failed with another chunk."""
        refused, answered = Event(), Event()
        api.planned.append(replace(recorded("error_401"), held=refused))
        api.planned.append(replace(recorded("json_gpt_transcribe"), held=answered))
        options = {"engine": "openai", "model": "gpt-transcribe", "channels": "split"}
        job = route.upload("again/open.flac", STEREO, prompt="open", **options)
        route.wait_for(lambda: len(api.requests) == 2)
        refused.set()
        route.told(job, FAILED)
        for interrupted in (True, False):
            with started("redrive", job, "--out", str(tmp_path)) as command:
                assert command.stdout
                said = [next(line for line in command.stdout if "waiting" in line)]
                assert f"still ask the API for {job}: 1; waiting for them" in said[0]
                if interrupted:
                    command.send_signal(signal.SIGINT)
                else:
                    answered.set()
                said += command.stdout
                assert command.wait(PATIENCE_S) == (INTERRUPTED if interrupted else 0), said
            if interrupted:
                assert said[-1] == "Interrupted. No job was started.\n"
                assert route.describe(job)["redriveCount"] == 0
        assert route.told(job, COMPLETED)
        assert len(api.requests) == 3
        assert len({seen.audio for seen in api.requests}) == 2
        receipt = json.loads(route.files("again/open.flac")[".receipt.json"])
        assert (receipt["calls"]["answered"], receipt["calls"]["refused"]) == (2, 1)

    @pytest.mark.parametrize(
        "fault", [recorded("error_401"), Answer(0, b"", hang_up=True)], ids=["refused", "lost"]
    )
    def test_after_an_outage_there_is_nothing_to_wait_for(
        self, route: Route, api: ApiServer, tmp_path: Any, fault: Answer
    ) -> None:
        begun = Event()
        api.down = replace(fault, held=begun)
        options = {"engine": "openai", "channels": "split"}
        job = route.upload("again/outage.flac", STEREO, prompt=str(fault.status), **options)
        route.wait_for(lambda: len(api.requests) == 2)
        begun.set()
        route.told(job, FAILED)
        api.behave()
        # The second function hears of it a moment later.
        route.wait_for(lambda: not open_calls(route, job))
        done = redrive(job, "--out", str(tmp_path))
        assert (done.exit_code, "waiting for" in done.output) == (0, False), done.output
        assert route.told(job, COMPLETED)

    def test_an_upload_whose_job_never_started_is_started(
        self, route: Route, tmp_path: Any
    ) -> None:
        with route.no_upload_events():
            job = route.upload("again/never.wav", SPEECH)
        assert redrive("again/never.wav", "--out", str(tmp_path)).exit_code == 0
        assert route.told(job)["type"] == COMPLETED
