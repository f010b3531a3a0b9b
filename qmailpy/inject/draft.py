"""A message being made fit for the queue: fields go in, a completed header and an envelope come out.

What is kept of the header is kept as bytes already written, not as objects: a million fields cost what they weigh.
Source: spec/07-inject.md 1, 4 and 7.
"""

from qmailpy.inject.settings import Settings
from qmailpy.rules.date import date822, date822_east, message_id_stamp
from qmailpy.rules.header import ACTIONS, NOTHING, RECIPIENT, RESENT, RESENT_RECIPIENT, SENDER, name_of
from qmailpy.rules.quote import flat, quote, quote2
from qmailpy.rules.rfc822 import QUOTED, AddressList, ParseError, lex, text_of, weight
from qmailpy.verdict import PERM, Die

MOST = 1 << 21  # of rules/rfc822.weight, all address fields together: 200,000 addresses; 20 s and 500 MB at worst
FIELD = 8  # what a field weighs besides: a million of one address each would take as long as all of the above
_WATCHED = RESENT | {b"to", b"cc", b"from", b"date", b"message-id", b"mail-followup-to"}
_SKIPPED = {b"from": b"f", b"message-id": b"i", b"return-path": b"s"}  # by which letter of QMAILINJECT
_FOLLOWED = (b"to", b"cc")  # whose addresses a follow-up goes to


class Draft:
    """One message.  take() its fields, then ask for generated() and envelope()."""

    __slots__ = (
        "_faults",
        "_followup",
        "_left",
        "_recipients",
        "_seen",
        "_sender",
        "_settings",
        "_wants_header",
        "kept",
    )

    def __init__(self, settings: Settings, *, wants_header: bool) -> None:
        """wants_header: whether the header's addresses are recipients."""
        self.kept = bytearray()  # the fields that stay, in their order
        self._settings, self._wants_header = settings, wants_header
        self._seen: set[bytes] = set()
        self._sender: bytes | None = None  # of Return-Path
        self._recipients: dict[int, list[bytes]] = {RECIPIENT: [], RESENT_RECIPIENT: []}
        self._faults: dict[int, bytes] = {}  # the first field of each kind that cannot be read
        self._followup: list[bytes] = []
        self._left = MOST

    def take(self, field: bytes) -> None:
        """The next field, with its LF.  Errors: Die PERM for one that must be read and cannot be."""
        name = name_of(field)
        if name in _SKIPPED and _SKIPPED[name] in self._settings.letters:
            return
        if name in _WATCHED:
            self._seen.add(name)
        action = ACTIONS.get(name)
        if action is None:
            self.kept += field
            return
        if not action.addresses:
            return  # Content-Length: it would not be true
        try:
            addresses, written = self._parse(field, of_sender=action.use == NOTHING)
        except ParseError:
            if action.use in (NOTHING, SENDER):
                raise _unreadable(field) from None
            self._faults.setdefault(action.use, field)
            if not action.delete:
                self.kept += field
            return
        self._use(addresses, action.use, name)
        if not action.delete:
            self.kept += written.field(field[: field.index(b":")].rstrip(b" \t"))

    def _parse(self, field: bytes, *, of_sender: bool) -> tuple[list[bytes], AddressList]:
        """The addresses in a field, as the envelope has them, and the field's value as it will be written."""
        value = field[field.index(b":") + 1 : -1]
        self._left -= weight(value) + FIELD
        if self._left < 0:
            raise Die(PERM, b"too many addresses in the header: send several messages")
        return self._addresses(value, of_sender=of_sender)

    def _addresses(self, value: bytes, *, of_sender: bool) -> tuple[list[bytes], AddressList]:
        """Errors: ParseError."""
        complete, masquerade = self._settings.domains.complete, self._settings.masquerade
        if masquerade is None:
            written = AddressList(lex(value), complete)
            return written.addresses, written
        addresses: list[bytes] = []

        def publish(address: list[bytes]) -> list[bytes]:
            address = complete(address)
            addresses.append(text_of(address))
            public = masquerade.header(addresses[-1], of_sender=of_sender)
            return address if public == addresses[-1] else lex(quote2(public))

        return addresses, AddressList(lex(value), publish)

    def _use(self, addresses: list[bytes], use: int, name: bytes) -> None:
        if use == SENDER and self._sender is None and addresses:
            self._sender = addresses[0]
        if use in self._recipients and self._wants_header:
            self._recipients[use] += addresses
        if name in _FOLLOWED and self._settings.followup is not None:
            self._followup += addresses

    @property
    def is_resent(self) -> bool:
        """Whether somebody sends on a message that he has got: then only Resent- fields count."""
        return not self._seen.isdisjoint(RESENT)

    def recipients(self) -> list[bytes]:
        """Of the header; none if they are not wanted.

        Errors: Die PERM where one of the fields that name them cannot be read: nobody is left out in silence.
        """
        use = RESENT_RECIPIENT if self.is_resent else RECIPIENT
        if self._wants_header and use in self._faults:
            raise _unreadable(self._faults[use])
        return self._recipients[use]

    def sender(self, now: int, pid: int) -> bytes:
        """The envelope sender where the command line does not say it.  now: seconds since the epoch."""
        settings = self._settings
        per_recipient = b"r" in settings.letters
        if self._sender is None:
            sender = self._default_sender(b"-%d.%d" % (now, pid) if b"m" in settings.letters else b"", per_recipient)
        else:
            sender = self.public(self._sender)
        return sender + b"-@[]" if per_recipient and sender else sender

    def _default_sender(self, mark: bytes, per_recipient: bool) -> bytes:
        """mark: goes behind the user's name, as does a hyphen for a sender per recipient."""
        user, host = self._settings.sender_user, _host(self._settings.sender_host)
        address = text_of(self._settings.domains.complete([QUOTED + user, b"@", *host]))
        public = self.public(address)
        end = len(user) if public == address else public.rindex(b"@")
        return public[:end] + mark + b"-" * per_recipient + public[end:]

    def public(self, sender: bytes) -> bytes:
        """An envelope sender, completed, as others see it."""
        masquerade = self._settings.masquerade
        return sender if masquerade is None else masquerade.envelope(sender)

    def generated(self, now: int, pid: int, east: int | None = None) -> bytes:
        """The fields that are missing, to stand before those that are kept.

        now: seconds since the epoch; east: seconds that local time is ahead of UTC, if Date shall tell it.
        """
        prefix, missing = (b"Resent-", b"resent-") if self.is_resent else (b"", b"")
        fields = []
        if missing + b"date" not in self._seen:
            fields.append(prefix + b"Date: " + (date822(now) if east is None else date822_east(now, east)))
        if missing + b"message-id" not in self._seen:
            unique = b"%s.%d.qmail@%s" % (message_id_stamp(now), pid, flat(self._settings.id_host))
            fields.append(prefix + b"Message-ID: <" + unique + b">\n")
        if missing + b"from" not in self._seen:
            fields.append(self._from(prefix + b"From"))
        if self._seen.isdisjoint((missing + b"to", missing + b"cc")):
            fields.append(prefix + b"Cc: recipient list not shown: ;\n")
        if not self.is_resent:
            fields.append(self._mail_followup_to())
        return b"".join(fields)

    def _from(self, name: bytes) -> bytes:
        settings = self._settings
        address = quote(settings.user) + b"@" + settings.host
        value = address
        if settings.name is not None:
            person = settings.name.replace(b"\\", b"\\\\")
            if b"c" in settings.letters:
                value = address + b" (" + person.replace(b"(", b"\\(").replace(b")", b"\\)") + b")"
            else:
                value = b'"' + person.replace(b'"', b'\\"') + b'" <' + address + b">"
        try:
            return self._addresses(value, of_sender=True)[1].field(name)
        except ParseError:
            raise _unreadable(name + b": " + value) from None

    def _mail_followup_to(self) -> bytes:
        lists = self._settings.followup
        if not lists or b"mail-followup-to" in self._seen:
            return b""
        if lists.isdisjoint(address.lower() for address in self._followup):
            return b""
        masquerade = self._settings.masquerade
        if masquerade is not None:
            self._followup = [masquerade.header(address, of_sender=False) for address in self._followup]
        addresses = [flat(quote2(address)) for address in reversed(self._followup)]
        return b"Mail-Followup-To: " + b",\n  ".join(addresses) + b"\n"


def _host(host: bytes) -> list[bytes]:
    try:
        return lex(host)
    except ParseError:
        raise Die(PERM, b"unable to parse address: " + host) from None


def _unreadable(field: bytes) -> Die:
    return Die(PERM, b"unable to parse this line:\n" + field.rstrip(b"\n"))
