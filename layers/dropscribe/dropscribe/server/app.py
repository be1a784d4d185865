"""The HTTP side: addresses, keys, errors as the transcription API has them."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from dropscribe import __version__
from dropscribe.api import (
    ModelInfo,
    ModelList,
    TranscriptionRequest,
    TranslationRequest,
    invalid_request,
    wire,
)
from dropscribe.api import Request as Asked
from dropscribe.models import Model
from dropscribe.server.job import Job
from dropscribe.server.refused import Refused, failed, no_model
from dropscribe.server.service import Service, known, ready, served
from dropscribe.server.transport import Identified


def create_app(
    service: Service, lifespan: Callable[[], AbstractAsyncContextManager[None]] | None = None
) -> ASGIApp:
    """`lifespan`: entered before the first request, to fill `service.backend`."""

    @asynccontextmanager
    async def around(_: Starlette) -> AsyncIterator[None]:
        if lifespan is None:
            yield
            return
        async with lifespan():
            yield

    post, get = ["POST"], ["GET"]
    app = Starlette(
        routes=[
            Route(
                "/v1/audio/transcriptions", _endpoint(service, TranscriptionRequest), methods=post
            ),
            Route("/v1/audio/translations", _endpoint(service, TranslationRequest), methods=post),
            Route("/v1/models", _models(service), methods=get),
            Route("/v1/models/{name:path}", _model(service), methods=get),
            Route("/health", _health(service), methods=get),
        ],
        exception_handlers={
            **{Refused: _refused, HTTPException: _http, ClientDisconnect: _gone},
            Exception: _unexpected,
        },
        lifespan=around,
    )
    return Identified(app, service.max_body_bytes)


def _endpoint(service: Service, kind: type[Asked]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        _check_key(service, request)
        return await Job(service, kind, request).respond()

    return answer


def _check_key(service: Service, request: Request) -> None:
    if not service.keys:
        return
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    given = key.strip() if scheme.lower() == "bearer" else ""
    if any(hmac.compare_digest(given.encode(), each.encode()) for each in service.keys):
        return
    shown = f"***{given[-4:]}" if len(given) >= 12 else "***"
    message = (
        f"Incorrect API key provided: {shown}. Ask whoever runs this server for one."
        if given
        else "You didn't provide an API key. Send it in a header: Authorization: Bearer YOUR_KEY."
    )
    raise Refused(401, invalid_request(message, None, "invalid_api_key"))


def _models(service: Service) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        _check_key(service, request)
        listed = ModelList(data=[_info(service, model) for model in served(service)])
        return Response(wire(listed), media_type="application/json")

    return answer


def _model(service: Service) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        _check_key(service, request)
        model = known(service, request.path_params["name"])
        if model is None:
            raise no_model(request.path_params["name"])
        return Response(wire(_info(service, model)), media_type="application/json")

    return answer


def _info(service: Service, model: Model) -> ModelInfo:
    """`created`: since when it can be had here."""
    return ModelInfo(id=model.name, created=service.started, owned_by="dropscribe")


def _health(service: Service) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return JSONResponse(
            {
                **{"status": "ok", "version": __version__, "engine": ready(service).engine.engine},
                **{"running": service.running, "concurrency": service.concurrency},
            }
        )

    return answer


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - registered for it
    text = json.dumps(error.body, ensure_ascii=False, separators=(",", ":"))
    return Response(
        # A form may name a charset that yields half a surrogate pair, which a message repeats.
        text.encode("utf-8", "replace"),
        status_code=error.status,
        media_type="application/json",
        headers=error.headers,
    )


async def _http(request: Request, error: Exception) -> Response:
    """Unknown addresses, wrong methods, broken forms."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    about = f"{request.method} {request.url.path}"
    code = {404: "unknown_url", 405: "method_not_supported"}.get(error.status_code)
    message = f"Invalid URL ({about})" if error.status_code == 404 else f"{error.detail} ({about})"
    refused = Refused(error.status_code, invalid_request(message, code=code), error.headers)
    return await _refused(request, refused)


async def _gone(_: Request, error: Exception) -> Response:
    """Nobody reads it; the log has the status."""
    return Response(status_code=499)


async def _unexpected(request: Request, error: Exception) -> Response:
    """The error itself is raised on, and logged by uvicorn."""
    return await _refused(request, failed())
