"""Probabilities of the tokens that a Whisper model put out.

faster-whisper has the model align each window's text with its sound, which measures how probable
each token is, and keeps but the mean of each word.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from dropscribe.api import Logprob


class Aligner:
    """Stands in for CTranslate2's model, and keeps what its last alignment measured."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._first_special = tokenizer.token_to_id("<|endoftext|>")
        self._tokens: list[int] = []
        self._probabilities: list[float] = []
        self._taken = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def align(self, features: Any, start: Any, texts: Any, *args: Any, **kwargs: Any) -> Any:
        results = self._model.align(features, start, texts, *args, **kwargs)
        pairs = [
            pair
            for tokens, result in zip(texts, results, strict=True)
            for pair in zip(tokens, result.text_token_probs, strict=False)
        ]
        self._tokens = [token for token, _ in pairs]
        self._probabilities = [probability for _, probability in pairs]
        self._taken = 0
        return results

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What is aligned meanwhile is forgotten afterwards, and what was kept before is back."""
        kept = self._tokens, self._probabilities, self._taken
        try:
            yield
        finally:
            self._tokens, self._probabilities, self._taken = kept

    def logprobs(self, tokens: Sequence[int]) -> list[Logprob]:
        """Of a segment's text, in order; segments are asked about in the order of their windows.

        Given the text before and without timestamps, whatever temperature it was sampled at. Empty
        where it was not measured.
        """
        wanted = [token for token in tokens if token < self._first_special]
        last = len(self._tokens) - len(wanted)
        for at in range(self._taken, last + 1):
            if self._tokens[at : at + len(wanted)] == wanted:
                self._taken = at + len(wanted)
                measured = self._probabilities[at : self._taken]
                return [self._logprob(*pair) for pair in zip(wanted, measured, strict=True)]
        return []

    def _logprob(self, token: int, probability: float) -> Logprob:
        content = bytes(map(_byte_of().__getitem__, self._tokenizer.id_to_token(token)))
        return Logprob(
            token=content.decode("utf-8", "replace"),
            logprob=math.log(min(max(probability, sys.float_info.min), 1.0)),
            bytes=list(content),
        )


@cache
def _byte_of() -> dict[str, int]:
    """How GPT-2's kind of vocabulary writes bytes: as they are, if printable, else from U+0100."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    written = {chr(byte): byte for byte in printable}
    return written | {chr(256 + number): byte for number, byte in enumerate(others)}
