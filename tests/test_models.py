"""The model table: what is chosen, what is refused and why."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from dropscribe.engines import request_for
from dropscribe.errors import Rejected
from dropscribe.models import MODELS, choose, formats_for, shutdown_warning
from dropscribe.options import JobOptions

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
    ],
)
def test_auto_picks_by_what_is_asked_for(options: dict[str, Any], model: str) -> None:
    assert chosen(**options) == model


def test_auto_passes_over_models_that_are_shut_down() -> None:
    assert chosen(AFTER) == "gpt-transcribe"


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"engine": "whisper"}, "engine `whisper` is not part of this deployment"),
        ({"engine": "offline", "model": "whisper-1"}, "has no model `whisper-1`. It has: pocket"),
        ({"engine": "offline", "language": "de"}, "knows only `en`, asked for `de`"),
        ({"engine": "offline", "prompt": "x"}, "does not take `prompt`"),
        ({"engine": "offline", "formats": ["diarized_json"]}, "no model does all"),
        ({"model": "gpt-transcribe", "formats": ["srt"]}, "gives no times"),
        ({"model": "whisper-1", "formats": ["diarized_json"]}, "does not tell speakers apart"),
        (
            {"model": "gpt-4o-transcribe-diarize", "formats": ["verbose_json"]},
            "does not name the language",
        ),
        ({"model": "gpt-4o-transcribe-diarize", "prompt": "x"}, "does not take `prompt`"),
        ({"model": "gpt-transcribe", "task": "translate"}, "does not translate"),
        ({"formats": ["diarized_json", "verbose_json"]}, "no model does all that is asked for"),
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
        ("gpt-transcribe", "openai", ["json", "text"]),
        ("gpt-4o-transcribe", "openai", ["json", "text"]),
        ("gpt-4o-transcribe-diarize", "openai", ["json", "text", "srt", "vtt", "diarized_json"]),
        ("pocketsphinx-en-us", "offline", ["json", "text", "srt", "vtt", "verbose_json"]),
    ],
)
def test_by_default_a_job_gives_all_that_it_honestly_can(
    name: str, engine: str, formats: list[str]
) -> None:
    options = JobOptions.model_validate({"model": name, "engine": engine})
    assert formats_for(choose(options, BEFORE), options, speakers=False) == formats


def test_separate_channels_give_speakers_to_any_timed_model() -> None:
    options = JobOptions(engine="offline", channels="split")
    model = choose(options, BEFORE)
    assert "diarized_json" in formats_for(model, options, speakers=True)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_model_near_its_end_warns(model: Any) -> None:
    assert (shutdown_warning(model, BEFORE) is None) == (model.shutdown is None)


class TestRequests:
    def test_a_language_goes_to_gpt_transcribe_as_languages(self) -> None:
        options = JobOptions(model="gpt-transcribe", language="de")
        request = request_for(options, choose(options, BEFORE))
        assert (request.language, request.languages) == (None, ["de"])

    def test_a_diarizing_model_always_gets_a_chunking_strategy(self) -> None:
        options = JobOptions(model="gpt-4o-transcribe-diarize")
        assert request_for(options, choose(options, BEFORE)).chunking_strategy == "auto"

    def test_words_are_asked_for_together_with_segments(self) -> None:
        options = JobOptions(timestamp_granularities=["word"])
        request = request_for(options, choose(options, BEFORE))
        assert request.timestamp_granularities == ["word", "segment"]

    def test_what_changes_no_answer_is_not_in_the_request(self) -> None:
        plain = JobOptions()
        labelled = JobOptions(labels={"a": "b"}, tenant="t", formats=["json"])
        model = choose(plain, BEFORE)
        assert request_for(plain, model) == request_for(labelled, model)
