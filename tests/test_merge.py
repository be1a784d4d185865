"""Words that were placed in the audio, given back to the text that a seam has left."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence

import pytest

from dropscribe.formats import OUTPUTS
from dropscribe.merge import merge, with_times
from dropscribe.options import JobOptions
from dropscribe.passage import Passage
from dropscribe.placement import placed
from dropscribe.spans import Span
from dropscribe.transcript import Segment, Timing, Transcript, Word

MINUTE = Span(0, 60_000)


def told(text: str, words: Sequence[Word] = (), span: Span = MINUTE) -> Passage:
    return Passage(span, text, placed=words or placed(text, span, [span]))


def spoken(passage: Passage) -> list[tuple[str, int]]:
    return [(word.text, word.start_ms) for word in with_times(passage).words or []]


def evenly(text: str, *, every_ms: int = 1000) -> list[Word]:
    return [Word(word, every_ms * at, every_ms * at + 500) for at, word in enumerate(text.split())]


def test_text_without_placed_words_stays_without_times() -> None:
    passage = Passage(MINUTE, "Hello there.")
    assert with_times(passage) == passage


def test_what_a_seam_took_at_either_end_takes_its_words_along() -> None:
    words = evenly("one two three four five")
    assert spoken(told("two three four", words)) == [("two", 1000), ("three", 2000), ("four", 3000)]


def test_a_seam_may_divide_a_word() -> None:
    words = evenly("東京都庁へ 行きます。")
    assert spoken(told("都庁へ行き", words)) == [("都庁へ", 0), ("行き", 1000)]


def test_words_in_two_scripts_keep_their_times() -> None:
    text = "We flew to 北京 last week."
    assert [at for _, at in spoken(told(text, evenly(text)))] == [0, 1000, 2000, 3000, 4000, 5000]


@pytest.mark.parametrize(
    "text", ["2024年にiPhoneを買った。", "สวัสดีครับ ผมชื่อสมชาย 2024นี้", "Oui\u00a0!"]
)
def test_the_text_is_not_spelled_anew(text: str) -> None:
    passage = with_times(told(text))
    assert " ".join(segment.text for segment in passage.segments or []) == text


def test_segments_that_overlap_find_their_own_words() -> None:
    """Two who talk at once."""
    segments = [Segment("one two", 0, 6000, "A"), Segment("three four", 2000, 6000, "B")]
    words = [
        Word("one", 3000, 3500),
        Word("two", 4000, 4500),
        Word("three", 3000, 3500),
        Word("four", 5000, 5500),
    ]
    passage = with_times(Passage(MINUTE, "one two three four", segments=segments, placed=words))
    assert [(w.text, w.start_ms, w.speaker) for w in passage.words or []] == [
        ("one", 3000, "A"),
        ("three", 3000, "B"),
        ("two", 4000, "A"),
        ("four", 5000, "B"),
    ]


def test_of_the_same_words_said_twice_the_nearest_are_taken() -> None:
    segments = [Segment("Yes.", 0, 1000), Segment("Yes.", 9000, 9900)]
    words = [Word("Yes.", 9300, 9800), Word("Yes.", 200, 600)]
    passage = with_times(Passage(MINUTE, "Yes. Yes.", segments=segments, placed=words))
    assert [word.start_ms for word in passage.words or []] == [200, 9300]


def test_segments_that_have_words_keep_them() -> None:
    segments = [Segment("One.", 0, 1000), Segment("Two.", 2000, 3000)]
    passage = Passage(
        MINUTE,
        "One. Two.",
        segments=segments,
        words=[Word("One.", 10, 900)],
        placed=[Word("Two.", 2100, 2900)],
    )
    assert [(word.text, word.start_ms) for word in with_times(passage).words or []] == [
        ("One.", 10),
        ("Two.", 2100),
    ]


def test_a_recording_of_text_alone_is_timed_over_its_seams() -> None:
    first = told("we went to the old house", evenly("we went to the old house"), Span(0, 8000))
    later = [
        Word(w.text, w.start_ms + 4000, w.end_ms + 4000) for w in evenly("the old house and slept")
    ]
    second = told("the old house and slept", later, Span(3000, 12_000))
    whole = merge([first, second], duration_ms=12_000, task="transcribe", language="en")
    assert whole.text == "we went to the old house and slept"
    assert [word.text for word in whole.words or []] == whole.text.split()
    starts = [word.start_ms for word in whole.words or []]
    assert all(a <= b for a, b in itertools.pairwise(starts))


@pytest.mark.parametrize(
    ("timing", "written"), [("model", True), ("aligned", True), ("estimated", False)]
)
def test_words_at_estimated_times_are_not_in_verbose_json(timing: Timing, written: bool) -> None:
    transcript = Transcript(
        text="Hello.",
        task="transcribe",
        duration_ms=1000,
        segments=[Segment("Hello.", 0, 1000)],
        words=[Word("Hello.", 0, 900)],
        timing=timing,
        word_timing=timing,
    )
    document = json.loads(OUTPUTS["verbose_json"].render(transcript, JobOptions()))
    assert ("words" in document) == written
    assert len(document["segments"]) == 1
