"""One message's lines among all lines of a log: in one pass, in bounded memory, a number that comes back kept apart.

Each message that is in the log just now has an entry with the lines that are its own, because whether it is wanted may
be known only from its last recipient. The entries of those that are not wanted go when their message ends; together
they have BUDGET bytes, and beyond that the oldest lose their lines (`cut`); those that are wanted have as many, and
beyond that the first are left out. What a wanted message led to (its bounce, a forward, a report) is found by the qp in
the lines, and is wanted too. A trace line names its message and its incarnation; qmail's own lines are joined by
number, from `new msg` to `end msg`.  Pure.
"""

from collections import OrderedDict, deque

from qmailpy.rules import trace
from qmailpy.rules.tracemessage import Early, Leading, Message, Query, behind, first, forwarded, last, remember, weight

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.rules.tracemessage import Piece

BUDGET = 64 << 20  # bytes of lines that are kept of messages that nobody has asked for
MOST_LINES = 5000  # of one message that are kept
MOST_STORIES = 1000  # messages that are told of: the last ones
MOST_LIVE = 100_000  # messages that are in the log at a time: of more the oldest count as ended
_ENDED = 2000  # messages that have ended, which may turn out to be somebody's bounce or forward
_NUMBER = 50  # bytes of a qp that is kept


class Tracker:
    """Takes lines, keeps stories."""

    def __init__(self, query: Query, budget: int = BUDGET) -> None:
        """budget: of bytes; less in a test."""
        self._query, self._budget = query, budget
        self._at = self._held = self._told = 0
        self._live: OrderedDict[int, Message] = OrderedDict()
        self._keys: OrderedDict[bytes, Message] = OrderedDict()
        self._deliveries: OrderedDict[int, Message] = OrderedDict()
        self._order: OrderedDict[Message, None] = OrderedDict()  # with lines that may have to go, oldest first
        self._ended: deque[Message] = deque()
        self._leading = Leading()
        self._early = Early(budget // 4)
        self.stories: deque[Message] = deque()
        self.refusals: deque[Piece] = deque(maxlen=100)  # of servers: what never became a message
        self.dropped = 0  # stories beyond MOST_STORIES
        self._takers: dict[bytes, Callable[[bytes, Piece], None]] = {
            b"new": self._new,
            b"info": self._info,
            b"starting": self._starting,
            b"delivery": self._delivery,
            b"bounce": self._led_to,
            b"success": self._led_to,
            b"delay": self._led_to,
            b"end": self._end,
            b"no": self._about,
            b"held": self._about,
            b"order": self._about,
            b"triple": self._about,
            b"status:": self._status,
            b"trace:": self._trace,
        }

    def take(self, prefix: bytes, text: bytes) -> None:
        """The next line of the log."""
        self._at += 1
        taker = self._takers.get(text[: text.find(b" ")])
        if taker is not None:
            taker(text, (self._at, prefix, text))
        elif text.startswith(b"qmail-") and self._query.is_refused_by(text):
            self.refusals.append((self._at, prefix, text))

    # qmail's own lines

    def _new(self, text: bytes, piece: "Piece") -> None:
        number = first(text, b"new msg ")
        if number is None:
            return
        self._begin(number).entered = True
        self._keep(self._live[number], piece)

    def _info(self, text: bytes, piece: "Piece") -> None:
        number = first(text, b"info msg ")
        size, qp, uid = behind(text, b": bytes "), last(text, b"> qp "), last(text, b" uid ")
        if number is None or size is None or qp is None or uid is None:
            return
        message = self._of(number)
        message.bytes, message.qp, message.uid = size, qp, uid
        message.sender = text[text.find(b" from <") + 7 : text.rfind(b"> qp ")]
        self._keep(message, piece)
        self._meet(message, message.sender)
        if self._leading.come(message, self._at):
            self._want(message)
        for early in self._early.take(("qp", qp)):
            self._keep(message, early)
            self._look_for_name(message, early[2])

    def _starting(self, text: bytes, piece: "Piece") -> None:
        delivery, number = first(text, b"starting delivery "), behind(text, b": msg ")
        if delivery is None or number is None:
            return
        message = self._of(number)
        remember(self._deliveries, delivery, message)
        self._keep(message, piece)
        self._meet(message, text[text.rfind(b" ") + 1 :])

    def _delivery(self, text: bytes, piece: "Piece") -> None:
        message = self._deliveries.pop(first(text, b"delivery ") or 0, None)
        if message is None:
            return
        self._keep(message, piece)
        self._follow(message, forwarded(text))

    def _led_to(self, text: bytes, piece: "Piece") -> None:
        number, qp = behind(text, b" msg "), last(text, b" qp ")
        if number is not None and qp is not None:
            message = self._of(number)
            self._keep(message, piece)
            self._follow(message, qp)

    def _about(self, text: bytes, piece: "Piece") -> None:
        number = behind(text, b" bounce/" if text.startswith(b"triple ") else b" msg ")
        if number is not None:
            self._keep(self._of(number), piece)

    def _end(self, text: bytes, piece: "Piece") -> None:
        number = first(text, b"end msg ")
        message = None if number is None else self._live.get(number)
        if message is not None:
            self._keep(message, piece)
            message.ended = True
            self._finish(message)

    def _status(self, text: bytes, _piece: "Piece") -> None:
        if text == b"status: exiting":  # deliveries are counted anew
            self._deliveries.clear()

    # ours

    def _trace(self, text: bytes, piece: "Piece") -> None:
        fields = trace.decode(text[len(trace.PREFIX) :]) or {}
        key = fields.get("msg", b"")
        if trace.split_key(key) is None:
            self._without_number(fields, piece)
            return
        message = self._of_key(key, fields)
        if message is None:
            self._early.keep(("key", key), piece)
            return
        self._keep(message, piece)
        for name in ("sender", "recipient", "address"):
            if name in fields:
                self._meet(message, fields[name])
        self._look_for_name(message, text)

    def _of_key(self, key: bytes, fields: dict[str, bytes]) -> Message | None:
        """The message of this key; None: the one that its number has now is another, and it is not there yet."""
        message = self._keys.get(key)
        if message is not None:
            return message
        number = int(key.partition(b".")[0])
        live = self._live.get(number)
        if live is not None and not live.key and self._is_delivering(live, fields):
            pass  # a dialogue may be told where nothing else is (control/transcript)
        elif fields.get("by") != b"qmail-send":
            if live is None or live.key or (live.qp >= 0 and fields.get("qp", b"") != b"%d" % live.qp):
                return None
        elif live is None or live.key:
            live = self._begin(number)
        live.key = key
        if self._query.key == key:
            self._want(live)
        remember(self._keys, key, live)
        for early in self._early.take(("key", key)):
            self._keep(live, early)
            self._look_for_name(live, early[2])
        return live

    def _is_delivering(self, message: Message, fields: dict[str, bytes]) -> bool:
        """Whether it is of a delivery of this message that goes on."""
        number = fields.get("delivery", b"")
        return number.isdigit() and len(number) < 20 and self._deliveries.get(int(number)) is message

    def _without_number(self, fields: dict[str, bytes], piece: "Piece") -> None:
        """A server has received it, and names its qp."""
        qp = first(fields.get("qp", b""), b"")
        if qp is None:
            return
        message = self._leading.of(qp)
        if message is not None and not message.ended:
            self._keep(message, piece)
        else:
            self._early.keep(("qp", qp), piece, most=0)

    def _look_for_name(self, message: Message, text: bytes) -> None:
        if not message.wanted and self._query.is_named_by(text):
            self._want(message)

    # messages

    def _of(self, number: int) -> Message:
        """The one that has this number now; where the log begins later than it did, what is left of it."""
        return self._live.get(number) or self._begin(number)

    def _begin(self, number: int) -> Message:
        before = self._live.get(number)
        if before is None and len(self._live) >= MOST_LIVE:
            before = next(iter(self._live.values()))
        if before is not None:
            self._finish(before)
        message = self._live[number] = Message(number, self._at)
        self._order[message] = None
        if number == self._query.number and not self._query.key:
            self._want(message)
        return message

    def _finish(self, message: Message) -> None:
        if self._live.get(message.number) is message:
            del self._live[message.number]
        if not message.wanted:
            self._ended.append(message)
            if len(self._ended) > _ENDED:
                gone = self._ended.popleft()
                if not gone.wanted:
                    gone.gone = True
                    self._forget_lines(gone)
                    del self._order[gone]

    def _keep(self, message: Message, piece: "Piece") -> None:
        if message.gone or len(message.lines) >= MOST_LINES or message.held > self._budget:
            message.cut = True
            return
        message.lines.append(piece)
        self._hold(message, weight(piece))

    def _hold(self, message: Message, size: int) -> None:
        """It takes so many bytes more."""
        message.held += size
        if message.wanted:
            self._tell(size)
        else:
            self._held += size
            if self._held > self._budget:
                self._make_room()

    def _make_room(self) -> None:
        """The oldest lose what was said of them so far."""
        while self._held > self._budget // 10 * 9:
            oldest = next(iter(self._order))
            self._order.move_to_end(oldest)
            oldest.cut = oldest.cut or oldest.held > 0
            self._forget_lines(oldest)

    def _forget_lines(self, message: Message) -> None:
        self._held -= message.held
        message.forget()

    def _meet(self, message: Message, address: bytes) -> None:
        if not message.wanted and self._query.is_address(address):
            self._want(message)

    def _want(self, message: Message) -> None:
        """And what it led to, and what that did: a chain may be long."""
        waiting = [message]
        while waiting:
            message = waiting.pop()
            if message.wanted:
                continue
            message.wanted = True
            self._order.pop(message, None)
            self._held -= message.held
            led_to = list(message.led_to)
            self.stories.append(message)
            self._tell(message.held)
            others = [self._leading.lead(message, qp, self._at) for qp in reversed(led_to)]
            waiting += [other for other in others if other is not None]

    def _tell(self, size: int) -> None:
        """So many more bytes will be told; where they are too many, the first stories are left out."""
        self._told += size
        while len(self.stories) > MOST_STORIES or (self._told > self._budget and len(self.stories) > 1):
            gone = self.stories.popleft()
            self._told -= gone.held
            gone.gone = True
            gone.forget()
            self.dropped += 1

    def _follow(self, message: Message, qp: int | None) -> None:
        """It led to the message that has this qp."""
        if qp is None or message.gone or len(message.led_to) >= MOST_LINES:
            return
        message.led_to.append(qp)
        self._hold(message, _NUMBER)
        if message.wanted:
            other = self._leading.lead(message, qp, self._at)
            if other is not None:
                self._want(other)
