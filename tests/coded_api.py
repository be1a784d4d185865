"""The transcription API over a recognizer that really decodes what it is sent: `coded_speech`.

    with CodedApi() as api:
        api.faults.append(failing_first(error(500, "try again")))

It decodes FLAC and WAV, answers each model in its formats, refuses what the hosted API refuses, and
fails, leaves out and invents as it is told. It counts: how often it was asked for what, and how
many requests there were at the same time. Streams and subtitles are not among what it answers.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Final, Literal

import miniaudio
import numpy as np

from tests.api_server import ALLOWED, KEY, Answer, ApiServer, Seen, error, recorded
from tests.coded_speech import CHINESE, THAI, Pcm, Said, decode, text_of

MAX_BODY_BYTES: Final = 26_214_400
MAX_GPT_4O_S: Final = 1400
PHRASE_PAUSE_MS: Final = 300
"""A segment ends at a longer pause, at twelve words, and where somebody else speaks."""
PHRASE_WORDS: Final = 12


@dataclass(frozen=True)
class Request:
    """One request whose audio could be read, as faults see it and as it is remembered."""

    number: int
    """Of all, from 1, in order of arrival."""
    audio: int
    """Which audio: distinct ones are counted from 1, in order of arrival."""
    attempt: int
    """How often this audio was sent so far, this time included."""
    sha256: str
    seconds: float
    fields: tuple[tuple[str, str], ...]
    outcome: Literal["answered", "refused", "lost"] = "answered"
    """`lost`: served, and billed, but the answer did not arrive."""


Fault = Callable[[Request], Answer | None]
"""What a request gets in place of its answer; None: nothing is wrong. An answer that hangs up is
one that got lost on its way."""


def failing_first(answer: Answer, times: int = 1, *, each: int = 1) -> Fault:
    """So many times for each audio, or for each second, third, … of them."""
    return lambda r: answer if r.attempt <= times and r.audio % each == 0 else None


def down(first: int, last: int) -> Fault:
    """The API is down for the requests from number `first` to `last`."""
    answer = error(503, "The server is currently overloaded")
    return lambda r: answer if first <= r.number <= last else None


def losing_first(times: int = 1, *, each: int = 1) -> Fault:
    """The answer is made, and the connection cut before it."""
    return failing_first(Answer(200, b"", hang_up=True, reset=True), times, each=each)


@dataclass(frozen=True)
class Invented:
    """A phrase that nobody said, heard where there is no speech for so long."""

    text: str
    silence_ms: int = 3000
    lasting_ms: int = 1500
    no_speech_prob: float = 0.8


@dataclass(frozen=True)
class _Heard:
    words: list[Said]
    duration_ms: int


@dataclass
class _Phrase:
    text: str
    start_ms: int
    end_ms: int
    speaker: str = ""
    words: list[Said] = field(default_factory=list)
    no_speech_prob: float = 0.01


class CodedApi(ApiServer):
    """`with CodedApi() as api:` serves on a free loopback port; `api.base_url`."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Request] = []
        self.faults: list[Fault] = []
        """The first one that has something to say decides."""
        self.left_out: Callable[[Said], bool] | None = None
        """Words that are not heard in audio longer than `left_out_over_s`."""
        self.left_out_over_s = 60.0
        self.invented: list[Invented] = []
        self.delay_s: Callable[[float], float] | None = None
        """How long an answer takes, by the seconds of audio."""
        self.peak = 0
        """The most requests at the same time."""
        self._open = 0
        self._decoded: dict[str, _Heard] = {}
        self._lock = threading.Lock()

    def behave(self) -> None:
        super().behave()
        with self._lock:
            self.asked.clear()
            self.faults.clear()
            self.invented.clear()
            self.left_out, self.left_out_over_s, self.delay_s, self.peak = None, 60.0, None, 0

    @property
    def served(self) -> list[Request]:
        """What somebody has to pay for."""
        with self._lock:
            return [request for request in self.asked if request.outcome != "refused"]

    def answer(self, seen: Seen) -> Answer:
        with self._lock:
            self._open += 1
            self.peak = max(self.peak, self._open)
        try:
            return self._answer(seen)
        finally:
            with self._lock:
                self._open -= 1

    def _answer(self, seen: Seen) -> Answer:
        if seen.authorization != f"Bearer {KEY}":
            return recorded("error_401")
        if int(dict(seen.headers).get("content-length", "0")) > MAX_BODY_BYTES:
            return recorded("error_413")
        sha256 = hashlib.sha256(seen.audio).hexdigest()
        try:
            heard = self._hear(sha256, seen.audio)
        except (miniaudio.DecodeError, ValueError):
            return recorded("error_400_corrupt")
        return self._served(seen, sha256, heard)

    def _served(self, seen: Seen, sha256: str, heard: _Heard) -> Answer:
        # Those of a day would fill the memory.
        seen.audio = b""
        request, fault = self._noted(sha256, heard, seen)
        refusal = _refusal(seen, heard)
        if fault and (refusal or not fault.hang_up):
            return self._concluded(request, "refused", fault)
        if refusal:
            return self._concluded(request, "refused", refusal)
        if self.delay_s:
            time.sleep(self.delay_s(request.seconds))
        if fault:
            return self._concluded(request, "lost", fault)
        return self._recognized(seen, heard)

    def _concluded(
        self, request: Request, outcome: Literal["refused", "lost"], answer: Answer
    ) -> Answer:
        with self._lock:
            self.asked[request.number - 1] = replace(request, outcome=outcome)
        return answer

    def _hear(self, sha256: str, audio: bytes) -> _Heard:
        with self._lock:
            known = self._decoded.get(sha256)
        if known is None:
            pcm, rate_hz = pcm_of(audio)
            known = _Heard(decode(pcm, rate_hz), round(len(pcm) * 1000 / rate_hz))
            with self._lock:
                self._decoded[sha256] = known
        return known

    def _noted(self, sha256: str, heard: _Heard, seen: Seen) -> tuple[Request, Answer | None]:
        with self._lock:
            before = [request for request in self.asked if request.sha256 == sha256]
            audios = {request.sha256 for request in self.asked}
            request = Request(
                number=len(self.asked) + 1,
                audio=before[0].audio if before else len(audios) + 1,
                attempt=len(before) + 1,
                sha256=sha256,
                seconds=heard.duration_ms / 1000,
                fields=tuple(seen.fields),
            )
            self.asked.append(request)
        faults = (fault(request) for fault in self.faults)
        return request, next((answer for answer in faults if answer), None)

    def _recognized(self, seen: Seen, heard: _Heard) -> Answer:
        words = heard.words
        if self.left_out and heard.duration_ms > self.left_out_over_s * 1000:
            words = [said for said in words if not self.left_out(said)]
        fields = dict(seen.fields)
        model, wanted = fields.get("model", ""), fields.get("response_format", "json")
        by_speaker = wanted == "diarized_json"
        phrases = _phrases(words, by_speaker=by_speaker)
        for invented in self.invented:
            phrases = _with_invented(phrases, invented, heard.duration_ms)
        text = text_of_phrases(phrases)
        if wanted == "text":
            return Answer(200, f"{text}\n".encode(), "text/plain; charset=utf-8")
        usage = {"usage": _usage(model, heard, text)}
        if wanted == "verbose_json":
            return _json(_verbose(seen, phrases, text, heard) | usage)
        if by_speaker:
            named = _speakers(seen, phrases)
            return _json(_diarized(phrases, named, text, heard) | usage)
        body: dict[str, Any] = {"text": text}
        if ("include[]", "logprobs") in seen.fields:
            body["logprobs"] = _logprobs(phrases)
        if model == "gpt-transcribe":
            body["languages"] = [{"code": _language(words)[0]}] if words else []
        return _json(body | usage)


def pcm_of(audio: bytes) -> tuple[Pcm, int]:
    """Samples of a FLAC or WAV file, mixed to one channel, and their rate in hertz."""
    wav = audio.startswith(b"RIFF")
    info = miniaudio.wav_get_info(audio) if wav else miniaudio.flac_get_info(audio)
    decoded = miniaudio.decode(audio, nchannels=1, sample_rate=info.sample_rate)
    return np.frombuffer(decoded.samples, np.int16), int(info.sample_rate)


def _refusal(seen: Seen, heard: _Heard) -> Answer | None:
    fields = dict(seen.fields)
    model, wanted = fields.get("model", ""), fields.get("response_format", "json")
    seconds = heard.duration_ms / 1000
    if seconds < 0.1:
        return error(400, "Audio file is too short. Minimum audio length is 0.1 seconds.")
    if wanted not in ALLOWED.get(model, {"json", "text", "verbose_json"}) - {"srt", "vtt"}:
        return error(400, f"response_format '{wanted}' is not compatible with model '{model}'.")
    if model.startswith("gpt-4o") and seconds > MAX_GPT_4O_S:
        message = (
            f"audio duration {seconds:.6f} seconds is longer than {MAX_GPT_4O_S} seconds which is "
            "the maximum for this model"
        )
        return error(400, message, code="invalid_value")
    if model.endswith("diarize") and seconds > 30 and "chunking_strategy" not in fields:
        return recorded("error_400_chunking")
    return _clips_refusal(seen)


def _clips_refusal(seen: Seen) -> Answer | None:
    """Of known speakers: at most four, a clip for each name, of 2 to 10 seconds."""
    names, clips = _all(seen, "known_speaker_names[]"), _all(seen, "known_speaker_references[]")
    if len(names) != len(clips) or len(names) > 4:
        return error(400, "known_speaker_names and known_speaker_references do not fit together")
    for clip in clips:
        try:
            pcm, rate_hz = pcm_of(base64.b64decode(clip.partition(";base64,")[2], validate=True))
        except (ValueError, miniaudio.DecodeError):
            return error(400, "a known speaker's reference is no audio", code="invalid_value")
        if not 2 <= len(pcm) / rate_hz <= 10:
            return error(400, "a known speaker's reference must last 2 to 10 seconds")
    return None


def _all(seen: Seen, name: str) -> list[str]:
    return [value for key, value in seen.form if key == name]


def _phrases(words: Sequence[Said], *, by_speaker: bool) -> list[_Phrase]:
    groups: list[list[Said]] = []
    for before, said in pairwise([None, *words]):
        assert said is not None
        pause = before is None or said.start_ms - before.end_ms > PHRASE_PAUSE_MS
        other = by_speaker and before is not None and said.speaker != before.speaker
        if pause or other or len(groups[-1]) == PHRASE_WORDS:
            groups.append([])
        groups[-1].append(said)
    return [
        _Phrase(
            text=text_of([said.word for said in group]),
            start_ms=group[0].start_ms,
            end_ms=group[-1].end_ms,
            words=group,
        )
        for group in groups
    ]


def _with_invented(phrases: list[_Phrase], invented: Invented, duration_ms: int) -> list[_Phrase]:
    """With the phrase in the middle of the first silence that is long enough."""
    ends_ms = [0, *(phrase.end_ms for phrase in phrases)]
    starts_ms = [*(phrase.start_ms for phrase in phrases), duration_ms]
    for at, (end_ms, start_ms) in enumerate(zip(ends_ms, starts_ms, strict=True)):
        if start_ms - end_ms >= invented.silence_ms:
            first_ms = (end_ms + start_ms - invented.lasting_ms) // 2
            phrase = _Phrase(invented.text, first_ms, first_ms + invented.lasting_ms)
            phrase.no_speech_prob = invented.no_speech_prob
            return [*phrases[:at], phrase, *phrases[at:]]
    return phrases


def text_of_phrases(phrases: Sequence[_Phrase]) -> str:
    """Of all phrases."""
    return "".join(_tokens(phrases))


def _tokens(phrases: Sequence[_Phrase]) -> list[str]:
    """Pieces of the text, each with the space before it."""
    words = [
        word
        for phrase in phrases
        for word in ([said.word for said in phrase.words] or phrase.text.split())
    ]
    pairs = pairwise(words)
    return words[:1] + [text_of([before, word])[len(before) :] for before, word in pairs]


def _language(words: Sequence[Said]) -> tuple[str, str]:
    """Code and name of what most of the words are."""
    chinese = sum(said.word in CHINESE for said in words)
    thai = sum(said.word in THAI for said in words)
    if max(chinese, thai) * 2 <= len(words):
        return "en", "english"
    return ("zh", "chinese") if chinese > thai else ("th", "thai")


def _verbose(seen: Seen, phrases: Sequence[_Phrase], text: str, heard: _Heard) -> dict[str, Any]:
    granularities = _all(seen, "timestamp_granularities[]") or ["segment"]
    body: dict[str, Any] = {
        "task": "translate" if "/translations" in seen.path else "transcribe",
        "language": _language(heard.words)[1],
        "duration": heard.duration_ms / 1000,
        "text": text,
    }
    if "segment" in granularities:
        body["segments"] = [_segment(at, phrase) for at, phrase in enumerate(phrases)]
    if "word" in granularities:
        body["words"] = [word for phrase in phrases for word in _words(phrase)]
    return body


def _segment(at: int, phrase: _Phrase) -> dict[str, Any]:
    return {
        "id": at,
        "seek": phrase.start_ms // 30_000 * 3000,
        "start": phrase.start_ms / 1000,
        "end": phrase.end_ms / 1000,
        "text": f" {phrase.text}",
        "tokens": [50364, 2425, 50464],
        "temperature": 0.0,
        "avg_logprob": -0.25,
        "compression_ratio": 1.25,
        "no_speech_prob": phrase.no_speech_prob,
    }


def _words(phrase: _Phrase) -> list[dict[str, Any]]:
    """With their times; those of an invented phrase share its time."""
    if phrase.words:
        return [
            {"word": said.word, "start": said.start_ms / 1000, "end": said.end_ms / 1000}
            for said in phrase.words
        ]
    texts = phrase.text.split()
    each_ms = (phrase.end_ms - phrase.start_ms) / len(texts)
    starts_s = [(phrase.start_ms + each_ms * at) / 1000 for at in range(len(texts) + 1)]
    return [
        {"word": text, "start": start, "end": end}
        for text, (start, end) in zip(texts, pairwise(starts_s), strict=True)
    ]


def _speakers(seen: Seen, phrases: Sequence[_Phrase]) -> dict[int, str]:
    """Names of known voices, and letters for the others in order of their first word."""
    names: dict[int, str] = {}
    clips = _all(seen, "known_speaker_references[]")
    for name, clip in zip(_all(seen, "known_speaker_names[]"), clips, strict=True):
        pcm, rate_hz = pcm_of(base64.b64decode(clip.partition(";base64,")[2]))
        voices = [said.speaker for said in decode(pcm, rate_hz)]
        if voices:
            names.setdefault(max(voices, key=voices.count), name)
    letters = iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    for phrase in phrases:
        for said in phrase.words:
            if said.speaker not in names:
                names[said.speaker] = next(letters)
    return names


def _diarized(
    phrases: Sequence[_Phrase], names: dict[int, str], text: str, heard: _Heard
) -> dict[str, Any]:
    speaker = "A"
    segments = []
    for at, phrase in enumerate(phrases):
        speaker = names[phrase.words[0].speaker] if phrase.words else speaker
        segments.append(
            {
                "type": "transcript.text.segment",
                "id": f"seg_{at}",
                "start": phrase.start_ms / 1000,
                "end": phrase.end_ms / 1000,
                "text": f" {phrase.text}",
                "speaker": speaker,
            }
        )
    duration = heard.duration_ms / 1000
    return {"text": text, "task": "transcribe", "duration": duration, "segments": segments}


def _logprobs(phrases: Sequence[_Phrase]) -> list[dict[str, Any]]:
    return [
        {"token": token, "logprob": -0.01, "bytes": list(token.encode())}
        for token in _tokens(phrases)
    ]


def _usage(model: str, heard: _Heard, text: str) -> dict[str, Any]:
    if not model.startswith("gpt-4o"):
        return {"type": "duration", "seconds": -(-heard.duration_ms // 1000)}
    audio, output = heard.duration_ms // 100, len(text.split()) + 2
    return {
        "type": "tokens",
        "total_tokens": audio + output,
        "input_tokens": audio,
        "input_token_details": {"text_tokens": 0, "audio_tokens": audio},
        "output_tokens": output,
    }


def _json(body: dict[str, Any]) -> Answer:
    return Answer(200, json.dumps(body).encode())
