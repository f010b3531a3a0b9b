"""qmail-direct: the rules of Exim's mua_wrapper, a row each, by sendmail and by itself, against servers that answer."""

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.direct_support import ME, MESSAGE, ONE, TWO, Host
from tests.remote_support import NEXT, Gone, Line, Peer, replies
from tests.smarthost import PASSWORD, USER, Smarthost, smarthost
from tests.support import PATH, bare_home, free_port, write


@pytest.fixture
def host(tmp_path: Path) -> Host:
    os.chmod(tmp_path, 0o711)
    return Host(str(tmp_path / "home"))


def bodies(peer: Peer) -> int:
    """How many messages it got."""
    return sum(heard.count(b"\r\n.\r\n") for heard in peer.heard)


def test_all_recipients_get_it_in_one_transaction(host: Host) -> None:
    with Peer(replies()) as peer:
        host.route_to(peer.port)
        done = host.send(ONE, TWO)
    assert (done.returncode, done.stderr) == (0, b"")
    [heard] = peer.heard
    assert heard.count(b"MAIL FROM:<me@host.example.org>") == 1
    assert heard.index(b"RCPT TO:<one@there.example>") < heard.index(b"RCPT TO:<two@elsewhere.example>")
    assert heard.count(b"DATA\r\n") == 1
    body = heard.partition(b"DATA\r\n")[2]
    assert body.startswith(b"Received: (qmail ")
    assert b"Subject: direct\r\n\r\n..body\r\n.\r\n" in body


REFUSALS: Mapping[str, dict[str, bytes | None]] = {
    "greeting for good": {"greeting": b"554 no\r\n"},
    "greeting for now": {"greeting": b"421 busy\r\n"},
    "our name": {"EHLO": b"550 who\r\n", "HELO": b"550 who\r\n"},
    "sender for good": {"MAIL": b"550 not you\r\n"},
    "sender for now": {"MAIL": b"451 not now\r\n"},
    "one recipient for good": {"RCPT": b"250 ok\r\n" + NEXT + b"550 nobody\r\n"},
    "one recipient for now": {"RCPT": b"250 ok\r\n" + NEXT + b"450 full\r\n"},
    "the first recipient": {"RCPT": b"550 nobody\r\n" + NEXT + b"250 ok\r\n"},
    "DATA for good": {"DATA": b"554 no\r\n"},
    "DATA for now": {"DATA": b"451 no\r\n"},
    "message for good": {"dot": b"554 spam\r\n"},
    "message for now": {"dot": b"451 later\r\n"},
    "connection lost at RCPT": {"RCPT": None},
    "connection lost after the message": {"dot": None},
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_no_to_anybody_is_a_no_to_all_and_sendmail_exits_1(host: Host, name: str) -> None:
    with Peer(replies(REFUSALS[name])) as peer:
        host.route_to(peer.port)
        done = host.send(ONE, TWO)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    for words in REFUSALS[name].values():
        for reply in (words or b"").split(NEXT):
            if not reply.startswith(b"250") and reply:
                assert reply.strip() in done.stderr
    if "message" not in name:
        assert bodies(peer) == 0
    if "recipient" in name:
        assert all(b"DATA" not in heard for heard in peer.heard)


def test_long_words_of_the_peer_are_said_whole(host: Host) -> None:
    with Peer(replies({"MAIL": b"550-" + b"a" * 300 + b"\r\n550 the end\r\n"})) as peer:
        host.route_to(peer.port)
        done = host.send()
    assert done.returncode == 1
    assert b"a" * 300 + b" 550 the end" in done.stderr


def test_nobody_listens(host: Host) -> None:
    host.route_to(free_port())
    done = host.send()
    assert done.returncode == 1
    assert b"wasn't able to establish an SMTP connection" in done.stderr
    assert b"Mail waits" not in done.stderr


@pytest.mark.root
def test_the_next_host_is_tried_when_connecting_fails(host: Host) -> None:
    write("/etc/hosts", "127.0.0.1 relay.example\n::1 relay.example\n")
    with Peer(replies(), socket.AF_INET6) as peer:
        host.control("smtproutes", f":relay.example:{peer.port}")
        done = host.send()
    assert (done.returncode, done.stderr) == (0, b"")
    assert bodies(peer) == 1


@pytest.mark.root
def test_the_next_host_is_not_tried_after_a_refusal(host: Host) -> None:
    write("/etc/hosts", "127.0.0.1 relay.example\n127.0.0.2 relay.example\n")
    with (
        Peer(replies({"greeting": b"421 busy\r\n"})) as first,
        socket.create_server(("127.0.0.2", first.port)) as second,
    ):
        second.setblocking(False)
        host.control("smtproutes", f":relay.example:{first.port}")
        done = host.send()
        with pytest.raises(BlockingIOError):
            second.accept()
    assert done.returncode == 1
    assert b"421 busy" in done.stderr


# --- who gets it ---


def sent(host: Host, *recipients: str) -> tuple[int, bytes, list[str], str]:
    """Exit code, errors, the recipients and the sender that the relay heard."""
    with Peer(replies()) as peer:
        host.route_to(peer.port)
        done = host.send(*recipients)
    lines = b"".join(peer.heard).decode().split("\r\n")
    to = [line[9:-1] for line in lines if line.startswith("RCPT TO:<")]
    sender = "".join(line[11:].partition(">")[0] for line in lines if line.startswith("MAIL FROM:<"))
    return done.returncode, done.stderr, to, sender


def test_aliases_are_followed_first(host: Host) -> None:
    host.aliases("root: admin, two@elsewhere.example\nadmin: one@there.example\n")
    assert sent(host, "root", ONE)[2] == [ONE, TWO]


def test_a_local_recipient_fails_the_whole_message(host: Host) -> None:
    code, errors, to, _ = sent(host, ONE, "somebody")
    assert (code, to) == (1, [])
    assert b"somebody@host.example.org is local" in errors


@pytest.mark.parametrize("value", ["/var/mail/archive", '"|cat"', "joe, \\joe"])
def test_an_alias_that_delivers_here_fails(host: Host, value: str) -> None:
    host.aliases(f"joe: {value}\n")
    code, errors, to, _ = sent(host, "joe", ONE)
    assert (code, to) == (1, [])
    assert b"joe@host.example.org is local" in errors


def test_an_alias_that_is_wrong_fails_and_says_so(host: Host) -> None:
    host.aliases("joe:\n")
    code, errors, to, _ = sent(host, "joe")
    assert (code, to) == (1, [])
    assert b"aliases line 1" in errors


def test_a_dotqmail_that_only_forwards_is_followed(host: Host) -> None:
    write(f"{host.home}/alias/.qmail-list", "&one@there.example\n&two@elsewhere.example\n")
    assert sent(host, "list")[2] == [ONE, TWO]


def test_a_virtual_domain_is_followed(host: Host) -> None:
    host.control("virtualdomains", "shop.example:alias-shop")
    write(f"{host.home}/alias/.qmail-shop-default", "&one@there.example\n")
    assert sent(host, "info@shop.example")[2] == [ONE]


def test_a_list_with_an_owner_changes_the_sender_if_it_is_alone(host: Host) -> None:
    host.aliases("list: one@there.example\nowner-list: boss@there.example\n")
    assert sent(host, "list")[2:] == ([ONE], "owner-list@host.example.org")


def test_recipients_that_need_different_senders_fail(host: Host) -> None:
    host.aliases("list: one@there.example\nowner-list: boss@there.example\n")
    code, errors, to, _ = sent(host, "list", TWO)
    assert (code, to) == (1, [])
    assert b"different senders" in errors


def test_who_is_named_twice_gets_it_once(host: Host) -> None:
    host.aliases("me: one@there.example\n")
    assert sent(host, ONE, "me", ONE)[2] == [ONE]


def test_an_alias_to_dev_null_swallows_it(host: Host) -> None:
    host.aliases("trash: /dev/null\n")
    assert sent(host, "trash")[:3] == (0, b"", [])


def test_no_recipient_is_a_failure(host: Host) -> None:
    host.message = b"Subject: x\n\n"
    done = host.run("sendmail", "-t")
    assert done.returncode == 1
    assert b"no recipient" in done.stderr


# --- one way ---


def test_different_routes_fail(host: Host) -> None:
    with Peer(replies()) as peer:
        host.control("smtproutes", f"there.example:127.0.0.1:{peer.port}\n:127.0.0.2:{peer.port}")
        done = host.send(ONE, TWO)
    assert done.returncode == 1
    assert b"different ways" in done.stderr
    assert peer.heard == []


def test_a_route_that_is_written_twice_is_one_way(host: Host) -> None:
    with Peer(replies()) as peer:
        host.control("smtproutes", f"there.example:127.0.0.1:{peer.port}\n:127.0.0.1:{peer.port}")
        assert host.send(ONE, TWO).returncode == 0
    assert bodies(peer) == 1


def test_a_route_that_refuses_fails_with_its_text(host: Host) -> None:
    host.control("smtproutes", ":error:no mail from here")
    done = host.send()
    assert (done.returncode, b"no mail from here" in done.stderr) == (1, True)


def test_a_route_that_cannot_be_followed_fails(host: Host) -> None:
    host.control("smtproutes", ":127.0.0.1:25 tls=perhaps")
    done = host.send()
    assert done.returncode == 1
    assert b"control/smtproutes" in done.stderr


# --- what belongs to a queue ---


@pytest.mark.parametrize("words", [("-odq",), ("-odb",), ("-bm",), ("-O", "DeliveryMode=q")])
def test_options_about_queueing_are_ignored(host: Host, words: tuple[str, ...]) -> None:
    with Peer(replies()) as peer:
        host.route_to(peer.port)
        done = host.run("sendmail", *words, ONE)
    assert (done.returncode, done.stderr, bodies(peer)) == (0, b"", 1)


def test_a_home_that_is_not_said_has_no_file_of_logins(host: Host) -> None:
    host.route_to(free_port(), " tls=encrypt verify=no auth=provider")
    done = host.send(HOME="")
    told = f"I can't use the login provider in {host.home}/control/smtpauth: there is no such file."
    assert told.encode() in done.stderr


def test_qmail_queue_leaves_nothing_where_nobody_would_take_it(host: Host) -> None:
    done = host.send(QMAILQUEUE=f"{host.home}/bin/qmail-queue")
    assert done.returncode == 1
    assert b"there is no queue here (control/direct)" in done.stderr


def test_there_is_no_queue_to_flush_or_list(host: Host) -> None:
    done = host.run("sendmail", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    done = host.run("sendmail", "-bp")
    assert (done.returncode, done.stdout) == (0, b"Mail queue is empty\n")


def test_nothing_listens(host: Host) -> None:
    done = host.run("qmail-start", "./Maildir/")
    assert done.returncode == 111
    assert b"control/direct is there" in done.stderr
    done = host.run("sendmail", "-bs")
    assert done.returncode == 69
    assert b"without a queue" in done.stderr


def test_one_caller_alone_by_qmailqueue(host: Host) -> None:
    os.unlink(f"{host.home}/control/direct")
    with Peer(replies({"MAIL": b"550 not you\r\n"})) as peer:
        host.route_to(peer.port)
        done = host.send(QMAILQUEUE=f"{host.home}/bin/qmail-direct")
    assert (done.returncode, b"550 not you" in done.stderr) == (1, True)


@pytest.mark.parametrize(("reply", "code"), [(b"550 no\r\n", 100), (b"451 later\r\n", 111)])
def test_qmail_inject_has_its_own_exit_codes(host: Host, reply: bytes, code: int) -> None:
    with Peer(replies({"MAIL": reply})) as peer:
        host.route_to(peer.port)
        done = host.run("qmail-inject", ONE)
    assert (done.returncode, done.stderr.startswith(b"qmail-inject: fatal: ")) == (code, True)


# --- by itself ---


def by_itself(host: Host, envelope: bytes, *, listener: bool) -> tuple[int, bytes, bytes]:
    """Exit code, what is said on 2 and on 6, of qmail-direct with this envelope."""
    path = write(f"{host.home}/envelope", envelope)
    six, end = os.pipe()
    done = subprocess.run(
        ["bash", "-c", 'exec "$0" 1<"$1"' + f" 6>&{end}" * listener, f"{host.home}/bin/qmail-direct", path],
        input=MESSAGE,
        stderr=subprocess.PIPE,
        check=False,
        env={"PATH": PATH, "QMAILHOME": host.home},
        pass_fds=[end],
        timeout=60,
    )
    os.close(end)
    with open(six, "rb") as file:
        return done.returncode, done.stderr, file.read()


@pytest.mark.parametrize(
    ("listener", "reply", "code"),
    [(True, b"550 no\r\n", 82), (True, b"451 no\r\n", 82), (False, b"550 no\r\n", 31), (False, b"451 no\r\n", 71)],
)
def test_its_exit_codes_are_those_of_a_queue_program(host: Host, listener: bool, reply: bytes, code: int) -> None:
    with Peer(replies({"MAIL": reply})) as peer:
        host.route_to(peer.port)
        got, said, custom = by_itself(host, b"Fme@host.example.org\0Tone@there.example\0\0", listener=listener)
    assert got == code
    text = custom if listener else said
    assert reply.strip() in text
    assert custom[:1] == (b"" if not listener else b"D" if reply.startswith(b"5") else b"Z")


def test_an_envelope_that_is_cut_off_is_sent_to_nobody(host: Host) -> None:
    with Peer(replies()) as peer:
        host.route_to(peer.port)
        assert by_itself(host, b"Fme@host.example.org\0Tone@there.example\0", listener=False)[0] == 54
    assert peer.heard == []


# --- logins ---


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Smarthost]:
    with smarthost(str(tmp_path)) as running:
        yield running


def own_logins(host: Host, mode: int = 0o600, password: str = PASSWORD) -> None:
    write(f"{host.caller}/.qmail-smtpauth", f"provider:{USER}:{password}\n", mode)


def test_the_callers_own_login_is_used(host: Host, relay: Smarthost) -> None:
    own_logins(host)
    host.route_to(relay.port, f" tls=fingerprint fingerprint={relay.fingerprint} auth=provider")
    done = host.send(ONE, TWO)
    assert (done.returncode, done.stderr) == (0, b"")
    assert set(relay.logins) == {(USER.encode(), PASSWORD.encode())}
    assert relay.envelopes[0].rcpt_tos == [ONE, TWO]


def test_a_login_that_others_can_read_is_not_used(host: Host, relay: Smarthost) -> None:
    own_logins(host, 0o640)
    host.route_to(relay.port, " tls=encrypt verify=no auth=provider")
    done = host.send()
    assert done.returncode == 1
    path = f"{host.caller}/.qmail-smtpauth".encode()
    assert b"I can't use the login provider in " + path + b": others can read" in done.stderr
    assert b"control/smtpauth" not in done.stderr
    assert PASSWORD.encode() not in done.stderr
    assert relay.logins == []


def test_a_wrong_password_is_never_shown(host: Host, relay: Smarthost) -> None:
    own_logins(host, password="hunter2hunter2")
    host.route_to(relay.port, " tls=encrypt verify=no auth=provider")
    done = host.send()
    assert done.returncode == 1
    assert b"535" in done.stderr
    assert f"my login in {host.caller}/.qmail-smtpauth was refused.".encode() in done.stderr
    assert b"hunter2" not in done.stderr


def test_another_file_of_logins_by_a_variable(host: Host, relay: Smarthost) -> None:
    path = write(f"{host.caller}/secret", f"provider:{USER}:{PASSWORD}\n", 0o400)
    host.route_to(relay.port, " tls=encrypt verify=no auth=provider")
    assert host.send(QMAILSMTPAUTH=path).returncode == 0
    assert host.send(QMAILSMTPAUTH="/nowhere").returncode == 1


def test_a_server_whose_certificate_is_nobodys_gets_no_mail(host: Host, relay: Smarthost) -> None:
    own_logins(host)
    host.route_to(relay.port, " tls=verify auth=provider")
    done = host.send()
    assert done.returncode == 1
    assert b"certificate" in done.stderr
    assert relay.logins == []


# --- a container ---

CONTAINER_UID = 12345  # in no passwd


def received(heard: bytes) -> bytes:
    """The number in the Received line."""
    return heard.partition(b"Received: (qmail ")[2].partition(b" ")[0]


@pytest.mark.root
@pytest.mark.parametrize("uid", [CONTAINER_UID, 0])
def test_it_works_in_a_container_with_a_read_only_file_system(tmp_path: Path, uid: int) -> None:
    """No name for the uid, no account of ours, no privilege, no /dev/log, no HOME, and nothing that can be written."""
    os.chmod(tmp_path, 0o755)
    home = bare_home(str(tmp_path / "home"), me=ME)
    os.unlink(f"{home}/control/embedded")
    write(f"{home}/control/direct", "")
    write("/etc/aliases", "root: one@there.example\n")
    with Peer(replies()) as peer:
        write(f"{home}/control/smtproutes", f":127.0.0.1:{peer.port}\n")
        script = (
            f"mount --bind {tmp_path} {tmp_path} && mount -o remount,bind,ro {tmp_path} && "
            "mount -t tmpfs -o ro none /tmp && mount -t tmpfs -o ro none /dev/shm && "
            f"exec setpriv --reuid {uid} --regid {uid} --clear-groups --no-new-privs "
            f"--bounding-set=-all --inh-caps=-all {home}/bin/sendmail root"
        )
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script],
            input=b"Subject: cron\n\nhello\n",
            env={"PATH": PATH, "QMAILHOME": home},
            capture_output=True,
            check=False,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"RCPT TO:<one@there.example>" in peer.heard[0]
    assert b"From: anonymous@host.example.org" in peer.heard[0]
    assert f"(qmail {int(received(peer.heard[0]))} invoked by uid {uid})".encode() in peer.heard[0]


def test_a_peer_that_goes_away_at_once(host: Host) -> None:
    def script(_: Line) -> None:
        raise Gone

    with Peer(script) as peer:
        host.route_to(peer.port)
        done = host.send()
    assert done.returncode == 1
    assert b"connection died" in done.stderr
