"""Subtitles read back by parsers of others: every cue, its times, its speaker and its text."""

from __future__ import annotations

import html
import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pysubs2
import pytest
import srt
import webvtt
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dropscribe.cues import Cue
from dropscribe.formats import OUTPUTS
from dropscribe.formats.srt import srt_document
from dropscribe.formats.vtt import vtt_document
from dropscribe.options import JobOptions
from dropscribe.timestamps import to_ms
from dropscribe.transcript import Segment, Transcript
from tests.hostile import BLANK, HOSTILE, NAMES, cue, ink, shown

ROOT: Final = Path(__file__).parents[1]
TOOLS: Final = ROOT / ".venv-tools"
EXAMPLES: Final = 150
HOUR_MS: Final = 3_600_000


@dataclass(frozen=True)
class Read:
    """A cue as a judge reads it."""

    start_ms: int
    end_ms: int
    text: str
    voice: str | None = None


Judge = Callable[[str], list[Read]]


def unescaped(voice: str | None) -> str | None:
    """Neither judge of WebVTT does so with names, as the standard says; a browser does."""
    return None if voice is None else html.unescape(voice)


class Validator:
    """W3C's own parser and validator of WebVTT, in a process of Node.js."""

    def __init__(self) -> None:
        command = [TOOLS / "bin" / "node", ROOT / "tests" / "webvtt.mjs", TOOLS]
        self._process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def read(self, document: str) -> list[Read]:
        """Raise `AssertionError` where the document is not as the standard demands."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(document) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert answer["errors"] == []
        return [
            Read(to_ms(cue["start"]), to_ms(cue["end"]), cue["text"], unescaped(cue["voice"]))
            for cue in answer["cues"]
        ]

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def validator() -> Iterator[Validator]:
    started = Validator()
    yield started
    started.close()


def by_webvtt(document: str) -> list[Read]:
    return [
        Read(
            cue.start_time.in_milliseconds(),
            cue.end_time.in_milliseconds(),
            html.unescape(cue.text),
            unescaped(cue.voice),
        )
        for cue in webvtt.from_string(document, strict=True).captions
    ]


def by_srt(document: str) -> list[Read]:
    found = list(srt.parse(document))
    assert [cue.index for cue in found] == list(range(1, len(found) + 1))
    return [
        Read(to_ms(cue.start.total_seconds()), to_ms(cue.end.total_seconds()), cue.content.rstrip())
        for cue in found
    ]


def by_pysubs2(document: str) -> list[Read]:
    found = pysubs2.SSAFile.from_string(document, format_="srt")
    return [Read(event.start, event.end, event.text.replace(r"\N", "\n")) for event in found]


SRT_JUDGES: Final = [by_srt, by_pysubs2]


def seen(found: Sequence[Read]) -> list[tuple[int, int, str, str | None]]:
    return [
        (read.start_ms, read.end_ms, ink(read.text), ink(read.voice or "") or None)
        for read in found
    ]


def given_as(cues: Sequence[Cue]) -> list[tuple[int, int, str, str | None]]:
    """Of cues with something to see what a judge should find."""
    return [
        (cue.start_ms, cue.end_ms, text, ink(cue.speaker or "") or None)
        for cue in cues
        if (text := ink("".join(cue.lines)))
    ]


def respelled(found: Sequence[tuple[int, int, str, str | None]]) -> list[tuple[int, int, str]]:
    """Srt has no escapes: arrows, tags and braces are written with other signs."""
    signs = str.maketrans("‹›()", "<>{}")  # noqa: RUF001
    return [(a, b, text.replace("→", "-->").translate(signs)) for a, b, text, _ in found]


def spelled(cues: Sequence[Cue]) -> list[tuple[int, int, str]]:
    return respelled(given_as(cues))


AROUND: Final = ("before", "after")
"""Nothing may reach beyond its cue."""


class TestHostileText:
    @pytest.mark.parametrize("text", HOSTILE)
    @pytest.mark.parametrize("speaker", [None, "A"])
    def test_webvtt_is_valid_and_reads_as_it_was_given(
        self, validator: Validator, text: str, speaker: str | None
    ) -> None:
        found = shown(AROUND[0], text, AROUND[1], speaker=speaker)
        document = vtt_document(found, note=[text])
        expected = given_as(found)
        assert len(expected) == 3
        assert seen(validator.read(document)) == expected
        assert seen(by_webvtt(document)) == expected

    @pytest.mark.parametrize("text", HOSTILE)
    @pytest.mark.parametrize("judge", SRT_JUDGES)
    def test_srt_reads_as_it_was_given(self, judge: Judge, text: str) -> None:
        found = shown(AROUND[0], text, AROUND[1])
        if judge is by_pysubs2 and text.count("00:00:") == 2:
            pytest.skip("takes any line with two times for a line of times")
        assert respelled(seen(judge(srt_document(found)))) == spelled(found)

    @pytest.mark.parametrize("name", NAMES)
    def test_a_speaker_is_a_voice_whatever_the_name(self, validator: Validator, name: str) -> None:
        found = shown("Hello.", "Bye.", speaker=name)
        document = vtt_document(found)
        assert [read.voice for read in validator.read(document)] == [" ".join(name.split())] * 2
        assert seen(by_webvtt(document))[0][2] == "Hello."

    @pytest.mark.parametrize("blank", BLANK)
    def test_what_cannot_be_seen_is_no_cue_and_no_line(
        self, validator: Validator, blank: str
    ) -> None:
        found = [
            *shown("before", blank),
            cue(9000, 9500, blank, "first", blank, blank, "second", blank),
        ]
        texts = ["before", "first\nsecond"]
        document = srt_document(found)
        assert [read.text for read in by_srt(document)] == texts
        assert [read.text for read in by_pysubs2(document)] == texts
        assert [read.text for read in validator.read(vtt_document(found))] == texts

    @pytest.mark.parametrize("render", [srt_document, vtt_document])
    def test_a_document_is_utf_8_without_a_mark_of_byte_order(
        self, render: Callable[[Sequence[Cue]], str]
    ) -> None:
        content = render(shown(*HOSTILE)).encode()
        assert b"\xef\xbb\xbf" not in content
        assert b"\r" not in content
        assert b"\x00" not in content

    @pytest.mark.parametrize("text", ["", "\n\n", "-->", "\ufeff", "00:01.000 --> 00:02.000\nx"])
    def test_a_language_that_an_engine_made_up_breaks_no_note(
        self, validator: Validator, text: str
    ) -> None:
        said = Segment(text="Hello.", start_ms=0, end_ms=1000)
        transcript = Transcript(
            text="Hello.", task="transcribe", language=text, duration_ms=1000, segments=[said]
        )
        document = OUTPUTS["vtt"].render(transcript, JobOptions())
        assert [read.text for read in validator.read(document)] == ["Hello."]


class TestTimes:
    LATE: Final = (99 * HOUR_MS, 100 * HOUR_MS, 1234 * HOUR_MS + 59 * 60_000 + 59_999)

    @pytest.mark.parametrize("from_ms", LATE)
    def test_a_hundred_hours_are_read(self, validator: Validator, from_ms: int) -> None:
        found = shown("One.", "Two.", from_ms=from_ms)
        expected = given_as(found)
        for judge in (validator.read, by_webvtt):
            assert seen(judge(vtt_document(found))) == expected
        assert respelled(seen(by_srt(srt_document(found)))) == respelled(expected)

    def test_a_long_document_is_read_to_the_millisecond(self, validator: Validator) -> None:
        found = [
            cue(
                2701 * at, 2701 * at + 1999, f"Line {at}", "and <more> & more", speaker="AB"[at % 2]
            )
            for at in range(12_000)
        ]
        document = vtt_document(found, note=["Language: en"])
        assert seen(validator.read(document)) == given_as(found)
        assert seen(by_webvtt(document)) == given_as(found)
        document = srt_document(found)
        for judge in SRT_JUDGES:
            assert respelled(seen(judge(document))) == spelled(found)


WORDS: Final = st.one_of(
    st.sampled_from(HOSTILE),
    st.sampled_from(BLANK),
    st.text("abc.,-<>&;:/\n\r\t \x00\ufeff\u2028", max_size=12),
    st.text(st.characters(codec=None, exclude_characters="\\{}"), max_size=12),
    *(
        st.text(st.characters(min_codepoint=first, max_codepoint=last), min_size=1, max_size=8)
        for first, last in [
            *((0x00C0, 0x024F), (0x0370, 0x04FF), (0x0590, 0x06FF), (0x0900, 0x0E7F)),
            *((0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x1F300, 0x1FAFF)),
        ]
    ),
)


@st.composite
def spoken(draw: st.DrawFn) -> list[Cue]:
    """Cues in order, of several scripts and of anything; the last one says `end`."""
    found, at_ms = [], 0
    lines = st.lists(st.lists(WORDS, min_size=1, max_size=4).map(" ".join), min_size=1, max_size=3)
    speakers = st.none() | st.sampled_from(NAMES) | WORDS
    for number in range(draw(st.integers(1, 6))):
        at_ms += draw(st.integers(0, 9 * HOUR_MS))
        length_ms = draw(st.integers(1, 7000))
        speaker = draw(speakers)
        found.append(cue(at_ms, at_ms + length_ms, *draw(lines), speaker=speaker))
        at_ms += length_ms + number
    return [*found, cue(at_ms, at_ms + 1, "end")]


class TestAnyText:
    @settings(max_examples=EXAMPLES, deadline=None)
    @given(found=spoken())
    @example(found=[cue(0, 1, "a", speaker="--"), cue(1, 2, "b", speaker="---"), cue(2, 3, "end")])
    def test_webvtt_is_valid_and_no_cue_is_lost(
        self, validator: Validator, found: list[Cue]
    ) -> None:
        document = vtt_document(found)
        document.encode()
        expected = given_as(found)
        assert seen(validator.read(document)) == expected
        assert seen(by_webvtt(document)) == expected

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(found=spoken())
    def test_srt_loses_no_cue(self, found: list[Cue]) -> None:
        document = srt_document(found)
        document.encode()
        assert respelled(seen(by_srt(document))) == spelled(found)

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(found=spoken())
    def test_every_line_is_one_line(self, found: list[Cue]) -> None:
        for document in (srt_document(found), vtt_document(found)):
            assert document.splitlines() == document.split("\n")[:-1]
            assert not any(line != line.strip() for line in document.split("\n"))
            blocks = [block.split("\n") for block in document.rstrip("\n").split("\n\n")]
            assert all(line for lines in blocks for line in lines)
            assert all("-->" not in block[-1] for block in blocks)


def test_recorded_answers_are_read_by_every_judge(validator: Validator) -> None:
    """The API's own documents: judges that failed there would judge nothing."""
    from tests.api_server import RECORDED

    bodies: dict[str, Any] = {name: entry["body"] for name, entry in RECORDED.items()}
    subtitles = [body for body in bodies.values() if "-->" in str(body)]
    assert subtitles
    for body in subtitles:
        judges = [validator.read, by_webvtt] if body.startswith("WEBVTT") else SRT_JUDGES
        assert all(judge(body) for judge in judges)
