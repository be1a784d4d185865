"""Engine `whisper`: a Whisper model in this process, by faster-whisper (CTranslate2).

Speech is found by Silero's detector and decoded in batches of windows of up to 30 s. What came out
wrong in one of Whisper's known ways is decoded again, on its own and with Whisper's own remedies:

- text over silence: only windows with speech are decoded, and what Whisper itself takes for silence
  is left out;
- repetition, improbable text: decoded anew at rising temperatures;
- lost tails: speech after a window's last word is decoded anew;
- drift: no window builds on the text of the one before, and each knows its own place.

The only module that uses faster_whisper and ctranslate2.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import ctranslate2
import faster_whisper
import numpy as np
from faster_whisper.audio import pad_or_trim
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import Segment, restore_speech_timestamps
from faster_whisper.vad import VadOptions, get_speech_timestamps
from numpy.typing import NDArray

from dropscribe import __version__
from dropscribe.alignment import is_spaceless
from dropscribe.api import (
    Request,
    TranscriptionRequest,
    TranscriptionSegment,
    TranscriptionVerbose,
    TranscriptionWord,
)
from dropscribe.api.request import VadConfig
from dropscribe.engines import Calls, Engine, Recognized
from dropscribe.engines.tokens import Aligner
from dropscribe.errors import JobError, Rejected, Unavailable
from dropscribe.languages import code_of, name_of
from dropscribe.sound import SAMPLE_BYTES, SAMPLE_RATE_HZ, frames, length_s

BLOCK_S: Final = 10 * 60
"""Decoded at once of long audio, so that memory does not grow with it."""
SEAM_S: Final = 60
"""At the end of a block, in which the next one begins, where nobody speaks."""
WINDOW_S: Final = 30
"""What Whisper hears at once."""
WINDOWS_TO_DETECT: Final = 4
"""In which the language is looked for, as long as none is sure."""
BATCH: Final = {"cuda": 16, "cpu": 4}
"""Windows decoded together."""
TEMPERATURES: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Whisper's own ladder. A temperature that was asked for is the only one."""
COMPRESSION_RATIO: Final = 2.4
"""Whisper's own threshold: above it a text repeats itself."""
AVG_LOGPROB: Final = -1.0
"""Whisper's own threshold: below it the text is improbable."""
NO_SPEECH_PROB: Final = 0.6
"""Whisper's own threshold: above it an improbable text is silence."""
PAUSE_MS: Final = 160
"""That divides speech, and what is kept on both sides of it: as faster-whisper has them."""
PAD_MS: Final = 400
MOST_PAD_MS: Final = 5000
"""More would leave no room for speech in a window."""
LOST_S: Final = 2.0
"""Of speech without words at a window's end, from which a tail was lost."""
MOST_CONTEXT_TOKENS: Final = 223
"""Of prompt and keywords together: half of what the decoder holds is for the answer."""
MOST_TEXT_TOKENS: Final = 440
"""That are aligned at once: what the decoder holds, beside what a text begins with."""
STEP_MS: Final = 20
"""Of the encoder."""
MEDIAN_OF: Final = 7
"""Steps over which its attention is smoothed: Whisper's own."""
FRAMES_A_SECOND: Final = 100
"""What `seek` counts."""
SPACES: Final = "".join(filter(str.isspace, map(chr, range(0x3001))))
"""All of Unicode's: where a language is written without them, Whisper's are words of their own."""
PUNCTUATION: Final = " \"'“”„«»¿¡([{)]}.。,，!！?？:：;；、…—–-"  # noqa: RUF001
"""Around a word; the API's words come without."""
HOW_TO_GET_ONE: Final = (
    "give a folder with a Whisper model in CTranslate2's format (`ct2-transformers-converter "
    "--model openai/whisper-small --output_dir FOLDER --copy_files tokenizer.json "
    "preprocessor_config.json --quantization float16` makes one), or the name of one on the "
    "Hugging Face hub, as `small`, `large-v3-turbo` or `Systran/faster-whisper-small`, which is "
    "downloaded where the hub is reached"
)

Samples = NDArray[np.float32]


def load(model: str) -> None:
    """Load a model now, not with the first recording. Raises `Rejected`: there is none."""
    _loaded(model)


def knows(model: str, language: str) -> bool:
    """Whether a model hears a language, by Whisper's code. Raises as `load`."""
    loaded = _loaded(model)
    return language == "en" if loaded.english_only else loaded.has(f"<|{language}|>")


def endpoint(model: str) -> str:
    """What an answer depends on beside audio and request: software, precision and weights."""
    device, precision = _device()
    weights = _fingerprint(_folder(model))
    version = f"{__version__}, faster-whisper {faster_whisper.__version__}"
    version += f", ctranslate2 {ctranslate2.__version__}"
    return f"whisper {version}, {device} {precision}, {weights}"


def transcribe(audio: Path, request: Request, calls: Calls) -> TranscriptionVerbose:
    """Segments and words with times, as `verbose_json`. `calls` stays untouched: nothing is paid.

    `language` is absent where nobody speaks. Raises `Rejected` as `recognize` does.
    """
    return _answer(audio, request, math.inf)


def _answer(audio: Path, request: Request, deadline: float) -> TranscriptionVerbose:
    language, parts = recognize(audio, request)
    recognized = []
    for part in parts:
        recognized.append(part)
        if time.monotonic() > deadline:
            # Not to be tried again as it is: each time would cost as much, and end here.
            raise Rejected(
                "timed_out",
                f"only the first {part.segment.end:.0f} of {length_s(audio):.0f} s were decoded in "
                "time: use a GPU or a smaller model, or raise MaxConcurrency for shorter chunks",
            )
    return TranscriptionVerbose(
        task=request.task,
        language=name_of(language) if language else None,
        duration=length_s(audio),
        text="".join(part.segment.text for part in recognized).strip(),
        segments=[part.segment for part in recognized],
        words=[word for part in recognized for word in part.words],
    )


def engine(deadline: float) -> Engine:
    """`transcribe` for who has to be done at `deadline`, a `time.monotonic()`."""

    def until_then(audio: Path, request: Request, calls: Calls) -> TranscriptionVerbose:
        return _answer(audio, request, deadline)

    return until_then


def recognize(audio: Path, request: Request) -> tuple[str | None, Iterator[Recognized]]:
    """The language of the text, as a code, and each segment as soon as it is known.

    The language is None where nobody speaks. One recording at a time in a process: the model's
    memory of what it aligned last is one. Raises `Rejected`: there is no such model, it cannot
    do what is asked (`unsupported_by_model`), or the audio is no 16 kHz mono FLAC or WAV
    (`engine_failed`).
    """
    model = _loaded(request.model)
    asked = _asked(request, model)
    blocks = _blocks(audio)
    for start_s, samples in blocks:
        block = _Block(model, asked, start_s, samples)
        if block.speech:
            language = "en" if asked.task == "translate" else block.asked.language
            return language, _numbered(_parts(model, block, blocks))
    return None, iter(())


def edges_ms(model: str, samples: bytes, words: Sequence[str], language: str) -> list[int] | None:
    """When each word of a text begins that is said in 30 s of audio at most, and the last one ends.

    By the model's cross-attention as it reads just this text. `samples`: 16-bit mono at 16 kHz.
    None where the words are more than the model takes at once, or none. What looks like one of
    Whisper's own marks, as `<|endoftext|>`, is not read as one.
    """
    loaded = _loaded(model)
    multilingual = not loaded.english_only
    tokenizer = Tokenizer(loaded.model.hf_tokenizer, multilingual, "transcribe", language)
    spaced = (word if is_spaceless(word[0]) else f" {word}" for word in words)
    tokens = [[id_ for id_ in tokenizer.encode(word) if id_ < tokenizer.eot] for word in spaced]
    if not 0 < sum(map(len, tokens)) <= MOST_TEXT_TOKENS:
        return None
    heard = loaded.model.feature_extractor(_floats(bytearray(samples)))[..., :-1]
    (found,) = loaded.model.model.align(
        loaded.model.encode(pad_or_trim(heard)),
        tokenizer.sot_sequence,
        [list(itertools.chain.from_iterable(tokens))],
        heard.shape[-1],
        median_filter_width=MEDIAN_OF,
    )
    begun: dict[int, int] = {}
    for token, step in found.alignments:
        begun.setdefault(token, step)
    firsts, end = itertools.accumulate(map(len, tokens), initial=0), heard.shape[-1] // 2
    return [STEP_MS * begun.get(first, end) for first in firsts]


@dataclass(frozen=True)
class _Loaded:
    model: faster_whisper.WhisperModel
    pipeline: faster_whisper.BatchedInferencePipeline
    aligner: Aligner
    batch: int
    english_only: bool
    detects_language: bool

    def has(self, token: str) -> bool:
        return self.model.hf_tokenizer.token_to_id(token) is not None


@dataclass(frozen=True)
class _Asked:
    """A request in faster-whisper's terms."""

    task: Literal["transcribe", "translate"]
    language: str | None
    """None: to be detected."""
    temperatures: tuple[float, ...]
    prompt: str | None
    hotwords: str | None
    speech: VadOptions
    logprobs: bool
    """Whether those of tokens are wanted."""

    @property
    def options(self) -> dict[str, Any]:
        """Of both ways to decode."""
        return {
            "language": self.language,
            "task": self.task,
            "initial_prompt": self.prompt,
            "hotwords": self.hotwords,
            "word_timestamps": True,
            "without_timestamps": False,
        }


def _asked(request: Request, model: _Loaded) -> _Asked:
    given = request if isinstance(request, TranscriptionRequest) else None
    language = code_of(given.language) if given and given.language else None
    _check(request, model, language)
    hotwords = ", ".join(given.keywords) if given and given.keywords else None
    return _Asked(
        task=request.task,
        language="en" if model.english_only else language,
        temperatures=(request.temperature,) if request.temperature else TEMPERATURES,
        prompt=_fitting(model, request.prompt, hotwords),
        hotwords=hotwords,
        speech=_speech_options(given.chunking_strategy if given else None),
        logprobs=bool(given and given.include),
    )


def _check(request: Request, model: _Loaded, language: str | None) -> None:
    if model.english_only and request.task == "translate":
        raise _unsupported(f"model `{request.model}` knows only English: it translates nothing")
    if model.english_only and language not in (None, "en"):
        raise _unsupported(f"model `{request.model}` knows only `en`, asked for `{language}`")
    if not (language or model.english_only or model.detects_language):
        raise _unsupported(
            f"model `{request.model}` cannot detect languages (its config.json has no lang_ids): "
            "give `language`"
        )
    if language and not model.english_only and not model.has(f"<|{language}|>"):
        raise _unsupported(
            f"model `{request.model}` does not know the language `{language}`: leave it out, and "
            "it is detected"
        )


def _fitting(model: _Loaded, prompt: str | None, hotwords: str | None) -> str | None:
    """The end of a prompt that is too long beside the keywords, as Whisper reads its end."""
    if prompt is None:
        return None
    taken = len(model.model.hf_tokenizer.encode(hotwords or "", add_special_tokens=False).ids)
    tokens = model.model.hf_tokenizer.encode(f" {prompt.strip()}", add_special_tokens=False).ids
    room = max(MOST_CONTEXT_TOKENS - taken, 0)
    if len(tokens) <= room:
        return prompt
    return str(model.model.hf_tokenizer.decode(tokens[len(tokens) - room :])) if room else None


def _speech_options(strategy: VadConfig | Literal["auto"] | None) -> VadOptions:
    """Silero's own, and faster-whisper's, where nothing else was asked for."""
    config = strategy if isinstance(strategy, VadConfig) else VadConfig(type="server_vad")

    def or_else(given: int | None, otherwise: int) -> int:
        return otherwise if given is None else given

    return VadOptions(
        threshold=0.5 if config.threshold is None else config.threshold,
        min_silence_duration_ms=or_else(config.silence_duration_ms, PAUSE_MS),
        speech_pad_ms=min(or_else(config.prefix_padding_ms, PAD_MS), MOST_PAD_MS),
        max_speech_duration_s=WINDOW_S,
    )


class _Clip(NamedTuple):
    """Samples from the block's start."""

    start: int
    end: int


class _Window(NamedTuple):
    """Speech that is decoded at once: clips of a block, joined."""

    clips: list[_Clip]

    @property
    def start(self) -> int:
        return self.clips[0].start

    @property
    def end(self) -> int:
        return self.clips[-1].end


class _Block:
    """A stretch of a recording, decoded on its own."""

    def __init__(self, model: _Loaded, asked: _Asked, start_s: float, samples: Samples) -> None:
        self._model, self._start_s, self._samples = model, start_s, samples
        self._segments, info = model.pipeline.transcribe(
            samples,
            temperature=asked.temperatures[0],
            vad_parameters=asked.speech,
            batch_size=model.batch,
            chunk_length=WINDOW_S,
            language_detection_segments=WINDOWS_TO_DETECT,
            **asked.options,
        )
        found = info.transcription_options.clip_timestamps
        self.speech = [_Clip(clip["start"], clip["end"]) for clip in found]
        self.asked = _with_language(asked, info.language)

    def parts(self) -> Iterator[Recognized]:
        """In order. What fails in one window is decoded again before the next is looked at."""
        windows = iter(_windows(self.speech))
        for _, decoded in itertools.groupby(self._segments, key=lambda segment: segment.seek):
            window = next(windows)
            # As they are taken, their probabilities have to be too: the next batch forgets them.
            told = [self._recognized(segment, window) for segment in decoded]
            yield from self._mended(window, [part for part in told if part.segment.text.strip()])

    def _mended(self, window: _Window, told: list[Recognized]) -> list[Recognized]:
        """What was heard in a window, without the ways in which Whisper is known to fail."""
        if any(map(_failed, told)) and len(self.asked.temperatures) > 1:
            return self._again(window, window.start) or [p for p in told if not _repeats(p)]
        said = [part for part in told if not _is_silence(part.segment)]
        heard_to = round((said[-1].segment.end - self._start_s) * SAMPLE_RATE_HZ) if said else 0
        tail = _untold(window, heard_to, self.asked.speech.speech_pad_ms)
        return said if tail is None else [*said, *self._again(window, tail)]

    def _again(self, window: _Window, start: int) -> list[Recognized]:
        """The window's speech from `start` on, joined as in the first decoding, as Whisper does it.

        A text that repeats itself or is improbable is decoded anew at a higher temperature.
        """
        clips = [_Clip(max(clip.start, start), clip.end) for clip in window.clips]
        clips = [clip for clip in clips if clip.start < clip.end]
        with self._model.aligner.apart():
            segments, _ = self._model.model.transcribe(
                np.concatenate([self._samples[clip.start : clip.end] for clip in clips]),
                temperature=self.asked.temperatures,
                compression_ratio_threshold=COMPRESSION_RATIO,
                log_prob_threshold=AVG_LOGPROB,
                no_speech_threshold=NO_SPEECH_PROB,
                condition_on_previous_text=False,
                **self.asked.options,
            )
            speech = [clip._asdict() for clip in clips]
            placed = restore_speech_timestamps(segments, speech, SAMPLE_RATE_HZ)
            return [self._recognized(segment, window) for segment in placed]

    def _recognized(self, segment: Segment, window: _Window) -> Recognized:
        """With the times of the recording, where those of `segment` are of the block."""
        length_s = len(self._samples) / SAMPLE_RATE_HZ

        def at(seconds: float) -> float:
            """faster-whisper rounds a window's length up."""
            return round(self._start_s + min(float(seconds), length_s), 3)

        words = [(word.word.strip(PUNCTUATION + SPACES), word) for word in segment.words or []]
        return Recognized(
            segment=TranscriptionSegment(
                id=0,
                seek=int((self._start_s + window.start / SAMPLE_RATE_HZ) * FRAMES_A_SECOND),
                start=at(segment.start),
                end=at(segment.end),
                text=segment.text,
                tokens=segment.tokens,
                temperature=segment.temperature,
                avg_logprob=segment.avg_logprob,
                compression_ratio=segment.compression_ratio,
                no_speech_prob=segment.no_speech_prob,
            ),
            words=[
                TranscriptionWord(
                    word=text,
                    start=at(word.start),
                    end=at(word.end),
                )
                for text, word in words
                if text
            ],
            logprobs=self._model.aligner.logprobs(segment.tokens) if self.asked.logprobs else [],
        )


def _with_language(asked: _Asked, language: str) -> _Asked:
    return _Asked(**{**vars(asked), "language": language})


def _parts(
    model: _Loaded, block: _Block, blocks: Iterator[tuple[float, Samples]]
) -> Iterator[Recognized]:
    """Of the first block with speech, whose language is the recording's, and of those after it.

    Each is let go before the next is read.
    """
    asked = block.asked
    yield from block.parts()
    del block
    for start_s, samples in blocks:
        following = _Block(model, asked, start_s, samples)
        del samples
        yield from following.parts()
        del following


def _numbered(parts: Iterator[Recognized]) -> Iterator[Recognized]:
    for number, part in enumerate(parts):
        segment = part.segment.model_copy(update={"id": number})
        yield part.model_copy(update={"segment": segment})


def _windows(clips: list[_Clip]) -> Iterator[_Window]:
    """Which clips faster-whisper decodes together: as many in a row as fit into 30 s."""
    joined: list[_Clip] = []
    length = 0
    for clip in clips:
        if joined and length + clip.end - clip.start > WINDOW_S * SAMPLE_RATE_HZ:
            yield _Window(joined)
            joined, length = [], 0
        joined.append(clip)
        length += clip.end - clip.start
    if joined:
        yield _Window(joined)


def _failed(part: Recognized) -> bool:
    """By Whisper's own measures."""
    improbable = (part.segment.avg_logprob or 0.0) < AVG_LOGPROB
    return _repeats(part) or (improbable and not _is_silence(part.segment))


def _repeats(part: Recognized) -> bool:
    """By Whisper's own measure."""
    return (part.segment.compression_ratio or 0.0) > COMPRESSION_RATIO


def _is_silence(segment: TranscriptionSegment) -> bool:
    """By Whisper's own measures."""
    no_speech = (segment.no_speech_prob or 0.0) > NO_SPEECH_PROB
    return no_speech and (segment.avg_logprob or 0.0) < AVG_LOGPROB


def _untold(window: _Window, heard_to: int, pad_ms: int) -> int | None:
    """Where the speech begins for which there are no words at a window's end, if there is much."""
    pad = pad_ms * SAMPLE_RATE_HZ // 1000
    left = [
        _Clip(max(clip.start, heard_to), clip.end)
        for clip in window.clips
        if clip.end - pad > max(clip.start, heard_to)
    ]
    speech = sum(clip.end - pad - clip.start for clip in left)
    return left[0].start if speech > LOST_S * SAMPLE_RATE_HZ else None


def _blocks(audio: Path) -> Iterator[tuple[float, Samples]]:
    """Start in seconds and samples of stretches of up to 10 minutes and a little."""
    start, held = 0, bytearray()
    for frame, is_last in frames(audio, SEAM_S * SAMPLE_RATE_HZ * SAMPLE_BYTES):
        held += frame
        if not is_last and len(held) < BLOCK_S * SAMPLE_RATE_HZ * SAMPLE_BYTES:
            continue
        samples = _floats(held)
        end = len(samples) if is_last else _quiet(samples)
        yield start / SAMPLE_RATE_HZ, samples[:end]
        del samples, held[: end * SAMPLE_BYTES]
        start += end


def _floats(samples: bytearray) -> Samples:
    values = np.frombuffer(samples, np.int16, len(samples) // SAMPLE_BYTES).astype(np.float32)
    values /= 32768.0
    return values


def _quiet(samples: Samples) -> int:
    """Where to cut a block: in the longest pause of its last minute, else where it is softest."""
    first = max(len(samples) - SEAM_S * SAMPLE_RATE_HZ, 0)
    options = VadOptions(min_silence_duration_ms=PAUSE_MS, speech_pad_ms=0)
    clips = get_speech_timestamps(samples[first:], options)
    edges = [0, *(at for clip in clips for at in (clip["start"], clip["end"]))]
    pauses = [*itertools.pairwise([*edges, len(samples) - first])][::2]
    start, end = max(pauses, key=lambda pause: pause[1] - pause[0])
    return first + ((start + end) // 2 if end > start else _softest(samples[first:]))


def _softest(samples: Samples) -> int:
    """The middle of the tenth of a second with the least sound."""
    step = SAMPLE_RATE_HZ // 10
    steps = samples[: len(samples) // step * step].reshape(-1, step)
    return int((steps**2).sum(axis=1).argmin()) * step + step // 2


@lru_cache(maxsize=1)
def _loaded(name: str) -> _Loaded:
    """Once a process; another model takes the place of the one before."""
    device, precision = _device()
    folder = _folder(name)
    try:
        model = faster_whisper.WhisperModel(
            str(folder), device=device, compute_type=precision, cpu_threads=_processors()
        )
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (RuntimeError, ValueError, OSError, MemoryError) as error:
        raise _unloadable(name, error) from error
    bands = model.feature_extractor.mel_filters.shape[0]
    if bands != model.model.n_mels:
        raise _unloadable(
            name,
            f"it takes {model.model.n_mels} mel bands, its preprocessor_config.json says {bands}",
        )
    aligner = Aligner(model.model, model.hf_tokenizer)
    english_only = not model.model.is_multilingual
    model.model = aligner
    pipeline = faster_whisper.BatchedInferencePipeline(model)
    detects = bool(config.get("lang_ids"))
    return _Loaded(model, pipeline, aligner, BATCH[device], english_only, detects)


def _unloadable(name: str, why: object) -> JobError:
    reason = f"model `{name}` cannot be loaded ({why})"
    if any(word in str(why).lower() for word in ("cuda", "cublas", "memory")):
        # The machine's fault, not the model's: another one may do it.
        return Unavailable("engine_unavailable", f"{reason}: is the GPU there, and large enough?")
    return _unsupported(f"{reason}: {HOW_TO_GET_ONE}")


def _device() -> tuple[Literal["cpu", "cuda"], str]:
    """Where to compute, and how precisely.

    The environment variables WHISPER_DEVICE (`cpu`, `cuda`) and WHISPER_COMPUTE_TYPE (CTranslate2's
    names) decide; else what is there: float16 on a GPU, int8 on a processor.
    """
    asked = os.environ.get("WHISPER_DEVICE", "auto")
    if asked not in ("auto", "cpu", "cuda"):
        raise Rejected("invalid_options", f"WHISPER_DEVICE is `{asked}`: set auto, cpu or cuda")
    has_gpu = asked != "cpu" and ctranslate2.get_cuda_device_count() > 0
    if asked == "cuda" and not has_gpu:
        raise Unavailable(
            "engine_unavailable", "WHISPER_DEVICE is `cuda`, but no GPU is found: see docs/gpu.md"
        )
    device: Literal["cpu", "cuda"] = "cuda" if has_gpu else "cpu"
    precision = os.environ.get("WHISPER_COMPUTE_TYPE", "auto")
    supported = ctranslate2.get_supported_compute_types(device)
    if precision == "auto":
        wanted = ("float16", "int8_float32") if has_gpu else ("int8", "int8_float32")
        return device, next((kind for kind in wanted if kind in supported), "float32")
    if precision not in {*supported, "default"}:
        raise Rejected(
            "invalid_options",
            f"WHISPER_COMPUTE_TYPE is `{precision}`, which is not possible here: set auto, "
            + ", ".join(sorted(supported)),
        )
    return device, precision


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _folder(name: str) -> Path:
    """Of a model: a folder as it is, a hub's name from its cache or downloaded."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "model.bin").is_file():
            raise _unsupported(f"{name} has no model.bin: {HOW_TO_GET_ONE}")
        return folder
    if folder.is_absolute() or name.startswith((".", "~")):
        raise _unsupported(f"there is no folder {name}: {HOW_TO_GET_ONE}")
    try:
        return Path(faster_whisper.download_model(name))
    except Exception as error:  # the hub's client raises what it, HTTP or the disk may raise
        raise _unsupported(f"model `{name}` is not here ({error}): {HOW_TO_GET_ONE}") from error


@cache
def _fingerprint(folder: Path) -> str:
    """Of all that a model is made of; some seconds for the largest."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        with path.open("rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()[:16]


def _unsupported(message: str) -> Rejected:
    return Rejected("unsupported_by_model", message)
