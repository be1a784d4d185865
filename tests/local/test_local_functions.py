"""Functions run as Lambda runs them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from local.cloud import Cloud
from local.environment import Environment, Installation
from local.installer import SITE_PACKAGES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def invoke(cloud: Cloud) -> Callable[[str], Any]:
    client = cloud.client("lambda")

    def run(do: str) -> Any:
        answer = client.invoke(
            FunctionName=cloud.outputs["WorkFunctionName"], Payload=json.dumps({"do": do})
        )
        return json.loads(answer["Payload"].read())

    return run


@pytest.fixture(scope="module")
def described(invoke: Callable[[str], Any]) -> Any:
    return invoke("describe")


class TestSurroundings:
    """What a function finds around it."""

    def test_its_variables_are_the_template_s_and_lambda_s_own(
        self, described: Any, cloud: Cloud
    ) -> None:
        environment = described["environment"]
        assert environment["GREETING"] == "hello"
        assert environment["AWS_LAMBDA_FUNCTION_NAME"] == cloud.outputs["WorkFunctionName"]
        assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
        assert environment["AWS_LAMBDA_LOG_GROUP_NAME"] == cloud.outputs["WorkLogsName"]
        assert environment["AWS_ENDPOINT_URL"] == cloud.endpoint
        assert not {"VIRTUAL_ENV", "PYTHONPATH", "USER", "SHELL"} & environment.keys()

    def test_its_layer_comes_before_everything_else(self, described: Any) -> None:
        assert (
            described["path"][0] == described["cwd"] == described["environment"]["LAMBDA_TASK_ROOT"]
        )
        assert described["tools"].startswith(described["path"][1])

    def test_this_project_is_not_on_its_path(self, described: Any) -> None:
        """So `dropscribe` can come from the deployed layer only, never from an editable install."""
        assert str(ROOT) not in described["path"]
        assert not [
            entry for entry in described["path"] if Path(entry, "local", "cloud.py").exists()
        ]

    def test_a_layer_s_programs_are_on_its_path_links_and_all(self, described: Any) -> None:
        assert Path(described["tool"]).is_symlink()
        assert described["linked"] == "\n"
        assert os.access(Path(described["tool"]).with_name("script"), os.X_OK)

    def test_its_temporary_folder_is_its_own(self, described: Any) -> None:
        assert described["temporary"].startswith(str(Path(described["environment"]["HOME"])))

    def test_a_warm_environment_is_used_again(
        self, invoke: Callable[[str], Any], described: Any
    ) -> None:
        assert invoke("describe")["pid"] == described["pid"]


def test_starting_up_is_not_on_the_function_s_time(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import time\ntime.sleep(3)\n"
        "def handler(event, context): return context.get_remaining_time_in_millis()\n"
    )
    installation = Installation("slow.handler", tmp_path, (str(tmp_path),), SITE_PACKAGES)
    with closing(Environment(installation, {"AWS_REGION": "us-east-1"}, tmp_path)) as environment:
        outcome, log = environment.invoke("arn:aws:lambda:::slow", b"{}", timeout_s=3)
    assert not outcome.failed, log
    assert 0 < int(outcome.payload) <= 3000


class TestFailures:
    """Errors have the names that AWS gives them."""

    def test_an_exception_is_named_by_its_class(self, invoke: Callable[[str], Any]) -> None:
        answer = invoke("reject")
        assert (answer["errorType"], answer["errorMessage"]) == ("Rejected", "no")

    def test_a_crash_is_an_exit_error_and_the_next_call_starts_afresh(
        self, invoke: Callable[[str], Any]
    ) -> None:
        answer = invoke("exit:3")
        assert (answer["errorType"], answer["errorMessage"]) == (
            "Runtime.ExitError",
            "Error: Runtime exited with error: exit status 3",
        )
        assert invoke("nothing")["subject"] == "Done"

    def test_a_timeout_kills_what_the_function_started(
        self, invoke: Callable[[str], Any], cloud: Cloud, eventually: Callable[..., Any]
    ) -> None:
        change = cloud.client("lambda").update_function_configuration
        change(FunctionName=cloud.outputs["WorkFunctionName"], Timeout=2)
        answer = invoke("sleep:600")
        change(FunctionName=cloud.outputs["WorkFunctionName"], Timeout=300)
        assert answer["errorType"] == "Sandbox.Timedout"
        assert answer["errorMessage"].endswith("Error: Task timed out after 2.00 seconds")
        child = int(cloud.logs("WorkFunction").rsplit("child ", 1)[1].split()[0])
        assert eventually(lambda: not running(child))

    def test_a_missing_module_is_an_import_error(self, cloud: Cloud) -> None:
        client = cloud.client("lambda")
        client.update_function_configuration(
            FunctionName=cloud.outputs["WorkFunctionName"], Handler="absent.handler"
        )
        answer = json.loads(
            client.invoke(FunctionName=cloud.outputs["WorkFunctionName"])["Payload"].read()
        )
        client.update_function_configuration(
            FunctionName=cloud.outputs["WorkFunctionName"], Handler="app.handler"
        )
        assert answer["errorType"] == "Runtime.ImportModuleError"
        assert "absent" in answer["errorMessage"]


class TestConcurrency:
    """Invocations beyond the limit wait."""

    def test_two_at_once_on_two_places(self, invoke: Callable[[str], Any]) -> None:
        began = time.monotonic()
        with ThreadPoolExecutor(4) as callers:
            answers = list(callers.map(invoke, ["sleep:0.5"] * 4))
        assert all(answer["subject"] == "Done" for answer in answers)
        assert time.monotonic() - began >= 1


class TestLogs:
    """What a function prints is in CloudWatch Logs."""

    def test_lines_are_in_the_function_s_log_group(
        self, invoke: Callable[[str], Any], cloud: Cloud
    ) -> None:
        invoke("nothing:special")
        events = cloud.client("logs").filter_log_events(logGroupName=cloud.outputs["WorkLogsName"])[
            "events"
        ]
        assert "doing nothing special" in [event["message"] for event in events]
        assert "doing nothing special" in cloud.logs("WorkFunction")


class TestEnd:
    """Nothing stays behind."""

    def test_functions_end_with_a_cloud_that_is_killed(
        self, project: Path, eventually: Callable[..., Any]
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as api:
            folder = project / "functions" / "work"
            command = Installation("app.handler", folder, (), SITE_PACKAGES).command()
            environment = {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.getsockname()[1]}"}
            started = f"Popen({command}, stdin=-1, env={environment}, start_new_session=True)"
            script = f"from subprocess import *; print({started}.pid, flush=True); input()"
            host = subprocess.Popen(
                [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            with host:
                assert host.stdout
                function = int(host.stdout.readline())
                with api.accept()[0]:  # it has begun, and now waits for an event
                    host.send_signal(signal.SIGKILL)
                    assert eventually(lambda: not running(function))


def running(pid: int) -> bool:
    """False also for a process that has ended and waits for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
