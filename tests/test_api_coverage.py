"""docs/api-coverage.md names what there is: modules, their fields, tests."""

from __future__ import annotations

import importlib
import re
from functools import cache
from typing import Any

import pytest

from tests.conftest import ROOT

ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "api-coverage.md").read_text("utf-8").splitlines()
    if re.match(r"\| \d+ \|", line)
]
DONE = [row for row in ROWS if row[5] == "✓"]


def test_each_row_is_there_and_is_done_or_says_why_not() -> None:
    assert [int(row[0]) for row in ROWS] == list(range(1, 188))
    assert all(row[3].startswith("not ") for row in ROWS if row not in DONE)


@pytest.mark.parametrize("row", DONE, ids=lambda row: f"{row[0]}-{row[2]}")
def test_what_is_done_has_a_module_and_a_test(row: list[str]) -> None:
    places = [re.findall(r"`([^`]+)`", part) for part in row[3].split(";")]
    for path, *names in places:
        module = importlib.import_module(f"dropscribe.{_dotted(path)}")
        for name in names:
            assert _known(module, name), f"{path} has no {name}"
    tests = re.findall(r"`([^`]+)`", row[4])
    assert tests
    for test in tests:
        file, _, name = test.partition("::")
        assert re.search(rf"^\s*def {name}\(", _text(file), re.MULTILINE), test


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _known(module: Any, name: str) -> bool:
    owner, _, field = name.partition(".")
    found = getattr(module, owner, None)
    if not field:
        return found is not None
    return field in getattr(found, "model_fields", {}) or hasattr(found, field)


@cache
def _text(file: str) -> str:
    return (ROOT / file).read_text("utf-8")
