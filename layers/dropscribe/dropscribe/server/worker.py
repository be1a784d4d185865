"""A process that recognizes speech for the server: `python -m dropscribe.server.worker ENGINE`.

`python -m dropscribe.server.worker whisper MODEL` for engine whisper. It is asked and answers as
`protocol` says, on its standard input and output, and ends with its input.
"""

from __future__ import annotations

import heapq
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from dropscribe.api import Request
from dropscribe.engines import Recognized
from dropscribe.errors import JobError
from dropscribe.server.protocol import Answer, Begun, Done, Failed, Part, Question, Ready, Said


@dataclass(frozen=True)
class Recognizer:
    """An engine that is loaded."""

    recognize: Callable[[Path, Request], tuple[str | None, Iterator[Recognized]]]
    """Language, and what is said as soon as it is known."""
    model: str = ""
    """What it is asked for, whatever name the caller gave."""
    interleaves: bool = False
    """It can be in the middle of several recordings."""


def main() -> None:
    # What the engine or a library prints, be it from C, is no answer.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    engine, *model = sys.argv[1:]
    try:
        recognizer = _loaded(engine, *model)
    except JobError as error:
        _write(out, Failed(message=error.message, code=error.code))
    except ModuleNotFoundError as error:
        _write(out, Failed(message=_without(error.name or str(error), engine)))
    else:
        serve(recognizer, sys.stdin.buffer, out)


def _loaded(engine: str, model: str = "") -> Recognizer:
    if engine == "whisper":
        from dropscribe.engines import whisper

        whisper.load(model)
        return Recognizer(whisper.recognize, model)
    from dropscribe.engines import offline

    offline.load()
    return Recognizer(lambda track, _: ("en", offline.recognize(track)), interleaves=True)


def _without(package: str, engine: str) -> str:
    return (
        f"engine `{engine}` lacks the package {package!r}: install dropscribe with its extras, "
        f"`pip install 'dropscribe[server,speech,{engine}]'`"
    )


def serve(recognizer: Recognizer, questions: Iterable[bytes], out: TextIO) -> None:
    """Answer each line; the first line out says that the engine is loaded."""
    _write(out, Ready())
    for line in questions:
        question = Question.model_validate_json(line)
        try:
            for answer in _answers(recognizer, question):
                _write(out, answer)
        except JobError as error:
            # Where a model lies on this machine is nothing to tell.
            message = error.message.replace(f"`{recognizer.model}`", f"`{question.model}`")
            _write(out, Failed(message=message, code=error.code))
        except Exception:  # noqa: BLE001 - told to the server, which tells its caller
            traceback.print_exc(file=sys.stderr)
            _write(out, Failed(message="the engine failed, see the server's log"))


def _answers(recognizer: Recognizer, question: Question) -> Iterator[Answer]:
    request = question.request(recognizer.model or question.model)
    opened = [recognizer.recognize(track, request) for track in question.tracks]
    yield Begun(language=next((language for language, _ in opened if language), None))
    heard = []
    for part in _in_order([parts for _, parts in opened], lazily=recognizer.interleaves):
        yield part
        heard.append(part.recognized)
    if question.known is not None:
        from dropscribe.server.speaking import said

        (track,) = question.tracks
        yield Said(segments=said(track, heard, question.known))
    yield Done()


def _in_order(tracks: list[Iterator[Recognized]], *, lazily: bool) -> Iterator[Part]:
    """What is said on all tracks, by the time of its start.

    `lazily`: each is decoded as far as needed. Else one is decoded after the other, and what is
    said on the last one is told while it is.
    """

    def numbered(index: int, parts: Iterable[Recognized]) -> Iterator[Part]:
        return (Part(track=index, recognized=part) for part in parts)

    *first, last = tracks
    whole: list[Iterable[Recognized]] = [parts if lazily else list(parts) for parts in first]
    parts = [numbered(index, parts) for index, parts in enumerate([*whole, last])]
    return heapq.merge(*parts, key=lambda part: part.recognized.segment.start)


def _write(out: TextIO, answer: Answer) -> None:
    out.write(answer.model_dump_json() + "\n")
    out.flush()


if __name__ == "__main__":
    main()
