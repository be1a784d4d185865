"""One run: uploads under faults, then calm, the sweep, and the verdict."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from local.cloud import Cloud
from local.replacements import Replacements
from tests.api_server import KEY
from tests.chaos.api import ChaosApi, Entry
from tests.chaos.events import Events
from tests.chaos.evidence import Evidence, all_news
from tests.chaos.lives import Lives
from tests.chaos.plan import Plan
from tests.chaos.requests import Requests
from tests.chaos.uploads import DATA, OFFLINE, Upload, uploads
from tests.chaos.verdict import Case, Put, Verdict, judge
from tests.route import Route

ROOT: Final = Path(__file__).parents[2]
CALM: Final = "calm.wav"
"""Uploaded while nothing fails yet."""
MAX_JOBS: Final = 16
IN_WORK: Final = 24
"""Uploads at once, about: more than jobs, so that some wait for room."""
LONGEST_WAIT_S: Final = 0.5
ENVIRONMENTS: Final = 3
"""Of each function: many wait for what does not come."""
PATIENCE_S: Final = 900.0
"""For everything to come to rest once the faults have stopped."""
REST_S: Final = 2.0
"""Of quiet, after which nothing more comes."""
SWEEPS: Final = 5
"""At most: after one that changes nothing there is nothing left to repair."""
REDRIVEN: Final = 0.5
"""The share of failed jobs that somebody runs again while things still fail."""
FUNCTIONS: Final = (
    *("Ingest", "Start", "Normalize", "Transcribe", "Format", "Fail", "Sweep"),
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What a run is reported from."""

    puts: list[Put]
    evidence: Evidence
    books: list[Entry]
    """The API's own."""
    spoken: dict[str, str]
    """Kind of upload → text, where no script tells it."""
    struck: dict[str, int]
    """Faults by site and kind."""
    redriven: int
    sweeps: int
    """Until one found nothing."""
    queued: int
    """Uploads without a job, which sweeps found."""
    reported: int
    """Failed jobs that nobody was told of, which sweeps found."""
    dead_letters: int
    wall_s: float

    def verdict(self) -> Verdict:
        """Judged anew each time."""
        return judge(self.puts, self.evidence, self.books, self.spoken)


@contextmanager
def chaos(
    many: int, seed: int, rate: float, folder: Path, environments: int = ENVIRONMENTS
) -> Iterator[Result]:
    """Run; the cloud is there to be looked at until the end. `folder`: for the diary of faults.

    `environments`: of each function, at most. Each takes a processor's second to start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan, replace = Plan(seed, rate, folder / "faults.jsonl"), Replacements()
    lives = Lives(plan)
    requests, events = Requests(plan, lives), Events(plan, lives)
    try:
        for faults in (lives, requests, events):
            faults.bridge(replace)
        with ChaosApi(plan) as api, _route(api, environments) as route:
            yield _Run(plan, api, route, lives, events).result(many)
    finally:
        replace.undo()
        plan.close()


@contextmanager
def _route(api: ChaosApi, environments: int) -> Iterator[Route]:
    parameters = {
        **{"Engine": "openai", "MaxAudioMinutes": "5", "VoiceModel": "none"},
        **{"MaxJobs": str(MAX_JOBS)},
    }
    route = Route(ROOT / "template.yaml", api_url=api.base_url, api_key=KEY, parameters=parameters)
    route.cloud = Cloud(longest_wait_s=LONGEST_WAIT_S, concurrency=environments)
    with route:
        yield route


class _Run:
    """The parts of one run."""

    def __init__(
        self, plan: Plan, api: ChaosApi, route: Route, lives: Lives, events: Events
    ) -> None:
        self._plan, self._api, self._route = plan, api, route
        self._lives, self._events = lives, events
        self._redriven: set[str] = set()

    def result(self, many: int) -> Result:
        """Upload, wait, sweep, judge."""
        started, others = time.monotonic(), set[str]()
        planned = list(uploads(many, self._plan))
        spoken = {}
        if any(upload.kind == OFFLINE for upload in planned):
            calm, spoken[OFFLINE] = self._spoken()
            others.add(calm)
        self._plan.start()
        puts = [self._put(upload) for upload in self._paced(planned)]
        self._rest()
        self._redrive_some()
        self._rest()
        self._plan.stop()
        self._rest()
        swept = list(self._sweeps())
        evidence = Evidence(self._route)
        for job in others:
            evidence.traces.pop(job)
        return Result(
            puts=puts,
            evidence=evidence,
            books=self._api.books,
            spoken=spoken,
            struck=dict(sorted(self._plan.struck.items())),
            redriven=len(self._redriven),
            sweeps=len(swept),
            queued=sum(sweep["queued"] for sweep in swept),
            reported=sum(sweep["reported"] for sweep in swept),
            dead_letters=self._messages("DeadLetter"),
            wall_s=time.monotonic() - started,
        )

    def _spoken(self) -> tuple[str, str]:
        """A job, and what the offline recognizer hears in it, before anything fails."""
        news = self._route.run(CALM, DATA / "austen-0880.wav", engine="offline")
        uri = news["data"]["outputs"]["json"].removeprefix("s3://")
        text = json.loads(self._route.read(*uri.split("/", 1)))["text"]
        return news["data"]["job_id"], text

    def _paced(self, planned: list[Upload]) -> Iterator[Upload]:
        for upload in planned:
            while self._running() + self._messages() >= IN_WORK:
                time.sleep(0.1)
                self._redrive_some()
            yield upload

    def _put(self, upload: Upload) -> Put:
        job = self._route.upload(upload.key, upload.content, **upload.metadata)
        self._lives.names[job] = f"upload {upload.number}"
        return Put(upload, job)

    def _redrive_some(self) -> None:
        """As somebody does who reads of a failure that may pass."""
        for news in all_news(self._route):
            data = news["message"]["data"]
            job, failure = data["job_id"], data["error"]
            if not failure or not failure["retryable"] or job in self._redriven:
                continue
            if self._plan.draw("redriven", self._lives.names.get(job, job)) < REDRIVEN:
                self._redriven.add(job)
                self._redrive(job)

    def _redrive(self, job: str) -> None:
        arn = self._route.execution_arn(job)
        try:
            self._route.states.redrive_execution(executionArn=arn)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionNotRedrivable":
                raise

    def _running(self) -> int:
        machine = self._route.outputs["PipelineArn"]
        found = self._route.states.list_executions(stateMachineArn=machine, statusFilter="RUNNING")
        return len(found["executions"])

    def _messages(self, named: str = "") -> int:
        """In all queues but ours, or in those named so."""
        sqs = self._route.sqs
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        urls = [url for url in sqs.list_queues()["QueueUrls"] if not url.endswith("inbox")]
        dead = [url for url in urls if "DeadLetter" in url]
        chosen = dead if named else [url for url in urls if url not in dead]
        return sum(
            int(count)
            for url in chosen
            for count in sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names))[
                "Attributes"
            ].values()
        )

    def _rest(self) -> None:
        """Until nothing runs and nothing is on its way."""
        end, quiet_since = time.monotonic() + PATIENCE_S, time.monotonic()
        while time.monotonic() < end:
            if self._events.pending or self._messages() or self._running():
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > REST_S:
                return
            time.sleep(0.2)

    def _sweeps(self) -> Iterator[dict[str, int]]:
        """As the schedule does, until one finds nothing."""
        for _ in range(SWEEPS):
            swept = self._route.invoke("SweepFunction", {"overdue_s": 0, "window_s": 86_400})
            self._rest()
            yield swept
            if not swept["queued"] + swept["reported"]:
                return


def keep(result: Result, verdict: Verdict, folder: Path) -> None:
    """Logs, and what is known of the jobs that something is wrong with."""
    route = result.evidence.route
    logs, jobs = folder / "logs", folder / "jobs"
    for made in (logs, jobs):
        made.mkdir(exist_ok=True)
    for name in FUNCTIONS:
        with contextlib.suppress(ClientError):  # a function that this template does not have
            (logs / f"{name}.log").write_text(route.cloud.logs(f"{name}Function"))
    wrong = {job for whose in verdict.wrong.values() for job in whose}
    for case in verdict.cases:
        if {case.put.job, case.put.upload.prompt, case.put.upload.key} & wrong:
            (jobs / f"{case.put.job}.json").write_text(_trace(case, result.evidence))


def _trace(case: Case, evidence: Evidence) -> str:
    route, key = evidence.route, case.put.upload.key
    history: list[Any] = []
    if case.trace.status:
        arn = route.execution_arn(case.put.job)
        history = route.states.get_execution_history(executionArn=arn)["events"]
    upload = {name: value for name, value in vars(case.put.upload).items() if name != "content"}
    files = [vars(file) for file in evidence.files if file.job and file.key.startswith(key)]
    told = {"upload": upload, "outcome": case.outcome, **vars(case.trace), "files": files}
    told |= {"history": history}
    return json.dumps(told, indent=1, default=str, ensure_ascii=False)
