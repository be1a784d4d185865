"""The short fuzz run (`make fuzz` is the long one), and that it sees what it looks for."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from dropscribe import audio
from dropscribe.audio import DEMUXERS, Normalized, normalize_command
from dropscribe.errors import Rejected, Unavailable
from tests.conftest import DATA
from tests.fuzz import originals
from tests.fuzz.campaign import forged, fuzz, harmless_paths, report
from tests.fuzz.trial import outside, trial

NEITHER: dict[str, Any] = {"split": False, "whole": False, "harmless": None}
SPEECH = DATA / "austen-0880.wav"


def test_forty_mutated_recordings_end_as_they_may() -> None:
    outcomes = list(fuzz(7, range(40), processes=2))
    assert [outcome for outcome in outcomes if outcome.problem] == [], report(outcomes, 7, 0)
    assert len(outcomes) == 40
    codes = {outcome.code for outcome in outcomes}
    assert {"decoded", "not_media"} <= codes
    assert sum(outcome.traced for outcome in outcomes) == (4 if shutil.which("strace") else 0)


@pytest.mark.long
def test_every_container_that_can_be_written_is_mutated(tmp_path: Path) -> None:
    made = originals.make(tmp_path)
    assert len(made) == len(originals.CONTAINERS) > 50
    for path in made:
        folder = tmp_path / path.name.replace("original", "decoded")
        folder.mkdir()
        (track,) = audio.normalize(path, folder, max_ms=60_000).tracks
        assert 1400 < track.duration_ms < 1700, path.name
    # No free encoder writes these: Monkey's Audio and GSM.
    assert {"ape", "gsm"} < set(DEMUXERS)


def test_the_same_seed_gives_the_same_inputs() -> None:
    made = [("wav", bytes(range(256)) * 8), ("mp3", b"ID3abc" * 300)]
    first = [forged(made, 1, index) for index in range(50)]
    assert first == [forged(made, 1, index) for index in range(50)]
    assert first != [forged(made, 2, index) for index in range(50)]
    assert len({content for _, content in first}) > 40


class TestWhatItSees:
    @pytest.mark.parametrize(
        ("error", "problem"),
        [
            (Unavailable("internal", "killed"), "Unavailable: internal: killed"),
            (ValueError("no number"), "ValueError: no number"),
            (Rejected("not_media", "no media"), ""),
        ],
    )
    def test_an_error_other_than_a_rejection(
        self, monkeypatch: pytest.MonkeyPatch, error: Exception, problem: str
    ) -> None:
        def normalize(*_: object, **__: object) -> Normalized:
            raise error

        monkeypatch.setattr(audio, "normalize", normalize)
        assert trial("x.wav", b"x", **NEITHER).problem == problem

    def test_files_that_are_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def normalize(source: Path, folder: Path, **_: object) -> Normalized:
            (folder / "x").touch()
            (folder.parent / "beside").touch()
            raise Rejected("not_media", "no media")

        monkeypatch.setattr(audio, "normalize", normalize)
        assert trial("x.wav", b"x", **NEITHER).problem == "left ['beside', 'x']"

    @pytest.mark.parametrize(
        ("named", "seen"), [("/etc/passwd", "/etc/passwd"), ("http://127.0.0.1:9/x", "socket")]
    )
    def test_what_an_ffmpeg_without_our_whitelists_asks_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, seen: str
    ) -> None:
        """Also what Landlock and seccomp refuse it."""
        if not shutil.which("strace"):
            pytest.skip("no strace here to look over ffmpeg's shoulder")
        shutil.copy(SPEECH, tmp_path / "original.wav")
        harmless = harmless_paths(tmp_path)

        def lax(source: Path, *rest: Any) -> list[str]:
            command = normalize_command(source, *rest)
            at = command.index("-format_whitelist")
            command[at : at + 2] = ["-f", "concat", "-safe", "0"]
            command[command.index("-protocol_whitelist") + 1] = "file,http,tcp"
            return command

        script = f"ffconcat version 1.0\nfile {named}\n".encode()
        with monkeypatch.context() as without:
            without.setattr(audio, "normalize_command", lax)
            found = trial("x.mp3", script, split=False, whole=False, harmless=harmless)
        assert found.problem == f"opened {[seen]}"
        found = trial("x.mp3", script, split=False, whole=False, harmless=harmless)
        assert (found.code, found.problem) == ("not_media", "")

    def test_how_a_trace_reads(self) -> None:
        trace = """
1 execve("/venv/python", ["python", "-I", "/x/confine.py", "--", "ffmpeg"], 0x7f /* 1 var */) = 0
1 openat(AT_FDCWD, "/etc/ignored", O_RDONLY) = 3
1 execve("/bin/ffmpeg", ["/bin/ffmpeg", "-i"], 0x7f /* 1 var */) = 0
1 openat(AT_FDCWD, "/tmp/f/upload", O_RDONLY) = 3
1 openat(AT_FDCWD, "track-0.pcm.pauses-50", O_WRONLY) = 3
1 openat(AT_FDCWD, "/tmp/f/../g", O_RDONLY) = 3
1 openat(AT_FDCWD, "other", O_RDONLY) = 3
2 stat("/etc/passwd", 0x7f) = -1 EACCES (Permission denied)
2 socket(AF_INET, SOCK_STREAM, 0) = -1 EPERM (Operation not permitted)
2 clone(child_stack=NULL, flags=CLONE_VM|CLONE_THREAD) = 3
"""
        assert outside(trace, "/tmp/f") == {"/tmp/f/../g", "other", "/etc/passwd", "socket"}  # noqa: S108 - as strace has it
