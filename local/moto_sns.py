"""Bridges of moto's SNS: web hooks are told as AWS tells them."""

from __future__ import annotations

import json
import logging
import threading
from typing import Any

import requests
from moto.sns.models import Subscription

from local.replacements import Replacements

LOG = logging.getLogger(__name__)

ATTEMPTS = 4
"""AWS tries an HTTP endpoint at once, and by default three times more within a minute."""

TIMEOUT_S = 15
"""AWS waits as long for an endpoint to answer."""


def bridge_web_hooks(replace: Replacements, wait_s: float) -> None:
    """AWS delivers later, with headers and MessageAttributes, and a deaf endpoint fails nobody.

    moto posts inside Publish, once, without attributes and without SNS's headers, and an endpoint
    that is down fails the publisher.
    """
    publish = Subscription.publish

    def publish_to(self: Any, message: str, message_id: str, **options: Any) -> None:
        if self.protocol not in ("http", "https"):
            publish(self, message, message_id, **options)
        elif _wanted(self, message, options.get("message_attributes")):
            threading.Thread(
                target=_deliver, args=(self, message, message_id, options, wait_s), daemon=True
            ).start()

    replace.put(Subscription, "publish", publish_to)


def _wanted(subscription: Any, message: str, attributes: dict[str, Any] | None) -> bool:
    matcher = subscription._filter_policy_matcher
    return matcher is None or matcher.matches(attributes, message)


def _deliver(
    subscription: Any, message: str, message_id: str, options: dict[str, Any], wait_s: float
) -> None:
    raw = str(subscription.attributes.get("RawMessageDelivery", "false")).lower() == "true"
    body = message if raw else _envelope(subscription, message, message_id, options)
    pause = threading.Event()
    for _ in range(ATTEMPTS):
        try:
            answer = requests.post(
                subscription.endpoint,
                body.encode(),
                headers=_headers(subscription, message_id, raw),
                timeout=TIMEOUT_S,
            )
            answer.raise_for_status()
        except requests.RequestException as error:
            LOG.warning("%s did not take a notification: %s", subscription.endpoint, error)
            pause.wait(wait_s)
        else:
            return


def _envelope(subscription: Any, message: str, message_id: str, options: dict[str, Any]) -> str:
    return json.dumps(
        subscription.get_post_data(
            message, message_id, options.get("subject"), options.get("message_attributes")
        )
    )


def _headers(subscription: Any, message_id: str, raw: bool) -> dict[str, str]:
    headers = {
        "Content-Type": "text/plain; charset=UTF-8",
        "x-amz-sns-message-type": "Notification",
        "x-amz-sns-message-id": message_id,
        "x-amz-sns-topic-arn": subscription.topic_arn,
        "x-amz-sns-subscription-arn": subscription.arn,
    }
    return headers | ({"x-amz-sns-rawdelivery": "true"} if raw else {})
