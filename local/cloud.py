"""The embedded cloud: one moto server in this process, with functions that run.

with Cloud(template=Path("template.yaml"), parameters={"Engine": "offline"}) as cloud:
    bucket = cloud.outputs["UploadsBucketName"]
    cloud.client("s3").upload_file("talk.mp3", bucket, "talk.mp3")
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config
from moto.awslambda.utils import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.server import ThreadedMotoServer
from moto.stepfunctions.parser.api import ExecutionStatus
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from local import (
    moto_cloudformation,
    moto_events,
    moto_iam,
    moto_lambda,
    moto_resources,
    moto_s3,
    moto_sns,
    moto_sqs,
    moto_stepfunctions,
    redrive,
)
from local.access import Access
from local.deploy import BadParameter, deploy
from local.functions import Functions
from local.installer import CREDENTIALS
from local.replacements import Replacements

__all__ = ["BadParameter", "Cloud", "PortTaken"]

REGION = "us-east-1"

_in_use = threading.Lock()
"""moto's state belongs to the process: one cloud at a time."""


class PortTaken(OSError):
    """Something else listens there."""


class Cloud:
    """Starts, deploys and stops; `with Cloud(template=…)` does all three."""

    def __init__(
        self,
        template: Path | None = None,
        stack: str = "dropscribe",
        port: int = 0,
        parameters: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        longest_wait_s: float = 1.0,
        concurrency: int | None = None,
    ) -> None:
        """`port` 0 takes a free one. `secrets` are stored before deploying, by name.

        `longest_wait_s` caps the pauses before retries, which AWS stretches to minutes.
        `concurrency` caps the environments of each function; one a processor, unless given.
        """
        self._template, self._stack, self._port = template, stack, port
        self._parameters, self._secrets = dict(parameters or {}), dict(secrets or {})
        self._longest_wait_s, self._concurrency = longest_wait_s, concurrency
        self._replacements = Replacements()
        self.outputs: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.start()
        try:
            for name, value in self._secrets.items():
                self.put_secret(name, value)
            if self._template is not None:
                self.deploy(self._template, self._stack, self._parameters)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def endpoint(self) -> str:
        return f"http://localhost:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """What `aws`, `sam` and boto3 need to talk to this cloud."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": CREDENTIALS["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": CREDENTIALS["aws_secret_access_key"],
            "AWS_DEFAULT_REGION": REGION,
        }

    def start(self) -> None:
        if not _in_use.acquire(blocking=False):
            raise RuntimeError("this process already hosts an embedded cloud; close it first")
        try:
            _check_port(self._port)
        except PortTaken:
            _in_use.release()
            raise
        moto_api_backend.reset()
        _quieten()
        self._server = ThreadedMotoServer("127.0.0.1", self._port, verbose=False)
        self._server.start()
        _, self._port = self._server.get_host_and_port()
        self._clients = Clients(self.endpoint)
        self.access = Access()
        self._functions = Functions(self.endpoint, self.access, self._concurrency)
        self._bridge()

    def stop(self) -> None:
        """Ends what runs, kills every environment, and leaves moto as it was."""
        self._polling_stopped.set()
        for execution in stepfunctions_parser_backends[DEFAULT_ACCOUNT_ID][REGION]._get_executions(
            ExecutionStatus.RUNNING
        ):
            moto_stepfunctions.abort(execution)
        self._functions.close()
        self._server.stop()
        self._replacements.undo()
        moto_api_backend.reset()
        _in_use.release()

    def deploy(
        self, template: Path, stack: str, parameters: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Creates the stack, or updates it; returns its outputs."""
        self._stack = stack
        self.outputs = deploy(self._clients, template, stack, dict(parameters or {}))
        return self.outputs

    def put_secret(self, name: str, value: str) -> str:
        """Its ARN."""
        created = self.client("secretsmanager").create_secret(Name=name, SecretString=value)
        return str(created["ARN"])

    def logs(self, function: str) -> str:
        """All that a function has written, by its logical id."""
        found = get_backend(DEFAULT_ACCOUNT_ID, REGION).get_function(self._physical_id(function))
        group = found.logs_backend.groups.get(found.logs_group_name)
        streams = group.streams.values() if group else ()
        events = sorted((event for stream in streams for event in stream.events), key=_timestamp)
        return "\n".join(event.message for event in events)

    def client(self, service: str) -> Any:
        """A boto3 client of this cloud, whatever the environment of this process says."""
        return self._clients.client(service)

    def _physical_id(self, logical_id: str) -> str:
        described = self.client("cloudformation").describe_stack_resource(
            StackName=self._stack, LogicalResourceId=logical_id
        )
        return str(described["StackResourceDetail"]["PhysicalResourceId"])

    def _bridge(self) -> None:
        replace, wait_s = self._replacements, self._longest_wait_s
        _bridge_hosts(replace)
        moto_cloudformation.bridge_transform(replace)
        moto_cloudformation.bridge_change_sets(replace)
        moto_cloudformation.bridge_updates(replace)
        moto_cloudformation.bridge_no_value(replace)
        moto_cloudformation.bridge_conditional_resources(replace)
        moto_cloudformation.bridge_failures(replace)
        moto_cloudformation.bridge_unknown_types(replace)
        moto_iam.bridge_role_updates(replace)
        moto_iam.bridge_access(replace, self.access)
        moto_resources.bridge_function_properties(replace)
        moto_resources.bridge_layer_references(replace)
        moto_resources.bridge_bucket_properties(replace)
        moto_resources.bridge_topic_updates(replace)
        moto_resources.bridge_state_machines(replace)
        moto_resources.bridge_added_types(replace)
        moto_s3.bridge_notification_records(replace)
        moto_s3.bridge_conditional_writes(replace)
        moto_sqs.bridge_deletions(replace)
        moto_sqs.bridge_fair_queues(replace)
        moto_sqs.bridge_characters(replace)
        moto_lambda.bridge_invocations(replace, self._functions)
        self._polling_stopped = moto_lambda.bridge_event_sources(replace, self._functions, wait_s)
        moto_events.bridge_function_targets(replace, self._functions, wait_s)
        moto_sns.bridge_web_hooks(replace, wait_s)
        moto_stepfunctions.bridge_execution(replace)
        moto_stepfunctions.bridge_start(replace)
        moto_stepfunctions.bridge_context(replace)
        moto_stepfunctions.bridge_filters(replace)
        moto_stepfunctions.bridge_parsing(replace)
        moto_stepfunctions.bridge_status_events(replace)
        moto_stepfunctions.bridge_stop(replace)
        moto_stepfunctions.bridge_descriptions(replace)
        moto_stepfunctions.bridge_history_order(replace)
        moto_stepfunctions.bridge_retry_waits(replace, wait_s)
        moto_stepfunctions.bridge_task_clients(replace, self._clients, self.access)
        redrive.bridge_redrive(replace)


def _bridge_hosts(replace: Replacements) -> None:
    """moto lists its folders, and tries all of its patterns, anew for each request."""
    name = "get_backend_for_host"
    replace.put(
        DomainDispatcherApplication, name, cache(getattr(DomainDispatcherApplication, name))
    )


def _check_port(port: int) -> None:
    """moto's server only prints that it cannot listen, and the caller would wait for ever."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTaken(f"port {port} cannot be used ({error.strerror})") from error


def _timestamp(event: Any) -> int:
    """Lines of one moment stay in the order they came in."""
    return int(event.timestamp)


def _quieten() -> None:
    """Requests, the translator's metrics, and tasks' errors, which the history tells better."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    logging.getLogger("moto.stepfunctions").setLevel(logging.CRITICAL)


class Clients:
    """One boto3 client a service, free of the caller's profile, proxies and AWS variables."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, bool, str], Any] = {}
        # One for all of them: each would read botocore's lists of endpoints anew.
        self._session = boto3.Session(**CREDENTIALS, region_name=REGION)

    def client(
        self,
        service: str,
        config: Config | None = None,
        credentials: Mapping[str, str] = CREDENTIALS,
    ) -> Any:
        """A client may be shared by threads; making one may not. `config`: the same each time."""
        with self._lock:
            wanted = (service, config is not None, credentials["aws_access_key_id"])
            if wanted not in self._clients:
                own = (config or Config()).merge(Config(proxies={}, max_pool_connections=64))
                self._clients[wanted] = self._session.client(
                    service, endpoint_url=self._endpoint, config=own, **credentials
                )
            return self._clients[wanted]
