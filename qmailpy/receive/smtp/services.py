"""What one SMTP server offers besides SMTP: it depends on the port, not on the client."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from qmailpy.receive.smtp.controls import Controls
    from qmailpy.skeletons.dialog import Secret

    class Contexts(Protocol):
        """The server's certificates (system/tls_server)."""

        def secret(self) -> Secret:
            """For one connection.  Errors: TlsFailed."""


SUBMISSION, IMPLICIT = b"SUBMISSION", b"SMTPS"  # variables: set, even empty, they say so


class Services:
    """tls: None where it is not offered; implicit: it is spoken from the first byte on (465); auth: logins are taken.

    submission: only who has logged in sends, and messages are completed (587, 465); a rule of the listener may say so
    for a client of its own, by the variable.
    """

    __slots__ = ("auth", "implicit", "submission", "tls")

    def __init__(
        self, tls: "Contexts | None" = None, *, auth: bool = False, submission: bool = False, implicit: bool = False
    ) -> None:
        """As above."""
        self.tls, self.auth, self.submission, self.implicit = tls, auth, submission, implicit


def offered(controls: "Controls", environment: dict[bytes, bytes], tls: "Contexts | None") -> Services:
    """What a server offers with these control files and variables.  tls: the certificates, if there are any."""
    return Services(
        tls,
        auth=bool(controls.logins.offered),
        submission=SUBMISSION in environment,
        implicit=IMPLICIT in environment,
    )
