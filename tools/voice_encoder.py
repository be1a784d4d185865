"""Makes the voice model that ships in the package, and what its tests compare with.

    pip install Resemblyzer==0.1.4 torch onnx
    python tools/voice_encoder.py

The weights are those inside the Resemblyzer wheel (Apache-2.0), a network of three LSTM layers and
one linear layer. They are written as an ONNX graph, in half precision: 2.9 MB instead of 17. The
vectors are Resemblyzer's own, of real recordings, so that the tests need neither it nor torch.

A model for tests is made too, a few KB: WeSpeaker's inputs and outputs, random weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import soundfile
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from resemblyzer import VoiceEncoder, normalize_volume

ROOT: Final = Path(__file__).parents[1]
MODEL: Final = ROOT / "layers/dropscribe/dropscribe/data/voices.onnx"
DATA: Final = ROOT / "tests/data"
GOLDEN: Final = DATA / "voices.json"
SMALL: Final = DATA / "voice-model.onnx"
RECORDINGS: Final = (
    "austen-0880.wav",
    "austen-0930.wav",
    "librispeech-1688-142285-0000.flac",
    "librispeech-1688-142285-0002.flac",
)
MELS: Final = 40
SIZE: Final = 256
LAYERS: Final = 3
OPSET: Final = 17
LEVEL_DBFS: Final = -30
DECIMALS: Final = 6
RATE_HZ: Final = 16_000
STARTS: Final = (0.0, 1.0)
"""Of the windows, in seconds."""
WINDOW_S: Final = 1.6


def main() -> None:
    encoder = VoiceEncoder("cpu", verbose=False)
    weights = {name: value.numpy() for name, value in encoder.state_dict().items()}
    onnx.save(graph(weights), MODEL)
    vectors = {name: [golden(encoder, DATA / name, at) for at in STARTS] for name in RECORDINGS}
    GOLDEN.write_text(json.dumps(vectors) + "\n")
    onnx.save(small(), SMALL)


def graph(weights: dict[str, NDArray[Any]]) -> onnx.ModelProto:
    """`feats`, mel spectrograms [windows, frames, 40] → `embs`, of length 1 [windows, 256]."""
    constants: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []

    def constant(name: str, value: NDArray[Any]) -> str:
        """Half precision in the file, single in use: the casts are done once, on loading."""
        constants.append(numpy_helper.from_array(value.astype(np.float16), name + ".half"))
        nodes.append(helper.make_node("Cast", [name + ".half"], [name], to=TensorProto.FLOAT))
        return name

    constants.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
    nodes.append(helper.make_node("Transpose", ["feats"], ["layer.0"], perm=[1, 0, 2]))
    for layer in range(LAYERS):
        inputs = [f"layer.{layer}"]
        inputs.append(constant(f"w.{layer}", _gates(weights[f"lstm.weight_ih_l{layer}"])))
        inputs.append(constant(f"r.{layer}", _gates(weights[f"lstm.weight_hh_l{layer}"])))
        biases = [_gates(weights[f"lstm.bias_{kind}_l{layer}"]) for kind in ("ih", "hh")]
        inputs.append(constant(f"b.{layer}", np.concatenate(biases, axis=1)))
        outputs = [f"all.{layer}", f"last.{layer}"]
        nodes.append(helper.make_node("LSTM", inputs, outputs, hidden_size=SIZE))
        nodes.append(helper.make_node("Squeeze", [f"all.{layer}", "axis"], [f"layer.{layer + 1}"]))
    constants.append(numpy_helper.from_array(np.array([0], np.int64), "first"))
    nodes.append(helper.make_node("Squeeze", [f"last.{LAYERS - 1}", "first"], ["heard"]))
    linear = [constant(name, weights[name]) for name in ("linear.weight", "linear.bias")]
    nodes.append(helper.make_node("Gemm", ["heard", *linear], ["raw"], transB=1))
    nodes.append(helper.make_node("Relu", ["raw"], ["positive"]))
    nodes.append(helper.make_node("LpNormalization", ["positive"], ["embs"], axis=1, p=2))
    model = _model(nodes, constants, MELS, SIZE)
    model.doc_string = "Weights of Resemblyzer 0.1.4, (c) 2019 Resemble.AI, Apache License 2.0"
    return model


def _gates(weight: NDArray[Any]) -> NDArray[Any]:
    """Torch has them as input, forget, cell, output; ONNX as input, output, forget, cell."""
    into, forget, cell, out = np.split(weight, 4)
    return np.concatenate([into, out, forget, cell])[None]


def _model(
    nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], bands: int, size: int
) -> onnx.ModelProto:
    feats = helper.make_tensor_value_info("feats", TensorProto.FLOAT, ["B", "T", bands])
    embs = helper.make_tensor_value_info("embs", TensorProto.FLOAT, ["B", size])
    made = helper.make_graph(nodes, "voices", [feats], [embs], constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    model.producer_name = "dropscribe tools/voice_encoder.py"
    onnx.checker.check_model(model, full_check=True)
    return model


def small() -> onnx.ModelProto:
    """Filter banks [windows, frames, 80] → vectors [windows, 24], by two layers and a mean."""
    chance = np.random.default_rng(5)
    weights = {"one": (80, 32), "two": (32, 24)}
    constants = [
        numpy_helper.from_array(chance.normal(0, 0.3, shape).astype(np.float32), name)
        for name, shape in weights.items()
    ]
    nodes = [
        helper.make_node("MatMul", ["feats", "one"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["positive"]),
        helper.make_node("ReduceMean", ["positive"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "two"], ["embs"]),
    ]
    model = _model(nodes, constants, bands=80, size=24)
    said = {"framework": "wespeaker", "sample_rate": "16000", "threshold": "0.625"}
    helper.set_model_props(model, said | {"window_threshold": "0.5625"})
    model.doc_string = "Random weights, for tests"
    return model


def golden(encoder: VoiceEncoder, path: Path, start_s: float) -> list[float]:
    """Resemblyzer's vector of one window, all of it, at one loudness."""
    first = round(start_s * RATE_HZ)
    samples, _ = soundfile.read(
        path, start=first, stop=first + round(WINDOW_S * RATE_HZ), dtype="float32"
    )
    vector = encoder.embed_utterance(normalize_volume(samples, LEVEL_DBFS))
    return [round(float(value), DECIMALS) for value in vector]


if __name__ == "__main__":
    main()
