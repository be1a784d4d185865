"""All that is kept of one recording in the three buckets, and its end.

What leads to other things goes last: job ids are found through the versions of the upload and of
its outputs, cached answers through what a job has kept. So whatever interrupts it, the same can be
done again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from dropscribe.aws import Bucket, Version
from dropscribe.formats import ERROR_SUFFIX, OUTPUTS, RECEIPT_SUFFIX
from dropscribe.job import JOB_ID_DIGITS, job_id, manifest_key, readable_name
from dropscribe.options import SIDECAR_SUFFIX
from dropscribe.publish import JOB

SUFFIXES: Final = (*(output.suffix for output in OUTPUTS.values()), RECEIPT_SUFFIX, ERROR_SUFFIX)
"""Of everything that is written beside an upload's name."""
READS_AT_ONCE: Final = 8
"""Of S3."""
_ANSWER: Final = re.compile(r"results/[0-9a-f]+")
"""As a job's records name them: read from their text, whichever release has written them."""
_POINTERS: Final = re.compile(r"jobs/[^/]+/(chunks/\d+\.json|asked/.+)")
"""Where the keys of answers stand."""


@dataclass(frozen=True)
class Recording:
    """One key of the uploads bucket: all that was ever uploaded under it."""

    key: str
    uploads: Bucket
    transcripts: Bucket
    work: Bucket

    def uploaded(self) -> dict[str, Version]:
        """The job of each version that is there."""
        return _jobs(self.uploads, self.key)

    def jobs(self, key_of: Callable[[str], str | None]) -> set[str]:
        """Ids of all its jobs: of its uploads and outputs, and of what only the work bucket has.

        `key_of`: a job's id → its upload's key, as its execution knows; None: nobody does.
        """
        known = set(self.uploaded()) | {job for _, job in self._outputs() if job}
        prefix = f"jobs/{readable_name(self.key)}-"
        others = [
            folder.split("/")[1]
            for folder in self.work.folders(prefix)
            if self.may_be_mine(folder.split("/")[1]) and folder.split("/")[1] not in known
        ]
        with ThreadPoolExecutor(READS_AT_ONCE) as pool:
            keys = pool.map(lambda job: self._manifest_key(job) or key_of(job), others)
            return known | {job for job, key in zip(others, keys, strict=True) if key == self.key}

    def may_be_mine(self, job: str) -> bool:
        """Whether a job's name fits the key; those of other keys may fit, too."""
        digits = job.removeprefix(f"{readable_name(self.key)}-")
        return re.fullmatch(f"[0-9a-f]{{{JOB_ID_DIGITS}}}", digits) is not None

    def traces(self, jobs: Iterable[str]) -> Traces:
        """What there is at this moment."""
        jobs = sorted(jobs)
        kept = [version for job in jobs for version in self.work.versions(f"jobs/{job}/")]
        return Traces(
            self,
            {
                "cached answers": list(self._answers(kept)),
                "intermediate files": sorted(kept, key=lambda version: _leads_on(version.key)),
                "option files": self.uploads.versions_of(self.key + SIDECAR_SUFFIX),
                "uploads": self.uploads.versions_of(self.key),
                "outputs": [version for version, _ in self._outputs()],
            },
            [
                *(
                    (self.work, *one)
                    for job in jobs
                    for one in self.work.unfinished(f"jobs/{job}/")
                ),
                *((self.uploads, *one) for one in self._unfinished_uploads()),
            ],
        )

    def _unfinished_uploads(self) -> Iterator[tuple[str, str]]:
        return (one for one in self.uploads.unfinished(self.key) if one[0] == self.key)

    def _outputs(self) -> Iterator[tuple[Version, str | None]]:
        """With the job of each, None where nobody has marked it.

        What another recording has put there stays: the `a.verbose.json` of `a` may as well be the
        `.json` of `a.verbose`. Then delete markers stay, too, or an older version would reappear.
        """
        names = {self.key + suffix: suffix for suffix in SUFFIXES}
        for key, versions in groupby(self.transcripts.versions(f"{self.key}."), _key):
            if key not in names:
                continue
            strangers = self._strangers(names[key])
            marked = [(version, self._job(version)) for version in versions]
            mine = [
                (version, job)
                for version, job in marked
                if job is None or (self.may_be_mine(job) and job not in strangers)
            ]
            alone = len(mine) == len(marked)
            yield from ((v, job) for v, job in mine if alone or v.size is not None)

    def _strangers(self, suffix: str) -> set[str]:
        """Jobs of the upload whose `.json` is this output of ours, and whose ids look like ours."""
        other = (self.key + suffix).removesuffix(".json")
        alike = other != self.key and readable_name(other) == readable_name(self.key)
        return set(_jobs(self.uploads, other)) if alike and suffix.endswith(".json") else set()

    def _job(self, output: Version) -> str | None:
        if output.size is None:
            return None
        stored = self.transcripts.head(output.key, output.id)
        return stored.metadata.get(JOB) if stored else None

    def _manifest_key(self, job: str) -> str | None:
        content = self.work.read(manifest_key(job))
        return str(json.loads(content)["source"]["key"]) if content else None

    def _answers(self, kept: Iterable[Version]) -> Iterator[Version]:
        """Those that its jobs have used, with the times of words beside them."""
        pointers = [version for version in kept if version.size and _leads_on(version.key)]
        with ThreadPoolExecutor(READS_AT_ONCE) as pool:
            texts = [found or b"" for found in pool.map(self.work.read_version, pointers)]
        names = {name for text in texts for name in _ANSWER.findall(text.decode())}
        for name in sorted(names):
            yield from self.work.versions(f"{name}.")


@dataclass(frozen=True)
class Traces:
    """What there was of a recording at one moment."""

    recording: Recording
    versions: dict[str, list[Version]]
    """By kind, in the order in which they have to go."""
    unfinished: list[tuple[Bucket, str, str]]
    """Multipart uploads: bucket, key, upload id."""

    def __bool__(self) -> bool:
        return bool(self.unfinished) or any(self.versions.values())

    def delete(self, removed: Removed) -> None:
        """Delete all of it, and note what. What leads to something that stayed stays, too."""
        for bucket, key, upload_id in self.unfinished:
            bucket.abort_unfinished(key, upload_id)
            removed.unfinished_uploads += 1
        for kind, versions in self.versions.items():
            bucket = self._bucket(kind)
            failed = bucket.delete_for_good(versions)
            removed.note(kind, [version for version in versions if version not in failed])
            removed.failed |= {_uri(bucket, version): why for version, why in failed.items()}
            if failed:
                return

    def uris(self) -> Iterator[str]:
        for kind, versions in self.versions.items():
            yield from (_uri(self._bucket(kind), version) for version in versions)
        yield from (f"{bucket.uri(key)} (unfinished)" for bucket, key, _ in self.unfinished)

    def _bucket(self, kind: str) -> Bucket:
        buckets = {
            "uploads": self.recording.uploads,
            "option files": self.recording.uploads,
            "outputs": self.recording.transcripts,
        }
        return buckets.get(kind, self.recording.work)


@dataclass
class Removed:
    """What is gone for good."""

    counts: dict[str, int] = field(default_factory=dict)
    """Kind → versions, delete markers included."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Kind → bytes."""
    unfinished_uploads: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    """What could not be deleted → why."""
    left: list[str] = field(default_factory=list)
    """What was there afterwards."""

    def note(self, kind: str, versions: list[Version]) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + len(versions)
        self.sizes[kind] = self.sizes.get(kind, 0) + sum(v.size or 0 for v in versions)


def _jobs(uploads: Bucket, key: str) -> dict[str, Version]:
    """The job of each version of an upload."""
    versions = (version for version in uploads.versions_of(key) if version.size is not None)
    return {job_id(uploads.name, key, version.id): version for version in versions}


def _key(version: Version) -> str:
    return version.key


def _uri(bucket: Bucket, version: Version) -> str:
    return f"{bucket.uri(version.key)} ({version.id})"


def _leads_on(key: str) -> bool:
    """Whether an intermediate file names cached answers: it goes after the others."""
    return _POINTERS.fullmatch(key) is not None
