"""The embedded cloud refuses what AWS would refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.access import Access, Denied, Need
from local.cloud import Cloud
from local.needs import Request, needs

REGION = "us-east-1"
ACCOUNT = "123456789012"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"


class Caller:
    """A role with one policy, and boto3 with its credentials."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._iam = cloud, cloud.client("iam")
        created = self._iam.create_role(RoleName="caller", AssumeRolePolicyDocument="{}")
        self.arn: str = created["Role"]["Arn"]

    def may(self, *statements: dict[str, Any]) -> None:
        allowing = [{"Effect": "Allow", **one} for one in statements]
        document = json.dumps({"Version": "2012-10-17", "Statement": allowing})
        self._iam.put_role_policy(RoleName="caller", PolicyName="p", PolicyDocument=document)

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self._cloud.endpoint,
            region_name=REGION,
            config=Config(retries={"total_max_attempts": 1}, proxies={}),
            **self._cloud.access.credentials(self.arn),
        )

    def refused(self, service: str, operation: str, **parameters: Any) -> str:
        with pytest.raises(ClientError) as caught:
            getattr(self.client(service), operation)(**parameters)
        return str(caught.value.response["Error"]["Code"])


@pytest.fixture(scope="module")
def empty() -> Iterator[Cloud]:
    with Cloud() as running:
        s3 = running.client("s3")
        s3.create_bucket(Bucket="box")
        s3.put_object(Bucket="box", Key="mine/a", Body=b"1")
        yield running


@pytest.fixture(scope="module")
def caller(empty: Cloud) -> Caller:
    return Caller(empty)


def anything(condition: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A statement that allows everything on one condition."""
    return {"Action": "*", "Resource": "*", "Condition": condition}


class TestRefusals:
    def test_what_no_statement_allows_in_the_words_of_the_service(self, caller: Caller) -> None:
        caller.may({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::box/mine/*"})
        assert caller.client("s3").get_object(Bucket="box", Key="mine/a")["Body"].read() == b"1"
        topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:t"
        secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:s"
        large = b"0" * 2_000_000
        for code, service, operation, parameters in (
            ("AccessDenied", "s3", "get_object", {"Bucket": "box", "Key": "others/a"}),
            ("403", "s3", "head_object", {"Bucket": "box", "Key": "others/a"}),
            ("AccessDenied", "s3", "put_object", {"Bucket": "box", "Key": "mine/b", "Body": large}),
            ("AccessDenied", "s3", "list_objects_v2", {"Bucket": "box", "Prefix": "mine/"}),
            ("AuthorizationError", "sns", "publish", {"TopicArn": topic, "Message": "m"}),
            ("AccessDeniedException", "secretsmanager", "get_secret_value", {"SecretId": secret}),
            ("AccessDeniedException", "lambda", "invoke", {"FunctionName": "f"}),
        ):
            assert caller.refused(service, operation, **parameters) == code

    def test_a_missing_object_is_forbidden_to_whoever_may_not_list(self, caller: Caller) -> None:
        read = {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::box/*"}
        missing = {"Bucket": "box", "Key": "mine/none"}
        caller.may(read)
        assert caller.refused("s3", "get_object", **missing) == "AccessDenied"
        assert caller.refused("s3", "head_object", **missing) == "403"
        caller.may(read, {"Action": "s3:ListBucket", "Resource": "arn:aws:s3:::box"})
        assert caller.refused("s3", "get_object", **missing) == "NoSuchKey"
        assert caller.refused("s3", "head_object", **missing) == "404"

    def test_a_call_that_is_not_known_is_refused_also_to_whoever_may_all(
        self, caller: Caller
    ) -> None:
        caller.may({"Action": "sqs:*", "Resource": "*"})
        assert caller.refused("sqs", "list_queues") == "AccessDeniedException"
        caller.may({"Action": "s3:*", "Resource": "*"})
        assert caller.refused("s3", "get_object_acl", Bucket="box", Key="mine/a") == "AccessDenied"

    def test_the_developer_may_do_everything(self, empty: Cloud) -> None:
        assert empty.client("s3").get_object_acl(Bucket="box", Key="mine/a")["Grants"]

    def test_a_function_must_be_allowed_to_read_its_queue(self, caller: Caller) -> None:
        access = Access()
        caller.may({"Action": "sqs:ReceiveMessage", "Resource": QUEUE})
        with pytest.raises(Denied, match="perform: sqs:DeleteMessage on resource: arn:aws:sqs"):
            access.check(
                caller.arn, Need("sqs:ReceiveMessage", QUEUE), Need("sqs:DeleteMessage", QUEUE)
            )
        assert access.denied == [("caller", Need("sqs:DeleteMessage", QUEUE))]


class TestKeys:
    """Of what is encrypted with a key, the key's use has to be allowed too."""

    def test_of_a_topic(self, empty: Cloud, caller: Caller) -> None:
        sns = empty.client("sns")
        arn = sns.create_topic(Name="k", Attributes={"KmsMasterKeyId": "key-1"})["TopicArn"]
        publish = {"Action": "sns:Publish", "Resource": arn}
        caller.may(publish)
        assert caller.refused("sns", "publish", TopicArn=arn, Message="m") == "AuthorizationError"
        key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/key-1"
        caller.may(publish, {"Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": key})
        assert caller.client("sns").publish(TopicArn=arn, Message="m")["MessageId"]

    def test_of_an_object_and_of_a_bucket(self, empty: Cloud, caller: Caller) -> None:
        s3 = empty.client("s3")
        s3.create_bucket(Bucket="locked")
        rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "key-2"}
        rules = [{"ApplyServerSideEncryptionByDefault": rule}]
        s3.put_bucket_encryption(
            Bucket="locked", ServerSideEncryptionConfiguration={"Rules": rules}
        )
        s3.put_object(Bucket="locked", Key="a", Body=b"1")
        objects = {"Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::locked/*"}
        caller.may(objects)
        assert caller.refused("s3", "get_object", Bucket="locked", Key="a") == "AccessDenied"
        assert caller.refused("s3", "put_object", Bucket="locked", Key="a") == "AccessDenied"
        via = {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}}
        key = {"Action": "kms:*", "Resource": "*", "Condition": via}
        caller.may(objects, key)
        caller.client("s3").put_object(Bucket="locked", Key="a", Body=b"2")
        assert caller.client("s3").get_object(Bucket="locked", Key="a")["Body"].read() == b"2"

    def test_in_the_name_of_the_service_that_the_condition_says(
        self, empty: Cloud, caller: Caller
    ) -> None:
        secrets = empty.client("secretsmanager")
        arn = secrets.create_secret(Name="k", SecretString="s", KmsKeyId="key-3")["ARN"]
        read = {"Action": "secretsmanager:GetSecretValue", "Resource": arn}
        for service, allowed in (("ssm", False), ("secretsmanager", True)):
            via = {"StringEquals": {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"}}
            caller.may(read, {"Action": "kms:Decrypt", "Resource": "*", "Condition": via})
            if allowed:
                assert caller.client("secretsmanager").get_secret_value(SecretId=arn)
            else:
                code = caller.refused("secretsmanager", "get_secret_value", SecretId=arn)
                assert code == "AccessDeniedException"


class TestStatements:
    @pytest.mark.parametrize(
        ("statement", "allowed"),
        [
            ({"Action": "sqs:SendMessage", "Resource": QUEUE}, True),
            ({"Action": "SQS:sendmessage", "Resource": QUEUE}, True),
            ({"Action": ["sqs:Rec*", "sqs:Send*"], "Resource": ["arn:aws:s3:::box", QUEUE]}, True),
            ({"Action": "sqs:SendMessage", "Resource": f"{QUEUE[:-1]}?"}, True),
            ({"Action": "sqs:SendMessage", "Resource": f"{QUEUE}q"}, False),
            ({"Action": "sqs:SendMessage", "Resource": QUEUE[:-1] + "Q"}, False),
            ({"Action": "sqs:SendMessages", "Resource": QUEUE}, False),
            ({"Action": "sqs:*", "Resource": "arn:aws:sqs:.*"}, False),
            (anything({"Bool": {"aws:SecureTransport": "true"}}), True),
            (anything({"Bool": {"aws:SecureTransport": False}}), False),
            (anything({"StringEquals": {"aws:absent": ""}}), False),
            (anything({"ArnLike": {"of": "arn:*:b"}}), True),
            (anything({"StringLike": {"of": ["x", "*:c"]}}), False),
        ],
    )  # fmt: skip
    def test_wildcards_lists_and_conditions(
        self, caller: Caller, statement: dict[str, Any], allowed: bool
    ) -> None:
        access, need = Access(), Need("sqs:SendMessage", QUEUE, {"of": "arn:a:b"})
        caller.may(statement)
        if allowed:
            access.check(caller.arn, need)
            assert [grant.role for grant in access.used] == ["caller"]
        else:
            with pytest.raises(Denied):
                access.check(caller.arn, need)
            assert access.used == set()

    def test_a_denial_is_stronger_than_any_permission(self, caller: Caller) -> None:
        allow = {"Action": "*", "Resource": "*"}
        caller.may(allow, {"Effect": "Deny", "Action": "sqs:Send*", "Resource": QUEUE})
        with pytest.raises(Denied):
            Access().check(caller.arn, Need("sqs:SendMessage", QUEUE))

    @pytest.mark.parametrize(
        "odd",
        [{"NotAction": "s3:*"}, {"Action": "*", "Condition": {"IpAddress": {"of": "10.0.0.0/8"}}}],
    )
    def test_what_is_not_evaluated_is_not_passed_over(
        self, caller: Caller, odd: dict[str, Any]
    ) -> None:
        caller.may({"Resource": "*", **odd})
        with pytest.raises(NotImplementedError):
            Access().check(caller.arn, Need("sqs:SendMessage", QUEUE, {"of": "10.0.0.1"}))


class TestNeeds:
    """Action and resource, as the Service Authorization Reference has them."""

    @pytest.mark.parametrize(
        ("method", "path", "query", "headers", "expected"),
        [
            ("GET", "/box/a b", "", {}, ["s3:GetObject arn:aws:s3:::box/a b"]),
            ("GET", "/box/k", "x-id=GetObject", {}, ["s3:GetObject arn:aws:s3:::box/k"]),
            ("HEAD", "/box/k", "versionId=1", {}, ["s3:GetObjectVersion arn:aws:s3:::box/k"]),
            ("PUT", "/box/k", "", {"HTTP_IF_NONE_MATCH": "*"}, ["s3:PutObject arn:aws:s3:::box/k"]),
            ("PUT", "/box/k", "", {"HTTP_IF_MATCH": "e"},
             ["s3:PutObject arn:aws:s3:::box/k", "s3:GetObject arn:aws:s3:::box/k"]),
            ("DELETE", "/box/k", "", {"HTTP_IF_MATCH": "e"},
             ["s3:DeleteObject arn:aws:s3:::box/k", "s3:GetObject arn:aws:s3:::box/k"]),
            ("DELETE", "/box/k", "versionId=1", {}, ["s3:DeleteObjectVersion arn:aws:s3:::box/k"]),
            ("POST", "/box/k", "uploads", {}, ["s3:PutObject arn:aws:s3:::box/k"]),
            ("PUT", "/box/k", "uploadId=1&partNumber=1", {}, ["s3:PutObject arn:aws:s3:::box/k"]),
            ("DELETE", "/box/k", "uploadId=1", {}, ["s3:AbortMultipartUpload arn:aws:s3:::box/k"]),
            ("GET", "/box", "list-type=2&prefix=a%2F", {}, ["s3:ListBucket arn:aws:s3:::box"]),
            ("GET", "/box", "versions", {}, ["s3:ListBucketVersions arn:aws:s3:::box"]),
            ("GET", "/box/k", "tagging", {}, ["not-in-local-needs:s3 /box/k"]),
            ("PUT", "/box/k", "", {"HTTP_X_AMZ_COPY_SOURCE": "box/j"},
             ["not-in-local-needs:s3 /box/k"]),
        ],
    )  # fmt: skip
    def test_of_s3(
        self, method: str, path: str, query: str, headers: dict[str, str], expected: list[str]
    ) -> None:
        found = needs(Request(method, path, query, headers | signed("s3"), b""))
        assert [f"{need.action} {need.resource}" for need in found] == expected

    @pytest.mark.parametrize(
        ("service", "target", "body", "expected"),
        [
            ("states", "AWSStepFunctions.StartExecution", {"stateMachineArn": "arn:m"},
             "states:StartExecution arn:m"),
            ("sqs", "AmazonSQS.SendMessageBatch",
             {"QueueUrl": f"http://localhost:5000/{ACCOUNT}/q"}, f"sqs:SendMessage {QUEUE}"),
            ("ssm", "AmazonSSM.GetParameter", {"Name": "arn:p"}, "ssm:GetParameter arn:p"),
        ],
    )  # fmt: skip
    def test_of_the_others(
        self, service: str, target: str, body: dict[str, str], expected: str
    ) -> None:
        headers = signed(service) | {"HTTP_X_AMZ_TARGET": target}
        (need,) = needs(Request("POST", "/", "", headers, json.dumps(body).encode()))
        assert f"{need.action} {need.resource}" == expected


def signed(service: str) -> dict[str, str]:
    scope = f"ASIA1/20261120/{REGION}/{service}/aws4_request"
    return {"HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host"}
