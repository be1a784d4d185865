"""The six formats: each a pure function of the canonical transcript, in a file of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dropscribe.api import Format
from dropscribe.formats.diarized_json import diarized_json
from dropscribe.formats.json import json
from dropscribe.formats.srt import srt
from dropscribe.formats.text import text
from dropscribe.formats.verbose_json import verbose_json
from dropscribe.formats.vtt import vtt
from dropscribe.options import JobOptions
from dropscribe.transcript import Transcript


@dataclass(frozen=True)
class Output:
    """How one format is written."""

    suffix: str
    """After the upload's key."""
    content_type: str
    render: Callable[[Transcript, JobOptions], str]


OUTPUTS: Final[dict[Format, Output]] = {
    "json": Output(".json", "application/json", json),
    "text": Output(".txt", "text/plain; charset=utf-8", text),
    "srt": Output(".srt", "application/x-subrip; charset=utf-8", srt),
    "vtt": Output(".vtt", "text/vtt; charset=utf-8", vtt),
    "verbose_json": Output(".verbose.json", "application/json", verbose_json),
    "diarized_json": Output(".diarized.json", "application/json", diarized_json),
}
RECEIPT_SUFFIX: Final = ".receipt.json"
ERROR_SUFFIX: Final = ".error.json"
LONGEST_KEY_BYTES: Final = 1024
"""Of an object in S3, in UTF-8."""
LONGEST_UPLOAD_KEY_BYTES: Final = LONGEST_KEY_BYTES - max(
    len(suffix) for suffix in (RECEIPT_SUFFIX, *(output.suffix for output in OUTPUTS.values()))
)
"""Of an upload, so that the names of all its outputs fit."""
