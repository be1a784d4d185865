"""Transcribe: one chunk through the engine that its job names."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
from aws_lambda_powertools.utilities.typing import LambdaContext

from dropscribe import __version__
from dropscribe.aws import Bucket, is_transient
from dropscribe.engines import Engine
from dropscribe.errors import Rejected, Unavailable
from dropscribe.job import UNANSWERED
from dropscribe.messages import TranscribeRequest
from dropscribe.seeing import Tally, emit, step, transcribed
from dropscribe.stages.transcribe import LEFT_FOR_WRITING_S, clear_leftovers, transcribe

if TYPE_CHECKING:
    from dropscribe.diarization import WindowModel

logger = Logger()

KEY_CACHED_S: Final = 300


@step(logger, job_id_path="job_id")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    request = TranscribeRequest.model_validate(event)
    logger.append_keys(chunk=request.chunk)
    left_s = context.get_remaining_time_in_millis() / 1000 - LEFT_FOR_WRITING_S
    deadline = time.monotonic() + left_s
    work = Bucket(os.environ["WORK_BUCKET"])
    tally = Tally()
    aligner_arn = os.environ.get("ALIGNER_FUNCTION_ARN", "")
    clear_leftovers()
    try:
        record = transcribe(
            request,
            work,
            lambda manifest: engine(manifest.engine, deadline, tally),
            deadline,
            voice_model,
            aligned_later=os.environ.get("ALIGNER", "") if aligner_arn else "",
        )
    except Rejected as error:
        if error.code == "unauthorized":
            parameters.clear_caches()  # type: ignore[no-untyped-call]  # the next run reads the key that was put right
        raise
    finally:
        emit(*tally.measures)
    transcribed(logger, record, tally)
    unaligned = record.chunk.unaligned == UNANSWERED
    aligner = {"aligner": aligner_arn} if unaligned else {}
    return {"chunk": record.index, **aligner}


def engine(name: str, deadline: float, tally: Tally) -> tuple[Engine, str]:
    """An engine and its endpoint; each is imported only where it is used."""
    if name == "offline":
        from dropscribe.engines import offline

        return offline.transcribe, f"offline {__version__}"
    if name != "openai":
        # An execution from before engine whisper had its function, run again: not to the API.
        raise Rejected("unsupported_by_model", f"engine `{name}` is not here: upload again")
    from dropscribe.engines import openai

    base_url = os.environ["API_BASE_URL"]
    bound = openai.engine(base_url, api_key, deadline, headers(os.environ["API_HEADERS"]))
    return tally.counted(bound), base_url


def voice_model() -> WindowModel | None:
    """What tells voices apart; loaded once a process."""
    name = os.environ["VOICE_MODEL"]
    if name == "none":
        return None
    from dropscribe.voices import load

    return load(name)


def api_key() -> str | None:
    """The text of the secret or parameter; None where the deployment names none."""
    arn = os.environ["API_KEY_SECRET_ARN"]
    if not arn:
        return None
    try:
        if arn.split(":")[2] == "ssm":
            return str(parameters.get_parameter(arn, decrypt=True, max_age=KEY_CACHED_S))
        return str(parameters.get_secret(arn, max_age=KEY_CACHED_S))
    except GetParameterError as error:
        # Whoever wraps AWS's error keeps it as the context.
        if is_transient(error.__context__ or error):
            raise Unavailable("engine_unavailable", f"{arn} cannot be read now: {error}") from error
        raise Rejected("unauthorized", f"{arn} cannot be read: {error}") from error


def headers(text: str) -> dict[str, str]:
    """Those of the ApiHeaders parameter."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(item, str) for item in found.values()):
        raise Rejected("invalid_options", "ApiHeaders is no JSON object of texts: deploy anew")
    return found
