"""Jobs from the command line, on the embedded cloud; against AWS it is the same code."""

from __future__ import annotations

import json
import shutil
import signal
import time
import wave
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.cli.conftest import ROOT, Command, started
from tests.patience import PATIENCE_S

SPEECH = ROOT / "tests" / "data" / "austen-0880.wav"

pytestmark = pytest.mark.usefixtures("endpoint")


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A recording whose name has a space and an accent."""
    return Path(shutil.copy(SPEECH, tmp_path / "mémo 1.wav"))


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    """No recording, whatever its name says."""
    path = tmp_path / "letter.mp3"
    path.write_text("Dear Sir or Madam")
    return path


def only_job(result: Result) -> dict[str, Any]:
    (job,) = json.loads(result.stdout)["jobs"]
    assert isinstance(job, dict)
    return job


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class TestSubmit:
    def test_outputs_are_downloaded_and_listed(
        self, dropscribe: Command, talk: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        result = dropscribe("submit", talk, "--out", out, "--set", "formats=srt,text", "--json")
        job, written = only_job(result), {"srt": ".srt", "text": ".txt", "receipt": ".receipt.json"}
        assert result.exit_code == 0, result.stderr
        assert job["outputs"] == {name: f"{out}/{talk.name}{end}" for name, end in written.items()}
        assert names(out) == {talk.name + end for end in written.values()}
        assert (job["status"], job["error"], job["warnings"]) == ("completed", None, [])
        assert job["receipt"] == json.loads((out / f"{talk.name}.receipt.json").read_text())
        assert job["receipt"]["option_sources"]["formats"] == "the upload's metadata"

    def test_without_a_terminal_each_stage_is_a_line(
        self, dropscribe: Command, talk: Path, tmp_path: Path
    ) -> None:
        result = dropscribe("submit", talk, "--out", tmp_path)
        stages = [line.removeprefix(f"{talk.name}: ") for line in result.stderr.splitlines()]
        assert (stages[0], stages[-1]) == ("uploading", "completed")
        assert "completed  en" in result.stdout
        assert (
            ".json · .txt · .srt · .vtt · .verbose.json · .diarized.json · .receipt.json"
            in result.stdout
        )

    def test_options_that_no_header_carries_travel_in_a_sidecar(
        self, dropscribe: Command, talk: Path, tmp_path: Path
    ) -> None:
        options = ("--set", 'labels={"case": "Grüße"}', "--set", "formats=text")
        result = dropscribe("submit", talk, "--out", tmp_path, *options, "--json")
        receipt = only_job(result)["receipt"]
        assert receipt["options"]["labels"] == {"case": "Grüße"}
        assert receipt["option_sources"]["labels"] == f"{talk.name}.dropscribe.json"
        again = dropscribe("submit", talk, "--out", tmp_path, "--set", "formats=text", "--json")
        assert only_job(again)["receipt"]["options"]["labels"] == {}

    def test_a_sidecar_beside_the_recording_is_uploaded_with_it(
        self, dropscribe: Command, talk: Path, tmp_path: Path
    ) -> None:
        talk.with_name(f"{talk.name}.dropscribe.json").write_text('{"formats": ["vtt"]}')
        result = dropscribe("submit", talk, "--out", tmp_path, "--json")
        assert set(only_job(result)["outputs"]) == {"vtt", "receipt"}

    def test_a_failed_job_is_told_and_makes_the_command_fail(
        self, dropscribe: Command, talk: Path, letter: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        result = dropscribe("submit", letter, talk, "--set", "formats=text", "--out", out)
        assert result.exit_code == 1
        assert "letter.mp3 failed in normalize: not_media" in result.stdout
        assert "dropscribe redrive" not in result.stdout
        assert names(out) == {
            *("letter.mp3.error.json", f"{talk.name}.txt", f"{talk.name}.receipt.json")
        }

    def test_a_failure_is_downloaded_where_an_older_upload_of_the_name_succeeded(
        self, dropscribe: Command, talk: Path, tmp_path: Path
    ) -> None:
        dropscribe("submit", talk, "--set", "formats=text", "--out", tmp_path / "older")
        talk.write_text("Dear Sir or Madam")
        result = dropscribe("submit", talk, "--out", tmp_path / "newer", "--json")
        assert only_job(result)["error"]["code"] == "not_media"
        assert names(tmp_path / "newer") == {f"{talk.name}.error.json"}

    def test_an_interrupt_ends_the_embedded_cloud_and_leaves_nothing(
        self, talk: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "temporary").mkdir()
        long = tmp_path / "long.wav"
        with wave.open(str(talk)) as spoken, wave.open(str(long), "wb") as target:
            target.setparams(spoken.getparams())
            # So much that it cannot be done before the interrupt, however slow the machine is.
            target.writeframes(spoken.readframes(spoken.getnframes()) * 60)
        command = ("submit", "--local", str(long), "--out", str(tmp_path))
        with started(*command, TMPDIR=str(tmp_path / "temporary")) as submit:
            assert submit.stdout
            said = [next(line for line in submit.stdout if "waiting to start" in line)]
            time.sleep(0.5)  # in the midst of the first functions
            submit.send_signal(signal.SIGINT)
            said += submit.stdout
            assert submit.wait(PATIENCE_S) == 130
        assert "".join(said[1:]).strip() == (
            "Interrupted. The embedded cloud has ended, and its jobs with it."
        )
        assert names(tmp_path / "temporary") == set()


class TestAfterwards:
    def test_a_key_stands_for_its_latest_job_which_is_not_run_again(
        self, dropscribe: Command, talk: Path, tmp_path: Path
    ) -> None:
        submitted = dropscribe("submit", talk, "--out", tmp_path, "--set", "formats=srt", "--json")
        by_key = json.loads(dropscribe("status", talk.name, "--json").stdout)
        by_id = json.loads(dropscribe("status", by_key["job_id"], "--json").stdout)
        assert by_key == by_id
        assert by_key["job_id"] == only_job(submitted)["job_id"]
        assert [(step["stage"], step["outcome"]) for step in by_key["steps"]] == [
            *(("normalize", "completed"), ("transcribe", "completed")),
            *(("format", "completed"), ("notify", "completed")),
        ]
        assert (by_key["chunks"], by_key["chunks_transcribed"]) == (1, 1)
        assert list(by_key["outputs"]) == ["srt"]
        again = dropscribe("redrive", talk.name)
        assert again.exit_code == 1
        assert again.stderr == (
            f"Error: The job {by_key['job_id']} cannot be run again: it has completed.\n"
        )

    def test_other_formats_are_made_of_what_a_job_has_kept(
        self, dropscribe: Command, talk: Path, tmp_path: Path
    ) -> None:
        submitted = dropscribe("submit", talk, "--out", tmp_path, "--set", "formats=srt", "--json")
        job, out = only_job(submitted)["job_id"], tmp_path / "later"
        again = dropscribe("render", job, "--formats", "vtt,json,srt", "--out", out, "--json")
        assert again.exit_code == 0, again.stderr
        srt = f"{talk.name}.srt"
        assert names(out) == {srt, f"{talk.name}.vtt", f"{talk.name}.json"}
        assert (out / srt).read_text() == (tmp_path / srt).read_text()
        assert json.loads(again.stdout)["quality"]["vtt"]["cues"] == 1
        narrow = ("--set", 'subtitles={"max_line_length": 12}')
        told = dropscribe("render", talk.name, *narrow, "--out", out)
        assert told.stdout.startswith(f"{out}/{srt}  (")
        lines = (out / srt).read_text().splitlines()
        assert all(len(line) <= 12 for line in lines if "-->" not in line)

    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            (("--formats", "srt,docx"), "'docx' is none of json, text, srt"),
            (("--formats", "srt", "--set", "language=en"), "language=… changes nothing here"),
            (("--set", "subtitles=cinema"), "'netflix', 'bbc' or 'web'"),
            (("--formats", "diarized_json"), "has no transcript: it is not done, it has failed"),
        ],
    )
    def test_what_cannot_be_rendered_is_told(
        self, dropscribe: Command, letter: Path, tmp_path: Path, asked: tuple[str, ...], said: str
    ) -> None:
        dropscribe("submit", letter, "--out", tmp_path)
        refused = dropscribe("render", letter.name, *asked, "--out", tmp_path)
        assert refused.exit_code > 0
        assert said in refused.stderr

    def test_a_failed_job_shows_its_error_and_can_run_again(
        self, dropscribe: Command, letter: Path, tmp_path: Path
    ) -> None:
        job = only_job(dropscribe("submit", letter, "--out", tmp_path, "--json"))
        shown = dropscribe("status", job["job_id"]).stdout
        assert "letter.mp3 failed in normalize: not_media" in shown
        again = dropscribe("redrive", job["job_id"], "--out", tmp_path, "--json")
        assert again.exit_code == 1
        assert only_job(again) == job
        stages = json.loads(dropscribe("status", letter.name, "--json").stdout)["steps"]
        assert [step["outcome"] for step in stages] == ["failed", "failed"]

    def test_an_unknown_job_is_an_error(self, dropscribe: Command) -> None:
        result = dropscribe("status", "none.mp3")
        assert result.exit_code == 1
        assert result.stderr == (
            "Error: The stack 'dropscribe' has neither a job nor an upload 'none.mp3'. "
            "Step Functions keeps ended jobs for 90 days.\n"
        )

    def test_an_unknown_stack_is_an_error(self, dropscribe: Command, endpoint: str) -> None:
        result = dropscribe("status", "none.mp3", "--stack", "other")
        assert result.exit_code == 1
        assert f"There is no stack 'other' in {endpoint}." in result.stderr
