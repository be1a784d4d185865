"""Which permissions a request of AWS's API needs, as the Service Authorization Reference has it.

A request that is not known here needs one that nobody has: whoever adds a call adds it here too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from local.access import Need
from local.keys import decryption, encryption

_RESOURCE: Final = {
    "cloudformation:DescribeStacks": "StackName",
    "lambda:InvokeFunction": "FunctionName",
    "secretsmanager:GetSecretValue": "SecretId",
    "sns:Publish": "TopicArn",
    "sqs:ChangeMessageVisibility": "QueueUrl",
    "sqs:GetQueueAttributes": "QueueUrl",
    "sqs:SendMessage": "QueueUrl",
    "ssm:GetParameter": "Name",
    "states:DescribeExecution": "executionArn",
    "states:GetExecutionHistory": "executionArn",
    "states:ListExecutions": "stateMachineArn",
    "states:RedriveExecution": "executionArn",
    "states:StartExecution": "stateMachineArn",
    "states:StopExecution": "executionArn",
}
"""Action → the parameter that says on what."""
_BATCHES: Final = {"sns:PublishBatch": "sns:Publish", "sqs:SendMessageBatch": "sqs:SendMessage"}
_OBJECTS: Final = {
    ("GET", ""): "GetObject",
    ("GET", "versionId"): "GetObjectVersion",
    ("HEAD", ""): "GetObject",
    ("HEAD", "versionId"): "GetObjectVersion",
    ("PUT", ""): "PutObject",
    ("POST", "uploads"): "PutObject",
    ("PUT", "partNumber uploadId"): "PutObject",
    ("POST", "uploadId"): "PutObject",
    ("DELETE", ""): "DeleteObject",
    ("DELETE", "versionId"): "DeleteObjectVersion",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
}
"""Method and the query's parameters that matter → action on an object."""
_BUCKETS: Final = {
    ("GET", ""): "ListBucket",
    ("HEAD", ""): "ListBucket",
    ("GET", "list-type"): "ListBucket",
    ("GET", "versions"): "ListBucketVersions",
    ("GET", "uploads"): "ListBucketMultipartUploads",
    # Of several objects: on each, which their bodies name and nobody reads here.
    ("POST", "delete"): "DeleteObjectVersion",
}
_IDLE: Final = {
    "continuation-token", "delimiter", "encoding-type", "fetch-owner", "key-marker", "marker",
    "max-keys", "max-uploads", "prefix", "start-after", "upload-id-marker", "version-id-marker",
    "x-id",
}  # fmt: skip
"""Parameters of S3's queries that change nothing here."""
_COPIES: Final = {"HTTP_X_AMZ_COPY_SOURCE", "HTTP_X_AMZ_TAGGING", "HTTP_X_AMZ_ACL"}
"""Headers that want permissions besides."""


@dataclass(frozen=True)
class Request:
    """As it came in."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    """Of the WSGI environment: `HTTP_IF_MATCH`."""
    body: bytes
    """Empty for S3: an object may be large, and nothing in it matters."""

    @property
    def credential(self) -> list[str]:
        """Key id, day, region and service of the signature; empty where it is not signed."""
        scope = re.search(r"Credential=([^,\s]+)", self.headers.get("HTTP_AUTHORIZATION", ""))
        return scope[1].split("/")[:4] if scope else []

    @property
    def service(self) -> str:
        return self.credential[3]


def needs(request: Request) -> list[Need]:
    """All that a request needs."""
    found = list(_of_object(request) if request.service == "s3" else _of_call(request))
    return found or [Need(f"not-in-local-needs:{request.service}", request.path)]


def knowing_absence(request: Request) -> list[Need]:
    """S3 tells that an object is missing only to those who may list its bucket."""
    bucket, _, key = request.path.lstrip("/").partition("/")
    reads = request.service == "s3" and request.method in ("GET", "HEAD") and key
    return [Need("s3:ListBucket", f"arn:aws:s3:::{bucket}")] if reads else []


def _of_object(request: Request) -> Iterator[Need]:
    bucket, _, key = request.path.lstrip("/").partition("/")
    matters = parse_qs(request.query, keep_blank_values=True).keys() - _IDLE
    table = _OBJECTS if key else _BUCKETS
    action = table.get((request.method, " ".join(sorted(matters))))
    if action is None or request.headers.keys() & _COPIES:
        return
    resource = f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
    yield Need(f"s3:{action}", resource)
    # S3's user guide: a condition on the object's content asks for the right to read it.
    if request.method in ("PUT", "POST", "DELETE") and "HTTP_IF_MATCH" in request.headers:
        yield Need("s3:GetObject", resource)
    if action == "PutObject":
        parts = bool(matters)
        yield from encryption("s3", bucket, also_decrypts=parts)
    elif request.method == "GET" and key:
        yield from decryption("s3", request.path.lstrip("/"))


def _of_call(request: Request) -> Iterator[Need]:
    action, parameters = _call(request)
    action = _BATCHES.get(action, action)
    if action not in _RESOURCE:
        return
    arn = _arn(str(parameters.get(_RESOURCE[action], "")), request.credential[2])
    yield Need(action, arn)
    if action in ("sns:Publish", "sqs:SendMessage"):
        yield from encryption(request.service, arn, also_decrypts=True)
    elif action in ("secretsmanager:GetSecretValue", "ssm:GetParameter"):
        yield from decryption(request.service, arn)


def _call(request: Request) -> tuple[str, dict[str, Any]]:
    """Action and parameters, from whichever of AWS's protocols the service speaks."""
    service, target = request.service, request.headers.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return f"{service}:{target.rpartition('.')[2]}", json.loads(request.body or b"{}")
    if service == "lambda":
        called = re.fullmatch(r"/2015-03-31/functions/(.+)/invocations", request.path)
        return "lambda:InvokeFunction" if called else "", {
            "FunctionName": unquote(called[1]) if called else ""
        }
    form = parse_qs(request.body.decode())
    parameters = {name: values[0] for name, values in form.items()}
    return f"{service}:{parameters.get('Action', '')}", parameters


def _arn(name: str, region: str) -> str:
    """Queues are called by their address."""
    if name.startswith("http"):
        *_, account, queue = name.split("/")
        return f"arn:aws:sqs:{region}:{account}:{queue}"
    return name
