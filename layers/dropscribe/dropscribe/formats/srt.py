"""`<key>.srt`: SubRip, numbered cues, comma before the milliseconds."""

from __future__ import annotations

from dropscribe.cues import Cue, cues
from dropscribe.options import JobOptions
from dropscribe.timestamps import timestamp
from dropscribe.transcript import Transcript


def srt(transcript: Transcript, options: JobOptions) -> str:
    """A speaker is named where the turn changes. Each cue ends with a blank line, as the API's."""
    found = cues(transcript, options.subtitles, named=transcript.names_speakers)
    blocks = [f"{number}\n{_times(cue)}\n{_text(cue)}\n\n" for number, cue in enumerate(found, 1)]
    return "".join(blocks) + "\n"


def _times(cue: Cue) -> str:
    return f"{timestamp(cue.start_ms, ',')} --> {timestamp(cue.end_ms, ',')}"


def _text(cue: Cue) -> str:
    """An arrow in the text would be read as a line of times."""
    return "\n".join(cue.lines).replace("-->", "→")
