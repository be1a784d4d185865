"""Job names and the order of uploads."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropscribe.job import Source, is_newer, job_id, job_id_of, run_after, run_name


def source(**changes: object) -> Source:
    fields = {
        **{"bucket": "b", "key": "k.mp3", "version_id": "v1", "etag": "e", "size": 1},
        **{"sequencer": "0A", "uploaded_at": "2026-11-20T12:00:00.000Z"},
    }
    return Source.model_validate(fields | changes)


class TestJobId:
    @given(st.text(min_size=1), st.text())
    def test_any_key_makes_a_name_that_step_functions_takes(self, key: str, version: str) -> None:
        assert re.fullmatch(r"[A-Za-z0-9-]{1,80}", job_id("bucket", key, version))

    def test_it_depends_on_bucket_key_and_version_alone(self) -> None:
        assert job_id_of(source()) == job_id_of(source(size=2, sequencer="0B", etag="f"))
        others = [source(bucket="c"), source(key="l.mp3"), source(version_id="v2")]
        assert len({job_id_of(s) for s in [source(), *others]}) == 4

    @given(st.text(min_size=1), st.integers(1, 120))
    def test_the_run_after_one_has_the_next_number(self, key: str, number: int) -> None:
        job = job_id("bucket", key, "v")
        assert run_after(run_name(job, number)) == run_name(job, number + 1)
        arn = f"arn:aws:states:eu-west-1:123456789012:execution:m:{run_name(job, number)}"
        assert run_after(arn).endswith(f":m:{run_name(job, number + 1)}")

    def test_parts_do_not_run_into_each_other(self) -> None:
        assert job_id("a", "bc", "d") != job_id("ab", "c", "d")

    def test_without_a_version_etag_and_sequencer_tell_uploads_apart(self) -> None:
        plain = {"version_id": None}
        assert job_id_of(source(**plain)) != job_id_of(source(**plain, sequencer="0B"))
        assert job_id_of(source(**plain)) != job_id_of(source(**plain, etag="f"))


@pytest.mark.parametrize(
    ("order", "than", "expected"),
    [
        ("0055AED6DCD90281E6", "0055AED6DCD90281E5", True),
        ("0055AED6DCD90281E5", "0055AED6DCD90281E5", False),
        ("0055AED6DCD90281E500", "0055AED6DCD90281E5", False),
        ("0055AED6DCD90281E501", "0055AED6DCD90281E5", True),
    ],
)
def test_sequencers_compare_after_padding_on_the_right(
    order: str, than: str, expected: bool
) -> None:
    assert is_newer(*(source(sequencer=text).order for text in (order, than))) is expected


NOON, LATER = "2026-11-20T12:00:00", "2026-11-20T12:00:01"


@pytest.mark.parametrize(
    ("order", "than", "expected"),
    [
        # One of them was found in the bucket: no event told of it, so it has no sequencer.
        ((None, LATER + "Z"), ("00FF", NOON + ".000Z"), True),
        (("0001", LATER + ".000Z"), (None, NOON + "Z"), True),
        ((None, NOON + "Z"), ("0001", LATER + ".000Z"), False),
        ((None, LATER + "Z"), (None, NOON + "Z"), True),
        # The same upload, by its event and by the bucket's clock, which knows whole seconds.
        (("0001", NOON + ".734Z"), (None, NOON + "Z"), False),
        ((None, NOON + "Z"), ("0001", NOON + ".734Z"), False),
        # Where both have one, the sequencer knows better than the clocks.
        (("0002", NOON + ".000Z"), ("0001", LATER + ".000Z"), True),
    ],
)
def test_an_upload_without_a_sequencer_is_ordered_by_its_time(
    order: tuple[str | None, str], than: tuple[str | None, str], expected: bool
) -> None:
    one, other = (source(sequencer=s, uploaded_at=time) for s, time in (order, than))
    assert is_newer(one.order, other.order) is expected


def test_a_file_that_nobody_marked_is_older_than_every_upload() -> None:
    assert is_newer(source().order, "")
    assert not is_newer("", source().order)
