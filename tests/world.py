"""The world around a machine of a test's own: other hosts with names and addresses, of IPv4 and IPv6, and silent ones.

What remote journeys share. Each runs resident and exec'ed (WAYS), asks Knot, and meets Postfix's smtp-sink on port 25.
"""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator, Mapping

import pytest

from tests.logs import Line, Log
from tests.neighbours import Sink, dns_server, smtp_sink
from tests.places import ROOMS

WAYS = pytest.mark.parametrize("place", [room for room in ROOMS if str(room.id).startswith("classic")], indirect=True)
FAR, OTHER = "198.51.100.25", "198.51.100.26"  # the exchangers of far.example and other.example
ZONES = {
    "far.example": f"@ IN MX 10 mx\nmx IN A {FAR}\n",
    "other.example": f"@ IN MX 10 mx\nmx IN A {OTHER}\n",
}
FAR6, DEAD6 = "2001:db8:25::25", "2001:db8:dead::25"  # one that answers, one that nothing comes back from
REFUSES = ("-f", "RCPT", "-B", "550 5.1.1 nobody here by that name")  # smtp-sink's options


@contextlib.contextmanager
def world(folder: object, zones: Mapping[str, str] | None = None, *options: str, address: str = FAR) -> Iterator[Sink]:
    """A DNS, with ZONES if none are given, and a sink at this address.  options: of smtp-sink."""
    with (
        dns_server(f"{folder}/dns", ZONES if zones is None else zones),
        smtp_sink(f"{folder}/sink", address, 25, *options) as sink,
    ):
        yield sink


def ipv6() -> None:
    """This machine gets an address of IPv6; FAR6's network answers, DEAD6's swallows everything."""
    if not os.path.exists("/proc/sys/net/ipv6"):
        pytest.skip("needs a kernel with IPv6")
    subprocess.run(["sysctl", "-qw", "net.ipv6.ip_nonlocal_bind=1"], check=True)  # FAR6 is on no interface of ours
    for words in (
        "-6 address add 2001:db8::1/128 dev lo",
        "-6 route add local 2001:db8:25::/64 dev lo",
        "link add silent type veth peer name void",
        "link set void up",
        "link set silent up",
        "-6 address add 2001:db8:dead::1/64 dev silent nodad",
        f"-6 neighbour add {DEAD6} lladdr 02:00:00:00:00:25 dev silent nud permanent",
    ):
        subprocess.run(["ip", *words.split()], check=True, stdin=subprocess.DEVNULL)


def reports(log: Log) -> dict[str, Line]:
    """How the last delivery to each recipient of the remote channel ended."""
    recipients: dict[str, str] = {}
    found = {}
    for line in log.lines:
        if line.kind == "starting" and line.channel == "remote":
            recipients[line.delivery] = line.recipient
        elif line.kind == "delivery" and line.delivery in recipients:
            found[recipients[line.delivery]] = line
    return found


def plain(text: bytes) -> str:
    """A message of a sink's, with LF, as words."""
    return text.replace(b"\r\n", b"\n").decode()


def received(text: str) -> list[str]:
    """Its Received fields, the newest first, each in one line."""
    header = re.sub(r"\n[ \t]+", " ", text.partition("\n\n")[0])
    return re.findall(r"^Received: (.*)$", header, re.MULTILINE)
