"""How words of transcripts are said: numbers, names, letters, and what nobody can say."""

from __future__ import annotations

import pytest

from dropscribe.engines.forced import _dictionary
from dropscribe.engines.pronunciation import cardinal, guess, pronunciations


def ways(word: str) -> list[str]:
    return pronunciations(word, _dictionary())


def said(text: str) -> str:
    """The sounds of words of the dictionary, one after another."""
    return " ".join(_dictionary()[word][0] for word in text.split())


SOUNDS = {sound for found in _dictionary().values() for way in found for sound in way.split()}


@pytest.mark.parametrize(
    "word",
    [
        "",
        "—",
        "?!",
        "\N{RIGHT SINGLE QUOTATION MARK}",
        "♪",
        "Привет",
        "你好",
        "()",
        "\0",
        "7" * 500,
        "ab1" * 200,
    ],
)
def test_what_nobody_can_say_has_no_pronunciation(word: str) -> None:
    assert ways(word) == []


@pytest.mark.parametrize(
    "word",
    [
        "x" * 10_000,
        "1-2-3-4-5-6-7",
        "http://www.example.com/x?y=1",
        "½",
        "a'b'c",
        "¿qué?",
        "%",
        "B2B",
    ],
)
def test_what_is_no_word_is_said_in_sounds_that_there_are(word: str) -> None:
    found = ways(word)
    assert found
    assert len(found) <= 6
    assert {sound for way in found for sound in way.split()} <= SOUNDS


@pytest.mark.parametrize(
    ("word", "spoken"),
    [
        ("$5", "five dollars"),
        ("£12,500", "twelve thousand five hundred pounds"),
        ("$3.50", "three dollars fifty"),
        ("$2.5M", "two point five million dollars"),
        ("10k", "ten thousand"),
        ("3.5%", "three point five percent"),
        ("1997,", "nineteen ninety seven"),
        ("100th", "one hundredth"),
        ("1905", "nineteen oh five"),
        ("2008.", "two thousand eight"),
        ("2008.", "two thousand and eight"),
        ("1900", "nineteen hundred"),
        ("1,200", "one thousand two hundred"),
        ("1200", "twelve hundred"),
        ("105", "one hundred and five"),
        ("145", "one forty five"),
        ("007", "oh oh seven"),
        ("3:30", "three thirty"),
        ("14th", "fourteenth"),
        ("21st", "twenty first"),
        ("20th", "twentieth"),
        ("0", "zero"),
        ("90210", "nine oh two one oh"),
        ("1,000,001", "one million one"),
        ("R&D", "r. and d."),
        ("well-known", "well known"),
        ("“Frankly,”", "frankly"),
        ("it\N{RIGHT SINGLE QUOTATION MARK}s", "it's"),
        ("(Mr.", "mr."),
        ("U.S.", "u.s."),
        ("US", "u.s."),
        ("us", "us"),
        ("Q3", "q. three"),
        ("XQZ", "x. q. z."),
        ("Dropscribe", "drop scribe"),
        ("CAFÉ", "cafe"),
    ],
)
def test_a_word_is_said_as_people_say_it(word: str, spoken: str) -> None:
    assert said(spoken) in ways(word)


def test_a_decade_ends_in_a_plural() -> None:
    assert ways("1990s")[0] == said("nineteen ninety") + " Z"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (19, "nineteen"),
        (20, "twenty"),
        (999, "nine hundred ninety nine"),
        (1000, "one thousand"),
        (1_000_000, "one million"),
        (
            12_345_678,
            "twelve million three hundred forty five thousand six hundred seventy eight",
        ),
        (10**15 - 1, "nine hundred ninety nine trillion " + "nine hundred ninety nine billion "
         "nine hundred ninety nine million nine hundred ninety nine thousand "
         "nine hundred ninety nine"),
    ],
)  # fmt: skip
def test_a_number_is_read_in_words(number: int, words: str) -> None:
    assert cardinal(number) == words.split()


def test_guesses_are_mostly_right() -> None:
    """On words that the dictionary has; under a third of the sounds wrong, missing or added."""
    words = [word for word in _dictionary() if word.isalpha() and len(word) > 4][::500]
    guesses = [(guess(word).split(), _dictionary()[word][0].split()) for word in words]
    wrong = sum(_distance(ours, right) for ours, right in guesses)
    assert wrong < 0.33 * sum(len(right) for _, right in guesses)


def _distance(left: list[str], right: list[str]) -> int:
    row = list(range(len(right) + 1))
    for at, sound in enumerate(left, 1):
        above, row = row, [at]
        for column, other in enumerate(right):
            row.append(min(row[-1] + 1, above[column + 1] + 1, above[column] + (sound != other)))
    return row[-1]
