"""Who may do what here: the policies of the stack's roles are asked, and each answer is recorded.

Every role's inline policies count. Not evaluated: managed policies (logs and traces, which are no
requests here), policies of buckets, queues, topics, keys and functions, permission boundaries,
NotAction, NotResource and policy variables.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from moto.iam.models import iam_backends

_SECURE: Final = {"aws:SecureTransport": "true"}
"""Requests to this cloud never leave the machine."""
_KNOWN: Final = {"Sid", "Effect", "Action", "Resource", "Condition"}


class Denied(Exception):
    """A role may not do what it tried."""

    def __init__(self, role_arn: str, need: Need) -> None:
        super().__init__(
            f"User: {role_arn} is not authorized to perform: {need.action} on resource: "
            f"{need.resource} because no identity-based policy allows the {need.action} action"
        )
        self.need = need


@dataclass(frozen=True)
class Need:
    """What one request asks of IAM."""

    action: str
    """`s3:GetObject`."""
    resource: str
    """ARN."""
    context: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Condition key → value."""


@dataclass(frozen=True, order=True)
class Grant:
    """One action on one resource of one statement."""

    role: str
    """Name, not ARN."""
    sid: str
    """Empty where the statement has none."""
    action: str
    resource: str
    """As written: a pattern."""


class Access:
    """The roles of one cloud."""

    def __init__(self) -> None:
        self._roles: dict[str, str] = {}
        self.used: set[Grant] = set()
        """What has allowed something."""
        self.denied: list[tuple[str, Need]] = []
        """Names of roles, and what they tried in vain."""

    def credentials(self, role_arn: str) -> dict[str, str]:
        """Of a session of this role, as boto3 names them; `role_of` knows it by its key again."""
        digest = hashlib.sha256(role_arn.encode()).hexdigest().upper()
        key_id = f"ASIA{digest[:16]}"
        self._roles[key_id] = role_arn
        return {
            "aws_access_key_id": key_id,
            "aws_secret_access_key": digest[16:56],
            "aws_session_token": f"session-of-{role_arn.rpartition('/')[2]}",
        }

    def role_of(self, key_id: str) -> str | None:
        """ARN; None for the developer, who may do everything."""
        return self._roles.get(key_id)

    def check(self, role_arn: str, *needs: Need) -> None:
        """Raises `Denied` for the first thing that the role may not do."""
        grants = list(granted(role_arn))
        for need in needs:
            matching = [
                (effect, grant) for effect, grant, to in grants if _applies(grant, to, need)
            ]
            if not matching or any(effect == "Deny" for effect, _ in matching):
                self.denied.append((role_arn.rpartition("/")[2], need))
                raise Denied(role_arn, need)
            self.used |= {grant for _, grant in matching}


def granted(role_arn: str) -> Iterator[tuple[str, Grant, Mapping[str, Any]]]:
    """Each action and resource of a role's statements, with effect and conditions."""
    _, partition, _, _, account, name = role_arn.split(":", 5)
    name = name.rpartition("/")[2]
    roles: Any = iam_backends[account][partition].roles
    for policy in next(
        (role.policies for role in roles.values() if role.name == name), {}
    ).values():
        document = json.loads(policy) if isinstance(policy, str) else policy
        for statement in _listed(document["Statement"]):
            if unknown := set(statement) - _KNOWN:
                raise NotImplementedError(f"{name}: {', '.join(unknown)} is not evaluated here")
            for action in _listed(statement["Action"]):
                for resource in _listed(statement["Resource"]):
                    grant = Grant(name, statement.get("Sid", ""), action, resource)
                    yield statement["Effect"], grant, statement.get("Condition", {})


def _applies(grant: Grant, conditions: Mapping[str, Any], need: Need) -> bool:
    """AWS takes no notice of capitals in actions."""
    return (
        _like(grant.action.lower(), need.action.lower())
        and _like(grant.resource, need.resource)
        and all(
            _holds(operator, key, wanted, {**_SECURE, **need.context})
            for operator, keys in conditions.items()
            for key, wanted in keys.items()
        )
    )


def _holds(operator: str, key: str, wanted: Any, context: Mapping[str, str]) -> bool:
    """Whether one line of a Condition is fulfilled; a key without a value fulfils none."""
    value = context.get(key)
    texts = [str(text) for text in _listed(wanted)]
    if value is None:
        return False
    if operator == "Bool":
        return value in [text.lower() for text in texts]
    if operator == "StringEquals":
        return value in texts
    if operator in ("StringLike", "ArnLike", "ArnEquals"):
        return any(_like(text, value) for text in texts)
    raise NotImplementedError(f"condition operator {operator} is not evaluated here")


def _like(pattern: str, text: str) -> bool:
    """With IAM's two wildcards."""
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
