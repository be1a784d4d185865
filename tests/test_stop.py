"""What a run of transcribe does for a recording that is being forgotten, or will be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from dropscribe.errors import Rejected
from dropscribe.job import asked_key, calls_prefix, stop_key, stopped_key
from tests.api_server import ApiServer
from tests.conftest import DATA
from tests.stages import stages

SPEECH: Final = DATA / "austen-0880.wav"


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


def test_no_request_is_sent_once_the_recording_is_being_forgotten(api: ApiServer) -> None:
    with stages(api.base_url) as staged:
        manifest = staged.begin(SPEECH, model="whisper-1")
        staged.work.write(stop_key(manifest.job_id), b"", "text/plain")
        with pytest.raises(Rejected, match="is being forgotten"):
            staged.chunk(manifest, 0)
        assert staged.work.head(stopped_key(manifest.job_id, "00000"))
        assert list(staged.work.keys(calls_prefix(manifest.job_id))) == []
    assert api.requests == []


def test_where_an_answer_will_be_is_known_before_it_is_asked_for(api: ApiServer) -> None:
    """Of a run that dies there is no record of the chunk."""
    with stages(api.base_url) as staged:
        manifest = staged.begin(SPEECH, model="whisper-1")
        staged.dying.add(0)
        with pytest.raises(KeyboardInterrupt):
            staged.chunk(manifest, 0)
        where = (staged.work.read(asked_key(manifest.job_id, "00000")) or b"").decode()
        assert staged.work.head(where) is None
        assert staged.chunk(manifest, 0).chunk.result_key == where
