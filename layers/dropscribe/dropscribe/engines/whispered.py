"""When each word of a known text was said, in any language that a Whisper model hears.

The model transcribes the recording, and its cross-attention tells when each word sounds. What it
heard is matched with the text, of which it may mishear a good part; the words that it did not hear
are placed between those that it did, by when somebody speaks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from dropscribe.alignment import sound
from dropscribe.api import TranscriptionRequest
from dropscribe.engines import whisper
from dropscribe.errors import Rejected
from dropscribe.matching import paired, sure
from dropscribe.placement import divided, placed
from dropscribe.spans import Span, total_ms
from dropscribe.timestamps import to_ms
from dropscribe.transcript import Word

LEAST_HEARD: Final = 0.35
"""Part of the text's words that must be heard, in its order and not alone, and of all words heard
that must be in the text. Where every third word is misheard it is 0.6, of another text below 0.1,
of other digits in place of digits up to 0.4."""
LEAST_WORDS: Final = 4
"""That must be heard: two in a row may be chance. Of a text that has fewer nothing else may be."""
MOST_WORDS_A_S: Final = 10
"""Of speech; nobody says as many."""
MOST_UNSAID: Final = 0.3
"""Part of the text's words for which there may be no time between those that were heard."""


class _Heard(NamedTuple):
    sound: str
    """As it is compared with the text."""
    span: Span


class _Placed(NamedTuple):
    words: list[Word]
    unsaid: int
    """How many of them there is no time for."""


def align(
    audio: Path,
    text: str,
    language: str | None,
    speech: Sequence[Span],
    model: str,
    deadline: float,
) -> list[Word] | None:
    """Each word of `placement.divided(text)` with its time in `audio`, in order, without overlaps.

    `audio`: 16 kHz mono FLAC or WAV. `language`: code; None where nobody knows it. `speech`: where
    somebody speaks, in order. `model`: as jobs name it. `deadline`: `time.monotonic()` at which the
    caller needs the result. Times are in milliseconds from the beginning of the audio. None where
    the text does not seem to be what is said there, and where the model does not know the language.
    Raises `Rejected` (no such model, or the time was too short) or `Unavailable` (its GPU is away).
    """
    units = divided(text)
    said = [at for at, unit in enumerate(units) if sound(unit)]
    if not units:
        return []
    if not (said and speech and whisper.knows(model, language)):
        return None
    heard = list(_heard(audio, TranscriptionRequest(model=model, language=language), deadline))
    pairs = paired([sound(units[at]) for at in said], [part.sound for part in heard])
    pairs = sure(pairs, len(said), len(heard))
    if not _fits(len(pairs), len(said), len(heard)):
        return None
    found = {said[pair.left]: _sounding(heard[pair.right].span, speech) for pair in pairs}
    parts = list(_timed(units, found, speech))
    if sum(part.unsaid for part in parts) > MOST_UNSAID * len(units):
        return None
    return [word for part in parts for word in part.words]


def _fits(found: int, text: int, heard: int) -> bool:
    """Whether so many words that both have show that the text is what is said."""
    if text < LEAST_WORDS:
        return found == text == heard
    return found >= max(LEAST_HEARD * max(text, heard), LEAST_WORDS)


def _heard(audio: Path, request: TranscriptionRequest, deadline: float) -> Iterator[_Heard]:
    """Words as they are divided in the text, which shares out the time of the model's own."""
    for part in whisper.recognize(audio, request)[1]:
        if time.monotonic() > deadline:
            raise Rejected("timed_out", "the time was too short to find all words in the audio")
        for word in part.words:
            units = divided(word.word)
            edges = [
                to_ms(word.start + (word.end - word.start) * at / len(units))
                for at in range(len(units) + 1)
            ]
            yield from map(_Heard, map(sound, units), map(Span, edges, edges[1:]))


def _sounding(span: Span, speech: Sequence[Span]) -> Span:
    """Without the silence on either side: Whisper gives a pause to one of the words around it."""
    parts = [part for stretch in speech if (part := span.within(stretch)).duration_ms]
    return Span(parts[0].start_ms, parts[-1].end_ms) if parts else span


def _timed(
    units: Sequence[str], found: Mapping[int, Span], speech: Sequence[Span]
) -> Iterator[_Placed]:
    """The words at their times: `found` says when those sound that were heard."""
    last_ms = min([speech[0].start_ms, *(span.start_ms for span in found.values())])
    for is_heard, group in groupby(range(len(units)), found.__contains__):
        own = list(group)
        if is_heard:
            for at in own:
                start_ms = max(found[at].start_ms, last_ms)
                last_ms = max(found[at].end_ms, start_ms)
                yield _Placed([Word(units[at], start_ms, last_ms)], 0)
        else:
            after = found.get(own[-1] + 1)
            between = Span(last_ms, max(after.start_ms if after else speech[-1].end_ms, last_ms))
            last_ms = between.end_ms
            sounding = [stretch.within(between) for stretch in speech]
            room = total_ms(sounding) * MOST_WORDS_A_S // 1000
            words = placed(" ".join(units[at] for at in own), between, sounding)
            yield _Placed(words, max(len(own) - room - 1, 0))
