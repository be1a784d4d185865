"""What cutting a recording costs in words: real speech, whole and in chunks, really recognized.

    python -m bench.seams            about fifteen minutes on two slow cores

The recognizer is engine `offline`. It hears words otherwise when an utterance begins elsewhere, so
two runs over the same sound differ without any seam: that share is measured and printed too.
"""

from __future__ import annotations

import os
import random
import tempfile
import wave
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

import imageio_ffmpeg

from dropscribe import audio
from dropscribe.api import TranscriptionRequest
from dropscribe.engines import offline
from dropscribe.merge import merge
from dropscribe.passage import Passage, passage
from dropscribe.plan import plan
from dropscribe.seams import without_repeats
from dropscribe.spans import Span
from dropscribe.transcript import Transcript, Word

DATA: Final = Path(__file__).parents[1] / "tests" / "data"
SAID: Final = {
    "jfk.flac": "and so my fellow americans ask not what your country can do for you ask what you"
    " can do for your country",
    "librispeech-1688-142285-0000.flac": "there's iron they say in all our blood and a grain or two"
    " perhaps is good but his he makes me harshly feel has got a little too much of steel anon",
    "librispeech-1688-142285-0001.flac": "margaret said mister hale as he returned from showing his"
    " guest downstairs i could not help watching your face with some anxiety when mister thornton"
    " made his confession of having been a shop boy",
    "librispeech-1688-142285-0002.flac": "you don't mean that you thought me so silly",
    "austen-0880.wav": "he was not an ill disposed young man",
    "austen-0930.wav": "he might even have been made amiable himself",
}
"""Recordings, and what is said in them."""
ROUNDS: Final = 4
"""Of all recordings, each time in another order: more than three minutes."""
PAUSES_S: Final = (0.2, 1.0)
SEED: Final = 20
LONGEST_MS: Final = 60_000
SHORTEST_MS: Final = 10_000
"""Of a chunk here; the route's are six times as long, and have fewer seams."""
NEAR_MS: Final = 1_000
EARLIER_MS: Final = 1_000
SLACK_MS: Final = 100
"""By which two hearings place the same word apart."""


@dataclass(frozen=True)
class Talk:
    """Recordings one after the other, as the route decodes them."""

    track: audio.Track
    said: list[str]


@dataclass(frozen=True)
class Way:
    """To cut a talk."""

    name: str
    chunks: int
    """Asked for; another number puts the cuts elsewhere."""
    in_pauses: bool = False

    def spans(self, track: audio.Track) -> list[Span]:
        return plan(
            track.duration_ms,
            track.pauses if self.in_pauses else (),
            longest_ms=LONGEST_MS,
            parallel=self.chunks,
            shortest_ms=SHORTEST_MS,
        )


IN_PAUSES: Final = Way("where pauses are", 15, in_pauses=True)
ANYWHERE: Final = Way("anywhere", 13)
TALKS: Final = (
    (PAUSES_S, (IN_PAUSES, ANYWHERE, Way("anywhere", 11), Way("anywhere", 16))),
    (None, (IN_PAUSES, ANYWHERE)),
)


@dataclass(frozen=True)
class Told:
    """A recording as it was heard in chunks, each with words and times."""

    passages: list[Passage]

    @cached_property
    def kept(self) -> list[Passage]:
        """The same; what two of them heard, in one of them only."""
        return without_repeats(self.passages)

    @cached_property
    def words(self) -> list[Word]:
        """Of the merged transcript."""
        return self.transcript.words or []

    @cached_property
    def transcript(self) -> Transcript:
        duration_ms = self.passages[-1].span.end_ms
        return merge(self.passages, duration_ms=duration_ms, task="transcribe", language=None)

    @property
    def seams_ms(self) -> list[int]:
        """Halfway between the last word kept of one chunk and the first of the next."""
        edges = [(part.words[0], part.words[-1]) for part in self.kept if part.words]
        return [(last.end_ms + first.start_ms) // 2 for (_, last), (first, _) in pairwise(edges)]

    @property
    def overlaps(self) -> list[int]:
        """The chunks, by their index, into which the next one reaches back."""
        pairs = enumerate(pairwise(self.passages))
        return [index for index, (a, b) in pairs if b.span.start_ms < a.span.end_ms]


class Edit(NamedTuple):
    """Where a word of one list would be put in, left out or put in place of another."""

    left: int
    right: int


def talk(folder: Path, names: Sequence[str], pauses_s: Sequence[float]) -> Talk:
    """These recordings, each followed by so much silence."""
    decoded = {name: _decoded(folder, DATA / name).path.read_bytes() for name in set(names)}
    source = folder / "talk.wav"
    with wave.open(str(source), "wb") as file:
        file.setparams((1, audio.SAMPLE_BYTES, audio.SAMPLE_RATE_HZ, 0, "NONE", ""))
        for name, pause_s in zip(names, pauses_s, strict=True):
            silence = bytes(audio.SAMPLE_BYTES * round(pause_s * audio.SAMPLE_RATE_HZ))
            file.writeframes(decoded[name] + silence)
    return Talk(_decoded(folder, source), [word for name in names for word in SAID[name].split()])


def recognized(track: audio.Track, spans: Sequence[Sequence[Span]]) -> list[Told]:
    """What is heard in each of these lists of pieces of a track, several at the same time."""
    flat = [span for own in spans for span in own]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        heard = pool.map(_recognized, [track] * len(flat), flat)
        return [Told(list(islice(heard, len(own)))) for own in spans]


def texts(words: Sequence[Word]) -> list[str]:
    return [word.text for word in words]


def differing(left: Sequence[str], right: Sequence[str]) -> list[Edit]:
    """The fewest edits that make one list of words the other, in order."""
    return list(_traced(_distances(left, right), left, right))[::-1]


def near_seams(whole: Sequence[Word], told: Told) -> int:
    """How many of the words in which both differ lie within a second of a seam."""
    times = _times(whole, told.words)
    return sum(
        any(time.start_ms - NEAR_MS <= ms <= time.end_ms + NEAR_MS for ms in told.seams_ms)
        for time in times
    )


def lost(told: Told) -> list[Word]:
    """Words heard between the last one kept before a seam and the first after it: in neither."""
    return [
        word
        for index in told.overlaps
        for part in told.passages[index : index + 2]
        for word in _between(part.words or [], told.kept[index], told.kept[index + 1])
    ]


def doubled(told: Told) -> list[Word]:
    """Words kept of the chunk before a seam that were said where the next one's are kept."""
    found = []
    for index in told.overlaps:
        before, after = (part.words or [] for part in told.kept[index : index + 2])
        first_ms = after[0].start_ms if after else told.passages[index].span.end_ms
        found += [word for word in before if _middle_ms(word) >= first_ms + SLACK_MS]
        last_ms = before[-1].end_ms if before else told.passages[index + 1].span.start_ms
        found += [word for word in after if _middle_ms(word) <= last_ms - SLACK_MS]
    return found


def avoidable(whole: Sequence[Word], told: Told, index: int) -> int:
    """How many fewer words would differ with the best of all seams, from chunk `index` to the next.

    That one is found by looking at the whole, which is not known otherwise: what is above 0 says
    that the hearing that was not kept was, by chance too, nearer to the whole.
    """
    left, right = (part.words or [] for part in told.passages[index : index + 2])
    kept = [word for part in told.kept[index : index + 2] for word in part.words or []]
    zone = Span(told.passages[index + 1].span.start_ms, told.passages[index].span.end_ms)
    around = Span(zone.start_ms - NEAR_MS, zone.end_ms + NEAR_MS)
    left, right, kept, wanted = (_within(words, around) for words in (left, right, kept, whole))
    least = sum(word.start_ms < zone.start_ms for word in left)
    beyond = sum(word.start_ms >= zone.end_ms for word in right)
    until = _distances(texts(left), texts(wanted))[least:]
    after = _distances(texts(right)[::-1], texts(wanted)[::-1])[beyond:]
    best = min(
        min(row[at] for row in until) + min(row[len(wanted) - at] for row in after)
        for at in range(len(wanted) + 1)
    )
    return len(differing(texts(kept), texts(wanted))) - best


def begun_earlier(spans: Sequence[Span]) -> list[Span]:
    """All but the first, each begun a second earlier."""
    return [Span(span.start_ms - EARLIER_MS, span.end_ms) for span in spans[1:]]


def own_share(told: Told, earlier: Told) -> tuple[int, int]:
    """How many words, away from seams, are other where a chunk is begun earlier; of how many."""
    changed = heard = 0
    for part, kept, other in zip(told.passages[1:], told.kept[1:], earlier.passages, strict=True):
        words = part.words or []
        inside = _away(kept.words or [], told)
        changed += sum(time.start_ms in range(*inside) for time in _times(words, other.words or []))
        heard += len(_within(words, inside))
    return changed, heard


def _middle_ms(word: Word) -> int:
    return (word.start_ms + word.end_ms) // 2


def _between(words: Sequence[Word], before: Passage, after: Passage) -> Iterator[Word]:
    """The first word after the last one kept may be that one, placed otherwise."""
    if not before.words or not after.words:
        return
    gap = Span(before.words[-1].end_ms, after.words[0].start_ms)
    for word in words:
        if _middle_ms(word) in range(*gap) and word.text != before.words[-1].text:
            yield word


def _away(words: Sequence[Word], told: Told) -> Span:
    """From a second after the seam before these words to a second before that after them."""
    if not words:
        return Span(0, 0)
    before_ms = max((ms for ms in told.seams_ms if ms <= words[0].start_ms), default=0)
    after_ms = min((ms for ms in told.seams_ms if ms >= words[-1].end_ms), default=words[-1].end_ms)
    return Span(before_ms + NEAR_MS, after_ms - NEAR_MS)


def _times(left: Sequence[Word], right: Sequence[Word]) -> list[Span]:
    """Of each edit: when the word is said that is other, missing or too much."""
    found = []
    for row, column in differing(texts(left), texts(right)):
        word = left[row] if row < len(left) else right[min(column, len(right) - 1)]
        found.append(Span(word.start_ms, word.end_ms))
    return found


def _within(words: Sequence[Word], span: Span) -> list[Word]:
    return [word for word in words if word.start_ms in range(*span)]


def _distances(left: Sequence[str], right: Sequence[str]) -> list[list[int]]:
    """[row][column]: the fewest edits between the first so many words of both."""
    table = [list(range(len(right) + 1))]
    for row, word in enumerate(left, 1):
        above, own = table[-1], [row]
        for column, other in enumerate(right):
            own.append(min(above[column] + (word != other), above[column + 1] + 1, own[-1] + 1))
        table.append(own)
    return table


def _traced(table: list[list[int]], left: Sequence[str], right: Sequence[str]) -> Iterator[Edit]:
    """The edits, from the last to the first."""
    row, column = len(left), len(right)
    while row or column:
        if row and column and left[row - 1] == right[column - 1]:
            row, column = row - 1, column - 1
            continue
        steps = ((row - 1, column - 1), (row - 1, column), (row, column - 1))
        row, column = min(
            (step for step in steps if min(step) >= 0), key=lambda step: table[step[0]][step[1]]
        )
        yield Edit(row, column)


class _Free:
    """Nothing is paid here."""

    def sent(self) -> str:
        raise AssertionError

    def concluded(self, call: str, state: str) -> None:
        raise AssertionError

    def uncertain(self) -> int:
        raise AssertionError


def _recognized(track: audio.Track, span: Span) -> Passage:
    request = TranscriptionRequest(model="pocketsphinx-en-us", response_format="verbose_json")
    with tempfile.TemporaryDirectory() as folder:
        chunk = Path(folder) / "chunk.flac"
        audio.cut(track, span, chunk)
        return passage(span, offline.transcribe(chunk, request, _Free()))


def _decoded(folder: Path, source: Path) -> audio.Track:
    (own := folder / f"{source.stem}-decoded").mkdir()
    return audio.normalize(source, own, max_ms=3_600_000).tracks[0]


def compare(folder: Path, pauses_s: tuple[float, float] | None, ways: Sequence[Way]) -> None:
    """The same talk whole and cut in these ways."""
    chance = random.Random(SEED)
    names = [name for _ in range(ROUNDS) for name in chance.sample(list(SAID), len(SAID))]
    spoken = talk(folder, names, [chance.uniform(*pauses_s) if pauses_s else 0 for _ in names])
    track = spoken.track
    cuts = [way.spans(track) for way in ways]
    earlier = begun_earlier(cuts[ways.index(ANYWHERE)])
    whole, *told, other = recognized(track, [[Span(0, track.duration_ms)], *cuts, earlier])
    between = "pauses of {} to {} s".format(*pauses_s) if pauses_s else "no pauses"
    print(f"{track.duration_ms / 1000:.0f} s of speech, {between} between recordings")
    print(f"  {'':21}{'overlaps':>13}  words  differ  near  lost  doubled  avoidable  error rate")
    _print_row("whole", spoken, whole.words, whole)
    for way, one in zip(ways, told, strict=True):
        _print_row(f"cut {way.name}", spoken, whole.words, one)
    changed, heard = own_share(told[ways.index(ANYWHERE)], other)
    print(f"  begun 1 s earlier: {changed} of {heard} words away from seams are heard otherwise")


def _print_row(name: str, spoken: Talk, whole: Sequence[Word], told: Told) -> None:
    """`near`: of the words that differ, those within a second of a seam."""
    words, overlaps = told.words, told.overlaps
    cuts = f"{len(overlaps)} of {len(told.passages) - 1} cuts" if told.passages[1:] else ""
    differ, near = len(differing(texts(whole), texts(words))), near_seams(whole, told)
    saved = sum(avoidable(whole, told, index) for index in overlaps)
    wrong = len(differing(spoken.said, texts(words))) / len(spoken.said)
    print(
        f"  {name:20} {cuts:>13}  {len(words):5}  {differ:6}  {near:4}  {len(lost(told)):4}"
        f"  {len(doubled(told)):7}  {saved:9}  {wrong:10.1%}"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
        for number, (pauses_s, ways) in enumerate(TALKS):
            (own := folder / str(number)).mkdir()
            compare(own, pauses_s, ways)


if __name__ == "__main__":
    main()
