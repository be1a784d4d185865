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
from dropscribe.languages import code_of
from dropscribe.models import Model
from dropscribe.server.answers import Heard, answer, done, latest, turn_events
from dropscribe.server.protocol import Begun, Part, Question, Said
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
    tells_voices: bool = False
    """Who speaks on one track can be told by voice."""
    decode_timeout_s: float = 120.0
    """Ten times what the longest recording takes; who hangs up is waited for so long at most."""

    def ignored(self, request: Request, model: Model) -> list[str]:
        """Parameters that were given and have no effect, be it on this engine or on that model."""
        given = request.model_dump(exclude_defaults=True, exclude={"model", "response_format"})
        used = (self.engine.parameters - {"language"}) | {"include", "stream"}
        if request.response_format == "diarized_json":
            used |= {"known_speaker_names", "known_speaker_references"}
        return [name for name in given if name not in used | set(self._hints(request, model))]

    def refusal(self, request: Request, model: Model) -> ErrorObject | None:
        """What is asked for that this engine cannot do."""
        if not self.engine.language:
            return None
        for param, wanted in self._hints(request, model).items():
            if self.engine.language not in map(code_of, wanted):
                return invalid_request(
                    f"The engine `{self.engine.engine}` of this server knows only the language "
                    f"'{self.engine.language}', not '{', '.join(wanted)}'.",
                    param,
                    UNSUPPORTED,
                )
        return None

    def _hints(self, request: Request, model: Model) -> dict[str, list[str]]:
        """The languages that are asked for, under the parameter that says so.

        A hosted model passes over the parameter that it does not know; so does its alias. An engine
        of many languages is told one at most.
        """
        if not isinstance(request, TranscriptionRequest):
            return {}
        given = {
            "language": [request.language] if request.language else [],
            "languages": request.languages or [],
        }
        heeded = {
            name: wanted
            for name, wanted in given.items()
            if wanted and (model == self.engine or name in model.parameters)
        }
        if self.engine.language:
            return heeded
        return dict([item for item in heeded.items() if len(item[1]) == 1][:1])

    async def answer(self, upload: Path, request: Request, model: Model) -> ApiObject | str:
        """Raises `Refused`."""
        async with (
            self._opened(upload, request, model) as (question, heard),
            aclosing(self._hear(question, heard)) as news,
        ):
            async for _ in news:
                pass
        return answer(heard)

    async def events(
        self, upload: Path, request: Request, model: Model
    ) -> AsyncGenerator[TranscriptionStreamEvent | None]:
        """The events of a stream, after one None: what is refused is refused before that."""
        async with (
            self._opened(upload, request, model) as (question, heard),
            aclosing(self._hear(question, heard)) as news,
        ):
            await anext(news)
            yield None
            async for found in news:
                if isinstance(found, Said):
                    for event in turn_events(heard):
                        yield event
                elif question.known is None:
                    yield latest(heard)
        yield done(heard)

    async def _hear(self, question: Question, heard: Heard) -> AsyncGenerator[Begun | Part | Said]:
        """Ask the engine, and note what it finds."""
        try:
            async with aclosing(self.workers.recognize(question)) as news:
                async for found in news:
                    match found:
                        case Begun():
                            heard.language = found.language
                        case Part():
                            heard.parts.append((found.track, found.recognized))
                        case Said():
                            heard.said = found.segments
                    yield found
        except Rejected as error:
            hints = self._hints(heard.request, heard.model)
            raise Refused(
                400, invalid_request(error.message, next(iter(hints), "model"), UNSUPPORTED)
            ) from error

    @asynccontextmanager
    async def _opened(
        self, upload: Path, request: Request, model: Model
    ) -> AsyncIterator[tuple[Question, Heard]]:
        with tempfile.TemporaryDirectory(prefix="recording-") as name:
            folder = Path(name)
            known = None
            if isinstance(request, TranscriptionRequest) and _by_speaker(request):
                known = await in_thread(self._known_speakers, request, folder)
            # Channels have no names: who is known is told by voice, on one track.
            recording = await in_thread(self._decode, upload, folder, split=known == {})
            self._check_length(recording.audio_ms, request, model)
            if len(recording.tracks) > 1:
                known = None
            elif known is not None and not self.tells_voices:
                raise self._cannot_tell_speakers()
            question = Question.about(recording.tracks, self._heeded(request, model), known)
            yield question, Heard(request, model, recording.audio_ms)

    def _check_length(self, audio_ms: int, request: Request, model: Model) -> None:
        chunked = isinstance(request, TranscriptionRequest) and bool(request.chunking_strategy)
        for judge in (model, self.engine):
            if error := audio_refusal(audio_ms, chunked=chunked, model=judge):
                raise Refused(400, error)

    def _heeded(self, request: Request, model: Model) -> Request:
        """As the engine is asked: with the language that has an effect."""
        if not isinstance(request, TranscriptionRequest):
            return request
        wanted = next(iter(self._hints(request, model).values()), [])
        language = wanted[0] if len(wanted) == 1 else None
        return request.model_copy(update={"language": language, "languages": None})

    def _decode(self, upload: Path, folder: Path, *, split: bool) -> Recording:
        try:
            decoded = audio.normalize(
                upload,
                folder,
                max_ms=LONGEST_AUDIO_MS,
                split=split,
                timeout_s=self.decode_timeout_s,
            )
        except Rejected as error:
            if split and error.code == "invalid_options":
                return self._decode(upload, folder, split=False)  # it is not of two channels
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

    def _known_speakers(self, request: TranscriptionRequest, folder: Path) -> dict[str, Path]:
        """A clip of each; all are judged before it is said that voices are not compared here."""
        urls = request.known_speaker_references or []
        clips = [self._clip(url, folder / f"known-{index}") for index, url in enumerate(urls)]
        if clips and not self.tells_voices:
            raise Refused(
                400,
                invalid_request(
                    f"The engine `{self.engine.engine}` of this server does not compare voices: "
                    "leave known speakers out.",
                    "known_speaker_names",
                    UNSUPPORTED,
                ),
            )
        return dict(zip(request.known_speaker_names or [], clips, strict=True))

    def _clip(self, url: str, folder: Path) -> Path:
        """Decoded, in a new folder."""
        folder.mkdir()
        sample = folder / "sample"
        sample.write_bytes(_data_of(url))
        try:
            track = audio.normalize(sample, folder, max_ms=60_000).tracks[0]
        except Rejected as error:
            if error.code == "too_long":
                raise _bad_reference("is longer than 10 seconds") from error
            raise _bad_reference(f"is no audio ({error.message})") from error
        if not REFERENCE_MS[0] <= track.duration_ms <= REFERENCE_MS[1]:
            raise _bad_reference(f"is {track.duration_ms / 1000} seconds long, not 2 to 10")
        clip = folder / "clip.flac"
        audio.cut(track, Span(0, track.duration_ms), clip, timeout_s=self.decode_timeout_s)
        return clip


def _by_speaker(request: TranscriptionRequest) -> bool:
    return request.response_format == "diarized_json"


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
