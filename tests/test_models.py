"""The model table: what is chosen, what is refused and why."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from dropscribe.api import FORMATS, TranscriptionRequest, TranslationRequest
from dropscribe.engines import request_for
from dropscribe.errors import Rejected
from dropscribe.languages import CODES, NAMES, code_of, name_of, whispers_code
from dropscribe.models import (
    LONGEST_CHUNK_MS,
    MODELS,
    Model,
    choose,
    formats_for,
    longest_chunk_ms,
    shutdown_warning,
)
from dropscribe.options import JobOptions
from dropscribe.validity import refusal as matrix_refusal

BEFORE, AFTER = date(2026, 11, 21), date(2027, 2, 26)


def chosen(day: date = BEFORE, **options: Any) -> str:
    return choose(JobOptions(**options), day).name


def refusal(day: date = BEFORE, **options: Any) -> str:
    asked = JobOptions(**options)
    with pytest.raises(Rejected) as caught:
        formats_for(choose(asked, day), asked, speakers=False)
    assert caught.value.code == "unsupported_by_model"
    return caught.value.message


@pytest.mark.parametrize(
    ("options", "model"),
    [
        ({}, "whisper-1"),
        ({"formats": ["srt", "verbose_json"]}, "whisper-1"),
        ({"task": "translate"}, "whisper-1"),
        ({"formats": ["diarized_json"]}, "gpt-4o-transcribe-diarize"),
        ({"formats": ["diarized_json", "srt"]}, "gpt-4o-transcribe-diarize"),
        ({"keywords": ["Dropscribe"]}, "gpt-transcribe"),
        ({"languages": ["de", "en"]}, "gpt-transcribe"),
        ({"engine": "offline"}, "pocketsphinx-en-us"),
        ({"formats": ["diarized_json"], "channels": "split"}, "whisper-1"),
        ({"model": "Systran/faster-whisper-small"}, "Systran/faster-whisper-small"),
        ({"engine": "whisper", "model": "/opt/model"}, "/opt/model"),
        ({"engine": "whisper", "model": "large-v3-turbo", "task": "translate"}, "large-v3-turbo"),
        # The name of a hosted model is a folder's or a hub's name here.
        ({"engine": "whisper", "model": "whisper-1", "keywords": ["Dropscribe"]}, "whisper-1"),
    ],
)
def test_auto_picks_by_what_is_asked_for(options: dict[str, Any], model: str) -> None:
    assert chosen(**options) == model


@pytest.mark.parametrize(
    ("options", "model"),
    [
        # Who tells speakers apart along with the words does it better.
        ({"formats": ["diarized_json"]}, "gpt-4o-transcribe-diarize"),
        ({"formats": ["diarized_json", "verbose_json"]}, "whisper-1"),
        ({"engine": "offline", "formats": ["diarized_json"]}, "pocketsphinx-en-us"),
        (
            {
                **{"model": "whisper-1", "known_speaker_names": ["Ann"]},
                "known_speaker_references": ["speakers/ann.wav"],
            },
            "whisper-1",
        ),
    ],
)
def test_our_own_ear_for_voices_helps_where_a_model_has_none(
    options: dict[str, Any], model: str
) -> None:
    asked = JobOptions(**options)
    found = choose(asked, BEFORE, voices=True)
    assert found.name == model
    assert "diarized_json" in formats_for(found, asked, speakers=True)


def test_an_ear_for_voices_helps_a_model_without_times_too() -> None:
    asked = JobOptions(model="gpt-transcribe", formats=["diarized_json"])
    assert formats_for(choose(asked, BEFORE, voices=True), asked, speakers=True) == asked.formats


def test_auto_passes_over_models_that_are_shut_down() -> None:
    assert chosen(AFTER) == "gpt-transcribe"


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"engine": "whisper"}, "engine `whisper` has no model of its own: name one in `model`"),
        ({"engine": "offline", "model": "whisper-1"}, "has no model `whisper-1`. It has: pocket"),
        ({"engine": "offline", "language": "de"}, "knows only `en`, asked for `de`"),
        ({"engine": "offline", "prompt": "x"}, "does not take `prompt`"),
        ({"engine": "offline", "formats": ["diarized_json"]}, "no model does all"),
        ({"model": "whisper-1", "formats": ["diarized_json"]}, "does not tell speakers apart"),
        ({"model": "gpt-4o-transcribe-diarize", "prompt": "x"}, "does not take `prompt`"),
        ({"model": "gpt-transcribe", "task": "translate"}, "does not translate"),
        ({"formats": ["diarized_json"], "prompt": "x"}, "no model does all that is asked for"),
    ],
)
def test_what_a_model_cannot_do_is_refused_before_any_work(
    options: dict[str, Any], part: str
) -> None:
    assert part in refusal(**options)


@pytest.mark.parametrize(
    ("name", "engine", "formats"),
    [
        ("whisper-1", "openai", ["json", "text", "srt", "vtt", "verbose_json"]),
        ("gpt-transcribe", "openai", ["json", "text", "srt", "vtt", "verbose_json"]),
        ("gpt-4o-transcribe", "openai", ["json", "text", "srt", "vtt", "verbose_json"]),
        ("gpt-4o-transcribe-diarize", "openai", [*FORMATS]),
        ("pocketsphinx-en-us", "offline", ["json", "text", "srt", "vtt", "verbose_json"]),
    ],
)
def test_by_default_a_job_gives_all_that_it_honestly_can(
    name: str, engine: str, formats: list[str]
) -> None:
    options = JobOptions.model_validate({"model": name, "engine": engine})
    assert formats_for(choose(options, BEFORE), options, speakers=False) == formats


def test_separate_channels_give_speakers_to_any_model() -> None:
    options = JobOptions(engine="offline", channels="split")
    model = choose(options, BEFORE)
    assert "diarized_json" in formats_for(model, options, speakers=True)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_model_near_its_end_warns(model: Any) -> None:
    assert (shutdown_warning(model, BEFORE) is None) == (model.shutdown is None)


@pytest.mark.case("C28")
def test_the_warning_says_when() -> None:
    warning = "model whisper-1 is shut down by its provider on 2027-02-26"
    whisper = choose(JobOptions(model="whisper-1"), BEFORE)
    assert shutdown_warning(whisper, BEFORE) == warning
    assert shutdown_warning(whisper, AFTER) == warning
    assert shutdown_warning(whisper, date(2026, 10, 28)) is None
    assert shutdown_warning(whisper, date(2026, 10, 29)) == warning


@pytest.mark.case("C26")
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("beside_bytes", [0, 8_000_000])
def test_the_longest_chunk_is_within_every_limit_with_a_margin(
    model: Model, beside_bytes: int
) -> None:
    """However badly it compresses."""
    longest_ms = longest_chunk_ms(model, beside_bytes)
    assert longest_ms >= 9 * 60_000
    assert longest_ms <= LONGEST_CHUNK_MS
    if model.max_audio_ms:
        assert longest_ms <= 0.97 * model.max_audio_ms
    if model.max_bytes:
        assert longest_ms * 33 + beside_bytes <= model.max_bytes


@pytest.mark.case("C20")
def test_each_language_has_one_code_and_one_name() -> None:
    assert len(NAMES) == len(CODES) == 100
    for code, name in NAMES.items():
        assert (code_of(name), name_of(code)) == (code, name)
        assert (code_of(name.title()), code_of(code)) == (code, code)
    others = "English eng EN-gb deu nb zh_TW cmn"
    assert [code_of(code) for code in others.split()] == ["en", "en", "en", "de", "no", "zh", "zh"]
    assert (code_of("Klingon"), name_of("tlh")) == ("klingon", "tlh")


@pytest.mark.parametrize("code", ["", "-", "x", "tlh", "klingon", "transcribe", "ga", "german"])
def test_a_language_that_whisper_does_not_have_has_no_code(code: str) -> None:
    assert whispers_code(code) is None


def test_whispers_code_of_a_language_is_found_by_its_others() -> None:
    assert all(whispers_code(code.upper()) == code for code in NAMES)
    others = "deu eng pol pus por jav jv nor nb nob nno zho cmn yue haw heb he-IL pt-BR zh_TW DE-at"
    found = "de en pl ps pt jw jw no no no nn zh zh yue haw he he pt zh de"
    assert [whispers_code(code) for code in others.split()] == found.split()


@pytest.mark.parametrize(
    ("asked", "model", "sent"),
    [("deu", "whisper-1", "de"), ("jv", "whisper-1", "jv"), ("deu", "gpt-4o-transcribe", "deu")],
)
def test_a_model_that_takes_two_letters_alone_gets_two(asked: str, model: str, sent: str) -> None:
    assert transcription(JobOptions(language=asked, model=model)).language == sent


def transcription(options: JobOptions) -> TranscriptionRequest:
    request = request_for(options, choose(options, BEFORE))
    assert isinstance(request, TranscriptionRequest)
    return request


class TestRequests:
    def test_a_language_goes_to_gpt_transcribe_as_languages(self) -> None:
        options = JobOptions(model="gpt-transcribe", language="de")
        request = transcription(options)
        assert (request.language, request.languages) == (None, ["de"])

    def test_a_diarizing_model_always_gets_a_chunking_strategy(self) -> None:
        options = JobOptions(model="gpt-4o-transcribe-diarize")
        assert transcription(options).chunking_strategy == "auto"

    def test_words_are_asked_for_together_with_segments(self) -> None:
        options = JobOptions(timestamp_granularities=["word"])
        request = transcription(options)
        assert request.timestamp_granularities == ["word", "segment"]

    def test_what_changes_no_answer_is_not_in_the_request(self) -> None:
        plain = JobOptions()
        labelled = JobOptions(labels={"a": "b"}, tenant="t", formats=["json"])
        model = choose(plain, BEFORE)
        assert request_for(plain, model) == request_for(labelled, model)

    def test_a_translation_takes_what_its_endpoint_has(self) -> None:
        options = JobOptions(task="translate", language="de", prompt="x", temperature=0.5)
        assert request_for(options, choose(options, BEFORE)) == TranslationRequest(
            model="whisper-1", response_format="verbose_json", prompt="x", temperature=0.5
        )

    @pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
    def test_no_job_asks_for_what_its_model_refuses(self, model: Any) -> None:
        """Options that `choose` lets pass become a request that the matrix lets pass."""
        values = {
            "language": "en",
            "languages": ["en"],
            "keywords": ["a"],
            "prompt": "a",
            "temperature": 0.0,
            "chunking_strategy": "auto",
            "include": ["logprobs"],
            "timestamp_granularities": ["word"],
        }
        for name, value in values.items():
            asked = {"model": model.name, "engine": model.engine, name: value}
            options = JobOptions.model_validate(asked)
            try:
                chosen_model = choose(options, BEFORE)
            except Rejected:
                continue
            assert matrix_refusal(request_for(options, chosen_model), model) is None
