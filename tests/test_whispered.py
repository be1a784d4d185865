"""When the words of a text were said, as Whisper hears them: what is not the text first."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dropscribe import aws, sound
from dropscribe.api import Request, TranscriptionWord
from dropscribe.aws import Task
from dropscribe.cli.forget import _Ending
from dropscribe.engines import Recognized, openai, whisper, whispered
from dropscribe.errors import JobError, Rejected, Unavailable
from dropscribe.job import (
    UNANSWERED,
    Manifest,
    Piece,
    chunk_record_key,
    manifest_key,
    stop_key,
    stopped_key,
)
from dropscribe.messages import AlignRequest, TranscribeRequest
from dropscribe.placement import divided
from dropscribe.spans import Span
from dropscribe.speech import voiced
from dropscribe.stages.align import align
from dropscribe.stages.format import format_job
from dropscribe.stages.kept import load_record
from dropscribe.stages.transcribe import transcribe
from dropscribe.transcript import Word
from functions.transcribe_gpu import app as gpu
from tests.api_server import KEY, Answer, ApiServer
from tests.conftest import DATA
from tests.patience import PATIENCE_S
from tests.stages import WORK, Stages, stages
from tests.test_speech import music, noise, silence
from tools.tiny_whisper.measure import Recording, drawn

TINY = str(DATA / "tiny-whisper")
GERMAN = "Guten Abend und herzlich willkommen. Heute sprechen wir über alte und neue Brücken."
CHINESE = "今天我们谈谈桥。谁来建造它们，谁来付钱？"  # noqa: RUF001
THREE = [("你", Span(0, 1000)), ("ok", Span(1000, 2000)), ("好", Span(3000, 4000))]
ENGLISH = "Good evening and welcome. Tonight we are talking about bridges old and new, my friend."


@cache
def talk(seed: int = 33, *, german: bool = True) -> Recording:
    return drawn(seed, 5, german=german)


def samples_of(recording: Recording) -> bytes:
    return (recording.samples * 32767).astype(np.int16).tobytes()


def text_of(recording: Recording) -> str:
    """As a good model writes it."""
    turns = (" ".join(word.text for word in turn) for turn in recording.turns)
    return " ".join(turn.capitalize() + "." for turn in turns)


Align = Callable[..., list[Word] | None]
Parts = list[Recognized]


@pytest.fixture(scope="module", autouse=True)
def heard_once() -> Iterator[None]:
    """The model hears a recording once, whatever texts it is compared with."""
    recognize, known = whisper.recognize, dict[tuple[bytes, Request], tuple[str | None, Parts]]()

    def remembered(audio: Path, request: Request) -> tuple[str | None, Parts]:
        asked = audio.read_bytes(), request
        if asked not in known:
            language, parts = recognize(audio, request)
            known[asked] = language, list(parts)
        return known[asked]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whisper, "recognize", remembered)
        yield


@pytest.fixture
def aligned(tmp_path: Path) -> Align:
    def aligning(
        samples: bytes,
        text: str,
        language: str | None = "de",
        model: str = TINY,
        left_s: float = 100,
    ) -> list[Word] | None:
        """That all words are there, in order and inside, is true of every answer."""
        path = tmp_path / "audio.wav"
        path.write_bytes(sound.wav(samples))
        deadline = time.monotonic() + left_s
        found = whispered.align(path, text, language, voiced(samples), model, deadline)
        if found is not None:
            assert [word.text for word in found] == divided(text)
            times = [ms for word in found for ms in (word.start_ms, word.end_ms)]
            assert times == sorted(times)
            assert not times or (times[0] >= 0 and times[-1] <= sound.length_ms(samples))
        return found

    return aligning


def heard_as(*words: tuple[str, float, float]) -> Parts:
    """As faster-whisper tells of a segment: word, start and end in seconds."""
    told = [TranscriptionWord(word=word, start=start, end=end) for word, start, end in words]
    return [Recognized.model_construct(words=told)]


def off_ms(found: Sequence[Word] | None, recording: Recording) -> list[int]:
    """Of the starts of words, sorted."""
    assert found is not None
    pairs = zip(found, recording.words, strict=True)
    return sorted(abs(word.start_ms - truth.start_ms) for word, truth in pairs)


class TestWhatIsNotTheText:
    @pytest.mark.parametrize("text", ["", "  \n\t "])
    def test_no_words_have_no_times(self, aligned: Align, text: str) -> None:
        assert aligned(samples_of(talk()), text) == []

    @pytest.mark.parametrize(
        "samples", [b"", b"\1\1", silence(4), noise(4), music(4)], ids=lambda value: str(len(value))
    )
    def test_where_nobody_speaks_nothing_was_said(self, aligned: Align, samples: bytes) -> None:
        assert aligned(samples, GERMAN) is None

    @pytest.mark.parametrize(
        "text",
        [
            *(GERMAN, ENGLISH, CHINESE, "— … ?! ♪", "Привет, как дела?", "acht", "eins zwei drei"),
            *("acht " * 500, "x" * 10_000, "<|endoftext|> <|de|> \0"),
            text_of(drawn(44, 5, german=True)),
        ],
        ids=lambda text: text[:12],
    )
    def test_a_text_of_something_else_is_not_aligned(self, aligned: Align, text: str) -> None:
        assert aligned(samples_of(talk()), text) is None

    @pytest.mark.parametrize("order", [1, -1])
    def test_a_text_of_which_half_is_said_is_not_aligned(self, aligned: Align, order: int) -> None:
        both = (text_of(talk()), GERMAN + " " + GERMAN)
        assert aligned(samples_of(talk()), " ".join(both[::order])) is None

    @pytest.mark.parametrize("language", ["ga", "xyz", "klingon", "transcribe", "0.00", "-", "🙂"])
    def test_who_names_a_language_that_no_model_knows_is_told(
        self, aligned: Align, language: str
    ) -> None:
        with pytest.raises(Rejected, match=f"does not know the language `{language}`"):
            aligned(samples_of(talk()), text_of(talk()), language)

    def test_a_model_without_a_language_is_not_asked_for_it(
        self, aligned: Align, tmp_path: Path
    ) -> None:
        model = shutil.copytree(TINY, tmp_path / "model")
        tokens = model / "tokenizer.json"
        tokens.write_text(tokens.read_text("utf-8").replace("<|cy|>", "<|gone|>"), "utf-8")
        with pytest.raises(Rejected, match=r"unsupported_by_model: .* the language `cy`"):
            aligned(samples_of(talk()), text_of(talk()), "cy", model=str(model))

    def test_words_that_were_heard_for_no_time_tell_none(
        self, aligned: Align, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        at_once = heard_as(*((word, 1.0, 1.0) for word in text_of(talk()).split()))
        monkeypatch.setattr(whisper, "recognize", lambda *_: ("de", at_once))
        assert aligned(samples_of(talk()), text_of(talk())) is None

    @pytest.mark.parametrize("one", [{}, {3: Span(0, 100)}])
    def test_readings_without_a_common_word_do_not_agree(self, one: dict[int, Span]) -> None:
        assert not whispered._agree(one, {4: Span(0, 100)})
        assert not whispered._agree({4: Span(0, 100)}, one)

    def test_a_model_that_is_not_there_is_an_error(self, aligned: Align) -> None:
        with pytest.raises(Rejected, match="there is no folder /nowhere/model"):
            aligned(samples_of(talk()), text_of(talk()), model="/nowhere/model")

    def test_who_has_no_time_left_is_told(self, aligned: Align) -> None:
        with pytest.raises(Rejected, match="timed_out: the time was too short"):
            aligned(samples_of(talk()), text_of(talk()), left_s=0)


class TestTimes:
    @pytest.mark.parametrize("german", [True, False])
    def test_words_are_where_they_are_said(self, aligned: Align, *, german: bool) -> None:
        recording = talk(german=german)
        found = aligned(samples_of(recording), text_of(recording), "de" if german else "en")
        off = off_ms(found, recording)
        assert off[len(off) // 2] < 30
        assert off[int(0.9 * len(off))] < 150

    def test_text_that_no_model_takes_at_once_leaves_words_where_they_were_heard(
        self, aligned: Align
    ) -> None:
        words = text_of(talk()).split()
        words[len(words) // 2] = "x" * 3000
        off = off_ms(aligned(samples_of(talk()), " ".join(words)), talk())
        assert off[len(off) // 2] < 100

    def test_a_language_that_nobody_named_is_heard(self, aligned: Align) -> None:
        samples, text = samples_of(talk()), text_of(talk())
        assert aligned(samples, text, None) == aligned(samples, text, "de")

    def test_what_is_heard_otherwise_lies_between_its_neighbours(self, aligned: Align) -> None:
        words = text_of(talk()).split()
        for at in range(2, len(words), 3):
            words[at] = "Quark" + words[at][-1:].strip("aeinstrlfüuvhbcz")
        found = aligned(samples_of(talk()), " ".join(words))
        off = off_ms(found, talk())
        assert off[len(off) // 2] < 60
        assert off[-1] < 700

    def test_words_without_a_sound_come_back_too(self, aligned: Align) -> None:
        text = text_of(talk())
        found, plain = (aligned(samples_of(talk()), one) for one in (f"— {text} ♪", text))
        assert found is not None
        assert found[1:-1] == plain

    @pytest.mark.parametrize("sign", ["\xa0", "♪"])
    def test_heard_signs_without_a_sound_change_nothing(
        self, aligned: Align, monkeypatch: pytest.MonkeyPatch, sign: str
    ) -> None:
        samples, text = samples_of(talk()), text_of(talk())
        plain, recognize = aligned(samples, text), whisper.recognize

        def with_signs(audio: Path, request: Request) -> tuple[str | None, Parts]:
            language, parts = recognize(audio, request)
            return language, [
                heard_as(
                    *chain.from_iterable(
                        ((word.word, word.start, word.end), (sign, word.end, word.end))
                        for word in part.words
                    )
                )[0]
                for part in parts
            ]

        monkeypatch.setattr(whisper, "recognize", with_signs)
        assert aligned(samples, text) == plain

    def test_dashes_that_nobody_says_change_no_times(self, aligned: Align) -> None:
        """In a dialogue that is too long to be read at once."""
        recording = drawn(33, 10, german=True)
        samples, text = samples_of(recording), text_of(recording)
        assert sound.length_ms(samples) > whispered.WINDOW_MS
        plain, dashed = aligned(samples, text), aligned(samples, "— " + text.replace(". ", ". — "))
        assert plain is not None
        assert dashed is not None
        assert [word for word in dashed if word.text != "—"] == plain

    def test_text_that_looks_like_marks_of_the_model_is_read_as_none(self, aligned: Align) -> None:
        samples, words = samples_of(talk()), text_of(talk()).split()
        marks = ["<|endoftext|>", "<|de|>acht", "<|0.00|>"]
        found = aligned(samples, " ".join([*words[:9], *marks, *words[9:]]))
        assert found is not None
        off = off_ms(found[:9] + found[9 + len(marks) :], talk())
        assert off[len(off) // 2] < 60
        aligner = whisper._loaded(TINY).aligner
        assert len(aligner._tokens) >= len(words)
        assert max(aligner._tokens) < aligner._first_special

    def test_words_that_are_nothing_but_marks_of_the_model_are_not_read(self) -> None:
        assert whisper.edges_ms(TINY, samples_of(talk()), [], "de") is None

    @pytest.mark.parametrize("language", ["deu", "de-AT"])
    def test_a_language_has_many_names(self, aligned: Align, language: str) -> None:
        samples, text = samples_of(talk()), text_of(talk())
        assert aligned(samples, text, language) == aligned(samples, text, "de")

    def test_thai_is_matched_though_its_vowels_are_heard_alone(
        self, aligned: Align, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As faster-whisper hears it, by code points; no model here knows it."""
        text = "สวัสดีครับ วันนี้เราพูดเรื่องสะพาน"
        begin_s, letters = talk().words[0].start_ms / 1000, text.replace(" ", "")
        told = heard_as(
            *((one, begin_s + 0.1 * at, begin_s + 0.1 * (at + 1)) for at, one in enumerate(letters))
        )
        monkeypatch.setattr(whisper, "recognize", lambda *_: ("th", told))
        monkeypatch.setattr(whisper, "edges_ms", lambda *_: None)
        assert len(letters) > len(divided(text))
        assert [part.sound for part in whispered._heard(told, math.inf)] == divided(text)
        assert aligned(samples_of(talk()), text, "th") is not None

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ([("\xa0", 0, 1), ("\u3000", 1, 2), ("♪", 2, 3), ("\u200b", 3, 3)], []),
            ([("ab\xa0cd", 0, 5)], [("ab", Span(0, 2000)), ("cd", Span(3000, 5000))]),
            # A vowel that is written before its consonant, a mark on it; a pause between.
            (
                [("เ", 1, 2), ("พ", 2, 3), ("ื", 3, 4), ("่", 4, 5), ("อ", 7, 8)],
                [("เพื่", Span(1000, 5000)), ("อ", Span(7000, 8000))],
            ),
            ([("你", 0, 1), ("ok", 1, 2), ("好", 3, 4)], THREE),
        ],
    )
    def test_what_is_heard_is_divided_as_texts_are(
        self, words: list[tuple[str, float, float]], expected: list[tuple[str, Span]]
    ) -> None:
        assert list(whispered._heard(heard_as(*words), math.inf)) == expected

    def test_characters_share_the_time_of_the_word_that_they_are_heard_as(self) -> None:
        """As a Whisper that knows Chinese, which none here does, would hear it."""
        word = TranscriptionWord(word="你好吗", start=1.0, end=1.6)
        parts = [Recognized.model_construct(words=[word])]
        assert list(whispered._heard(parts, time.monotonic() + PATIENCE_S)) == [
            ("你", Span(1000, 1200)),
            ("好", Span(1200, 1400)),
            ("吗", Span(1400, 1600)),
        ]


@pytest.fixture
def route(api_server: ApiServer) -> Any:
    api_server.behave()
    with stages(api_server.base_url) as route:
        yield route


class Job:
    """A German recording whose text is all that the API tells."""

    def __init__(self, route: Stages, api: ApiServer, folder: Path, **options: Any) -> None:
        self.route, self.api = route, api
        path = folder / "talk.wav"
        path.write_bytes(sound.wav(samples_of(talk())))
        given = {"engine": "openai", "model": "gpt-transcribe", "languages": ["de"], **options}
        self.manifest: Manifest = route.begin(path, **given)
        self.key = chunk_record_key(self.manifest.job_id, 0)

    def transcribe(self, *, aligned_later: str = "tiny") -> Piece:
        answer = {"text": text_of(talk()), "language": "german", "duration": 9}
        self.api.planned.append(Answer(200, json.dumps(answer).encode()))
        engine = openai.engine(self.route.api_url, lambda: KEY, self.route.deadline())
        asked = TranscribeRequest(job_id=self.manifest.job_id, chunk=0, run="1")
        return transcribe(
            *(asked, self.route.work, lambda _: (engine, "api"), self.route.deadline()),
            aligned_later=aligned_later,
        ).chunk

    def asked(self, begun: datetime | None = None) -> AlignRequest:
        return AlignRequest(job_id=self.manifest.job_id, chunk=0, align=True, begun=begun)

    def align_by(self, words: Callable[[], list[Word] | None], **asked: Any) -> Piece:
        """By an aligner of which only what it says matters, and what happens meanwhile."""
        return align(self.asked(**asked), self.route.work, lambda *_: words()).chunk

    def align(self, model: str = TINY) -> Piece:
        asked = self.asked()
        deadline = time.monotonic() + PATIENCE_S
        aligner = partial(whispered.align, model=model, deadline=deadline)
        return align(asked, self.route.work, aligner).chunk

    def spoil(self, **update: Any) -> None:
        record = load_record(self.route.work, self.manifest.job_id, 0)
        piece = record.chunk.model_copy(update=update)
        spoilt = record.model_copy(update={"chunk": piece})
        self.route.work.write(self.key, spoilt.model_dump_json())

    def stored(self) -> dict[str, bytes | None]:
        work = self.route.work
        return {
            key: work.read(key) for prefix in ("results/", "jobs/") for key in work.keys(prefix)
        }

    def warnings(self) -> list[str]:
        job, work, transcripts = self.manifest.job_id, self.route.work, self.route.transcripts
        return list(format_job(job, work, transcripts)[0].message.data.warnings)


def fail(error: Exception) -> Callable[[], None]:
    def failing() -> None:
        raise error

    return failing


class TestStep:
    """Align after Transcribe, over storage that keeps what each writes."""

    def test_nobody_awaits_an_aligner_that_is_not_there(
        self, route: Stages, api_server: ApiServer, tmp_path: Path
    ) -> None:
        job = Job(route, api_server, tmp_path)
        piece = job.transcribe(aligned_later="")
        assert (piece.timing, piece.unaligned) == ("estimated", None)
        assert not any("looked for" in warning for warning in job.warnings())

    def test_an_aligner_that_never_answers_is_told_of(
        self, route: Stages, api_server: ApiServer, tmp_path: Path
    ) -> None:
        job = Job(route, api_server, tmp_path)
        assert (piece := job.transcribe()).unaligned == UNANSWERED
        assert piece.timing == "estimated"
        assert any(UNANSWERED in warning for warning in job.warnings())

    def test_words_get_the_times_that_are_found_and_keep_them(
        self, route: Stages, api_server: ApiServer, tmp_path: Path
    ) -> None:
        job = Job(route, api_server, tmp_path)
        estimated = job.transcribe()
        found = job.align()
        assert (found.timing, found.unaligned, found.language) == ("aligned", None, "de")
        assert sum(off_ms(found.words, talk())) < sum(off_ms(estimated.words, talk()))
        assert not any("estimated" in warning for warning in job.warnings())
        before = job.stored()
        assert job.align() == found
        assert job.stored() == before
        # Transcribe once more, as a redrive may: the times are there.
        assert job.transcribe() == found.model_copy(update={"cached": True})
        assert found.aligner is None
        assert len(api_server.requests) == 1

    def test_a_run_that_died_before_it_told_is_repeated_to_the_byte(
        self, route: Stages, api_server: ApiServer, tmp_path: Path
    ) -> None:
        job = Job(route, api_server, tmp_path)
        job.transcribe()
        estimated = route.work.read(job.key)
        found, stored = job.align(), job.stored()
        assert estimated is not None
        route.work.write(job.key, estimated)
        assert job.align(model="/nowhere/but/kept") == found
        assert job.stored() == stored

    def test_what_went_wrong_is_noted_before_it_is_raised(
        self, route: Stages, api_server: ApiServer, tmp_path: Path
    ) -> None:
        job = Job(route, api_server, tmp_path)
        estimated = job.transcribe()
        with pytest.raises(JobError, match="there is no folder"):
            job.align(model="/nowhere/model")
        (told,) = [warning for warning in job.warnings() if "looked for" in warning]
        assert "Rejected: unsupported_by_model: there is no folder /nowhere/model" in told
        # A run after that may do better.
        found = job.align()
        assert (found.timing, found.unaligned) == ("aligned", None)
        assert [word.text for word in found.words] == [word.text for word in estimated.words]

    def test_a_text_that_is_not_heard_keeps_its_times_without_a_complaint(
        self, route: Stages, api_server: ApiServer, tmp_path: Path
    ) -> None:
        job = Job(route, api_server, tmp_path)
        api_server.planned.append(Answer(200, json.dumps({"text": GERMAN}).encode()))
        estimated = job.transcribe()
        found = job.align()
        assert found == estimated.model_copy(update={"unaligned": None})
        assert not any("looked for" in warning for warning in job.warnings())
        # The next upload of the same does not ask the same aligner, but another one.
        assert job.transcribe() == found.model_copy(update={"cached": True})
        assert job.align(model="/nowhere/is/asked") == job.transcribe()
        assert job.transcribe(aligned_later="another").unaligned == UNANSWERED
        assert job.align().aligner == "another"

    @pytest.mark.parametrize("formats", ["json", "text", "json,text"])
    def test_who_is_to_get_no_times_waits_for_none(
        self, route: Stages, api_server: ApiServer, tmp_path: Path, formats: str
    ) -> None:
        job = Job(route, api_server, tmp_path, formats=formats.split(","))
        assert job.transcribe().unaligned is None

    def test_a_chunk_that_went_ahead_is_asked_of_nobody(
        self, route: Stages, api_server: ApiServer, tmp_path: Path
    ) -> None:
        job = Job(route, api_server, tmp_path)
        ahead = job.manifest.model_copy(update={"leader": 0})
        route.work.write(manifest_key(ahead.job_id), ahead.model_dump_json())
        assert job.transcribe().unaligned is None

    def test_a_language_that_whisper_does_not_know_starts_no_gpu(
        self, route: Stages, api_server: ApiServer, tmp_path: Path
    ) -> None:
        job = Job(route, api_server, tmp_path, languages=["zu"])
        assert job.transcribe().unaligned == "engine whisper does not know language 'zu'"

    def test_what_the_first_aligner_failed_of_is_told_with_what_the_second_says(
        self, route: Stages, api_server: ApiServer, tmp_path: Path
    ) -> None:
        job = Job(route, api_server, tmp_path)
        job.transcribe()
        job.spoil(unaligned_before="OSError: no sphinx")
        with pytest.raises(Unavailable):
            job.align_by(fail(Unavailable("engine_unavailable", "no GPU")))
        (told,) = [warning for warning in job.warnings() if "looked for" in warning]
        assert "OSError: no sphinx; Unavailable: engine_unavailable: no GPU" in told
        assert job.align_by(lambda: None).unaligned == "OSError: no sphinx"

    def test_a_failure_that_comes_late_leaves_what_a_later_run_has_found(
        self, route: Stages, api_server: ApiServer, tmp_path: Path
    ) -> None:
        job = Job(route, api_server, tmp_path)
        job.transcribe()

        def found_meanwhile() -> None:
            job.align()
            raise Unavailable("engine_unavailable", "no GPU")

        with pytest.raises(Unavailable):
            job.align_by(found_meanwhile)
        assert load_record(route.work, job.manifest.job_id, 0).chunk.timing == "aligned"

    @pytest.mark.parametrize(("longest_s", "timing"), [(None, "aligned"), (0, "estimated")])
    def test_a_chunk_that_takes_longer_than_its_times_are_worth_keeps_its_estimates(
        self,
        route: Stages,
        api_server: ApiServer,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        *,
        longest_s: int | None,
        timing: str,
    ) -> None:
        """Though the function has 15 minutes."""
        for name, value in {"WORK_BUCKET": WORK, "WHISPER_MODEL": TINY}.items():
            monkeypatch.setenv(name, value)
        if longest_s is not None:
            monkeypatch.setattr(gpu, "LONGEST_ALIGNED_S", longest_s)
        job = Job(route, api_server, tmp_path)
        job.transcribe()
        asked: Any = job.asked().model_dump(mode="json")
        named = ("function_name", "memory_limit_in_mb", "invoked_function_arn", "aws_request_id")
        context: Any = SimpleNamespace(
            **dict.fromkeys(named, "x"), get_remaining_time_in_millis=lambda: 900_000
        )
        with pytest.raises(JobError, match=r"^timed_out: ") if longest_s == 0 else nullcontext():
            gpu.handler(asked, context)
        assert load_record(route.work, job.manifest.job_id, 0).chunk.timing == timing
        assert any("timed_out" in warning for warning in job.warnings()) is (longest_s == 0)

    @pytest.mark.parametrize(("hours", "refused"), [(5.9, False), (6.1, True)])
    def test_a_job_waits_for_better_times_no_longer_than_it_can(
        self,
        route: Stages,
        api_server: ApiServer,
        tmp_path: Path,
        *,
        hours: float,
        refused: bool,
    ) -> None:
        job = Job(route, api_server, tmp_path)
        job.transcribe()
        begun = datetime.now(UTC) - timedelta(hours=hours)
        with pytest.raises(Rejected, match="after 6 hours") if refused else nullcontext():
            job.align_by(lambda: None, begun=begun)
        assert any("after 6 hours" in warning for warning in job.warnings()) is refused

    def test_who_forgets_the_recording_waits_for_a_step_that_has_only_begun(
        self, route: Stages, api_server: ApiServer, tmp_path: Path
    ) -> None:
        """The step before it has written the same record a moment ago."""
        job = Job(route, api_server, tmp_path)
        job.transcribe()
        stack: Any = SimpleNamespace(work=route.work)
        recording: Any = None
        now = datetime.now(UTC)
        task = Task({"chunk": 0, "align": True}, now, now + timedelta(minutes=31))
        ending = _Ending(stack, recording)
        assert not ending._has_ended(job.manifest.job_id, task)
        with pytest.raises(Unavailable):
            job.align_by(fail(Unavailable("engine_unavailable", "no GPU")))
        assert ending._has_ended(job.manifest.job_id, task)
        ended: list[bool] = []
        # Tried again: what the run before has noted is not the end.
        job.align_by(lambda: ended.append(ending._has_ended(job.manifest.job_id, task)))
        assert ended == [False]
        assert ending._has_ended(job.manifest.job_id, task)

    def test_who_forgets_waits_for_a_step_that_its_job_did_not_await(
        self, route: Stages, api_server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Step Functions leaves functions at work where another chunk of the Map has failed."""
        job = Job(route, api_server, tmp_path)
        job.transcribe()
        stack: Any = SimpleNamespace(work=route.work)
        recording: Any = None
        now = datetime.now(UTC)
        task = Task({"chunk": 0, "align": True}, now, now + timedelta(minutes=16))
        ended = SimpleNamespace(arn="any", status="SUCCEEDED", stopped=now, input="{}")
        monkeypatch.setattr(_Ending, "_run", lambda *_: ended)
        monkeypatch.setattr(aws, "unfinished_tasks", lambda _: [task])
        ending = _Ending(stack, recording)
        assert ending._at_work(job.manifest.job_id) == [task]
        job.align()
        assert ending._at_work(job.manifest.job_id) == []

    def test_while_the_recording_is_being_forgotten_nothing_is_looked_for(
        self, route: Stages, api_server: ApiServer, tmp_path: Path
    ) -> None:
        job = Job(route, api_server, tmp_path)
        job.transcribe()
        before = job.stored()
        route.work.write(stop_key(job.manifest.job_id), b"")
        with pytest.raises(Rejected, match="forgotten"):
            job.align_by(fail(AssertionError("asked")))
        told = dict.fromkeys(
            (stop_key(job.manifest.job_id), stopped_key(job.manifest.job_id, "00000")), b""
        )
        assert job.stored() == before | told

    def test_a_translation_is_not_looked_for(
        self, route: Stages, api_server: ApiServer, tmp_path: Path
    ) -> None:
        """In the audio it is in other words."""
        options = {"task": "translate", "model": "someones-own", "languages": None}
        job = Job(route, api_server, tmp_path, **options)
        piece = job.transcribe()
        assert (piece.timing, piece.unaligned) == ("estimated", None)
