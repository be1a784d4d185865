"""What each model can do, costs and until when. Nothing else in the code names a model.

Sources: the API reference, recorded answers and the pricing and deprecation pages, November 2026.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final, Literal

from dropscribe.api import FORMATS, Format, Parameters
from dropscribe.errors import Rejected
from dropscribe.languages import code_of
from dropscribe.options import JobOptions

OPENAI_MAX_BODY_BYTES: Final = 26_214_400
"""Of the whole request body."""
MAX_UPLOAD_BYTES: Final = OPENAI_MAX_BODY_BYTES - 65_536
"""Of the audio: leaves room for the other parts of the form."""
LONGEST_CHUNK_MS: Final = 20 * 60_000
"""Of audio in one request where a model has no limit of its own: an answer takes minutes."""
FLAC_BYTES_A_MS: Final = 33
"""At most, of 16 kHz mono: samples that did not compress, and the headers of their frames."""
MARGIN: Final = 0.97
"""Of a model's longest audio: a decoder may count a little more than we do."""
WARN_BEFORE_SHUTDOWN: Final = timedelta(days=120)

_SUBTITLES: Final[tuple[Format, ...]] = ("srt", "vtt", "verbose_json")
_PLAIN: Final[tuple[Format, ...]] = ("json", "text")
_SPEAKERS: Final = frozenset({"known_speaker_names", "known_speaker_references"})


@dataclass(frozen=True)
class Model:
    """One model's abilities and limits: a column of the API's validity matrix."""

    name: str
    engine: str
    formats: tuple[Format, ...]
    """Values of `response_format` that it takes."""
    response_format: Format
    """The one of them that carries most of what the model measures: what a job asks for."""
    parameters: frozenset[str]
    """Parameters of the API that have an effect on a job."""
    tolerated: frozenset[str] = frozenset()
    """Parameters that a request may carry besides. Those in neither set are refused."""
    streams: bool = True
    """Sends events where `stream` asks for them, in place of one answer."""
    timed: bool = False
    """Answers with times of segments."""
    detects_language: bool = False
    """Names the language, which `verbose_json` requires."""
    lists_languages: bool = False
    """Answers in `json` with the languages that it heard."""
    speakers: bool = False
    translates: bool = False
    billed: Literal["tokens", "duration"] = "duration"
    """What its `usage` counts."""
    two_letter_language: bool = False
    """`language` has to be ISO 639-1; other models take some codes of 639-3 too."""
    language: str | None = None
    """The only language that it knows."""
    min_audio_ms: int = 100
    """Shortest audio of one request."""
    max_audio_ms: int | None = None
    """Longest audio of one request."""
    max_unchunked_ms: int | None = None
    """Longest audio of one request without `chunking_strategy`."""
    max_bytes: int | None = MAX_UPLOAD_BYTES
    usd_per_minute: float | None = None
    """None: not known to us."""
    shutdown: date | None = None


_SHUTDOWN_2027: Final = date(2027, 2, 26)
_GPT_4O: Final = Model(
    name="gpt-4o-transcribe",
    engine="openai",
    formats=_PLAIN,
    response_format="json",
    parameters=frozenset({"language", "prompt", "temperature", "chunking_strategy", "include"}),
    tolerated=frozenset({"languages", "keywords"}) | _SPEAKERS,
    billed="tokens",
    max_audio_ms=1_400_000,
    usd_per_minute=0.006,
    shutdown=_SHUTDOWN_2027,
)
_GPT_4O_MINI: Final = replace(_GPT_4O, name="gpt-4o-mini-transcribe", usd_per_minute=0.003)

MODELS: Final[tuple[Model, ...]] = (
    Model(
        name="whisper-1",
        engine="openai",
        formats=(*_PLAIN, *_SUBTITLES),
        response_format="verbose_json",
        parameters=frozenset({"language", "prompt", "temperature", "timestamp_granularities"}),
        tolerated=frozenset({"languages", "keywords", "include", "chunking_strategy"}) | _SPEAKERS,
        streams=False,
        timed=True,
        detects_language=True,
        translates=True,
        two_letter_language=True,
        usd_per_minute=0.006,
        shutdown=_SHUTDOWN_2027,
    ),
    Model(
        name="gpt-transcribe",
        engine="openai",
        formats=_PLAIN,
        response_format="json",
        parameters=frozenset({"languages", "keywords", "prompt", "temperature", "include"}),
        tolerated=frozenset({"language", "chunking_strategy"}) | _SPEAKERS,
        lists_languages=True,
        usd_per_minute=0.0045,
    ),
    _GPT_4O,
    _GPT_4O_MINI,
    replace(_GPT_4O_MINI, name="gpt-4o-mini-transcribe-2025-12-15"),
    Model(
        name="gpt-4o-transcribe-diarize",
        engine="openai",
        formats=(*_PLAIN, "diarized_json"),
        response_format="diarized_json",
        parameters=frozenset({"language", "temperature", "chunking_strategy"}) | _SPEAKERS,
        tolerated=frozenset({"languages", "keywords"}),
        timed=True,
        speakers=True,
        billed="tokens",
        max_audio_ms=1_400_000,
        max_unchunked_ms=30_000,
        usd_per_minute=0.006,
        shutdown=_SHUTDOWN_2027,
    ),
    Model(
        name="pocketsphinx-en-us",
        engine="offline",
        formats=FORMATS,
        response_format="verbose_json",
        parameters=frozenset({"language", "timestamp_granularities"}),
        tolerated=frozenset({"languages", "keywords", "prompt", "temperature", "include"})
        | {"chunking_strategy"}
        | _SPEAKERS,
        timed=True,
        detects_language=True,
        # It takes all speech for English, whose English translation is the transcript itself.
        translates=True,
        language="en",
        # Two thirds of real time on one slow core, within a function's 15 minutes.
        max_audio_ms=20 * 60_000,
        max_bytes=None,
        usd_per_minute=0.0,
    ),
)
LOCAL_WHISPER: Final = Model(
    name="whisper",
    engine="whisper",
    formats=FORMATS,
    response_format="verbose_json",
    parameters=frozenset({"language", "prompt", "keywords", "temperature", "chunking_strategy"})
    | {"timestamp_granularities"},
    tolerated=frozenset({"languages", "include"}) | _SPEAKERS,
    timed=True,
    detects_language=True,
    translates=True,
    two_letter_language=True,
    max_bytes=None,
    usd_per_minute=0.0,
)
"""What every model of engine `whisper` can do: its name is that of a folder, or one on a hub."""
_BY_NAME: Final = {model.name: model for model in MODELS}
_API_OPTIONS: Final = tuple(Parameters.model_fields)


def named(name: str) -> Model | None:
    """A model of the table; None where we do not know it, as with other servers' own."""
    return _BY_NAME.get(name)


def choose(options: JobOptions, today: date, *, voices: bool = False) -> Model:
    """The model for a job. Raises `Rejected("unsupported_by_model")` where none can do it.

    `voices`: whether we can tell speakers apart by ourselves.
    """
    model = _automatic(options, today, voices) if options.model == "auto" else _named(options)
    for name in _API_OPTIONS:
        if getattr(options, name) is not None and not _heeded(model, name, voices):
            raise _unsupported(f"model `{model.name}` does not take `{name}`: leave it out")
    if model.language and options.language and code_of(options.language) != model.language:
        raise _unsupported(
            f"model `{model.name}` knows only `{model.language}`, asked for `{options.language}`"
        )
    if options.task == "translate" and not model.translates:
        raise _unsupported(f"model `{model.name}` does not translate: leave `model` to `auto`")
    return model


def takes(model: Model, option: str) -> bool:
    """Whether a model takes an option; one hint of a language goes in as `languages` too."""
    return option in model.parameters or (option == "language" and "languages" in model.parameters)


def _heeded(model: Model, option: str, voices: bool) -> bool:
    """Whether an option has an effect, be it through the model or through us."""
    return takes(model, option) or (voices and option in _SPEAKERS)


def formats_for(model: Model, options: JobOptions, *, speakers: bool) -> list[Format]:
    """The formats that a job will write: those asked for, or all that it can honestly give.

    `speakers`: whether they are known without the model, from separate channels or by our own
    means.
    """
    reasons = {name: _lacking(name, model, options, speakers) for name in FORMATS}
    if options.formats is None:
        return [name for name in FORMATS if not reasons[name]]
    for name in options.formats:
        if reasons[name]:
            raise _unsupported(
                f"format `{name}` is not possible: {reasons[name]}. "
                "Leave it out of `formats` or choose another `model`"
            )
    return [name for name in FORMATS if name in options.formats]


def longest_chunk_ms(model: Model, beside_bytes: int = 0) -> int:
    """What one request is sent at most, in milliseconds of 16 kHz mono FLAC.

    `beside_bytes`: of what goes with it in the same body.
    """
    longest_ms = LONGEST_CHUNK_MS
    if model.max_audio_ms:
        longest_ms = min(longest_ms, round(model.max_audio_ms * MARGIN))
    # Other servers of the API may take more, or may not: their limit is not known to us.
    max_bytes = model.max_bytes or (MAX_UPLOAD_BYTES if model.engine == "openai" else None)
    if max_bytes:
        longest_ms = min(longest_ms, (max_bytes - beside_bytes) // FLAC_BYTES_A_MS)
    return longest_ms


def shutdown_warning(model: Model, today: date) -> str | None:
    """A sentence when the model is past or near its shutdown."""
    if model.shutdown is None or today < model.shutdown - WARN_BEFORE_SHUTDOWN:
        return None
    return f"model {model.name} is shut down by its provider on {model.shutdown.isoformat()}"


def price(engine: str, name: str) -> float | None:
    """US dollars a minute of audio; None where it is not known to us."""
    model = LOCAL_WHISPER if engine == "whisper" else _BY_NAME.get(name)
    return model.usd_per_minute if model else None


def _named(options: JobOptions) -> Model:
    model = _BY_NAME.get(options.model)
    if options.engine == "whisper":
        return replace(LOCAL_WHISPER, name=options.model)
    if model is None and options.engine == "openai":
        return _compatible(options.model)
    if model is None or model.engine != options.engine:
        known = ", ".join(m.name for m in MODELS if m.engine == options.engine)
        raise _unsupported(
            f"engine `{options.engine}` has no model `{options.model}`. It has: {known}"
        )
    return model


def _compatible(name: str) -> Model:
    """A model that we do not know, on some OpenAI-compatible server: taken for a Whisper."""
    whisper = _BY_NAME["whisper-1"]
    return replace(whisper, name=name, max_bytes=None, usd_per_minute=None, shutdown=None)


def _automatic(options: JobOptions, today: date, voices: bool) -> Model:
    """The first model that is alive and gives what is asked for, rather all by itself."""
    if options.engine == "whisper":
        raise _unsupported(
            "engine `whisper` has no model of its own: name one in `model`, a folder or a name on "
            "the Hugging Face hub (docs/gpu.md)"
        )
    alive = [
        model
        for model in MODELS
        if model.engine == options.engine and (model.shutdown is None or today < model.shutdown)
    ]
    for alone in (True, False):
        for model in alive:
            if not _refusals(model, options, voices=voices and not alone, alone=alone):
                return model
    if not alive:
        raise _unsupported(f"engine `{options.engine}` has no model left")
    detail = "; ".join(
        f"{model.name}: {_refusals(model, options, voices=voices)[0]}" for model in alive
    )
    raise _unsupported(f"no model does all that is asked for ({detail})")


def _refusals(model: Model, options: JobOptions, *, voices: bool, alone: bool = False) -> list[str]:
    """Why a model can't do what is asked, empty where it can. `alone`: without our own means."""
    speakers = voices or options.channels == "split"
    formats = options.formats or []
    lacking = [_lacking(name, model, options, speakers) for name in formats]
    refused = [
        f"does not take `{name}`"
        for name in _API_OPTIONS
        if getattr(options, name) is not None and not _heeded(model, name, voices)
    ]
    if options.task == "translate" and not model.translates:
        refused.append("does not translate")
    if alone and not model.timed and set(formats) - set(_PLAIN):
        refused.append("gives no times")
    if alone and not model.detects_language and "verbose_json" in formats:
        refused.append("does not name the language")
    return [reason for reason in lacking if reason] + refused


def _lacking(name: Format, model: Model, options: JobOptions, speakers: bool) -> str | None:
    """What a format needs and nobody measures.

    Times, and the language of the text, are found by us where the model does not tell them.
    """
    if name == "diarized_json" and options.task == "translate":
        return "a translation has no speakers"
    if name == "diarized_json" and not (model.speakers or speakers):
        return f"model `{model.name}` does not tell speakers apart"
    return None


def _unsupported(message: str) -> Rejected:
    return Rejected("unsupported_by_model", message)
