"""Where recordings are cut: exact sums, limits, pauses; and the arithmetic of spans."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropscribe.plan import OVERLAP_MS, liveliest, plan
from dropscribe.spans import Span, joined, total_ms, without

MINUTE = 60_000
HOUR = 60 * MINUTE


def every(period_ms: int, length_ms: int, until_ms: int) -> list[Span]:
    """A pause of `length_ms` at the end of each period."""
    ends = range(period_ms, until_ms + 1, period_ms)
    return [Span(end_ms - length_ms, end_ms) for end_ms in ends]


def lengths(chunks: list[Span]) -> list[int]:
    return [chunk.duration_ms for chunk in chunks]


spans = st.lists(
    st.tuples(st.integers(0, 2000), st.integers(0, 300)).map(lambda s: Span(s[0], s[0] + s[1]))
)


class TestPlan:
    @given(
        duration_ms=st.integers(1, 24 * HOUR),
        longest_ms=st.sampled_from([30_000, 5 * MINUTE, 792_000, 20 * MINUTE]),
        parallel=st.sampled_from([1, 3, 10, 40]),
        gaps_ms=st.lists(st.integers(1, 20 * MINUTE), max_size=60),
        lengths_ms=st.lists(st.integers(400, 5 * MINUTE), min_size=60, max_size=60),
    )
    def test_no_millisecond_is_missing_and_no_chunk_too_long(
        self,
        duration_ms: int,
        longest_ms: int,
        parallel: int,
        gaps_ms: list[int],
        lengths_ms: list[int],
    ) -> None:
        pauses, at_ms = [], 0
        for gap_ms, length_ms in zip(gaps_ms, lengths_ms, strict=False):
            pauses.append(Span(at_ms + gap_ms, at_ms + gap_ms + length_ms))
            at_ms = pauses[-1].end_ms
        levels = [pauses[::3], pauses[::2], pauses]
        chunks = plan(duration_ms, levels, longest_ms=longest_ms, parallel=parallel)
        assert chunks[0].start_ms == 0
        assert chunks[-1].end_ms == duration_ms
        assert max(lengths(chunks)) <= longest_ms
        overlaps = [before.end_ms - after.start_ms for before, after in pairwise(chunks)]
        assert set(overlaps) <= {0, min(OVERLAP_MS, longest_ms // 4)}
        assert sum(lengths(chunks)) - sum(overlaps) == duration_ms
        assert chunks == sorted(chunks)

    @given(duration_ms=st.integers(1, 24 * HOUR), parallel=st.sampled_from([1, 4, 10, 40]))
    def test_no_more_chunks_than_are_worth_it(self, duration_ms: int, parallel: int) -> None:
        chunks = plan(duration_ms, [], longest_ms=792_000, parallel=parallel)
        if len(chunks) > 1:
            assert duration_ms / len(chunks) >= MINUTE
        if len(chunks) > parallel:
            assert len(chunks) % parallel == 0

    @pytest.mark.parametrize(
        ("duration_ms", "parallel", "count"),
        [
            (10_000, 10, 1),
            (119_999, 10, 1),
            (120_000, 10, 2),
            (HOUR, 10, 10),
            (3 * HOUR, 10, 20),
            (3 * HOUR, 1, 18),
            (24 * HOUR, 10, 140),
        ],
    )
    def test_chunks_fill_whole_rounds(self, duration_ms: int, parallel: int, count: int) -> None:
        assert len(plan(duration_ms, [], longest_ms=792_000, parallel=parallel)) == count

    def test_cuts_are_in_the_middle_of_pauses(self) -> None:
        pauses = every(20_000, 600, HOUR)
        chunks = plan(HOUR, [[], pauses], longest_ms=792_000, parallel=10)
        middles = {(pause.start_ms + pause.end_ms) // 2 for pause in pauses}
        cuts = [chunk.end_ms for chunk in chunks[:-1]]
        assert [before.end_ms - after.start_ms for before, after in pairwise(chunks)] == [0] * 9
        assert set(cuts) <= middles

    def test_a_long_pause_is_worth_going_some_way_for(self) -> None:
        pauses = [Span(59_000, 59_500), Span(70_000, 73_000)]
        first, _ = plan(2 * MINUTE, [pauses], longest_ms=792_000, parallel=2)
        assert first.end_ms == 71_500

    def test_the_quietest_pauses_win(self) -> None:
        quiet, noisy = [Span(52_000, 52_500)], [Span(52_000, 52_500), Span(60_000, 62_000)]
        first, _ = plan(2 * MINUTE, [quiet, noisy], longest_ms=792_000, parallel=2)
        assert first.end_ms == 52_250

    def test_where_it_is_always_quiet_the_level_tells_no_pause(self) -> None:
        """Faint speech, below the level all the time: a cut anywhere would be in a word."""
        chunks = plan(2 * MINUTE, [[], [Span(0, 120_000)]], longest_ms=792_000, parallel=2)
        assert chunks == [Span(0, 64_000), Span(56_000, 120_000)]

    def test_a_recording_of_silence_is_cut_anywhere(self) -> None:
        chunks = plan(2 * MINUTE, [[Span(0, 120_000)], []], longest_ms=792_000, parallel=2)
        assert chunks == [Span(0, 60_000), Span(60_000, 120_000)]

    def test_without_a_pause_chunks_overlap(self) -> None:
        chunks = plan(3 * MINUTE, [[], [], []], longest_ms=792_000, parallel=3)
        assert chunks == [Span(0, 64_000), Span(56_000, 124_000), Span(116_000, 180_000)]

    def test_the_liveliest_chunk_has_the_fewest_pauses(self) -> None:
        chunks = [Span(0, 100), Span(100, 200), Span(200, 300)]
        assert liveliest(chunks, [[Span(0, 150)], [Span(0, 150), Span(290, 300)]]) == 2
        assert liveliest(chunks, [[], []]) == 0
        assert liveliest([Span(0, 0)], []) == 0


class TestSpans:
    @given(spans)
    def test_joining_keeps_each_moment_once(self, given_: list[Span]) -> None:
        moments = {ms for span in given_ for ms in range(*span)}
        assert sorted(moments) == [ms for span in joined(given_) for ms in range(*span)]

    @given(spans, spans)
    def test_without_leaves_what_is_in_none_of_the_others(
        self, given_: list[Span], others: list[Span]
    ) -> None:
        taken = {ms for span in others for ms in range(*span)}
        moments = {ms for span in given_ for ms in range(*span)} - taken
        left = without(given_, others)
        assert sorted(moments) == [ms for span in left for ms in range(*span)]
        assert total_ms(left) == len(moments)

    @pytest.mark.parametrize(
        ("span", "inside"),
        [
            (Span(0, 5), Span(10, 10)),
            (Span(30, 35), Span(20, 20)),
            (Span(5, 15), Span(10, 15)),
            (Span(15, 12), Span(15, 15)),
        ],
    )
    def test_what_lies_outside_has_no_length(self, span: Span, inside: Span) -> None:
        assert span.within(Span(10, 20)) == inside
