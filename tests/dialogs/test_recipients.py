"""Whether a recipient exists: lists of addresses, homes that cannot be entered, and the next host.

That the answer agrees with delivery is shown by test_explain_agrees, with the addresses there.
"""

import os
import socket
import subprocess
from pathlib import Path

import pytest
from cdblib import Reader

from qmailpy.disk.home import Home
from qmailpy.rules.existing import KNOWN, LATER, UNCLEAR, UNKNOWN
from qmailpy.skeletons import address, callout, recipients
from qmailpy.system import identity
from qmailpy.wire import getpw
from tests.policy_support import control, existing, small_home
from tests.remote_support import Line, Peer, Script, replies
from tests.support import CHECKOUT, NOBODY, PATH, give, read, write
from tests.tls_support import Authority, Server, implicit, starttls

UID, GID = (NOBODY, NOBODY) if os.getuid() == 0 else (os.getuid(), os.getgid())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(str(tmp_path_factory.mktemp("authority")))


@pytest.fixture
def home(tmp_path: Path) -> str:
    """An embedded home of an ordinary user."""
    path = small_home(f"{tmp_path}/home")
    control(path, locals="here.example\nlisted.example\n", embedded="")
    write(f"{path}/alias/.qmail-help", "./Mailbox\n")
    give(path, UID, GID)
    tmp_path.chmod(0o755)
    return path


def table(home: str, text: str) -> bytes:
    """control/recipients, compiled.  Result: what was complained of."""
    control(home, recipients=text)
    done = subprocess.run(
        [f"{CHECKOUT}/bin/qmail-recipients"],
        env={"PATH": PATH, "QMAILHOME": home},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, b"")
    return done.stderr


def ask(home: str, *addresses: str) -> list[bytes]:
    return existing(home, [os.fsencode(address) for address in addresses], UID, GID)


LIST = """# a comment
Ann@shop.example
ann-*@shop.example
bob+*@shop.example
!ann-old@shop.example
@open.example
!closed@open.example
help@listed.example
gone@listed.example
"""


def test_a_domain_with_a_list_has_no_other_recipients(home: str) -> None:
    assert table(home, LIST) == b""
    found = ask(
        home,
        *("ann@shop.example", "ANN@SHOP.example", "ann-x-y@shop.example", "bob+x@shop.example"),
        *("bob@shop.example", "ann-old@shop.example", "missing@shop.example", "x@open.example"),
        *("closed@open.example", "x@elsewhere.example", "x@sub.shop.example"),
    )
    assert found == [KNOWN] * 4 + [UNKNOWN] * 3 + [KNOWN] + [UNKNOWN] + [KNOWN] * 2


def test_who_is_listed_and_has_no_mailbox_is_unknown_all_the_same(home: str) -> None:
    table(home, LIST)
    found = ask(home, "help@listed.example", "gone@listed.example", "x@listed.example", "help", "help@here.example")
    assert found == [KNOWN, UNKNOWN, UNKNOWN, KNOWN, KNOWN]  # help alone is at me, which is not in locals


def test_lines_that_mean_nothing_are_told_and_left_out(home: str) -> None:
    said = table(home, "ann@shop.example\nbob\n*@shop.example\n!@shop.example\n")
    assert said == (
        b"qmail-recipients: warning: control/recipients: line 2: an entry is user@domain or @domain\n"
        b"qmail-recipients: warning: control/recipients: line 3: a star stands only behind a - or +, before the @\n"
        b"qmail-recipients: warning: control/recipients: line 4: of a whole domain it can only be said that everything "
        b"exists\n"
    )
    keys = [key for key, _ in Reader(read(f"{home}/users/recipients.cdb")).items()]
    assert keys == [b"ann@shop.example", b"\0shop.example"]


def test_a_table_that_is_damaged_or_closed_refuses_nobody(home: str) -> None:
    table(home, LIST)
    write(f"{home}/users/recipients.cdb", b"x" * 3000)
    assert ask(home, "missing@shop.example") == [UNCLEAR]
    if os.getuid() == 0:
        table(home, LIST)
        os.chown(f"{home}/users/recipients.cdb", 0, 0)
        os.chmod(f"{home}/users/recipients.cdb", 0o600)
        assert ask(home, "missing@shop.example") == [KNOWN]


def test_what_waits_for_somebody_to_mend_it_is_taken(home: str) -> None:
    assert ask(home, "missing@here.example") == [UNKNOWN]
    os.chmod(f"{home}/alias", 0o777)  # others can write: mail waits
    assert ask(home, "missing@here.example", "help@here.example") == [UNCLEAR, UNCLEAR]
    os.chmod(f"{home}/alias", 0o755)
    os.unlink(f"{home}/control/locals")
    os.unlink(f"{home}/control/me")
    assert ask(home, "missing@here.example") == [UNCLEAR]


@pytest.mark.skipif(os.getuid() != 0, reason="only root is root")
def test_root_does_not_look_into_homes(home: str) -> None:
    os.unlink(f"{home}/control/embedded")
    assert existing(home, [b"missing@here.example"], 0, 0) == [UNCLEAR]


def test_accounts_that_cannot_be_looked_up_mean_later(home: str) -> None:
    write(f"{home}/users/cdb", b"x" * 3000)
    assert ask(home, "missing@here.example") == [LATER]


def test_the_question_leaves_the_working_directory_as_it_was(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "is_root", lambda: False)
    os.unlink(f"{home}/control/embedded")
    who = b"x\0%d\0%d\0%s\0-\0x\0" % (4242, 4242, os.fsencode(f"{home}/alias"))
    monkeypatch.setattr(address, "find_user", lambda *_: getpw.decode(who))
    before = os.getcwd()
    assert recipients.recipient(Home(os.fsencode(home)), b"x@here.example") == UNKNOWN
    assert os.getcwd() == before


# the next host


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callout, "_MEMORY", callout.Memory())


def front(home: str, port: int, options: str = "") -> Home:
    """A host in front of one on this port."""
    control(
        home,
        callout="1",
        rcpthosts="behind.example\n.sub.example\n",
        smtproutes=f"behind.example:127.0.0.1:{port}{options}\nother.example:127.0.0.1:{port}\n:127.0.0.1:{port}\n",
    )
    return Home(os.fsencode(home))


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ({}, KNOWN),
        ({"RCPT": b"550 no such user\r\n"}, UNKNOWN),
        ({"RCPT": b"450 greylisted\r\n"}, UNCLEAR),
        ({"MAIL": b"550 no bounces\r\n"}, UNCLEAR),
        ({"greeting": b"554 go away\r\n"}, UNCLEAR),
        ({"EHLO": b"250-peer\r\n250 PIPELINING\r\n"}, KNOWN),
        ({"EHLO": b"250-peer\r\n250 PIPELINING\r\n", "RCPT": b"551 no\r\n"}, UNKNOWN),
        ({"EHLO": b"500 what\r\n"}, KNOWN),
        ({"RCPT": None}, UNCLEAR),
        ({"greeting": b"nonsense\r\n"}, UNCLEAR),
        ({"EHLO": b"550 not you\r\n", "HELO": b"550 not you\r\n"}, UNCLEAR),
        ({"EHLO": b"421 not now\r\n"}, UNCLEAR),
        ({"greeting": b"421 not now\r\n"}, UNCLEAR),
        ({"MAIL": b"451 not now\r\n"}, UNCLEAR),
        ({"MAIL": b"530 5.7.0 must issue a STARTTLS command first\r\n"}, UNCLEAR),
        ({"EHLO": b"250-peer\r\n250 PIPELINING\r\n", "MAIL": b"550 no\r\n", "RCPT": b"550 no\r\n"}, UNCLEAR),
        ({"RCPT": b"530 5.7.0 must issue a STARTTLS command first\r\n"}, UNCLEAR),
        ({"RCPT": b"550 5.1.1 no such user\r\n"}, UNKNOWN),
        ({"RCPT": b"550-5.1.1 no such user\r\n550 5.1.1 really\r\n"}, UNKNOWN),
        ({"RCPT": b"553 no\r\n"}, UNKNOWN),
        ({"RCPT": b"550 5.7.1 your address is on a list\r\n"}, UNCLEAR),
        ({"RCPT": b"550-5.7.1 your address\r\n550-5.7.1 is on\r\n550 a list\r\n"}, UNCLEAR),
        ({"RCPT": b"554 5.7.1 relay access denied\r\n"}, UNCLEAR),
        *(({"RCPT": b"%d no\r\n" % code}, UNCLEAR) for code in (300, 421, 451, 452, 500, 502, 503, 521, 535, 552, 554)),
        ({"RCPT": b"251 forwarded\r\n"}, KNOWN),
    ],
)
def test_only_a_no_of_the_next_host_to_rcpt_about_the_address_is_a_no(
    home: str, script: dict[str, bytes], answer: bytes
) -> None:
    with Peer(replies(script)) as peer:
        assert recipients.recipient(front(home, peer.port), b"ann b@behind.example") == answer
        assert b"DATA" not in b"".join(peer.heard)


FIRST = b"530 5.7.0 must issue a STARTTLS command first\r\n"


def insisting(server: Server, step: str) -> Script:
    """A host that says nothing about recipients without TLS: 530 at this step, in the first connection."""
    in_clear = replies({"EHLO": b"250-peer\r\n250 STARTTLS\r\n", step: FIRST})
    scripts = [in_clear, *(starttls(server, no_by_tls) for _ in range(2))]

    def script(line: Line) -> None:
        scripts.pop(0)(line)

    return script


def no_by_tls(line: Line) -> None:
    line.hear()
    replies({"greeting": b"250 peer\r\n", "RCPT": b"550 5.1.1 no\r\n"})(line)


@pytest.mark.parametrize("step", ["MAIL", "RCPT"])
def test_a_host_that_insists_on_tls_is_asked_by_tls(home: str, authority: Authority, step: str) -> None:
    with Peer(insisting(authority.server("peer", "DNS:peer"), step)) as peer:
        front_home = front(home, peer.port)
        assert recipients.recipient(front_home, b"ann@behind.example") == UNKNOWN
        assert recipients.recipient(front_home, b"bob@behind.example") == UNKNOWN  # at once, this time
    assert len(peer.heard) == 3


@pytest.mark.parametrize("options", [" tls=encrypt", " tls=verify", " tls=implicit", " tls=none"])
def test_a_route_by_tls_is_asked_by_tls_or_not_at_all(home: str, authority: Authority, options: str) -> None:
    server = authority.server("peer", "DNS:peer")
    scripts = {" tls=implicit": implicit(server, no_by_tls), " tls=none": replies({"RCPT": FIRST})}
    expected = UNKNOWN if options == " tls=encrypt" else UNCLEAR  # nobody has proven that name
    with Peer(scripts.get(options) or starttls(server, no_by_tls)) as peer:
        assert recipients.recipient(front(home, peer.port, options), b"ann@behind.example") == expected
    assert len(peer.heard) == 1


def test_an_answer_is_remembered(home: str) -> None:
    with Peer(replies({"RCPT": b"550 no\r\n"})) as peer:
        front_home = front(home, peer.port)
        for _ in range(3):
            assert recipients.recipient(front_home, b"ann@behind.example") == UNKNOWN
    assert len(peer.heard) == 1


def test_a_host_that_does_not_answer_is_not_asked_again_at_once(home: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    front_home = front(home, port)
    assert recipients.recipient(front_home, b"ann@behind.example") == UNCLEAR
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(0.1)
        assert recipients.recipient(front_home, b"bob@behind.example") == UNCLEAR
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize(
    ("recipient", "options"),
    [
        (b"ann@other.example", ""),  # not taken from everybody: who sends there may relay
        (b"ann@x.sub.example", ""),  # only the smarthost has it
        (b"ann@behind.example", " tls=verify auth=us"),
        (b"ann\r\nQUIT@behind.example", ""),
    ],
)
def test_nobody_is_asked_who_is_not_behind_us(
    home: str, recipient: bytes, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> bytes:
        raise AssertionError

    monkeypatch.setattr(callout, "_converse", never)
    found = recipients.recipient(front(home, 1, options), recipient)
    assert found in (KNOWN, UNCLEAR)


def test_without_the_switch_or_with_a_list_nobody_is_asked(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callout, "ask", lambda *_: UNKNOWN)
    front_home = front(home, 1)
    assert recipients.recipient(front_home, b"ann@behind.example") == UNKNOWN
    control(home, callout="0")
    assert recipients.recipient(front_home, b"ann@behind.example") == KNOWN
    control(home, callout="1")
    table(home, "ann@behind.example\n")
    assert recipients.recipient(front_home, b"ann@behind.example") == KNOWN
