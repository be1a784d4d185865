"""Recordings of any length whose words a program can read back: the truth for tests of long ones.

Each word is a piece of real speech, so that detectors of speech take it for what it is. Under it
lies a faint code at 5.4 to 7.6 kHz, above what is left of the speech, which says which word it is,
who says it and how long it lasts. `decode` reads the code, and only the code: it is a recognizer
that makes no mistakes, but hears no word of which a part is missing.

The code of a word: one tone of three tells which third of the word this is, from its first sample
to its last. Beside it, in the first 100 ms, a marker and nine digits of base 16, 10 ms and one
tone each.
"""

from __future__ import annotations

import random
import wave
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import miniaudio
import numpy as np
from numpy.typing import NDArray

RATE_HZ: Final = 16_000
FRAGMENT: Final = "~"
"""What is heard of a word that was cut, where a third of it or more is there."""
SHORTEST_MS: Final = 150
LONGEST_MS: Final = 600
"""Of a word."""
MOST_SPEAKERS: Final = 16

_ENGLISH_TEXT = """
the of and to a in is it you that he was for on are with as I his they be at one have this from or
had by not but what all were when we there can an your which their said if do will each about how
up out them then she many some so these would other into has more her two like him see time could
no make than first been its who now people my made over did down only way find use may water long
little very after words called just where most know get through back much go good new write our me
man too any day same right look think also around another came come work three must because does
part even place well such here take why help put different away again off went old number great
tell men say small every found still between name should home big give air line set own under read
last never us left end along while might next sound below saw something thought both few those
always show large often together asked house world going want school important until form food
keep children feet land side without boy once animal life enough took four head above kind began
almost live page got earth need far hand high year mother light country father let night picture
being study second soon story since white ever paper hard near sentence better best across during
today however sure knew try told young sun thing whole hear example heard several change answer
room sea against top turned learn point city play toward five himself usually money seen car
morning body upon family later turn move face door cut done group true half red fish plants living
black eat short run book gave order open ground cold really table remember tree course front space
inside ago sad early learned brought close nothing though idea before lived became add become grow
draw yet less wind behind cannot letter among able dog shown mean English rest perhaps certain six
feel fire ready green yes built special ran full town complete oh person hot anything hold state
list stood hundred ten fast felt kept notice strong voice probably area horse matter stand box
start river class piece question music heart winter company record paid office minute doctor board
meeting budget report council motion chair member vote agree price market summer spring bridge
garden window kitchen evening weather teacher power machine engine travel visit result reason
moment lawyer judge witness court street corner village island coffee bread sugar silver golden
simple gentle bright quiet ancient modern foreign public private careful honest promise attention
language history science freedom
"""
ENGLISH: Final = tuple(_ENGLISH_TEXT.split())
_CHINESE_TEXT = """
我们 今天 明天 时间 工作 朋友 学校 老师 学生 城市 问题 开始 现在 已经 可以 知道 觉得 喜欢 中国 语言
电话 电脑 会议 公司 经理 报告 计划 市场 价格 天气 春天 夏天 秋天 冬天 早上 晚上 音乐 电影 历史 科学
"""
CHINESE: Final = tuple(_CHINESE_TEXT.split())
_THAI_TEXT = """
เรา วันนี้ พรุ่งนี้ เวลา งาน เพื่อน โรงเรียน ครู นักเรียน เมือง ปัญหา เริ่ม ตอนนี้ แล้ว ได้ รู้ คิด ชอบ ไทย ภาษา
โทรศัพท์ ประชุม บริษัท รายงาน แผน ตลาด ราคา อากาศ ฤดูร้อน ฤดูหนาว เช้า เย็น ดนตรี หนัง บ้าน น้ำ อาหาร รถ
"""
THAI: Final = tuple(_THAI_TEXT.split())
VOCABULARY: Final = ENGLISH + CHINESE + THAI
"""Every word that can be said; its place here is its number in the code."""
UNSPACED: Final = frozenset(CHINESE + THAI)
"""Words that are written without space between them."""

Pcm = NDArray[np.int16]
_Wave = NDArray[np.float32]
_DATA: Final = Path(__file__).parent / "data"
_NUMBERS: Final = {word: number for number, word in enumerate(VOCABULARY)}


class Said(NamedTuple):
    """A word from `start_ms` up to, not including, `end_ms` of the recording."""

    word: str
    start_ms: int
    end_ms: int
    speaker: int = 0
    """Counted from 0."""


def text_of(words: Sequence[str]) -> str:
    """As it is written: with spaces, but not between words of languages that have none."""
    text = "".join(words[:1])
    for before, word in pairwise(words):
        text += word if {before, word} & UNSPACED else f" {word}"
    return text


# --- Scripts: who says which word when


def talk(
    seconds: float,
    seed: int,
    *,
    pauses: bool = True,
    speakers: int = 1,
    vocabulary: Sequence[str] = ENGLISH,
) -> list[Said]:
    """A talk of so many seconds: 2.5 words a second, the same for the same `seed`.

    Phrases of 4 to 12 words, 60 to 150 ms between words, 400 to 1200 ms between phrases. Without
    `pauses` nothing longer than 80 ms is between words anywhere, at the beginning or at the end
    (for `write(…, filled=True)`). Several `speakers` take turns of a few phrases; the first one
    begins. Words and phrases are repeated at once, now and then, as people do.
    """
    rng = random.Random(f"{seed} {seconds} {pauses} {speakers}")
    said: list[Said] = []
    at_ms, speaker, end_ms = rng.randint(*_GAPS_MS[pauses]), 0, round(seconds * 1000)
    before: list[str] = []
    turn = 0
    while True:
        if speakers > 1 and turn == 0:
            speaker = (speaker + rng.randrange(1, speakers)) % speakers if said else 0
            turn = rng.randint(1, 5)
        turn -= 1
        before = _phrase(rng, before, vocabulary)
        for word in before:
            length_ms = _length_ms(rng, word, pauses)
            if at_ms + length_ms > end_ms:
                return said if pauses else _stretched(said, end_ms)
            said.append(Said(word, at_ms, at_ms + length_ms, speaker))
            at_ms += length_ms + rng.randint(*_GAPS_MS[pauses])
        if pauses:
            at_ms = said[-1].end_ms + rng.randint(400, 1200)


_GAPS_MS: Final = {True: (60, 150), False: (0, 80)}
"""Between words; with and without pauses between phrases."""


def _phrase(rng: random.Random, before: list[str], vocabulary: Sequence[str]) -> list[str]:
    """The next one: new, the last one once more, or with a beginning said twice."""
    kind = rng.random()
    if before and kind < 0.08:
        return before
    weights = _weights(len(vocabulary))
    words = rng.choices(vocabulary, cum_weights=weights, k=rng.randint(4, 12))
    if kind < 0.25:
        many = rng.randint(1, 3)
        words = words[:many] + words[: len(words) - many]
    elif kind < 0.45:
        at = rng.randrange(1, len(words))
        words[at] = words[at - 1]
    return words


@cache
def _weights(many: int) -> list[float]:
    """Cumulated: the first words of a vocabulary are said often, as in every language."""
    return list(np.cumsum([1 / (rank + 8) for rank in range(many)]).tolist())


def _length_ms(rng: random.Random, word: str, pauses: bool) -> int:
    """Longer words last longer; where there are no pauses everything lasts longer."""
    length_ms = 105 + 22 * min(len(word.encode()), 14) + rng.randint(-20, 40)
    return min(max(length_ms if pauses else length_ms * 11 // 6, SHORTEST_MS), LONGEST_MS)


def _stretched(said: list[Said], end_ms: int) -> list[Said]:
    """With the last words as long as it takes to leave no silence at the end."""
    *others, last = said
    if end_ms - last.start_ms <= LONGEST_MS:
        return [*others, last._replace(end_ms=end_ms)]
    middle_ms = (last.start_ms + end_ms) // 2
    return [
        *others,
        last._replace(end_ms=middle_ms),
        last._replace(start_ms=middle_ms, end_ms=end_ms),
    ]


# --- Sound

_WINDOW: Final = RATE_HZ // 100
"""Samples of one symbol: 10 ms, in which tones of whole multiples of 100 Hz do not disturb
each other."""
_DIGITS_HZ: Final = tuple(range(6000, 7600, 100))
_MARKER: Final = len(_DIGITS_HZ)
"""The symbol that is no digit."""
_MARKER_HZ: Final = 7600
_THIRDS_HZ: Final = (5400, 5600, 5800)
_TONE: Final = 0.014
"""Amplitude of each tone; full scale is 1."""
_LOUDNESS: Final = 0.15
"""Root mean square of the speech."""
_SPEECH_BELOW_HZ: Final = 4400
_ROOM: Final = 0.0002
"""Of the noise under everything."""
_FADE: Final = 8 * RATE_HZ // 1000
_PIECE: Final = 20 * RATE_HZ
"""Samples in memory at a time."""


def write(path: Path, *channels: Sequence[Said], duration_ms: int, filled: bool = False) -> None:
    """A WAV file, 16 kHz 16-bit, one channel for each script. Memory does not grow with length.

    `filled`: with speech that is no word wherever there is no word, so that nothing is silent.
    Raises ValueError for a word of another length than 150 to 600 ms, or an unknown word.
    """
    total = _samples(duration_ms)
    tracks = [_pieces(script, total, filled) for script in channels]
    with wave.open(str(path), "wb") as file:
        file.setparams((len(channels), 2, RATE_HZ, total, "NONE", ""))
        for pieces in zip(*tracks, strict=True):
            file.writeframes(np.stack(pieces, axis=1).tobytes())


def samples(script: Sequence[Said], duration_ms: int, *, filled: bool = False) -> Pcm:
    """What `write` writes, for one channel, all of it in memory."""
    return np.concatenate([*_pieces(script, _samples(duration_ms), filled)])


def _pieces(script: Sequence[Said], total: int, filled: bool) -> Iterator[Pcm]:
    ordered = sorted(script, key=lambda said: said.start_ms)
    sounds = _with_gaps(ordered, total * 1000 // RATE_HZ, filled)
    sound = next(sounds, None)
    rest = np.zeros(0, np.float32)
    for at in range(0, total, _PIECE):
        piece = np.zeros(_PIECE + _samples(LONGEST_MS), np.float32)
        piece[: len(rest)] = rest
        while sound and (start := _samples(sound.start_ms) - at) < _PIECE:
            spoken = _sound(sound)
            piece[start : start + len(spoken)] += spoken
            sound = next(sounds, None)
        rest = piece[_PIECE:]
        whole = (piece[:_PIECE] + _room())[: total - at]
        yield np.rint(np.clip(whole * 32768, -32768, 32767)).astype(np.int16)


def _samples(ms: int) -> int:
    return ms * RATE_HZ // 1000


_FILLER: Final = ""
"""In place of a word: speech without a code."""
_MURMUR: Final = " "
"""The same, faint: between the words of a phrase a voice does not fall silent, and detectors of
speech know that."""
_MURMUR_LOUDNESS: Final = 0.15
_LONGEST_MURMUR_MS: Final = 200


def _with_gaps(ordered: Sequence[Said], duration_ms: int, filled: bool) -> Iterator[Said]:
    """The words, and what is to be heard between them."""
    at_ms, speaker = 0, 0
    for said in [*ordered, Said(_FILLER, duration_ms, duration_ms)]:
        if filled:
            for ms in range(at_ms, said.start_ms, LONGEST_MS):
                yield Said(_FILLER, ms, min(said.start_ms, ms + LONGEST_MS), speaker)
        elif said.word and 0 < at_ms < said.start_ms <= at_ms + _LONGEST_MURMUR_MS:
            yield Said(_MURMUR, at_ms, said.start_ms, speaker)
        if said.word:
            yield said
        at_ms, speaker = max(at_ms, said.end_ms), said.speaker


def _sound(said: Said) -> _Wave:
    start, end = _samples(said.start_ms), _samples(said.end_ms)
    if start < 0:
        raise ValueError(f"before the beginning: {said}")
    voice = _voice(said.speaker)
    # A word sounds alike each time; what fills gaps goes on.
    number = _NUMBERS.get(said.word)
    place = start if number is None else number * 7919
    first = place % (len(voice) // 2)
    sound = voice[first : first + end - start] * (_MURMUR_LOUDNESS if said.word == _MURMUR else 1)
    fade = min(_FADE, len(sound) // 2)
    ramp = _ramp()[:fade]
    sound[:fade] *= ramp
    sound[len(sound) - fade :] *= ramp[::-1]
    if said.word.strip():
        _add_code(sound, said)
    return sound


def _add_code(sound: _Wave, said: Said) -> None:
    symbols = [_MARKER, *_digits(said)]
    tones = _tones()
    cuts = [len(sound) * third // 3 for third in range(4)]
    for third, (start, end) in enumerate(pairwise(cuts)):
        sound[start:end] += tones[_MARKER + 1 + third, start % _WINDOW :][: end - start]
    sound[: _WINDOW * len(symbols)] += tones[symbols, :_WINDOW].reshape(-1)


@cache
def _tones() -> _Wave:
    """Each symbol's tone, then those of the thirds: as long as a word."""
    hertz = np.array([*_DIGITS_HZ, _MARKER_HZ, *_THIRDS_HZ])[:, None]
    times = np.arange(_samples(LONGEST_MS) + _WINDOW) / RATE_HZ
    # Shifted against each other, so that they do not all have their peak at once.
    return (_TONE * np.sin(2 * np.pi * hertz * times + hertz)).astype(np.float32)


@cache
def _ramp() -> _Wave:
    return (np.sin(np.linspace(0, np.pi / 2, _FADE)) ** 2).astype(np.float32)


@cache
def _room() -> _Wave:
    noise = np.random.default_rng(1).normal(0, _ROOM, _PIECE)
    return noise.astype(np.float32)


@cache
def _voice(speaker: int) -> _Wave:
    """Seconds of speech without pauses, evenly loud, twice over; another one for each speaker."""
    names = ("jfk.flac", "austen-0880.wav", "austen-0930.wav")
    decoded = miniaudio.decode_file(
        str(_DATA / names[speaker % 3]), nchannels=1, sample_rate=RATE_HZ
    )
    sound = np.array(decoded.samples, np.float64) / 32768
    pitch = 1 + 0.06 * (-1) ** (speaker // 3) * ((speaker // 3 + 1) // 2)
    sound = np.interp(np.arange(0, len(sound) - 1, pitch), np.arange(len(sound)), sound)
    frames = sound[: len(sound) // 320 * 320].reshape(-1, 320)
    loud = np.sqrt((frames**2).mean(axis=1))
    sound = frames[loud > 0.25 * np.sqrt((loud**2).mean())].reshape(-1)
    power = np.convolve(np.pad(sound**2, 400, mode="wrap"), np.hanning(801) / 400, "valid")
    sound = sound / (power + 1e-5) ** 0.4
    # Last, so that nothing is left of the seams where the code lies.
    spectrum = np.fft.rfft(sound)
    hertz = np.fft.rfftfreq(len(sound), 1 / RATE_HZ)
    sound = np.fft.irfft(spectrum * np.clip((_SPEECH_BELOW_HZ - hertz) / 200, 0, 1), len(sound))
    sound *= _LOUDNESS / sound.std()
    return np.tile(sound, 2).astype(np.float32)


def _digits(said: Said) -> list[int]:
    """Nine of base 16: word (3), speaker (1), length in ms and check (5)."""
    length_ms, number = said.end_ms - said.start_ms, _NUMBERS.get(said.word, -1)
    if number < 0 or not SHORTEST_MS <= length_ms <= LONGEST_MS or said.speaker >= MOST_SPEAKERS:
        raise ValueError(f"cannot be said: {said}")
    value = (number << 24) | (said.speaker << 20) | (length_ms << 10)
    value |= int(_check(number, said.speaker, length_ms))
    return [value >> 4 * place & 15 for place in range(8, -1, -1)]


def _check(number: Any, speaker: Any, length_ms: Any) -> Any:
    """Below 1021, of integers or arrays of them: no single wrong digit passes."""
    return (number * 977 + speaker * 331 + length_ms * 613 + 7) % 1021


# --- The recognizer

_HOP: Final = 4
"""Steps in one symbol: 2.5 ms each."""
_STEP_MS: Final = 10 / _HOP
_HALF_MS: Final = 5.0
"""Half a symbol."""
_FAINTEST: Final = 0.0012
"""Amplitude from which a tone is one."""
_PART: Final = 48_000
"""Steps in memory at a time: two minutes."""
_NEAR_MS: Final = 10.0
"""How far the two measures of a word's time may lie apart."""
_SHORTEST_STRETCH_MS: Final = 45.0
_LEAST_PURITY: Final = 0.8
"""Of a word, where noise comes to 0.6."""


def decode(pcm: Pcm, rate_hz: int = RATE_HZ) -> list[Said]:
    """The words that are said in one channel, in order, their times right to a few milliseconds.

    A word of which 10 ms or more are missing is a `FRAGMENT` where a third or more of it is there,
    said by its true speaker where its beginning is there, else by whoever speaks next (or spoke
    last); less of it is nothing. Two words at the same time are fragments or nothing. Raises
    ValueError for a rate that is no multiple of 400 Hz, or below 16 kHz.
    """
    if rate_hz < RATE_HZ or rate_hz % 400:
        raise ValueError(f"cannot listen at {rate_hz} Hz")
    heard = _heard(pcm, rate_hz)
    codes = _codes(heard)
    starts_ms = [code.start_ms for code in codes]
    duration_ms = len(pcm) * 1000 // rate_hz
    found: list[Said] = []
    for stretch in _stretches(heard):
        at = bisect_left(starts_ms, stretch.start_ms - _NEAR_MS)
        code = codes[at] if at < len(codes) else None
        begins = code is not None and code.start_ms <= stretch.start_ms + _NEAR_MS
        if code and begins and abs(code.end_ms - stretch.end_ms) <= _NEAR_MS and stretch.complete:
            word, start_ms, end_ms = VOCABULARY[code.number], code.start_ms, code.end_ms
        elif stretch.third:
            word, start_ms, end_ms = FRAGMENT, stretch.start_ms, stretch.end_ms
        else:
            continue
        speaker = code.speaker if code else found[-1].speaker if found else 0
        start_ms, end_ms = (min(max(round(ms), 0), duration_ms) for ms in (start_ms, end_ms))
        found.append(Said(word, start_ms, end_ms, speaker))
    return found


class _Heard(NamedTuple):
    """For each step, of the symbol that begins there: the first half a symbol before the audio."""

    symbols: NDArray[np.uint8]
    power: NDArray[np.float32]
    """Of that symbol's tone."""
    thirds: NDArray[np.uint8]
    """Which third of a word this is, from 1; 0: no word."""
    purity: NDArray[np.float32]
    """That third's part of the power of all three."""


class _Code(NamedTuple):
    start_ms: float
    end_ms: float
    number: int
    speaker: int


class _Stretch(NamedTuple):
    """With one word's tones of its thirds."""

    start_ms: float
    end_ms: float
    seen: frozenset[int]

    @property
    def complete(self) -> bool:
        return len(self.seen) == len(_THIRDS_HZ)

    @property
    def third(self) -> bool:
        """Whether a third of the word or more is there, be it cut at one end."""
        return 2 in self.seen


def _heard(pcm: Pcm, rate_hz: int) -> _Heard:
    hop = rate_hz // 400
    basis, turns = _basis(rate_hz)
    many = -(-len(pcm) // hop) + _HOP + 1
    symbols, thirds = np.zeros(many, np.uint8), np.zeros(many, np.uint8)
    power, presence, purity = (np.zeros(many, np.float32) for _ in range(3))
    for at in range(0, many, _PART):
        part = slice(at, min(at + _PART, many))
        steps = np.arange(at, part.stop + _HOP - 1)
        blocks = _blocks(pcm, hop, at - _HOP, len(steps))
        # Each step's share of each tone, turned to its place in the tone, then summed to symbols.
        shares = (blocks @ basis).view(np.complex64) * turns[steps % _HOP]
        sums = sum(shares[k : len(shares) - _HOP + 1 + k] for k in range(_HOP))
        loud = np.square(sums.real) + np.square(sums.imag)
        symbols[part] = loud[:, : _MARKER + 1].argmax(axis=1)
        power[part] = loud[:, : _MARKER + 1].max(axis=1)
        thirds[part] = loud[:, _MARKER + 1 :].argmax(axis=1) + 1
        presence[part] = loud[:, _MARKER + 1 :].max(axis=1)
        purity[part] = presence[part] / (loud[:, _MARKER + 1 :].sum(axis=1) + 1e-12)
    # Where a word begins or ends, half of the symbol lies in it: half the amplitude, but for what
    # the voice and noise add.
    around = _loudest_near(presence, 2 * _HOP)
    thirds[presence < np.maximum(0.2 * around, _FAINTEST**2)] = 0
    return _Heard(symbols, power, thirds, purity)


def _basis(rate_hz: int) -> tuple[NDArray[np.float32], NDArray[np.complex64]]:
    """Each tone in one step, and its turn from step to step; for what `_blocks` gives."""
    hop = rate_hz // 400
    hertz = np.array([*_DIGITS_HZ, _MARKER_HZ, *_THIRDS_HZ])
    scale = 2 / (hop * _HOP) / 32768 / np.square(2 * np.sin(np.pi * hertz / rate_hz))
    basis = scale * np.exp(-2j * np.pi * hertz * np.arange(hop)[:, None] / rate_hz)
    turns = np.exp(-2j * np.pi * hertz * np.arange(_HOP)[:, None] / 400)
    return basis.astype(np.complex64).view(np.float32), turns.astype(np.complex64)


def _blocks(pcm: Pcm, hop: int, first: int, many: int) -> NDArray[np.float32]:
    """Samples of so many steps; zeros where there is no audio.

    Differentiated twice: the voice is a hundred times louder than the code, and a symbol is too
    short to keep them apart.
    """
    sound = np.zeros(many * hop + 2, np.float32)
    at = first * hop - 1
    there = pcm[max(at, 0) : max(at + len(sound), 0)]
    start = max(-at, 0)
    sound[start : start + len(there)] = there
    return np.diff(sound, 2).reshape(many, hop)


def _loudest_near(power: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """The maximum within so many steps, a power of two, on either side."""
    for _ in range(2):
        power = power[::-1].copy()
        reach = 1
        while reach <= steps:
            np.maximum(power[:-reach], power[reach:], out=power[:-reach])
            reach *= 2
    return power


def _codes(heard: _Heard) -> list[_Code]:
    """Every marker with nine digits behind it that pass their check; one for each word."""
    places = _HOP * np.arange(10)
    marked = (heard.symbols == _MARKER) & (heard.power > _FAINTEST**2)
    steps = np.flatnonzero(marked[: -places[-1]])
    digits = heard.symbols[steps[:, None] + places[1:]].astype(np.int64)
    values = digits @ (16 ** np.arange(8, -1, -1))
    numbers, speakers = values >> 24, values >> 20 & 15
    lengths_ms, checks = values >> 10 & 1023, values & 1023
    good = (checks == _check(numbers, speakers, lengths_ms)) & (digits < _MARKER).all(axis=1)
    good &= numbers < len(VOCABULARY)
    best: dict[int, float] = {}
    codes: list[_Code] = []
    power = np.concatenate([heard.power, np.zeros(1, np.float32)])
    for at in np.flatnonzero(good).tolist():
        before, here, after = (float(power[steps[at] + off + places].sum()) for off in (-1, 0, 1))
        start_ms = _start_ms(int(steps[at]), before, here, after)
        code = _Code(start_ms, start_ms + int(lengths_ms[at]), int(numbers[at]), int(speakers[at]))
        if codes and start_ms - codes[-1].start_ms < SHORTEST_MS / 2:
            if here > best[len(codes) - 1]:
                codes[-1], best[len(codes) - 1] = code, here
            continue
        best[len(codes)] = here
        codes.append(code)
    return codes


def _start_ms(step: int, before: float, here: float, after: float) -> float:
    """Of a code that is loudest at a step; from its neighbours, to a part of a step."""
    bend = before - 2 * here + after
    part = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return (step - _HOP + min(max(part, -0.5), 0.5)) * _STEP_MS


def _stretches(heard: _Heard) -> Iterator[_Stretch]:
    """Where one word is said: its thirds follow each other, with no more than a moment between."""
    first, last, seen = 0, -3 * _HOP, [0]
    for start, end, third in _runs(heard.thirds):
        # Where one third goes over into the next any of them may seem to be there for a moment.
        if third == 0 or end - start < _HOP - 1:
            continue
        if start - last > 2 * _HOP or third < seen[-1]:
            yield from _stretch(heard, first, last, seen)
            first, seen = start, []
        seen.append(third)
        last = end
    yield from _stretch(heard, first, last, seen)


def _runs(thirds: NDArray[np.uint8]) -> list[tuple[int, int, int]]:
    """Steps of the same third, from and up to; a hole of less than a symbol is none."""
    edges = [0, *(np.flatnonzero(np.diff(thirds)) + 1).tolist(), len(thirds)]
    runs: list[tuple[int, int, int]] = []
    for start, end in pairwise(edges):
        third = int(thirds[start])
        hole = len(runs) > 1 and runs[-1][2] == 0 and runs[-1][1] - runs[-1][0] < _HOP
        if hole and runs[-2][2] == third:
            del runs[-1]
            runs[-1] = (runs[-1][0], end, third)
        else:
            runs.append((start, end, third))
    return runs


def _stretch(heard: _Heard, first: int, last: int, seen: list[int]) -> Iterator[_Stretch]:
    """Nothing where it is too short or too long for a word, or noise."""
    start_ms, end_ms = ((step - _HOP - 0.5) * _STEP_MS + _HALF_MS for step in (first, last))
    possible = _SHORTEST_STRETCH_MS <= end_ms - start_ms <= LONGEST_MS + 2 * _NEAR_MS
    if possible and heard.purity[first:last].mean() > _LEAST_PURITY:
        yield _Stretch(start_ms, end_ms, frozenset(seen))
