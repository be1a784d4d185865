"""Speakers of words, from the turns of many chunks."""

from __future__ import annotations

import pytest

from dropscribe.attribution import ChunkTurns, attributed
from dropscribe.speakers import Voice
from dropscribe.transcript import Segment, Word
from dropscribe.turns import Turn

ANN, BEN, CLEO = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]


def voice(label: str, vector: list[float] | None, weight: int = 4) -> Voice:
    return Voice(label=label, speech_ms=4000, embedding=vector, threshold=0.7, weight=weight)


def words(*said: tuple[str, int, int]) -> list[Word]:
    return [Word(text, start_ms, end_ms) for text, start_ms, end_ms in said]


WORDS = words(("good", 0, 400), ("morning", 400, 900), ("thank", 2000, 2400), ("you", 2400, 2800))
SEGMENTS = [Segment("Good morning.", 0, 900), Segment("Thank you.", 2000, 2800)]


def speakers(*chunks: ChunkTurns, **given: object) -> list[str | None]:
    _, said, _ = attributed(SEGMENTS, WORDS, chunks, **given)  # type: ignore[arg-type]
    return [word.speaker for word in said]


def test_words_without_any_voice_are_somebodys() -> None:
    assert speakers() == speakers(ChunkTurns([], [])) == ["A"] * 4
    assert attributed([], [], []) == ([], [], None)


def test_words_far_from_all_turns_are_of_who_spoke_before() -> None:
    turns = [Turn(300, 900, "0"), Turn(90_000, 99_000, "1")]
    chunk = ChunkTurns(turns, [voice("0", ANN), voice("1", BEN)])
    told, said, _ = attributed(SEGMENTS, [*WORDS[:2], *words(("uh", 40_000, 40_500))], [chunk])
    assert [word.speaker for word in said] == ["A"] * 3
    assert [segment.speaker for segment in told] == ["A", "A"]


def test_letters_follow_the_order_of_words_not_of_turns() -> None:
    """The first turn was a cough, which has no words."""
    turns = [Turn(-5000, -4000, "x"), Turn(0, 1000, "y"), Turn(1900, 3000, "z")]
    heard = [voice("x", CLEO), voice("y", ANN), voice("z", BEN)]
    assert speakers(ChunkTurns(turns, heard)) == ["A", "A", "B", "B"]


def test_one_person_has_one_letter_in_all_chunks_whatever_the_local_labels() -> None:
    first = ChunkTurns([Turn(0, 1000, "1")], [voice("1", ANN)])
    second = ChunkTurns([Turn(1900, 3000, "0")], [voice("0", [0.9, 0.1, 0.0])])
    assert speakers(first, second) == ["A"] * 4
    assert speakers(first, ChunkTurns(second.turns, [voice("0", BEN)])) == ["A", "A", "B", "B"]


def test_two_local_voices_of_one_chunk_may_be_one_person() -> None:
    turns = [Turn(0, 1000, "0"), Turn(1900, 3000, "1")]
    chunk = ChunkTurns(turns, [voice("0", ANN), voice("1", [0.9, 0.1, 0.0])])
    assert speakers(chunk) == ["A"] * 4


def test_voices_that_cannot_be_compared_are_persons_of_their_own() -> None:
    turns = [Turn(0, 1000, "0"), Turn(1900, 3000, "1")]
    assert speakers(ChunkTurns(turns, [voice("0", ANN), voice("1", None)])) == ["A", "A", "B", "B"]
    assert speakers(ChunkTurns(turns, [])) == ["A", "A", "B", "B"]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"max_speakers": 1}, ["A"] * 4),
        ({"max_speakers": 2}, ["A", "A", "B", "B"]),
        ({"min_speakers": 2}, ["A", "A", "B", "B"]),
    ],
)
def test_the_number_of_speakers_is_kept(bounds: dict[str, int], expected: list[str]) -> None:
    turns = [Turn(0, 1000, "0"), Turn(1900, 3000, "1")]
    alike = [0.8, 0.6, 0.0] if "min_speakers" in bounds else BEN
    chunk = ChunkTurns(turns, [voice("0", ANN), voice("1", alike)])
    assert speakers(chunk, **bounds) == expected


def test_a_known_voice_bears_its_name_and_a_stranger_a_letter() -> None:
    turns = [Turn(0, 1000, "0"), Turn(1900, 3000, "1")]
    chunk = ChunkTurns(turns, [voice("0", CLEO), voice("1", BEN)])
    known = {"Ann": ANN, "Ben": [0.1, 0.9, 0.0]}
    assert speakers(chunk, known=known) == ["A", "A", "Ben", "Ben"]


def test_a_segment_of_one_speaker_has_it_and_one_of_two_leaves_it_to_its_words() -> None:
    long = words(*((str(n), 300 * n, 300 * n + 300) for n in range(20)))
    segment = Segment(" ".join(word.text for word in long), 0, 6000, measured={"avg_logprob": -0.1})
    turns = [Turn(0, 3000, "0"), Turn(3000, 6000, "1")]
    chunk = ChunkTurns(turns, [voice("0", ANN), voice("1", BEN)])
    (found,), said, _ = attributed([segment], long, [chunk])
    assert found.speaker is None
    assert found.measured == segment.measured
    assert [word.speaker for word in said] == ["A"] * 10 + ["B"] * 10
    (alone,), _, _ = attributed([segment], long, [ChunkTurns([Turn(0, 6000, "0")], chunk.voices)])
    assert alone.speaker == "A"


def test_without_words_a_segment_has_the_speaker_of_most_of_its_time() -> None:
    chunk = ChunkTurns(
        [Turn(0, 1000, "0"), Turn(1900, 3000, "1")], [voice("0", ANN), voice("1", BEN)]
    )
    told, said, _ = attributed(SEGMENTS, [], [chunk])
    assert [segment.speaker for segment in told] == ["A", "B"]
    assert said == []
