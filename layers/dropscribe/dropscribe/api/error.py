"""The body of every answer that is not a success."""

from __future__ import annotations

from dropscribe.api.object import ApiObject


class ErrorObject(ApiObject):
    message: str
    """For people. Never holds a whole key."""
    type: str | None = None
    """`invalid_request_error`, `server_error`, `insufficient_quota`, …"""
    param: str | None = None
    """The parameter that is wrong."""
    code: str | None = None
    """For programs: `invalid_api_key`, `invalid_value`, `unsupported_value`, …"""


class ErrorBody(ApiObject):
    """May have keys beside `error` (recorded: `usage`, `status`)."""

    error: ErrorObject


def invalid_request(message: str, param: str | None = None, code: str | None = None) -> ErrorObject:
    """An error that the caller can mend."""
    return ErrorObject(message=message, type="invalid_request_error", param=param, code=code)
