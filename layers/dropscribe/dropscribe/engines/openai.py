"""Engine `openai`: the transcription API over HTTP, of OpenAI or of any compatible server.

The only module that speaks HTTP. A request is recorded before it leaves, never sent again once it
was answered, and sent again only where the server says that it did no work.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, NoReturn

import httpx

from dropscribe.engines import Calls, Request
from dropscribe.errors import ErrorCode, JobError, Rejected, Unavailable

RETRIED: Final = frozenset({408, 409, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""
ATTEMPTS: Final = 3
"""In one function call; the state machine tries again after that, with longer waits."""
LONGEST_WAIT_S: Final = 60.0
"""The longest time between attempts that we wait here, whatever the server asks for."""
CONNECT_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True)
class OpenAI:
    """The engine, bound to one server."""

    base_url: str
    """With the version: `https://api.openai.com/v1`."""
    api_key: Callable[[], str | None]
    """Asked before each request; None where the server wants none."""
    deadline: float
    """`time.monotonic()` at which the caller has to have its answer."""
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, audio: Path, request: Request, calls: Calls) -> dict[str, Any]:
        """Transcribe or translate one file. Raises `Rejected` or `Unavailable`, see `failure`."""
        with httpx.Client(headers=self._headers()) as client:
            for attempt in range(1, ATTEMPTS + 1):
                response = self._send(client, audio, request, calls)
                if response.status_code == 200:
                    return _body(response)
                wait_s = retry_wait_s(response, attempt)
                late = time.monotonic() + wait_s > self.deadline - CONNECT_TIMEOUT_S
                error = failure(response)
                if attempt == ATTEMPTS or isinstance(error, Rejected) or late:
                    raise error
                self.sleep(wait_s)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _headers(self) -> dict[str, str]:
        key = self.api_key()
        return {"authorization": f"Bearer {key}"} if key else {}

    def _send(
        self, client: httpx.Client, audio: Path, request: Request, calls: Calls
    ) -> httpx.Response:
        """One request. The file is streamed from disk."""
        path = "translations" if request.task == "translate" else "transcriptions"
        url = f"{self.base_url.rstrip('/')}/audio/{path}"
        timeout = httpx.Timeout(self.deadline - time.monotonic(), connect=CONNECT_TIMEOUT_S)
        call = calls.sent()
        try:
            with audio.open("rb") as file:
                response = client.post(
                    url,
                    data=form(request),
                    files={"file": ("audio.flac", file, "audio/flac")},
                    timeout=timeout,
                )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            calls.concluded(call, "refused")
            raise Unavailable("engine_unavailable", f"no connection to {url}: {error}") from error
        except httpx.HTTPError as error:
            _raise_ambiguous(url, error)
        calls.concluded(call, "answered" if response.status_code == 200 else "refused")
        return response


def form(request: Request) -> dict[str, str | list[str]]:
    """The form's fields as the API reads them: lists as `name[]`, unset ones absent."""
    fields: dict[str, str | list[str]] = {}
    allowed = request.model_dump(exclude_none=True, exclude={"task"})
    if request.task == "translate":
        allowed = {name: allowed[name] for name in _TRANSLATION_FIELDS if name in allowed}
    for name, value in allowed.items():
        if isinstance(value, list):
            fields[f"{name}[]"] = [str(item) for item in value]
        elif isinstance(value, dict):
            fields |= {
                f"{name}[{key}]": str(item) for key, item in value.items() if item is not None
            }
        else:
            fields[name] = str(value)
    return fields


_TRANSLATION_FIELDS: Final = ("model", "prompt", "response_format", "temperature")


def retry_wait_s(response: httpx.Response, attempt: int) -> float:
    """Seconds to wait before the next attempt: as the server says, else 0.5 s doubled, jittered."""
    told = _told_wait_s(response.headers)
    if told is not None:
        return min(max(told, 0.0), LONGEST_WAIT_S)
    backoff_s: float = min(0.5 * 2 ** (attempt - 1), 8.0)
    return backoff_s * random.uniform(0.75, 1.0)


def _told_wait_s(headers: httpx.Headers) -> float | None:
    """`retry-after-ms`, else `retry-after` as seconds or as a date."""
    try:
        return float(headers["retry-after-ms"]) / 1000
    except (KeyError, ValueError):
        value = headers.get("retry-after", "")
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(value).timestamp() - time.time()
    except (TypeError, ValueError):
        return None


def failure(response: httpx.Response) -> JobError:
    """The error that an answer other than 200 stands for."""
    error = _error_of(response)
    status, code, param = response.status_code, error.get("code"), error.get("param")
    said = f"the API answered {status}: {error.get('message') or 'no message'}"
    if status in (401, 403):
        return Rejected(
            "unauthorized",
            f"{said} Check the secret that ApiKeySecretArn names (OPENAI_API_KEY on a laptop)",
        )
    if code == "insufficient_quota" or status == 402:
        return Rejected("quota_exceeded", f"{said} Raise the account's limit, then redrive the job")
    if status == 413:
        return Rejected("too_long", said)
    if status == 429:
        return Unavailable("rate_limited", said)
    if status in RETRIED or status >= 500:
        return Unavailable("engine_unavailable", said)
    about_file = param == "file" or code in ("audio_too_short", "invalid_file_format")
    rejected: ErrorCode = "not_media" if about_file else "unsupported_by_model"
    return Rejected(rejected, said)


def _error_of(response: httpx.Response) -> dict[str, Any]:
    """The error object of a body; some answers are no JSON at all (a proxy's page)."""
    try:
        error = json.loads(response.text)["error"]
    except (ValueError, KeyError, TypeError):
        return {"message": f"(not the API's JSON) {' '.join(response.text.split())[:200]}"}
    return error if isinstance(error, dict) else {"message": str(error)}


def _body(response: httpx.Response) -> dict[str, Any]:
    """The answer's object. One that cannot be read is not asked for again: it was paid."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("text"), str):
        start = " ".join(response.text.split())[:200]
        raise Rejected("engine_failed", f"the API's answer has no transcript: {start!r}")
    return body


def _raise_ambiguous(url: str, error: httpx.HTTPError) -> NoReturn:
    """The request left and no answer came: it may have been billed."""
    code: ErrorCode = (
        "timed_out" if isinstance(error, httpx.TimeoutException) else "engine_unavailable"
    )
    reason = str(error) or type(error).__name__
    raise Unavailable(code, f"{url} did not answer: {reason}. The request may be billed") from error
