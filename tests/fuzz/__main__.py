"""Mutated media through the normalize step, on all processors.

    python -m tests.fuzz --seed 1 --inputs 5000

Prints inputs, outcomes by code, crashes, what must not be, the slowest and the largest. Keeps the
inputs of what must not be, and of crashes, under out/fuzz; ends with 1 where there is the former.
Ctrl-C prints what there is until then.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import suppress

from tests.fuzz.campaign import fuzz, report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inputs", type=int, default=5000)
    parser.add_argument("--from", dest="first", type=int, default=0, help="number of the first one")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    started, outcomes = time.monotonic(), []
    inputs = range(asked.first, asked.first + asked.inputs)
    with suppress(KeyboardInterrupt):
        for outcome in fuzz(asked.seed, inputs, asked.processes):
            outcomes.append(outcome)
            if outcome.problem or len(outcomes) % 250 == 0:
                sys.stderr.write(f"{len(outcomes)} {outcome.name}: {outcome.problem or 'fine'}\n")
    sys.stdout.write(report(outcomes, asked.seed, time.monotonic() - started) + "\n")
    return 1 if any(outcome.problem for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
