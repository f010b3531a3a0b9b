"""TLS at the other end: an authority of the test's own, certificates of every kind, and servers that use them."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from typing import Any, Self

import pytest

from tests.remote_support import Line, Script
from tests.support import PATH, PATIENCE, free_port, write

NAME = "smtp.example.org"


class Authority:
    """A certification authority, made by openssl(1), and what it signs."""

    def __init__(self, folder: str) -> None:
        if shutil.which("openssl", path=PATH) is None:
            pytest.skip("needs openssl")
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.certificate = f"{folder}/ca.pem"
        self._openssl(
            *("req", "-x509", *self._new_key("ca"), "-subj", "/CN=Authority of a test", "-days", "2"),
            *("-addext", "basicConstraints=critical,CA:TRUE", "-out", self.certificate),
        )

    def _new_key(self, name: str) -> tuple[str, ...]:
        key = f"{self.folder}/{name}.key"
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key)

    def _openssl(self, *words: str) -> None:
        subprocess.run(
            ["openssl", *words], check=True, capture_output=True, env={"PATH": PATH}, stdin=subprocess.DEVNULL
        )

    def server(self, name: str, alternatives: str, *, days: int = 2, self_signed: bool = False) -> "Server":
        """A certificate.  alternatives: subjectAltName; days: may be negative, then it has expired."""
        path = f"{self.folder}/{name}"
        if self_signed:
            self._openssl(
                *("req", "-x509", *self._new_key(name), "-subj", "/CN=self", "-days", "2"),
                *("-addext", f"subjectAltName={alternatives}", "-out", f"{path}.pem"),
            )
            return Server(f"{path}.pem", f"{path}.key")
        write(f"{path}.ext", f"subjectAltName={alternatives}\n")
        self._openssl("req", "-new", *self._new_key(name), "-subj", "/CN=server", "-out", f"{path}.csr")
        dates = ("-days", str(days))
        self._openssl(
            *("x509", "-req", "-in", f"{path}.csr", "-CA", self.certificate, "-CAkey", f"{self.folder}/ca.key"),
            *("-CAcreateserial", *dates, "-extfile", f"{path}.ext", "-out", f"{path}.pem"),
        )
        return Server(f"{path}.pem", f"{path}.key")


class Server:
    """A certificate with its key."""

    def __init__(self, certificate: str, key: str) -> None:
        self.certificate, self.key = certificate, key

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context

    @property
    def fingerprint(self) -> str:
        with open(self.certificate) as file:
            return hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read())).hexdigest()

    def secure(self, line: Line) -> None:
        """From here on by TLS.  What was heard too early stays unheard."""
        line.connection = self.context().wrap_socket(line.connection, server_side=True)


@contextlib.contextmanager
def closing(line: Line) -> Iterator[None]:
    """The connection, whatever it has become, is closed in the end."""
    try:
        yield
    finally:
        line.connection.close()


def implicit(server: Server, script: Script) -> Script:
    """A server that speaks TLS from the first byte."""

    def secret(line: Line) -> None:
        with contextlib.suppress(ssl.SSLError, ConnectionError), closing(line):  # the client does not trust us
            server.secure(line)
            script(line)

    return secret


def starttls(
    server: Server, after: Script, *, offers: bytes = b"250-peer\r\n250 STARTTLS\r\n", more: bytes = b""
) -> Script:
    """A server that offers STARTTLS and then runs a script from EHLO on.  more: said in clear behind its 220."""

    def script(line: Line) -> None:
        line.say(b"220 peer\r\n")
        line.hear()
        line.say(offers)
        if line.hear() != b"STARTTLS\r\n":
            line.hear_all()
            return
        line.say(b"220 go\r\n" + more)
        with contextlib.suppress(ssl.SSLError, ConnectionError), closing(line):
            server.secure(line)
            after(line)

    return script


class Smarthost:
    """Aiosmtpd as a provider's relay: STARTTLS, then a login, then mail.  envelopes: what it took."""

    def __init__(self, server: Server, user: bytes, password: bytes) -> None:
        smtp = pytest.importorskip("aiosmtpd.smtp", reason="needs aiosmtpd (pip)")
        controller = pytest.importorskip("aiosmtpd.controller", reason="needs aiosmtpd (pip)")
        self.sessions: list[Any]
        self.envelopes: list[Any] = []
        self.logins: list[tuple[str, bytes, bytes]] = []

        def judge(_server: object, _session: object, _envelope: object, mechanism: str, login: Any) -> Any:
            self.logins.append((mechanism, login.login, login.password))
            is_he = (login.login, login.password) == (user, password)
            return smtp.AuthResult(success=is_he, handled=False)  # the 535 is the server's to say

        sessions = self.sessions = []

        class Kept(controller.Controller):  # type: ignore[misc, name-defined]
            """It knows its connections: a client may keep one that it needs no more for a while."""

            def factory(self) -> Any:
                sessions.append(super().factory())
                return sessions[-1]

        self.controller = Kept(
            self,
            hostname="127.0.0.1",
            port=free_port(),
            decode_data=False,
            tls_context=server.context(),
            require_starttls=True,
            authenticator=judge,
            auth_required=True,
        )
        self.port: int = self.controller.port

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 kept"

    def __enter__(self) -> Self:
        self.controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(hang_up(self.sessions), self.controller.loop).result(PATIENCE)
        self.controller.stop()


async def hang_up(sessions: list[Any]) -> None:
    """End every connection of aiosmtpd's, in its loop."""
    for session in sessions:
        for transport in (session.transport, getattr(session, "_original_transport", None)):
            if transport is not None:
                transport.abort()
    for _ in range(3):  # what abort() puts off comes in the loop's next rounds
        await asyncio.sleep(0)
