"""qmail-smtpd under an inetd, Debian's xinetd: by tcp-env, as INSTALL has it, and without."""

import pytest

from tests.neighbours import is_answered, needs, started, syslog
from tests.places import CLASSIC_HOME, classic
from tests.reception_support import Client
from tests.support import wait_for, write

pytestmark = pytest.mark.root

SERVICE = """service {name}
{{
    type = UNLISTED
    port = {port}
    socket_type = stream
    protocol = tcp
    wait = no
    user = qmaild
    server = {home}/bin/{program}
    {arguments}
}}
"""
WAYS = {25: ("tcp-env", f"server_args = -R {CLASSIC_HOME}/bin/qmail-smtpd"), 2525: ("qmail-smtpd", "")}


def test_an_inetd_runs_it_and_its_refusals_are_in_syslog(tmp_path: object) -> None:
    """Descriptor 2 is the client's connection there: nothing but SMTP may be written to it."""
    needs("xinetd")
    place = classic({})
    services = [
        SERVICE.format(name=f"smtp{port}", port=port, home=CLASSIC_HOME, program=program, arguments=arguments)
        for port, (program, arguments) in WAYS.items()
    ]
    path = write(f"{tmp_path}/xinetd.conf", "defaults\n{\n    log_type = FILE /dev/null\n}\n" + "".join(services))
    place.start()
    with syslog() as heard, started(["xinetd", "-dontfork", "-f", path, "-pidfile", f"{tmp_path}/pid"]):
        for count, port in enumerate(WAYS, 1):
            wait_for(lambda number=port: is_answered("127.0.0.1", number), "xinetd")  # type: ignore[misc]
            with Client("127.0.0.1", port) as client:
                assert client.line() == f"220 {place.domain} ESMTP"
                assert client.say("HELO far.example") == f"250 {place.domain}"
                assert client.mail("a@far.example", place.address)[:7] == "250 ok "
                assert client.say("MAIL FROM:<a@far.example>") == "250 ok"
                assert client.say(f"RCPT TO:<c{port}@other.example>").startswith("553 ")
                assert client.quit() == f"221 {place.domain}"
            assert b" (HELO far.example) (127.0.0.1)\n" in place.mail(count)[count - 1]
            line = b"refused 127.0.0.1 rule=rcpthosts helo=far.example from=<a@far.example> to=<c%d@" % port
            wait_for(
                lambda wanted=line: any(b"qmail-smtpd" in one and wanted in one for one in heard.received),  # type: ignore[misc]
                lambda: f"the line in syslog: {heard.received}",
            )
    place.stop()
