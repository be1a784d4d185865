"""The whole of a recording, from the answers about its pieces. Linear in the length of its text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from dropscribe.alignment import joined
from dropscribe.api import Answer
from dropscribe.attribution import ChunkTurns, attributed
from dropscribe.audit import Audit, Doubt, audit, believed, cleaned, doubts, warnings
from dropscribe.job import Chunk, ChunkRecord, Piece
from dropscribe.merge import merge
from dropscribe.passage import Passage, passage
from dropscribe.seams import filled
from dropscribe.spans import Span
from dropscribe.speakers import LEADER, ChunkVoices, Heard, labels, link
from dropscribe.transcript import Segment, Timing, Transcript, Word, channel_speaker

_SURENESS: Final[tuple[Timing, ...]] = ("model", "aligned", "estimated")


@dataclass(frozen=True)
class Assembled:
    transcript: Transcript
    audit: Audit
    warnings: list[str]
    """Sentences for people."""


@dataclass(frozen=True)
class Asked:
    """A chunk, what is known of it, and the answers about it."""

    chunk: Chunk
    record: ChunkRecord
    answers: Sequence[Answer]
    """One for each of the record's pieces."""


@dataclass(frozen=True)
class Speakers:
    """What is known of who speaks."""

    known: Sequence[str] = ()
    """Names that the user gave."""
    leader: int | None = None
    """The chunk whose voices went with the others."""
    by_voice: bool = False
    """We told them apart by ourselves."""
    fewest: int | None = None
    most: int | None = None


def assemble(
    asked: Sequence[Asked],
    *,
    duration_ms: int,
    task: str,
    language: str | None,
    whisper: bool = False,
    speakers: Speakers | None = None,
) -> Assembled:
    """Merge, give each speaker one label, and look whether all that is spoken has words.

    `language`: what the job was told. `whisper`: what the answers say of silence was measured as
    Whisper does. `speakers`: what is known of them; None: nothing.
    """
    who = speakers or Speakers()
    told = [
        [
            _told(piece, answer, one.chunk.channel)
            for piece, answer in zip(one.record.pieces, one.answers, strict=True)
        ]
        for one in asked
    ]
    told, doubtful = _with_names(asked, told, who)
    timing, word_timing = _timings(asked, told)
    spoken = [_filled(one, parts, whisper) for one, parts in zip(asked, told, strict=True)]
    heard = [one.heard for one in spoken]
    merged = merge(heard, duration_ms=duration_ms, task=task, language=language)
    transcript, found = _audited(merged, spoken, whisper)
    if who.by_voice:
        records = [one.record for one in asked]
        transcript, unsure = _by_voice(transcript, records, who)
        doubtful += unsure
    of_times = {
        "timing": timing if transcript.segments else None,
        "word_timing": word_timing if transcript.words else None,
    }
    said = [*_refused(asked), *_timing_warnings(asked, timing), *doubtful, *warnings(found)]
    return Assembled(transcript.model_copy(update=of_times), found, said)


def _told(piece: Piece, answer: Answer, channel: int | None) -> Passage:
    told = passage(piece.span, answer, channel)
    return replace(told, placed=piece.words, language=told.language or piece.language)


def _timings(
    asked: Sequence[Asked], told: Sequence[Sequence[Passage]]
) -> tuple[Timing | None, Timing | None]:
    """Of the segments and of the words: where any are estimated, they are as a whole."""
    segments: set[Timing] = set()
    words: set[Timing] = set()
    for one, parts in zip(asked, told, strict=True):
        for piece, part in zip(one.record.pieces, parts, strict=True):
            if part.text:
                placed = piece.timing or "model"
                segments.add("model" if part.segments is not None else placed)
                words.add("model" if part.words or not part.placed else placed)
    return _least_sure(segments), _least_sure(words)


def _least_sure(timings: Collection[Timing]) -> Timing | None:
    return max(timings, key=_SURENESS.index) if timings else None


def _timing_warnings(asked: Sequence[Asked], timing: Timing | None) -> list[str]:
    """Where a whole answer had no times, and what it was that could not be found."""
    found = []
    if timing == "estimated":
        pieces = [piece for one in asked for piece in one.record.pieces]
        several = sum(piece.timing == "estimated" for piece in pieces)
        found.append(
            "the model gives no times: those of its words are estimated from the pauses in "
            f"{several} of {len(pieces)} pieces of audio, and may be off by some tenths of a second"
        )
        failed = [piece.unaligned for piece in pieces if piece.unaligned]
        found += [f"words could not be looked for in the audio: {failed[0]}"] if failed else []
    return found


def _refused(asked: Sequence[Asked]) -> list[str]:
    """One sentence, however many there are."""
    refused = [why for one in asked for why in one.record.refused]
    if not refused:
        return []
    places = f"{len(refused)} times, first " if len(refused) > 1 else ""
    return [f"speech without words was asked about again in vain: {places}{refused[0][:300]}"]


def _with_names(
    asked: Sequence[Asked], told: list[list[Passage]], speakers: Speakers
) -> tuple[list[list[Passage]], list[str]]:
    """The same with one label a speaker; and in which cases nobody could tell."""
    if not any(piece.voices for one in asked for piece in one.record.pieces):
        return told, []
    numbers = _numbered(asked, speakers.leader)
    voices = [
        ChunkVoices(index=numbers[piece.name], voices=piece.voices)
        for one in asked
        for piece in one.record.pieces
    ]
    links = link(voices, speakers.known, min_speakers=speakers.fewest, max_speakers=speakers.most)
    heard = sorted(
        (segment.start_ms, Heard(numbers[piece.name], segment.speaker))
        for one, parts in zip(asked, told, strict=True)
        for piece, part in zip(one.record.pieces, parts, strict=True)
        for segment in part.segments or []
        if segment.speaker and segment.speaker.strip()
    )
    called = labels(links, (who for _, who in heard))

    def named(piece: Piece, part: Passage) -> Passage:
        own = {who.label: name for who, name in called.items() if who.chunk == numbers[piece.name]}
        segments = [replace(s, speaker=own.get(s.speaker or "")) for s in part.segments or []]
        return replace(part, segments=segments)

    relabelled = [
        [named(piece, part) for piece, part in zip(one.record.pieces, parts, strict=True)]
        for one, parts in zip(asked, told, strict=True)
    ]
    return relabelled, [links.warning] if links.warning else []


def _by_voice(
    transcript: Transcript, records: Sequence[ChunkRecord], speakers: Speakers
) -> tuple[Transcript, list[str]]:
    """The same with the speakers whom we told apart by their voices; and where we could not."""
    told = attributed(
        transcript.segments or [],
        transcript.words or [],
        [ChunkTurns(record.turns, record.voices) for record in records],
        known={name: v for record in records for name, v in record.known_voices.items()},
        min_speakers=speakers.fewest,
        max_speakers=speakers.most,
    )
    update = {"segments": told.segments, "words": told.words or None}
    unsure = [told.warning] if told.warning else []
    silent = [record for record in records if record.speech and not record.turns]
    if silent:
        why = next((record.voices_failed for record in silent if record.voices_failed), "no voices")
        unsure.append(
            f"speakers were not told apart in {len(silent)} of {len(records)} chunks ({why}): what "
            "is said there is put down to who spoke before"
        )
    return transcript.model_copy(update=update), unsure


def _numbered(asked: Sequence[Asked], leader: int | None) -> dict[str, int]:
    """Each piece's number, the leader's first, as `speakers` wants it."""
    pieces = [piece for one in asked for piece in one.record.pieces]
    ahead = [one.record.chunk for one in asked if one.chunk.index == leader]
    names = dict.fromkeys(piece.name for piece in [*ahead, *pieces])
    return {name: number for number, name in enumerate(names, LEADER)}


@dataclass(frozen=True)
class _Spoken:
    asked: Asked
    heard: Passage
    made_up: list[Doubt]
    """What was not taken over of the answers about holes."""

    @property
    def channel(self) -> int | None:
        return self.asked.chunk.channel

    @property
    def speech(self) -> list[Span] | None:
        """None where nobody can say which of it has words."""
        untimed = self.heard.segments is None and self.heard.text
        return None if untimed else self.asked.record.speech


def _filled(asked: Asked, parts: Sequence[Passage], whisper: bool) -> _Spoken:
    """The chunk's passage, with what was found in its holes and is not made up."""
    whole, *found = parts
    made_up: list[Doubt] = []
    for hole, part in zip(asked.record.holes, found, strict=True):
        told = [Segment(part.text, *part.span)] if part.segments is None else part.segments
        segments, words, removed = believed(told, part.words or [], whisper=whisper)
        made_up += removed
        if removed:
            text = joined([segment.text for segment in segments])
            timed = None if part.segments is None else segments
            part = replace(part, text=text, segments=timed, words=words or None)  # noqa: PLW2901
        whole = filled(whole, hole.hole or hole.span, part)
    return _Spoken(asked, whole, made_up)


def _audited(
    transcript: Transcript, spoken: Sequence[_Spoken], whisper: bool
) -> tuple[Transcript, Audit]:
    """Channel by channel: one may speak while the other has no words."""
    channels = sorted({one.channel for one in spoken}, key=lambda channel: channel or 0)
    parts = [_of_channel(transcript, channel, spoken, whisper) for channel in channels]
    found = _together([part.audit for part in parts])
    if not any(text.removed for text in found.doubtful_text):
        return transcript, found
    segments = sorted(chain.from_iterable(p.segments for p in parts), key=lambda s: s.start_ms)
    words = sorted(chain.from_iterable(p.words for p in parts), key=lambda w: w.start_ms)
    kept = {
        "text": joined([segment.text for segment in segments]),
        "segments": segments,
        "words": words or None,
    }
    return transcript.model_copy(update=kept), found


@dataclass(frozen=True)
class _Part:
    segments: list[Segment]
    words: list[Word]
    audit: Audit


def _of_channel(
    transcript: Transcript, channel: int | None, spoken: Sequence[_Spoken], whisper: bool
) -> _Part:
    own = [one for one in spoken if one.channel == channel]
    label = channel_speaker(channel)
    segments = [s for s in transcript.segments or [] if label in (None, s.speaker)]
    words = [word for word in transcript.words or [] if label in (None, word.speaker)]
    silent = [span for one in own for span in one.asked.record.silent]
    doubtful = doubts(segments, words, silent, whisper=whisper)
    segments, words = cleaned(segments, words, doubtful)
    doubtful = [*doubtful, *(doubt for one in own for doubt in one.made_up)]
    speech = [span for one in own for span in one.speech or []]
    timed = any(one.heard.segments is not None for one in own)
    # What we placed lies where there is speech, whatever the answer left out.
    measured = None if any(one.heard.placed for one in own) else words or None
    return _Part(segments, words, audit(segments if timed else None, measured, speech, doubtful))


def _together(audits: Sequence[Audit]) -> Audit:
    """Of channels: what each has, and the coverage by how much is spoken in each."""
    if len(audits) == 1:
        return audits[0]
    speech_seconds = sum(one.speech_seconds for one in audits)
    covered = [
        None if one.coverage is None else one.coverage * one.speech_seconds for one in audits
    ]
    known = [seconds for seconds in covered if seconds is not None]
    coverage = sum(known) / speech_seconds if speech_seconds else 1.0
    return Audit(
        coverage=round(coverage, 4) if len(known) == len(audits) else None,
        speech_seconds=speech_seconds,
        uncovered_spans=sorted(
            (span for one in audits for span in one.uncovered_spans), key=lambda span: span.start
        ),
        doubtful_text=sorted(
            (text for one in audits for text in one.doubtful_text), key=lambda text: text.start
        ),
    )
