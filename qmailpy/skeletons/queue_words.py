"""A message of the queue for programs that read JSON: qmail-qread, qmail-queuectl.

The keys are stable: a program may rely on them, new ones may come.
"""

from qmailpy.disk.queue.entries import Entry
from qmailpy.skeletons.json_words import text
from qmailpy.verdict import words


def as_json(entry: Entry) -> dict[str, object]:
    """What is told of a message.  birth: seconds since the epoch; size: bytes."""
    told: dict[str, object] = {
        "id": entry.number,
        "state": "new" if entry.is_new else "queued",
        "birth": entry.birth,
        "size": entry.size,
        "sender": text(entry.sender),
        "bouncing": entry.bouncing,
        "recipients": [
            {"address": text(address), "channel": text(channel) or None, "done": done}
            for done, channel, address in entry.recipients
        ],
    }
    if entry.error is not None:
        told["error"] = text(words(entry.error))
    return told
