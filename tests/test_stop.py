"""What a run of transcribe does for a recording that is being forgotten, or will be.

And what goes on of a run that an error has ended: nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from dropscribe import sound, speech, voices
from dropscribe.errors import Rejected
from dropscribe.job import asked_key, calls_prefix, manifest_key, stop_key, stopped_key
from tests.api_server import ApiServer, recorded
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


def test_an_error_ends_what_tells_the_voices_apart_too(api: ApiServer, tmp_path: Path) -> None:
    """Else it would go on in later runs, whose function's environment is the same."""
    path, held, heard = tmp_path / "long.wav", threading.Event(), 0
    samples = sound.read(SPEECH) * 40
    path.write_bytes(sound.wav(samples))
    shipped = voices.load(voices.SHIPPED)

    def features(samples: Any) -> Any:
        nonlocal heard
        heard += 1
        held.set()
        return shipped.features(samples)

    api.down = replace(recorded("error_401"), held=held)
    with stages(api.base_url, replace(shipped, features=features)) as staged:
        manifest = staged.begin(path, model="whisper-1").model_copy(update={"voices": True})
        staged.work.write(manifest_key(manifest.job_id), manifest.model_dump_json())
        before = set(threading.enumerate())
        with pytest.raises(Rejected, match="unauthorized"):
            staged.chunk(manifest, 0)
        left = {one.name for one in threading.enumerate() if one not in before}
    assert not any(name.startswith("ThreadPoolExecutor") for name in left)
    assert 0 < heard < sum(len(voices.windows(span)) for span in speech.voiced(samples))
