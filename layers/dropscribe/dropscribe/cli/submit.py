"""`dropscribe submit`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from dropscribe import aws
from dropscribe.aws import Bucket
from dropscribe.cli import embedded, recordings, report
from dropscribe.cli.advice import advice
from dropscribe.cli.display import Display, display
from dropscribe.cli.follow import follow
from dropscribe.cli.outcome import Outcome, collect
from dropscribe.cli.settings import Carried, parse
from dropscribe.cli.stack import DEFAULT, Job, Stack, load
from dropscribe.options import SIDECAR_SUFFIX

if TYPE_CHECKING:
    from local.cloud import Cloud

    Beside = Callable[[Cloud], AbstractContextManager[None]]

INTERRUPTED: Final = 130
_OURS: Final = {"written-by": "dropscribe-submit"}
"""Marks sidecars that a command wrote, so that the next one may replace them."""


@dataclass(frozen=True)
class Where:
    """The stack of a command: deployed, or embedded for this one command."""

    stack: str | None
    local: bool
    parameters: tuple[str, ...]
    """`Name=Value`, of the embedded one."""
    beside: Beside | None = None
    """Runs along with the embedded one."""

    def check(self) -> None:
        """Raises a usage error."""
        if self.local and self.stack:
            raise click.UsageError("--local and --stack exclude each other")
        if self.parameters and not self.local:
            raise click.UsageError("--parameter needs --local: a deployed stack has its parameters")

    @contextmanager
    def ready(self, engine: str | None) -> Iterator[Stack]:
        """`engine`: what the jobs ask for."""
        if not self.local:
            yield load(self.stack)
            return
        given = embedded.parse_parameters(self.parameters)
        parameters = embedded.with_defaults(given, engine)
        with embedded.embedded_cloud(parameters) as cloud, self._beside(cloud):
            yield load(DEFAULT)

    def _beside(self, cloud: Cloud) -> AbstractContextManager[None]:
        return self.beside(cloud) if self.beside else nullcontext()


def submit(
    paths: tuple[Path, ...], settings: tuple[str, ...], out: Path, where: Where, *, as_json: bool
) -> int:
    """The exit code."""
    where.check()
    chosen = parse(settings)
    files = [(path, chosen.carried(path)) for path in recordings.check(paths)]
    with where.ready(chosen.texts.get("engine")) as stack:
        session = Session(stack, out, outlives=not where.local)
        return session.run(lambda view: session.upload(files, view), as_json=as_json)


@dataclass
class Session:
    """The jobs of one command, known as soon as they exist: an interrupt must not lose them."""

    stack: Stack
    out: Path
    outlives: bool = True
    """The stack is there after this command has ended."""
    jobs: list[Job] = field(default_factory=list)

    def run(self, begin: Callable[[Display], None], *, as_json: bool) -> int:
        """Begin the jobs, follow them to their ends, report. The exit code."""
        outcomes: list[Outcome] = []
        try:
            with display() as view:
                begin(view)
                for watch in follow(self.stack, self.jobs, view):
                    outcomes.append(collect(self.stack, watch, self.out))
                    view.ended(watch.job.name, outcomes[-1].status)
        except KeyboardInterrupt:
            click.echo(f"\nInterrupted. {self._afterwards()}", err=True)
            return INTERRUPTED
        except aws.ERRORS as error:
            raise click.ClickException(f"{advice(error)}\n{self._afterwards()}") from error
        outcomes.sort(key=lambda outcome: self.jobs.index(outcome.job))
        if as_json:
            report.as_json(outcomes)
        else:
            report.as_text(outcomes, redrivable=self.outlives)
        return int(any(outcome.error for outcome in outcomes))

    def upload(self, files: list[tuple[Path, Carried]], view: Display) -> None:
        for path, options in files:
            _put_sidecar(self.stack.uploads, path.name + SIDECAR_SUFFIX, options.sidecar)
            self.jobs.append(_upload(self.stack, path, options.metadata, view))

    def _afterwards(self) -> str:
        if not self.jobs:
            return "No job was started."
        if not self.outlives:
            return "The embedded cloud has ended, and its jobs with it."
        name = "" if self.stack.name == DEFAULT else f" --stack {self.stack.name}"
        looks = [f"  dropscribe status {job.id}{name}" for job in self.jobs]
        return "\n".join(["What was uploaded is being transcribed all the same:", *looks])


def _upload(stack: Stack, path: Path, metadata: dict[str, str], view: Display) -> Job:
    size, sent = path.stat().st_size, 0

    def count(piece: int) -> None:
        nonlocal sent
        sent += piece
        view.sending(path.name, sent, size)

    view.sending(path.name, 0, size)
    version = stack.uploads.upload_version(path.name, path, metadata, count)
    if version is None:
        raise click.ClickException(
            f"The bucket {stack.uploads.name} keeps no versions: turn them on."
        )
    view.at(path.name, "waiting to start", 0)
    return stack.job(path.name, version)


def _put_sidecar(uploads: Bucket, key: str, content: bytes | None) -> None:
    """Before the recording, whose upload starts the job. No sidecar of an earlier command stays."""
    current = uploads.head(key)
    ours = current is not None and _OURS.items() <= current.metadata.items()
    if content is None:
        if current and ours:
            uploads.delete_if(key, current)
    elif current and not ours:
        raise click.ClickException(
            f"{uploads.uri(key)} exists, and no command of this kind wrote it: put the options "
            "into that file and submit without them, or delete it."
        )
    else:
        uploads.write_if(key, content, replacing=current, metadata=_OURS)
