"""Engine `offline`: what it measures, by real recognition of real recordings."""

from __future__ import annotations

import math
import os
import subprocess
import wave
from itertools import pairwise
from pathlib import Path

import pytest
from pocketsphinx import get_model_path

from dropscribe.api import TranslationRequest
from dropscribe.engines import Recognized, offline
from dropscribe.engines.offline import load, recognize, transcribe
from dropscribe.errors import Rejected
from tests.conftest import DATA

PAUSE_S = 1.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, ffmpeg_on_path: None) -> Path:
    return tmp_path_factory.mktemp("offline")


def flac(folder: Path, frames: bytes) -> Path:
    """A recording as the engine takes it."""
    source = folder / "source.wav"
    with wave.open(str(source), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(frames)
    target = folder / "chunk.flac"
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", str(source), str(target)], check=True)
    return target


def frames_of(name: str) -> bytes:
    with wave.open(str(DATA / name)) as source:
        return source.readframes(source.getnframes())


def silence(seconds: float) -> bytes:
    return bytes(2 * int(16_000 * seconds))


@pytest.fixture(scope="module")
def spoken(folder: Path) -> tuple[Path, list[Recognized], float]:
    """Two sentences with a pause between, what is recognized of them, and how long they are."""
    frames = frames_of("austen-0880.wav") + silence(PAUSE_S) + frames_of("austen-0930.wav")
    recording = flac(folder, frames)
    return recording, list(recognize(recording)), len(frames) / 32_000


Spoken = tuple[Path, list[Recognized], float]


def test_each_stretch_between_pauses_is_a_segment_of_its_own(spoken: Spoken) -> None:
    _, parts, length_s = spoken
    assert [part.segment.id for part in parts] == [0, 1]
    assert "young" in parts[0].segment.text
    assert "himself" in parts[1].segment.text
    # The second begins after the first recording, 2.99 s, and the pause.
    assert parts[0].segment.end <= 3
    assert parts[1].segment.start >= 2.99 + PAUSE_S - 0.5
    assert parts[1].segment.end <= length_s


def test_words_and_tokens_are_those_of_the_segment(spoken: Spoken) -> None:
    for part in spoken[1]:
        assert "".join(token.token or "" for token in part.logprobs) == part.segment.text
        assert "".join(f" {word.word}" for word in part.words) == part.segment.text
        for token in part.logprobs:
            assert bytes(token.bytes or []).decode() == token.token


def test_words_follow_one_another_within_their_segment(spoken: Spoken) -> None:
    for part in spoken[1]:
        words, segment = part.words, part.segment
        assert (words[0].start, words[-1].end) == (segment.start, segment.end)
        assert all(word.start < word.end for word in words)
        assert all(before.end <= after.start for before, after in pairwise(words))


def test_ids_of_tokens_are_lines_of_the_dictionary(spoken: Spoken) -> None:
    lines = Path(get_model_path("en-us/cmudict-en-us.dict")).read_text("utf-8").splitlines()
    for part in spoken[1]:
        ids = part.segment.tokens or []
        # Each pronunciation has a line: `was(2)` is `was`.
        found = [lines[number].split()[0].partition("(")[0] for number in ids]
        assert found == [word.word for word in part.words]


def test_log_probabilities_are_of_words_and_their_mean_that_of_the_segment(spoken: Spoken) -> None:
    for part in spoken[1]:
        found = [token.logprob or 0 for token in part.logprobs]
        assert all(logprob <= 0 for logprob in found)
        assert any(logprob < 0 for logprob in found)
        assert part.segment.avg_logprob == pytest.approx(math.fsum(found) / len(found))


def test_a_segment_says_how_it_was_found(spoken: Spoken) -> None:
    for part in spoken[1]:
        segment = part.segment
        assert segment.temperature == 0
        assert 0 <= (segment.no_speech_prob or 0) < 0.5
        assert 0 < (segment.compression_ratio or 0) < 2.4
        assert 0 <= (segment.seek or 0) <= segment.start * 100


def test_a_transcript_is_its_parts_whatever_came_before(tmp_path: Path, spoken: Spoken) -> None:
    recording, parts, length_s = spoken
    assert list(recognize(flac(tmp_path, frames_of("austen-0930.wav")[:64_000])))
    request = TranslationRequest(model="pocketsphinx-en-us", response_format="verbose_json")
    found = transcribe(recording, request, calls=Uncounted())
    assert found.task == "translate"
    assert found.segments == [part.segment for part in parts]
    assert found.words == [word for part in parts for word in part.words]
    assert found.text == "".join(part.segment.text for part in parts).strip()
    assert found.duration == pytest.approx(length_s, abs=0.001)


class Uncounted:
    """Fails on any paid call: there is none."""

    def sent(self) -> str:
        raise AssertionError

    def concluded(self, call: str, state: str) -> None:
        raise AssertionError

    def uncertain(self) -> int:
        raise AssertionError


@pytest.mark.parametrize("seconds", [0.01, 0.1, 2])
def test_silence_gives_nothing(tmp_path: Path, seconds: float) -> None:
    assert list(recognize(flac(tmp_path, silence(seconds)))) == []


def test_the_first_words_come_before_the_rest_is_read(tmp_path: Path) -> None:
    """What is cut off the file once they are known is never heard."""
    speech = frames_of("austen-0880.wav") + silence(PAUSE_S)
    recording = flac(tmp_path, speech * 3)
    parts = recognize(recording)
    assert "young" in next(parts).segment.text
    os.truncate(recording, recording.stat().st_size // 2)
    assert len(list(parts)) == 1


def test_speech_without_a_pause_is_cut_and_keeps_its_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline, "LONGEST_UTTERANCE_S", 2.0)
    with wave.open(str(DATA / "austen-0880.wav")) as source:
        source.setpos(8000)
        loud = source.readframes(24_000)
    parts = list(recognize(flac(tmp_path, loud * 3)))
    assert len(parts) > 1
    assert [part.segment.id for part in parts] == list(range(len(parts)))
    for before, after in pairwise(parts):
        assert before.segment.end <= after.segment.start
        assert (after.segment.seek or 0) - (before.segment.seek or 0) >= 200
    assert parts[-1].segment.end <= 4.5


def test_only_16_khz_mono_is_taken() -> None:
    load()
    with pytest.raises(Rejected, match=r"^engine_failed: only 16 kHz mono"):
        list(recognize(DATA / "two-lines.flac"))
