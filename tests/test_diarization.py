"""Who speaks when: three synthesized voices, real ones, and what is none."""

from __future__ import annotations

import itertools
import random
from array import array
from collections.abc import Sequence
from concurrent.futures import CancelledError
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dropscribe import diarization, sound, speech, voices
from dropscribe.diarization import Diarized, WindowModel, diarize
from dropscribe.spans import Span, total_ms
from dropscribe.speakers import ChunkVoices, Heard, Voice, link
from dropscribe.turns import Turn
from tests.conftest import DATA
from tests.espeak import say

VOICES = {"ann": ("en+f2", 60), "ben": ("en+m3", 35), "eva": ("en-us+f4", 80)}
SENTENCES = (
    "the committee met on tuesday to talk about the new bridge over the river",
    "nobody has told me when the work will begin",
    "could we close one lane and keep the other open for the buses",
    "the price is far too high and we should ask for another offer",
)
STEP_MS = 10
COLLAR_MS = 250


@cache
def shipped() -> WindowModel:
    return voices.load(voices.SHIPPED)


@cache
def sentence(who: str, number: int) -> bytes:
    voice, pitch = VOICES[who]
    return say(SENTENCES[number], voice, 160, pitch).samples.tobytes()


@cache
def recorded(name: str) -> bytes:
    return sound.read(Path(DATA / name))


def talk(*parts: tuple[str, bytes], gap_ms: int = 300) -> tuple[bytes, list[Turn]]:
    """One after another; and when each speaks."""
    samples, turns = b"", []
    for who, said in parts:
        samples += bytes(gap_ms * sound.BYTES_PER_MS)
        start_ms = sound.length_ms(samples)
        samples += said
        turns.append(Turn(start_ms, sound.length_ms(samples), who))
    return samples, turns


def linked(found: Diarized, fewest: int | None = None, most: int | None = None) -> list[Turn]:
    chunk = ChunkVoices(index=0, voices=found.voices, distinct=False)
    persons = link([chunk], [], min_speakers=fewest, max_speakers=most).identities
    return [
        Turn(turn.start_ms, turn.end_ms, str(persons[Heard(0, turn.label)])) for turn in found.turns
    ]


def error(turns: Sequence[Turn], truth: Sequence[Turn]) -> float:
    """Part of the speech that is missed, made up or another's.

    Each label stands for whom it fits best; 0.25 s around the truth's changes do not count.
    """
    names = sorted({turn.label for turn in truth})
    labels = sorted({turn.label for turn in turns})
    labels += [""] * (len(names) - len(labels))
    ends = {ms for turn in truth for ms in (turn.start_ms, turn.end_ms)}
    length_ms = max(turn.end_ms for turn in [*turns, *truth])
    steps = [
        (_who(truth, ms), _who(turns, ms))
        for ms in range(0, length_ms, STEP_MS)
        if all(abs(ms - end) > COLLAR_MS for end in ends)
    ]
    wrong = min(
        sum(meant != (found and called.get(found, found)) for meant, found in steps)
        for fit in itertools.permutations(labels, len(names))
        for called in [dict(zip(fit, names, strict=True))]
    )
    return wrong / sum(meant is not None for meant, _ in steps)


def _who(turns: Sequence[Turn], ms: int) -> str | None:
    return next((turn.label for turn in turns if turn.start_ms <= ms < turn.end_ms), None)


def apart(turns: Sequence[Turn]) -> bool:
    """In order, of some length, and none over another."""
    lengths = all(turn.start_ms < turn.end_ms for turn in turns)
    return lengths and all(a.end_ms <= b.start_ms for a, b in itertools.pairwise(turns))


NOISE = np.random.default_rng(1).normal(0, 1000, 6 * 16_000).astype("<i2").tobytes()


class TestHostile:
    @pytest.mark.parametrize(
        "samples",
        [b"", b"\1", bytes(3200), bytes(6 * 32_000), NOISE, NOISE[:3200]],
        ids=["nothing", "half a sample", "0.1 s", "silence", "noise", "0.1 s of noise"],
    )
    def test_no_speech_is_nobodys(self, samples: bytes) -> None:
        assert diarize(samples, shipped()) == Diarized([], [])

    def test_a_single_word_is_somebodys(self) -> None:
        word = sound.cut(recorded("austen-0880.wav"), Span(1000, 1500))
        samples = bytes(32_000) + word + bytes(32_000)
        found = diarize(samples, shipped())
        (turn,), (voice,) = found.turns, found.voices
        assert (turn.label, voice.weight) == (voice.label, 1)
        assert voice.embedding
        assert 900 < turn.start_ms < turn.end_ms < 1700

    def test_clipped_speech_with_half_a_sample_at_its_end_is_one_voice(self) -> None:
        values = np.frombuffer(recorded("librispeech-1688-142285-0002.flac"), "<i2")
        clipped = np.clip(values.astype(int) * 40, -32_768, 32_767).astype("<i2").tobytes()
        found = diarize(clipped + b"\7", shipped())
        assert len(found.voices) == 1
        assert total_ms([Span(turn.start_ms, turn.end_ms) for turn in found.turns]) > 1500

    @pytest.mark.parametrize(
        "answer", [np.nan, np.inf, 0.0], ids=["no numbers", "infinite", "no direction"]
    )
    def test_a_model_that_gives_no_vectors_tells_of_one_voice(self, answer: float) -> None:
        class Broken:
            threshold = window_threshold = 0.5

            def embed(self, samples: bytes) -> list[float]:
                return [answer]

            def embed_spans(
                self, samples: bytes, spans: Sequence[Span], go_on: object = None
            ) -> NDArray[np.float32]:
                return np.full((len(spans), 4), answer, np.float32)

        samples, truth = talk(("ann", sentence("ann", 0)), ("ben", sentence("ben", 1)))
        found = diarize(samples, Broken())
        (voice,) = found.voices
        assert voice.embedding is None
        assert {turn.label for turn in found.turns} == {voice.label}
        assert error(found.turns, [Turn(t.start_ms, t.end_ms, "0") for t in truth]) < 0.05

    def test_it_ends_when_it_may_not_go_on_while_speech_is_looked_for_already(self) -> None:
        """Of a sentence there are a hundred frames, and then one batch of windows."""
        allowed = iter(range(20))

        def go_on() -> None:
            if next(allowed, None) is None:
                raise CancelledError

        with pytest.raises(CancelledError):
            diarize(sentence("ann", 0), shipped(), go_on=go_on)

    def test_now_and_then_no_vector_does_no_harm(self) -> None:
        class Moody:
            threshold = shipped().threshold
            window_threshold = shipped().window_threshold

            def embed(self, samples: bytes) -> list[float]:
                return []

            def embed_spans(
                self, samples: bytes, spans: Sequence[Span], go_on: object = None
            ) -> NDArray[np.float32]:
                vectors = shipped().embed_spans(samples, spans).copy()
                vectors[::5] = np.nan
                return vectors

        samples, truth = conversation()
        assert error(linked(diarize(samples, Moody())), truth) < 0.1


@cache
def conversation() -> tuple[bytes, list[Turn]]:
    order = ["ann", "ben", "eva", "ben", "ann", "eva", "ann", "ben", "eva"]
    return talk(*((who, sentence(who, at % 4)) for at, who in enumerate(order)))


@cache
def told() -> Diarized:
    return diarize(conversation()[0], shipped())


class TestVoices:
    def test_three_that_take_turns_are_told_apart(self) -> None:
        truth, found = conversation()[1], told()
        persons = linked(found)
        assert apart(found.turns)
        assert len({turn.label for turn in persons}) == 3
        assert error(persons, truth) < 0.1
        # One speaker, the simplest guess, is wrong most of the time.
        assert error([Turn(0, truth[-1].end_ms, "0")], truth) > 0.5

    def test_one_is_one_however_long(self) -> None:
        parts = [("ann", sentence("ann", at % 4)) for at in range(6)]
        found = diarize(talk(*parts, gap_ms=600)[0], shipped())
        assert {turn.label for turn in linked(found)} == {"0"}

    def test_two_real_readers_are_two(self) -> None:
        austen = recorded("austen-0880.wav") + recorded("austen-0930.wav")
        margaret = recorded("librispeech-1688-142285-0001.flac")
        samples, truth = talk(
            ("a", margaret[: 5 * 32_000]), ("b", austen), ("a", margaret[5 * 32_000 :])
        )
        found = linked(diarize(samples, shipped()))
        assert len({turn.label for turn in found}) == 2
        assert error(found, truth) < 0.1

    def test_who_speaks_softly_is_the_same_person(self) -> None:
        loud = sentence("ann", 0)
        soft = array("h", [sample // 20 for sample in array("h", sentence("ann", 1))]).tobytes()
        samples, _ = talk(("ann", loud), ("ann", soft), ("ann", loud), ("ann", soft))
        assert {turn.label for turn in linked(diarize(samples, shipped()))} == {"0"}

    def test_two_who_alternate_each_second_are_somebody(self) -> None:
        """Too fast to be told apart well; but every word of it has a speaker."""
        pieces = [
            (who, sound.cut(sentence(who, at % 4), Span(500, 1500)))
            for at, who in enumerate(["ann", "ben"] * 6)
        ]
        samples, truth = talk(*pieces, gap_ms=0)
        found = diarize(samples, shipped())
        assert apart(found.turns)
        covered = total_ms([Span(turn.start_ms, turn.end_ms) for turn in found.turns])
        assert covered > 0.9 * truth[-1].end_ms

    def test_two_at_once_have_one_speaker(self) -> None:
        one, other = (np.frombuffer(sentence(who, 0), "<i2") for who in ("ann", "ben"))
        size = min(len(one), len(other))
        both = (one[:size] // 2 + other[:size] // 2).astype("<i2").tobytes()
        found = diarize(both, shipped())
        assert found.turns
        assert apart(found.turns)

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_as_many_speak_as_the_user_says(self, number: int) -> None:
        samples, _ = conversation()
        found = diarize(samples, shipped(), fewest=number)
        persons = linked(found, number, number)
        assert len({turn.label for turn in persons}) == number

    def test_one_voice_is_two_where_the_user_says_so(self) -> None:
        found = diarize(sentence("ann", 0) * 3, shipped(), fewest=2)
        assert len({turn.label for turn in linked(found, 2)}) == 2

    def test_what_was_prepared_need_not_be_heard_again(self) -> None:
        samples, _ = conversation()
        prepared = speech.prepare(samples)
        assert diarize(samples, shipped(), heard=prepared) == told()

    def test_each_label_of_the_turns_is_a_voice_with_its_time_and_weight(self) -> None:
        found = told()
        spoken_ms: dict[str, int] = {}
        for turn in found.turns:
            spoken_ms[turn.label] = spoken_ms.get(turn.label, 0) + turn.end_ms - turn.start_ms
        assert {voice.label: voice.speech_ms for voice in found.voices} == spoken_ms
        for voice in found.voices:
            assert voice.weight > 1
            assert np.linalg.norm(voice.embedding or []) == pytest.approx(1, abs=1e-3)
            assert Voice.model_validate_json(voice.model_dump_json()) == voice

    def test_one_voice_is_found_again_in_another_chunk(self) -> None:
        chunks = [
            diarize(talk(*((who, sentence(who, at)) for who in people))[0], shipped())
            for at, people in enumerate([["ann", "ben"], ["ben", "eva", "ann"]])
        ]
        links = link(
            [
                ChunkVoices(index=at, voices=chunk.voices, distinct=False)
                for at, chunk in enumerate(chunks)
            ],
            [],
        )
        ann, ben = (links.identities[Heard(0, turn.label)] for turn in chunks[0].turns)
        assert [links.identities[Heard(1, turn.label)] for turn in chunks[1].turns] == [ben, 2, ann]

    def test_who_is_known_by_a_clip_has_the_name_and_nobody_else_has_it(self) -> None:
        model, truth, found = shipped(), conversation()[1], told()
        known = {"Eva": model.embed(sentence("eva", 3)), "Jfk": model.embed(_jfk())}
        chunk = ChunkVoices(index=0, voices=found.voices, distinct=False)
        links = link([chunk], [], known=known)
        assert list(links.named.values()) == ["Eva"]
        eva = [
            Turn(turn.start_ms, turn.end_ms, "eva")
            for turn in found.turns
            if links.identities[Heard(0, turn.label)] in links.named
        ]
        assert error(eva, [turn for turn in truth if turn.label == "eva"]) < 0.1


def _jfk() -> bytes:
    """Somebody who is not there: a real man."""
    return recorded("austen-0880.wav")


def test_windows_are_united_as_defined_by_average_linkage() -> None:
    """Against the definition, computed anew for each step."""
    chance = np.random.default_rng(3)
    vectors = chance.normal(0.5, 1, (40, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for threshold in (0.3, 0.6, 0.9):
        sums, weights = diarization._united(vectors, np.ones(40), threshold, 1)
        groups = [[at] for at in range(40)]
        while len(groups) > 1:
            alike, one, other = max(
                (float(np.mean(vectors[a] @ vectors[b].T)), a, b)
                for a, b in itertools.combinations(groups, 2)
            )
            if alike < threshold:
                break
            groups = [group for group in groups if group not in (one, other)] + [one + other]
        expected = sorted((len(group), *vectors[group].sum(axis=0).round(3)) for group in groups)
        found = sorted((int(w), *row.round(3)) for w, row in zip(weights, sums, strict=True))
        assert np.allclose(found, expected, atol=2e-3)


def test_thousands_of_windows_are_clustered_block_by_block() -> None:
    """Of an hour there are 9000: each with each would take 300 MB."""
    chance = random.Random(2)
    directions = np.eye(8, 32, dtype=np.float32)
    vectors = np.stack([directions[chance.randrange(8)] for _ in range(3000)])
    vectors += np.random.default_rng(2).normal(0, 0.05, vectors.shape).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert len(diarization._centres(vectors, 0.7, 1)) == 8
