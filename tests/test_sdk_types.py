"""Any object and any request passes between our server and OpenAI's own SDK unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import audio
from pydantic import BaseModel

from dropscribe import validity
from dropscribe.api import (
    ApiObject,
    DetectedLanguage,
    DurationUsage,
    InputTokenDetails,
    Logprob,
    TokenUsage,
    Transcription,
    TranscriptionDiarized,
    TranscriptionDiarizedSegment,
    TranscriptionRequest,
    TranscriptionSegment,
    TranscriptionStreamEvent,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionTextSegmentEvent,
    TranscriptionVerbose,
    TranscriptionWord,
    Translation,
    TranslationRequest,
    TranslationVerbose,
    wire,
)
from dropscribe.models import named
from tests.served import Served

# The SDK calls translations deprecated, all of them.
pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
EXAMPLES = 20
"""Of each kind: a call takes some milliseconds."""
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
numbers = st.floats(allow_nan=False, allow_infinity=False)
shares = st.floats(0, 1)
counts = st.integers(0, 2**53)


def some(wanted: type[ApiObject], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects with such fields; those that need not be there are there or not."""
    needed = {name for name, field in wanted.model_fields.items() if field.is_required()}
    required = {name: values for name, values in fields.items() if name in needed}
    optional = {name: values for name, values in fields.items() if name not in needed}
    return st.fixed_dictionaries(required, optional=optional).map(wanted.model_validate)


def lists(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, max_size=3)


details = some(InputTokenDetails, text_tokens=counts, audio_tokens=counts)
tokens = some(
    TokenUsage,
    type=st.just("tokens"),
    total_tokens=counts,
    input_tokens=counts,
    input_token_details=details,
    output_tokens=counts,
)
seconds = st.builds(DurationUsage, seconds=counts | st.floats(0, 1e9))
usages = tokens | seconds
logprobs = lists(
    some(Logprob, token=texts, logprob=numbers, bytes=lists(st.integers(0, 255))),
)
languages = lists(st.builds(DetectedLanguage, code=texts))
segment = {
    **{"id": counts, "seek": counts, "start": numbers, "end": numbers, "text": texts},
    **{"tokens": lists(counts), "temperature": shares, "avg_logprob": numbers},
    **{"compression_ratio": numbers, "no_speech_prob": shares},
}
segments = lists(some(TranscriptionSegment, **segment))
words = lists(st.builds(TranscriptionWord, word=texts, start=numbers, end=numbers))
turn = {"text": texts, "speaker": texts, "start": numbers, "end": numbers, "id": texts}
turns = lists(st.builds(TranscriptionDiarizedSegment, **turn))
plain = {"text": texts, "logprobs": logprobs, "languages": languages, "usage": usages}
verbose = {"language": texts, "duration": numbers, "text": texts, "segments": segments}

ANSWERS: dict[str, tuple[str, st.SearchStrategy[Any], type[BaseModel]]] = {
    "json": ("json", some(Transcription, **plain), audio.Transcription),
    "verbose_json": (
        "verbose_json",
        some(
            TranscriptionVerbose, **verbose, task=st.just("transcribe"), words=words, usage=usages
        ),
        audio.TranscriptionVerbose,
    ),
    "diarized_json": (
        "diarized_json",
        some(
            TranscriptionDiarized,
            text=texts,
            task=st.just("transcribe"),
            duration=numbers,
            segments=turns,
            usage=usages,
        ),
        audio.TranscriptionDiarized,
    ),
    "translation": ("json", st.builds(Translation, text=texts), audio.Translation),
    "verbose translation": (
        "verbose_json",
        some(TranslationVerbose, **verbose, task=st.just("translate")),
        audio.TranslationVerbose,
    ),
}
deltas = some(
    TranscriptionTextDeltaEvent,
    type=st.just("transcript.text.delta"),
    delta=texts,
    logprobs=logprobs,
    segment_id=texts,
)
said = st.builds(TranscriptionTextSegmentEvent, **turn)
done = some(TranscriptionTextDoneEvent, type=st.just("transcript.text.done"), **plain)
KINDS = {
    "transcript.text.delta": audio.TranscriptionTextDeltaEvent,
    "transcript.text.segment": audio.TranscriptionTextSegmentEvent,
    "transcript.text.done": audio.TranscriptionTextDoneEvent,
}

vad = st.fixed_dictionaries(
    {"type": st.just("server_vad")},
    optional={"prefix_padding_ms": counts, "silence_duration_ms": counts, "threshold": shares},
)
codes = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=2)
# Of the empty texts that a list begins with the SDK sends one.
names = texts.filter(bool)
speakers = st.lists(
    st.tuples(names, st.binary(max_size=3000).map(lambda it: f"data:audio/wav;base64,{it.hex()}")),
    min_size=1,
    max_size=4,
)
PARAMETERS: dict[str, st.SearchStrategy[Any]] = {
    **{"prompt": texts, "temperature": shares, "language": codes},
    **{
        "languages": lists(codes),
        "keywords": lists(names),
        "chunking_strategy": st.just("auto") | vad,
    },
    **{"include": st.just(["logprobs"]), "speakers": speakers},
    "timestamp_granularities": st.lists(st.sampled_from(["word", "segment"]), max_size=2),
    "stream": st.booleans(),
}
MODELS: dict[str, tuple[str, ...]] = {
    "whisper-1": ("json", "verbose_json"),
    "gpt-transcribe": ("json",),
    "gpt-4o-transcribe": ("json",),
    "gpt-4o-transcribe-diarize": ("json", "diarized_json"),
    "pocketsphinx-en-us": ("json", "verbose_json", "diarized_json"),
}


@st.composite
def requests(draw: st.DrawFn) -> TranscriptionRequest:
    """What a model takes: parameters that it would refuse are left out."""
    name = draw(st.sampled_from(list(MODELS)))
    given = {"model": name, "response_format": draw(st.sampled_from(MODELS[name]))}
    drawn = draw(st.fixed_dictionaries({}, optional=PARAMETERS))
    if pairs := drawn.pop("speakers", None):
        called, references = zip(*pairs, strict=True)
        drawn |= {"known_speaker_names": called, "known_speaker_references": references}
    asked = TranscriptionRequest.model_validate({**given, **drawn})
    while refused := validity.refusal(asked, named(name)):
        asked = asked.model_copy(update={str(refused.param): None})
    return asked


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with Served() as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="sk-any", base_url=server.base_url, max_retries=0) as created:
        yield created


def plainly(answer: Any) -> Any:
    return answer.model_dump(mode="json", exclude_unset=True, warnings=False)


class TestAnswers:
    @pytest.mark.parametrize("name", ANSWERS)
    @settings(max_examples=EXAMPLES, deadline=None)
    @given(data=st.data())
    def test_every_object_arrives_as_it_was_given(
        self, server: Served, client: openai.OpenAI, name: str, data: st.DataObject
    ) -> None:
        response_format, answers, kind = ANSWERS[name]
        server.backend.reply = answer = data.draw(answers)
        fields: Any = {"model": "pocketsphinx-en-us", "response_format": response_format}
        resource: Any = client.audio.translations if "transl" in name else (
            client.audio.transcriptions
        )  # fmt: skip
        received = resource.create(file=b"RIFF", **fields)
        assert type(received) is kind
        assert plainly(received) == json.loads(wire(answer))

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(answer=texts, wanted=st.sampled_from(["text", "srt", "vtt"]))
    def test_text_arrives_as_it_was_given(
        self,
        server: Served,
        client: openai.OpenAI,
        answer: str,
        wanted: Literal["text", "srt", "vtt"],
    ) -> None:
        server.backend.reply = answer
        model = "pocketsphinx-en-us"
        resources: tuple[Any, ...] = (client.audio.transcriptions, client.audio.translations)
        for resource in resources:
            received = resource.create(file=b"RIFF", model=model, response_format=wanted)
            assert received == answer

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(before=st.lists(deltas | said, max_size=5), last=done)
    def test_every_stream_arrives_as_it_was_given(
        self,
        server: Served,
        client: openai.OpenAI,
        before: list[TranscriptionStreamEvent],
        last: TranscriptionTextDoneEvent,
    ) -> None:
        server.backend.steps = [*before, last]
        with client.audio.transcriptions.create(
            file=b"RIFF", model="pocketsphinx-en-us", stream=True
        ) as stream:
            received = list(stream)
        assert [plainly(event) for event in received] == [
            json.loads(wire(event))
            for event in server.backend.steps
            if isinstance(event, ApiObject)
        ]
        assert all(type(event) is KINDS[event.type] for event in received)


class TestRequests:
    @settings(max_examples=4 * EXAMPLES, deadline=None)
    @given(asked=requests(), content=st.binary(min_size=1))
    def test_every_transcription_is_understood_as_it_was_asked_for(
        self, server: Served, client: openai.OpenAI, asked: TranscriptionRequest, content: bytes
    ) -> None:
        server.backend.behave()
        parameters: Any = asked.model_dump(exclude_none=True, exclude_defaults=True)
        received = client.audio.transcriptions.create(file=content, **parameters)
        if isinstance(received, openai.Stream):
            received.close()
        (seen,) = server.backend.seen
        assert (seen.request, seen.model, seen.upload) == (asked, asked.model, content)

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(prompt=texts, temperature=shares)
    def test_every_translation_is_understood_as_it_was_asked_for(
        self, server: Served, client: openai.OpenAI, prompt: str, temperature: float
    ) -> None:
        server.backend.behave()
        resource: Any = client.audio.translations
        resource.create(file=b"RIFF", model="whisper-1", prompt=prompt, temperature=temperature)
        expected = TranslationRequest(model="whisper-1", prompt=prompt, temperature=temperature)
        assert [seen.request for seen in server.backend.seen] == [expected]
