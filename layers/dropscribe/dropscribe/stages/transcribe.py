"""Transcribe: one chunk through its engine, unless its answer is known already.

Then the chunk is listened to: stretches of speech for which the answer has no words are asked about
once more, on their own.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from dropscribe import models, sound
from dropscribe.api import Answer, Format, Request, TranscriptionRequest
from dropscribe.audit import divided, holes, text_spans
from dropscribe.aws import Bucket
from dropscribe.engines import Engine, request_for, result_key
from dropscribe.errors import JobError, RateLimited, Rejected, Unavailable
from dropscribe.job import (
    UNANSWERED,
    Call,
    Chunk,
    ChunkRecord,
    ChunkResult,
    Manifest,
    Piece,
    asked_key,
    calls_prefix,
    chunk_record_key,
    clip_key,
    stop_key,
    stopped_key,
)
from dropscribe.languages import whispers_code
from dropscribe.messages import TranscribeRequest
from dropscribe.passage import Passage, parse_answer, passage
from dropscribe.spans import Span
from dropscribe.speakers import (
    Voice,
    alias,
    clips,
    data_url,
    references,
    speech_ms,
)
from dropscribe.speech import Prepared, hear, prepare
from dropscribe.stages.kept import load_manifest, load_record, read
from dropscribe.stages.times import with_times
from dropscribe.timestamps import timestamp
from dropscribe.transcript import Segment

if TYPE_CHECKING:
    # It imports numpy, which not every job needs.
    from dropscribe.diarization import WindowModel

TIMED: Final[frozenset[Format]] = frozenset({"srt", "vtt", "verbose_json", "diarized_json"})
"""Formats that show when something is said."""
FOLDER_PREFIX: Final = "chunk-"
"""Of the folder that a run works in."""
LEFT_FOR_WRITING_S: Final = 15
"""Kept back from a function's time, so that an answer that came late is still written."""
LEAST_FOR_A_HOLE_S: Final = 60
"""Of a run's time: an answer about a minute of audio takes seconds, a busy API has us wait."""
HOLE_MARGIN_MS: Final = 300
"""Heard of the words on both sides of a hole: one at its edge would be cut in two."""
HOLE_REACH_MS: Final = 3000
"""At most, from a hole to these words: a short word may stand alone between."""


@dataclass
class CallLog:
    """Paid requests of one piece, each an object in the work bucket before it is sent."""

    work: Bucket
    job: str
    piece: str
    run: str
    answered: list[str] = field(default_factory=list)
    """Calls whose answer is there, and not yet kept."""
    unanswered: dict[str, str] = field(default_factory=dict)
    """The others, with their states."""

    def sent(self) -> str:
        """Raises `Rejected` where the recording is being forgotten: nothing is sent, nor paid."""
        if self.work.head(stop_key(self.job)):
            self.work.write(stopped_key(self.job, self.piece), b"", "text/plain")
            raise Rejected("internal", "the recording is being forgotten")
        key = f"{self._prefix}{uuid.uuid4().hex}.json"
        self._write(key, "sent")
        self.unanswered[key] = "sent"
        return key

    def concluded(self, call: str, state: str) -> None:
        """An answer counts only when it is kept: who dies before that has nothing of it."""
        if state == "answered":
            self.answered.append(call)
            self.unanswered.pop(call, None)
        else:
            self._write(call, state)
            self.unanswered[call] = state

    def uncertain(self) -> int:
        """A redrive is somebody's decision to ask again, and counts anew."""
        return self._count("sent")

    def was_answered(self) -> bool:
        """In this run, whoever heard it."""
        return self._count("answered") > 0

    def _count(self, state: str) -> int:
        found = [Call.model_validate_json(read(self.work, key)) for key in self._keys()]
        return sum((call.state, call.run) == (state, self.run) for call in found)

    def settle(self) -> None:
        """What was answered has been kept, or is lost for good."""
        while self.answered:
            self._write(self.answered[-1], "answered")
            self.answered.pop()

    def give_up(self) -> None:
        """Nothing more is sent: who would run the job again need not wait for an answer."""
        self.unanswered |= dict.fromkeys(self.answered, "answered")
        for call, state in self.unanswered.items():
            self._write(call, state, over=True)
        self.answered.clear()

    def _keys(self) -> list[str]:
        return [key for key in self.work.keys(self._prefix) if key not in self.answered]

    @property
    def _prefix(self) -> str:
        return f"{calls_prefix(self.job)}{self.piece}-"

    def _write(self, key: str, state: str, *, over: bool = False) -> None:
        self.work.write(key, Call(state=state, run=self.run, over=over).model_dump_json())


@dataclass(frozen=True)
class _Asking:
    """Puts questions about one chunk to the engine of its job."""

    work: Bucket
    manifest: Manifest
    chunk: Chunk
    model: models.Model
    engine: Engine
    endpoint: str
    folder: Path
    run: str
    deadline: float
    """`time.monotonic()` at which this run has to be done."""

    def chunk_audio(self) -> Path:
        path = self.folder / "chunk.flac"
        if self.work.download(self.chunk.key, path) is None:
            raise Rejected("internal", f"{self.work.uri(self.chunk.key)} is gone: upload again")
        return path

    def clip(self, key: str) -> bytes:
        """Samples of a known speaker's voice."""
        path = self.folder / "clip.flac"
        path.write_bytes(read(self.work, key))
        return sound.read(path)

    def ask(
        self, name: str, audio: Path, sha256: str, span: Span, request: Request
    ) -> tuple[Piece, Answer]:
        """The answer about one piece of audio, which lies at `span` of the recording.

        Whoever was first keeps its answer: two jobs that ran at the same time then agree.
        """
        key = result_key(sha256, self.endpoint, request)
        known = self.work.read(key)
        if known is None:
            # The record of the chunk will say the same, if this run lives to write it.
            self.work.write(asked_key(self.manifest.job_id, name), key, "text/plain")
        result = self._sent(key, name, audio, span, request) if known is None else known
        found = ChunkResult.model_validate_json(result)
        piece = Piece(
            name=name,
            start_ms=span.start_ms,
            duration_ms=span.duration_ms,
            result_key=key,
            cached=known is not None,
        )
        return piece, parse_answer(found.response_format, found.response)

    def timed(self, piece: Piece, told: Passage, samples: bytes, prepared: Prepared) -> Piece:
        """With the times of its words, where the answer does not tell them."""
        left_s = self.deadline - time.monotonic()
        return with_times(piece, told, samples, prepared, self.work, self.manifest.options, left_s)

    def was_tried(self, name: str) -> bool:
        """Whether a run before this one has sent the question, in vain."""
        calls = f"{calls_prefix(self.manifest.job_id)}{name}-"
        return next(self.work.keys(calls), None) is not None

    def _sent(self, key: str, name: str, audio: Path, span: Span, request: Request) -> bytes:
        """The answer, kept under `key` before it counts as one."""
        calls = CallLog(self.work, self.manifest.job_id, name, self.run)
        try:
            if calls.was_answered():
                return self._kept_meanwhile(key)
            answer = self.engine(audio, request, calls)
        except JobError as error:
            calls.give_up()
            raise type(error)(error.code, f"{_place(self.chunk, span)}: {error.message}") from error
        result = ChunkResult(
            engine=self.manifest.engine,
            model=self.manifest.model,
            response_format=request.response_format,
            response=answer.model_dump(mode="json", exclude_unset=True),
        )
        content = result.model_dump_json().encode()
        kept = self.work.write_if(key, content, replacing=None)
        calls.settle()
        return content if kept else self.work.read(key) or content

    def _kept_meanwhile(self, key: str) -> bytes:
        """By another run of this function.

        Raises `Rejected` where it could keep nothing of its answer, and died before it said so, or
        was not heard: nobody pays for that twice.
        """
        content = self.work.read(key)
        if content is None:
            raise Rejected(
                "engine_failed",
                "what the API answered cannot be read, and was billed: run it again by hand",
            )
        return content


def clear_leftovers() -> None:
    """A run that was killed at its timeout leaves its files on this environment's disk."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)


def transcribe(
    asked: TranscribeRequest,
    work: Bucket,
    engine_for: Callable[[Manifest], tuple[Engine, str]],
    deadline: float,
    voice_model_for: Callable[[], WindowModel | None] = lambda: None,
    *,
    aligned_later: str = "",
) -> ChunkRecord:
    """Get one chunk's answer, and those about the holes in it; note where they are.

    `engine_for`: a job's manifest → the engine and its endpoint. `deadline`: `time.monotonic()` at
    which the caller needs the result. `voice_model_for`: loads what tells voices apart, where that
    is installed. `aligned_later`: who looks, after this step, for words whose times are estimated,
    as their answer is text alone, and are of use to the job; until then they are `UNANSWERED`.
    Raises `Rejected` or `Unavailable`.
    """
    started = time.monotonic()
    manifest = load_manifest(work, asked.job_id)
    chunk = manifest.chunks[asked.chunk]
    options = manifest.options.model_copy(update={"model": manifest.model})
    # Whether it can do all this was judged before the recording was decoded: not again.
    model = models.choose(options, datetime.now(UTC).date(), voices=True)
    engine, endpoint = engine_for(manifest)
    voice_model = voice_model_for() if manifest.voices or model.speakers else None
    with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX) as folder:
        asking = _Asking(
            *(work, manifest, chunk, model, engine, endpoint, Path(folder), asked.run, deadline)
        )
        record = _answered(asking, voice_model)
    elapsed_ms = round((time.monotonic() - started) * 1000)
    record = record.model_copy(update={"transcribe_ms": elapsed_ms})
    if aligned_later and _is_to_be_aligned(record, manifest):
        piece = _awaiting(record.chunk, aligned_later)
        record = record.model_copy(update={"chunk": piece})
    work.write(chunk_record_key(asked.job_id, asked.chunk), record.model_dump_json())
    return record


def _is_to_be_aligned(record: ChunkRecord, manifest: Manifest) -> bool:
    """Whether nobody told or found the times of its words, and an output is to have them.

    The chunk that goes ahead is not: nobody asks for it, and its model tells times.
    """
    text_alone = record.speech is None and record.chunk.timing == "estimated"
    wanted = manifest.options.task == "transcribe" and TIMED.intersection(manifest.formats)
    return text_alone and bool(wanted) and record.index != manifest.leader


def _awaiting(piece: Piece, aligner: str) -> Piece:
    """Until the aligner has answered; as it is where that has been asked, or cannot hear it."""
    if piece.aligner == aligner:
        return piece
    if piece.language and whispers_code(piece.language) is None:
        failed = piece.unaligned or f"engine whisper does not know language {piece.language!r}"
        return piece.model_copy(update={"unaligned": failed})
    update = {
        "unaligned": UNANSWERED,
        "unaligned_before": piece.unaligned,
        "aligner": aligner,
    }
    return piece.model_copy(update=update)


def _answered(asking: _Asking, voice_model: WindowModel | None) -> ChunkRecord:
    """The chunk's answer, what is heard in the chunk, and the answers about holes."""
    chunk, audio, request = asking.chunk, asking.chunk_audio(), _request(asking)
    meanwhile, over = ThreadPoolExecutor(1), Event()
    try:
        listening = meanwhile.submit(_listened, audio)
        diarizing = (
            meanwhile.submit(lambda: _diarized(asking, *listening.result(), voice_model, over))
            if voice_model and asking.manifest.voices
            else None
        )
        piece, answer = asking.ask(chunk.name, audio, chunk.sha256, chunk.span, request)
        samples, prepared = listening.result()
        by_voice = diarizing.result() if diarizing else {}
    finally:
        # An error is told soon, and nothing goes on after it: later runs are in the same process.
        over.set()
        meanwhile.shutdown(cancel_futures=True)
    told = passage(Span(0, chunk.duration_ms), answer, chunk.channel)
    piece = asking.timed(piece, told, samples, prepared)
    if told.segments is None and told.text:
        # Nobody can say which of the speech has words.
        return ChunkRecord(index=chunk.index, chunk=piece, **by_voice)
    if asking.model.speakers and chunk.channel is None:
        voices = _voices(asking, piece.name, told.segments or [], samples, voice_model)
        piece = piece.model_copy(update={"voices": voices})
        request = _with_voices(asking, request, voices) if _is_leader(asking) else request
    texts = text_spans(told.segments or [], told.words or [])
    heard = hear(prepared, texts)
    asked = _Holes(asking, samples, request, voice_model)
    asked.ask_all(
        [
            (part, around(part, texts))
            for hole in holes(heard.speech, texts)
            for part in divided(hole, heard.speech)
        ]
    )
    return ChunkRecord(
        index=chunk.index,
        chunk=piece,
        holes=asked.pieces,
        speech=[span.moved(chunk.start_ms) for span in heard.speech],
        silent=[span.moved(chunk.start_ms) for span in heard.silent],
        refused=asked.refused,
        **by_voice,
    )


def _diarized(
    asking: _Asking, samples: bytes, prepared: Prepared, voice_model: WindowModel, over: Event
) -> dict[str, Any]:
    """Whose voice is heard when in the chunk; with the first chunk, what known voices are like.

    The words are there, and what goes wrong here is no reason to lose them. Once it is `over`,
    nobody wants to know any more.
    """
    try:
        return _by_voice(asking, samples, prepared, voice_model, over)
    except Exception as error:  # noqa: BLE001 - told in the receipt
        return {"voices_failed": f"{type(error).__name__}: {error}"[:300]}


def _by_voice(
    asking: _Asking, samples: bytes, prepared: Prepared, voice_model: WindowModel, over: Event
) -> dict[str, Any]:
    from dropscribe.diarization import diarize

    def go_on() -> None:
        if over.is_set():
            raise CancelledError

    manifest, chunk = asking.manifest, asking.chunk
    # Of several chunks each may have fewer than all of them together.
    fewest = manifest.options.min_speakers or 1 if len(manifest.chunks) == 1 else 1
    found = diarize(samples, voice_model, heard=prepared, fewest=fewest, go_on=go_on)
    known = manifest.known_voices if chunk.index == 0 else {}
    return {
        "turns": [
            replace(
                turn, start_ms=turn.start_ms + chunk.start_ms, end_ms=turn.end_ms + chunk.start_ms
            )
            for turn in found.turns
        ],
        "voices": found.voices,
        "known_voices": {name: voice_model.embed(asking.clip(key)) for name, key in known.items()},
    }


def _listened(audio: Path) -> tuple[bytes, Prepared]:
    samples = sound.read(audio)
    return samples, prepare(samples)


def _is_leader(asking: _Asking) -> bool:
    return asking.chunk.index == asking.manifest.leader


def _request(asking: _Asking) -> Request:
    """What a chunk asks; of the others, the leader's voices go with it."""
    request = request_for(asking.manifest.options, asking.model)
    leader = asking.manifest.leader
    if leader is None or _is_leader(asking):
        return request
    record = load_record(asking.work, asking.manifest.job_id, leader)
    return _with_voices(asking, request, record.chunk.voices)


def _with_voices(asking: _Asking, request: Request, voices: Sequence[Voice]) -> Request:
    """With clips of voices as known speakers, after those that the user gave."""
    if not isinstance(request, TranscriptionRequest):
        return request
    names, clips_ = request.known_speaker_names or [], request.known_speaker_references or []
    sent = references(voices, names)
    ours = [data_url(read(asking.work, voice.clip_key or ""), "audio/wav") for voice in sent]
    if not sent:
        return request
    return request.model_copy(
        update={
            "known_speaker_names": [*names, *(alias(voice.label, names) for voice in sent)],
            "known_speaker_references": [*clips_, *ours],
        }
    )


def _voices(
    asking: _Asking,
    name: str,
    segments: Sequence[Segment],
    samples: bytes,
    voice_model: WindowModel | None,
) -> list[Voice]:
    """Of each label in an answer; the leader's come with a clip for the other chunks."""
    duration_ms = sound.length_ms(samples)
    best = clips(segments, duration_ms=duration_ms)
    found = []
    for number, (label, spoken_ms) in enumerate(
        speech_ms(segments, duration_ms=duration_ms).items()
    ):
        clip = sound.cut(samples, best[label]) if label in best else None
        key = None
        if clip and _is_leader(asking):
            key = clip_key(asking.manifest.job_id, name, number)
            asking.work.write(key, sound.wav(clip), "audio/wav")
        found.append(
            Voice(
                label=label,
                speech_ms=spoken_ms,
                clip_key=key,
                embedding=voice_model.embed(clip) if clip and voice_model else None,
                threshold=voice_model.threshold if voice_model else None,
            )
        )
    return found


def around(hole: Span, texts: Sequence[Span]) -> Span:
    """A hole up to the words next to it, and a little of these."""
    before_ms = [text.end_ms for text in texts if text.start_ms < hole.start_ms]
    after_ms = [text.start_ms for text in texts if text.end_ms > hole.end_ms]
    start_ms = max([hole.start_ms - HOLE_REACH_MS, *before_ms])
    end_ms = min([hole.end_ms + HOLE_REACH_MS, *after_ms])
    return Span(
        min(start_ms, hole.start_ms) - HOLE_MARGIN_MS, max(end_ms, hole.end_ms) + HOLE_MARGIN_MS
    )


class _Holes:
    """Stretches of speech without words, each asked about once more on its own."""

    def __init__(
        self, asking: _Asking, samples: bytes, request: Request, voice_model: WindowModel | None
    ) -> None:
        self._asking, self._samples, self._request = asking, samples, request
        self._voice_model = voice_model
        self.pieces: list[Piece] = []
        self.refused: list[str] = []
        """What was said where nothing came of it."""

    def ask_all(self, found: Sequence[tuple[Span, Span]]) -> None:
        """Each is the hole and what to listen to.

        The chunk has its answer, and what is missing in it is no reason to lose that: what is
        refused, or unavailable in two runs, is given up. Not so where a redrive will mend it.
        """
        for number, (hole, span) in enumerate(found, 1):
            name = f"{self._asking.chunk.name}.{number}"
            self._check_time(span)
            tried = self._asking.was_tried(name)
            try:
                self.pieces.append(self._asked(name, hole, span))
            except JobError as error:
                waits = isinstance(error, RateLimited)
                mendable = waits or error.code in ("unauthorized", "quota_exceeded")
                if mendable or (isinstance(error, Unavailable) and not tried):
                    raise
                self.refused.append(str(error))

    def _check_time(self, span: Span) -> None:
        if time.monotonic() > self._asking.deadline - LEAST_FOR_A_HOLE_S:
            place = _place(self._asking.chunk, span.moved(self._asking.chunk.start_ms))
            raise Unavailable(
                "timed_out",
                f"{place}: this run had no time left to ask about speech without words. The next "
                "one goes on from here",
            )

    def _asked(self, name: str, hole: Span, around_: Span) -> Piece:
        chunk = self._asking.chunk
        span = around_.within(Span(0, sound.length_ms(self._samples)))
        samples = sound.cut(self._samples, span)
        path = self._asking.folder / "hole.wav"
        path.write_bytes(wav := sound.wav(samples))
        sha256 = hashlib.sha256(wav).hexdigest()
        piece, answer = self._asking.ask(
            name, path, sha256, span.moved(chunk.start_ms), self._request
        )
        told = passage(Span(0, span.duration_ms), answer, chunk.channel)
        piece = self._asking.timed(piece, told, samples, prepare(samples))
        update: dict[str, Any] = {"hole": hole.moved(chunk.start_ms)}
        if self._asking.model.speakers and chunk.channel is None:
            update["voices"] = _voices(
                self._asking, name, told.segments or [], samples, self._voice_model
            )
        return piece.model_copy(update=update)


def _place(chunk: Chunk, span: Span) -> str:
    """Which part of the recording, for people."""
    channel = "" if chunk.channel is None else f", channel {chunk.channel + 1}"
    return f"chunk {chunk.index} ({timestamp(span.start_ms)} to {timestamp(span.end_ms)}{channel})"
