"""Sweep: find uploads that should have ended and have not, and mend that.

Events get lost, if rarely: S3's are delivered at least once, those of ended executions as well as
EventBridge can. This looks at the bucket itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from dropscribe import aws
from dropscribe.aws import Bucket, Version
from dropscribe.errors import Failure
from dropscribe.formats import LONGEST_KEY_BYTES, RECEIPT_SUFFIX
from dropscribe.job import Source, job_id_of
from dropscribe.publish import JOB
from dropscribe.stages.fail import Desk, fail
from dropscribe.stages.ingest import enqueue, is_recording

LOOKS_AT_ONCE: Final = 8
OLDEST: Final = "0"
"""The sequencer before all others."""
BATCH: Final = 1000
"""Uploads in memory at a time."""


@dataclass(frozen=True)
class Swept:
    """What a sweep found. The jobs of what was lost have their end before them now."""

    looked_at: int = 0
    """Uploads that should have ended by now."""
    queued: tuple[str, ...] = ()
    """Jobs that had never started."""
    reported: tuple[tuple[str, Failure], ...] = ()
    """Jobs that had failed, and nobody was told."""

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

    def sweep(self, until: datetime, window: timedelta) -> Swept:
        """Look at every version that was uploaded in the `window` before `until`."""
        overdue = self._recordings(until - window, until)
        looked_at, queued, reported = 0, list[str](), list[tuple[str, Failure]]()
        with ThreadPoolExecutor(LOOKS_AT_ONCE) as pool:
            while batch := list(islice(overdue, BATCH)):
                looked_at += len(batch)
                for source, found in zip(batch, pool.map(self._mended, batch), strict=True):
                    if isinstance(found, Failure):
                        reported.append((job_id_of(source), found))
                    elif found:
                        queued.append(job_id_of(source))
        return Swept(looked_at, tuple(queued), tuple(reported))

    def _recordings(self, since: datetime, until: datetime) -> Iterator[Source]:
        for version in self.uploads.versions():
            if version.size is not None and since <= version.modified < until:
                source = source_of(self.uploads.name, version)
                if not version.latest:
                    # The bucket knows seconds alone: a newer one may be of the same.
                    source = source.model_copy(update={"sequencer": OLDEST})
                if is_recording(source):
                    yield source

    def _mended(self, source: Source) -> Failure | bool:
        """The failure that was told of, or whether the job was queued."""
        job = job_id_of(source)
        if self._has_receipt(source, job):
            return False
        run = aws.latest_run(self.state_machine_arn, job)
        if run is None:
            enqueue(source, self.queue_url)
            return True
        return (fail(run.arn, self.desk) if run.failed else None) or False

    def _has_receipt(self, source: Source, job: str) -> bool:
        """The quick answer for nearly all: S3 takes far more questions than Step Functions."""
        key = source.key + RECEIPT_SUFFIX
        if len(key.encode()) > LONGEST_KEY_BYTES:
            return False
        found = self.desk.transcripts.head(key)
        return found is not None and found.metadata.get(JOB) == job
