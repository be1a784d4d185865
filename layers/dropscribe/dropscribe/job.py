"""A job: one version of one uploaded object, and the names of everything that belongs to it."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict

from dropscribe.api import Format
from dropscribe.options import JobOptions
from dropscribe.spans import Span
from dropscribe.speakers import Voice
from dropscribe.transcript import Timing, Word
from dropscribe.turns import Turn

JOB_ID_DIGITS: Final = 32
"""Hexadecimal digits of the hash in a job id: 128 bits."""
SECONDS: Final = len("2026-11-20T12:00:00")
"""Characters of an ISO 8601 time up to its second."""
READABLE_CHARACTERS: Final = 40
"""Characters of the file's name in a job id; Step Functions allows 80 in all."""
FORGOTTEN: Final = "Forgotten"
"""The error of an execution whose recording was forgotten: nobody is told of it."""
RESERVED: Final = "reserved"
"""In the input of an execution that only takes a forgotten upload's name, which then no job has."""


class Source(BaseModel):
    """The uploaded object version that a job transcribes."""

    model_config = ConfigDict(frozen=True)

    bucket: str
    key: str
    """As the uploader wrote it: not URL-encoded."""
    version_id: str | None = None
    etag: str
    size: int
    """Bytes."""
    sequencer: str | None = None
    """S3's order of events on one key; None where no event told of the upload, but a look into
    the bucket."""
    uploaded_at: str
    """ISO 8601, S3's event time; without an event the object's time, in whole seconds."""

    @property
    def order(self) -> str:
        """What orders the versions of one key: see `is_newer`."""
        return f"{self.sequencer or ''}@{self.uploaded_at}"

    @property
    def name(self) -> str:
        return self.key.rsplit("/", 1)[-1]


UNANSWERED: Final = "engine whisper, which was asked where they are, came to no answer"
"""Why words are not aligned, until the step that aligns them says something else."""

STAGES: Final = {
    "Normalize": "normalize",
    "TranscribeLeaders": "transcribe",
    "TranscribeChunks": "transcribe",
    **dict.fromkeys(("Unaligned", "HasUnaligned", "OneAhead"), "transcribe"),
    **dict.fromkeys(("AlignFirst", "AlignOthers"), "transcribe"),
    "Format": "format",
    "Notify": "notify",
}
"""States of `functions/pipeline.asl.json` → stages, as errors and people name them."""
INNER_STATES: Final = {
    "TranscribeLeader": "transcribe",
    "Transcribe": "transcribe",
    "AlignOther": "transcribe",
}
"""Those inside of a Map."""


def job_id(bucket: str, key: str, version: str) -> str:
    """The execution's name: the same for every event about the same object version.

    `version` is the version id or, in a bucket without versions, `"<etag>-<sequencer>"`.
    """
    digest = hashlib.sha256(f"{bucket}\0{key}\0{version}".encode("utf-8", "surrogatepass"))
    return f"{readable_name(key)}-{digest.hexdigest()[:JOB_ID_DIGITS]}"


def readable_name(key: str) -> str:
    """What the ids of all jobs of a key begin with; other keys may have the same."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", key.rsplit("/", 1)[-1]).strip("-")[:READABLE_CHARACTERS]
    return name or "upload"


def job_id_of(source: Source) -> str:
    """The job of one object version."""
    version = source.version_id or f"{source.etag}-{source.sequencer}"
    return job_id(source.bucket, source.key, version)


def is_newer(order: str, than: str) -> bool:
    """Whether one `Source.order` comes after another of the same key; "" is older than all.

    By S3's sequencers where both have one: hexadecimal strings of varying length, compared after
    padding the shorter one with zeros on its right (Amazon S3 user guide, "Event message
    structure"). Else by their times, to the second, as the bucket knows no finer ones.
    """
    if not than:
        return bool(order)
    (one, _, time), (other, _, other_time) = order.partition("@"), than.partition("@")
    if not one or not other:
        return time[:SECONDS] > other_time[:SECONDS]
    width = max(len(one), len(other))
    return one.ljust(width, "0") > other.ljust(width, "0")


class Chunk(BaseModel):
    """What one request transcribes: a piece of the recording as 16 kHz mono FLAC."""

    model_config = ConfigDict(frozen=True)

    index: int
    key: str
    sha256: str
    size: int
    """Bytes."""
    start_ms: int
    """Where the chunk begins in the recording; before the end of the one before where they
    overlap."""
    duration_ms: int
    channel: int | None = None
    """Counted from 0, when each channel is transcribed on its own."""

    @property
    def name(self) -> str:
        return f"{self.index:05d}"

    @property
    def span(self) -> Span:
        return Span(self.start_ms, self.start_ms + self.duration_ms)


class Manifest(BaseModel):
    """What normalize found and decided, for every later step: `jobs/<job id>/manifest.json`."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    source: Source
    source_sha256: str
    options: JobOptions
    option_sources: dict[str, str]
    """Where each option that was set came from."""
    engine: str
    model: str
    """Resolved: never `auto`."""
    formats: list[Format]
    audio_ms: int
    """Length of the recording as decoded."""
    chunks: list[Chunk]
    """In order of time, channel by channel."""
    voices: bool = False
    """Whether we tell speakers apart by ourselves, by their voices."""
    known_voices: dict[str, str] = {}
    """Name of each speaker whom the user made known → key of a clip, 16 kHz mono FLAC."""
    leader: int | None = None
    """The chunk that goes first, where the voices in it are to be known again in the others."""
    warnings: list[str]
    timings_ms: dict[str, int]


class Piece(BaseModel):
    """Audio that was asked about on its own: a chunk, or a hole in what it was answered."""

    model_config = ConfigDict(frozen=True)

    name: str
    """That its calls are kept under: `00003`, a hole `00003.1`."""
    start_ms: int
    """In the recording."""
    duration_ms: int
    result_key: str
    """Where the answer is."""
    cached: bool
    """The answer was there before this job asked for it."""
    hole: Span | None = None
    """Where words were missing; the piece reaches a little further."""
    voices: list[Voice] = []
    """By the answer's own labels; of diarizing models."""
    words: list[Word] = []
    """As we found them in the audio, in the recording, where the answer has no times of words."""
    timing: Timing | None = None
    """Of these words; `model` where the answer has its own."""
    language: str | None = None
    """Code, as the text tells, where the answer names none."""
    unaligned: str | None = None
    """What went wrong as its words were looked for in the audio."""
    unaligned_before: str | None = None
    """The same of an earlier aligner, while another one is asked."""
    aligner: str | None = None
    """Who else is asked for the times of its words, or has not heard them in the audio."""

    @property
    def span(self) -> Span:
        return Span(self.start_ms, self.start_ms + self.duration_ms)


class ChunkRecord(BaseModel):
    """What is known of a chunk beside its answer. `jobs/<job id>/chunks/<index>.json`."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    index: int
    chunk: Piece
    holes: list[Piece] = []
    """Stretches of speech that the answer had no words for, and which were asked about again."""
    speech: list[Span] | None = None
    """Where somebody speaks, in the recording; None where the answer's text has no times."""
    silent: list[Span] = []
    """Where there is text and nobody speaks."""
    turns: list[Turn] = []
    """Whose voice is heard when, in the recording, where we tell speakers apart by ourselves."""
    voices: list[Voice] = []
    """Of the turns' labels, which mean nothing in other chunks."""
    voices_failed: str | None = None
    """Why they could not be told apart."""
    known_voices: dict[str, list[float]] = {}
    """Vectors of the speakers whom the user made known: in the first chunk's record."""
    refused: list[str] = []
    """Why nothing came of asking about a hole, one for each."""
    transcribe_ms: int = 0

    @property
    def pieces(self) -> list[Piece]:
        return [self.chunk, *self.holes]


class ChunkResult(BaseModel):
    """An engine's answer, kept for whoever asks the same again: `results/<hash>.json`."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    engine: str
    model: str
    response_format: str
    response: dict[str, object]
    """The API's own object."""


class Call(BaseModel):
    """One paid request, recorded before it is sent. `jobs/<job id>/calls/<piece>-<id>.json`."""

    model_config = ConfigDict(frozen=True)

    state: str
    """`sent` (no answer is known: it may have been billed), `answered` or `refused`."""
    run: str = ""
    """Of the job, which sent it: see `TranscribeRequest`."""
    over: bool = False
    """Who sent it has given up: no answer is awaited any more, and nothing is sent again."""


class Reported(BaseModel):
    """That a failure was told: `jobs/<job id>/reported.json`."""

    model_config = ConfigDict(frozen=True)

    execution_arn: str
    stopped: datetime
    """When that execution failed; it may be redriven, and fail again."""


class Totals(BaseModel):
    """API calls of a job, counted from what was noted before and after each."""

    model_config = ConfigDict(frozen=True)

    made: int
    answered: int
    refused: int
    ambiguous: int
    """Sent, and no answer is known: may have been billed."""
    cached: int
    """Chunks, and holes in them, whose answer was there before this job asked for it."""


def manifest_key(job: str) -> str:
    return f"jobs/{job}/manifest.json"


def options_key(job: str) -> str:
    """The resolved options, written before the recording is looked at."""
    return f"jobs/{job}/options.json"


def chunks_prefix(job: str) -> str:
    return f"jobs/{job}/chunks/"


def chunk_audio_key(job: str, index: int) -> str:
    return f"{chunks_prefix(job)}{index:05d}.flac"


def chunk_record_key(job: str, index: int) -> str:
    return f"{chunks_prefix(job)}{index:05d}.json"


def clip_key(job: str, piece: str, number: int) -> str:
    """Of a voice, as WAV."""
    return f"jobs/{job}/voices/{piece}-{number}.wav"


def run_name(job: str, number: int) -> str:
    """Name of a job's first, second … execution.

    Step Functions keeps a name for 90 days, and takes a redrive for 14: a job that is run again
    after that needs another one.
    """
    return job if number == 1 else f"{job}-{number}"


def job_of_run(name: str) -> str:
    """The job of an execution, by its name."""
    return re.sub(rf"(-[0-9a-f]{{{JOB_ID_DIGITS}}})-[0-9]+$", r"\1", name)


def run_after(name: str) -> str:
    """Name, or ARN, of the execution that its job has next, if it is run again."""
    job = job_of_run(name)
    return run_name(job, int(name.removeprefix(job).lstrip("-") or 1) + 1)


def reported_key(job: str) -> str:
    return f"jobs/{job}/reported.json"


def calls_prefix(job: str) -> str:
    return f"jobs/{job}/calls/"


def late_output_key(job: str, suffix: str) -> str:
    """Of a file whose place beside the upload's name a newer upload's has taken."""
    return f"jobs/{job}/outputs/transcript{suffix}"


def known_voice_key(job: str, number: int) -> str:
    """Of a speaker whom the user made known."""
    return f"jobs/{job}/voices/known-{number}.flac"


def transcript_key(job: str) -> str:
    return f"jobs/{job}/transcript.json"


def asked_key(job: str, piece: str) -> str:
    """Of a piece that is about to be asked: where its answer will be, should nobody record it."""
    return f"jobs/{job}/asked/{piece}.txt"


def stop_key(job: str) -> str:
    """Where this is, no request is sent any more: the recording is being forgotten."""
    return f"jobs/{job}/stop"


def stopped_key(job: str, piece: str) -> str:
    """A run that met `stop_key` says so, and ends."""
    return f"jobs/{job}/stopped/{piece}"
