"""Engine `offline`: PocketSphinx with the English model inside its package. For trying out.

Real recognition with no key, no network and no GPU; on free English speech about a third of the
words are wrong. It measures words and their times, and no probabilities that compare with
Whisper's: those fields are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import miniaudio
from pocketsphinx import Decoder, Endpointer

from dropscribe.engines import Calls, Request
from dropscribe.errors import Rejected

SAMPLE_RATE_HZ: Final = 16_000
MOST_STATES_A_FRAME: Final = 3000
"""A tenth of PocketSphinx's own limit: half the time, the same words in most sentences."""
LONGEST_UTTERANCE_S: Final = 20.0
"""Speech without a pause is cut after this: the decoder's memory grows with an utterance."""


def transcribe(audio: Path, request: Request, calls: Calls) -> dict[str, Any]:
    """English words with times, as `verbose_json`. `calls` stays untouched: nothing is paid."""
    info = miniaudio.flac_get_file_info(str(audio))
    if info.sample_rate != SAMPLE_RATE_HZ or info.nchannels != 1:
        raise Rejected("engine_failed", "engine offline takes 16 kHz mono audio only")
    utterances = list(_utterances(audio))
    segments = [
        {
            **{"id": index, "start": words[0]["start"], "end": words[-1]["end"]},
            "text": " " + " ".join(word["word"] for word in words),
        }
        for index, words in enumerate(utterances)
    ]
    return {
        **{"task": "transcribe", "language": "english", "duration": info.duration},
        "text": "".join(segment["text"] for segment in segments).strip(),
        "segments": segments,
        "words": [word for words in utterances for word in words],
    }


@cache
def _decoder() -> Decoder:
    """Loaded once a process: 0.4 s, 100 MB."""
    return Decoder(samprate=SAMPLE_RATE_HZ, maxhmmpf=MOST_STATES_A_FRAME, loglevel="FATAL")


def _utterances(audio: Path) -> Iterator[list[dict[str, Any]]]:
    """The words of each stretch of speech, none empty, in order."""
    for start_s, samples in _speech(audio):
        words = _words(start_s, samples)
        if words:
            yield words


def _words(start_s: float, samples: bytes) -> list[dict[str, Any]]:
    """Recognize one utterance as a whole: its loudness is evened out over all of it."""
    decoder = _decoder()
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
    rate = decoder.config["frate"]
    return [
        {
            "word": re.sub(r"\(\d+\)$", "", part.word),
            "start": round(start_s + part.start_frame / rate, 2),
            "end": round(start_s + (part.end_frame + 1) / rate, 2),
        }
        for part in decoder.seg() or []
        if part.word[0] not in "<[+"  # silences and noises
    ]


def _speech(audio: Path) -> Iterator[tuple[float, bytes]]:
    """Stretches of speech between pauses: start in seconds, 16-bit samples."""
    endpointer = Endpointer(sample_rate=SAMPLE_RATE_HZ)
    start_s: float | None = None
    samples = b""
    for frame, is_last in _frames(audio, endpointer.frame_bytes):
        speech = endpointer.end_stream(frame) if is_last else endpointer.process(frame)
        if speech is None:
            continue
        start_s = endpointer.speech_start if start_s is None else start_s
        samples += speech
        length_s = len(samples) / 2 / SAMPLE_RATE_HZ
        if not endpointer.in_speech:
            yield start_s, samples
            start_s, samples = None, b""
        elif length_s > LONGEST_UTTERANCE_S:
            yield start_s, samples
            start_s, samples = start_s + length_s, b""


def _frames(audio: Path, size: int) -> Iterator[tuple[bytes, bool]]:
    """16-bit frames of `size` bytes, and whether each is the last; the last one may be shorter."""
    frames = (bytes(samples) for samples in miniaudio.flac_stream_file(str(audio), size // 2))
    frame = next(frames, b"")
    while frame:
        following = next(frames, b"")
        yield frame, not following
        frame = following
