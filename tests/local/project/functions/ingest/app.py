# ruff: noqa: ANN001, ANN201, T201 - what a user may write, not what we do
"""Starts one execution for each message that is JSON with a `start`; fails the others by name."""

import json
import os

import boto3


def handler(event, context):
    failed = []
    for record in event["Records"]:
        body = json.loads(record["body"])
        print("received", record["messageId"], record["attributes"]["ApproximateReceiveCount"])
        if body.get("fail"):
            failed.append({"itemIdentifier": record["messageId"]})
        for uploaded in body.get("Records", []):
            boto3.client("stepfunctions").start_execution(
                stateMachineArn=os.environ["STATE_MACHINE_ARN"],
                name=uploaded["s3"]["object"]["sequencer"],
                input=json.dumps({"first": "nothing", "items": ["nothing"], "record": uploaded}),
            )
    return {"batchItemFailures": failed}
