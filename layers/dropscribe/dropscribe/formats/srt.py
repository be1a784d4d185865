"""`<key>.srt`: SubRip, numbered cues, comma before the milliseconds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import count
from typing import Final

from dropscribe.cues import Cue, cues
from dropscribe.formats.lines import written
from dropscribe.options import JobOptions
from dropscribe.timestamps import timestamp
from dropscribe.transcript import Transcript

_TAG: Final = re.compile(r"<[ /]*[A-Za-z].*?>", re.DOTALL)
_ANGLES: Final = str.maketrans("<>", "‹›")  # noqa: RUF001
_BRACES: Final = str.maketrans("{}", "()")


def srt(transcript: Transcript, options: JobOptions) -> str:
    """A speaker is named where the turn changes."""
    return srt_document(cues(transcript, options.subtitles))


def srt_of(found: Iterable[Cue], transcript: Transcript) -> str:
    """Of cues that were made of the transcript already."""
    return srt_document(found)


def srt_document(found: Iterable[Cue]) -> str:
    """Cues in order of their start. Each ends with a blank line, as the API's."""
    shown = [(cue, text) for cue in found if (text := written(cue.named, cue.lines))]
    return "".join(map(_block, shown, count(1))) + "\n"


def _block(shown: tuple[Cue, str], number: int) -> str:
    cue, text = shown
    times = f"{timestamp(cue.start_ms, ',')} --> {timestamp(cue.end_ms, ',')}"
    return f"{number}\n{times}\n{_spelled(text)}\n\n"


def _spelled(text: str) -> str:
    r"""SubRip cannot escape: what players would take for their own is written otherwise.

    An arrow is the sign of a line of times; `<i>` and `{\an8}` say how and where to show a cue.
    """
    if "-->" in text:
        text = text.replace("-->", "→")
    if "<" in text and _TAG.search(text):
        text = text.translate(_ANGLES)
    return text.translate(_BRACES) if "{" in text else text
