"""TLS and logins against servers that keep to the rules or break them: never weaker than the route asks."""

import os
import ssl

import pytest

from qmailpy.wire import sasl
from tests.remote_support import GOOD, Line, Peer, Place, Script, replies
from tests.support import write
from tests.tls_support import NAME, Authority, Server, implicit, starttls

PASSWORD = "correct:horse battery"
PLAIN = sasl.encoded(b"\0joe\0" + PASSWORD.encode())
TAKEN = b"r\0K127.0.0.1 accepted message.\nRemote host said: 250 taken\n"
A = "IP:127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(str(tmp_path_factory.mktemp("authority")))


@pytest.fixture(scope="module")
def good(authority: Authority) -> Server:
    return authority.server("good", f"DNS:{NAME},{A}")


@pytest.fixture
def place(tmp_path: object, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("SSL_CERT_FILE", authority.certificate)
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    found = Place(str(tmp_path))
    write(f"{found.path}/control/embedded", "")  # the only uid that we have is everybody's
    write(f"{found.path}/control/smtpauth", f"isp:joe:{PASSWORD}\n", 0o600)
    found.control("timeoutremote", "20")
    return found


def by(place: Place, script: Script, options: str) -> tuple[bytes, list[bytes]]:
    """The report, and what the server heard on each connection.  options: of the route to it."""
    with Peer(script) as peer:
        place.control("smtproutes", f":127.0.0.1:{peer.port} {options}")
        report = place.deliver()
    return report, peer.heard


def after_tls(changed: dict[str, bytes | None] | None = None, *, greets: bool = False) -> Script:
    """A server from EHLO on, by TLS."""
    spoken = replies(changed)

    def script(line: Line) -> None:
        if greets:
            spoken(line)
            return
        assert line.hear() == b"EHLO client.example.org\r\n"
        table = {**GOOD, **(changed or {})}
        line.say(table["EHLO"] or b"")
        rest(line, table)

    return script


def rest(line: Line, table: dict[str, bytes | None]) -> None:
    while True:
        step = line.hear().split()[0].decode()
        if step == "AUTH":
            line.say(table.get("AUTH") or b"235 welcome\r\n")
            continue
        line.say(table[step] or b"")
        if step == "QUIT":
            return
        if step == "DATA" and (table[step] or b"").startswith(b"3"):
            line.hear_body()
            line.say(table["dot"] or b"")


@pytest.mark.parametrize("options", ["tls=may", "tls=encrypt", "tls=verify"])
def test_mail_goes_by_tls_where_the_server_offers_it(place: Place, good: Server, options: str) -> None:
    report, [heard] = by(place, starttls(good, after_tls()), options)
    proven = b"certificate verified" if options == "tls=verify" else b"certificate not verified"
    assert report.startswith(TAKEN + b"Sent by TLSv1.3 TLS_")
    assert report.endswith(b", " + proven + b".\n\0")
    assert heard.startswith(b"EHLO client.example.org\r\nSTARTTLS\r\nEHLO client.example.org\r\nMAIL FROM:")


def test_tls_may_begin_with_the_first_byte(place: Place, good: Server) -> None:
    report, [heard] = by(place, implicit(good, after_tls(greets=True)), "tls=implicit")
    assert report.startswith(TAKEN)
    assert report.endswith(b", certificate verified.\n\0")
    assert b"STARTTLS" not in heard


def test_with_none_starttls_is_not_said(place: Place) -> None:
    offers = b"250-peer\r\n250 STARTTLS\r\n"
    report, [heard] = by(place, replies({"EHLO": offers}), "tls=none")
    assert report == TAKEN + b"\0"
    assert b"STARTTLS" not in heard


def test_the_name_is_told_to_the_server(place: Place, good: Server) -> None:
    told = []
    context = good.context()
    context.sni_callback = lambda _socket, name, _context: told.append(name)
    good_context, good.context = good.context, lambda: context  # type: ignore[method-assign]
    try:
        with Peer(starttls(good, after_tls())) as peer:
            place.control("smtproutes", f":{NAME}:{peer.port} tls=verify")
            report = place.deliver(prepare=lambda equipment: equipment.use_resolver(OneName()))  # type: ignore[arg-type]
    finally:
        good.context = good_context  # type: ignore[method-assign]
    assert report.startswith(TAKEN)
    assert told == [NAME]


class OneName:
    """A resolver that knows the relay."""

    async def a(self, _name: bytes) -> list[bytes]:
        return [b"127.0.0.1"]

    async def aaaa(self, _name: bytes) -> list[bytes]:
        return []


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("another name", b"IP address mismatch, certificate is not valid for '127.0.0.1'"),
        ("expired", b"certificate has expired"),
        ("self-signed", b"self-signed certificate"),
        ("unknown authority", b"unable to get local issuer certificate"),
    ],
)
@pytest.mark.parametrize("options", ["tls=verify", "tls=implicit", "auth=isp", "tls=encrypt auth=isp"])
def test_a_certificate_that_does_not_match_gets_nothing(
    place: Place, authority: Authority, tmp_path: object, kind: str, words: bytes, options: str
) -> None:
    if kind == "another name":
        server = authority.server("another", "DNS:other.example.org,IP:127.0.0.2")
    elif kind == "expired":
        server = authority.server("expired", A, days=-1)
    elif kind == "self-signed":
        server = authority.server("self", A, self_signed=True)
    else:
        server = Authority(f"{tmp_path}/foreign").server("foreign", A)
    script = implicit(server, after_tls(greets=True)) if "implicit" in options else starttls(server, after_tls())
    report, [heard] = by(place, script, options)
    assert report.startswith(b"ZConnected to 127.0.0.1 but its certificate did not match 127.0.0.1: ")
    assert words in report
    assert report.endswith(b". (#4.7.5)\n\0")
    assert b".." not in report
    assert b"MAIL" not in heard
    assert b"AUTH" not in heard


def test_verify_no_is_the_only_way_to_send_a_login_to_whoever_answers(place: Place, authority: Authority) -> None:
    server = authority.server("another", "DNS:other.example.org")
    offers: dict[str, bytes | None] = {"EHLO": b"250-peer\r\n250 AUTH PLAIN\r\n"}
    report, [heard] = by(place, starttls(server, after_tls(offers)), "tls=encrypt verify=no auth=isp")
    assert report.startswith(TAKEN)
    assert b"AUTH PLAIN " + PLAIN in heard


def test_a_fingerprint_is_enough_and_another_one_is_not(place: Place, authority: Authority) -> None:
    server = authority.server("self", "DNS:any.example.org", self_signed=True)
    report, _ = by(place, starttls(server, after_tls()), f"fingerprint={server.fingerprint}")
    assert report.startswith(TAKEN)
    assert report.endswith(b", certificate verified.\n\0")
    other = authority.server("other", A)
    report, [heard] = by(place, starttls(other, after_tls()), f"fingerprint={server.fingerprint}")
    assert report == (
        b"ZConnected to 127.0.0.1 but its certificate did not match 127.0.0.1: its fingerprint is "
        + other.fingerprint.encode()
        + b". (#4.7.5)\n\0"
    )
    assert b"MAIL" not in heard


# what a server, or somebody between, may try


@pytest.mark.parametrize("options", ["tls=encrypt", "tls=verify", "auth=isp"])
@pytest.mark.parametrize("reply", [GOOD["EHLO"], b"250-peer\r\n250-XXXXXXXX\r\n250 AUTH PLAIN\r\n", b"502 what\r\n"])
def test_a_server_without_starttls_gets_no_mail_that_must_not_go_in_clear(
    place: Place, options: str, reply: bytes
) -> None:
    report, [heard] = by(place, replies({"EHLO": reply}), options)
    text = b"ZConnected to 127.0.0.1 but it does not offer TLS, which its route asks for. (#4.7.4)\n\0"
    assert report == text
    assert heard == b"EHLO client.example.org\r\nQUIT\r\n"


@pytest.mark.parametrize("reply", [b"454 not now\r\n", b"502 no\r\n"])
def test_a_refused_starttls_matters_only_where_it_was_asked_for(place: Place, reply: bytes) -> None:
    table: dict[str, bytes | None] = {"EHLO": b"250-peer\r\n250 STARTTLS\r\n", "STARTTLS": reply}
    report, [heard] = by(place, replies(table), "tls=may")
    assert report == TAKEN + b"\0"
    report, [heard] = by(place, replies(table), "tls=encrypt")
    assert report.startswith(
        b"ZConnected to 127.0.0.1 but it refused TLS, which its route asks for.\nRemote host said: "
    )
    assert b"MAIL" not in heard


@pytest.mark.parametrize(
    "more", [b"250-evil\r\n250 AUTH PLAIN\r\n", b"250 evil\r\n235 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n", b"2"]
)
@pytest.mark.parametrize("options", ["tls=may", "tls=encrypt", "auth=isp"])
def test_replies_injected_before_tls_are_not_heard_after_it(
    place: Place, good: Server, more: bytes, options: str
) -> None:
    report, [heard] = by(place, starttls(good, after_tls(), more=more), options)
    assert report == b"ZConnected to 127.0.0.1 but it said more than it may before TLS. (#4.7.4)\n\0"
    assert heard == b"EHLO client.example.org\r\nSTARTTLS\r\n"


def test_what_was_offered_in_clear_means_nothing_after_tls(place: Place, good: Server) -> None:
    offers = b"250-peer\r\n250-STARTTLS\r\n250-PIPELINING\r\n250-SIZE 9\r\n250 AUTH PLAIN\r\n"
    report, [heard] = by(place, starttls(good, after_tls(), offers=offers), "tls=verify")
    assert report.startswith(TAKEN)
    assert b"SIZE" not in heard
    report, [heard] = by(place, starttls(good, after_tls(), offers=offers), "auth=isp")
    text = b"ZConnected to 127.0.0.1 but I cannot log in: it offers no way to log in that I know. (#4.7.4)\n\0"
    assert report == text
    assert PLAIN not in heard


def broken_tls(line: Line) -> None:
    """It offers STARTTLS, and cannot."""
    line.say(b"220 peer\r\n")
    line.hear()
    line.say(b"250-peer\r\n250 STARTTLS\r\n")
    if line.hear() == b"STARTTLS\r\n":
        line.say(b"220 go\r\n")
        line.say(b"500 what is that\r\n")
        line.hear_all()
    else:
        rest_of_plain(line)


def rest_of_plain(line: Line) -> None:
    line.say(GOOD["MAIL"])
    rest(line, dict(GOOD))


def gone_at_tls(line: Line) -> None:
    line.say(b"220 peer\r\n")
    line.hear()
    line.say(b"250-peer\r\n250 STARTTLS\r\n")
    if line.hear() == b"STARTTLS\r\n":
        line.say(b"220 go\r\n")
        return
    rest_of_plain(line)


def closing_after_hello(line: Line) -> None:
    line.say(b"220 peer\r\n")
    line.hear()
    line.say(b"250-peer\r\n250 STARTTLS\r\n")
    if line.hear() == b"STARTTLS\r\n":
        line.say(b"220 go\r\n")
        line.connection.recv(100)
        line.say(b"\x15\x03\x01\x00\x02\x02\x28")  # the alert that no cipher fits
        return
    rest_of_plain(line)


@pytest.mark.parametrize("script", [gone_at_tls, closing_after_hello])
def test_where_tls_is_only_welcome_its_failure_costs_a_connection(place: Place, script: Script) -> None:
    report, heard = by(place, script, "tls=may")
    assert report == TAKEN + b"\0"
    assert len(heard) == 2
    assert b"STARTTLS" not in heard[1]
    report, heard = by(place, script, "tls=encrypt")
    assert report.startswith(b"ZConnected to 127.0.0.1 but ")
    assert len(heard) == 1


def test_a_server_that_is_silent_in_the_handshake_is_left(place: Place) -> None:
    place.control("timeoutremote", "1")

    def script(line: Line) -> None:
        line.hear_all()

    report, _ = by(place, script, "tls=implicit")
    assert report == b"ZConnected to 127.0.0.1 but connection died. (#4.4.2)\n\0"


def test_an_old_tls_is_no_tls(place: Place, good: Server) -> None:
    context = good.context()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    good_context, good.context = good.context, lambda: context  # type: ignore[method-assign]
    try:
        report, _ = by(place, starttls(good, after_tls()), "tls=encrypt")
    finally:
        good.context = good_context  # type: ignore[method-assign]
    assert report.startswith(b"ZConnected to 127.0.0.1 but TLS failed: ")


# logins


@pytest.mark.parametrize(
    ("offered", "dialogue"),
    [
        (b"PLAIN LOGIN", [(b"AUTH PLAIN " + PLAIN + b"\r\n", b"235 in\r\n")]),
        (
            b"LOGIN",
            [
                (b"AUTH LOGIN\r\n", b"334 VXNlcm5hbWU6\r\n"),
                (sasl.encoded(b"joe") + b"\r\n", b"334 UGFzc3dvcmQ6\r\n"),
                (sasl.encoded(PASSWORD.encode()) + b"\r\n", b"235-in\r\n235 in\r\n"),
            ],
        ),
        (
            b"PLAIN CRAM-MD5",
            [
                (b"AUTH CRAM-MD5\r\n", b"334 PDE+\r\n"),
                (
                    sasl.encoded(sasl.CramMd5(sasl.Credentials(b"joe", PASSWORD.encode()), b"").respond(b"<1>"))
                    + b"\r\n",
                    b"235 in\r\n",
                ),
            ],
        ),
    ],
)
def test_the_login_that_the_server_offers(
    place: Place, good: Server, offered: bytes, dialogue: list[tuple[bytes, bytes]]
) -> None:
    def script(line: Line) -> None:
        line.hear()
        line.say(b"250-peer\r\n250 AUTH " + offered + b"\r\n")
        for words, reply in dialogue:
            assert line.hear() == words
            line.say(reply)
        rest(line, dict(GOOD))

    report, _ = by(place, starttls(good, script), "auth=isp")
    assert report.startswith(TAKEN)


@pytest.mark.parametrize(
    "reply", [b"535 5.7.8 no", b"454 4.7.0 not now", b"534 stronger", b"504 eh", b"500 eh", b"550 x"]
)
def test_a_refused_login_holds_the_mail_and_says_so(place: Place, good: Server, reply: bytes) -> None:
    table: dict[str, bytes | None] = {"EHLO": b"250-peer\r\n250 AUTH PLAIN\r\n", "AUTH": reply + b"\r\n"}
    report, [heard] = by(place, starttls(good, after_tls(table)), "auth=isp")
    assert report == (
        b"ZConnected to 127.0.0.1 but my login in control/smtpauth was refused; mail waits until one of us mends it.\n"
        b"Remote host said: " + reply + b"\n\0"
    )
    assert heard.endswith(PLAIN + b"\r\nQUIT\r\n")


@pytest.mark.parametrize("step", ["AUTH", "MAIL", "RCPT", "DATA", "dot"])
@pytest.mark.parametrize("echo", [PASSWORD.encode(), PLAIN, PLAIN[:20], PASSWORD.encode().hex().encode()])
def test_a_server_that_repeats_the_password_does_not_bring_it_into_the_log(
    place: Place, good: Server, step: str, echo: bytes
) -> None:
    table: dict[str, bytes | None] = {
        "EHLO": b"250-peer\r\n250 AUTH PLAIN\r\n",
        step: b"550 you said " + echo + b"\r\n",
    }
    report, _ = by(place, starttls(good, after_tls(table)), "auth=isp")
    assert b"550 (its words repeat a part of the login and are not shown)" in report
    assert echo not in report


def test_a_question_that_makes_no_sense_ends_the_login(place: Place, good: Server) -> None:
    for offered, question in (
        (b"CRAM-MD5", b"334 ?\r\n"),
        (b"PLAIN", b"334 \r\n"),
        (b"SCRAM-SHA-256", b"334 cj14\r\n"),
    ):
        table: dict[str, bytes | None] = {"EHLO": b"250-peer\r\n250 AUTH " + offered + b"\r\n", "AUTH": question}
        report, [heard] = by(place, starttls(good, cancelled(table)), "auth=isp")
        assert report.startswith(b"ZConnected to 127.0.0.1 but I cannot log in: it")
        assert heard.endswith(b"\r\n*\r\nQUIT\r\n")


def cancelled(table: dict[str, bytes | None]) -> Script:
    def script(line: Line) -> None:
        line.hear()
        line.say(table["EHLO"] or b"")
        line.hear()
        line.say(table["AUTH"] or b"")
        line.hear_all()

    return script


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        (f"isp:joe:{PASSWORD}\n", 0o644, b"others can read or write it: chmod 0400"),
        (f"isp:joe:{PASSWORD}\n", 0o640, b"others can read or write it: chmod 0400"),
        (f"other:joe:{PASSWORD}\n", 0o600, b"there is no line for this name"),
        ("isp:joe\n", 0o600, b"line 1 is not name:user:password"),
        (None, 0, b"there is no such file"),
    ],
)
def test_without_a_login_that_can_be_used_nobody_is_called(
    place: Place, content: str | None, mode: int, reason: bytes
) -> None:
    path = f"{place.path}/control/smtpauth"
    os.unlink(path)
    if content is not None:
        write(path, content, mode)
    report, heard = by(place, replies(), "auth=isp")
    assert report == b"ZSorry, I can't use the login isp in control/smtpauth: " + reason + b". (#4.3.5)\n\0"
    assert heard == []


def test_a_login_in_clear_goes_to_this_machine(place: Place) -> None:
    table: dict[str, bytes | None] = {"EHLO": b"250-peer\r\n250 AUTH PLAIN\r\n", "AUTH": b"235 in\r\n"}
    report, [heard] = by(place, replies(table), "tls=none auth=isp")
    assert report == TAKEN + b"\0"
    assert PLAIN in heard


def test_421_in_the_middle_of_it_all_waits(place: Place, good: Server) -> None:
    for step in ("EHLO", "AUTH", "MAIL", "RCPT", "DATA", "dot"):
        table: dict[str, bytes | None] = {"EHLO": b"250-peer\r\n250 AUTH PLAIN\r\n", step: b"421 bye\r\n"}
        report, _ = by(place, starttls(good, after_tls(table)), "auth=isp")
        assert b"\0D" not in b"\0" + report.replace(b"\0DGiving up", b"")
        assert b"421 bye" in report


def test_large_messages_go_by_tls_whole(place: Place, good: Server) -> None:
    write(place.message, b"x" * 70 + b"\n" + (b"y" * 99 + b"\n") * 30_000)
    report, [heard] = by(place, starttls(good, after_tls()), "tls=verify")
    assert report.startswith(TAKEN)
    assert heard.count(b"y" * 99 + b"\r\n") == 30_000
