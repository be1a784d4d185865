"""Each function's size with its layers, unzipped, after `sam build`. Fails above the limit."""

import sys
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

LIMIT_BYTES = 262_144_000  # what Lambda takes: 250 MiB
BUILT = Path(".aws-sam/build/template.yaml")


def main() -> int:
    """Print a line a function; the exit code tells whether all fit."""
    template = yaml_parse(BUILT.read_text())
    sizes = {name: _size(template, name) for name in _functions(template)}
    for name, size in sizes.items():
        print(f"{name:20} {size / 1e6:6.1f} MB of {LIMIT_BYTES / 1e6:.0f} MB unzipped")
    return int(max(sizes.values()) > LIMIT_BYTES)


def _functions(template: dict[str, Any]) -> list[str]:
    resources = template["Resources"].items()
    return [name for name, value in resources if value["Type"] == "AWS::Serverless::Function"]


def _size(template: dict[str, Any], function: str) -> int:
    properties = template["Resources"][function]["Properties"]
    layers = template["Globals"]["Function"]["Layers"] + properties.get("Layers", [])
    contents = [template["Resources"][layer["Ref"]]["Properties"]["ContentUri"] for layer in layers]
    return sum(_tree_size(BUILT.parent / uri) for uri in [properties["CodeUri"], *contents])


def _tree_size(folder: Path) -> int:
    if not folder.is_dir():
        raise SystemExit(f"{folder} is not there: run `sam build`")
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
