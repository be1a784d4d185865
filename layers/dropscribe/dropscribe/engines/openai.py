"""Engine `openai`: the transcription API over HTTP, of OpenAI or of any compatible server.

The only module that speaks HTTP. A request is recorded before it leaves, never sent again once it
was answered, sent again freely where the server says that it was not served, and once more where
nobody can know (the API has no idempotency key).
"""

from __future__ import annotations

import json
import math
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import httpx

from dropscribe.engines import Calls, Request
from dropscribe.errors import ErrorCode, JobError, Rejected, Unavailable

UNSERVED: Final = frozenset({409, 429, 500, 502, 503})
"""Statuses that say that the request was not served: it may be sent again at no cost."""
UNCERTAIN: Final = frozenset({408, 504})
"""Statuses of a gateway that stopped waiting: the request may have been served, and billed."""
ATTEMPTS: Final = 3
"""In one function call; the state machine tries again after that, with longer waits."""
UNCERTAIN_ATTEMPTS: Final = 2
"""After so many requests that may each have been billed, somebody has to look."""
LONGEST_WAIT_S: Final = 60.0
"""The longest time between attempts that we wait here, whatever the server asks for."""
CONNECT_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True)
class OpenAI:
    """The engine, bound to one server."""

    base_url: str
    """With the version: `https://api.openai.com/v1`."""
    api_key: Callable[[], str | None]
    """Asked before a file is sent; None where the server wants none."""
    deadline: float
    """`time.monotonic()` at which the caller has to have its answer."""
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, audio: Path, request: Request, calls: Calls) -> dict[str, Any]:
        """Transcribe or translate one file. Raises `Rejected` or `Unavailable`, see `failure`."""
        uncertain = 0
        with httpx.Client(headers=_headers(self.api_key())) as client:
            for attempt in range(1, ATTEMPTS + 1):
                answer = self._send(client, audio, request, calls)
                if isinstance(answer, Received) and answer.status == 200:
                    return _body(answer)
                error = answer if isinstance(answer, JobError) else failure(answer)
                uncertain += isinstance(answer, JobError) or answer.status in UNCERTAIN
                wait_s = retry_wait_s(answer, attempt)
                late = time.monotonic() + wait_s > self.deadline - CONNECT_TIMEOUT_S
                if uncertain >= UNCERTAIN_ATTEMPTS or (uncertain and late):
                    raise Rejected(error.code, f"{error.message}. {_MAY_BE_BILLED}")
                if attempt == ATTEMPTS or isinstance(error, Rejected) or late:
                    raise error
                self.sleep(wait_s)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _send(
        self, client: httpx.Client, audio: Path, request: Request, calls: Calls
    ) -> Received | Unavailable:
        """One request, the file streamed from disk: its answer, or the error of having got none.

        Raises `Unavailable` where the request did not reach the server.
        """
        path = "translations" if request.task == "translate" else "transcriptions"
        url = httpx.URL(f"{self.base_url.rstrip('/')}/audio/{path}")
        where = f"{url.scheme}://{url.netloc.decode()}{url.path}"
        timeout = httpx.Timeout(self._left_s(), connect=CONNECT_TIMEOUT_S)
        call = calls.sent()
        try:
            with audio.open("rb") as file:
                form_file = ("audio.flac", file, "audio/flac")
                with client.stream(
                    "POST", url, data=form(request), files={"file": form_file}, timeout=timeout
                ) as response:
                    received = self._receive(response)
        except _NOT_SENT as error:
            calls.concluded(call, "refused")
            reason = f"{type(error).__name__}: {error}"
            raise Unavailable(
                "engine_unavailable", f"no connection to {where}, {reason}"
            ) from error
        except httpx.HTTPError as error:
            timed_out = isinstance(error, httpx.TimeoutException)
            code: ErrorCode = "timed_out" if timed_out else "engine_unavailable"
            return Unavailable(code, f"{where} gave no answer ({type(error).__name__})")
        if received.status not in UNCERTAIN:
            calls.concluded(call, "answered" if received.status == 200 else "refused")
        return received

    def _receive(self, response: httpx.Response) -> Received:
        """The whole answer, unless it comes so slowly that the caller's time runs out."""
        body = bytearray()
        for piece in response.iter_bytes():
            body += piece
            if time.monotonic() > self.deadline:
                raise httpx.ReadTimeout("the answer came too slowly")
        return Received(response.status_code, response.headers, bytes(body))

    def _left_s(self) -> float:
        return max(self.deadline - time.monotonic(), 1.0)


@dataclass(frozen=True)
class Received:
    """An answer, read to its end."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


_NOT_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)
_MAY_BE_BILLED: Final = (
    "Each of these requests may have been billed, so it is not sent again by itself: "
    "redrive the job when the API answers"
)


def _headers(api_key: str | None) -> dict[str, str]:
    """Raises `Rejected` for a text that cannot be a key, without showing it."""
    if api_key is None:
        return {}
    key = api_key.strip()
    if not re.fullmatch(r"[!-z|~]+", key):
        raise Rejected(
            "unauthorized",
            "the secret's text is no API key: store the key alone, as plain text, "
            "not as key and value",
        )
    return {"authorization": f"Bearer {key}"}


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


def retry_wait_s(answer: Received | JobError, attempt: int) -> float:
    """Seconds to wait before the next attempt: as the server says, else 0.5 s doubled, jittered."""
    told = None if isinstance(answer, JobError) else _told_wait_s(answer.headers)
    if told is not None and math.isfinite(told):
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


def failure(answer: Received) -> JobError:
    """The error that an answer other than 200 stands for."""
    error = _error_of(answer)
    status, code, param = answer.status, error.get("code"), error.get("param")
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
    if status in UNSERVED | UNCERTAIN or status >= 500:
        stay_away = answer.headers.get("x-should-retry") == "false"
        return (Rejected if stay_away else Unavailable)("engine_unavailable", said)
    about_file = param == "file" or code in ("audio_too_short", "invalid_file_format")
    rejected: ErrorCode = "not_media" if about_file else "unsupported_by_model"
    return Rejected(rejected, said)


def _error_of(answer: Received) -> dict[str, Any]:
    """The error object of a body; some answers are no JSON at all (a proxy's page)."""
    try:
        error = json.loads(answer.text)["error"]
    except (ValueError, KeyError, TypeError):
        return {"message": f"(not the API's JSON) {' '.join(answer.text.split())[:200]}"}
    return error if isinstance(error, dict) else {"message": str(error)}


def _body(answer: Received) -> dict[str, Any]:
    """The answer's object. One that cannot be read is not asked for again: it was paid."""
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("text"), str):
        kind = answer.headers.get("content-type", "no type")
        raise Rejected(
            "engine_failed",
            f"the API answered 200 with {len(answer.body)} bytes of {kind} that hold no transcript",
        )
    return body
