"""Engine `offline`: PocketSphinx with the English model inside its package. For trying out.

Real recognition with no key, no network and no GPU; on free English speech about a third of the
words are wrong. It measures what the API's segments hold, by its own means: log probabilities are
of words, given all that the decoder found possible; token ids are of its dictionary; speech is what
its voice activity detector takes for it. Whisper's thresholds were not made for them.
"""

from __future__ import annotations

import math
import re
import sys
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Final

from pocketsphinx import Decoder, Endpointer, Vad

from dropscribe.api import (
    Logprob,
    Request,
    TranscriptionSegment,
    TranscriptionVerbose,
    TranscriptionWord,
)
from dropscribe.engines import Calls, Recognized
from dropscribe.sound import SAMPLE_BYTES, SAMPLE_RATE_HZ, frames, length_s

MOST_STATES_A_FRAME: Final = 3000
"""A tenth of PocketSphinx's own limit: half the time, the same words in most sentences."""
LONGEST_UTTERANCE_S: Final = 20.0
"""Speech without a pause is cut after this: the decoder's memory grows with an utterance."""


def load() -> None:
    """Load the model now, not with the first recording."""
    _decoder()
    _vocabulary()


def transcribe(audio: Path, request: Request, calls: Calls) -> TranscriptionVerbose:
    """English words with times, as `verbose_json`. `calls` stays untouched: nothing is paid."""
    recognized = list(recognize(audio))
    return TranscriptionVerbose(
        task=request.task,
        language="english",
        duration=length_s(audio),
        text="".join(part.segment.text for part in recognized).strip(),
        segments=[part.segment for part in recognized],
        words=[word for part in recognized for word in part.words],
    )


def recognize(audio: Path) -> Iterator[Recognized]:
    """Each stretch of speech between pauses in which there are words, as soon as it is decoded.

    Raises `Rejected("engine_failed")`: the audio is no 16 kHz mono FLAC or WAV.
    """
    index = 0
    for start_s, samples in _speech(audio):
        if part := _recognized(index, start_s, samples):
            index += 1
            yield part


@cache
def _decoder() -> Decoder:
    """Loaded once a process: 0.4 s, 100 MB."""
    return Decoder(samprate=SAMPLE_RATE_HZ, maxhmmpf=MOST_STATES_A_FRAME, loglevel="FATAL")


@cache
def _vocabulary() -> dict[str, int]:
    """Word → its line in the model's dictionary, from 0: the ids that `tokens` are made of."""
    lines = Path(_decoder().config["dict"]).read_text("utf-8").splitlines()
    return {line.split(" ", 1)[0]: number for number, line in enumerate(lines)}


def _recognized(index: int, start_s: float, samples: bytes) -> Recognized | None:
    """Recognize one utterance as a whole: its loudness is evened out over all of it."""
    decoder = _decoder()
    # Forget the noise of what came before: the same audio has the same answer, whoever was served.
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
    # In < and [ or + are silences and noises.
    parts = [part for part in decoder.seg() or [] if part.word[0] not in "<[+"]
    if not parts:
        return None
    rate = decoder.config["frate"]
    words = [
        TranscriptionWord(
            word=_spelling(part.word),
            start=round(start_s + part.start_frame / rate, 2),
            end=round(start_s + (part.end_frame + 1) / rate, 2),
        )
        for part in parts
    ]
    logprobs = [_logprob(part.word, part.prob) for part in parts]
    text = "".join(f" {word.word}" for word in words)
    segment = TranscriptionSegment(
        id=index,
        seek=round(start_s * rate),
        start=words[0].start,
        end=words[-1].end,
        text=text,
        tokens=[_vocabulary()[part.word] for part in parts],
        temperature=0.0,
        avg_logprob=fmean(logprob.logprob or 0.0 for logprob in logprobs),
        compression_ratio=len(text.encode()) / len(zlib.compress(text.encode())),
        no_speech_prob=_no_speech(samples),
    )
    return Recognized(segment=segment, words=words, logprobs=logprobs)


def _spelling(word: str) -> str:
    """Without the number of its pronunciation: `was(2)` is `was`."""
    return re.sub(r"\(\d+\)$", "", word)


def _logprob(word: str, posterior: float) -> Logprob:
    """Of the word among all that the decoder found possible there."""
    token = f" {_spelling(word)}"
    logprob = math.log(min(max(posterior, sys.float_info.min), 1.0))
    return Logprob(token=token, logprob=logprob, bytes=list(token.encode()))


def _no_speech(samples: bytes) -> float:
    """Share of the frames that the voice activity detector takes for no speech."""
    detector = Vad(sample_rate=SAMPLE_RATE_HZ)
    size = detector.frame_bytes
    frames = [samples[at : at + size] for at in range(0, len(samples) - size + 1, size)]
    return fmean(not detector.is_speech(frame) for frame in frames) if frames else 0.0


def _speech(audio: Path) -> Iterator[tuple[float, bytes]]:
    """Stretches of speech between pauses: start in seconds, 16-bit samples."""
    endpointer = Endpointer(sample_rate=SAMPLE_RATE_HZ)
    start_s: float | None = None
    samples = b""
    for frame, is_last in frames(audio, endpointer.frame_bytes):
        speech = endpointer.end_stream(frame) if is_last else endpointer.process(frame)
        if speech is None:
            continue
        start_s = endpointer.speech_start if start_s is None else start_s
        samples += speech
        spoken_s = len(samples) / SAMPLE_BYTES / SAMPLE_RATE_HZ
        if not endpointer.in_speech:
            yield start_s, samples
            start_s, samples = None, b""
        elif spoken_s > LONGEST_UTTERANCE_S:
            yield start_s, samples
            start_s, samples = start_s + spoken_s, b""
