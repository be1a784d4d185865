"""Long recordings: no word lost or doubled at a seam, every time right, nothing paid twice.

The API of these tests decodes the audio that it is sent (`coded_speech`), so a transcript can be
compared with what was said, word for word.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from dropscribe.errors import Rejected, Unavailable
from dropscribe.spans import Span
from dropscribe.speakers import VoiceModel
from dropscribe.transcript import Transcript
from tests.api_server import Answer, error
from tests.coded_api import CodedApi, Invented, Request, down, failing_first, losing_first
from tests.coded_speech import CHINESE, ENGLISH, THAI, Said, decode, talk, text_of, write
from tests.conftest import DATA
from tests.stages import Done, Stages, stages

WORDS: Final[dict[str, Any]] = {"model": "whisper-1", "timestamp_granularities": ["word"]}
DIARIZE: Final[dict[str, Any]] = {"model": "gpt-4o-transcribe-diarize"}
MINUTE_MS: Final = 60_000


@pytest.fixture(scope="module")
def api() -> Iterator[CodedApi]:
    with CodedApi() as server:
        yield server


@pytest.fixture
def route(api: CodedApi) -> Iterator[Stages]:
    api.behave()
    with stages(api.base_url) as deployed:
        yield deployed


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    """Writes what is said in a script into a recording."""

    def call(*scripts: Sequence[Said], seconds: float, filled: bool = False) -> Path:
        path = tmp_path / "recording.wav"
        write(path, *scripts, duration_ms=round(seconds * 1000), filled=filled)
        return path

    return call


def text(script: Sequence[Said]) -> str:
    return text_of([said.word for said in script])


def assert_says(transcript: Transcript, script: Sequence[Said]) -> None:
    """Word for word, each within 50 ms, in order and apart."""
    assert transcript.text == text(script)
    words = transcript.words or []
    assert [word.text for word in words] == [said.word for said in script]
    for word, said in zip(words, script, strict=True):
        assert abs(word.start_ms - said.start_ms) <= 50
        assert abs(word.end_ms - said.end_ms) <= 50
    assert_apart([Span(word.start_ms, word.end_ms) for word in words])
    assert_apart([Span(part.start_ms, part.end_ms) for part in transcript.segments or []])


def assert_apart(spans: Sequence[Span]) -> None:
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(spans))


class TestSeams:
    @pytest.mark.parametrize(
        ("seconds", "pauses"),
        [
            *((10, True), (61, False), (125, True), (125, False)),
            pytest.param(300, True, marks=pytest.mark.long),
            pytest.param(1200, False, marks=pytest.mark.long),
        ],
    )
    def test_the_transcript_is_what_was_said(
        self,
        route: Stages,
        api: CodedApi,
        record: Callable[..., Path],
        seconds: int,
        pauses: bool,
    ) -> None:
        """Cut in pauses; without any pause, cut with an overlap."""
        script = talk(seconds, seed=seconds, pauses=pauses)
        done = route.run(record(script, seconds=seconds, filled=not pauses), **WORDS)
        assert_says(done.transcript, script)
        chunks = done.manifest.chunks
        assert len(chunks) == min(max(seconds // 60, 1), 10)
        assert len(api.asked) == len(chunks)
        overlaps = [a.span.end_ms - b.start_ms for a, b in pairwise(chunks)]
        assert set(overlaps) <= ({0} if pauses else {8000})
        assert sum(chunk.duration_ms for chunk in chunks) - sum(overlaps) == seconds * 1000
        assert (done.receipt["coverage"], done.receipt["uncovered_spans"]) == (1.0, [])

    @pytest.mark.long
    @pytest.mark.parametrize("vocabulary", [CHINESE, THAI, ENGLISH], ids=["zh", "th", "en"])
    @pytest.mark.parametrize(
        ("model", "pauses"),
        [
            pytest.param("gpt-transcribe", True, marks=pytest.mark.long),
            ("whisper-1", False),
            pytest.param("gpt-4o-transcribe", False, marks=pytest.mark.long),
            pytest.param("whisper-1", True, marks=pytest.mark.long),
        ],
    )
    def test_without_times_of_words_too(
        self,
        route: Stages,
        record: Callable[..., Path],
        vocabulary: Sequence[str],
        pauses: bool,
        model: str,
    ) -> None:
        """Of text alone, and of segments; in scripts with and without spaces."""
        script = talk(200, seed=3, pauses=pauses, vocabulary=vocabulary)
        done = route.run(record(script, seconds=200, filled=not pauses), model=model)
        assert len(done.manifest.chunks) == 3
        assert done.transcript.text == text(script)

    @pytest.mark.long
    def test_log_probabilities_spell_the_merged_text(
        self, route: Stages, record: Callable[..., Path]
    ) -> None:
        script = talk(200, seed=5, pauses=False)
        asked: dict[str, Any] = {"model": "gpt-4o-transcribe", "include": ["logprobs"]}
        done = route.run(record(script, seconds=200, filled=True), **asked)
        spelled = "".join(part.token or "" for part in done.transcript.logprobs or [])
        assert spelled.strip() == done.transcript.text == text(script)

    @pytest.mark.long
    def test_each_channel_of_a_call_is_cut_on_its_own(
        self, route: Stages, record: Callable[..., Path]
    ) -> None:
        """One talks without a pause, the other says little."""
        first = talk(150, seed=1, pauses=False)
        second = [said for said in talk(150, seed=2) if 40_000 < said.start_ms < 100_000]
        path = record(first, second, seconds=150, filled=True)
        done = route.run(path, channels="split", **WORDS)
        for label, script in (("A", first), ("B", second)):
            words = [word for word in done.transcript.words or [] if word.speaker == label]
            assert [word.text for word in words] == [said.word for said in script]
        assert {chunk.channel for chunk in done.manifest.chunks} == {0, 1}

    @pytest.mark.long
    @pytest.mark.parametrize("pauses", [True, False])
    @pytest.mark.parametrize("hours", [1, 2])
    def test_hours(
        self, route: Stages, record: Callable[..., Path], hours: int, pauses: bool
    ) -> None:
        seconds = hours * 3600
        script = talk(seconds, seed=hours, pauses=pauses)
        done = route.run(record(script, seconds=seconds, filled=not pauses), **WORDS)
        assert_says(done.transcript, script)


class CodedVoices:
    """Reads the speaker's number out of a clip: a voice model that makes no mistakes."""

    threshold = 0.8

    def embed(self, samples: bytes) -> list[float]:
        heard = Counter(said.speaker for said in decode(np.frombuffer(samples, np.int16)))
        length = sum(count**2 for count in heard.values()) ** 0.5 or 1.0
        return [heard[speaker] / length + 1e-3 for speaker in range(16)]


class TestSpeakers:
    SECONDS: Final = 3600

    def script(self) -> list[Said]:
        """Five people in an hour; the last one does not speak in its first half."""
        early = talk(1800, seed=8, speakers=4)
        late = [
            said._replace(start_ms=said.start_ms + 1_800_000, end_ms=said.end_ms + 1_800_000)
            for said in talk(1800, seed=9, speakers=5)
        ]
        return [*early, *late]

    def voices(self, done: Done, script: Sequence[Said]) -> dict[str, set[int]]:
        """Label → the people who said what bears it."""
        found: dict[str, set[int]] = {}
        for segment in done.transcript.segments or []:
            middle_ms = (segment.start_ms + segment.end_ms) // 2
            said = min(script, key=lambda one: abs((one.start_ms + one.end_ms) // 2 - middle_ms))
            found.setdefault(segment.speaker or "", set()).add(said.speaker)
        return found

    @pytest.mark.long
    @pytest.mark.parametrize("voice_model", [CodedVoices(), None], ids=["voices", "no voices"])
    def test_five_speakers_over_twelve_chunks(
        self, api: CodedApi, record: Callable[..., Path], voice_model: VoiceModel | None
    ) -> None:
        """The first chunk's four are known again by their clips, the fifth by the voice alone."""
        api.behave()
        script = self.script()
        path = record(script, seconds=self.SECONDS)
        with stages(api.base_url, voice_model) as route:
            done = route.run(path, parallel=12, **DIARIZE)
        assert len(done.manifest.chunks) == 12
        assert done.transcript.text == text(script)
        labels = self.voices(done, script)
        assert all(len(people) == 1 for people in labels.values())
        assert [labels[label] for label in "ABCD"] == [{0}, *[labels[label] for label in "BCD"]]
        late = [label for label, people in labels.items() if people == {4}]
        doubt = [warning for warning in done.receipt["warnings"] if "could not be" in warning]
        if voice_model:
            assert (sorted(labels), late, doubt) == (list("ABCDE"), ["E"], [])
        else:
            # Nobody can tell that they are one person, so nothing is claimed.
            assert len(late) == 6
            assert len(doubt) == 1
        sent = [len([k for k, _ in r.fields if k == "known_speaker_names[]"]) for r in api.asked]
        assert sorted(sent) == [0, *[4] * 11]

    @pytest.mark.long
    def test_a_silent_beginning_does_not_cost_the_labels(
        self, route: Stages, api: CodedApi, record: Callable[..., Path]
    ) -> None:
        """The chunk in which most is said goes ahead, wherever it is."""
        script = [said for said in talk(1300, seed=33, speakers=3) if said.start_ms > 330_000]
        done = route.run(record(script, seconds=1300), **DIARIZE)
        assert done.manifest.leader != 0
        assert done.transcript.speakers == ["A", "B", "C"]
        assert all(len(people) == 1 for people in self.voices(done, script).values())

    def test_a_hole_in_the_only_chunk_makes_no_new_people(
        self, route: Stages, api: CodedApi, record: Callable[..., Path]
    ) -> None:
        script = talk(200, seed=34, speakers=2)
        api.left_out, api.left_out_over_s = (lambda said: 60_000 <= said.start_ms < 80_000), 100
        done = route.run(record(script, seconds=200), **DIARIZE)
        assert len(api.asked) == 2
        assert done.transcript.text == text(script)
        assert done.transcript.speakers == ["A", "B"]

    @pytest.mark.long
    def test_names_that_the_user_gave_are_kept(
        self, route: Stages, api: CodedApi, record: Callable[..., Path], tmp_path: Path
    ) -> None:
        """Clips lie under speakers/; who is none of them stays a letter."""
        clip = tmp_path / "clip.wav"
        said = [one._replace(speaker=2) for one in talk(6, seed=30)]
        write(clip, said, duration_ms=6000)
        route.put("speakers/anna.wav", clip.read_bytes())
        script = talk(700, seed=31, speakers=4)
        done = route.run(
            record(script, seconds=700),
            known_speaker_names=["Anna"],
            known_speaker_references=["speakers/anna.wav"],
            **DIARIZE,
        )
        assert len(done.manifest.chunks) == 2
        labels = self.voices(done, script)
        assert labels["Anna"] == {2}
        assert sorted(labels) == ["A", "Anna", "B", "C"]
        assert all(len(people) == 1 for people in labels.values())

    @pytest.mark.parametrize(
        ("reference", "message"),
        [
            ("voices/anna.wav", "is neither a data URL nor a key under speakers/"),
            ("speakers/nobody.wav", "does not exist: upload it to s3://uploads/speakers/nobody"),
            ("speakers/text.wav", "cannot be used: this is no audio"),
            ("speakers/short.wav", "is 1.5 s long, not 2 to 10"),
        ],
    )
    def test_a_clip_that_cannot_be_used_fails_the_job_before_anything_is_paid(
        self, route: Stages, api: CodedApi, tmp_path: Path, reference: str, message: str
    ) -> None:
        clip = tmp_path / "clip.wav"
        write(clip, talk(1.5, seed=1), duration_ms=1500)
        route.put("speakers/short.wav", clip.read_bytes())
        route.put("speakers/text.wav", b"hello")
        with pytest.raises(Rejected, match=message) as caught:
            route.run(
                clip, known_speaker_names=["x y"], known_speaker_references=[reference], **DIARIZE
            )
        assert caught.value.code == "invalid_options"
        assert api.asked == []


class TestCompleteness:
    def test_a_hole_is_asked_about_again_and_filled(
        self, route: Stages, api: CodedApi, record: Callable[..., Path]
    ) -> None:
        script = talk(180, seed=11)
        api.left_out = lambda said: 20_000 <= said.start_ms < 28_000
        api.left_out_over_s = 40
        done = route.run(record(script, seconds=180), **WORDS)
        assert_says(done.transcript, script)
        holes = [hole for record_ in done.records for hole in record_.holes]
        assert len(holes) >= 2
        assert len(api.asked) == done.receipt["calls"]["answered"] == 3 + len(holes)
        assert done.receipt["coverage"] == 1.0

    def test_a_text_without_times_that_is_empty_is_asked_about_again(
        self, route: Stages, api: CodedApi, record: Callable[..., Path]
    ) -> None:
        script = [said for said in talk(50, seed=12) if 5_000 < said.start_ms < 35_000]
        api.left_out, api.left_out_over_s = (lambda _: True), 49.5
        done = route.run(record(script, seconds=50), model="gpt-transcribe")
        assert done.transcript.text == text(script)
        assert len(api.asked) == 2

    def test_what_stays_without_words_is_told(
        self, route: Stages, api: CodedApi, record: Callable[..., Path]
    ) -> None:
        script = talk(100, seed=13)
        api.left_out_over_s = 0
        api.left_out = lambda said: 29_000 <= said.start_ms < 41_000 or said.start_ms < 12_000
        done = route.run(record(script, seconds=100), **WORDS)
        spans = done.receipt["uncovered_spans"]
        assert [(round(span["start"], -1), round(span["end"], -1)) for span in spans] == [
            (0, 10), (30, 40),
        ]  # fmt: skip
        assert 0.7 < done.receipt["coverage"] < 0.85
        assert any("s of speech have no words: 2 places" in w for w in done.receipt["warnings"])
        assert done.message.data.warnings == done.receipt["warnings"]

    def test_a_hole_whose_second_try_is_refused_does_not_cost_the_rest(
        self, route: Stages, api: CodedApi, record: Callable[..., Path]
    ) -> None:
        script = talk(100, seed=14)
        api.left_out = lambda said: 30_000 <= said.start_ms < 40_000
        api.faults.append(lambda r: error(400, "not this") if r.seconds < 40 else None)
        done = route.run(record(script, seconds=100), **WORDS)
        told = [said.word for said in script if not 30_000 <= said.start_ms < 40_000]
        assert done.transcript.text.split() == told
        (warning,) = [w for w in done.receipt["warnings"] if "asked about again in vain" in w]
        assert "chunk 0 (00:00:2" in warning
        assert "not this" in warning

    def test_a_hole_that_the_api_never_answers_is_given_up_after_a_second_run(
        self, route: Stages, api: CodedApi, record: Callable[..., Path]
    ) -> None:
        script = talk(100, seed=14)
        api.left_out = lambda said: 30_000 <= said.start_ms < 40_000
        api.faults.append(lambda r: error(500, "oops") if r.seconds < 40 else None)
        done = route.run(record(script, seconds=100), **WORDS)
        (warning,) = [w for w in done.receipt["warnings"] if "asked about again in vain" in w]
        assert "oops" in warning
        assert done.receipt["calls"]["answered"] == len(api.served) == 1
        assert [round(span["start"], -1) for span in done.receipt["uncovered_spans"]] == [30]

    def test_what_somebody_can_mend_fails_the_job_for_a_hole_too(
        self, route: Stages, api: CodedApi, record: Callable[..., Path]
    ) -> None:
        """A finished job could not be redriven; this one costs the hole alone then."""
        script = talk(100, seed=14)
        api.left_out, api.left_out_over_s = (lambda said: 30_000 <= said.start_ms < 40_000), 50
        quota = error(429, "You exceeded your current quota", code="insufficient_quota")
        api.faults.append(lambda r: quota if r.seconds < 40 else None)
        manifest = route.begin(record(script, seconds=100), **WORDS)
        with pytest.raises(Rejected, match=r"^quota_exceeded: chunk 0 "):
            route.transcribe_all(manifest)
        api.faults.clear()
        assert_says(route.finish(manifest).transcript, script)
        assert len(api.served) == 2

    @pytest.mark.long
    def test_a_run_without_time_for_its_holes_leaves_them_to_the_next(
        self, route: Stages, api: CodedApi, record: Callable[..., Path]
    ) -> None:
        script = talk(100, seed=14)
        api.left_out, api.left_out_over_s = (lambda said: 30_000 <= said.start_ms < 40_000), 50
        manifest = route.begin(record(script, seconds=100), **WORDS)
        route.run_s = 30
        with pytest.raises(Unavailable, match=r"^timed_out: chunk 0 .* no time left"):
            route.transcribe_all(manifest)
        assert len(api.served) == 1
        route.run_s = 120
        assert_says(route.finish(manifest).transcript, script)
        assert len(api.served) == 2

    @pytest.mark.long
    def test_a_hole_is_heard_by_the_offline_engine_too(self, route: Stages, tmp_path: Path) -> None:
        """What it makes of it is another matter: of a voice it did not hear it may make nothing."""
        path = tmp_path / "faint.wav"
        command = ["ffmpeg", "-v", "error", "-i", str(DATA / "jfk.flac"), "-af", "volume=-45dB"]
        subprocess.run([*command, "-ar", "16000", str(path)], check=True)
        done = route.run(path, engine="offline")
        assert not [w for w in done.receipt["warnings"] if "in vain" in w]

    def test_text_that_nobody_said_is_removed_where_that_is_certain(
        self, route: Stages, api: CodedApi, record: Callable[..., Path]
    ) -> None:
        script = [said for said in talk(100, seed=15) if not 40_000 < said.start_ms < 60_000]
        api.invented.append(Invented("Thanks for watching!", no_speech_prob=0.1))
        done = route.run(record(script, seconds=100), **WORDS)
        assert_says(done.transcript, script)
        (doubt,) = [d for d in done.receipt["doubtful_text"] if d["text"][0] == "T"]
        assert (doubt["text"], doubt["reason"], doubt["removed"]) == (
            "Thanks for watching!", "phantom", True,
        )  # fmt: skip
        api.invented[:] = [Invented("We will meet again.", no_speech_prob=0.1)]
        done = route.run(record(script, seconds=100), prompt="another question", **WORDS)
        assert "We will meet again." in done.transcript.text
        (doubt,) = [d for d in done.receipt["doubtful_text"] if d["text"][0] == "W"]
        assert (doubt["reason"], doubt["removed"]) == ("no_speech", False)

    def test_what_is_made_up_about_a_hole_is_not_taken_over(
        self, route: Stages, api: CodedApi, record: Callable[..., Path]
    ) -> None:
        script = talk(100, seed=16)
        api.left_out, api.left_out_over_s = (lambda said: 30_000 <= said.start_ms < 40_000), 0
        manifest = route.begin(record(script, seconds=100), **WORDS)
        (hole,) = route.chunk(manifest, 0).holes
        answer = json.loads(route.work.read(hole.result_key) or b"")
        said = {"id": 0, "start": 1.0, "end": 3.0, "text": " Thanks for watching!"}
        answer["response"] |= {"segments": [said], "words": [], "text": said["text"]}
        route.work.write(hole.result_key, json.dumps(answer))
        done = route.finish(manifest)
        assert "watching" not in done.transcript.text
        (doubt,) = [d for d in done.receipt["doubtful_text"] if d["removed"]]
        assert (doubt["reason"], doubt["start"]) == ("phantom", hole.start_ms / 1000 + 1)

    def test_a_recording_of_silence_has_nothing_to_cover(
        self, route: Stages, record: Callable[..., Path]
    ) -> None:
        done = route.run(record([], seconds=130), **WORDS)
        assert (done.transcript.text, done.receipt["coverage"]) == ("", 1.0)


BUSY = error(429, "Rate limit reached", code="rate_limit_exceeded", retry_after="0.01")
DOWN = error(500, "The server had an error")


class TestFaults:
    """The transcript is the same, and what was served is paid once."""

    SECONDS: Final = 250
    CHUNKS: Final = 4

    @pytest.mark.parametrize(
        ("faults", "lost"),
        [
            pytest.param([failing_first(DOWN)], 0, marks=pytest.mark.long),
            pytest.param([failing_first(BUSY)], 0, marks=pytest.mark.long),
            ([failing_first(DOWN, 2, each=2), failing_first(BUSY, 1)], 0),
            pytest.param([down(3, 40)], 0, marks=pytest.mark.long),
            pytest.param([losing_first()], 4, marks=pytest.mark.long),
            ([losing_first(each=2), failing_first(DOWN)], 2),
        ],
        ids=["once", "busy", "half twice", "down midway", "lost answers", "lost and down"],
    )
    def test_faults_of_the_api(
        self,
        route: Stages,
        api: CodedApi,
        record: Callable[..., Path],
        faults: list[Any],
        lost: int,
    ) -> None:
        script = talk(self.SECONDS, seed=21, pauses=False)
        api.faults.extend(faults)
        done = route.run(record(script, seconds=self.SECONDS, filled=True), **WORDS)
        assert_says(done.transcript, script)
        assert len(done.manifest.chunks) == self.CHUNKS
        calls = done.receipt["calls"]
        assert len(api.served) == self.CHUNKS + lost
        assert (calls["answered"], calls["ambiguous"]) == (self.CHUNKS, lost)
        assert calls["made"] == len(api.asked)

    def test_a_process_that_dies_between_answer_and_commit(
        self, route: Stages, api: CodedApi, record: Callable[..., Path]
    ) -> None:
        script = talk(self.SECONDS, seed=22)
        manifest = route.begin(record(script, seconds=self.SECONDS), **WORDS)
        route.dying = {1, 3}
        with pytest.raises(KeyboardInterrupt):
            route.transcribe_all(manifest)
        done = route.finish(manifest)
        assert_says(done.transcript, script)
        died = 2 - len(route.dying)
        assert died >= 1
        calls = done.receipt["calls"]
        assert (calls["answered"], calls["ambiguous"]) == (self.CHUNKS, died)
        assert len(api.served) == self.CHUNKS + died

    def test_an_answer_that_cannot_be_read_is_not_paid_again_by_a_run_that_did_not_hear_of_it(
        self, route: Stages, api: CodedApi, record: Callable[..., Path]
    ) -> None:
        """As where Lambda loses what a function said; a redrive is another run."""
        manifest = route.begin(record(talk(20, seed=27), seconds=20), **WORDS)
        api.faults.append(failing_first(Answer(200, b"<html>", "text/html")))
        with pytest.raises(Rejected, match="no transcript"):
            route.transcribe_all(manifest)
        with pytest.raises(Rejected, match=r"engine_failed: chunk 0 .* run it again by hand"):
            route.transcribe_all(manifest)
        assert len(api.asked) == 1

    def test_an_impossible_chunk_fails_the_job_and_a_redrive_repeats_only_that(
        self, route: Stages, api: CodedApi, record: Callable[..., Path]
    ) -> None:
        script = talk(self.SECONDS, seed=23)
        manifest = route.begin(record(script, seconds=self.SECONDS), **WORDS)
        bad = manifest.chunks[2]

        def refused(request: Request) -> Any:
            same = abs(request.seconds * 1000 - bad.duration_ms) < 1
            return error(400, "The audio cannot be processed") if same else None

        api.faults.append(refused)
        with pytest.raises(Rejected) as caught:
            route.transcribe_all(manifest)
        assert str(caught.value).startswith("unsupported_by_model: chunk 2 (00:02:")
        api.faults.clear()
        before = len(api.served)
        assert before == self.CHUNKS - 1
        done = route.finish(manifest)
        assert_says(done.transcript, script)
        assert len(api.served) == before + 1

    def test_what_was_answered_once_is_never_asked_for_again(
        self, route: Stages, api: CodedApi, record: Callable[..., Path]
    ) -> None:
        """Another upload of the recording, under another name, in other formats."""
        script = talk(self.SECONDS, seed=24)
        path = record(script, seconds=self.SECONDS)
        first = route.run(path, **WORDS)
        again = route.run(path, key="b.wav", formats=["srt"], labels={"a": "b"}, **WORDS)
        assert len(api.asked) == self.CHUNKS
        assert again.transcript == first.transcript
        assert again.receipt["calls"] == {
            **{"made": 0, "answered": 0, "refused": 0, "ambiguous": 0, "cached": self.CHUNKS},
        }
        assert again.receipt["estimated_cost"]["usd"] == 0

    def test_two_runs_at_the_same_time_agree(
        self, route: Stages, api: CodedApi, record: Callable[..., Path]
    ) -> None:
        """Both are paid, as neither knew of the other; one answer is kept."""
        script = talk(130, seed=25)
        manifest = route.begin(record(script, seconds=130), **WORDS)
        api.delay_s = lambda _: 0.3
        barrier = threading.Barrier(2)

        def run(_: int) -> list[Any]:
            barrier.wait()
            return route.transcribe_all(manifest)

        with ThreadPoolExecutor(2) as pool:
            one, other = pool.map(run, range(2))
        assert [r.chunk.result_key for r in one] == [r.chunk.result_key for r in other]
        kept = list(route.work.keys("results/"))
        assert len(kept) == len(manifest.chunks) == 2
        assert_says(route.finish(manifest).transcript, script)

    @pytest.mark.long
    def test_no_more_requests_at_once_than_chunks_at_once(
        self, route: Stages, api: CodedApi, record: Callable[..., Path]
    ) -> None:
        script = talk(self.SECONDS, seed=26)
        manifest = route.begin(record(script, seconds=self.SECONDS), **WORDS)
        api.delay_s = lambda _: 0.2
        route.transcribe_all(manifest, at_once=3)
        assert api.peak <= 3
