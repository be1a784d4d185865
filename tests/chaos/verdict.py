"""Judges a run: what has to be there of each upload, what must not be, and how often it is so."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from dropscribe.errors import ERROR_CODES
from dropscribe.formats import ERROR_SUFFIX
from tests.chaos.api import SPOILED, Entry
from tests.chaos.evidence import SUFFIXES, Evidence, Trace
from tests.chaos.uploads import Upload

PASSING: Final = frozenset(
    {"rate_limited", "engine_unavailable", "engine_failed", "timed_out", "internal"}
)
"""Codes of what the faults can do to an upload that nothing is wrong with."""


@dataclass(frozen=True)
class Put:
    """An upload and the job that it stands for."""

    upload: Upload
    job: str


@dataclass
class Case:
    """One upload at the end of the run."""

    put: Put
    trace: Trace
    outcome: str = ""
    """`completed`, `failed`, `running`, `stuck` (ended, and nobody knows how) or `lost`."""
    code: str = ""
    """Of a failure."""


@dataclass
class Verdict:
    """The report."""

    cases: list[Case]
    wrong: dict[str, list[str]] = field(default_factory=dict)
    """What must not be → whose it is: job ids, or keys."""

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(case.outcome for case in self.cases)

    @property
    def codes(self) -> Counter[str]:
        return Counter(case.code for case in self.cases if case.code)

    @property
    def good(self) -> bool:
        return not any(self.wrong.values())


def judge(
    puts: Sequence[Put], evidence: Evidence, books: Sequence[Entry], spoken: dict[str, str]
) -> Verdict:
    """`books`: the API's own. `spoken`: kind of upload → text, where no script tells it."""
    cases = [_case(put, evidence.trace(put.job)) for put in puts]
    verdict = Verdict(cases)
    for name, check in _CHECKS.items():
        verdict.wrong[name] = sorted(set(check(cases)))
    verdict.wrong |= {
        "transcripts that differ from the truth": _untrue(cases, evidence, spoken),
        "outputs written twice with different content": _rewritten(cases, evidence),
        "answers of the API kept twice": _kept_twice(evidence),
        "files that a receipt names and are not there": _missing(cases, evidence),
        "older upload's files in a newer one's place": _misplaced(cases, evidence),
        "paid calls beyond pieces and ambiguous ones": _overpaid(cases, books),
        "call records that disagree with the API's books": _misbooked(cases, books),
        "jobs of no upload": sorted(set(evidence.traces) - {put.job for put in puts}),
    }
    return verdict


def _case(put: Put, trace: Trace) -> Case:
    """What became of an upload.

    The execution's end decides: `completed` needs a receipt beside it, `failed` a reason, which an
    error object or a notification tells. Without an execution a reason may come from the sweep.
    """
    case = Case(put, trace)
    if trace.status in ("RUNNING", "PENDING_REDRIVE"):
        case.outcome = "running"
    elif trace.status == "SUCCEEDED" and trace.receipts:
        case.outcome = "completed"
    elif trace.status != "SUCCEEDED" and (reason := _reason(trace)):
        case.outcome, case.code = "failed", reason
    elif trace.status or trace.receipts or trace.news:
        case.outcome = "stuck"
    else:
        case.outcome = "lost"
    return case


def _reason(trace: Trace) -> str:
    """The code of the newest report of a failure; empty where there is none that says why."""
    told = [n["message"]["data"]["error"] for n in trace.news if n["message"]["data"]["error"]]
    for failure in [*(error["error"] for error in trace.errors), *told[::-1]]:
        if failure["code"] in ERROR_CODES and failure["message"] and failure["stage"]:
            return str(failure["code"])
    return ""


Check = Callable[[Sequence[Case]], Iterator[str]]


def _of(outcome: str) -> Check:
    return lambda cases: (case.put.job for case in cases if case.outcome == outcome)


def _untold(outcome: str) -> Check:
    return lambda cases: (
        case.put.job for case in cases if case.outcome == outcome and not case.trace.told(outcome)
    )


def _unrecorded(cases: Sequence[Case]) -> Iterator[str]:
    """Failed, with transcripts neither of this nor of a newer upload there, and no error object."""
    newer: set[str] = set()
    for case in reversed(cases):
        key = case.put.upload.key
        told = case.trace.errors or case.trace.receipts
        if case.outcome == "failed" and not told and key not in newer:
            yield case.put.job
        newer.add(key)


def _two_ends(cases: Sequence[Case]) -> Iterator[str]:
    """Told of as completed and as failed, though nobody ran it again."""
    for case in cases:
        both = case.trace.told("completed") and case.trace.told("failed")
        if both and not case.trace.redrives:
            yield case.put.job


def _two_ids(cases: Sequence[Case]) -> Iterator[str]:
    for case in cases:
        if any(len(case.trace.told(kind)) > 1 for kind in ("completed", "failed")):
            yield case.put.job


def _wrong_reason(cases: Sequence[Case]) -> Iterator[str]:
    """What is wrong with an upload is told; what is not, is not."""
    for case in cases:
        right = case.put.upload.fails_as
        if case.outcome == "completed" and right:
            yield case.put.job
        if case.outcome == "failed" and case.code not in PASSING | {right}:
            yield case.put.job


_CHECKS: Final[dict[str, Check]] = {
    "lost": _of("lost"),
    "still running": _of("running"),
    "ended, and nobody knows how": _of("stuck"),
    "completed without notification": _untold("completed"),
    "failed without notification": _untold("failed"),
    "failed without error object": _unrecorded,
    "told of as completed and as failed": _two_ends,
    "notifications of one end with different ids": _two_ids,
    "completed or failed against the truth": _wrong_reason,
}


def _untrue(cases: Sequence[Case], evidence: Evidence, spoken: dict[str, str]) -> list[str]:
    found = []
    for case in cases:
        if case.outcome != "completed":
            continue
        said = _said(case, evidence)
        true = spoken.get(case.put.upload.kind) or case.put.upload.words
        if said != true:
            found.append(case.put.job)
    return found


def _said(case: Case, evidence: Evidence) -> str | list[list[str]]:
    """The words of each channel; the text where nobody wrote the words down."""
    receipt, upload = case.trace.receipts[0], case.put.upload
    uris = {output["format"]: output["uri"] for output in receipt["outputs"]}
    written = evidence.written(case.put.job)
    if len(upload.words or []) > 1:
        channels: defaultdict[str, list[str]] = defaultdict(list)
        for segment in json.loads(written(uris["diarized_json"]))["segments"]:
            channels[segment["speaker"]] += segment["text"].split()
        return [channels[name] for name in sorted(channels)]
    text = str(json.loads(written(uris["json"]))["text"])
    return [text.split()] if upload.words else text


def _rewritten(cases: Sequence[Case], evidence: Evidence) -> list[str]:
    """Not so error objects of jobs that were run again: they may fail for another reason."""
    again = {case.put.job for case in cases if case.trace.redrives}
    return sorted(
        {
            job
            for (_, key, job), files in evidence.outputs().items()
            if len(files) > 1
            and not (job in again and key.endswith(ERROR_SUFFIX))
            and len({evidence.digest(file) for file in files}) > 1
        }
    )


def _kept_twice(evidence: Evidence) -> list[str]:
    """Not so the times of words: those that could not be found in the audio are looked for anew."""
    answers = evidence.answers().items()
    return sorted(key for key, files in answers if len(files) > 1 and ".words-" not in key)


def _missing(cases: Sequence[Case], evidence: Evidence) -> list[str]:
    there = {(f"s3://{f.bucket}/{f.key}", f.job, f.size) for f in evidence.files if f.job}
    return [
        case.put.job
        for case in cases
        if case.outcome == "completed"
        for output in case.trace.receipts[0]["outputs"]
        if (output["uri"], case.put.job, output["size"]) not in there
    ]


def _misplaced(cases: Sequence[Case], evidence: Evidence) -> list[str]:
    """Whose files lie where those of a newer upload were that completed.

    A newer one that failed while it wrote may have left some of its files: its error says so.
    """
    age = {case.put.job: number for number, case in enumerate(cases)}
    newest = {c.put.upload.key: c.put.job for c in cases if c.outcome == "completed"}
    found = set()
    for file in evidence.files:
        if not (file.latest and file.job in age and file.bucket == evidence.route.transcripts):
            continue
        for suffix in SUFFIXES:
            key = file.key.removesuffix(suffix)
            if key != file.key and key in newest and age[file.job] < age[newest[key]]:
                found.add(file.job)
    return sorted(found)


def _overpaid(cases: Sequence[Case], books: Sequence[Entry]) -> list[str]:
    """By those who ask the same: they share their answers.

    Who runs a job again whose answer came spoiled wants it paid again.
    """
    billed = Counter(entry.prompt for entry in books if entry.billed)
    spoiled = Counter(entry.prompt for entry in books if entry.outcome in SPOILED)
    allowed: Counter[str] = Counter()
    for case in cases:
        prompt, trace = case.put.upload.prompt, case.trace
        allowed[prompt] += len(trace.pieces) + trace.calls["sent"]
        allowed[prompt] += spoiled[prompt] if trace.redrives else 0
    return sorted(prompt for prompt in billed if billed[prompt] > allowed[prompt])


def _misbooked(cases: Sequence[Case], books: Sequence[Entry]) -> list[str]:
    """What our records say was answered is billed, what is billed is answered or ambiguous.

    And a receipt says what the records say.
    """
    billed = Counter(entry.prompt for entry in books if entry.billed)
    read = Counter(entry.prompt for entry in books)
    calls: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for case in cases:
        calls[case.put.upload.prompt] += case.trace.calls
    found = {
        prompt
        for prompt, ours in calls.items()
        if not ours["answered"] <= billed[prompt] <= ours["answered"] + ours["sent"]
        or read[prompt] > ours.total()
    }
    return sorted(found | {c.put.job for c in cases if c.outcome == "completed" and _differs(c)})


def _differs(case: Case) -> bool:
    told, ours = case.trace.receipts[0]["calls"], case.trace.calls
    names = {"answered": "answered", "refused": "refused", "ambiguous": "sent"}
    return any(told[name] != ours[state] for name, state in names.items())
