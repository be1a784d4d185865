"""Drives OpenAI's own Python SDK: one call a line of JSON in, what came of it a line of JSON out.

Runs in the environment of one SDK version, so it imports nothing of the project.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import time
from contextlib import closing
from functools import reduce
from pathlib import Path
from typing import Any

openai: Any = importlib.import_module("openai")


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(call(json.loads(line))), flush=True)  # noqa: T201 - the answer


def call(order: dict[str, Any]) -> dict[str, Any]:
    """Make the call of an order; an exception is an answer like any other."""
    attempts: list[int] = []
    hooks = {"response": [lambda response: attempts.append(response.status_code)]}
    client = openai.OpenAI(
        api_key=order["key"],
        base_url=order["url"],
        max_retries=order["retries"],
        timeout=order["timeout_s"],
        http_client=openai.DefaultHttpxClient(event_hooks=hooks),
        # The SDK otherwise takes any JSON for its type, and the caller finds out later.
        _strict_response_validation=order["strict"],
    )
    with closing(client):
        try:
            return {**_answer(client, order), "attempts": attempts}
        except openai.APIStatusError as error:
            return {**_http(error.response), "error": _error(error), "attempts": attempts}
        except Exception as error:  # noqa: BLE001 - whatever an application would see
            return {"error": _error(error), "attempts": attempts}


def _answer(client: Any, order: dict[str, Any]) -> dict[str, Any]:
    *path, name = order["method"].split(".")
    resource = reduce(getattr, path, client)
    known = inspect.signature(getattr(resource, name)).parameters
    arguments = {key: value for key, value in order["fields"].items() if key in known}
    younger = {key: value for key, value in order["fields"].items() if key not in known}
    if order["file"]:
        arguments["file"] = _file(order["file"])
    if younger:
        # As an application on an old SDK sends parameters that came later.
        arguments["extra_body"] = younger
    start_s = time.monotonic()
    raw = getattr(resource.with_raw_response, name)(**arguments)
    if not order["fields"].get("stream"):
        return {**_http(raw.http_response), **_value(raw.parse())}
    events = [{"at_s": time.monotonic() - start_s, **_value(event)} for event in raw.parse()]
    head = {"status": raw.status_code, "headers": dict(raw.headers)}
    return {**head, "events": events}


def _file(given: dict[str, Any]) -> Any:
    """As `open(…)`, as bytes, or as (name, bytes), which are the ways to give one."""
    path = Path(given["path"])
    if given["form"] == "open":
        return path.open("rb")
    return path.read_bytes() if given["form"] == "bytes" else (given["name"], path.read_bytes())


def _http(response: Any) -> dict[str, Any]:
    return {
        "status": response.status_code,
        "headers": dict(response.headers),
        "body": response.text,
    }


def _value(value: Any) -> dict[str, Any]:
    plain = value.model_dump(mode="json", exclude_unset=True, warnings=False) if (
        hasattr(value, "model_dump")
    ) else value  # fmt: skip
    return {"kind": type(value).__name__, "value": plain}


def _error(error: Any) -> dict[str, Any]:
    names = ("status_code", "code", "param", "type", "request_id")
    facts = {name: getattr(error, name, None) for name in names}
    return {"kind": type(error).__name__, "message": str(error), **facts}


if __name__ == "__main__":
    main()
