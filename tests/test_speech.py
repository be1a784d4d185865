"""Where somebody speaks: real speech in all states, and what only sounds like it to a detector."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
import wave
from array import array
from collections.abc import Callable
from functools import cache

import pytest

from dropscribe import sound, speech
from dropscribe.spans import Span, total_ms, without
from dropscribe.speech import hear
from tests.conftest import DATA

SAID = Span(500, 2800)
"""Surely said in austen-0880.wav, of 2990 ms."""


@cache
def line() -> bytes:
    with wave.open(str(DATA / "austen-0880.wav")) as source:
        return source.readframes(source.getnframes())


def changed(change: Callable[[int], float], samples: bytes) -> bytes:
    values = (round(change(sample)) for sample in array("h", samples))
    return array("h", (max(-32768, min(32767, value)) for value in values)).tobytes()


def made(wave_of: Callable[[int], float], seconds: float) -> bytes:
    return changed(lambda sample: sample, array(
        "h", (round(wave_of(at)) for at in range(int(seconds * 16_000)))).tobytes())  # fmt: skip


def silence(seconds: float) -> bytes:
    return bytes(2 * int(seconds * 16_000))


@cache
def noise(seconds: float, loudness: float = 1000) -> bytes:
    dice = random.Random(1)
    return made(lambda _: dice.gauss(0, loudness), seconds)


@cache
def tone(seconds: float) -> bytes:
    return made(lambda at: 8000 * math.sin(math.tau * 440 * at / 16_000), seconds)


@cache
def music(seconds: float) -> bytes:
    """Chords that fade, as of a piano, twice a second."""

    def note(at: int, pitch_hz: float) -> float:
        since_s = at % 8000 / 16_000
        key_hz = pitch_hz * 2 ** (at // 8000 % 5 / 12)
        return 3000 * math.exp(-4 * since_s) * math.sin(math.tau * key_hz * since_s)

    return made(lambda at: sum(note(at, pitch_hz) for pitch_hz in (220, 277, 330)), seconds)


NOT_SPEECH = {
    "silence": silence(6),
    "an offset": changed(lambda _: 3000, silence(6)),
    "faint noise": noise(6, 30),
    "noise at -60 dB": noise(6, 3),
    "faint hum": made(lambda at: 30 * math.sin(math.tau * 50 * at / 16_000), 6),
    "the last bit": noise(6, 0.3),
    "noise": noise(6),
    "loud noise": noise(6, 6000),
    "a tone": tone(6),
    "music": music(6),
    "faint music": changed(lambda sample: sample / 100, music(6)),
}


@pytest.mark.parametrize("samples", NOT_SPEECH.values(), ids=NOT_SPEECH)
class TestWhatIsNoSpeech:
    def test_is_not_heard(self, samples: bytes) -> None:
        assert hear(samples, []).speech == []

    def test_makes_texts_silent(self, samples: bytes) -> None:
        texts = [Span(0, 6000), Span(1000, 1200), Span(4000, 6000)]
        assert hear(samples, texts) == speech.Heard([], texts)

    def test_between_speech_is_told_from_it(self, samples: bytes) -> None:
        """The network remembers what it heard: that does not spill over."""
        recording = line() + samples + line()
        text = Span(2990 + 1000, 2990 + 5000)
        heard = hear(recording, [text])
        assert heard.silent == [text]
        assert (
            without(
                [SAID, SAID.moved(8990)],
                heard.speech,
            )
            == []
        )
        assert total_ms(without(heard.speech, [Span(0, 2990), Span(8990, 11_980)])) < 600


LOUD = changed(lambda sample: 30 * sample, line())
HISS = random.Random(2)
STATES = {
    "as it is": line(),
    "clipped": LOUD,
    "at -45 dB": changed(lambda sample: sample / 8, line()),
    "at -75 dB": changed(lambda sample: sample / 256, line()),
    "of someone far away": changed(lambda sample: sample / 64 + HISS.gauss(0, 5), line()),
    "with an offset": changed(lambda sample: sample + 8000, line()),
    "with half a sample at its end": line() + b"\7",
}


@pytest.mark.parametrize("samples", STATES.values(), ids=STATES)
class TestSpeechInAnyState:
    def test_is_heard_without_a_text(self, samples: bytes) -> None:
        heard = hear(samples, [])
        assert total_ms(without([SAID], heard.speech)) < 300
        assert without(heard.speech, [Span(0, 2990)]) == []

    def test_proves_its_text_and_no_other(self, samples: bytes) -> None:
        texts = [Span(0, 2990), Span(800, 1000), Span(4500, 6000)]
        heard = hear(samples + bytes(len(samples) % 2) + silence(4), texts)
        assert heard == speech.Heard([Span(0, 2990)], [Span(4500, 6000)])


class TestHostile:
    @pytest.mark.parametrize("samples", [b"", b"\1", bytes(320), bytes(321), line()[30_000:30_320]])
    @pytest.mark.parametrize("texts", [[], [Span(0, 10)], [Span(-5, 90_000)], [Span(3, 3)]])
    def test_next_to_no_sound_has_no_speech(self, samples: bytes, texts: list[Span]) -> None:
        assert hear(samples, texts) == speech.Heard([], texts)

    @pytest.mark.parametrize(
        "text",
        [Span(3400, 9000), Span(90_000, 95_000), Span(-9000, -2000), Span(-5, -5)],
        ids=["after", "long after", "before", "nowhere"],
    )
    def test_texts_outside_the_sound_are_silent(self, text: Span) -> None:
        heard = hear(line(), [text])
        assert heard.silent == [text]
        assert without([SAID], heard.speech) == []

    def test_texts_may_overlap_reach_out_be_double_and_in_any_order(self) -> None:
        texts = [Span(2000, 9000), Span(500, 2500), Span(-700, 600), Span(500, 2500)]
        assert hear(line(), texts) == speech.Heard([Span(0, 2990)], [])

    @pytest.mark.parametrize("text", [Span(1000, 1000), Span(1200, 1000)])
    def test_a_text_of_no_length_is_where_its_speech_is(self, text: Span) -> None:
        heard = hear(line(), [text])
        assert heard.silent == []
        assert without([SAID], heard.speech) == []

    def test_a_slammed_door_hides_no_faint_speech(self) -> None:
        door = changed(lambda sample: sample * 6, noise(0.2, 3000))
        faintly = changed(lambda sample: sample / 256, line())
        recording = faintly + door + faintly
        for heard in (
            hear(recording, []),
            hear(recording, [Span(0, 2990), Span(3190, 6180)]),
        ):
            assert heard.silent == []
            assert total_ms(without([SAID, SAID.moved(3190)], heard.speech)) < 300

    def test_a_clipped_shout_in_silence_is_heard(self) -> None:
        shout = sound.cut(LOUD, Span(1000, 1800))
        recording = noise(5, 3) + shout + noise(5, 3)
        assert min(array("h", shout)) == -32_768
        assert hear(recording, [Span(5000, 5800), Span(7000, 8000)]).silent == [Span(7000, 8000)]

    def test_who_speaks_softly_after_who_shouts_is_heard(self) -> None:
        softly = changed(lambda sample: sample / 8, line())
        heard = hear(LOUD * 3 + softly, [Span(200, 3 * 2990 - 100)])
        assert total_ms(without([SAID.moved(3 * 2990)], heard.speech)) < 300


class TestTexts:
    def test_a_short_text_may_lie_beside_its_speech(self) -> None:
        """The times of recognizers are not exact; a long text has some of its speech inside."""
        recording = silence(2) + line() + silence(2)
        beside = [Span(5000, 5400), Span(1700, 2100)]
        long_after = [Span(5000, 6500)]
        assert hear(recording, beside).silent == []
        assert hear(recording, long_after).silent == long_after

    def test_a_text_with_a_little_speech_counts_as_a_whole(self) -> None:
        recording = noise(2) + line() + noise(2)
        assert hear(recording, [Span(500, 6500)]) == speech.Heard([Span(500, 6500)], [])

    def test_a_single_word_is_enough(self) -> None:
        word = sound.cut(line(), Span(1000, 1400))
        recording = silence(1) + word + silence(1)
        assert hear(recording, [Span(1000, 1400)]).silent == []

    def test_speech_beside_the_texts_is_found(self) -> None:
        recording = line() + silence(1) + line() + music(3)
        heard = hear(recording, [Span(200, 2900)])
        assert heard.silent == []
        assert total_ms(without([SAID.moved(3990)], heard.speech)) < 300
        assert total_ms(without(heard.speech, [Span(0, 2990), Span(3990, 6980)])) < 300


def test_the_careful_detector_is_asked_no_longer_than_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = 0
    real = speech._Network.probabilities

    def counted(network: speech._Network, span: Span, run_up_ms: int) -> object:
        nonlocal asked
        for found in real(network, span, run_up_ms):
            asked += 1
            yield found

    monkeypatch.setattr(speech._Network, "probabilities", counted)
    recording = line() * 20
    texts = [SAID.moved(2990 * number) for number in range(20)]
    assert hear(recording, texts).silent == []
    assert asked < len(recording) / sound.BYTES_PER_MS / speech.FRAME_MS / 4
    asked = 0
    assert hear(silence(60), [Span(0, 60_000)]).silent
    assert asked == 0


def test_a_question_has_one_answer_whatever_was_asked_before() -> None:
    texts = [Span(0, 900), Span(3200, 4000), Span(4400, 5800)]
    recording = line() + noise(3)
    alone = [text for text in texts if hear(recording, [text]).silent]
    assert hear(recording, texts).silent == alone == texts[1:]


LOADED = """
import os
from dropscribe.speech import hear
with open("tests/data/austen-0880.wav", "rb") as file:
    samples = file.read()[44:]
before = len(os.listdir("/proc/self/task"))
assert hear(samples, []).speech
print(len(os.listdir("/proc/self/task")) - before, os.environ.get("OMP_THREAD_LIMIT"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads where Linux lists them")
@pytest.mark.parametrize("limit", [None, "3"])
def test_detectors_load_without_a_warning_and_start_no_threads(limit: str | None) -> None:
    """The limit is the detector's alone: whatever else computes in parallel keeps its own."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_THREAD_LIMIT"}
    environment |= {"OMP_THREAD_LIMIT": limit} if limit else {}
    command = [sys.executable, "-W", "error", "-c", LOADED]
    shown = subprocess.run(
        command, env=environment, cwd=DATA.parents[1], check=True, capture_output=True, text=True
    )
    assert (shown.stdout, shown.stderr) == (f"0 {limit}\n", "")
