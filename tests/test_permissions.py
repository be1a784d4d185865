"""What the roles of template.yaml allow is what the route uses: no less, and no more.

No less: the embedded cloud refuses what no policy allows, here and in every other test of the
route. No more: the runs below take every way through every function, and a grant that none of them
used fails unless `UNUSED` says why it is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from moto.s3.exceptions import InvalidPart
from moto.s3.responses import S3Response
from samtranslator.yaml_helper import yaml_parse

from dropscribe import sound
from dropscribe.job import job_id
from functions.start.app import LEFT_FOR_RETURNING_S
from local import image
from local.access import Grant, granted
from local.moto_cloudformation import transform
from tests.api_server import KEY, ApiServer
from tests.conftest import DATA, ROOT
from tests.route import EVERYTHING, Route

SPEECH: Final = DATA / "austen-0880.wav"
TINY: Final = DATA / "tiny-whisper"
STACK: Final = "dropscribe"
PARAMETERS: Final = {
    "Engine": "offline",
    "MaxAudioMinutes": "10",
    "MaxConcurrency": "1",
    "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/own",
    "WhisperImageUri": f"{image.REGISTRY}/functions/transcribe_gpu:local",
    "WhisperProcessor": "cpu",
    "WhisperModel": str(TINY),
}
LOUD_S: Final = 270
"""Noise that no FLAC makes smaller: 9 MB, more than goes up in one part."""
UNUSED: Final = {
    ("PipelineRole", "DeliverLogsHasNoResources"): (
        "Step Functions sets up the delivery of its logs with them; moto delivers none"
    ),
}
"""Grants that cannot be used here, by role and Sid, each with its reason."""
MANAGED: Final = {
    "AWSLambdaBasicExecutionRole": "writing the function's log",
    "AWSLambdaManagedEC2ResourceOperator": "starting and stopping instances with a GPU",
    "AWSXrayWriteOnlyAccess": "traces",
}
"""AWS's own policies that roles may have, for what is no request on the embedded cloud."""


ROW: Final = re.compile(r"^\| `(\w+)` \|(.*)$", re.MULTILINE)
"""Of the table in docs/permissions.md: whose role, and the rest."""
ACTION: Final = re.compile(r"`([a-z0-9]+:[A-Z]\w+)`")
QUOTED: Final = re.compile(r'"([a-z0-9]+:[A-Z]\w+)"')


@dataclass(frozen=True)
class Compared:
    """What the roles were given, and what of it was used; logical ids in place of names."""

    granted: set[Grant]
    used: set[Grant]
    denied: list[tuple[str, str]]
    """Role and action."""


@pytest.fixture(scope="module")
def compared(api_server: ApiServer) -> Iterator[Compared]:
    template = ROOT / "template.yaml"
    api_server.behave()
    with (
        pytest.MonkeyPatch.context() as patch,
        Route(template, api_url=api_server.base_url, api_key=KEY, parameters=PARAMETERS) as route,
    ):
        key = route.cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
        everything = _grants(route)
        take_every_way(route, key, patch)
        parameter = parameter_store(route, key)
        given = {**PARAMETERS, "ApiBaseUrl": api_server.base_url, "ApiKeySecretArn": parameter}
        route.cloud.deploy(template, STACK, given)
        completed(route, "parameter-store.wav", SPEECH, engine="openai", prompt="another")
        names = _Names(route, ("ApiKeySecretArn", parameter))
        access = route.cloud.access
        everything |= _grants(route)
        yield Compared(
            {names.logical(grant) for grant in everything},
            {names.logical(grant) for grant in access.used.copy()},
            [(names.role(role), need.action) for role, need in access.denied],
        )


def take_every_way(route: Route, key: str, patch: pytest.MonkeyPatch) -> None:
    """`key`: ARN of a KMS key of the user's own."""
    put = route.s3.put_object
    route.cloud.client("secretsmanager").update_secret(SecretId="api-key", KmsKeyId=key)
    put(Bucket=route.uploads, Key="speakers/ben.wav", Body=SPEECH.read_bytes())
    put(Bucket=route.uploads, Key="a/_dropscribe.json", Body=b'{"tenant": "t"}')
    failed(route, "a/b.wav", b"no recording")
    completed(route, "a/b.wav", SPEECH)  # deletes the error object
    completed(route, "w.wav", SPEECH, engine="whisper")
    known = {"known_speaker_names": "Ben", "known_speaker_references": "speakers/ben.wav"}
    completed(route, "d.wav", SPEECH, engine="openai", formats="diarized_json", **known)
    refuse_first_part(patch)
    completed(route, "loud.wav", loud(), engine="openai", formats="text")
    forbidden(route, key)
    dead_letter(route)
    swept(route)
    given_back(route)


def completed(route: Route, key: str, content: bytes | Path, **options: str) -> None:
    news = route.run(key, content, **options)
    assert news["type"] == "transcription.job.completed", news["data"]["error"]


def failed(route: Route, key: str, content: bytes) -> None:
    assert route.run(key, content)["data"]["error"]["code"] == "not_media"


def forbidden(route: Route, key: str) -> None:
    """An upload that S3 cannot decrypt in the name of our role, as the key is not ours."""
    put = route.s3.put_object(
        Bucket=route.uploads,
        Key="theirs.wav",
        Body=SPEECH.read_bytes(),
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=key,
    )
    job = job_id(route.uploads, "theirs.wav", put["VersionId"])
    assert route.told(job)["data"]["error"]["code"] == "unauthorized"


def loud() -> bytes:
    noise = np.random.default_rng(7).integers(-30000, 30000, LOUD_S * 16000, np.int16)
    return sound.wav(noise.tobytes())


def refuse_first_part(patch: pytest.MonkeyPatch) -> None:
    """S3 refuses one part of one file in parts, once, so that this upload is given up."""
    refused = iter([InvalidPart()])
    upload_part = S3Response.upload_part

    def upload_part_later(self: Any) -> Any:
        for error in refused:
            raise error
        return upload_part(self)

    patch.setattr(S3Response, "upload_part", upload_part_later)


def dead_letter(route: Route) -> None:
    """A status event that FailFunction cannot read goes where it can be looked at."""
    detail = {"stateMachineArn": route.outputs["PipelineArn"], "status": "FAILED"}
    event = {"Source": "aws.states", "DetailType": "Step Functions Execution Status Change"}
    route.cloud.client("events").put_events(Entries=[event | {"Detail": json.dumps(detail)}])
    queues = route.cloud.client("cloudformation").describe_stack_resource(
        StackName=STACK, LogicalResourceId="FailDeadLetterQueue"
    )
    url = queues["StackResourceDetail"]["PhysicalResourceId"]
    received = route.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)
    assert len(received["Messages"]) == 1


def parameter_store(route: Route, key: str) -> str:
    """The ARN of the API key as a parameter of Systems Manager."""
    route.cloud.client("ssm").put_parameter(
        Name="/team/api-key", Type="SecureString", Value=KEY, KeyId=key
    )
    found = route.cloud.client("ssm").get_parameter(Name="/team/api-key")
    return str(found["Parameter"]["ARN"])


def swept(route: Route) -> None:
    """A failure and an upload that no event told of."""
    with route.no_status_events():
        route.ended(route.upload("a/untold.mp3", b"no recording"))
    with route.no_upload_events():
        job = route.upload("a/unseen.wav", SPEECH)
    found = route.invoke("SweepFunction", EVERYTHING)
    assert (found["queued"], found["reported"]) == (1, 1)
    route.told(job)


def given_back(route: Route) -> None:
    """A job for which there is no room: none at all, as if it had been taken away."""
    route.shorten("StartFunction", timeout_s=LEFT_FOR_RETURNING_S + 1)
    with route.setting("StartFunction", "MAX_JOBS", "0"):
        job = route.upload("a/waits.mp3", b"no recording")
        route.wait_for(lambda: "no room for the job yet" in route.cloud.logs("StartFunction"))
    route.told(job)


class _Names:
    """Logical ids for the names that CloudFormation made up."""

    def __init__(self, route: Route, *also: tuple[str, str]) -> None:
        """`also`: further names and what they stand for, as (name, ARN)."""
        cloud = route.cloud.client("cloudformation")
        resources = cloud.describe_stack_resources(StackName=STACK)["StackResources"]
        self._ids = {
            resource["PhysicalResourceId"].rstrip("/").split("/")[-1].split(":")[-1]: (
                resource["LogicalResourceId"]
            )
            for resource in resources
            if "PhysicalResourceId" in resource  # moto's layers have none
        }
        secret = route.cloud.client("secretsmanager").describe_secret(SecretId="api-key")["ARN"]
        self._arns = {secret: "ApiKeySecretArn", **{arn: name for name, arn in also}}

    def role(self, name: str) -> str:
        return self._ids[name]

    def logical(self, grant: Grant) -> Grant:
        """`arn:aws:s3:::dropscribe-workbucket-1x2y/jobs/*` is `WorkBucket/jobs/*`."""
        resource = self._arns.get(grant.resource, grant.resource)
        for physical in sorted(self._ids, key=len, reverse=True):
            resource = resource.replace(physical, self._ids[physical])
        resource = resource.split(":", 5)[-1]
        return Grant(self.role(grant.role), grant.sid, grant.action, resource)


def _grants(route: Route) -> set[Grant]:
    """All that the roles of the stack allow."""
    resources = route.cloud.client("cloudformation").describe_stack_resources(StackName=STACK)
    iam = route.cloud.client("iam")
    roles = [
        iam.get_role(RoleName=resource["PhysicalResourceId"])["Role"]["Arn"]
        for resource in resources["StackResources"]
        if resource["ResourceType"] == "AWS::IAM::Role"
    ]
    return {grant for role in roles for _, grant, _ in granted(role)}


class TestRoles:
    def test_each_grant_is_used_or_says_why_it_is_there(self, compared: Compared) -> None:
        idle = {g for g in compared.granted - compared.used if (g.role, g.sid) not in UNUSED}
        assert sorted(idle) == []

    def test_what_is_said_to_be_unused_is_granted_and_unused(self, compared: Compared) -> None:
        idle = {(grant.role, grant.sid) for grant in compared.granted - compared.used}
        assert {*UNUSED} - idle == set()
        assert {*UNUSED} & {(grant.role, grant.sid) for grant in compared.used} == set()

    def test_every_role_of_a_function_was_used(self, compared: Compared) -> None:
        """A function that nobody drives would pass, if it had no grants."""
        assert {grant.role for grant in compared.used} == {grant.role for grant in compared.granted}

    def test_nothing_was_refused_but_a_stranger_s_key(self, compared: Compared) -> None:
        assert {*compared.denied} == {("NormalizeFunctionRole", "kms:Decrypt")}


@pytest.fixture(scope="module")
def roles() -> dict[str, dict[str, Any]]:
    """Logical id → properties, of the template as SAM translates it."""
    template = yaml_parse((ROOT / "template.yaml").read_text())
    for resource in template["Resources"].values():
        for name in {"CodeUri", "ContentUri", "DefinitionUri"} & set(resource["Properties"]):
            resource["Properties"][name] = "s3://packaged/here"
    return {
        name: resource["Properties"]
        for name, resource in transform(template)["Resources"].items()
        if resource["Type"] == "AWS::IAM::Role"
    }


def test_managed_policies_are_those_that_have_a_reason(roles: dict[str, dict[str, Any]]) -> None:
    managed = {
        json.dumps(arn).rpartition("/")[2].split('"')[0]
        for role in roles.values()
        for arn in role.get("ManagedPolicyArns", [])
    }
    assert managed == {*MANAGED}


def test_the_document_tells_of_each_role_what_it_may_do(roles: dict[str, dict[str, Any]]) -> None:
    """The use of keys is one sentence for all."""
    page = (ROOT / "docs" / "permissions.md").read_text()
    told = {row[1]: {*ACTION.findall(row[2])} for row in ROW.finditer(page)}
    policies = {name: json.dumps(role.get("Policies", [])) for name, role in roles.items()}
    allowed = {
        name.removesuffix("Role"): {a for a in QUOTED.findall(text) if not a.startswith("kms:")}
        for name, text in policies.items()
    }
    assert told == {name: actions for name, actions in allowed.items() if actions}
