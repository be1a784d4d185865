"""Who says what on one track, told by voice. Runs in a worker; needs the extras voices and speech.

As a long recording is on the route: local voices of pieces, which are then compared over all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from dropscribe import sound, voices
from dropscribe.attribution import ChunkTurns, attributed
from dropscribe.diarization import Diarized, diarize
from dropscribe.engines import Recognized
from dropscribe.timestamps import to_ms
from dropscribe.transcript import Segment, Word
from dropscribe.turns import spoken

PIECE_MS: Final = 60 * 60_000
"""Whose voices are found at once: its samples are held in memory."""


def said(track: Path, recognized: Sequence[Recognized], known: Mapping[str, Path]) -> list[Segment]:
    """What was recognized, divided by speakers: all have a label or the name of a known one.

    `track` and the clips in `known` (name → 2 to 10 s of a voice) are 16 kHz mono FLAC.
    """
    model = voices.load(voices.SHIPPED)
    pieces = [
        _moved(diarize(samples, model), number * PIECE_MS)
        for number, (samples, _) in enumerate(sound.frames(track, PIECE_MS * sound.BYTES_PER_MS))
    ]
    clips = {name: model.embed(sound.read(clip)) for name, clip in known.items()}
    told = attributed(_segments(recognized), _words(recognized), pieces, known=clips)
    return spoken(told.segments, told.words)


def _moved(piece: Diarized, by_ms: int) -> ChunkTurns:
    turns = [
        replace(turn, start_ms=turn.start_ms + by_ms, end_ms=turn.end_ms + by_ms)
        for turn in piece.turns
    ]
    return ChunkTurns(turns, piece.voices)


def _segments(recognized: Sequence[Recognized]) -> list[Segment]:
    return [
        Segment(
            text=part.segment.text.strip(),
            start_ms=to_ms(part.segment.start),
            end_ms=to_ms(part.segment.end),
        )
        for part in recognized
    ]


def _words(recognized: Sequence[Recognized]) -> list[Word]:
    return [
        Word(text=word.word, start_ms=to_ms(word.start), end_ms=to_ms(word.end))
        for part in recognized
        for word in part.words
    ]
