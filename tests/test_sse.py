"""Server-sent events: the same messages, however the bytes are cut and the lines are ended."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropscribe.sse import messages
from tests.api_server import RECORDED

STREAMS = ["sse_text", "sse_logprobs", "sse_diarized"]
ENDS = [b"\n", b"\r", b"\r\n"]


def read(*pieces: bytes) -> list[str]:
    return list(messages(pieces))


def recorded(name: str) -> tuple[bytes, list[str]]:
    """A recorded stream, and what is in it: it has one `data` line an event."""
    body = RECORDED[name]["body"]
    texts = [event.removeprefix("data: ") for event in body.split("\r\n\r\n") if event]
    return body.encode(), texts


@pytest.mark.case("C10")
@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_may_be_cut_at_every_byte(name: str) -> None:
    body, texts = recorded(name)
    assert len(texts) > 3
    assert read(*(body[at : at + 1] for at in range(len(body)))) == texts
    for cut in range(len(body)):
        assert read(body[:cut], body[cut:]) == texts, cut


@pytest.mark.parametrize("end", [*ENDS, None], ids=["lf", "cr", "crlf", "mixed"])
@pytest.mark.parametrize("name", STREAMS)
def test_lines_may_end_in_any_way(name: str, end: bytes | None) -> None:
    body, texts = recorded(name)
    lines = body.split(b"\r\n")
    # An LF that follows a CR would be one end and not two.
    turns = itertools.cycle([b"\n", b"\r", b"\r\n"])
    changed = b"".join(line + (end or next(turns)) for line in lines[:-1])
    assert read(changed) == texts
    assert read(*(changed[at : at + 1] for at in range(len(changed)))) == texts


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", ["a"]),
        (b": comment\n\n:\ndata: a\n: comment\n\n", ["a"]),
        (b"event: transcript.text.delta\nid: 7\nretry: 10\ndata: a\n\n", ["a"]),
        (b"event: ping\n\ndata: a\n\n", ["a"]),
        (b'data: {"a":\ndata:  1}\n\n', ['{"a":\n 1}']),
        (b"data: a\r\ndata: b\r\n\r\n", ["a\nb"]),
        (b"data:a\n\ndata:  b\n\n", ["a", " b"]),
        (b"data\n\ndata:\ndata\n\n", ["", "\n"]),
        (b"database: a\nda: b\nDATA: c\n\n", []),
        (
            'data: {"a":"one\u2028two\u2029\x85\x0b"}\n\n'.encode(),
            ['{"a":"one\u2028two\u2029\x85\x0b"}'],
        ),
        (b"data: a\n\ndata: b", ["a", "b"]),
        (b"data: a\n\ndata: b\n", ["a", "b"]),
        (b"data: a\n\n\n\n\ndata: b\n\n", ["a", "b"]),
        (b"data: \xff\n\n", ["\ufffd"]),
        (b"", []),
    ],
    ids=repr,
)
def test_fields_are_read_as_the_standard_says(body: bytes, expected: list[str]) -> None:
    assert read(body) == expected
    assert read(*(body[at : at + 1] for at in range(len(body)))) == expected


@pytest.mark.parametrize("end", ENDS)
def test_an_event_is_given_before_the_next_byte_is_asked_for(end: bytes) -> None:
    """A CR may be the first half of an end: to wait for the other would hold back the event."""

    def pieces() -> Iterable[bytes]:
        yield b"data: a" + end + end
        raise AssertionError("asked for more")

    assert next(messages(pieces())) == "a"


@given(
    sent=st.lists(
        st.lists(
            st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=9),
            min_size=1,
            max_size=4,
        ).map("\n".join),
        max_size=4,
    ),
    ends=st.lists(st.sampled_from(ENDS), min_size=1),
    cuts=st.sets(st.integers(0, 400)),
    bom=st.booleans(),
)
def test_what_was_sent_comes_back_however_it_is_framed_and_cut(
    sent: list[str], ends: list[bytes], cuts: set[int], bom: bool
) -> None:
    turn = itertools.cycle(ends)
    body = b"\xef\xbb\xbf" if bom else b""
    for text in sent:
        for line in text.split("\n"):
            body += b"data: " + line.encode() + next(turn)
        # A blank line that began with the LF of the CR before it would not be one.
        body += b"\r\n" if body.endswith(b"\r") else next(turn)
    places = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    pieces = [body[start:end] for start, end in itertools.pairwise(places)]
    assert read(*pieces) == sent
    # With empty pieces between the bytes: these are no end of anything.
    # With empty pieces between the bytes: these are no end of anything.
    assert read(*(piece for at in range(len(body)) for piece in (body[at : at + 1], b""))) == sent
