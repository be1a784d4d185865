"""Bridges of moto's CloudFormation: SAM transform, change sets, updates, unknown resources.

What each resource type needs is in `local.moto_resources`.
"""

from __future__ import annotations

import json
from typing import Any

import boto3
from moto.cloudformation import models, parsing
from moto.cloudformation.exceptions import CloudFormationError, ValidationError
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from local.replacements import Replacements

SAM = "AWS::Serverless-2016-10-31"
REGION = "us-east-1"


class ManagedPolicies(dict[str, str]):
    """Every managed policy there is: the translator looks up ARNs, and here nobody checks them."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and ":" not in name

    def __getitem__(self, name: str) -> str:
        return f"arn:aws:iam::aws:policy/{name}"

    def get(self, name: str, default: Any = None) -> Any:
        return default if ":" in name else self[name]


def transform(template: dict[str, Any], parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    """What CloudFormation makes of a SAM template; any other template unchanged."""
    if SAM not in json.dumps(template.get("Transform", "")):
        return template
    translator = Translator(
        ManagedPolicies(), Parser(), boto_session=boto3.Session(region_name=REGION)
    )
    try:
        translated = translator.translate(template, parameters or {}, feature_toggle=None)
    except InvalidDocumentException as error:
        raise ValidationError(message="; ".join(cause.message for cause in error.causes)) from error
    plain: dict[str, Any] = json.loads(json.dumps(translated))
    return plain


def bridge_transform(replace: Replacements) -> None:
    """AWS applies the transform wherever a template comes in.

    moto passes over it, and over every SAM resource.
    """
    parse = models.Stack.parse_template

    def parse_change_set(self: Any) -> None:
        self.template_dict = transform(parse(self.template), self.parameters)

    replace.put(
        models.Stack, "parse_template", staticmethod(lambda template: transform(parse(template)))
    )
    replace.put(models.ChangeSet, "_parse_template", parse_change_set)


def bridge_change_sets(replace: Replacements) -> None:
    """AWS: an executed change set becomes the stack's template, with its parameters and outputs.

    moto creates the resources, and keeps the stack's old template, so `sam deploy` finds no
    outputs.
    """
    apply = models.ChangeSet.apply

    def apply_and_adopt(self: Any) -> None:
        stack = self.stack
        first = stack.template_dict == {}
        if first:
            stack.resource_map._template = self.template_dict
        apply(self)
        stack.template_dict, stack.parameters = self.template_dict, self.parameters
        stack.output_map = stack._create_output_map()

    replace.put(models.ChangeSet, "apply", apply_and_adopt)


def bridge_updates(replace: Replacements) -> None:
    """AWS leaves a resource alone whose condition is false, and keeps one that cannot change.

    moto updates the former, and loses the latter: a changed log group becomes None, also for those
    who refer to it.
    """
    update: Any = parsing.parse_and_update_resource

    def parse_and_update_resource(
        logical_id: str, resource: Any, resources: Any, **where: str
    ) -> Any:
        condition = resource.get("Condition")
        if condition and not resources.lazy_condition_map[condition]:
            return None
        current = resources[logical_id]
        return update(logical_id, resource, resources, **where) or current

    replace.put(parsing, "parse_and_update_resource", parse_and_update_resource)


def bridge_no_value(replace: Replacements) -> None:
    """AWS: `AWS::NoValue` takes an entry out of a list. moto leaves a None there."""
    clean = parsing.clean_json

    def clean_json(value: Any, resources: Any) -> Any:
        cleaned = clean(value, resources)
        return (
            [entry for entry in cleaned if entry is not None]
            if isinstance(value, list)
            else cleaned
        )

    replace.put(parsing, "clean_json", clean_json)


def bridge_conditional_resources(replace: Replacements) -> None:
    """AWS lists the resources that there are.

    moto has a None for each whose condition is false, and trips over it.
    """

    def stack_resources(self: Any) -> list[Any]:
        return [resource for resource in self.resource_map.values() if resource is not None]

    replace.put(models.Stack, "stack_resources", property(stack_resources))


def bridge_failures(replace: Replacements) -> None:
    """AWS says which resource failed, and why. moto answers 500 with a page of HTML."""
    create: Any = parsing.parse_and_create_resource

    def parse_and_create_resource(logical_id: str, *rest: Any, **where: str) -> Any:
        try:
            return create(logical_id, *rest, **where)
        except CloudFormationError:
            raise
        except Exception as error:
            raise ValidationError(
                message=f"{logical_id}: {type(error).__name__}: {error}"
            ) from error

    replace.put(parsing, "parse_and_create_resource", parse_and_create_resource)


def bridge_unknown_types(replace: Replacements) -> None:
    """AWS refuses a resource type that it does not know. moto warns and leaves the resource out."""
    find = parsing.resource_class_from_type

    def resource_class_from_type(resource_type: str) -> Any:
        found = find(resource_type)
        if found is None and resource_type not in parsing.NULL_MODELS:
            raise ValidationError(
                message=f"the embedded cloud has no {resource_type}: see local/moto_resources.py"
            )
        return found

    replace.put(parsing, "resource_class_from_type", resource_class_from_type)
