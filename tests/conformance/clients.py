"""The columns: official SDKs, each in a process and an environment of its own, and plain HTTP."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final

import httpx

from tests.conformance.cases import HTTP, NODE, PYTHON, Call, Case, File, Post
from tests.conformance.checks import Reply

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
ENVIRONMENTS: Final = ROOT / ".venv-conformance"
TIMEOUT_S: Final = 60.0


class Sdk:
    """One SDK's process: a line of JSON for each call, and one for each answer."""

    def __init__(self, name: str, process: subprocess.Popen[str], recordings: Path) -> None:
        self.name = name
        self._input, self._output = _pipes(process)
        self._recordings = recordings
        self._replies: dict[str, Reply] = {}

    def reply(self, case: Case, url: str) -> Reply:
        """Make a case's call; cases that make the same one share its answer."""
        assert isinstance(case.call, Call)
        order = asdict(case.call) | {"url": url, "timeout_s": TIMEOUT_S}
        order["strict"] = self.name not in case.lenient
        if order["file"]:
            order["file"]["path"] = str(self._recordings / order["file"].pop("recording"))
        line = json.dumps(order)
        if line not in self._replies:
            self._input.write(line + "\n")
            self._input.flush()
            self._replies[line] = Reply(self.name, **json.loads(self._output.readline()))
        return self._replies[line]


class Http:
    """Requests that no SDK sends."""

    name = HTTP[0]

    def __init__(self, recordings: Path) -> None:
        self._recordings = recordings
        self._client = httpx.Client(timeout=TIMEOUT_S)

    def reply(self, case: Case, url: str) -> Reply:
        post = case.call if isinstance(case.call, Post) else self._plain(case.call)
        form: dict[str, Any] = {"content": post.content}
        if post.content is None and post.parts:
            form = {"files": [(name, self._part(value)) for name, value in post.parts]}
        try:
            answer = self._client.request(post.verb, url + post.path, headers=post.headers, **form)
        except httpx.HTTPError as error:
            return Reply(self.name, error={"kind": type(error).__name__, "message": str(error)})
        reply = Reply(self.name, answer.status_code, answer.headers, answer.text)
        if "event-stream" in answer.headers.get("content-type", ""):
            return Reply(
                self.name, reply.status, reply.headers, reply.body, events=_events(answer.text)
            )
        return Reply(self.name, reply.status, reply.headers, reply.body, value=reply.json)

    def close(self) -> None:
        self._client.close()

    def _plain(self, call: Call) -> Post:
        """A call that needs no more than text fields."""
        fields = tuple((name, str(value)) for name, value in call.fields.items())
        return Post((*fields, *([("file", call.file)] if call.file else [])))

    def _part(self, value: str | File) -> tuple[str | None, str | bytes]:
        if isinstance(value, str):
            return None, value
        return value.name or value.recording, (self._recordings / value.recording).read_bytes()


Client = Sdk | Http


@contextmanager
def started(recordings: Path) -> Iterator[list[Client]]:
    """Every client, the SDKs' processes running."""
    processes = {name: _start(command) for name, command in commands().items()}
    try:
        sdks = [Sdk(name, process, recordings) for name, process in processes.items()]
        http = Http(recordings)
        yield [*sdks, http]
        http.close()
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()


def commands() -> dict[str, list[str]]:
    """Client → the command that runs its driver."""
    node = str(ROOT / ".venv-tools/bin/node")
    return {
        name: [str(_environment(name) / "bin/python"), str(HERE / "python_sdk.py")]
        for name in PYTHON
    } | {name: [node, str(HERE / "node_sdk.mjs"), str(_environment(name))] for name in NODE}


def _environment(client: str) -> Path:
    return ENVIRONMENTS / client.replace(" ", "-")


def _start(command: list[str]) -> subprocess.Popen[str]:
    # 1.109 warns of formats that came after it.
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdin
    assert process.stdout
    return process.stdin, process.stdout


def _events(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    return [{"value": json.loads(line)} for line in lines if line.startswith("{")]
