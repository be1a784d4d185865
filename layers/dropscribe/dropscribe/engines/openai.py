"""Engine `openai`: a job's chunk through `dropscribe.client`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from dropscribe.api import ApiObject, Request
from dropscribe.client import UNCERTAIN_ATTEMPTS, Ambiguous, Client
from dropscribe.engines import Calls, Engine
from dropscribe.errors import RateLimited, Rejected, Unavailable

_MAY_BE_BILLED: Final = (
    "Each of these requests may have been billed, so it is not sent again by itself: "
    "redrive the job when the API answers"
)


def engine(
    base_url: str,
    api_key: Callable[[], str | None],
    deadline: float,
    headers: Mapping[str, str] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Engine:
    """The engine, bound to one server.

    `deadline`: `time.monotonic()` at which the caller has to have its answer.
    """

    def transcribe(audio: Path, request: Request, calls: Calls) -> ApiObject:
        left_s = deadline - time.monotonic()
        try:
            bound = Client(base_url, api_key, headers=headers, timeout_s=left_s, sleep=sleep)
        except ValueError as error:
            raise Rejected("invalid_options", f"{error}: deploy anew") from error
        with bound as client:
            try:
                answer = client.create(audio, request, calls)
            except Ambiguous as error:
                if calls.uncertain() < UNCERTAIN_ATTEMPTS:
                    kind = RateLimited if error.code == "rate_limited" else Unavailable
                    raise kind(error.code, error.message, error.said) from error
                # The state machine would send what is unavailable again, and again.
                message = f"{error.message}. {_MAY_BE_BILLED}"
                raise Rejected(error.code, message, error.said) from error
        if isinstance(answer, str):
            raise TypeError(f"a job asks for JSON, not for {request.response_format}")
        return answer

    return transcribe
