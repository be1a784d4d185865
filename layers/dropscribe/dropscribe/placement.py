"""When each word of a text is said, where nothing is known but the text and when somebody speaks.

For every language and script, without a recognizer. The text is divided among the stretches with
speech so that each has about as many letters as it is long, and pauses fall where the text has its
full stops and commas, at the least cost: dynamic programming over the likeliest divisions. Within a
stretch a word takes as much time as it has letters. Good to a tenth of a second where people pause
between sentences, and no better than a sentence where they do not.

Letters tell how long a word takes better than syllables do: measured on synthesized English and
German, they leave two thirds of the error.
"""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from typing import Final, NamedTuple

from dropscribe.alignment import is_spaceless, spaced
from dropscribe.alignment import joined as in_one
from dropscribe.phrases import ends_sentence
from dropscribe.spans import Span, joined, total_ms
from dropscribe.transcript import Segment, Word

PAUSE_MS: Final = 1_000
"""A pause from which a new segment begins; longer ones are no less likely inside a sentence."""
LONGEST_MS: Final = 30_000
"""Of a segment, as Whisper has them."""
FASTEST_MS: Final = 20
"""A letter at least; nobody speaks so fast. 60 is usual."""
SLOWEST_MS: Final = 250
"""A letter at most, in speech that has few words for its length: there are others in it."""
WORD: Final = 0.3
"""How long a word is, in letters, were it only a dash."""
LAST: Final = 2.0
"""What it has besides before a full stop or comma: it is drawn out."""
LETTERS: Final = (
    *((0x0590, 0x08FF, 1.5), (0x0900, 0x0DFF, 2.0), (0x0E00, 0x0EFF, 1.5), (0x0F00, 0x109F, 2.0)),
    *((0x1780, 0x17FF, 2.0), (0x3040, 0x30FF, 2.0), (0x3400, 0x9FFF, 3.5), (0xAC00, 0xD7AF, 3.0)),
    *((0xF900, 0xFAFF, 3.5), (0xFF66, 0xFF9F, 2.0), (0x20000, 0x3FFFF, 3.5)),
)
"""From one character to another how many letters of an alphabet one is worth: Hebrew and Arabic,
which leave out vowels; the scripts of South and South East Asia; kana, Chinese and Korean."""
DIGIT: Final = 4.0
"""Of a digit: `1997` is as long as three words. A zero is a letter: `2000` has two words."""
SIGNS: Final = {"$": 5.0, "€": 4.0, "£": 4.0, "¥": 3.0, "%": 6.0, "+": 3.0, "=": 4.0, "@": 2.0}
_INSIDE, _COMMA, _STOP = 0, 1, 2
"""Where a word stands: inside a clause, at its end, at that of a sentence."""
BREATH: Final = (0.0, 0.5, 2.0)
"""What follows it for each of these, in letters: a pause too short to be heard as one."""
PAUSE_COST: Final = ((1.5, 2.5), (0.2, 1.0), (-1.7, -0.3))
"""Of a pause after it, for each: of any, and of a second more. As the logarithms of how rare they
are; a sentence that ends without a pause is rare, too, so a pause there is a gain."""
RATE: Final = 0.15
"""How much the rate of speech differs from stretch to stretch, as a standard deviation, …"""
WORDING: Final = 0.78
"""… and what there is besides: of a letter, that of more grows with their root."""
CAPPED: Final = 5.0
"""Of the cost of a stretch that does not fit: beyond it grows as a logarithm only, as text may be
missing, and stretches may be no speech."""
LEAST, MOST, MORE = 0.2, 2.0, 12
"""Of what a stretch should have, in its length, it has at least and at most; and letters more."""
TOLD: Final = (1.0, 0.8)
"""Parts of the speech that the text may tell: the rest is of others, or missing."""
DIVISIONS: Final = 100
"""How many are followed at once."""
_STUCK: Final = frozenset("ーｰ々ゝゞヽヾぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮะาำๆະາຳໆ")
"""Letters that go with the one before them …"""
_LEADING: Final = frozenset("เแโใไເແໂໃໄ")
"""… and vowels that go with the one after them."""


class _Spoken(NamedTuple):
    """A word with what tells how it is spoken."""

    text: str
    length: float
    """In letters of an alphabet; above 0."""
    place: int
    """Inside a clause, or at the end of what."""


def divided(text: str) -> list[str]:
    """The words as they are placed: what stands between spaces, as `str.split` has it.

    Of scripts without spaces each character, with its marks and the punctuation that belongs to
    it. None is empty.
    """
    return [word for run in text.split() for word in _pieces(run)]


def placed(text: str, span: Span, speech: Sequence[Span]) -> list[Word]:
    """Every word of `divided(text)`, in order, within `span`; none overlaps another.

    `speech`: when somebody speaks, best with pauses from 0.2 s on, as `speech.voiced` tells; what
    lies outside of `span` is passed over. Where there is none, or far too little for the text, it
    is taken to fill the span. Words may be of no length where there are more than milliseconds.
    Takes time in proportion to the length of the text: a second or two for 20 minutes.
    """
    spoken = _spoken(text)
    if not spoken:
        return []
    span = Span(span.start_ms, max(span))
    stretches = joined(stretch.within(span) for stretch in speech)
    if total_ms(stretches) < FASTEST_MS * sum(word.length for word in spoken):
        stretches = [span]
    bounds = pairwise([0, *_division(spoken, stretches)])
    return [
        word
        for stretch, (first, end) in zip(stretches, bounds, strict=True)
        for word in _spread(spoken[first:end], stretch)
    ]


def sentences(words: Sequence[Word], text: str | None = None) -> list[Segment]:
    """Segments of placed words, each a sentence; divided at long pauses too, and after 30 s.

    They have their share of `text`, from which the words were taken; where it is not told, the
    words with spaces between them, if their script has any.
    """
    found: list[Segment] = []
    at = 0
    for first, end in pairwise(_cuts(words)):
        own = [word.text for word in words[first:end]]
        said, at = _share(own, text or "", at) or (in_one(own), at)
        found.append(Segment(said, words[first].start_ms, words[end - 1].end_ms))
    return found


def _pieces(run: str) -> list[str]:
    """What stands between spaces, divided where its script has none."""
    if not any(map(is_spaceless, run)):
        return [run]
    cuts = [at for at in range(1, len(run)) if _is_between(run[at - 1], run[at])]
    return [run[start:end] for start, end in pairwise([0, *cuts, len(run)])]


def _is_between(before: str, after: str) -> bool:
    """Whether a word ends between two characters that no space divides."""
    if not (is_spaceless(before) or is_spaceless(after)):
        return False
    if before in _LEADING or unicodedata.category(before) in ("Ps", "Pi"):
        return False
    kind = unicodedata.category(after)
    return kind in ("Ps", "Pi") or not (kind[0] in "MP" or kind == "Cf" or after in _STUCK)


def _spoken(text: str) -> list[_Spoken]:
    words = divided(text)
    places = _places(words)
    _end_runs(text, places)
    return [
        _Spoken(word, _length(word) + (LAST if place else 0.0), place)
        for word, place in zip(words, places, strict=True)
    ]


def _places(words: Sequence[str]) -> list[int]:
    """Of each word where it stands, as far as punctuation tells."""
    cased = any(word != word.lower() for word in words)
    return [
        _COMMA if place == _STOP and cased and after[:1].islower() else place
        for place, after in zip(map(_place, words), chain(words[1:], [""]), strict=False)
    ]


def _place(word: str) -> int:
    bare = word.rstrip("\"'”’»)]」』》）")  # noqa: RUF001
    if bare[:-1].isdecimal() and len(bare) <= len("31.") and bare.endswith("."):
        return _INSIDE  # "am 31. Mai"
    if ends_sentence(word):
        return _STOP
    comma = bare and not bare[-1].isalnum() and unicodedata.category(bare[-1]) in ("Po", "Pd")
    return _COMMA if comma and not bare.endswith((".", "%", "&", "@", "'")) else _INSIDE


def _end_runs(text: str, places: list[int]) -> None:
    """A space in a script that has none between words is as good as a comma."""
    at = -1
    for run in text.split():
        at += len(_pieces(run))
        if is_spaceless(run[-1]):
            places[at] = max(places[at], _COMMA)


def _length(word: str) -> float:
    """In letters of an alphabet, as it is spoken."""
    if word.isascii() and word.isalpha():
        return WORD + len(word)
    return WORD + sum(map(_sound, word))


def _sound(character: str) -> float:
    if character.isdecimal():
        return DIGIT if unicodedata.decimal(character) else 1.0
    if not character.isalpha():
        return SIGNS.get(character, 0.0)
    code = ord(character)
    if code < LETTERS[0][0]:
        return 1.0
    return next((worth for first, last, worth in LETTERS if first <= code <= last), 1.0)


class _Stretch(NamedTuple):
    length_ms: int
    variance: float
    """Of how long its words would usually take, in ms²."""
    pause_costs: tuple[float, ...]
    """Of the pause after it, by the place of the word before it."""

    def misfit(self, words_ms: float) -> float:
        """The cost of words that take so long otherwise."""
        return _unlikely(words_ms - self.length_ms, self.variance)


def _unlikely(by_ms: float, variance: float) -> float:
    return CAPPED * math.log1p(by_ms * by_ms / (2 * variance * CAPPED))


def _division(spoken: Sequence[_Spoken], stretches: Sequence[Span]) -> list[int]:
    """At the end of each stretch, the number of words that were said."""
    whole_ms = total_ms(stretches) / sum(word.length for word in spoken)
    paces = (min(whole_ms * part, SLOWEST_MS) or 1.0 for part in TOLD)
    return min(_divided_at(pace, spoken, stretches) for pace in paces)[1]


def _divided_at(
    letter_ms: float, spoken: Sequence[_Spoken], stretches: Sequence[Span]
) -> tuple[float, list[int]]:
    """The best division at a pace, after its cost."""
    said = [0.0, *accumulate(word.length * letter_ms for word in spoken)]
    places = [_INSIDE, *(word.place for word in spoken)]
    timed = _timed(stretches, letter_ms)
    left_ms, left = total_ms(stretches), sum(stretch.variance for stretch in timed)
    paths, steps = {0: 0.0}, []
    for stretch in timed[:-1]:
        paths, came = _continued(paths, stretch, said, places, MORE * letter_ms)
        left_ms, left = left_ms - stretch.length_ms, left - stretch.variance
        paths = _likeliest(paths, said, left_ms, left)
        steps.append(came)
    whole, last = said[-1], timed[-1]
    cost, end = min((paths[end] + last.misfit(whole - said[end]), end) for end in paths)
    return cost, [*_traced(steps, end), len(spoken)]


def _timed(stretches: Sequence[Span], letter_ms: float) -> list[_Stretch]:
    pauses_s = [(after.start_ms - span.end_ms) / 1000 for span, after in pairwise(stretches)]
    return [
        _Stretch(
            span.duration_ms,
            (RATE * span.duration_ms) ** 2 + WORDING**2 * letter_ms * max(span.duration_ms, 1),
            tuple(any_pause + more * min(pause_s, 1) for any_pause, more in PAUSE_COST),
        )
        for span, pause_s in zip(stretches, [*pauses_s, 0.0], strict=True)
    ]


def _continued(
    paths: Mapping[int, float],
    stretch: _Stretch,
    said: Sequence[float],
    places: Sequence[int],
    more_ms: float,
) -> tuple[dict[int, float], dict[int, int]]:
    """The least cost of each number of words at the end of a stretch; that at its beginning."""
    costs = {begin: so_far + stretch.misfit(0) for begin, so_far in paths.items()}
    came = {begin: begin for begin in paths}
    unlikely, variance, pause_costs = _unlikely, stretch.variance, stretch.pause_costs
    for begin, so_far in paths.items():
        due_ms = said[begin] + stretch.length_ms
        for end in _ends(said, begin, stretch.length_ms, more_ms):
            cost = so_far + unlikely(said[end] - due_ms, variance) + pause_costs[places[end]]
            if end not in costs or cost < costs[end]:
                costs[end], came[end] = cost, begin
    return costs, came


def _ends(said: Sequence[float], begin: int, length_ms: int, more_ms: float) -> range:
    """With how many words a stretch may end that has any: about enough, and one at least."""
    at_ms = said[begin]
    first = bisect_left(said, at_ms + LEAST * length_ms, begin + 1)
    end = bisect_right(said, at_ms + MOST * length_ms + more_ms, begin + 1)
    return range(first, min(max(end, first + 1), len(said)))


def _likeliest(
    paths: dict[int, float], said: Sequence[float], left_ms: int, variance: float
) -> dict[int, float]:
    """Those that cost least, with what there is still to say in the time that is left."""
    if len(paths) <= DIVISIONS:
        return paths
    whole = said[-1]
    kept = sorted(
        paths, key=lambda end: paths[end] + _unlikely(whole - said[end] - left_ms, variance)
    )
    return {end: paths[end] for end in kept[:DIVISIONS]}


def _traced(steps: Sequence[Mapping[int, int]], end: int) -> list[int]:
    ends = []
    for came in reversed(steps):
        ends.append(end)
        end = came[end]
    return ends[::-1]


def _spread(spoken: Sequence[_Spoken], stretch: Span) -> Iterator[Word]:
    """Words over a stretch, by their lengths."""
    letters = sum(word.length + BREATH[word.place] for word in spoken)
    letters -= BREATH[spoken[-1].place] if spoken else 0.0
    at, letter_ms = float(stretch.start_ms), 0.0
    if spoken:
        letter_ms = min(stretch.duration_ms / letters, SLOWEST_MS)
    for word in spoken:
        end = at + word.length * letter_ms
        start_ms, end_ms = (min(round(ms), stretch.end_ms) for ms in (at, end))
        yield Word(word.text, start_ms, end_ms)
        at = end + BREATH[word.place] * letter_ms


def _cuts(words: Sequence[Word]) -> list[int]:
    """Where segments begin, and after the last one the number of words."""
    places = _places([word.text for word in words])
    cuts = [0]
    for at, (word, after) in enumerate(pairwise(words), start=1):
        if after.end_ms - words[cuts[-1]].start_ms > LONGEST_MS and at > cuts[-1]:
            cuts.append(_before(places, cuts[-1], at))
        if places[at - 1] == _STOP or after.start_ms - word.end_ms >= PAUSE_MS:
            cuts.append(at)
    return sorted({*cuts, len(words)}) if words else []


def _before(places: Sequence[int], first: int, end: int) -> int:
    """The last comma in the later half of what is too long; where there is none, its end."""
    commas = (at for at in range(end, (first + end) // 2, -1) if places[at - 1])
    return next(commas, end)


def _share(own: Sequence[str], text: str, at: int) -> tuple[str, int] | None:
    """What a text has of its words from an offset on, and where that ends; None if not these."""
    begin = at
    for number, word in enumerate(own):
        start = text.find(word, at)
        if start < 0:
            return None
        begin = start if number == 0 else begin
        at = start + len(word)
    return spaced(text[begin:at]), at
