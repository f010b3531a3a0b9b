"""What is known of a connection before anybody speaks: its variables, by tcpserver's names (spec/10 c9)."""

from qmailpy.receive.listener.options import Options
from qmailpy.system import listening, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

OURS = (b"TCPLOCALHOST", b"TCPREMOTEHOST", b"TCPREMOTEINFO")  # never inherited: nobody has asked yet


class Surroundings:
    """What all connections of a listener share: the environment they begin with."""

    __slots__ = ("_base", "_keeps_ip_options", "_local_name")

    def __init__(self, options: Options) -> None:
        """The environment is that of this process, now."""
        self._base = process.environment()
        for name in OURS:
            self._base.pop(name, None)
        self._base[b"PROTO"] = b"TCP"
        self._local_name = options.local_name
        self._keeps_ip_options = options.keeps_ip_options

    def of(
        self, listener: listening.Listener, connection: "_socket.socket", ip: bytes, port: int
    ) -> dict[bytes, bytes]:
        """The environment of this connection, as far as the kernel tells it.  ip, port: the client's.

        Errors: OSError, the client is gone already.
        """
        environment = self._base.copy()
        local, local_port = listener.ip, listener.port
        if not local:
            address = connection.getsockname()
            local, local_port = listening.plain(address[0]), address[1]
        if not self._keeps_ip_options:
            listening.drop_ip_options(connection)
        environment[b"TCPLOCALIP"] = local
        environment[b"TCPLOCALPORT"] = b"%d" % local_port
        environment[b"TCPREMOTEIP"] = ip
        environment[b"TCPREMOTEPORT"] = b"%d" % port
        if self._local_name is not None:
            environment[b"TCPLOCALHOST"] = self._local_name
        return environment


def network_of(ip: bytes) -> bytes:
    """The network that is counted with an address: /24 of IPv4, /64 of IPv6."""
    if b":" not in ip:
        return ip.rpartition(b".")[0]
    head, gap, tail = ip.partition(b"::")
    groups = head.split(b":") if head else []
    if gap:
        rest = tail.split(b":") if tail else []
        groups += [b"0"] * (8 - len(groups) - len(rest)) + rest
    return b":".join(groups[:4])
