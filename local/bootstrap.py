"""The first thing in a function's process: `sys.path` as Lambda has it, then AWS's runtime client.

Run as `python -I -S bootstrap.py HANDLER JSON`. Without `-S` the site packages' .pth files would
put an editable install of this project on the path, and a function whose layer is missing would
still find `dropscribe`. It imports nothing of ours: `local` is not on the path either.
"""

import json
import os
import runpy
import signal
import sys
import threading


def end_with_the_parent() -> None:
    """Ends with the embedded cloud: when our standard input closes, its other end is gone.

    Even by SIGKILL.
    """
    lifeline = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()


def _watch(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


def set_path(before: list[str], after: list[str]) -> None:
    """`before` the standard library: function and layers; `after` it: the virtual environment."""
    sys.path[:] = before + sys.path + after


if __name__ == "__main__":
    end_with_the_parent()
    set_path(**json.loads(sys.argv[2]))
    sys.argv[1:] = [sys.argv[1]]
    runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
