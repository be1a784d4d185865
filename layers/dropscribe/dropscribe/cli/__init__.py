"""The command line. Each command's work is imported when it runs, so that `--help` is quick."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from dropscribe import __version__

_PARAMETER = click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="Name=Value",
    help="A parameter of template.yaml for the embedded cloud.",
)
_STACK = click.option("--stack", metavar="NAME", help="The deployed stack.  [default: dropscribe]")
_OUT = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Where the transcripts are written.  [default: this folder]",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
_JOB = click.argument("job", metavar="JOB|KEY")


class _Commands(click.Group):
    """Says what went wrong in AWS in a sentence that helps, in place of a traceback."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except Exception as error:
            from dropscribe import aws
            from dropscribe.cli.advice import advice

            if not isinstance(error, aws.ERRORS):
                raise
            raise click.ClickException(advice(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dropscribe")
def main() -> None:
    """Drop a recording into a bucket, find the transcript in another one, and be told."""


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH…")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="key=value",
    help="A job option, such as language=en or formats=srt,vtt. May be given several times.",
)
@_OUT
@_STACK
@click.option("--local", is_flag=True, help="Start the embedded cloud for this one command.")
@_PARAMETER
@_JSON
@click.pass_context
def submit(
    context: click.Context,
    /,
    paths: tuple[Path, ...],
    settings: tuple[str, ...],
    stack: str | None,
    local: bool,
    parameters: tuple[str, ...],
    **options: Any,
) -> None:
    """Upload recordings, follow their jobs, download the transcripts.

    Exits with 0 when all jobs completed, and with 1 when any failed.
    """
    from dropscribe.cli.embedded import embedded_cloud
    from dropscribe.cli.settings import parse
    from dropscribe.cli.stack import DEFAULT, load
    from dropscribe.cli.submit import check_recordings
    from dropscribe.cli.submit import submit as run

    if local and stack:
        raise click.UsageError("--local and --stack exclude each other")
    if parameters and not local:
        raise click.UsageError("--parameter needs --local: a deployed stack has its parameters")
    chosen = parse(settings)
    files = [(path, chosen.carried(path)) for path in check_recordings(paths)]
    if not local:
        context.exit(run(load(stack or DEFAULT), files, **options))
    with embedded_cloud(parameters, engine=chosen.texts.get("engine"), beside=context.obj):
        code = run(load(DEFAULT), files, **options, outlives=False)
    context.exit(code)


@main.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=4599,
    show_default=True,
    help="Where the embedded cloud listens, on this machine only; 0 for any free port.",
)
@_PARAMETER
@click.option(
    "--engine",
    type=click.Choice(["openai", "offline"]),
    help="The recognizer of uploads that choose none.",
)
@click.option(
    "--api",
    type=click.Choice(["local"]),
    help="`local`: engine openai asks a transcription API that is started along (`serve`).",
)
def up(port: int, parameters: tuple[str, ...], engine: str | None, api: str | None) -> None:
    """Start the embedded cloud and run it until interrupted."""
    from dropscribe.cli.embedded import up as run

    if api and engine == "offline":
        raise click.UsageError("--api is for engine openai: engine offline asks nobody")
    if api and any(text.startswith(("ApiKeySecretArn=", "ApiBaseUrl=")) for text in parameters):
        raise click.UsageError("--api local brings its own address and key: leave yours out")
    run(port, parameters, engine, api)


@main.command()
@click.option(
    "--engine",
    type=click.Choice(["offline", "whisper"]),
    default="offline",
    show_default=True,
    help="Who recognizes speech.",
)
@click.option(
    "--model",
    metavar="FOLDER|NAME",
    help="Of engine whisper: a folder in CTranslate2's format, or a name on the Hugging Face hub.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where it listens; anywhere but on this machine it needs keys.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0 for any free port.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 256),
    help="Requests at work at once, each with an engine of its own.  "
    "[default: processors; 1 with engine whisper, which uses all of them]",
)
@click.option(
    "--timeout-s",
    type=click.FloatRange(1, 86_400),
    default=600,
    show_default=True,
    help="For one request.",
)
@click.option(
    "--max-body-bytes",
    type=click.IntRange(1),
    default=26_214_400,
    show_default=True,
    help="Of one request; the default is OpenAI's.",
)
def serve(
    engine: str, model: str | None, host: str, port: int, concurrency: int | None, **limits: Any
) -> None:
    """Serve the transcription API, compatible with OpenAI's, from this machine.

    Bearer keys are read from DROPSCRIBE_API_KEYS, separated by commas. The first line printed is
    the base URL.
    """
    if engine == "whisper" and not model:
        raise click.UsageError(
            "--engine whisper needs --model: a folder with a Whisper model in CTranslate2's "
            "format, or the name of one on the Hugging Face hub, such as small"
        )
    if engine != "whisper" and model:
        raise click.UsageError("--model is for engine whisper")
    try:
        from dropscribe.server.serve import KEYS_VARIABLE, NotServed, keys_from
        from dropscribe.server.serve import serve as run
        from dropscribe.server.service import Service
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"The server lacks the package {error.name!r}: install the extras in a clone of the "
            f"project, `pip install '.[cli,server,speech,{engine}]'`."
        ) from error
    keys = keys_from(os.environ.get(KEYS_VARIABLE, ""))
    at_once = 1 if engine == "whisper" else os.cpu_count() or 1
    service = Service(concurrency or at_once, keys, **limits)
    try:
        run(engine, model, host, port, service)
    except NotServed as error:
        raise click.ClickException(str(error)) from error


@main.command()
@_JOB
@_STACK
@_JSON
def status(job: str, stack: str | None, as_json: bool) -> None:
    """Show a job's stage and history.

    A KEY stands for the latest upload of that name.
    """
    from dropscribe.cli import report
    from dropscribe.cli.follow import Watch
    from dropscribe.cli.stack import DEFAULT, find, load

    watch = Watch(find(load(stack or DEFAULT), job))
    watch.look()
    (report.print_status_json if as_json else report.print_status)(watch)


@main.command()
@click.argument("job", metavar="JOB|KEY", required=False)
@click.option("--all-failed", is_flag=True, help="Every job that failed and may succeed.")
@click.option(
    "--since",
    metavar="TIME",
    help="With --all-failed, those that failed since: 90m, 2h, 3d, 2026-11-01 or 2026-11-01T06:30 "
    "(UTC).  [default: 14d]",
)
@_OUT
@_STACK
@_JSON
@click.pass_context
def redrive(
    context: click.Context,
    /,
    job: str | None,
    since: str | None,
    stack: str | None,
    *,
    all_failed: bool,
    **options: Any,
) -> None:
    """Run a failed job again from where it failed, and follow it.

    A KEY stands for the latest upload of that name. What the job has got so far is neither done nor
    paid again, as long as the work bucket keeps it. Where the API is still being asked for the job,
    that is waited for.
    """
    from dropscribe.cli.settings import moment
    from dropscribe.cli.stack import DEFAULT, load
    from dropscribe.cli.submit import redrive as run
    from dropscribe.cli.submit import redrive_all as run_all

    if (job is None) != all_failed or (since and not all_failed):
        raise click.UsageError("name a JOB or KEY, or all: --all-failed, and --since only with it")
    target = load(stack or DEFAULT)
    if job is not None:
        context.exit(run(target, job, **options))
    context.exit(run_all(target, moment(since or "14d"), **options))


@main.command()
@_JOB
@click.option(
    "--formats",
    default="",
    metavar="NAMES",
    help="Separated by commas, such as srt,vtt.  [default: those that the job gave]",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="subtitles=…",
    help="Other rules for subtitles: a profile's name (bbc), or JSON.",
)
@_OUT
@_STACK
@_JSON
def render(
    job: str,
    formats: str,
    settings: tuple[str, ...],
    out: Path,
    stack: str | None,
    *,
    as_json: bool,
) -> None:
    """Write other formats of a job that is done, from the transcript that it has kept.

    Nothing is recognized or paid for again. A KEY stands for the latest upload of that name.
    """
    from dropscribe.cli.render import render as run
    from dropscribe.cli.settings import parse
    from dropscribe.cli.stack import DEFAULT, load

    chosen = parse(settings)
    if others := set(chosen.texts) - {"subtitles"}:
        raise click.UsageError(f"--set {min(others)}=… changes nothing here: only subtitles does")
    run(load(stack or DEFAULT), job, formats, chosen, out, as_json=as_json)


@main.command()
@click.argument("key", metavar="KEY")
@_STACK
@click.option("--yes", is_flag=True, help="Do not ask.")
@_JSON
@click.pass_context
def forget(context: click.Context, /, key: str, stack: str | None, **options: Any) -> None:
    """Delete every trace of the recording KEY, for good, and say what was removed.

    All versions of the upload, its options, its transcripts, all that its jobs kept, and the
    answers that were cached. Jobs that run are stopped first. Exits with 1 when anything is left.
    """
    from dropscribe.cli.forget import forget as run
    from dropscribe.cli.stack import DEFAULT, load

    if not key or key != key.encode(errors="ignore").decode():
        raise click.UsageError("KEY is the name of an upload, in UTF-8")
    context.exit(run(load(stack or DEFAULT), key, **options))
