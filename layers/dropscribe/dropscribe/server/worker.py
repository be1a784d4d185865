"""A process that recognizes speech for the server: `python -m dropscribe.server.worker ENGINE`.

One line of JSON in: `{"tracks": ["/path/a.flac", …]}`. Lines of JSON out: `{"track": 0, "part": …}`
in the order of speech while it works, then `{"done": true}`; or `{"error": …}`. It ends with its
standard input.
"""

from __future__ import annotations

import heapq
import json
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from dropscribe.engines import Recognized
from dropscribe.errors import JobError

Recognize = Callable[[Path], Iterator[Recognized]]


def main() -> None:
    if sys.argv[1:] != ["offline"]:
        raise SystemExit(f"no engine {sys.argv[1:]}")
    from dropscribe.engines import offline

    out = sys.stdout
    # What the engine or a library prints is no answer.
    sys.stdout = sys.stderr
    offline.load()
    serve(offline.recognize, sys.stdin, out)


def serve(recognize: Recognize, requests: Iterable[str], out: TextIO) -> None:
    """Answer each line; the first line out says that the engine is loaded."""
    _write(out, {"ready": True})
    for line in requests:
        tracks = [Path(track) for track in json.loads(line)["tracks"]]
        try:
            for track, part in _in_order(recognize, tracks):
                _write(out, {"track": track, "part": part.model_dump(mode="json")})
            _write(out, {"done": True})
        except JobError as error:
            _write(out, {"error": error.message})
        except Exception:  # noqa: BLE001 - told to the server, which tells its caller
            traceback.print_exc(file=sys.stderr)
            _write(out, {"error": "the engine failed, see the server's log"})


def _in_order(recognize: Recognize, tracks: list[Path]) -> Iterator[tuple[int, Recognized]]:
    """What is said on all tracks, by the time of its start; each is decoded as far as needed."""

    def numbered(index: int, track: Path) -> Iterator[tuple[int, Recognized]]:
        return ((index, part) for part in recognize(track))

    parts = [numbered(index, track) for index, track in enumerate(tracks)]
    return heapq.merge(*parts, key=lambda found: found[1].segment.start)


def _write(out: TextIO, message: dict[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
