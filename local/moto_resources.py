"""Bridges of the resource types: properties that moto leaves out, and types that it lacks."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

from moto.awslambda.models import LambdaFunction, LayerVersion
from moto.cloudformation import parsing
from moto.s3.models import FakeBucket, s3_backends
from moto.sns.models import Topic, sns_backends
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.parser.models import stepfunctions_parser_backends
from moto.utilities.utils import get_partition

from local.deploy import ARTEFACTS
from local.image import HANDLER_FILE, REGISTRY
from local.replacements import Replacements

Properties = dict[str, Any]


def _after(replace: Replacements, model: Any, action: str, then: Any) -> None:
    """Lets moto create or update a resource, and `then(resource, properties)` do the rest."""
    name = f"{action}_from_cloudformation_json"
    original = getattr(model, name)

    def both(cls: Any, *positional: Any, **named: Any) -> Any:
        resource = original(*positional, **named)
        document = named.get("cloudformation_json") or positional[1]
        then(resource, document.get("Properties", {}))
        return resource

    replace.put(model, name, classmethod(both))


# ── Lambda ───────────────────────────────────────────────────────────────────────────────────────


def bridge_function_properties(replace: Replacements) -> None:
    """AWS gives a function all its properties.

    moto drops layers, log group, storage and dead-letter queue, and knows no code in images.
    """
    for action in ("create", "update"):
        _after(replace, LambdaFunction, action, _complete_function)


def _complete_function(function: Any, properties: Properties) -> None:
    function.layers = function._get_layers_data(properties.get("Layers", []))
    function.logs_group_name = properties.get("LoggingConfig", {}).get(
        "LogGroup", f"/aws/lambda/{function.function_name}"
    )
    if uri := properties["Code"].get("ImageUri"):
        _complete_image_function(function, uri)
    function.ephemeral_storage = int(properties.get("EphemeralStorage", {}).get("Size", 512))
    function.dead_letter_arn = properties.get("DeadLetterConfig", {}).get("TargetArn")
    function.reserved_concurrency = properties.get("ReservedConcurrentExecutions")


def _complete_image_function(function: Any, uri: str) -> None:
    """Code and handler are in the image. moto has neither, and takes it for a zip file's."""
    key = uri.removeprefix(f"{REGISTRY}/").replace(":", "/")
    backend: Any = s3_backends[function.account_id][function.partition]
    function.package_type = "Image"
    function.code_bytes = backend.get_object(ARTEFACTS, key).value
    function.code_sha_256 = hashlib.sha256(function.code_bytes).hexdigest()
    with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as packed:
        function.handler = packed.read(HANDLER_FILE).decode()


def bridge_layer_references(replace: Replacements) -> None:
    """AWS: `!Ref` of a layer version is its ARN.

    In moto it is nothing that a function could use.
    """
    replace.put(LayerVersion, "physical_resource_id", property(lambda self: self.arn))


# ── S3 ───────────────────────────────────────────────────────────────────────────────────────────


def bridge_bucket_properties(replace: Replacements) -> None:
    """AWS configures a bucket from its properties.

    moto takes encryption and tags, and leaves out the rest.
    """
    for action in ("create", "update"):
        _after(replace, FakeBucket, action, _complete_bucket)


def _complete_bucket(bucket: Any, properties: Properties) -> None:
    backend = s3_backends[bucket.account_id][get_partition(bucket.region_name)]
    if "VersioningConfiguration" in properties:
        backend.put_bucket_versioning(bucket.name, properties["VersioningConfiguration"]["Status"])
    if block := properties.get("PublicAccessBlockConfiguration"):
        backend.put_public_access_block(
            bucket.name, {name: str(value).lower() for name, value in block.items()}
        )
    if lifecycle := properties.get("LifecycleConfiguration"):
        backend.put_bucket_lifecycle(
            bucket.name, [_lifecycle_rule(rule) for rule in lifecycle["Rules"]]
        )
    if notifications := properties.get("NotificationConfiguration"):
        backend.put_bucket_notification_configuration(bucket.name, _notifications(notifications))


def _lifecycle_rule(rule: Properties) -> Properties:
    """CloudFormation's words to the S3 API's, as moto parses them from XML."""
    expiration = {
        "Days": rule.get("ExpirationInDays"),
        "ExpiredObjectDeleteMarker": rule.get("ExpiredObjectDeleteMarker"),
    }
    given = {name: str(value).lower() for name, value in expiration.items() if value is not None}
    converted = {
        "ID": rule.get("Id"),
        "Status": rule["Status"],
        "Filter": {"Prefix": rule.get("Prefix", "")},
    }
    copied = ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
    return (
        converted
        | {name: rule[name] for name in copied if name in rule}
        | ({"Expiration": given} if given else {})
    )


def _notifications(configuration: Properties) -> Properties:
    names = {
        "QueueConfigurations": ("QueueConfiguration", "Queue", "Queue"),
        "TopicConfigurations": ("TopicConfiguration", "Topic", "Topic"),
        "LambdaConfigurations": ("CloudFunctionConfiguration", "Function", "CloudFunction"),
    }
    return {
        api: [_notification(entry, entry[ours], theirs) for entry in configuration.get(cfn, [])]
        for cfn, (api, ours, theirs) in names.items()
    }


def _notification(entry: Properties, target_arn: str, kind: str) -> Properties:
    rules = entry.get("Filter", {}).get("S3Key", {}).get("Rules", [])
    return {
        kind: target_arn,
        "Event": [entry["Event"]],
        "Filter": {"S3Key": {"FilterRule": rules}} if rules else None,
    }


# ── SNS ──────────────────────────────────────────────────────────────────────────────────────────


def bridge_topic_updates(replace: Replacements) -> None:
    """AWS changes a topic where it stands.

    moto deletes it, subscriptions and all, and makes one with another ARN.
    """

    def keep(cls: Any, /, original_resource: Any, cloudformation_json: Any, **_: Any) -> Any:
        properties = cloudformation_json["Properties"]
        original_resource.display_name = properties.get("DisplayName", "")
        original_resource.kms_master_key_id = properties.get("KmsMasterKeyId", "")
        return original_resource

    replace.put(Topic, "update_from_cloudformation_json", classmethod(keep))


# ── Step Functions ───────────────────────────────────────────────────────────────────────────────


def bridge_state_machines(replace: Replacements) -> None:
    """AWS reads the definition from S3 and puts the substitutions in.

    moto knows only DefinitionString, unsubstituted, and creates the machine in the backend that
    does not execute.
    """
    replace.put(StateMachine, "create_from_cloudformation_json", classmethod(_create_state_machine))
    replace.put(StateMachine, "update_from_cloudformation_json", classmethod(_update_state_machine))
    replace.put(StateMachine, "delete_from_cloudformation_json", classmethod(_delete_state_machine))


def _create_state_machine(
    cls: Any, /, name: str, document: Any, account: str, region: str, **_: Any
) -> Any:
    properties = document["Properties"]
    backend = stepfunctions_parser_backends[account][region]
    return backend.create_state_machine(
        properties.get("StateMachineName", name),
        _definition(properties, account, region),
        properties["RoleArn"],
        sm_type=properties.get("StateMachineType"),
    )


def _update_state_machine(
    cls: Any,
    original_resource: Any,
    new_resource_name: str,
    cloudformation_json: Any,
    account_id: str,
    region_name: str,
) -> Any:
    properties = cloudformation_json["Properties"]
    backend = stepfunctions_parser_backends[account_id][region_name]
    definition = _definition(properties, account_id, region_name)
    return backend.update_state_machine(original_resource.arn, definition, properties["RoleArn"])


def _delete_state_machine(cls: Any, arn: str, document: Any, account: str, region: str) -> None:
    stepfunctions_parser_backends[account][region].delete_state_machine(arn)


def _definition(properties: Properties, account: str, region: str) -> str:
    if location := properties.get("DefinitionS3Location"):
        backend: Any = s3_backends[account][get_partition(region)]
        text: str = backend.get_object(location["Bucket"], location["Key"]).value.decode()
    else:
        text = properties.get("DefinitionString") or json.dumps(properties["Definition"])
    for name, value in properties.get("DefinitionSubstitutions", {}).items():
        text = text.replace(f"${{{name}}}", str(value))
    return text


# ── Types that moto's CloudFormation lacks ───────────────────────────────────────────────────────


class Accepted:
    """Deployed, and without effect here: nobody checks permissions, nobody watches alarms.

    What moto asks of a resource, no more; update and delete are named as it calls them.
    """

    cf_resource_type: str
    logical_resource_id: str

    def __init__(self, physical_id: str) -> None:
        self.physical_resource_id = physical_id

    @classmethod
    def create_from_cloudformation_json(
        cls, name: str, document: Any, account: str, region: str, **_: str
    ) -> Accepted:
        return cls(name)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Accepted,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> Accepted:
        where = (account_id, region_name)
        original_resource.delete(*where)
        return cls.create_from_cloudformation_json(new_resource_name, cloudformation_json, *where)

    def delete(self, account: str, region: str) -> None:
        """There is nothing to take away."""

    def is_created(self) -> bool:
        return True


class TopicSubscription(Accepted):
    """AWS::SNS::Subscription, with its filter policy and raw delivery."""

    @classmethod
    def create_from_cloudformation_json(
        cls, name: str, document: Any, account: str, region: str, **_: str
    ) -> Accepted:
        given, backend = document["Properties"], sns_backends[account][region]
        arn = backend.subscribe(given["TopicArn"], given["Endpoint"], given["Protocol"]).arn
        for attribute in ("RawMessageDelivery", "FilterPolicy", "FilterPolicyScope"):
            if attribute in given:
                value = given[attribute]
                text = value if isinstance(value, str) else json.dumps(value)
                backend.set_subscription_attributes(arn, attribute, text)
        return cls(arn)

    def delete(self, account: str, region: str) -> None:
        sns_backends[account][region].unsubscribe(self.physical_resource_id)


class Alarm(Accepted):
    """AWS::CloudWatch::Alarm; the dashboard asks for its ARN."""

    arn: str

    @classmethod
    def create_from_cloudformation_json(
        cls, name: str, document: Any, account: str, region: str, **_: str
    ) -> Accepted:
        alarm = cls(name)
        alarm.arn = f"arn:aws:cloudwatch:{region}:{account}:alarm:{name}"
        return alarm

    @classmethod
    def has_cfn_attr(cls, attribute: str) -> bool:
        return attribute == "Arn"

    def get_cfn_attribute(self, attribute_name: str) -> str:
        return self.arn


ADDED: dict[str, type[Accepted]] = {
    "AWS::CloudWatch::Alarm": Alarm,
    "AWS::Lambda::EventInvokeConfig": Accepted,
    "AWS::S3::BucketPolicy": Accepted,
    "AWS::SNS::Subscription": TopicSubscription,
    "AWS::SNS::TopicPolicy": Accepted,
    "AWS::SQS::QueuePolicy": Accepted,
}


def bridge_added_types(replace: Replacements) -> None:
    """AWS has these types. moto's CloudFormation has not."""
    find = parsing.get_model_map
    replace.put(parsing, "get_model_map", lambda: {**find(), **ADDED})
