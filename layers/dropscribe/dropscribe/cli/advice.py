"""What to do about errors of AWS that a user meets."""

from __future__ import annotations

from typing import Final

from dropscribe import aws

_SIGN_IN: Final = (
    "Sign in (`aws sso login`, `aws configure`), name a profile in AWS_PROFILE, "
    "or export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. "
    "Without an AWS account: `dropscribe submit --local`."
)
_EXPIRED: Final = f"The AWS credentials have expired. {_SIGN_IN}"
_UNKNOWN: Final = f"AWS does not know these credentials. {_SIGN_IN}"
_NONE: Final = f"There are no AWS credentials. {_SIGN_IN}"
_UNREACHED: Final = (
    "AWS does not answer. Check the network and, where it is set, AWS_ENDPOINT_URL: "
    "an embedded cloud answers as long as its `dropscribe up` runs."
)
_REFUSED: Final = "AWS refuses this. Ask whoever deployed the stack for the permission."

_ADVICE: Final = {
    "NoCredentialsError": _NONE,
    "PartialCredentialsError": _NONE,
    "CredentialRetrievalError": _NONE,
    "SSOTokenLoadError": _EXPIRED,
    "UnauthorizedSSOTokenError": _EXPIRED,
    "TokenRetrievalError": _EXPIRED,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "InvalidClientTokenId": _UNKNOWN,
    "InvalidAccessKeyId": _UNKNOWN,
    "UnrecognizedClientException": _UNKNOWN,
    "SignatureDoesNotMatch": _UNKNOWN,
    "NoRegionError": "There is no AWS region. Export AWS_DEFAULT_REGION, for example us-east-1, "
    "or name a profile that has one in AWS_PROFILE.",
    "ProfileNotFound": "Name a profile of ~/.aws/config in AWS_PROFILE, or unset it.",
    "AccessDenied": _REFUSED,
    "AccessDeniedException": _REFUSED,
    "403": _REFUSED,
}


def advice(error: BaseException) -> str:
    """What happened and what to do, for people."""
    return _join(_advice(error), f"({error})")


def _advice(error: BaseException) -> str:
    known = _ADVICE.get(aws.problem(error))
    if known is None and aws.is_transient(error):
        return _UNREACHED
    return known or "AWS answered with an error."


def _join(*parts: str) -> str:
    return " ".join(" ".join(parts).split())
