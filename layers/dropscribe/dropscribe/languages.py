"""Language names as Whisper's `verbose_json` writes them, and their codes.

Source: the table in openai/whisper's tokenizer; the API answers `"english"` where a request says
`"en"`.
"""

from __future__ import annotations

from typing import Final

NAMES: Final[dict[str, str]] = {
    "af": "afrikaans", "am": "amharic", "ar": "arabic", "as": "assamese", "az": "azerbaijani",
    "ba": "bashkir", "be": "belarusian", "bg": "bulgarian", "bn": "bengali", "bo": "tibetan",
    "br": "breton", "bs": "bosnian", "ca": "catalan", "cs": "czech", "cy": "welsh",
    "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish",
    "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish", "fo": "faroese",
    "fr": "french", "gl": "galician", "gu": "gujarati", "ha": "hausa", "haw": "hawaiian",
    "he": "hebrew", "hi": "hindi", "hr": "croatian", "ht": "haitian creole", "hu": "hungarian",
    "hy": "armenian", "id": "indonesian", "is": "icelandic", "it": "italian", "ja": "japanese",
    "jw": "javanese", "ka": "georgian", "kk": "kazakh", "km": "khmer", "kn": "kannada",
    "ko": "korean", "la": "latin", "lb": "luxembourgish", "ln": "lingala", "lo": "lao",
    "lt": "lithuanian", "lv": "latvian", "mg": "malagasy", "mi": "maori", "mk": "macedonian",
    "ml": "malayalam", "mn": "mongolian", "mr": "marathi", "ms": "malay", "mt": "maltese",
    "my": "myanmar", "ne": "nepali", "nl": "dutch", "nn": "nynorsk", "no": "norwegian",
    "oc": "occitan", "pa": "punjabi", "pl": "polish", "ps": "pashto", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sa": "sanskrit", "sd": "sindhi", "si": "sinhala",
    "sk": "slovak", "sl": "slovenian", "sn": "shona", "so": "somali", "sq": "albanian",
    "sr": "serbian", "su": "sundanese", "sv": "swedish", "sw": "swahili", "ta": "tamil",
    "te": "telugu", "tg": "tajik", "th": "thai", "tk": "turkmen", "tl": "tagalog",
    "tr": "turkish", "tt": "tatar", "uk": "ukrainian", "ur": "urdu", "uz": "uzbek",
    "vi": "vietnamese", "yi": "yiddish", "yo": "yoruba", "yue": "cantonese", "zh": "chinese",
}  # fmt: skip
_THREE_LETTERS: Final = (
    "afr amh ara asm aze bak bel bul ben bod bre bos cat ces cym dan deu ell eng spa est eus fas "
    "fin fao fra glg guj hau haw heb hin hrv hat hun hye ind isl ita jpn jav kat kaz khm kan kor "
    "lat ltz lin lao lit lav mlg mri mkd mal mon mar msa mlt mya nep nld nno nor oci pan pol pus "
    "por ron rus san snd sin slk slv sna som sqi srp sun swe swa tam tel tgk tha tuk tgl tur tat "
    "ukr urd uzb vie yid yor yue zho"
)
"""ISO 639-3 of each name, in their order."""
_OTHERS: Final[dict[str, str]] = {
    **dict(zip(_THREE_LETTERS.split(), NAMES, strict=True)),
    **{"nb": "no", "nob": "no", "jv": "jw", "iw": "he", "fil": "tl"},
    **{"cmn": "zh", "arb": "ar", "ary": "ar", "arz": "ar"},
}
"""Codes of languages that Whisper has under another."""
CODES: Final[dict[str, str]] = {name: code for code, name in NAMES.items()}


def code_of(language: str) -> str:
    """`"English"`, `"en"`, `"eng"` or `"en-GB"` → `"en"`; what is in no table stays as it is."""
    return CODES.get(language.lower()) or whispers_code(language) or language.lower()


def whispers_code(code: str) -> str | None:
    """What Whisper calls a language: `"deu"`, `"de-AT"` → `"de"`, `"nb"` → `"no"`.

    None where it has no code for it.
    """
    base = code.lower().replace("_", "-").split("-")[0]
    code = _OTHERS.get(base, base)
    return code if code in NAMES else None


def name_of(code: str) -> str:
    """`"en"` → `"english"`; a code that is not in the table stays as it is."""
    return NAMES.get(code.lower(), code.lower())
