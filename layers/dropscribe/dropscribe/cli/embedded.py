"""The embedded cloud of a clone of the project, for `--local` and `up`."""

from __future__ import annotations

import importlib
import os
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from dropscribe import aws
from dropscribe.cli.settings import split_pair
from dropscribe.cli.stack import DEFAULT

if TYPE_CHECKING:
    from local.cloud import Cloud

_SECRET: Final = "openai-api-key"  # noqa: S105 - its name


@contextmanager
def embedded_cloud(parameters: Mapping[str, str], port: int = 0) -> Iterator[Cloud]:
    """Start it, deploy template.yaml, and point this process at it."""
    root = find_clone()
    started = time.monotonic()
    click.echo("Starting the embedded cloud … ", err=True, nl=False)
    module = _import(root)
    template = root / "template.yaml"
    _check(parameters, template)
    _check_port(port)
    with module.Cloud(port=port) as cloud, pointed_at(cloud.environment):
        cloud.deploy(template, DEFAULT, _with_secret(cloud, parameters))
        click.echo(f"ready after {time.monotonic() - started:.1f} s", err=True)
        yield cloud


def parse_parameters(pairs: Iterable[str]) -> dict[str, str]:
    return dict(split_pair(text, "--parameter", "Name=Value") for text in pairs)


def with_defaults(parameters: Mapping[str, str], engine: str | None = None) -> dict[str, str]:
    """As every user of the official SDK expects: OPENAI_API_KEY and OPENAI_BASE_URL are honoured.

    `engine`: what the jobs ask for. With nothing to go by, the engine that needs no key.
    """
    base_url = os.environ.get("OPENAI_BASE_URL")
    hosted = bool(base_url or os.environ.get("OPENAI_API_KEY") or engine == "openai")
    defaults = {"Engine": "openai" if hosted else "offline"}
    if base_url:
        defaults["ApiBaseUrl"] = base_url.rstrip("/")
    return defaults | dict(parameters)


def find_clone() -> Path:
    """The project's root. Raises `ClickException`: an installed package has nothing to deploy."""
    here, cwd = Path(__file__).resolve(), Path.cwd()
    for folder in (*here.parents, cwd, *cwd.parents):
        if (folder / "template.yaml").is_file() and (folder / "local" / "cloud.py").is_file():
            return folder
    raise click.ClickException(
        "The embedded cloud needs a clone of the project: run this in its folder, "
        "or name a deployed stack with --stack."
    )


@contextmanager
def pointed_at(environment: Mapping[str, str]) -> Iterator[None]:
    """AWS's own variables out of the way: a profile or an address of them would win over ours."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("AWS_")]:
        del os.environ[name]
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    direct = {"NO_PROXY": "localhost,127.0.0.1", "no_proxy": "localhost,127.0.0.1"}
    os.environ.update({**environment, **nothing, **direct})
    aws.forget_clients()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        aws.forget_clients()


def _import(root: Path) -> Any:
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        return importlib.import_module("local.cloud")
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"The embedded cloud lacks the package {error.name!r}: run `make demo` in {root}, "
            "or install the project there with its extras: `pip install -e '.[offline,cli,local]'`."
        ) from error


def _with_secret(cloud: Cloud, parameters: Mapping[str, str]) -> dict[str, str]:
    """The API key goes where it is in AWS: into a secret, of which the functions know the ARN."""
    key = os.environ.get("OPENAI_API_KEY")
    if not key or parameters.get("ApiKeySecretArn"):
        return dict(parameters)
    return {**parameters, "ApiKeySecretArn": cloud.put_secret(_SECRET, key)}


def _check(parameters: Mapping[str, str], template: Path) -> None:
    """As CloudFormation does: unknown names and values that are not allowed are errors."""
    from samtranslator.yaml_helper import yaml_parse

    known: dict[str, dict[str, Any]] = yaml_parse(template.read_text())["Parameters"]
    for name, value in parameters.items():
        if name not in known:
            raise click.UsageError(f"--parameter {name}: there are only {', '.join(known)}")
        allowed = [str(item) for item in known[name].get("AllowedValues", [])]
        if allowed and value not in allowed:
            raise click.UsageError(f"--parameter {name}={value}: allowed are {', '.join(allowed)}")


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise click.ClickException(
                f"Port {port} cannot be used ({error.strerror}): choose another with --port."
            ) from error
