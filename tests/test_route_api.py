"""The route with engine `openai` against `dropscribe serve`: recognition behind real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from dropscribe.api import (
    FORMATS,
    DurationUsage,
    Transcription,
    TranscriptionDiarized,
    TranscriptionVerbose,
)
from local.api import LocalApi, local_api
from tests.conftest import DATA, ROOT
from tests.route import Route

SPEECH, STEREO = DATA / "austen-0880.wav", DATA / "two-lines.flac"
KEY_NAME = "/dropscribe/api-key"


@pytest.fixture(scope="module")
def api() -> Iterator[LocalApi]:
    with local_api() as served:
        yield served


@pytest.fixture(scope="module")
def route(api: LocalApi) -> Iterator[Route]:
    """The key lies in Systems Manager, and goes where ApiHeaders says."""
    parameters = {
        "Engine": "openai",
        "ApiKeySecretArn": f"arn:aws:ssm:us-east-1:123456789012:parameter{KEY_NAME}",
        "ApiHeaders": json.dumps({"authorization": "bearer {key}", "x-team": "tests"}),
    }
    template = ROOT / "template.yaml"
    with Route(template, api_url=api.base_url, api_key="unused", parameters=parameters) as route:
        ssm = route.cloud.client("ssm")
        ssm.put_parameter(Name=KEY_NAME, Value=api.key, Type="SecureString")
        yield route


def test_the_api_and_the_engine_behind_it_say_the_same(route: Route) -> None:
    asked = {"timestamp_granularities": "word,segment"}
    news = route.run("hosted.wav", SPEECH, **asked)
    route.run("offline.wav", SPEECH, engine="offline", **asked)
    hosted, offline = (
        TranscriptionVerbose.model_validate_json(route.files(key)[".verbose.json"])
        for key in ("hosted.wav", "offline.wav")
    )
    assert hosted.words
    assert hosted.words == offline.words
    assert (hosted.text, hosted.language, hosted.duration) == (offline.text, "english", 2.99)
    assert hosted.usage == DurationUsage(seconds=3)
    data = news["data"]
    assert (data["engine"], data["model"]) == ("openai", "whisper-1")
    assert set(data["outputs"]) == {*FORMATS}
    assert ["shut down" in warning for warning in data["warnings"]] == [True]


def test_channels_are_speakers_through_the_api_as_well(route: Route) -> None:
    news = route.run("call.flac", STEREO, channels="split", formats="diarized_json,srt")
    answer = TranscriptionDiarized.model_validate_json(route.files("call.flac")[".diarized.json"])
    assert [segment.speaker for segment in answer.segments] == ["A", "B"]
    assert news["data"]["speakers"] == ["A", "B"]


def test_a_model_of_text_alone_names_the_language(route: Route) -> None:
    asked = {"model": "gpt-transcribe", "keywords": "Austen, Dashwood", "include": "logprobs"}
    news = route.run("short.wav", SPEECH, **asked)
    answer = Transcription.model_validate_json(route.files("short.wav")[".json"])
    assert "".join(part.token or "" for part in answer.logprobs or []) == answer.text
    assert news["data"]["language"] == "en"
    assert set(news["data"]["outputs"]) == {*FORMATS}


def test_its_words_are_looked_for_in_the_audio(route: Route) -> None:
    """Within a tenth of a second of where the recognizer of the same words had them."""
    route.run("aligned.wav", SPEECH, model="gpt-transcribe")
    route.run("measured.wav", SPEECH, engine="offline")
    found, measured = (
        TranscriptionVerbose.model_validate_json(route.files(key)[".verbose.json"])
        for key in ("aligned.wav", "measured.wav")
    )
    assert found.words is not None
    assert measured.words is not None
    assert [word.word for word in found.words] == [word.word for word in measured.words]
    for one, other in zip(found.words, measured.words, strict=True):
        assert one.start == pytest.approx(other.start, abs=0.1)
    receipt = json.loads(route.files("aligned.wav")[".receipt.json"])
    assert (receipt["timing"], receipt["word_timing"]) == ("aligned", "aligned")
    assert sum(receipt["quality"]["srt"]["broken"].values()) == 0
    assert "Timing: aligned" in route.files("aligned.wav")[".vtt"]


def test_a_translation_goes_to_its_own_address(route: Route) -> None:
    route.run("talk.wav", SPEECH, task="translate")
    answer = TranscriptionVerbose.model_validate_json(route.files("talk.wav")[".verbose.json"])
    assert (answer.task, answer.language) == ("translate", "english")


def test_what_the_server_cannot_do_is_told_in_its_own_words(route: Route) -> None:
    news = route.run("deutsch.wav", SPEECH, language="de")
    error = news["data"]["error"]
    assert (error["code"], error["retryable"]) == ("unsupported_by_model", False)
    assert "knows only the language 'en', not 'de'" in error["message"]


def test_the_key_is_in_no_log_and_no_file(route: Route, api: LocalApi) -> None:
    assert "transcribed" in route.logs()
    assert api.key not in route.logs()
    kept = route.s3.list_objects_v2(Bucket=route.work)["Contents"]
    files = [
        route.s3.get_object(Bucket=route.work, Key=item["Key"])["Body"].read() for item in kept
    ]
    files += [text.encode() for text in route.files("").values()]
    assert len(files) > 10
    assert not any(api.key.encode() in content for content in files)
