"""A request that ends in an error of the API's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dropscribe.api import ErrorObject, invalid_request

RETRY_AFTER_S: Final = 1
_NOTHING_BILLED: Final = {"usage": {"type": "duration", "seconds": 0}}


class Refused(Exception):
    def __init__(
        self,
        status: int,
        error: ErrorObject,
        headers: Mapping[str, str] | None = None,
        beside: Mapping[str, Any] | None = None,
    ) -> None:
        """`beside`: keys that the API was seen to send next to `error`."""
        super().__init__(error.message)
        self.status = status
        self.error = error
        self.headers = dict(headers or {})
        self.beside = dict(beside or {})

    @property
    def body(self) -> dict[str, Any]:
        """All four fields are there, null where they say nothing: SDKs read them."""
        return {"error": self.error.model_dump(), **self.beside}


def server_error(message: str, code: str | None = None) -> ErrorObject:
    """An error that the caller cannot mend."""
    return ErrorObject(message=message, type="server_error", code=code)


def no_model(name: str) -> Refused:
    message = f"The model `{name[:100]}` does not exist or you do not have access to it."
    return Refused(404, invalid_request(message, None, "model_not_found"))


def busy() -> Refused:
    error = ErrorObject(
        message="All workers are busy: try again in a moment.",
        type="rate_limit_exceeded",
        code="rate_limit_exceeded",
    )
    return Refused(429, error, {"retry-after": str(RETRY_AFTER_S)})


def too_large(most: int, read: int) -> Refused:
    message = f"413: Maximum content size limit ({most}) exceeded ({read} bytes read)"
    return Refused(413, server_error(message), beside=_NOTHING_BILLED)


def invalid(error: ErrorObject) -> Refused:
    beside = _NOTHING_BILLED if error.code == "invalid_language_format" else None
    return Refused(400, error, beside=beside)


def failed() -> Refused:
    message = "The server had an error while processing your request, see its log."
    return Refused(500, server_error(message))
