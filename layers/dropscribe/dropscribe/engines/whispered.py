"""When each word of a known text was said, in any language that a Whisper model hears.

The model transcribes the recording. What it heard is matched with the text, of which it may mishear
a good part; that shows which words of the text are said in which few seconds. There the model reads
just these words, and its cross-attention tells when each sounds. Where nothing shows it, words that
were heard are where they were heard, and others are placed between them, by when somebody speaks.
"""

from __future__ import annotations

import sys
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final, NamedTuple

from dropscribe.alignment import is_spaceless, sound
from dropscribe.api import TranscriptionRequest, TranscriptionWord
from dropscribe.engines import Recognized, whisper
from dropscribe.errors import Rejected
from dropscribe.languages import whispers_code
from dropscribe.matching import paired, sure
from dropscribe.placement import divided, placed
from dropscribe.sound import cut, length_ms, read
from dropscribe.spans import Span, joined, total_ms
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
SHORTEST_MS: Final = 40
"""Of a word that is heard: what is shorter has its place from nothing but its neighbours."""
PAUSE_MS: Final = 200
"""Between words, from which a window may begin there."""
MOST_SPEECH_MS: Final = 150
"""In a pause, as detectors have it: the edges of the words around it."""
PAD_MS: Final = 200
"""Around speech, of what the model is given to hear: detectors miss the edges of words."""
WINDOW_MS: Final = 20_000
"""Of audio in which the text is aligned anew where there are such pauses, …"""
LONGEST_MS: Final = 30_000
"""… and what Whisper hears at most."""
NEAR_MS: Final = 250
"""How far a word that is read may be from where it was heard, …"""
MOST_NEAR: Final = 0.8
"""… in so many words: else the text is not what is said there, or the model cannot read it."""
MOST_UNSAID: Final = 0.3
"""Part of the text's words for which there may be no time between those that were heard."""


class _Heard(NamedTuple):
    sound: str
    """As it is compared with the text."""
    span: Span


class _Window(NamedTuple):
    words: dict[int, str]
    """That are said in it, by their number, as the model reads them."""
    pieces: list[Span]
    """Of the recording, put together: in a long pause the model has words begin anywhere."""

    def moved(self, ms: int) -> int:
        """From a time in these pieces to the recording's."""
        for piece in self.pieces:
            if ms < piece.duration_ms:
                return piece.start_ms + ms
            ms -= piece.duration_ms
        return self.pieces[-1].end_ms


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
    the text does not seem to be what is said there. Raises `Rejected` (no such model, one that does
    not know the language, or the time was too short) or `Unavailable` (its GPU is away).
    """
    units = divided(text)
    said = [at for at, unit in enumerate(units) if sound(unit)]
    if not units:
        return []
    if not (said and speech):
        return None
    asked = TranscriptionRequest(model=model, language=_known(language, model))
    spoken, parts = whisper.recognize(audio, asked)
    heard = list(_heard(parts, deadline))
    pairs = paired([sound(units[at]) for at in said], [part.sound for part in heard])
    pairs = sure(pairs, len(said), len(heard))
    if not _fits(len(pairs), len(said), len(heard)):
        return None
    rough = {said[pair.left]: _sounding(heard[pair.right].span, speech) for pair in pairs}
    found = {at: span for at, span in rough.items() if span.duration_ms >= SHORTEST_MS}
    unsaid = sum(part.unsaid for part in _timed(units, found, speech))
    if not found or unsaid > MOST_UNSAID * len(units):
        return None
    for samples, window in _windows(audio, found, units, said, speech):
        _check(deadline)
        read_at = _read(samples, window, spoken or "en", model)
        sounding = {at: _sounding(span, speech) for at, span in read_at.items()}
        if _agree(sounding, found):
            found |= sounding
    return [word for part in _timed(units, found, speech) for word in part.words]


def _known(language: str | None, model: str) -> str | None:
    """As the model has it; None where it is to find out itself."""
    if not language:
        return None
    code = whispers_code(language)
    if code is None or not whisper.knows(model, code):
        raise Rejected(
            "unsupported_by_model", f"model `{model}` does not know the language `{language}`"
        )
    return code


def _fits(found: int, text: int, heard: int) -> bool:
    """Whether so many words that both have show that the text is what is said."""
    if text < LEAST_WORDS:
        return found == text == heard
    return found >= max(LEAST_HEARD * max(text, heard), LEAST_WORDS)


def _heard(parts: Iterable[Recognized], deadline: float) -> Iterator[_Heard]:
    """Words as they are divided in the text, which share the time of the model's own.

    Without those that nobody says: notes, spaces, marks that cannot be seen.
    """
    for part in parts:
        _check(deadline)
        for run in _runs(word for word in part.words if sound(word.word)):
            yield from _divided(run)


def _runs(words: Iterable[TranscriptionWord]) -> Iterator[list[TranscriptionWord]]:
    """Each word alone, but those of scripts without spaces together.

    Of these Whisper's words are single code points, and Thai vowels stand alone.
    """
    run: list[TranscriptionWord] = []
    for word in words:
        if run and not (is_spaceless(run[-1].word[-1]) and is_spaceless(word.word[0])):
            yield run
            run = []
        run.append(word)
    if run:
        yield run


def _divided(run: Sequence[TranscriptionWord]) -> Iterator[_Heard]:
    """The characters of a word have equal shares of its time."""
    spans = [span for word in run for span in _characters(word)]
    text, at = "".join(word.word for word in run), 0
    for unit in divided(text):
        at = text.index(unit, at)
        end = at + len(unit)
        if sounding := sound(unit):
            yield _Heard(sounding, Span(spans[at].start_ms, spans[end - 1].end_ms))
        at = end


def _characters(word: TranscriptionWord) -> Iterator[Span]:
    length = len(word.word)
    edges = [to_ms(word.start + (word.end - word.start) * at / length) for at in range(length + 1)]
    return map(Span, edges, edges[1:])


def _check(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise Rejected("timed_out", "the time was too short to find all words in the audio")


def _sounding(span: Span, speech: Sequence[Span]) -> Span:
    """Without silence: Whisper gives a pause to a word before or after it."""
    first = bisect_right(speech, span.start_ms, key=lambda stretch: stretch.end_ms)
    end = bisect_left(speech, span.end_ms, key=lambda stretch: stretch.start_ms)
    parts = (span.within(stretch) for stretch in speech[first:end])
    return max(parts, key=lambda part: part.duration_ms, default=span)


def _pauses(
    found: Mapping[int, Span], said: Sequence[int], speech: Sequence[Span]
) -> dict[int, int]:
    """The words that follow a pause for certain → the middle of the pause, in milliseconds.

    The word before each was heard as well, and nobody speaks between. `said`: the words that have
    a sound: a dash between two of them is never heard.
    """
    pauses = {}
    for before, after in pairwise(said):
        if before in found and after in found:
            between = Span(found[before].end_ms, found[after].start_ms)
            spoken_ms = total_ms([stretch.within(between) for stretch in speech])
            if between.duration_ms >= PAUSE_MS and spoken_ms <= MOST_SPEECH_MS:
                pauses[after] = (between.start_ms + between.end_ms) // 2
    return pauses


def _agree(one: Mapping[int, Span], other: Mapping[int, Span]) -> bool:
    """Whether words that are in both are at about the same time, as a rule."""
    both = [abs(one[at].start_ms - other[at].start_ms) for at in one.keys() & other.keys()]
    return sum(off_ms <= NEAR_MS for off_ms in both) >= max(MOST_NEAR * len(both), 1)


def _windows(
    audio: Path,
    found: Mapping[int, Span],
    units: Sequence[str],
    said: Sequence[int],
    speech: Sequence[Span],
) -> Iterator[tuple[bytes, _Window]]:
    """The recording in pieces of which it is known what is said in them."""
    samples, pauses = read(audio), _pauses(found, said, speech)
    after = dict(pairwise([*said, len(units)]))
    ends = [*pauses.items(), (len(units), length_ms(samples))]
    first, begun_ms = 0, 0
    for (end, ms), (_, next_ms) in pairwise([*ends, (len(units), sys.maxsize)]):
        if next_ms - begun_ms > WINDOW_MS:
            span = Span(begun_ms, ms)
            padded = (Span(s.start_ms - PAD_MS, s.end_ms + PAD_MS).within(span) for s in speech)
            pieces = joined(padded)
            words = {
                at: _as_written(units[at], pauses=after[at] in pauses)
                for at in range(first, end)
                if at in after
            }
            if words and pieces and total_ms(pieces) <= LONGEST_MS:
                yield b"".join(cut(samples, piece) for piece in pieces), _Window(words, pieces)
            first, begun_ms = end, ms


def _as_written(unit: str, *, pauses: bool) -> str:
    """With a full stop before a pause: the model would write one, and hears the pause as it."""
    return f"{unit}." if pauses and unit[-1].isalnum() else unit


def _read(samples: bytes, window: _Window, language: str, model: str) -> dict[int, Span]:
    """When the words of a window sound; nothing where they are too many."""
    edges = whisper.edges_ms(model, samples, [*window.words.values()], language) or []
    spans = (Span(*pair) for pair in pairwise(map(window.moved, edges)))
    return dict(zip(window.words, spans, strict=False))


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
