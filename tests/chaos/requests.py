"""Requests to AWS that fail: those of functions, and those of the state machine.

Some are refused, some are cut off before anything is done, some after it is done ("lost" is told
as refused), some in the middle of the answer; some as often as boto3 tries.
"""

from __future__ import annotations

import io
import json
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from moto.moto_server.werkzeug_app import DomainDispatcherApplication

from local.replacements import Replacements
from tests.chaos.lives import Life, Lives
from tests.chaos.plan import Plan

KINDS: Final = ("refused", "refused", "throttled", "reset before", "reset after", "half")
BURSTS: Final = (*(1,) * 14, 2, 2, 2, 3, 3, 9)
"""How many attempts fail in a row; boto3 gives up after five."""
NOTIFY_BURSTS: Final = (1, 1, 1, 2, 2, 3, 99)
"""Of the state machine, which gives up after seven."""
_ATTEMPT: Final = re.compile(r"attempt=(\d+)")
_LINGER: Final = struct.pack("ii", 1, 0)
Serve = Callable[[Any], Iterable[bytes]]
"""Does what the request asks, and starts the answer with what it is given."""
_HEADERS: Final = {"s3": "application/xml", "sns": "text/xml"}


@dataclass(frozen=True)
class _Fault:
    site: str
    kind: str
    what: tuple[str, ...]


class Requests:
    """Stands before moto's server."""

    def __init__(self, plan: Plan, lives: Lives) -> None:
        self._plan, self._lives = plan, lives
        self._bursts: dict[str, tuple[_Fault, int]] = {}
        """Of a call that boto3 repeats by itself, by its id: what it meets, and how often."""
        self._tries: Counter[tuple[str, ...]] = Counter()
        self._lock = threading.Lock()

    def bridge(self, replace: Replacements) -> None:
        serve = DomainDispatcherApplication.__call__

        def faulty(app: Any, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            return self._serve(lambda start: serve(app, environ, start), environ, start_response)

        replace.put(DomainDispatcherApplication, "__call__", faulty)

    def _serve(self, serve: Serve, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        agent = environ.get("HTTP_USER_AGENT", "")
        life = self._lives.of(agent)
        if self._plan.calm:
            return serve(start_response)
        if life is None:
            fault = self._of_state_machine(environ)
            if fault is None:
                return serve(start_response)
            if fault.kind == "lost":
                _drop(serve(lambda *_: None))
            return _refused(environ, start_response, fault)
        _body(environ)
        with self._lock:
            life.requests += 1
        if self._lives.strike(agent, life, "before a request"):
            raise _reset(environ)
        fault = self._of_function(environ, life)
        if fault and fault.kind in ("refused", "throttled"):
            return _refused(environ, start_response, fault)
        if fault and fault.kind == "reset before":
            raise _reset(environ)
        answer = serve(start_response)
        if self._lives.strike(agent, life, "after a request"):
            raise _reset(environ)
        if fault and fault.kind == "reset after":
            _drop(answer)
            raise _reset(environ)
        return _half(answer, environ) if fault else answer

    def _of_function(self, environ: dict[str, Any], life: Life) -> _Fault | None:
        call = environ.get("HTTP_AMZ_SDK_INVOCATION_ID", "")
        found = _ATTEMPT.search(environ.get("HTTP_AMZ_SDK_REQUEST", ""))
        attempt = int(found[1]) if found else 1
        if attempt == 1:
            self._drawn(call, environ, life)
        fault, many = self._bursts.get(call, (None, 0))
        if fault is None or attempt > many:
            return None
        self._plan.note(f"{fault.site} {fault.kind}", *fault.what, f"attempt {attempt} of {many}")
        return fault

    def _drawn(self, call: str, environ: dict[str, Any], life: Life) -> None:
        service, operation = _service(environ), _operation(environ)
        with self._lock:
            life.seen[operation] += 1
            what = (*life.what, operation, str(life.seen[operation]))
        if self._plan.fails("request", *what):
            kind = self._plan.choice(KINDS, *what)
            kind = "reset after" if kind == "half" and "GET" not in operation else kind
            fault = _Fault(service, kind, what)
            self._bursts[call] = (fault, self._plan.choice(BURSTS, "burst", *what))

    def _of_state_machine(self, environ: dict[str, Any]) -> _Fault | None:
        """It has clients of its own, which try once."""
        path, service = environ["PATH_INFO"], _service(environ)
        if service == "lambda" and path.endswith("/invocations"):
            function, asked = path.split("/")[-2], json.loads(_body(environ) or b"{}")
            job, chunk = str(asked.get("job_id", "")), str(asked.get("chunk", ""))
            what = (function.split("-")[-2], self._lives.names.get(job, job), chunk)
            return self._once("Lambda", what)
        form = parse_qs(_body(environ).decode()) if service == "sns" else {}
        if form.get("Action") != ["Publish"]:
            return None
        job = json.loads(form["Message"][0])["data"]["job_id"]
        return self._repeated("SNS of the state machine", (self._lives.names.get(job, job),))

    def _once(self, site: str, what: tuple[str, ...]) -> _Fault | None:
        number = self._tried(site, what)
        if not self._plan.fails(site, *what, number):
            return None
        kind = self._plan.choice(("refused", "throttled", "lost"), site, *what, number)
        self._plan.note(f"{site} {kind}", *what, number)
        return _Fault(site, kind, what)

    def _repeated(self, site: str, what: tuple[str, ...]) -> _Fault | None:
        number = self._tried(site, what)
        fails, many = self._plan.fails(site, *what), self._plan.choice(NOTIFY_BURSTS, site, *what)
        if not fails or number > many:
            return None
        # The last of some: it was published, and nobody says so.
        kind = "lost" if number == many else "refused"
        self._plan.note(f"{site} {kind}", *what, number)
        return _Fault(site, kind, what)

    def _tried(self, site: str, what: tuple[str, ...]) -> int:
        with self._lock:
            self._tries[site, *what] += 1
            return self._tries[site, *what]


def _service(environ: dict[str, Any]) -> str:
    """As the request was signed for."""
    scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].split("/")
    return scope[3] if len(scope) > 3 else ""


def _operation(environ: dict[str, Any]) -> str:
    """What is asked of what, without what changes from run to run: job ids, hashes, versions."""
    target = environ.get("HTTP_X_AMZ_TARGET")
    path = unquote(environ["PATH_INFO"]).split("/", 2)[-1]
    path = re.sub(r"[0-9a-f]{32,}", "*", path)
    return f"{environ['REQUEST_METHOD']} {target or path}"


def _body(environ: dict[str, Any]) -> bytes:
    """The request's body, which stays where it is."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _refused(environ: dict[str, Any], start_response: Any, fault: _Fault) -> Iterable[bytes]:
    """An error as the service words it."""
    _body(environ)
    service, throttled = _service(environ), fault.kind == "throttled"
    status, code = _WORDED.get((service, throttled), _WORDED["", throttled])
    if service == "s3":
        text = f"<Error><Code>{code}</Code><Message>We are sorry.</Message></Error>"
    elif service == "sns":
        text = (
            f"<ErrorResponse><Error><Type>Receiver</Type><Code>{code}</Code>"
            "<Message>We are sorry.</Message></Error><RequestId>0</RequestId></ErrorResponse>"
        )
    else:
        text = json.dumps({"__type": code, "message": "We are sorry."})
    body = b"" if environ["REQUEST_METHOD"] == "HEAD" else text.encode()
    kind = _HEADERS.get(service, "application/json")
    headers = [("content-type", kind), ("content-length", str(len(body)))]
    start_response(status, [*headers, ("x-amzn-errortype", code), ("x-amzn-requestid", "chaos")])
    return [body]


_WORDED: Final = {
    ("s3", False): ("500 Internal Server Error", "InternalError"),
    ("s3", True): ("503 Slow Down", "SlowDown"),
    ("lambda", False): ("500 Internal Server Error", "ServiceException"),
    ("lambda", True): ("429 Too Many Requests", "TooManyRequestsException"),
    ("sns", False): ("500 Internal Server Error", "InternalError"),
    ("sns", True): ("400 Bad Request", "Throttling"),
    ("", False): ("500 Internal Server Error", "InternalFailure"),
    ("", True): ("400 Bad Request", "ThrottlingException"),
}
"""Service and whether it is throttling → status and code; without a service: of the others."""


def _reset(environ: dict[str, Any]) -> ConnectionResetError:
    """Cut the connection: what is raised ends the request without an answer."""
    connection: socket.socket = environ["werkzeug.socket"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    connection.shutdown(socket.SHUT_RDWR)
    return ConnectionResetError("chaos")


def _drop(answer: Any) -> None:
    """The work is done; nobody hears of it."""
    for _ in answer:
        pass
    getattr(answer, "close", lambda: None)()


def _half(answer: Iterable[bytes], environ: dict[str, Any]) -> Iterator[bytes]:
    """The first half of the content, then nothing."""
    content = b"".join(answer)
    yield content[: len(content) // 2]
    raise _reset(environ)
