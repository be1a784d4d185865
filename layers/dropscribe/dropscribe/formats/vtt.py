"""`<key>.vtt`: WebVTT, speakers as voices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dropscribe.cues import Cue, cues
from dropscribe.formats.lines import safe, written
from dropscribe.options import JobOptions
from dropscribe.timestamps import timestamp
from dropscribe.transcript import Transcript


def vtt(transcript: Transcript, options: JobOptions) -> str:
    """With a note of where it comes from, which players skip."""
    return vtt_of(cues(transcript, options.subtitles), transcript)


def vtt_of(found: Iterable[Cue], transcript: Transcript) -> str:
    """Of cues that were made of the transcript already."""
    return vtt_document(found, _note(transcript))


def vtt_document(found: Iterable[Cue], note: Sequence[str] = ()) -> str:
    """Cues in order of their start, a speaker being a voice; each block ends with a blank line.

    `note`: lines that players skip.
    """
    blocks = [_block(cue, text) for cue in found if (text := written(cue.lines, cue.lines))]
    return "".join(["WEBVTT\n\n", _comment(note), *blocks])


def _block(cue: Cue, text: str) -> str:
    times = f"{timestamp(cue.start_ms)} --> {timestamp(cue.end_ms)}"
    return f"{times}\n{_voice(cue)}{_escaped(text)}\n\n"


def _note(transcript: Transcript) -> list[str]:
    """`Timing` where the times, which are those of words if there are any, are not the model's."""
    language, timing = transcript.language, transcript.word_timing or transcript.timing
    return [
        "Transcribed by dropscribe",
        *([f"Language: {language}"] if language else []),
        *([f"Timing: {timing}"] if timing not in (None, "model") else []),
    ]


def _comment(lines: Sequence[str]) -> str:
    """Ends before a blank line and may hold no arrow, as a cue."""
    return "\n".join(["NOTE", *(_escaped(safe(line)) for line in lines)]) + "\n\n" if lines else ""


def _voice(cue: Cue) -> str:
    """A name that ends with `--` would make an arrow of the tag's own end."""
    speaker = _escaped(safe(cue.speaker or ""))
    if speaker.endswith("--"):
        speaker = f"{speaker[:-1]}&#45;"
    return f"<v {speaker}>" if speaker else ""


def _escaped(text: str) -> str:
    """`-->` may not stand in a cue: escaping `>` takes care of it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
