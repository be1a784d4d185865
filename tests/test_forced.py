"""When the words of a known text were said: what is not the text first, then how exact it is."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from statistics import median
from typing import Any

import miniaudio
import numpy as np
import pytest

from dropscribe import sound
from dropscribe.alignment import Pair
from dropscribe.engines import forced
from dropscribe.engines.forced import align
from dropscribe.matching import paired, sure
from dropscribe.spans import Span
from dropscribe.speech import voiced
from dropscribe.transcript import Word
from tests import espeak, flite
from tests.api_server import Answer, ApiServer
from tests.conftest import DATA
from tests.stages import stages
from tests.test_speech import music, noise, silence, tone

JFK = (
    "And so, my fellow Americans, ask not what your country can do for you, "
    "ask what you can do for your country."
)
HALE = (
    '"Margaret," said Mr. Hale, as he returned from showing his guest downstairs, "I could not '
    "help watching your face with some anxiety when Mr. Thornton made his confession of having "
    'been a shop-boy."'
)
SILLY = "You don't mean that you thought me so silly?"
YOUNG = "He was not an ill-disposed young man."
GERMAN = (
    "Die Entwicklung hat sich in den letzten Jahren verändert, und viele Unternehmen suchen "
    "nach neuen Wegen. Wir haben heute Nachmittag lange darüber gesprochen."
)
STORY = (
    "When Margaret Ellison arrived in Bristol on the 14th of March, 1997, she carried only $5 and "
    "a letter from her aunt Okonkwo. Nearly 3.5% of the passengers were students, and most of them "
    "complained about the delays. In 2008 they used a small Kubernetes cluster, and about 1,200 "
    "lines of code that nobody wanted to maintain."
)

needs_flite = pytest.mark.skipif(not flite.is_here(), reason="flite is not installed")


@cache
def recording(name: str) -> bytes:
    return bytes(miniaudio.decode_file(str(DATA / name), nchannels=1, sample_rate=16_000).samples)


def whole(samples: bytes) -> list[Span]:
    return [Span(0, sound.length_ms(samples))]


def words_of(samples: bytes, text: str, speech: Sequence[Span] | None = None) -> list[Word]:
    """As aligned; that all words are there, in order and inside, is true of every answer."""
    found = align(samples, text, whole(samples) if speech is None else speech)
    assert found is not None
    assert [word.text for word in found] == text.split()
    times = [time for word in found for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= sound.length_ms(samples)
    return found


class TestWhatIsNotTheText:
    @pytest.mark.parametrize("text", ["", "  \n\t "])
    def test_no_words_have_no_times(self, text: str) -> None:
        assert align(recording("jfk.flac"), text, [Span(0, 11_000)]) == []

    @pytest.mark.parametrize(
        ("samples", "speech"),
        [
            (b"", []),
            (b"", [Span(0, 11_000)]),
            (b"\1", [Span(0, 11_000)]),
            (silence(0.01), [Span(0, 10)]),
            (silence(4), [Span(0, 4000)]),
            (silence(1000), []),
            (silence(11), [Span(20_000, 40_000)]),
            (silence(11), [Span(-500, -100)]),
            (noise(4), [Span(0, 4000)]),
            (tone(4), [Span(0, 4000)]),
            (music(4), [Span(0, 4000)]),
        ],
        ids=lambda value: str(len(value)),
    )
    def test_where_nobody_speaks_nothing_was_said(self, samples: bytes, speech: list[Span]) -> None:
        assert align(samples, JFK, speech) is None

    @pytest.mark.parametrize("text", [HALE, YOUNG])
    def test_a_text_of_something_else_is_not_aligned(self, text: str) -> None:
        samples = recording("jfk.flac")
        assert align(samples, text, whole(samples)) is None

    @pytest.mark.parametrize(
        "text",
        [
            HALE,
            GERMAN,
            " ".join(reversed(SILLY.split())),
            "Hello.",
            "thank you very",
            "1 2 3 4 5 6 7 8 9 10",
            "— … ?! ♪",
            "Привет, как дела?",
            "the " * 500,
            "the " * 20,
            "t1 t2(2) c0 <s> </s> <sil> \\end\\ \0",
            "x" * 10_000,
        ],
        ids=lambda text: text[:12],
    )
    def test_what_no_one_said_is_not_aligned(self, text: str) -> None:
        samples = recording("librispeech-1688-142285-0002.flac")
        assert align(samples, text, whole(samples)) is None

    @pytest.mark.parametrize("text", [GERMAN, STORY])
    def test_another_language_is_not_aligned(self, text: str) -> None:
        samples = espeak.say(GERMAN, "de").samples.tobytes()
        assert align(samples, text, whole(samples)) is None

    def test_a_right_beginning_alone_is_not_enough(self) -> None:
        samples = recording("jfk.flac")
        assert align(samples, JFK + " " + STORY, whole(samples)) is None


@pytest.mark.parametrize(
    ("language", "timing"), [("eng", "aligned"), ("En", "aligned"), ("deu", "estimated")]
)
def test_a_step_aligns_english_by_whatever_code(
    api_server: ApiServer, language: str, timing: str
) -> None:
    api_server.behave()
    api_server.planned.append(Answer(200, json.dumps({"text": YOUNG}).encode()))
    with stages(api_server.base_url) as route:
        spoken: Any = {"engine": "openai", "model": "gpt-4o-transcribe", "language": language}
        manifest = route.begin(DATA / "austen-0880.wav", **spoken)
        (record,) = route.transcribe_all(manifest)
    assert record.chunk.timing == timing
    assert record.chunk.language == language[:2].lower()


class TestRealSpeech:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("librispeech-1688-142285-0001.flac", HALE),
            ("librispeech-1688-142285-0002.flac", SILLY),
            ("austen-0880.wav", YOUNG),
        ],
    )
    def test_is_aligned_as_a_whole(self, name: str, text: str) -> None:
        found = words_of(recording(name), text)
        assert all(30 <= word.end_ms - word.start_ms <= 1200 for word in found)

    def test_words_lie_between_the_pauses(self) -> None:
        """Four phrases with long pauses, where the detector of speech hears them too."""
        samples = recording("jfk.flac")
        found = words_of(samples, JFK)
        phrases = [(0, 4), (5, 6), (7, 13), (14, 21)]
        heard = [span for span in voiced(samples) if span.duration_ms > 400]
        for first, last in phrases:
            start_ms, end_ms = found[first].start_ms, found[last].end_ms
            assert min(abs(span.start_ms - start_ms) for span in heard) < 250
            assert min(abs(span.end_ms - end_ms) for span in heard) < 250

    def test_words_without_a_sound_come_back_too(self) -> None:
        text = JFK.replace("ask not", "— ask ♪ not").replace("fellow", "x" * 10_000)
        found = words_of(recording("jfk.flac"), text)
        plain = words_of(recording("jfk.flac"), JFK)
        assert found[-8:] == plain[-8:]

    def test_half_a_sample_at_the_end_is_nothing(self) -> None:
        samples = recording("austen-0880.wav")
        assert words_of(samples + b"\1", YOUNG, whole(samples)) == words_of(samples, YOUNG)

    def test_two_threads_hear_what_one_hears(self) -> None:
        jobs = [("austen-0880.wav", YOUNG), ("librispeech-1688-142285-0002.flac", SILLY)] * 2
        alone = [words_of(recording(name), text) for name, text in jobs[:2]]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda job: words_of(recording(job[0]), job[1]), jobs))
        assert together == alone * 2

    def test_speech_before_and_after_the_text_changes_little(self) -> None:
        before = recording("librispeech-1688-142285-0002.flac")
        own = recording("jfk.flac")
        found = words_of(before + own + before, JFK)
        moved_ms = sound.length_ms(before)
        alone = words_of(own, JFK)
        far = errors(found, [(w.start_ms + moved_ms, w.end_ms + moved_ms) for w in alone])
        assert late(far, 0.9) < 100
        assert far[-1] < 1000


def errors(found: Sequence[Word], truth: Sequence[tuple[int, int] | None]) -> list[int]:
    """Of starts and ends, sorted; of the words of which the times are known."""
    pairs = [(word, at) for word, at in zip(found, truth, strict=True) if at]
    return sorted(
        abs(ours - right)
        for word, at in pairs
        for ours, right in ((word.start_ms, at[0]), (word.end_ms, at[1]))
    )


def late(found: Sequence[int], share: float = 0.95) -> int:
    return found[int(share * (len(found) - 1))]


@cache
def story(voice: str) -> tuple[bytes, tuple[tuple[int, int], ...]]:
    said = flite.say(STORY, voice)
    return said.samples.tobytes(), tuple((word.start_ms, word.end_ms) for word in said.words)


def damaged(share: float) -> tuple[str, list[int | None]]:
    """The story with words replaced, left out and added; which of its words each is."""
    dice = random.Random(4)
    words = STORY.split()
    found: list[tuple[str, int | None]] = []
    for at, word in enumerate(words):
        cast = dice.random() / share * 3
        if cast >= 1:
            found.append((word if cast >= 2 else dice.choice(words), at))
        if 2 <= cast < 3:
            found.append((dice.choice(words), None))
    return " ".join(word for word, _ in found), [at for _, at in found]


@needs_flite
class TestSynthesizedSpeech:
    @pytest.mark.parametrize(
        "voice",
        [*(pytest.param(voice, marks=pytest.mark.long) for voice in flite.VOICES[:-1]), "slt"],
    )
    def test_word_times_are_exact(self, voice: str) -> None:
        """In one stretch, which is cut where it is quietest."""
        samples, truth = story(voice)
        assert sound.length_ms(samples) > forced.UTTERANCE_MS
        found = errors(words_of(samples, STORY), truth)
        assert median(found) < 30
        assert late(found) < 100

    def test_a_text_with_mistakes_is_aligned_still(self) -> None:
        samples, truth = story("rms")
        text, origins = damaged(0.1)
        found = errors(
            words_of(samples, text), [None if at is None else truth[at] for at in origins]
        )
        assert median(found) < 40
        assert late(found) < 400

    def test_noise_costs_a_little(self) -> None:
        samples, truth = story("awb")
        clean = np.frombuffer(samples, np.int16)
        rms = np.sqrt(np.mean(clean.astype(float) ** 2))
        hiss = np.random.default_rng(1).normal(0, rms / 10, len(clean))
        found = errors(words_of((clean + hiss).astype(np.int16).tobytes(), STORY), truth)
        assert median(found) < 50
        assert late(found) < 400

    def test_what_the_text_lacks_does_not_move_the_rest(self) -> None:
        samples, truth = story("slt")
        words = STORY.split()
        left = [*range(19), *range(29, len(words))]
        found = words_of(samples, " ".join(words[at] for at in left))
        assert late(errors(found, [truth[at] for at in left])) < 200

    def test_what_was_not_said_does_not_move_the_rest(self) -> None:
        samples, truth = story("slt")
        words = STORY.split()
        invented = ["none", "of", "this", "was", "ever", "heard", "by", "people", "there"]
        text = " ".join([*words[:19], *invented, *words[19:]])
        known = [*truth[:19], *[None] * len(invented), *truth[19:]]
        assert late(errors(words_of(samples, text), known)) < 200

    def test_long_pauses_belong_to_no_word(self) -> None:
        parts = [flite.say(text + ".", "rms") for text in STORY.split(". ")[:3]]
        samples, truth, speech = b"", [], []
        for part in parts:
            samples += silence(12)
            at_ms = sound.length_ms(samples)
            truth += [(word.start_ms + at_ms, word.end_ms + at_ms) for word in part.words]
            samples += part.samples.tobytes()
            speech.append(Span(at_ms, sound.length_ms(samples)))
        text = " ".join(word.text for part in parts for word in part.words)
        assert late(errors(words_of(samples, text, speech), truth), 1) < 300


class TestMatching:
    """Of words heard with words of a text, by their numbers."""

    def test_long_texts_are_matched_in_a_moment(self) -> None:
        dice = random.Random(1)
        text = [int(dice.expovariate(1 / 200)) for _ in range(4000)]
        heard = [(at, word) for at, word in enumerate(text) if dice.random() > 0.1]
        heard = [(at, word if dice.random() > 0.1 else -1) for at, word in heard]
        pairs = paired(text, [word for _, word in heard])
        right = [pair for pair in pairs if heard[pair.right][0] == pair.left]
        said = sum(word >= 0 for _, word in heard)
        assert len(right) > 0.97 * said
        assert len(pairs) - len(right) < 0.02 * said

    def test_pairs_are_in_order_whatever_is_heard(self) -> None:
        dice = random.Random(2)
        text, heard = ([dice.randrange(30) for _ in range(1500)] for _ in range(2))
        pairs = paired(text, heard)
        assert all(a.left < b.left and a.right < b.right for a, b in pairwise(pairs))
        assert all(text[pair.left] == heard[pair.right] for pair in pairs)

    def test_one_word_over_and_over_is_given_up_in_time(self) -> None:
        assert paired([0] * 5000, [0] * 5000) == []

    def test_a_single_word_in_common_is_chance(self) -> None:
        pairs = [Pair(0, 3), Pair(4, 5), Pair(5, 6), Pair(9, 9)]
        assert sure(pairs, 10, 10) == [Pair(4, 5), Pair(5, 6), Pair(9, 9)]
