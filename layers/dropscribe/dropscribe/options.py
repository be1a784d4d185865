"""Job options: what they are, where they come from, which source wins.

Template parameters → every `_dropscribe.json` in the upload's parent folders, outermost first →
the sidecar `<key>.dropscribe.json` → the upload's object metadata. Later wins, field by field.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sized
from email.errors import MessageError
from email.header import decode_header, make_header
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dropscribe.api.request import Format, Parameters
from dropscribe.errors import Rejected

Engine = Literal["openai", "whisper", "offline"]

LARGEST_OPTION_FILE_BYTES: Final = 16 << 20
"""Room for four speaker references as data URLs."""
FOLDER_FILE: Final = "_dropscribe.json"
MOST_FOLDERS: Final = 32
"""That an upload may lie in."""
SIDECAR_SUFFIX: Final = ".dropscribe.json"
SPEAKERS_FOLDER: Final = "speakers/"
"""Where clips of known speakers' voices lie in the uploads bucket; they start no job."""

METADATA_OF_UPLOAD_TOOLS: Final = (
    *("mtime", "atime", "ctime", "btime", "uid", "gid", "mode", "md5chksum"),  # rclone, s3fs
    *(
        "s3cmd-attrs",
        "mc-attrs",
        "cb-modifiedtime",
        "sha256",
        "s3b-last-modified",
    ),  # s3cmd, CloudBerry
    *("file-owner", "file-permissions", "file-group", "file-acl"),  # AWS DataSync, File Gateway
    *("file-atime", "file-mtime", "user-agent", "user-agent-id"),
)
"""Object metadata that common upload tools write of themselves: not options, ignored."""


Label = Annotated[str, Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""Short text without control characters: SNS takes no others."""


class SubtitleOptions(BaseModel):
    """How cues in srt and vtt are cut: a profile's numbers, and those that are given beside it.

    Lengths are in columns, of which a Chinese character takes two: so 20 columns a second are 10
    of those.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: Literal["netflix", "bbc", "web"] = "netflix"
    """Where the numbers come from that are not given: see `PROFILES`."""
    max_line_length: Annotated[int, Field(ge=10, le=200)] = 42
    max_wide_line_length: Annotated[int, Field(ge=5, le=100)] = 16
    """Characters a line of Chinese, Japanese or Korean; never wider than the others."""
    max_lines: Annotated[int, Field(ge=1, le=4)] = 2
    max_characters_per_second: Annotated[float, Field(ge=5, le=100)] = 20
    min_duration_ms: Annotated[int, Field(ge=0, le=5000)] = 833
    max_duration_ms: Annotated[int, Field(ge=1000, le=60_000)] = 7000
    min_gap_ms: Annotated[int, Field(ge=0, le=1000)] = 83
    """Two frames at 24 a second."""
    close_gaps_ms: Annotated[int, Field(ge=0, le=5000)] = 500
    """A gap shorter than this would be a flicker: it is closed, down to the least one."""
    name_speakers: bool = True
    """`A: ` in srt where the speaker changes; vtt has voices in any case."""

    @model_validator(mode="before")
    @classmethod
    def _of_profile(cls, given: Any) -> Any:
        """A name alone is a profile's."""
        values = {"profile": given} if isinstance(given, str) else given
        if not isinstance(values, dict):
            return values
        profile = values.get("profile", "netflix")
        numbers = PROFILES.get(profile, {}) if isinstance(profile, str) else {}
        return numbers | values

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.min_duration_ms > self.max_duration_ms:
            raise ValueError(
                f"`min_duration_ms` ({self.min_duration_ms}) is more than `max_duration_ms` "
                f"({self.max_duration_ms}): give the smaller number as the minimum"
            )
        return self

    @property
    def wide_line_length(self) -> int:
        """Wide characters a line."""
        return min(self.max_wide_line_length, self.max_line_length)


PROFILES: Final[dict[str, dict[str, Any]]] = {
    "netflix": {},
    "bbc": {
        "max_line_length": 37,
        "max_characters_per_second": 17,
        "min_duration_ms": 1000,
        "min_gap_ms": 80,
        "close_gaps_ms": 1000,
    },
    "web": {
        "max_characters_per_second": 21,
        "min_duration_ms": 1000,
    },
}
"""Of style guides. `netflix`: its timed text style guide, for adults (the defaults above). `bbc`:
its subtitle guidelines: teletext's 37 characters, 160 to 180 words a minute, gaps of less than a
second closed, two frames at 25 a second. `web`: TED's guidelines for its translators."""


class JobOptions(Parameters):
    """Everything that a job can be told: the transcription API's own parameters, and these."""

    model: Annotated[str, Field(min_length=1, max_length=200)] = "auto"
    """`auto` picks by what is asked for."""
    engine: Engine = "openai"
    task: Literal["transcribe", "translate"] = "transcribe"
    """`translate`: into English."""
    formats: Annotated[list[Format], Field(min_length=1)] | None = None
    """None: all that the job can honestly give."""
    channels: Literal["mix", "split"] = "mix"
    """`split`: one speaker a channel, for stereo calls."""
    min_speakers: Annotated[int, Field(ge=1, le=100)] | None = None
    """At least so many speak; None: not known."""
    max_speakers: Annotated[int, Field(ge=1, le=100)] | None = None
    """At most so many speak; None: not known."""
    subtitles: SubtitleOptions = SubtitleOptions()
    labels: Annotated[dict[Label, Label], Field(max_length=50)] = Field(default={})
    """Handed through to the notification, whose size is limited."""
    tenant: Annotated[Label, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.language and self.languages:
            raise ValueError("`language` and `languages` exclude each other: give one of them")
        if letters := [name for name in self.known_speaker_names or [] if _LETTERS.fullmatch(name)]:
            raise ValueError(
                f"the known speaker name {letters[0]!r} is what unknown voices are called: "
                "give another name"
            )
        if self.min_speakers and self.max_speakers and self.min_speakers > self.max_speakers:
            raise ValueError(
                f"`min_speakers` ({self.min_speakers}) is more than `max_speakers` "
                f"({self.max_speakers}): give the smaller number as the minimum"
            )
        if self.task == "translate" and self.formats and "diarized_json" in self.formats:
            raise ValueError(
                "`task: translate` and `formats: diarized_json` exclude each other: "
                "a translation has no speakers"
            )
        return self


_LETTERS: Final = re.compile(r"\s*[A-Za-z]{1,2}\s*")
OPTION_NAMES: Final = tuple(JobOptions.model_fields)
UNQUOTED: Final = frozenset(
    {"prompt", "keywords", "labels", "known_speaker_names", "known_speaker_references"}
)
"""What people say, and who: not to be quoted in errors, which are in logs and notifications."""


def is_option_file(key: str) -> bool:
    """Whether an uploaded object holds options, and so starts no job."""
    return key.rsplit("/", 1)[-1] == FOLDER_FILE or key.endswith(SIDECAR_SUFFIX)


def option_file_keys(key: str) -> list[str]:
    """The option files of an upload, in the order in which they apply.

    Raises `Rejected` for one in more than `MOST_FOLDERS`: each costs a request, and so does each
    upload that waits for it.
    """
    folders = key.split("/")[:-1]
    if len(folders) > MOST_FOLDERS:
        raise _invalid(
            f"the upload lies {len(folders)} folders deep, and options are looked for in "
            f"{MOST_FOLDERS} at most: upload it under a shorter name"
        )
    prefixes = [
        "/".join(folders[:depth]) + "/" if depth else "" for depth in range(len(folders) + 1)
    ]
    return [prefix + FOLDER_FILE for prefix in prefixes] + [key + SIDECAR_SUFFIX]


class Layer(BaseModel):
    """Options from one source, still unchecked."""

    model_config = ConfigDict(frozen=True)

    source: str
    """For people: `calls/_dropscribe.json`, `the upload's metadata`, …"""
    values: dict[str, Any]


def parameters_layer(engine: str, model: str, formats: str) -> Layer:
    """The template's parameters; an empty one says nothing."""
    values = {"engine": engine, "model": model, "formats": _items(formats)}
    return Layer(source="the template's parameters", values={k: v for k, v in values.items() if v})


def file_layer(key: str, content: bytes) -> Layer:
    """An option file: one JSON object."""
    if len(content) > LARGEST_OPTION_FILE_BYTES:
        raise _invalid(f"{key} is larger than {LARGEST_OPTION_FILE_BYTES >> 20} MiB")
    try:
        values = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _invalid(f"{key} is not JSON ({error}): write one JSON object into it") from error
    if not isinstance(values, dict) or not _is_text(values):
        raise _invalid(f'{key} must hold one JSON object, like {{"language": "en"}}')
    return Layer(source=key, values={_canonical(name): value for name, value in values.items()})


def metadata_layer(metadata: Mapping[str, str]) -> Layer:
    """The upload's `x-amz-meta-*`, names without that prefix; `-` and `_` are the same.

    S3 hands values that are not ASCII back as RFC 2047 encoded words.
    """
    values = {
        _canonical(name): _from_text(_canonical(name), _decoded(_canonical(name), text))
        for name, text in metadata.items()
        if name.lower() not in METADATA_OF_UPLOAD_TOOLS
    }
    return Layer(source="the upload's metadata", values=values)


def _decoded(name: str, text: str) -> str:
    try:
        return str(make_header(decode_header(text)))
    except (LookupError, ValueError, MessageError) as error:
        message = f"option `{name[:80]}` in the upload's metadata is no RFC 2047 text: write UTF-8"
        raise _invalid(message) from error


class Resolved(BaseModel):
    model_config = ConfigDict(frozen=True)

    options: JobOptions
    sources: dict[str, str]
    """Option → the source that set it."""


def resolve(layers: Iterable[Layer]) -> Resolved:
    """Merge the layers. Raises `Rejected("invalid_options")` naming field and source."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for layer in layers:
        for name, value in layer.values.items():
            if name not in OPTION_NAMES:
                raise _unknown(name, layer.source)
            values[name], sources[name] = value, layer.source
    try:
        return Resolved(options=JobOptions.model_validate(values), sources=sources)
    except ValidationError as error:
        raise _invalid("; ".join(_explain(e, sources) for e in error.errors())) from error


def _explain(error: Any, sources: Mapping[str, str]) -> str:
    """One pydantic error as a sentence: field, what is wrong, what was given, where."""
    if not error["loc"]:
        where = ", ".join(f"`{name}` from {source}" for name, source in sources.items())
        return f"{error['msg'].removeprefix('Value error, ')} ({where})"
    option = str(error["loc"][0])
    field = ".".join(_path(error["loc"]))
    source = sources.get(option, "the defaults")
    given = _kind(error["input"]) if option in UNQUOTED else repr(error["input"])[:80]
    return f"option `{field}` in {source}: {error['msg']}, got {given}"


def _path(loc: tuple[str | int, ...]) -> list[str]:
    """Where in an option; a name that is itself what is wrong stays out."""
    following = (*loc[1:], "")
    return [str(part) for part, after in zip(loc, following, strict=True) if after != "[key]"]


def _kind(given: object) -> str:
    name = type(given).__name__
    return f"{name} of length {len(given)}" if isinstance(given, Sized) else name


def _unknown(name: str, source: str) -> Rejected:
    close = difflib.get_close_matches(name, OPTION_NAMES, n=1)
    hint = f" Did you mean `{close[0]}`?" if close else ""
    return _invalid(
        f"unknown option `{name[:80]}` in {source}.{hint} Allowed: {', '.join(OPTION_NAMES)}"
    )


def _invalid(message: str) -> Rejected:
    return Rejected("invalid_options", message)


def _canonical(name: str) -> str:
    return name.lower().replace("-", "_")


def _is_text(values: dict[str, Any]) -> bool:
    """JSON can spell half of a character (a lone surrogate), which nothing can write again."""
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _from_text(name: str, text: str) -> Any:
    """Metadata is text: lists and objects as JSON, lists of strings also comma-separated."""
    if name not in _SCALAR_OPTIONS and text.lstrip().startswith(("[", "{")):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            message = f"option `{name}` in the upload's metadata is not JSON ({error})"
            raise _invalid(message) from error
    return _items(text) if name in _LIST_OPTIONS else text


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _kinds(schema: dict[str, Any]) -> set[str]:
    """JSON types that an option can have; an object with a schema of its own counts as one."""
    return {str(option.get("type", "object")) for option in schema.get("anyOf", [schema])}


_PROPERTIES: Final = JobOptions.model_json_schema()["properties"]
_LIST_OPTIONS: Final = frozenset(n for n, s in _PROPERTIES.items() if "array" in _kinds(s))
_SCALAR_OPTIONS: Final = frozenset(
    n for n, s in _PROPERTIES.items() if not {"array", "object"} & _kinds(s)
)
