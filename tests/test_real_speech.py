"""Real speech cut into chunks and really recognized: no word is lost or doubled at a seam.

The recognizer hears words otherwise where an utterance begins elsewhere; `python -m bench.seams`
counts these over minutes. The same sound has the same words every time, so bounds are exact here.
"""

from __future__ import annotations

import pytest

from bench.seams import Told, differing, doubled, lost, recognized, talk, texts
from dropscribe.plan import plan
from dropscribe.spans import Span

SENTENCES = ["austen-0930.wav", "librispeech-1688-142285-0002.flac", "austen-0880.wav"]
PAUSE_S = 1.0
SPEECH = "jfk.flac"
LENGTH_MS = 11_000


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory, ffmpeg_on_path: None) -> list[Told]:
    """Three sentences, with pauses between: as a whole, and cut in the pauses."""
    folder = tmp_path_factory.mktemp("sentences")
    track = talk(folder, SENTENCES, [PAUSE_S] * len(SENTENCES)).track
    cut = plan(track.duration_ms, track.pauses, longest_ms=16_000, parallel=3, shortest_ms=3_000)
    return recognized(track, [[Span(0, track.duration_ms)], cut])


OVERLAPPING = {
    "in two": plan(LENGTH_MS, (), longest_ms=16_000, parallel=2, shortest_ms=3_000),
    "in three": plan(LENGTH_MS, (), longest_ms=16_000, parallel=3, shortest_ms=3_000),
    # Of "country can do for you", the next hears "you can't over yo".
    "otherwise heard": [Span(2_571, 10_322), Span(6_322, LENGTH_MS)],
}


@pytest.fixture(
    scope="module",
    params=["in two", *(pytest.param(way, marks=pytest.mark.long) for way in [*OVERLAPPING][1:])],
)
def overlapping(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, ffmpeg_on_path: None
) -> Told:
    """One speech, cut anywhere."""
    track = talk(tmp_path_factory.mktemp("speech"), [SPEECH], [0]).track
    assert track.duration_ms == LENGTH_MS
    (told,) = recognized(track, [OVERLAPPING[request.param]])
    return told


def test_cut_in_pauses_the_words_are_those_of_the_whole(sentences: list[Told]) -> None:
    whole, told = (texts(one.words) for one in sentences)
    assert len(sentences[1].passages) == 3
    assert not sentences[1].overlaps
    assert len(whole) == 25
    # The recognizer's own: with silence of another length before it, "he was" is "it was".
    assert [(whole[edit.left], told[edit.right]) for edit in differing(whole, told)] == [
        ("he", "it")
    ]


def test_what_two_chunks_heard_stands_once(overlapping: Told) -> None:
    assert len(overlapping.overlaps) == len(overlapping.passages) - 1
    assert texts(lost(overlapping)) == []
    assert texts(doubled(overlapping)) == []


def test_text_and_words_say_the_same(overlapping: Told) -> None:
    assert overlapping.transcript.text.split() == texts(overlapping.words)
