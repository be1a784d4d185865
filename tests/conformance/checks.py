"""What came of a call, and what can be asked of it. A check yields what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True)
class Reply:
    """One call's outcome, with any of the SDKs or with plain HTTP."""

    client: str
    status: int | None = None
    """None: no answer at all."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    """As it came. None of streams that the Python SDKs have read."""
    kind: str | None = None
    """The SDK's class for the answer."""
    value: Any = None
    """The answer as the SDK gives it."""
    events: list[dict[str, Any]] | None = None
    """Of streams: `kind` and `value` of each, and `at_s`, when it came."""
    error: Mapping[str, Any] | None = None
    """The SDK's exception: `kind`, `message`, `status_code`, `code`, `param`, `type`, …"""
    attempts: list[int] = field(default_factory=list)
    """The status of each try."""

    @property
    def json(self) -> Any:
        """The body's JSON, None where it is none."""
        try:
            return json.loads(self.body or "")
        except ValueError:
            return None


Check = Callable[[Reply], Iterable[str]]
_EXCEPTIONS: Final = {
    **{400: "BadRequestError", 401: "AuthenticationError", 404: "NotFoundError"},
    **{405: "APIStatusError", 413: "APIStatusError", 429: "RateLimitError"},
}
_ENVELOPE: Final = {"message", "type", "param", "code"}
SEGMENT: Final = ("type", "text", "speaker", "start", "end", "id")
_FLOATS: Final = {"duration", "start", "end", "temperature", "avg_logprob", "compression_ratio"} | {
    "no_speech_prob"
}


def same(what: str, wanted: object, got: object) -> Iterator[str]:
    if got != wanted:
        yield f"{what}: expected {wanted!r}, got {got!r}"


def status(*allowed: int) -> Check:
    def check(reply: Reply) -> Iterator[str]:
        if reply.status not in allowed or (reply.error and reply.status == 200):
            expected = " or ".join(map(str, allowed))
            yield f"status: expected {expected}, got {reply.status} {reply.error or ''}"

    return check


def header(name: str, pattern: str) -> Check:
    def check(reply: Reply) -> Iterator[str]:
        got = reply.headers.get(name)
        if not re.fullmatch(pattern, got or ""):
            yield f"{name}: expected {pattern}, got {got!r}"

    return check


def body(pattern: str) -> Check:
    """The whole body as it came."""

    def check(reply: Reply) -> Iterator[str]:
        if reply.body is None or not re.fullmatch(pattern, reply.body, re.DOTALL):
            yield f"body: expected {pattern}, got {reply.body!r}"

    return check


def kind(name: str) -> Check:
    """The Python SDK's class; Node.js has plain objects."""

    def check(reply: Reply) -> Iterator[str]:
        if reply.client.startswith("python"):
            # 1.109 is older than diarized_json, and takes it for json.
            old = reply.client == "python 1" and name == "TranscriptionDiarized"
            yield from same("class", "Transcription" if old else name, reply.kind)

    return check


def text_answer(pattern: str) -> tuple[Check, ...]:
    """A body of plain text that matches, and that the SDK hands on as it came."""

    def handed_on(reply: Reply) -> Iterator[str]:
        yield from same("SDK's text", reply.body, reply.value)

    return (
        status(200),
        header("content-type", "text/plain; charset=utf-8"),
        body(pattern),
        handed_on,
    )


def json_answer(*keys: str, name: str = "Transcription", speech: bool = True) -> tuple[Check, ...]:
    """Compact JSON with just these keys in this order, all of which the SDK hands on."""

    def check(reply: Reply) -> Iterator[str]:
        got = reply.json if isinstance(reply.json, dict) else {}
        yield from same("keys", list(keys), list(got))
        yield from same("SDK's object", got, reply.value)
        compact = json.dumps(got, separators=(",", ":"), ensure_ascii=False)
        if len((reply.body or "").encode()) > len(compact.encode()) + 40:
            yield f"JSON is not compact: {(reply.body or '')[:80]}"
        text = str(got.get("text"))
        if speech and (not text or text != text.strip()):
            yield f"text: expected words and no space around them, got {text!r}"

    return (status(200), header("content-type", "application/json"), kind(name), check)


def at(path: str, wanted: Any) -> Check:
    """What is at a path of keys and indices in the JSON: a value, a type, or what a function takes.

    `*` is each item of a list that must not be empty.
    """

    def check(reply: Reply) -> Iterator[str]:
        for got in _follow([reply.json], path.split(".")):
            if isinstance(wanted, type):
                fits = type(got) is wanted
            else:
                fits = wanted(got) if callable(wanted) else got == wanted
            if not fits:
                name = getattr(wanted, "__name__", None) or repr(wanted)
                yield f"{path}: expected {name}, got {got!r}"

    return check


def _follow(values: list[Any], path: list[str]) -> list[Any]:
    for key in path:
        if key == "*":
            values = [item for value in values for item in value or [None]]
        else:
            values = [value.get(key) if isinstance(value, dict) else None for value in values]
    return values


def usage(form: str) -> Check:
    """Billed by `tokens` or by `duration`, wherever the answer says so."""

    def check(reply: Reply) -> Iterator[str]:
        events = reply.events or []
        got = (events[-1]["value"] if events else reply.json or {}).get("usage") or {}
        yield from same("usage.type", form, got.get("type"))
        whole = ("seconds",) if form == "duration" else ("total_tokens", "input_tokens")
        for name in whole:
            # openai-python has seconds as a float: the body is looked at where there is one.
            if not isinstance(got.get(name), int) and not events:
                yield f"usage.{name}: expected a whole number, got {got.get(name)!r}"

    return check


def segments(reply: Reply) -> Iterator[str]:
    """Whisper's segments: counted from 0, each text with the space before it."""
    wanted = ["id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob"]
    wanted += ["compression_ratio", "no_speech_prob"]
    got = (reply.json or {}).get("segments") or [{}]
    for index, segment in enumerate(got):
        yield from same(f"segment {index}'s keys", wanted, list(segment))
        yield from same(f"segment {index}'s id", index, segment.get("id"))
        if not re.match(r" \S", str(segment.get("text"))):
            yield f"segment {index}'s text: expected one space first, got {segment.get('text')!r}"


def words(reply: Reply) -> Iterator[str]:
    for word in (reply.json or {}).get("words") or [{}]:
        yield from same("a word's keys", ["word", "start", "end"], list(word))
        if not re.fullmatch(r"\w[\w'\u2019.-]*", str(word.get("word"))):
            yield f"word: expected no punctuation and no space, got {word.get('word')!r}"


def speakers(reply: Reply) -> Iterator[str]:
    """Segments of `diarized_json`, whether streamed or not."""
    events = [event["value"] for event in (reply.events or [])[:-1]]
    got = events or (reply.json or {}).get("segments") or []
    yield from same("speakers", ["A", "B"], list(dict.fromkeys(one.get("speaker") for one in got)))
    yield from same("ids", [f"seg_{n}" for n in range(len(got))], [one.get("id") for one in got])
    for segment in got:
        yield from same("segment's keys", sorted(SEGMENT), sorted(segment))
        yield from same("segment's type", "transcript.text.segment", segment.get("type"))
        if not re.match(r" \S", str(segment.get("text"))):
            yield f"segment's text: expected one space before it, got {segment.get('text')!r}"


def floats(reply: Reply) -> Iterator[str]:
    """`0.0` is written so, not `0`: readers of typed languages tell them apart."""
    answer = reply.json or {}
    for value in (answer, *(answer.get("segments") or [])):
        for name in _FLOATS & value.keys():
            if not isinstance(value[name], float):
                yield f"{name}: expected a number with a point, got {value[name]!r}"


def logprobs(reply: Reply) -> Iterator[str]:
    """Tokens that joined are the text, each with its bytes in UTF-8."""
    sources = [event["value"] for event in reply.events or []] or [reply.json or {}]
    tokens = [token for source in sources for token in source.get("logprobs") or []]
    if reply.events:
        done = sources[-1].get("logprobs") or []
        yield from same("deltas' tokens", done, tokens[: -len(done)] if done else tokens)
        tokens = done
    joined = "".join(token["token"] for token in tokens)
    yield from same("joined tokens", sources[-1].get("text"), joined)
    for token in tokens:
        yield from same("a token's keys", {"token", "logprob", "bytes"}, set(token))
        yield from same("a token's bytes", list(token["token"].encode()), token["bytes"])


def stream(*types: str) -> tuple[Check, ...]:
    """Events of these types, one or more of each, and one `transcript.text.done`."""

    def check(reply: Reply) -> Iterator[str]:
        events = [event["value"] for event in reply.events or []]
        got = [event.get("type") for event in events]
        if not got or set(got[:-1]) != set(types) or got[-1] != "transcript.text.done":
            yield f"events: expected {', '.join(types)} and one done, got {got} {reply.error or ''}"
            return
        if "transcript.text.delta" in types:
            joined = "".join(event["delta"] for event in events[:-1])
            yield from same("joined deltas", events[-1].get("text"), joined)
        if not events[-1].get("text", "").strip() or "segments" in events[-1]:
            yield f"done: expected a text and no segments, got {events[-1]}"

    head = (
        header("content-type", "text/event-stream; charset=utf-8"),
        header("cache-control", "no-store"),
    )
    return (status(200), *head, check)


def framed(reply: Reply) -> Iterator[str]:
    """Only `data:` lines, a blank line after each, `[DONE]` at the end."""
    if not re.fullmatch(r"(data: \{[^\r\n]*\}(\r?\n)\2)+data: \[DONE\]\2\2", reply.body or ""):
        yield f"framing: {reply.body!r}"


def no_events(reply: Reply) -> Iterator[str]:
    """The SDK reads an ordinary answer as a stream of nothing."""
    yield from same("events", [], reply.events)


def refused(
    number: int,
    message: str = ".+",
    *,
    kind: str | None = "invalid_request_error",
    **wanted: str | None,
) -> tuple[Check, ...]:
    """The API's error body, and the SDK's exception with all that is in it.

    `wanted`: `param` and `code`, where they matter; `message` is a pattern.
    """

    def check(reply: Reply) -> Iterator[str]:
        error = (reply.json or {}).get("error") if isinstance(reply.json, dict) else None
        if not isinstance(error, dict):
            yield f"body: expected an error, got {(reply.body or '')[:200]!r} {reply.error or ''}"
            return
        yield from same("error's keys", _ENVELOPE, set(error))
        if not re.fullmatch(message, str(error.get("message")), re.DOTALL):
            yield f"message: expected {message}, got {error.get('message')!r}"
        for name, value in {**wanted, **({"type": kind} if kind else {})}.items():
            yield from same(name, value, error.get(name))
        if reply.client != "http":
            yield from _raised(reply, error)

    return (status(number), header("content-type", "application/json"), check)


def _raised(reply: Reply, sent: Mapping[str, Any]) -> Iterator[str]:
    raised = reply.error or {}
    name = _EXCEPTIONS.get(reply.status or 0, "")
    if reply.client.startswith("node"):
        name = name.replace("APIStatusError", "APIError")
    yield from same("exception", name, raised.get("kind"))
    for part in ("code", "param", "type"):
        yield from same(f"exception's {part}", sent.get(part), raised.get(part))


def request_id(reply: Reply) -> Iterator[str]:
    sent = reply.headers.get("x-request-id")
    if not sent:
        yield "x-request-id: expected one, got none"
    if reply.error:
        yield from same("exception's request id", sent, reply.error.get("request_id"))


def one_attempt(reply: Reply) -> Iterator[str]:
    """The SDK was free to try again and saw no reason to."""
    yield from same("attempts", 1, len(reply.attempts))


def retried(reply: Reply) -> Iterator[str]:
    if set(reply.attempts[:-1]) != {429} or reply.attempts[-1:] != [200]:
        yield f"attempts: expected 429 and at last 200, got {reply.attempts}"


def secret(key: str) -> Check:
    def check(reply: Reply) -> Iterator[str]:
        if key in (reply.body or "") + str(reply.headers):
            yield "the whole key is in the answer"

    return check
