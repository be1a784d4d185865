# ruff: noqa: ANN001, ANN201, T201 - what a user may write, not what we do
"""Does what the event's `do` says: each word is one thing that a function can do."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tools


class Rejected(Exception):
    """Never retried."""


class Unavailable(Exception):
    """Retried."""


def handler(event, context):
    do, _, argument = event.get("do", "nothing").partition(":")
    print("doing", do, argument)
    return globals()[f"do_{do}"](event, argument) or completed(event)


def completed(event):
    attributes = {"status": {"DataType": "String", "StringValue": "completed"}}
    return {
        "job_id": event.get("job_id"),
        "items": event.get("items", []),
        "max_concurrency": 2,
        "subject": "Done",
        "message": {"job_id": event.get("job_id"), "words": "naïve “🎧”"},
        "attributes": attributes,
    }


def do_nothing(event, argument):
    return None


def do_describe(event, argument):
    return {
        "environment": dict(os.environ),
        "path": sys.path,
        "tools": tools.__file__,
        "tool": shutil.which("tool"),
        "linked": subprocess.run(["tool"], check=False, capture_output=True, text=True).stdout,
        "temporary": tempfile.gettempdir(),
        "pid": os.getpid(),
        "cwd": str(Path.cwd()),
    }


def do_reject(event, argument):
    raise Rejected("no")


def do_fail(event, argument):
    raise Unavailable(argument or "later")


def do_until(event, argument):
    """Fails until the file is there."""
    if not Path(argument).exists():
        raise Unavailable("not yet")


def do_count(event, argument):
    """Fails at its first call, leaving a line a call in the file."""
    with Path(argument).open("a") as calls:
        calls.write("call\n")
    if len(Path(argument).read_text().splitlines()) < 2:
        raise Unavailable("first")


def do_sleep(event, argument):
    child = subprocess.Popen(["sleep", argument])
    print("child", child.pid)
    child.wait()


def do_exit(event, argument):
    os._exit(int(argument))
