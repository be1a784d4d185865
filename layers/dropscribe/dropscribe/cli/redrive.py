"""`dropscribe redrive`."""

from __future__ import annotations

from pathlib import Path

import click

from dropscribe import aws
from dropscribe.cli.stack import find, load
from dropscribe.cli.submit import Session


def redrive(job: str, out: Path, stack: str | None, as_json: bool) -> int:
    """The exit code."""
    target = load(stack)
    found = find(target, job)
    _check(found.id, aws.execution(found.arn))
    aws.redrive(found.arn)
    session = Session(target, out, jobs=[found])
    return session.run(lambda view: view.at(found.name, "starting again", 0), as_json=as_json)


def _check(job: str, execution: aws.Execution | None) -> None:
    """Raises `ClickException` where there is nothing to run again."""
    if execution is None:
        raise click.ClickException(
            f"The job {job} has not started yet, or it ended more than 90 days ago."
        )
    if execution.running:
        raise click.ClickException(f"The job {job} is running: `dropscribe status {job}`.")
    if execution.status == "SUCCEEDED":
        raise click.ClickException(f"The job {job} has completed: there is nothing to run again.")
    if execution.not_redrivable is not None:
        reason = execution.not_redrivable or "AWS gives no reason"
        raise click.ClickException(
            f"The job {job} cannot be run again ({reason}). AWS allows it for 14 days: "
            "upload the recording again."
        )
