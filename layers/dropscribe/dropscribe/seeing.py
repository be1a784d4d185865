"""What the functions tell of their work: structured log lines, and metrics for CloudWatch.

A line names its job (`correlation_id`) and holds measures. No words of a recording come here, no
option that users write, and of an upload's key what a job id shows of it.

Beside these lines stand those of AWS's runtime, which writes each error that leaves a handler with
its message: no text of a transcript, but maybe keys, the API's own words, an invalid option.
"""

from __future__ import annotations

import functools
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
    AmazonCloudWatchEMFProvider,
)

from dropscribe import aws
from dropscribe.errors import MENDED_OUTSIDE, Failure, JobError, Rejected

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from dropscribe.api import Request
    from dropscribe.engines import Calls, Engine
    from dropscribe.job import ChunkRecord, Manifest
    from dropscribe.receipt import Receipt

    Handler = Callable[[dict[str, Any], LambdaContext], Any]

JOBS: Final = "jobs"
"""Service of what is told of a job, whichever function tells it: one metric to watch, not two."""
FRAMES_TOLD: Final = 8
"""Of an unexpected error's stack, the innermost."""


@dataclass(frozen=True)
class Metric:
    """One name in namespace `Dropscribe/<stack>`. Dimension `service` is on all of them."""

    name: str
    unit: Literal["Count", "Seconds", "None"]
    told: str
    """Of what one value is told."""
    dimension: str | None = None
    """Beside `service`; each of its values is a metric of its own, which is paid for."""
    totalled: bool = False
    """Whether it is told without this dimension as well, for alarms, which cannot search."""
    service: str | None = None
    """None: the function that tells it."""


_OF_JOBS: Final = (
    Metric("JobsQueued", "Count", "an event about an upload, put in the queue of jobs"),
    Metric("JobsStarted", "Count", "an upload whose execution was started"),
    Metric("JobsCompleted", "Count", "a job whose outputs are written"),
    Metric("JobsFailed", "Count", "a job reported as failed", "error_code", totalled=True),
    Metric("OurFailures", "Count", "a job that ended: 1 where its upload was not to blame"),
    Metric("ApiRefusals", "Count", "a failed job that was refused for key or quota"),
    Metric("JobSeconds", "Seconds", "a completed job, from the upload to the notification"),
    Metric("AudioMinutes", "None", "a completed job: length of its recording"),
    Metric("CostUSD", "None", "a completed job: estimate, where the model's price is known"),
    Metric("Chunks", "Count", "a completed job"),
    Metric("CachedAnswers", "Count", "a completed job: answers that were there already"),
    Metric("UncoveredSpans", "Count", "a completed job: speech without words, where measured"),
)
_OF_FUNCTIONS: Final = (
    Metric("DuplicateEvents", "Count", "an event about an upload whose job has ended"),
    Metric("QueueSeconds", "Seconds", "a message, from its sending to its handling"),
    Metric("WaitingSeconds", "Seconds", "a job that found no room, since it was put in the queue"),
    Metric("StageSeconds", "Seconds", "a run of a stage", "stage"),
    Metric("ApiCalls", "Count", "a run that made some", "status"),
    Metric("ExpectedErrors", "Count", "a run: 1 where it met a bad upload or a rate limit"),
    Metric("LostUploads", "Count", "a sweep: uploads found without an end"),
)
METRICS: Final = {
    metric.name: metric
    for metric in (*(replace(metric, service=JOBS) for metric in _OF_JOBS), *_OF_FUNCTIONS)
}

OURS: Final = frozenset(
    {"internal", "engine_failed", "engine_unavailable", "rate_limited", "timed_out"}
)
"""Codes of failures that no uploader can mend."""
REFUSED: Final = frozenset({"unauthorized", "quota_exceeded"})
"""Codes after which no job succeeds until somebody sees to the key, or to the bill."""
MEETING_EXPECTED: Final = frozenset({"normalize", "transcribe"})
"""Services that tell `ExpectedErrors`, once a run: alarms cannot count on what was never told."""


@dataclass(frozen=True)
class Measure:
    """One value of one metric."""

    name: str
    value: float
    of: str | None = None
    """Value of the metric's dimension, where it has one."""


def emit(*measures: Measure) -> None:
    """Write them to the log in CloudWatch's embedded metric format, a line for all that share one.

    Raises `KeyError` for a metric that is not in the table.
    """
    lines: dict[tuple[str | None, str | None, bool, str | None], list[Measure]] = {}
    for measure in measures:
        metric = METRICS[measure.name]
        shared = (metric.dimension, measure.of, metric.totalled, metric.service)
        lines.setdefault(shared, []).append(measure)
    for together in lines.values():
        _write(METRICS[together[0].name], together)


def _write(like: Metric, measures: list[Measure]) -> None:
    line = AmazonCloudWatchEMFProvider(service=like.service)
    if like.dimension:
        of = str(measures[0].of)
        if like.totalled:
            line.add_dimensions(**{"service": str(line.service), like.dimension: of})
        else:
            line.add_dimension(like.dimension, of)
    for measure in measures:
        line.add_metric(measure.name, METRICS[measure.name].unit, measure.value)
    line.flush_metrics()


def step(logger: Logger, job_id_path: str | None = None) -> Callable[[Handler], Handler]:
    """Decorate a handler: its lines name job and request, and its error has one before it goes on.

    `job_id_path`: where its event has the job's id; None where the handler finds it.
    """

    def decorate(handler: Handler) -> Handler:
        @functools.wraps(handler)
        def telling(event: dict[str, Any], context: LambdaContext) -> Any:
            met: Exception | None = None
            try:
                return handler(event, context)
            except Exception as error:
                met = error
                tell(logger, error)
                raise
            finally:
                if logger.service in MEETING_EXPECTED:
                    emit(Measure("ExpectedErrors", int(is_expected(met))))

        told: Handler = logger.inject_lambda_context(
            telling, correlation_id_path=job_id_path, clear_state=True
        )
        return told

    return decorate


def is_expected(error: Exception | None) -> bool:
    """Whether Lambda counts as an error of the function what is none."""
    return isinstance(error, Rejected) or (
        isinstance(error, JobError) and error.code == "rate_limited"
    )


def tell(logger: Logger, error: Exception) -> None:
    """One line about an error that ends a run; its message is in the runtime's own."""
    if isinstance(error, JobError):
        rejected = isinstance(error, Rejected)
        retryable = not rejected or error.code in MENDED_OUTSIDE
        line = logger.error if rejected else logger.warning
        kind = "rejected" if rejected else "unavailable"
        line(kind, code=error.code, stage=logger.service, retryable=retryable)
        return
    logger.error(
        "unexpected error",
        code="internal",
        stage=logger.service,
        retryable=True,
        error=aws.problem(error) if isinstance(error, aws.ERRORS) else type(error).__name__,
        stack=_stack(error),
    )


def _stack(error: Exception) -> str:
    """Where it was raised, innermost last. Source lines and values stay out."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_TOLD:]
    return " > ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames)


class Tally:
    """Counts the paid requests of one run, while others keep them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def counted(self, engine: Engine) -> Engine:
        """The engine, counting."""

        def counting(audio: Path, request: Request, calls: Calls) -> Any:
            try:
                return engine(audio, request, _Counting(calls, self._counts))
            except JobError as error:
                # A refusal that was waited out is one of the refused ones only.
                self._counts["rate_limited"] += error.code == "rate_limited"
                raise

        return counting

    @property
    def calls(self) -> dict[str, int]:
        """Requests by status; empty where none was made."""
        counts = self._counts
        known = counts["answered"] + counts["refused"]
        statuses = {**counts, "ambiguous": counts["made"] - known}
        return {status: count for status, count in statuses.items() if count}

    @property
    def measures(self) -> list[Measure]:
        return [Measure("ApiCalls", count, status) for status, count in self.calls.items()]


@dataclass(frozen=True)
class _Counting:
    """`Calls` that are counted on their way."""

    calls: Calls
    counts: Counter[str]

    def sent(self) -> str:
        self.counts["made"] += 1
        return self.calls.sent()

    def concluded(self, call: str, state: str) -> None:
        self.counts[state] += 1
        self.calls.concluded(call, state)

    def uncertain(self) -> int:
        return self.calls.uncertain()


def queue_seconds(record: SQSRecord) -> float:
    """How long a message waited; clocks that differ do not make it less than nothing."""
    return max(time.time() - int(record.attributes.sent_timestamp) / 1000, 0.0)


def of_normalized(manifest: Manifest) -> Iterator[Measure]:
    for stage, ms in manifest.timings_ms.items():
        yield Measure("StageSeconds", ms / 1000, stage)


def transcribed(logger: Logger, record: ChunkRecord, tally: Tally | None = None) -> None:
    """Line and metric of one chunk. `tally`: of an engine that is paid."""
    logger.info(
        "transcribed",
        ms=record.transcribe_ms,
        audio_ms=record.chunk.duration_ms,
        cached=record.chunk.cached,
        holes=len(record.holes),
        refused_holes=len(record.refused),
        calls=tally.calls if tally else {},
    )
    emit(Measure("StageSeconds", record.transcribe_ms / 1000, "transcribe"))


def of_completed(receipt: Receipt) -> Iterator[Measure]:
    """What is told once a job, by the step that ends it."""
    yield Measure("JobsCompleted", 1)
    yield Measure("OurFailures", 0)
    if (seconds := job_seconds(receipt)) is not None:
        yield Measure("JobSeconds", seconds)
    yield Measure("AudioMinutes", receipt.audio_seconds / 60)
    yield Measure("Chunks", receipt.chunks)
    yield Measure("CachedAnswers", receipt.calls.cached)
    if receipt.estimated_cost.usd is not None:
        yield Measure("CostUSD", receipt.estimated_cost.usd)
    if receipt.coverage is not None:
        yield Measure("UncoveredSpans", len(receipt.uncovered_spans))
    yield Measure("StageSeconds", receipt.timings_ms["format"] / 1000, "format")


def of_failed(failure: Failure) -> Iterator[Measure]:
    yield Measure("JobsFailed", 1, failure.code)
    yield Measure("OurFailures", int(failure.code in OURS))
    if failure.code in REFUSED:
        yield Measure("ApiRefusals", 1)


def job_seconds(receipt: Receipt) -> float | None:
    """From the upload until now; None where its event has no time, as one written by hand."""
    try:
        uploaded = datetime.fromisoformat(receipt.source.uploaded_at).astimezone(UTC)
    except ValueError:
        return None
    return max((datetime.now(UTC) - uploaded).total_seconds(), 0.0)
