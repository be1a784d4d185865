"""How English words are said: their sounds, as PocketSphinx's dictionary writes them.

Words as a transcript spells them: with punctuation, digits, signs and names. What the dictionary
does not have is made of words that it has ("Dropscribe" is drop and scribe), or guessed from the
letters. That is right enough to find a word where its neighbours are known, not to speak it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Final

MOST_READINGS: Final = 6
"""Of one word; a number can be read in more ways than anybody does."""
LONGEST_GUESS: Final = 40
"""Letters of a word that are guessed at: what is longer is none."""
SHORTEST_PART: Final = 4
"""Letters of a word inside another. The dictionary has names of three letters that are in all."""
LONGEST_ACRONYM: Final = 3
"""Letters of a word in capitals that may be read letter by letter though it is a word: US, IT."""
SPELLED: Final = 5
"""Letters up to which a word in capitals is read letter by letter."""
MOST_DIGITS: Final = 15
MOST_SOUNDS: Final = 120
"""Of one word: the longest numbers and addresses."""
APOSTROPHE: Final = "\N{RIGHT SINGLE QUOTATION MARK}"

Dictionary = Mapping[str, Sequence[str]]
"""Word in small letters → its pronunciations, sounds with a space between."""

_ONES: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
)
_TENS: Final = (
    "",
    "",
    "twenty",
    "thirty",
    "forty",
    "fifty",
    "sixty",
    "seventy",
    "eighty",
    "ninety",
)
_GROUPS: Final = ("", "thousand", "million", "billion", "trillion")
_ORDINALS: Final = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_CURRENCIES: Final = {"$": "dollars", "£": "pounds", "€": "euros", "¥": "yen", "₹": "rupees"}
_SIGNS: Final = {"%": "percent", "&": "and", "+": "plus", "@": "at", "=": "equals", "°": "degrees"}
_PIECES: Final = re.compile(
    rf"(?P<currency>[{''.join(_CURRENCIES)}])?(?P<digits>\d+(?:,\d{{3}})*)(?:\.(?P<decimals>\d+))?"
    r"(?P<ending>(?:st|nd|rd|th|s)\b)?(?P<scale>[kmb]?\b)?"
    rf"|(?P<letters>[a-z]+(?:'[a-z]+)*)|(?P<sign>[{re.escape(''.join(_SIGNS))}])"
)
_SCALES: Final = {"k": "thousand", "m": "million", "b": "billion"}
_LETTERS: Final = {
    **{"tion": "SH AH N", "sion": "ZH AH N", "ture": "CH ER", "ough": "AO", "augh": "AO"},
    **{"eigh": "EY", "igh": "AY", "tch": "CH", "dge": "JH", "sch": "SH", "cia": "SH AH"},
    **{"eau": "OW", "ear": "IH R", "eer": "IH R", "air": "EH R", "are": "EH R", "ore": "AO R"},
    **{"our": "AO R", "oor": "AO R", "ire": "AY ER", "que": "K", "qu": "K W", "ch": "CH"},
    **{"sh": "SH", "th": "TH", "ph": "F", "gh": "G", "wh": "W", "ck": "K", "ng": "NG"},
    **{"kn": "N", "wr": "R", "ps": "P S", "rh": "R", "zh": "ZH", "kh": "K", "sc": "S K"},
    **{"ee": "IY", "ea": "IY", "ai": "EY", "ay": "EY", "oa": "OW", "oo": "UW", "ou": "AW"},
    **{"ow": "OW", "oi": "OY", "oy": "OY", "au": "AO", "aw": "AO", "ie": "IY", "ei": "AY"},
    **{"ey": "IY", "eu": "UW", "ew": "UW", "ue": "UW", "ui": "UW", "ar": "AA R", "er": "ER"},
    **{"ir": "ER", "ur": "ER", "or": "AO R", "ia": "IY AH", "io": "IY OW", "ce": "S EH"},
    **{"ci": "S IH", "cy": "S IY", "ge": "JH EH", "gi": "JH IH", "gy": "JH IY"},
    **{"a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH"},
    **{"i": "IH", "j": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P"},
    **{"q": "K", "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V", "w": "W", "x": "K S"},
    **{"y": "IY", "z": "Z"},
}
"""The commonest sounds of letters together, the longest first."""
_AT_THE_END: Final = {
    **{"e": "", "es": "Z", "ed": "D", "a": "AH", "o": "OW", "i": "IY", "ce": "S", "ge": "JH"},
    **{"le": "AH L", "re": "ER", "al": "AH L", "el": "AH L", "on": "AH N", "en": "AH N"},
    **{"an": "AH N", "er": "ER", "or": "ER", "ous": "AH S", "ism": "IH Z AH M", "ar": "ER"},
    **{"ion": "IY AH N", "us": "AH S", "um": "AH M", "ly": "L IY", "man": "M AH N"},
    **{"mb": "M", "s": "S", "ness": "N AH S", "et": "AH T", "is": "IH S", "age": "IH JH"},
    **{"ski": "S K IY"},
}
_AT_THE_START: Final = {"x": "Z", "y": "Y", "mc": "M AH K", "ps": "S", "ts": "S", "u": "Y UW"}


def pronunciations(word: str, dictionary: Dictionary) -> list[str]:
    """The ways in which a word of a transcript may be said, the likeliest first.

    Empty where nothing is said that English has sounds for: a dash, a word in another script.
    """
    plain = _plain(word)
    core = plain.strip("\"'()[]{}<>*_-!?,;:.…/\\~`")
    # "U.S." and "'em" are words of the dictionary as they stand, with what is around them.
    known = next((form for form in (plain, plain.rstrip(',;:!?"'), core) if form in dictionary), "")
    if known:
        acronym = word.isupper() and 1 < len(core) <= LONGEST_ACRONYM and core.isalpha()
        return [*dictionary[known], *([_spelled(core, dictionary)] if acronym else [])]
    parts = [_readings(piece, word.isupper(), dictionary) for piece in _PIECES.finditer(core)]
    found = (" ".join(filter(None, reading)) for reading in product(*parts)) if parts else ()
    sayable = (way for way in islice(found, MOST_READINGS) if way.count(" ") < MOST_SOUNDS)
    return list(dict.fromkeys(filter(None, sayable)))


def _plain(word: str) -> str:
    """In small letters without accents, and with the one apostrophe that the dictionary has."""
    decomposed = unicodedata.normalize("NFKD", word.replace(APOSTROPHE, "'"))
    return "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()


def _readings(piece: re.Match[str], capitals: bool, dictionary: Dictionary) -> list[str]:
    """The ways to say one part of a word: letters, a number with what belongs to it, or a sign."""
    if letters := piece["letters"]:
        return _said(letters, capitals, dictionary)
    if sign := piece["sign"]:
        return [dictionary[_SIGNS[sign]][0]]
    numbers = islice(dict.fromkeys(tuple(words) for words in _numbers(piece)), MOST_READINGS)
    plural = " Z" if piece["ending"] == "s" else ""
    return [" ".join(dictionary[word][0] for word in words) + plural for words in numbers]


def _said(letters: str, capitals: bool, dictionary: Dictionary) -> list[str]:
    """A word without digits: as the dictionary has it, letter by letter, of parts, or guessed."""
    if letters in dictionary:
        return [*dictionary[letters]]
    stem = letters.removesuffix("'s")
    guessed = _of_parts(stem, dictionary) or guess(stem)
    ways = [guessed + (" Z" if stem != letters else "")]
    vowels = re.search("[aeiouy]", letters)
    if len(letters) <= SPELLED and (capitals or not vowels):
        ways.insert(0, _spelled(letters, dictionary))
    return ways


def _spelled(letters: str, dictionary: Dictionary) -> str:
    """Letter by letter."""
    return " ".join(dictionary[f"{letter}."][0] for letter in letters if letter.isalpha())


def _of_parts(letters: str, dictionary: Dictionary) -> str | None:
    """Said as two words of the dictionary; with the longest of those that there are."""
    if len(letters) > LONGEST_GUESS:
        return None
    cuts = range(SHORTEST_PART, len(letters) - SHORTEST_PART + 1)
    fitting = [cut for cut in cuts if {letters[:cut], letters[cut:]} <= dictionary.keys()]
    if not fitting:
        return None
    cut = max(fitting, key=lambda cut: max(cut, len(letters) - cut))
    return f"{dictionary[letters[:cut]][0]} {dictionary[letters[cut:]][0]}"


def guess(letters: str) -> str:
    """The sounds of a word of small letters a to z, by rules of thumb."""
    left, ending = letters[:LONGEST_GUESS].replace("'", ""), ""
    for length in (4, 3, 2, 1):
        if len(left) > length + 1 and left[-length:] in _AT_THE_END:
            left, ending = left[:-length], _AT_THE_END[left[-length:]]
            break
    found = []
    table = _AT_THE_START | {}
    while left:
        length = next(n for n in (4, 3, 2, 1) if left[:n] in table or left[:n] in _LETTERS)
        found.append(table.get(left[:length]) or _LETTERS[left[:length]])
        doubled = length == 1 and left[1:2] == left[0] and left[0] not in "aeiou"
        left, table = left[length + doubled :], {}
    return " ".join(filter(None, [*found, ending]))


def _numbers(piece: re.Match[str]) -> Iterator[list[str]]:
    """The ways to read a number, as words."""
    digits, decimals = piece["digits"], piece["decimals"]
    unit = [_CURRENCIES[piece["currency"]]] if piece["currency"] else []
    if piece["scale"]:
        unit = [_SCALES[piece["scale"]], *unit]
    if decimals and len(decimals) == 2 and unit:  # $3.50
        for words in _whole(digits):
            yield [*words, *unit, *cardinal(int(decimals))]
            yield [*words, *cardinal(int(decimals))]
    for words in _whole(digits):
        if decimals:
            yield [*words, "point", *(_ONES[int(digit)] for digit in decimals), *unit]
        elif piece["ending"] in {"st", "nd", "rd", "th"}:
            # 100th is never `one zero zeroth`.
            if words[-1] not in ("zero", "oh"):
                yield [*words[:-1], _ordinal(words[-1])]
        else:
            yield [*words, *unit]


def _whole(digits: str) -> Iterator[list[str]]:
    """The ways to read a number without decimals: `1997`, `1,200`, `007`."""
    figures = digits.replace(",", "")
    one_by_one = [_ONES[int(digit)] for digit in figures]
    if len(figures) > MOST_DIGITS or (len(figures) > 1 and figures[0] == "0"):
        yield one_by_one
        yield ["oh" if word == "zero" else word for word in one_by_one]
        return
    number = int(figures)
    if len(figures) == 4:
        yield from _in_pairs(number // 100, number % 100)
    yield cardinal(number)
    if number > 100:
        yield cardinal(number, "and")
    if len(figures) == 3 and number % 100 > 9:
        yield [_ONES[number // 100], *cardinal(number % 100)]
    if len(figures) > 2 and "," not in digits:
        yield one_by_one
        yield ["oh" if word == "zero" else word for word in one_by_one]


def _in_pairs(first: int, last: int) -> Iterator[list[str]]:
    """As years are read. Two thousand and eight is said as a number."""
    if first % 10 == 0 and last < 10:
        return
    if last == 0:
        yield [*cardinal(first), "hundred"]
    else:
        yield [*cardinal(first), *(["oh"] if last < 10 else []), *cardinal(last)]


def cardinal(number: int, after_hundreds: str = "") -> list[str]:
    """A number from 0 on, below a thousand million million, in words."""
    if number < 20:
        return [_ONES[number]]
    if number < 100:
        return [_TENS[number // 10], *([_ONES[number % 10]] if number % 10 else [])]
    if number < 1000:
        rest = cardinal(number % 100) if number % 100 else []
        joint = [after_hundreds] if rest and after_hundreds else []
        return [_ONES[number // 100], "hundred", *joint, *rest]
    found: list[str] = []
    for power, name in reversed([*enumerate(_GROUPS)]):
        group = number // 1000**power % 1000
        if not group:
            continue
        alone = power == 0 and group < 100 and after_hundreds
        found += [*([after_hundreds] if alone else []), *cardinal(group, after_hundreds)]
        found += [name] if name else []
    return found


def _ordinal(word: str) -> str:
    if word in _ORDINALS:
        return _ORDINALS[word]
    return f"{word[:-1]}ieth" if word.endswith("y") else f"{word}th"
