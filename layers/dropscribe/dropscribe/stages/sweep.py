"""Sweep: find uploads that should have ended and have not, and mend that.

Events get lost, if rarely: S3's are delivered at least once, those of ended executions as well as
EventBridge can. This asks the bucket which uploads have no job, and Step Functions what has failed.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from dropscribe import aws
from dropscribe.aws import Bucket, Version
from dropscribe.errors import Failure
from dropscribe.formats import ERROR_SUFFIX, LONGEST_KEY_BYTES, RECEIPT_SUFFIX
from dropscribe.job import Source, job_id_of, job_of_run
from dropscribe.publish import JOB
from dropscribe.stages.fail import Desk, fail
from dropscribe.stages.ingest import enqueue, is_recording

NEWS_TAKES: Final = timedelta(minutes=15)
"""Of a failure, at most, as a rule: EventBridge and FailFunction take seconds."""
LOOKS_AT_ONCE: Final = 8
OLDEST: Final = "0"
"""The sequencer before all others."""
BATCH: Final = 1000
"""Uploads in memory at a time."""


@dataclass
class Swept:
    """What a sweep found. The jobs of what was lost have their end before them now."""

    looked_at: int = 0
    """Uploads that should have ended by now."""
    queued: list[str] = field(default_factory=list)
    """Jobs that had never started."""
    reported: list[tuple[str, Failure]] = field(default_factory=list)
    """Jobs that had failed, and nobody was told."""
    unclear: dict[str, Exception] = field(default_factory=dict)
    """Jobs that could not be looked at, and why: the others were."""

    @property
    def lost(self) -> int:
        return len(self.queued) + len(self.reported)


def source_of(bucket: str, version: Version) -> Source:
    """An upload as it lies there, when no event told of it."""
    return Source(
        bucket=bucket,
        key=version.key,
        version_id=version.id,
        etag=version.etag,
        size=version.size or 0,
        uploaded_at=version.modified.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


@dataclass(frozen=True)
class Sweeper:
    """What a sweep works on."""

    uploads: Bucket
    queue_url: str
    """Of the jobs."""
    state_machine_arn: str
    desk: Desk

    def sweep(self, now: datetime, overdue: timedelta, window: timedelta) -> Swept:
        """Look at all that was uploaded, and at all that failed, within a `window`.

        That of the uploads ends `overdue` before now: none of them may still wait or run. One in
        parts counts as of when it was begun, as S3 tells no other time. That of the failures ends
        when news of them should have come.
        """
        swept = Swept()
        self._queue_uploads(swept, now - overdue - window, now - overdue)
        self._report_failures(swept, now - window, now - min(overdue, NEWS_TAKES))
        return swept

    def _queue_uploads(self, swept: Swept, since: datetime, until: datetime) -> None:
        overdue = self._recordings(since, until)
        with ThreadPoolExecutor(LOOKS_AT_ONCE) as pool:
            while batch := list(islice(overdue, BATCH)):
                swept.looked_at += len(batch)
                list(pool.map(lambda source: self._look_at(source, swept), batch))

    def _look_at(self, source: Source, swept: Swept) -> None:
        """Queue the job of an upload if it has never started."""
        job = job_id_of(source)
        try:
            if self._has_ended(source, job) or aws.latest_run(self.state_machine_arn, job):
                return
            enqueue(source, self.queue_url)
            swept.queued.append(job)
        except Exception as error:  # noqa: BLE001 - one that cannot be looked at hides no other
            swept.unclear[job] = error

    def _report_failures(self, swept: Swept, since: datetime, until: datetime) -> None:
        for arn, stopped in aws.failed_since(self.state_machine_arn, since):
            job = job_of_run(arn.rpartition(":")[2])
            try:
                failure = fail(arn, self.desk) if stopped <= until else None
            except Exception as error:  # noqa: BLE001 - as above
                swept.unclear[job] = error
            else:
                swept.reported += [(job, failure)] if failure else []

    def _recordings(self, since: datetime, until: datetime) -> Iterator[Source]:
        for version in self.uploads.versions():
            if version.size is not None and since <= version.modified < until:
                source = source_of(self.uploads.name, version)
                if not version.latest:
                    # The bucket knows seconds alone: a newer one may be of the same.
                    source = source.model_copy(update={"sequencer": OLDEST})
                if is_recording(source):
                    yield source

    def _has_ended(self, source: Source, job: str) -> bool:
        """The quick answer for nearly all: S3 takes far more questions than Step Functions.

        This very job has written a receipt or an error, so it had started, whatever runs now.
        """
        for suffix in (RECEIPT_SUFFIX, ERROR_SUFFIX):
            key = source.key + suffix
            if len(key.encode()) <= LONGEST_KEY_BYTES:
                found = self.desk.transcripts.head(key)
                if found is not None and found.metadata.get(JOB) == job:
                    return True
        return False
