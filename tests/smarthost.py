"""A relay with STARTTLS and AUTH, as a provider has it: aiosmtpd, with a certificate of the test's own authority."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import PATIENCE, free_port
from tests.tls_support import Authority, hang_up

USER, PASSWORD = "joe@example.com", "pa$$ w:o|r#d"


class Smarthost:
    """What it has got, and how to reach it."""

    def __init__(self, folder: str) -> None:
        """folder: for its key and certificate."""
        self.port = free_port()
        self.envelopes: list[Any] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.sessions: list[Any] = []
        authority = Authority(f"{folder}/authority")
        self.authority = authority.certificate
        self._certificate = authority.server("relay", "DNS:localhost,IP:127.0.0.1")
        self.context = self._certificate.context()
        self.fingerprint = self._certificate.fingerprint

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 kept"

    def authenticate(self, _server: object, _session: object, _envelope: object, _mechanism: str, given: Any) -> Any:
        from aiosmtpd.smtp import AuthResult

        self.logins.append((given.login, given.password))
        is_right = (given.login, given.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=is_right, handled=False)


@contextlib.contextmanager
def smarthost(folder: str, *, implicit: bool = False) -> Iterator[Smarthost]:
    """It runs on 127.0.0.1.  implicit: TLS from the first byte, instead of STARTTLS.  Mail only after a login."""
    controller = pytest.importorskip("aiosmtpd.controller", reason="needs aiosmtpd (pip)")
    relay = Smarthost(folder)

    class Kept(controller.Controller):  # type: ignore[misc, name-defined]
        """It knows its connections: those that end without TLS' farewell would stay open."""

        def factory(self) -> Any:
            relay.sessions.append(super().factory())
            return relay.sessions[-1]

    server = Kept(
        relay,
        hostname="127.0.0.1",
        port=relay.port,
        decode_data=False,
        authenticator=relay.authenticate,
        auth_required=True,
        auth_require_tls=not implicit,
        **({"ssl_context": relay.context} if implicit else {"tls_context": relay.context, "require_starttls": True}),
    )
    server.start()
    try:
        yield relay
    finally:
        asyncio.run_coroutine_threadsafe(hang_up(relay.sessions), server.loop).result(PATIENCE)
        server.stop()
