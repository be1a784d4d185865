"""What is there after a run: read from the buckets, the executions and the notifications.

Nothing here knows which faults there were.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from dropscribe.formats import ERROR_SUFFIX, OUTPUTS, RECEIPT_SUFFIX
from dropscribe.job import calls_prefix
from dropscribe.publish import JOB
from tests.route import Route

READS_AT_ONCE: Final = 8
SUFFIXES: Final = (*(output.suffix for output in OUTPUTS.values()), RECEIPT_SUFFIX, ERROR_SUFFIX)


@dataclass(frozen=True)
class File:
    """One version of one object."""

    bucket: str
    key: str
    version: str
    etag: str
    size: int
    latest: bool
    job: str = ""
    """Whose it is; empty where it does not say."""


@dataclass
class Trace:
    """All that is known of one job."""

    job: str
    status: str = ""
    """Of its execution; empty: there is none."""
    redrives: int = 0
    error: str = ""
    cause: str = ""
    news: list[dict[str, Any]] = field(default_factory=list)
    """Notifications as they came, repeats included."""
    receipts: list[dict[str, Any]] = field(default_factory=list)
    """Every version of it, the last one first."""
    errors: list[dict[str, Any]] = field(default_factory=list)
    """Every version of its error object, the last one first."""
    calls: Counter[str] = field(default_factory=Counter)
    """Records of API calls by state."""
    pieces: set[str] = field(default_factory=set)
    """That the API was asked about."""

    def told(self, kind: str) -> set[str]:
        """Ids of the notifications of one kind, `completed` or `failed`."""
        return {
            news["message"]["id"] for news in self.news if news["message"]["type"].endswith(kind)
        }


def all_news(route: Route) -> list[dict[str, Any]]:
    """All notifications so far, as `Route.received` hands them out some at a time."""
    seen = -1
    while seen != len(route.news):
        seen = len(route.news)
        route.received()
    return route.news


class Evidence:
    """Collected once, after everything has come to rest."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.traces: dict[str, Trace] = {}
        self.files = [*self._versions(route.transcripts), *self._versions(route.work)]
        self._written = defaultdict(list)
        for file in self.files:
            if file.job:
                self._written[file.bucket, file.key, file.job].append(file)
        self._executions()
        self._notifications()
        self._reports()
        self._calls()

    def trace(self, job: str) -> Trace:
        return self.traces.setdefault(job, Trace(job))

    def with_trace(self, trace: Trace) -> Evidence:
        """The same, but for one job."""
        other = copy.copy(self)
        other.traces = self.traces | {trace.job: trace}
        return other

    def outputs(self) -> dict[tuple[str, str, str], list[File]]:
        """Every version of each file that a job wrote for its uploader: by bucket, key and job.

        The last one comes first.
        """
        return self._written

    def answers(self) -> dict[str, list[File]]:
        """Every version of each answer that is kept, by its key."""
        kept = defaultdict(list)
        for file in self.files:
            if file.bucket == self.route.work and file.key.startswith("results/"):
                kept[file.key].append(file)
        return kept

    def digest(self, file: File) -> str:
        """Of what has to be the same in each version.

        Receipts tell how long each step took, error objects when they were written.
        """
        if not file.key.endswith((RECEIPT_SUFFIX, ERROR_SUFFIX)):
            return file.etag
        content = self.read(file)
        content.pop("timings_ms", None)
        content.pop("timestamp", None)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def read(self, file: File) -> Any:
        """A version's JSON."""
        found = self.route.s3.get_object(Bucket=file.bucket, Key=file.key, VersionId=file.version)
        return json.loads(found["Body"].read())

    def written(self, job: str) -> Callable[[str], bytes]:
        """What a job wrote at an `s3://` address, last: a newer upload's may be there now."""

        def content(uri: str) -> bytes:
            bucket, _, key = uri.removeprefix("s3://").partition("/")
            file = self._written[bucket, key, job][0]
            found = self.route.s3.get_object(Bucket=bucket, Key=key, VersionId=file.version)
            body: bytes = found["Body"].read()
            return body

        return content

    def _versions(self, bucket: str) -> Iterator[File]:
        pages = self.route.s3.get_paginator("list_object_versions")
        listed = [
            File(bucket, v["Key"], v["VersionId"], v["ETag"], v["Size"], v["IsLatest"])
            for page in pages.paginate(Bucket=bucket)
            for v in page.get("Versions", [])
        ]
        with ThreadPoolExecutor(READS_AT_ONCE) as pool:
            return iter(list(pool.map(self._owned, listed)))

    def _owned(self, file: File) -> File:
        """With its job, where it is a file for the uploader."""
        if file.bucket == self.route.transcripts:
            found = self.route.s3.head_object(
                Bucket=file.bucket, Key=file.key, VersionId=file.version
            )
            job = found["Metadata"].get(JOB, "")
        else:
            parts = file.key.split("/")
            job = parts[1] if parts[0] == "jobs" and parts[2] == "outputs" else ""
        return File(**{**vars(file), "job": job})

    def _executions(self) -> None:
        for job in self.route.jobs():
            found, trace = self.route.describe(job), self.trace(job)
            trace.status, trace.redrives = found["status"], found.get("redriveCount", 0)
            trace.error, trace.cause = found.get("error") or "", found.get("cause") or ""

    def _notifications(self) -> None:
        for news in all_news(self.route):
            self.trace(news["message"]["data"]["job_id"]).news.append(news)

    def _reports(self) -> None:
        """Of each job; the newest version of one comes first, as S3 lists them."""
        for file in self.files:
            if file.job and file.key.endswith(RECEIPT_SUFFIX):
                self.trace(file.job).receipts.append(self.read(file))
            elif file.job and file.key.endswith(ERROR_SUFFIX):
                self.trace(file.job).errors.append(self.read(file))

    def _calls(self) -> None:
        keys = [f for f in self.files if f.bucket == self.route.work and "/calls/" in f.key]
        latest = [file for file in keys if file.latest]
        with ThreadPoolExecutor(READS_AT_ONCE) as pool:
            states = list(pool.map(lambda file: self.read(file)["state"], latest))
        for file, state in zip(latest, states, strict=True):
            job = file.key.split("/")[1]
            trace = self.trace(job)
            trace.calls[state] += 1
            trace.pieces.add(file.key.removeprefix(calls_prefix(job)).partition("-")[0])
