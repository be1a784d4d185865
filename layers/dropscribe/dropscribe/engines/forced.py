"""When each word of a known English text was said: PocketSphinx listens for just these words.

Models that answer plain text say nothing of times. Here the recording is recognized with a language
model made of that text: what is said as it is written is found almost surely, with the times of its
sounds. Beside the text stand the commonest words of English, which take what the text lacks or has
otherwise, and all of a recording of something else. What is heard is then matched with the text;
the words that were not heard lie between their neighbours.

Nothing is kept between calls but the pronouncing dictionary, so threads may align at once.
"""

from __future__ import annotations

import math
import re
import sys
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate, groupby, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from pocketsphinx import Decoder, get_model_path

from dropscribe.engines.pronunciation import pronunciations
from dropscribe.matching import paired, sure
from dropscribe.sound import SAMPLE_RATE_HZ, cut, length_ms
from dropscribe.spans import Span, joined, total_ms
from dropscribe.transcript import Word

LEAST_HEARD: Final = 0.6
"""Part of the text's words that must be heard, in its order. Of the right text it is 0.9 and more
in clean sound, of another one below 0.2."""
TRIAL_MS: Final = 20_000
"""Of speech that is recognized first, to see whether the text is of this recording: where …"""
LEAST_LIKELY: Final = 0.2
"""… fewer of the words are heard that should be in it, it is not."""
LEAST_WORDS: Final = 4
"""That must be heard: two in a row may be chance. Of a text that has fewer nothing else may be."""
MOST_WORDS_A_S: Final = 10
"""Of speech; nobody says as many."""
LEAST_SAYABLE: Final = 0.8
"""Part of the text's words that must be of letters or digits that English has sounds for."""
PAD_MS: Final = 150
"""Around speech: detectors miss the edges of words."""
UTTERANCE_MS: Final = 12_000
"""Recognized at once, pauses included: its loudness is evened out over so much, which wants to be
of one voice, and enough of it."""
QUIETEST_OF_MS: Final = 4_000
"""At the end of what has no pause for so long: it is cut where that is quietest."""
QUIET_MS: Final = 50
TEXT: Final = 0.9
"""Probability that a word is of the text where nothing is known of the word before it, and …"""
FOLLOWS: Final = 0.97
"""… that the text goes on after one of its words."""
SOUND_MS: Final = 80
"""How long a sound lasts on average."""
MOST_STRETCHED: Final = 2
"""Times as long as its sounds last: in a longer gap something else was said besides."""
LEAST_STRETCHED: Final = 0.5
"""Times as long: if all that was heard in a gap is shorter, its words were not heard as any."""

Ways = Mapping[str, Sequence[str]]
"""Word as written → its pronunciations; without those that nobody could say."""


class _Heard(NamedTuple):
    word: int
    """Which of the text's different words; -1 for one of the commonest of English."""
    span: Span


def align(samples: bytes, text: str, speech: Sequence[Span]) -> list[Word] | None:
    """Each word of `text.split()` with its time in `samples`, in order and without overlaps.

    `samples`: 16-bit mono at 16 kHz. `speech`: where in them somebody speaks, in order; nothing is
    looked for elsewhere. Times are in milliseconds from the beginning of the samples. None where
    the text does not seem to be what is said there: in another language, of another recording, or
    half of it wrong.
    """
    words = text.split()
    if not words:
        return []
    ways = _ways(words)
    said = [at for at, word in enumerate(words) if word in ways]
    stretches = _utterances(samples, speech)
    if len(said) < LEAST_SAYABLE * len(words):
        return None
    if 1000 * len(said) > MOST_WORDS_A_S * total_ms(stretches):
        return None
    numbers, distinct = _numbered([ways[words[at]] for at in said])
    decoder = _decoder(numbers, distinct)
    if not _is_likely(decoder, samples, stretches, numbers):
        return None
    heard = list(_recognized(decoder, samples, stretches))
    pairs = sure(paired(numbers, [part.word for part in heard]), len(said), len(heard))
    if not _fits(len(pairs), len(said), len(heard)):
        return None
    found = {said[pair.left]: pair.right for pair in pairs}
    weights = [len(ways[word][0].split()) if word in ways else 0 for word in words]
    return list(_timed(words, weights, found, [part.span for part in heard]))


def _is_likely(
    decoder: Decoder, samples: bytes, stretches: Sequence[Span], numbers: Sequence[int]
) -> bool:
    """Whether some of the text is heard at either end of a long recording.

    What is something else altogether takes longest to recognize, all of it for nothing.
    """
    whole_ms = total_ms(stretches)
    if whole_ms < 3 * TRIAL_MS:
        return True
    for order in (stretches, stretches[::-1]):
        begun_ms = accumulate((span.duration_ms for span in order), initial=0)
        tried = sorted(span for span, ms in zip(order, begun_ms, strict=False) if ms < TRIAL_MS)
        heard = [part.word for part in _recognized(decoder, samples, tried)]
        found = sure(paired(numbers, heard), len(numbers), len(heard))
        if len(found) * whole_ms >= LEAST_LIKELY * len(numbers) * total_ms(tried):
            return True
    return False


def _fits(found: int, text: int, heard: int) -> bool:
    """Whether so many words that both have show that the text is what is said."""
    if text < LEAST_WORDS:
        return found == text == heard
    return found >= max(LEAST_HEARD * text, LEAST_WORDS)


@cache
def _dictionary() -> dict[str, list[str]]:
    """PocketSphinx's own: 130,000 words, 40 MB."""
    found: dict[str, list[str]] = {}
    with Path(get_model_path("en-us/cmudict-en-us.dict")).open(encoding="utf-8") as lines:
        for line in lines:
            word, sounds = line.rstrip("\n").split(" ", 1)
            found.setdefault(re.sub(r"\(\d+\)$", "", word), []).append(sys.intern(sounds))
    return found


@cache
def _common() -> list[str]:
    """How the commonest words of English are said."""
    words = (Path(__file__).parents[1] / "data/common-english.txt").read_text("utf-8").split()
    return [_dictionary()[word][0] for word in words]


def _ways(words: Iterable[str]) -> Ways:
    found = ((word, pronunciations(word, _dictionary())) for word in dict.fromkeys(words))
    return {word: ways for word, ways in found if ways}


def _numbered(ways: Iterable[Sequence[str]]) -> tuple[list[int], list[Sequence[str]]]:
    """Words that are said alike are one: the number of each, and how each number is said."""
    numbers: dict[tuple[str, ...], int] = {}
    sequence = [numbers.setdefault(tuple(way), len(numbers)) for way in ways]
    return sequence, list(numbers)


def _decoder(sequence: Sequence[int], distinct: Sequence[Sequence[str]]) -> Decoder:
    """Knows the words of the text, which follow each other as there, and common ones."""
    own = {way for ways in distinct for way in ways}
    common = [way for way in dict.fromkeys(_common()) if way not in own]
    with TemporaryDirectory() as folder:
        dictionary, model = Path(folder, "words.dict"), Path(folder, "text.arpa")
        dictionary.write_text("\n".join(_entries(distinct, common)) + "\n", "ascii")
        model.write_text("\n".join(_model(sequence, len(common))) + "\n", "ascii")
        return Decoder(
            dict=str(dictionary),
            lm=str(model),
            samprate=SAMPLE_RATE_HZ,
            # A second look at each utterance changes next to nothing, and takes as long again.
            fwdflat=False,
            bestpath=False,
            loglevel="FATAL",
        )


def _entries(distinct: Sequence[Sequence[str]], common: Sequence[str]) -> Iterator[str]:
    """Lines of PocketSphinx's dictionary. The text's words are called by their numbers."""
    for number, ways in enumerate(distinct):
        for at, way in enumerate(ways):
            yield f"t{number}({at + 1}) {way}" if at else f"t{number} {way}"
    for number, way in enumerate(common):
        yield f"c{number} {way}"


def _model(sequence: Sequence[int], common: int) -> Iterator[str]:
    """Lines of a bigram language model in ARPA's format."""
    counts = Counter(sequence)
    single = {number: TEXT * count / len(sequence) for number, count in counts.items()}
    following: dict[int, Counter[int]] = defaultdict(Counter)
    for first, second in pairwise(sequence):
        following[first][second] += 1
    pairs = sum(map(len, following.values()))
    yield from ("\\data\\", f"ngram 1={len(single) + common + 2}", f"ngram 2={pairs}", "")
    yield from ("\\1-grams:", "-99 <s> 0", "-2 </s> 0")
    for number, chance in sorted(single.items()):
        rest = 1 - sum(single[second] for second in following[number])
        left = (1 - FOLLOWS) / rest if following[number] else 1.0
        yield f"{math.log10(chance):.4f} t{number} {math.log10(left):.4f}"
    yield from (f"{math.log10((1 - TEXT) / common):.4f} c{number} 0" for number in range(common))
    yield from ("", "\\2-grams:")
    for first in sorted(following):
        for second, count in sorted(following[first].items()):
            chance = FOLLOWS * count / following[first].total()
            yield f"{math.log10(chance):.4f} t{first} t{second}"
    yield from ("", "\\end\\")


def _utterances(samples: bytes, speech: Sequence[Span]) -> list[Span]:
    """The stretches that are recognized at once: speech with its pauses, cut where these are."""
    whole = Span(0, length_ms(samples))
    padded = (Span(span.start_ms - PAD_MS, span.end_ms + PAD_MS).within(whole) for span in speech)
    pieces = (piece for span in joined(padded) for piece in _cut(samples, span))
    found: list[Span] = []
    for piece in pieces:
        if found and piece.end_ms - found[-1].start_ms <= UTTERANCE_MS:
            found[-1] = Span(found[-1].start_ms, piece.end_ms)
        else:
            found.append(piece)
    return found


def _cut(samples: bytes, span: Span) -> Iterator[Span]:
    """Pieces no longer than an utterance may be."""
    while span.duration_ms > UTTERANCE_MS:
        latest_ms = span.start_ms + UTTERANCE_MS
        at_ms = _quietest(samples, Span(latest_ms - QUIETEST_OF_MS, latest_ms))
        yield Span(span.start_ms, at_ms)
        span = Span(at_ms, span.end_ms)
    yield span


def _quietest(samples: bytes, span: Span) -> int:
    """The middle of the quietest moment."""

    def loudness(start_ms: int) -> int:
        return sum(map(abs, array("h", cut(samples, Span(start_ms, start_ms + QUIET_MS)))))

    return min(range(span.start_ms, span.end_ms, QUIET_MS), key=loudness) + QUIET_MS // 2


def _recognized(decoder: Decoder, samples: bytes, stretches: Iterable[Span]) -> Iterator[_Heard]:
    """What is heard, in order; silence and noise are nothing."""
    frame_ms = 1000 // decoder.config["frate"]
    for stretch in stretches:
        # Forget the noise of what came before: how it is heard depends on nothing else.
        decoder.reinit_feat()
        decoder.start_utt()
        decoder.process_raw(cut(samples, stretch), full_utt=True)
        decoder.end_utt()
        for part in decoder.seg() or []:
            if part.word[0] in "tc":
                number = int(part.word[1:].split("(")[0]) if part.word[0] == "t" else -1
                span = Span(part.start_frame * frame_ms, (part.end_frame + 1) * frame_ms)
                yield _Heard(number, span.moved(stretch.start_ms).within(stretch))


def _timed(
    words: Sequence[str], weights: Sequence[int], found: Mapping[int, int], heard: Sequence[Span]
) -> Iterator[Word]:
    """The words at their times: `found` says which were heard as what."""
    last = -1
    """The last heard word that has its place in the text."""
    for is_heard, group in groupby(range(len(words)), found.__contains__):
        own = list(group)
        if is_heard:
            yield from (Word(words[at], *heard[found[at]]) for at in own)
            last = found[own[-1]]
        else:
            following = found.get(own[-1] + 1, len(heard))
            bounds = Span(
                heard[last].end_ms if last >= 0 else heard[0].start_ms,
                heard[following].start_ms if following < len(heard) else heard[-1].end_ms,
            )
            shares = [weights[at] for at in own]
            sounding = heard[last + 1 : following]
            if total_ms(sounding) < LEAST_STRETCHED * SOUND_MS * sum(shares):
                sounding = [bounds]
            spans = _shared(shares, sounding, late=last < 0)
            yield from (Word(words[at], *span) for at, span in zip(own, spans, strict=True))


def _shared(weights: Sequence[int], sounding: Sequence[Span], *, late: bool) -> list[Span]:
    """Times for words that were not heard, in proportion to their sounds.

    `sounding`: where something was heard between their neighbours. `late`: they belong at its end
    where it is too long for them, not at its beginning.
    """
    whole_ms, own_ms = total_ms(sounding), SOUND_MS * sum(weights)
    taken_ms = whole_ms if whole_ms <= MOST_STRETCHED * own_ms else own_ms
    spent_ms = whole_ms - taken_ms if late else 0
    found, before = [], 0
    for weight in weights:
        starts, ends = (
            spent_ms + taken_ms * part // max(sum(weights), 1) for part in (before, before + weight)
        )
        before += weight
        start_ms = _at(sounding, starts, opens=True)
        found.append(Span(start_ms, max(start_ms, _at(sounding, ends, opens=False))))
    return found


def _at(sounding: Sequence[Span], spent_ms: int, *, opens: bool) -> int:
    """The time when so much of it has sounded; at a pause its end where a word `opens`."""
    for span in sounding:
        if spent_ms < span.duration_ms or (spent_ms == span.duration_ms and not opens):
            return span.start_ms + spent_ms
        spent_ms -= span.duration_ms
    return sounding[-1].end_ms
