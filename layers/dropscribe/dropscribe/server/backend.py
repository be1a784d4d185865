"""Decoding and recognizing on this machine, for the app."""

from __future__ import annotations

import base64
import binascii
import re
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dropscribe import audio
from dropscribe.api import (
    ApiObject,
    ErrorObject,
    Request,
    TranscriptionRequest,
    TranscriptionStreamEvent,
    invalid_request,
)
from dropscribe.errors import Rejected
from dropscribe.models import Model
from dropscribe.server.answers import Heard, answer, done, latest
from dropscribe.server.refused import Refused
from dropscribe.server.threads import in_thread
from dropscribe.server.workers import Workers
from dropscribe.spans import Span
from dropscribe.validity import INVALID, UNSUPPORTED, audio_refusal

LONGEST_AUDIO_MS: Final = 2 * 3600 * 1000
"""That is decoded to tell how long it is: a body of 25 MiB can hold many hours."""
REFERENCE_MS: Final = (2000, 10_000)
"""Shortest and longest sample of a known speaker."""


@dataclass(frozen=True)
class Recording:
    """An upload, decoded: one track, or one for each speaker."""

    tracks: list[Path]
    audio_ms: int


@dataclass(frozen=True)
class Backend:
    """Answers with what one engine can do, whatever the model is called."""

    engine: Model
    """The engine's own row of the model table."""
    workers: Workers
    decode_timeout_s: float = 120.0
    """Ten times what the longest recording takes; who hangs up is waited for so long at most."""

    def ignored(self, request: Request, model: Model) -> list[str]:
        """Parameters that were given and have no effect, be it on this engine or on that model."""
        given = request.model_dump(exclude_defaults=True, exclude={"model", "response_format"})
        used = self.engine.parameters | {"include", "stream", "languages"}
        passed = {name for name in ("language", "languages") if not self._heeds(name, model)}
        return [name for name in given if name not in used - passed]

    def refusal(self, request: Request, model: Model) -> ErrorObject | None:
        """What is asked for that this engine cannot do."""
        if not isinstance(request, TranscriptionRequest):
            return None
        hints = {
            "languages": request.languages,
            "language": [request.language] if request.language else None,
        }
        for param, wanted in hints.items():
            if not wanted or not self.engine.language or not self._heeds(param, model):
                continue
            if self.engine.language not in [language.lower() for language in wanted]:
                return invalid_request(
                    f"The engine `{self.engine.engine}` of this server knows only the language "
                    f"'{self.engine.language}', not '{', '.join(wanted)}'.",
                    param,
                    UNSUPPORTED,
                )
        return None

    def _heeds(self, language_parameter: str, model: Model) -> bool:
        """A hosted model passes over the one that it does not know; so does its alias."""
        return model == self.engine or language_parameter in model.parameters

    async def answer(self, upload: Path, request: Request, model: Model) -> ApiObject | str:
        """Raises `Refused`."""
        async with (
            self._opened(upload, request, model) as (recording, heard),
            aclosing(self.workers.recognize(recording.tracks)) as parts,
        ):
            async for part in parts:
                heard.parts.append(part)
        return answer(heard)

    async def events(
        self, upload: Path, request: Request, model: Model
    ) -> AsyncGenerator[TranscriptionStreamEvent | None]:
        """The events of a stream, after one None: what is refused is refused before that."""
        async with self._opened(upload, request, model) as (recording, heard):
            yield None
            async with aclosing(self.workers.recognize(recording.tracks)) as parts:
                async for part in parts:
                    heard.parts.append(part)
                    yield latest(heard)
        yield done(heard)

    @asynccontextmanager
    async def _opened(
        self, upload: Path, request: Request, model: Model
    ) -> AsyncIterator[tuple[Recording, Heard]]:
        with tempfile.TemporaryDirectory(prefix="recording-") as name:
            folder = Path(name)
            by_speaker = request.response_format == "diarized_json"
            if by_speaker and isinstance(request, TranscriptionRequest):
                await in_thread(self._check_known_speakers, request, folder)
            recording = await in_thread(self._decode, upload, folder, by_speaker)
            chunked = isinstance(request, TranscriptionRequest) and bool(request.chunking_strategy)
            for judge in (model, self.engine):
                if error := audio_refusal(recording.audio_ms, chunked=chunked, model=judge):
                    raise Refused(400, error)
            if by_speaker and len(recording.tracks) < 2:
                raise self._cannot_tell_speakers()
            language = self.engine.language or "en"
            yield recording, Heard(request, model, language, recording.audio_ms)

    def _decode(self, upload: Path, folder: Path, by_speaker: bool) -> Recording:
        try:
            decoded = audio.normalize(
                upload,
                folder,
                max_ms=LONGEST_AUDIO_MS,
                split=by_speaker,
                timeout_s=self.decode_timeout_s,
            )
        except Rejected as error:
            if by_speaker and error.code == "invalid_options":
                # Not of two channels: decoded as one, so that its length is judged first.
                return self._decode(upload, folder, by_speaker=False)
            raise _about_file(error) from error
        audio_ms = max(track.duration_ms for track in decoded.tracks)
        paths = [folder / f"track-{index}.flac" for index in range(len(decoded.tracks))]
        for track, path in zip(decoded.tracks, paths, strict=True):
            audio.cut(track, Span(0, track.duration_ms), path, timeout_s=self.decode_timeout_s)
        return Recording(paths, audio_ms)

    def _cannot_tell_speakers(self) -> Refused:
        return Refused(
            400,
            invalid_request(
                f"The engine `{self.engine.engine}` of this server tells speakers apart by the two "
                "channels of a recording, and this one does not have two different ones. Use "
                "response_format 'json' or 'text'.",
                "response_format",
                UNSUPPORTED,
            ),
        )

    def _check_known_speakers(self, request: TranscriptionRequest, folder: Path) -> None:
        """Each reference is judged before it is said that voices are not compared here."""
        for index, url in enumerate(request.known_speaker_references or []):
            sample = folder / f"reference-{index}"
            sample.write_bytes(_data_of(url))
            try:
                decoded = audio.normalize(sample, folder, max_ms=60_000).tracks[0].duration_ms
            except Rejected as error:
                if error.code == "too_long":
                    raise _bad_reference("is longer than 10 seconds") from error
                raise _bad_reference(f"is no audio ({error.message})") from error
            if not REFERENCE_MS[0] <= decoded <= REFERENCE_MS[1]:
                raise _bad_reference(f"is {decoded / 1000} seconds long, not 2 to 10")
        if request.known_speaker_names:
            raise Refused(
                400,
                invalid_request(
                    f"The engine `{self.engine.engine}` of this server does not compare voices: "
                    "leave known speakers out.",
                    "known_speaker_names",
                    UNSUPPORTED,
                ),
            )


def _data_of(url: str) -> bytes:
    match = re.fullmatch(r"data:[^,]*;base64,(.*)", url, re.DOTALL)
    try:
        return base64.b64decode(match[1], validate=True) if match else _no_data_url()
    except binascii.Error as error:
        raise _bad_reference("is not base64") from error


def _no_data_url() -> bytes:
    raise _bad_reference("is no data URL with base64 content (data:audio/wav;base64,…)")


def _bad_reference(what: str) -> Refused:
    message = f"A known speaker reference {what}."
    return Refused(400, invalid_request(message, "known_speaker_references", INVALID))


def _about_file(error: Rejected) -> Refused:
    """The body is the API's, whatever is wrong; what we know more goes into a header."""
    detail = error.message.encode("ascii", "replace").decode()
    said = "Audio file might be corrupted or unsupported"
    if error.code == "too_long":
        said = f"audio duration is longer than {LONGEST_AUDIO_MS // 1000} seconds"
    return Refused(400, invalid_request(said, "file", INVALID), {"dropscribe-detail": detail})
