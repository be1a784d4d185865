"""Engine `whisper`: the real faster-whisper on a real, tiny model; and on models that fail."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import faster_whisper
import numpy as np
import pytest
from faster_whisper.vad import VadOptions
from numpy.typing import NDArray

from dropscribe import sound
from dropscribe.api import (
    Request,
    TranscriptionRequest,
    TranscriptionVerbose,
    TranscriptionWord,
    TranslationRequest,
)
from dropscribe.engines import Recognized, whisper
from dropscribe.errors import JobError, Rejected
from tests import espeak
from tests.conftest import DATA

TINY = DATA / "tiny-whisper"
RATE_HZ = 16_000
SHORT_WINDOW_S = 8
"""The tiny model leaves out sentences where a window of 30 s is full of them."""
VOICE = "en-us+f4"
"""One that the model did not learn from."""


class NoCalls:
    """Nothing is paid here."""

    def sent(self) -> str:
        raise AssertionError("a local engine sends nothing")

    def concluded(self, call: str, state: str) -> None:
        raise AssertionError("a local engine sends nothing")

    def uncertain(self) -> int:
        raise AssertionError("a local engine sends nothing")


def request(**given: Any) -> TranscriptionRequest:
    return TranscriptionRequest(model=str(TINY), response_format="verbose_json", **given)


def heard(audio: Path, asked: Request | None = None) -> TranscriptionVerbose:
    return whisper.transcribe(audio, asked or request(), NoCalls())


def silence(seconds: float) -> NDArray[np.int16]:
    return np.zeros(round(RATE_HZ * seconds), np.int16)


def noise(seconds: float, level: float = 300.0) -> NDArray[np.int16]:
    values = np.random.default_rng(1).standard_normal(round(RATE_HZ * seconds)) * level
    return values.astype(np.int16)


class Truth(NamedTuple):
    text: str
    start_s: float
    end_s: float


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    names = (f"{number}.wav" for number in itertools.count())

    def written(*parts: NDArray[np.int16]) -> Path:
        path = tmp_path / next(names)
        path.write_bytes(sound.wav(np.concatenate(parts).tobytes()))
        return path

    return written


def talk(
    sentences: Sequence[str], pauses_s: Sequence[float]
) -> tuple[list[NDArray[np.int16]], list[Truth]]:
    """Sentences with a pause before each, and the true times of their words."""
    parts: list[NDArray[np.int16]] = []
    words: list[Truth] = []
    at_s = 0.0
    for text, pause_s in zip(sentences, pauses_s, strict=True):
        said = espeak.say(text, VOICE)
        at_s += pause_s
        parts += [silence(pause_s), said.samples]
        words += [
            Truth(word.text, at_s + word.start_ms / 1000, at_s + word.end_ms / 1000)
            for word in said.words
        ]
        at_s += len(said.samples) / RATE_HZ
    return parts, words


SENTENCES = ("three seven hello garden", "open water nine", "two two zero tomorrow", "stop five")


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Truth]]:
    parts, words = talk(SENTENCES, (0.5, 1.0, 2.5, 1.2))
    path = tmp_path_factory.mktemp("spoken") / "spoken.wav"
    path.write_bytes(sound.wav(np.concatenate([*parts, silence(0.8)]).tobytes()))
    return path, words


Spoken = tuple[Path, list[Truth]]


def in_place(word: TranscriptionWord, truth: Truth) -> bool:
    """Within 150 ms. A window's first word begins with the window, as Whisper has it, but ends."""
    return abs(word.start - truth.start_s) < 0.15 or abs(word.end - truth.end_s) < 0.15


def matched(
    found: Sequence[TranscriptionWord], words: Sequence[Truth]
) -> list[tuple[TranscriptionWord, Truth]]:
    """Words that were heard as they were said; the tiny model miscounts some that come twice."""
    texts = [word.word.lower() for word in found], [word.text for word in words]
    blocks = SequenceMatcher(None, *texts, autojunk=False).get_matching_blocks()
    return [(found[a + at], words[b + at]) for a, b, size in blocks for at in range(size)]


def said(answer: TranscriptionVerbose) -> list[str]:
    return [word.word.lower() for word in answer.words or []]


class TestBadInput:
    @pytest.mark.parametrize(
        ("model", "reason"),
        [
            ("/nowhere/model", "there is no folder /nowhere/model: give a folder with a Whisper"),
            ("./nowhere", "there is no folder ./nowhere: give a folder"),
            ("no such model!", "model `no such model!` is not here ("),
            ("nobody/nothing", "model `nobody/nothing` is not here ("),
        ],
    )
    def test_a_missing_model_is_refused_with_how_to_get_one(
        self, model: str, reason: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(Rejected) as caught:
            whisper.load(model)
        assert caught.value.code == "unsupported_by_model"
        assert caught.value.message.startswith(reason)
        assert "ct2-transformers-converter" in caught.value.message

    def test_a_folder_without_weights_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(Rejected, match=r"has no model\.bin"):
            whisper.load(str(tmp_path))

    def test_broken_weights_are_refused(self, tmp_path: Path) -> None:
        shutil.copytree(TINY, tmp_path / "model")
        (tmp_path / "model" / "model.bin").write_bytes((TINY / "model.bin").read_bytes()[:5000])
        with pytest.raises(Rejected, match="cannot be loaded"):
            whisper.load(str(tmp_path / "model"))

    @pytest.mark.parametrize(
        ("file", "reason"),
        [("config.json", "cannot be loaded"), ("preprocessor_config.json", "config.json says 128")],
    )
    def test_a_folder_that_is_not_complete_is_refused(
        self, file: str, reason: str, tmp_path: Path
    ) -> None:
        shutil.copytree(TINY, tmp_path / "model")
        path = tmp_path / "model" / file
        settings = json.loads(path.read_text())
        path.unlink()
        if "feature_size" in settings:
            path.write_text(json.dumps({**settings, "feature_size": 128}))
        with pytest.raises(Rejected, match=reason):
            whisper.load(str(tmp_path / "model"))

    def test_a_language_that_the_model_does_not_know_is_refused(self, write: Write) -> None:
        with pytest.raises(Rejected, match="does not know the language `xx`"):
            heard(write(silence(1)), request(language="xx"))

    @pytest.mark.parametrize(
        ("variable", "value", "reason"),
        [
            ("WHISPER_DEVICE", "tpu", "set auto, cpu or cuda"),
            ("WHISPER_DEVICE", "cuda", "engine_unavailable: .*no GPU is found"),
            ("WHISPER_COMPUTE_TYPE", "int2", "not possible here: set auto, "),
        ],
    )
    def test_settings_that_this_machine_cannot_do_are_refused(
        self, variable: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(variable, value)
        with pytest.raises(JobError, match=reason):
            whisper.endpoint(str(TINY))

    def test_what_is_no_audio_of_ours_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "text.flac"
        path.write_text("three seven")
        with pytest.raises(Rejected, match="engine_failed"):
            heard(path)

    @pytest.mark.parametrize(
        "samples",
        [silence(0.1), silence(5), noise(5), noise(35, 3000.0), np.full(RATE_HZ, 32767, np.int16)],
        ids=["0.1 s", "silence", "hiss", "loud hiss", "an offset"],
    )
    def test_where_nobody_speaks_there_is_no_text_and_no_language(
        self, samples: NDArray[np.int16], write: Write
    ) -> None:
        answer = heard(write(samples))
        assert answer.text == ""
        assert answer.language is None
        assert answer.segments == []
        assert answer.words == []
        assert answer.duration == len(samples) / RATE_HZ

    def test_a_prompt_longer_than_the_decoder_changes_nothing_but_its_beginning(
        self, spoken: Spoken
    ) -> None:
        keywords = ["garden", "water"] * 20
        asked = request(prompt="hello " * 2000, keywords=keywords, language="en")
        assert heard(spoken[0], asked).text


@pytest.fixture(scope="module")
def plain() -> faster_whisper.BatchedInferencePipeline:
    model = faster_whisper.WhisperModel(str(TINY), device="cpu", compute_type="int8")
    return faster_whisper.BatchedInferencePipeline(model)


class TestEqualsFasterWhisper:
    """Segment for segment, field for field: nothing is added where nothing failed."""

    @pytest.mark.parametrize(
        ("asked", "options"),
        [
            ({}, {}),
            ({"language": "en"}, {"language": "en"}),
            ({"prompt": "Hello garden."}, {"initial_prompt": "Hello garden."}),
            ({"keywords": ["water", "stop"]}, {"hotwords": "water, stop"}),
            (
                {"chunking_strategy": {"type": "server_vad", "silence_duration_ms": 500}},
                {
                    "vad_parameters": VadOptions(
                        min_silence_duration_ms=500, max_speech_duration_s=30
                    )
                },
            ),
        ],
        ids=["as it is", "language", "prompt", "keywords", "speech detection"],
    )
    def test_on_the_same_weights_and_settings(
        self,
        asked: dict[str, Any],
        options: dict[str, Any],
        spoken: Spoken,
        plain: faster_whisper.BatchedInferencePipeline,
    ) -> None:
        samples = np.frombuffer(sound.read(spoken[0]), np.int16).astype(np.float32) / 32768
        segments, info = plain.transcribe(
            samples, word_timestamps=True, without_timestamps=False, batch_size=4, **options
        )
        expected = list(segments)
        language, parts = whisper.recognize(spoken[0], request(**asked))
        found = list(parts)
        assert language == info.language
        assert [shown(part) for part in found] == [shown_of(segment) for segment in expected]
        assert found

    def test_one_temperature_is_the_only_one(
        self, spoken: Spoken, plain: faster_whisper.BatchedInferencePipeline
    ) -> None:
        answer = heard(spoken[0], request(temperature=0.4))
        assert {segment.temperature for segment in answer.segments or []} == {0.4}


def shown(part: Recognized) -> tuple[Any, ...]:
    segment = part.segment
    return (
        *(segment.text, segment.start, segment.end, segment.tokens, segment.temperature),
        *(segment.avg_logprob, segment.compression_ratio, segment.no_speech_prob),
        [(word.word, word.start, word.end) for word in part.words],
    )


def shown_of(segment: Any) -> tuple[Any, ...]:
    return (
        *(segment.text, segment.start, segment.end, segment.tokens, segment.temperature),
        *(segment.avg_logprob, segment.compression_ratio, segment.no_speech_prob),
        [
            (word.word.strip(whisper.PUNCTUATION), float(word.start), float(word.end))
            for word in segment.words
        ],
    )


@pytest.fixture(scope="module")
def answer(spoken: Spoken) -> TranscriptionVerbose:
    return heard(spoken[0])


class TestWhatItHears:
    def test_the_words_are_those_that_were_said(
        self, answer: TranscriptionVerbose, spoken: Spoken
    ) -> None:
        assert said(answer) == [word.text for word in spoken[1]]

    def test_words_have_their_times(self, answer: TranscriptionVerbose, spoken: Spoken) -> None:
        assert all(map(in_place, answer.words or [], spoken[1]))

    def test_the_language_is_found(self, answer: TranscriptionVerbose, write: Write) -> None:
        assert answer.language == "english"
        german = espeak.say("drei sieben fünf acht", "de")
        assert heard(write(silence(0.5), german.samples, silence(0.5))).language == "german"

    def test_german_becomes_english_where_a_translation_is_asked_for(self, write: Write) -> None:
        german = espeak.say("drei sieben fünf acht", "de")
        audio = write(silence(0.5), german.samples, silence(0.5))
        answer = heard(audio, TranslationRequest(model=str(TINY)))
        assert answer.task == "translate"
        assert answer.language == "english"
        assert said(answer) == ["three", "seven", "five", "eight"]

    def test_segments_hold_what_was_measured(self, answer: TranscriptionVerbose) -> None:
        for number, segment in enumerate(answer.segments or []):
            assert segment.id == number
            assert segment.avg_logprob is not None
            assert -1 < segment.avg_logprob <= 0
            assert 0 <= (segment.no_speech_prob or 0.0) <= 1
            assert 0 < (segment.compression_ratio or 0.0) < 2.4
            assert segment.temperature == 0.0
            assert (segment.seek or 0) / 100 <= segment.start
            assert segment.tokens

    def test_tokens_joined_are_the_text_and_each_has_its_probability(self, spoken: Spoken) -> None:
        _, parts = whisper.recognize(spoken[0], request(include=["logprobs"]))
        for part in parts:
            text = b"".join(bytes(logprob.bytes or []) for logprob in part.logprobs)
            assert text.decode() == part.segment.text
            assert all(-math.inf < (logprob.logprob or 0.0) <= 0 for logprob in part.logprobs)
            mean = sum(logprob.logprob or 0.0 for logprob in part.logprobs) / len(part.logprobs)
            assert mean == pytest.approx(part.segment.avg_logprob, abs=0.5)


class TestLongAudio:
    def test_words_of_the_last_minute_are_where_they_were_said(
        self, write: Write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No drift, over blocks of a minute as over those of 10."""
        monkeypatch.setattr(whisper, "BLOCK_S", 60)
        monkeypatch.setattr(whisper, "SEAM_S", 20)
        monkeypatch.setattr(whisper, "WINDOW_S", SHORT_WINDOW_S)
        sentences = [SENTENCES[number % len(SENTENCES)] for number in range(40)]
        pauses_s = [1.0 + number % 7 for number in range(40)]
        parts, words = talk(sentences, pauses_s)
        answer = heard(write(*parts, silence(1)))
        assert words[-1].end_s > 200
        right = matched(answer.words or [], words)
        assert len(right) >= 0.95 * len(words)
        assert right[-1][1].start_s > 200
        assert all(itertools.starmap(in_place, right))
        assert [segment.id for segment in answer.segments or []] == list(
            range(len(answer.segments or []))
        )

    def test_a_block_is_cut_in_pauses_of_a_breath(self) -> None:
        parts, words = talk([*SENTENCES] * 3, [0.4] * 12)
        samples = np.concatenate(parts).astype(np.float32)
        samples /= 32768
        cut_s = whisper._quiet(samples) / RATE_HZ
        assert 0 < cut_s < words[-1].end_s
        assert not any(word.start_s < cut_s < word.end_s for word in words)

    def test_a_block_without_a_pause_is_cut_where_it_is_softest(self) -> None:
        samples = np.full(60 * RATE_HZ, 0.1, np.float32)
        samples[30 * RATE_HZ : 30 * RATE_HZ + 4000] = 0.01
        samples *= np.sin(np.arange(len(samples)) * 0.2).astype(np.float32)
        assert 30 <= whisper._softest(samples) / RATE_HZ <= 30.25

    def test_a_block_is_cut_where_nobody_speaks(self, spoken: Spoken) -> None:
        path, words = spoken
        samples = np.frombuffer(sound.read(path), np.int16).astype(np.float32) / 32768
        cut_s = whisper._quiet(samples.astype(np.float32)) / RATE_HZ
        assert not any(word.start_s < cut_s < word.end_s for word in words)
        assert words[6].end_s < cut_s < words[7].start_s  # the longest pause


class Failing:
    """The real model, but for what `spoil` makes of its first answers."""

    def __init__(self, model: Any, spoil: Callable[[Any], Any], times: int) -> None:
        self._model, self._spoil, self.left = model, spoil, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        results = self._model.generate(*args, **kwargs)
        if self.left == 0:
            return results
        self.left -= 1
        return [self._spoil(result) for result in results]


def answered(result: Any, tokens: list[int], score: float, no_speech: float) -> Any:
    return SimpleNamespace(
        sequences_ids=[tokens], scores=[score], no_speech_prob=no_speech, result=result
    )


@pytest.fixture
def fails() -> Iterator[Callable[[Callable[[Any], Any], int], Failing]]:
    aligner = whisper._loaded(str(TINY)).aligner
    real = aligner._model

    def failing(spoil: Callable[[Any], Any], times: int = 1) -> Failing:
        aligner._model = Failing(real, spoil, times)
        return aligner._model

    yield failing
    aligner._model = real


Fails = Callable[..., Failing]


class TestKnownFailures:
    """What Whisper is known for, provoked at the model's edge; the remedy is the real model's."""

    def test_a_repetition_is_decoded_anew(self, spoken: Spoken, fails: Fails) -> None:
        def loops(result: Any) -> Any:
            first, word, *_ = result.sequences_ids[0]
            last = result.sequences_ids[0][-1]
            return answered(result, [first, *[word] * 60, last], -3.0, 0.0)

        failing = fails(loops)
        assert said(heard(spoken[0])) == [word.text for word in spoken[1]]
        assert failing.left == 0

    def test_an_improbable_text_is_decoded_anew(self, spoken: Spoken, fails: Fails) -> None:
        fails(lambda result: answered(result, result.sequences_ids[0][::-1], -2.0, 0.0))
        assert said(heard(spoken[0])) == [word.text for word in spoken[1]]

    def test_a_lost_tail_is_found(self, spoken: Spoken, fails: Fails) -> None:
        """The model stops after its first segment, which ends with a time."""

        def stops(result: Any) -> Any:
            tokens = result.sequences_ids[0]
            begin = whisper._loaded(str(TINY)).model.hf_tokenizer.token_to_id("<|0.00|>")
            end = next(at for at, token in enumerate(tokens) if at and token >= begin) + 1
            return answered(result, tokens[:end], -0.1, 0.0)

        fails(stops)
        answer = heard(spoken[0])
        assert said(answer) == [word.text for word in spoken[1]]
        assert all(map(in_place, answer.words or [], spoken[1]))

    def test_the_second_look_hears_no_more_than_the_first(
        self, write: Write, fails: Fails, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not what lies between the sentences of a window: a minute of hiss each."""
        hiss = noise(60, 60.0)
        first, second = (espeak.say(text, VOICE).samples for text in SENTENCES[:2])
        said_ = [word.text for text in SENTENCES[:2] for word in espeak.say(text, VOICE).words]
        audio = write(silence(1), first, hiss, second, silence(1))
        assert said(heard(audio)) == said_
        fails(lambda result: answered(result, result.sequences_ids[0][::-1], -2.0, 0.0))
        answer = heard(audio)
        assert said(answer) == said_
        start_s = 1 + len(first) / RATE_HZ + 60
        assert (answer.words or [])[4].end == pytest.approx(start_s + 0.34, abs=0.3)

    @pytest.mark.parametrize("space", ["\xa0", "\u3000", "\u2009", " \xa0.\t"])
    def test_spaces_are_no_words(self, spoken: Spoken, fails: Fails, space: str) -> None:
        """In languages without spaces between words any character may be one of its own."""
        blank = whisper._loaded(str(TINY)).model.hf_tokenizer.encode(
            space, add_special_tokens=False
        )

        def spaced(result: Any) -> Any:
            first, *tokens = result.sequences_ids[0]
            return answered(result, [first, *blank.ids, *tokens], -0.1, 0.0)

        fails(spaced)
        answer = heard(spoken[0], request(language="ja"))
        assert space.strip() in answer.text
        assert answer.words
        assert all(word.word == word.word.strip() != "" for word in answer.words)

    def test_what_takes_too_long_says_so(self, spoken: Spoken) -> None:
        with pytest.raises(Rejected, match="timed_out: only the first 2 of 11 s were decoded"):
            whisper.engine(0.0)(spoken[0], request(), NoCalls())

    def test_a_window_without_an_answer_is_heard_again(self, spoken: Spoken, fails: Fails) -> None:
        fails(lambda result: answered(result, result.sequences_ids[0][:1], -0.1, 0.0))
        assert said(heard(spoken[0])) == [word.text for word in spoken[1]]

    def test_text_that_the_model_takes_for_silence_is_left_out(
        self, spoken: Spoken, fails: Fails
    ) -> None:
        """As of a door, which the detector took for speech: all decodings say so."""
        fails(lambda result: answered(result, result.sequences_ids[0], -3.0, 0.95), times=100)
        assert heard(spoken[0]).text == ""

    def test_what_was_decoded_anew_leaves_the_other_probabilities_alone(
        self, write: Write, fails: Fails, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Windows of one batch, of which the first fails."""
        monkeypatch.setattr(whisper, "WINDOW_S", SHORT_WINDOW_S)
        parts, words = talk([*SENTENCES * 4], [4.0] * 16)
        seen = itertools.count()

        def first_loops(result: Any) -> Any:
            if next(seen):
                return result
            first, word, *_ = result.sequences_ids[0]
            return answered(result, [first, *[word] * 60, result.sequences_ids[0][-1]], -3.0, 0.0)

        fails(first_loops)
        _, found = whisper.recognize(write(*parts), request(include=["logprobs"]))
        whole = list(found)
        right = matched([word for part in whole for word in part.words], words)
        assert len(right) >= 0.9 * len(words)
        assert all(part.logprobs for part in whole)


class TestCacheKey:
    def test_other_weights_and_another_precision_are_another_question(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.copytree(TINY, tmp_path / "model")
        copied = whisper.endpoint(str(tmp_path / "model"))
        assert copied == whisper.endpoint(str(TINY))
        monkeypatch.setenv("WHISPER_COMPUTE_TYPE", "float32")
        assert whisper.endpoint(str(TINY)) != copied
        monkeypatch.delenv("WHISPER_COMPUTE_TYPE")
        shutil.copytree(TINY, tmp_path / "tuned")
        weights = tmp_path / "tuned" / "model.bin"
        changed = bytearray(weights.read_bytes())
        changed[len(changed) // 2] ^= 1
        weights.write_bytes(changed)
        assert whisper.endpoint(str(tmp_path / "tuned")) != copied
