"""`<key>.receipt.json`: what was done, how, with what, and what it cost."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from dropscribe import models
from dropscribe.api import DurationUsage, Usage
from dropscribe.job import Manifest, Totals
from dropscribe.transcript import Transcript


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
    """An estimate from the list price; None where a price is not known."""

    model_config = ConfigDict(frozen=True)

    usd: float | None
    usd_per_minute: float | None
    billed_seconds: float


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
    audio_seconds: float
    """Measured on the decoded recording."""
    chunks: int
    calls: Totals
    usage: Usage | None
    """As the API billed it, summed over chunks."""
    estimated_cost: Cost
    timings_ms: dict[str, int]
    warnings: list[str]
    outputs: list[OutputFile]


def cost(manifest: Manifest, totals: Totals) -> Cost:
    """What this job's own answered calls cost. Cached chunks cost nothing again.

    Seconds billed as the API says; a model that bills tokens is estimated from the audio's length.
    """
    per_minute = models.price(manifest.model)
    seconds = sum(u.seconds for u in totals.usage if isinstance(u, DurationUsage))
    by_tokens = [usage for usage in totals.usage if not isinstance(usage, DurationUsage)]
    if by_tokens or (totals.answered and not totals.usage):
        seconds = manifest.audio_ms / 1000
    usd = None if per_minute is None else round(seconds / 60 * per_minute, 6)
    return Cost(usd=usd, usd_per_minute=per_minute, billed_seconds=seconds)


def receipt(
    manifest: Manifest,
    transcript: Transcript,
    totals: Totals,
    outputs: list[OutputFile],
    *,
    timings_ms: dict[str, int],
    warnings: list[str],
    version: str,
) -> Receipt:
    source = manifest.source
    return Receipt(
        job_id=manifest.job_id,
        dropscribe=version,
        source=ReceiptSource(
            **source.model_dump(include=set(ReceiptSource.model_fields)),
            sha256=manifest.source_sha256,
        ),
        options=manifest.options.model_dump(mode="json", exclude_none=True),
        option_sources=manifest.option_sources,
        engine=manifest.engine,
        model=manifest.model,
        language=transcript.language,
        audio_seconds=manifest.audio_ms / 1000,
        chunks=len(manifest.chunks),
        calls=totals,
        usage=transcript.usage,
        estimated_cost=cost(manifest, totals),
        timings_ms=timings_ms,
        warnings=warnings,
        outputs=outputs,
    )
