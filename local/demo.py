"""`make demo`: a real recording through the whole route, by the command that a user types."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from dropscribe.cli import main
from local.cloud import Cloud

ROOT: Final = Path(__file__).resolve().parents[1]
OUT: Final = Path("demo-output")
RECORDING: Final = "tests/data/two-lines.flac"
"""Two readers, one on each channel. The options file beside it says so; that gives it speakers, and
with them the sixth format."""
COMMAND: Final = ("submit", "--local", "--set", "engine=offline")
LONGEST_DELIVERY_S: Final = 5

AFTERWORD: Final = """\
The recognizer was "offline" (PocketSphinx): no key, no download, and about a
third of the words wrong. It is there to try out the route; another recording:

  .venv/bin/dropscribe submit --local --set engine=offline tests/data/jfk.flac

The same with a real recognizer:

  OPENAI_API_KEY=sk-… .venv/bin/dropscribe submit --local \\
      --set engine=openai tests/data/two-lines.flac

and with a Whisper model, on any server that speaks the same API:

  OPENAI_BASE_URL=http://localhost:8000/v1 .venv/bin/dropscribe submit --local \\
      --set engine=openai --set model=… tests/data/two-lines.flac
"""


class Inbox:
    """A queue that subscribes to the topic of notifications, as anybody can."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []

    @contextmanager
    def subscribed(self, cloud: Cloud) -> Iterator[None]:
        sqs, sns = cloud.client("sqs"), cloud.client("sns")
        queue = sqs.create_queue(QueueName="demo-inbox")["QueueUrl"]
        wanted = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        arn, topic = wanted["Attributes"]["QueueArn"], cloud.outputs["NotificationsTopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        yield
        self._receive(sqs, queue)

    def _receive(self, sqs: Any, queue: str) -> None:
        deadline = time.monotonic() + LONGEST_DELIVERY_S
        while not self.received and time.monotonic() < deadline:
            answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for message in answer.get("Messages", []):
                self.received.append(json.loads(json.loads(message["Body"])["Message"]))
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def demo() -> int:
    """The exit code of the command that is shown."""
    inbox, console = Inbox(), Console(highlight=False)
    shutil.rmtree(OUT, ignore_errors=True)
    command = [*COMMAND, "--out", str(OUT), RECORDING]
    console.print(Text(f"$ .venv/bin/dropscribe {shlex.join(command)}\n", "bold"), soft_wrap=True)
    started = time.monotonic()
    code = int(main(command, standalone_mode=False, obj=inbox.subscribed) or 0)
    seconds = time.monotonic() - started
    if code == 0:
        _show(console, inbox)
    console.print(f"\nThe command took {seconds:.1f} s.\n")
    console.print(Text(AFTERWORD), soft_wrap=True, end="")
    return code


def _show(console: Console, inbox: Inbox) -> None:
    _heading(console, "What was heard")
    name = Path(RECORDING).name
    console.print(Text((OUT / f"{name}.txt").read_text().strip()))
    _heading(console, "What was written")
    for path in sorted(OUT.iterdir()):
        console.print(Text(f"{path.stat().st_size:>8,} bytes  {path}"), soft_wrap=True)
    for message in inbox.received:
        _heading(console, "What subscribers were told")
        console.print(Text(json.dumps(message, indent=2)), soft_wrap=True)


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, "bold"))


if __name__ == "__main__":
    sys.exit(demo())
