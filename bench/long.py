"""What a long recording takes: time beside the least that it can be, memory, the pure parts.

    python -m bench.long             all three, seven to eight minutes on two cores
    python -m bench.long memory      one of: walls, memory, pure; or day, four minutes more

The API is simulated, in a process of its own: 2 s and 2 % of the audio's length a call. What has to
be computed shares this machine's cores, where in AWS each chunk has a processor of its own: hence
the processor time of one chunk is printed too.
"""

from __future__ import annotations

import contextlib
import json
import math
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import imageio_ffmpeg

from dropscribe import audio, models, sound, speech
from dropscribe.api import Format
from dropscribe.assembly import Asked, Assembled, assemble
from dropscribe.audit import text_spans
from dropscribe.formats import OUTPUTS
from dropscribe.job import Chunk, ChunkRecord, Manifest, Piece, manifest_key
from dropscribe.merge import merge
from dropscribe.options import JobOptions
from dropscribe.passage import parse_answer, passage
from dropscribe.plan import plan
from dropscribe.spans import Span
from dropscribe.stages.normalize import CHUNKS_AT_ONCE

if TYPE_CHECKING:
    # The embedded cloud is imported where it is used: not into what is measured.
    from local.cloud import Cloud
    from tests.route import Route

ROOT = Path(__file__).parents[1]
SPEECH = [ROOT / "tests" / "data" / f"{name}" for name in ("jfk.flac", "austen-0880.wav")]
MODEL: Final = "whisper-1"
PARALLEL: Final = 10
"""MaxConcurrency: the template's own default."""
WALLS_MINUTES: Final = (60, 180)
MEMORY_MINUTES: Final = (10, 60, 360)
PATIENCE_S: Final = 600
WORDS_A_SEGMENT: Final = 15
WORD_MS: Final = 400
SEGMENT_MS: Final = WORDS_A_SEGMENT * WORD_MS
DAY_MS: Final = 86_400_000
DAY_CHUNKS: Final = 140
LONGEST_MS: Final = models.longest_chunk_ms(next(m for m in models.MODELS if m.name == MODEL))
ROUNDS: Final = 3
CONSONANTS: Final = "bdfgklmnprstvw"

PEAK = """
import os, pathlib, sys, threading, time

def peak_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next((int(l.split()[1]) for l in status.splitlines() if l.startswith("VmHWM")), 0)
"""
"""From /proc: the kernel hands getrusage's peak on from parent to child."""
NORMALIZE_ONCE = (
    PEAK
    + """
from dropscribe.aws import Bucket
from dropscribe.job import Source
from dropscribe.stages.normalize import Settings, normalize

def peaks_of_children():
    for task in pathlib.Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            try:
                yield peak_kib(pid)
            except OSError:
                pass

def used_kib():
    total = 0
    for path in pathlib.Path(os.environ["TMPDIR"]).rglob("*"):
        try:
            total += path.stat().st_blocks // 2
        except OSError:
            pass
    return total

def watch():
    while not over.wait(0.02):
        ffmpeg.append(sum(peaks_of_children()))
        disk.append(used_kib())

over, ffmpeg, disk = threading.Event(), [0], [0]
bucket, key = sys.argv[1:]
head = Bucket(bucket).head(key)
source = Source(bucket=bucket, key=key, etag=head.etag, size=head.size, uploaded_at="now")
threading.Thread(target=watch, daemon=True).start()
normalize(key, source, Settings.model_validate(dict(os.environ)), time.monotonic() + 800)
over.set()
print(peak_kib("self"), max(ffmpeg), max(disk))
"""
)
"""The normalize step in a process that does nothing else; prints peak KiB: its own, that of the
ffmpeg processes that live at the same time together, and that of the disk."""
TRANSCRIBE_ONCE = (
    PEAK
    + """
from dropscribe.aws import Bucket
from dropscribe.engines import openai
from dropscribe.messages import TranscribeRequest
from dropscribe.stages.transcribe import transcribe

url, bucket, job, chunk = sys.argv[1:]
engine = openai.engine(url, lambda: "k", time.monotonic() + 800)
begun = time.process_time()
asked = TranscribeRequest(job_id=job, chunk=int(chunk), run="1")
transcribe(asked, Bucket(bucket), lambda name: (engine, url), time.monotonic() + 800)
print(peak_kib("self"), round((time.process_time() - begun) * 1000))
"""
)
"""The transcribe step likewise; prints its peak KiB, and the processor time without imports."""
DAY_ONCE = (
    PEAK
    + """
from bench.long import asked, assembled, documents

imported = peak_kib("self")
answers = asked(pathlib.Path(sys.argv[1]))
parsed = peak_kib("self")
whole = assembled(answers)
whole_kib = peak_kib("self")
documents(whole)
print(imported, parsed, whole_kib, peak_kib("self"))
"""
)
"""What format does with a day's answers; prints peak KiB: after imports, answers, the merge, and
all documents."""


def walls(folder: Path) -> None:
    """Upload to notification, beside the least that it can be and beside one call at a time."""
    for minutes in WALLS_MINUTES:
        least = _least(recording(folder, minutes), folder / "least")
        print(
            f"{minutes / 60:g} h: normalisation alone (decode {least.decode_s:.1f} s, plan, cut "
            f"{least.cut_s:.1f} s) {least.seconds:.1f} s"
        )
        print(
            f"  processor time of one chunk of {least.chunk_s:.0f} s: decode FLAC "
            f"{least.read_s:.2f} s, listen {least.hear_s:.2f} s"
        )
        with ApiServer() as api, _deployed(api.url) as up:
            for state, turn in (("cold", 0), ("warm", 1)):
                source = recording(folder, minutes, turn)
                _print_wall(state, _job(up, api, source), least)


@dataclass(frozen=True)
class Call:
    """Times by the clock that all processes share."""

    begun_s: float
    ended_s: float
    takes_s: float
    """What the simulated API takes by its own rule."""


@dataclass(frozen=True)
class _Run:
    seconds: float
    """From before the put to the notification."""
    put_s: float
    before_s: float
    """From the put to the first call."""
    after_s: float
    """From the last call's end to the notification."""
    calls: list[Call]
    receipt: dict[str, Any]


@dataclass(frozen=True)
class _Least:
    """`audio.normalize`, `plan` and `audio.cut` as normalize runs them, without S3."""

    decode_s: float
    cut_s: float
    chunk_s: float
    read_s: float
    """Processor time: to decode the longest chunk, …"""
    hear_s: float
    """… and to listen where somebody speaks in it."""

    @property
    def seconds(self) -> float:
        return self.decode_s + self.cut_s


def _print_wall(state: str, run: _Run, least: _Least) -> None:
    slowest_s = max(call.takes_s for call in run.calls)
    waves = math.ceil(run.receipt["chunks"] / PARALLEL)
    ideal_s = least.seconds + waves * slowest_s
    sequential_s = least.seconds + sum(call.takes_s for call in run.calls)
    span_s = max(c.ended_s for c in run.calls) - min(c.begun_s for c in run.calls)
    print(
        f"  {state}  {run.seconds:6.1f} s  ideal {ideal_s:.1f} s (normalisation + {waves} x "
        f"{slowest_s:.1f} s)  ratio {run.seconds / ideal_s:.2f}  "
        f"to one call at a time {run.seconds / sequential_s:.2f}"
    )
    print(
        f"    {run.receipt['chunks']} chunks, {len(run.calls)} calls, at most "
        f"{_at_once(run.calls)} at once; the put {run.put_s:.1f} s, until the first call "
        f"{run.before_s:.1f} s, calls {span_s:.1f} s, after the last {run.after_s:.1f} s"
    )
    timings = run.receipt["timings_ms"].items()
    format_s = run.receipt["timings_ms"]["format"] / 1000
    alone_s = ideal_s + waves * (least.read_s + least.hear_s) + format_s
    print(
        f"    computed, were each chunk on a processor of its own: {alone_s:.1f} s, "
        f"ratio {alone_s / ideal_s:.2f} (ideal, decoding and listening once a wave, format)"
    )
    print("    of the receipt, ms: " + ", ".join(f"{name} {ms}" for name, ms in timings))


def _at_once(calls: Sequence[Call]) -> int:
    """The most calls at the same time."""
    steps = sorted([(c.begun_s, 1) for c in calls] + [(c.ended_s, -1) for c in calls])
    now = most = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


@contextlib.contextmanager
def _deployed(url: str) -> Iterator[Route]:
    """With as many environments of a function as chunks may be under way."""
    from local.cloud import Cloud
    from tests.route import Route

    parameters = {"Engine": "openai", "MaxAudioMinutes": "720", "MaxConcurrency": str(PARALLEL)}
    route = Route(ROOT / "template.yaml", api_url=url, api_key="k", parameters=parameters)
    route.cloud = Cloud(concurrency=PARALLEL)
    with route:
        yield route


def _job(up: Route, api: ApiServer, source: Path) -> _Run:
    api.calls()
    begun_s = time.perf_counter()
    job = up.upload(source.name, source, model=MODEL)
    put_s = time.perf_counter() - begun_s
    _told(up, job)
    ended_s = time.perf_counter()
    calls = api.calls()
    return _Run(
        seconds=ended_s - begun_s,
        put_s=put_s,
        before_s=min(call.begun_s for call in calls) - begun_s - put_s,
        after_s=ended_s - max(call.ended_s for call in calls),
        calls=calls,
        receipt=json.loads(up.files(source.name)[".receipt.json"]),
    )


def _told(up: Route, job: str) -> None:
    """Wait for the news of a job, which has to be good."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        for news in up.received():
            if news["message"]["data"]["job_id"] == job:
                assert news["message"]["type"].endswith(".completed"), news["message"]
                return
        time.sleep(0.05)
    raise AssertionError(f"no news of {job}: {up.describe(job)}\n{up.logs()}")


def _least(source: Path, folder: Path) -> _Least:
    folder.mkdir(exist_ok=True)
    begun_s = time.perf_counter()
    track = audio.normalize(source, folder, max_ms=DAY_MS).tracks[0]
    decoded_s = time.perf_counter()
    spans = plan(track.duration_ms, track.pauses, longest_ms=LONGEST_MS, parallel=PARALLEL)
    targets = [folder / f"{index}.flac" for index in range(len(spans))]
    with ThreadPoolExecutor(CHUNKS_AT_ONCE) as pool:
        list(pool.map(audio.cut, [track] * len(spans), spans, targets))
    cut_s = time.perf_counter() - decoded_s
    longest = max(range(len(spans)), key=lambda index: spans[index].duration_ms)
    read_s, hear_s = _chunk_cpu_s(targets[longest])
    return _Least(
        decode_s=decoded_s - begun_s,
        cut_s=cut_s,
        chunk_s=spans[longest].duration_ms / 1000,
        read_s=read_s,
        hear_s=hear_s,
    )


def _chunk_cpu_s(chunk: Path) -> tuple[float, float]:
    """Processor time of what transcribe does beside the call, with the detectors loaded."""
    duration_ms = audio.flac_samples(chunk) // audio.SAMPLES_PER_MS
    told = passage(Span(0, duration_ms), parse_answer("verbose_json", _answer(duration_ms)))
    texts = text_spans(told.segments or [], [])
    speech.hear(bytes(1000 * sound.BYTES_PER_MS), [])
    begun_s = time.process_time()
    samples = sound.read(chunk)
    read_s = time.process_time()
    speech.hear(samples, texts)
    heard_s = time.process_time()
    return read_s - begun_s, heard_s - read_s


def memory(folder: Path) -> None:
    """Peak memory of a normalize and of a transcribe, each in a process of its own."""
    from local.cloud import Cloud

    print("peak memory, MB: normalize (Python + ffmpeg), its disk; transcribe of the longest chunk")
    peaks = []
    with ApiServer(base_s=0, share=0) as api, Cloud() as cloud:
        s3 = cloud.client("s3")
        for bucket in ("uploads", "work"):
            s3.create_bucket(Bucket=bucket)
        for minutes in MEMORY_MINUTES:
            key = f"{minutes}.mp3"
            s3.upload_file(str(recording(folder, minutes)), "uploads", key)
            python, ffmpeg, disk = _normalize_once(folder / "tmp", cloud, key)
            stored = s3.get_object(Bucket="work", Key=manifest_key(key))["Body"].read()
            chunks = Manifest.model_validate_json(stored).chunks
            longest = max(chunks, key=lambda chunk: chunk.duration_ms)
            given = (api.url, "work", key, str(longest.index))
            own, cpu_ms = _printed(TRANSCRIBE_ONCE, *given, environment=cloud.environment)
            peaks.append((python + ffmpeg, own))
            print(
                f"  {minutes:4} minutes: {python / 1024:5.1f} + {ffmpeg / 1024:5.1f} = "
                f"{(python + ffmpeg) / 1024:6.1f}, disk {disk / 1024:6.1f}; {own / 1024:6.1f} for "
                f"{longest.duration_ms / 1000:.0f} s of {len(chunks)} chunks "
                f"({cpu_ms / 1000:.1f} s of processor time)"
            )
    (first, first_chunk), (last, last_chunk) = peaks[0], peaks[-1]
    print(f"  ratio {last / first:.2f}, of transcribe {last_chunk / first_chunk:.2f}")


UNUSED: Final = {
    **{"TRANSCRIBE_FUNCTION_ARN": "", "WHISPER_FUNCTION_ARN": "", "WHISPER_MODEL": ""},
    **{"WHISPER_MAX_CONCURRENCY": "1", "VOICE_MODEL": "none"},
}
"""Settings of normalize without an effect on what is measured."""


def _normalize_once(folder: Path, cloud: Cloud, key: str) -> list[int]:
    folder.mkdir(exist_ok=True)
    settings = {"WORK_BUCKET": "work", "ENGINE": "openai", "MODEL": MODEL, "FORMATS": ""}
    settings |= {"MAX_AUDIO_MINUTES": "1440", "MAX_CONCURRENCY": str(PARALLEL), **UNUSED}
    environment = cloud.environment | settings | {"TMPDIR": str(folder)}
    return _printed(NORMALIZE_ONCE, "uploads", key, environment=environment)


def _printed(code: str, *arguments: str, environment: dict[str, str] | None = None) -> list[int]:
    """The numbers that a program prints."""
    paths = os.pathsep.join((str(ROOT / "layers" / "dropscribe"), str(ROOT)))
    child = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | (environment or {}) | {"PYTHONPATH": paths},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [int(number) for number in child.stdout.split()]


def pure(folder: Path) -> None:
    """Plan and merge of a day, in this process; medians."""
    pauses = [_pauses(shift_ms) for shift_ms in (0, 100, 200)]

    def planned() -> object:
        return plan(DAY_MS, pauses, longest_ms=LONGEST_MS, parallel=PARALLEL)

    def sorted_once() -> object:
        return [sorted(level) for level in pauses]

    print(f"a day, s of processor time, median of {ROUNDS}")
    planning, sorting = _in_turn(planned, sorted_once)
    print(f"  plan  {planning:.3f}, ratio to sorting the pauses once {planning / sorting:.2f}")

    day = folder / "day"
    _write_day(day)
    texts = [path.read_bytes() for path in sorted(day.glob("*.answer"))]
    answers = asked(day)
    whole = assembled(answers)
    told = f"{len(whole.transcript.words or [])} words, {len(whole.transcript.segments or [])}"
    wordless = [_without_words(one) for one in answers]
    told_ = [passage(one.chunk.span, one.answers[0]) for one in answers]
    alone, merging, merging_wordless, loading, parsing, writing = _in_turn(
        lambda: merge(told_, duration_ms=DAY_MS, task="transcribe", language=None),
        lambda: assembled(answers),
        lambda: assembled(wordless),
        lambda: [json.loads(text) for text in texts],
        lambda: asked(day),
        lambda: documents(whole),
    )
    print(
        f"  merge {alone:.3f} ({told} segments), ratio to json.loads of the answers "
        f"{alone / loading:.2f}; with all around it, the audit too, {merging:.3f}; of answers "
        f"without words {merging_wordless:.3f}"
    )
    print(
        f"  before it, to read the answers as objects {parsing:.3f}; after it, all documents "
        f"{writing:.3f}"
    )
    imported, parsed, assembled_, written = (
        kib / 1024 for kib in _printed(DAY_ONCE, str(day), environment={})
    )
    print(
        f"  peak memory, MB: {imported:.0f} after imports, {parsed:.0f} with the answers, "
        f"{assembled_:.0f} merged, {written:.0f} with all documents"
    )


def day(folder: Path) -> None:
    """What normalize does with 24 hours, without S3."""
    source = recording(folder, 24 * 60)
    begun = time.monotonic()
    normalized = audio.normalize(source, folder, max_ms=DAY_MS + 60_000, timeout_s=3600)
    decoded = time.monotonic()
    (track,) = normalized.tracks
    spans = plan(track.duration_ms, track.pauses, longest_ms=LONGEST_MS, parallel=PARALLEL)

    def cut(index: int) -> None:
        target = folder / f"chunk-{index}.flac"
        audio.cut(track, spans[index], target)
        audio.sha256_of(target)
        target.unlink()

    with ThreadPoolExecutor(CHUNKS_AT_ONCE) as pool:
        list(pool.map(cut, range(len(spans))))
    done = time.monotonic()
    print(
        f"24 h, s: decode {decoded - begun:.0f}, cut {len(spans)} chunks {done - decoded:.0f}; "
        f"decoded samples {track.path.stat().st_size / 1e9:.1f} GB"
    )


def _pauses(shift_ms: int) -> list[Span]:
    """Every three seconds, of 0.4 to 1.2 s."""
    starts = range(2000 + shift_ms, DAY_MS, 3000)
    return [Span(start, start + 400 + start // 3000 * 37 % 800) for start in starts]


def _in_turn(*ways: Callable[[], object]) -> list[float]:
    """Median of each, one after the other in each round."""
    rounds = [[_timed(way) for way in ways] for _ in range(ROUNDS)]
    return [sorted(each)[ROUNDS // 2] for each in zip(*rounds, strict=True)]


def _timed(work: Callable[[], object]) -> float:
    """Seconds of processor time: there is nothing to wait for."""
    begun_s = time.process_time()
    work()
    return time.process_time() - begun_s


def _write_day(folder: Path) -> None:
    """Answers of a day's chunks; every fifth chunk begins before the one before it ends."""
    folder.mkdir(exist_ok=True)
    edges = [round(DAY_MS * index / DAY_CHUNKS) for index in range(DAY_CHUNKS + 1)]
    for index, (start_ms, end_ms) in enumerate(pairwise(edges)):
        begun_ms = start_ms - (8000 if index % 5 == 1 else 0)
        span = Span(begun_ms, end_ms)
        answer = _answer(span.duration_ms, begun_ms, words=True)
        (folder / f"{index:05d}.answer").write_text(json.dumps(answer))
        record = _record(index, span, answer)
        (folder / f"{index:05d}.record").write_text(record.model_dump_json())


def _record(index: int, span: Span, answer: dict[str, Any]) -> ChunkRecord:
    """In one text of fifty nobody speaks."""
    told = passage(span, parse_answer("verbose_json", answer))
    texts = text_spans(told.segments or [], told.words or [])
    piece = Piece(
        name=f"{index:05d}",
        start_ms=span.start_ms,
        duration_ms=span.duration_ms,
        result_key="",
        cached=False,
    )
    spoken = [text for number, text in enumerate(texts) if number % 50]
    return ChunkRecord(index=index, chunk=piece, speech=spoken, silent=texts[::50])


def asked(folder: Path) -> list[Asked]:
    """What format reads of the work bucket, from files."""
    return [_asked(path) for path in sorted(folder.glob("*.record"))]


def _asked(path: Path) -> Asked:
    record = ChunkRecord.model_validate_json(path.read_bytes())
    answer = parse_answer("verbose_json", json.loads(path.with_suffix(".answer").read_bytes()))
    chunk = Chunk(
        index=record.index,
        key="",
        sha256="",
        size=0,
        start_ms=record.chunk.start_ms,
        duration_ms=record.chunk.duration_ms,
    )
    return Asked(chunk, record, [answer])


def _without_words(asked: Asked) -> Asked:
    """As a job is answered that does not ask for their times."""
    return replace(asked, answers=[one.model_copy(update={"words": None}) for one in asked.answers])


def assembled(answers: Sequence[Asked]) -> Assembled:
    return assemble(answers, duration_ms=DAY_MS, task="transcribe", language=None)


def documents(whole: Assembled) -> list[str]:
    """In every format that Whisper's answers can be given in."""
    options = JobOptions(timestamp_granularities=["word", "segment"])
    names: list[Format] = ["json", "text", "srt", "vtt", "verbose_json"]
    return [OUTPUTS[name].render(whole.transcript, options) for name in names]


def recording(folder: Path, minutes: int, turn: int = 0) -> Path:
    """Real speech, repeated: MP3, mono, 44.1 kHz, 64 kbit/s. `turn`: another beginning.

    Repeated every 607 s, which no chunk's length divides: no two chunks are the same.
    """
    base = folder / f"base-{turn}.mp3"
    path = folder / f"{minutes}-{turn}.mp3"
    if turn == 0 and not base.exists():
        sounds = [part for sound_ in SPEECH for part in ("-i", str(sound_))]
        both = "[0]aresample=44100[a];[1]aresample=44100[b];[a][b]concat=n=2:v=0:a=1"
        _ffmpeg(*sounds, "-filter_complex", both, "-ac", "1", str(folder / "both.wav"))
        encoded = ("-t", "607", "-b:a", "64k", str(base))
        _ffmpeg("-stream_loop", "-1", "-i", str(folder / "both.wav"), *encoded)
    elif not base.exists():
        recording(folder, minutes)
        _ffmpeg("-ss", str(101 * turn), "-i", str(folder / "base-0.mp3"), "-c", "copy", str(base))
    if not path.exists():
        copies = ("-t", str(minutes * 60), "-c", "copy", str(path))
        _ffmpeg("-stream_loop", "-1", "-i", str(base), *copies)
    return path


def _ffmpeg(*arguments: str) -> None:
    command = ["ffmpeg", "-v", "error", "-nostdin", *arguments]
    subprocess.run(command, check=True)


class ApiServer:
    """`with ApiServer() as api:` an API that takes its time, in a process of its own."""

    def __init__(self, base_s: float = 2, share: float = 0.02) -> None:
        """A call takes `base_s` and `share` of the audio's length."""
        self._pace = (base_s, share)

    def __enter__(self) -> Self:
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
            self._process = multiprocessing.get_context("fork").Process(
                target=_serve, args=(listener, *self._pace), daemon=True
            )
            self._process.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.join()

    def calls(self) -> list[Call]:
        """Those that ended since the last question."""
        with urllib.request.urlopen(f"{self.url}/calls") as answer:  # noqa: S310 - our own server
            return [Call(*call) for call in json.load(answer)]


def _serve(listener: socket.socket, base_s: float, share: float) -> None:
    calls: list[Call] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            begun_s = time.perf_counter()
            body = self.rfile.read(int(self.headers["content-length"]))
            duration_ms = _duration_ms(body)
            takes_s = base_s + share * duration_ms / 1000
            self._send(_answer(duration_ms), wait_s=takes_s)
            with lock:
                calls.append(Call(begun_s, time.perf_counter(), takes_s))

        def do_GET(self) -> None:
            with lock:
                told = [astuple(call) for call in calls]
                calls.clear()
            self._send(told)

        def _send(self, answer: object, wait_s: float = 0) -> None:
            body = json.dumps(answer).encode()
            time.sleep(wait_s)
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket = listener
    server.daemon_threads = True
    server.serve_forever()


def _duration_ms(body: bytes) -> int:
    """Of the FLAC in a form: by its header, as nothing else may be read of it."""
    with tempfile.NamedTemporaryFile() as file:
        at = body.index(b"fLaC")
        file.write(body[at : at + 64])
        file.flush()
        return audio.flac_samples(Path(file.name)) // audio.SAMPLES_PER_MS


def _answer(duration_ms: int, start_ms: int = 0, *, words: bool = False) -> dict[str, Any]:
    """What Whisper answers, about a recording in which a word is said every 0.4 s.

    Its last segment ends with the audio.
    """
    first = -(-start_ms // WORD_MS)
    numbers = range(first, first + max((duration_ms - 1) // WORD_MS, 1))
    said = [(number, number * WORD_MS - start_ms) for number in numbers]
    segments = [
        _segment(number, said[at : at + WORDS_A_SEGMENT], duration_ms)
        for number, at in enumerate(range(0, len(said), WORDS_A_SEGMENT))
    ]
    answer = {
        "task": "transcribe",
        "language": "english",
        "duration": duration_ms / 1000,
        "text": "".join(segment["text"] for segment in segments).strip(),
        "segments": segments,
        "usage": {"type": "duration", "seconds": math.ceil(duration_ms / 1000)},
    }
    if words:
        answer["words"] = [
            {"word": _word(number), "start": at_ms / 1000, "end": (at_ms + 350) / 1000}
            for number, at_ms in said
        ]
    return answer


def _segment(number: int, said: Sequence[tuple[int, int]], duration_ms: int) -> dict[str, Any]:
    whole = len(said) == WORDS_A_SEGMENT
    end_ms = said[-1][1] + WORD_MS if whole else duration_ms
    return {
        "id": number,
        "seek": said[0][1] // 30_000 * 3000,
        "start": said[0][1] / 1000,
        "end": end_ms / 1000,
        "text": "".join(f" {_word(word)}" for word, _ in said) + ".",
        "tokens": [50_364 + word % 1500 for word, _ in said],
        "temperature": 0.0,
        "avg_logprob": -0.25,
        "compression_ratio": 1.4,
        "no_speech_prob": 0.01,
    }


def _word(number: int) -> str:
    """One of some thousands, never the same twice in a row."""
    shuffled = number * 7919 % 2744
    letters = (CONSONANTS[shuffled // 14**place % 14] for place in range(3))
    return "".join(letter + vowel for letter, vowel in zip(letters, "aeo", strict=True))


def main(names: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
        for part in (walls, memory, pure, day):
            if part.__name__ in (names or ("walls", "memory", "pure")):
                part(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
