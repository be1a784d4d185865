"""What is uploaded: recordings whose words are known, and files that can be no transcript."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.chaos.plan import Plan
from tests.coded_speech import RATE_HZ, Said, samples, talk

DATA: Final = Path(__file__).parents[1] / "data"
OFFLINE: Final = "offline"
TENANTS: Final = ("acme", "globex", "initech")
NAMES: Final = ("call", "Ärzte & Co", "50% off", "a+b", "会议", 'it\'s "late"', "no..dots")
"""As people name files."""


@dataclass(frozen=True)
class Upload:
    """One object to put."""

    number: int
    kind: str
    key: str
    content: bytes
    metadata: dict[str, str]
    prompt: str
    """Tells the API whose request it is; uploads that share it share their answers."""
    words: list[list[str]] | None = None
    """What is said in each channel; None where that is not known or nothing can come of it."""
    fails_as: str | None = None
    """The only error code that can be right; None where nothing is wrong with the upload."""


@dataclass
class _Shelf:
    """Of what has been made so far, what is used again."""

    plan: Plan
    coded: list[Upload] = field(default_factory=list)

    def earlier(self, number: int) -> Upload | None:
        """One of the last five."""
        recent = self.coded[-5:]
        return self.plan.choice(recent, "earlier", number) if recent else None


def uploads(many: int, plan: Plan) -> Iterator[Upload]:
    """So many, in the order in which they are put."""
    shelf = _Shelf(plan)
    for number in range(many):
        upload = _kind(plan.draw("kind", number))(number, shelf)
        if upload.kind in ("short", "again"):
            shelf.coded.append(upload)
        yield upload


def _short(number: int, shelf: _Shelf, key: str | None = None, kind: str = "short") -> Upload:
    """Seconds of one voice; words and segments with their times."""
    seconds = 2.5 + 2 * shelf.plan.draw("seconds", number)
    script = talk(seconds, seed=number)
    asked = {"model": "whisper-1", "timestamp_granularities": "word,segment"}
    return Upload(
        **_named(number, kind, shelf.plan, key, **asked),
        content=_wav(seconds, script),
        words=[[said.word for said in script]],
    )


def _again(number: int, shelf: _Shelf) -> Upload:
    """Another recording under a key that was used moments ago, when that one may be in work."""
    earlier = shelf.earlier(number)
    return _short(number, shelf, earlier.key if earlier else None, "again")


def _twin(number: int, shelf: _Shelf) -> Upload:
    """A recording that is there already, under another name: its answer is paid once."""
    earlier = shelf.earlier(number)
    if earlier is None:
        return _short(number, shelf)
    named = _named(number, "twin", shelf.plan, None)
    named |= {"prompt": earlier.prompt, "metadata": earlier.metadata}
    return Upload(**named, content=earlier.content, words=earlier.words)


def _channels(number: int, shelf: _Shelf) -> Upload:
    """Two voices on two channels: two chunks."""
    scripts = [talk(4, seed=number * 2 + channel, speakers=1) for channel in (1000, 1001)]
    asked = {"model": "whisper-1", "channels": "split"}
    return Upload(
        **_named(number, "channels", shelf.plan, None, **asked),
        content=_wav(4, *scripts),
        words=[[said.word for said in script] for script in scripts],
    )


def _text(number: int, shelf: _Shelf) -> Upload:
    """A model that gives no times."""
    script = talk(3, seed=number)
    asked = {"model": "gpt-transcribe", "formats": "json,text"}
    return Upload(
        **_named(number, "text", shelf.plan, None, **asked),
        content=_wav(3, script),
        words=[[said.word for said in script]],
    )


def _long(number: int, shelf: _Shelf) -> Upload:
    """More than two minutes: two chunks with a seam between them."""
    script = talk(125, seed=number)
    asked = {"model": "whisper-1", "timestamp_granularities": "word,segment"}
    return Upload(
        **_named(number, "long", shelf.plan, None, **asked),
        content=_wav(125, script),
        words=[[said.word for said in script]],
    )


def _offline(number: int, shelf: _Shelf) -> Upload:
    """Real speech through real recognition: nobody bills it."""
    named = _named(number, OFFLINE, shelf.plan, None, engine="offline")
    del named["metadata"]["prompt"]  # it takes none
    return Upload(**named, content=(DATA / "austen-0880.wav").read_bytes())


def _no_media(number: int, shelf: _Shelf) -> Upload:
    named = _named(number, "no media", shelf.plan, None)
    return Upload(**named, content=b"Dear Sir or Madam,\n" * 40, fails_as="not_media")


def _empty(number: int, shelf: _Shelf) -> Upload:
    return Upload(**_named(number, "empty", shelf.plan, None), content=b"", fails_as="empty_audio")


def _options(number: int, shelf: _Shelf) -> Upload:
    script = talk(3, seed=number)
    named = _named(number, "options", shelf.plan, None, temperature="hot")
    return Upload(**named, content=_wav(3, script), fails_as="invalid_options")


_Maker = Callable[[int, _Shelf], Upload]
_SHARES: Final[tuple[tuple[_Maker, float], ...]] = (
    (_short, 0.42),
    (_again, 0.14),
    (_channels, 0.12),
    (_twin, 0.08),
    (_text, 0.06),
    (_long, 0.02),
    (_offline, 0.02),
    (_no_media, 0.05),
    (_empty, 0.04),
    (_options, 0.05),
)
"""Kinds of uploads, and how many of all they are."""


def _kind(draw: float) -> _Maker:
    """That of a draw from 0 to 1."""
    for maker, share in _SHARES:
        draw -= share
        if draw < 0:
            return maker
    return _short


def _named(number: int, kind: str, plan: Plan, key: str | None, **asked: str) -> dict[str, Any]:
    """What all uploads have."""
    tenant, name = plan.choice(TENANTS, "tenant", number), plan.choice(NAMES, "name", number)
    prompt = f"upload {number}"
    labels = json.dumps({"number": str(number)})
    return {
        "number": number,
        "kind": kind,
        "key": key or f"{tenant}/{name} {number}.wav",
        "metadata": asked | {"prompt": prompt, "tenant": tenant, "labels": labels},
        "prompt": prompt,
    }


def _wav(seconds: float, *scripts: Sequence[Said]) -> bytes:
    """16 kHz, one channel for each script."""
    channels = [samples(script, round(seconds * 1000)) for script in scripts]
    file = io.BytesIO()
    with wave.open(file, "wb") as target:
        target.setparams((len(channels), 2, RATE_HZ, len(channels[0]), "NONE", ""))
        target.writeframes(np.stack(channels, axis=1).tobytes())
    return file.getvalue()
