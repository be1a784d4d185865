"""Runs functions: finds a warm environment or starts one, and keeps what was logged."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Any

from local.access import Access
from local.environment import Environment
from local.installer import Installer, variables
from local.runtime_api import Outcome

Place = tuple[Environment, str]
"""A warm environment and the name of its log stream."""


class Closed(RuntimeError):
    """The embedded cloud has been closed: whoever still wants to invoke a function gives up."""


class Functions:
    """All environments of one cloud, by function and by the code and settings they started with."""

    def __init__(self, endpoint: str, access: Access, concurrency: int | None = None) -> None:
        self._endpoint = endpoint
        self.access = access
        self._concurrency = concurrency or os.cpu_count() or 1
        self._root = Path(tempfile.mkdtemp(prefix="dropscribe-"))
        self._installer = Installer()
        self._lock = threading.Lock()
        self._idle: dict[str, list[Place]] = defaultdict(list)
        self._all: list[Environment] = []
        self._limits: dict[tuple[str, int], threading.BoundedSemaphore] = {}
        self._closed = False

    def invoke(self, function: Any, event: Any) -> tuple[Outcome, str]:
        """`function` is moto's LambdaFunction.

        Beyond its concurrency invocations wait; Lambda would throttle them. Raises `Closed`.
        """
        with self._limit(function):
            environment, stream = self._place(function)
            body = json.dumps(event).encode()
            try:
                outcome, log = environment.invoke(
                    function.function_arn, body, float(function.timeout)
                )
            except FileNotFoundError:
                self._check_open()
                raise
            # What closing has killed has not failed.
            self._check_open()
            self._keep(function, environment, stream)
        _write_log(function, stream, log)
        return outcome, log

    def close(self) -> None:
        with self._lock:
            self._closed = True
            environments, self._all = self._all, []
        for environment in environments:
            environment.close()
        shutil.rmtree(self._root, ignore_errors=True)

    def _check_open(self) -> None:
        with self._lock:
            if self._closed:
                raise Closed

    def _limit(self, function: Any) -> threading.BoundedSemaphore:
        """Reserved concurrency where the template gives it, else one invocation a processor."""
        most = int(function.reserved_concurrency or self._concurrency)
        with self._lock:
            return self._limits.setdefault(
                (function.function_arn, most), threading.BoundedSemaphore(most)
            )

    def _place(self, function: Any) -> Place:
        with self._lock:
            idle = self._idle[_identity(function)]
            while idle:
                place = idle.pop()
                if place[0].alive:
                    return place
        return self._start(function)

    def _start(self, function: Any) -> Place:
        stream = f"{time.strftime('%Y/%m/%d')}/[$LATEST]{uuid.uuid4().hex}"
        installation = self._installer.install(function)
        settings = variables(
            function,
            self._installer.path(function),
            self._endpoint,
            self.access.credentials(function.role),
        )
        settings |= {
            "LAMBDA_TASK_ROOT": str(installation.folder),
            "AWS_LAMBDA_LOG_STREAM_NAME": stream,
        }
        with self._lock:
            if self._closed:
                raise Closed
            environment = Environment(installation, settings, self._root)
            self._all.append(environment)
        return environment, stream

    def _keep(self, function: Any, environment: Environment, stream: str) -> None:
        with self._lock:
            if environment.alive:
                self._idle[_identity(function)].append((environment, stream))
            elif environment in self._all:
                self._all.remove(environment)


def _identity(function: Any) -> str:
    """Changes with all that a deployment can change: an updated function starts anew."""
    settings = [
        function.function_arn,
        function.code_sha_256,
        function.handler,
        function.role,
        function.environment_vars,
    ]
    return json.dumps(
        [*settings, function.layers, function.memory_size], default=str, sort_keys=True
    )


def _write_log(function: Any, stream: str, text: str) -> None:
    """Into moto's CloudWatch Logs, where `aws logs tail` finds it."""
    logs = function.logs_backend
    logs.ensure_log_group(function.logs_group_name)
    if stream not in logs.groups[function.logs_group_name].streams:
        logs.create_log_stream(function.logs_group_name, stream)
    now_ms = int(time.time() * 1000)
    lines = [{"timestamp": now_ms, "message": line} for line in text.splitlines() if line.strip()]
    if lines:
        logs.put_log_events(function.logs_group_name, stream, lines)
