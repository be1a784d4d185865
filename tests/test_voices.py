"""Vectors of voices: the shipped network beside the original, and files of others'."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dropscribe import sound, voices
from dropscribe.errors import Rejected
from dropscribe.spans import Span
from tests.conftest import DATA

GOLDEN: dict[str, list[list[float]]] = json.loads((DATA / "voices.json").read_text())
"""Resemblyzer's own vectors of two windows of each recording; by tools/voice_encoder.py."""
WINDOWS = [Span(0, 1600), Span(1000, 2600)]


@cache
def recorded(name: str) -> bytes:
    return sound.read(Path(DATA / name))


class TestShipped:
    @pytest.mark.parametrize("name", GOLDEN)
    def test_vectors_are_the_originals(self, name: str) -> None:
        found = voices.load(voices.SHIPPED).embed_spans(recorded(name), WINDOWS)
        cosines = (found * np.array(GOLDEN[name])).sum(axis=1)
        assert cosines.min() > 0.9999
        assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)

    def test_it_tells_readers_apart(self) -> None:
        model = voices.load(voices.SHIPPED)
        one, again, other = (
            model.embed(recorded(name))
            for name in (
                "librispeech-1688-142285-0000.flac",
                "librispeech-1688-142285-0001.flac",
                "austen-0880.wav",
            )
        )
        assert np.dot(one, again) >= model.threshold > np.dot(one, other) + 0.1

    def test_loudness_is_nothing_to_it(self) -> None:
        model = voices.load(voices.SHIPPED)
        samples = recorded("austen-0930.wav")
        softly = (np.frombuffer(samples, "<i2") // 8).astype("<i2").tobytes()
        assert np.dot(model.embed(samples), model.embed(softly)) > 0.99

    @pytest.mark.parametrize("samples", [b"", b"\1", bytes(3198)])
    def test_next_to_no_sound_has_no_vector(self, samples: bytes) -> None:
        model = voices.load(voices.SHIPPED)
        assert model.embed(samples) == []
        assert not model.embed_spans(samples, [Span(0, 1600), Span(-5, 3)]).any()

    def test_no_spans_have_no_vectors(self) -> None:
        assert len(voices.load(voices.SHIPPED).embed_spans(recorded("austen-0880.wav"), [])) == 0

    def test_spans_reach_out_overlap_and_come_in_any_order(self) -> None:
        model, samples = voices.load(voices.SHIPPED), recorded("austen-0880.wav")
        spans = [Span(2000, 9000), Span(500, 700), Span(500, 560), Span(-90, 800), Span(900, 100)]
        found = model.embed_spans(samples, spans)
        alone = [model.embed_spans(samples, [span])[0] for span in spans]
        assert [row.any() for row in found] == [True, True, False, True, False]
        for row, single in zip(found, alone, strict=True):
            assert row[: len(single)] == pytest.approx(single, abs=1e-5)

    @pytest.mark.parametrize("value", [0, 1, -32_768])
    def test_silence_and_what_is_no_sound_have_numbers(self, value: int) -> None:
        samples = np.full(16_000, value, "<i2").tobytes()
        assert np.isfinite(voices.load(voices.SHIPPED).embed_spans(samples, [Span(0, 1000)])).all()

    def test_it_is_loaded_once(self) -> None:
        assert voices.load(voices.SHIPPED) is voices.load("shipped")


class TestWindows:
    @pytest.mark.parametrize(
        ("span", "expected"),
        [
            ((0, 0), [(0, 0)]),
            ((50, 1650), [(50, 1650)]),
            ((50, 1651), [(50, 1650), (51, 1651)]),
            ((0, 2000), [(0, 1600), (400, 2000)]),
            ((0, 2400), [(0, 1600), (400, 2000), (800, 2400)]),
            ((0, 2410), [(0, 1600), (270, 1870), (540, 2140), (810, 2410)]),
        ],
    )
    def test_they_cover_a_span_from_end_to_end(
        self, span: tuple[int, int], expected: list[tuple[int, int]]
    ) -> None:
        assert voices.windows(Span(*span)) == expected


class TestKaldi:
    """Numbers of kaldi-native-fbank 1.22 for the first second of a recording, less their mean."""

    @pytest.mark.parametrize(
        ("window", "expected"),
        [
            (
                np.hamming(400),
                [
                    [3.107, -7.035, -4.518, -2.424, -3.365],
                    [0.313, 6.317, 4.873, 7.067, 7.038],
                    [0.767, -3.162, -3.256, -3.475, -1.162],
                ],
            ),
            (
                np.hanning(400) ** 0.85,
                [
                    [3.207, -7.634, -4.809, -2.413, -3.504],
                    [-0.487, 6.38, 4.887, 7.073, 7.054],
                    [0.889, -3.105, -3.33, -3.464, -1.142],
                ],
            ),
        ],
        ids=["hamming", "povey"],
    )
    def test_filter_banks_are_kaldis(self, window: np.ndarray, expected: list[list[float]]) -> None:
        samples = np.frombuffer(recorded("librispeech-1688-142285-0002.flac"), "<i2")[:16_000]
        found = voices.filter_banks(samples, 80, window)
        assert found.shape == (98, 80)
        assert found[[0, 40, 97], ::16] == pytest.approx(np.array(expected), abs=1e-3)


MODEL = DATA / "voice-model.onnx"
"""Two layers with random weights, WeSpeaker's inputs and outputs; by tools/voice_encoder.py."""


def _field(number: int, value: bytes | str | int) -> bytes:
    """Of a protobuf message."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])


def network(
    operator: str = "ReduceMax", shape: str = "B T 80", kind: int = 1, **said: str
) -> bytes:
    """An ONNX file, by onnx.proto's numbers: one operator over the frames, and metadata.

    `kind`: 1 for float, 7 for int64.
    """
    dims = b"".join(
        _field(1, _field(1, int(dim)) if dim.isdigit() else _field(2, dim)) for dim in shape.split()
    )
    taken = _field(1, "x") + _field(2, _field(1, _field(1, kind) + _field(2, dims)))
    axes = _field(5, _field(1, "axes") + _field(8, 1) + _field(20, 7))
    flat = _field(5, _field(1, "keepdims") + _field(3, 0) + _field(20, 2))
    node = _field(1, "x") + _field(2, "y") + _field(4, operator)
    node += axes + flat if operator.startswith("Reduce") else b""
    given = _field(1, "y") + _field(2, _field(1, _field(1, kind)))
    graph = _field(1, node) + _field(2, "g") + _field(11, taken) + _field(12, given)
    told = b"".join(_field(14, _field(1, key) + _field(2, it)) for key, it in said.items())
    return _field(1, 8) + _field(7, graph) + _field(8, _field(2, 17)) + told


def written(folder: Path, content: bytes) -> str:
    path = folder / "m.onnx"
    path.write_bytes(content)
    return str(path)


class TestFiles:
    def test_a_network_is_as_its_file_says(self) -> None:
        model = voices.load(str(MODEL))
        assert (model.threshold, model.window_threshold) == (0.625, 0.5625)
        found = model.embed_spans(recorded("austen-0880.wav"), WINDOWS)
        assert found.shape == (2, 24)
        assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)

    def test_its_vectors_are_of_what_was_said_however_loud(self) -> None:
        model, samples = voices.load(str(MODEL)), recorded("austen-0880.wav")
        softly = (np.frombuffer(samples, "<i2") // 4).astype("<i2").tobytes()
        one, same, other = (
            model.embed(it) for it in (samples, softly, recorded("austen-0930.wav"))
        )
        assert np.dot(one, same) > np.dot(one, other)

    def test_it_runs_on_the_filter_banks_and_nothing_else(self, tmp_path: Path) -> None:
        samples = recorded("austen-0930.wav")
        model = voices.load(written(tmp_path, network(shape="B T 30", framework="3d-speaker")))
        (found,) = model.embed_spans(samples, [Span(0, 1600)])
        window = np.hanning(400) ** 0.85
        banks = voices.filter_banks(np.frombuffer(samples, "<i2")[:25_600], 30, window)
        highest = banks.max(axis=0)
        assert found == pytest.approx(highest / np.linalg.norm(highest), abs=1e-5)

    @pytest.mark.parametrize(
        ("said", "threshold", "strict"),
        [
            ({}, 0.5, 0.5),
            ({"threshold": "0.7"}, 0.7, 0.7),
            ({"threshold": "0.7", "window_threshold": "0.6"}, 0.7, 0.6),
            ({"sample_rate": "16000", "window_type": "povey", "language": "de"}, 0.5, 0.5),
        ],
    )
    def test_what_it_does_not_say_is_as_usual(
        self, tmp_path: Path, said: dict[str, str], threshold: float, strict: float
    ) -> None:
        model = voices.load(written(tmp_path, network("ReduceMax", "B T N", 1, **said)))
        assert (model.threshold, model.window_threshold) == (threshold, strict)
        assert len(model.embed(recorded("austen-0880.wav"))) == 80

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "is no ONNX model: "),
            (b"no model", "is no ONNX model: "),
            (MODEL.read_bytes()[:2000], "is no ONNX model: "),
            (network("Nonsense"), "is no ONNX model: "),
            (network(shape="B 80"), "takes x ['B', 80] tensor(float), not filter banks"),
            (network(kind=7), "takes x ['B', 'T', 80] tensor(int64), not filter banks"),
            (network(shape="B 998 80"), "cannot be run on filter banks: "),
            (network("Identity"), "cannot be run on filter banks: its vectors are [1, "),
            (network("ReduceLogSum"), "gives vectors that are no numbers, or all zero"),
            (network(sample_rate="8000"), "takes sound of 8000 Hz, not 16000"),
            (network(threshold="6"), "says threshold '6', which is no cosine"),
            (network(threshold="high"), "says threshold 'high', which is no cosine"),
            (network(window_threshold="nan"), "says window_threshold 'nan', which is no cosine"),
            (network(window_type="blackman"), "wants a window of type 'blackman'"),
        ],
        ids=itertools.count(),
    )
    def test_what_does_not_fit_is_said(self, tmp_path: Path, content: bytes, why: str) -> None:
        path = written(tmp_path, content)
        with pytest.raises(Rejected) as caught:
            voices.load(path)
        assert caught.value.code == "engine_failed"
        assert caught.value.message.startswith(f"voice model m.onnx {why}")

    @pytest.mark.parametrize("name", ["", "nowhere/x.onnx", str(DATA)])
    def test_a_file_that_is_not_there_is_not_there(self, name: str) -> None:
        with pytest.raises(Rejected, match="engine_failed: there is no voice model /"):
            voices.load(name)


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    """Format has no numpy: what it uses of speakers and turns must not ask for it."""
    code = (
        "import sys, dropscribe.speakers, dropscribe.linking, dropscribe.turns;"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'onnxruntime')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
