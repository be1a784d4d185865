"""A container image without a container engine: what its Dockerfile copies beside the handler.

Packages are not installed: the virtual environment holds the same pins. Nor is the model put in:
jobs name a folder of this machine.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moto.core.models import DEFAULT_ACCOUNT_ID

from local import archive

REGISTRY: Final = f"{DEFAULT_ACCOUNT_ID}.dkr.ecr.us-east-1.amazonaws.com"
"""Amazon ECR of the embedded cloud. A repository is the folder of a Dockerfile."""
TASK_ROOT: Final = "${LAMBDA_TASK_ROOT}"
HANDLER_FILE: Final = ".handler"
"""In the packed image: what its CMD names."""


@dataclass(frozen=True)
class Step:
    """One instruction of a Dockerfile."""

    stage: str
    """Name of the stage that it belongs to; empty in the last one."""
    word: str
    """`COPY`, in capitals."""
    text: str
    """What follows, on one line."""


def steps(dockerfile: str) -> list[Step]:
    """Its instructions in order, without comments; those before the first FROM have no stage."""
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found, stage = [], ""
    for line in filter(str.strip, joined.splitlines()):
        word, _, text = line.strip().partition(" ")
        if word.upper() == "FROM":
            _, _, stage = text.partition(" AS ")
        found.append(Step(stage, word.upper(), text.strip()))
    return found


def command(dockerfile: str) -> str:
    """The handler: what CMD gives to the runtime client. Raises `ValueError`: there is no CMD."""
    for step in reversed(steps(dockerfile)):
        if step.word == "CMD":
            (handler,) = json.loads(step.text)
            return str(handler)
    raise ValueError("the Dockerfile has no CMD")


def pack(root: Path, folder: str) -> bytes:
    """The image of `folder`'s Dockerfile, built from `root`, as code of a function."""
    dockerfile = (root / folder / "Dockerfile").read_text()
    with tempfile.TemporaryDirectory(prefix="dropscribe-image-") as name:
        target = Path(name)
        for source, destination in copied(dockerfile):
            _copy(root / source, target / destination)
        (target / HANDLER_FILE).write_text(command(dockerfile))
        return archive.pack(target)


def copied(dockerfile: str) -> list[tuple[str, str]]:
    """What goes from the build context to the function's folder, each with its place there."""
    return [
        (source, destination.removeprefix(TASK_ROOT).lstrip("/") or Path(source).name)
        for step in steps(dockerfile)
        if step.word == "COPY" and not step.text.startswith("--from")
        for source, destination in [step.text.split()]
        if destination.startswith(TASK_ROOT)
    ]


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
