"""What a voice sounds like, as a vector: neural networks that tell voices apart, from ONNX files.

Two kinds. The one that ships with the package needs no download: Resemblyzer's weights, made a file
by `tools/voice_encoder.py`. Any other is a file given by its path, a network that takes Kaldi's
filter banks, as WeSpeaker's do.

The only module that uses onnxruntime; it and `diarization` use numpy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from dropscribe.errors import Rejected
from dropscribe.sound import SAMPLE_BYTES, SAMPLE_RATE_HZ, SAMPLES_PER_MS, length_ms
from dropscribe.spans import Span

Floats = NDArray[np.float32]

SHIPPED: Final = "shipped"
"""The name of the model inside the package."""
WINDOW_MS: Final = 1600
"""What a voice is known by at once: as long as the shipped network was trained on."""
HOP_MS: Final = 400
"""From one window to the next, at most."""
LEAST_MS: Final = 100
"""Shorter pieces of sound have no vector."""
THREADS: Final = 2
_BATCH: Final = 64
"""Windows that a network takes at once: more are no faster."""
_STEP: Final = 10 * SAMPLES_PER_MS
"""Samples from one frame of features to the next."""
_FRAME: Final = 25 * SAMPLES_PER_MS
"""Samples that one frame is made of."""
_FULL_SCALE: Final = 32_768

_SHIPPED_FILE: Final = Path(__file__).parent / "data" / "voices.onnx"
_SHIPPED_MELS: Final = 40
_SHIPPED_LEVEL: Final = 10 ** (-30 / 20)
"""-30 dBFS, as a root mean square: the network is not indifferent to loudness."""
_SHIPPED_THRESHOLD: Final = 0.84
"""This and the next: from the recordings in docs/speakers.md."""
_SHIPPED_WINDOW_THRESHOLD: Final = 0.75

_FILE_MELS: Final = 80
_FILE_THRESHOLD: Final = 0.5
"""Usual for networks trained on VoxCeleb, where a file says nothing."""
_PREEMPHASIS: Final = 0.97
_LOWEST_HZ: Final = 20
_FFT: Final = 512
"""The next power of two after a frame, which Kaldi takes."""
_LEAST_ENERGY: Final = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Network:
    """A loaded model. Threads may share it."""

    session: onnxruntime.InferenceSession
    features: Callable[[NDArray[np.int16]], Floats]
    """What the network takes of 16 kHz samples: a row for each 10 ms."""
    threshold: float
    """Cosine similarity from which two clips, each the mean of its windows, are of one voice."""
    window_threshold: float
    """The same for single windows, which vary more. Strict: what is taken for one voice is one."""

    def embed(self, samples: bytes) -> list[float]:
        """The mean of a clip's windows, of length 1; empty for less than 0.1 s of sound."""
        mean = self.embed_spans(samples, windows(Span(0, length_ms(samples)))).sum(axis=0)
        length = float(np.linalg.norm(mean)) if len(mean) else 0.0
        return [float(value) / length for value in mean] if length else []

    def embed_spans(
        self, samples: bytes, spans: Sequence[Span], go_on: Callable[[], None] = lambda: None
    ) -> Floats:
        """A row for each of `spans` in 16 kHz mono 16-bit `samples`, of length 1.

        All zeros where there is less than 0.1 s of sound, or where the network gives no numbers.
        `go_on`: asked about once a second of work; what it raises ends this.
        """
        values = np.frombuffer(samples[: len(samples) // SAMPLE_BYTES * SAMPLE_BYTES], "<i2")
        pieces = [_cut(values, span) for span in spans]
        found: dict[int, Floats] = {}
        for some in _batches(pieces):
            go_on()
            batch = np.stack([self.features(pieces[at]) for at in some])
            found.update(zip(some, self._run(batch), strict=True))
        rows = np.zeros((len(pieces), len(next(iter(found.values()), []))), np.float32)
        for at, vector in found.items():
            rows[at] = vector
        return rows

    def _run(self, batch: Floats) -> Floats:
        (feats,), embs = self.session.get_inputs(), self.session.get_outputs()[0]
        (found,) = self.session.run([embs.name], {feats.name: batch})
        vectors = np.asarray(found, np.float32)
        if vectors.ndim != 2:
            raise ValueError(f"its vectors are {list(vectors.shape)}, not [windows, size]")
        with np.errstate(invalid="ignore", over="ignore"):
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        good = np.isfinite(lengths) & (lengths > 0)
        return np.where(good, vectors / np.where(good, lengths, 1), 0).astype(np.float32)


def load(name: str) -> Network:
    """The model of that name: `shipped`, or the path of an ONNX file.

    A file's network takes Kaldi's log filter banks without their mean [windows, frames, bands] and
    gives vectors [windows, size]. Of its metadata are used, where present: `sample_rate`,
    `framework` and `window_type` (`hamming` or `povey`), `threshold` and `window_threshold`.

    Loaded once a process. Raises `Rejected("engine_failed")`: no file, no ONNX model, or not such
    a network.
    """
    return _shipped() if name == SHIPPED else _from_file(Path(name).expanduser().resolve())


def windows(span: Span) -> list[Span]:
    """Of one length and as far apart, over all of `span`; a shorter one is its own window."""
    rest_ms = span.duration_ms - WINDOW_MS
    if rest_ms <= 0:
        return [span]
    steps = math.ceil(rest_ms / HOP_MS)
    starts = (span.start_ms + rest_ms * step // steps for step in range(steps + 1))
    return [Span(start_ms, start_ms + WINDOW_MS) for start_ms in starts]


@cache
def _shipped() -> Network:
    session = _session(_SHIPPED_FILE)
    return Network(session, mel_spectrogram, _SHIPPED_THRESHOLD, _SHIPPED_WINDOW_THRESHOLD)


@cache
def _from_file(path: Path) -> Network:
    session = _session(path)
    said = session.get_modelmeta().custom_metadata_map
    if said.get("sample_rate", str(SAMPLE_RATE_HZ)) != str(SAMPLE_RATE_HZ):
        raise _unfit(path, f"takes sound of {said['sample_rate']} Hz, not {SAMPLE_RATE_HZ}")
    bands, window = _bands(path, session), _window(path, said)
    threshold = _number(path, said, "threshold", _FILE_THRESHOLD)
    strict = _number(path, said, "window_threshold", threshold)
    network = Network(
        session, lambda samples: filter_banks(samples, bands, window), threshold, strict
    )
    _check(path, network)
    return network


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what is wrong is in the exception
    if not path.is_file():
        raise Rejected("engine_failed", f"there is no voice model {path}")
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own have no common class
        raise _unfit(path, f"is no ONNX model: {str(error)[:200]}") from error


def _bands(path: Path, session: onnxruntime.InferenceSession) -> int:
    """How many bands the network takes."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 3 or inputs[0].type != "tensor(float)":
        what = ", ".join(f"{one.name} {one.shape} {one.type}" for one in inputs)
        raise _unfit(path, f"takes {what}, not filter banks [windows, frames, bands]")
    bands = inputs[0].shape[2]
    return bands if isinstance(bands, int) else _FILE_MELS


def _window(path: Path, said: Mapping[str, str]) -> NDArray[np.float64]:
    """WeSpeaker's are Hamming's, and those of others Kaldi's own."""
    usual = "hamming" if said.get("framework", "wespeaker") == "wespeaker" else "povey"
    name = said.get("window_type", usual)
    if name == "hamming":
        return np.hamming(_FRAME)
    if name == "povey":
        return np.hanning(_FRAME) ** 0.85
    raise _unfit(path, f"wants a window of type {name!r}: only hamming and povey are known")


def _number(path: Path, said: Mapping[str, str], name: str, otherwise: float) -> float:
    try:
        value = float(said.get(name, otherwise))
    except ValueError:
        value = math.nan
    if not -1 <= value <= 1:
        raise _unfit(path, f"says {name} {said[name]!r}, which is no cosine")
    return value


def _check(path: Path, network: Network) -> None:
    """By what it makes of a window and of a shorter one."""
    sound = np.random.default_rng(0).integers(-99, 99, WINDOW_MS * SAMPLES_PER_MS, np.int16)
    try:
        long, short = network.embed_spans(sound.tobytes(), [Span(0, WINDOW_MS), Span(0, 500)])
    except Exception as error:  # as above; and numpy's, about shapes
        raise _unfit(path, f"cannot be run on filter banks: {str(error)[:200]}") from error
    if not long.any() or not short.any():
        raise _unfit(path, "gives vectors that are no numbers, or all zero")


def _unfit(path: Path, what: str) -> Rejected:
    return Rejected("engine_failed", f"voice model {path.name} {what}")


def _cut(values: NDArray[np.int16], span: Span) -> NDArray[np.int16]:
    """Whole frames of 10 ms."""
    start, end = (max(ms, 0) * SAMPLES_PER_MS for ms in span)
    piece = values[start:end]
    return piece[: len(piece) // _STEP * _STEP]


def _batches(pieces: Sequence[NDArray[np.int16]]) -> list[list[int]]:
    """Indices of those long enough, each batch of one length."""
    alike: dict[int, list[int]] = {}
    for at, piece in enumerate(pieces):
        if len(piece) >= LEAST_MS * SAMPLES_PER_MS:
            alike.setdefault(len(piece), []).append(at)
    return [
        members[first : first + _BATCH]
        for members in alike.values()
        for first in range(0, len(members), _BATCH)
    ]


def mel_spectrogram(samples: NDArray[np.int16]) -> Floats:
    """[frames, 40] as Resemblyzer takes it: power in Slaney's bands, at an even loudness."""
    values = samples.astype(np.float64) / _FULL_SCALE
    values *= _SHIPPED_LEVEL / max(math.sqrt(float(np.mean(values**2))), 1 / _FULL_SCALE)
    padded = np.pad(values, _FRAME // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_STEP]
    power = np.abs(np.fft.rfft(frames[: len(values) // _STEP] * _hann())) ** 2
    return (power @ _slaney_bands().T).astype(np.float32)


def filter_banks(samples: NDArray[np.int16], bands: int, window: NDArray[np.float64]) -> Floats:
    """[frames, bands] as Kaldi's fbank without dither, and without their mean over time."""
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), _FRAME)[::_STEP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    power = np.abs(np.fft.rfft((frames - _PREEMPHASIS * before) * window, _FFT)) ** 2
    energy = np.log(np.maximum(power @ _kaldi_bands(bands).T, _LEAST_ENERGY))
    centred: Floats = (energy - energy.mean(axis=0)).astype(np.float32)
    return centred


@cache
def _hann() -> NDArray[np.float64]:
    return np.hanning(_FRAME + 1)[:-1]


@cache
def _slaney_bands() -> NDArray[np.float64]:
    """Linear up to 1 kHz, logarithmic above; triangles of one area, over the FFT's lines."""
    linear_hz, break_hz, per_mel = 200 / 3, 1000.0, math.log(6.4) / 27
    top = break_hz / linear_hz + math.log(SAMPLE_RATE_HZ / 2 / break_hz) / per_mel
    mels = np.linspace(0, top, _SHIPPED_MELS + 2)
    above = break_hz * np.exp((mels - break_hz / linear_hz) * per_mel)
    edges = np.where(mels < break_hz / linear_hz, mels * linear_hz, above)
    lines = np.arange(_FRAME // 2 + 1) * SAMPLE_RATE_HZ / _FRAME
    return _triangles(edges, lines) * (2 / (edges[2:] - edges[:-2]))[:, None]


@cache
def _kaldi_bands(bands: int) -> NDArray[np.float64]:
    """From 20 Hz up to half the sampling rate; triangles of height 1 on the mel scale."""
    lowest, highest = (1127 * math.log1p(hz / 700) for hz in (_LOWEST_HZ, SAMPLE_RATE_HZ / 2))
    lines = 1127 * np.log1p(np.arange(_FFT // 2 + 1) * SAMPLE_RATE_HZ / _FFT / 700)
    triangles = _triangles(np.linspace(lowest, highest, bands + 2), lines)
    triangles[:, -1] = 0  # Kaldi leaves out the last line
    return triangles


def _triangles(edges: NDArray[np.float64], lines: NDArray[np.float64]) -> NDArray[np.float64]:
    rising = (lines - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - lines) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rising, falling))
