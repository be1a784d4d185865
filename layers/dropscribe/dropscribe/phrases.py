"""Where a line of text may end: what belongs together in the languages we know, and what does not.

Costs are of our own making, to be compared with each other. The order is what subtitlers' style
guides agree on (Netflix, BBC, TED): after a sentence, after a comma, before a conjunction or a
preposition; never after an article, inside a name or a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Final

import budoux

from dropscribe.alignment import is_spaceless

SENTENCE: Final = 0.0
"""Cost of a break after the end of a sentence."""
CLAUSE: Final = 2.0
"""After a comma and the like."""
LEAD: Final = 5.0
"""Before a conjunction or a preposition."""
PLAIN: Final = 9.0
"""Between two other words."""
DANGLING: Final = 18.0
"""After a word that begins a clause."""
HELD: Final = 30.0
"""Between words that belong together: only where there is no other way."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ENDS: Final = (".", "?", "!", "…", "。", "？", "！", "؟", "।", "॥", "۔", "።", "։")  # noqa: RUF001
_PAUSES: Final = (",", ";", ":", "—", "–", "、", "，", "；", "：", "،", "؛", "·")  # noqa: RUF001
_CLOSING: Final = "\"'”’»)]」』》） "  # noqa: RUF001
_OPENING: Final = "\"'“‘«([„‚‹¿¡「『《（"  # noqa: RUF001
_KNOWN_WORDS: Final = 1 << 14
"""As many are remembered: a text has few different ones."""
_CURRENCIES: Final = ("$", "€", "£", "¥")
_UNITS: Final = _set(
    "% ‰ ° °c °f € $ £ ¥ h min s ms km m cm mm kg g mg l ml kb mb gb tb hz khz mhz ghz w kw mw v a "
    "am pm a.m. p.m. uhr hundred thousand million millions billion billions trillion percent "
    "prozent tausend millionen milliarden mille millions milliards cent mil millones millón "
    "millón milioni miliardi milhões bilhões miljoen miljard procent o'clock"
)
_TITLES: Final = _set(
    "mr. mr mrs. mrs ms. ms dr. dr prof. prof st. sir lady lord saint herr frau fräulein hr. fr. "
    "monsieur madame m. mme mlle señor señora sr. sra. don doña signor signora sig. senhor senhora "
    "meneer mevrouw dhr. mevr. no. nr. vol. fig. vs. e.g. i.e. z.b. d.h. bzw. u.a. p.ex. cf."
)
"""After which a sentence goes on."""
_LEADS: Final = {
    "en": "and but or nor so yet because although though while when where if unless until since "
    "that which who whom whose as than in on at by for with without from to of into onto over "
    "under about after before between through during against among towards upon",
    "de": "und aber oder denn sondern weil obwohl dass daß wenn als ob während nachdem bevor damit "
    "sowie wie wo der die das den dem welche welcher welches in im ins an am auf aus bei beim mit "
    "nach von vom vor zu zum zur über unter für durch gegen ohne um zwischen seit bis wegen trotz",
    "fr": "et mais ou donc or ni car que qu' qui quand lorsque si comme parce puisque quoique "
    "dont où à au aux de du des d' dans en par pour sur sous avec sans chez vers entre contre "
    "pendant depuis avant après",
    "es": "y e pero o u ni sino porque aunque que quien cuando donde si como mientras pues a al "
    "de del en con sin por para sobre bajo entre hacia hasta desde contra durante según tras ante",
    "it": "e ed ma o oppure né perché anche che chi quando dove se come mentre poiché a ad al alla "
    "allo ai agli alle di del della dello dei degli delle da dal dalla in nel nella con su sul "
    "sulla per tra fra senza verso contro durante dopo prima",
    "pt": "e mas ou nem porque embora que quem quando onde se como enquanto pois a ao à aos às de "
    "do da dos das em no na nos nas com sem por pelo pela para sobre sob entre até desde contra "
    "durante após",
    "nl": "en maar of want omdat hoewel dat die wie als wanneer toen terwijl zodat of in op aan "
    "bij met van voor na uit over onder door tegen zonder om tussen tot sinds naar",
}
"""Conjunctions, relative pronouns and prepositions: a new line may begin with one."""
_HOLDS: Final = {
    "en": "a an the my your his her its our their this these those no every each some any in on "
    "at by for with without from to of into onto over under about between through during against "
    "among towards upon and or but i i'm i'll we they he she is are was were be been am not don't "
    "very",
    "de": "der die das den dem des ein eine einen einem einer eines mein meine dein seine sein "
    "ihr ihre unser unsere kein keine keinen dieser diese dieses jeder jede jedes in im ins an am "
    "auf aus bei beim mit nach von vom vor zu zum zur über unter für durch gegen ohne um zwischen "
    "seit bis wegen trotz und oder aber ich du er sie wir nicht sehr",
    "fr": "le la les l' un une des du de d' au aux mon ma mes ton ta tes son sa ses notre nos "
    "votre vos leur leurs ce cet cette ces chaque à dans en par pour sur sous avec sans chez vers "
    "entre contre et ou mais je tu il elle on nous vous ils elles ne n' se s' très",
    "es": "el la los las un una unos unas lo mi mis tu tus su sus nuestro nuestra este esta estos "
    "estas ese esa cada a al de del en con sin por para sobre bajo entre hacia hasta desde contra "
    "y e o u pero no se me te le muy",
    "it": "il lo la i gli le l' un uno una un' mio mia tuo tua suo sua nostro nostra questo questa "
    "quel quella ogni a ad al alla allo ai agli alle di del della dello dei degli delle da dal "
    "dalla in nel nella con su sul sulla per tra fra senza e ed o ma non si mi ti molto",
    "pt": "o a os as um uma uns umas meu minha teu tua seu sua nosso nossa este esta esse essa "
    "cada ao à aos às de do da dos das em no na nos nas com sem por pelo pela para sobre sob entre "
    "até desde e ou mas não se me te muito",
    "nl": "de het een 't mijn jouw je zijn haar ons onze hun dit dat deze die elke in op aan bij "
    "met van voor na uit over onder door tegen zonder om tussen tot en of maar ik jij hij zij wij "
    "niet zeer te",
}
"""Articles, other determiners, prepositions, pronouns of verbs: nothing ends with one."""


def costs(texts: Sequence[str], glued: Sequence[bool], language: str | None) -> list[float]:
    """The cost of a break after each of the parts of a text; after the last it is 0.

    `glued`: whether a part continues the one before it without a space. `language`: ISO 639 code;
    of those without tables here, and of None, only punctuation is heeded.
    """
    found = []
    for at in range(len(texts) - 1):
        if glued[at + 1]:
            found.append(_inside(texts[at]))
        else:
            found.append(_between(texts[at], texts[at + 1], language))
    for at in _phrases(texts, glued, language):
        found[at] = min(found[at], PLAIN)
    return [*found, SENTENCE]


def ends_sentence(text: str) -> bool:
    """Whether a word is the last of its sentence, as far as its own writing tells."""
    bare = text.rstrip(_CLOSING)
    if not bare.endswith(_ENDS):
        return False
    if not bare.endswith("."):
        return True
    # Not after a title or an abbreviation with dots inside, nor after an initial.
    low = bare.lower().lstrip(_OPENING)
    shortened = "." in low[:-1].strip(".") and not any(map(str.isdigit, low))
    return low not in _TITLES and not shortened and len(low) > len("a.")


@cache
def _tables(language: str | None) -> tuple[frozenset[str], frozenset[str]]:
    return _set(_LEADS.get(language or "", "")), _set(_HOLDS.get(language or "", ""))


def _inside(left: str) -> float:
    """Between parts that no space divides: of a script without spaces, or of a long word."""
    if ends_sentence(left):
        return SENTENCE
    return CLAUSE if left.endswith(_PAUSES) else HELD


def _between(left: str, right: str, language: str | None) -> float:
    """Between two words."""
    ending, number, name = _left(left, language)
    if ending < PLAIN or ending == HELD:
        return ending
    leads, begins_number, begins_name = _right(right, language)
    if (number and begins_number) or (name and begins_name):
        return HELD
    return LEAD if leads and ending == PLAIN else ending


@lru_cache(_KNOWN_WORDS)
def _left(word: str, language: str | None) -> tuple[float, bool, bool]:
    """The cost of a break after a word, for what it is; whether it ends a number, or is a name."""
    leads, holds = _tables(language)
    ending = PLAIN
    low, last = word.lower(), word[-1]
    if low in holds or low in _TITLES or word in _CURRENCIES:
        ending = HELD
    elif not last.isalnum() and ends_sentence(word):
        ending = SENTENCE
    elif not last.isalnum() and word.rstrip(_CLOSING).endswith(_PAUSES):
        ending = CLAUSE
    elif low in leads:
        ending = DANGLING
    # German writes all nouns like names.
    return ending, last.isdigit(), word[0].isupper() and last.isalnum() and language != "de"


@lru_cache(_KNOWN_WORDS)
def _right(word: str, language: str | None) -> tuple[bool, bool, bool]:
    """Whether a line may well begin with a word; whether it goes on a number, or a name."""
    leads, _ = _tables(language)
    low = word.lower()
    number = word[0].isdigit() or low.rstrip(".,;:?!") in _UNITS
    return low in leads, number, word[0].isupper()


def _phrases(texts: Sequence[str], glued: Sequence[bool], language: str | None) -> list[int]:
    """After which parts of text without spaces a phrase ends, in the languages BudouX knows."""
    ends: list[int] = []
    begin = 0
    for at in range(1, len(texts) + 1):
        if at < len(texts) and glued[at]:
            continue
        if at - begin > 1 and is_spaceless(texts[begin][0]):
            ends += _phrase_ends(texts[begin:at], begin, language)
        begin = at
    return ends


def _phrase_ends(texts: Sequence[str], first: int, language: str | None) -> list[int]:
    parser = _parser(language or "", kana=any("぀" <= text[0] <= "ヿ" for text in texts))
    if parser is None:
        return []
    lengths = {0: first}
    length = 0
    for at, text in enumerate(texts, first):
        length += len(text)
        lengths[length] = at
    cuts, length = [], 0
    for phrase in parser.parse("".join(texts))[:-1]:
        length += len(phrase)
        if length in lengths:
            cuts.append(lengths[length])
    return cuts


@cache
def _parser(language: str, *, kana: bool) -> budoux.Parser | None:
    """None: nobody knows this language's phrases. What has kana is Japanese, whatever it says."""
    if language == "ja" or (kana and language != "zh"):
        return budoux.load_default_japanese_parser()
    if language == "th":
        return budoux.load_default_thai_parser()
    if language in ("", "zh", "yue"):
        return budoux.load_default_simplified_chinese_parser()
    return None
