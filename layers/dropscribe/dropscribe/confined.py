"""Runs of a program that reads strangers' files, so that it can harm nothing else.

The command that `confined` gives starts `confine.py`, which sets limits on itself and becomes the
program. In the caller, which has threads, one thing happens: `confine.hide`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dropscribe import confine


@dataclass(frozen=True)
class Limits:
    """What one run may take. Each strikes with the signal or error named."""

    cpu_s: int
    """Of all threads together: SIGXCPU."""
    memory_bytes: int
    """Of memory that it asks for, its own code not counted: ENOMEM. Linux alone."""
    file_bytes: int
    """Each file that it writes: SIGXFSZ."""
    files: int
    """Open at the same time: EMFILE."""


def confined(
    command: Sequence[str], limits: Limits, *, reads: Iterable[Path], writes: Path
) -> list[str]:
    """The command that runs `command` confined; its first word is the path of a program.

    `reads`: files, or folders with all in them. `writes`: the folder that it may write in. It dies
    with the thread that waits for it. Where the kernel can do it (`confine.powers`), it opens no
    file besides these and the system's programs and libraries, no socket, and starts no process.
    On Linux, this process is hidden from it for good (`confine.hide`). Exit status
    `confine.NOT_STARTED` and a line on stderr: the program could not be started.
    """
    confine.hide()
    numbers = (limits.cpu_s, limits.memory_bytes, limits.file_bytes, limits.files)
    places = [
        *(f"read={path.resolve()}" for path in reads),
        f"write={writes.resolve()}",
    ]
    start = [sys.executable, "-I", "-S", confine.__file__, ",".join(map(str, numbers))]
    return [*start, *places, "--", *command]
