"""The tiny Whisper in PyTorch: Whisper's architecture, begun so that it learns within minutes.

Three things differ from a Whisper begun at random, and none remains in what is converted:
- The encoder's heads begin as peaks at fixed distances from each frame. A random head spreads over
  1500 positions, and nothing is learned from that for hours.
- The rows of the timestamps are one linear map of the encoder's own positions, so that 1501 tokens
  are learned at once.
- Further outputs of the encoder tell which word sounds in each frame, and its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

HEADS: Final = 4
TAUGHT_HEADS: Final = 2
"""The first of each decoder layer's cross-attention; those of the last layer align words."""
POSITIONS: Final = 1500
"""Frames of 20 ms in a window of 30 s."""
TEXT_POSITIONS: Final = 448
MEL_BANDS: Final = 80
NEIGHBOURS: Final = 3
"""The word of a frame, the one before, the one after."""
_DISTANCES: Final = ((-6, -2, 2, 6), (-18, -7, 7, 18))
"""Where each encoder layer's heads look at first, in frames."""
_FAR: Final = 8


@dataclass(frozen=True)
class Shape:
    tokens: int
    first_timestamp: int
    classes: int
    """Words of the vocabulary, and none."""
    width: int = 128
    inner: int = 384
    layers: int = 2


class Teacher(NamedTuple):
    """Where the taught heads of the last decoder layer have to look, instead of where they do."""

    attention: Tensor
    """Batch, token, frame; each row sums to 1."""
    weight: Tensor
    """Batch, token: 1 where the teacher's attention is used, 0 where the model's own."""


def sinusoids(length: int, width: int) -> Tensor:
    pace = math.log(10_000) / (width // 2 - 1)
    angles = torch.arange(length)[:, None] * torch.exp(-pace * torch.arange(width // 2))[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, *, causal: bool = False) -> Tensor:
        query, key, value = self._heads(x, x)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
        return self._joined(mixed)

    def across(self, x: Tensor, memory: Tensor, teacher: Teacher | None) -> tuple[Tensor, Tensor]:
        """What `memory` says to `x`, and the attention: batch, head, token, frame."""
        query, key, value = self._heads(x, memory)
        own = (query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])).softmax(-1)
        used = own
        if teacher is not None:
            weight = teacher.weight[:, None, :, None]
            taught = own[:, :TAUGHT_HEADS] * (1 - weight) + teacher.attention[:, None] * weight
            used = torch.cat([taught, own[:, TAUGHT_HEADS:]], dim=1)
        return self._joined(used @ value), own

    def _heads(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = self.query(x), self.key(memory), self.value(memory)
        return self._split(query), self._split(key), self._split(value)

    @staticmethod
    def _split(x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], HEADS, -1).transpose(1, 2)

    def _joined(self, x: Tensor) -> Tensor:
        joined: Tensor = self.out(x.transpose(1, 2).flatten(2))
        return joined


class EncoderLayer(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, inner)
        self.narrow = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        return self.thought(x)

    def thought(self, x: Tensor) -> Tensor:
        widened: Tensor = self.narrow(functional.gelu(self.widen(self.norm(x))))
        return x + widened


class DecoderLayer(EncoderLayer):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__(width, inner)
        self.cross_norm = nn.LayerNorm(width)
        self.cross = Attention(width)

    def heard(self, x: Tensor, memory: Tensor, teacher: Teacher | None) -> tuple[Tensor, Tensor]:
        x = x + self.attention(self.attention_norm(x), causal=True)
        said, attention = self.cross.across(self.cross_norm(x), memory, teacher)
        return self.thought(x + said), attention


class TinyWhisper(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.conv1 = nn.Conv1d(MEL_BANDS, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.encoder = nn.ModuleList(EncoderLayer(width, shape.inner) for _ in range(shape.layers))
        self.encoder_norm = nn.LayerNorm(width)
        self.decoder = nn.ModuleList(DecoderLayer(width, shape.inner) for _ in range(shape.layers))
        self.decoder_norm = nn.LayerNorm(width)
        self.frames = nn.Linear(width, NEIGHBOURS * shape.classes)
        self.words = nn.Embedding(shape.first_timestamp, width)
        self.timestamp = nn.Linear(width, width)
        self.text_positions = nn.Parameter(torch.randn(TEXT_POSITIONS, width) * 0.01)
        self.positions: Tensor
        self.register_buffer("positions", sinusoids(POSITIONS + 1, width))
        self._begin()

    def encode(self, mel: Tensor, first: int = 0) -> Tensor:
        """Log-mel (batch, 80, 10 ms frames), beginning at position `first` (20 ms), as memory."""
        x = functional.gelu(self.conv2(functional.gelu(self.conv1(mel)))).transpose(1, 2)
        x = x + self.positions[first : first + x.shape[1]]
        for layer in self.encoder:
            x = layer(x)
        memory: Tensor = self.encoder_norm(x)
        return memory

    def decode(
        self, memory: Tensor, tokens: Tensor, teacher: Teacher | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Logits of each token to come, and the cross-attention of each layer."""
        table = self.table()
        x = functional.embedding(tokens, table) + self.text_positions[: tokens.shape[1]]
        attentions = []
        for layer in self.decoder:
            last = layer is self.decoder[-1]
            x, attention = layer.heard(x, memory, teacher if last else None)
            attentions.append(attention)
        return self.decoder_norm(x) @ table.T, attentions

    def table(self) -> Tensor:
        """The embedding of every token."""
        times = self.shape.tokens - self.shape.first_timestamp
        return torch.cat([self.words.weight, self.timestamp(self.positions[:times])])

    def heard(self, memory: Tensor) -> Tensor:
        """Batch, frame, neighbour, class."""
        scores: Tensor = self.frames(memory)
        return scores.unflatten(-1, (NEIGHBOURS, self.shape.classes))

    def _begin(self) -> None:
        width = self.shape.width
        for conv in (self.conv1, self.conv2):
            # As loud as the positions: PyTorch's own beginning drowns the sound in them.
            nn.init.kaiming_normal_(conv.weight)
        nn.init.normal_(self.words.weight, std=0.05)
        nn.init.normal_(self.timestamp.weight, std=0.02)
        self.timestamp.weight.data += 0.3 * torch.eye(width)
        nn.init.zeros_(self.timestamp.bias)
        for layer, distances in zip(self.encoder, _DISTANCES, strict=False):
            _look_at(layer.attention, distances, width)
        for layer in self.decoder:
            for linear in (layer.cross.value, layer.cross.out):
                # What is attended to is said as it is: timestamps can be read off at once.
                linear.weight.data = 0.7 * torch.eye(width) + 0.02 * torch.randn(width, width)
                linear.bias.data.zero_()


def _look_at(attention: Attention, distances: Sequence[int], width: int) -> None:
    """Each head a peak at its distance: key and query turn the same waves, one of them further."""
    half, size = width // 2, width // len(distances)
    pace = torch.exp(-math.log(10_000) / (half - 1) * torch.arange(half))
    query, key = 0.02 * torch.randn(width, width), 0.02 * torch.randn(width, width)
    for head, distance in enumerate(distances):
        slowest = 0 if abs(distance) < _FAR else 4  # slower waves make a wider peak
        for pair in range(size // 2):
            wave, row = slowest + pair, head * size + 2 * pair
            angle = pace[wave] * distance
            turn = 1.3 * torch.stack([angle.cos(), angle.sin()])
            query[row, wave] += turn[0]
            query[row, wave + half] += turn[1]
            query[row + 1, wave + half] += turn[0]
            query[row + 1, wave] -= turn[1]
            key[row, wave] += 1.3
            key[row + 1, wave + half] += 1.3
    attention.query.weight.data.copy_(query)
    attention.query.bias.data.zero_()
    attention.key.weight.data.copy_(key)
