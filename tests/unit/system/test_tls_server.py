"""TLS as a server: certificates, hands shaken with every kind of client, records cut anywhere, garbage."""

import contextlib
import os
import ssl
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.system import certificate, clock
from qmailpy.system.tls_server import POP3, Contexts, Secret
from qmailpy.system.tls_trouble import TlsFailed
from qmailpy.verdict import Die
from tests.support import CHECKOUT, PATH, read, write
from tests.tls_support import Authority, Server

LARGEST = 60 << 10  # bytes that an idle connection may hold


class Place:
    """A directory as control/ is, with certificates of every kind."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.authority = Authority(f"{folder}/ca")
        self.default = self.put("servercert.pem", self.authority.server("mx", "DNS:mx.example.org"))
        for name, alternatives in (("mail.example.org", "DNS:mail.example.org"), ("_.lists.org", "DNS:*.lists.org")):
            self.put(f"servercerts/{name}.pem", self.authority.server(name, alternatives))

    def put(self, name: str, server: Server) -> bytes:
        """Chain and key in one file."""
        return write(f"{self.folder}/{name}", read(server.certificate) + read(server.key)).encode()

    def contexts(self, **words: object) -> Contexts:
        return Contexts(self.default, f"{self.folder}/servercerts".encode(), **words)  # type: ignore[arg-type]

    def client(self, name: str, **words: object) -> "Client":
        context = ssl.create_default_context(cafile=self.authority.certificate)
        return Client(context, name, **words)  # type: ignore[arg-type]


class Client:
    """The other end, in memory."""

    def __init__(self, context: ssl.SSLContext, name: str | None, protocols: tuple[str, ...] = ()) -> None:
        if protocols:
            context.set_alpn_protocols(list(protocols))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.secret = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self.shaken = False

    def step(self, came: bytes) -> bytes:
        """What it says to this, while hands are being shaken."""
        self.incoming.write(came)
        try:
            self.secret.do_handshake()
            self.shaken = True
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()

    def say(self, content: bytes) -> bytes:
        self.secret.write(content)
        return self.outgoing.read()

    def hear(self, came: bytes) -> bytes:
        self.incoming.write(came)
        pieces = []
        try:
            while piece := self.secret.read(65536):
                pieces.append(piece)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        return b"".join(pieces)


def whole(content: bytes) -> list[bytes]:
    return [content] if content else []


def by_the_byte(content: bytes) -> list[bytes]:
    return [content[at : at + 1] for at in range(len(content))]


def shake(client: Client, secret: Secret, cut: Callable[[bytes], list[bytes]] = whole) -> None:
    said, shaken = client.step(b""), False
    while not (shaken and client.shaken):
        for piece in cut(said):
            assert not shaken
            shaken = secret.shake(piece)
        said = client.step(secret.output())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(str(tmp_path_factory.mktemp("tls")))


@pytest.mark.parametrize("cut", [whole, by_the_byte])
def test_both_sides_hear_each_other(place: Place, cut: Callable[[bytes], list[bytes]]) -> None:
    client, secret = place.client("mx.example.org"), place.contexts().secret()
    shake(client, secret, cut)
    assert secret.facts == b"TLSv1.3 TLS_AES_256_GCM_SHA384"
    assert secret.name == b"mx.example.org"
    heard = b"".join(secret.open(piece) for piece in cut(client.say(b"EHLO x\r\n")))
    assert heard == b"EHLO x\r\n"
    secret.close(b"250 ok\r\n")
    assert client.hear(secret.output()) == b"250 ok\r\n"


def test_what_comes_with_the_last_word_of_the_handshake_is_not_lost(place: Place) -> None:
    client, secret = place.client("mx.example.org"), place.contexts().secret()
    assert not secret.shake(client.step(b""))
    last = client.step(secret.output())
    assert client.shaken
    assert secret.shake(last + client.say(b"EHLO x\r\n"))
    assert secret.open(b"") == b"EHLO x\r\n"


def test_much_goes_both_ways_in_records_of_any_cut(place: Place) -> None:
    client, secret = place.client("mx.example.org"), place.contexts().secret()
    shake(client, secret)
    content = os.urandom(300_000)
    said = client.say(content)
    assert b"".join(secret.open(said[at : at + 4999]) for at in range(0, len(said), 4999)) == content
    assert secret.open(client.say(content)) == content
    secret.close(content)
    assert client.hear(secret.output()) == content


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("mail.example.org", "mail.example.org"),
        ("MAIL.Example.ORG", "mail.example.org"),
        ("any.lists.org", "*.lists.org"),
        ("mx.example.org", "mx.example.org"),
        ("else.example.net", "mx.example.org"),
        ("two.labels.lists.org", "mx.example.org"),
        ("lists.org", "mx.example.org"),
        (None, "mx.example.org"),
    ],
)
def test_the_certificate_is_chosen_by_name(place: Place, asked: str | None, shown: str) -> None:
    context = ssl.create_default_context(cafile=place.authority.certificate)
    context.check_hostname = False
    client = Client(context, asked)
    shake(client, place.contexts().secret())
    names = client.secret.getpeercert() or {}
    assert names["subjectAltName"] == (("DNS", shown),)


@pytest.mark.parametrize("name", [b"../servercert", b"/etc/passwd", b"a\0b", b"", b".", b"..", b"\xff" * 255, b"_"])
def test_a_name_that_no_file_has_gets_the_default(place: Place, name: bytes) -> None:
    contexts = place.contexts()
    assert contexts.find(name) is contexts.find(b"nobody.example")


def test_certificates_for_names_can_be_read_before_they_are_needed(place: Place, tmp_path: object) -> None:
    folder = f"{tmp_path}/servercerts"
    path = write(f"{folder}/early.org.pem", read(f"{place.folder}/servercerts/mail.example.org.pem"))
    contexts = Contexts(place.default, folder.encode())
    contexts.load_all()
    os.unlink(path)
    assert contexts.find(b"early.org") is not contexts.find(b"")


@pytest.mark.parametrize(("protocols", "welcome"), [(("smtp",), True), (("h2", "esmtp"), True), (("h2",), False)])
def test_a_client_that_wants_another_protocol_is_seen_off(
    place: Place, protocols: tuple[str, ...], welcome: bool
) -> None:
    client, secret = place.client("mx.example.org", protocols=protocols), place.contexts().secret()
    if welcome:
        shake(client, secret)
        assert client.secret.selected_alpn_protocol() in protocols
        return
    with pytest.raises(TlsFailed) as failure:
        secret.shake(client.step(b""))
    assert failure.value.text == b"the client wants to speak h2, which is not spoken here"
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        client.step(secret.output())


def test_pop3_has_its_own_name(place: Place) -> None:
    client = place.client("mx.example.org", protocols=("pop3",))
    shake(client, place.contexts(protocols=POP3).secret())
    assert client.secret.selected_alpn_protocol() == "pop3"


def test_an_old_version_of_tls_is_refused_by_alert(place: Place) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    client, secret = Client(context, None), place.contexts().secret()
    with pytest.raises(TlsFailed) as failure:
        secret.shake(client.step(b""))
    assert failure.value.text == b"the client knows no version of TLS that is safe"
    with pytest.raises(ssl.SSLError):
        client.step(secret.output())


@pytest.mark.parametrize("cipher", ["AES256-SHA", "AES256-GCM-SHA384", "ECDHE-RSA-AES256-SHA"])
def test_old_ciphers_are_refused_also_with_an_rsa_key(tmp_path: object, cipher: str) -> None:
    """Debian's Python would take them."""
    path = f"{tmp_path}/rsa.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=mx", "-keyout", f"{tmp_path}/key"]
    subprocess.run(["openssl", *words, "-out", path], check=True, capture_output=True, env={"PATH": PATH})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher)
    contexts = Contexts(path.encode(), b"/nowhere", key=f"{tmp_path}/key".encode())
    with pytest.raises(TlsFailed) as failure:
        contexts.secret().shake(Client(context, None).step(b""))
    assert failure.value.text == b"the client knows no cipher that is safe"
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    shake(Client(context, None), contexts.secret())


@pytest.mark.parametrize(
    ("came", "text"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"the client speaks HTTP"),
        (b"EHLO client.example.org\r\n", b"the client does not speak TLS"),
        (bytes(100), b"the client does not speak TLS"),
        (b"\x16\x03\x01\x00\x05\x01\xff\xff\xff\x00" + bytes(70_000), None),
    ],
)
def test_garbage_is_said_to_be_no_tls(place: Place, came: bytes, text: bytes | None) -> None:
    with pytest.raises(TlsFailed) as failure:
        place.contexts().secret().shake(came)
    assert text in (None, failure.value.text)


def test_a_farewell_is_the_end_after_all_that_was_said(place: Place) -> None:
    client, secret = place.client("mx.example.org"), place.contexts().secret()
    shake(client, secret)
    said = client.say(b"QUIT\r\n")
    with pytest.raises(ssl.SSLWantReadError):
        client.secret.unwrap()
    assert secret.open(said + client.outgoing.read()) == b"QUIT\r\n"
    with pytest.raises(EOFError):
        secret.open(b"")
    secret.close(b"221 bye\r\n")
    secret.farewell()
    secret.farewell()
    assert client.hear(secret.output()) == b"221 bye\r\n"


def test_our_farewell_tells_the_client_that_nothing_is_missing(place: Place) -> None:
    client, secret = place.client("mx.example.org"), place.contexts().secret()
    shake(client, secret)
    secret.farewell()
    assert client.hear(secret.output()) == b""
    client.secret.unwrap()


def test_farewell_before_anything_was_said_is_nothing(place: Place) -> None:
    secret = place.contexts().secret()
    secret.farewell()
    assert secret.output() == b""


@given(data=st.data())
def test_a_changed_byte_is_a_failure_and_nothing_else(place: Place, data: st.DataObject) -> None:
    client, secret = place.client("mx.example.org"), place.contexts().secret()
    shake(client, secret)
    said = bytearray(client.say(b"MAIL FROM:<>\r\n"))
    at = data.draw(st.integers(0, len(said) - 1))
    said[at] ^= data.draw(st.integers(1, 255))
    heard = b""  # of a length that announces more, or a warning
    with contextlib.suppress(TlsFailed):
        heard = secret.open(bytes(said))
    assert heard == b""


@given(st.binary(min_size=1, max_size=300))
def test_no_first_bytes_are_too_strange(place: Place, came: bytes) -> None:
    secret, shaken = place.contexts().secret(), False
    with contextlib.suppress(TlsFailed):
        shaken = secret.shake(came)
    assert not shaken


def test_a_client_cannot_ask_for_new_hands_in_tls_1_2(place: Place) -> None:
    context = ssl.create_default_context(cafile=place.authority.certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client, secret = Client(context, "mx.example.org"), place.contexts().secret()
    shake(client, secret)
    assert secret.facts.startswith(b"TLSv1.2 ECDHE-")


# certificates


def test_a_key_may_have_a_file_of_its_own(place: Place) -> None:
    server = place.authority.server("alone", "DNS:mx.example.org")
    contexts = Contexts(server.certificate.encode(), b"/nowhere", key=server.key.encode())
    shake(place.client("mx.example.org"), contexts.secret())


def _locked(place: Place, folder: str) -> bytes:
    server = place.authority.server("locked", "DNS:mx.example.org")
    key = f"{folder}/locked.key"
    subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-in", server.key, "-out", key, "-passout", "pass:secret"],
        check=True,
        env={"PATH": PATH},
    )
    return read(server.certificate) + read(key)


def test_what_is_wrong_with_a_certificate_is_a_sentence(place: Place, tmp_path: object) -> None:
    one, other = place.authority.server("one", "DNS:a"), place.authority.server("other", "DNS:b")
    certificates = {
        "nokey": (read(one.certificate), b"unable to use %s: there is no private key in it"),
        "nocert": (read(one.key), b"unable to use %s: there is no certificate in it"),
        "empty": (b"", b"unable to use %s: there is no certificate in it"),
        "mixed": (
            read(one.certificate) + read(other.key),
            b"unable to use %s: its private key is another certificate's",
        ),
        "broken": (
            b"-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n" + read(one.key),
            b"unable to use %s: it is no PEM",
        ),
        "locked": (
            _locked(place, str(tmp_path)),
            b"unable to use %s: its key is locked by a pass phrase, and nobody is here to type it",
        ),
    }
    for name, (content, sentence) in certificates.items():
        path = write(f"{tmp_path}/{name}.pem", content).encode()
        with pytest.raises(Die) as death:
            Contexts(path, b"/nowhere")
        assert death.value.text == sentence % path
    with pytest.raises(Die) as death:
        Contexts(b"/nowhere/servercert.pem", b"/nowhere")
    assert death.value.text == b"unable to read /nowhere/servercert.pem: file does not exist"


def test_an_expired_certificate_is_noted_and_shown(place: Place) -> None:
    path = place.put("old.pem", place.authority.server("old", "DNS:mx.example.org", days=-1))
    notes: list[bytes] = []
    contexts = Contexts(path, b"/nowhere", note=notes.append)
    (note,) = notes
    assert note.startswith(b"the certificate in " + path + b" has expired on 2")
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake(place.client("mx.example.org"), contexts.secret())


def test_a_bad_certificate_for_a_name_is_noted_and_the_default_is_shown(place: Place, tmp_path: object) -> None:
    write(f"{tmp_path}/bad.org.pem", b"nothing")
    notes: list[bytes] = []
    contexts = Contexts(place.default, str(tmp_path).encode(), note=notes.append)
    assert contexts.find(b"bad.org") is contexts.find(b"bad.org") is contexts.find(b"")
    (note,) = notes
    assert note.endswith(b"bad.org.pem: there is no certificate in it: the default certificate is shown in its place")


def test_the_end_of_a_certificate_is_openssls(place: Place) -> None:
    said = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-in", place.default],
        check=True,
        capture_output=True,
        env={"PATH": PATH},
    ).stdout
    seconds = int(ssl.cert_time_to_seconds(said.decode().strip().removeprefix("notAfter=")))
    assert certificate.end(read(place.default.decode())) == clock.utc_digits(seconds)


@given(st.binary(max_size=200))
def test_the_end_of_what_is_no_certificate_is_unknown(content: bytes) -> None:
    assert certificate.end(b"-----BEGIN CERTIFICATE-----" + content + b"-----END CERTIFICATE-----") is None


# real peers and costs


@pytest.mark.parametrize("busy", [8, 100_000])
def test_an_idle_connection_is_cheap_even_if_it_was_busy_before(place: Place, busy: int) -> None:
    """Resident memory, OpenSSL's with ours, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", _MANY, place.default, place.authority.certificate, str(busy)],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
    )
    assert int(done.stdout) < LARGEST, done.stdout


_MANY = """
import os, ssl, sys
from qmailpy.system.tls_server import Contexts
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
contexts = Contexts(os.fsencode(sys.argv[1]), b"/nowhere")
context = ssl.create_default_context(cafile=sys.argv[2])
def shaken():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="mx.example.org")
    secret = contexts.secret()
    while True:
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            secret.shake(outgoing.read())
            incoming.write(secret.output())
            continue
        secret.shake(outgoing.read())
        for _ in range(3):
            client.write(bytes(int(sys.argv[3])))
            secret.open(outgoing.read())
            secret.close(bytes(int(sys.argv[3])))
            secret.output()
        return secret
kept = [shaken() for _ in range(20)]
before = resident()
kept += [shaken() for _ in range(200)]
print((resident() - before) // 200)
"""
