"""A job's course is read from its execution's history, retries and redrives included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dropscribe.cli.follow import Course

START = datetime(2026, 11, 20, 12, tzinfo=UTC)


def course(*events: tuple[str, dict[str, Any]]) -> Course:
    """Of events a second apart."""
    made = Course()
    made.advance(
        {"id": number, "type": kind, "timestamp": START + timedelta(seconds=number), **details}
        for number, (kind, details) in enumerate(events, 1)
    )
    return made


def entered(state: str) -> tuple[str, dict[str, Any]]:
    kind = "MapStateEntered" if state.startswith("Transcribe") else "TaskStateEntered"
    return kind, {"stateEnteredEventDetails": {"name": state}}


def exited(state: str) -> tuple[str, dict[str, Any]]:
    return "TaskStateExited", {"stateExitedEventDetails": {"name": state}}


def iterated(index: int) -> tuple[str, dict[str, Any]]:
    return "MapIterationSucceeded", {"mapIterationSucceededEventDetails": {"index": index}}


MAP = ("MapStateStarted", {"mapStateStartedEventDetails": {"length": 3}})
BUSY = (
    "TaskFailed",
    {"taskFailedEventDetails": {"error": "Unavailable", "cause": "rate_limited: try later"}},
)


class TestCourse:
    def test_chunks_are_counted_inside_the_map(self) -> None:
        now = course(
            *(entered("Normalize"), exited("Normalize"), entered("TranscribeChunks"), MAP),
            *(entered("Transcribe"), exited("Transcribe"), iterated(1)),
        )
        assert (now.label, round(now.fraction, 2)) == ("transcribe 1 of 3", 0.38)
        assert [(step.stage, step.outcome) for step in now.steps] == [
            *(("normalize", "completed"), ("transcribe", "running")),
        ]

    def test_a_chunk_that_goes_ahead_counts_with_the_others(self) -> None:
        one = ("MapStateStarted", {"mapStateStartedEventDetails": {"length": 1}})
        ahead = [entered("TranscribeLeaders"), one, iterated(0), exited("TranscribeLeaders")]
        now = course(*ahead, entered("TranscribeChunks"), MAP, iterated(0))
        assert now.label == "transcribe 2 of 4"
        assert [(step.stage, step.outcome) for step in now.steps] == [("transcribe", "running")]

    def test_words_that_are_aligned_afterwards_are_not_chunks_that_are_transcribed(self) -> None:
        chunks = [entered("TranscribeChunks"), MAP, *map(iterated, range(3))]
        two = ("MapStateStarted", {"mapStateStartedEventDetails": {"length": 2}})
        ahead = [exited("TranscribeChunks"), entered("AlignFirst"), exited("AlignFirst")]
        now = course(*chunks, *ahead, entered("AlignOthers"), two, iterated(0))
        assert now.label == "transcribe 3 of 3"
        assert [(step.stage, step.outcome) for step in now.steps] == [("transcribe", "running")]

    @pytest.mark.parametrize("after", [exited("AlignFirst"), iterated(0)])
    def test_a_failure_that_was_caught_is_none_any_more(
        self, after: tuple[str, dict[str, Any]]
    ) -> None:
        assert course(entered("AlignFirst"), BUSY, after).trouble is None

    def test_a_try_that_failed_is_told_until_one_succeeds(self) -> None:
        assert course(entered("Normalize"), BUSY).label == "normalize, again after rate_limited"
        assert course(entered("Normalize"), BUSY, ("TaskSucceeded", {})).label == "normalize"

    def test_a_redrive_enters_the_failed_stage_again(self) -> None:
        failed: list[tuple[str, dict[str, Any]]]
        failed = [entered("Normalize"), BUSY, ("ExecutionFailed", {}), ("ExecutionRedriven", {})]
        afterwards: list[list[tuple[str, dict[str, Any]]]] = [[], [entered("Normalize")]]
        for resumed in afterwards:
            steps = course(*failed, *resumed).steps
            assert [(step.outcome, step.failed_tries) for step in steps] == [
                *(("failed", 1), ("running", 0)),
            ]
