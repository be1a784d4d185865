"""The language of a text that a recognizer wrote without naming it."""

from __future__ import annotations

from functools import cache
from typing import Final

from py3langid.langid import MODEL_FILE, LanguageIdentifier

LEAST_LETTERS: Final = 12
"""Less is too short to tell."""
LEAST_SURE: Final = 0.75
"""Probability of the language that is named."""
LOOKED_AT: Final = 3000
"""Characters: more change nothing."""


def language_of(text: str) -> str | None:
    """ISO 639-1 code of one of 97 languages; None where it cannot be told with some certainty."""
    if sum(map(str.isalpha, text[:LOOKED_AT])) < LEAST_LETTERS:
        return None
    code, sure = _identifier().classify(text[:LOOKED_AT])
    return str(code) if sure >= LEAST_SURE else None


@cache
def _identifier() -> LanguageIdentifier:
    """Loaded once a process: 0.8 s."""
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
