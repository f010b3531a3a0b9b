"""TLS with servers that are not who they should be, cannot, or will not: what each level of a route makes of them."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Callable, Iterator

import pytest

from qmailpy.remote import session
from qmailpy.remote.delivery import deliver
from qmailpy.remote.equipment import Equipment
from qmailpy.remote.pool import Pool
from qmailpy.wire import smtp
from qmailpy.wire.sasl import STRONGEST_FIRST, Credentials, XOAuth2, encoded
from tests.remote_support import GOOD, Gone, Line, Peer, Place, Script
from tests.tls_support import Authority, Server, closing, implicit, starttls

A = "IP:127.0.0.1"
TAKEN = b"r\0K127.0.0.1 accepted message.\nRemote host said: 250 taken\n"
UNPROVEN = b", certificate not verified.\n\0"
OFFERS = b"250-peer\r\n250 STARTTLS\r\n"
DIED = b"ZConnected to 127.0.0.1 but connection died. (#4.4.2)\n\0"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(str(tmp_path_factory.mktemp("authority")))


@pytest.fixture(scope="module")
def servers(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Server]:
    return {
        "good": authority.server("good", A),
        "another name": authority.server("another", "DNS:other.example.org,IP:127.0.0.2"),
        "expired": authority.server("expired", A, days=-1),
        "self-signed": authority.server("self", A, self_signed=True),
        "unknown authority": Authority(str(tmp_path_factory.mktemp("foreign"))).server("foreign", A),
    }


@pytest.fixture
def place(tmp_path: object, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("SSL_CERT_FILE", authority.certificate)
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    found = Place(str(tmp_path))
    found.control("timeoutremote", "20")
    return found


def by(place: Place, script: Script, options: str) -> tuple[bytes, list[bytes]]:
    """The report, and what the server heard on each connection."""
    with Peer(script) as peer:
        place.control("smtproutes", f":127.0.0.1:{peer.port} {options}")
        report = place.deliver()
    return report, peer.heard


def talk(line: Line, changed: dict[str, bytes] | None = None) -> None:
    """A server that takes whatever comes, from its next command on."""
    table = {**GOOD, **(changed or {})}
    while True:
        step = line.hear().split()[0].decode()
        line.say(table[step])
        if step == "DATA":
            line.hear_body()
            line.say(table["dot"])


def greeting_talk(line: Line) -> None:
    line.say(GOOD["greeting"])
    talk(line)


@pytest.mark.parametrize("kind", ["another name", "expired", "self-signed", "unknown authority"])
@pytest.mark.parametrize(
    ("options", "is_taken"),
    [
        ("tls=may", True),
        ("tls=encrypt", True),
        ("tls=verify", False),
        ("tls=implicit", False),
        ("tls=implicit verify=no", True),
        ("fingerprint={its}", True),
        ("tls=fingerprint fingerprint={other}", False),
        ("tls=implicit fingerprint={its}", True),
        ("tls=implicit fingerprint={other}", False),
        ("tls=none", True),
    ],
)
def test_what_a_bad_certificate_means_at_each_level(
    place: Place, servers: dict[str, Server], kind: str, options: str, *, is_taken: bool
) -> None:
    server = servers[kind]
    options = options.format(its=server.fingerprint, other=servers["good"].fingerprint)

    def in_clear(line: Line) -> None:
        line.say(GOOD["greeting"])
        talk(line, {"EHLO": OFFERS})

    script = implicit(server, greeting_talk) if "implicit" in options else starttls(server, talk)
    if options == "tls=none":
        script = in_clear
    report, heard = by(place, script, options)
    assert len(heard) == 1
    if not is_taken:
        assert report.startswith(b"ZConnected to 127.0.0.1 but its certificate did not match 127.0.0.1: ")
        assert b"MAIL" not in heard[0]
    elif options == "tls=none":
        assert report == TAKEN + b"\0"
        assert b"STARTTLS" not in heard[0]
    else:
        assert report.startswith(TAKEN + b"Sent by TLSv1.3 ")
        proven = b", certificate verified.\n\0" if "fingerprint" in options else UNPROVEN
        assert report.endswith(proven)


# STARTTLS offered, and not meant


@pytest.mark.parametrize(
    ("reply", "may", "must"),
    [
        (b"454 not now\r\n", TAKEN + b"\0", b"but it refused TLS, which its route asks for.\nRemote host said: 454"),
        (b"554 never\r\n", TAKEN + b"\0", b"but it refused TLS, which its route asks for.\nRemote host said: 554"),
        (b"250 ok\r\n", TAKEN + b"\0", b"but it refused TLS, which its route asks for.\nRemote host said: 250"),
        (b"334 eh\r\n", TAKEN + b"\0", b"but it refused TLS, which its route asks for.\nRemote host said: 334"),
        (b"421 bye\r\n", None, b"but it refused TLS, which its route asks for.\nRemote host said: 421 bye"),
        (b"what?\r\n", None, b"but its reply makes no sense. (#4.4.2)\nRemote host said: what?"),
        (None, None, b"but connection died. (#4.4.2)"),
    ],
)
def test_how_starttls_is_refused(place: Place, reply: bytes | None, may: bytes | None, must: bytes) -> None:
    def script(line: Line) -> None:
        line.say(GOOD["greeting"])
        line.hear()
        line.say(OFFERS)
        line.hear()
        if reply is not None:
            line.say(reply)
            talk(line)

    words = b"ZConnected to 127.0.0.1 " + must
    report, _ = by(place, script, "tls=may")
    assert report.startswith(may or words)
    for options in ("tls=encrypt", "tls=verify"):
        report, [heard] = by(place, script, options)
        assert report.startswith(words)
        assert b"MAIL" not in heard


def test_a_reply_of_many_lines_to_starttls_begins_tls_only_behind_its_last(
    place: Place, servers: dict[str, Server]
) -> None:
    def script(line: Line) -> None:
        line.say(GOOD["greeting"])
        line.hear()
        line.say(OFFERS)
        line.hear()
        line.say(b"220-go\r\n220-on\r\n220 now\r\n")
        with contextlib.suppress(ssl.SSLError, ConnectionError), closing(line):
            servers["good"].secure(line)
            talk(line, {"EHLO": OFFERS})  # offered once more: it is not taken

    report, [heard] = by(place, script, "tls=verify")
    assert report.startswith(TAKEN)
    assert heard.count(b"STARTTLS") == 1


# handshakes that come to nothing


def hello_and(line: Line, answer: Callable[[Line], None]) -> None:
    """Up to the client's hello; a connection without STARTTLS is served."""
    line.say(GOOD["greeting"])
    line.hear()
    line.say(OFFERS)
    words = line.hear()
    if words != b"STARTTLS\r\n":
        line.say(GOOD["MAIL"])
        talk(line)
    line.say(b"220 go\r\n")
    answer(line)


def half_a_hello(line: Line) -> None:
    line.connection.recv(1)  # the client's hello: what comes before it is another matter
    line.say(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03")
    line.hear_all()


def a_byte_now_and_then(line: Line) -> None:
    """A record that has 16 kB to go."""
    line.connection.recv(1)
    line.say(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03")
    line.connection.settimeout(0.05)
    for _ in range(1000):
        line.say(b"\0")
        with contextlib.suppress(TimeoutError):
            line.hear(b"never")


@pytest.mark.parametrize("answer", [Line.hear_all, half_a_hello, a_byte_now_and_then], ids=["silence", "half", "drip"])
def test_a_handshake_that_does_not_go_on_has_a_time_of_its_own(
    place: Place, answer: Callable[[Line], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "HANDSHAKE", 0.2)
    report, heard = by(place, lambda line: hello_and(line, answer), "tls=may")
    assert report == TAKEN + b"\0"
    assert len(heard) == 2
    report, heard = by(place, lambda line: hello_and(line, answer), "tls=encrypt")
    assert report == DIED
    assert len(heard) == 1


def plain_words(line: Line) -> None:
    line.connection.recv(1)  # the client's hello
    line.say(b"250 never mind, go on\r\n")
    line.hear_all()


def picky(server: Server, minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Script:
    """It wants a certificate of ours, which there is not: by TLS 1.3 it says so when we think that all is done."""
    context = server.context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = minimum

    def answer(line: Line) -> None:
        with contextlib.suppress(ssl.SSLError, ConnectionError, Gone), closing(line):
            line.connection = context.wrap_socket(line.connection, server_side=True)

    return lambda line: hello_and(line, answer)


def old(server: Server, version: ssl.TLSVersion) -> Script:
    """It knows nothing newer."""
    context = server.context()
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")

    def answer(line: Line) -> None:
        with contextlib.suppress(ssl.SSLError, ConnectionError), closing(line):
            line.connection = context.wrap_socket(line.connection, server_side=True)
            talk(line)

    return lambda line: hello_and(line, answer)


@pytest.mark.parametrize("kind", ["TLS 1.0", "TLS 1.1", "wants our certificate", "plain words"])
def test_who_cannot_speak_our_tls_gets_mail_in_clear_only_where_tls_was_only_welcome(
    place: Place, servers: dict[str, Server], kind: str
) -> None:
    def script() -> Script:
        if kind == "plain words":
            return lambda line: hello_and(line, plain_words)
        if kind == "wants our certificate":
            return picky(servers["good"])
        return old(servers["good"], ssl.TLSVersion.TLSv1 if kind == "TLS 1.0" else ssl.TLSVersion.TLSv1_1)

    report, heard = by(place, script(), "tls=may")
    assert report == TAKEN + b"\0"
    assert len(heard) == 2
    for options in ("tls=encrypt", "tls=verify"):
        report, heard = by(place, script(), options)
        assert report.startswith((b"ZConnected to 127.0.0.1 but TLS failed: ", DIED))
        assert len(heard) == 1


# warm connections by TLS


@contextlib.contextmanager
def message(place: Place) -> Iterator[int]:
    descriptor = os.open(place.message, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def two(place: Place) -> list[bytes]:
    async def run() -> list[bytes]:
        equipment = Equipment(place.home)
        equipment.pool = Pool()
        reports = []
        for _ in range(2):
            with message(place) as descriptor:
                reports.append(await deliver(place.home, b"h.example", b"s@x", [b"r@h.example"], descriptor, equipment))
        equipment.pool.close()
        return reports

    return asyncio.run(run())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_connection_by_tls_stays_and_is_still_proven(
    place: Place, servers: dict[str, Server], version: ssl.TLSVersion
) -> None:
    context = servers["good"].context()
    context.maximum_version = version

    def script(line: Line) -> None:
        line.say(GOOD["greeting"])
        line.hear()
        line.say(OFFERS)
        line.hear()
        line.say(b"220 go\r\n")
        with contextlib.suppress(ssl.SSLError, ConnectionError), closing(line):
            line.connection = context.wrap_socket(line.connection, server_side=True)
            talk(line)

    with Peer(script) as peer:
        place.control("smtproutes", f":127.0.0.1:{peer.port} tls=verify")
        reports = two(place)
    assert len(peer.heard) == 1
    assert peer.heard[0].count(b"STARTTLS") == 1
    assert peer.heard[0].count(b"EHLO") == 2  # before TLS, and by it
    for report in reports:
        assert report.startswith(TAKEN + b"Sent by TLSv1.")
        assert report.endswith(b", certificate verified.\n\0")


def farewell(line: Line) -> None:
    """It says that it goes, and stays."""
    assert isinstance(line.connection, ssl.SSLSocket)
    with contextlib.suppress(OSError):
        line.connection.unwrap()


def in_clear(line: Line) -> None:
    """It forgets that there is TLS."""
    with socket.socket(fileno=line.connection.detach()) as below:
        below.sendall(b"250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n")


@pytest.mark.parametrize("then", [farewell, in_clear])
def test_a_warm_connection_whose_tls_ended_is_not_used(
    place: Place, servers: dict[str, Server], then: Callable[[Line], None]
) -> None:
    def after(line: Line) -> None:
        for step in ("EHLO", "MAIL", "RCPT", "DATA"):
            line.hear()
            line.say(GOOD[step])
        line.hear_body()
        line.say(GOOD["dot"])
        then(line)

    with Peer(starttls(servers["good"], after)) as peer:
        place.control("smtproutes", f":127.0.0.1:{peer.port} tls=encrypt")
        reports = two(place)
    assert [report.startswith(TAKEN) for report in reports] == [True, True]
    assert len(peer.heard) == 2


# logins


@pytest.mark.parametrize("mechanism", [*STRONGEST_FIRST, XOAuth2], ids=lambda mechanism: mechanism.name.decode())
@pytest.mark.parametrize("question", [b"334 \r\n", b"334 " + encoded(b"<1.2@x>") + b"\r\n", b"334-x\r\n334 y\r\n"])
def test_a_server_that_asks_for_ever_is_told_a_few_words_at_most(mechanism: type, question: bytes) -> None:
    """Each question would have timeoutremote of its own."""
    name: bytes = mechanism.name  # type: ignore[attr-defined]
    login = smtp.Login(Credentials(b"joe", b"secret"), b"nonce", anyhow=True, mechanism=name.lower())
    client = smtp.Client(b"me.example.org", b"a@b", [b"c@d"], tls=smtp.NEVER, login=login)
    client.hear(b"220 hi\r\n")
    assert client.hear(b"250-hi\r\n250 AUTH " + name + b"\r\n").startswith(b"AUTH ")
    said = 0
    while client.step != smtp.DONE:
        client.hear(question)
        said += 1
        assert said < 5
    assert client.failed_at == smtp.AUTH
    assert client.final is None
