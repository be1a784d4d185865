"""template.yaml as CloudFormation gets it: promises that no linter checks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from botocore import loaders
from samtranslator.yaml_helper import yaml_parse

from dropscribe.job import INNER_STATES, STAGES
from dropscribe.messages import SweepRequest
from dropscribe.stages.align import LONGEST_ALIGNING
from functions.start.app import LEFT_FOR_RETURNING_S
from local.moto_cloudformation import transform

ROOT: Final = Path(__file__).parents[1]
LOCAL_PATHS: Final = ("CodeUri", "ContentUri", "DefinitionUri")
BUCKETS: Final = ("UploadsBucket", "TranscriptsBucket", "WorkBucket")
FUNCTIONS: Final = (
    "IngestFunction",
    "StartFunction",
    "NormalizeFunction",
    "TranscribeFunction",
    "FormatFunction",
    "FailFunction",
    "SweepFunction",
)
IMAGE_FUNCTIONS: Final = ("WhisperGpuFunction", "WhisperCpuFunction")
"""One image in two shapes, of which a stack has one or none."""
SDK_ERRORS: Final = {"AWSLambdaException", "SdkClientException", "ClientExecutionTimeoutException"}
"""Of Step Functions' own client of Lambda (its developer guide); not errors of Invoke."""
POWERTOOLS: Final = {
    "POWERTOOLS_SERVICE_NAME",
    "POWERTOOLS_METRICS_NAMESPACE",
    "POWERTOOLS_LOG_LEVEL",
}
REASONS_FOR_ALL_RESOURCES: Final = {
    "DeliverLogsHasNoResources": "these actions of CloudWatch Logs know no resources",
    "AccountAdministersThisKey": 'in the policy of a key "*" is that key',
    "AlarmsUseThisKey": 'in the policy of a key "*" is that key',
}
"""By Sid, each with its reason; the template says the same in a comment."""

Json = dict[str, Any]
NOTHING: Final[Json] = {"Ref": "AWS::NoValue"}
ECR: Final = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


@pytest.fixture(scope="module")
def definition() -> Json:
    machine: Json = json.loads((ROOT / "functions/pipeline.asl.json").read_text())
    return machine


@pytest.fixture(scope="module")
def source() -> Json:
    """As it is written."""
    template: Json = yaml_parse((ROOT / "template.yaml").read_text())
    return template


@pytest.fixture(scope="module")
def resources() -> Json:
    """As SAM translates it."""
    template: Json = yaml_parse((ROOT / "template.yaml").read_text())
    for resource in template["Resources"].values():
        for name in set(LOCAL_PATHS) & set(resource["Properties"]):
            resource["Properties"][name] = "s3://packaged/here"
    translated: Json = transform(template)["Resources"]
    return translated


def of_type(resources: Json, kind: str) -> dict[str, Json]:
    return {name: it["Properties"] for name, it in resources.items() if it["Type"] == kind}


def statements(value: object) -> Iterator[Json]:
    """Every policy statement anywhere inside."""
    if isinstance(value, dict):
        if "Effect" in value:
            yield value
        for inner in value.values():
            yield from statements(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from statements(inner)


def decided(value: Any, conditions: dict[str, bool]) -> Any:
    """With these conditions decided, as CloudFormation does; others stay open."""
    if isinstance(value, list):
        return [it for it in (decided(inner, conditions) for inner in value) if it != NOTHING]
    if not isinstance(value, dict):
        return value
    name, then, otherwise = value.get("Fn::If") or (None, None, None)
    if name in conditions:
        return decided(then if conditions[name] else otherwise, conditions)
    inner = {
        key: decided(it, conditions)
        for key, it in value.items()
        if not (isinstance(it, dict) and conditions.get(str(it.get("Condition"))) is False)
    }
    return {key: it for key, it in inner.items() if it != NOTHING}


def services_of_data(role: Json) -> set[str]:
    """In which a role handles data: by the actions that it is allowed."""
    actions = {
        action
        for statement in statements(role)
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
    }
    handled = {"s3:GetObject", "s3:PutObject", "sqs:SendMessage", "sqs:ReceiveMessage"}
    return {action.partition(":")[0] for action in actions & (handled | {"sns:Publish"})}


def services_of_key(role: Json) -> set[str]:
    """Through which a role may use the key of the stack."""
    return {
        statement["Condition"]["StringEquals"]["kms:ViaService"]["Fn::Sub"].partition(".")[0]
        for statement in statements(role)
        if statement.get("Resource") == {"Ref": "KmsKeyArn"}
    }


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def task_states(states: Json) -> Iterator[tuple[str, Json]]:
    """Every task of a state machine, inside a Map too."""
    for name, state in states.items():
        if state["Type"] == "Task":
            yield name, state
        yield from task_states(state.get("ItemProcessor", {}).get("States", {}))


def kind_of(retrier: Json) -> str:
    """Its error; `Lambda` where it names what wants patience, `States.ALL` for the rest."""
    capacity = ("Lambda.", "RateLimited")
    errors = [e for e in retrier["ErrorEquals"] if e != "States.Timeout"]
    kinds = {"Lambda" if e.startswith(capacity) else e for e in errors}
    assert len(kinds) == 1
    return str(kinds.pop())


def patience_s(definition: Json, kind: str) -> dict[str, float]:
    """Task → seconds between its first try and its last, as the jitter has it on average."""
    return {
        name: sum(
            min(
                retrier["IntervalSeconds"] * retrier["BackoffRate"] ** n, retrier["MaxDelaySeconds"]
            )
            for n in range(retrier["MaxAttempts"])
        )
        / 2
        for name, task in task_states(definition["States"])
        for retrier in task["Retry"]
        if kind_of(retrier) == kind
    }


def at_most_s(task: Json) -> float:
    """Until a task has succeeded or failed: all its waits in full, all its tries until their end.

    Of Lambda's own errors only the waits: such a try has not begun.
    """
    waits_s = [
        min(retrier["IntervalSeconds"] * retrier["BackoffRate"] ** n, retrier["MaxDelaySeconds"])
        for retrier in task["Retry"]
        for n in range(retrier["MaxAttempts"])
    ]
    tries = 1 + sum(r["MaxAttempts"] for r in task["Retry"] if kind_of(r) != "Lambda")
    return float(sum(waits_s) + tries * task["TimeoutSeconds"])


class TestBuckets:
    def test_there_are_three(self, resources: Json) -> None:
        assert sorted(of_type(resources, "AWS::S3::Bucket")) == sorted(BUCKETS)

    @pytest.mark.parametrize("name", BUCKETS)
    def test_each_is_encrypted_versioned_and_private(self, resources: Json, name: str) -> None:
        bucket = resources[name]["Properties"]
        encryption = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        keyed = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Ref": "KmsKeyArn"}}
        assert [rule["Fn::If"] for rule in encryption] == [
            [
                "HasKmsKey",
                {"ServerSideEncryptionByDefault": keyed, "BucketKeyEnabled": True},
                {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}},
            ]
        ]
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert len(bucket["PublicAccessBlockConfiguration"]) == 4
        assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]

    @pytest.mark.parametrize("name", BUCKETS)
    def test_each_outlives_the_stack_and_has_no_fixed_name(
        self, resources: Json, name: str
    ) -> None:
        bucket = resources[name]
        assert bucket["DeletionPolicy"] == "RetainExceptOnCreate"
        assert bucket["UpdateReplacePolicy"] == "Retain"
        assert "BucketName" not in bucket["Properties"]

    @pytest.mark.parametrize("name", BUCKETS)
    def test_each_drops_uploads_that_were_never_finished(self, resources: Json, name: str) -> None:
        rules = resources[name]["Properties"]["LifecycleConfiguration"]["Rules"]
        assert any("AbortIncompleteMultipartUpload" in rule for rule in rules)

    def test_only_the_work_bucket_expires_unless_somebody_says_so(self, resources: Json) -> None:
        days = {
            name: (rule.get("Fn::If") or [None])[0]
            for name, bucket in of_type(resources, "AWS::S3::Bucket").items()
            for rule in bucket["LifecycleConfiguration"]["Rules"]
            if "ExpirationInDays" in json.dumps(rule)
        }
        assert days == {
            "UploadsBucket": "HasUploadRetention",
            "TranscriptsBucket": "HasTranscriptRetention",
            "WorkBucket": None,
        }


class TestTransport:
    @pytest.mark.parametrize(
        ("kind", "policy_kind", "refers_by"),
        [
            ("AWS::S3::Bucket", "AWS::S3::BucketPolicy", "Bucket"),
            ("AWS::SQS::Queue", "AWS::SQS::QueuePolicy", "Queues"),
            ("AWS::SNS::Topic", "AWS::SNS::TopicPolicy", "Topics"),
        ],
    )
    def test_every_bucket_queue_and_topic_refuses_plain_http(
        self, resources: Json, kind: str, policy_kind: str, refers_by: str
    ) -> None:
        refused = {
            target["Ref"]
            for policy in of_type(resources, policy_kind).values()
            for target in listed(policy[refers_by])
            for statement in policy["PolicyDocument"]["Statement"]
            if statement["Effect"] == "Deny"
            and statement["Condition"] == {"Bool": {"aws:SecureTransport": False}}
        }
        assert refused == set(of_type(resources, kind))

    def test_every_queue_is_encrypted(self, resources: Json) -> None:
        nothing = {"Ref": "AWS::NoValue"}
        for queue in of_type(resources, "AWS::SQS::Queue").values():
            assert queue["SqsManagedSseEnabled"] == {"Fn::If": ["HasKmsKey", nothing, True]}
            assert queue["KmsMasterKeyId"] == {
                "Fn::If": ["HasKmsKey", {"Ref": "KmsKeyArn"}, nothing]
            }


class TestPermissions:
    def test_no_statement_allows_every_action(self, resources: Json) -> None:
        allowed = [s for s in statements(resources) if s["Effect"] == "Allow"]
        wide = {s.get("Sid") for s in allowed for a in listed(s["Action"]) if a.endswith(":*")}
        assert not any(action == "*" for s in allowed for action in listed(s["Action"]))
        assert wide == {"AccountAdministersThisKey"}

    def test_every_statement_on_all_resources_has_its_reason(self, resources: Json) -> None:
        unlimited = {
            s.get("Sid") for s in statements(resources) if "*" in listed(s.get("Resource"))
        }
        assert unlimited == set(REASONS_FOR_ALL_RESOURCES)

    @pytest.mark.parametrize("function", FUNCTIONS)
    def test_a_function_has_of_the_managed_policies_only_logs_and_traces(
        self, resources: Json, function: str
    ) -> None:
        managed = resources[f"{function}Role"]["Properties"]["ManagedPolicyArns"]
        assert sorted(json.dumps(arn).rsplit("/", 1)[-1].rstrip('"') for arn in managed) == [
            "AWSLambdaBasicExecutionRole",
            "AWSXrayWriteOnlyAccess",
        ]

    def test_aws_services_act_for_this_account_only(self, resources: Json) -> None:
        granted = [
            statement
            for kind in ("AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::KMS::Key")
            for statement in statements(of_type(resources, kind))
            if "Service" in statement["Principal"]
        ]
        assert granted
        for statement in granted:
            account = statement["Condition"]["StringEquals"]["aws:SourceAccount"]
            assert account == {"Ref": "AWS::AccountId"}


class TestQueue:
    @pytest.mark.parametrize(
        ("queue", "function"), [("UploadsQueue", "IngestFunction"), ("JobsQueue", "StartFunction")]
    )
    def test_a_message_stays_hidden_for_six_times_what_its_function_may_take(
        self, resources: Json, queue: str, function: str
    ) -> None:
        hidden_s = resources[queue]["Properties"]["VisibilityTimeout"]
        assert hidden_s >= 6 * resources[function]["Properties"]["Timeout"]

    @pytest.mark.parametrize("source", ["IngestEventSource", "StartEventSource"])
    def test_messages_fail_one_by_one(self, resources: Json, source: str) -> None:
        mapping = resources[source]["Properties"]
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]

    def test_a_job_that_waits_for_a_days_jobs_before_it_does_not_die_of_being_looked_at(
        self, resources: Json, definition: Json
    ) -> None:
        """Who finds no room looks for as long as a run may take, and gives it back."""
        looks = resources["JobsQueue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"]
        look_s = resources["StartFunction"]["Properties"]["Timeout"] - LEFT_FOR_RETURNING_S
        assert looks * look_s > definition["TimeoutSeconds"]

    def test_a_sweep_looks_at_nothing_that_may_still_run_and_at_all_else_more_than_once(
        self, resources: Json, definition: Json
    ) -> None:
        (rule,) = (r for r in of_type(resources, "AWS::Events::Rule").values() if "Targets" in r
                   and "ScheduleExpression" in r)  # fmt: skip
        request = SweepRequest.model_validate_json(rule["Targets"][0]["Input"])
        assert request.overdue_s > definition["TimeoutSeconds"]
        assert rule["ScheduleExpression"] == "rate(1 hour)"
        assert request.window_s >= 2 * 3600

    def test_every_dead_letter_queue_has_an_alarm(self, resources: Json) -> None:
        dead = {
            queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
            for queue in of_type(resources, "AWS::SQS::Queue").values()
            if "RedrivePolicy" in queue
        } | {"FailDeadLetterQueue"}
        watched = {
            dimension["Value"]["Fn::GetAtt"][0]
            for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values()
            for dimension in alarm.get("Dimensions", [])
            if alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
        }
        assert watched == dead


def queries(alarm: Json) -> list[Json]:
    """The metrics and expressions of an alarm that computes, as with every condition true."""
    return [query.get("Fn::If", [None, query])[1] for query in alarm.get("Metrics", [])]


def computed(expression: str, measured: dict[str, float | None]) -> float | None:
    """One period of CloudWatch's metric math, as far as the template uses it; None: no value."""

    def fill(values: Any, default: float) -> Any:
        if isinstance(values, list):
            return [default if value is None else value for value in values]
        return default if values is None else values

    def total(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) if known else None

    functions: dict[str, Any] = {
        "IF": lambda condition, yes, no: yes if condition else no,
        "FILL": fill,
        "SUM": total,
        "METRICS": lambda part: [value for name, value in measured.items() if part in name],
    }
    try:
        value: float | None = eval(  # noqa: S307 - the template's own words
            expression.replace(" AND ", " and "), {"__builtins__": {}}, functions | measured
        )
    except TypeError:  # of a metric without a value, and no FILL around it
        return None
    return value


ENDS_BY_HAND: Final = {
    "FailEventLostAlarm",
    "FailReportLostAlarm",
    "TimedOutExecutionsAlarm",
    "ApiRefusalsAlarm",
}
"""Beside those of dead letters: the metric falls back at once, whatever was done about it."""


class TestAlarms:
    def test_each_notifies_and_is_quiet_where_nothing_is_measured(self, resources: Json) -> None:
        """A system without uploads measures nothing."""
        for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values():
            assert alarm["AlarmActions"] == [{"Ref": "NotificationsTopic"}]
            assert alarm["TreatMissingData"] == "notBreaching"

    def test_each_names_its_section_of_the_runbook(self, resources: Json) -> None:
        for name, alarm in of_type(resources, "AWS::CloudWatch::Alarm").items():
            assert alarm["AlarmDescription"].endswith(f" docs/runbook.md, {name}.")

    def test_the_end_is_told_of_trouble_that_can_end_by_itself(self, resources: Json) -> None:
        told = {
            name: alarm.get("OKActions")
            for name, alarm in of_type(resources, "AWS::CloudWatch::Alarm").items()
        }
        silent = {name for name, actions in told.items() if actions is None}
        assert silent == {name for name in told if "DeadLetter" in name} | ENDS_BY_HAND
        assert all(
            actions == [{"Ref": "NotificationsTopic"}] for actions in told.values() if actions
        )

    def test_an_alarm_looks_back_a_day_at_most(self, resources: Json) -> None:
        """CloudWatch refuses others whose periods are shorter than an hour."""
        for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values():
            periods = [q["MetricStat"]["Period"] for q in queries(alarm) if "MetricStat" in q]
            (period_s,) = {*periods} or {alarm["Period"]}
            assert period_s * alarm["EvaluationPeriods"] <= 86400

    def test_what_is_computed_refers_to_what_is_fetched(self, resources: Json) -> None:
        computing = [
            queries(alarm)
            for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values()
            if "Metrics" in alarm
        ]
        assert computing
        for found in computing:
            (watched,) = (query for query in found if query.get("ReturnData", True))
            fetched = [query["Id"] for query in found if "MetricStat" in query]
            text = watched["Expression"]
            groups = re.findall(r'METRICS\("(\w+)"\)', text)
            words = set(re.findall(r"\b[a-z]\w*", re.sub(r'"\w+"', "", text)))
            assert len(fetched) <= 10, "CloudWatch takes ten metrics an alarm"
            assert len(set(fetched)) == len(fetched)
            assert words <= set(fetched)
            assert all(any(group in name for name in fetched) for group in groups)
            used = words | {name for name in fetched for group in groups if group in name}
            assert used == set(fetched)

    @pytest.mark.parametrize(
        ("metric", "alarms"),
        [
            ("Throttles", {"ThrottlesAlarm"}),
            ("Errors", {"StepErrorsAlarm", "FunctionErrorsAlarm", "SweepErrorsAlarm"}),
        ],
    )
    def test_no_function_is_left_out(self, resources: Json, metric: str, alarms: set[str]) -> None:
        watched = {
            ref
            for name in alarms
            for query in queries(resources[name]["Properties"]) or [resources[name]["Properties"]]
            if query.get("MetricStat", {}).get("Metric", query).get("MetricName") == metric
            for ref in re.findall(r"\w+Function\b", json.dumps(query))
        }
        assert watched == set(of_type(resources, "AWS::Lambda::Function"))

    @pytest.mark.parametrize(
        ("name", "measured", "goes_off"),
        [
            ("FailedExecutionsAlarm", {"failed": 1}, False),
            ("FailedExecutionsAlarm", {"failed": 12, "succeeded": 40}, False),
            ("FailedExecutionsAlarm", {"failed": 12, "succeeded": 12}, True),
            ("FailedExecutionsAlarm", {"failed": 10}, True),
            ("FailedExecutionsAlarm", {"succeeded": 10}, False),
            ("OurFailuresAlarm", {"failures": 0, "share": 0.0}, False),
            ("OurFailuresAlarm", {"failures": 1, "share": 1.0}, False),
            ("OurFailuresAlarm", {"failures": 3, "share": 0.01}, False),
            ("OurFailuresAlarm", {"failures": 3, "share": 0.1}, True),
            ("NothingStartsAlarm", {}, False),
            ("NothingStartsAlarm", {"waiting": 0}, False),
            ("NothingStartsAlarm", {"waiting": 3, "taken": 1}, False),
            ("NothingStartsAlarm", {"waiting": 3}, True),
            ("NoJobStartsAlarm", {"waiting": 0, "hidden": 0}, False),
            ("NoJobStartsAlarm", {"waiting": 40, "hidden": 5, "taken": 2}, False),
            ("NoJobStartsAlarm", {"waiting": 0, "hidden": 1}, True),
            ("NoJobStartsAlarm", {"waiting": 40}, True),
            # One bad upload: the run is an error to Lambda, and expected.
            (
                "StepErrorsAlarm",
                {"errors_normalize": 1, "expected_normalize": 1, "runs_normalize": 1},
                False,
            ),
            ("StepErrorsAlarm", {"errors_transcribe": 3, "runs_transcribe": 100}, False),
            (
                "StepErrorsAlarm",
                {"errors_transcribe": 8, "runs_transcribe": 9, "runs_normalize": 3},
                True,
            ),
            ("FunctionErrorsAlarm", {"errors_ingest": 0, "errors_format": 0}, False),
            ("FunctionErrorsAlarm", {"errors_fail": 1}, True),
            ("ThrottlesAlarm", {"throttles_transcribe": 1}, True),
        ],
    )
    def test_it_goes_off_when_it_should_and_not_for_one_bad_upload(
        self, resources: Json, name: str, measured: dict[str, float], *, goes_off: bool
    ) -> None:
        alarm = resources[name]["Properties"]
        (expression,) = (q["Expression"] for q in queries(alarm) if "Expression" in q)
        fetched = {q["Id"]: measured.get(q["Id"]) for q in queries(alarm) if "MetricStat" in q}
        assert set(measured) <= set(fetched)
        value = computed(expression, fetched)
        assert (value is not None and value >= alarm["Threshold"]) is goes_off

    def test_news_of_a_failed_job_that_not_even_its_queue_took_has_an_alarm(
        self, resources: Json
    ) -> None:
        lost = {
            alarm["MetricName"]: resources[alarm["Dimensions"][0]["Value"]["Ref"]]["Type"]
            for name, alarm in of_type(resources, "AWS::CloudWatch::Alarm").items()
            if name in ("FailEventLostAlarm", "FailReportLostAlarm")
        }
        assert lost == {
            "InvocationsFailedToBeSentToDlq": "AWS::Events::Rule",
            "DeadLetterErrors": "AWS::Lambda::Function",
        }


class TestFunctions:
    def test_there_are_seven_and_an_image(self, resources: Json) -> None:
        functions = of_type(resources, "AWS::Lambda::Function")
        assert sorted(functions) == sorted(FUNCTIONS + IMAGE_FUNCTIONS)

    @pytest.mark.parametrize("function", FUNCTIONS + IMAGE_FUNCTIONS)
    def test_each_logs_to_a_group_that_forgets(self, resources: Json, function: str) -> None:
        group = resources[function]["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]
        days = {
            "Fn::If": ["HasLogRetention", {"Ref": "LogRetentionDays"}, {"Ref": "RetentionDays"}]
        }
        assert resources[group]["Properties"]["RetentionInDays"] == days

    @pytest.mark.parametrize("function", FUNCTIONS + IMAGE_FUNCTIONS)
    def test_none_reserves_concurrency(self, resources: Json, function: str) -> None:
        """A new account has too little of it to give any away."""
        assert "ReservedConcurrentExecutions" not in resources[function]["Properties"]

    @pytest.mark.parametrize(
        ("function", "service", "own"),
        [
            ("IngestFunction", "ingest", {"JOBS_QUEUE_URL"}),
            (
                "StartFunction",
                "start",
                {"STATE_MACHINE_ARN", "JOBS_QUEUE_URL", "MAX_JOBS", "LOOK_EVERY_S"},
            ),
            (
                "NormalizeFunction",
                "normalize",
                {
                    "WORK_BUCKET",
                    "ENGINE",
                    "MODEL",
                    "FORMATS",
                    "MAX_AUDIO_MINUTES",
                    "MAX_CONCURRENCY",
                    "TRANSCRIBE_FUNCTION_ARN",
                    "WHISPER_FUNCTION_ARN",
                    "WHISPER_MODEL",
                    "WHISPER_MAX_CONCURRENCY",
                    "VOICE_MODEL",
                },
            ),
            (
                "TranscribeFunction",
                "transcribe",
                {
                    *("WORK_BUCKET", "API_BASE_URL", "API_KEY_SECRET_ARN", "API_HEADERS"),
                    *("ALIGNER_FUNCTION_ARN", "ALIGNER", "VOICE_MODEL"),
                },
            ),
            ("FormatFunction", "format", {"WORK_BUCKET", "TRANSCRIPTS_BUCKET"}),
            (
                "FailFunction",
                "fail",
                {"TRANSCRIPTS_BUCKET", "WORK_BUCKET", "NOTIFICATIONS_TOPIC_ARN"},
            ),
            (
                "SweepFunction",
                "sweep",
                {
                    "UPLOADS_BUCKET",
                    "TRANSCRIPTS_BUCKET",
                    "WORK_BUCKET",
                    "JOBS_QUEUE_URL",
                    "STATE_MACHINE_ARN",
                    "NOTIFICATIONS_TOPIC_ARN",
                },
            ),
            (
                "WhisperGpuFunction",
                "transcribe",
                {"WORK_BUCKET", "WHISPER_MODEL", "VOICE_MODEL", "WHISPER_DEVICE", "LOAD_EARLY"},
            ),
            ("WhisperCpuFunction", "transcribe", {"WORK_BUCKET", "WHISPER_MODEL", "VOICE_MODEL"}),
        ],
    )
    def test_each_gets_the_environment_that_it_reads(
        self, resources: Json, function: str, service: str, own: set[str]
    ) -> None:
        variables = resources[function]["Properties"]["Environment"]["Variables"]
        assert set(variables) == POWERTOOLS | own
        assert variables["POWERTOOLS_SERVICE_NAME"] == service

    def test_one_whole_processor_transcribes_whatever_the_default_engine_is(
        self, resources: Json
    ) -> None:
        """An upload may ask for engine offline on its own."""
        assert resources["TranscribeFunction"]["Properties"]["MemorySize"] >= 1769

    def test_heavy_layers_are_only_where_they_are_used(self, source: Json) -> None:
        layers = {
            name: [layer["Ref"] for layer in source["Resources"][name]["Properties"]["Layers"]]
            for name in FUNCTIONS
            if "Layers" in source["Resources"][name]["Properties"]
        }
        assert layers == {
            "NormalizeFunction": ["FfmpegLayer"],
            "TranscribeFunction": ["OfflineLayer", "SpeechLayer", "VoicesLayer"],
        }


class TestWhisper:
    def test_without_an_image_there_is_nothing_of_it(self, resources: Json) -> None:
        conditions = {
            name: resource.get("Condition")
            for name, resource in resources.items()
            if name.startswith("Whisper")
        }
        assert conditions == {
            "WhisperGpuFunction": "HasWhisperOnGpu",
            "WhisperCpuFunction": "HasWhisperOnCpu",
            "WhisperRole": "HasWhisper",
            "WhisperLogs": "HasWhisper",
            "WhisperCapacityProvider": "HasWhisperOnGpu",
            "WhisperOperatorRole": "HasWhisperOnGpu",
        }

    def test_a_gpu_is_there_only_while_there_is_work(self, resources: Json) -> None:
        function = resources["WhisperGpuFunction"]["Properties"]
        assert function["FunctionScalingConfig"] == {
            "MinExecutionEnvironments": 0,
            "MaxExecutionEnvironments": {"Ref": "WhisperMaxEnvironments"},
        }

    def test_one_process_has_the_gpu_to_itself(self, resources: Json) -> None:
        function = resources["WhisperGpuFunction"]["Properties"]
        instances = function["CapacityProviderConfig"][
            "LambdaManagedInstancesCapacityProviderConfig"
        ]
        assert instances["PerExecutionEnvironmentMaxConcurrency"] == 1
        assert instances["CapacityProviderArn"] == {
            "Fn::GetAtt": ["WhisperCapacityProvider", "Arn"]
        }
        assert function["Architectures"] == ["x86_64"]

    def test_what_runs_on_managed_instances_is_the_published_version(self, resources: Json) -> None:
        """There is no other there; normalize and the state machine's role have to agree on it."""
        normalize = resources["NormalizeFunction"]["Properties"]["Environment"]["Variables"]
        on_gpu = {"Fn::Sub": "${WhisperGpuFunction.Arn}:$LATEST.PUBLISHED"}
        on_cpu = {"Fn::GetAtt": ["WhisperCpuFunction", "Arn"]}
        assert resources["WhisperGpuFunction"]["Properties"]["PublishToLatestPublished"] is True
        assert normalize["WHISPER_FUNCTION_ARN"] == {
            "Fn::If": ["HasWhisperOnGpu", on_gpu, {"Fn::If": ["HasWhisperOnCpu", on_cpu, ""]}]
        }
        transcribe = resources["TranscribeFunction"]["Properties"]["Environment"]["Variables"]
        assert transcribe["ALIGNER_FUNCTION_ARN"] == {
            "Fn::If": ["HasAligner", normalize["WHISPER_FUNCTION_ARN"], ""]
        }
        (invoke,) = (s for s in statements(resources) if s.get("Sid") == "InvokeSteps")
        nothing = {"Ref": "AWS::NoValue"}
        assert invoke["Resource"] == [
            {"Fn::GetAtt": ["NormalizeFunction", "Arn"]},
            {"Fn::GetAtt": ["TranscribeFunction", "Arn"]},
            {"Fn::If": ["HasWhisperOnGpu", on_gpu, nothing]},
            {"Fn::If": ["HasWhisperOnCpu", on_cpu, nothing]},
            {"Fn::GetAtt": ["FormatFunction", "Arn"]},
        ]

    def test_nothing_is_aligned_by_a_whisper_that_has_no_model(self, source: Json) -> None:
        """As on the embedded cloud, where a model is what a job names."""
        without = {"Fn::Equals": [{"Ref": "WhisperModel"}, "none"]}
        condition = {"Fn::And": [{"Condition": "HasWhisper"}, {"Fn::Not": [without]}]}
        assert source["Conditions"]["HasAligner"] == condition

    @pytest.mark.parametrize("function", IMAGE_FUNCTIONS)
    def test_sam_asks_nobody_for_an_image_repository(self, source: Json, function: str) -> None:
        """It does where it reads `PackageType: Image`, also from those who want no image."""
        kind = source["Resources"][function]["Properties"]["PackageType"]
        assert kind == {"Fn::FindInMap": ["Whisper", "Package", "Type"]}
        assert source["Mappings"]["Whisper"]["Package"]["Type"] == "Image"

    def test_it_may_do_what_the_other_transcriber_may(self, resources: Json) -> None:
        def allowed(role: str) -> dict[str, Json]:
            return {s["Sid"]: s for s in statements(resources[role]) if "Sid" in s}

        other = allowed("TranscribeFunctionRole")
        ours = ("ReadWriteJobsAndResults", "KnowMissingFromForbiddenWork", "EncryptObjects")
        assert allowed("WhisperRole") == {sid: other[sid] for sid in ours}

    def test_a_gpu_without_a_network_is_refused_before_the_stack_is_touched(
        self, source: Json
    ) -> None:
        rule = source["Rules"]["GpuNeedsANetwork"]
        (assertion,) = rule["Assertions"]
        assert {"Fn::Equals": [{"Ref": "WhisperProcessor"}, "gpu"]} in rule["RuleCondition"][
            "Fn::And"
        ]
        (missing,) = assertion["Assert"]["Fn::Not"]
        assert missing["Fn::Or"] == [
            {"Fn::Equals": [{"Ref": "WhisperSubnetIds"}, ""]},
            {"Fn::Equals": [{"Ref": "WhisperSecurityGroupIds"}, ""]},
        ]


class TestKey:
    """KmsKeyArn: with it everything at rest is encrypted with that key, without it nothing is."""

    KEY: Final[Json] = {"Ref": "KmsKeyArn"}

    @pytest.fixture
    def keyed(self, resources: Json) -> Json:
        return decided(resources, {"HasKmsKey": True, "HasNoKmsKey": False})

    @pytest.mark.parametrize(
        ("kind", "property_name"),
        [
            ("AWS::SQS::Queue", "KmsMasterKeyId"),
            ("AWS::SNS::Topic", "KmsMasterKeyId"),
            ("AWS::Logs::LogGroup", "KmsKeyId"),
            ("AWS::Lambda::Function", "KmsKeyArn"),
        ],
    )
    def test_with_it_every_one_has_it(self, keyed: Json, kind: str, property_name: str) -> None:
        found = of_type(keyed, kind)
        assert {name for name, it in found.items() if it.get(property_name) != self.KEY} == set()
        assert found

    def test_with_it_every_bucket_has_it(self, keyed: Json) -> None:
        """With a bucket key, or each object would be a paid request of KMS."""
        for bucket in of_type(keyed, "AWS::S3::Bucket").values():
            (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
            default = rule["ServerSideEncryptionByDefault"]
            assert default == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": self.KEY}
            assert rule["BucketKeyEnabled"] is True

    def test_with_it_nothing_else_encrypts(self, keyed: Json) -> None:
        assert of_type(keyed, "AWS::KMS::Key") == {}
        assert "SqsManagedSseEnabled" not in json.dumps(keyed)

    def test_without_it_everything_is_as_if_there_were_no_such_parameter(
        self, resources: Json
    ) -> None:
        keyless = decided(resources, {"HasKmsKey": False, "HasNoKmsKey": True})
        assert "KmsKeyArn" not in json.dumps(keyless)
        assert list(of_type(keyless, "AWS::KMS::Key")) == ["NotificationsKey"]
        own = {"Ref": "NotificationsKey"}
        assert keyless["NotificationsTopic"]["Properties"]["KmsMasterKeyId"] == own

    def test_who_reads_or_writes_through_a_service_may_use_it_there_and_nowhere_else(
        self, keyed: Json
    ) -> None:
        """A service whose data are encrypted asks KMS in the name of the role that called it."""
        roles = of_type(keyed, "AWS::IAM::Role")
        needed = {name: services_of_data(role) for name, role in roles.items()}
        given = {name: services_of_key(role) for name, role in roles.items()}
        assert given == needed
        assert needed["FailFunctionRole"] == {"s3", "sns", "sqs"}


class TestPipeline:
    @pytest.mark.parametrize("state", ["TranscribeLeaders", "TranscribeChunks"])
    def test_a_chunk_goes_to_the_function_that_normalize_names(
        self, definition: Json, state: str
    ) -> None:
        chunks = definition["States"][state]
        states = chunks["ItemProcessor"]["States"]
        task = states[chunks["ItemProcessor"]["StartAt"]]
        assert chunks["ItemSelector"]["transcriber.$"] == "$.transcriber"
        assert task["Parameters"]["FunctionName.$"] == "$.transcriber"

    def test_an_instance_may_take_as_long_to_start_as_the_function_to_run(
        self, resources: Json, definition: Json
    ) -> None:
        tasks = dict(task_states(definition["States"]))
        for function in IMAGE_FUNCTIONS:
            function_s = resources[function]["Properties"]["Timeout"]
            for state in ("Transcribe", "AlignFirst"):
                assert tasks[state]["TimeoutSeconds"] >= 2 * function_s + 60

    def test_every_error_of_lambda_that_is_waited_out_is_one_of_its_own(
        self, definition: Json
    ) -> None:
        invoke = loaders.Loader().load_service_model("lambda", "service-2")["operations"]["Invoke"]
        known = {error["shape"] for error in invoke["errors"]} | SDK_ERRORS
        named = {
            error.removeprefix("Lambda.")
            for _, task in task_states(definition["States"])
            for retrier in task["Retry"]
            for error in retrier["ErrorEquals"]
            if error.startswith("Lambda.")
        }
        assert named <= known

    def test_an_instance_that_is_still_to_come_is_waited_for(self, definition: Json) -> None:
        tasks = dict(task_states(definition["States"]))
        for state in ("Transcribe", "AlignFirst", "AlignOther"):
            (lambdas,) = (r for r in tasks[state]["Retry"] if kind_of(r) == "Lambda")
            assert {
                "Lambda.TooManyRequestsException",
                "Lambda.ResourceNotReadyException",
                "Lambda.ResourceConflictException",
                "Lambda.EC2ThrottledException",
            } <= set(lambdas["ErrorEquals"])

    def test_better_times_are_not_waited_for_for_hours_nor_worth_a_job(
        self, definition: Json
    ) -> None:
        """A GPU needs up to 15 minutes to start: one chunk waits for it, not each."""
        lambdas, others = patience_s(definition, "Lambda"), patience_s(definition, "States.ALL")
        assert 15 * 60 < lambdas["AlignFirst"] < 45 * 60
        assert lambdas["AlignOther"] < 2 * 60
        assert max(others["AlignFirst"], others["AlignOther"]) < 60
        for state in ("AlignFirst", "AlignOthers"):
            (caught,) = definition["States"][state]["Catch"]
            assert caught["ErrorEquals"] == ["States.ALL"]
            assert caught["Next"] == "Format"

    def test_a_transcriber_that_names_no_aligner_needs_none(self, definition: Json) -> None:
        """That of engine whisper, and any from before there was one."""
        states = definition["States"]
        (choice,) = states["HasUnaligned"]["Choices"]
        assert choice["IsPresent"] is True
        assert states["HasUnaligned"]["Default"] == "Format"

    def test_however_many_chunks_are_aligned_the_job_ends_within_its_day(
        self, definition: Json
    ) -> None:
        """A function that is begun too late refuses, which ends the Map: see `align`."""
        tasks = dict(task_states(definition["States"]))
        assert tasks["AlignOther"]["Parameters"]["Payload"]["begun.$"] == "$.begun"
        assert tasks["AlignFirst"]["Parameters"]["Payload"]["begun.$"] == "$.begun"
        longest_s = LONGEST_ALIGNING.total_seconds()
        assert at_most_s(tasks["AlignFirst"]) < longest_s
        left_s = definition["TimeoutSeconds"] - patience_s(definition, "Lambda")["Transcribe"]
        assert longest_s + at_most_s(tasks["AlignOther"]) < left_s - 3600

    def test_no_more_chunks_are_aligned_at_once_than_engine_whisper_transcribes(
        self, definition: Json
    ) -> None:
        states = definition["States"]
        assert states["AlignOthers"]["MaxConcurrencyPath"] == "$.max_aligning"
        for state in ("Unaligned", "OneAhead"):
            assert states[state]["Parameters"]["max_aligning.$"] == "$.max_aligning"

    def test_substitutions_are_the_ones_in_the_definition(
        self, source: Json, definition: Json
    ) -> None:
        given = source["Resources"]["Pipeline"]["Properties"]["DefinitionSubstitutions"]
        assert set(re.findall(r"\$\{(\w+)\}", json.dumps(definition))) == set(given)

    def test_a_function_ends_before_its_task_and_a_task_before_its_execution(
        self, resources: Json, definition: Json
    ) -> None:
        tasks = dict(task_states(definition["States"]))
        for stage in ("Normalize", "Transcribe", "Format"):
            function_s = resources[f"{stage}Function"]["Properties"]["Timeout"]
            assert function_s < tasks[stage]["TimeoutSeconds"] < definition["TimeoutSeconds"]
        for function in IMAGE_FUNCTIONS:
            function_s = resources[function]["Properties"]["Timeout"]
            assert function_s < tasks["AlignOther"]["TimeoutSeconds"]
        assert all("TimeoutSeconds" in task for task in tasks.values())

    def test_rejections_end_a_job_and_each_kind_of_trouble_has_its_own_patience(
        self, definition: Json
    ) -> None:
        """The first retrier that names an error is the one that counts: the order matters."""
        kinds = {
            name: [kind_of(retrier) for retrier in task["Retry"]]
            for name, task in task_states(definition["States"])
        }
        assert kinds == {
            "Normalize": ["Rejected", "Lambda", "States.ALL"],
            "TranscribeLeader": ["Rejected", "Lambda", "Unavailable", "States.ALL"],
            "Transcribe": ["Rejected", "Lambda", "Unavailable", "States.ALL"],
            "AlignFirst": ["Rejected", "Lambda", "States.ALL"],
            "AlignOther": ["Rejected", "Lambda", "States.ALL"],
            "Format": ["Rejected", "Lambda", "States.ALL"],
            "Notify": ["States.ALL"],
        }
        for _, task in task_states(definition["States"]):
            never = [r for r in task["Retry"] if "Rejected" in r["ErrorEquals"]]
            assert all(retrier["MaxAttempts"] == 0 for retrier in never)

    def test_a_throttled_function_is_waited_for_as_long_as_half_the_executions_time(
        self, definition: Json
    ) -> None:
        waited_s = patience_s(definition, "Lambda")
        del waited_s["AlignFirst"], waited_s["AlignOther"]
        assert set(waited_s) == {"Normalize", "TranscribeLeader", "Transcribe", "Format"}
        assert min(waited_s.values()) > 10 * 3600
        assert max(waited_s.values()) < definition["TimeoutSeconds"] / 2

    def test_an_api_that_is_asked_too_much_is_waited_for_as_long(
        self, resources: Json, source: Json, definition: Json
    ) -> None:
        tasks = dict(task_states(definition["States"]))
        (patient,) = (r for r in tasks["Transcribe"]["Retry"] if "RateLimited" in r["ErrorEquals"])
        assert kind_of(patient) == "Lambda"
        # Of each retry the history has three events, of 25,000 that there may be.
        most = source["Parameters"]["MaxConcurrency"]["MaxValue"]
        retried = [r["MaxAttempts"] for r in (patient, *tasks["AlignOther"]["Retry"])]
        assert most * sum(retried) * 3 < 20_000

    def test_each_state_has_its_stage(self, definition: Json) -> None:
        inner = {name for name, _ in task_states(definition["States"])} - set(definition["States"])
        assert set(STAGES) == set(definition["States"])
        assert set(INNER_STATES) == inner

    def test_the_chunk_that_goes_ahead_is_transcribed_as_the_others_are(
        self, definition: Json
    ) -> None:
        """Its words have times, as they have speakers: nothing is left to align."""
        tasks = dict(task_states(definition["States"]))
        own = {"Comment", "OutputPath", "ResultPath"}
        leader, other = (
            {name: value for name, value in tasks[state].items() if name not in own}
            for state in ("TranscribeLeader", "Transcribe")
        )
        assert leader == other

    def test_an_unavailable_api_is_waited_for_longer_than_an_unknown_error(
        self, definition: Json
    ) -> None:
        unavailable_s = patience_s(definition, "Unavailable")["Transcribe"]
        assert unavailable_s > 15 * 60 > patience_s(definition, "States.ALL")["Transcribe"]

    def test_eventbridge_is_asked_for_every_end_that_is_not_a_success(
        self, resources: Json
    ) -> None:
        rules = of_type(resources, "AWS::Events::Rule").values()
        (rule,) = (rule for rule in rules if "EventPattern" in rule)
        assert rule["EventPattern"] == {
            "source": ["aws.states"],
            "detail-type": ["Step Functions Execution Status Change"],
            "detail": {
                "stateMachineArn": [{"Ref": "Pipeline"}],
                "status": ["FAILED", "TIMED_OUT", "ABORTED"],
            },
        }
        (target,) = rule["Targets"]
        assert target["Arn"] == {"Fn::GetAtt": ["FailFunction", "Arn"]}
        assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["FailDeadLetterQueue", "Arn"]}}

    def test_its_log_holds_no_data(self, resources: Json) -> None:
        logging = resources["Pipeline"]["Properties"]["LoggingConfiguration"]
        assert logging["IncludeExecutionData"] is False


class TestParameters:
    def test_every_one_is_explained_grouped_and_has_a_default(self, source: Json) -> None:
        interface = source["Metadata"]["AWS::CloudFormation::Interface"]
        grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
        assert sorted(grouped) == sorted(source["Parameters"])
        assert set(interface["ParameterLabels"]) == set(source["Parameters"])
        assert all({"Default", "Description"} <= set(p) for p in source["Parameters"].values())

    def test_a_default_keeps_to_its_own_pattern(self, source: Json) -> None:
        for parameter in source["Parameters"].values():
            pattern = parameter.get("AllowedPattern", ".*")
            assert re.fullmatch(pattern, str(parameter["Default"]))

    @pytest.mark.parametrize(
        ("name", "value", "good"),
        [
            ("ApiBaseUrl", "http://127.0.0.1:8000/v1", True),
            ("ApiBaseUrl", "ftp://example.org", False),
            ("Formats", "srt,vtt", True),
            ("Formats", "srt, diarized_json", True),
            ("Formats", "docx", False),
            ("Formats", "srt,", False),
            ("Model", "Systran/faster-whisper-small.en", True),
            ("Model", "two words", False),
            ("NotificationEmail", "a.b@example.org", True),
            ("NotificationEmail", "nobody", False),
            (
                "ApiKeySecretArn",
                "arn:aws:secretsmanager:eu-west-1:123456789012:secret:k-AbC123",
                True,
            ),
            ("ApiKeySecretArn", "arn:aws:ssm:eu-west-1:123456789012:parameter/api/key", True),
            ("ApiKeySecretArn", "sk-oops-the-key-itself", False),
            ("ApiHeaders", '{"api-key": "{key}"}', True),
            ("ApiHeaders", "api-key: {key}", False),
            ("WhisperImageUri", f"{ECR}/whisper:2026-11-21", True),
            ("WhisperImageUri", f"{ECR}/team/whisper@sha256:{'0' * 64}", True),
            ("WhisperImageUri", f"{ECR}/whisper", False),
            ("WhisperImageUri", "docker.io/library/whisper:latest", False),
            ("WhisperModel", "/opt/model", True),
            ("WhisperModel", "", False),
            ("WhisperSubnetIds", "subnet-0a1b2c3d,subnet-4e5f6a7b", True),
            ("WhisperSubnetIds", "subnet-0a1b2c3d, subnet-4e5f6a7b", False),
            ("WhisperSecurityGroupIds", "sg-0a1b2c3d", True),
            ("WhisperSecurityGroupIds", "default", False),
            ("WhisperInstanceTypes", "g6.xlarge,g5.*", True),
            ("WhisperInstanceTypes", "g6.xlarge;g5.xlarge", False),
            ("KmsKeyArn", "arn:aws:kms:eu-west-1:123456789012:key/mrk-0a1b2c3d", True),
            ("KmsKeyArn", "arn:aws-cn:kms:cn-north-1:123456789012:key/0a1b-2c3d", True),
            ("KmsKeyArn", "arn:aws:kms:eu-west-1:123456789012:alias/ours", False),
            ("KmsKeyArn", "0a1b-2c3d", False),
            ("AccessLogBucket", "who-read-what", True),
            ("AccessLogBucket", "s3://who-read-what", False),
        ],
    )
    def test_a_mistake_is_found_before_the_stack_is_touched(
        self, source: Json, name: str, value: str, *, good: bool
    ) -> None:
        pattern = source["Parameters"][name]["AllowedPattern"]
        assert bool(re.fullmatch(pattern, value)) is good


class TestOutputs:
    def test_every_bucket_queue_topic_and_machine_is_named(self, source: Json) -> None:
        assert set(source["Outputs"]) == {
            "UploadsBucketName",
            "TranscriptsBucketName",
            "WorkBucketName",
            "UploadsQueueUrl",
            "UploadsDeadLetterQueueUrl",
            "JobsQueueUrl",
            "JobsDeadLetterQueueUrl",
            "NotificationsTopicArn",
            "PipelineArn",
        }
        assert all(output["Description"] for output in source["Outputs"].values())
