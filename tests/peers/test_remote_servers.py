"""Deliveries to SMTP servers that others wrote: aiosmtpd and Postfix's smtp-sink, by the program itself."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.provider import log, provider
from tests.remote_support import MESSAGE, Peer, Place, name_server, replies
from tests.support import CHECKOUT, PATH, free_port, has_program, wait_for, wait_for_exit, write
from tests.tls_support import Authority

aiosmtpd_controller = pytest.importorskip("aiosmtpd.controller", reason="needs aiosmtpd (pip)")


@pytest.fixture
def place(tmp_path: object) -> Place:
    return Place(str(tmp_path))


def qmail_remote(place: Place, *words: str | bytes, pipe: bytes | None = None, **extra: str) -> bytes:
    """What bin/qmail-remote prints; it must exit 0 and say nothing else.  pipe: its input, else the message's file."""
    argv = [sys.executable, "-P", "-B", f"{CHECKOUT}/bin/qmail-remote", *words]
    environment = {"PATH": PATH, "QMAILHOME": place.path, **extra}
    with open(place.message, "rb") as file:
        given: dict[str, Any] = {"stdin": file} if pipe is None else {"input": pipe}
        done = subprocess.run(argv, capture_output=True, check=False, cwd="/", env=environment, timeout=60, **given)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    return bytes(done.stdout)


class Keep:
    """Aiosmtpd's handler."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 kept"


@pytest.fixture
def keep() -> Iterator[tuple[Keep, int]]:
    handler = Keep()
    controller = aiosmtpd_controller.Controller(handler, hostname="127.0.0.1", port=free_port(), decode_data=False)
    controller.start()
    yield handler, controller.port
    controller.stop()


@pytest.mark.parametrize("piped", [False, True])
def test_aiosmtpd_gets_the_message_and_all_recipients(place: Place, keep: tuple[Keep, int], piped: bool) -> None:
    handler, port = keep
    place.control("smtproutes", f":127.0.0.1:{port}")
    words = ("there.example", "from@here.example", "one@there.example", "t w o@there.example")
    report = qmail_remote(place, *words, pipe=MESSAGE if piped else None)
    assert report == b"r\0r\0K127.0.0.1 accepted message.\nRemote host said: 250 kept\n\0"
    [envelope] = handler.envelopes
    assert envelope.content == MESSAGE.replace(b"\n", b"\r\n") + b"\r\n"
    assert envelope.mail_from == "from@here.example"
    assert envelope.rcpt_tos == ["one@there.example", '"t w o"@there.example']


@pytest.mark.parametrize("size", [0, 1, 1_000_000])
def test_smtp_sink_takes_messages_of_any_size(place: Place, size: int) -> None:
    if not has_program("smtp-sink"):
        pytest.skip("needs smtp-sink (Debian: postfix)")
    write(place.message, b"x" * size)
    port = free_port()
    place.control("smtproutes", f":127.0.0.1:{port}")
    sink = subprocess.Popen(
        ["smtp-sink", *(["-u", "nobody"] if os.geteuid() == 0 else []), f"127.0.0.1:{port}", "10"],
        env={"PATH": PATH},
        cwd=place.path,
    )
    try:
        wait_for(lambda: listens(port), "smtp-sink")
        report = qmail_remote(place, "there.example", "from@here.example", "to@there.example")
    finally:
        sink.terminate()
        wait_for_exit(sink)
    assert report == b"r\0K127.0.0.1 accepted message.\nRemote host said: 250 2.0.0 Ok\n\0"


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("words", [(), ("host",), ("host", "sender")])
def test_too_few_words_are_said_so(place: Place, words: tuple[str, ...]) -> None:
    assert qmail_remote(place, *words) == b"DI (qmail-remote) was invoked improperly. (#5.3.5)\n\0"


def test_a_home_that_is_gone_is_a_reason_to_wait(place: Place) -> None:
    words = ("there.example", "from@here.example", "to@there.example")
    report = qmail_remote(place, *words, QMAILHOME=f"{place.path}/gone")
    assert report == b"ZUnable to switch to home directory. (#4.3.0)\n\0"


def test_the_program_asks_the_name_server_of_its_environment(place: Place) -> None:
    with (
        name_server(f"{place.path}/knot", {"example": "there MX 10 mx\nmx A 127.0.0.1\n"}) as server,
        Peer(replies()) as peer,
    ):
        place.control("smtproutes", f"there.example::{peer.port}")
        report = qmail_remote(place, "there.example", "a@b", "c@there.example", DNSCACHEIP=server)
    assert report == b"r\0K127.0.0.1 accepted message.\nRemote host said: 250 taken\n\0"


@pytest.mark.root
def test_mail_finds_its_exchanger_at_port_25(place: Place) -> None:
    """In a machine of its own (tests/namespaces.py): 198.51.100.0/24 answers and is not ours."""
    zone = "there MX 10 mx\nmx A 198.51.100.25\nus MX 5 me\nme A 192.0.2.1\n"
    controller = aiosmtpd_controller.Controller(Keep(), hostname="198.51.100.25", port=25)
    controller.start()
    try:
        with name_server(f"{place.path}/knot", {"example": zone}, port=53):
            taken = qmail_remote(place, "there.example", "a@b", "c@there.example")
            loop = qmail_remote(place, "us.example", "a@b", "c@us.example")
            dead = qmail_remote(place, "mx.example", "a@b", "c@mx.example")
    finally:
        controller.stop()
    assert taken == b"r\0K198.51.100.25 accepted message.\nRemote host said: 250 kept\n\0"
    assert loop.startswith(b"DSorry. Although I'm listed as a best-preference MX")
    assert dead == taken  # by its A record, without an MX


def test_asyncio_is_not_left_with_open_ends(place: Place, keep: tuple[Keep, int]) -> None:
    _, port = keep
    place.control("smtproutes", f":127.0.0.1:{port}")

    async def one_after_the_other() -> None:
        for _ in range(3):
            await asyncio.to_thread(place.deliver)
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    asyncio.run(one_after_the_other())


@pytest.mark.root
@pytest.mark.parametrize("mechanisms", ["plain", "login", "cram-md5 plain", "plain login cram-md5 scram-sha-256"])
def test_postfix_takes_mail_after_a_login(place: Place, tmp_path: object, mechanisms: str) -> None:
    authority = Authority(f"{tmp_path}/authority")
    server = authority.server("provider", "DNS:smtp.example.org,IP:198.51.100.25")
    words = ("there.example", "from@here.example", "to@there.example")
    password = "correct horse battery"  # a colon would end it in a passwd-file
    write(f"{place.path}/control/embedded", "")

    place.control("timeoutremote", "8")

    def send(options: str, known: str = password) -> bytes:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{place.path}/control/smtpauth")
        write(f"{place.path}/control/smtpauth", f"isp:joe:{known}\n", 0o600)
        place.control("smtproutes", f":198.51.100.25:{options}")
        return qmail_remote(place, *words, SSL_CERT_FILE=authority.certificate)

    with provider(server, password, mechanisms) as sink:
        for options in ("587 auth=isp", "465 tls=implicit auth=isp", f"587 auth=isp fingerprint={server.fingerprint}"):
            report = send(options)
            assert report.startswith(b"r"), (report, log())
            assert report.startswith(b"r\0K198.51.100.25 accepted message.\nRemote host said: 250 2.0.0 Ok: ")
            assert report.endswith(b", certificate verified.\n\0")
            assert b"Sent by TLSv1." in report
        refused = send("587 auth=isp", "wrong")
        assert b"but my login in control/smtpauth was refused; mail waits until one of us mends it.\n" in refused
        assert refused.startswith(b"Z")
        assert b"Remote host said: 535 5.7.8 " in refused
        forgotten = send("587 tls=verify")
        assert forgotten.startswith(b"h198.51.100.25 does not like recipient.\nRemote host said: 554 ")
        assert len(sink.mail(3)) == 3
