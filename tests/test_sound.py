"""Samples of chunks: what is no chunk of ours, what is cut where, and files made of it."""

from __future__ import annotations

import io
import subprocess
import wave
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from dropscribe import sound
from dropscribe.errors import Rejected
from dropscribe.spans import Span
from tests.conftest import DATA

LINE = DATA / "austen-0880.wav"


def samples_of(path: Path) -> bytes:
    with wave.open(str(path)) as source:
        return source.readframes(source.getnframes())


def wav(channels: int = 1, sample_bytes: int = 2, rate_hz: int = 16_000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as target:
        target.setparams((channels, sample_bytes, rate_hz, 0, "NONE", ""))
        target.writeframes(bytes(channels * sample_bytes * 100))
    return file.getvalue()


@pytest.fixture(scope="module")
def chunk(tmp_path_factory: pytest.TempPathFactory, ffmpeg_on_path: None) -> Path:
    path = tmp_path_factory.mktemp("sound") / "chunk.flac"
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(LINE), str(path)], check=True)
    return path


@pytest.mark.parametrize(
    "reader", [sound.read, sound.length_s, lambda path: list(sound.frames(path, 960))]
)
class TestWhatIsNoChunk:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "cannot be read"),
            (b"fLaC", "cannot be read"),
            (b"RIFF", "cannot be read"),
            (LINE.read_bytes()[:30], "cannot be read"),
            (LINE.read_bytes().replace(b"WAVE", b"AVI ", 1), "cannot be read"),
            # Samples that are no integers.
            (LINE.read_bytes().replace(b"\1\0\1\0", b"\3\0\1\0", 1), "cannot be read"),
            ((DATA / "two-lines.flac").read_bytes(), "only 16 kHz mono"),
            (wav(channels=2), "only 16 kHz mono"),
            (wav(sample_bytes=1), "only 16 kHz mono"),
            (wav(sample_bytes=3), "only 16 kHz mono"),
            (wav(rate_hz=48_000), "only 16 kHz mono"),
        ],
        ids=[
            "nothing",
            "a beginning",
            "a beginning of WAV",
            "half a header",
            "video",
            "other samples",
            "stereo",
            "stereo WAV",
            "8 bits",
            "24 bits",
            "48 kHz",
        ],
    )
    def test_is_refused(
        self, tmp_path: Path, reader: Callable[[Path], object], content: bytes, message: str
    ) -> None:
        (tmp_path / "chunk.flac").write_bytes(content)
        with pytest.raises(Rejected, match=f"^engine_failed: .*{message}"):
            reader(tmp_path / "chunk.flac")


def test_a_chunk_is_read_to_the_sample(chunk: Path) -> None:
    assert sound.read(chunk) == samples_of(LINE)
    assert sound.length_s(chunk) == len(samples_of(LINE)) / 32_000


@pytest.mark.parametrize("seconds", [0, 0.001, 1, 2.99])
def test_a_piece_of_a_chunk_can_be_read_again(tmp_path: Path, seconds: float) -> None:
    piece = samples_of(LINE)[: 2 * int(16_000 * seconds)]
    path = tmp_path / "piece"
    path.write_bytes(sound.wav(piece))
    assert sound.read(path) == piece
    assert sound.length_s(path) == pytest.approx(seconds)
    assert b"".join(frame for frame, _ in sound.frames(path, 960)) == piece


@pytest.mark.parametrize("is_wav", [False, True], ids=["flac", "wav"])
@pytest.mark.parametrize("size", [2, 960, 1 << 20])
def test_frames_are_the_samples_in_order_and_the_last_is_named(
    chunk: Path, size: int, *, is_wav: bool
) -> None:
    frames = list(sound.frames(LINE if is_wav else chunk, size))
    assert b"".join(frame for frame, _ in frames) == samples_of(LINE)
    assert [len(frame) for frame, _ in frames[:-1]] == [size] * (len(frames) - 1)
    assert [is_last for _, is_last in frames] == [False] * (len(frames) - 1) + [True]


SAMPLES = bytes(range(200)) * 32
"""A fifth of a second in which each sample tells where it is."""


@pytest.mark.parametrize(
    ("samples", "span", "expected"),
    [
        (b"", Span(0, 100), b""),
        (SAMPLES, Span(0, 200), SAMPLES),
        (SAMPLES, Span(3, 5), SAMPLES[96:160]),
        (SAMPLES, Span(199, 200), SAMPLES[-32:]),
        (SAMPLES, Span(-50, 2), SAMPLES[:64]),
        (SAMPLES, Span(198, 9_000_000_000), SAMPLES[-64:]),
        (SAMPLES, Span(-10, -5), b""),
        (SAMPLES, Span(200, 300), b""),
        (SAMPLES, Span(7, 7), b""),
        (SAMPLES, Span(9, 7), b""),
        (SAMPLES[:65], Span(1, 5), SAMPLES[32:64]),
        (SAMPLES[:65], Span(2, 5), b""),
    ],
)
def test_a_cut_is_exact_and_of_what_is_there(samples: bytes, span: Span, expected: bytes) -> None:
    assert sound.cut(samples, span) == expected


def test_cuts_that_follow_one_another_are_the_whole(chunk: Path) -> None:
    samples = sound.read(chunk)
    edges = [0, 1, 17, 500, 2_000, 3_000]
    pieces = [sound.cut(samples, Span(*pair)) for pair in pairwise(edges)]
    assert b"".join(pieces) == samples


@pytest.mark.parametrize(
    ("size", "expected_ms"), [(0, 0), (1, 1), (31, 1), (32, 1), (33, 2), (32_000, 1000)]
)
def test_a_begun_millisecond_counts(size: int, expected_ms: int) -> None:
    assert sound.length_ms(bytes(size)) == expected_ms


@pytest.mark.parametrize(
    ("samples", "kept"),
    [(b"", b""), (b"\1", b""), (SAMPLES, SAMPLES), (SAMPLES[:65], SAMPLES[:64])],
)
def test_a_wav_file_holds_whole_samples(samples: bytes, kept: bytes) -> None:
    with wave.open(io.BytesIO(sound.wav(samples))) as file:
        assert file.getparams()[:3] == (1, 2, 16_000)
        assert file.readframes(file.getnframes()) == kept
