"""What the six formats of ten hours take, beside pysubs2's and openai-whisper's writers.

    python -m bench.formats      under a minute

100,000 words with their times, in segments of two speakers, are made from a seed. Others write the
same cues, and openai-whisper cuts the same words into cues of its own; each pair in turn, in this
process, whose processor time is told. In an environment of its own (bench/requirements.txt); what
is not installed there is left out.
"""

from __future__ import annotations

import io
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

from dropscribe.cues import Cue, cues
from dropscribe.formats import OUTPUTS, written
from dropscribe.formats.srt import srt_document
from dropscribe.formats.vtt import vtt_document
from dropscribe.options import JobOptions
from dropscribe.timestamps import to_seconds
from dropscribe.transcript import Segment, Transcript, Word

SEED: Final = 6
WORDS: Final = 100_000
HOURS: Final = 10
WORD_MS: Final = HOURS * 3_600_000 // WORDS
"""From one word to the next, pauses included."""
ROUNDS: Final = 5
LETTERS: Final = "etaoinshrdlcumwfgypbvk"
COMMON: Final = (
    "the",
    "of",
    "and",
    "to",
    "in",
    "a",
    "that",
    "is",
    "was",
    "he",
    "for",
    "it",
    "with",
)
SENTENCE: Final = (4, 24)
"""Words of the shortest and the longest."""
WHISPER_CUT: Final = {"max_line_width": 42, "max_line_count": 2, "highlight_words": False}
WHISPER_WHOLE: Final = {"max_line_width": None, "max_line_count": None, "highlight_words": False}

Work = Callable[[], object]


@dataclass(frozen=True)
class Pair:
    """The same work, ours and another's."""

    title: str
    ours: Work
    theirs: Work


def made() -> Transcript:
    """Sentences of ten hours, told by two who take turns, most of four sentences."""
    random.seed(SEED)
    words: list[Word] = []
    segments: list[Segment] = []
    at_ms, speaker = 0, "A"
    while len(words) < WORDS:
        if random.random() < 1 / 4:
            speaker = "B" if speaker == "A" else "A"
        texts = _sentence(min(random.randint(*SENTENCE), WORDS - len(words)))
        spans = list(_spans(at_ms, len(texts)))
        words += [
            Word(text.strip(".,"), *span, speaker) for text, span in zip(texts, spans, strict=True)
        ]
        segments.append(Segment(" ".join(texts), spans[0][0], spans[-1][1], speaker, _MEASURED))
        at_ms += WORD_MS * len(texts)
    return Transcript(
        text=" ".join(segment.text for segment in segments),
        task="transcribe",
        language="en",
        duration_ms=HOURS * 3_600_000,
        segments=segments,
        words=words,
    )


_MEASURED: Final = {
    **{"seek": 0, "tokens": [50364] * 16, "temperature": 0.0, "avg_logprob": -0.25},
    **{"compression_ratio": 1.5, "no_speech_prob": 0.01},
}
"""As Whisper measures a segment."""


def _sentence(length: int) -> list[str]:
    """Words of natural length: half of them the common ones."""
    texts = [
        random.choice(COMMON)
        if random.random() < 1 / 2
        else "".join(random.choices(LETTERS, k=random.randint(3, 10)))
        for _ in range(length)
    ]
    texts = [f"{text}," if random.random() < 1 / 10 else text for text in texts]
    return [texts[0].capitalize(), *texts[1:-1], texts[-1].rstrip(",").capitalize() + "."][-length:]


def _spans(at_ms: int, length: int) -> Iterator[tuple[int, int]]:
    """Of words that follow each other; what is left of their time is the pause after the last."""
    for _ in range(length):
        spoken_ms = random.randint(WORD_MS // 2, WORD_MS)
        yield at_ms, at_ms + spoken_ms
        at_ms += spoken_ms


def _print_formats(transcript: Transcript) -> None:
    taken = {name: _taken(_rendering(name, transcript)) for name in OUTPUTS}
    print(
        f"{HOURS} hours, {len(transcript.words or [])} words: processor seconds, fastest and median"
    )
    for name, seconds in taken.items():
        size = len(OUTPUTS[name].render(transcript, JobOptions()).encode())
        print(f"  {name:14} {_told(seconds)}  {size / 1e6:5.1f} MB")
    print(f"  {'cues alone':14} {_told(_taken(lambda: _cut(transcript)))}")
    whole = _taken(lambda: written(transcript, JobOptions(), list(OUTPUTS)))
    print(f"  {'all six':14} {_told(whole)}  cut once, with the report of their quality")


def _rendering(name: Any, transcript: Transcript) -> Work:
    return lambda: OUTPUTS[name].render(transcript, JobOptions())


def _cut(transcript: Transcript) -> list[Cue]:
    return cues(transcript, JobOptions().subtitles)


def _print_pairs(pairs: list[Pair]) -> None:
    print("the same work: ours and the other, medians; theirs to ours in each round")
    for pair in pairs:
        ours: list[float] = []
        theirs: list[float] = []
        for number in range(ROUNDS):
            for work in (pair.ours, pair.theirs)[:: -1 if number % 2 else 1]:
                (ours if work is pair.ours else theirs).append(_seconds(work))
        ratios = [other / own for own, other in zip(ours, theirs, strict=True)]
        medians = f"{statistics.median(ours):.3f} {statistics.median(theirs):.3f}"
        print(f"  {pair.title:46} {medians}  {min(ratios):.1f} to {max(ratios):.1f} times")


def _taken(work: Work) -> list[float]:
    return [_seconds(work) for _ in range(ROUNDS)]


def _seconds(work: Work) -> float:
    begun_s = time.process_time()
    work()
    return time.process_time() - begun_s


def _told(seconds: list[float]) -> str:
    return f"{min(seconds):.3f} {statistics.median(seconds):.3f}"


def _pysubs2_pairs(found: list[Cue]) -> Iterator[Pair]:
    """Its file is made beforehand, as our cues are."""
    import pysubs2

    file = pysubs2.SSAFile()
    file.events = [
        pysubs2.SSAEvent(start=cue.start_ms, end=cue.end_ms, text=r"\N".join(cue.lines))
        for cue in found
    ]
    yield Pair("pysubs2: srt of cues", lambda: srt_document(found), lambda: file.to_string("srt"))
    yield Pair("pysubs2: vtt of cues", lambda: vtt_document(found), lambda: file.to_string("vtt"))


def _whisper_pairs(transcript: Transcript, found: list[Cue]) -> Iterator[Pair]:
    from whisper.utils import get_writer

    def theirs(name: str, result: dict[str, Any], options: dict[str, Any]) -> Work:
        writer: Any = get_writer(name, ".")
        return lambda: writer.write_result(result, io.StringIO(), options)

    shown, whole = _whisper_cues(found), _whisper_result(transcript)
    for name, document in (("srt", srt_document), ("vtt", vtt_document)):
        yield Pair(
            f"openai-whisper: {name} of cues",
            lambda document=document: document(found),  # type: ignore[misc]
            theirs(name, shown, WHISPER_WHOLE),
        )
        yield Pair(
            f"openai-whisper: {name} of words, two lines of 42",
            _rendering(name, transcript),
            theirs(name, whole, WHISPER_CUT),
        )
    yield Pair(
        "openai-whisper: json with segments and words",
        _rendering("verbose_json", transcript),
        theirs("json", whole, WHISPER_WHOLE),
    )


def _whisper_cues(found: list[Cue]) -> dict[str, Any]:
    """Each cue a segment, which it writes as it is."""
    segments = [
        {
            "start": to_seconds(cue.start_ms),
            "end": to_seconds(cue.end_ms),
            "text": "\n".join(cue.lines),
        }
        for cue in found
    ]
    return {"text": "", "segments": segments}


def _whisper_result(transcript: Transcript) -> dict[str, Any]:
    """As its `transcribe` answers with word_timestamps; words have their signs and their space."""
    words = iter(transcript.words or [])
    segments = [
        {
            **{"id": number, "text": f" {segment.text}", **segment.measured},
            **{"start": to_seconds(segment.start_ms), "end": to_seconds(segment.end_ms)},
            "words": [
                {
                    "word": f" {text}",
                    "start": to_seconds(word.start_ms),
                    "end": to_seconds(word.end_ms),
                    "probability": 0.9,
                }
                for text, word in zip(segment.text.split(), words, strict=False)
            ],
        }
        for number, segment in enumerate(transcript.segments or [])
    ]
    return {"text": transcript.text, "segments": segments, "language": "en"}


def main() -> None:
    transcript = made()
    _print_formats(transcript)
    found = _cut(transcript)
    pairs: list[Pair] = []
    if find_spec("pysubs2"):
        pairs += _pysubs2_pairs(found)
    if find_spec("whisper"):
        pairs += _whisper_pairs(transcript, found)
    _print_pairs(pairs)


if __name__ == "__main__":
    main()
