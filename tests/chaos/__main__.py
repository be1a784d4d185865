"""`python -m tests.chaos --uploads 300 --seed 1 --rate 0.1`: 1 where the promise was broken."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import imageio_ffmpeg

from tests.chaos.report import lines
from tests.chaos.run import ROOT, chaos, keep


def main() -> int:
    """Run, print the report and keep it."""
    given = _arguments()
    folder = ROOT / "out" / "chaos" / f"seed-{given.seed}"
    with tempfile.TemporaryDirectory() as tools:
        Path(tools, "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
        os.environ["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"
        with chaos(given.uploads, given.seed, given.rate, folder) as result:
            verdict = result.verdict()
            keep(result, verdict, folder)
    report = "\n".join(lines(result, verdict))
    (folder / "report.txt").write_text(report + "\n")
    sys.stdout.write(f"{report}\ntraces                     {folder.relative_to(ROOT)}\n")
    return 0 if verdict.good else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--uploads", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.1, help="share of all that fails")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
