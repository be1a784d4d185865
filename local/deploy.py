"""Deploys template.yaml as it stands, through the CloudFormation API, as `sam deploy` does.

Every local path in the template becomes an object in an artefact bucket, and so does the image that
a parameter names; nothing else of the template changes.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from samtranslator.yaml_helper import yaml_parse

from local import archive, image

ARTEFACTS = "dropscribe-artefacts"
"""The bucket for code, layers and definitions."""

LOCAL_PATHS = ("CodeUri", "ContentUri", "DefinitionUri")


class BadParameter(ValueError):
    """The template has no parameter of this name, or does not allow its value."""


def deploy(clients: Any, template: Path, stack: str, parameters: dict[str, str]) -> dict[str, str]:
    """Creates or updates the stack, and returns its outputs. Raises `BadParameter`."""
    document: dict[str, Any] = yaml_parse(template.read_text())
    check_parameters(document.get("Parameters", {}), parameters)
    packaged = json.dumps(package(clients.client("s3"), document, template.parent))
    given = push(clients.client("s3"), template.parent, parameters)
    cloudformation = clients.client("cloudformation")
    put = (
        cloudformation.update_stack
        if _exists(cloudformation, stack)
        else cloudformation.create_stack
    )
    put(
        StackName=stack,
        TemplateBody=packaged,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value} for name, value in given.items()
        ],
    )
    description = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}


def check_parameters(known: dict[str, dict[str, Any]], given: dict[str, str]) -> None:
    """As CloudFormation does, and moto does not. Raises `BadParameter`."""
    for name, value in given.items():
        if name not in known:
            raise BadParameter(f"{name}: there are only {', '.join(known)}")
        if problem := _problem(known[name], value):
            raise BadParameter(f"{name}={value}: {problem}")


def _problem(rule: dict[str, Any], value: str) -> str | None:
    allowed = [str(item) for item in rule.get("AllowedValues", [value])]
    if value not in allowed:
        return f"allowed are {', '.join(allowed)}"
    if not re.fullmatch(str(rule.get("AllowedPattern", r"[\s\S]*")), value):
        return str(rule.get("ConstraintDescription", f"is not {rule['AllowedPattern']}"))
    if rule["Type"] == "Number":
        least, most = float(rule.get("MinValue", "-inf")), float(rule.get("MaxValue", "inf"))
        if not re.fullmatch(r"-?\d+(\.\d+)?", value) or not least <= float(value) <= most:
            return f"is a number from {least:g} to {most:g}"
    return None


def package(s3: Any, document: dict[str, Any], root: Path) -> dict[str, Any]:
    """The template with an S3 address in place of every local path, which starts at `root`."""
    s3.create_bucket(Bucket=ARTEFACTS)
    local = [
        (logical_id, resource, name)
        for logical_id, resource in document["Resources"].items()
        for name in LOCAL_PATHS
        if isinstance(resource.get("Properties", {}).get(name), str)
    ]
    with ThreadPoolExecutor() as workers:
        bodies = list(workers.map(lambda entry: artefact(root, *entry), local))
    for (logical_id, resource, name), body in zip(local, bodies, strict=True):
        resource["Properties"][name] = _upload(s3, logical_id, body)
    return document


def push(s3: Any, root: Path, parameters: dict[str, str]) -> dict[str, str]:
    """As `docker push`: images of this cloud's registry are built, and tagged by their content.

    Raises `BadParameter`: the repository is no folder with a Dockerfile.
    """
    return {
        name: _pushed(s3, root, name, value) if value.startswith(image.REGISTRY) else value
        for name, value in parameters.items()
    }


def _pushed(s3: Any, root: Path, name: str, uri: str) -> str:
    folder, _, _ = uri.removeprefix(f"{image.REGISTRY}/").partition(":")
    if not (root / folder / "Dockerfile").is_file():
        raise BadParameter(f"{name}={uri}: there is no {folder}/Dockerfile")
    location = _upload(s3, folder, image.pack(root, folder))
    return f"{image.REGISTRY}/{folder}:{location.rpartition('/')[2]}"


def artefact(root: Path, logical_id: str, resource: dict[str, Any], name: str) -> bytes:
    """What one local path is uploaded as: a built layer, a zipped folder, or a file's own bytes."""
    path = root / resource["Properties"][name]
    if resource.get("Metadata", {}).get("BuildMethod") == "makefile":
        return build(path, logical_id)
    return archive.pack(path) if path.is_dir() else path.read_bytes()


def build(folder: Path, logical_id: str) -> bytes:
    """The layer as its Makefile lays it out for this machine.

    `sam build` runs the target `build-…`, which fetches packages for Lambda's Python; `local-…`
    keeps the same contract and leaves to the virtual environment what that already has.
    """
    with tempfile.TemporaryDirectory(prefix="dropscribe-build-") as target:
        variables = [f"ARTIFACTS_DIR={target}", f"PYTHON={sys.executable}"]
        command = ["make", "--silent", "-C", str(folder), f"local-{logical_id}", *variables]
        made = subprocess.run(command, check=False, capture_output=True, text=True)
        if made.returncode != 0:
            raise RuntimeError(
                f"layer {logical_id} could not be built: {made.stderr or made.stdout}"
            )
        return archive.pack(Path(target))


def _upload(s3: Any, logical_id: str, body: bytes) -> str:
    """Named by content: changed code is a changed template, and the stack's update sees it."""
    key = f"{logical_id}/{hashlib.sha256(body).hexdigest()[:16]}"
    s3.put_object(Bucket=ARTEFACTS, Key=key, Body=body)
    return f"s3://{ARTEFACTS}/{key}"


def _exists(cloudformation: Any, stack: str) -> bool:
    try:
        cloudformation.describe_stacks(StackName=stack)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        return False
    return True
