"""By which way mail for another host leaves, and which line of control/smtproutes or senderroutes makes it so."""

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.rules import routes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LINE, WAY, REFUSED, UNUSABLE = range(4)  # what a sentence is
_LEVELS = {
    routes.NONE: b"in clear",
    routes.MAY: b"by TLS if it is offered",
    routes.ENCRYPT: b"by TLS",
    routes.IMPLICIT: b"by TLS from the first byte",
}


def sentences(home: Home, host: bytes, sender: bytes) -> "Iterator[tuple[int, bytes]]":
    """In the order of their decisions; none where no line is for it.

    Errors: Die TEMP for a file that cannot be read.
    """
    by_host = control.colon_map(home, "smtproutes") or {}
    by_sender = control.colon_map(home, "senderroutes") or {}
    found = routes.deciding(host, by_host, sender, by_sender)
    if found is None:
        return
    is_senders, key = found
    name = "senderroutes" if is_senders else "smtproutes"
    yield LINE, _cited(home, name, key)
    try:
        route = routes.parse((by_sender if is_senders else by_host)[key])
    except routes.BadRoute as bad:
        yield UNUSABLE, b"this route cannot be used, and mail waits: " + bad.reason
        return
    if route.kind == routes.ERROR:
        yield REFUSED, route.text or b"the administrator of this system refuses mail to that host"
        return
    where = b"by MX" if route.kind == routes.BY_MX else b"by the relay " + route.host
    yield WAY, b"%s, port %d, %s" % (where, route.port, b", ".join(_manners(route)))


def _manners(route: routes.Route) -> "Iterator[bytes]":
    yield _LEVELS[route.tls]
    if route.fingerprint:
        yield b"to the server with that certificate only"
    elif route.named:
        yield b"to a server that has proven its name"
    elif route.tls not in (routes.NONE, routes.MAY):
        yield b"whoever the server is"
    if route.login:
        yield b"with the login " + route.login


def _cited(home: Home, name: str, wanted: bytes) -> bytes:
    """The line: the last with this key is the one that counts."""
    text = control.read(home.control(name.encode())) or b""
    cited = b"control/" + name.encode()
    for number, raw in enumerate(text.split(b"\n"), 1):
        entry = raw.rstrip(b" \t")
        key, colon, _ = entry.partition(b":")
        if entry and not entry.startswith(b"#") and colon and key.lower() == wanted:
            cited = b"control/%s line %d: %s" % (name.encode(), number, entry)
    return cited
