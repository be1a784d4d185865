"""What operators see: log lines, metrics and the dashboard, of jobs that went well and badly."""

from __future__ import annotations

import io
import json
import re
import shlex
import time
import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, get_args

import click
import pytest
from aws_lambda_powertools import Logger
from botocore import loaders, xform_name
from samtranslator.yaml_helper import yaml_parse

from dropscribe import seeing
from dropscribe.cli import main
from dropscribe.errors import ErrorCode, Failure, JobError, Rejected, Unavailable
from dropscribe.seeing import METRICS, Measure, Tally, emit, is_expected, of_failed, tell
from functions.start.app import LEFT_FOR_RETURNING_S
from local.moto_cloudformation import transform
from tests.api_server import KEY, ApiServer, error, recorded
from tests.conftest import DATA, ROOT
from tests.patience import until
from tests.route import Route

Json = dict[str, Any]

SPEECH = DATA / "austen-0880.wav"
SAID = "Hello, world"
"""In what the API's stand-in answers."""
PROMPT, LABEL = "Sesquipedalian", "quixotry-4711"
UNITS: Final = {
    *("Seconds", "Microseconds", "Milliseconds", "Count", "Percent", "None"),
    *("Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes"),
    *("Bits", "Kilobits", "Megabits", "Gigabits", "Terabits"),
}
"""CloudWatch API reference, MetricDatum; rates (…/Second) are left out."""
AWS_METRICS: Final[dict[tuple[str, str], set[str]]] = {
    # Amazon SQS developer guide, "Available CloudWatch metrics for Amazon SQS".
    ("AWS/SQS", "QueueName"): {
        "ApproximateAgeOfOldestMessage",
        "ApproximateAgeOfOldestMessageInQuietGroups",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesVisible",
        "ApproximateNumberOfMessagesVisibleInQuietGroups",
        "ApproximateNumberOfNoisyGroups",
        "NumberOfMessagesDeleted",
        "NumberOfMessagesReceived",
        "NumberOfMessagesSent",
    },
    # AWS Step Functions developer guide, "Monitoring Step Functions metrics using CloudWatch".
    ("AWS/States", "StateMachineArn"): {
        "ExecutionThrottled",
        "ExecutionTime",
        "ExecutionsAborted",
        "ExecutionsFailed",
        "ExecutionsStarted",
        "ExecutionsSucceeded",
        "ExecutionsTimedOut",
    },
    # AWS Lambda developer guide, "Types of metrics for Lambda functions".
    ("AWS/Lambda", "FunctionName"): {
        "ConcurrentExecutions",
        "DeadLetterErrors",
        "Duration",
        "Errors",
        "Invocations",
        "Throttles",
    },
    # Amazon EventBridge user guide, "Monitoring Amazon EventBridge".
    ("AWS/Events", "RuleName"): {"FailedInvocations", "InvocationsFailedToBeSentToDlq"},
}
"""Namespace and dimension → names."""


@dataclass(frozen=True)
class Seen:
    """What the functions of the route have written."""

    lines: dict[str, list[Json]]
    """Service → its structured lines, metrics not among them."""
    metrics: list[Json]
    jobs: dict[str, str]
    """Name → job id."""

    def of(self, job: str) -> Iterator[tuple[str, Json]]:
        for service, lines in self.lines.items():
            for line in lines:
                if line.get("correlation_id") == self.jobs[job]:
                    yield service, line

    def line(self, job: str, message: str) -> Json:
        """The only one of its kind."""
        (line,) = (line for _, line in self.of(job) if line["message"] == message)
        return line

    def values(self, name: str, **dimensions: str) -> list[float]:
        """All values of a metric; `dimensions`: besides `service`."""
        return [
            value
            for line in self.metrics
            if name in line and dimensions.items() <= line.items()
            for value in line[name]
        ]


@pytest.fixture(scope="module")
def seen(route: Route, api_server: ApiServer) -> Seen:
    api = api_server
    api.behave()
    wanted = {"engine": "openai", "prompt": PROMPT, "labels": json.dumps({"case": LABEL})}
    done = []

    def run(key: str, content: Any = SPEECH, **more: str) -> None:
        news = route.run(key, content, **wanted, **more)
        done.append((key.rpartition("/")[2].partition(".")[0], news["data"]["job_id"]))

    run("seen/good.wav")
    run("seen/again.wav")
    api.planned += [error(503, "busy", retry_after="0") for _ in range(3)]
    run("seen/retried.wav", temperature="0.1")
    done.append(("bad", waiting(route, "seen/bad.mp3", **wanted)))
    api.down = recorded("error_401")
    run("seen/refused.wav", temperature="0.2")
    api.behave()
    queue = route.outputs["UploadsQueueUrl"]
    route.sqs.send_message(QueueUrl=queue, MessageBody="no notification")
    route.sqs.send_message(QueueUrl=queue, MessageBody=event(route, "seen/good.wav"))
    done.append(("lost", lost(route)))
    return gathered(route, dict(done))


def waiting(route: Route, key: str, **options: str) -> str:
    """An upload that is no recording, and whose job finds no room at first; returns its job."""
    route.shorten("StartFunction", timeout_s=LEFT_FOR_RETURNING_S + 1)
    with route.setting("StartFunction", "MAX_JOBS", "0"):
        job = route.upload(key, b"no recording", **options)
        route.wait_for(lambda: "no room for the job yet" in route.cloud.logs("StartFunction"))
    route.told(job)
    route.shorten("StartFunction", timeout_s=120)
    return job


def event(route: Route, key: str) -> str:
    """S3's notification about an upload, once more."""
    head = route.s3.head_object(Bucket=route.uploads, Key=key)
    etag, version = head["ETag"].strip('"'), head["VersionId"]
    described = {"key": key, "size": head["ContentLength"], "eTag": etag, "versionId": version}
    s3 = {"bucket": {"name": route.uploads}, "object": described}
    return json.dumps({"Records": [{"eventTime": "2026-11-20T12:00:00.000Z", "s3": s3}]})


def lost(route: Route) -> str:
    """An upload that no event tells of, found by a sweep; returns its job."""
    configured = route.s3.get_bucket_notification_configuration(Bucket=route.uploads)
    configured.pop("ResponseMetadata")
    route.s3.put_bucket_notification_configuration(
        Bucket=route.uploads, NotificationConfiguration={}
    )
    job = route.upload("seen/lost.mp3", b"no recording either")
    route.s3.put_bucket_notification_configuration(
        Bucket=route.uploads, NotificationConfiguration=configured
    )
    sweep(route)
    route.told(job)
    return job


def sweep(route: Route) -> None:
    described = route.cloud.client("cloudformation").describe_stack_resource(
        StackName="dropscribe", LogicalResourceId="SweepFunction"
    )
    name = described["StackResourceDetail"]["PhysicalResourceId"]
    payload = json.dumps({"overdue_s": 0, "window_s": 3600})
    answer = route.cloud.client("lambda").invoke(FunctionName=name, Payload=payload)
    assert "FunctionError" not in answer


def functions(route: Route) -> list[str]:
    found = route.cloud.client("cloudformation").describe_stack_resources(StackName="dropscribe")
    return [
        resource["LogicalResourceId"]
        for resource in found["StackResources"]
        if resource["ResourceType"] == "AWS::Lambda::Function"
    ]


def gathered(route: Route, jobs: dict[str, str]) -> Seen:
    """Once the last lines are there."""
    found: list[Json] = []

    def complete() -> bool:
        logs = [route.cloud.logs(function) for function in functions(route)]
        found[:] = [json.loads(x) for log in logs for x in log.splitlines() if x.startswith("{")]
        ends = {"unexpected error", "job has ended already", "swept"}
        return ends <= {line.get("message") for line in found}

    until(complete)
    lines: dict[str, list[Json]] = {}
    for line in found:
        if "_aws" not in line:
            lines.setdefault(line["service"], []).append(line)
    return Seen(lines, [line for line in found if "_aws" in line], jobs)


class TestLines:
    def test_a_job_is_followed_from_upload_to_notification_by_one_id(self, seen: Seen) -> None:
        told = [(service, line["message"]) for service, line in seen.of("good")]
        assert {"job queued", "job started"} <= {message for _, message in told}
        assert [service for service, _ in told if service not in ("ingest", "start")] == [
            *("normalize", "transcribe", "format")
        ]
        assert [service for service, _ in seen.of("bad")][-2:] == ["normalize", "fail"]

    def test_a_lost_upload_is_told_of_by_the_same_id(self, seen: Seen) -> None:
        told = dict(seen.of("lost"))
        assert set(told) == {"sweep", "start", "normalize", "fail"}
        assert (told["sweep"]["message"], told["sweep"]["mended"]) == ("lost job", "queued")

    def test_each_names_its_request_and_whether_it_began_cold(self, seen: Seen) -> None:
        for lines in seen.lines.values():
            assert all(line["function_request_id"] for line in lines)
            assert {line["cold_start"] for line in lines} <= {True, False}
        # Ingest may begin with S3's test event, of which it has nothing to tell. Of the others the
        # cold line is not always the first: it is seen when its invocation has ended.
        for service in ("start", "normalize", "transcribe", "format", "fail", "sweep"):
            assert any(line["cold_start"] for line in seen.lines[service])

    def test_a_step_tells_what_it_did_with_measures(self, seen: Seen) -> None:
        queued = seen.line("retried", "job queued")
        assert queued["bytes"] == SPEECH.stat().st_size
        normalized = seen.line("good", "normalized")
        assert (normalized["audio_ms"], normalized["chunks"]) == (2990, 1)
        assert set(normalized["timings_ms"]) == {"fetch", "decode", "cut", "normalize"}
        transcribed = seen.line("good", "transcribed")
        assert (transcribed["chunk"], transcribed["cached"]) == (0, False)
        assert transcribed["calls"] == {"made": 1, "answered": 1}
        formatted = seen.line("good", "formatted")
        assert formatted["calls"]["made"] == 1
        assert formatted["cost_usd"] == 0.0002
        assert formatted["job_s"] > 0
        for line in (normalized, transcribed, formatted):
            assert line["ms"] >= 0
            assert line["level"] == "INFO"

    def test_an_error_has_code_stage_and_whether_it_passes(self, seen: Seen) -> None:
        def told(line: Json) -> tuple[Any, ...]:
            return line["level"], line["code"], line["stage"], line["retryable"]

        assert told(seen.line("bad", "rejected")) == ("ERROR", "not_media", "normalize", False)
        assert told(seen.line("bad", "job failed")) == ("ERROR", "not_media", "normalize", False)
        unavailable = seen.line("retried", "unavailable")
        assert told(unavailable) == ("WARNING", "engine_unavailable", "transcribe", True)
        assert unavailable["chunk"] == 0
        refused = seen.line("refused", "rejected")
        assert told(refused) == ("ERROR", "unauthorized", "transcribe", True)

    def test_a_bad_message_is_told_by_its_own_id_not_by_the_last_job_s(self, seen: Seen) -> None:
        line = next(x for x in seen.lines["ingest"] if x["message"] == "unexpected error")
        assert line["error"] == "ValidationError"
        assert line["message_id"]
        assert "correlation_id" not in line or line["correlation_id"] is None
        assert any(frame.endswith(" uploads") for frame in line["stack"].split(" > "))

    def test_nothing_said_and_nothing_secret_is_in_them(self, seen: Seen) -> None:
        everything = json.dumps([seen.lines, seen.metrics], ensure_ascii=False)
        assert seen.jobs["good"] in everything
        for hidden in ("seen/", SAID, PROMPT, LABEL, KEY, "no recording", "no notification"):
            assert hidden not in everything


def misfits(line: Json) -> list[str]:
    """Where a line departs from CloudWatch's "Embedded metric format specification"."""
    found = []
    age_ms = time.time() * 1000 - line["_aws"]["Timestamp"]
    if not (isinstance(line["_aws"]["Timestamp"], int) and -7.2e6 < age_ms < 1.2e9):
        found.append("Timestamp")
    for directive in line["_aws"]["CloudWatchMetrics"]:
        if set(directive) != {"Namespace", "Dimensions", "Metrics"}:
            found.append("members of the directive")
        found += [
            f"dimensions {names}"
            for names in directive["Dimensions"]
            if len(names) > 30 or not all(isinstance(line.get(name), str) for name in names)
        ]
        for metric in directive["Metrics"]:
            values = line.get(metric["Name"])
            numbers = values if isinstance(values, list) else [values]
            if not 1 <= len(numbers) <= 100 or not all(_is_number(n) for n in numbers):
                found.append(f"values of {metric['Name']}")
            if metric["Unit"] not in UNITS:
                found.append(f"unit of {metric['Name']}")
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value  # noqa: PLR0124 - NaN is none


class TestMetrics:
    def test_every_line_is_as_cloudwatch_specifies(self, seen: Seen) -> None:
        assert len(seen.metrics) > 20
        assert [misfit for line in seen.metrics for misfit in misfits(line)] == []

    @pytest.mark.parametrize(
        ("change", "misfit"),
        [
            ({"JobsStarted": ["1"]}, "values of JobsStarted"),
            ({"JobsStarted": []}, "values of JobsStarted"),
            ({"service": 7}, "dimensions ['service']"),
        ],
    )
    def test_one_that_is_not_is_noticed(self, seen: Seen, change: Json, misfit: str) -> None:
        line = next(line for line in seen.metrics if "JobsStarted" in line)
        assert misfits(line | change) == [misfit]

    def test_each_is_one_of_the_table_with_its_unit_and_dimensions(self, seen: Seen) -> None:
        for line in seen.metrics:
            (directive,) = line["_aws"]["CloudWatchMetrics"]
            assert directive["Namespace"] == "Dropscribe/dropscribe"
            for told in directive["Metrics"]:
                metric = METRICS[told["Name"]]
                own = {"service", *([metric.dimension] if metric.dimension else [])}
                assert told["Unit"] == metric.unit
                assert {*map(frozenset, directive["Dimensions"])} == {
                    frozenset(own),
                    *([frozenset({"service"})] if metric.totalled else []),
                }
                assert metric.service in (None, line["service"])

    def test_every_one_of_the_table_is_told(self, seen: Seen) -> None:
        told = {
            m["Name"] for x in seen.metrics for m in x["_aws"]["CloudWatchMetrics"][0]["Metrics"]
        }
        assert told == set(METRICS)

    def test_a_job_is_counted_once_however_often_its_steps_ran(self, seen: Seen) -> None:
        completed, failed = 3, 3
        assert seen.values("JobsCompleted") == [1] * completed
        assert seen.values("JobsFailed") == [1] * failed
        assert seen.values("JobsFailed", error_code="not_media") == [1, 1]
        assert seen.values("JobsFailed", error_code="unauthorized") == [1]
        assert seen.values("JobsStarted") == [1] * (completed + failed)
        assert seen.values("JobsQueued") == [1] * (completed + failed)
        assert seen.values("DuplicateEvents") == [1]
        assert seen.values("LostUploads") == [1]
        assert seen.values("OurFailures") == [0] * (completed + failed)
        assert seen.values("ApiRefusals") == [1]
        assert seen.values("Chunks") == [1] * completed
        assert sorted(seen.values("CachedAnswers")) == [0, 0, 1]
        assert sum(seen.values("AudioMinutes")) == pytest.approx(completed * 2.99 / 60)
        assert sum(seen.values("CostUSD")) == pytest.approx(0.0004)
        assert len(seen.values("JobSeconds")) == completed

    def test_a_job_that_finds_no_room_tells_how_long_it_has_waited(self, seen: Seen) -> None:
        ages = seen.values("WaitingSeconds", service="start")
        no_room = [x for x in seen.lines["start"] if x["message"] == "no room for the job yet"]
        assert len(ages) == len(no_room)
        assert all(age > 0 for age in ages)
        assert max(ages) < max(seen.values("QueueSeconds", service="start"))

    def test_each_run_of_a_step_that_may_reject_tells_whether_it_met_what_is_expected(
        self, seen: Seen
    ) -> None:
        told = {
            service: sorted(seen.values("ExpectedErrors", service=service))
            for service in ("normalize", "transcribe")
        }
        assert told == {"normalize": [0] * 4 + [1] * 2, "transcribe": [0] * 4 + [1]}
        assert len(seen.values("ExpectedErrors")) == 11

    def test_calls_are_counted_where_they_are_made_also_in_a_run_that_fails(
        self, seen: Seen
    ) -> None:
        calls = {s: sum(seen.values("ApiCalls", status=s)) for s in ("made", "answered", "refused")}
        assert calls == {"made": 6, "answered": 2, "refused": 4}
        assert seen.values("ApiCalls", status="ambiguous") == []

    def test_each_stage_tells_its_time_once_a_run(self, seen: Seen) -> None:
        runs = {
            stage: len(seen.values("StageSeconds", stage=stage))
            for stage in ("fetch", "decode", "cut", "normalize", "transcribe", "format")
        }
        decoded = 4  # the recording that is none has no times
        assert runs == {
            **dict.fromkeys(("fetch", "decode", "cut", "normalize"), decoded),
            **dict.fromkeys(("transcribe", "format"), 3),
        }


def logging_to_memory() -> tuple[Logger, io.StringIO]:
    """One of its own: a name's first logger keeps its stream."""
    log = io.StringIO()
    return Logger(service=uuid.uuid4().hex, stream=log), log


class TestErrors:
    @pytest.fixture(autouse=True)
    def service(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Dropscribe/test")
        monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "normalize")

    @pytest.mark.parametrize(
        ("error", "expected", "line"),
        [
            (
                Rejected("invalid_options", "labels: `secret` is no map"),
                True,
                {"message": "rejected", "code": "invalid_options", "retryable": False},
            ),
            (
                Rejected("quota_exceeded", "secret"),
                True,
                {"message": "rejected", "code": "quota_exceeded", "retryable": True},
            ),
            (
                Unavailable("engine_unavailable", "secret"),
                False,
                {"message": "unavailable", "code": "engine_unavailable", "retryable": True},
            ),
            (
                Unavailable("rate_limited", "secret"),
                True,
                {"message": "unavailable", "code": "rate_limited", "retryable": True},
            ),
            (
                ValueError("secret"),
                False,
                {"message": "unexpected error", "code": "internal", "retryable": True},
            ),
        ],
        ids=["rejected", "mended outside", "unavailable", "rate limit", "unexpected"],
    )
    def test_what_it_says_stays_out_of_its_line(
        self, error: Exception, line: Json, *, expected: bool
    ) -> None:
        logger, log = logging_to_memory()
        tell(logger, error)
        first = json.loads(log.getvalue())
        assert line.items() <= first.items()
        assert "secret" not in json.dumps(first)
        assert is_expected(error) == expected

    def test_it_goes_on_unchanged_and_step_functions_knows_its_name(self) -> None:
        raised = Unavailable("engine_unavailable", "later")
        logger, log = logging_to_memory()

        class Context:
            function_name = aws_request_id = memory_limit_in_mb = invoked_function_arn = "x"

        @seeing.step(logger, job_id_path="job_id")
        def handler(request: Json, context: Any) -> None:
            raise raised

        with pytest.raises(Unavailable) as caught:
            handler({"job_id": "monday-1"}, Context())  # type: ignore[arg-type]
        assert caught.value is raised
        assert json.loads(log.getvalue())["correlation_id"] == "monday-1"

    def test_a_metric_that_is_not_in_the_table_is_not_written(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(KeyError):
            emit(Measure("Misspelled", 1))
        assert capsys.readouterr().out == ""

    @pytest.mark.parametrize("code", get_args(ErrorCode))
    def test_every_failure_is_counted_by_its_code(self, code: ErrorCode) -> None:
        failure = Failure(code=code, message="", stage="normalize", retryable=False)
        measures = {measure.name: measure for measure in of_failed(failure)}
        assert measures["JobsFailed"].of == code
        assert measures["OurFailures"].value == (code in seeing.OURS)
        assert ("ApiRefusals" in measures) == (code in ("unauthorized", "quota_exceeded"))


class Book:
    """Of calls, in memory."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def sent(self) -> str:
        self.kept.append("sent")
        return "call"

    def concluded(self, call: str, state: str) -> None:
        self.kept.append(state)

    def uncertain(self) -> int:
        return self.kept.count("sent")


class TestTally:
    @pytest.mark.parametrize(
        ("states", "raised", "calls"),
        [
            ([], None, {}),
            (["answered"], None, {"made": 1, "answered": 1}),
            (["refused", "answered"], None, {"made": 2, "refused": 1, "answered": 1}),
            ([None], Unavailable("engine_unavailable", ""), {"made": 1, "ambiguous": 1}),
            (
                ["refused"] * 3,
                Unavailable("rate_limited", ""),
                {"made": 3, "refused": 3, "rate_limited": 1},
            ),
        ],
    )
    def test_requests_are_counted_by_what_became_of_them(
        self, states: list[str | None], raised: JobError | None, calls: dict[str, int]
    ) -> None:
        def engine(audio: Any, request: Any, book: Any) -> Any:
            for state in states:
                call = book.sent()
                if state:
                    book.concluded(call, state)
            if raised:
                raise raised

        tally, book = Tally(), Book()
        with pytest.raises(type(raised)) if raised else nullcontext():
            tally.counted(engine)(SPEECH, None, book)  # type: ignore[arg-type]
        assert tally.calls == calls
        assert {m.of: m.value for m in tally.measures} == calls
        assert len(book.kept) == len(states) + len([s for s in states if s])


@pytest.fixture(scope="module")
def widgets(route: Route) -> list[Json]:
    cloudwatch = route.cloud.client("cloudwatch")
    (entry,) = cloudwatch.list_dashboards()["DashboardEntries"]
    assert entry["DashboardName"] == "dropscribe-us-east-1"
    body = cloudwatch.get_dashboard(DashboardName=entry["DashboardName"])["DashboardBody"]
    assert "${" not in body
    found: list[Json] = json.loads(body)["widgets"]
    return found


def shown(widget: Json) -> Iterator[tuple[list[str], Json]]:
    """A widget's metrics, written out, each with its options. A `.` is what stood there before."""
    before: list[str] = []
    for entry in widget["properties"]["metrics"]:
        options = entry[-1] if isinstance(entry[-1], dict) else {}
        parts = [part for part in entry if isinstance(part, str)]
        if parts:
            before = [before[at] if part == "." else part for at, part in enumerate(parts)]
        yield (before if parts else []), options


@pytest.fixture(scope="module")
def resources() -> Json:
    template = yaml_parse((ROOT / "template.yaml").read_text())
    for resource in template["Resources"].values():
        for name in {"CodeUri", "ContentUri", "DefinitionUri"} & set(resource["Properties"]):
            resource["Properties"][name] = "s3://packaged/here"
    translated: Json = transform(template)["Resources"]
    return translated


def watched(alarm: Json) -> Iterator[tuple[str, Any, list[Json]]]:
    """Name, namespace and dimensions of what an alarm looks at."""
    computed = [query.get("Fn::If", [None, query])[1] for query in alarm.get("Metrics", [])]
    fetched = [query["MetricStat"]["Metric"] for query in computed if "MetricStat" in query]
    for metric in fetched or [alarm]:
        yield metric["MetricName"], metric["Namespace"], metric["Dimensions"]


def test_every_alarm_watches_a_metric_that_there_is(resources: Json) -> None:
    alarms = [r["Properties"] for r in resources.values() if r["Type"] == "AWS::CloudWatch::Alarm"]
    for name, namespace, dimensions in (found for alarm in alarms for found in watched(alarm)):
        if isinstance(namespace, str):
            (dimension,) = dimensions
            assert name in AWS_METRICS[namespace, dimension["Name"]]
            continue
        metric = METRICS[name]
        assert namespace == {"Fn::Sub": "Dropscribe/${AWS::StackName}"}
        assert [dimension["Name"] for dimension in dimensions] == ["service"]
        assert metric.service in (None, dimensions[0]["Value"])
        assert not metric.dimension or metric.totalled


class TestDashboard:
    def test_no_widget_lies_on_another_or_beside_the_grid(self, widgets: list[Json]) -> None:
        for widget in widgets:
            assert 0 <= widget["x"] < widget["x"] + widget["width"] <= 24
        for one, other in combinations(widgets, 2):
            beside = (
                one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
            )
            above = (
                one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]
            )
            assert beside or above, (one, other)

    def test_every_metric_on_it_is_one_that_there_is(self, widgets: list[Json], seen: Seen) -> None:
        services = {line["service"] for line in seen.metrics}
        ours = dict.fromkeys(METRICS, 0)
        for widget in (w for w in widgets if w["type"] == "metric"):
            for (namespace, name, *pairs), _ in ((m, o) for m, o in shown(widget) if m):
                dimensions = dict(zip(pairs[::2], pairs[1::2], strict=True))
                if namespace.startswith("AWS/"):
                    (dimension,) = dimensions
                    assert name in AWS_METRICS[namespace, dimension]
                    continue
                metric = METRICS[name]
                ours[name] += 1
                assert namespace == "Dropscribe/dropscribe"
                assert dimensions["service"] in ({metric.service} if metric.service else services)
                of = dimensions.get(metric.dimension or "")
                assert set(dimensions) == {"service", *([metric.dimension] if of else [])}
                assert of or not metric.dimension or metric.totalled
        assert [name for name, count in ours.items() if not count] == []

    def test_every_value_of_a_dimension_is_on_it(self, widgets: list[Json], seen: Seen) -> None:
        values: dict[str, set[str]] = {}
        for widget in (w for w in widgets if w["type"] == "metric"):
            for (_, name, *pairs), _ in ((m, o) for m, o in shown(widget) if m):
                dimension = METRICS[name].dimension if name in METRICS else None
                if dimension in pairs:
                    values.setdefault(name, set()).add(pairs[pairs.index(dimension) + 1])
        assert values["JobsFailed"] == set(get_args(ErrorCode))
        assert values["StageSeconds"] == {
            line["stage"] for line in seen.metrics if "StageSeconds" in line
        }
        assert {line["status"] for line in seen.metrics if "ApiCalls" in line} <= values["ApiCalls"]

    def test_expressions_know_their_metrics(self, widgets: list[Json]) -> None:
        for widget in (w for w in widgets if w["type"] == "metric"):
            options = [options for _, options in shown(widget)]
            ids = {option["id"] for option in options if "id" in option}
            for option in options:
                words = set(re.findall(r"\b[a-z]\w*", option.get("expression", "")))
                assert words <= ids

    def test_every_alarm_is_on_it(self, widgets: list[Json], route: Route) -> None:
        stack = route.cloud.client("cloudformation").describe_stack_resources(
            StackName="dropscribe"
        )
        alarms = {
            resource["PhysicalResourceId"]
            for resource in stack["StackResources"]
            if resource["ResourceType"] == "AWS::CloudWatch::Alarm"
        }
        (widget,) = (w for w in widgets if w["type"] == "alarm")
        assert {arn.rpartition(":")[2] for arn in widget["properties"]["alarms"]} == alarms


RUNBOOK: Final = (ROOT / "docs" / "runbook.md").read_text()
KNOWN_TO_INSIGHTS: Final = {
    *("@timestamp", "@message", "@log", "@logStream"),
    *("@type", "@duration", "@maxMemoryUsed", "@memorySize"),
}
"""CloudWatch Logs user guide, "Supported logs and discovered fields"; the last row is Lambda's."""
OF_WHISPER: Final = {"aligning"}
"""Of lines of a function that these tests do not run: see `tests/test_route_whisper.py`."""
WORDS_OF_INSIGHTS: Final = {
    *("fields", "filter", "stats", "sort", "limit", "by", "as", "and", "or", "not", "in", "like"),
    *("asc", "desc", "count", "avg", "max", "min", "sum", "bin", "ispresent"),
}
OF_THE_TOOL: Final = {
    *("region", "query", "output", "max-items", "profile", "no-paginate"),
    *("cli-binary-format", "cli-read-timeout"),
}
"""Options of the `aws` command line itself."""


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", RUNBOOK, flags=re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[list[str]]:
    """Each of its calls in a block or inline, as words; what a shell puts in is a word `X`."""
    code = RUNBOOK.replace("\\\n", " ")
    inline = [span for line in code.splitlines() for span in re.findall(r"`([^`]+)`", line)]
    blocked = re.findall(r"^```sh\n(.*?)^```", code, flags=re.MULTILINE | re.DOTALL)
    lines = [*inline, *(line for block in blocked for line in block.splitlines())]
    quiet = [re.sub(r"\$\((?:res|arn|date)[^)]*\)|\$\w+", "X", line) for line in lines]
    calls = [
        call
        for line in quiet
        for call in re.findall(rf"(?:^|[\s(]){program} ([a-z][^;|>)]*)", line)
    ]
    return [shlex.split(call.replace("…", "")) for call in calls]


class TestRunbook:
    def test_every_alarm_has_its_section_and_no_section_is_without_alarm(
        self, resources: Json
    ) -> None:
        alarms = {n for n, r in resources.items() if r["Type"] == "AWS::CloudWatch::Alarm"}
        part = RUNBOOK.partition("\n## Alarms\n")[2].partition("\n## ")[0]
        sections = re.findall(r"^### (.+)$", part, flags=re.MULTILINE)
        assert sorted(sections) == sorted(alarms)

    def test_every_section_of_an_alarm_says_what_it_means_what_to_do_and_when_it_is_over(
        self,
    ) -> None:
        part = RUNBOOK.partition("\n## Alarms\n")[2].partition("\n## ")[0]
        for section in part.split("\n### ")[1:]:
            assert re.search(r"^\*Means\*: ", section, flags=re.MULTILINE), section
            for word in ("*Look*", "*Do*", "*Over*"):
                assert word.lower() in section.lower(), section

    def test_every_link_leads_to_a_section(self) -> None:
        headings = re.findall(r"^##+ (.+)$", RUNBOOK, flags=re.MULTILINE)
        anchors = {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in headings}
        links = re.findall(r"\]\(#([^)]+)\)", RUNBOOK)
        assert len(links) > 20
        assert set(links) <= anchors

    def test_every_query_asks_for_fields_that_are_written(self, seen: Seen) -> None:
        written = {field for lines in seen.lines.values() for line in lines for field in line}
        queries = blocks("logs")
        assert len(queries) > 10
        for query in queries:
            named = set(re.findall(r"\bas (\w+)", query))
            bare = re.sub(r'"[^"]*"|/[^/\n]+/|\b\d\w*', "", query)
            fields = set(re.findall(r"@?[a-zA-Z_]\w*", bare)) - WORDS_OF_INSIGHTS - named
            assert fields <= written | KNOWN_TO_INSIGHTS | OF_WHISPER, query

    def test_every_word_that_a_query_looks_for_is_said(self, seen: Seen) -> None:
        lines = [line for lines in seen.lines.values() for line in lines]
        for field, known in (("message", None), ("service", None), ("code", get_args(ErrorCode))):
            said = {line.get(field) for line in lines} | set(known or ())
            asked = re.findall(rf'\b{field} (?:=|!=) "([^"]+)"', "".join(blocks("logs")))
            listed = re.findall(rf"\b{field} (?:not )?in \[([^\]]+)\]", "".join(blocks("logs")))
            asked += [word for words in listed for word in re.findall(r'"([^"]+)"', words)]
            assert asked
            assert set(asked) <= said

    def test_every_command_of_ours_is_one(self) -> None:
        found = [words for words in commands("dropscribe") if words]
        assert len(found) >= 5
        for name, *words in found:
            if name.startswith("-"):
                continue
            command = main.commands[name]
            command.make_parser(click.Context(command)).parse_args(words)

    def test_every_command_of_aws_is_in_its_api(self) -> None:
        found = [words for words in commands("aws") if len(words) > 1]
        assert len(found) > 20
        for service, operation, *words in found:
            api = {"s3api": "s3"}.get(service, service)
            model = loaders.Loader().load_service_model(api, "service-2")
            operations = {xform_name(name, "-"): o for name, o in model["operations"].items()}
            members = model["shapes"][operations[operation]["input"]["shape"]]["members"]
            known = {xform_name(member, "-") for member in members} | OF_THE_TOOL
            options = {word.removeprefix("--") for word in words if word.startswith("--")}
            assert {option.removeprefix("no-") for option in options} <= known, (operation, options)

    def test_every_resource_that_it_asks_for_is_in_the_template(self, resources: Json) -> None:
        asked = re.findall(r"\$\((?:res|arn) (\w+)\)", RUNBOOK)
        assert len(asked) > 10
        assert set(asked) <= set(resources)

    def test_it_names_every_log_group_of_a_function(self, resources: Json) -> None:
        groups = {
            resource["Properties"]["LogGroupName"]["Fn::Sub"].rpartition("}")[2]
            for resource in resources.values()
            if resource["Type"] == "AWS::Logs::LogGroup" and "/aws/lambda/" in json.dumps(resource)
        }
        assert groups == set(re.findall(r"/aws/lambda/(?:\$STACK|<stack>)(-[a-z]+)", RUNBOOK))
