"""Recordings to 16 kHz mono FLAC and their pauses, with ffmpeg. Untrusted input: see `_input`.

The only module that builds or runs an ffmpeg command. What holds ffmpeg in check, and why, is told
in docs/security.md.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final

import ffmpeg

from dropscribe.confine import NOT_STARTED
from dropscribe.confined import Limits, confined
from dropscribe.errors import ErrorCode, JobError, Rejected, Unavailable
from dropscribe.spans import Span

SAMPLE_RATE_HZ: Final = 16_000
"""What speech recognizers work at."""
SAMPLES_PER_MS: Final = SAMPLE_RATE_HZ // 1000
SAMPLE_BYTES: Final = 2

DEMUXERS: Final = (
    *("aac", "ac3", "aiff", "amr", "ape", "asf", "au", "avi", "caf", "dts", "eac3", "flac", "flv"),
    *("gsm", "matroska", "webm", "mov", "mp4", "m4a", "3gp", "3g2", "mj2", "mp3", "mpeg"),
    *("mpegts", "ogg", "rm", "tta", "voc", "w64", "wav", "wv"),
)
"""Containers that recordings come in. Playlists, concat scripts and images stay out: they can make
ffmpeg open local files and addresses."""
_PCM: Final = tuple(
    f"pcm_{kind}"
    for kind in (
        *("u8", "s8", "s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be"),
        *("f64le", "f64be", "alaw", "mulaw", "bluray", "dvd", "s16le_planar", "s24le_planar"),
    )
)
DECODERS: Final = (
    *("aac", "aac_latm", "ac3", "alac", "amrnb", "amrwb", "ape", "cook", "dca", "eac3", "flac"),
    *("g723_1", "g729", "g722", "g726", "g726le", "gsm", "gsm_ms", "mp1", "mp1float", "mp2"),
    *(
        "mp2float",
        "mp3",
        "mp3float",
        "nellymoser",
        "opus",
        "real_144",
        "real_288",
        "speex",
        "truehd",
    ),
    *("truespeech", "tta", "vorbis", "wavpack", "wmalossless", "wmapro", "wmav1", "wmav2"),
    *("wmavoice", "adpcm_ima_wav", "adpcm_ima_qt", "adpcm_ms", "adpcm_g722", "adpcm_g726"),
    *("adpcm_g726le", "adpcm_swf", "adpcm_yamaha", *_PCM),
)
"""Audio only: no video or image decoder ever sees the upload."""

SHORTENED: Final = 0.02
"""Part of the announced length, and at least a quarter of a second, that may be missing before we
call a recording damaged."""
FEWEST_SAMPLES: Final = 16
"""That a FLAC file can hold (RFC 9639, section 8.2): a thousandth of a second."""
MOST_CHANNELS: Final = 64
"""That ffmpeg's `pan` filter can mix."""
MOST_STREAMS: Final = 64
"""Of sound, pictures and all else in one file: the most that was seen is some 30, on a film."""
SAMPLE_RATES_HZ: Final = range(4_000, 768_001)
"""Of recordings. One at 1 Hz would be 16,000 times as long decoded as it is uploaded."""
MEMORY_BYTES: Final = 2 << 30
"""For one ffmpeg: it takes 0.4 GB for the index of a day as m4a; Lambda has 3.5 GB."""
BESIDE_TRACK_BYTES: Final = 64 << 20
"""That a file of ffmpeg's may be longer than the longest track: of the log, and of pauses."""
MOST_FILES: Final = 64
"""Open at the same time; 12 are."""
LONGEST_GAP_S: Final = 1800
"""Of silence put where a recording's times leave a gap: ffmpeg holds it in memory (about
100 MB). Times that jump further are taken for an error, and said."""
_MONO: Final = f"aformat=sample_fmts=s16:sample_rates={SAMPLE_RATE_HZ}:channel_layouts=mono"
_END, _SHIFT = "ld(0)", "ld(1)"
"""Of the timekeeping below, in samples: where the sound so far ends, what is added to its times."""
_TOO_FAR: Final = f"gt(PTS+{_SHIFT},{_END}+{LONGEST_GAP_S * SAMPLE_RATE_HZ})"
_TIMES: Final = (
    f"asetpts='st(0,max(PTS+if({_TOO_FAR},st(1,print({_END}-PTS,24)),{_SHIFT}),{_END})"
    "+NB_SAMPLES)-NB_SAMPLES'"
)
"""Keeps the times of a recording, but for jumps too far ahead (24: said as a warning), and for
jumps back: sound is never dropped, it follows what came before."""
_FILL: Final = (
    "aresample=async=1:first_pts=0"
    ":internal_sample_fmt=fltp:filter_size=1:phase_shift=0:cutoff=1:linear_interp=0"
)
"""Puts silence before a late start and into gaps of more than 0.1 s. The filter of one tap hands
all samples on as they are."""
PAUSE_LEVELS_DB: Final = (-50, -40, -30)
"""Below full scale. Silent is what no sample passes: a quiet room, a line with some noise, a noisy
place. Which of them tells pauses from speech in a recording is for the planner to see."""
SHORTEST_PAUSE_S: Final = 0.4
"""Longer than gaps between the words of a sentence, as a rule."""
_PAUSE: Final = re.compile(r"lavfi\.silence_(end|duration)=(\d+(?:\.\d+)?)$")
_LOG_BYTES: Final = 256 << 10
"""Of ffmpeg's log, from its beginning and from its end."""
_CRASHES: Final = frozenset(
    {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSYS}
)
"""Signals by which ffmpeg ends through what it reads, and would again."""


@dataclass(frozen=True)
class Track:
    """The recording, or one channel of it, decoded: headless 16-bit little-endian samples."""

    path: Path
    """Not compressed: pieces of it are found by arithmetic, where ffmpeg searches a FLAC file."""
    samples: int
    channel: int | None = None
    """Counted from 0; None for the mix of all."""
    pauses: tuple[list[Span], ...] = ()
    """At each of `PAUSE_LEVELS_DB`, in order of time."""

    @property
    def duration_ms(self) -> int:
        return round(self.samples / SAMPLES_PER_MS)


@dataclass(frozen=True)
class Normalized:
    tracks: list[Track]
    warnings: list[str]


def normalize(
    source: Path, folder: Path, *, max_ms: int, split: bool = False, timeout_s: float = 840
) -> Normalized:
    """Decode the first audio track of `source` to 16 kHz 16-bit samples in files in `folder`.

    One file, mixed down to mono; with `split` one for each of two channels. Times in it are those
    of the recording. Pauses are found on the way. A damaged recording gives what could be decoded,
    and a warning. `timeout_s` is for all of it. Raises `Rejected`: `empty_audio`, `not_media`,
    `no_audio_stream`, `too_long`, `invalid_options`, `timed_out`; `Unavailable("internal")` when
    ffmpeg was killed. A file on which ffmpeg crashes, or meets one of its limits, is `not_media`.
    """
    run = _Run(time.monotonic() + timeout_s, source, folder, _track_bytes(max_ms))
    if source.stat().st_size == 0:
        raise Rejected("empty_audio", "the file is empty: upload it again")
    if _is_encrypted_mp4(source):
        raise Rejected("not_media", _PROTECTED)
    if split:
        _check_stereo(run)
    targets = [folder / f"track-{index}.pcm" for index in range(2 if split else 1)]
    command = normalize_command(source.resolve(), targets, max_ms)
    log, status = run(command)
    if not split and (unnamed := _unnamed_channels(log)):
        targets[0].unlink(missing_ok=True)
        command = normalize_command(source.resolve(), targets, max_ms, unnamed)
        log, status = run(command)
    _check_decoded(log, status, targets)
    tracks = [
        Track(path, _samples(path), index if split else None, _pauses(path))
        for index, path in enumerate(targets)
    ]
    return _checked(tracks, log, max_ms)


def normalize_command(
    source: Path, targets: list[Path], max_ms: int, unnamed: int = 0
) -> list[str]:
    """The ffmpeg command; one target: the mix, two: each channel of a stereo recording.

    To be run in the targets' folder, where it leaves their pauses too. Writes one second more than
    `max_ms`, silence in gaps included, to tell a recording that is too long without reading on.
    `unnamed`: channels to mix alike, as nothing says where they belong.
    """
    stream = _input(source)["a:0"]
    settings = {"f": "s16le", "t": max_ms / 1000 + 1}
    picks = [f"c0=c{index}" for index in range(len(targets))] if len(targets) > 1 else [""]
    if unnamed:
        picks = ["c0<" + "+".join(f"c{channel}" for channel in range(unnamed))]
    outputs = [
        ffmpeg.output(stream, _file(target.resolve()), **settings, af=_filters(pick, target.name))
        for target, pick in zip(targets, picks, strict=True)
    ]
    merged = outputs[0] if len(outputs) == 1 else ffmpeg.merge_outputs(*outputs)
    return _command(merged.global_args("-y"))


def cut(track: Track, span: Span, target: Path, *, timeout_s: float = 840) -> None:
    """A piece of a track as FLAC, exact to the sample. Raises `Rejected`, `Unavailable`.

    A span that ends with the track takes what is there beyond the last whole millisecond.
    """
    raw = {"f": "s16le", "ar": SAMPLE_RATE_HZ, "ac": 1, "ss": span.start_ms / 1000}
    end = {} if span.end_ms >= track.duration_ms else {"t": span.duration_ms / 1000}
    settings = {**end, "c:a": "flac", "bitexact": None}
    source = ffmpeg.input(_file(track.path.resolve()), **raw)
    output = ffmpeg.output(source, _file(target.resolve()), **settings).global_args("-y")
    run = _Run(time.monotonic() + timeout_s, track.path, target.parent, _track_bytes(span.end_ms))
    log, status = run(_command(output))
    until = track.samples if not end else span.end_ms * SAMPLES_PER_MS
    wanted, got = until - span.start_ms * SAMPLES_PER_MS, flac_samples(target)
    if status or _is_disk_full(log) or got != wanted:
        raise Unavailable(
            "internal",
            f"the chunk from {span.start_ms} to {span.end_ms} ms could not be cut: {got} of "
            f"{wanted} samples ({_last_error(log)})",
        )


def flac_samples(path: Path) -> int:
    """Length from the header that ffmpeg writes when it has counted the samples; 0: no FLAC.

    STREAMINFO: after "fLaC" and the block header, 10 bytes of sizes, then 20 bits of rate, 3 of
    channels, 5 of depth and 36 of samples (RFC 9639, section 8.2).
    """
    if not path.exists():
        return 0
    with path.open("rb") as file:
        header = file.read(26)
    if header[:4] != b"fLaC" or len(header) < 26:
        return 0
    return int.from_bytes(header[18:26], "big") & (1 << 36) - 1


def sha256_of(path: Path) -> str:
    """Hexadecimal digest of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _input(source: Path) -> ffmpeg.nodes.FilterableStream:
    """Untrusted media: local file only, known containers, audio decoders only, no network.

    Without a guess, where nothing says it, at what more than two channels are: in one at 5.1, the
    fourth would be dropped from the mix as a bass.
    """
    return ffmpeg.input(
        _file(source),
        protocol_whitelist="file",
        format_whitelist=",".join(DEMUXERS),
        codec_whitelist=",".join(DECODERS),
        max_streams=MOST_STREAMS,
        guess_layout_max=2,
    )


def _file(path: Path) -> str:
    """With its protocol, so that no name can be taken for another one or for an option."""
    return f"file:{path}"


def _command(output: ffmpeg.nodes.OutputStream) -> list[str]:
    quiet = output.global_args("-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info")
    return list(quiet.compile())


def _filters(pick: str, name: str) -> str:
    """`pick`: what of the channels to take, as the `pan` filter has it; empty: the usual mix.

    `name`: of the target, from which those of its pauses are made. Metadata is deleted around each
    detector: it would print what the recording says of itself, and what the one before it found.
    """
    detectors = [
        f"silencedetect=n={level}dB:d={SHORTEST_PAUSE_S},"
        f"ametadata=print:file={_pauses_name(name, level)},ametadata=delete"
        for level in PAUSE_LEVELS_DB
    ]
    mono = [*([f"pan=mono|{pick}"] if pick else []), _MONO, _TIMES, _FILL]
    return ",".join([*mono, "ametadata=delete", *detectors])


def _samples(track: Path) -> int:
    return track.stat().st_size // SAMPLE_BYTES


def _track_bytes(longest_ms: int) -> int:
    """With the second more that `normalize_command` writes."""
    return (longest_ms + 1000) * SAMPLES_PER_MS * SAMPLE_BYTES


def _pauses_name(name: str, level_db: int) -> str:
    return f"{name}.pauses{level_db}"


def _pauses(track: Path) -> tuple[list[Span], ...]:
    """What the detectors of `_filters` printed; a pause at the very end is not among it."""
    found: list[list[Span]] = []
    for level in PAUSE_LEVELS_DB:
        path = track.with_name(_pauses_name(track.name, level))
        with path.open(encoding="ascii", errors="replace") as lines:
            found.append(list(_parsed(lines)))
    return tuple(found)


def _parsed(lines: Iterable[str]) -> Iterator[Span]:
    """Each `silence_end` stands before its `silence_duration`."""
    end_ms = 0
    for line in lines:
        match = _PAUSE.match(line)
        if match and match[1] == "end":
            end_ms = round(float(match[2]) * 1000)
        elif match:
            yield Span(max(end_ms - round(float(match[2]) * 1000), 0), end_ms)


@dataclass(frozen=True)
class _Run:
    """What the runs of ffmpeg on one file may take."""

    deadline_s: float
    """Of the clock, for all of them."""
    source: Path
    folder: Path
    """They run, and write, in it."""
    track_bytes: int
    """Of the longest track that they may write."""

    def __call__(self, command: list[str]) -> tuple[str, int]:
        """Run ffmpeg; its log and exit status. Raises where it did not end by itself.

        Key and file name of the upload are never in `command`; of our environment, with its
        credentials, ffmpeg sees PATH and where libraries are. The log goes through a file and is
        read in part: a damaged recording can make it very long.
        """
        left_s = max(self.deadline_s - time.monotonic(), 0)
        program = shutil.which(command[0]) or command[0]
        with tempfile.TemporaryFile() as log:
            try:
                status = subprocess.run(
                    confined(
                        [program, *command[1:]],
                        self._limits(left_s),
                        reads=[self.source],
                        writes=self.folder,
                    ),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=left_s,
                    check=False,
                    cwd=self.folder,
                    env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                ).returncode
            except subprocess.TimeoutExpired as error:
                raise _out_of_time() from error
            text = _read_log(log)
        if status < 0:
            raise _killed(-status)
        if status in (NOT_STARTED, _LIBRARY_MISSING):
            said = _printable(text.strip()[-200:])
            raise Unavailable("internal", f"ffmpeg cannot be started: {said}")
        return text, status

    def _limits(self, left_s: float) -> Limits:
        """The clock strikes before the processor's time does, unless we are gone."""
        return Limits(
            cpu_s=(math.ceil(left_s) + 1) * (os.cpu_count() or 1),
            memory_bytes=MEMORY_BYTES,
            file_bytes=self.track_bytes + BESIDE_TRACK_BYTES,
            files=MOST_FILES,
        )


_LIBRARY_MISSING: Final = 127
"""Exit status of the dynamic loader; of ffmpeg's errors none has it."""
_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH")
"""Lambda's Python finds its library by the second one."""


def _read_log(log: IO[bytes]) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(0)
    text = log.read(_LOG_BYTES)
    log.seek(max(size - _LOG_BYTES, len(text)))
    return (text + log.read()).decode("utf-8", "replace")


def _killed(number: int) -> JobError:
    """What a signal that ended ffmpeg says of the upload, or of the machine."""
    if number == signal.SIGXCPU:
        return _out_of_time()
    if number == signal.SIGXFSZ:
        return Rejected(
            "not_media", "decoding it writes without end, it is damaged: upload another copy"
        )
    if number in _CRASHES:
        return Rejected(
            "not_media",
            f"ffmpeg crashes on it ({signal.strsignal(number)}), it is damaged or made for that: "
            "upload it in another format",
        )
    return Unavailable(
        "internal",
        f"ffmpeg was killed by signal {number} ({signal.strsignal(number)}), "
        "as happens when memory runs out",
    )


def _out_of_time() -> Rejected:
    return Rejected("timed_out", "decoding took all the time a job has for it: split the recording")


def _check_stereo(run: _Run) -> None:
    """Raise unless the first audio track has two channels."""
    sound = _input(run.source.resolve())["a:0"]
    log, status = run(_command(ffmpeg.output(sound, "pipe:", format="framecrc", c="copy", t=0)))
    layout = re.search(r"^#channel_layout_name 0: (.*)$", log, re.MULTILINE)
    if status == 0 and layout and layout[1] not in ("stereo", "2 channels", "downmix"):
        raise Rejected(
            "invalid_options",
            f"`channels: split` needs a stereo recording, this one is {_printable(layout[1])}: "
            "use `channels: mix`",
        )


def _check_decoded(log: str, status: int, targets: list[Path]) -> None:
    """Raise unless every target holds some audio, all that could be decoded."""
    if _is_disk_full(log):
        raise Unavailable("internal", "the disk was full before the recording was decoded")
    if "exceeds max_streams" in "".join(_errors(log)):
        raise Rejected(
            "not_media",
            f"the file has more than {MOST_STREAMS} streams: upload its sound track alone",
        )
    _check_rate(log)
    if all(target.exists() and _samples(target) >= FEWEST_SAMPLES for target in targets):
        return
    raise _undecoded(log, status)


def _undecoded(log: str, status: int) -> Rejected:
    """Why there is no sound, as far as ffmpeg said."""
    for pattern, code, message in _REASONS:
        if re.search(pattern, log, re.IGNORECASE):
            return Rejected(code, message)
    if "Audio:" in log and status == 0:
        return Rejected("empty_audio", "the sound track is empty: nothing to transcribe")
    if "Audio:" in log:
        return Rejected(
            "not_media",
            f"the sound track cannot be decoded, it is damaged or encrypted ({_last_error(log)})",
        )
    return Rejected(
        "not_media",
        f"this is no audio or video file that can be read ({_last_error(log)}): "
        "upload mp3, m4a, mp4, wav, flac, ogg, webm or another common container",
    )


_PROTECTED: Final = "the file is encrypted or DRM-protected: upload an unprotected copy"
_REASONS: Final[tuple[tuple[str, ErrorCode, str], ...]] = (
    (
        r"Cannot allocate memory|pthread_create\(\) failed",
        "not_media",
        f"decoding it asks for over {MEMORY_BYTES >> 30} GB of memory: upload it in another format",
    ),
    (r"\bDRM\b|encrypt|activation_bytes", "not_media", _PROTECTED),
    (
        "matches no streams",
        "no_audio_stream",
        "the file has no sound track: nothing to transcribe",
    ),
    (
        "Skipped opening external track",
        "not_media",
        "its sound is in another file: upload it in one",
    ),
    (
        "moov atom not found",
        "not_media",
        "the file was cut off before its index (moov): upload the whole file",
    ),
)
"""What ffmpeg says, and what that means, where nothing could be decoded."""


def _is_disk_full(log: str) -> bool:
    """ffmpeg goes on, and counts in the header what never reached the disk."""
    return any("No space left on device" in line for line in _errors(log, "error|fatal"))


def _checked(tracks: list[Track], log: str, max_ms: int) -> Normalized:
    """Raise when too long; warn about what is not as announced."""
    duration_ms = max(track.duration_ms for track in tracks)
    if duration_ms > max_ms:
        raise Rejected(
            "too_long",
            f"the recording is longer than {max_ms / 60_000:g} minutes: split it, or deploy with "
            "a larger MaxAudioMinutes",
        )
    warnings = [*_jumps(log), *_damage(duration_ms, log), *_other_tracks(log)]
    if len(tracks) > 1 and len({sha256_of(track.path) for track in tracks}) == 1:
        mix = replace(tracks[0], channel=None)
        return Normalized([mix], ["both channels are identical: transcribed as one", *warnings])
    return Normalized(tracks, warnings)


def _damage(duration_ms: int, log: str) -> list[str]:
    """A warning when decoding met errors or less audio than the container announces."""
    announced_ms, start_ms = (0, 0) if _jumps(log) else _announced(log)
    errors = [line for line in _errors(log) if "whitelist" not in line]
    tolerated_ms = max(SHORTENED * announced_ms, 250) + start_ms
    short = duration_ms < announced_ms - tolerated_ms
    if not errors and not short:
        return []
    length = f" of the {announced_ms / 1000:.1f} s announced" if announced_ms else ""
    decoded = f"{duration_ms / 1000:.1f} s{length} could be decoded and are transcribed"
    return [f"the recording is damaged or was cut off: {decoded}"]


def _jumps(log: str) -> list[str]:
    """A warning when `_TIMES` met, and printed, a gap too long to be one."""
    if not re.search(r"^\[Eval @ \w+\] \[warning\] -", log, re.MULTILINE):
        return []
    hours = f"{LONGEST_GAP_S / 3600:g} hours"
    return [f"the times in the recording jump by more than {hours}: it is taken without a gap"]


def _streams(log: str) -> list[str]:
    """What ffmpeg says of each stream of the input; texts in the file are indented further."""
    of_input = log.partition("\n[info] Stream mapping:")[0]
    return re.findall(r"^\[info\]   Stream #0:\d+.*", of_input, re.MULTILINE)


def _unnamed_channels(log: str) -> int:
    """How many channels the first sound track has, if more than two and nothing says where."""
    sound = next((stream for stream in _streams(log) if "Audio:" in stream), "")
    match = re.search(r", (\d+) channels(,|$)", sound)
    channels = int(match[1]) if match else 0
    if channels > MOST_CHANNELS:
        raise Rejected(
            "not_media",
            f"the recording has {channels} channels, at most {MOST_CHANNELS} can be mixed: "
            "upload fewer",
        )
    return channels if channels > 2 else 0


def _check_rate(log: str) -> None:
    sound = next((stream for stream in _streams(log) if "Audio:" in stream), "")
    match = re.search(r", (\d+) Hz(,|$)", sound)
    if match and int(match[1]) not in SAMPLE_RATES_HZ:
        raise Rejected(
            "not_media",
            f"the recording has {match[1]} samples a second: {SAMPLE_RATES_HZ[0]} to "
            f"{SAMPLE_RATES_HZ[-1]} are what recordings have",
        )


def _other_tracks(log: str) -> list[str]:
    tracks = sum("Audio:" in stream for stream in _streams(log))
    if tracks < 2:
        return []
    return [f"the recording has {tracks} sound tracks: the first one is transcribed"]


def _announced(log: str) -> tuple[int, int]:
    """Length and start of the sound by the container; 0 where it tells a picture's, or nothing.

    Some containers count the time before a late start, which is not decoded, into the length.
    """
    streams = [stream for stream in _streams(log) if "(attached pic)" not in stream]
    length = r"^\[info\]   Duration: (\d+):(\d\d):(\d\d\.\d\d)(?:, start: (\d+\.\d+))?"
    match = re.search(length, log, re.MULTILINE)
    if not match or len(streams) != 1 or "Estimating duration from bitrate" in log:
        return 0, 0
    hours, minutes, seconds, start = (float(part or 0) for part in match.groups())
    return round(((hours * 60 + minutes) * 60 + seconds) * 1000), round(start * 1000)


def _errors(log: str, level: str = "error") -> list[str]:
    """Lines of a level, of ffmpeg itself or one of its parts; not those of texts in the file."""
    return re.findall(rf"^(?:\[[^]]* @ 0x\w+\] )*\[(?:{level})\].*", log, re.MULTILINE)


def _last_error(log: str) -> str:
    """What ffmpeg said, without its memory addresses and our file names."""
    lines = _errors(log, "error|fatal")
    if not lines:
        return "no reason given"
    words = re.sub(r"\[[^\]]*\] ?", "", lines[-1])
    return _printable(re.sub(r"file:\S+", "the upload", words))


def _printable(said: str) -> str:
    """Some of it is the upload's own text, and it ends on terminals."""
    return "".join(letter if letter.isprintable() else "?" for letter in said[:200])


_LARGEST_MOOV_BYTES: Final = 64 << 20
_MOST_BOXES: Final = 10_000
"""Read in search of the index; real files have it among the first few."""


def _is_encrypted_mp4(path: Path) -> bool:
    """Whether an MP4's index declares encrypted tracks (ISO/IEC 23001-7, Apple's, Audible's).

    ffmpeg would decode such a track to noise or to a row of errors, without naming the cause.
    """
    with path.open("rb") as file:
        offset, size = 0, path.stat().st_size
        for _ in range(_MOST_BOXES):
            file.seek(offset)
            header = file.read(16)
            box_size, kind = int.from_bytes(header[:4], "big"), header[4:8]
            if box_size == 1:
                box_size = int.from_bytes(header[8:16], "big")
            if offset == 0 and kind != b"ftyp":
                return False
            if kind == b"moov":
                file.seek(offset)
                index = file.read(min(box_size or size, _LARGEST_MOOV_BYTES))
                entries = (b"enca", b"encv", b"drms", b"drmi", b"aavd")
                return b"sinf" in index and any(entry in index for entry in entries)
            if box_size < 8 or offset + box_size + 8 > size:
                return False
            offset += box_size
    return False
