"""Scan the template, the files and the pinned packages for what is known to be dangerous.

The exit code is 1 where something was found. The database of vulnerable packages is on the network:
where it is not reached, that is said, for then nothing is known of the packages.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from local.moto_cloudformation import transform

TOOLS = Path(".venv-scan/bin")
PINS = [
    *sorted(Path("layers").glob("*/requirements.txt")),
    *sorted(Path("functions/transcribe_gpu").glob("*.txt")),
    *(Path(".ci") / name for name in ("constraints.txt", "tools.txt", "scan.txt")),
]
GUESSING = ("KeywordDetector", "HexHighEntropyString", "Base64HighEntropyString")
"""Detectors that take each digest and each `Secret` in a name for a secret; others know a form."""
OPENS_NOTHING = "^(hidden|pass-word)$"
"""Passed over: in addresses that tests give, to see that they are told to nobody."""
LOCAL_PATHS = ("CodeUri", "ContentUri", "DefinitionUri")


def main() -> int:
    """Print a line for each scan, after what it found."""
    found = sum([_scan_template(), _scan_files(), _scan_packages()])
    return int(found > 0)


def _scan_template() -> int:
    """As it is written, and as SAM translates it: with the roles that it makes."""
    with tempfile.TemporaryDirectory() as folder:
        translated = Path(folder) / "translated.json"
        translated.write_text(json.dumps(_translated()))
        return sum(_checkov(path) for path in (Path("template.yaml"), translated))


def _translated() -> Any:
    template = yaml_parse(Path("template.yaml").read_text())
    for resource in template["Resources"].values():
        for name in set(LOCAL_PATHS) & set(resource["Properties"]):
            resource["Properties"][name] = "s3://packaged/here"
    return transform(template)


def _checkov(template: Path) -> int:
    report = json.loads(
        _output(
            *("checkov", "--config-file", ".checkov.yaml", "--framework", "cloudformation"),
            *("--quiet", "--output", "json", "--file", str(template)),
        )
    )
    for check in report["results"]["failed_checks"]:
        print(f"{check['resource']}: {check['check_id']} {check['check_name']}")
    summary = report["summary"]
    if summary["parsing_errors"] or not summary["passed"]:
        raise SystemExit(f"checkov could not read {template}")
    print(f"{template.name}: {summary['passed']} checks passed, {summary['failed']} failed")
    return int(summary["failed"])


def _scan_files() -> int:
    files = [name for name in _git_files() if not name.endswith(".onnx")]
    disabled = [word for name in GUESSING for word in ("--disable-plugin", name)]
    exclude = ("--no-verify", "--exclude-secrets", OPENS_NOTHING)
    report = json.loads(_output("detect-secrets", "scan", *exclude, *disabled, *files))
    places = [place for found in report["results"].values() for place in found]
    for place in places:
        print(f"{place['filename']}:{place['line_number']}: {place['type']}")
    print(f"secrets: {len(places)} in {len(files)} files")
    return len(places)


def _git_files() -> list[str]:
    done = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True)  # noqa: S607 - the git of whoever works here
    return done.stdout.splitlines()


def _scan_packages() -> int:
    packages = [package for path in PINS for package in _audited(path)]
    known = [package for package in packages if "skip_reason" not in package]
    flaws = [(package, flaw) for package in known for flaw in package["vulns"]]
    for package, flaw in flaws:
        fixed = ", ".join(flaw["fix_versions"]) or "no version"
        print(f"{package['name']} {package['version']}: {flaw['id']}, mended in {fixed}")
    if known:
        print(f"packages: {len(flaws)} known vulnerabilities; audited: {_share(known, packages)}")
    else:
        print(
            "packages: NOT AUDITED, no database of vulnerabilities was reached "
            "(pypi.org); nothing is known of them"
        )
    return len(flaws)


def _audited(pins: Path) -> list[Any]:
    """Of each package name, version and `vulns`, or `skip_reason`; nothing without a network."""
    told = _output("pip-audit", "--disable-pip", "--no-deps", "-r", str(pins), "-f", "json")
    try:
        dependencies: list[Any] = json.loads(told)["dependencies"]
    except ValueError:
        return []
    return dependencies


def _share(known: list[Any], packages: list[Any]) -> str:
    return f"{len(known)} of {len(packages)} pins"


def _output(tool: str, *arguments: str) -> str:
    """Standard output, whatever the exit code says: it is 1 where something was found."""
    return subprocess.run(
        [TOOLS / tool, *arguments], check=False, capture_output=True, text=True
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
