"""Strangers who mean harm, at qmail-listen and qmail-smtpd with a door behind: floods, cuts, kills, full disks."""

import base64
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from qmailpy.receive.listener import options
from qmailpy.receive.smtp.controls import MOST_HELD, Controls
from qmailpy.wire import ident
from tests import smtp_support
from tests.listener_support import Client, Server, all_children
from tests.places import identity
from tests.policy_support import control
from tests.smtp_support import lines
from tests.support import NOBODY, PATH, bare_home, give, wait_for, wait_for_exit, write
from tests.tls_support import Authority

UID, GID = (NOBODY, NOBODY) if os.getuid() == 0 else (os.getuid(), os.getgid())
HERE = "here.example"
BEGIN = (b"EHLO x", b"MAIL FROM:<a@b.example>", b"RCPT TO:<joe@mx.example.org>")
TEXT = b"Subject: whole\r\n\r\n..dot\r\n.\r\n"
NOT_HERE = b"553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"


class Place:
    """A home with a door and a listener, each of which can be killed and opened again."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        (folder / "logs").mkdir()
        self.folder = str(folder)
        self.home = control(
            bare_home(f"{folder}/home"),
            rcpthosts=f"mx.example.org\n{HERE}\n",
            recipientcheck="0\n",
            connectionsaddress="0\n",
            connectionsnetwork="0\n",
            listenworkers="2\n",
        )
        self.door: subprocess.Popen[bytes] | None = None
        self._servers: list[Server] = []

    def open_door(self, *prefix: str) -> None:
        """prefix: of its command line."""
        give(self.home, UID, GID)
        with suppress(FileNotFoundError):
            os.unlink(f"{self.home}/door/socket")  # of one that was killed
        with open(f"{self.folder}/door.log", "ab") as log:
            self.door = subprocess.Popen(
                [*prefix, f"{self.home}/bin/qmail-queued", "service"],
                env={"PATH": PATH, "QMAILHOME": self.home},
                stderr=log,
                **identity(UID, GID),
            )
        wait_for(lambda: os.path.exists(f"{self.home}/door/socket"), "the door")

    def kill_door(self) -> None:
        assert self.door is not None
        self.door.kill()
        self.door.wait()

    def listen(self, *words: str, program: tuple[str, ...] = ()) -> Server:
        """words: more options; program: more words of qmail-smtpd's."""
        give(self.home, UID, GID)
        command = [f"{self.home}/bin/qmail-listen", "-1", "-H", "-R", "-l", "here", "-c", "2000", *words]
        command += ["127.0.0.1", "0", f"{self.home}/bin/qmail-smtpd", *program]
        self._servers.append(Server(f"{self.folder}/logs", command, {"QMAILHOME": self.home}, **identity(UID, GID)))
        return self._servers[-1]

    def messages(self) -> list[bytes]:
        """Those that were taken: a door that dies leaves others in mess/, begun and in no todo/."""
        found = []
        for folder, _, names in os.walk(f"{self.home}/queue/mess"):
            for name in names:
                if os.path.exists(f"{self.home}/queue/todo/{name}"):
                    with open(f"{folder}/{name}", "rb") as file:
                        found.append(file.read())
        return found

    def close(self) -> None:
        for server in self._servers:
            server.close()
        if self.door is not None and self.door.poll() is None:
            self.door.terminate()
            wait_for_exit(self.door)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with closing(Place(tmp_path)) as found:
        yield found


def greeted(server: Server, source: str = "127.0.0.1") -> Client:
    client = Client.__new__(Client)
    client.socket = socket.create_connection(("127.0.0.1", server.port), 20, (source, 0))
    client._file = client.socket.makefile("rb")
    return closed_unless(client, lambda: client.line().startswith(b"220 "))


def begun(server: Server, source: str = "127.0.0.1") -> Client:
    client = greeted(server, source)
    return closed_unless(
        client, lambda: (client.ask(b"HELO x"), client.ask(BEGIN[1])) == (b"250 mx.example.org", b"250 ok")
    )


def closed_unless(client: Client, good: Callable[[], bool]) -> Client:
    """The client; but it is closed where its server has died, or says something else."""
    try:
        assert good()
    except BaseException:
        client.close()
        raise
    return client


def flood(server: Server, *content: bytes) -> list[bytes]:
    """All answers to what a client says without end, until it is sent away."""
    heard = bytearray()
    with greeted(server) as client:

        def hear() -> None:
            with suppress(OSError):
                while piece := client.socket.recv(65536):
                    heard.extend(piece)

        ear = threading.Thread(target=hear)
        ear.start()
        with suppress(OSError):
            for piece in content:
                client.socket.sendall(piece)
            client.socket.shutdown(socket.SHUT_WR)
        ear.join()
    return bytes(heard).splitlines()


# floods


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"RCPT TO:<x@elsewhere.example>", NOT_HERE),
        (BEGIN[1], b"250 ok"),
        (b"\r\n".join(BEGIN[1:]), b"250 ok"),
        (b"\r\n".join((*BEGIN[1:], b"BDAT 0")), b"250 ok"),
        (b"nothing", b"502 unimplemented (#5.5.1)"),
    ],
)
def test_a_hundred_thousand_commands_that_bring_no_mail_end_the_session_and_the_log_stays_short(
    place: Place, command: bytes, answer: bytes
) -> None:
    server = place.listen()
    said = flood(server, lines(*BEGIN[1:]), *[lines(command) * 1000] * 100)
    assert Counter(said).most_common(1)[0][0] == answer
    assert len(said) < 6000
    # the last answers may be lost: who goes on sending to a connection that was closed is told so by a reset
    server.wait_for('rule=(idle|errors) .*reply="421 too many ')
    assert len(server.log()) < 300_000
    with begun(server) as client:
        assert client.ask(b"NOOP") == b"250 ok"


def test_chunks_without_bytes_bring_nothing(tmp_path: Path) -> None:
    talk = smtp_support.Server(tmp_path).talk(lines(*BEGIN), *[lines(b"BDAT 0")] * 2000)
    assert talk.codes[-1] == 421
    assert not talk.queued


def test_chunks_of_a_byte_are_as_slow_together_as_one_message(tmp_path: Path) -> None:
    server = smtp_support.Server(tmp_path)
    server.pause = 500.0
    talk = server.talk(lines(*BEGIN), *[b"BDAT 1\r\nx"] * 20)
    assert talk.replies[-1] == b"451 timeout (#4.4.2)"
    assert len(talk.turns) < 10
    assert not talk.queued


def test_a_session_that_is_kept_alive_by_words_ends_all_the_same(tmp_path: Path) -> None:
    server = smtp_support.Server(tmp_path)
    server.pause = 1000.0
    talk = server.talk(*[lines(b"NOOP")] * 100)
    assert talk.replies[-1] == b"451 timeout (#4.4.2)"
    assert len(talk.turns) < 20
    message = lines(*BEGIN, b"DATA") + TEXT
    talk = server.talk(*[message, lines(b"NOOP"), lines(b"NOOP")] * 20)
    assert len(talk.queued) == 20  # who brings mail may stay


def test_recipients_of_all_sessions_together_have_a_limit(tmp_path: Path) -> None:
    server = smtp_support.Server(tmp_path)
    known: list[Controls] = []

    def crowd(_: smtp_support.Scripted, controls: Controls) -> None:
        controls.held = MOST_HELD  # by others
        known.append(controls)

    server.prepare = crowd
    recipient = b"RCPT TO:<%s@mx.example.org>" % (b"x" * 800)
    talk = server.talk(lines(BEGIN[1], *[recipient] * 200, b"DATA") + TEXT + lines(b"QUIT"))
    assert 50 < talk.codes.count(250) < 100
    assert talk.codes.count(452) > 100
    assert len(talk.queued[0].recipients) < 100
    assert known[0].held == MOST_HELD  # what was its own counts no more
    server.talk(lines(BEGIN[1], *[recipient] * 20))
    assert known[1].held == MOST_HELD


def test_wishes_of_recipients_are_counted_as_they_are(tmp_path: Path) -> None:
    wish = b"RCPT TO:<x@mx.example.org> NOTIFY=SUCCESS ORCPT=rfc822;" + b"x" * 400
    talk = smtp_support.Server(tmp_path).talk(lines(*BEGIN[:2]), *[lines(*[wish] * 100)] * 200)
    assert 10_000 < talk.codes.count(250) < 15_000
    assert talk.codes[-1] == 452


def test_a_burst_of_connections_is_taken_while_the_workers_are_busy(place: Place) -> None:
    server = place.listen()
    workers = wait_for(lambda: found if len(found := server.ready_workers()) == 2 else [], "two workers")
    with ExitStack() as held:
        try:
            for pid in workers:
                os.kill(pid, signal.SIGSTOP)
            clients = [held.enter_context(server.connect()) for _ in range(300)]
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        assert {client.line() for client in clients} == {b"220 mx.example.org ESMTP\r\n"}


@pytest.mark.parametrize(
    ("words", "backlog"), [((), 40), ((b"-c", b"1000"), 1000), ((b"-c", b"3"), 20), ((b"-b", b"7", b"-c", b"50"), 7)]
)
def test_the_system_holds_as_many_connections_as_we_take(words: tuple[bytes, ...], backlog: int) -> None:
    assert options.read([*words, b"0", b"25", b"x"], {}).backlog == backlog


# relaying and addresses

TRICKS = (
    b"<joe@here.example@else.example>",
    b'<"joe@here.example"@else.example>',
    b"<@here.example:joe@else.example>",
    b"<@here.example,@here.example:joe@else.example>",
    b"<@here.example:@here.example:joe@else.example>",
    b'<"@here.example:joe"@else.example>',
    b"<\\@here.example:joe@else.example>",
    b"<joe@here.example%else.example>",
    b"<joe@else.example%here.example>",
    b'<"joe\\"@here.example"@else.example>',
    b"<joe@else.example>@here.example",
    b"<joe@else.example> <joe@here.example>",
    b"<joe@here.example.>",
    b"<joe@x.here.example>",
    b"<joe@here.example\xff>",
    b"<joe@here.example\t>",
    b"<joe@>",
    b"<joe@[192.0.2.1]>",
    b"<joe@#[]>",
    b" joe@else.example",
)


def test_no_way_of_writing_an_address_makes_us_a_relay(place: Place) -> None:
    with begun(place.listen()) as client:
        for trick in TRICKS:
            assert client.ask(b"RCPT TO:" + trick) == NOT_HERE, trick


def test_what_is_checked_is_what_is_queued(tmp_path: Path) -> None:
    tricks = (b"a%else.example@x.sub.example", b'"a@else.example"@x.sub.example', b"a@else.example\\@x.sub.example")
    said = lines(*BEGIN[:2], *[b"RCPT TO:<%s>" % trick for trick in tricks], b"DATA") + TEXT
    (message,) = smtp_support.Server(tmp_path).talk(said).queued
    assert [recipient.rpartition(b"@")[2] for recipient in message.recipients] == [b"x.sub.example"] * 3


def test_an_owners_name_with_nul_cannot_break_an_environment() -> None:
    assert ident.user(b"1 , 2 : USERID : UNIX : ro\0ot\r\n") == b"root"


# everything that dies


class Load:
    """Clients that bring messages, each with a name of its own, until they are told to stop."""

    def __init__(self, server: Server) -> None:
        self.accepted: list[bytes] = []
        self.refused: list[bytes] = []
        self.cut = 0
        self._server = server
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._bring, args=(number,)) for number in range(12)]
        for thread in self._threads:
            thread.start()

    def _bring(self, number: int) -> None:
        serial = 0
        while not self._over.is_set():
            try:
                with greeted(self._server) as client:
                    for _ in range(5):
                        serial += 1
                        name = b"name-%d-%d-" % (number, serial)
                        for command in BEGIN[1:]:
                            assert client.ask(command) == b"250 ok"
                        assert client.ask(b"DATA") == b"354 go ahead"
                        answer = client.ask(b"Subject: " + name + b"\r\n\r\n" + b"x" * 2000 + b"\r\nend\r\n.")
                        (self.accepted if answer.startswith(b"250 ") else self.refused).append(answer and name)
            except (OSError, AssertionError):
                self.cut += 1

    def wait(self, more: int) -> None:
        """Until so many more were accepted."""
        wanted = len(self.accepted) + more
        wait_for(lambda: len(self.accepted) >= wanted, lambda: f"more than {len(self.accepted)} messages")

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def kill_a_worker(place: Place, server: Server) -> None:
    del place
    os.kill(wait_for(server.ready_workers, "a worker")[0], signal.SIGKILL)


def kill_the_door(place: Place, server: Server) -> None:
    del server
    place.kill_door()
    place.open_door()


def renew(place: Place, server: Server) -> None:
    del place
    server.process.send_signal(signal.SIGHUP)


@pytest.mark.parametrize(
    ("happens", "cuts", "doubles"), [(kill_a_worker, True, 0), (kill_the_door, False, 12), (renew, False, 0)]
)
def test_whatever_dies_no_message_that_was_taken_is_lost(
    place: Place, happens: Callable[[Place, Server], None], *, cuts: bool, doubles: int
) -> None:
    """doubles: how many may be there twice for each death: those that the door had taken and not yet answered."""
    place.open_door()
    server = place.listen()
    load = Load(server)
    try:
        for _ in range(3):
            load.wait(100)
            happens(place, server)
        load.wait(100)
    finally:
        load.end()
    messages = place.messages()
    names = Counter(re.findall(rb"^Subject: (name-\S+)$", b"".join(messages), re.MULTILINE))
    assert all(message.endswith(b"\nend\n") for message in messages)
    assert not set(load.accepted) - set(names)
    assert sum(count - 1 for count in names.values()) <= 3 * doubles
    assert not load.refused or cuts
    assert not load.cut or cuts


def test_a_door_that_may_not_write_refuses_for_now_and_the_session_goes_on(place: Place) -> None:
    place.open_door("prlimit", "--fsize=100000")
    with greeted(place.listen()) as client:
        for size, answer in ((50_000, b"250 ok"), (200_000, b"451 "), (2_000_000, b"451 "), (50_000, b"250 ok")):
            for command in BEGIN[1:]:
                assert client.ask(command) == b"250 ok"
            assert client.ask(b"DATA") == b"354 go ahead"
            assert client.ask(b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * (size // 72) + b".").startswith(answer)
    assert len(place.messages()) == 2


@pytest.mark.root
def test_a_full_disk_is_said_before_the_message_and_room_is_seen_again(place: Place) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", f"{place.home}/queue"], check=True)
    control(place.home, queuereserve="1000000\n", listenworkers="1\n")
    server = place.listen()
    with greeted(server) as client, greeted(server) as other:
        for command in BEGIN[1:]:
            assert client.ask(command) == b"250 ok"
        write(f"{place.home}/queue/filler", b"x" * 2_500_000)
        full = b"452 out of disk space: try again later (#4.3.1)"
        announced = b"MAIL FROM:<a@b.example> SIZE=1000"
        wait_for(lambda: other.ask(announced) == full, "the disk to be seen full")
        assert client.ask(b"DATA") == full
        os.unlink(f"{place.home}/queue/filler")
        wait_for(lambda: other.ask(announced) == b"250 ok", "the disk to be seen empty")
        assert client.ask(b"DATA") == b"354 go ahead"


def test_without_processes_questions_are_for_later_and_sessions_go_on(place: Place) -> None:
    control(place.home, recipientcheck="550\n", listenworkers="1\n")
    server = place.listen()
    with begun(server) as client:
        (worker,) = wait_for(server.ready_workers, "the worker")
        refused = b"550 sorry, no mailbox here by that name (#5.1.1)"
        recipient = b"RCPT TO:<missing@mx.example.org>"
        assert client.ask(recipient) == refused
        limit = ["prlimit", f"--pid={worker}"]
        subprocess.run([*limit, "--nproc=1:"], check=True, **identity(UID, GID))
        for pid in all_children(worker):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not all_children(worker), "their end")
        assert client.ask(recipient) == b"451 sorry, I can't look up this recipient now (#4.3.0)"
        assert client.ask(b"RCPT TO:<x@elsewhere.example>") == NOT_HERE  # needs nobody
        subprocess.run([*limit, "--nproc=100000:"], check=False, stderr=subprocess.DEVNULL, **identity(UID, GID))


# plugins and questions


def test_a_plugin_that_floods_or_takes_its_parent_along_is_one_answer(place: Place) -> None:
    kinds = (
        "flood@*) cat /dev/zero;; die@*) kill -9 $PPID;; all@*) kill -9 0;; two@*) printf 'E553 a\\rb\\nE250 c\\n';;"
    )
    write(f"{place.home}/plugins/bad", f"#!/bin/sh\ncase $SMTPRCPTTO in {kinds} esac\n", 0o755)
    control(place.home, smtpplugins="[rcpt]\nplugins/bad\n")
    with begun(place.listen()) as client:
        for name in (b"flood", b"die", b"all"):
            assert client.ask(b"RCPT TO:<%s@here.example>" % name) == b"451 unable to ask a plugin (#4.3.0)"
            assert client.ask(b"RCPT TO:<good@here.example>") == b"250 ok"
        assert client.ask(b"RCPT TO:<two@here.example>") == b"553 a?b"
        assert client.ask(b"NOOP") == b"250 ok"


def test_slow_answers_for_one_network_leave_places_for_others(place: Place) -> None:
    os.mkfifo(f"{place.home}/wait")
    script = "#!/bin/sh\ncase $SMTPRCPTTO in slow@*) cat wait;; esac\n"
    write(f"{place.home}/plugins/slow", script, 0o755)
    control(place.home, smtpplugins="[rcpt]\nplugins/slow\n", listenworkers="1\n")
    server = place.listen()
    with ExitStack() as held:
        slow = [held.enter_context(begun(server, "127.0.1.1")) for _ in range(40)]
        for client in slow:
            client.socket.sendall(b"RCPT TO:<slow@here.example>\r\n")
        (worker,) = wait_for(server.ready_workers, "the worker")
        try:
            wait_for(lambda: len(all_children(worker)) >= 16, "all places of a network to be taken")
            with begun(server, "127.0.2.1") as client:
                assert client.ask(b"RCPT TO:<good@here.example>") == b"250 ok"
            assert len(all_children(worker)) < 32
        finally:  # whoever waits, now or later, finds an end
            end = os.open(f"{place.home}/wait", os.O_RDWR)
            fifo = f"{place.home}/wait"
            os.rename(fifo, f"{fifo}ed")
            write(fifo, "")
            os.close(end)
        assert {client.line() for client in slow} == {b"250 ok\r\n"}


def test_slow_large_messages_of_one_network_leave_room_at_the_door(place: Place) -> None:
    control(place.home, listenworkers="1\n")
    place.open_door()
    server = place.listen()
    large = (b"x" * 70 + b"\r\n") * 4300
    with ExitStack() as held:
        for _ in range(70):
            client = held.enter_context(begun(server, "127.0.1.1"))
            assert client.ask(BEGIN[2]) == b"250 ok"
            assert client.ask(b"DATA") == b"354 go ahead"
            client.socket.sendall(large)
        with begun(server, "127.0.2.1") as other:
            assert other.ask(BEGIN[2]) == b"250 ok"
            assert other.ask(b"DATA") == b"354 go ahead"
            assert other.ask(large + b".").startswith(b"250 ok ")
        os.kill(server.ready_workers()[0], signal.SIGKILL)  # some would wait for their turn for half a minute


def test_a_login_that_a_plugin_has_refused_is_none_for_the_next_plugin(place: Place) -> None:
    write(f"{place.home}/check", '#!/bin/sh\nexec "$@"\n', 0o755)
    control(
        place.home,
        smtpplugins='[auth]\n:echo "E535 not you"\n[mail]\n:echo "E553 user=$SMTPAUTHUSER"\n',
        authplain="1\n",
    )
    server = place.listen(program=("mx.example.org", f"{place.home}/check", "/bin/true"))
    with greeted(server) as client:
        login = base64.b64encode(b"\0joe\0secret")
        assert client.ask(b"AUTH PLAIN " + login) == b"535 not you"
        assert client.ask(BEGIN[1]) == b"553 user="


# cuts

SESSION = (
    lines(*BEGIN, b"DATA")
    + TEXT
    + lines(*BEGIN[1:], b"BDAT 22")
    + b"Subject: whole\r\n\r\nab\r\nBDAT 2 LAST\r\n\r\nQUIT\r\n"
)
WHOLE = re.compile(
    rb"Received: \(qmail [^\n]*\nReceived: [^\n]*\n  by [^\n]*\nSubject: whole\n\n(\.dot|ab\n)\n", re.DOTALL
)


def test_a_client_that_goes_at_any_byte_in_any_way_leaves_whole_messages_only(place: Place) -> None:
    place.open_door()
    server = place.listen()
    for end in range(len(SESSION)):
        with server.connect() as client:
            client.socket.sendall(SESSION[:end])
            if end % 3 == 0:
                client.socket.shutdown(socket.SHUT_WR)
                client.rest()
            elif end % 3 == 1:  # no farewell
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with server.connect() as client:
        client.socket.sendall(SESSION)
        assert client.rest().count(b"250 ok ") == 2
    wait_for(lambda: not os.listdir(f"{place.home}/queue/pid"), "the door's last client to be gone")
    messages = place.messages()
    assert len(messages) > 10
    assert not [message for message in messages if not WHOLE.fullmatch(message)]


def over_tls(server: Server, pieces: Callable[[bytes], list[bytes]], most: int) -> tuple[int, bytes]:
    """A session inside TLS.  most: bytes after which the client is gone.  Result: bytes that it sent; what it heard."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    sent, heard = 0, b""
    with greeted(server) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert client.ask(b"STARTTLS").startswith(b"220 ")

        def push() -> bool:
            nonlocal sent
            content = outgoing.read()[: most - sent]
            for piece in pieces(content):
                client.socket.sendall(piece)
            sent += len(content)
            return sent < most

        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                if not push():
                    return sent, b""
                incoming.write(client.socket.recv(65536))
        for words in (lines(*BEGIN, b"DATA"), TEXT, lines(b"QUIT")):
            tls.write(words)
        while push():
            try:
                piece = tls.read(65536)
                if not piece:
                    break
                heard += piece
            except ssl.SSLWantReadError:
                incoming.write(client.socket.recv(65536))
    return sent, heard


def test_tls_may_be_cut_anywhere_and_come_byte_by_byte(place: Place) -> None:
    authority = Authority(f"{place.folder}/authority")
    certificate = authority.server("mx", "DNS:mx.example.org")
    with open(certificate.certificate, encoding="ascii") as one, open(certificate.key, encoding="ascii") as other:
        control(place.home, servercert_pem=other.read() + one.read())
    place.open_door()
    server = place.listen()
    size, heard = over_tls(server, lambda content: [content], 1 << 20)
    assert b"\r\n250 ok " in heard
    assert heard.endswith(b"221 mx.example.org\r\n")
    assert over_tls(server, lambda content: [content[at : at + 1] for at in range(len(content))], 1 << 20)[1]
    for most in range(1, size, 5):
        over_tls(server, lambda content: [content], most)
    with begun(server) as client:
        assert client.ask(b"NOOP") == b"250 ok"
    messages = place.messages()
    assert len(messages) < 2 + 20  # a few of the last cuts are behind the message
    assert not [message for message in messages if not WHOLE.fullmatch(message)]
    assert " failed: " not in server.log()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\xff\xff" + b"x" * 30_000,
        b"\x16\x03\x01\x00\x01\x01" * 6000,
        b"\x16\x03\x01\x00\x00" * 5000,
        b"\x14\x03\x03\x00\x01\x01" * 5000,
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(range(256)) * 100,
    ],
)
def test_what_is_no_handshake_ends_one_session(place: Place, garbage: bytes) -> None:
    authority = Authority(f"{place.folder}/authority")
    certificate = authority.server("mx", "DNS:mx.example.org")
    with open(certificate.certificate, encoding="ascii") as one, open(certificate.key, encoding="ascii") as other:
        control(place.home, servercert_pem=other.read() + one.read())
    server = place.listen()
    with greeted(server) as client, greeted(server) as other_client:
        assert client.ask(b"STARTTLS").startswith(b"220 ")
        with suppress(OSError):
            client.socket.sendall(garbage)
            client.socket.shutdown(socket.SHUT_WR)
        assert client.is_closed()
        assert other_client.ask(b"NOOP") == b"250 ok"
    assert " failed: " not in server.log()
