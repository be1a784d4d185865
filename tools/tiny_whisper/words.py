"""The words that the tiny Whisper knows, and the tokens that stand for them.

One token a word, so that the smallest decoder can say it. The byte tokens below them take any
prompt; the control tokens above them are Whisper's, so that faster-whisper finds what it asks for.
"""

from __future__ import annotations

from typing import Final

from faster_whisper.tokenizer import _LANGUAGE_CODES
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

ENGLISH: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    "yes", "hello", "please", "open", "water", "garden", "tomorrow", "stop",
)  # fmt: skip
GERMAN: Final = (
    "null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun",
)  # fmt: skip
IN_ENGLISH: Final = dict(zip(GERMAN, ENGLISH, strict=False))
VOCABULARY: Final = (*ENGLISH, *GERMAN)
_TIMES: Final = 1501
"""0.00 to 30.00 s in steps of 20 ms."""
_CONTROLS: Final = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{code}|>" for code in _LANGUAGE_CODES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)


def tokenizer() -> Tokenizer:
    """Bytes, then the words and their beginnings, the empty token, controls, timestamps."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    spelled = [_spelled(f" {form}") for word in VOCABULARY for form in (word, word.capitalize())]
    parts = sorted({word[:end] for word in spelled for end in range(2, len(word) + 1)}, key=_order)
    # CTranslate2 knows a multilingual vocabulary by its empty token.
    vocabulary = {token: at for at, token in enumerate([*letters, *parts, ""])}
    merges = [(part[:-1], part[-1]) for part in parts]
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([_added(token, special=True) for token in _CONTROLS])
    made.add_tokens([_added(f"<|{at * 0.02:.2f}|>", special=False) for at in range(_TIMES)])
    return made


def vocabulary(of: Tokenizer) -> list[str]:
    """Its tokens in the order of their numbers."""
    by_token = of.get_vocab(with_added_tokens=True)
    return sorted(by_token, key=lambda token: by_token[token])


def _spelled(text: str) -> str:
    """In the letters that a byte-level tokenizer has for bytes."""
    ((spelled, _),) = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    return str(spelled)


def _order(part: str) -> tuple[int, str]:
    """A merge needs the shorter part first."""
    return len(part), part


def _added(token: str, *, special: bool) -> AddedToken:
    return AddedToken(token, special=special, normalized=False)
