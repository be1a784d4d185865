"""`dropscribe render`: other formats of a job that is done, from what it has kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from dropscribe.api import FORMATS, Format
from dropscribe.cli.settings import Settings
from dropscribe.cli.stack import Job, Stack, find
from dropscribe.formats import OUTPUTS, Written, written
from dropscribe.job import Manifest, manifest_key, transcript_key
from dropscribe.options import SubtitleOptions
from dropscribe.quality import Quality
from dropscribe.transcript import Transcript


def render(
    stack: Stack, job_or_key: str, names: str, settings: Settings, out: Path, *, as_json: bool
) -> None:
    """Write the formats into `out`; nothing is recognized, paid for or changed in the buckets.

    `names`: separated by commas; empty for those that the job gave. Raises `ClickException`.
    """
    asked, job = _formats(names), find(stack, job_or_key)
    manifest, transcript = _kept(stack, job)
    wanted = asked or manifest.formats
    _check(wanted, transcript, job)
    options = manifest.options
    if "subtitles" in settings.values:
        subtitles = SubtitleOptions.model_validate(settings.values["subtitles"])
        options = options.model_copy(update={"subtitles": subtitles})
    made = written(transcript, options, wanted)
    files = _write(made, job, out)
    if as_json:
        kept = {name: found.model_dump() for name, found in made.quality.items()}
        paths = {name: str(path) for name, path in files.items()}
        click.echo(json.dumps({"job_id": job.id, "files": paths, "quality": kept}))
        return
    for name, path in files.items():
        click.echo(f"{path}{_judged(made.quality.get(name))}")


def _kept(stack: Stack, job: Job) -> tuple[Manifest, Transcript]:
    manifest, transcript = (
        stack.work.read(key) for key in (manifest_key(job.id), transcript_key(job.id))
    )
    if manifest is None or transcript is None:
        raise click.ClickException(
            f"The job {job.id} has no transcript: it is not done, it has failed "
            f"(`dropscribe status {job.id}`), or it is older than the stack's RetentionDays. "
            "Upload the recording again: answers that are still kept are not paid twice."
        )
    return Manifest.model_validate_json(manifest), Transcript.model_validate_json(transcript)


def _formats(names: str) -> list[Format]:
    given = [name.strip() for name in names.split(",") if name.strip()]
    for name in given:
        if name not in FORMATS:
            raise click.UsageError(f"--formats {name!r} is none of {', '.join(FORMATS)}")
    return [name for name in FORMATS if name in given]


def _check(wanted: Sequence[Format], transcript: Transcript, job: Job) -> None:
    if "diarized_json" in wanted and not transcript.speakers and transcript.text:
        raise click.ClickException(
            f"diarized_json is not possible: in the job {job.id} nobody told speakers apart. "
            "Upload the recording again with formats=diarized_json."
        )
    if {"srt", "vtt"} & set(wanted) and not transcript.segments and transcript.text:
        raise click.ClickException(
            f"Subtitles are not possible: the transcript of the job {job.id} has no times. "
            "Upload the recording again: this version finds them."
        )


def _write(made: Written, job: Job, out: Path) -> dict[Format, Path]:
    files: dict[Format, Path] = {}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in made.documents.items():
            files[name] = out / (job.name + OUTPUTS[name].suffix)
            files[name].write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise click.ClickException(str(error)) from error
    return files


def _judged(found: Quality | None) -> str:
    """How many cues there are, and what is wrong with them."""
    if found is None:
        return ""
    broken = [f"{count} break {rule}" for rule, count in found.broken.items() if count]
    return f"  ({found.cues} cues{', ' if broken else ''}{', '.join(broken)})"
