# ruff: noqa: ANN001, ANN201 - what a user may write, not what we do
"""Writes the status event into the bucket of reports; fails when the input asks for it."""

import json
import os

import boto3


def handler(event, context):
    if json.loads(event["detail"]["input"]).get("fail_the_report"):
        raise RuntimeError("cannot report")
    boto3.client("s3").put_object(
        Bucket=os.environ["BUCKET"],
        Key=f"events/{event['detail']['name']}.json",
        Body=json.dumps(event),
    )
