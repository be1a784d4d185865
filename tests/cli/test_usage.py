"""Mistakes are told before anything is uploaded, with the exit code of a usage error."""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager
from pathlib import Path

import click
import pytest

from local.cloud import Cloud
from tests.cli.conftest import Command

pytestmark = pytest.mark.usefixtures("no_aws")


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.mp3"
    path.write_bytes(b"sound")
    return path


def said(result: object) -> str:
    """The error itself, without click's two lines on usage."""
    return str(getattr(result, "stderr", "")).rpartition("Error: ")[2].strip()


class TestRecordings:
    def test_a_missing_file_is_named(self, dropscribe: Command, tmp_path: Path) -> None:
        result = dropscribe("submit", tmp_path / "none.mp3")
        assert (result.exit_code, said(result)) == (2, f"{tmp_path}/none.mp3 does not exist")

    def test_a_folder_is_no_recording(self, dropscribe: Command, tmp_path: Path) -> None:
        result = dropscribe("submit", tmp_path)
        expected = f"{tmp_path} is a folder: name the recordings in it"
        assert (result.exit_code, said(result)) == (2, expected)

    def test_two_files_of_one_name_would_be_one_upload(
        self, dropscribe: Command, talk: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "other" / talk.name
        other.parent.mkdir()
        other.touch()
        result = dropscribe("submit", talk, other)
        assert result.exit_code == 2
        assert said(result) == (
            f"{talk} and {other} have the same name, and so would be one upload: "
            "rename one of them or submit it in a second command"
        )

    def test_an_option_file_is_no_recording(self, dropscribe: Command, tmp_path: Path) -> None:
        path = tmp_path / "talk.mp3.dropscribe.json"
        path.touch()
        result = dropscribe("submit", path)
        expected = f"{path} holds options, not a recording: give options with --set"
        assert (result.exit_code, said(result)) == (2, expected)

    def test_a_name_with_a_line_break_is_refused(self, dropscribe: Command, tmp_path: Path) -> None:
        path = tmp_path / "two\nlines.mp3"
        path.touch()
        result = dropscribe("submit", path)
        assert result.exit_code == 2
        assert said(result).endswith("holds a control character: rename it")


class TestOptions:
    def test_a_misspelled_option_is_named_with_what_it_may_mean(
        self, dropscribe: Command, talk: Path
    ) -> None:
        result = dropscribe("submit", talk, "--set", "langauge=de")
        assert result.exit_code == 2
        assert "unknown option `langauge` in --set. Did you mean `language`?" in said(result)

    def test_a_value_that_is_not_allowed_is_told_with_those_that_are(
        self, dropscribe: Command, talk: Path
    ) -> None:
        result = dropscribe("submit", talk, "--set", "formats=srt,doc")
        assert result.exit_code == 2
        assert said(result) == (
            "option `formats.1` in --set: Input should be 'json', 'text', 'srt', 'vtt', "
            "'verbose_json' or 'diarized_json', got 'doc'"
        )

    def test_metadata_of_upload_tools_is_no_option(self, dropscribe: Command, talk: Path) -> None:
        result = dropscribe("submit", talk, "--set", "mtime=1")
        assert result.exit_code == 2
        assert "unknown option `mtime`" in said(result)

    def test_an_option_needs_a_value(self, dropscribe: Command, talk: Path) -> None:
        result = dropscribe("submit", talk, "--set", "language")
        expected = "--set 'language' is not key=value, such as language=en"
        assert (result.exit_code, said(result)) == (2, expected)

    def test_a_sidecar_that_contradicts_is_refused(self, dropscribe: Command, talk: Path) -> None:
        talk.with_name("talk.mp3.dropscribe.json").write_text('{"languages": ["de"]}')
        result = dropscribe("submit", talk, "--set", "language=en")
        assert result.exit_code == 2
        assert "`language` and `languages` exclude each other" in said(result)


class TestStacks:
    def test_local_and_stack_exclude_each_other(self, dropscribe: Command, talk: Path) -> None:
        result = dropscribe("submit", talk, "--local", "--stack", "mine")
        assert (result.exit_code, said(result)) == (2, "--local and --stack exclude each other")

    def test_parameters_are_for_the_embedded_cloud(self, dropscribe: Command, talk: Path) -> None:
        result = dropscribe("submit", talk, "--parameter", "Engine=offline")
        expected = "--parameter needs --local: a deployed stack has its parameters"
        assert (result.exit_code, said(result)) == (2, expected)

    @pytest.mark.parametrize(
        ("parameter", "expected"),
        [
            ("Motor=offline", "--parameter Motor: there are only Engine, Model, "),
            ("Engine=siri", "--parameter Engine=siri: allowed are openai, offline, whisper"),
            ("MaxConcurrency=41", "--parameter MaxConcurrency=41: is a number from 1 to 40"),
            (
                "MaxAudioMinutes=long",
                "--parameter MaxAudioMinutes=long: is a number from 1 to 1440",
            ),
            ("NotificationEmail=me", "--parameter NotificationEmail=me: is one e-mail address"),
        ],
    )
    def test_a_parameter_is_one_of_the_template(
        self, dropscribe: Command, talk: Path, parameter: str, expected: str
    ) -> None:
        result = dropscribe("submit", talk, "--local", "--parameter", parameter)
        assert result.exit_code == 2
        assert said(result).startswith(expected)

    def test_a_taken_port_is_named(self, dropscribe: Command) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            result = dropscribe("up", "--port", port)
        assert result.exit_code == 1
        assert said(result).startswith(f"port {port} cannot be used (Address already in use)")

    def test_a_folder_that_cannot_be_written_is_told_before_the_upload(
        self, dropscribe: Command, talk: Path
    ) -> None:
        result = dropscribe("submit", talk, "--local", "--out", talk / "out")
        assert result.exit_code == 1
        assert said(result).endswith("No job was started.")

    def test_a_key_of_the_official_sdk_chooses_the_engine_and_stays_secret(
        self, dropscribe: Command, talk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1/")
        seen: dict[str, str] = {}

        def look(cloud: Cloud) -> AbstractContextManager[None]:
            (stack,) = cloud.client("cloudformation").describe_stacks()["Stacks"]
            seen.update({p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]})
            secret = cloud.client("secretsmanager").get_secret_value(
                SecretId=seen["ApiKeySecretArn"]
            )
            seen["secret"] = secret["SecretString"]
            raise click.ClickException("seen enough")

        result = dropscribe("submit", talk, "--local", obj=look)
        assert said(result) == "seen enough"
        assert (seen["Engine"], seen["ApiBaseUrl"]) == ("openai", "http://127.0.0.1:9/v1")
        assert seen.pop("secret") == "sk-secret"
        assert "sk-secret" not in f"{seen} {result.output}"

    def test_without_a_region_it_says_what_to_export(self, dropscribe: Command) -> None:
        result = dropscribe("status", "talk.mp3")
        assert result.exit_code == 1
        assert "There is no AWS region. Export AWS_DEFAULT_REGION" in result.stderr

    def test_without_credentials_it_says_how_to_sign_in(
        self, dropscribe: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        result = dropscribe("status", "talk.mp3")
        assert result.exit_code == 1
        assert "There are no AWS credentials. Sign in" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "part"),
        [
            (("--engine", "offline"), "engine offline asks nobody"),
            (("--parameter", "ApiBaseUrl=http://127.0.0.1:9/v1"), "its own address and key"),
        ],
    )
    def test_a_local_api_that_nobody_would_ask_is_refused(
        self, dropscribe: Command, arguments: tuple[str, ...], part: str
    ) -> None:
        result = dropscribe("up", "--api", "local", *arguments)
        assert result.exit_code == 2
        assert part in result.stderr
