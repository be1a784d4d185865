"""Transcribe, for engine `whisper`: one chunk through a Whisper model in this process.

And Align: where in a chunk its words are, which another engine heard and did not place.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Any, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from dropscribe import voices
from dropscribe.aws import Bucket
from dropscribe.diarization import WindowModel
from dropscribe.engines import Engine, whisper, whispered
from dropscribe.errors import JobError
from dropscribe.job import Manifest
from dropscribe.messages import AlignRequest, TranscribeRequest
from dropscribe.seeing import step, transcribed
from dropscribe.stages.align import align
from dropscribe.stages.transcribe import LEFT_FOR_WRITING_S, clear_leftovers, transcribe

logger = Logger()

LONGEST_ALIGNED_S: Final = 300
"""Of one chunk, which has 13.2 minutes of audio at most: who takes longer delays the job by more
than better times are worth."""


@step(logger, job_id_path="job_id")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    left_s = context.get_remaining_time_in_millis() / 1000 - LEFT_FOR_WRITING_S
    deadline = time.monotonic() + left_s
    work = Bucket(os.environ["WORK_BUCKET"])
    clear_leftovers()
    if "align" in event:
        soon = min(deadline, time.monotonic() + LONGEST_ALIGNED_S)
        return aligned(AlignRequest.model_validate(event), work, soon)
    request = TranscribeRequest.model_validate(event)
    logger.append_keys(chunk=request.chunk)
    record = transcribe(
        request,
        work,
        lambda manifest: engine(manifest, deadline),
        deadline,
        voice_model,
    )
    transcribed(logger, record)
    return {"chunk": record.index}


def aligned(request: AlignRequest, work: Bucket, deadline: float) -> dict[str, Any]:
    logger.append_keys(chunk=request.chunk, aligning=True)
    model = os.environ["WHISPER_MODEL"]
    record = align(request, work, partial(whispered.align, model=model, deadline=deadline))
    logger.info("aligned", audio_ms=record.chunk.duration_ms, timing=record.chunk.timing)
    return {"chunk": record.index}


def engine(manifest: Manifest, deadline: float) -> tuple[Engine, str]:
    """The engine, and what tells its answers from those of other models and machines."""
    return whisper.engine(deadline), whisper.endpoint(manifest.model)


def voice_model() -> WindowModel | None:
    """What tells voices apart; loaded once a process."""
    name = os.environ["VOICE_MODEL"]
    return None if name == "none" else voices.load(name)


def load_early(model: str) -> None:
    """Before the first chunk. A model that is missing is an error of the jobs that ask for it."""
    try:
        whisper.load(model)
    except JobError as error:
        logger.warning("not loaded early", model=model, error=str(error))
    else:
        logger.info("loaded", model=model, engine=whisper.endpoint(model))


# On managed instances a start may take 15 minutes, and no chunk comes before it is done. Ordinary
# functions have 10 s, so there the first chunk loads the model.
if os.environ.get("LOAD_EARLY") and os.environ["WHISPER_MODEL"] != "none":
    load_early(os.environ["WHISPER_MODEL"])
