"""`--set key=value`: checked here, then carried by the upload's metadata or by a sidecar file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from dropscribe.errors import Rejected
from dropscribe.options import SIDECAR_SUFFIX, Layer, file_layer, metadata_layer, resolve

MOST_METADATA_BYTES: Final = 2048
"""Of all names and values of one object, in UTF-8 (Amazon S3 user guide)."""


_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


def moment(text: str, now: datetime | None = None) -> datetime:
    """`90m`, `2h` or `3d` before `now`, or a date, with a time or without, of UTC unless it says.

    Raises a usage error.
    """
    before = re.fullmatch(r"([0-9]{1,6})([mhd])", text)
    if before:
        return (now or datetime.now(UTC)) - timedelta(**{_UNITS[before[2]]: int(before[1])})
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.UsageError(f"--since {text}: write 90m, 2h, 3d or 2026-11-01T06:30") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Carried:
    """How the options of one upload travel."""

    metadata: dict[str, str]
    sidecar: bytes | None
    """None where metadata is enough."""


@dataclass(frozen=True)
class Settings:
    """What `--set` says, for all recordings of one command."""

    texts: dict[str, str]
    """As typed."""
    values: dict[str, Any]
    """As a job will read them."""

    def carried(self, recording: Path) -> Carried:
        """With the sidecar that lies beside the recording, if any. Raises a usage error."""
        beside = _read_sidecar(recording)
        with _usage_errors():
            given = Layer(source=_beside(recording).name, values=beside)
            resolve([given, Layer(source="--set", values=self.values)])
        metadata = {name.replace("_", "-"): text for name, text in self.texts.items()}
        if _fits(metadata):
            return Carried(metadata, _json(beside))
        return Carried({}, _json(beside | self.values))


def parse(pairs: Iterable[str]) -> Settings:
    """Read and check `key=value` pairs; the last one of a name counts. Raises a usage error."""
    texts = dict(_pair(text) for text in pairs)
    with _usage_errors():
        values = metadata_layer(texts).values
        # Metadata of upload tools is no option; typed as one, it is a mistake.
        asked = {name: values.get(name, text) for name, text in texts.items()}
        resolve([Layer(source="--set", values=asked)])
    return Settings(texts, values)


def split_pair(text: str, option: str, example: str) -> tuple[str, str]:
    """`name=value` as two. Raises a usage error that names the option."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise click.UsageError(f"{option} {text!r} is not {example}")
    return name.strip(), value


def _pair(text: str) -> tuple[str, str]:
    name, value = split_pair(text, "--set", "key=value, such as language=en")
    return name.lower().replace("-", "_"), value


def _read_sidecar(recording: Path) -> dict[str, Any]:
    sidecar = _beside(recording)
    if not sidecar.is_file():
        return {}
    with _usage_errors():
        return file_layer(sidecar.name, sidecar.read_bytes()).values


def _beside(recording: Path) -> Path:
    return recording.with_name(recording.name + SIDECAR_SUFFIX)


def _json(values: dict[str, Any]) -> bytes | None:
    return json.dumps(values, ensure_ascii=False, indent=2).encode() if values else None


def _fits(metadata: dict[str, str]) -> bool:
    size = sum(len(name) + len(text.encode()) for name, text in metadata.items())
    return size <= MOST_METADATA_BYTES and all(map(_is_header, metadata.values()))


def _is_header(text: str) -> bool:
    """Whether a header keeps a text as it is: it knows neither accents nor spaces at the ends."""
    return bool(text) and text.isascii() and text.isprintable() and text == text.strip()


@contextmanager
def _usage_errors() -> Iterator[None]:
    try:
        yield
    except Rejected as error:
        message = error.message.replace("the upload's metadata", "--set")
        raise click.UsageError(message) from error
