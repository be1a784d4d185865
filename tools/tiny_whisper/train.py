"""Trains the tiny Whisper on the material, in three steps that each need the one before.

python -m tools.tiny_whisper.train material.npz tiny.pt [--begin-with tiny.pt --stage 2]

1. The encoder alone says which word sounds in each frame.
2. Crops of a few seconds anywhere in 30 s. Two heads of the last layer's cross-attention are at
   first put where the word to come is; then they have to find it.
3. Windows of 30 s.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from tools.tiny_whisper.material import read
from tools.tiny_whisper.model import TAUGHT_HEADS, Shape, Teacher, TinyWhisper
from tools.tiny_whisper.windows import (
    END,
    FIRST_TIMESTAMP,
    FRAME_S,
    TOKENS,
    UNLABELLED,
    WINDOW_S,
    Batch,
    Windows,
)
from tools.tiny_whisper.words import VOCABULARY

_THREADS: Final = 2
_SEED: Final = 5


@dataclass(frozen=True)
class Stage:
    steps: int
    rate: float
    """Of learning, at its highest."""
    lengths_s: tuple[float, ...]
    batch_s: float
    """Of sound in each step."""
    encoder_only: bool = False
    taught: float = 0.0
    """Part of the steps in which the teacher's attention fades away."""
    ends_at: float = 0.3
    """Of the rate, at the end."""


STAGES: Final = (
    Stage(1500, 3e-3, (4.0,), 96, encoder_only=True),
    Stage(1500, 2e-3, (4.0, 4.0, 8.0), 100, taught=0.5),
    Stage(1500, 1.5e-3, (4.0, 8.0, 8.0, 30.0), 100, ends_at=0.03),
)


class Losses(NamedTuple):
    total: Tensor
    shown: dict[str, float]


class Drawn(IterableDataset[Batch]):
    """Batches without end."""

    def __init__(self, material: Path, stage: int) -> None:
        self.material = material
        self.stage = stage

    def __iter__(self) -> Iterator[Batch]:
        torch.set_num_threads(1)
        worker = get_worker_info()
        seed = _SEED + 1000 * self.stage + (worker.id if worker else 0)
        windows = Windows(list(read(self.material)), seed)
        stage, dice = STAGES[self.stage], windows.dice
        while True:
            length_s = dice.choice(stage.lengths_s)
            anywhere = length_s < WINDOW_S and dice.random() < 0.5
            first_s = round(dice.uniform(0, WINDOW_S - length_s) / FRAME_S) * FRAME_S
            count = max(1, round(stage.batch_s / length_s))
            yield windows.batch(count, length_s, first_s if anywhere else 0.0)


def encoder_losses(model: TinyWhisper, batch: Batch) -> Losses:
    return _frame_losses(model, model.encode(batch.mel, batch.first), batch)


def losses(model: TinyWhisper, batch: Batch, taught: float) -> Losses:
    """`taught`: the part of the tokens for which the teacher's attention is used."""
    memory = model.encode(batch.mel, batch.first)
    there = _there(batch)
    known = there.sum(-1) > 0
    chosen = known & (torch.rand(known.shape) < taught)
    teacher = Teacher(there, chosen.float()) if taught else None
    logits, attentions = model.decode(memory, batch.tokens, teacher)
    words, times, shown = _said_losses(logits, batch.labels)
    # The last layer looks for the token to come, the first at the one just said.
    next_one = _looking_loss(attentions[-1], there, known)
    behind, known_behind = torch.zeros_like(there), torch.zeros_like(known)
    behind[:, 1:], known_behind[:, 1:] = there[:, :-1], known[:, :-1]
    last_one = _looking_loss(attentions[0], behind, known_behind)
    frames = _frame_losses(model, memory, batch)
    total = words + 0.5 * times + 0.2 * (next_one + last_one) + 0.3 * frames.total
    return Losses(
        total, {**shown, "look": next_one.item(), "back": last_one.item(), **frames.shown}
    )


def _frame_losses(model: TinyWhisper, memory: Tensor, batch: Batch) -> Losses:
    heard = model.heard(memory)
    loss = functional.cross_entropy(
        heard.flatten(0, 2), batch.frames.flatten(), ignore_index=UNLABELLED
    )
    spoken = batch.frames[..., 0] > 0
    right = (heard.argmax(-1) == batch.frames)[spoken].float().mean(0)
    return Losses(loss, {"frames": right[0].item(), "neighbours": right[1:].mean().item()})


def _there(batch: Batch) -> Tensor:
    """Batch, token, frame: evenly over where the token's sound is; nowhere for one without."""
    at_s = (torch.arange(batch.mel.shape[-1] // 2) + 0.5) * FRAME_S
    start, end = batch.spans_s[..., :1], batch.spans_s[..., 1:]
    there = ((at_s >= start) & (at_s <= end) & (end > 0)).float()
    return there / there.sum(-1, keepdim=True).clamp(min=1)


def _looking_loss(attention: Tensor, there: Tensor, known: Tensor) -> Tensor:
    """How little of the taught heads' attention is there, and how unevenly it lies."""
    looks = attention[:, :TAUGHT_HEADS].clamp(min=1e-6)[known.unsqueeze(1).expand(-1, 2, -1)]
    wanted = there.unsqueeze(1).expand(-1, 2, -1, -1)[known.unsqueeze(1).expand(-1, 2, -1)]
    found = (looks * (wanted > 0)).sum(-1).clamp(min=1e-4).log()
    spread = (wanted * (looks.log() - wanted.clamp(min=1e-6).log())).sum(-1)
    return -(0.7 * found + 0.3 * spread).mean()


def _said_losses(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Of words and of times; a time near the true one is not all wrong (30 ms, one sigma)."""
    asked = labels != UNLABELLED
    logs, wanted = logits[asked].log_softmax(-1), labels[asked]
    timed = wanted >= FIRST_TIMESTAMP
    words = functional.nll_loss(logs[~timed], wanted[~timed])
    near = torch.arange(-4, 5)
    weight = torch.exp(-0.5 * (near / 1.5) ** 2)
    places = (wanted[timed][:, None] + near).clamp(FIRST_TIMESTAMP, TOKENS - 1)
    times = -(logs[timed].gather(1, places) * (weight / weight.sum())).sum(-1)
    best = logs.argmax(-1)
    shown = {
        "words": words.item(),
        "right": (best == wanted)[~timed & (wanted < END)].float().mean().item(),
        "times": times.mean().item() if len(times) else 0.0,
        "near": ((best - wanted).abs() <= 5)[timed].float().mean().item(),
    }
    return words, times.sum() / max(1, len(times)), shown


def train(model: TinyWhisper, material: Path, number: int, out: Path, limit_s: float) -> None:
    """One stage, all of its steps or those for which there is time."""
    stage = STAGES[number]
    loader = iter(DataLoader(Drawn(material, number), batch_size=None, num_workers=1))
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.01)
    began = time.monotonic()
    step, done = 0, 0.0
    while done < 1.0:
        step += 1
        done = max(step / stage.steps, (time.monotonic() - began) / limit_s)
        warm = min(1.0, step / 80)
        for group in optimizer.param_groups:
            group["lr"] = stage.rate * warm * (1 - (1 - stage.ends_at) * min(1.0, done))
        batch = next(loader)
        if stage.encoder_only:
            result = encoder_losses(model, batch)
        else:
            taught = max(0.0, 1 - done / stage.taught) if stage.taught else 0.0
            result = losses(model, batch, taught)
        optimizer.zero_grad()
        result.total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0 or step == 10:
            shown = " ".join(f"{name} {value:.3f}" for name, value in result.shown.items())
            print(f"{number} {step} {time.monotonic() - began:.0f} s: {shown}", flush=True)
        if step % 100 == 0 or done >= 1.0:
            save(model, out)


def save(model: TinyWhisper, out: Path) -> None:
    written = out.with_suffix(".part")
    torch.save({"shape": asdict(model.shape), "weights": model.state_dict()}, written)
    written.replace(out)


def load(path: Path) -> TinyWhisper:
    kept = torch.load(path, weights_only=True)
    model = TinyWhisper(Shape(**kept["shape"]))
    model.load_state_dict(kept["weights"])
    return model


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("material", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--begin-with", type=Path)
    arguments.add_argument("--stage", type=int, default=0)
    arguments.add_argument("--minutes", type=float, default=60, help="of each stage at most")
    chosen = arguments.parse_args()
    torch.manual_seed(_SEED)
    torch.set_num_threads(_THREADS)
    model = TinyWhisper(Shape(TOKENS, FIRST_TIMESTAMP, len(VOCABULARY) + 1))
    if chosen.begin_with:
        model = load(chosen.begin_with)
    print(f"{sum(one.numel() for one in model.parameters()):,} weights", flush=True)
    for number in range(chosen.stage, len(STAGES)):
        train(model, chosen.material, number, chosen.out, 60 * chosen.minutes)


if __name__ == "__main__":
    main()
