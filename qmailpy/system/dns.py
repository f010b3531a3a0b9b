"""The DNS: MX, A, AAAA and TXT records by dnspython; the only file that imports it.

Two errors that are never confused: Hard, the DNS says that there is no such name or no such record; Soft, it did not
say (no answer, SERVFAIL, REFUSED, nonsense): mail waits. Names are bytes without escapes; those beyond ASCII are
UTF-8 and go out by IDNA. CNAMEs are followed, recipients are never rewritten. Servers: $DNSCACHEIP, else
/etc/resolv.conf, else 127.0.0.1. Queries by UDP with EDNS, by TCP where the answer is cut. A server whose port is
closed is not asked again for the same question; when all are closed the answer is Soft at once, not after ALL_TRIES.
A server that sends us to others (a referral), or answers what was not asked, has not said that there is nothing: Soft.
One that does not know EDNS is asked without.
Who uses it: remote/lookup, skeletons/dnsbl, skeletons/callout.
"""

import asyncio
import posix
import socket

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver

from qmailpy.system import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import dns.message

RESOLV_CONF = b"/etc/resolv.conf"
PORT = 53
ONE_TRY = 5.0  # seconds for one server's answer, as the C library waits
ALL_TRIES = 30.0  # seconds for one question, with all CNAMEs that it leads to
PAYLOAD = 1232  # bytes of an UDP answer that no network fragments (DNS flag day 2020)
AT_ONCE = 200  # questions of one process that may be open: each holds a descriptor
REMEMBERED = 2000  # answers that are kept
LARGE, REMEMBERED_LARGE = 100, 10  # records of an answer beyond which few are kept: one of 64 kB is megabytes here
LONGEST = 3600  # seconds for which an answer is kept, if it may be
LONGEST_NO = 300  # seconds for which it is kept that there is nothing: who adds a record should not wait
CNAMES = 10  # names one after the other, where the server does not follow them itself
_OLD_SERVER = (dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS)
_UTS_46 = dns.name.IDNA_2008_UTS_46


class Soft(Exception):
    """Nobody knows; ask again later."""


class Hard(Exception):
    """There is no such name, or it has no such record."""


class Resolver:
    """Asks; remembers answers for their time to live and where it asks.  Belongs to one event loop."""

    def __init__(self, environment: dict[bytes, bytes]) -> None:
        """environment: its DNSCACHEIP is a server's address, perhaps with a port: a, a:port, [v6]:port."""
        self._server = environment.get(b"DNSCACHEIP", b"")
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._signature: tuple[int, ...] = ()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._backend: Any = _Connected()

    async def mx(self, name: bytes) -> list[tuple[int, bytes]]:
        """(preference, name) of each mail exchanger; the null MX's name is '.'.  Errors: Soft, Hard."""
        records = await self._ask(name, dns.rdatatype.MX)
        found = [(int(record.preference), _bytes_of(record.exchange)) for record in records]
        return [(preference, exchange) for preference, exchange in found if exchange is not None]

    async def a(self, name: bytes) -> list[bytes]:
        """IPv4 addresses as text, in the answer's order.  Errors: Soft, Hard."""
        return [record.address.encode("ascii") for record in await self._ask(name, dns.rdatatype.A)]

    async def aaaa(self, name: bytes) -> list[bytes]:
        """IPv6 addresses as text, in the answer's order.  Errors: Soft, Hard."""
        return [record.address.encode("ascii") for record in await self._ask(name, dns.rdatatype.AAAA)]

    async def txt(self, name: bytes) -> list[bytes]:
        """Texts, each of its parts put together, in the answer's order; any bytes.  Errors: Soft, Hard."""
        return [b"".join(record.strings) for record in await self._ask(name, dns.rdatatype.TXT)]

    async def alias(self, name: bytes, *, of_mx: bool) -> bytes:
        """What the name is a CNAME of, at the chain's end: as in the answers of mx(), or else of a() and aaaa().

        Empty where it is none, or its records are not known; mostly remembered.  Errors: none.
        """
        for kind in (dns.rdatatype.MX,) if of_mx else (dns.rdatatype.A, dns.rdatatype.AAAA):
            try:
                answer = await self._ask(name, kind)
            except (Soft, Hard):
                continue
            return (_bytes_of(answer.canonical_name) or b"") if answer.canonical_name != _name_of(name) else b""
        return b""

    async def _ask(self, name: bytes, kind: dns.rdatatype.RdataType) -> "dns.resolver.Answer":
        question = _name_of(name)
        try:
            async with self._slots, asyncio.timeout(ALL_TRIES):
                for _ in range(CNAMES):
                    answer = await self._resolve(question, kind)
                    if answer.rrset is not None:
                        return answer
                    if answer.canonical_name == question:
                        raise Hard if _says_nothing_is_there(answer.response) else Soft
                    question = answer.canonical_name  # the server gave only the beginning of a chain
        except dns.resolver.NXDOMAIN:
            raise Hard from None
        except (dns.exception.DNSException, OSError, ValueError):  # among them TimeoutError
            raise Soft from None
        raise Soft  # a chain without end: whoever made it may mend it

    async def _resolve(self, question: dns.name.Name, kind: dns.rdatatype.RdataType) -> "dns.resolver.Answer":
        resolver = self._current()
        try:
            return await resolver.resolve(question, kind, raise_on_no_answer=False, search=False, backend=self._backend)
        except dns.resolver.NoNameservers as error:
            if not _is_about_edns(error):
                raise
        plain = _resolver(self._server)
        plain.use_edns(-1)
        plain.cache = resolver.cache
        return await plain.resolve(question, kind, raise_on_no_answer=False, search=False, backend=self._backend)

    def _current(self) -> dns.asyncresolver.Resolver:
        signature = () if self._server else _signature(RESOLV_CONF)
        if self._resolver is None or signature != self._signature:
            self._resolver = _resolver(self._server)
            self._signature = signature
        return self._resolver


class _Memory(dns.resolver.LRUCache):
    """Answers, none for longer than is sensible: a process lives for months, and a TTL may be anything.

    That there is nothing is kept only if the answer says for how long (SOA).
    """

    def __init__(self) -> None:
        super().__init__(REMEMBERED)
        self._large = dns.resolver.LRUCache(REMEMBERED_LARGE)

    def get(self, key: "Any") -> dns.resolver.Answer | None:
        found = super().get(key)
        return self._large.get(key) if found is None else found  # one without records counts as false

    def put(self, key: "Any", value: dns.resolver.Answer) -> None:
        if value.rrset is None and not any(one.rdtype == dns.rdatatype.SOA for one in value.response.authority):
            return
        value.expiration = min(value.expiration, clock.now() + (LONGEST_NO if value.rrset is None else LONGEST))
        if sum(len(rrset) for section in value.response.sections for rrset in section) > LARGE:
            self._large.put(key, value)
        else:
            super().put(key, value)


class _Connected:
    """dnspython's way to the network, but for one thing: a UDP socket is connected to its server.

    Only then the kernel says that the port is closed, and only that server's packets come through.
    """

    def __init__(self) -> None:
        self._plain: Any = dns.asyncbackend.get_backend("asyncio")

    def __getattr__(self, name: str) -> "Any":
        """All the rest is dnspython's own."""
        return getattr(self._plain, name)

    def datagram_connection_required(self) -> bool:
        """What dnspython asks: yes."""
        return True

    async def make_socket(
        self, family: int, kind: int, proto: int = 0, source: "Any" = None, destination: "Any" = None, *more: "Any"
    ) -> "Any":
        """The same as dnspython's own."""
        if kind == socket.SOCK_DGRAM and destination is not None and "%" in destination[0]:
            destination = None  # a scope is spelled in two ways, and asyncio would refuse to send
        return await self._plain.make_socket(family, kind, proto, source, destination, *more)


def _resolver(server: bytes) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=False)
    if server:
        address, port = _address_and_port(server)
        resolver.nameservers, resolver.port = [address], port
    else:
        try:
            resolver.read_resolv_conf(RESOLV_CONF.decode("ascii"))
        except (dns.exception.DNSException, OSError, ValueError):
            resolver.nameservers = []
        if not resolver.nameservers:
            resolver.nameservers = ["127.0.0.1"]
    resolver.timeout, resolver.lifetime = ONE_TRY, ALL_TRIES
    resolver.use_edns(0, 0, PAYLOAD)
    resolver.cache = _Memory()
    return resolver


def _address_and_port(server: bytes) -> tuple[str, int]:
    """Errors: ValueError."""
    text = server.decode("ascii")
    if text.startswith("["):
        address, _, port = text[1:].partition("]:")
        address = address.removesuffix("]")
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    else:
        address, port = text, ""
    if port and not (port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65536):
        raise ValueError("DNSCACHEIP")
    return address, int(port or PORT)


def _signature(path: bytes) -> tuple[int, ...]:
    try:
        status = posix.stat(path)
    except OSError:
        return (0,)
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _is_about_edns(error: dns.resolver.NoNameservers) -> bool:
    """Whether a server did not understand a question that it may understand in the old form (RFC 6891 7)."""
    responses = (one[-1] for one in error.kwargs.get("errors", ()))
    return any(response is not None and response.rcode() in _OLD_SERVER for response in responses)


def _says_nothing_is_there(response: "dns.message.Message") -> bool:
    """Whether an answer without the record that was asked for means that there is none.

    Not if it is cut, is about something else, or only names other servers: then it neither knows nor asks who does.
    """
    knows = response.flags & (dns.flags.AA | dns.flags.RA)
    names_servers = any(rrset.rdtype == dns.rdatatype.NS for rrset in response.authority)
    return not (response.answer or response.flags & dns.flags.TC) and (bool(knows) or not names_servers)


def _name_of(name: bytes) -> dns.name.Name:
    """A name as the DNS has it.  Errors: Hard for what can be no name: empty labels, 64 bytes, not UTF-8."""
    labels = name.removesuffix(b".").split(b".")
    try:
        if name.isascii():
            return dns.name.Name([*labels, b""]) if all(labels) else _no_name()
        text = ".".join(label.decode("utf-8") for label in labels)
        found = dns.name.from_unicode(text.replace("\\", "\\\\"), idna_codec=_UTS_46)
        return _no_name() if found == dns.name.root else found  # of a full stop in another script nothing is left
    except (dns.exception.DNSException, ValueError):
        raise Hard from None


def spelled(name: bytes) -> bytes:
    """How the DNS is asked for this name; empty where it cannot be."""
    try:
        return _bytes_of(_name_of(name)) or b""
    except Hard:
        return b""


def _no_name() -> dns.name.Name:
    raise Hard


def _bytes_of(name: dns.name.Name) -> bytes | None:
    """A name of the DNS as bytes; None if it has bytes that would mean something else in there."""
    labels = name.labels[:-1]
    if any(b"." in label or min(label) <= 32 or max(label) == 127 for label in labels):
        return None
    return b".".join(labels) or b"."
