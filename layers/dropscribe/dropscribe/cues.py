"""Subtitle cues from a transcript: when what is on the screen, and in which lines.

Two steps. Each speaker's text is divided into cues at the cheapest places (`phrases`), every limit
being a cost: dynamic programming, linear in the length of the text. Then cues are timed: each
begins with its speech and stays for as long as it takes to read, as far as the next one lets it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, groupby, pairwise
from typing import Final, NamedTuple

from dropscribe.alignment import matched, tokens
from dropscribe.columns import columns, graphemes, is_wide
from dropscribe.options import SubtitleOptions
from dropscribe.phrases import CLAUSE, HELD, PLAIN, SENTENCE, costs
from dropscribe.transcript import Segment, Transcript, Word
from dropscribe.turns import owned, spoken

START_MS: Final = 125
"""How far from its speech a cue may begin: three frames of 24 a second."""
BREATH_MS: Final = 1_500
"""A pause that no cue bridges: what is said after it is not shown before."""
_CUE: Final = 8.0
"""The cost of a cue more."""
_RUN_ON: Final = {SENTENCE: 9.0, CLAUSE: 3.0}
"""Of a sentence or a clause that ends within a cue, by the cost of a break there."""
_PAUSE: Final = 12.0
"""Of a second of silence within a cue."""
_ORPHAN: Final = 6.0
"""Of a cue of a few letters that is no whole sentence."""
_FEW: Final = 10
"""Columns of such."""
_HURRIED: Final = 60.0
"""Of reading twice as fast as one should; of showing a cue for none of its least duration."""
_UNEVEN: Final = 8.0
"""Of an empty line beside a full one."""
_TOP_HEAVY: Final = 4.0
"""Of such where the upper one is the full one."""


@dataclass(frozen=True, slots=True)
class Cue:
    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    """What is said."""
    named: tuple[str, ...]
    """The same, beginning with `A: ` where the speaker changes: for a format without voices."""
    speaker: str | None = None
    """On one line, whatever was in the label; None where nobody is to be named."""
    spoken_ms: int = 0
    """When its first word begins, and …"""
    silent_ms: int = 0
    """… when its last one ends."""
    torn: int = 0
    """Line ends, its last one included, between words that belong together."""


class _Part(NamedTuple):
    """What no line break divides: a word, or a character of a script without spaces."""

    text: str
    start_ms: int
    end_ms: int
    glued: bool = False
    """Continues the one before it: no space between them."""
    closing: bool = False
    """The last one of its segment."""


@dataclass(frozen=True)
class _Stretch:
    """What one speaker says without a long pause."""

    parts: Sequence[_Part]
    costs: Sequence[float]
    """Of a break after each part."""
    begins: Sequence[int]
    """Columns from the beginning of the stretch, spaces included, to each part, …"""
    ends: Sequence[int]
    """… and to its end."""
    speaker: str | None
    width: int
    """Columns of a line."""
    named: bool = False
    """The first part is the speaker's name."""


class _Span(NamedTuple):
    """Parts of a stretch, from `first` to `last`."""

    first: int
    last: int


def cues(transcript: Transcript, options: SubtitleOptions) -> list[Cue]:
    """Cues in order of their start, none of which overlap. A transcript without times has none."""
    divided = (
        (stretch, span)
        for stretch in _stretches(transcript, options)
        for span in _divided(stretch, options)
    )
    return _timed([_cue(stretch, span, options) for stretch, span in divided], options)


def _stretches(transcript: Transcript, options: SubtitleOptions) -> Iterator[_Stretch]:
    segments = spoken(transcript.segments or [], transcript.words or [])
    words = _words_of(segments, transcript.words or [])
    named = transcript.names_speakers
    parts_of = (
        (_label(segment.speaker) if named else None, _parts(segment, own))
        for segment, own in zip(segments, words, strict=True)
    )
    speaker = None
    for label, group in groupby(parts_of, key=lambda pair: pair[0]):
        parts = list(chain.from_iterable(_closed(own) for _, own in group))
        for number, run in enumerate(_without_breath(parts)):
            is_new = options.name_speakers and number == 0 and label != speaker
            yield _stretch(run, label, transcript.language, options, named=is_new)
        speaker = label


def _closed(parts: Sequence[_Part]) -> Iterator[_Part]:
    yield from parts[:-1]
    for last in parts[-1:]:
        yield last._replace(closing=True)


def _words_of(segments: Sequence[Segment], words: Sequence[Word]) -> list[list[Word]]:
    """Of each segment the words of its speaker that belong to it, in order."""
    found: list[list[Word]] = [[] for _ in segments]
    by_speaker: dict[str | None, list[Word]] = {}
    for word in words:
        by_speaker.setdefault(word.speaker, []).append(word)
    for speaker, said in by_speaker.items():
        places = [at for at, segment in enumerate(segments) if segment.speaker == speaker]
        members = owned([segments[at] for at in places], said)
        for at, own in zip(places, members, strict=True):
            found[at] = [said[member] for member in own]
    return found


def _parts(segment: Segment, words: Sequence[Word]) -> list[_Part]:
    """The segment's own text, with its punctuation, at the times of its words."""
    texts = segment.text.split()
    if len(texts) == len(words) and segment.text.isascii():
        return [
            _Part(text, word.start_ms, word.end_ms) for text, word in zip(texts, words, strict=True)
        ]
    found = tokens(segment.text)
    times = _in_order(_times([token.sound for token in found], segment, words))
    ends = [0, *(token.end for token in found)]
    return [
        _Part(segment.text[token.start : token.end], *time, glued=end == token.start and at > 0)
        for at, (token, time, end) in enumerate(zip(found, times, ends, strict=False))
    ]


def _times(sounds: Sequence[str], segment: Segment, words: Sequence[Word]) -> list[tuple[int, int]]:
    """Start and end of each part: those of the words that say the same, or a share of what is left.

    Without words all of it is shared out by length.
    """
    heard: list[tuple[int, int]] = []
    said: list[str] = []
    for word in words:
        own = [token.sound for token in tokens(word.text)]
        heard += _spread([max(len(sound), 1) for sound in own], word.start_ms, word.end_ms)
        said += own
    known = [
        (heard[at.start][0], heard[at.stop - 1][1]) if at else None for at in matched(sounds, said)
    ]
    return _without_holes(known, [max(len(sound), 1) for sound in sounds], segment)


def _in_order(times: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """None begins before the one in front of it."""
    latest_ms = 0
    for start_ms, end_ms in times:
        latest_ms = max(latest_ms, start_ms)
        yield latest_ms, max(end_ms, latest_ms)


def _without_holes(
    known: Sequence[tuple[int, int] | None], lengths: Sequence[int], segment: Segment
) -> list[tuple[int, int]]:
    """Those that are not known share the time between their neighbours."""
    found: list[tuple[int, int]] = []
    for missing, group in groupby(range(len(known)), key=lambda at: known[at] is None):
        places = list(group)
        if not missing:
            found += [time for at in places if (time := known[at])]
            continue
        after = known[places[-1] + 1] if places[-1] + 1 < len(known) else None
        start_ms = found[-1][1] if found else segment.start_ms
        end_ms = after[0] if after else segment.end_ms
        found += _spread([lengths[at] for at in places], start_ms, end_ms)
    return found


def _spread(lengths: Sequence[int], start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    """Start and end of each in a span of time, in proportion to its length."""
    total, length_ms = sum(lengths), max(end_ms - start_ms, 0)
    at = [start_ms + length_ms * end // total for end in accumulate(lengths, initial=0)]
    return list(pairwise(at))


def _without_breath(parts: Sequence[_Part]) -> Iterator[Sequence[_Part]]:
    """Divided at long pauses."""
    begin = 0
    for at in range(1, len(parts)):
        if parts[at].start_ms - parts[at - 1].end_ms > BREATH_MS:
            yield parts[begin:at]
            begin = at
    if parts:
        yield parts[begin:]


def _stretch(
    parts: Sequence[_Part],
    speaker: str | None,
    language: str | None,
    options: SubtitleOptions,
    *,
    named: bool,
) -> _Stretch:
    """`named`: the first line begins with who speaks, if that is known."""
    wide = is_wide("".join(part.text for part in parts))
    width = 2 * options.wide_line_length if wide else options.max_line_length
    if any(len(part.text) > width // 2 for part in parts):
        parts = [piece for part in parts for piece in _broken(part, width)]
    breaks = costs([part.text for part in parts], [part.glued for part in parts], language)
    if SENTENCE not in breaks[:-1]:
        # Who writes no full stops has told sentences apart as segments, if at all.
        breaks = [
            SENTENCE if part.closing else cost for part, cost in zip(parts, breaks, strict=True)
        ]
    name = _name(speaker, columns(parts[0].text), width, options) if named else None
    if name:
        at_ms = parts[0].start_ms
        parts = [_Part(name, at_ms, at_ms), *parts]
        breaks = [HELD, *breaks]
    begins: list[int] = []
    ends: list[int] = []
    at = 0
    for part in parts:
        begins.append(at if part.glued or not ends else at + 1)
        at = begins[-1] + columns(part.text)
        ends.append(at)
    return _Stretch(parts, breaks, begins, ends, speaker, width, named=bool(name))


def _broken(part: _Part, width: int) -> list[_Part]:
    """In pieces of a line each, where it is longer than one: an address, a very long word."""
    if columns(part.text) <= width:
        return [part]
    pieces, wide = [""], 0
    for grapheme in graphemes(part.text):
        wide += columns(grapheme)
        if wide > width and pieces[-1]:
            pieces.append("")
            wide = columns(grapheme)
        pieces[-1] += grapheme
    times = _spread([len(piece) for piece in pieces], part.start_ms, part.end_ms)
    return [
        _Part(piece, *time, part.glued or at > 0, part.closing and at == len(pieces) - 1)
        for at, (piece, time) in enumerate(zip(pieces, times, strict=True))
    ]


def _name(speaker: str | None, first: int, width: int, options: SubtitleOptions) -> str | None:
    """`A:`, shortened to a line; None where there is no room beside the first word's columns."""
    if speaker is None:
        return None
    name = f"{speaker}:"
    while columns(name) > width:
        name = "".join([*graphemes(name)][:-3]) + "…:"
    return None if options.max_lines == 1 and columns(name) + 1 + first > width else name


def _label(speaker: str | None) -> str | None:
    """As one line: a line break in it would end a cue's line of text."""
    return " ".join((speaker or "").split()) or None


def _divided(stretch: _Stretch, options: SubtitleOptions) -> list[_Span]:
    """The cheapest division into cues that fit on the screen.

    Between words that belong together only where there is no other way.
    """
    good = [at for at, cost in enumerate(stretch.costs) if cost < HELD]
    spans = _cheapest(stretch, _places(stretch, good, options), options)
    if spans:
        return spans
    every = range(int(stretch.named), len(stretch.parts))
    return _cheapest(stretch, _places(stretch, every, options), options)


class _Places(NamedTuple):
    """Where cues of a stretch may end. Of the cue that begins at each place, and of its end."""

    firsts: list[int]
    """The part that a cue begins with; the last is the one after all."""
    limits: list[int]
    """The last part that fits on the screen with it."""
    starts_ms: list[int]
    begins: list[int]
    until_ms: list[float]
    """How long a cue may be shown that ends before the place, …"""
    silent_ms: list[int]
    """… when it has been said, …"""
    ends: list[int]
    """… where its last column is, …"""
    costs: list[float]
    """… and what it costs to end it there, with all that lies before in the stretch."""
    whole: list[bool]
    """Whether a sentence ends there, or begins, …"""
    bare: list[bool]
    """Whether nothing speaks for ending it there."""
    within: list[float]
    """What lies before the place."""
    fair: list[int]
    """Of the stretch: how many of the parts before each may well end a line."""

    def tear(self, first: int, last: int) -> float:
        """What it costs that a line has to end after one of these parts of the stretch."""
        return 0.0 if self.fair[last + 1] > self.fair[first] else HELD


def _places(stretch: _Stretch, ending: Iterable[int], options: SubtitleOptions) -> _Places:
    """`ending`: after which parts cues may end."""
    parts, firsts = stretch.parts, [0, *(at + 1 for at in ending)]
    lasts = [at - 1 for at in firsts[1:]]
    within = _within(stretch)
    until_ms = [parts[at + 1].start_ms - options.min_gap_ms for at in lasts[:-1]]
    return _Places(
        firsts=firsts,
        limits=[_fits_until(stretch, at, options) for at in firsts[:-1]],
        starts_ms=[parts[at].start_ms for at in firsts[:-1]],
        begins=[stretch.begins[at] for at in firsts[:-1]],
        until_ms=[0.0, *until_ms, float("inf")],
        silent_ms=[0, *(parts[at].end_ms for at in lasts)],
        ends=[0, *(stretch.ends[at] for at in lasts)],
        costs=[0.0, *(_CUE + stretch.costs[at] + within[at] for at in lasts)],
        whole=[True, *(stretch.costs[at] == SENTENCE for at in lasts)],
        bare=[False, *(stretch.costs[at] >= PLAIN for at in lasts)],
        within=[within[at] for at in firsts[:-1]],
        fair=[*accumulate((cost < HELD for cost in stretch.costs), initial=0)],
    )


def _fits_until(stretch: _Stretch, first: int, options: SubtitleOptions) -> int:
    """The last part that fits into the lines of a screen with all from `first` on."""
    at = first
    for _ in range(options.max_lines):
        at = _line_end(stretch, at) + 1
        if at >= len(stretch.parts):
            break
    return at - 1


def _cheapest(stretch: _Stretch, places: _Places, options: SubtitleOptions) -> list[_Span]:
    """Cues that end at some of `places`, the end among them; none where they do not fit.

    A plain place is looked at only where more than a line is full.
    """
    count = len(places.firsts)
    best = [0.0, *[float("inf")] * (count - 1)]
    """[place]: of all that is before it."""
    came_from = [-1] * count
    for at in range(count - 1):
        if best[at] == float("inf"):
            continue
        for to, cost in _continued(places, at, stretch, options):
            if best[at] + cost < best[to]:
                best[to], came_from[to] = best[at] + cost, at
    if came_from[-1] < 0:
        return []
    return list(_traced(places.firsts, came_from))[::-1]


def _continued(
    places: _Places, at: int, stretch: _Stretch, options: SubtitleOptions
) -> list[tuple[int, float]]:
    """Where the cue may end that begins at a place, and what it costs then."""
    firsts, until_ms, ends, costs = places.firsts, places.until_ms, places.ends, places.costs
    bare, silent_ms, limit = places.bare, places.silent_ms, places.limits[at]
    start_ms, begin, before = places.starts_ms[at], places.begins[at], places.within[at]
    least_ms, most_ms = options.min_duration_ms, options.max_duration_ms
    ms_a_column = 1000 / options.max_characters_per_second
    width, columns_to = stretch.width, stretch.begins
    first_line = _line_end(stretch, firsts[at])
    # A name is nothing to be shown without a word.
    single = max(firsts[at], int(stretch.named)) + 1
    found: list[tuple[int, float]] = []
    skipped = 0
    for to in range(at + 1, len(firsts)):
        alone = firsts[to] == single
        if not alone and (firsts[to] > limit + 1 or silent_ms[to] - start_ms > most_ms):
            break
        wide = ends[to] - begin
        if bare[to] and wide < width and not alone:
            skipped = to
            continue
        cost = costs[to] - before
        room_ms = until_ms[to] - start_ms
        if room_ms > most_ms:  # noqa: PLR1730 - min() takes a tenth of all the time here
            room_ms = most_ms
        reading_ms = wide * ms_a_column
        if room_ms < reading_ms or room_ms < least_ms:
            cost += _hurry(room_ms, reading_ms, least_ms)
        if wide < _FEW and not (places.whole[at] and places.whole[to]):
            cost += _ORPHAN
        elif width < wide:
            second = bisect_left(columns_to, ends[to] - width, firsts[at] + 1, firsts[to])
            cost += places.tear(min(second, first_line + 1) - 1, first_line)
        found.append((to, cost))
        if width <= wide and places.whole[to] and cost == costs[to] - before:
            # A sentence that fills a line, in good time: what comes after it can only cost more.
            break
    if skipped and (not found or found[-1][0] < skipped):
        # Slow speech: nothing better comes before the time is up.
        found.append((skipped, costs[skipped] - before))
    return found


def _hurry(room_ms: float, reading_ms: float, least_ms: int) -> float:
    """Of too little time to read, or to be seen."""
    cost = 0.0
    if room_ms < reading_ms:
        cost += _HURRIED * min(reading_ms / max(room_ms, 1) - 1, 9.0)
    if room_ms < least_ms:
        cost += _HURRIED * (1 - max(room_ms, 0) / max(least_ms, 1))
    return cost


def _traced(firsts: Sequence[int], came_from: Sequence[int]) -> Iterator[_Span]:
    at = len(firsts) - 1
    while at > 0:
        yield _Span(firsts[came_from[at]], firsts[at] - 1)
        at = came_from[at]


def _within(stretch: _Stretch) -> list[float]:
    """What a cue costs for what lies within it, from the beginning of the stretch to each part.

    The difference of two of them is a cue's.
    """
    found = [0.0]
    for at, (before, part) in enumerate(pairwise(stretch.parts)):
        cost = _RUN_ON.get(stretch.costs[at], 0.0)
        pause_ms = part.start_ms - before.end_ms
        found.append(found[-1] + cost + max(pause_ms, 0) * _PAUSE / 1000)
    return found


def _line_end(stretch: _Stretch, first: int) -> int:
    """The last part that fits on the same line as `first`."""
    return max(bisect_right(stretch.ends, stretch.begins[first] + stretch.width) - 1, first)


def _cue(stretch: _Stretch, span: _Span, options: SubtitleOptions) -> Cue:
    """As spoken: when it is shown is seen to later."""
    breaks = _line_breaks(stretch, span, options)
    parts = stretch.parts
    firsts = [span.first, *(at + 1 for at in breaks), span.last + 1]
    named = lines = [_text(parts[first:after]) for first, after in pairwise(firsts)]
    if stretch.named and span.first == 0:
        rest = _text(parts[1 : firsts[1]])
        lines = [*([rest] if rest else []), *named[1:]]
    start_ms, end_ms = parts[span.first].start_ms, parts[span.last].end_ms
    last = [span.last] if span.last + 1 < len(parts) else []
    # A name may stand on a line of its own.
    torn = sum(stretch.costs[at] >= HELD for at in [*breaks, *last] if at >= stretch.named)
    return Cue(
        *(start_ms, end_ms, tuple(lines), tuple(named), stretch.speaker),
        spoken_ms=start_ms,
        silent_ms=end_ms,
        torn=torn,
    )


def _text(parts: Sequence[_Part]) -> str:
    return "".join(
        part.text if part.glued or not at else f" {part.text}" for at, part in enumerate(parts)
    )


def _line_breaks(stretch: _Stretch, span: _Span, options: SubtitleOptions) -> list[int]:
    """After which parts of a cue its lines end, but the last: as few lines as it takes."""
    fewest, at = 1, _line_end(stretch, span.first) + 1
    while at <= span.last:
        fewest, at = fewest + 1, _line_end(stretch, at) + 1
    return _best_lines(stretch, span, fewest, {})[1] if fewest > 1 else []


def _best_lines(
    stretch: _Stretch,
    span: _Span,
    lines: int,
    known: dict[tuple[int, int], tuple[float, list[int]]],
) -> tuple[float, list[int]]:
    """The cheapest breaks into so many lines, and their cost; infinite where none fit."""
    first, last = span
    if lines == 1:
        fits = stretch.ends[last] - stretch.begins[first] <= stretch.width or first == last
        return (0.0 if fits else float("inf")), []
    if (lines, first) not in known:
        best: tuple[float, list[int]] = (float("inf"), [])
        for at in range(first, min(_line_end(stretch, first), last - lines + 1) + 1):
            rest, breaks = _best_lines(stretch, _Span(at + 1, last), lines - 1, known)
            upper = stretch.ends[at] - stretch.begins[first]
            lower = (stretch.ends[last] - stretch.begins[at + 1]) / (lines - 1)
            uneven = abs(upper - lower) / stretch.width * _UNEVEN
            heavy = max(upper - lower, 0) / stretch.width * _TOP_HEAVY
            cost = stretch.costs[at] + uneven + heavy + rest
            if cost < best[0]:
                best = (cost, [at, *breaks])
        known[lines, first] = best
    return known[lines, first]


def _timed(spoken_: Iterable[Cue], options: SubtitleOptions) -> list[Cue]:
    """Each shown from its first word on, for as long as it takes to read, until the next one."""
    ordered = _begun(sorted(spoken_, key=lambda cue: cue.start_ms), options)
    next_ms: int | None = None
    shown = []
    for cue in reversed(ordered):
        end_ms = cue.start_ms + _wanted_ms(cue, options)
        if next_ms is not None:
            latest_ms = next_ms - min(options.min_gap_ms, (next_ms - cue.start_ms) // 2)
            near = next_ms - end_ms < options.close_gaps_ms
            closed_ms = min(latest_ms, cue.start_ms + options.max_duration_ms)
            end_ms = min(max(end_ms, closed_ms) if near else end_ms, latest_ms)
        shown.append(replace(cue, end_ms=max(end_ms, cue.start_ms + 1)))
        next_ms = cue.start_ms
    return shown[::-1]


def _begun(ordered: Sequence[Cue], options: SubtitleOptions) -> list[Cue]:
    """When each begins: with its speech. Who talks over another waits until that has been read.

    At most for as long as the speech still lasts for the least duration after it.
    """
    found: list[Cue] = []
    for cue in ordered:
        start_ms = cue.start_ms
        if found:
            before = found[-1]
            if start_ms < before.silent_ms and cue.speaker != before.speaker:
                wanted_ms = before.start_ms + _wanted_ms(before, options) + options.min_gap_ms
                latest_ms = max(start_ms + START_MS, cue.silent_ms - options.min_duration_ms)
                start_ms = max(start_ms, min(wanted_ms, latest_ms))
            # Two that begin at the same moment would hide each other.
            start_ms = max(start_ms, before.start_ms + 2)
        found.append(cue if start_ms == cue.start_ms else replace(cue, start_ms=start_ms))
    return found


def _wanted_ms(cue: Cue, options: SubtitleOptions) -> int:
    """How long a cue takes to be said and read."""
    wide = sum(map(columns, cue.named))
    reading_ms = -int(-wide * 1000 // options.max_characters_per_second)
    said_ms = cue.silent_ms - cue.start_ms
    return min(max(said_ms, reading_ms, options.min_duration_ms), options.max_duration_ms)
