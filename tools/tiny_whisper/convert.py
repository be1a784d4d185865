"""Writes a trained tiny Whisper as a CTranslate2 model that faster-whisper loads by its path.

python -m tools.tiny_whisper.convert tiny.pt tests/data/tiny-whisper
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from ctranslate2.converters.utils import fuse_linear
from ctranslate2.specs import WhisperSpec
from ctranslate2.specs.common_spec import LinearSpec
from torch import nn

from tools.tiny_whisper.model import HEADS, POSITIONS, TAUGHT_HEADS, Attention, TinyWhisper
from tools.tiny_whisper.train import load
from tools.tiny_whisper.windows import END, LANGUAGE
from tools.tiny_whisper.words import tokenizer, vocabulary

_FEATURES: Final = {
    "chunk_length": 30,
    "feature_extractor_type": "WhisperFeatureExtractor",
    "feature_size": 80,
    "hop_length": 160,
    "n_fft": 400,
    "n_samples": 480000,
    "nb_max_frames": 3000,
    "padding_side": "right",
    "padding_value": 0.0,
    "processor_class": "WhisperProcessor",
    "return_attention_mask": False,
    "sampling_rate": 16000,
}


def convert(model: TinyWhisper, folder: Path) -> None:
    """In float16; CTranslate2 makes of it what the machine computes in."""
    layers = model.shape.layers
    spec = WhisperSpec(layers, HEADS, layers, HEADS)
    _conv(spec.encoder.conv1, model.conv1)
    _conv(spec.encoder.conv2, model.conv2)
    spec.encoder.position_encodings.encodings = _array(model.positions[:POSITIONS])
    _norm(spec.encoder.layer_norm, model.encoder_norm)
    table = _array(model.table())
    spec.decoder.embeddings.weight = table
    spec.decoder.projection.weight = table
    spec.decoder.scale_embeddings = False
    spec.decoder.position_encodings.encodings = _array(model.text_positions)
    _norm(spec.decoder.layer_norm, model.decoder_norm)
    for into, layer in zip(spec.encoder.layer, model.encoder, strict=True):
        _layer(into, layer)
    for into, layer in zip(spec.decoder.layer, model.decoder, strict=True):
        _layer(into, layer)
        _cross_attention(into.attention, layer.cross)
        _norm(into.attention.layer_norm, layer.cross_norm)
    tokens = tokenizer()
    spec.register_vocabulary(vocabulary(tokens))
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [tokens.token_to_id("Ġ"), END]
    spec.config.lang_ids = sorted(LANGUAGE.values())
    spec.config.alignment_heads = [[layers - 1, head] for head in range(TAUGHT_HEADS)]
    spec.validate()
    spec.optimize(quantization="float16")
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    tokens.save(str(folder / "tokenizer.json"), pretty=False)
    features = json.dumps(_FEATURES, indent=2)
    (folder / "preprocessor_config.json").write_text(f"{features}\n")


def _layer(into: Any, layer: Any) -> None:
    query, key, value, out = _linears(layer.attention)
    fuse_linear(into.self_attention.linear[0], [query, key, value])
    into.self_attention.linear[1] = out
    _norm(into.self_attention.layer_norm, layer.attention_norm)
    _linear(into.ffn.linear_0, layer.widen)
    _linear(into.ffn.linear_1, layer.narrow)
    _norm(into.ffn.layer_norm, layer.norm)


def _cross_attention(into: Any, attention: Attention) -> None:
    query, key, value, out = _linears(attention)
    fuse_linear(into.linear[0], [query])
    fuse_linear(into.linear[1], [key, value])
    into.linear[2] = out


def _linears(attention: Attention) -> list[LinearSpec]:
    made = []
    for linear in (attention.query, attention.key, attention.value, attention.out):
        made.append(LinearSpec())
        _linear(made[-1], linear)
    return made


def _linear(into: Any, linear: nn.Linear) -> None:
    into.weight = _array(linear.weight)
    if linear.bias is not None:
        into.bias = _array(linear.bias)


def _conv(into: Any, conv: nn.Conv1d) -> None:
    into.weight = _array(conv.weight)
    into.bias = _array(conv.bias)


def _norm(into: Any, norm: nn.LayerNorm) -> None:
    into.gamma = _array(norm.weight)
    into.beta = _array(norm.bias)


def _array(tensor: torch.Tensor) -> Any:
    return np.ascontiguousarray(tensor.detach().numpy())


if __name__ == "__main__":
    convert(load(Path(sys.argv[1])), Path(sys.argv[2]))
