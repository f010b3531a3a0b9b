"""CHUNKING, DSN and SMTPUTF8 with other servers, and with our own: what arrives, and what they were asked for."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.neighbours import smtp_sink
from tests.provider import ADDRESS, log, provider
from tests.remote_support import Place
from tests.smtp_service import NAME, Service
from tests.support import CHECKOUT, PATH, free_port, write
from tests.tls_support import Authority

aiosmtpd_controller = pytest.importorskip("aiosmtpd.controller", reason="needs aiosmtpd (pip)")

WISHES = b"RET=HDRS ENVID=job+207 NOTIFY=SUCCESS,DELAY ORCPT=rfc822;joe+20x@there.example"
LARGE = b"Subject: many chunks\n\n" + b"".join(b".%d\n" % number * 3 for number in range(30_000)) + b"the end"
ARRIVED = LARGE + b"\n"


@pytest.fixture
def place(tmp_path: object) -> Place:
    found = Place(f"{tmp_path}/place")
    found.control("timeoutremote", "20")
    return found


def test_smtp_sink_is_told_what_the_sender_wishes(place: Place, tmp_path: object) -> None:
    with smtp_sink(f"{tmp_path}/sink", "127.0.0.1", port := free_port()) as sink:
        place.control("smtproutes", f":127.0.0.1:{port}")
        report = place.deliver(wishes=WISHES)
        [mail] = sink.mail()
    assert report.endswith(b"It was asked to notify the sender itself.\n\0")
    assert b"X-Mail-Args: <from@here.example> RET=HDRS ENVID=job+207\n" in mail
    assert b"X-Rcpt-Args: <to@there.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;joe+20x@there.example\n" in mail


def test_qmail_remote_that_is_executed_has_the_wishes_in_its_environment(place: Place, tmp_path: object) -> None:
    with smtp_sink(f"{tmp_path}/sink", "127.0.0.1", port := free_port()) as sink:
        place.control("smtproutes", f":127.0.0.1:{port}")
        for wishes in (WISHES.decode(), "NOTIFY=SOMETIMES", "\x80", "x" * 5000, ""):
            with open(place.message, "rb") as file:
                done = subprocess.run(
                    [sys.executable, "-P", "-B", f"{CHECKOUT}/bin/qmail-remote", "x.example", "a@b", "c@x.example"],
                    stdin=file,
                    capture_output=True,
                    check=True,
                    env={"PATH": PATH, "QMAILHOME": place.path, "QMAILWISHED": wishes},
                    timeout=60,
                )
            assert done.stdout.startswith(b"r\0K127.0.0.1 accepted message.\n")
        mails = sink.mail(5)
    assert sum(b"X-Rcpt-Args: <c@x.example> NOTIFY=SUCCESS,DELAY ORCPT=" in mail for mail in mails) == 1
    assert sum(b"X-Rcpt-Args: <c@x.example>\n" in mail for mail in mails) == 4


@pytest.fixture
def service(tmp_path: object) -> Service:
    return Service(f"{tmp_path}/service", Authority(f"{tmp_path}/authority"))


@pytest.mark.parametrize("options", ["", " chunking=no", " tls=none"])
def test_our_own_server_gets_chunks_and_all_is_as_after_data(place: Place, service: Service, options: str) -> None:
    write(place.message, LARGE)
    with service.listening(auth=False) as port:
        place.control("smtproutes", f":127.0.0.1:{port}{options}")
        report = place.deliver(f"joe@{NAME}".encode(), host=NAME.encode(), wishes=WISHES)
    assert report.startswith(b"r\0K127.0.0.1 accepted message.\nRemote host said: 250 ok "), report
    assert (b"Sent by TLS" in report) is ("none" not in options)
    [(message, envelope)] = service.queue.messages
    assert message.endswith(b"\n" + ARRIVED)
    assert envelope == b"Ffrom@here.example\0T" + f"joe@{NAME}".encode() + b"\0\0"


@pytest.mark.parametrize("piped", [False, True])
def test_an_executed_qmail_remote_sends_chunks_too(place: Place, service: Service, piped: bool) -> None:
    write(place.message, LARGE)
    to = f"joe@{NAME}"
    with service.listening(auth=False) as port, open(place.message, "rb") as file:
        place.control("smtproutes", f":127.0.0.1:{port}")
        given: dict[str, Any] = {"input": LARGE} if piped else {"stdin": file}
        done = subprocess.run(
            [sys.executable, "-P", "-B", f"{CHECKOUT}/bin/qmail-remote", NAME, "a@b.example", to],
            capture_output=True,
            check=True,
            env={"PATH": PATH, "QMAILHOME": place.path},
            timeout=60,
            **given,
        )
    assert done.stdout.startswith(b"r\0K127.0.0.1 accepted message.\n"), done.stdout
    [(message, _)] = service.queue.messages
    assert message.endswith(b"\n" + ARRIVED)


def test_our_own_server_refuses_chunks_as_it_refuses_data(place: Place, service: Service) -> None:
    write(place.message, LARGE)
    service.control(databytes="1000\n")
    with service.listening(auth=False) as port:
        place.control("smtproutes", f":127.0.0.1:{port}")
        report = place.deliver(f"joe@{NAME}".encode(), f"ann@{NAME}".encode(), host=NAME.encode())
    assert report.startswith(b"DConnected to 127.0.0.1 but sender was rejected.\nRemote host said: 552 "), report


def test_our_own_server_takes_addresses_beyond_ascii(place: Place, service: Service) -> None:
    recipient = f"j\u00f6e@{NAME}".encode()
    with service.listening(auth=False) as port:
        place.control("smtproutes", f":127.0.0.1:{port}")
        report = place.deliver(recipient, sender="\u00e4@b\u00fccher.example".encode())
        service.control(smtputf8="0\n")
        refused = place.deliver(recipient)
    assert report.startswith(b"r\0K")
    [(_, envelope)] = service.queue.messages
    assert envelope == b"F" + "\u00e4@b\u00fccher.example".encode() + b"\0T" + recipient + b"\0\0"
    assert refused == (
        b"hConnected to 127.0.0.1 but it takes no address beyond ASCII (SMTPUTF8), and this is one. (#5.6.7)\n\0"
        b"DGiving up on 127.0.0.1.\n\0"
    )


class Keep:
    """Aiosmtpd's handler."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 kept"


@pytest.fixture(params=[False, True], ids=["ascii", "smtputf8"])
def keep(request: pytest.FixtureRequest) -> Iterator[tuple[Keep, int, bool]]:
    handler = Keep()
    words = {"hostname": "127.0.0.1", "port": free_port(), "decode_data": False, "enable_SMTPUTF8": request.param}
    controller = aiosmtpd_controller.Controller(handler, **words)
    controller.start()
    yield handler, controller.port, request.param
    controller.stop()


def test_aiosmtpd_gets_addresses_beyond_ascii_as_it_can_take_them(place: Place, keep: tuple[Keep, int, bool]) -> None:
    handler, port, beyond = keep
    place.control("smtproutes", f":127.0.0.1:{port}")
    sender, domain_only, whole = "ann@b\u00fccher.example", "joe@b\u00fccher.example", "j\u00f6e@there.example"
    report = place.deliver(*(each.encode() for each in (domain_only, whole)), sender=sender.encode())
    [envelope] = handler.envelopes
    if beyond:
        assert (envelope.mail_from, envelope.rcpt_tos) == (sender, [domain_only, whole])
        assert envelope.smtp_utf8
        assert report.startswith(b"r\0r\0K")
    else:
        assert (envelope.mail_from, envelope.rcpt_tos) == (
            "ann@xn--bcher-kva.example",
            ["joe@xn--bcher-kva.example"],
        )
        assert report.startswith(b"r\0hConnected to 127.0.0.1 but it takes no address beyond ASCII (SMTPUTF8)")
        assert b"(#5.6.7)\n\0K127.0.0.1 accepted message." in report


@pytest.mark.root
def test_postfix_gets_chunks_and_wishes_and_passes_them_on(place: Place, tmp_path: object) -> None:
    server = Authority(f"{tmp_path}/authority").server("provider", "DNS:smtp.example.org")
    with provider(server, "secret") as sink:
        for options in ("", " chunking=no", " tls=none"):
            place.control("smtproutes", f":{ADDRESS}:25{options}")
            write(place.message, LARGE)
            report = place.deliver(wishes=WISHES)
            assert report.startswith(b"r\0K198.51.100.25 accepted message.\nRemote host said: 250 2.0.0 Ok: "), log()
            assert report.endswith(b"It was asked to notify the sender itself.\n\0")
        write(place.message, b"")
        place.control("smtproutes", f":{ADDRESS}:25")
        assert place.deliver().startswith(b"r\0K")
        mails = sorted(sink.mail(4), key=len)
    for mail in mails[1:]:
        assert mail.rstrip(b"\n").endswith(LARGE), mail[-100:]
        assert b" RET=HDRS" in mail
        assert b" ENVID=job+207" in mail
        assert b" NOTIFY=SUCCESS,DELAY" in mail
        assert b" ORCPT=rfc822;joe+20x@there.example" in mail
    said = log()
    assert said.count(" bdat=") == 3, said
    assert said.count(" data=1") == 1
