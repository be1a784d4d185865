"""What to do about errors of AWS that a user meets."""

from __future__ import annotations

from typing import Final

from dropscribe import aws

_SIGN_IN: Final = (
    "Sign in (`aws sso login`, `aws configure`), name a profile in AWS_PROFILE, "
    "or export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. "
    "Without an AWS account: `dropscribe submit --local`."
)
_CREDENTIALS: Final = {
    "There are no AWS credentials.": (
        *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"),
    ),
    "The AWS credentials have expired.": (
        *("SSOTokenLoadError", "UnauthorizedSSOTokenError", "TokenRetrievalError"),
        *("ExpiredToken", "ExpiredTokenException", "RequestExpired"),
    ),
    "AWS does not know these credentials.": (
        *("InvalidClientTokenId", "InvalidAccessKeyId", "UnrecognizedClientException"),
        "SignatureDoesNotMatch",
    ),
}
_REFUSED: Final = "AWS refuses this. Ask whoever deployed the stack for the permission."
_ADVICE: Final = {
    **{name: f"{what} {_SIGN_IN}" for what, names in _CREDENTIALS.items() for name in names},
    **dict.fromkeys(("AccessDenied", "AccessDeniedException", "403"), _REFUSED),
    "NoRegionError": "There is no AWS region. Export AWS_DEFAULT_REGION, for example us-east-1, "
    "or name a profile that has one in AWS_PROFILE.",
    "ProfileNotFound": "Name a profile of ~/.aws/config in AWS_PROFILE, or unset it.",
}
_UNREACHED: Final = (
    "AWS does not answer. Check the network and, where it is set, AWS_ENDPOINT_URL: "
    "an embedded cloud answers as long as its `dropscribe up` runs."
)


def advice(error: BaseException) -> str:
    """What happened and what to do, for people."""
    otherwise = _UNREACHED if aws.is_transient(error) else "AWS answered with an error."
    return f"{_ADVICE.get(aws.problem(error), otherwise)} ({' '.join(str(error).split())})"
