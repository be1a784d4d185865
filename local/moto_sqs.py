"""Bridges of moto's SQS: queues lose nothing, are fair by groups, and take text alone."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any

from moto.sqs.exceptions import SQSException
from moto.sqs.models import Queue, SQSBackend

from local.replacements import Replacements

NO_TEXT = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


def bridge_fair_queues(replace: Replacements) -> None:
    """AWS hands out messages of quiet groups before those of one that keeps the consumers busy.

    moto keeps to the order of arrival. Here the groups take turns: whoever was served least goes
    first. AWS watches in-flight messages and processing time, with thresholds.
    """
    receive = SQSBackend.receive_message

    def receive_message(self: Any, queue_name: str, *rest: Any, **options: Any) -> list[Any]:
        queue: Any = self.get_queue(queue_name)
        if not queue.fifo_queue and any(message.group_id for message in queue._messages):
            with queue._messages_lock:
                queue._messages = sorted(queue._messages, key=_turns(queue._messages))
        return receive(self, queue_name, *rest, **options)

    replace.put(SQSBackend, "receive_message", receive_message)


def bridge_deletions(replace: Replacements) -> None:
    """AWS keeps a message that is sent while another is deleted.

    moto's deletion makes a new list of those that stay, and loses what comes in between.
    """
    delete = Queue.delete_message

    def delete_message(self: Any, receipt_handle: str) -> None:
        with self._messages_lock:
            delete(self, receipt_handle)

    replace.put(Queue, "delete_message", delete_message)


def bridge_characters(replace: Replacements) -> None:
    """AWS refuses a body with characters that XML does not know.

    moto takes all.
    """
    send = SQSBackend.send_message

    def send_message(
        self: Any, queue_name: str, message_body: str, *rest: Any, **options: Any
    ) -> Any:
        if found := NO_TEXT.search(message_body):
            raise SQSException(
                "InvalidMessageContents",
                f"Invalid binary character '#x{ord(found[0]):X}' was found in the message body",
            )
        return send(self, queue_name, message_body, *rest, **options)

    replace.put(SQSBackend, "send_message", send_message)


def _turns(messages: list[Any]) -> Any:
    """A key that sorts messages by how many of their group are at work or before them."""
    before = Counter(message.group_id for message in messages if not message.visible)
    turns: dict[int, int] = defaultdict(int)
    for message in messages:
        if message.visible:
            turns[id(message)] = before[message.group_id]
            before[message.group_id] += 1
    return lambda message: turns[id(message)]
