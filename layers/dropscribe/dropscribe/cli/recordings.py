"""The files of one command, checked before the first byte is sent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from dropscribe.options import is_option_file


def check(paths: Iterable[Path]) -> list[Path]:
    """The same paths. Raises a usage error for the first that cannot become an upload."""
    seen: dict[str, Path] = {}
    for path in paths:
        _check_file(path)
        if path.name in seen:
            raise click.UsageError(
                f"{seen[path.name]} and {path} have the same name, and so would be one upload: "
                "rename one of them or submit it in a second command"
            )
        seen[path.name] = path
    return list(seen.values())


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise click.UsageError(f"{path} is a folder: name the recordings in it")
    if not path.is_file():
        raise click.UsageError(f"{path} does not exist")
    if is_option_file(path.name):
        raise click.UsageError(f"{path} holds options, not a recording: give options with --set")
    try:
        path.name.encode()
        path.open("rb").close()
    except UnicodeEncodeError as error:
        raise click.UsageError(f"the name of {path!r} is not UTF-8: rename it") from error
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from error
