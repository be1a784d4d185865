"""The mean of two states of one training, which wanders less than either.

python -m tools.tiny_whisper.average one.pt other.pt 0.6 tiny.pt      0.6: the other's share
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch


def main() -> None:
    one, other, share, target = sys.argv[1:]
    first, second = (torch.load(path, weights_only=False) for path in (one, other))
    assert first["shape"] == second["shape"]
    weights = {
        name: torch.lerp(value, second["weights"][name], float(share))
        for name, value in first["weights"].items()
    }
    torch.save({**first, "weights": weights}, Path(target))


if __name__ == "__main__":
    main()
