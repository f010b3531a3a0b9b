"""Whose connection it is, by the names that others give: the DNS for a host, the client's own host for its owner.

What is looked up may take long: who serves thousands has it asked by children (skeletons/questions). Names are hearsay.
"""

from qmailpy.disk.home import Home
from qmailpy.system import accepted
from qmailpy.wire import ident

PARANOID, CREDULOUS = b"p", b"-"  # whether the name must lead back to the address


def name(_: Home, request: bytes) -> bytes:
    """The host name of an address, as one of the questions.  request: PARANOID or CREDULOUS, address; empty: none."""
    return host_name(request[1:], paranoid=request[:1] == PARANOID) or b""


def host_name(ip: bytes, *, paranoid: bool) -> bytes | None:
    """The name of this address, lower-cased; None where it has none, or none that can be found now.

    paranoid: only if the address is among those of the name.
    """
    text = ip.decode("ascii")
    try:
        found = accepted.name_of(accepted.End(text, 0))
    except accepted.NobodyKnows:
        return None
    if found is None or (paranoid and text not in accepted.addresses_of(found)):
        return None
    return found.encode("utf-8", "surrogateescape").lower()


def owner(here: tuple[bytes, int], there: tuple[bytes, int], patience: float) -> bytes | None:
    """What the client's host says about who it is; None where it says nothing.

    here, there: address and port of each end; patience: seconds.
    """
    local, remote = (accepted.End(ip.decode("ascii"), port) for ip, port in (here, there))
    question = ident.query(remote.port, local.port)
    return ident.user(accepted.ask(local, remote, ident.PORT, question, (patience, ident.REPLY_LIMIT)))
