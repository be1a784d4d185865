"""A request that ends in an error of the API's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dropscribe.api import ErrorObject


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
