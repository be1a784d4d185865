"""Bridges of moto's IAM: every request of a function or state machine is asked for its rights."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from typing import Any
from xml.sax.saxutils import escape

from moto.iam.models import Role
from moto.moto_server.werkzeug_app import DomainDispatcherApplication

from local.access import Access, Denied
from local.needs import Request, knowing_absence, needs
from local.replacements import Replacements

Environ = dict[str, Any]
Start = Callable[..., Any]
Serve = Callable[[Any, Environ, Start], Iterable[bytes]]


def bridge_role_updates(replace: Replacements) -> None:
    """AWS gives a role the policies of the new template. moto leaves it those it had."""
    update = Role.update_from_cloudformation_json

    def both(cls: Any, /, **named: Any) -> Any:
        role = update(**named)
        properties = named["cloudformation_json"]["Properties"]
        role.policies = {
            policy["PolicyName"]: policy["PolicyDocument"]
            for policy in properties.get("Policies", [])
        }
        return role

    replace.put(Role, "update_from_cloudformation_json", classmethod(both))


def bridge_access(replace: Replacements, access: Access) -> None:
    """AWS refuses what no policy of the caller's role allows.

    moto lets everybody do everything; told to check, it takes no notice of resources and
    conditions.
    """
    serve = DomainDispatcherApplication.__call__

    def checked(self: Any, environ: Environ, start: Start) -> Iterable[bytes]:
        request = _read(environ)
        role = access.role_of(request.credential[0]) if request.credential else None
        if role is None:
            return serve(self, environ, start)
        try:
            access.check(role, *needs(request))
            return _served(self, environ, start, lambda: _may_know(access, role, request))
        except Denied as denied:
            return _refused(request, environ, start, denied)

    def _served(
        self: Any, environ: Environ, start: Start, check_absence: Callable[[], None]
    ) -> Iterable[bytes]:
        answers: list[Any] = []
        content = serve(self, environ, lambda *answer: answers.append(answer))
        if answers[-1][0].startswith("404"):
            check_absence()
        start(*answers[-1])
        return content

    replace.put(DomainDispatcherApplication, "__call__", checked)


def _may_know(access: Access, role: str, request: Request) -> None:
    access.check(role, *knowing_absence(request))


def _read(environ: Environ) -> Request:
    """With its body, which is there again for moto, unless it is for S3."""
    path = environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace")
    request = Request(
        method=environ["REQUEST_METHOD"],
        path=path,
        query=environ.get("QUERY_STRING", ""),
        headers={name: str(value) for name, value in environ.items() if name.startswith("HTTP_")},
        body=b"",
    )
    if not request.credential or request.service == "s3":
        return request
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return Request(request.method, path, request.query, request.headers, body)


def _refused(request: Request, environ: Environ, start: Start, denied: Denied) -> Iterable[bytes]:
    """In the words of the service's protocol. The body is read first, or the connection breaks."""
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    status, kind, content = _words(request, str(denied))
    headers = [("Content-Type", kind), ("Content-Length", str(len(content)))]
    start(status, headers)
    return [] if request.method == "HEAD" else [content]


def _words(request: Request, message: str) -> tuple[str, str, bytes]:
    if request.service == "s3":
        error = f"<Error><Code>AccessDenied</Code><Message>{escape(message)}</Message></Error>"
        return "403 Forbidden", "application/xml", error.encode()
    if request.service == "sns":
        code = "<Type>Sender</Type><Code>AuthorizationError</Code>"
        error = f"<Error>{code}<Message>{escape(message)}</Message></Error>"
        answer = f"<ErrorResponse>{error}</ErrorResponse>"
        return "403 Forbidden", "text/xml", answer.encode()
    status = "403 Forbidden" if request.service == "lambda" else "400 Bad Request"
    content = {"__type": "AccessDeniedException", "message": message, "Message": message}
    return status, "application/x-amz-json-1.0", json.dumps(content).encode()
