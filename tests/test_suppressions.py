"""What scanners find and are told to pass over: at most five places, and why stands beside each."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[1]
MOST: Final = 5
KINDS: Final = {
    "checkov, here": r"checkov:\s*(?:\{\s*)?skip|CKV_?\w*\s*:\s*skip",
    "cfn-lint": r"ignore_checks:",
    "cfn-guard": r"SuppressedRules",
    "bandit": r"#\s*nosec",
    "detect-secrets": r"pragma:\s*allowlist|^OPENS_NOTHING\b",
    "pip-audit": r"--ignore-vuln",
}
"""By scanner, how something is passed over."""


def tracked(*patterns: str) -> list[Path]:
    found = subprocess.run(
        ["git", "ls-files", "--", *patterns], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [ROOT / name for name in found.stdout.splitlines()]


def suppressions() -> list[str]:
    """`file:line: what stands there`, one for each check that is passed over."""
    found = []
    for path in tracked("*.yaml", "*.yml", "*.py", "*.toml", "*.txt", "*.in", "Makefile", ".ci"):
        if path == Path(__file__):
            continue
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines, 1):
            if any(re.search(pattern, line) for pattern in KINDS.values()):
                checks = re.findall(r"\b[EWI]\d{4}\b", line) or [""]
                found += [f"{path.name}:{number}: {line.strip()} {check}" for check in checks]
    config = ROOT / ".checkov.yaml"
    skipped = yaml.safe_load(config.read_text())
    assert set(skipped) == {"skip-check"}
    return found + [f"{config.name}: {check}" for check in skipped["skip-check"]]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no clone: git knows no files here")
def test_there_are_at_most_five() -> None:
    found = suppressions()
    assert 4 <= len(found) <= MOST, "\n".join(found)


def test_each_of_checkov_says_why() -> None:
    lines = (ROOT / ".checkov.yaml").read_text().splitlines()
    skipped = [line for line in lines if line.lstrip().startswith("- ")]
    assert skipped
    assert all(re.fullmatch(r"\s+- CKV_\w+ # \S.{20,}", line) for line in skipped)


@pytest.mark.parametrize(
    ("name", "mark"), [("template.yaml", "ignore_checks:"), (".ci/scan.py", "OPENS_NOTHING =")]
)
def test_each_of_the_others_has_its_reason_on_the_line_before_or_after(
    name: str, mark: str
) -> None:
    lines = (ROOT / name).read_text().splitlines()
    places = [number for number, line in enumerate(lines) if mark in line]
    assert places
    for number in places:
        assert re.match(r'\s*(# |""")\S', lines[number - 1]) or lines[number + 1].startswith('"""')


def test_no_security_rule_of_ruff_is_passed_over_without_a_word() -> None:
    bare = [
        f"{path.name}: {line.strip()}"
        for path in tracked("*.py")
        for line in path.read_text().splitlines()
        if re.search(r"#\s*noqa:[^#]*\bS\d{3}\b", line)
        and not re.search(r"#\s*noqa: [A-Z0-9, ]+ - \S", line)
    ]
    assert bare == []
