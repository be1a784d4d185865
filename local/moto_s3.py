"""Bridges of moto's S3: notifications as AWS writes them, and conditions that hold in a race."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any
from urllib.parse import quote_plus

from moto.s3 import notifications
from moto.s3.responses import S3Response

from local.replacements import Replacements


def bridge_notification_records(replace: Replacements) -> None:
    """AWS: a record has `sequencer`, `versionId` if versioned, and slashes in its key.

    moto has neither of the first two, and encodes the slashes.
    """
    describe = notifications._get_s3_event
    sequencer = itertools.count(time.time_ns())

    def _get_s3_event(
        event_name: str, bucket: Any, key: Any, notification_id: str
    ) -> dict[str, Any]:
        event = describe(event_name, bucket, key, notification_id)
        record = event["Records"][0]["s3"]["object"]
        record["key"] = quote_plus(key.name, safe="/")
        if bucket.is_versioned:
            record["versionId"] = key.version_id
        record["sequencer"] = f"{next(sequencer):018X}"
        return event

    replace.put(notifications, "_get_s3_event", _get_s3_event)


def bridge_conditional_writes(replace: Replacements) -> None:
    """AWS: of two writers with `If-None-Match: *` one gets 412.

    In moto both can pass the check before either writes.
    """
    one_at_a_time = threading.RLock()
    for name in ("put_object", "delete_object"):
        replace.put(S3Response, name, _serialized(getattr(S3Response, name), one_at_a_time))


def _serialized(method: Any, lock: threading.RLock) -> Any:
    def serialized(self: Any) -> Any:
        with lock:
            return method(self)

    return serialized
