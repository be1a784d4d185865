"""Results beside an upload's name: whichever job finishes last, the newest upload's files stay.

Each file carries its upload's place in S3's order of events on the key, and is replaced only
under the condition that it is still the one we looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dropscribe.aws import Bucket, Stored
from dropscribe.errors import Unavailable
from dropscribe.formats import ERROR_SUFFIX, OUTPUTS, RECEIPT_SUFFIX
from dropscribe.job import Source, is_newer

ORDER: Final = "dropscribe-order"
"""Object metadata: `Source.order` of the upload that a file belongs to."""
JOB: Final = "dropscribe-job"
TRIES: Final = 10
"""Of replacing a file while others replace it."""


@dataclass(frozen=True)
class Document:
    """One file to write."""

    suffix: str
    """After the upload's key."""
    content: bytes
    content_type: str


def superseded(bucket: Bucket, source: Source) -> bool:
    """Whether a newer version of the upload has its result there already."""
    heads = [bucket.head(source.key + suffix) for suffix in (RECEIPT_SUFFIX, ERROR_SUFFIX)]
    return any(is_newer(_order(head), source.order) for head in heads if head)


def publish_all(bucket: Bucket, source: Source, job: str, documents: list[Document]) -> bool:
    """Write `<key><suffix>` of each; False, and none of them left, where a newer upload's are."""
    if superseded(bucket, source):
        return False
    if all(publish(bucket, source, job, document) for document in documents):
        return True
    for document in documents:
        key = source.key + document.suffix
        found = bucket.head(key)
        if found and found.metadata.get(JOB) == job:
            bucket.delete_if(key, found)
    return False


def publish(bucket: Bucket, source: Source, job: str, document: Document) -> bool:
    """Write `<key><suffix>`, unless a newer upload's is there: then False."""
    key = source.key + document.suffix
    for _ in range(TRIES):
        current = bucket.head(key)
        if current and is_newer(_order(current), source.order):
            return False
        if bucket.write_if(
            key,
            document.content,
            replacing=current,
            content_type=document.content_type,
            metadata={ORDER: source.order, JOB: job},
        ):
            return True
    raise Unavailable("internal", f"{bucket.uri(key)} is being replaced by others: try again")


def retire_others(bucket: Bucket, source: Source, written: set[str]) -> None:
    """Delete what older jobs left beside the upload: a stale error, formats no longer made.

    The bucket is versioned: everything can be restored.
    """
    suffixes = {output.suffix for output in OUTPUTS.values()} | {ERROR_SUFFIX}
    for suffix in sorted(suffixes - written):
        found = bucket.head(source.key + suffix)
        if found and ORDER in found.metadata and not is_newer(_order(found), source.order):
            bucket.delete_if(source.key + suffix, found)


def _order(stored: Stored) -> str:
    """A file without the mark was not written by us: older than everything."""
    return stored.metadata.get(ORDER, "")
