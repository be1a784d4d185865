"""Subtitle cues: what is on the screen together, in which lines, and for how long."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropscribe.columns import columns
from dropscribe.cues import START_MS, Cue, cues
from dropscribe.options import SubtitleOptions
from dropscribe.quality import quality
from dropscribe.transcript import Segment, Transcript, Word

OPTIONS: Final = SubtitleOptions()
MS_A_LETTER: Final = 60
AUSTEN: Final = (
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, "
    "must be in want of a wife. However little known the feelings or views of such a man may be on "
    "his first entering a neighbourhood, this truth is so well fixed in the minds of the "
    "surrounding families, that he is considered as the rightful property of some one or other of "
    "their daughters."
)


def transcript(
    segments: Sequence[Segment], words: Sequence[Word] = (), language: str | None = "en"
) -> Transcript:
    text = " ".join(segment.text for segment in segments)
    return Transcript(
        text=text,
        task="transcribe",
        language=language,
        duration_ms=max((segment.end_ms for segment in segments), default=0),
        segments=[*segments],
        words=[*words] or None,
    )


def said(
    text: str, start_ms: int = 0, *, language: str | None = "en", pause_ms: int = 0
) -> Transcript:
    """One segment, each word as long as its letters; `pause_ms` after each comma and full stop."""
    words, at_ms = [], start_ms
    for word in text.split():
        end_ms = at_ms + MS_A_LETTER * len(word)
        words.append(Word(word, at_ms, end_ms))
        at_ms = end_ms + (pause_ms if word[-1] in ".,?!" else 0)
    return transcript([Segment(text, start_ms, words[-1].end_ms)], words, language)


def talk(*turns: tuple[str | None, int, int, str]) -> Transcript:
    """Each turn: speaker, start and end in milliseconds, what was said."""
    return transcript([Segment(text, a, b, who) for who, a, b, text in turns])


def lines(given: Transcript, **options: Any) -> list[tuple[str, ...]]:
    return [cue.lines for cue in cues(given, SubtitleOptions(**options))]


def named(given: Transcript, **options: Any) -> list[tuple[str, ...]]:
    return [cue.named for cue in cues(given, SubtitleOptions(**options))]


def times(found: Sequence[Cue]) -> list[tuple[int, int]]:
    return [(cue.start_ms, cue.end_ms) for cue in found]


class TestHostile:
    @pytest.mark.parametrize(
        "given",
        [
            transcript([]),
            transcript([Segment("", 0, 1000)]),
            transcript([Segment(" \n ", 0, 1000)]),
            transcript([Segment("Hello.", 0, 0)]).model_copy(update={"segments": None}),
        ],
    )
    def test_nothing_to_show_is_no_cue(self, given: Transcript) -> None:
        assert cues(given, OPTIONS) == []

    def test_words_without_time_are_shown_all_the_same(self) -> None:
        found = cues(transcript([Segment("One two three.", 5000, 5000)]), OPTIONS)
        assert times(found) == [(5000, 5833)]

    def test_a_word_of_many_lines_is_divided(self) -> None:
        address = "https://example.com/" + "x" * 200
        found = lines(transcript([Segment(f"See {address} there.", 0, 20_000)]))
        assert all(columns(line) <= 42 for cue in found for line in cue)
        assert joined([line for cue in found for line in cue]) == f"See{address}there."

    def test_words_that_the_segment_does_not_say_do_not_shift_the_others(self) -> None:
        words = [Word("yes", 100, 300), Word("no", 8000, 8200)]
        found = cues(transcript([Segment("Oh yes. But surely no.", 0, 9000)], words), OPTIONS)
        assert [(cue.spoken_ms, cue.lines) for cue in found] == [
            (100, ("Oh yes. But surely",)),
            (8000, ("no.",)),
        ]

    def test_a_thousand_words_at_one_moment_stay_apart_and_in_order(self) -> None:
        text = " ".join(f"word{number}" for number in range(1000))
        found = cues(transcript([Segment(text, 1000, 1000)]), OPTIONS)
        assert " ".join(line for cue in found for line in cue.lines) == text
        assert all(a.end_ms <= b.start_ms for a, b in itertools.pairwise(found))
        assert quality(found, OPTIONS).broken["min_duration"] == len(found) - 1

    def test_a_label_is_one_line_and_no_longer_than_one(self) -> None:
        given = talk(("Mr.\n\nBean " * 9, 0, 2000, "Hello."), ("B", 2000, 4000, "Hi."))
        first, second = cues(given, OPTIONS)
        assert first.named == ("Mr. Bean Mr. Bean Mr. Bean Mr. Bean Mr. …:", "Hello.")
        assert first.lines == ("Hello.",)
        assert second.named == ("B: Hi.",)

    def test_a_name_is_left_out_where_one_line_has_no_room_for_it(self) -> None:
        given = talk(("Bartholomew", 0, 2000, "Good morning."), ("B", 2000, 4000, "Hi."))
        assert named(given, max_line_length=12, max_lines=1) == [
            ("Good",),
            ("morning.",),
            ("B: Hi.",),
        ]


class TestDivision:
    def test_sentences_clauses_and_phrases_stay_together(self) -> None:
        assert lines(said(AUSTEN, pause_ms=200)) == [
            ("It is a truth universally acknowledged,",),
            ("that a single man in possession of a good", "fortune, must be in want of a wife."),
            ("However little known the feelings",),
            ("or views of such a man may", "be on his first entering a neighbourhood,"),
            ("this truth is so well fixed", "in the minds of the surrounding families,"),
            ("that he is considered", "as the rightful property"),
            ("of some one or other of their daughters.",),
        ]

    @pytest.mark.parametrize(
        ("text", "apart"),
        [
            ("They say that my old friend Arthur Wellesley was there", "Arthur Wellesley"),
            ("We have to pay at least another three or four 3 million", "3 million"),
            ("Nobody believed that all of it would only cost 12 000 euros", "12 000"),
            ("And when they arrived they were received by Dr. Livingstone", "Dr. Livingstone"),
            ("He told me he would never again in his life leave the house", "the house"),
        ],
    )
    def test_what_belongs_together_is_on_one_line(self, text: str, apart: str) -> None:
        for width in range(24, 42):
            found = lines(said(text), max_line_length=width)
            assert any(apart in line for cue in found for line in cue), (width, found)

    @pytest.mark.parametrize(
        ("text", "language", "expected"),
        [
            (
                "Er sagte mir, dass er gestern mit dem Zug nach Hause gefahren ist.",
                "de",
                ("Er sagte mir, dass er gestern", "mit dem Zug nach Hause gefahren ist."),
            ),
            (
                "Il m'a dit qu'il était rentré à la maison avec le dernier train.",
                "fr",
                ("Il m'a dit qu'il était rentré", "à la maison avec le dernier train."),
            ),
            (
                "Me dijo que ayer volvió a su casa en el último tren de la noche.",
                "es",
                ("Me dijo que ayer volvió a su casa", "en el último tren de la noche."),
            ),
        ],
    )
    def test_other_languages_have_their_own_phrases(
        self, text: str, language: str, expected: tuple[str, ...]
    ) -> None:
        assert lines(said(text, language=language)) == [expected]

    def test_two_sentences_are_two_cues_where_there_is_time(self) -> None:
        given = said("This was quite long enough. That was not bad either.", pause_ms=300)
        assert lines(given) == [
            ("This was quite long enough.",),
            ("That was not bad either.",),
        ]

    def test_a_short_answer_goes_with_what_follows_where_it_would_flash(self) -> None:
        given = said("No. I have never seen him.")
        assert lines(given) == [("No. I have never seen him.",)]

    def test_a_long_pause_is_never_bridged(self) -> None:
        words = [Word("Hello", 100, 500), Word("there,", 600, 1000), Word("again!", 9000, 9400)]
        given = transcript([Segment("Hello there, again!", 0, 9500)], words)
        assert [(cue.start_ms, cue.lines) for cue in cues(given, OPTIONS)] == [
            (100, ("Hello there,",)),
            (9000, ("again!",)),
        ]

    def test_a_cue_never_holds_what_two_say(self) -> None:
        given = talk(("A", 0, 500, "Yes."), ("B", 500, 900, "No."), ("A", 900, 1500, "Yes!"))
        assert named(given) == [("A: Yes.",), ("B: No.",), ("A: Yes!",)]

    def test_a_name_stands_where_the_turn_changes_only(self) -> None:
        given = talk(
            ("A", 0, 2000, "Hello."), ("A", 2000, 4000, "Still me."), ("B", 4000, 6000, "Hi.")
        )
        assert named(given) == [("A: Hello.",), ("Still me.",), ("B: Hi.",)]
        assert lines(given) == [("Hello.",), ("Still me.",), ("Hi.",)]

    def test_who_speaks_alone_is_not_called_a(self) -> None:
        (cue,) = cues(talk(("A", 0, 2000, "Good morning.")), OPTIONS)
        assert (cue.named, cue.speaker) == (("Good morning.",), None)


class TestLines:
    def test_a_line_that_is_long_enough_is_not_divided(self) -> None:
        assert lines(said("All of this has room on a single line.")) == [
            ("All of this has room on a single line.",)
        ]

    def test_the_lower_line_is_the_longer_one(self) -> None:
        found = lines(said("and then they went home along the river bank together"))
        assert found == [("and then they went home", "along the river bank together")]

    def test_four_narrow_lines(self) -> None:
        found = lines(said("one two six ten one two six ten"), max_line_length=10, max_lines=4)
        assert found == [("one two", "six ten", "one two", "six ten")]


class TestScripts:
    def test_chinese_has_lines_of_sixteen_broken_between_phrases(self) -> None:
        text = "今天我们来谈谈如何把一段很长的录音自动变成带有时间的字幕文件。"
        given = transcript([Segment(text, 0, 6000)], language="zh")
        assert lines(given) == [
            ("今天我们来谈谈如何把一段很长的", "录音自动变成带有时间的字幕文件。")
        ]

    def test_japanese_is_broken_between_phrases(self) -> None:
        text = "昨日は友達と一緒に東京都庁へ行って、そのあと家に帰りました。"
        given = transcript([Segment(text, 0, 6000)], language="ja")
        assert lines(given) == [
            ("昨日は友達と一緒に東京都庁へ", "行って、そのあと家に帰りました。")
        ]

    def test_korean_is_broken_between_words(self) -> None:
        text = "어제는 친구와 함께 서울에 가서 아주 맛있는 점심을 먹고 왔습니다."
        given = transcript([Segment(text, 0, 8000)], language="ko")
        assert all(columns(line) <= 32 for cue in lines(given) for line in cue)
        assert " ".join(line for cue in lines(given) for line in cue) == text

    def test_no_line_begins_with_a_closing_mark(self) -> None:
        text = "一二三四五六七八九十一二三四五六，" * 4  # noqa: RUF001
        for cue in lines(transcript([Segment(text, 0, 20_000)], language="zh")):
            assert not any(line.startswith("，") for line in cue)  # noqa: RUF001

    def test_words_of_a_script_without_spaces_keep_their_times(self) -> None:
        texts = ["今天", "天气", "很好", "。我们", "出去", "走走"]
        words = [Word(t, 1000 * n, 1000 * n + 800) for n, t in enumerate(texts)]
        words[3:] = [Word(w.text, w.start_ms + 5000, w.end_ms + 5000) for w in words[3:]]
        given = transcript([Segment("".join(texts), 0, 11_000)], words, language="zh")
        assert [(cue.spoken_ms, cue.lines) for cue in cues(given, OPTIONS)] == [
            (0, ("今天天气很好。",)),
            (8266, ("我们出去走走",)),
        ]

    def test_an_emoji_of_many_parts_is_not_divided(self) -> None:
        family = "👨‍👩‍👧‍👦"
        found = lines(transcript([Segment(family * 12, 0, 5000)]), max_line_length=10)
        assert {line for cue in found for line in cue} <= {family * n for n in range(1, 6)}

    def test_a_character_keeps_its_combining_marks(self) -> None:
        given = transcript([Segment("n\u0303" * 15, 0, 5000)])
        assert lines(given, max_line_length=10) == [("n\u0303" * 5, "n\u0303" * 10)] or all(
            not unicodedata.combining(line[0])
            for cue in lines(given, max_line_length=10)
            for line in cue
        )

    def test_parts_of_a_broken_word_share_its_time(self) -> None:
        found = cues(transcript([Segment("字" * 64, 0, 8000)]), OPTIONS)
        assert [(cue.spoken_ms, cue.silent_ms) for cue in found] == [(0, 4000), (4000, 8000)]


class TestTimes:
    def test_a_cue_begins_with_its_speech_and_stays_to_be_read(self) -> None:
        (cue,) = cues(transcript([Segment("x" * 40, 1000, 1500)]), OPTIONS)
        assert times([cue]) == [(1000, 3000)]

    def test_it_stays_for_the_least_duration(self) -> None:
        assert times(cues(talk((None, 1000, 1100, "Yes.")), OPTIONS)) == [(1000, 1833)]

    def test_and_for_the_longest_at_most(self) -> None:
        assert times(cues(talk((None, 1000, 11_000, "Well")), OPTIONS)) == [(1000, 8000)]

    def test_it_makes_way_two_frames_before_the_next(self) -> None:
        given = talk((None, 0, 2000, "This was one."), (None, 2000, 4000, "This is two."))
        assert times(cues(given, OPTIONS)) == [(0, 1917), (2000, 4000)]

    @pytest.mark.parametrize(
        ("pause_ms", "end_ms"), [(400, 2317), (499, 2416), (500, 2000), (900, 2000)]
    )
    def test_a_small_gap_is_closed(self, pause_ms: int, end_ms: int) -> None:
        second = 2000 + pause_ms
        given = talk((None, 0, 2000, "This was one."), (None, second, 6000, "This is two."))
        assert times(cues(given, OPTIONS))[0] == (0, end_ms)

    def test_who_talks_over_another_waits_until_that_is_read(self) -> None:
        given = talk(
            ("A", 1000, 4000, "Let me explain."),
            ("B", 1100, 3900, "Please let me go first."),
            ("A", 4000, 5000, "Thank you."),
        )
        found = cues(given, OPTIONS)
        assert times(found) == [(1000, 2984), (3067, 3917), (4000, 5000)]
        assert quality(found, OPTIONS).broken["start"] == 1

    def test_one_speakers_cues_are_never_late(self) -> None:
        text = " ".join(["word"] * 400)
        found = cues(transcript([Segment(text, 0, 10_000)]), OPTIONS)
        assert all(cue.start_ms == cue.spoken_ms for cue in found)
        assert quality(found, OPTIONS).broken["reading_speed"] == len(found) - 1


class TestProfiles:
    @pytest.mark.parametrize(
        ("given", "length", "speed"),
        [
            ({}, 42, 20),
            ("bbc", 37, 17),
            ({"profile": "bbc"}, 37, 17),
            ({"profile": "bbc", "max_line_length": 32}, 32, 17),
            ("web", 42, 21),
        ],
    )
    def test_a_name_stands_for_numbers_and_numbers_win(
        self, given: Any, length: int, speed: float
    ) -> None:
        options = SubtitleOptions.model_validate(given)
        assert (options.max_line_length, options.max_characters_per_second) == (length, speed)

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ("cinema", "'netflix', 'bbc' or 'web'"),
            ({"profile": ["bbc"]}, "'netflix', 'bbc' or 'web'"),
            ({"profile": "bbc", "lines": 2}, "lines"),
            ({"min_duration_ms": 2000, "max_duration_ms": 1000}, "give the smaller number"),
            (7, "dict"),
        ],
    )
    def test_what_is_none_is_refused(self, given: Any, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            SubtitleOptions.model_validate(given)

    def test_options_survive_being_written_and_read(self) -> None:
        options = SubtitleOptions.model_validate("bbc")
        assert SubtitleOptions.model_validate_json(options.model_dump_json()) == options


class TestQuality:
    def test_what_keeps_every_rule_has_no_worst(self) -> None:
        found = quality(cues(said(AUSTEN, pause_ms=200), OPTIONS), OPTIONS)
        assert (found.cues, sum(found.broken.values()), found.worst) == (7, 0, None)

    def test_each_rule_is_counted_and_the_worst_cue_named(self) -> None:
        shown = [
            Cue(0, 100, ("x" * 50,), ("x" * 50,), spoken_ms=0, silent_ms=100),
            Cue(110, 9000, ("a", "b", "c"), ("a", "b", "c"), spoken_ms=500, silent_ms=600, torn=1),
        ]
        found = quality(shown, OPTIONS)
        assert found.broken == dict.fromkeys(found.broken, 1)
        assert found.worst is not None
        assert (found.worst.number, found.worst.rule) == (1, "reading_speed")
        assert found.worst.value == pytest.approx(495, abs=1)


LETTERS: Final = {
    "latin": "abcdefghij",
    "accents": "éñß\u0301",
    "arabic": "مرحباكيف",
    "hebrew": "שלוםעולם",
    "chinese": "今天我们谈字幕文件",
    "japanese": "きょうは天気がいい",
    "korean": "안녕하세요",
    "thai": "กำวันนี้",
    "hindi": "नमस्ते",
    "emoji": "😀👨\u200d👩\u200d👧",
}
SPOKEN = st.sampled_from(sorted(LETTERS)).flatmap(
    lambda script: st.text(LETTERS[script], min_size=1, max_size=14)
)
MARKS = st.sampled_from(["", "", "", ",", ".", "?", "。"])


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Words of one or two speakers, each a little after the one before it."""
    parts = draw(
        st.lists(
            st.tuples(SPOKEN, MARKS, st.integers(0, 900), st.integers(0, 700)),
            min_size=1,
            max_size=60,
        )
    )
    size = draw(st.integers(1, 20))
    speakers = draw(st.sampled_from([(None,), ("A", "B")]))
    words, at_ms = [], 0
    for text, mark, length_ms, pause_ms in parts:
        words.append(Word(text + mark, at_ms, at_ms + length_ms))
        at_ms += length_ms + pause_ms
    segments = []
    for number, first in enumerate(range(0, len(words), size)):
        some = words[first : first + size]
        text = " ".join(word.text for word in some)
        who = speakers[number % len(speakers)]
        segments.append(Segment(text, some[0].start_ms, some[-1].end_ms, who))
    with_words = [Word(w.text, w.start_ms, w.end_ms, speakers[0]) for w in words]
    given = [] if len(speakers) > 1 or draw(st.booleans()) else with_words
    return transcript(segments, given, draw(st.sampled_from([None, "en", "zh", "ja"])))


def joined(texts: Sequence[str]) -> str:
    return "".join("".join(texts).split())


@given(transcripts(), st.sampled_from(["netflix", "bbc", "web"]))
def test_all_is_said_in_order_and_every_limit_is_kept_or_reported(
    spoken: Transcript, profile: str
) -> None:
    options = SubtitleOptions(profile=profile)  # type: ignore[arg-type]
    found = cues(spoken, options)
    assert joined([line for cue in found for line in cue.lines]) == joined([spoken.text])
    assert all(cue.start_ms < cue.end_ms for cue in found)
    assert all(a.end_ms <= b.start_ms for a, b in itertools.pairwise(found))
    assert all(line and line == line.strip() for cue in found for line in cue.named)
    broken = quality(found, options).broken
    widest = max(columns(line) for cue in found for line in cue.named)
    assert (widest > options.max_line_length) <= bool(broken["line_length"])
    assert max(len(cue.named) for cue in found) <= options.max_lines
    assert max(cue.end_ms - cue.start_ms for cue in found) <= options.max_duration_ms
    short = sum(cue.end_ms - cue.start_ms < options.min_duration_ms for cue in found)
    assert short == broken["min_duration"]
    near = sum(b.start_ms - a.end_ms < options.min_gap_ms for a, b in itertools.pairwise(found))
    assert near == broken["gap"]
    late = sum(cue.start_ms - cue.spoken_ms > START_MS for cue in found)
    assert late == broken["start"]


class TestHarder:
    """Input that has broken it."""

    def test_a_first_word_longer_than_a_cue_is_shown_with_its_name(self) -> None:
        words = [Word("Hello", 0, 7500, "A"), Word("there.", 7600, 8000, "A")]
        segments = [Segment("Hello there.", 0, 8000, "A"), Segment("Yes.", 9000, 9500, "B")]
        found = cues(transcript(segments, [*words, Word("Yes.", 9000, 9500, "B")]), OPTIONS)
        assert [cue.named for cue in found] == [("A: Hello",), ("there.",), ("B: Yes.",)]
        assert quality(found, OPTIONS, named=False).broken["lines"] == 0

    def test_no_least_duration_is_a_number_too(self) -> None:
        options = SubtitleOptions(min_duration_ms=0)
        found = cues(transcript([Segment("One. Two. Three.", 0, 120)]), options)
        assert joined([line for cue in found for line in cue.lines]) == "One.Two.Three."

    def test_words_a_little_outside_of_their_segment_are_its_words(self) -> None:
        given = said("Hello there my friend.", 1000)
        given = given.model_copy(update={"segments": [Segment(given.text, 1600, 3000)]})
        (cue,) = cues(given, OPTIONS)
        assert (cue.start_ms, cue.spoken_ms) == (1000, 1000)

    def test_a_space_that_forbids_a_break_is_kept(self) -> None:
        given = said("Vous êtes vraiment sûrs de vouloir partir\u202f? Oui\u202f!", language="fr")
        found = [
            line
            for width in range(20, 42)
            for cue in lines(given, max_line_length=width)
            for line in cue
        ]
        assert not any(line[0] in "?!" for line in found)
        assert any("\u202f?" in line for line in found)

    def test_names_can_be_left_out(self) -> None:
        given = talk(("A", 0, 2000, "Hello."), ("B", 2000, 4000, "Hi."))
        assert named(given, name_speakers=False) == [("Hello.",), ("Hi.",)]
        assert [c.speaker for c in cues(given, SubtitleOptions(name_speakers=False))] == ["A", "B"]
