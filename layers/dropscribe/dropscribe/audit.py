"""Whether a transcript is complete, and whether all of it was said.

Where there is speech comes from the audio (`speech`), where there are words from the recognizer.
Pure and linear: a day of words takes less than a second.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from dropscribe.phantoms import PHANTOMS
from dropscribe.plan import plan
from dropscribe.spans import Span, joined, total_ms, without
from dropscribe.timestamps import timestamp, to_ms, to_seconds
from dropscribe.transcript import Segment, Word

HOLE_MS: Final = 2000
"""Of speech without words, from which something may be missing."""
EDGE_MS: Final = 300
"""How far the times of words may be off."""
PAUSE_MS: Final = 1000
"""Pauses up to this do not divide a run of words."""
HOLE_PAUSE_MS: Final = 3000
"""Pauses up to this do not divide a hole: who stops for a breath misses the next words too."""
LONGEST_HOLE_MS: Final = 60_000
"""Of what is asked about again at once: longer ones may be left out a second time as a whole."""
LONGEST_WORD_MS: Final = 3000
"""A word said to last longer has no known end."""
LONGEST_RUN_MS: Final = 10_000
"""A run of words is asked about once: some of it being speech tells nothing of a whole hour."""
NO_SPEECH_PROB: Final = 0.6
"""Whisper's own threshold: above it there may be no speech."""
AVG_LOGPROB: Final = -1.0
"""Whisper's own threshold: below it there is none, where `NO_SPEECH_PROB` says so too."""
COMPRESSION_RATIO: Final = 2.4
"""Whisper's own threshold: above it a text repeats itself."""
SEGMENTS_IN_A_ROW: Final = 4
"""That say the same: a loop."""
PHRASES_IN_A_ROW: Final = 5
"""Within a segment: a loop, however short the phrase."""
FEW_PHRASES_IN_A_ROW: Final = 3
"""A loop where the text also compresses as one does."""
LONGEST_PHRASE: Final = 16
"""In words; in characters where a script has no spaces."""
MOST_NAMED: Final = 3
"""Places in a warning; the receipt has them all."""

_APOSTROPHES: Final = "'\u2019"
_UNSPACED: Final = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
"""Thai, Lao, Burmese, Khmer, Japanese, Chinese: scripts without spaces."""
_TOKEN: Final = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")

Reason = Literal["no_speech", "repeated", "phantom"]


class Doubt(BaseModel):
    """Text that was perhaps not said."""

    model_config = ConfigDict(frozen=True)

    start_ms: int
    end_ms: int
    text: str
    """What was doubted; of segments in a row that say the same, once."""
    speaker: str | None = None
    reason: Reason
    removed: bool


class UncoveredSpan(BaseModel):
    """In seconds from the start of the recording."""

    model_config = ConfigDict(frozen=True)

    start: float
    end: float


class DoubtfulText(BaseModel):
    """A `Doubt` in seconds from the start of the recording."""

    model_config = ConfigDict(frozen=True)

    start: float
    end: float
    text: str
    speaker: str | None = None
    reason: Reason
    removed: bool


class Audit(BaseModel):
    model_config = ConfigDict(frozen=True)

    coverage: float | None
    """Share of the time with speech that has words, 0 to 1; 1 where nobody speaks, None where the
    engine gave no times."""
    speech_seconds: float
    uncovered_spans: list[UncoveredSpan]
    doubtful_text: list[DoubtfulText]


def audit(
    segments: Sequence[Segment] | None,
    words: Sequence[Word] | None,
    speech: Sequence[Span],
    doubts: Sequence[Doubt],
) -> Audit:
    """Of the final text, in which what was removed is no more; None for both: there are no times.

    `speech` and `doubts` may be in any order; all times are of the same recording.
    """
    timed = segments is not None or words is not None
    spoken = joined(speech)
    texts = _told(segments or [], words or [])
    bare_ms = total_ms(without(spoken, _widened(texts)))
    coverage = 1 - bare_ms / total_ms(spoken) if spoken else 1.0
    return Audit(
        coverage=round(coverage, 4) if timed else None,
        speech_seconds=to_seconds(total_ms(spoken)),
        uncovered_spans=[
            UncoveredSpan(start=to_seconds(start_ms), end=to_seconds(end_ms))
            for start_ms, end_ms in (holes(spoken, texts) if timed else [])
        ],
        doubtful_text=[_in_seconds(doubt) for doubt in sorted(doubts, key=lambda d: d.start_ms)],
    )


def warnings(found: Audit) -> list[str]:
    """Sentences for people, at most three."""
    holes_s = [(span.start, span.end) for span in found.uncovered_spans]
    removed = [(text.start, text.end) for text in found.doubtful_text if text.removed]
    doubtful = [(text.start, text.end) for text in found.doubtful_text if not text.removed]
    sentences = []
    if holes_s:
        seconds = sum(end - start for start, end in holes_s)
        sentences.append(f"{seconds:.1f} s of speech have no words: {_places(holes_s)}")
    if removed:
        sentences.append(f"text was removed where nobody speaks: {_places(removed)}")
    if doubtful:
        sentences.append(f"text may be wrong (doubtful_text in the receipt): {_places(doubtful)}")
    return sentences


def holes(speech: Iterable[Span], texts: Iterable[Span]) -> list[Span]:
    """Stretches with at least `HOLE_MS` of speech and no words, from first speech to last.

    Pauses in them divide them only where they are longer than `HOLE_PAUSE_MS`. At the edges of
    `texts` `EDGE_MS` are theirs.
    """
    spoken, taken = joined(speech), _widened(texts)
    bare = without(spoken, taken)
    found: list[Span] = []
    at = 0
    for bounds in without(joined(spoken, HOLE_PAUSE_MS), taken):
        first = at
        while at < len(bare) and bare[at].end_ms <= bounds.end_ms:
            at += 1
        if total_ms(bare[first:at]) >= HOLE_MS:
            found.append(Span(bare[first].start_ms, bare[at - 1].end_ms))
    return found


def divided(hole: Span, speech: Iterable[Span], longest_ms: int = LONGEST_HOLE_MS) -> list[Span]:
    """A hole in parts of at most `longest_ms`, in order: cut where nobody speaks.

    Where there is no pause near an even cut, two parts overlap, by 8 s at most.
    """
    pauses = [span.moved(-hole.start_ms) for span in without([hole], speech)]
    parts = plan(hole.duration_ms, [pauses], longest_ms=longest_ms)
    return [part.moved(hole.start_ms) for part in parts]


def text_spans(segments: Sequence[Segment], words: Sequence[Word]) -> list[Span]:
    """Where there is text, in order of its start: to be asked about, or to be covered.

    Words near each other are one span, within a segment; a segment without words is one as a
    whole. None is empty, and those of several speakers may overlap.
    """
    return sorted(said.span for said in _said(segments, words))


def doubts(
    segments: Sequence[Segment],
    words: Sequence[Word],
    silent: Iterable[Span],
    *,
    whisper: bool = False,
) -> list[Doubt]:
    """What was perhaps not said, in order. `silent`: the text spans without speech (`hear`).

    Certain, and so to be removed, are over no speech: a phrase that recognizers are known to make
    up, a loop, and where `whisper` measured the segments what it takes for no speech itself. All
    else is only doubted.
    """
    quiet = joined(silent)
    loops = _loops(segments)
    # Of a day there is little to look at closely: what is near silence, and loops.
    near = [n for n, part in enumerate(segments) if loops[n] or _touches(_span(part), quiet)]
    places = joined([*quiet, *(_span(segments[number]) for number in near)])
    ordered = sorted(words, key=_start_ms)
    said = _said(
        [segments[number] for number in near],
        [word for place in places for word in _begin_in(ordered, place)],
    )
    found: list[tuple[int | None, Doubt]] = []
    for at, parts in _grouped(said, lambda said: said.segment).items():
        if at is None:
            unheard = (part for part in parts if _inside(part.span, quiet))
            found += [(None, _doubt(part, "no_speech")) for part in unheard]
        else:
            number = near[at]
            doubted = _of_segment(
                segments[number], parts, quiet, loop=loops[number], whisper=whisper
            )
            found += [(number, doubt) for doubt in doubted]
    found.sort(key=lambda pair: (pair[1].start_ms, pair[1].end_ms))
    return _merged(found)


def believed(
    segments: Sequence[Segment], words: Sequence[Word], *, whisper: bool = False
) -> tuple[list[Segment], list[Word], list[Doubt]]:
    """Of the answer to a hole what may be taken over, and what of it is made up, as removed.

    What was missed once is hard to hear, and there a recognizer makes up text even where somebody
    speaks. So the same is certain here as is over no speech (`doubts`).
    """
    loops = _loops(segments)
    found = [
        (number, _doubt(_whole(segment), reason, removed=True))
        for number, segment in enumerate(segments)
        if (reason := _made_up(segment, loop=loops[number], whisper=whisper))
    ]
    found.sort(key=lambda pair: (pair[1].start_ms, pair[1].end_ms))
    removed = _merged(found)
    return *cleaned(segments, words, removed), removed


def cleaned(
    segments: Sequence[Segment], words: Sequence[Word], doubts: Iterable[Doubt]
) -> tuple[list[Segment], list[Word]]:
    """What is left without the removed text: whole segments, and the words in them."""
    removed = [doubt for doubt in doubts if doubt.removed]
    if not removed:
        return list(segments), list(words)
    spans = _grouped(removed, lambda doubt: (doubt.speaker, normalized(doubt.text)))
    reach = {key: joined(_span(doubt) for doubt in group) for key, group in spans.items()}

    def goes(segment: Segment) -> bool:
        quiet = reach.get((segment.speaker, normalized(segment.text)))
        return quiet is not None and _inside(_span(segment), quiet)

    gone = {number for number, segment in enumerate(segments) if goes(segment)}
    owners = _owners(segments, words)
    return (
        [segment for number, segment in enumerate(segments) if number not in gone],
        [word for word, owner in zip(words, owners, strict=True) if owner not in gone],
    )


def normalized(text: str) -> str:
    """For comparison: without case, punctuation, symbols, and how the characters were composed."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(map(_kept, folded)).split())


@cache
def _kept(character: str) -> str:
    """Letters, their marks and digits; between other characters are words, but at apostrophes."""
    if unicodedata.category(character)[0] in "LMN":
        return character
    return "" if character in _APOSTROPHES else " "


_KNOWN_PHANTOMS: Final = frozenset(normalized(phrase) for phrase in PHANTOMS)


@dataclass(frozen=True)
class _Said:
    """A run of words of a segment, or all of it."""

    span: Span
    text: str
    speaker: str | None
    segment: int | None = None
    """Its place in the list; None for words outside of all."""


def _said(segments: Sequence[Segment], words: Sequence[Word]) -> Iterator[_Said]:
    owners = _owners(segments, words)
    owning = set(owners)
    for number in (number for number in range(len(segments)) if number not in owning):
        segment = segments[number]
        yield _Said(_span(segment), segment.text, segment.speaker, number)
    owned: dict[tuple[int | None, str | None], list[Word]] = {}
    for owner, word in zip(owners, words, strict=True):
        owned.setdefault((owner, word.speaker), []).append(word)
    for (owner, speaker), spoken in owned.items():
        for span, run in _runs(sorted(spoken, key=lambda word: word.start_ms)):
            yield _Said(span, " ".join(word.text for word in run), speaker, owner)


def _owners(segments: Sequence[Segment], words: Sequence[Word]) -> list[int | None]:
    """Of each word the segment in which it begins: of its speaker, where that is known."""
    order = sorted(range(len(segments)), key=lambda number: segments[number].start_ms)
    by_speaker = _grouped(order, lambda number: segments[number].speaker) | {None: order}
    starts = {
        speaker: [segments[number].start_ms for number in numbers]
        for speaker, numbers in by_speaker.items()
    }
    ends_ms = [_span(segment).end_ms for segment in segments]

    def owner(word: Word) -> int | None:
        at = bisect_right(starts.get(word.speaker, []), word.start_ms) - 1
        number = by_speaker[word.speaker][at] if at >= 0 else None
        return number if number is not None and word.start_ms < ends_ms[number] else None

    return [owner(word) for word in words]


def _runs(words: Iterable[Word]) -> Iterator[tuple[Span, list[Word]]]:
    """Words in order, divided at pauses and where a run becomes too long."""
    run: list[Word] = []
    start_ms = end_ms = 0
    for word in words:
        word_end_ms = _end_ms(word)
        too_long = word_end_ms - start_ms > LONGEST_RUN_MS
        if run and (too_long or word.start_ms > end_ms + PAUSE_MS):
            yield Span(start_ms, end_ms), run
            run = []
        if not run:
            start_ms, end_ms = word.start_ms, word_end_ms
        run.append(word)
        end_ms = max(end_ms, word_end_ms)
    if run:
        yield Span(start_ms, end_ms), run


def _end_ms(word: Word) -> int:
    return min(max(word.end_ms, word.start_ms + 1), word.start_ms + LONGEST_WORD_MS)


def _span(text: Segment | Doubt) -> Span:
    """Never empty."""
    return Span(text.start_ms, max(text.end_ms, text.start_ms + 1))


def _widened(texts: Iterable[Span]) -> list[Span]:
    return joined(Span(start_ms - EDGE_MS, end_ms + EDGE_MS) for start_ms, end_ms in texts)


def _told(segments: Sequence[Segment], words: Sequence[Word]) -> list[Span]:
    """Where there is text, in order: runs of words over pauses, and segments without words."""
    ordered = sorted(words, key=_start_ms)
    bare = [_span(segment) for segment in segments if not _begin_in(ordered, _span(segment))]
    runs: list[Span] = []
    start_ms = end_ms = ordered[0].start_ms if ordered else 0
    # Without a Span for each word: a day has 200,000.
    for word in ordered:
        if word.start_ms > end_ms + PAUSE_MS:
            runs.append(Span(start_ms, end_ms))
            start_ms = word.start_ms
        end_ms = max(end_ms, _end_ms(word))
    return joined([*runs, Span(start_ms, end_ms), *bare])


def _begin_in(ordered: Sequence[Word], span: Span) -> Sequence[Word]:
    """Of words in order those that begin in a span."""
    first, last = (bisect_left(ordered, ms, key=_start_ms) for ms in span)
    return ordered[first:last]


def _start_ms(word: Word) -> int:
    return word.start_ms


def _touches(span: Span, spans: Sequence[Span]) -> bool:
    """Whether `span` has a part in one of `spans`, which are in order and apart."""
    at = bisect_right(spans, span.start_ms, key=lambda it: it.end_ms)
    return at < len(spans) and spans[at].start_ms < span.end_ms


def _inside(span: Span, spans: Sequence[Span]) -> bool:
    """Whether `span` lies in one of `spans`, which are in order and apart."""
    at = bisect_right(spans, span.start_ms, key=lambda it: it.start_ms) - 1
    return at >= 0 and span.end_ms <= spans[at].end_ms


def _of_segment(
    segment: Segment, parts: Sequence[_Said], quiet: Sequence[Span], *, loop: bool, whisper: bool
) -> list[Doubt]:
    whole = _whole(segment)
    silent = [part for part in parts if _inside(part.span, quiet)]
    if len(silent) < len(parts):
        repeated = [_doubt(whole, "repeated")] if loop else []
        return [*repeated, *(_doubt(part, "no_speech") for part in silent)]
    reason = _made_up(segment, loop=loop, whisper=whisper)
    return [_doubt(whole, reason or "no_speech", removed=reason is not None)]


def _made_up(segment: Segment, *, loop: bool, whisper: bool) -> Reason | None:
    """Why nobody said it, were there no speech; None where that is not certain."""
    if normalized(segment.text) in _KNOWN_PHANTOMS:
        return "phantom"
    if loop:
        return "repeated"
    silent = _measured(segment, "no_speech_prob", 0) > NO_SPEECH_PROB
    unsure = _measured(segment, "avg_logprob", 0) < AVG_LOGPROB
    return "no_speech" if whisper and silent and unsure else None


def _whole(segment: Segment) -> _Said:
    return _Said(_span(segment), segment.text, segment.speaker)


def _doubt(said: _Said, reason: Reason, *, removed: bool = False) -> Doubt:
    return Doubt(
        start_ms=said.span.start_ms,
        end_ms=said.span.end_ms,
        text=said.text,
        speaker=said.speaker,
        reason=reason,
        removed=removed,
    )


def _measured(segment: Segment, name: str, missing: float) -> float:
    """What the engine gave, where it is a number."""
    value = segment.measured.get(name)
    return float(value) if isinstance(value, int | float) else missing


def _loops(segments: Sequence[Segment]) -> list[bool]:
    """Of each segment, whether it says the same as its neighbours, or again and again."""
    texts = [normalized(segment.text) for segment in segments]
    found = [_is_loop(segment, text) for segment, text in zip(segments, texts, strict=True)]
    by_speaker = _grouped(range(len(segments)), lambda number: segments[number].speaker)
    for numbers in by_speaker.values():
        for text, group in groupby(numbers, key=lambda number: texts[number]):
            same = list(group)
            if text and len(same) >= SEGMENTS_IN_A_ROW:
                for number in same:
                    found[number] = True
    return found


def _is_loop(segment: Segment, text: str) -> bool:
    """Whether a phrase follows itself many times, or makes up most of a text that compresses."""
    tokens = _TOKEN.findall(text)
    if max(Counter(tokens).values(), default=0) < FEW_PHRASES_IN_A_ROW:
        return False
    rows = list(_rows(tokens))
    return any(times >= PHRASES_IN_A_ROW for _, times in rows) or (
        any(
            times >= FEW_PHRASES_IN_A_ROW and length * times * 2 >= len(tokens)
            for length, times in rows
        )
        and _compression_ratio(segment) > COMPRESSION_RATIO
    )


def _rows(tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Each length of phrase, and how often at most one follows itself, the first included."""
    for length in range(1, min(LONGEST_PHRASE, len(tokens) // 2) + 1):
        equal = most = 0
        for before, after in zip(tokens, tokens[length:], strict=False):
            equal = equal + 1 if before == after else 0
            most = max(most, equal)
        yield length, most // length + 1


def _compression_ratio(segment: Segment) -> float:
    """The engine's own; else as Whisper computes it."""
    encoded = segment.text.encode()
    return _measured(segment, "compression_ratio", len(encoded) / len(zlib.compress(encoded)))


def _merged(found: Iterable[tuple[int | None, Doubt]]) -> list[Doubt]:
    """Doubts of segments that follow one another in a loop as one, in which the text is once."""
    merged: list[Doubt] = []
    following: int | None = None
    for number, doubt in found:
        if number is not None and number == following and _alike(merged[-1]) == _alike(doubt):
            end_ms = max(merged[-1].end_ms, doubt.end_ms)
            merged[-1] = merged[-1].model_copy(update={"end_ms": end_ms})
        else:
            merged.append(doubt)
        loop = number is not None and doubt.reason == "repeated"
        following = number + 1 if number is not None and loop else None
    return merged


def _alike(doubt: Doubt) -> tuple[object, ...]:
    return doubt.reason, doubt.removed, doubt.speaker, normalized(doubt.text)


def _in_seconds(doubt: Doubt) -> DoubtfulText:
    return DoubtfulText(
        start=to_seconds(doubt.start_ms),
        end=to_seconds(doubt.end_ms),
        **doubt.model_dump(include=set(DoubtfulText.model_fields)),
    )


def _places(spans_s: Sequence[tuple[float, float]]) -> str:
    """`2 places, 00:00:01.000-00:00:03.500 and …`: the first of them."""
    named = ", ".join(
        f"{timestamp(to_ms(start_s))} to {timestamp(to_ms(end_s))}"
        for start_s, end_s in spans_s[:MOST_NAMED]
    )
    if len(spans_s) == 1:
        return named
    more = ", …" if len(spans_s) > MOST_NAMED else ""
    return f"{len(spans_s)} places, {named}{more}"


_Item = TypeVar("_Item")
_Key = TypeVar("_Key")


def _grouped(items: Iterable[_Item], key: Callable[[_Item], _Key]) -> dict[_Key, list[_Item]]:
    """In their order."""
    found: dict[_Key, list[_Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found
