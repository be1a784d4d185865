"""Unpacks a function's code and layers, and works out its module path, PATH and variables."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import sysconfig
import tempfile
import threading
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

from moto.awslambda.utils import get_backend

from local import archive
from local.environment import Installation

CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
"""The developer's. Clients insist on some; here they open every door."""

SITE_PACKAGES = tuple(dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))))

TAGGED_SUFFIXES = tuple(suffix for suffix in EXTENSION_SUFFIXES if suffix != ".so")
"""Of modules compiled for this Python; ".so" alone ends the others', too."""


class Installer:
    """Keeps what it unpacked until the process ends, by content.

    Functions with one layer share its folder, and so do clouds one after the other: what Python has
    compiled lies there as well.
    """

    _lock = threading.Lock()

    def install(self, function: Any) -> Installation:
        """`function` is moto's LambdaFunction."""
        code = self._unpacked(function.code_bytes)
        own, foreign = _split(layer / "python" for layer in self.layers(function))
        return Installation(function.handler, code, (str(code), *own), (*SITE_PACKAGES, *foreign))

    def layers(self, function: Any) -> list[Path]:
        backend: Any = get_backend(function.account_id, function.region)
        return [
            self._unpacked(backend.layers_versions_by_arn(layer["Arn"]).code_bytes)
            for layer in function.layers
        ]

    def path(self, function: Any) -> str:
        """PATH: Lambda looks into the layers' bin folders first."""
        bins = [str(layer / "bin") for layer in self.layers(function)]
        return os.pathsep.join([*bins, os.environ.get("PATH", os.defpath)])

    def _unpacked(self, body: bytes) -> Path:
        folder = _root() / hashlib.sha256(body).hexdigest()[:16]
        with self._lock:
            if not folder.exists():
                folder.mkdir()
                archive.unpack(body, folder)
        return folder


@cache
def _root() -> Path:
    """Of this process."""
    root = Path(tempfile.mkdtemp(prefix="dropscribe-code-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


def _split(folders: Any) -> tuple[list[str], list[str]]:
    """Layers that this Python can load whole, and layers with modules compiled for another one.

    `sam build` fills layers for Lambda's Python. Where this one differs, the third-party packages
    come from the virtual environment, at the same pins, and the layer stands behind it.
    """
    own: list[str] = []
    foreign: list[str] = []
    for folder in folders:
        (foreign if _compiled_for_another(folder) else own).append(str(folder))
    return own, foreign


def _compiled_for_another(folder: Path) -> bool:
    return any(
        ".cpython-" in path.name and not path.name.endswith(TAGGED_SUFFIXES)
        for path in folder.rglob("*.so")
    )


def variables(
    function: Any, path: str, endpoint: str, credentials: dict[str, str]
) -> dict[str, str]:
    """The template's variables and Lambda's own; nothing of the shell that started the cloud.

    `credentials`: of the function's role, as boto3 names them.
    """
    declared = {name: str(value) for name, value in function.environment_vars.items()}
    return declared | {
        "PATH": path,
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": function.region,
        "AWS_DEFAULT_REGION": function.region,
        **{name.upper(): value for name, value in credentials.items()},
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.run_time}",
        "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": function.logs_group_name,
        "_HANDLER": function.handler,
    }
