"""`<key>.vtt`: WebVTT, speakers as voices."""

from __future__ import annotations

from dropscribe.cues import Cue, cues
from dropscribe.options import JobOptions
from dropscribe.timestamps import timestamp
from dropscribe.transcript import Transcript


def vtt(transcript: Transcript, options: JobOptions) -> str:
    named = transcript.names_speakers
    found = cues(transcript, options.subtitles)
    blocks = [f"{_times(cue)}\n{_payload(cue, named)}\n\n" for cue in found]
    return "WEBVTT\n\n" + "".join(blocks)


def _times(cue: Cue) -> str:
    return f"{timestamp(cue.start_ms)} --> {timestamp(cue.end_ms)}"


def _payload(cue: Cue, named: bool) -> str:
    text = _escaped("\n".join(cue.lines))
    return f"<v {_escaped(cue.speaker)}>{text}" if named and cue.speaker else text


def _escaped(text: str) -> str:
    """`-->` may not stand in a cue: escaping `>` takes care of it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
