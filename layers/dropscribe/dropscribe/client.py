"""The transcription API over HTTP: of OpenAI or of any compatible server.

    client = Client(api_key=…)
    answer = client.transcribe(Path("talk.mp3"), TranscriptionRequest(model="gpt-transcribe"))

The only module that speaks HTTP. What the model would refuse is refused before a byte is sent. A
request is recorded before it leaves, never sent again once it was answered, sent again freely where
the server says that it was not served, and once more where nobody can know (the API has no
idempotency key). The file is read from disk while it is sent.
"""

from __future__ import annotations

import io
import json
import logging
import math
import random
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, cast

import httpx
from pydantic import TypeAdapter, ValidationError

from dropscribe import models
from dropscribe.api import (
    END_OF_STREAM,
    PATHS,
    Answer,
    ApiObject,
    ErrorBody,
    ErrorObject,
    Request,
    Transcription,
    TranscriptionDiarized,
    TranscriptionRequest,
    TranscriptionStreamEvent,
    TranscriptionTextDoneEvent,
    TranscriptionTextSegmentEvent,
    TranscriptionVerbose,
    Translation,
    TranslationRequest,
    TranslationVerbose,
    to_form,
)
from dropscribe.errors import ErrorCode, JobError, RateLimited, Rejected, Unavailable
from dropscribe.sse import messages
from dropscribe.validity import refusal

if TYPE_CHECKING:
    from dropscribe.engines import Calls

# Its log holds addresses with their queries, in which some servers want the key.
logging.getLogger("httpx").setLevel(logging.WARNING)

OPENAI_BASE_URL: Final = "https://api.openai.com/v1"
KEY_PLACE: Final = "{key}"
"""In the value of an extra header: stands for the API key."""
UNSERVED: Final = frozenset({409, 429, 500, 502, 503})
"""Statuses that say that the request was not served: it may be sent again at no cost. After 408 and
any other 5xx, those of gateways that stopped waiting, it may have been served, and billed."""
ATTEMPTS: Final = 3
"""In one call; the state machine tries again after that, with longer waits."""
UNCERTAIN_ATTEMPTS: Final = 2
"""After so many requests that may each have been billed, somebody has to look."""
LONGEST_WAIT_S: Final = 120.0
"""The longest time between attempts that we wait here, whatever the server asks for."""
CONNECT_TIMEOUT_S: Final = 10.0
PIECE_BYTES: Final = 256 << 10
"""Of a file, in memory at a time."""
LARGEST_ANSWER_BYTES: Final = 64 << 20
"""Unpacked. A long chunk with the times of its words is about 1 MB."""

_KINDS: Final[dict[tuple[str, str], type[ApiObject]]] = {
    ("transcribe", "json"): Transcription,
    ("transcribe", "verbose_json"): TranscriptionVerbose,
    ("transcribe", "diarized_json"): TranscriptionDiarized,
    ("translate", "json"): Translation,
    ("translate", "verbose_json"): TranslationVerbose,
}
"""Task and format → what the answer is; the other formats are text."""
_MEDIA_TYPES: Final = {
    **{".flac": "audio/flac", ".m4a": "audio/mp4", ".mp3": "audio/mpeg", ".mp4": "video/mp4"},
    **{".mpeg": "video/mpeg", ".mpga": "audio/mpeg", ".oga": "audio/ogg", ".ogg": "audio/ogg"},
    **{".opus": "audio/ogg", ".wav": "audio/wav", ".webm": "video/webm"},
}
"""Not those of the machine: a slim one knows few."""
_EVENT: Final[TypeAdapter[TranscriptionStreamEvent]] = TypeAdapter(TranscriptionStreamEvent)
_EVENT_TYPES: Final = frozenset(
    {"transcript.text.delta", "transcript.text.segment", "transcript.text.done"}
)


class Ambiguous(Unavailable):
    """Sent, and no answer came: it may have been served, and billed."""


class _Uncounted:
    """For whoever keeps no record of calls."""

    def sent(self) -> str:
        return ""

    def concluded(self, call: str, state: str) -> None:
        """Nothing to note."""

    def uncertain(self) -> int:
        return 0


_UNCOUNTED: Final = _Uncounted()


class Client:
    """One server. Errors are `Rejected` and `Unavailable`; their `said` is the API's own error.

    By `code`: `unauthorized` (401, 403), `quota_exceeded`, `rate_limited` (429), `too_long` (413),
    `not_media` (400 about the file), `unsupported_by_model` (other 4xx, and what is refused before
    it is sent), `engine_unavailable` (5xx, no connection), `timed_out`, `engine_failed` (an answer
    that is none). `Ambiguous`: sent, and no answer came. An `OSError` is of the file.
    """

    def __init__(
        self,
        base_url: str = OPENAI_BASE_URL,
        api_key: str | Callable[[], str | None] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 600.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`base_url`: with the version, and a query where the server wants one (Azure).

        `api_key`: or a function, asked before each call; None where the server wants none.
        `headers`: sent too; where a value holds `{key}` the API key goes there and nowhere else.
        `timeout_s`: for one call, with all its attempts and waits.
        """
        self.base_url = httpx.URL(base_url)
        if self.base_url.scheme not in ("http", "https"):
            # Not the address itself: a password or a key may be in it.
            raise ValueError("the base URL is no address of an API, such as https://host/v1")
        if self.base_url.userinfo:
            raise ValueError("the address holds a user: give what it wants as a header")
        self._api_key = api_key
        self._headers = {name.lower(): text for name, text in (headers or {}).items()}
        for name, text in self._headers.items():
            if not re.fullmatch(r"[a-z0-9!#$%&'*+.^_`|~-]+", name) or not _is_header_text(text):
                raise ValueError(f"header {name!r} cannot be sent: printable ASCII only")
        self.timeout_s = timeout_s
        self.sleep = sleep
        self.http = httpx.Client(verify=_trusted())

    def close(self) -> None:
        """Close the connections that are kept open between calls."""
        self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def transcribe(
        self, audio: Path, request: TranscriptionRequest, calls: Calls | None = None
    ) -> Answer | str:
        """`POST /audio/transcriptions`: the format's object, or its text as it was sent.

        Text keeps the newline at its end, which the `text` of an object does not have.
        """
        return cast("Answer | str", self.create(audio, request, calls))

    def translate(
        self, audio: Path, request: TranslationRequest, calls: Calls | None = None
    ) -> Translation | TranslationVerbose | str:
        """`POST /audio/translations`: the format's object, or its text as it was sent."""
        return cast("Translation | TranslationVerbose | str", self.create(audio, request, calls))

    def key(self) -> str | None:
        """As it is now, without space around it."""
        given = self._api_key() if callable(self._api_key) else self._api_key
        return None if given is None else given.strip()

    def create(self, audio: Path, request: Request, calls: Calls | None = None) -> ApiObject | str:
        """What `transcribe` and `translate` do, by the kind of request."""
        plain = request.model_copy(update={"stream": False}) if _streams(request) else request
        exchange = _Exchange(self, audio, plain, calls or _UNCOUNTED)
        return _read(plain, exchange.answer())

    def stream(
        self, audio: Path, request: TranscriptionRequest, calls: Calls | None = None
    ) -> Iterator[TranscriptionStreamEvent]:
        """The same with `stream=true`: events as they arrive; the last one is `done`.

        Raises `Ambiguous` where the stream ends without it. Nothing is sent again once events have
        come. A server that answers at once (`whisper-1`) gives a single `done`.
        """
        asked = request.model_copy(update={"stream": True})
        exchange = _Exchange(self, audio, asked, calls or _UNCOUNTED)
        received = exchange.answer()
        if received.response is None:
            yield from _at_once(_read(asked, received))
            return
        with closing(received.response):
            yield from exchange.events(received)

    def headers(self, key: str | None) -> dict[str, str]:
        """What goes with each request. Raises `Rejected` for a key that cannot be one."""
        if key is None:
            return self._headers
        if not re.fullmatch(r"[!-z|~]+", key):
            raise Rejected(
                "unauthorized",
                "the secret's text is no API key: store the key alone, as plain text, "
                "not as key and value",
            )
        filled = {name: text.replace(KEY_PLACE, key) for name, text in self._headers.items()}
        return filled if filled != self._headers else {"authorization": f"Bearer {key}", **filled}


@dataclass(frozen=True)
class Received:
    """An answer."""

    status: int
    headers: httpx.Headers
    body: bytes = b""
    """All of it, unless `response` is there."""
    response: httpx.Response | None = field(default=None, compare=False)
    """Still open, its body being a stream of events."""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


@dataclass
class _Exchange:
    """One call: its attempts, until the answer has begun."""

    client: Client
    audio: Path
    request: Request
    calls: Calls
    call: str = ""
    """The attempt that was answered."""
    key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        error = refusal(self.request, models.named(self.request.model))
        if error:
            raise Rejected("unsupported_by_model", error.message, error)
        self.deadline = time.monotonic() + self.client.timeout_s

    def answer(self) -> Received:
        """The answer of a success, after as many attempts as it takes and may take."""
        key, uncertain = self.client.key(), self.calls.uncertain()
        headers = self.client.headers(key)
        self.key = key or ""
        if uncertain >= UNCERTAIN_ATTEMPTS:
            raise Ambiguous("engine_unavailable", f"{self._where()} left {uncertain} unanswered")
        for attempt in range(1, ATTEMPTS + 1):
            received = self._send(headers)
            if isinstance(received, Received) and received.is_success:
                return received
            error = received if isinstance(received, JobError) else failure(received)
            uncertain += isinstance(error, Ambiguous)
            wait_s = retry_wait_s(received, attempt)
            connect_s = min(CONNECT_TIMEOUT_S, self.client.timeout_s / 10)
            late = time.monotonic() + wait_s > self.deadline - connect_s
            last = attempt == ATTEMPTS or late or _stay_away(received)
            if isinstance(error, Rejected):
                raise error
            if uncertain >= UNCERTAIN_ATTEMPTS or (uncertain and last):
                raise Ambiguous(error.code, error.message, error.said)
            if last:
                raise error
            self.client.sleep(wait_s)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def events(self, received: Received) -> Iterator[TranscriptionStreamEvent]:
        """The events of an answer that is a stream. Raises `Ambiguous` where it breaks off."""
        assert received.response is not None  # noqa: S101 - the caller looked
        try:
            for message in messages(self._pieces(received.response)):
                if message == END_OF_STREAM:
                    break
                event = _event(message, self._hidden)
                if event is None:
                    continue
                if isinstance(event, TranscriptionTextDoneEvent):
                    self.calls.concluded(self.call, "answered")
                    yield event
                    return
                yield event
        except httpx.HTTPError as error:
            raise self._unanswered(error) from error
        raise Ambiguous("engine_failed", f"{self._where()} ended its stream before it was done")

    def _send(self, headers: dict[str, str]) -> Received | JobError:
        """One request, the file streamed from disk: its answer, or the error of having got none."""
        status = 0
        try:
            with _File(self.audio) as file:
                request = self._built(file, headers)
                file.before_each = lambda: self._watch(request)
                self.call = self.calls.sent()
                response = self.client.http.send(request, stream=True)
            status = response.status_code
            request.extensions["timeout"]["read"] = self._left_s()
            received = self._receive(response)
        except _NOT_SENT as error:
            self.calls.concluded(self.call, "refused")
            reason = f"{type(error).__name__}: {error}"
            return Unavailable("engine_unavailable", f"no connection to {self._where()}, {reason}")
        except httpx.HTTPError as error:
            return self._broken_off(error) if 200 <= status < 300 else self._unanswered(error)
        if received.response is None and not _is_uncertain(received.status):
            state = "answered" if received.is_success else "refused"
            self.calls.concluded(self.call, state)
        return received

    def _hidden(self, error: bytes) -> bytes:
        """An error's body without the key."""
        return error.replace(self.key.encode(), b"***") if self.key else error

    def _built(self, file: _File, headers: dict[str, str]) -> httpx.Request:
        kind = _MEDIA_TYPES.get(self.audio.suffix.lower(), "application/octet-stream")
        name = self.audio.name.encode("utf-8", "replace").decode()
        return self.client.http.build_request(
            "POST",
            self._url(),
            data=_grouped(to_form(self.request)),
            files={"file": (name, file, kind)},
            headers=headers,
            timeout=httpx.Timeout(self._left_s(), connect=CONNECT_TIMEOUT_S),
        )

    def _watch(self, request: httpx.Request) -> None:
        """Hold a request to its deadline: the library's own limits begin anew with each piece."""
        if time.monotonic() > self.deadline:
            raise httpx.WriteTimeout("the file went out too slowly", request=request)
        request.extensions["timeout"]["read"] = self._left_s()

    def _left_s(self) -> float:
        return max(self.deadline - time.monotonic(), 1.0)

    def _receive(self, response: httpx.Response) -> Received:
        """The whole answer, or its beginning where it is a stream of events."""
        status, kind = response.status_code, response.headers.get("content-type", "").lower()
        evented = _streams(self.request) and kind.startswith("text/event-stream")
        if response.is_success and evented:
            return Received(status, response.headers, response=response)
        with closing(response):
            body = b"".join(self._pieces(response))
        # Some servers tell the key that they refuse. A transcript is never touched.
        return Received(
            status, response.headers, body if response.is_success else self._hidden(body)
        )

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        """The body, unless it comes so slowly that the caller's time runs out, or is too large."""
        size = 0
        for piece in response.iter_bytes():
            size += len(piece)
            if size > LARGEST_ANSWER_BYTES:
                raise httpx.RemoteProtocolError("the answer is too large")
            yield piece
            if time.monotonic() > self.deadline:
                raise httpx.ReadTimeout("the answer came too slowly")

    def _broken_off(self, error: httpx.HTTPError) -> Rejected:
        """A success whose body does not come whole: it was served, so it is not asked for again."""
        self.calls.concluded(self.call, "answered")
        return Rejected(
            _code(error),
            f"{self._where()} broke off its answer ({type(error).__name__}), which was billed: "
            "run it again by hand",
        )

    def _unanswered(self, error: httpx.HTTPError) -> Ambiguous:
        return Ambiguous(_code(error), f"{self._where()} gave no answer ({type(error).__name__})")

    def _url(self) -> httpx.URL:
        base = self.client.base_url
        return base.copy_with(path=f"{base.path.rstrip('/')}/{PATHS[self.request.task]}")

    def _where(self) -> str:
        """The address for people: a query or a password in it is none of their business."""
        url = self._url()
        return f"{url.scheme}://{url.host}{f':{url.port}' if url.port else ''}{url.path}"


_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)


@cache
def _trusted() -> ssl.SSLContext:
    """Certificates are loaded once a process: that takes most of the time to make a client."""
    return httpx.create_ssl_context()


def _code(error: httpx.HTTPError) -> ErrorCode:
    return "timed_out" if isinstance(error, httpx.TimeoutException) else "engine_unavailable"


class _File(io.FileIO):
    """httpx asks for 64 KiB at a time; larger pieces take less time (docs/figures.md)."""

    before_each: Callable[[], None] | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        if self.before_each:
            self.before_each()
        return super().read(max(size, PIECE_BYTES) if size and size > 0 else size)


def _is_header_text(text: str) -> bool:
    return text == text.strip() and text.isascii() and text.isprintable()


def _streams(request: Request) -> bool:
    return isinstance(request, TranscriptionRequest) and request.stream


def _grouped(fields: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Repeated names as httpx takes them."""
    grouped: dict[str, list[str]] = {}
    for name, value in fields:
        grouped.setdefault(name, []).append(value)
    return grouped


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
    except (TypeError, ValueError, OverflowError):
        return None


def _is_uncertain(status: int) -> bool:
    return status == 408 or (status >= 500 and status not in UNSERVED)


def _stay_away(answer: Received | JobError) -> bool:
    return isinstance(answer, Received) and answer.headers.get("x-should-retry") == "false"


def failure(answer: Received) -> JobError:
    """The error that an answer other than a success stands for."""
    error = _error_of(answer.body)
    if 300 <= answer.status < 400:
        elsewhere = answer.headers.get("location", "elsewhere")
        return Rejected("engine_unavailable", f"the API is {elsewhere}: use that as base URL")
    kind, code = _kind_of(answer, error)
    advice = _ADVICE.get(code, "")
    return kind(code, f"the API answered {answer.status}: {error.message}{advice}", error)


_ADVICE: Final[dict[ErrorCode, str]] = {
    "unauthorized": " Check the key: the secret that ApiKeySecretArn names, "
    "OPENAI_API_KEY on a laptop",
    "quota_exceeded": " Raise the account's limit, then run it again",
}


def _kind_of(answer: Received, error: ErrorObject) -> tuple[type[JobError], ErrorCode]:  # noqa: PLR0911 - a table
    """What the caller does next, and the code of it."""
    status = answer.status
    if status in (401, 403):
        return Rejected, "unauthorized"
    if "insufficient_quota" in (error.code, error.type) or status == 402:
        return Rejected, "quota_exceeded"
    if status == 413:
        return Rejected, "too_long"
    if status == 429:
        return Rejected if _stay_away(answer) else RateLimited, "rate_limited"
    if _is_uncertain(status):
        return Ambiguous, "engine_unavailable"
    if status in UNSERVED:
        return Rejected if _stay_away(answer) else Unavailable, "engine_unavailable"
    about_file = error.param == "file" or error.code in ("audio_too_short", "invalid_file_format")
    return Rejected, "not_media" if about_file else "unsupported_by_model"


def _error_of(body: bytes) -> ErrorObject:
    """The error object of a body; some answers are no JSON at all (a proxy's page)."""
    try:
        return ErrorBody.model_validate_json(body).error
    except ValidationError:
        text = " ".join(body.decode("utf-8", "replace").split())[:200]
        return ErrorObject(message=f"(not the API's JSON) {text}" if text else "no message")


def _read(request: Request, received: Received) -> ApiObject | str:
    """The answer's object. One that cannot be read is not asked for again: it was paid."""
    kind = _KINDS.get((request.task, request.response_format))
    media = received.headers.get("content-type", "no type")
    try:
        if kind is not None:
            return kind.model_validate_json(received.body)
    except ValidationError as error:
        raise _no_transcript(received, media, f" ({unlike(error)})") from error
    if media.startswith("text/html"):
        raise _no_transcript(received, media)
    return received.text


def _no_transcript(received: Received, media: str, why: str = "") -> Rejected:
    size = len(received.body)
    return Rejected(
        "engine_failed", f"the API answered 200 with {size} bytes of {media}, no transcript{why}"
    )


def unlike(error: ValidationError) -> str:
    """What is wrong with an answer, without any of its content: that may be what was said."""
    problems = error.errors(include_input=False, include_url=False, include_context=False)[:3]
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc']) or 'body'}: {problem['type']}"
        for problem in problems
    )


def _event(message: str, hidden: Callable[[bytes], bytes]) -> TranscriptionStreamEvent | None:
    """An event; None for a kind that came after this client. Raises for an error in the stream."""
    try:
        fields: Any = json.loads(message)
        if isinstance(fields, dict) and fields.get("error"):
            raise _failure_in_stream(hidden(message.encode()))
        if isinstance(fields, dict) and str(fields.get("type")) not in _EVENT_TYPES:
            return None
        return _EVENT.validate_python(fields)
    except ValidationError as error:
        raise Ambiguous("engine_failed", f"an event is not the API's ({unlike(error)})") from error
    except (ValueError, RecursionError) as error:
        raise Ambiguous("engine_failed", "the stream broke off within an event") from error


_IN_STREAM: Final[dict[str | None, int]] = {
    "invalid_api_key": 401,
    "rate_limit_exceeded": 429,
    "invalid_request_error": 400,
}
"""An error's code or type → the status that it would have come with."""


def _failure_in_stream(body: bytes) -> JobError:
    """The error that an event stands for; there is no status left to tell its kind."""
    error = _error_of(body)
    told = [_IN_STREAM[name] for name in (error.code, error.type) if name in _IN_STREAM]
    status = told[0] if told else 500
    kind, code = _kind_of(Received(status, httpx.Headers()), error)
    return kind(code, f"the API ended its stream with an error: {error.message}", error)


def _at_once(answer: ApiObject | str) -> Iterator[TranscriptionStreamEvent]:
    """The events that stand for a whole answer."""
    if isinstance(answer, str):
        yield TranscriptionTextDoneEvent(text=answer.rstrip("\n"))
        return
    if isinstance(answer, TranscriptionDiarized):
        for segment in answer.segments:
            yield TranscriptionTextSegmentEvent.model_validate(segment.model_dump())
    fields = answer.model_dump(include={"text", "logprobs", "languages", "usage"})
    yield TranscriptionTextDoneEvent.model_validate(fields)
