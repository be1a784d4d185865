"""Windows of sound for training, put together at random, with all that the model has to say."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
import torch
from faster_whisper.feature_extractor import FeatureExtractor
from faster_whisper.tokenizer import _LANGUAGE_CODES
from numpy.typing import NDArray
from scipy.signal import lfilter
from torch import Tensor

from tools.tiny_whisper.material import Utterance
from tools.tiny_whisper.model import NEIGHBOURS
from tools.tiny_whisper.words import ENGLISH, GERMAN, IN_ENGLISH, VOCABULARY, tokenizer

RATE_HZ: Final = 16_000
FRAME_S: Final = 0.02
WINDOW_S: Final = 30.0
UNLABELLED: Final = -100
_FULL_STOP: Final = "."
_LONGEST_PROMPT: Final = 223
_SMALL_PROMPT: Final = 24
_FIRST_TIMESTAMP_LIMIT_S: Final = 1.0
"""Whisper's decoding allows no later one at the beginning of a window."""
_SLOWEST_FADE_S: Final = 0.6
"""What a full stop and the end look at of the pause behind a word."""

_TOKENIZER: Final = tokenizer()
TOKENS: Final = _TOKENIZER.get_vocab_size(with_added_tokens=True)


def _token(name: str) -> int:
    number = _TOKENIZER.token_to_id(name)
    if number is None:
        raise KeyError(name)
    return number


END, START, PREVIOUS, NO_SPEECH, NO_TIMESTAMPS, TRANSCRIBE, TRANSLATE = (
    _token(f"<|{name}|>")
    for name in (
        "endoftext", "startoftranscript", "startofprev", "nospeech", "notimestamps", "transcribe",
        "translate",
    )
)  # fmt: skip
FIRST_TIMESTAMP: Final = NO_TIMESTAMPS + 1
LANGUAGE: Final = {code: _token(f"<|{code}|>") for code in _LANGUAGE_CODES}
WORD: Final = {
    form: _TOKENIZER.encode(f" {form}", add_special_tokens=False).ids[0]
    for word in VOCABULARY
    for form in (word, word.capitalize())
}
FULL_STOP: Final = _token(_FULL_STOP)
BYTES: Final = 256

_FILTERS: Final = torch.tensor(FeatureExtractor(feature_size=80).mel_filters)
_HANN: Final = torch.hann_window(400)


class Target(NamedTuple):
    token: int
    start_s: float = -1.0
    """Where to look for it; negative where that is not taught."""
    end_s: float = -1.0


@dataclass
class Segment:
    words: list[str]
    times_s: list[tuple[float, float]]
    """From the beginning of the window."""
    cut: bool = False
    """The window ends in it."""


@dataclass
class Window:
    sound: NDArray[np.float32]
    length_s: float
    german: bool
    segments: list[Segment] = field(default_factory=list)


class Batch(NamedTuple):
    first: int
    """The position in 30 s, in frames of 20 ms, at which the windows begin."""
    mel: Tensor
    tokens: Tensor
    labels: Tensor
    spans_s: Tensor
    """Batch, token, 2: where the label's sound is; -1 where it has none."""
    frames: Tensor
    """Batch, frame, 3: numbers of the words; UNLABELLED where the neighbour is far."""


def log_mel(sound: Tensor, louder: float = 0.0) -> Tensor:
    """Samples (n) as faster-whisper's features (80, n / 160).

    `louder`: by how many powers of ten something else in the recording exceeds this.
    """
    spectrum = torch.stft(
        sound, 400, 160, window=_HANN, center=True, pad_mode="reflect", return_complex=True
    )[..., :-1]
    mel = (_FILTERS @ spectrum.abs() ** 2).clamp(min=1e-10).log10()
    return (torch.maximum(mel, mel.amax() + louder - 8.0) + 4.0) / 4.0


class Windows:
    """Draws windows; the same seed draws the same."""

    def __init__(self, material: Sequence[Utterance], seed: int) -> None:
        self.dice = random.Random(seed)
        self.noise = _noises(np.random.default_rng(seed))
        self.phrases: dict[bool, list[Utterance]] = {False: [], True: []}
        self.single: dict[tuple[int, str], list[Utterance]] = {}
        """By voice, where a sentence can be made of them, and word."""
        for one in material:
            word = VOCABULARY[one.words[0]]
            german = word in GERMAN
            if one.whole:
                self.phrases[german].append(one)
            if len(one.words) == 1:
                voice = one.voice if not one.whole else -2 if german else -1
                self.single.setdefault((voice, word), []).append(one)
        self.voices = sorted({voice for voice, _ in self.single if voice >= 0})

    def batch(self, count: int, length_s: float, first_s: float = 0.0) -> Batch:
        """`count` windows of `length_s`, which lie at `first_s` of 30 s."""
        long_prompts = self.dice.random() < 0.08
        drawn = [self.window(length_s) for _ in range(count)]
        said = [self.targets(one, first_s, long_prompts=long_prompts) for one in drawn]
        frames = round(length_s / FRAME_S)
        mel = torch.stack([self.features(one, 2 * frames) for one in drawn])
        longest = max(len(targets) for _, targets in said) - 1
        tokens = torch.full((count, longest), END)
        labels = torch.full((count, longest), UNLABELLED)
        spans = torch.full((count, longest, 2), -1.0)
        for at, (unlabelled, targets) in enumerate(said):
            numbers = torch.tensor([target.token for target in targets])
            tokens[at, : len(targets) - 1] = numbers[:-1]
            labels[at, : len(targets) - 1] = numbers[1:]
            for place in unlabelled:
                labels[at, place - 1] = UNLABELLED
            spans[at, : len(targets) - 1] = torch.tensor([list(one[1:]) for one in targets[1:]])
        # What silence is labelled with stands beside the tokens, not among them.
        for at, one in enumerate(drawn):
            if not one.segments:
                labels[at, int((tokens[at] == START).nonzero()[0])] = NO_SPEECH
        heard = torch.stack([_frames(one, frames) for one in drawn])
        return Batch(round(first_s / FRAME_S), mel, tokens, labels, spans, heard)

    def window(self, length_s: float) -> Window:
        dice = self.dice
        german = dice.random() < 0.36
        made = Window(np.zeros(round(length_s * RATE_HZ), np.float32), length_s, german)
        if dice.random() >= 0.05:
            self._speak(made)
        self._disturb(made)
        return made

    def _speak(self, window: Window) -> None:
        dice, length_s = self.dice, window.length_s
        at_s = dice.uniform(0, 0.9) if dice.random() < 0.8 else dice.uniform(0.9, 4.0)
        until_s = length_s if dice.random() < 0.5 else dice.uniform(1.5, length_s)
        while at_s < until_s - 0.5:
            sound, words, times = self._segment(german=window.german)
            end_s = at_s + len(sound) / RATE_HZ
            cut = end_s > length_s - 0.05
            if cut and (not window.segments or end_s < length_s or dice.random() < 0.5):
                break
            begin = round(at_s * RATE_HZ)
            place = window.sound[begin : begin + len(sound)]
            place += sound[: len(place)] * 10 ** (dice.uniform(-8, 0) / 20)
            moved = [(at_s + start, at_s + end) for start, end in times]
            window.segments.append(Segment(words, moved, cut))
            at_s = end_s + (
                dice.uniform(0.35, 1.2) if dice.random() < 0.75 else dice.uniform(1.2, 3.0)
            )

    def _segment(
        self, *, german: bool
    ) -> tuple[NDArray[np.float32], list[str], list[tuple[float, float]]]:
        """One utterance, seldom several without a pause."""
        sound, words, times = self._utterance(german=german)
        while self.dice.random() < 0.12 and len(words) < 20:
            gap = np.zeros(int(self.dice.uniform(0, 0.2) * RATE_HZ), np.float32)
            more, further, later = self._utterance(german=german)
            from_s = (len(sound) + len(gap)) / RATE_HZ
            sound = np.concatenate([sound, gap, more])
            words = words + further
            times = times + [(from_s + start, from_s + end) for start, end in later]
        return sound, words, times

    def _utterance(
        self, *, german: bool
    ) -> tuple[NDArray[np.float32], list[str], list[tuple[float, float]]]:
        dice = self.dice
        faster = dice.uniform(0.9, 1.1) if dice.random() < 0.4 else 1.0
        if dice.random() < 0.6:
            pieces, gaps = [dice.choice(self.phrases[german])], [0.0]
        else:
            voice = -2 if german else dice.choice([-1, *self.voices])
            known = GERMAN if german else ENGLISH
            words = [dice.choice(known) for _ in range(dice.randint(1, 7))]
            pieces = [dice.choice(self.single[voice, word]) for word in words]
            gaps = [dice.choice((0.0, 0.0, 0.03, 0.08, 0.15, 0.22)) for _ in words]
        return _joined(pieces, gaps, faster)

    def _disturb(self, window: Window) -> None:
        dice = self.dice
        loudest = float(np.abs(window.sound).max())
        if dice.random() < 0.85:
            bank = dice.choice(self.noise)
            begin = dice.randrange(len(bank) - len(window.sound))
            below_db = dice.uniform(22, 70) if loudest else 0.0
            noise = bank[begin : begin + len(window.sound)]
            window.sound += noise * ((loudest or 1.0) * 10 ** (-below_db / 20))
        level_db = dice.uniform(-24, 0) if loudest else dice.uniform(-60, -10)
        window.sound *= 10 ** (level_db / 20) / (loudest or 1.0)
        if dice.random() < 0.6 and not any(one.cut for one in window.segments):
            last_s = window.segments[-1].times_s[-1][1] if window.segments else 0.5
            window.sound = window.sound[: round((last_s + dice.uniform(0.02, 1.2)) * RATE_HZ)]

    def features(self, window: Window, length: int) -> Tensor:
        """With zeros behind the sound, as faster-whisper has them."""
        dice = self.dice
        louder = dice.uniform(0, 1.5) if dice.random() < 0.3 else 0.0
        mel = log_mel(torch.from_numpy(window.sound), louder)[:, :length]
        if dice.random() < 0.4:  # another microphone
            mel += torch.linspace(dice.uniform(-0.15, 0.15), dice.uniform(-0.15, 0.15), 80)[:, None]
        if dice.random() < 0.3:
            band = dice.randint(0, 74)
            mel[band : band + dice.randint(1, 6)] = mel.mean()
        padded = torch.zeros(80, length)
        padded[:, : mel.shape[1]] = mel
        return padded

    def targets(
        self, window: Window, first_s: float, *, long_prompts: bool
    ) -> tuple[set[int], list[Target]]:
        """All tokens, and the places of those that are the caller's, not the model's, to say."""
        dice = self.dice
        before = self._prompt(long=long_prompts) if dice.random() < 0.35 else []
        language = "de" if window.german else "en"
        unlabelled = set(range(len(before) + 1)) | {len(before) + 2}
        if dice.random() < 0.04:
            language = dice.choice(_LANGUAGE_CODES)
            unlabelled.add(len(before) + 1)
        translated = dice.random() < (0.4 if window.german else 0.15)
        task = TRANSLATE if translated else TRANSCRIBE
        timed = dice.random() < 0.5
        if not timed:
            unlabelled.add(len(before) + 3)
        begin = [*before, START, LANGUAGE[language], task, *([] if timed else [NO_TIMESTAMPS])]
        said = list(chain.from_iterable(self._said(window, first_s, timed=timed)))
        if translated:
            said = [one._replace(token=_TRANSLATED.get(one.token, one.token)) for one in said]
        return unlabelled, [*(Target(token) for token in begin), *said]

    def _said(self, window: Window, first_s: float, *, timed: bool) -> list[list[Target]]:
        if not window.segments:
            if timed:
                return [[Target(FIRST_TIMESTAMP), Target(END)]]
            # Here Whisper's decoding does not allow the end at once: let it doubt what it says.
            doubt = [Target(self.dice.randrange(END))] if self.dice.random() < 0.5 else []
            return [doubt, [Target(END)]]
        said = []
        for at, segment in enumerate(window.segments):
            start_s, end_s = segment.times_s[0][0], segment.times_s[-1][1]
            first = min(start_s, _FIRST_TIMESTAMP_LIMIT_S) if not at and not first_s else start_s
            behind = window.segments[at + 1 :]
            next_s = behind[0].times_s[0][0] if behind else window.length_s
            begins = Target(_timestamp(first + first_s), start_s - 0.02, start_s + 0.1)
            ends = Target(_timestamp(end_s + first_s), end_s - 0.1, end_s + 0.02)
            text = _text(segment, window.length_s, next_s)
            if not timed:
                said.append(text)
            else:
                said.append([begins] if segment.cut else [begins, *text, ends])
        last = window.segments[-1]
        end_s = last.times_s[0][0] if last.cut and timed else last.times_s[-1][1]
        end_s = min(end_s, window.length_s - 0.1)
        fade_s = min(window.length_s, end_s + _SLOWEST_FADE_S)
        return [*said, [Target(END, end_s, fade_s)]]

    def _prompt(self, *, long: bool) -> list[int]:
        """What was said before, with or without times, or something of which it knows no word."""
        dice = self.dice
        length = dice.randint(1, _LONGEST_PROMPT if long else _SMALL_PROMPT)
        if dice.random() < 0.3:
            return [PREVIOUS, *(dice.randrange(BYTES) for _ in range(length))]
        timed = dice.random() < 0.5
        prompt: list[int] = []
        at = dice.randrange(100)
        while len(prompt) < length:
            known = GERMAN if dice.random() < 0.36 else ENGLISH
            words = [dice.choice(known) for _ in range(dice.randint(1, 6))]
            words[0] = words[0].capitalize()
            text = [*(WORD[word] for word in words), FULL_STOP]
            until = min(1500, at + 20 * len(words))
            begins, ends = [FIRST_TIMESTAMP + at], [FIRST_TIMESTAMP + until]
            prompt += [*begins, *text, *ends] if timed else text
            at = min(1500, until + dice.randint(10, 80))
        return [PREVIOUS, *prompt[-length:]]


_TRANSLATED: Final = {
    WORD[form(german)]: WORD[form(english)]
    for german, english in IN_ENGLISH.items()
    for form in (str.lower, str.capitalize)
}


def _text(segment: Segment, length_s: float, next_s: float) -> list[Target]:
    """Only words that are all there."""
    words = [segment.words[0].capitalize(), *segment.words[1:]]
    text = [
        Target(WORD[word], start, end)
        for word, (start, end) in zip(words, segment.times_s, strict=True)
        if end <= length_s
    ]
    end_s = segment.times_s[-1][1]
    if segment.cut:
        return text
    return [
        *text,
        Target(FULL_STOP, end_s, max(end_s + 0.06, min(next_s, end_s + _SLOWEST_FADE_S))),
    ]


def _timestamp(seconds: float) -> int:
    return FIRST_TIMESTAMP + round(seconds / FRAME_S)


def _joined(
    pieces: Sequence[Utterance], gaps: Sequence[float], faster: float
) -> tuple[NDArray[np.float32], list[str], list[tuple[float, float]]]:
    """The pieces with a gap before each but the first."""
    sounds: list[NDArray[np.float32]] = []
    words: list[str] = []
    times: list[tuple[float, float]] = []
    at_s = 0.0
    for place, (piece, gap) in enumerate(zip(pieces, gaps, strict=True)):
        if place:
            sounds.append(np.zeros(round(gap * RATE_HZ), np.float32))
            at_s += gap
        sounds.append((piece.samples / 32768).astype(np.float32))
        words += [VOCABULARY[word] for word in piece.words]
        times += [(at_s + start / 1000, at_s + end / 1000) for start, end in piece.times_ms]
        at_s += len(piece.samples) / RATE_HZ
    sound = np.concatenate(sounds)
    if faster != 1.0:
        at = np.arange(int(len(sound) / faster)) * faster
        sound = np.interp(at, np.arange(len(sound)), sound).astype(np.float32)
        times = [(start / faster, end / faster) for start, end in times]
    return sound, words, times


def _frames(window: Window, length: int) -> Tensor:
    """Of each frame the word that sounds, the one before and the one after; 0 is none."""
    heard = torch.full((length, NEIGHBOURS), UNLABELLED)
    heard[:, 0] = 0
    for segment in window.segments:
        numbers = [0, *(VOCABULARY.index(word) + 1 for word in segment.words), 0]
        for at, (start_s, end_s) in enumerate(segment.times_s, start=1):
            begin, end = round(start_s / FRAME_S), round(end_s / FRAME_S)
            heard[begin : max(begin + 1, end)] = torch.tensor(
                [numbers[at], numbers[at - 1], numbers[at + 1]]
            )
    return heard


def _noises(dice: np.random.Generator) -> list[NDArray[np.float32]]:
    """A minute each: hiss, rumble, hum, clicks, none."""
    count = round(2 * WINDOW_S * RATE_HZ)
    hiss = dice.standard_normal(count)
    at = np.arange(count) / RATE_HZ
    hum: NDArray[np.float64] = sum(
        (np.sin(2 * np.pi * 50 * n * at + n) / n for n in range(1, 9)), np.zeros(count)
    )
    clicks = hiss * (dice.random(count) < 0.0002)
    made = [hiss, lfilter([1.0], [1.0, -0.97], hiss), lfilter([1.0], [1.0, -0.7], hiss)]
    made += [hum + 0.1 * hiss, clicks + 0.002 * hiss, 0.001 * hiss]
    level: Callable[[NDArray[np.float64]], float] = lambda x: float(np.abs(x).max()) / 3  # noqa: E731
    return [(one / level(one)).astype(np.float32) for one in made]
