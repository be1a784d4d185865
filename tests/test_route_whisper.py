"""Engine `whisper` on the deployed route: a real model, real voices, the image's function."""

from __future__ import annotations

import io
import json
import re
import wave
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from dropscribe import sound
from dropscribe.api import FORMATS, Transcription, TranscriptionDiarized, TranscriptionVerbose
from dropscribe.job import UNANSWERED, chunk_record_key
from local import image
from tests import espeak
from tests.api_server import KEY, Answer, ApiServer
from tests.conftest import DATA, ROOT
from tests.route import Route
from tools.tiny_whisper.measure import drawn

TINY = DATA / "tiny-whisper"
VOICES = (("en+f2", 60), ("en+m3", 35), ("en-us+f4", 80))
SENTENCES = (
    "three seven hello garden five water nine",
    "open water nine please stop eight zero",
    "two six tomorrow garden four one seven",
)
PAUSE_S = 0.6
TURNS = 9


@pytest.fixture(scope="module")
def route(api_server: ApiServer) -> Iterator[Route]:
    uri = f"{image.REGISTRY}/functions/transcribe_gpu:local"
    parameters = {"WhisperImageUri": uri, "WhisperProcessor": "cpu", "WhisperModel": str(TINY)}
    with Route(
        ROOT / "template.yaml",
        api_url=api_server.base_url,
        api_key=KEY,
        parameters=parameters,
    ) as deployed:
        yield deployed


class Talk:
    """Three people in turns, and who says what when."""

    def __init__(self) -> None:
        parts = [np.zeros(round(PAUSE_S * espeak.RATE_HZ), np.int16)]
        self.words: list[str] = []
        self.turns: list[tuple[int, int, int]] = []
        """Who, from when and until when, in ms."""
        at_ms = round(PAUSE_S * 1000)
        for number in range(TURNS):
            who = (0, 1, 2, 1, 0, 2)[number % 6]
            voice, pitch = VOICES[who]
            said = espeak.say(SENTENCES[number % 3], voice, pitch=pitch)
            length_ms = len(said.samples) * 1000 // espeak.RATE_HZ
            self.turns.append((who, at_ms, at_ms + length_ms))
            self.words += [word.text for word in said.words]
            parts += [said.samples, parts[0]]
            at_ms += length_ms + round(PAUSE_S * 1000)
        self.wav = sound.wav(np.concatenate(parts).tobytes())

    def who(self, ms: float) -> int | None:
        return next((who for who, start_ms, end_ms in self.turns if start_ms <= ms < end_ms), None)


@pytest.fixture(scope="module")
def talk() -> Talk:
    return Talk()


@pytest.fixture(scope="module")
def told(route: Route, talk: Talk) -> tuple[dict[str, Any], dict[str, str]]:
    news = route.run("talk.wav", talk.wav, engine="whisper")
    return news, route.files("talk.wav")


Told = tuple[dict[str, Any], dict[str, str]]


def test_all_six_formats_are_there(told: Told) -> None:
    news, files = told
    assert news["type"] == "transcription.job.completed"
    data = news["data"]
    assert (data["engine"], data["model"], data["language"]) == ("whisper", str(TINY), "en")
    assert set(data["outputs"]) == {*FORMATS}
    assert json.loads(files[".receipt.json"])["estimated_cost"]["usd"] == 0
    text = Transcription.model_validate_json(files[".json"]).text
    assert text == files[".txt"].strip().replace("\n\n", " ")


def test_the_answer_is_the_apis_object_with_all_that_whisper_measures(told: Told) -> None:
    verbose = TranscriptionVerbose.model_validate_json(told[1][".verbose.json"])
    assert verbose.language == "english"
    for number, segment in enumerate(verbose.segments or []):
        assert segment.id == number
        # Tokens are absent where speech without words was found a second time.
        measured = segment.model_dump(exclude={"id", "start", "end", "text", "tokens"})
        assert None not in measured.values()
    assert any(segment.tokens for segment in verbose.segments or [])
    assert len(verbose.words or []) == len(verbose.text.split())


def test_three_voices_are_three_speakers_in_the_order_of_their_words(
    told: Told, talk: Talk
) -> None:
    news, files = told
    assert news["data"]["speakers"] == ["A", "B", "C"]
    diarized = TranscriptionDiarized.model_validate_json(files[".diarized.json"])
    for segment in diarized.segments:
        middle_ms = (segment.start + segment.end) * 500
        assert segment.speaker == "ABC"[talk.who(middle_ms) or 0]
    assert "".join(segment.text for segment in diarized.segments).split() == diarized.text.split()


def test_subtitles_name_who_speaks(told: Told) -> None:
    for label in "ABC":
        assert f"<v {label}>" in told[1][".vtt"]
        assert f"\n{label}: " in told[1][".srt"]


def test_known_speakers_have_their_names_and_strangers_a_letter(route: Route, talk: Talk) -> None:
    voice, pitch = VOICES[1]
    clip = espeak.say("hello garden water open please tomorrow seven three", voice, pitch=pitch)
    wav = sound.wav(clip.samples.tobytes())
    route.s3.put_object(Bucket=route.uploads, Key="speakers/ben.wav", Body=wav)
    news = route.run(
        "known.wav",
        talk.wav,
        engine="whisper",
        known_speaker_names="Ben",
        known_speaker_references="speakers/ben.wav",
        max_speakers="3",
    )
    assert news["data"]["speakers"] == ["A", "Ben", "B"]


def test_a_model_that_is_not_there_fails_the_job_with_how_to_get_one(
    route: Route, talk: Talk
) -> None:
    news = route.run("nowhere.wav", talk.wav, engine="whisper", model="/nowhere/model")
    error = news["data"]["error"]
    assert (error["code"], error["stage"]) == ("unsupported_by_model", "transcribe")
    assert "there is no folder /nowhere/model" in error["message"]
    assert "ct2-transformers-converter" in error["message"]


class TestTextAlone:
    """A German recording at an API whose model tells text alone."""

    RECORDING = drawn(33, 5, german=True)

    def told(
        self, route: Route, api: ApiServer, key: str, channels: int = 1
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """News and receipt. Each channel is quieter than the one before, or they would be one."""
        turns = (" ".join(word.text for word in turn) for turn in self.RECORDING.turns)
        text = " ".join(f"{turn}." for turn in turns)
        api.behave()
        api.planned += [Answer(200, json.dumps({"text": text}).encode())] * channels
        options = {"engine": "openai", "model": "gpt-transcribe", "languages": "de", "prompt": key}
        options |= {"channels": "split"} if channels > 1 else {}
        news = route.run(key, self.wav(channels), **options)
        assert news["type"] == "transcription.job.completed", news
        return news, json.loads(route.files(key)[".receipt.json"])

    def test_its_words_are_found_in_the_audio_by_whisper(
        self, route: Route, api_server: ApiServer
    ) -> None:
        news, receipt = self.told(route, api_server, "deutsch.wav")
        assert (receipt["timing"], receipt["word_timing"]) == ("aligned", "aligned")
        assert not any("estimated" in warning for warning in receipt["warnings"])
        verbose = TranscriptionVerbose.model_validate_json(
            route.files("deutsch.wav")[".verbose.json"]
        )
        found = verbose.words or []
        off_ms = [
            abs(word.start * 1000 - truth.start_ms)
            for word, truth in zip(found, self.RECORDING.words, strict=True)
        ]
        assert max(off_ms) < 150

        # The step once more, as a redrive or Lambda may have it: the same bytes, and no call.
        job = news["data"]["job_id"]
        before = self.stored(route, job)
        asked = {"job_id": job, "chunk": 0, "align": True}
        assert route.invoke("WhisperCpuFunction", asked) == {"chunk": 0}
        assert self.stored(route, job) == before
        assert len(api_server.requests) == 1

    def test_one_chunk_is_aligned_ahead_of_the_others(
        self, route: Route, api_server: ApiServer
    ) -> None:
        news, receipt = self.told(route, api_server, "zwei.wav", channels=2)
        assert (receipt["timing"], receipt["word_timing"]) == ("aligned", "aligned")
        assert self.entered(route, news["data"]["job_id"]) == [
            *("Normalize", "TranscribeLeaders", "TranscribeChunks", *["Transcribe"] * 2),
            *("Unaligned", "HasUnaligned", "OneAhead", "AlignFirst"),
            *("AlignOthers", "AlignOther", "Format", "Notify"),
        ]

    def test_an_aligner_without_time_costs_the_job_nothing_but_better_times(
        self, route: Route, api_server: ApiServer
    ) -> None:
        route.shorten("WhisperCpuFunction", 1)
        try:
            # A process of its own. A slow machine kills it, on a quick one it gives up.
            with route.setting("WhisperCpuFunction", "POWERTOOLS_LOG_LEVEL", "DEBUG"):
                news, receipt = self.told(route, api_server, "killed.wav", channels=2)
        finally:
            route.shorten("WhisperCpuFunction", 900)
        assert receipt["timing"] == "estimated"
        assert re.search(f"{UNANSWERED}|timed_out: ", "\n".join(receipt["warnings"]))
        assert '"aligning":true' in route.cloud.logs("WhisperCpuFunction")
        assert "AlignOthers" not in self.entered(route, news["data"]["job_id"])

    def wav(self, channels: int) -> bytes:
        file = io.BytesIO()
        with wave.open(file, "wb") as target:
            target.setparams((channels, 2, sound.SAMPLE_RATE_HZ, 0, "NONE", ""))
            tracks = [self.RECORDING.samples * 32767 / (1 + n) for n in range(channels)]
            target.writeframes(np.stack(tracks, 1).astype(np.int16).tobytes())
        return file.getvalue()

    def entered(self, route: Route, job: str) -> list[str]:
        """The states that an execution was in, in order."""
        arn = route.execution_arn(job)
        pages = route.cloud.client("stepfunctions").get_paginator("get_execution_history")
        events = [event for page in pages.paginate(executionArn=arn) for event in page["events"]]
        entered = [event.get("stateEnteredEventDetails") for event in events]
        return [details["name"] for details in entered if details]

    def stored(self, route: Route, job: str) -> list[str]:
        listed = route.s3.list_objects_v2(Bucket=route.work, Prefix="results/")["Contents"]
        keys = [chunk_record_key(job, 0), *sorted(item["Key"] for item in listed)]
        return [route.read(route.work, key) for key in keys]
