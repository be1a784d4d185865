"""A short run of `make chaos`: the promise holds, and a broken one is seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.api import Entry
from tests.chaos.report import lines
from tests.chaos.run import Result, chaos
from tests.chaos.verdict import Case, Put, Verdict

UPLOADS = 24
SEED = 7
"""Of few that have every cheap kind of upload, and a lost event, among so few."""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Result]:
    folder = tmp_path_factory.mktemp("chaos")
    with chaos(UPLOADS, SEED, 0.1, folder, environments=2) as run:
        yield run


@pytest.fixture(scope="module")
def verdict(result: Result) -> Verdict:
    return result.verdict()


class TestPromise:
    def test_every_upload_ends_once_and_nothing_is_paid_twice(
        self, result: Result, verdict: Verdict
    ) -> None:
        broken = {name: whose for name, whose in verdict.wrong.items() if whose}
        assert broken == {}, "\n".join(lines(result, verdict))
        assert verdict.outcomes.keys() == {"completed", "failed"}
        assert verdict.outcomes.total() == UPLOADS

    def test_there_were_faults_of_each_kind(self, result: Result) -> None:
        """Else nothing has been shown."""
        for site in ("API", "killed", "s3", "Lambda", "S3 event"):
            assert any(struck.startswith(site) for struck in result.struck), result.struck


def traced(result: Result, case: Case, **other: Any) -> Result:
    """With other traces of one job."""
    job = case.put.job
    evidence = result.evidence.with_trace(replace(case.trace, **other))
    assert evidence.trace(job) is not case.trace
    return replace(result, evidence=evidence)


Tampering = Callable[[Result, Case], Result]


def lost(result: Result, case: Case) -> Result:
    put = Put(replace(case.put.upload, key="never seen"), "nobody")
    return replace(result, puts=[*result.puts, put])


def unasked(result: Result, case: Case) -> Result:
    return replace(result, puts=[put for put in result.puts if put.job != case.put.job])


def misspelt(result: Result, case: Case) -> Result:
    puts = [
        replace(put, upload=replace(put.upload, words=[["something", "else"]]))
        if put.job == case.put.job
        else put
        for put in result.puts
    ]
    return replace(result, puts=puts)


def paid_once_more(result: Result, case: Case) -> Result:
    return replace(result, books=[*result.books, Entry(case.put.upload.prompt, "answered")])


def fails(result: Result, case: Case) -> Result:
    error = {"code": "internal", "message": "no", "stage": "format"}
    told = {**case.trace.news[0]["message"], "type": "transcription.job.failed", "id": "evt_2"}
    told["data"] = {**told["data"], "error": error}
    news = [*case.trace.news, {"message": told}]
    # Nobody ran it again, whatever happened in this run.
    return traced(result, case, status="FAILED", news=news, receipts=[], errors=[], redrives=0)


@pytest.mark.parametrize(
    ("tampering", "row"),
    [
        (lost, "lost"),
        (lambda r, c: traced(r, c, status="RUNNING"), "still running"),
        (lambda r, c: traced(r, c, receipts=[]), "ended, and nobody knows how"),
        (lambda r, c: traced(r, c, news=[]), "completed without notification"),
        (fails, "told of as completed and as failed"),
        (fails, "failed without error object"),
        (misspelt, "transcripts that differ from the truth"),
        (paid_once_more, "paid calls beyond pieces and ambiguous ones"),
        (paid_once_more, "call records that disagree with the API's books"),
        (unasked, "jobs of no upload"),
    ],
)
def test_a_broken_promise_turns_its_row_red(
    result: Result, verdict: Verdict, tampering: Tampering, row: str
) -> None:
    keys = Counter(put.upload.key for put in result.puts)
    case = next(
        case
        for case in verdict.cases
        if (case.outcome, case.put.upload.kind, keys[case.put.upload.key])
        == ("completed", "short", 1)
    )
    assert len(tampering(result, case).verdict().wrong[row]) > len(verdict.wrong[row])
