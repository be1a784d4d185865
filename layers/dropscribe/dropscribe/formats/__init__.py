"""The six formats: each a pure function of the canonical transcript, in a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from dropscribe.api import Format
from dropscribe.cues import Cue, cues
from dropscribe.formats.diarized_json import diarized_json
from dropscribe.formats.json import json
from dropscribe.formats.srt import srt, srt_of
from dropscribe.formats.text import text
from dropscribe.formats.verbose_json import verbose_json
from dropscribe.formats.vtt import vtt, vtt_of
from dropscribe.options import JobOptions
from dropscribe.quality import Quality, quality
from dropscribe.transcript import Transcript


@dataclass(frozen=True)
class Output:
    """How one format is written."""

    suffix: str
    """After the upload's key."""
    content_type: str
    render: Callable[[Transcript, JobOptions], str]
    render_cues: Callable[[Sequence[Cue], Transcript], str] | None = None
    """The same from cues that were made already; None where the format has no cues."""


OUTPUTS: Final[dict[Format, Output]] = {
    "json": Output(".json", "application/json", json),
    "text": Output(".txt", "text/plain; charset=utf-8", text),
    "srt": Output(".srt", "application/x-subrip; charset=utf-8", srt, srt_of),
    "vtt": Output(".vtt", "text/vtt; charset=utf-8", vtt, vtt_of),
    "verbose_json": Output(".verbose.json", "application/json", verbose_json),
    "diarized_json": Output(".diarized.json", "application/json", diarized_json),
}


class Written(NamedTuple):
    documents: dict[Format, str]
    quality: dict[Format, Quality]
    """Of those with cues."""


def written(transcript: Transcript, options: JobOptions, names: Sequence[Format]) -> Written:
    """Several formats of one transcript: cues, most of the work, are made once."""
    found: list[Cue] = []
    if any(OUTPUTS[name].render_cues for name in names):
        found = cues(transcript, options.subtitles)
    documents, kept = {}, {}
    for name in names:
        output = OUTPUTS[name]
        if output.render_cues:
            documents[name] = output.render_cues(found, transcript)
            kept[name] = quality(found, options.subtitles, named=name == "srt")
        else:
            documents[name] = output.render(transcript, options)
    return Written(documents, kept)


RECEIPT_SUFFIX: Final = ".receipt.json"
ERROR_SUFFIX: Final = ".error.json"
LONGEST_KEY_BYTES: Final = 1024
"""Of an object in S3, in UTF-8."""
LONGEST_UPLOAD_KEY_BYTES: Final = LONGEST_KEY_BYTES - max(
    len(suffix) for suffix in (RECEIPT_SUFFIX, *(output.suffix for output in OUTPUTS.values()))
)
"""Of an upload, so that the names of all its outputs fit."""
