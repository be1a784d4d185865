"""What one server has, and who does its work."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dropscribe import models
from dropscribe.api import ApiObject, ErrorObject, Request, TranscriptionStreamEvent
from dropscribe.models import OPENAI_MAX_BODY_BYTES, Model
from dropscribe.server.refused import RETRY_AFTER_S, Refused, server_error


class Backend(Protocol):
    """Who does the work."""

    @property
    def engine(self) -> Model: ...

    def ignored(self, request: Request, model: Model) -> list[str]: ...

    def refusal(self, request: Request, model: Model) -> ErrorObject | None: ...

    async def answer(self, upload: Path, request: Request, model: Model) -> ApiObject | str: ...

    def events(
        self, upload: Path, request: Request, model: Model
    ) -> AsyncGenerator[TranscriptionStreamEvent | None]: ...


@dataclass
class Service:
    """What one server has: its limits, and who works."""

    concurrency: int
    """Requests at work at once; more are answered with 429."""
    keys: frozenset[str] = frozenset()
    """Bearer keys; none: everybody may ask."""
    max_body_bytes: int = OPENAI_MAX_BODY_BYTES
    timeout_s: float = 600.0
    """For a request, from its first byte to the beginning of its answer, or the end of a stream."""
    backend: Backend | None = None
    """None until it is ready."""
    running: int = 0
    uploading: int = 0
    """Requests whose body is still read; each may take its size on disk."""
    started: int = field(default_factory=lambda: int(time.time()))

    @property
    def most_uploads(self) -> int:
        return 4 * self.concurrency


def known(service: Service, name: str) -> Model | None:
    """A model of this server: the engine's own, or a hosted one's name as an alias for it."""
    return next((model for model in served(service) if model.name == name), None)


def served(service: Service) -> list[Model]:
    engine = ready(service).engine
    hosted = (model for model in models.MODELS if model.engine == "openai")
    return [engine, *(model for model in hosted if model.name != engine.name)]


def ready(service: Service) -> Backend:
    if service.backend is None:
        error = server_error("The engine is being loaded: try again in a few seconds.")
        raise Refused(503, error, {"retry-after": str(RETRY_AFTER_S)})
    return service.backend
