"""A small project with one of everything, deployed once a test file, from a path with a space."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.cloud import Cloud
from tests.patience import PATIENCE_S, until

ROOT = Path(__file__).parents[2]
TOOLS = Path(os.environ.get("DROPSCRIBE_TOOLS", ROOT / ".venv-tools" / "bin"))
"""Where `aws` and `sam` are."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a project")
    return Path(shutil.copytree(Path(__file__).with_name("project"), folder / "my project"))


@pytest.fixture(scope="module")
def cloud(project: Path) -> Iterator[Cloud]:
    with Cloud(
        template=project / "template.yaml", stack="small", longest_wait_s=0.05, concurrency=2
    ) as running:
        yield running


@pytest.fixture(scope="session")
def tool() -> Callable[..., str]:
    """Runs `aws` or `sam` as a user would: the program itself, with the cloud's exports."""

    def run(cloud: Cloud, name: str, *arguments: str, cwd: Path | None = None) -> str:
        program = TOOLS / name
        assert program.exists(), f"{program} is missing: `make test` installs it"
        environment = (
            os.environ
            | cloud.environment
            | {"AWS_PAGER": "", "SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "0.2"}
        )
        done = subprocess.run(
            [program, *arguments],
            cwd=cwd,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Waits for the first true answer of a check."""
    return until
