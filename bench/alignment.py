"""How far the times of words are off that were found for a text, where the model told none.

    apt-get install flite
    pip install '.[offline,speech,whisper]' espeakng-loader==0.2.4 numpy
    python -m bench.alignment

Synthesized speech, whose word times are known: three English voices by flite, which recognizers
take for speech, and five languages by espeak-ng, of which only the starts are known. And real
recordings: for these the reference is PocketSphinx's alignment of exactly what is said, from its
own dictionary. That is independent of the estimate; `aligned` has the same acoustic model, so there
the two may err alike.

`whole`: estimated without knowing when somebody speaks. `estimated`: with `speech.voiced`.
`in segments`: estimated within each sentence, whose time is known, as of models that answer
segments. `aligned`: `engines.forced`, which knows English, and says nothing where it does not know
what is said.

`by Whisper`: `engines.whispered`, for any language. The model is the tiny one of the tests, which
knows 28 words: so there are recordings of these alone, of voices that it has not learned, whose
text comes with full stops and without.
"""

from __future__ import annotations

import math
import random
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from pocketsphinx import Decoder

from dropscribe import sound, speech
from dropscribe.engines import forced, whispered
from dropscribe.placement import divided, placed
from dropscribe.spans import Span
from dropscribe.transcript import Word
from tests import espeak, flite
from tools.tiny_whisper.measure import drawn

DATA: Final = Path(__file__).parents[1] / "tests" / "data"
TINY: Final = DATA / "tiny-whisper"
AIM: Final = (100, 400)
"""Median and 95th percentile where aligned, in ms."""
TEXTS: Final = {
    "en": """Good evening, and welcome to the programme. Tonight we are talking about bridges. Who
builds them, who pays for them, and what happens when they fall down? My guest is Dr. Helen Marsh,
who has written four books about the subject. She was born in 1961, in a small town by the sea, and
she has worked on 37 bridges in 12 countries. Helen, welcome. Thank you very much. It is a pleasure
to be here. Let us begin with a simple question: why do bridges fail? Well, that is not as simple as
it sounds. Most of them fail because of water. The river carries away the ground under the pillars,
and nobody looks, because nobody can see it. Of the 503 failures that we studied, more than half
were caused by floods. Only 3% had anything to do with the design. People always blame the engineer.
They should blame the budget. You say in your book that inspection costs almost nothing. Yes. A
diver costs $900 a day. A new bridge costs $40 million, and for two years everybody has to drive
around through the villages. So why does nobody send a diver? I wish I knew. I asked a minister
once, and he said, "There are no votes in divers." He may have been right. What would you do if you
had the money? First I would make a list. We do not even know how many old bridges there are, or who
owns them; some of them were built by railways that no longer exist. Then I would send two people to
each of them, every second year, with a camera, a hammer and a boat. That is all. It is cheap, it is
boring, and it works. After that, I would retire and grow tomatoes.""",
    "de": """Guten Abend und herzlich willkommen zu unserer Sendung. Heute sprechen wir über
Brücken. Wer baut sie, wer bezahlt sie, und was geschieht, wenn sie einstürzen? Mein Gast hat
vier Bücher darüber geschrieben. Sie wurde 1961 in einer kleinen Stadt am Meer geboren und hat
an 37 Brücken in zwölf Ländern gearbeitet. Vielen Dank für die Einladung. Die meisten Brücken
werden durch Wasser zerstört. Der Fluss trägt den Boden unter den Pfeilern davon, und niemand
sieht hin, weil niemand es sehen kann. Von 503 Schäden, die wir untersucht haben, wurde mehr
als die Hälfte durch Hochwasser verursacht. Man gibt immer den Ingenieuren die Schuld. Dabei
kostet ein Taucher fast nichts, eine neue Brücke aber vierzig Millionen. Warum schickt dann
niemand einen Taucher? Das wüsste ich auch gern.""",
    "ru": """Добрый вечер. Сегодня мы говорим о мостах. Кто их строит, кто за них платит, и что
бывает, когда они падают? Большинство мостов разрушает вода. Река уносит землю из-под опор, и никто
этого не видит. Новый мост стоит сорок миллионов, а водолаз не стоит почти ничего. Почему же никто
не зовёт водолаза? Я и сам хотел бы это знать.""",  # noqa: RUF001
    "ar": """نتحدث اليوم عن الجسور. من يبنيها، ومن يدفع ثمنها، وماذا يحدث عندما تسقط؟ معظم الجسور
يدمرها الماء. يحمل النهر التراب من تحت الأعمدة، ولا أحد يرى ذلك. الجسر الجديد يكلف أربعين مليونا.
لماذا لا يرسل أحد غواصا؟ أنا أيضا أريد أن أعرف.""",
    "cmn": """今天我们谈谈桥。谁来建造它们，谁来付钱，它们倒下的时候会发生什么？大多数的桥是被水
冲坏的。河水带走了桥墩下面的土，可是没有人看得见。新的桥要四千万，而请一个潜水员几乎不要钱。为什么没有人
去请呢？我也想知道。""",  # noqa: RUF001
}
REAL: Final = {
    "jfk.flac": "And so, my fellow Americans, ask not what your country can do for you; ask what "
    "you can do for your country.",
    "austen-0880.wav": "He was not an ill-disposed young man.",
    "austen-0930.wav": "He might even have been made amiable himself.",
    "librispeech-1688-142285-0000.flac": "There's iron, they say, in all our blood, and a grain or "
    "two, perhaps, is good. But his, he makes me harshly feel, has got a little too much of "
    "steel. Anon.",
    "librispeech-1688-142285-0001.flac": '"Margaret," said Mister Hale, as he returned from '
    'showing his guest downstairs, "I could not help watching your face with some anxiety when '
    'Mister Thornton made his confession of having been a shop boy."',
    "librispeech-1688-142285-0002.flac": "You don't mean that you thought me so silly?",
}
SEED: Final = 7
NOISE_DB: Final = 10
"""How much louder the speech is."""
WIDE: Final = {"beam": 1e-80, "wbeam": 1e-60, "pbeam": 1e-80}
"""So that PocketSphinx's alignment reaches the end."""


class Times(NamedTuple):
    """Of a word as it is known; None where it is not."""

    start_ms: int | None
    end_ms: int | None


class Recording(NamedTuple):
    name: str
    samples: bytes
    text: str
    truth: list[Times]
    """Of each word of `divided(text)`."""


Way = Callable[[Recording, Sequence[Span]], Sequence[Word] | None]


def main() -> None:
    print(f"{'ms':42}{'starts: median':>15}{'95 %':>7}{'ends: median':>14}{'95 %':>7}")
    print(f"{'the aim where aligned':42}{AIM[0]:15}{AIM[1]:7}")
    for recording in [*synthesized(), real(), *tiny()]:
        voiced = speech.voiced(recording.samples)
        for name, way in (OF_WHISPER if recording.name.startswith("tiny") else WAYS).items():
            begun_s = time.process_time()
            words = way(recording, voiced)
            took_s = time.process_time() - begun_s
            figures = f"{'nothing said':>22}" if words is None else _row(recording.truth, words)
            print(f"{recording.name + ', ' + name:42}{figures:43}   {took_s:.1f} s of CPU")


def _row(truth: Sequence[Times], words: Sequence[Word]) -> str:
    starts, ends = errors(truth, words)
    return f"{_figures(starts):>22}{_figures(ends):>21}"


def _figures(missed: Sequence[int]) -> str:
    if not missed:
        return ""
    return f"{statistics.median(missed):7.0f}{float(np.percentile(missed, 95)):7.0f}"


def errors(truth: Sequence[Times], words: Sequence[Word]) -> tuple[list[int], list[int]]:
    """Of the starts and of the ends that are known, in ms."""
    pairs = list(zip(truth, words, strict=True))
    return (
        [abs(word.start_ms - at.start_ms) for at, word in pairs if at.start_ms is not None],
        [abs(word.end_ms - at.end_ms) for at, word in pairs if at.end_ms is not None],
    )


def _whole(recording: Recording, voiced: Sequence[Span]) -> list[Word]:
    return placed(recording.text, Span(0, sound.length_ms(recording.samples)), [])


def _estimated(recording: Recording, voiced: Sequence[Span]) -> list[Word]:
    return placed(recording.text, Span(0, sound.length_ms(recording.samples)), voiced)


def _in_segments(recording: Recording, voiced: Sequence[Span]) -> list[Word]:
    """Each sentence from its first word's start to its last one's, or to the next sentence."""
    found: list[Word] = []
    texts = sentences(recording.text)
    numbers = [len(divided(text)) for text in texts]
    for text, number in zip(texts, numbers, strict=True):
        own = recording.truth[len(found) : len(found) + number]
        after = recording.truth[len(found) + number : len(found) + number + 1]
        known = [ms for times in [*own, *after[:1]] for ms in times if ms is not None]
        last = own[-1].end_ms
        found += placed(text, Span(known[0], known[-1] if last is None else last), voiced)
    return found


def _aligned(recording: Recording, voiced: Sequence[Span]) -> list[Word] | None:
    """None where the aligner does not know what is said."""
    return forced.align(recording.samples, recording.text, voiced)


def _by_whisper(recording: Recording, voiced: Sequence[Span]) -> list[Word] | None:
    """None where the model does not hear the text."""
    language = "de" if "German" in recording.name else "en"
    with TemporaryDirectory() as folder:
        audio = Path(folder, "audio.wav")
        audio.write_bytes(sound.wav(recording.samples))
        return whispered.align(audio, recording.text, language, voiced, str(TINY), math.inf)


WAYS: Final[Mapping[str, Way]] = {
    "whole": _whole,
    "estimated": _estimated,
    "in segments": _in_segments,
    "aligned": _aligned,
}


OF_WHISPER: Final[Mapping[str, Way]] = {
    "whole": _whole,
    "estimated": _estimated,
    "by Whisper": _by_whisper,
}


def tiny() -> Iterator[Recording]:
    """Ten conversations of ten turns each, one after the other, in words of the tiny model."""
    for german, language in ((True, "German"), (False, "English")):
        samples, truth, texts = b"", [], []
        for seed in range(SEED, SEED + 10):
            talk, at_ms = drawn(seed, 10, german=german), sound.length_ms(samples)
            truth += [Times(at_ms + word.start_ms, at_ms + word.end_ms) for word in talk.words]
            texts += [" ".join(word.text for word in turn) for turn in talk.turns]
            own = (talk.samples * 32767).astype(np.int16).tobytes()
            samples += own + bytes(-len(own) % sound.BYTES_PER_MS)
        yield Recording(f"tiny {language}", samples, ". ".join(texts) + ".", truth)
        yield Recording(f"tiny {language}, bare", samples, " ".join(texts), truth)


def synthesized() -> Iterator[Recording]:
    said = [flite.say(text, voice) for voice in flite.VOICES for text in sentences(TEXTS["en"])]
    number = len(said) // len(flite.VOICES)
    for at, voice in enumerate(flite.VOICES):
        yield _spoken(f"flite {voice}", said[at * number : (at + 1) * number], (200, 900))
    turns = [said[at // 3 % 3 * number + at] for at in range(number)]
    clean = _spoken("three voices", turns, (200, 900))
    yield clean
    yield clean._replace(name="with noise", samples=_noisy(clean.samples))
    yield _spoken("without pauses", turns, (0, 0))
    yield _spoken("long pauses", turns, (500, 8000))
    yield _spoken("12 minutes", turns * 6, (150, 1500))
    for language, text in TEXTS.items():
        yield _by_espeak(language, sentences(text))


def sentences(text: str) -> list[str]:
    found = re.split(r"(?<=[.!?؟])(?<!Dr\.)\s+|(?<=[。？])", " ".join(text.split()))  # noqa: RUF001
    return [part for part in found if part]


def _spoken(name: str, said: Sequence[flite.Said], pause_ms: tuple[int, int]) -> Recording:
    chance = random.Random(SEED)
    samples, truth = b"", []
    for sentence in said:
        samples += bytes(chance.randint(*pause_ms) * sound.BYTES_PER_MS)
        at_ms = sound.length_ms(samples)
        truth += [Times(at_ms + word.start_ms, at_ms + word.end_ms) for word in sentence.words]
        samples += sentence.samples.tobytes()
    text = " ".join(word.text for sentence in said for word in sentence.words)
    return Recording(name, samples, text, truth)


def _by_espeak(language: str, texts: Sequence[str]) -> Recording:
    chance = random.Random(SEED)
    samples, truth = b"", []
    for text in texts:
        samples += bytes(chance.randint(200, 900) * sound.BYTES_PER_MS)
        said, at_ms = espeak.say(text, language), sound.length_ms(samples)
        truth += [Times(ms if ms is None else at_ms + ms, None) for ms in _starts(text, said)]
        whole = said.samples[: len(said.samples) // 16 * 16]
        samples += whole.tobytes()
    together = ("" if language == "cmn" else " ").join(texts)
    return Recording(f"espeak {language}", samples, together, truth)


def _starts(text: str, said: espeak.Said) -> Iterator[int | None]:
    """Of each word of the text; None where espeak announces none with its first letter."""
    known, at = {}, 0
    for word in said.words:
        at = text.index(word.text, at)
        if word.text:
            known[at] = word.start_ms
        at += len(word.text)
    at = 0
    for piece in divided(text):
        at = text.index(piece, at)
        letters = len(piece) - len(piece.lstrip('"('))
        yield known.get(at + letters, known.get(at))
        at += len(piece)


def _noisy(samples: bytes) -> bytes:
    values: NDArray[np.float64] = np.frombuffer(samples, np.int16).astype(np.float64)
    dice = np.random.default_rng(SEED)
    noise = np.convolve(dice.normal(0, 1, len(values)), [0.5, 0.3, 0.2], "same")
    loudness = np.sqrt(np.mean(values[values != 0] ** 2))
    noise *= loudness / 10 ** (NOISE_DB / 20) / np.std(noise)
    return np.clip(values + noise, -32768, 32767).astype(np.int16).tobytes()


def real() -> Recording:
    """All real recordings, one after the other."""
    samples, truth = b"", []
    for name, text in REAL.items():
        at_ms, own = sound.length_ms(samples), _decoded(DATA / name)
        truth += [Times(at_ms + start, at_ms + end) for start, end in _reference(own, text)]
        samples += own + bytes(-len(own) % sound.BYTES_PER_MS)
    return Recording("real", samples, " ".join(REAL.values()), truth)


def _decoded(path: Path) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path)]
    command += ["-ac", "1", "-ar", str(sound.SAMPLE_RATE_HZ), "-f", "s16le", "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def _reference(samples: bytes, text: str) -> Iterator[tuple[int, int]]:
    """By PocketSphinx's alignment, of 10 ms, of each word of the text."""
    words = [re.sub(r"[^a-z' -]", "", word.lower()) for word in text.split()]
    decoder = Decoder(lm=None, loglevel="FATAL", **WIDE)
    decoder.set_align_text(" ".join(words).replace("-", " "))
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
    heard = iter([part for part in decoder.seg() if part.word[0] not in "<["])
    for word in words:
        parts = [next(heard) for _ in word.split("-")]
        yield parts[0].start_frame * 10, parts[-1].end_frame * 10 + 10


if __name__ == "__main__":
    main()
