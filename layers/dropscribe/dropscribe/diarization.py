"""Who speaks when in one chunk, whatever engine gives the words.

Speech is heard in windows, each a vector of the voice in it. Windows that surely sound alike are
one voice; which voices of all chunks are one person is for `speakers.link` to say. Then each tenth
of a second of speech goes to the voice that it sounds like most.

Where several talk at once, one of them is heard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from dropscribe.spans import Span
from dropscribe.speakers import Voice, VoiceModel
from dropscribe.speech import Prepared, voiced
from dropscribe.turns import Turn
from dropscribe.voices import windows

Floats = NDArray[np.float32]

STEP_MS: Final = 100
"""As exact as changes of speakers are placed."""
CHANGE: Final = 0.5
"""What a change of voice costs, in steps' cosine similarity: noise between two words is none."""
PAUSE_MS: Final = 800
"""A pause up to which one voice's speech is one turn, where nobody else talks in it."""
LEAST_WINDOWS: Final = 4
"""Of a voice: about 3 s. Fewer are laughter, noise and two at once, and go to other voices."""
SURE_WINDOWS: Final = 8
"""Of fewer, 4 s, the mean is uncertain: a voice like another one's is that one's. Windows with a
change of speakers in them make such."""
FEW_WINDOWS: Final = 8
"""For each so many windows of a short recording a voice must have one more."""
LEAST_WINDOW_MS: Final = 800
"""Shorter windows tell too little to make a voice of."""
ROUNDS: Final = 3
BLOCK: Final = 600
"""Windows compared with each other at once, four minutes of speech: time and memory grow with the
square."""
MOST_VOICES: Final = 3000
"""Of all blocks, the largest: 36 MB to compare."""
DECIMALS: Final = 6


class WindowModel(VoiceModel, Protocol):
    """What tells voices apart, window by window. `voices.load` gives one."""

    @property
    def window_threshold(self) -> float:
        """Cosine similarity from which windows are surely of one voice, on average."""

    def embed_spans(
        self, samples: bytes, spans: Sequence[Span], go_on: Callable[[], None] = ...
    ) -> Floats:
        """A row of length 1 for each span of 16 kHz mono 16-bit `samples`; zeros for no answer."""


@dataclass(frozen=True)
class Diarized:
    turns: list[Turn]
    """In order, from the start of the samples; none overlaps another."""
    voices: list[Voice]
    """Of the turns' labels, which mean nothing elsewhere. Two of them may be one person."""


def diarize(
    samples: bytes,
    model: WindowModel,
    *,
    heard: Prepared | None = None,
    fewest: int = 1,
    go_on: Callable[[], None] = lambda: None,
) -> Diarized:
    """Who speaks when in 16 kHz mono 16-bit `samples`.

    `heard`: what `speech.prepare` made of the same samples. `fewest`: how many speak at least,
    where that is known. `go_on`: asked about once a second of work; what it raises ends this.
    """
    speech = voiced(samples if heard is None else heard, go_on)
    if not speech:
        return Diarized([], [])
    spans = [window for span in speech for window in windows(span)]
    vectors = _sound(model.embed_spans(samples, spans, go_on))
    told = _told(vectors, spans)
    centres = _refined(_centres(vectors[told], model.window_threshold, fewest), vectors[told])
    steps = [step for span in speech for step in _steps(span)]
    path = _path(_scores(steps, spans, vectors @ centres.T))
    turns = _turns(steps, path)
    return Diarized(turns, _voices(turns, centres, vectors[told], model.threshold))


def _sound(vectors: Floats) -> Floats:
    """With zeros in place of a row that is no direction."""
    good = np.isfinite(vectors).all(axis=1, keepdims=True)
    return np.where(good, vectors, np.float32(0))


def _told(vectors: Floats, spans: Sequence[Span]) -> NDArray[np.bool_]:
    """Which windows tell a voice: the long ones, or all where there is none."""
    known = np.linalg.norm(vectors, axis=1) > 0
    long = np.array([span.duration_ms >= LEAST_WINDOW_MS for span in spans]) & known
    told: NDArray[np.bool_] = long if long.any() else known
    return told


def _centres(vectors: Floats, threshold: float, fewest: int) -> Floats:
    """The directions of the voices among windows, at least one."""
    if not len(vectors):
        return np.zeros((1, vectors.shape[1]), np.float32)
    blocks = [
        _united(vectors[at : at + BLOCK], np.ones(len(vectors[at : at + BLOCK])), threshold, fewest)
        for at in range(0, len(vectors), BLOCK)
    ]
    sums, weights = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    largest = np.sort(np.argsort(-weights, kind="stable")[:MOST_VOICES])
    sums, weights = _united(sums[largest], weights[largest], threshold, fewest)
    # Of a few words no voice has many windows.
    least = min(LEAST_WINDOWS, 1 + len(vectors) // FEW_WINDOWS)
    return _directions(sums)[_kept(sums, weights, least, threshold, fewest)]


def _kept(
    sums: Floats, weights: NDArray[np.float64], least: int, threshold: float, fewest: int
) -> list[int]:
    """The voices that are some: of many windows, or of less but like no other."""
    directions = _directions(sums)
    kept: list[int] = []
    for at in np.argsort(-weights, kind="stable").tolist():
        alike = bool((directions[kept] @ directions[at] >= threshold).any())
        doubtful = weights[at] < least or (weights[at] < SURE_WINDOWS and alike)
        if len(kept) < fewest or not doubtful:
            kept.append(at)
    return sorted(kept)


def _united(
    sums: Floats, weights: NDArray[np.float64], threshold: float, fewest: int
) -> tuple[Floats, NDArray[np.float64]]:
    """Sums of vectors, the two most alike made one until none are alike enough, on average."""
    sums, weights = sums.copy(), weights.copy()
    everyone = np.arange(len(sums))
    left = np.ones(len(sums), bool)
    alike = (sums @ sums.T) / np.outer(weights, weights).astype(np.float32)
    np.fill_diagonal(alike, -np.inf)
    best = alike.argmax(axis=1)
    for _ in range(len(sums) - fewest):
        one = int(alike[everyone, best].argmax())
        other = int(best[one])
        if alike[one, other] < threshold:
            break
        sums[one] += sums[other]
        weights[one] += weights[other]
        left[other] = False
        alike[other] = alike[:, other] = -np.inf
        row = np.where(left, sums @ sums[one] / (weights * weights[one]), -np.inf)
        row[one] = -np.inf
        alike[one] = alike[:, one] = row
        stale = (best == one) | (best == other) | (everyone == one)
        best[stale] = alike[stale].argmax(axis=1)
        best[alike[:, one] > alike[everyone, best]] = one
    return sums[left], weights[left]


def _directions(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _refined(centres: Floats, vectors: Floats) -> Floats:
    """Each the mean of the windows that are nearest to it."""
    for _ in range(ROUNDS):
        nearest = _nearest(vectors, centres)
        sums = np.stack([vectors[nearest == at].sum(axis=0) for at in range(len(centres))])
        centres = _directions(np.where(sums.any(axis=1, keepdims=True), sums, centres))
    return centres


def _nearest(vectors: Floats, centres: Floats) -> NDArray[np.intp]:
    nearest: NDArray[np.intp] = (vectors @ centres.T).argmax(axis=1)
    return nearest


def _steps(span: Span) -> list[Span]:
    starts = range(span.start_ms, span.end_ms, STEP_MS)
    return [Span(start_ms, min(start_ms + STEP_MS, span.end_ms)) for start_ms in starts]


def _scores(steps: Sequence[Span], spans: Sequence[Span], scores: Floats) -> Floats:
    """Of each step with each voice: the mean of the windows over it, the nearest first of all."""
    starts = np.array([step.start_ms for step in steps])
    middles = starts + STEP_MS / 2
    total = np.zeros((len(steps), scores.shape[1]), np.float32)
    weights = np.zeros((len(steps), 1), np.float32)
    for span, score in zip(spans, scores, strict=True):
        first, end = np.searchsorted(starts, [span.start_ms - STEP_MS + 1, span.end_ms])
        away = np.abs(middles[first:end] - (span.start_ms + span.end_ms) / 2)
        near = np.maximum(1 - 2 * away / (span.duration_ms + STEP_MS), 0.01)[:, None]
        total[first:end] += near * score
        weights[first:end] += near
    return np.divide(total, np.maximum(weights, 0.01), dtype=np.float32)


def _path(scores: Floats) -> list[int]:
    """The voice of each step, so that all scores less what changes cost are the most in sum."""
    everyone = np.arange(scores.shape[1])
    reached = np.zeros(scores.shape[1])
    before = np.zeros(scores.shape, np.int32)
    for at, score in enumerate(scores):
        best = reached.argmax()
        changed = reached < reached[best] - CHANGE
        before[at] = np.where(changed, best, everyone)
        reached = np.maximum(reached, reached[best] - CHANGE) + score
    voice = int(reached.argmax())
    path = []
    for at in range(len(scores) - 1, -1, -1):
        path.append(voice)
        voice = int(before[at, voice])
    return path[::-1]


def _turns(steps: Sequence[Span], path: Sequence[int]) -> list[Turn]:
    """What follows one another of one voice is one turn."""
    turns: list[Turn] = []
    for (start_ms, end_ms), voice in zip(steps, path, strict=True):
        label = str(voice)
        last = turns[-1] if turns else None
        if last and last.label == label and start_ms - last.end_ms <= PAUSE_MS:
            turns[-1] = Turn(last.start_ms, end_ms, label)
        else:
            turns.append(Turn(start_ms, end_ms, label))
    return turns


def _voices(
    turns: Sequence[Turn], centres: Floats, vectors: Floats, threshold: float
) -> list[Voice]:
    """Those that speak, by the order of their first turn."""
    counted = np.bincount(_nearest(vectors, centres), minlength=len(centres))
    speech_ms: dict[str, int] = {}
    for turn in turns:
        speech_ms[turn.label] = speech_ms.get(turn.label, 0) + turn.end_ms - turn.start_ms
    return [
        Voice(
            label=label,
            speech_ms=spoken_ms,
            embedding=[round(float(value), DECIMALS) for value in centres[int(label)]],
            threshold=threshold,
            weight=max(int(counted[int(label)]), 1),
        )
        for label, spoken_ms in speech_ms.items()
    ]
