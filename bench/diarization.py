"""How often the wrong person is said to speak: diarization error rates beside the simplest guess.

    pip install pyannote.metrics==4.2.0 espeakng-loader==0.2.4     beside what the package needs
    python -m bench.diarization [model.onnx]

Two excerpts of real meetings with reference turns, and three synthesized voices taking turns. Error
rates are pyannote.metrics', with overlapped speech counted: with a collar of 250 ms on both sides
of each change, of 250 ms around it (`collar=0.25` there), and with none. `model`: as `voices.load`
takes it.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from dropscribe import sound, voices
from dropscribe.diarization import WindowModel, diarize
from dropscribe.speakers import ChunkVoices, link
from dropscribe.turns import Turn
from tests.espeak import say

DATA: Final = Path(__file__).parents[1] / "tests" / "data"
MEETINGS: Final = ("meeting-dev00", "meeting-tst00")
"""Thresholds were chosen with an eye on the first."""
COLLARS_S: Final = (0.5, 0.25, 0.0)
"""As pyannote has them: the whole width."""
VOICES: Final = {"f2": ("en+f2", 60), "m3": ("en+m3", 35), "f4": ("en-us+f4", 80)}
SENTENCES: Final = (
    "the committee met on tuesday to talk about the new bridge over the river",
    "i think the price is far too high and we should ask for another offer",
    "nobody has told me when the work will begin",
    "yes but the winter is coming and the old bridge is not safe any more",
    "could we close one lane and keep the other open for the buses",
    "that would be possible if the engineers agree to it",
    "thank you very much",
    "the second point for today is the garden behind the school",
    "who would look after the trees in the summer holidays",
    "good then i suggest that we vote on it now",
)
TURNS: Final = 24
PAUSE_MS: Final = (100, 600)
SEED: Final = 7
SAME_TURN_MS: Final = 800
"""A pause up to which one person's speech is one turn."""


class Recording(NamedTuple):
    name: str
    samples: bytes
    truth: list[Turn]


def main() -> None:
    model = voices.load(sys.argv[1] if len(sys.argv) > 1 else voices.SHIPPED)
    print(f"{'diarization error, %':32}{'±250 ms':>9}{'±125 ms':>9}{'none':>9}  speakers")
    for recording in [*(meeting(DATA / name) for name in MEETINGS), synthesized()]:
        number = len({turn.label for turn in recording.truth})
        whole = [Turn(0, sound.length_ms(recording.samples), "x")]
        guesses = {
            "one speaker": whole,
            "ours": found(recording.samples, model),
            f"ours, {number} speakers told": found(recording.samples, model, number),
        }
        for guess, turns in guesses.items():
            rates = "".join(f"{rate:9.1f}" for rate in errors(recording, turns))
            said = len({turn.label for turn in turns})
            print(f"{recording.name + ', ' + guess:32}{rates}  {said} of {number}")
    cost(model)


def meeting(path: Path) -> Recording:
    samples = sound.read(path.with_suffix(".flac"))
    lines = path.with_suffix(".rttm").read_text().splitlines()
    return Recording(path.name, samples, [_turn(line.split()) for line in lines])


def _turn(fields: Sequence[str]) -> Turn:
    """Of a line of an RTTM file."""
    start_ms, length_ms = (round(float(field) * 1000) for field in fields[3:5])
    return Turn(start_ms, start_ms + length_ms, fields[7])


def synthesized() -> Recording:
    """Three voices; nobody speaks twice in a row."""
    chance = random.Random(SEED)
    samples, truth, last = b"", [], ""
    for at in range(TURNS):
        last = chance.choice([name for name in VOICES if name != last])
        samples += bytes(chance.randint(*PAUSE_MS) * sound.BYTES_PER_MS)
        start_ms = sound.length_ms(samples)
        voice, pitch = VOICES[last]
        samples += say(SENTENCES[at % len(SENTENCES)], voice, 160, pitch).samples.tobytes()
        truth.append(Turn(start_ms, sound.length_ms(samples), last))
    return Recording("three voices", samples, truth)


def found(samples: bytes, model: WindowModel, number: int | None = None) -> list[Turn]:
    """What we make of it."""
    chunk = diarize(samples, model, fewest=number or 1)
    told = [ChunkVoices(index=0, voices=chunk.voices, distinct=False)]
    persons = link(told, [], min_speakers=number, max_speakers=number).identities
    return list(_joined(chunk.turns, {heard.label: who for heard, who in persons.items()}))


def _joined(turns: Sequence[Turn], persons: dict[str, int]) -> Iterator[Turn]:
    """Turns of one person, of whose voice there may be several parts, as one."""
    last: Turn | None = None
    for turn in turns:
        label = str(persons[turn.label])
        if last and last.label == label and turn.start_ms - last.end_ms <= SAME_TURN_MS:
            last = Turn(last.start_ms, turn.end_ms, label)
            continue
        if last:
            yield last
        last = Turn(turn.start_ms, turn.end_ms, label)
    if last:
        yield last


def errors(recording: Recording, turns: Sequence[Turn]) -> list[float]:
    """In %, for each collar."""
    whole = Timeline([Segment(0, sound.length_ms(recording.samples) / 1000)])
    truth, guess = _annotation(recording.truth), _annotation(turns)
    return [
        100 * DiarizationErrorRate(collar=collar_s, skip_overlap=False)(truth, guess, uem=whole)
        for collar_s in COLLARS_S
    ]


def _annotation(turns: Sequence[Turn]) -> Annotation:
    made = Annotation()
    for at, turn in enumerate(turns):
        made[Segment(turn.start_ms / 1000, turn.end_ms / 1000), at] = turn.label
    return made


def cost(model: WindowModel) -> None:
    """Of speech without a pause to speak of, which costs most."""
    spoken = synthesized().samples
    for minutes in (5, 20):
        size = minutes * 60_000 * sound.BYTES_PER_MS
        samples = (spoken * (size // len(spoken) + 1))[:size]
        wall_s, cpu_s = time.monotonic(), time.process_time()
        diarize(samples, model)
        wall_s, cpu_s = time.monotonic() - wall_s, time.process_time() - cpu_s
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{minutes} min: {wall_s:.1f} s, {cpu_s:.1f} s of CPU; peak {peak_mb:.0f} MB")


if __name__ == "__main__":
    main()
