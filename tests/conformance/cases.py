"""The cases: what is called, with which clients, and what is asked of the answer.

Their ids are those of the project's list of observed behaviour; a letter after one is a sibling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tests.conformance import checks
from tests.conformance.checks import Check, at, json_answer, refused, status, stream, text_answer
from tests.conformance.recordings import ENCODED, voice

PYTHON: Final = ("python 1", "python 2", "python 3")
NODE: Final = ("node 6", "node 7")
SDKS: Final = PYTHON + NODE
HTTP: Final = ("http",)
Level = Literal["must", "should"]
KEY: Final = "sk-conformance-0000000000000000-4711"


@dataclass(frozen=True)
class File:
    """A recording, and how it is handed to the SDK."""

    recording: str
    form: Literal["open", "named", "bytes"] = "open"
    """An open file, bytes with `name`, or bytes alone."""
    name: str | None = None


@dataclass(frozen=True)
class Call:
    """A call of an SDK's method."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    file: File | None = None
    method: str = "audio.transcriptions.create"
    key: str = KEY
    retries: int = 0


@dataclass(frozen=True)
class Post:
    """A request that is written out part by part, as no SDK would send it."""

    parts: tuple[tuple[str, str | File], ...] = ()
    path: str = "/audio/transcriptions"
    verb: str = "POST"
    headers: Mapping[str, str] = field(default_factory=lambda: {"authorization": f"Bearer {KEY}"})
    content: bytes | None = None
    """In place of a form."""


@dataclass(frozen=True)
class Case:
    id: str
    level: Level
    title: str
    call: Call | Post
    checks: tuple[Check, ...]
    clients: tuple[str, ...] = SDKS
    lenient: tuple[str, ...] = ()
    """SDKs whose types are narrower than what the API is known to send."""
    server: Literal["free", "busy", "busy for a while"] = "free"


def ask(model: str, file: str | File = "speech.wav", **fields: Any) -> Call:
    retries = fields.pop("retries", 0)
    sound = file if isinstance(file, File) else File(file)
    return Call({"model": model, **fields}, sound, retries=retries)


def diarize(file: str = "meeting.wav", **fields: Any) -> Call:
    fields = {"response_format": "diarized_json", "chunking_strategy": "auto", **fields}
    wanted = {name: value for name, value in fields.items() if value is not None}
    return ask("gpt-4o-transcribe-diarize", file, **wanted)


def translate(**fields: Any) -> Call:
    return Call(fields, File("speech.m4a"), "audio.translations.create")


def post(*parts: tuple[str, str | File], **given: Any) -> Post:
    return Post(parts, **given)


AUDIO: Final = ("file", File("speech.wav"))
AGAIN: Final = File("silence.wav", "named", "silence.wav")
"""Node.js cannot send a file again that it has streamed, and does not try."""
WHISPER: Final = ("model", "whisper-1")
VERBOSE: Final = "TranscriptionVerbose"
CUE: Final = r"\d\d:\d\d:\d\d{0}\d{{3}} --> \d\d:\d\d:\d\d{0}\d{{3}}\n\S[^\n]*\S\n"
SRT: Final = rf"(\d+\n{CUE.format(',')}\n)+\n"
VTT: Final = rf"WEBVTT\n\n({CUE.format('[.]')}\n)+"
LINE: Final = r"\S[^\n]*\S\n"
ENGLISH: Final = at("languages", [{"code": "en"}])
SUMMED: Final = checks.usage("duration")
COUNTED: Final = checks.usage("tokens")
SPOKEN: Final = ("text", "task", "duration", "segments", "usage")
VAD: Final = {"type": "server_vad", "prefix_padding_ms": 300, "silence_duration_ms": 200}


def incompatible(wanted: str, model: str) -> tuple[Check, ...]:
    """Formats that exist and this model does not have."""
    hint = "" if wanted == "diarized_json" else " Use 'json' or 'text' instead[.]"
    message = f"response_format '{wanted}' is not compatible with model '{model}'[.]{hint}"
    return refused(400, message, param="response_format", code="unsupported_value")


def _refused_format(id_: str, model: str, wanted: str) -> Case:
    call = ask(model, response_format=wanted)
    return Case(id_, "must", f"{model} has no {wanted}", call, incompatible(wanted, model))


def _part_type(extension: str) -> Case:
    id_ = "S44" if extension == "wav" else f"S44-{extension}"
    return Case(
        id_, "must", f"an open .{extension}", ask("whisper-1", f"speech.{extension}"), MINIMAL
    )


def _speakers(letter: str, title: str, names: list[str], references: list[str]) -> Case:
    call = diarize(known_speaker_names=names, known_speaker_references=references)
    return Case(f"S60{letter}", "must", f"known speakers: {title}", call, refused(400))


MINIMAL: Final = (*json_answer("text", "usage"), SUMMED)
TOKENS: Final = (*json_answer("text", "usage"), COUNTED)
DETECTED: Final = (*json_answer("text", "languages", "usage"), SUMMED)
HEAD: Final = ("task", "language", "duration", "text")
SEGMENTS: Final = (*json_answer(*HEAD, "segments", "usage", name=VERBOSE), checks.segments, SUMMED,
                   at("task", "transcribe"), at("language", "english"))  # fmt: skip
WORDS: Final = (*json_answer(*HEAD, "words", "usage", name=VERBOSE), checks.words, SUMMED)
BOTH: Final = (*json_answer(*HEAD, "segments", "words", "usage", name=VERBOSE), checks.segments,
               checks.words, SUMMED)  # fmt: skip
DIARIZED: Final = (*json_answer(*SPOKEN, name="TranscriptionDiarized"), checks.speakers, COUNTED)
TRANSLATED: Final = (*json_answer(*HEAD, "segments", name="TranslationVerbose"), checks.segments,
                     at("task", "translate"), at("language", "english"))  # fmt: skip
CORRUPT: Final = refused(400, "Audio file might be corrupted or unsupported", param="file",
                         code="invalid_value")  # fmt: skip
TOO_LARGE: Final = refused(413, r"413: Maximum content size limit \(26214400\) exceeded .*",
                           kind="server_error", param=None, code=None)  # fmt: skip
BAD_LANGUAGE: Final = ("Invalid language 'this should cause an error'[.] Language parameter must "
                       "be specified in ISO-639-1 format[.]")  # fmt: skip
BAD_KEY: Final = refused(401, "Incorrect API key provided.*", code="invalid_api_key")

CASES: Final[tuple[Case, ...]] = (
    Case("S01", "must", "only file and model", ask("whisper-1"), MINIMAL),
    *(
        Case(
            f"S0{number}",
            "must",
            wanted,
            ask("whisper-1", response_format=wanted),
            text_answer(shape),
        )
        for number, wanted, shape in ((2, "text", LINE), (3, "srt", SRT), (4, "vtt", VTT))
    ),
    Case("S05", "must", "verbose_json", ask("whisper-1", response_format="verbose_json"), SEGMENTS),
    *(
        Case(
            id_,
            "must",
            f"verbose_json with {' and '.join(given)}",
            ask("whisper-1", response_format="verbose_json", timestamp_granularities=given),
            shape,
        )
        for id_, given, shape in (
            ("S06", ["word"], WORDS),
            ("S07", ["word", "segment"], BOTH),
            ("S08", ["segment"], SEGMENTS),
            ("S19", ["word", "segment"], BOTH),
        )
    ),
    Case(
        "S09",
        "should",
        "numbers in verbose_json",
        ask("whisper-1", response_format="verbose_json"),
        (status(200), checks.floats),
    ),
    Case("S10", "must", "diarized_json", diarize(), DIARIZED),
    Case(
        "S12",
        "must",
        "a stream of deltas",
        ask("gpt-4o-mini-transcribe", stream=True),
        (*stream("transcript.text.delta"), COUNTED),
    ),
    Case(
        "S12a",
        "must",
        "a stream's framing",
        post(AUDIO, ("model", "gpt-4o-mini-transcribe"), ("stream", "true")),
        (*stream("transcript.text.delta"), COUNTED, checks.framed),
        HTTP,
    ),
    Case(
        "S12b",
        "must",
        "a stream of gpt-transcribe",
        ask("gpt-transcribe", stream=True),
        stream("transcript.text.delta"),
        lenient=PYTHON,
    ),
    Case(
        "S12c",
        "must",
        "a stream with log probabilities",
        ask("gpt-4o-mini-transcribe", stream=True, include=["logprobs"]),
        (*stream("transcript.text.delta"), checks.logprobs),
    ),
    Case(
        "S13",
        "must",
        "a stream of speakers",
        diarize(stream=True),
        (*stream("transcript.text.segment"), checks.speakers, COUNTED),
        lenient=("python 1",),
    ),
    Case(
        "S13a",
        "must",
        "a stream of speakers' framing",
        post(
            ("file", File("meeting.wav")),
            ("model", "gpt-4o-transcribe-diarize"),
            ("response_format", "diarized_json"),
            ("stream", "True"),
        ),
        (*stream("transcript.text.segment"), checks.speakers, checks.framed),
        HTTP,
    ),
    Case(
        "S15",
        "must",
        "a list without its brackets is passed over",
        post(AUDIO, ("model", "gpt-4o-mini-transcribe"), ("include", "logprobs")),
        TOKENS,
        HTTP,
    ),
    Case(
        "S17",
        "should",
        "whisper-1 ignores stream",
        ask("whisper-1", stream=True),
        (status(200), checks.no_events),
    ),
    Case(
        "S17a",
        "should",
        "whisper-1 ignores stream: the body",
        post(AUDIO, WHISPER, ("stream", "true")),
        MINIMAL,
        HTTP,
    ),
    Case(
        "S18",
        "must",
        "an error before the stream",
        ask("gpt-4o-mini-transcribe", "junk.mp3", stream=True),
        CORRUPT,
    ),
    Case(
        "S20",
        "must",
        "every list there is",
        ask(
            "gpt-transcribe",
            keywords=["foo", "bar"],
            languages=["en", "de"],
            include=["logprobs"],
            known_speaker_names=["a"],
            known_speaker_references=[voice(2.5)],
        ),
        (*json_answer("text", "logprobs", "languages", "usage"), ENGLISH, checks.logprobs),
    ),
    Case("S22", "must", "chunking_strategy is auto", diarize(response_format=None), TOKENS),
    Case(
        "S23",
        "must",
        "chunking_strategy is an object",
        diarize(chunking_strategy={**VAD, "threshold": 0.5}),
        DIARIZED,
    ),
    Case(
        "S23a",
        "must",
        "chunking_strategy is a part of JSON",
        post(
            AUDIO,
            ("model", "gpt-4o-transcribe-diarize"),
            ("chunking_strategy", '{"type":"server_vad"}'),
        ),
        TOKENS,
        HTTP,
    ),
    Case("S25", "must", "speakers, not chunked, short", diarize(chunking_strategy=None), DIARIZED),
    Case(
        "S26",
        "must",
        "speakers, not chunked, over 30 s",
        diarize("half-minute.wav", chunking_strategy=None),
        refused(
            400,
            "chunking_strategy is required for diarization models",
            param="chunking_strategy",
            code="invalid_value",
        ),
    ),
    Case(
        "S27",
        "should",
        "a threshold over 1",
        ask("gpt-4o-transcribe", chunking_strategy={**VAD, "threshold": 1.5}),
        refused(400),
    ),
    Case(
        "S29",
        "must",
        "speakers and log probabilities",
        diarize(response_format=None, include=["logprobs"]),
        refused(400, "Logprobs are not supported for diarization models"),
    ),
    Case(
        "S30",
        "must",
        "speakers and times of words",
        diarize(response_format=None, timestamp_granularities=["word"]),
        refused(400),
    ),
    Case("S30a", "must", "speakers and a prompt", diarize(prompt="Austen"), refused(400)),
    _refused_format("S31", "gpt-4o-transcribe-diarize", "verbose_json"),
    _refused_format("S31a", "gpt-4o-transcribe-diarize", "srt"),
    _refused_format("S31b", "gpt-4o-transcribe-diarize", "vtt"),
    _refused_format("S32", "gpt-4o-transcribe", "verbose_json"),
    _refused_format("S32a", "gpt-4o-transcribe", "srt"),
    _refused_format("S32b", "gpt-4o-mini-transcribe", "vtt"),
    _refused_format("S32c", "gpt-4o-mini-transcribe-2025-12-15", "verbose_json"),
    _refused_format("S33", "gpt-transcribe", "srt"),
    _refused_format("S33a", "gpt-transcribe", "vtt"),
    _refused_format("S33b", "gpt-transcribe", "verbose_json"),
    _refused_format("S34", "gpt-transcribe", "diarized_json"),
    _refused_format("S34a", "gpt-4o-transcribe", "diarized_json"),
    _refused_format("S34b", "whisper-1", "diarized_json"),
    Case(
        "S34c",
        "must",
        "a format that there is not",
        ask("whisper-1", response_format="docx"),
        refused(400, param="response_format"),
    ),
    *(
        Case(
            id_, "must", f"{model} has text", ask(model, response_format="text"), text_answer(LINE)
        )
        for id_, model in (
            ("S35", "gpt-transcribe"),
            ("S35a", "gpt-4o-transcribe"),
            ("S35b", "gpt-4o-transcribe-diarize"),
        )
    ),
    Case(
        "S37",
        "must",
        "no such language",
        ask("whisper-1", language="this should cause an error"),
        refused(400, BAD_LANGUAGE, param="language", code="invalid_language_format"),
    ),
    Case("S39", "must", "bytes that are no audio", ask("gpt-transcribe", "junk.mp3"), CORRUPT),
    Case(
        "S39a", "must", "an empty file", ask("whisper-1", "empty.wav"), refused(400, param="file")
    ),
    Case(
        "S40",
        "should",
        "audio named .bin",
        ask("gpt-transcribe", File("speech.mp3", "named", "audio.bin")),
        (status(200, 400),),
    ),
    Case(
        "S41",
        "should",
        "whisper-1, audio named .xyz",
        ask("whisper-1", File("speech.mp3", "named", "a.xyz")),
        refused(400, "Invalid file format. Supported formats: .*", param=None, code=None),
    ),
    Case(
        "S42",
        "must",
        "bytes without a name",
        ask("whisper-1", File("speech.wav", "bytes")),
        MINIMAL,
        PYTHON,
    ),
    *(_part_type(extension) for extension in ("wav", *ENCODED)),
    Case(
        "S46",
        "must",
        "a Blob without a name",
        ask("whisper-1", File("speech.wav", "bytes")),
        MINIMAL,
        ("node 7",),
    ),
    Case(
        "S46a",
        "must",
        "a Blob without a name is left out",
        ask("whisper-1", File("speech.wav", "bytes")),
        refused(400, param="file"),
        ("node 6",),
    ),
    Case(
        "S48",
        "must",
        "a name with quotes and accents",
        ask("whisper-1", File("speech.webm", "named", 'sp ée"ch.webm')),
        MINIMAL,
    ),
    Case(
        "S49",
        "must",
        "unknown fields are ignored",
        post(AUDIO, ("model", "gpt-transcribe"), ("bogus_param", "xyz")),
        DETECTED,
        HTTP,
    ),
    Case(
        "S52",
        "must",
        "numbers and booleans",
        ask("whisper-1", temperature=1e-07, stream=False),
        MINIMAL,
    ),
    Case(
        "S52a",
        "must",
        "temperature is 0",
        ask("whisper-1", temperature=0),
        MINIMAL,
        ("python 3", "node 7"),
    ),
    Case(
        "S52b",
        "must",
        "temperature is over 1",
        ask("whisper-1", temperature=1.5),
        refused(400, param="temperature"),
    ),
    Case(
        "S55",
        "must",
        "a body over 25 MiB",
        post(("file", File("too-large.wav")), WHISPER),
        TOO_LARGE,
        HTTP,
    ),
    Case(
        "S55a",
        "must",
        "a body over 25 MiB is not sent twice",
        ask("whisper-1", File("too-large.wav", "named", "a.wav"), retries=1),
        (*TOO_LARGE, checks.one_attempt),
    ),
    Case(
        "S56",
        "must",
        "a file of 25 MiB - 64 KiB",
        post(("file", File("largest.wav")), WHISPER),
        json_answer("text", "usage", speech=False),
        HTTP,
    ),
    Case(
        "S57",
        "should",
        "too long",
        ask("gpt-4o-transcribe-diarize", "long.flac", chunking_strategy="auto"),
        refused(
            400,
            r"audio duration 1830[.]\d+ seconds is longer than 1400 seconds which is the maximum "
            "for this model",
            param=None,
            code="invalid_value",
        ),
    ),
    Case(
        "S59",
        "must",
        "too short",
        ask("gpt-4o-transcribe", "instant.wav"),
        refused(
            400,
            r"audio duration 0[.]\d+ seconds is shorter than 0[.]1 seconds which is the minimum "
            "for this model",
            param=None,
            code="invalid_value",
        ),
    ),
    _speakers("", "five", ["a", "b", "c", "d", "e"], [voice(2.5)] * 5),
    _speakers("a", "two names, one clip", ["a", "b"], [voice(2.5)]),
    _speakers("b", "not a data URL", ["a"], ["https://example.com/a.wav"]),
    _speakers("c", "a clip of 1 s", ["a"], [voice(1)]),
    _speakers("d", "a clip of 11 s", ["a"], [voice(11)]),
    _speakers("e", "a clip that is no audio", ["a"], ["data:audio/wav;base64,SGVsbG8="]),
    Case(
        "S62",
        "must",
        "log probabilities",
        ask("gpt-4o-mini-transcribe", include=["logprobs"]),
        (*json_answer("text", "logprobs", "usage"), checks.logprobs, COUNTED),
    ),
    Case(
        "S63",
        "should",
        "log probabilities of silence",
        ask("gpt-transcribe", "silence.wav", include=["logprobs"]),
        (
            *json_answer("text", "languages", "usage", speech=False),
            at("text", ""),
            at("languages", []),
        ),
    ),
    Case(
        "S64", "must", "gpt-transcribe names languages", ask("gpt-transcribe"), (*DETECTED, ENGLISH)
    ),
    Case(
        "S66",
        "should",
        "gpt-transcribe ignores language",
        ask("gpt-transcribe", language="de"),
        DETECTED,
    ),
    *(
        Case(
            "S68",
            "must",
            f"{wanted} is no JSON",
            ask("whisper-1", response_format=wanted),
            text_answer(".+"),
            NODE,
        )
        for wanted in ("text", "srt", "vtt")
    ),
    Case("S69", "must", "json is JSON", ask("whisper-1"), json_answer("text", "usage"), NODE),
    Case("S70", "must", "a model that there is not", ask("nope"), refused(404)),
    Case("S70a", "must", "no such path", Post(path="/audio/poems"), refused(404), HTTP),
    Case("S70b", "must", "no such method", Post(verb="GET"), refused(405), HTTP),
    Case(
        "S70c",
        "must",
        "JSON in place of a form",
        post(
            content=b'{"model":"whisper-1"}',
            headers={"authorization": f"Bearer {KEY}", "content-type": "application/json"},
        ),
        refused(400),
        HTTP,
    ),
    Case(
        "S70d",
        "must",
        "a form that breaks off",
        post(
            content=b'--x\r\nContent-Disposition: form-data; name="mo',
            headers={
                "authorization": f"Bearer {KEY}",
                "content-type": "multipart/form-data; boundary=x",
            },
        ),
        refused(400),
        HTTP,
    ),
    Case(
        "S70e",
        "must",
        "file is text",
        post(("file", "speech.wav"), WHISPER),
        refused(400, param="file"),
        HTTP,
    ),
    Case(
        "S71",
        "must",
        "a wrong key",
        Call({"model": "whisper-1"}, File("speech.wav"), key="sk-" + "1234" * 8),
        (*BAD_KEY, checks.secret("sk-" + "1234" * 8)),
    ),
    Case("S71a", "must", "no key", post(AUDIO, WHISPER, headers={}), refused(401), HTTP),
    Case(
        "S71b",
        "must",
        "a wrong key, listing models",
        Call(method="models.list", key="sk-wrong"),
        BAD_KEY,
    ),
    Case("S73", "must", "no file", post(WHISPER), refused(400, param="file"), HTTP),
    Case("S73a", "must", "no model", post(AUDIO), refused(400, param="model"), HTTP),
    Case(
        "S74",
        "must",
        "busy",
        ask("whisper-1", "silence.wav"),
        (*refused(429, kind=None), checks.header("retry-after", r"[1-9]\d*")),
        server="busy",
    ),
    Case(
        "S74a",
        "must",
        "busy for a while: the SDK tries again",
        ask("whisper-1", AGAIN, retries=20),
        (*json_answer("text", "usage", speech=False), checks.retried),
        server="busy for a while",
    ),
    Case("S76", "must", "a request id with an answer", ask("whisper-1"), (checks.request_id,)),
    Case("S76a", "must", "a request id with an error", ask("nope"), (checks.request_id,)),
    Case(
        "S76b",
        "must",
        "a request id with a stream",
        ask("gpt-4o-mini-transcribe", stream=True),
        (checks.request_id,),
    ),
    Case(
        "S76c",
        "must",
        "a request id with a wrong path",
        Post(path="/audio/poems"),
        (checks.request_id,),
        HTTP,
    ),
    Case(
        "S77",
        "should",
        "headers of the service",
        ask("whisper-1"),
        (
            checks.header("openai-processing-ms", r"\d+"),
            checks.header("openai-version", "2020-10-01"),
        ),
    ),
    Case(
        "S77a",
        "should",
        "headers of rate limits",
        ask("whisper-1"),
        tuple(
            checks.header(f"x-ratelimit-{name}-requests", ".+")
            for name in ("limit", "remaining", "reset")
        ),
    ),
    Case(
        "S82",
        "must",
        "a translation",
        translate(model="whisper-1", response_format="verbose_json"),
        TRANSLATED,
    ),
    Case(
        "S82a",
        "must",
        "a translation as json",
        translate(model="whisper-1"),
        json_answer("text", name="Translation"),
    ),
    *(
        Case(
            id_,
            "must",
            f"a translation as {wanted}",
            translate(model="whisper-1", response_format=wanted),
            text_answer(shape),
        )
        for id_, wanted, shape in (
            ("S82b", "text", LINE),
            ("S82c", "srt", SRT),
            ("S82d", "vtt", VTT),
        )
    ),
    Case(
        "S82e",
        "must",
        "a translation has no speakers",
        translate(model="whisper-1", response_format="diarized_json"),
        refused(400, param="response_format"),
        SDKS[1:],  # 1.109 stumbles over its own name for the answer
    ),
    Case(
        "S83",
        "should",
        "a translation by another model",
        translate(model="gpt-4o-transcribe"),
        (status(400, 404),),
    ),
    Case(
        "M01",
        "should",
        "the list of models",
        Call(method="models.list"),
        (
            status(200),
            at("object", "list"),
            at("data.*.id", str),
            at("data.*.object", "model"),
            at("data.*.created", int),
            at("data.*.owned_by", str),
        ),
    ),
    Case(
        "M02",
        "should",
        "one model",
        Call({"model": "whisper-1"}, method="models.retrieve"),
        (status(200), at("id", "whisper-1"), at("object", "model")),
    ),
    Case(
        "M03",
        "should",
        "one model that there is not",
        Call({"model": "nope"}, method="models.retrieve"),
        refused(404, code="model_not_found"),
    ),
)

NOT_PASSED: Final[dict[str, str]] = {
    "S77": "The version is the hosted service's own.",
    "S77a": "The server limits how much is at work at once: there is no time of a reset to tell.",
}
"""Why a case that only `should` pass does not, and will not."""

OWN_CLIENT: Final[dict[str, tuple[Level, str]]] = {
    "C01": ("must", "array fields"),
    "C02": ("must", "None is not sent"),
    "C03": ("must", "booleans lower case, floats plain"),
    "C05": ("must", "diarized_json without task and duration"),
    "C06": ("must", "diarized_json of August 2026"),
    "C07": ("must", "401 with content-type text/plain"),
    "C08": ("must", "an error body with a sibling key"),
    "C10": ("must", "SSE with CRLF, no event line, [DONE]"),
    "C12": ("must", "SSE ends without done"),
    "C14": ("must", "SSE error frame"),
    "C16": ("must", "both forms of usage"),
    "C17": ("must", "a logprob above zero"),
    "C18": ("must", "a segment that ends after the recording"),
    "C20": ("must", "language name to code"),
    "C22": ("must", "a retry sends the body again"),
    "C23": ("must", "model and format checked before upload"),
    "C25": ("must", "speaker letters are per request"),
    "C26": ("should", "split at 1390 s for gpt-4o-*"),
    "C28": ("should", "a model's shutdown date"),
    "C29": ("must", "text formats and their final newline"),
    "C31": ("should", "words may lose text on whisper-1"),
}
"""Tests marked with these ids are in `OWN_TESTS`."""
OWN_TESTS: Final = ("test_client.py", "test_models.py", "test_sse.py", "test_validity.py")
