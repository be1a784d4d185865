"""Whisper models with random weights, for the engines that `bench.whisper` compares.

Random weights would ramble on to the token limit, each engine to another one. So the decoder's
position embeddings are made to drown everything else: whatever is heard, at each position comes the
next token of `script`, with a probability near 1. Nothing is decoded again, and every engine puts
out the same tokens at the cost of a real model of that shape. Some heads of the last layer look at
the sound evenly from its beginning to its end, so that words have times in order.

The same weights, rounded to float16, are written for transformers, CTranslate2 and openai-whisper.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

SEED: Final = 5
WINDOW_FRAMES: Final = 1500
"""Of the encoder, of 20 ms each."""
POSITIONS: Final = 448
PROMPT: Final = 3
"""Tokens before the answer: start, language, task."""
SEGMENTS: Final = 5
"""In each window, …"""
WORDS: Final = 20
"""… and words in each: 200 a minute, as a quick speaker has."""
SEGMENT_STEPS: Final = 290
"""Of 20 ms; the last segment ends 1 s before the window."""
ALIGNING_HEADS: Final = 6
"""As many as large-v3-turbo's."""
HEAD_WIDTH: Final = 64
LOUD: Final = 4.0
"""Of a position embedding; what the layers add stays well below 1."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a Whisper model."""

    encoder_layers: int
    decoder_layers: int
    width: int
    mels: int = 80
    vocabulary: int = 51_865

    @property
    def heads(self) -> int:
        return self.width // HEAD_WIDTH

    @property
    def languages(self) -> int:
        """What openai-whisper makes of the vocabulary's size."""
        return self.vocabulary - 51_766


SHAPES: Final = {
    "tiny": Shape(4, 4, 384),
    "base": Shape(6, 6, 512),
    "small": Shape(12, 12, 768),
    "medium": Shape(24, 24, 1024),
    "large-v3": Shape(32, 32, 1280, mels=128, vocabulary=51_866),
    "large-v3-turbo": Shape(32, 4, 1280, mels=128, vocabulary=51_866),
}


@dataclass(frozen=True)
class Made:
    """One model in a folder of its own, each format made when it is first asked for."""

    name: str
    folder: Path

    @property
    def transformers(self) -> Path:
        return _once(self.folder / "transformers", lambda to: _make(SHAPES[self.name], to))

    def ctranslate2(self, precision: str) -> Path:
        """`precision`: CTranslate2's name of what the weights are stored in."""
        source = self.transformers
        return _once(
            self.folder / f"ctranslate2-{precision}", lambda to: _convert(source, to, precision)
        )

    @property
    def openai(self) -> Path:
        source = self.transformers
        return _once(self.folder / "openai.pt", lambda to: _rename(source, to))


def script(tokenizer: Any) -> list[int]:
    """What the model says about each window: segments of words between timestamps."""
    first_timestamp = tokenizer.convert_tokens_to_ids("<|notimestamps|>") + 1
    words = iter(_words(tokenizer))
    tokens = []
    for number in range(SEGMENTS):
        tokens.append(first_timestamp + number * SEGMENT_STEPS)
        tokens += [next(words) for _ in range(WORDS)]
        tokens.append(first_timestamp + (number + 1) * SEGMENT_STEPS)
    return [*tokens, tokenizer.convert_tokens_to_ids("<|endoftext|>")]


def _words(tokenizer: Any) -> list[int]:
    """Tokens that are a word of five letters or more, each another."""
    vocabulary = tokenizer.get_vocab()
    return sorted(
        number
        for token, number in vocabulary.items()
        if token.startswith("Ġ") and token[1:].isascii() and token[1:].isalpha() and len(token) > 5
    )


def _once(target: Path, make: Any) -> Path:
    """Made under another name, so that what is there is whole."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f"{target.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        make(unfinished)
        unfinished.rename(target)
    return target


def _make(shape: Shape, folder: Path) -> None:
    import torch
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    tokenizer = _tokenizer(shape)
    torch.manual_seed(SEED)
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=shape.vocabulary,
            num_mel_bins=shape.mels,
            d_model=shape.width,
            encoder_layers=shape.encoder_layers,
            decoder_layers=shape.decoder_layers,
            encoder_attention_heads=shape.heads,
            decoder_attention_heads=shape.heads,
            encoder_ffn_dim=4 * shape.width,
            decoder_ffn_dim=4 * shape.width,
            init_std=0.005,
            **_marks(tokenizer),
        )
    )
    with torch.no_grad():
        _recite(model.model.decoder, script(tokenizer))
        _look_along(model.model)
    _describe(model.generation_config, shape, tokenizer)
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=shape.mels).save_pretrained(folder)


def _recite(decoder: Any, tokens: list[int]) -> None:
    """Have each position call for its token, with the language before the answer.

    The last dimensions are kept free for `_look_along`.
    """
    embedded, positions = decoder.embed_tokens.weight, decoder.embed_positions.weight
    embedded.normal_(std=0.05)
    embedded[:, -HEAD_WIDTH:] = 0
    positions.zero_()
    english = tokens[-1] + 2  # after the end of text and the start of a transcript
    for position, token in enumerate([english, english, *tokens], start=0):
        positions[position] = embedded[token] * LOUD / 0.05


def _look_along(model: Any) -> None:
    """Have some heads of the last layer look the further into the sound the later the position.

    What tells a moment of sound apart are the sines and cosines that the encoder adds to it: half
    of HEAD_WIDTH of each, of middling length.
    """
    import torch

    width = model.config.d_model
    sines = torch.linspace(width // 8, width // 8 * 3, HEAD_WIDTH // 2).long()
    waves = torch.cat([sines, sines + width // 2])
    last = SEGMENTS * WORDS + PROMPT + 1
    moments = (torch.arange(PROMPT, last) - PROMPT) / (last - PROMPT) * (WINDOW_FRAMES - 50)
    sound = model.encoder.embed_positions.weight[:, waves]
    positions = model.decoder.embed_positions.weight
    positions[PROMPT:last, -HEAD_WIDTH:] = sound[moments.long()] * LOUD
    positions[last:, -HEAD_WIDTH:] = sound[-1] * LOUD
    attention = model.decoder.layers[-1].encoder_attn
    for head in range(ALIGNING_HEADS):
        own = slice(head * HEAD_WIDTH, (head + 1) * HEAD_WIDTH)
        attention.q_proj.weight[own] = 0
        attention.q_proj.weight[own, -HEAD_WIDTH:] = torch.eye(HEAD_WIDTH) * math.sqrt(HEAD_WIDTH)
        attention.k_proj.weight[own] = 0
        attention.k_proj.weight[torch.arange(HEAD_WIDTH) + own.start, waves] = 1


def _marks(tokenizer: Any) -> dict[str, Any]:
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    start = tokenizer.convert_tokens_to_ids("<|startoftranscript|>")
    return {
        "pad_token_id": end,
        "bos_token_id": end,
        "eos_token_id": end,
        "decoder_start_token_id": start,
    }


def _describe(config: Any, shape: Shape, tokenizer: Any) -> None:
    """What transformers and the converter read of a real model beside its weights."""
    number = tokenizer.convert_tokens_to_ids
    known: dict[str, Any] = dict(
        alignment_heads=[[shape.decoder_layers - 1, head] for head in range(ALIGNING_HEADS)],
        begin_suppress_tokens=[number("Ġ"), number("<|endoftext|>")],
        is_multilingual=True,
        lang_to_id={f"<|{code}|>": number(f"<|{code}|>") for code in _languages(shape)},
        max_initial_timestamp_index=50,
        max_length=POSITIONS,
        no_timestamps_token_id=number("<|notimestamps|>"),
        prev_sot_token_id=number("<|startofprev|>"),
        return_timestamps=False,
        suppress_tokens=[],
        _from_model_config=False,  # or transformers makes it anew, without these
        task_to_id={task: number(f"<|{task}|>") for task in ("transcribe", "translate")},
        **_marks(tokenizer),
    )
    for name, value in known.items():
        setattr(config, name, value)


def _languages(shape: Shape) -> list[str]:
    from whisper.tokenizer import LANGUAGES

    return list(LANGUAGES)[: shape.languages]


def _tokenizer(shape: Shape) -> Any:
    """The multilingual vocabulary, which comes with openai-whisper; timestamps are not in it."""
    import whisper
    from tiktoken.load import load_tiktoken_bpe
    from transformers import WhisperTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    written = bytes_to_unicode()
    ranks = load_tiktoken_bpe(
        str(Path(whisper.__file__).with_name("assets") / "multilingual.tiktoken")
    )

    def spelled(token: bytes) -> str:
        return "".join(written[byte] for byte in token)

    tokenizer = WhisperTokenizer(
        pad_token="<|endoftext|>",  # noqa: S106 - no password
        vocab={spelled(token): rank for token, rank in ranks.items()},
        merges=[tuple(map(spelled, _halves(token, ranks))) for token in ranks if len(token) > 1],
    )
    tokenizer.add_special_tokens(
        {
            "additional_special_tokens": [
                "<|endoftext|>",
                "<|startoftranscript|>",
                *(f"<|{code}|>" for code in _languages(shape)),
                "<|translate|>",
                "<|transcribe|>",
                "<|startoflm|>",
                "<|startofprev|>",
                "<|nospeech|>",
                "<|notimestamps|>",
            ]
        }
    )
    return tokenizer


def _halves(token: bytes, ranks: dict[bytes, int]) -> list[bytes]:
    """Of which two a token is joined, when its bytes are joined pair by pair in order of rank."""
    parts = [token[at : at + 1] for at in range(len(token))]
    while len(parts) > 2:
        pairs = [ranks.get(left + right, len(ranks)) for left, right in pairwise(parts)]
        at = pairs.index(min(pairs))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def _convert(source: Path, folder: Path, precision: str) -> None:
    from ctranslate2.converters import TransformersConverter

    files = ["tokenizer.json", "preprocessor_config.json"]
    TransformersConverter(str(source), copy_files=files).convert(
        str(folder), quantization=precision
    )


def _rename(source: Path, target: Path) -> None:
    """A checkpoint of openai-whisper: other names, the same order of the layers."""
    import torch
    from transformers import WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration.from_pretrained(source, dtype=torch.float16)
    config = model.config
    sizes = {
        "n_mels": config.num_mel_bins,
        "n_audio_ctx": WINDOW_FRAMES,
        "n_audio_state": config.d_model,
        "n_audio_head": config.encoder_attention_heads,
        "n_audio_layer": config.encoder_layers,
        "n_vocab": config.vocab_size,
        "n_text_ctx": POSITIONS,
        "n_text_state": config.d_model,
        "n_text_head": config.decoder_attention_heads,
        "n_text_layer": config.decoder_layers,
    }
    weights = {_openai_name(name): value for name, value in model.model.state_dict().items()}
    torch.save({"dims": sizes, "model_state_dict": weights}, target)


RENAMED: Final = (
    ("layers.", "blocks."),
    ("encoder_attn_layer_norm", "cross_attn_ln"),
    ("self_attn_layer_norm", "attn_ln"),
    ("final_layer_norm", "mlp_ln"),
    ("encoder_attn", "cross_attn"),
    ("self_attn", "attn"),
    ("q_proj", "query"),
    ("k_proj", "key"),
    ("v_proj", "value"),
    ("out_proj", "out"),
    ("fc1", "mlp.0"),
    ("fc2", "mlp.2"),
    ("embed_tokens", "token_embedding"),
    ("embed_positions.weight", "positional_embedding"),
    ("encoder.layer_norm", "encoder.ln_post"),
    ("decoder.layer_norm", "decoder.ln"),
)
"""Transformers' names and openai-whisper's, each replaced in turn."""


def _openai_name(name: str) -> str:
    for theirs, other in RENAMED:
        name = name.replace(theirs, other)
    return name
