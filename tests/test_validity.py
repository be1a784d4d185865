"""The validity matrix: every cell, held by the client before it sends a byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dropscribe.api import FORMATS, TranscriptionRequest, TranslationRequest, from_form, to_form
from dropscribe.client import Client
from dropscribe.errors import Rejected
from dropscribe.models import MODELS, named
from dropscribe.validity import FILE_SUFFIXES, audio_refusal, explained, file_refusal
from tests.api_server import KEY, RECORDED, ApiServer, error

WHISPER, GPT, DIARIZE = "whisper-1", "gpt-transcribe", "gpt-4o-transcribe-diarize"
GPT_4O = [
    *("gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-mini-transcribe-2025-12-15"),
]
HOSTED = [WHISPER, *GPT_4O, DIARIZE, GPT]
VOICES = ["data:audio/wav;base64,AAAA"]

TAKEN: dict[str, set[str]] = {
    WHISPER: {"json", "text", "srt", "vtt", "verbose_json"},
    **{model: {"json", "text"} for model in GPT_4O},
    DIARIZE: {"json", "text", "diarized_json"},
    GPT: {"json", "text"},
}
"""Model → formats that it takes."""

PARAMETERS: dict[str, dict[str, Any]] = {
    "language": {"language": "en"},
    "languages": {"languages": ["de", "en"]},
    "keywords": {"keywords": ["Dropscribe"]},
    "prompt": {"prompt": "names: Ann"},
    "temperature": {"temperature": 0.0},
    "include": {"include": ["logprobs"]},
    "timestamp_granularities": {
        "timestamp_granularities": ["word"],
        "response_format": "verbose_json",
    },
    "stream": {"stream": True},
    "chunking_strategy": {"chunking_strategy": {"type": "server_vad", "threshold": 0.5}},
    "known_speaker_names": {"known_speaker_names": ["Ann"], "known_speaker_references": VOICES},
}
"""Parameter → a request that has it, and what it needs."""

REFUSED: dict[str, dict[str, str]] = {
    DIARIZE: {
        "prompt": "Prompt is not supported for diarization models",
        "include": "Logprobs are not supported for diarization models",
    }
}
"""Model → parameter → the API's own words; those that it was seen to refuse."""

FORBIDDEN_FORMATS = [
    (model, wanted) for model in HOSTED for wanted in FORMATS if wanted not in TAKEN[model]
]
ALLOWED: list[tuple[str, dict[str, Any]]] = [
    *((model, {"response_format": wanted}) for model in HOSTED for wanted in sorted(TAKEN[model])),
    *(
        (model, fields)
        for model in HOSTED
        for name, fields in PARAMETERS.items()
        if name not in REFUSED.get(model, {})
        and fields.get("response_format", "json") in TAKEN[model]
    ),
]


@pytest.fixture(scope="module")
def client(api_server: ApiServer) -> Iterator[Client]:
    with Client(api_server.base_url, KEY) as client:
        yield client


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    path.write_bytes(b"RIFF")
    return path


def refused(api: ApiServer, client: Client, audio: Path, **fields: Any) -> Any:
    """The API's error with which the client refuses; nothing must have reached the server."""
    fields = {"model": WHISPER} | fields
    errors = []
    for call in (client.transcribe, lambda *args: list(client.stream(*args))):
        with pytest.raises(Rejected) as caught:
            call(audio, TranscriptionRequest(**fields))
        assert caught.value.code == "unsupported_by_model"
        assert caught.value.said is not None
        assert caught.value.message == caught.value.said.message
        errors.append(caught.value.said)
    assert api.requests == []
    assert errors[0] == errors[1]
    assert errors[0].type == "invalid_request_error"
    return errors[0]


@pytest.mark.case("C23")
@pytest.mark.parametrize(("model", "wanted"), FORBIDDEN_FORMATS)
def test_a_format_that_the_model_does_not_have_is_refused_unsent(
    api: ApiServer, client: Client, audio: Path, model: str, wanted: str
) -> None:
    said = refused(api, client, audio, model=model, response_format=wanted)
    # As recorded: no hint where no other model's format would do instead.
    hint = "" if wanted == "diarized_json" else " Use 'json' or 'text' instead."
    assert (
        said.message == f"response_format '{wanted}' is not compatible with model '{model}'.{hint}"
    )
    assert (said.param, said.code) == ("response_format", "unsupported_value")


@pytest.mark.case("C23")
@pytest.mark.parametrize(
    ("model", "name"), [(model, name) for model, cells in REFUSED.items() for name in cells]
)
def test_a_parameter_that_the_model_does_not_take_is_refused_unsent(
    api: ApiServer, client: Client, audio: Path, model: str, name: str
) -> None:
    said = refused(api, client, audio, model=model, **PARAMETERS[name])
    assert (said.message, said.param) == (REFUSED[model][name], name)


@pytest.mark.case("C23")
@pytest.mark.parametrize("model", [*GPT_4O, DIARIZE, GPT])
def test_timestamps_are_whispers_alone_in_whatever_format(
    api: ApiServer, client: Client, audio: Path, model: str
) -> None:
    for wanted in FORMATS:
        said = refused(
            *(api, client, audio),
            model=model,
            response_format=wanted,
            timestamp_granularities=["segment"],
        )
        allowed = wanted in TAKEN[model]
        assert said.param == ("timestamp_granularities" if allowed else "response_format")


@pytest.mark.case("C23")
@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        (
            {"timestamp_granularities": ["word"]},
            "timestamp_granularities",
            "'timestamp_granularities' requires response_format 'verbose_json'.",
        ),
        (
            {"model": GPT, "include": ["logprobs"], "response_format": "text"},
            "include",
            "'include' requires response_format 'json'.",
        ),
        (
            {"language": "deu"},
            "language",
            "Invalid language 'deu'. Language parameter must be specified in ISO-639-1 format.",
        ),
    ],
)
def test_what_a_parameter_needs_besides_is_refused_unsent(
    api: ApiServer, client: Client, audio: Path, fields: dict[str, Any], param: str, message: str
) -> None:
    said = refused(api, client, audio, **fields)
    assert (said.message, said.param) == (message, param)


@pytest.mark.case("C23")
@pytest.mark.parametrize("model", [*GPT_4O, DIARIZE, GPT])
def test_a_translation_by_another_model_than_whisper_is_refused_unsent(
    api: ApiServer, client: Client, audio: Path, model: str
) -> None:
    with pytest.raises(Rejected, match="does not support translations") as caught:
        client.translate(audio, TranslationRequest(model=model))
    assert caught.value.said is not None
    assert caught.value.said.param == "model"
    assert api.requests == []


@pytest.mark.parametrize(("model", "fields"), ALLOWED)
def test_every_allowed_cell_is_sent_as_it_was_asked_for(
    api: ApiServer, client: Client, audio: Path, model: str, fields: dict[str, Any]
) -> None:
    request = TranscriptionRequest(model=model, **fields)
    if request.stream:
        assert list(client.stream(audio, request))
    else:
        assert client.transcribe(audio, request)
    (seen,) = api.requests
    assert seen.fields == sorted(to_form(request))


def test_of_a_model_that_is_not_in_the_table_nothing_is_refused(
    api: ApiServer, client: Client, audio: Path
) -> None:
    """Its server knows; the answer here is that server's."""
    api.down = error(400, "reached")
    everything = {name: value for fields in PARAMETERS.values() for name, value in fields.items()}
    for wanted in FORMATS:
        request = TranscriptionRequest(
            **{**everything, "model": "Systran/faster-whisper", "response_format": wanted}
        )
        with pytest.raises(Rejected, match="reached"):
            client.transcribe(audio, request)
    assert len(api.requests) == len(FORMATS)


def test_the_table_holds_the_matrix_and_no_model_more() -> None:
    """Else a new model would go without tests of its cells."""
    assert sorted(model.name for model in MODELS if model.engine == "openai") == sorted(HOSTED)
    for model in HOSTED:
        entry = named(model)
        assert entry is not None
        assert entry.response_format in TAKEN[model]
        assert entry.billed == ("duration" if model in (WHISPER, GPT) else "tokens")
        assert entry.streams == (model != WHISPER)
        assert entry.max_audio_ms == (None if model in (WHISPER, GPT) else 1_400_000)


@pytest.mark.parametrize(
    ("model", "audio_ms", "chunked", "recorded", "message"),
    [
        (DIARIZE, 30_000, False, None, None),
        (DIARIZE, 30_001, True, None, None),
        (DIARIZE, 30_001, False, "error_400_chunking", None),
        (GPT_4O[0], 1_400_000, False, None, None),
        (
            GPT_4O[0],
            1_400_001,
            False,
            None,
            (
                "audio duration 1400.001 seconds is longer than 1400 "
                "seconds which is the maximum for this model"
            ),
        ),
        (WHISPER, 9_000_000, False, None, None),
        (GPT, 9_000_000, False, None, None),
        (GPT_4O[0], 100, False, None, None),
        (
            GPT_4O[0],
            0,
            False,
            None,
            (
                "audio duration 0.0 seconds is shorter than 0.1 seconds which "
                "is the minimum for this model"
            ),
        ),
    ],
)
def test_a_length_is_refused_in_the_apis_words(
    model: str, audio_ms: int, chunked: bool, recorded: str | None, message: str | None
) -> None:
    entry = named(model)
    assert entry is not None
    said = audio_refusal(audio_ms, chunked=chunked, model=entry)
    if recorded:
        assert said is not None
        assert f'{{"error":{said.model_dump_json()}}}' == RECORDED[recorded]["body"]
        return
    assert (said and said.message) == message
    assert said is None or (said.param, said.code) == (None, "invalid_value")


def test_a_recorded_refusal_of_length_is_ours_word_for_word() -> None:
    entry = named(GPT_4O[0])
    assert entry is not None
    said = audio_refusal(1_830_530, chunked=False, model=entry)
    assert said is not None
    ours = f'{{"error":{said.model_dump_json()}}}'
    # Recorded with microseconds, which we do not have.
    assert ours.replace("1830.53 ", "1830.530612 ") == RECORDED["error_400_duration"]["body"]


@pytest.mark.parametrize(
    ("name", "model", "message"),
    [
        ("a.bin", GPT, "Unsupported file format bin"),
        ("a.tar.XYZ", DIARIZE, "Unsupported file format xyz"),
        ("a.opus", GPT, None),
        ("A.FLAC", GPT, None),
        ("upload", GPT, None),
        ("", WHISPER, None),
        (
            "a.xyz",
            WHISPER,
            (
                "Invalid file format. Supported formats: ['flac', 'm4a', 'mp3', 'mp4', 'mpeg', "
                "'mpga', 'oga', 'ogg', 'wav', 'webm']"
            ),
        ),
    ],
)
def test_a_file_is_refused_by_its_suffix(name: str, model: str, message: str | None) -> None:
    entry = named(model)
    assert entry is not None
    said = file_refusal(name, entry)
    assert (said and said.message) == message
    assert all(file_refusal(f"a.{suffix}", entry) is None for suffix in FILE_SUFFIXES)


@pytest.mark.parametrize(
    ("values", "message", "param", "code"),
    [
        (
            {"model": WHISPER, "language": "this should cause an error"},
            (
                "Invalid language 'this should cause an error'. Language parameter must be "
                "specified in ISO-639-1 format."
            ),
            "language",
            "invalid_language_format",
        ),
        ({}, "Missing required parameter: 'model'.", "model", "missing_required_parameter"),
        (
            {"model": GPT, "temperature": "1.5"},
            "Invalid value for 'temperature'",
            "temperature",
            "",
        ),
        (
            {"model": GPT, "chunking_strategy": {"type": "server_vad", "threshold": "1.5"}},
            "Invalid value for 'chunking_strategy.threshold'",
            "chunking_strategy.threshold",
            "",
        ),
        ({"model": GPT, "response_format": "xml"}, "Invalid value for", "response_format", ""),
        (
            {"model": DIARIZE, "known_speaker_names": ["Ann"]},
            "`known_speaker_names` and `known_speaker_references` must be of the same length",
            "known_speaker_names",
            "",
        ),
        (
            {"model": DIARIZE, "known_speaker_names": list("abcde")},
            "Invalid value for 'known_speaker_names'",
            "known_speaker_names",
            "",
        ),
    ],
)
def test_a_wrong_value_is_explained_as_the_api_would(
    values: dict[str, Any], message: str, param: str, code: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        TranscriptionRequest.model_validate(values)
    said = explained(caught.value)
    assert said.message.startswith(message)
    assert (said.param, said.code) == (param, code or "invalid_value")
    assert said.type == "invalid_request_error"
    assert said.message.endswith(".")


class TestForm:
    """A request as a form's fields, and back."""

    texts = st.text(min_size=1)
    language = st.from_regex(r"[A-Za-z]{2,3}", fullmatch=True)
    vad = st.fixed_dictionaries(
        {"type": st.just("server_vad")},
        optional={
            "prefix_padding_ms": st.integers(0, 10**6),
            "silence_duration_ms": st.integers(0, 10**6),
            "threshold": st.floats(0, 1),
        },
    )
    transcriptions = st.builds(
        lambda fields, speakers: TranscriptionRequest(
            **fields,
            known_speaker_names=[name for name, _ in speakers],
            known_speaker_references=[voice for _, voice in speakers],
        ),
        st.fixed_dictionaries(
            {"model": st.text(min_size=1, max_size=200)},
            optional={
                "language": language,
                "languages": st.lists(language),
                "prompt": st.text(),
                "keywords": st.lists(texts),
                "temperature": st.floats(0, 1),
                "chunking_strategy": st.just("auto") | vad,
                "include": st.lists(st.just("logprobs"), max_size=2),
                "timestamp_granularities": st.lists(st.sampled_from(["word", "segment"])),
                "response_format": st.sampled_from(FORMATS),
                "stream": st.booleans(),
            },
        ),
        st.lists(st.tuples(texts, texts), max_size=4),
    )
    translations = st.builds(
        lambda fields: TranslationRequest(**fields),
        st.fixed_dictionaries(
            {"model": st.text(min_size=1, max_size=200)},
            optional={
                "prompt": st.text(),
                "temperature": st.floats(0, 1),
                "response_format": st.sampled_from(["json", "text", "srt", "vtt", "verbose_json"]),
            },
        ),
    )

    @given(transcriptions | translations)
    def test_what_is_written_is_read_back(
        self, request: TranscriptionRequest | TranslationRequest
    ) -> None:
        values, unread = from_form(to_form(request), type(request))
        assert unread == []
        assert type(request).model_validate(values) == request

    @pytest.mark.parametrize(
        ("fields", "values", "unread"),
        [
            ([("include", "logprobs")], {}, ["include"]),
            ([("temperature[]", "1")], {}, ["temperature[]"]),
            ([("x", "1"), ("x", "2"), ("user", "u")], {}, ["x", "user"]),
            ([("prompt", ""), ("language", "")], {}, []),
            ([("keywords[]", ""), ("keywords[]", "a")], {"keywords": ["", "a"]}, []),
            ([("model", "a"), ("model", "b")], {"model": "b"}, []),
            ([("chunking_strategy", "auto")], {"chunking_strategy": "auto"}, []),
            (
                [("chunking_strategy", '{"type":"server_vad"}')],
                {"chunking_strategy": {"type": "server_vad"}},
                [],
            ),
            ([("chunking_strategy", "{")], {"chunking_strategy": "{"}, []),
            (
                [("chunking_strategy", '{"a":' * 100_000)],
                {"chunking_strategy": '{"a":' * 100_000},
                [],
            ),
            (
                [("chunking_strategy[type]", "server_vad"), ("chunking_strategy[threshold]", "1")],
                {"chunking_strategy": {"type": "server_vad", "threshold": "1"}},
                [],
            ),
        ],
        ids=lambda value: str(value)[:60],
    )
    def test_other_writers_of_forms_are_understood(
        self, fields: list[tuple[str, str]], values: dict[str, Any], unread: list[str]
    ) -> None:
        assert from_form(fields, TranscriptionRequest) == (values, unread)

    def test_what_is_said_twice_in_both_ways_does_not_break_the_reader(self) -> None:
        fields = [("chunking_strategy", "auto"), ("chunking_strategy[type]", "server_vad")]
        for order in (fields, fields[::-1]):
            values, _ = from_form([("model", "m"), *order], TranscriptionRequest)
            assert TranscriptionRequest.model_validate(values).chunking_strategy
