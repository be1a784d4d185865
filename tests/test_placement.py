"""When words are said of which only the text and the stretches with speech are known."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dropscribe import sound, speech
from dropscribe.placement import divided, placed, sentences
from dropscribe.spans import Span
from dropscribe.transcript import Segment, Word
from tests import espeak

WHOLE = Span(0, 10_000)
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


def times(words: Sequence[Word]) -> list[tuple[str, int, int]]:
    return [(word.text, word.start_ms, word.end_ms) for word in words]


def is_sound(words: Sequence[Word], text: str, span: Span) -> bool:
    """Whether every word is there, in order, in the span, and none overlaps another."""
    kept = [word.text for word in words] == divided(text)
    marks = [ms for word in words for ms in (word.start_ms, word.end_ms)]
    ordered = all(before <= after for before, after in pairwise(marks))
    return kept and ordered and all(span.start_ms <= ms <= span.end_ms for ms in marks)


class TestWords:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", []),
            (" \n\t ", []),
            ("One  two,\nthree.", ["One", "two,", "three."]),
            ("Yes – no", ["Yes", "–", "no"]),  # noqa: RUF001
            ("...", ["..."]),
            ("well-known it's", ["well-known", "it's"]),
            (f"{FAMILY} \u2764\ufe0f!", [FAMILY, "\u2764\ufe0f!"]),
            ("مرحبا، يا عالم.", ["مرحبا،", "يا", "عالم."]),
            ("오늘은 좋다.", ["오늘은", "좋다."]),
            ("你好，世界。", ["你", "好，", "世", "界。"]),  # noqa: RUF001
            ("他说：「你好」吗？", ["他", "说：", "「你", "好」", "吗？"]),  # noqa: RUF001
            ("我用Python写3个", ["我", "用", "Python", "写", "3", "个"]),
            ("スーパーへ行って", ["スー", "パー", "へ", "行っ", "て"]),
            ("か\u3099き", ["か\u3099", "き"]),
            ("葛\U000e0100城", ["葛\U000e0100", "城"]),
            ("ที่นี่ ดี", ["ที่", "นี่", "ดี"]),
            ("เขาไป", ["เขา", "ไป"]),
            ("။", ["။"]),
        ],
    )
    def test_are_what_spaces_divide_or_characters_where_there_are_none(
        self, text: str, words: list[str]
    ) -> None:
        assert divided(text) == words

    @given(st.text())
    @example("「" * 5)
    @example("\ud800 你\udfff")
    @example("\u0300你")
    def test_are_never_empty_and_give_the_text_back(self, text: str) -> None:
        words = divided(text)
        assert all(words)
        assert "".join(words) == "".join(text.split())


LETTERS = st.sampled_from("ab, .?!你好。「」ま์ไทย ًשلום한1٣$—\u200d👍🏽é\n")  # noqa: RUF001


class TestPlacement:
    @pytest.mark.parametrize(
        "text",
        [
            "?",
            "- - -",
            "… ! ?",
            FAMILY,
            "\u200b",
            "0",
            "\ud800",
            "a" * 10_000,
            "字" * 500,
            "a " * 500,
        ],
    )
    @pytest.mark.parametrize("span", [WHOLE, Span(0, 0), Span(700, 703), Span(500, 100)])
    @pytest.mark.parametrize(
        "speech",
        [
            [],
            [WHOLE],
            [Span(-500, 99_000)],
            [Span(20_000, 30_000)],
            [Span(0, 1)],
            [Span(800, 800)],
            [Span(5000, 9000), Span(100, 3000), Span(2000, 4000)],
            [Span(at, at + 30) for at in range(0, 10_000, 40)],
        ],
        ids=["none", "all", "around", "elsewhere", "too little", "empty", "unordered", "many"],
    )
    def test_takes_any_text_and_speech(self, text: str, span: Span, speech: list[Span]) -> None:
        whole = Span(span.start_ms, max(span))
        assert is_sound(placed(text, span, speech), text, whole)

    @given(
        text=st.text(LETTERS, max_size=300),
        span=st.builds(Span, st.integers(0, 500), st.integers(500, 60_000)),
        speech=st.lists(st.tuples(st.integers(-99, 65_000), st.integers(0, 3000)), max_size=30),
    )
    def test_keeps_every_word_in_order_and_within_the_span(
        self, text: str, span: Span, speech: list[tuple[int, int]]
    ) -> None:
        stretches = [Span(start, start + length) for start, length in speech]
        assert is_sound(placed(text, span, stretches), text, span)

    def test_of_no_words_is_empty(self) -> None:
        assert placed(" \n", WHOLE, [WHOLE]) == []

    def test_takes_a_long_chunk_without_punctuation(self) -> None:
        """20 minutes, twice as fast as anybody speaks."""
        span = Span(0, 1_200_000)
        stretches = [Span(at, at + 1500) for at in range(0, span.end_ms, 2000)]
        words = placed("word " * 10_000, span, stretches)
        assert is_sound(words, "word " * 10_000, span)
        middle = statistics.median(word.start_ms for word in words)
        assert middle == pytest.approx(600_000, abs=20_000)

    def test_is_the_same_wherever_the_span_begins(self) -> None:
        text, stretches = "One, two. Three four five.", [Span(300, 1500), Span(2000, 4000)]
        moved = placed(text, WHOLE.moved(7777), [span.moved(7777) for span in stretches])
        there = [(word, start + 7777, end + 7777) for word, start, end in times(
            placed(text, WHOLE, stretches))]  # fmt: skip
        assert times(moved) == there

    def test_gives_long_words_more_time(self) -> None:
        long, short = placed("Extraordinarily so", Span(0, 1000), [])
        assert long.end_ms - long.start_ms > 4 * (short.end_ms - short.start_ms)
        assert (long.start_ms, short.end_ms) == (0, 1000)

    @pytest.mark.parametrize(
        ("longer", "shorter"),
        [
            ("1997", "cats"),
            ("$5", "of"),
            ("1997", "2000"),
            ("橋", "of"),
            ("다리", "of"),
            ("99%", "99"),
        ],
    )
    def test_knows_how_long_numbers_and_other_scripts_are(self, longer: str, shorter: str) -> None:
        first, second = placed(f"{longer} {shorter}", Span(0, 1000), [])
        assert first.end_ms - first.start_ms > second.end_ms - second.start_ms

    @pytest.mark.parametrize(
        ("text", "last"),
        [
            ("One of them went home. Then it rained.", "home."),
            ("One of them went home, then it rained.", "home,"),
            ("Ask Dr. Helen Marsh about it. Not me.", "it."),
            ("Am 31. Mai war es soweit. Es regnete.", "soweit."),
            ("Сегодня мы говорим о мостах. Их мало.", "мостах."),  # noqa: RUF001
            ("اليوم نتحدث عن كل الجسور؟ لماذا لا.", "الجسور؟"),
            ("今天我们谈谈桥。谁建造。", "桥。"),
            ("วันนี้เราพูดถึง สะพาน", "ง"),
        ],
    )
    def test_puts_pauses_where_the_text_has_them(self, text: str, last: str) -> None:
        """Where a cut by length alone would be in the middle of what was said first."""
        words = placed(text, Span(0, 4000), [Span(100, 1700), Span(2500, 3600)])
        before = [word.text for word in words if word.end_ms <= 1700]
        assert before[-1] == last
        assert words[len(before)].start_ms == 2500

    def test_passes_over_what_is_no_speech(self) -> None:
        """A cough between two sentences has no word."""
        text = "Most of them fail because of water. Nobody can see it, because it is below."
        stretches = [Span(0, 2100), Span(2600, 2750), Span(3300, 5700)]
        words = placed(text, Span(0, 6000), stretches)
        assert not [word for word in words if 2100 < word.start_ms < 3300]

    def test_does_not_draw_words_out_over_the_speech_of_others(self) -> None:
        words = placed("Thank you.", Span(0, 600_000), [Span(0, 600_000)])
        assert words[-1].end_ms < 5000

    def test_uses_the_whole_span_where_the_speech_is_far_too_little(self) -> None:
        words = placed("Nobody speaks as fast as that", Span(0, 3000), [Span(0, 100)])
        assert words[-1].end_ms == 3000

    def test_draws_out_what_comes_before_a_comma(self) -> None:
        first, second, _ = placed("same, same again", Span(0, 1000), [])
        assert first.end_ms - first.start_ms > second.end_ms - second.start_ms

    def test_leaves_a_breath_between_sentences_that_no_pause_divides(self) -> None:
        one, two, three = placed("One. Two three", Span(0, 1000), [])
        assert one.end_ms < two.start_ms
        assert two.end_ms == three.start_ms


class TestSentences:
    @pytest.mark.parametrize(
        ("text", "segments"),
        [
            ("", []),
            ("One. Two? Three!", ["One.", "Two?", "Three!"]),
            ('"Why?" he said. No.', ['"Why?" he said.', "No."]),
            ("Dr. Marsh paid $3.50 to me. Yes", ["Dr. Marsh paid $3.50 to me.", "Yes"]),
            ("Am 3. Mai. Ja.", ["Am 3. Mai.", "Ja."]),
            ("we left. they stayed.", ["we left.", "they stayed."]),
            ("你好。我用Python写。", ["你好。", "我用Python写。"]),
            ("ไป ดี", ["ไป ดี"]),
            ("  a \n b ", ["a b"]),
        ],
    )
    def test_have_their_share_of_the_text(self, text: str, segments: list[str]) -> None:
        words = placed(text, WHOLE, [])
        assert [segment.text for segment in sentences(words, text)] == segments

    def test_begin_and_end_with_their_words(self) -> None:
        words = [Word("One", 10, 20), Word("two.", 30, 40), Word("Three", 50, 60)]
        assert sentences(words) == [Segment("One two.", 10, 40), Segment("Three", 50, 60)]

    def test_divide_at_long_pauses(self) -> None:
        words = [Word("a", 0, 100), Word("b", 1099, 1200), Word("c", 2200, 2300)]
        assert [segment.text for segment in sentences(words)] == ["a b", "c"]

    def test_of_other_words_than_the_text_has_are_made_of_the_words(self) -> None:
        assert sentences([Word("你", 0, 1), Word("好", 1, 2)], "再见") == [Segment("你好", 0, 2)]

    def test_without_end_divide_at_commas_before_thirty_seconds(self) -> None:
        said = " ".join("word" + "," * (at % 20 == 19) for at in range(400))
        found = sentences(placed(said, Span(0, 160_000), []), said)
        assert " ".join(segment.text for segment in found) == said
        assert all(segment.end_ms - segment.start_ms <= 30_000 for segment in found)
        assert all(segment.text.endswith(",") for segment in found[:-1])

    @given(
        st.text(LETTERS, max_size=200),
        st.lists(st.tuples(st.integers(0, 90_000), st.integers(0, 9000)), max_size=9),
    )
    def test_hold_every_word_in_order_and_are_short(
        self, text: str, speech: list[tuple[int, int]]
    ) -> None:
        span = Span(0, 100_000)
        words = placed(text, span, [Span(start, start + length) for start, length in speech])
        found = sentences(words, text)
        assert (
            " ".join(segment.text for segment in found).split()
            == " ".join(segment.text for segment in found).split()
        )
        assert "".join("".join(segment.text.split()) for segment in found) == "".join(text.split())
        longest = max((word.end_ms - word.start_ms for word in words), default=0)
        assert all(s.end_ms - s.start_ms <= max(30_000, longest) for s in found)


ENGLISH = (
    "Good evening, and welcome to the programme.",
    "Tonight we are talking about bridges.",
    "Who builds them, who pays for them, and what happens when they fall down?",
    "Yes.",
    "Most of them fail because of water.",
    "The river carries away the ground under the pillars, and nobody looks.",
    "People always blame the engineer, but they should blame the budget.",
    "It is cheap, it is boring, and it works.",
)
GERMAN = (
    "Heute sprechen wir über Brücken.",
    "Wer baut sie, wer bezahlt sie, und was geschieht, wenn sie einstürzen?",
    "Die meisten werden durch Wasser zerstört.",
    "Der Fluss trägt den Boden unter den Pfeilern davon, und niemand sieht hin.",
    "Man gibt immer den Ingenieuren die Schuld.",
)
CHINESE = (
    "今天我们谈谈桥。",
    "大多数的桥是被水冲坏的。",
    "河水带走了桥墩下面的土，可是没有人看得见。",  # noqa: RUF001
    "我也想知道。",
)


def paced(texts: Sequence[str], chance: random.Random) -> tuple[list[Span], list[list[int]]]:
    """Stretches of speech, and of each text when its words start.

    Each is spoken at a rate of its own, half of them with a pause somewhere inside.
    """
    speech: list[Span] = []
    starts: list[list[int]] = []
    at_ms = 0
    for text in texts:
        letter_ms = 60 * chance.uniform(0.8, 1.25)
        words = text.split()
        inside = chance.choice([0, chance.randrange(len(words))])
        begin_ms = at_ms
        starts.append([])
        for number, word in enumerate(words):
            if number and number == inside:
                speech.append(Span(begin_ms, at_ms))
                begin_ms = at_ms = at_ms + chance.randint(200, 500)
            starts[-1].append(at_ms)
            at_ms += round(len(word) * letter_ms)
        speech.append(Span(begin_ms, at_ms))
        at_ms += chance.randint(200, 900)
    return speech, starts


@pytest.mark.parametrize("seed", [0, 1, 2, 6])
class TestSpeechNowFastNowSlow:
    """To half a tenth of a second, however far in."""

    def test_is_followed(self, seed: int) -> None:
        speech, starts = paced(ENGLISH * 5, random.Random(seed))
        assert missed_ms(ENGLISH * 5, speech, starts) < 50

    def test_is_followed_where_sentences_are_missing(self, seed: int) -> None:
        speech, starts = paced(ENGLISH * 5, random.Random(seed))
        chance = random.Random(seed + 100)
        told = [at for at in range(len(starts)) if chance.random() > 0.1]
        texts = [(ENGLISH * 5)[at] for at in told]
        assert missed_ms(texts, speech, [starts[at] for at in told]) < 60

    def test_is_followed_past_speech_that_nobody_wrote_down(self, seed: int) -> None:
        """Half a minute at once, a fifth of all."""
        first, starts = paced(ENGLISH * 2, random.Random(seed))
        second, others = paced(ENGLISH * 3, random.Random(seed + 100))
        untold_ms, later_ms = first[-1].end_ms + 400, first[-1].end_ms + 31_000
        speech = [*first, Span(untold_ms, untold_ms + 30_000)]
        speech += [span.moved(later_ms) for span in second]
        starts += [[at_ms + later_ms for at_ms in own] for own in others]
        assert missed_ms(ENGLISH * 5, speech, starts) < 50


def missed_ms(
    texts: Sequence[str], speech: Sequence[Span], starts: Sequence[Sequence[int]]
) -> float:
    """The median error of the starts."""
    words = placed(" ".join(texts), Span(0, speech[-1].end_ms), speech)
    known = [at_ms for own in starts for at_ms in own]
    return statistics.median(
        abs(word.start_ms - at_ms) for word, at_ms in zip(words, known, strict=True)
    )


def told(text: str, said: espeak.Said) -> Iterator[int | None]:
    """Of each word the start; None where espeak announces none there."""
    known, at = {}, 0
    for word in said.words:
        at = text.index(word.text, at)
        known[at] = word.start_ms
        at += len(word.text)
    at = 0
    for piece in divided(text):
        at = text.index(piece, at)
        yield known.get(at)
        at += len(piece)


@cache
def spoken(language: str, texts: tuple[str, ...]) -> tuple[bytes, list[int | None]]:
    """Samples with pauses of 0.2 to 0.9 s, and of each word when it starts, if espeak tells."""
    chance = random.Random(1)
    samples, starts = b"", []
    for text in texts:
        samples += bytes(chance.randint(200, 900) * sound.BYTES_PER_MS)
        said, at_ms = espeak.say(text, language), sound.length_ms(samples)
        starts += [None if ms is None else at_ms + ms for ms in told(text, said)]
        samples += said.samples[: len(said.samples) // 16 * 16].tobytes()
    return samples, starts


@pytest.mark.parametrize(
    ("language", "texts", "space"),
    [("en", ENGLISH, " "), ("de", GERMAN, " "), ("cmn", CHINESE, "")],
    ids=["English", "German", "Chinese"],
)
def test_real_starts_are_met_within_tenths_of_a_second(
    language: str, texts: tuple[str, ...], space: str
) -> None:
    samples, starts = spoken(language, texts)
    whole = Span(0, sound.length_ms(samples))
    words = placed(space.join(texts), whole, speech.voiced(samples))
    missed = [
        abs(word.start_ms - start)
        for word, start in zip(words, starts, strict=True)
        if start is not None
    ]
    assert len(missed) > 0.8 * len(words)
    assert statistics.median(missed) < 100
    assert sorted(missed)[int(0.95 * len(missed))] < 400
