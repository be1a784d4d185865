"""`<key>.receipt.json`: what was done, how, with what, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from dropscribe import __version__, models
from dropscribe.api import Format, Usage
from dropscribe.audit import Audit, DoubtfulText, UncoveredSpan
from dropscribe.job import Manifest, Totals
from dropscribe.options import JobOptions
from dropscribe.quality import Quality
from dropscribe.transcript import Timing, Transcript


class ReceiptSource(BaseModel):
    model_config = ConfigDict(frozen=True)

    bucket: str
    key: str
    version_id: str | None
    etag: str
    size: int
    """Bytes."""
    sha256: str
    uploaded_at: str


class Cost(BaseModel):
    """An estimate from the list price of the model; None where none is known to us."""

    model_config = ConfigDict(frozen=True)

    usd: float | None
    usd_per_minute: float | None
    billed_seconds: float
    """Of answered calls, as the API says; the chunk's length where it bills tokens."""


@dataclass(frozen=True)
class Billing:
    """A job's own calls and what they were billed for."""

    calls: Totals
    usage: Usage | None
    seconds: float


@dataclass(frozen=True)
class Text:
    """What was written."""

    transcript: Transcript
    quality: dict[Format, Quality]
    """Of the files with cues."""


class OutputFile(BaseModel):
    model_config = ConfigDict(frozen=True)

    format: str
    uri: str
    size: int
    """Bytes."""


class Receipt(BaseModel):
    model_config = ConfigDict(frozen=True)

    job_id: str
    dropscribe: str
    """Version of the software."""
    source: ReceiptSource
    options: dict[str, Any]
    """Resolved; those that nobody set and that have no default are left out."""
    option_sources: dict[str, str]
    engine: str
    model: str
    language: str | None
    timing: Timing | None = None
    """Where the times of segments come from; None where there are none."""
    word_timing: Timing | None = None
    """The same of words."""
    audio_seconds: float
    """Measured on the decoded recording."""
    chunks: int
    calls: Totals
    usage: Usage | None
    """Of this job's own calls, as the API billed them; None where nothing was billed."""
    estimated_cost: Cost
    timings_ms: dict[str, int]
    coverage: float | None
    """Share of the time with speech that has words, 0 to 1; None where the model gives no times."""
    speech_seconds: float | None
    """As voice activity detection found; None as above."""
    uncovered_spans: list[UncoveredSpan]
    """Speech without words."""
    doubtful_text: list[DoubtfulText]
    """Words without speech, and the like."""
    quality: dict[Format, Quality] = {}
    """Of each file with subtitles: how many cues break which rule, and the worst of them."""
    warnings: list[str]
    outputs: list[OutputFile]


def cost(engine: str, model: str, billed_seconds: float) -> Cost:
    """What a job's own answered calls cost at the list price; cached chunks cost nothing again."""
    per_minute = models.price(engine, model)
    usd = None if per_minute is None else round(billed_seconds / 60 * per_minute, 6)
    return Cost(usd=usd, usd_per_minute=per_minute, billed_seconds=billed_seconds)


def _shown(options: JobOptions) -> dict[str, Any]:
    """The options that are set; of voices, which are megabytes of somebody's speech, the number."""
    shown = options.model_dump(mode="json", exclude_none=True)
    if voices := shown.get("known_speaker_references"):
        shown["known_speaker_references"] = f"{len(voices)} voices"
    return shown


def receipt(
    manifest: Manifest,
    billing: Billing,
    outputs: list[OutputFile],
    audit: Audit,
    text: Text,
    *,
    timings_ms: dict[str, int],
    warnings: list[str],
) -> Receipt:
    source = manifest.source
    return Receipt(
        job_id=manifest.job_id,
        dropscribe=__version__,
        source=ReceiptSource(
            **source.model_dump(include=set(ReceiptSource.model_fields)),
            sha256=manifest.source_sha256,
        ),
        options=_shown(manifest.options),
        option_sources=manifest.option_sources,
        engine=manifest.engine,
        model=manifest.model,
        language=text.transcript.language,
        timing=text.transcript.timing,
        word_timing=text.transcript.word_timing,
        audio_seconds=manifest.audio_ms / 1000,
        chunks=len(manifest.chunks),
        calls=billing.calls,
        usage=billing.usage,
        estimated_cost=cost(manifest.engine, manifest.model, billing.seconds),
        timings_ms=timings_ms,
        coverage=audit.coverage,
        speech_seconds=None if audit.coverage is None else audit.speech_seconds,
        uncovered_spans=audit.uncovered_spans,
        doubtful_text=audit.doubtful_text,
        quality=text.quality,
        warnings=warnings,
        outputs=outputs,
    )
