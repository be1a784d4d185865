"""End to end: a recording of several chunks through the deployed route, while the API fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dropscribe.api import TranscriptionDiarized, TranscriptionVerbose
from tests.api_server import KEY, error
from tests.coded_api import CodedApi, Request, failing_first
from tests.coded_speech import talk, text_of, write
from tests.conftest import ROOT
from tests.route import Route

SECONDS = 200


@pytest.fixture(scope="module")
def api() -> Iterator[CodedApi]:
    with CodedApi() as server:
        yield server


@pytest.fixture(scope="module")
def route(api: CodedApi) -> Iterator[Route]:
    parameters = {"Engine": "openai", "MaxAudioMinutes": "15", "MaxConcurrency": "4"}
    template = ROOT / "template.yaml"
    with Route(template, api_url=api.base_url, api_key=KEY, parameters=parameters) as deployed:
        yield deployed


def receipt(route: Route, key: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(route.files(key)[".receipt.json"])
    return parsed


@pytest.mark.long
def test_an_impossible_chunk_is_named_and_a_redrive_repeats_only_that(
    route: Route, api: CodedApi, tmp_path: Path
) -> None:
    api.behave()
    script = talk(SECONDS, seed=41, pauses=False)
    path = tmp_path / "talk.wav"
    write(path, script, duration_ms=SECONDS * 1000, filled=True)
    # Cut at 66.666 and 133.333 s, four seconds further on both sides: only the last is so long.
    last_s = SECONDS - 133.333 + 4

    def refused(request: Request) -> Any:
        last = abs(request.seconds - last_s) < 0.0005
        return error(400, "cannot be processed") if last else None

    api.faults += [refused, failing_first(error(429, "slow down", retry_after="0.1"))]
    job = route.upload("talk.wav", path, timestamp_granularities="word")
    failure = route.told(job, "transcription.job.failed")["data"]["error"]
    manifest = json.loads(route.read(route.work, f"jobs/{job}/manifest.json"))
    spans = [(chunk["start_ms"], chunk["duration_ms"]) for chunk in manifest["chunks"]]
    assert len(spans) == 3
    assert failure["stage"] == "transcribe"
    assert "chunk 2 (00:02:" in failure["message"]
    assert "to 00:03:20.000)" in failure["message"]
    assert "cannot be processed" in failure["message"]
    served = len(api.served)
    assert served == 2

    api.behave()
    route.states.redrive_execution(executionArn=route.execution_arn(job))
    route.told(job, "transcription.job.completed")
    assert len(api.served) == 1
    answer = TranscriptionVerbose.model_validate_json(route.files("talk.wav")[".verbose.json"])
    assert answer.text == text_of([said.word for said in script])
    assert [word.word for word in answer.words or []] == [said.word for said in script]
    done = receipt(route, "talk.wav")
    assert (done["chunks"], done["calls"]["answered"]) == (3, 3)
    assert done["coverage"] == 1.0
    assert not [line for line in route.files("talk.wav")[".txt"].splitlines() if "~" in line]


def test_speakers_keep_their_labels_over_chunks(
    route: Route, api: CodedApi, tmp_path: Path
) -> None:
    """The first chunk goes ahead; its voices go with the others."""
    api.behave()
    script = talk(660, seed=42, speakers=3)
    path = tmp_path / "meeting.wav"
    write(path, script, duration_ms=660_000)
    news = route.run("meeting.wav", path, model="gpt-4o-transcribe-diarize")
    answer = TranscriptionDiarized.model_validate_json(route.files("meeting.wav")[".diarized.json"])
    assert answer.text == text_of([said.word for said in script])
    assert news["data"]["speakers"] == ["A", "B", "C"]
    spoken: dict[str, set[int]] = {}
    for segment in answer.segments:
        said = next(one for one in script if one.end_ms > segment.start * 1000 + 50)
        spoken.setdefault(segment.speaker, set()).add(said.speaker)
    assert sorted(map(sorted, spoken.values())) == [[0], [1], [2]]
    first, second = api.asked
    assert first.seconds + second.seconds == 660
    sent = [[v for k, v in r.fields if k == "known_speaker_names[]"] for r in (first, second)]
    assert sent == [[], ["voice_A", "voice_B", "voice_C"]]


def test_clips_of_known_speakers_start_no_job(route: Route, api: CodedApi, tmp_path: Path) -> None:
    before = route.jobs()
    route.s3.put_object(Bucket=route.uploads, Key="speakers/anna.wav", Body=b"a voice")
    route.run("after.wav", b"", language="en")
    assert len(set(route.jobs()) - set(before)) == 1
