"""The command line, run as typed: usage errors in this process, jobs on one embedded cloud."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dropscribe.cli import main
from dropscribe.cli.embedded import pointed_at
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]

Command = Callable[..., Result]


@pytest.fixture
def dropscribe() -> Command:
    """The command line: exit code, stdout and stderr apart."""

    def run(*arguments: object, obj: object = None) -> Result:
        words = [str(argument) for argument in arguments]
        return CliRunner().invoke(
            main, words, prog_name="dropscribe", catch_exceptions=False, obj=obj
        )

    return run


def started(*arguments: str, **more: str) -> subprocess.Popen[str]:
    """The command in a process of its own, with `more` in its environment; its output in one."""
    command = [sys.executable, "-c", "from dropscribe.cli import main; main()", *arguments]
    path = os.pathsep.join([str(ROOT / "layers" / "dropscribe"), str(ROOT)])
    variables = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI_")}
    environment = {**variables, "PYTHONPATH": path, **more}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """`dropscribe up` in a process of its own, and this process pointed at it as it says."""
    with started("up", "--port", "0") as up:
        assert up.stdout
        exports = dict(_exports(up.stdout))
        with pointed_at(exports):
            yield exports["AWS_ENDPOINT_URL"]
        up.terminate()
        assert up.wait(PATIENCE_S) == 0


def _exports(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """What a user copies into another terminal."""
    for line in lines:
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").strip().partition("=")
            yield name, value
        elif line.startswith("Ctrl-C"):
            return


@pytest.fixture
def no_aws(tmp_path: Path) -> Iterator[None]:
    """A machine that knows of no AWS account."""
    with pointed_at({"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}):
        yield
