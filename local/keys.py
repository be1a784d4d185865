"""Use of KMS keys that a request brings with it: the caller needs these permissions too.

Keys that AWS manages (`alias/aws/…`) need none. moto encrypts nothing; which key it would be is
noted with its buckets, objects, topics, queues, secrets and parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends
from moto.ssm.models import ssm_backends

from local.access import Need

REGION = "us-east-1"
_CONTEXT = {
    "s3": "aws:s3:arn",
    "secretsmanager": "SecretARN",
    "sns": "aws:sns:topicArn",
    "sqs": "aws:sqs:arn",
    "ssm": "PARAMETER_ARN",
}
"""Service → what it puts into the encryption context: the ARN of the thing."""


def encryption(service: str, thing: str, *, also_decrypts: bool) -> Iterator[Need]:
    """What writing to a bucket (its name), topic or queue (ARN) asks of its key."""
    key = _of_container(service, thing)
    yield from _needs(service, "GenerateDataKey", thing, key)
    if also_decrypts:
        yield from _needs(service, "Decrypt", thing, key)


def decryption(service: str, thing: str) -> Iterator[Need]:
    """What reading an object (bucket/key), secret, parameter or queue (ARN) asks of its key."""
    key = _of_container(service, thing) if service == "sqs" else _of_content(service, thing)
    yield from _needs(service, "Decrypt", thing, key)


def _needs(service: str, action: str, thing: str, key: str | None) -> Iterator[Need]:
    if key is None or key.startswith("alias/aws/"):
        return
    arn = thing if thing.startswith("arn:") else f"arn:aws:s3:::{thing}"
    context = {
        "kms:ViaService": f"{service}.{REGION}.amazonaws.com",
        f"kms:EncryptionContext:{_CONTEXT[service]}": arn,
    }
    key_arn = f"arn:aws:kms:{REGION}:{DEFAULT_ACCOUNT_ID}:key/{key}"
    yield Need(f"kms:{action}", key if key.startswith("arn:") else key_arn, context)


def _of_container(service: str, thing: str) -> str | None:
    """Key of a bucket, topic or queue."""
    if service == "s3":
        bucket = _s3().buckets.get(thing)
        rule = ((bucket and bucket.encryption) or {}).get("Rule", {})
        return rule.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID") or None
    if service == "sns":
        topic: Any = sns_backends[DEFAULT_ACCOUNT_ID][REGION].topics.get(thing)
        return getattr(topic, "kms_master_key_id", None) or None
    queue: Any = sqs_backends[DEFAULT_ACCOUNT_ID][REGION].queues.get(thing.rpartition(":")[2])
    return getattr(queue, "kms_master_key_id", None) or None


def _of_content(service: str, thing: str) -> str | None:
    """Key of an object, secret or parameter; None where there is no such thing."""
    if service == "s3":
        bucket, _, key = thing.partition("/")
        holder = _s3().buckets.get(bucket)
        found: Any = holder and holder.keys.get(key)
        return getattr(found, "kms_key_id", None)
    if service == "secretsmanager":
        secret: Any = secretsmanager_backends[DEFAULT_ACCOUNT_ID][REGION].secrets.get(thing)
        return getattr(secret, "kms_key_id", None)
    parameter: Any = ssm_backends[DEFAULT_ACCOUNT_ID][REGION].get_parameter(thing)
    return getattr(parameter, "keyid", None)


def _s3() -> Any:
    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
