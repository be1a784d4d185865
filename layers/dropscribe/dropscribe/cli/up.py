"""`dropscribe up`."""

from __future__ import annotations

import shlex
import signal
import threading
from typing import TYPE_CHECKING, Any

import click

from dropscribe.cli import embedded

if TYPE_CHECKING:
    from local.cloud import Cloud


def up(port: int, parameters: tuple[str, ...]) -> None:
    """Until SIGINT or SIGTERM; both are how it is meant to end."""
    stopped = threading.Event()

    def stop(*_: Any) -> None:
        stopped.set()

    given = embedded.with_defaults(embedded.parse_parameters(parameters))
    with embedded.embedded_cloud(given, port) as cloud:
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        click.echo(_directions(cloud, given["Engine"]))
        stopped.wait()
        click.echo("Stopping …", err=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def _directions(cloud: Cloud, engine: str) -> str:
    outputs = cloud.outputs
    exports = [f"export {name}={shlex.quote(value)}" for name, value in cloud.environment.items()]
    return "\n".join(
        [
            "",
            f"endpoint     {cloud.endpoint}",
            f"engine       {engine}",
            f"uploads      s3://{outputs['UploadsBucketName']}",
            f"transcripts  s3://{outputs['TranscriptsBucketName']}",
            f"pipeline     {outputs['PipelineArn']}",
            f"topic        {outputs['NotificationsTopicArn']}",
            "",
            "# In another terminal:",
            *exports,
            "",
            "dropscribe submit tests/data/jfk.flac",
            f"aws s3 cp talk.mp3 s3://{outputs['UploadsBucketName']}",
            f"aws s3 ls s3://{outputs['TranscriptsBucketName']}",
            f"aws stepfunctions list-executions --state-machine-arn {outputs['PipelineArn']}",
            "",
            "Ctrl-C stops it; everything in it is then gone.",
        ]
    )
