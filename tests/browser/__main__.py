"""`python -m tests.browser`: a real Chromium reads and shows the subtitles.

Each document is the source of a `<track>`, whose cues a page's script finds again. Lines of
right-to-left scripts are set in a left-to-right paragraph, where a player that knows no better puts
them. A picture of four scripts on the screen is left in `out/`, to be looked at.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import imageio_ffmpeg

from dropscribe.cues import Cue
from dropscribe.formats.lines import written
from dropscribe.formats.vtt import vtt_document
from dropscribe.timestamps import to_ms
from tests.hostile import BLANK, HOSTILE, NAMES, cue, ink, shown

ROOT: Final = Path(__file__).parents[2]
BROWSER: Final = ROOT / ".venv-browser"
PICTURE: Final = ROOT / "out" / "subtitles.png"
HOUR_MS: Final = 3_600_000
LATE_MS: Final = 100 * HOUR_MS + 1
WRONG: Final = "WRONG"

DOCUMENTS: Final[dict[str, list[Cue]]] = {
    "nothing": [],
    "hostile text": shown(*HOSTILE),
    "hostile text with a voice": shown(*HOSTILE, speaker="A"),
    "hostile names": [
        cue(2000 * at, 2000 * at + 1500, "Hello.", speaker=name) for at, name in enumerate(NAMES)
    ],
    "what cannot be seen": shown("before", *BLANK, "after"),
    "a hundred hours": shown("One.", "Two.", from_ms=LATE_MS),
    "ten hours": [
        cue(2701 * at, 2701 * at + 1999, f"Line {at}", "and <more>", speaker="AB"[at % 2])
        for at in range(13_000)
    ],
    "two at once": [cue(0, 3000, "Let me", speaker="A"), cue(1, 2000, "No, me", speaker="B")],
}
RIGHT_TO_LEFT: Final = [
    "قال المدير إن Windows 11 جيد.",
    "Windows نظام تشغيل جيد!",
    "في عام 2024 كان العدد 50%.",
    "2024 كان عاما صعبا...",
    "שלום, Windows 11 עובד (סוף סוף).",
    "Dr. Cohen אמר: כן!",
    "Ann Lee: مرحبا بكم جميعا!",
]
"""Each ends with a sign that stands at the left."""
ON_SCREEN: Final = [
    cue(0, 5000, "Nothing to operate,", "nothing to keep running.", speaker="Ann"),
    cue(0, 5000, "قال المدير إن Windows 11 جيد.", "Windows نظام تشغيل جيد!"),
    cue(0, 5000, "שלום, Windows 11 עובד", "(סוף סוף)."),
    cue(0, 5000, "今天我们来谈谈录音，", "《WebVTT》和字幕。"),  # noqa: RUF001
]


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        seen = _seen(Path(name))
    told = [f"{seen['version']}; a picture of four scripts: {PICTURE.relative_to(ROOT)}"]
    told += map(_told, DOCUMENTS, DOCUMENTS.values(), seen["documents"])
    told += map(_told_order, RIGHT_TO_LEFT, seen["lines"])
    sys.stdout.write("\n".join(told) + "\n")
    return 1 if any(line.startswith(WRONG) for line in told) else 0


def _told(title: str, given: Sequence[Cue], found: Sequence[dict[str, Any]]) -> str:
    first = next(_wrong(given, found), None)
    return f"{WRONG} {title}: {first}" if first else f"  {title}: {len(found)} cues as written"


def _told_order(line: str, words: Sequence[dict[str, Any]]) -> str:
    return f"{' ' if _is_in_order(words) else WRONG} from right to left: {line}"


def _seen(folder: Path) -> dict[str, Any]:
    """Everything put to the browser in one run of it."""
    PICTURE.parent.mkdir(exist_ok=True)
    job = {
        "documents": [vtt_document(found, ["A note"]) for found in DOCUMENTS.values()],
        "lines": [written([line], [_said(line)]) for line in RIGHT_TO_LEFT],
        "shown": [{"text": vtt_document([one]), "at": 2} for one in ON_SCREEN],
        "video": str(_video(folder)),
        "picture": str(PICTURE),
    }
    (folder / "job.json").write_text(json.dumps(job))
    script = Path(__file__).with_name("chromium.mjs")
    return _answer([ROOT / ".venv-tools/bin/node", script, BROWSER, folder / "job.json"])


def _answer(command: Sequence[Path]) -> dict[str, Any]:
    """The browser is unpacked beside its package, with the libraries that it has for Lambda.

    A machine without a desktop may have none of them.
    """
    unpacked = BROWSER / "unpacked"
    unpacked.mkdir(exist_ok=True)
    done = subprocess.run(
        list(map(str, command)),
        env=os.environ | {"TMPDIR": str(unpacked), "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs24.x"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _video(folder: Path) -> Path:
    """Five seconds of grey, for subtitles to stand in."""
    path = folder / "grey.webm"
    source = ("-f", "lavfi", "-i", "color=c=0x334455:s=640x360:r=5:d=5")
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    command = [ffmpeg, "-v", "error", *source, "-c:v", "libvpx", "-g", "5", str(path)]
    subprocess.run(command, check=True)
    return path


def _said(line: str) -> str:
    """Without the speaker."""
    return line.removeprefix("Ann Lee: ")


def _wrong(given: Sequence[Cue], found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Each cue that is not as it was given."""
    expected = [
        (one.start_ms, one.end_ms, text, " ".join((one.speaker or "").split()))
        for one in given
        if (text := ink("".join(one.lines)))
    ]
    seen = [
        (to_ms(one["start"]), to_ms(one["end"]), ink(one["text"]), one["voice"] or "")
        for one in found
    ]
    for one, other in itertools.zip_longest(expected, seen):
        if one != other:
            yield f"given {one!r}, read {other!r}"


def _is_in_order(words: Sequence[dict[str, Any]]) -> bool:
    """Whether each stands left of the one before, but for Latin ones among themselves."""
    return all(
        (one["left"] < other["left"]) == (_is_latin(one["word"]) and _is_latin(other["word"]))
        for one, other in itertools.pairwise(words)
    )


def _is_latin(word: str) -> bool:
    return word.isascii() and word.isalnum()


if __name__ == "__main__":
    sys.exit(main())
