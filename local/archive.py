"""Folders to zip files and back, as Lambda does it: links and permissions survive the journey."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

EPOCH = (1980, 1, 1, 0, 0, 0)
"""Every entry's time: the same files make the same bytes, hence the same key and no update."""


def pack(folder: Path) -> bytes:
    """Stored, not compressed: it never leaves this machine."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for path in sorted(_entries(folder)):
            archive.writestr(_entry(path, path.relative_to(folder).as_posix()), _content(path))
    return body.getvalue()


def unpack(body: bytes, folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        for entry in archive.infolist():
            mode = entry.external_attr >> 16
            if stat.S_ISLNK(mode):
                _link(folder / entry.filename, archive.read(entry).decode())
            else:
                path = archive.extract(entry, folder)
                Path(path).chmod(stat.S_IMODE(mode) | (0o755 if entry.is_dir() else 0o444))


def _entries(folder: Path) -> Iterator[Path]:
    """All files and links; a link to a folder is a link, not what lies behind it."""
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        links = [name for name in folders if Path(root, name).is_symlink()]
        yield from (Path(root, name) for name in files + links)


def _entry(path: Path, name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.external_attr = path.lstat().st_mode << 16
    return entry


def _content(path: Path) -> bytes:
    return str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
