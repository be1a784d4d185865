"""The API key is in nothing that a run leaves behind, and what was said is in transcripts alone.

One deployment with its logs at their most talkative, uploads that succeed and that fail in every
way in which an answer, a key or a transcript could slip out, and then a search of everything.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.logs.models import logs_backends
from pydantic import BaseModel, ValidationError

from dropscribe.api import Transcription, TranscriptionDiarized, TranscriptionVerbose
from dropscribe.job import ChunkRecord, ChunkResult
from dropscribe.stages.times import _Times
from dropscribe.transcript import Transcript
from tests.api_server import KEY, Answer, ApiServer, error
from tests.conftest import DATA, ROOT
from tests.route import Route

SPEECH: Final = DATA / "austen-0880.wav"
SAID: Final = "Zanzibar quokka."
WORDS: Final = ("zanzibar", "quokka", "young")
"""Of what the API answers; the last one is what the offline recognizer hears."""
SECRETS: Final = (KEY, base64.b64encode(KEY.encode()).decode())
TRANSCRIPTS: Final = re.compile(
    r"transcripts/.*\.(json|txt|srt|vtt|verbose\.json|diarized\.json|receipt\.json)"
    r"|work/results/.*|work/jobs/[^/]+/(transcript\.json|chunks/.*\.json|outputs/.*)"
)
"""Objects that hold what was said: `<bucket>/<key>`. A receipt quotes what it doubts."""
ERRORS: Final = re.compile(r"transcripts/.*\.error\.json")


def answer(content: dict[str, Any], media: str = "application/json") -> Answer:
    return Answer(200, json.dumps(content).encode(), media)


VERBOSE: Final[dict[str, Any]] = {
    **{"task": "transcribe", "language": "english", "duration": 2.99, "text": SAID},
    "segments": [
        {
            **{"id": 0, "seek": 0, "start": 0.0, "end": 2.5, "text": f" {SAID}", "tokens": [1]},
            **{"temperature": 0.0, "avg_logprob": -0.2, "compression_ratio": 1.0},
            "no_speech_prob": 0.01,
        }
    ],
    "words": [
        {"word": "Zanzibar", "start": 0.2, "end": 1.2},
        {"word": "quokka", "start": 1.3, "end": 2.4},
    ],
}
ANSWERED: Final = (
    ("text.wav", "gpt-transcribe", answer({"text": SAID})),
    ("verbose.wav", "whisper-1", answer(VERBOSE)),
)
FAILED: Final = (
    ("refused.wav", error(400, f"no such thing: Bearer {KEY}")),
    ("echoed.wav", error(401, f"Incorrect API key provided: {KEY}.", code="invalid_api_key")),
    ("page.wav", Answer(403, f"<html>{KEY}</html>".encode(), "text/html")),
    ("another-type.wav", answer({"text": [SAID]})),
    ("no-segments.wav", answer(VERBOSE | {"segments": [{"text": SAID}]})),
    ("no-json.wav", Answer(200, f'{{"text": "{SAID}'.encode())),
)
"""Key and what the API answers, however often it is asked."""


@pytest.fixture(scope="module")
def left_behind(api_server: ApiServer) -> Iterator[dict[str, str]]:
    """All that there is in the end: what it is → its text."""
    api_server.behave()
    with Route(
        ROOT / "template.yaml",
        api_url=api_server.base_url,
        api_key=KEY,
        parameters={"VoiceModel": "none"},
    ) as route:
        _talk(route)
        for key, model, told in ANSWERED:
            api_server.down = told
            assert _run(route, key, model=model) == "completed"
        for key, told in FAILED:
            api_server.down = told
            assert _run(route, key, model="whisper-1", prompt=key) == "failed"
        _spoil_results(route)
        assert _run(route, "spoiled.wav", model="gpt-transcribe") == "failed"
        assert _run(route, "offline.wav", engine="offline") == "completed"
        route.sqs.send_message(QueueUrl=route.outputs["UploadsQueueUrl"], MessageBody="no JSON")
        assert [seen.authorization for seen in api_server.requests] == [f"Bearer {KEY}"] * len(
            api_server.requests
        )
        yield dict(_everything(route))
    api_server.behave()


def _run(route: Route, key: str, **options: str) -> str:
    news = route.run(key, SPEECH, **{"engine": "openai", **options})
    return str(news["type"]).rpartition(".")[2]


def _talk(route: Route) -> None:
    """Logs of every function at their most talkative."""
    client = route.cloud.client("lambda")
    talkative = {
        "POWERTOOLS_LOG_LEVEL": "DEBUG",
        "AWS_LAMBDA_LOG_LEVEL": "DEBUG",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
    }
    for function in client.list_functions()["Functions"]:
        given = function["Environment"]["Variables"].items()
        variables = {name: str(value) for name, value in given} | talkative
        client.update_function_configuration(
            FunctionName=function["FunctionName"], Environment={"Variables": variables}
        )


def _spoil_results(route: Route) -> None:
    """What the cache holds is of another version of this software, say."""
    for item in route.s3.list_objects_v2(Bucket=route.work, Prefix="results/")["Contents"]:
        body = json.dumps({"response": {"text": SAID}, "answer": SAID})
        route.s3.put_object(Bucket=route.work, Key=item["Key"], Body=body)


def _everything(route: Route) -> Iterator[tuple[str, str]]:
    yield from _logs()
    yield from _objects(route)
    yield from _executions(route)
    yield from _messages(route)
    functions = route.cloud.client("lambda").list_functions()["Functions"]
    yield from ((f"function {it['FunctionName']}", json.dumps(it, default=str)) for it in functions)
    stacks = route.cloud.client("cloudformation").describe_stacks()["Stacks"]
    yield "stack", json.dumps(stacks, default=str)


def _logs() -> Iterator[tuple[str, str]]:
    for name, group in logs_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].groups.items():
        lines = [event.message for stream in group.streams.values() for event in stream.events]
        yield f"log {name}", "\n".join(lines)


def _objects(route: Route) -> Iterator[tuple[str, str]]:
    """Every version of every object, but for the recordings themselves and the code."""
    for bucket, name in (("transcripts", route.transcripts), ("work", route.work)):
        for page in route.s3.get_paginator("list_object_versions").paginate(Bucket=name):
            for version in page.get("Versions", []):
                which = {"Key": version["Key"], "VersionId": version["VersionId"]}
                found = route.s3.get_object(Bucket=name, **which)
                text = found["Body"].read().decode("latin-1") + json.dumps(found["Metadata"])
                yield f"{bucket}/{version['Key']} {version['VersionId']}", text


def _executions(route: Route) -> Iterator[tuple[str, str]]:
    for job in route.jobs():
        yield f"execution {job}", json.dumps(route.describe(job), default=str)
        pages = route.states.get_paginator("get_execution_history").paginate(
            executionArn=route.execution_arn(job), includeExecutionData=True
        )
        events = [event for page in pages for event in page["events"]]
        yield f"history {job}", json.dumps(events, default=str)


def _messages(route: Route) -> Iterator[tuple[str, str]]:
    """Of queues, dead letters too, and of the topic."""
    yield "notifications", json.dumps(route.received())
    for url in route.sqs.list_queues()["QueueUrls"]:
        received = route.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        yield f"queue {url}", json.dumps(received.get("Messages", []), default=str)


class TestEverythingThatIsLeft:
    def test_there_is_something_of_each_kind(self, left_behind: dict[str, str]) -> None:
        """Or the searches below would find nothing in nothing."""
        kinds = ("log ", "transcripts/", "work/", "execution ", "history ", "queue ", "function ")
        for kind in kinds:
            assert "".join(text for name, text in left_behind.items() if name.startswith(kind))
        logs = "".join(text for name, text in left_behind.items() if name.startswith("log "))
        assert "job started" in logs
        assert "DEBUG" in logs
        assert "***" in "".join(t for n, t in left_behind.items() if ERRORS.match(n))
        assert left_behind["notifications"].count('"status": "failed"') == len(FAILED) + 1

    def test_the_key_is_nowhere(self, left_behind: dict[str, str]) -> None:
        assert [n for n, text in left_behind.items() if any(s in text for s in SECRETS)] == []

    def test_what_was_said_is_in_transcripts_alone(self, left_behind: dict[str, str]) -> None:
        holding = [n for n, text in left_behind.items() if any(w in text.lower() for w in WORDS)]
        elsewhere = [name for name in holding if not TRANSCRIPTS.match(name) or ERRORS.match(name)]
        assert elsewhere == []
        assert len(holding) > len(ANSWERED)


@pytest.mark.parametrize(
    "kind",
    [ChunkRecord, ChunkResult, Transcript, Transcription, TranscriptionDiarized,
     TranscriptionVerbose, _Times],
)  # fmt: skip
@pytest.mark.parametrize("content", [f'{{"text": ["{SAID}"]}}', f'{{"words": "{SAID}'])
def test_what_holds_words_tells_none_of_them_when_it_cannot_be_read(
    kind: type[BaseModel], content: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate_json(content)
    assert SAID not in str(caught.value)
