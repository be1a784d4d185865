"""The embedded cloud of a clone of the project, for `submit --local` and `up`."""

from __future__ import annotations

import importlib
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from dropscribe import aws
from dropscribe.cli.settings import split_pair
from dropscribe.cli.stack import DEFAULT

if TYPE_CHECKING:
    from local.api import LocalApi
    from local.cloud import Cloud

    Beside = Callable[[Cloud], AbstractContextManager[None]]

_SECRET: Final = "openai-api-key"  # noqa: S105 - its name
_WHISPER_IMAGE: Final = (
    "123456789012.dkr.ecr.us-east-1.amazonaws.com/functions/transcribe_gpu:local"
)
"""In the registry of the embedded cloud, where a repository is the folder of a Dockerfile."""


@contextmanager
def embedded_cloud(
    pairs: Iterable[str],
    port: int = 0,
    engine: str | None = None,
    beside: Beside | None = None,
    api: str | None = None,
) -> Iterator[Cloud]:
    """Start it, deploy template.yaml, and point this process at it; `beside` runs along.

    `pairs`: `Name=Value`, parameters of the template; `engine`: what the jobs ask for; `api`:
    `local` for a transcription API on this machine.
    """
    given = dict(split_pair(text, "--parameter", "Name=Value") for text in pairs)
    root, started = _find_clone(), time.monotonic()
    click.echo("Starting the embedded cloud …", err=True)
    module = _import(root)
    try:
        with (
            importlib.import_module("local.api").local_api() if api else nullcontext() as served,
            module.Cloud(port=port) as cloud,
            pointed_at(cloud.environment),
        ):
            parameters = _parameters(cloud, given, engine, served)
            cloud.deploy(root / "template.yaml", DEFAULT, parameters)
            click.echo(f"ready after {time.monotonic() - started:.1f} s", err=True)
            with beside(cloud) if beside else nullcontext():
                yield cloud
    except module.BadParameter as error:
        raise click.UsageError(f"--parameter {error}") from error
    except module.PortTaken as error:
        raise click.ClickException(f"{error}: choose another with --port.") from error


def up(port: int, pairs: Iterable[str], engine: str | None, api: str | None) -> None:
    """Until SIGINT or SIGTERM; both are how it is meant to end."""
    stopped = threading.Event()
    # While it starts: what has been started is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with embedded_cloud(pairs, port, engine, api=api) as cloud:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        click.echo(_directions(cloud))
        stopped.wait()
        click.echo("Stopping …", err=True)


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


def _find_clone() -> Path:
    """The project's root. Raises `ClickException`: an installed package has nothing to deploy."""
    cwd = Path.cwd()
    for folder in (*Path(__file__).resolve().parents, cwd, *cwd.parents):
        if (folder / "template.yaml").is_file() and (folder / "local" / "cloud.py").is_file():
            return folder
    raise click.ClickException(
        "The embedded cloud needs a clone of the project: run this in its folder, "
        "or name a deployed stack with --stack."
    )


def _import(root: Path) -> Any:
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        return importlib.import_module("local.cloud")
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"The embedded cloud lacks the package {error.name!r}: run `make demo` in {root}, "
            "or install the project there with its extras: "
            "`pip install -e '.[offline,cli,server,local]'`."
        ) from error


def _parameters(
    cloud: Cloud, given: dict[str, str], engine: str | None, api: LocalApi | None
) -> dict[str, str]:
    """As every user of the official SDK expects: OPENAI_API_KEY and OPENAI_BASE_URL are honoured.

    An `api` on this machine goes before them. The key goes where it is in AWS: into a secret, of
    which the functions know the ARN. With nothing to go by, the engine is the one without a key.
    Engine `whisper` is always there: it needs a model only when a job asks for it, and aligns the
    words of others only with one that is named here.
    """
    key, base_url = os.environ.get("OPENAI_API_KEY"), os.environ.get("OPENAI_BASE_URL")
    if api:
        key, base_url = api.key, api.base_url
    defaults = {
        "Engine": engine or ("openai" if key or base_url else "offline"),
        "WhisperImageUri": _WHISPER_IMAGE,
        "WhisperProcessor": "cpu",
        "WhisperModel": "none",
    }
    if base_url:
        defaults["ApiBaseUrl"] = base_url.rstrip("/")
    if key and "ApiKeySecretArn" not in given:
        defaults["ApiKeySecretArn"] = cloud.put_secret(_SECRET, key)
    return defaults | given


def _directions(cloud: Cloud) -> str:
    uploads, transcripts = (
        cloud.outputs["UploadsBucketName"],
        cloud.outputs["TranscriptsBucketName"],
    )
    pipeline, topic = cloud.outputs["PipelineArn"], cloud.outputs["NotificationsTopicArn"]
    exports = [f"export {name}={shlex.quote(value)}" for name, value in cloud.environment.items()]
    return "\n".join(
        [
            "",
            f"endpoint     {cloud.endpoint}",
            f"uploads      s3://{uploads}",
            f"transcripts  s3://{transcripts}",
            f"pipeline     {pipeline}",
            f"topic        {topic}",
            "",
            "# In another terminal:",
            *exports,
            "",
            "dropscribe submit tests/data/jfk.flac",
            f"aws s3 cp talk.mp3 s3://{uploads}",
            f"aws s3 ls s3://{transcripts}",
            f"aws stepfunctions list-executions --state-machine-arn {pipeline}",
            "",
            "Ctrl-C stops it; everything in it is then gone.",
        ]
    )
