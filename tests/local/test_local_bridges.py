"""One guard for each bridge: an untouched moto still has the gap.

When one of these fails, moto has changed: drop the bridge if the gap is closed, mend it if only its
shape has changed.
"""

from __future__ import annotations

import inspect
import io
import json
import time
import zipfile
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.awslambda import models as lambda_models
from moto.cloudformation import models as cloudformation_models
from moto.cloudformation import parsing
from moto.core import config
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.events.models import Rule
from moto.iam import access_control
from moto.s3 import notifications, responses
from moto.s3.models import s3_backends
from moto.s3.responses import S3Response
from moto.sns.models import Subscription, sns_backends
from moto.sqs.models import Queue
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task import StateTask
from moto.stepfunctions.parser.asl.eval import states
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import boto_client, json_path
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse

from local.moto_resources import ADDED
from local.replacements import Replacements

REGION = "us-east-1"
ROLE = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/any"
WHERE = {"account_id": DEFAULT_ACCOUNT_ID, "region_name": REGION}


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Moto as it is installed, executing state machines."""
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        yield


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


def create(resources: dict[str, Any], **parts: Any) -> Any:
    """A stack of plain CloudFormation, and the resources as moto holds them."""
    template = json.dumps({"Resources": resources, **parts})
    client("cloudformation").create_stack(StackName="guard", TemplateBody=template)
    return (
        cloudformation_models.cloudformation_backends[DEFAULT_ACCOUNT_ID][REGION]
        .get_stack("guard")
        .resource_map
    )


def source(thing: Any) -> str:
    return inspect.getsource(thing)


def zipped() -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("app.py", "")
    return body.getvalue()


class TestCloudFormation:
    def test_transform(self) -> None:
        template = {
            "Transform": "AWS::Serverless-2016-10-31",
            "Resources": {"F": {"Type": "AWS::Serverless::Function"}},
        }
        assert cloudformation_models.Stack.parse_template(json.dumps(template)) == template
        assert "template_dict" in source(cloudformation_models.ChangeSet._parse_template)

    def test_change_sets(self) -> None:
        applied = source(cloudformation_models.ChangeSet.apply)
        assert "output_map" not in applied
        assert "stack.template_dict" not in applied

    def test_updates_of_what_cannot_change(self) -> None:
        group: dict[str, Any] = {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {"LogGroupName": "/mine", "RetentionInDays": 1},
        }
        create({"Group": group})
        group["Properties"]["RetentionInDays"] = 3
        template = json.dumps({"Resources": {"Group": group}})
        client("cloudformation").update_stack(StackName="guard", TemplateBody=template)
        stack = cloudformation_models.cloudformation_backends[DEFAULT_ACCOUNT_ID][REGION].get_stack(
            "guard"
        )
        assert stack.resource_map["Group"] is None

    def test_updates_of_what_has_a_false_condition(self) -> None:
        assert "condition" not in source(parsing.parse_and_update_resource).lower()

    def test_no_value(self) -> None:
        resources = create({"Topic": {"Type": "AWS::SNS::Topic"}})
        assert parsing.clean_json(["a", {"Ref": "AWS::NoValue"}], resources) == ["a", None]

    def test_conditional_resources(self) -> None:
        condition = {"Never": {"Fn::Equals": ["a", "b"]}}
        create({"Topic": {"Type": "AWS::SNS::Topic", "Condition": "Never"}}, Conditions=condition)
        stack = cloudformation_models.cloudformation_backends[DEFAULT_ACCOUNT_ID][REGION].get_stack(
            "guard"
        )
        assert list(stack.stack_resources) == [None]

    def test_failures(self) -> None:
        with pytest.raises(KeyError):
            create({"Layer": {"Type": "AWS::Lambda::LayerVersion", "Properties": {}}})

    def test_unknown_types(self) -> None:
        with pytest.warns(UserWarning, match="not supported by moto"):
            assert create({"Odd": {"Type": "AWS::Odd::Thing"}})["Odd"] is None


class TestResources:
    def test_function_properties(self) -> None:
        properties = {
            "Code": {"ZipFile": "pass"},
            "Role": ROLE,
            "Handler": "index.handler",
            "Runtime": "python3.13",
            "LoggingConfig": {"LogGroup": "/mine"},
            "EphemeralStorage": {"Size": 1024},
        }
        client("iam").create_role(RoleName="any", AssumeRolePolicyDocument="{}")
        function: Any = create(
            {"Function": {"Type": "AWS::Lambda::Function", "Properties": properties}}
        )["Function"]
        assert function.logs_group_name == f"/aws/lambda/{function.function_name}"
        assert function.ephemeral_storage == 512
        assert "Layers" not in source(lambda_models.LambdaFunction.create_from_cloudformation_json)
        assert not hasattr(function, "dead_letter_arn")

    def test_functions_in_images(self) -> None:
        properties = {
            "PackageType": "Image",
            "Code": {"ImageUri": f"{DEFAULT_ACCOUNT_ID}.dkr.ecr.{REGION}.amazonaws.com/f:1"},
            "Role": ROLE,
        }
        client("iam").create_role(RoleName="any", AssumeRolePolicyDocument="{}")
        function: Any = create(
            {"Function": {"Type": "AWS::Lambda::Function", "Properties": properties}}
        )["Function"]
        assert function.package_type == "Zip"
        assert function.handler is None
        assert not hasattr(function, "code_bytes")

    def test_layer_references(self) -> None:
        client("s3").create_bucket(Bucket="code")
        client("s3").put_object(Bucket="code", Key="layer", Body=zipped())
        content = {"Content": {"S3Bucket": "code", "S3Key": "layer"}}
        layer: Any = create(
            {"Layer": {"Type": "AWS::Lambda::LayerVersion", "Properties": content}}
        )["Layer"]
        assert not hasattr(layer, "physical_resource_id")

    def test_bucket_properties(self) -> None:
        properties = {"VersioningConfiguration": {"Status": "Enabled"}}
        bucket: Any = create({"Bucket": {"Type": "AWS::S3::Bucket", "Properties": properties}})[
            "Bucket"
        ]
        assert not bucket.is_versioned

    def test_topic_updates(self) -> None:
        topic = create({"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "a"}}})[
            "Topic"
        ]
        document = {
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "b"}}}
        }
        client("cloudformation").update_stack(StackName="guard", TemplateBody=json.dumps(document))
        assert topic.arn not in sns_backends[DEFAULT_ACCOUNT_ID][REGION].topics

    def test_state_machines(self) -> None:
        properties = {"DefinitionS3Location": {"Bucket": "code", "Key": "machine"}, "RoleArn": ROLE}
        machine: Any = create(
            {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}}
        )["Machine"]
        assert machine.definition == ""
        assert not isinstance(machine.backend, StepFunctionsParserBackend)
        assert "DefinitionSubstitutions" not in source(StateMachine)

    @pytest.mark.parametrize("resource_type", ADDED)
    def test_added_types(self, resource_type: str) -> None:
        assert resource_type not in parsing.get_model_map()


class TestS3:
    def test_notification_records(self) -> None:
        client("s3").create_bucket(Bucket="bucket")
        client("s3").put_bucket_versioning(
            Bucket="bucket", VersioningConfiguration={"Status": "Enabled"}
        )
        client("s3").put_object(Bucket="bucket", Key="a b/c", Body=b"1")
        backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        uploaded = backend.get_object("bucket", "a b/c")
        event = notifications._get_s3_event(
            "s3:ObjectCreated:Put", backend.get_bucket("bucket"), uploaded, "id"
        )
        described = event["Records"][0]["s3"]["object"]
        assert described.keys() == {"key", "size", "eTag"}
        assert described["key"] == "a+b%2Fc"

    def test_conditional_writes(self) -> None:
        """The check and the write are two steps, with no lock around them."""
        for method in (S3Response.put_object, S3Response.delete_object):
            assert "PreconditionFailed" in source(method)
        assert "threading" not in source(responses)


class TestSqs:
    def test_fair_queues(self) -> None:
        queue = client("sqs").create_queue(QueueName="q")["QueueUrl"]
        for tenant in ("noisy", "noisy", "quiet"):
            client("sqs").send_message(QueueUrl=queue, MessageBody=tenant, MessageGroupId=tenant)
        got = [
            client("sqs").receive_message(QueueUrl=queue)["Messages"][0]["Body"] for _ in range(2)
        ]
        assert got == ["noisy", "noisy"]

    def test_deletions(self) -> None:
        assert "_messages_lock" in source(Queue.add_message)
        assert "_messages_lock" not in source(Queue.delete_message)

    def test_characters(self) -> None:
        queue = client("sqs").create_queue(QueueName="q")["QueueUrl"]
        client("sqs").send_message(QueueUrl=queue, MessageBody="\uffff")


class TestSns:
    def test_web_hooks(self) -> None:
        topic = client("sns").create_topic(Name="t")["TopicArn"]
        client("sns").subscribe(TopicArn=topic, Protocol="http", Endpoint="http://127.0.0.1:9/hook")
        with patch("moto.sns.models.requests.post") as post:
            attributes = {"status": {"DataType": "String", "StringValue": "ok"}}
            client("sns").publish(TopicArn=topic, Message="m", MessageAttributes=attributes)
        assert "MessageAttributes" not in post.call_args.kwargs["json"]
        assert post.call_args.kwargs["headers"].keys() == {"Content-Type"}
        assert hasattr(Subscription, "_parse_message_structure")


class TestLambda:
    def test_invocations(self) -> None:
        assert "docker_client.containers.run" in source(lambda_models.LambdaFunction._invoke_lambda)

    def test_event_sources(self) -> None:
        """Delivered inside SendMessage; no batch reports; what failed is not delivered again."""
        assert "send_sqs_batch" in source(Queue.add_message)
        backend = source(lambda_models.LambdaBackend)
        assert "batchItemFailures" not in backend
        assert "lambda_event_source_mappings" in source(
            lambda_models.LambdaBackend.create_event_source_mapping
        )


class TestEvents:
    def test_function_targets(self) -> None:
        rule = Rule("r", event_pattern=None, **NOTHING)
        rule.targets = [
            {"Id": "1", "Arn": f"arn:aws:lambda:{REGION}:{DEFAULT_ACCOUNT_ID}:function:f"}
        ]
        with pytest.raises(NotImplementedError):
            rule.send_to_targets({"source": "any"}, transform_input=False)

    def test_a_rule_with_a_schedule_gets_every_event(self) -> None:
        rule = Rule("r", event_pattern=None, **NOTHING | {"schedule_exp": "rate(1 hour)"})
        assert rule.event_pattern.matches_event({"source": "any"})


NOTHING: Any = {
    **WHERE,
    "description": None,
    "schedule_exp": None,
    "role_arn": None,
    "event_bus_name": "default",
    "state": None,
}


class TestIam:
    def test_access(self) -> None:
        """Nobody is asked; told to ask, moto takes no notice of resources."""
        stranger = boto3.client("s3", aws_access_key_id="ASIA0", aws_secret_access_key="no")
        stranger.create_bucket(Bucket="anybody-s")
        assert "Resource and Condition" in str(access_control.__doc__)

    def test_role_updates(self) -> None:
        policy = {"PolicyName": "p", "PolicyDocument": {"Statement": []}}
        document = {"AssumeRolePolicyDocument": {}, "Policies": [policy]}
        resources = {"Role": {"Type": "AWS::IAM::Role", "Properties": document}}
        role: Any = create(resources)["Role"]
        resources["Role"]["Properties"] = document | {"Policies": [policy | {"PolicyName": "q"}]}
        template = json.dumps({"Resources": resources})
        client("cloudformation").update_stack(StackName="guard", TemplateBody=template)
        assert list(role.policies) == ["p"]


class TestStepFunctions:
    @pytest.fixture
    def machine(self) -> str:
        definition = json.dumps(
            {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 1, "End": True}}}
        )
        return client("stepfunctions").create_state_machine(
            name="m", definition=definition, roleArn=ROLE
        )["stateMachineArn"]

    def test_execution(self) -> None:
        assert '"stepfunctions": {"execute_state_machine": False}' in source(config)

    def test_start(self, machine: str) -> None:
        sfn = client("stepfunctions")
        assert sfn.start_execution(stateMachineArn=machine)["executionArn"].endswith(":None")
        sfn.start_execution(stateMachineArn=machine, name="a b")

    def test_context(self) -> None:
        assert "RedriveCount" not in source(states)

    def test_parsing(self) -> None:
        parse = source(AmazonStateLanguageParser.parse)
        assert "preprocessor.visit(tree)" in parse
        assert "return program, tree" in parse
        assert "cache" not in parse

    def test_filters(self) -> None:
        with pytest.raises(json_path.NoSuchJsonPathError):
            json_path.extract_json("$.a[?(@.b)]", {"a": []})
        assert "_contains_slice_or_wildcard_array(path)" in source(json_path.extract_json)

    def test_status_events(self) -> None:
        for method in (Execution.start, BaseExecutionWorkerCommunication.terminated):
            assert "event" not in source(method)
        assert "self._execution_communication.terminated()" in source(ExecutionWorker)

    def test_stop(self) -> None:
        assert '_get_param("error")' not in source(StepFunctionResponse.stop_execution)

    def test_descriptions(self) -> None:
        for method in (
            StepFunctionResponse.describe_execution,
            StepFunctionResponse.list_executions,
        ):
            assert "TIMED_OUT" not in source(method)
            assert "redrive" not in source(method)

    def test_history_order(self) -> None:
        assert "reverseOrder" not in source(StepFunctionResponse.get_execution_history)

    def test_retry_waits(self) -> None:
        assert "time.sleep(interval_seconds)" in source(retrier_decl.RetrierDecl)
        assert retrier_decl.time is time

    def test_task_clients(self) -> None:
        assert "return boto3.client(" in source(boto_client.boto_client_for)
        assert 'aws_access_key_id="ak"' in source(boto_client.boto_client_for)
        assert "env.aws_execution_details.role_arn" in source(StateTask._eval_state_credentials)

    def test_redrive(self, machine: str) -> None:
        assert not hasattr(StepFunctionResponse, "redrive_execution")
        with pytest.raises((NotImplementedError, ClientError)):
            client("stepfunctions").redrive_execution(executionArn=machine)


class TestUndone:
    """A closed cloud leaves nothing behind, or the guards above would guard nothing."""

    def test_every_replacement_is_taken_back(self) -> None:
        class Base:
            name = "base"

        class Owner(Base):
            @staticmethod
            def own() -> str:
                return "own"

        before, settings, replacements = dict(vars(Owner)), {"key": 1}, Replacements()
        replacements.put(Owner, "own", lambda: "new")
        replacements.put(Owner, "own", lambda: "newer")
        replacements.put(Owner, "name", "inherited no more")
        replacements.put_item(settings, "key", 2)
        replacements.undo()
        assert (dict(vars(Owner)), settings, Owner.own(), Owner.name) == (
            before,
            {"key": 1},
            "own",
            "base",
        )
