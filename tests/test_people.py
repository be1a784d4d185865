"""Who uses the command line needs what docs/permissions.md says: no less, and no more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from click.testing import CliRunner, Result

from dropscribe.cli import follow, main
from dropscribe.cli.embedded import pointed_at
from tests.api_server import KEY, ApiServer, error
from tests.conftest import DATA, ROOT
from tests.patience import until
from tests.route import Route
from tests.test_permissions import refuse_first_part

SPEECH = DATA / "austen-0880.wav"
ROW = re.compile(r"^\| `dropscribe (\w+)` \|(.*)$", re.MULTILINE)
"""Of the table in docs/permissions.md: the command, and the rest."""
ACTION = re.compile(r"`([a-z0-9]+:[A-Z]\w+)`")
PART_BYTES = 8 << 20
"""Larger files go up in parts."""


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with ApiServer() as api:
        yield api


@pytest.fixture(scope="module")
def route(server: ApiServer) -> Iterator[Route]:
    template = ROOT / "template.yaml"
    parameters = {"Engine": "openai", "VoiceModel": "none", "Formats": "text"}
    with Route(template, api_url=server.base_url, api_key=KEY, parameters=parameters) as deployed:
        yield deployed


@pytest.fixture
def api(server: ApiServer) -> ApiServer:
    server.behave()
    return server


def told() -> dict[str, set[str]]:
    page = (ROOT / "docs" / "permissions.md").read_text()
    return {row[1]: {*ACTION.findall(row[2])} for row in ROW.finditer(page)}


class Person:
    """Somebody with a role of their own, which allows what is told of some command."""

    def __init__(self, route: Route, command: str) -> None:
        self.route, self.may, self.name = route, told()[command], f"{command}-person"
        iam = route.cloud.client("iam")
        arn = iam.create_role(RoleName=self.name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        allowed = {"Effect": "Allow", "Action": sorted(self.may), "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_role_policy(RoleName=self.name, PolicyName="may", PolicyDocument=document)
        mine = {k.upper(): v for k, v in route.cloud.access.credentials(arn).items()}
        self._environment = route.cloud.environment | mine

    def __call__(self, *arguments: str | Path, code: int = 0) -> Result:
        with pointed_at(self._environment):
            done = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert done.exit_code == code, (done.output, done.exception)
        return done

    def check(self) -> None:
        """That nothing was refused, and nothing allowed in vain."""
        access = self.route.cloud.access
        assert [need.action for role, need in access.denied if role == self.name] == []
        assert {grant.action for grant in access.used if grant.role == self.name} == self.may


def test_every_command_that_talks_to_a_stack_is_told_of() -> None:
    assert told().keys() == {"submit", "status", "redrive", "forget", "render"}


def test_who_submits(
    route: Route, api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person(route, "submit")
    letter, long = tmp_path / "letter.mp3", tmp_path / "long.wav"
    letter.write_text("Dear Sir or Madam")
    long.write_bytes(SPEECH.read_bytes() + bytes(PART_BYTES))
    options = ("--set", f"prompt={'long ' * 500}")  # in a file beside the recording
    person("submit", SPEECH, *options, "--out", tmp_path)
    person("submit", SPEECH, "--out", tmp_path)  # deletes that file
    person("submit", letter, long, "--out", tmp_path, code=1)
    refuse_first_part(monkeypatch)
    person("submit", long, "--out", tmp_path, code=1)
    monkeypatch.setattr(follow, "LONGEST_START_S", 0)
    with route.no_upload_events():
        person("submit", letter, "--out", tmp_path, code=1)
    person.check()


def test_who_asks_for_the_state(route: Route, api: ApiServer) -> None:
    route.run("state.wav", SPEECH)
    route.run("state.mp3", b"no recording")
    person = Person(route, "status")
    person("status", "state.wav")
    person("status", "state.mp3")
    person("status", "never.mp3", code=1)
    person.check()


def test_who_renders(route: Route, api: ApiServer, tmp_path: Path) -> None:
    route.run("render.wav", SPEECH)
    person = Person(route, "render")
    person("render", "render.wav", "--formats", "srt", "--out", tmp_path)
    person("render", "never.wav", "--formats", "srt", "--out", tmp_path, code=1)
    person.check()


def test_who_redrives(route: Route, api: ApiServer, tmp_path: Path) -> None:
    api.down = error(401, "no such key")
    route.told(route.upload("redrive.wav", SPEECH, prompt="refused"))
    route.told(route.upload("again.wav", SPEECH, prompt="refused too"))
    api.behave()
    person = Person(route, "redrive")
    person("redrive", "redrive.wav", "--out", tmp_path)
    person("redrive", "--all-failed", "--since", "1h", "--out", tmp_path)
    with route.no_upload_events():
        route.upload("never-begun.wav", SPEECH)
    person("redrive", "never-begun.wav", "--out", tmp_path)
    person.check()


def test_who_forgets(route: Route, api: ApiServer) -> None:
    """A job at work, one that no event has started yet, and an upload in parts."""
    person = Person(route, "forget")
    held = Event()
    api.planned.append(replace(error(503, "busy", retry_after="0"), held=held))
    route.upload("forget/running.wav", SPEECH, prompt="held")
    until(lambda: api.requests)
    held.set()
    person("forget", "forget/running.wav", "--yes")
    with route.no_upload_events():
        route.upload("forget/waiting.wav", SPEECH)
    route.s3.create_multipart_upload(Bucket=route.uploads, Key="forget/waiting.wav")
    person("forget", "forget/waiting.wav", "--yes")
    person.check()
