"""qmail-listen beside the real tcpserver: the same command line, client and program; the same environment and log."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.listener_support import Server
from tests.support import CHECKOUT, PATH, bare_home, has_program, is_running, wait_for, write

SHOW = "env | grep -E '^(PROTO|TCP|X)' | sort; ls -l /proc/self/fd | grep -c socket"
RULES = """127.0.0.1:allow,XRELAY="yes",XTWO=#a b#
127.0.0.2:deny
127.0.0.3:deny,XSAID="no"
127.:allow,XNET="here"
:allow,XDEFAULT=""
"""
# options -> what the program is; {rules} is a compiled file
TABLE = [
    ("-HR", SHOW),
    ("-HRv", SHOW),
    ("-HRv -l name.example.org", SHOW),
    ("-HRv -l %\N{BULLET}:x", SHOW),
    ("-HRv -B hello", SHOW),
    ("-HRvD", SHOW),
    ("-HRvo", SHOW),
    ("-HRq", "nosuchprogram"),
    ("-HRv", "exit 3"),
    ("-HRv", "kill -9 $$"),
    ("-HRv -x {rules}", SHOW),
    ("-HRv -x {rules}.missing", SHOW),
    ("-HRvX -x {rules}.missing", SHOW),
    ("-HRv -c 1 -b 1", SHOW),
    ("-Hrv -t 2", SHOW),  # nobody answers whose connection it is
]
ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.9.9.9")

needs_tcpserver = pytest.mark.skipif(not has_program("tcpserver"), reason="needs tcpserver (Debian: ucspi-tcp)")
Listen = Callable[..., Server]


@pytest.fixture
def home(tmp_path: Path) -> str:
    return bare_home(str(tmp_path / "home"))


@pytest.fixture
def listen(home: str, tmp_path: Path) -> Iterator[Listen]:
    """Starts qmail-listen, or another server, with these words."""
    (tmp_path / "logs").mkdir()
    started: list[Server] = []

    def start(*words: str, server: str = "", **environment: str) -> Server:
        program = server or f"{home}/bin/qmail-listen"
        started.append(Server(str(tmp_path / "logs"), [program, "-1", *words], {"QMAILHOME": home, **environment}))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def rules(tmp_path: Path) -> str:
    done = subprocess.run(
        ["tcprules", str(tmp_path / "rules.cdb"), str(tmp_path / "rules.tmp")], input=RULES.encode(), check=True
    )
    assert done.returncode == 0
    return str(tmp_path / "rules.cdb")


def heard_from(server: Server, address: str) -> str:
    """What a client with this address is told, its own port and the server's made equal."""
    with socket.socket() as client:
        client.settimeout(20)
        client.bind((address, 0))
        client.connect(("127.0.0.1", server.port))
        said = b""
        try:
            while piece := client.recv(65536):
                said += piece
        except ConnectionResetError:
            pass
        return alike(said.decode(), {str(client.getsockname()[1]): "CLIENT", str(server.port): "SERVER"})


def alike(text: str, words: dict[str, str]) -> str:
    for word, other in words.items():
        text = re.sub(rf"\b{word}\b", other, text)
    return text


def log_of(server: Server) -> list[str]:
    """Its log, with equal names for it, for ports and for processes."""
    text = re.sub(r":\d+$", ":CLIENT", alike(server.log(), {str(server.port): "SERVER"}), flags=re.MULTILINE)
    text = re.sub(r"(pid|ok|deny|end) \d+ ", r"\1 PID ", text).replace("tcpserver:", "qmail-listen:")
    return text.splitlines()


@needs_tcpserver
@pytest.mark.parametrize(("options", "program"), TABLE)
def test_it_does_what_tcpserver_does(listen: Listen, rules: str, options: str, program: str) -> None:
    words = options.format(rules=rules).split()
    words += [*([] if "-l" in words else ["-l", "here"]), "127.0.0.1", "0"]  # where there is no DNS /etc/hosts has one
    argv = ["sh", "-c", program] if " " in program else [program]
    addresses = ADDRESSES if "{rules}" in options else ADDRESSES[:1]
    results = []
    for server in ("tcpserver", ""):
        one = listen(*words, *argv, server=server)
        heard = []
        for number, address in enumerate(addresses, 1):
            heard.append(heard_from(one, address))
            if "v" in options.split(maxsplit=1)[0]:
                one.wait_for("^.*: end .*$", number)
                one.wait_for("^.*: status: 0/.*$", number + 1)
        one.end()
        results.append((heard, log_of(one)))
    assert results[1] == results[0]


BAD = [
    ([], 100),
    (["0"], 100),
    (["0", "0"], 100),
    (["-z", "0", "0", "true"], 100),
    (["-c"], 100),
    (["0", "nosuchport", "true"], 111),
    (["nosuchhost.invalid", "0", "true"], 111),
    (["192.0.2.200", "0", "true"], 111),
    (["-q", "192.0.2.200", "0", "true"], 111),
]


@needs_tcpserver
@pytest.mark.parametrize(("words", "code"), BAD)
def test_it_fails_where_tcpserver_fails(home: str, words: list[str], code: int) -> None:
    for program in ("tcpserver", f"{home}/bin/qmail-listen"):
        done = subprocess.run(
            [program, *words], env={"PATH": PATH, "QMAILHOME": home}, capture_output=True, check=False
        )
        assert done.returncode == code, (program, done.stderr)
        assert bool(done.stderr) == ("-q" not in words)
    name = b"qmail-listen"
    assert all(line.startswith(name + b": ") for line in done.stderr.splitlines())


def test_a_limit_that_is_no_number_is_a_usage_error(home: str) -> None:
    done = subprocess.run(
        [f"{home}/bin/qmail-listen", "-c", "many", "0", "0", "true"],
        env={"PATH": PATH},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 100
    assert b"-c is followed by something that is no number" in done.stderr


@needs_tcpserver
@pytest.mark.parametrize("server", ["tcpserver", ""])
def test_who_comes_beyond_the_limit_waits(listen: Listen, server: str) -> None:
    one = listen("-HRv", "-l", "here", "-c", "2", "127.0.0.1", "0", "sh", "-c", "echo come; read x", server=server)
    with one.connect() as first, one.connect() as second, one.connect() as third:
        assert first.line() == second.line() == b"come\n"
        third.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            third.socket.recv(1)
        third.socket.settimeout(20)
        first.socket.sendall(b"\n")
        assert third.socket.recv(5) == b"come\n"
    one.wait_for(": status: 0/2")


@needs_tcpserver
@pytest.mark.parametrize("server", ["tcpserver", ""])
def test_term_ends_listening_and_connections_go_on(listen: Listen, server: str) -> None:
    one = listen("-HR", "-l", "here", "127.0.0.1", "0", "sh", "-c", "echo $$; read x; echo $x", server=server)
    with one.connect() as client:
        pid = int(client.line())
        assert one.end() == 0
        with pytest.raises(ConnectionRefusedError):
            one.connect()
        assert client.ask(b"still here") == b"still here"
        wait_for(lambda: not is_running(pid), "the end of the program")


def test_hup_disturbs_nobody(listen: Listen) -> None:
    one = listen("-HR", "-l", "here", "127.0.0.1", "0", "sh", "-c", "echo come; read x; echo $x")
    with one.connect() as client:
        client.line()
        one.process.send_signal(signal.SIGHUP)
        assert client.ask(b"x") == b"x"
    with one.connect() as client:
        assert client.line() == b"come\n"


def test_the_program_gets_descriptors_and_signals_as_from_a_shell(listen: Listen) -> None:
    status = r"grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status; ulimit -n"
    one = listen("-HR", "-l", "here", "127.0.0.1", "0", "sh", "-c", f"ls -l /proc/self/fd; {status}")
    said = one.heard().decode()
    assert said.count("socket:") == 2
    assert re.search(r"SigBlk:\s+0+$", said, re.MULTILINE)
    ignored = re.search(r"SigIgn:\s+([0-9a-f]+)$", said, re.MULTILINE)
    assert ignored
    # 32 and 33 are the C library's own: nobody can change what it inherits of them
    assert int(ignored.group(1), 16) & ~(0b11 << 31) == 0
    assert (
        said.splitlines()[-1]
        == subprocess.run("ulimit -n", shell=True, capture_output=True, check=True).stdout.decode().strip()
    )


def test_ipv6_and_ipv4_come_by_one_socket(listen: Listen) -> None:
    if not socket.has_ipv6 or not can_use_ipv6():
        pytest.skip("no IPv6 loopback on this machine")
    one = listen("-HR", "-l", "here", "0", "0", "sh", "-c", "echo $TCPLOCALIP $TCPREMOTEIP")
    for address in ("127.0.0.1", "::1"):
        with one.connect(address) as client:
            assert client.line().decode() == f"{address} {address}\n"
    four = listen("-HR4", "-l", "here", "0", "0", "echo")
    six = listen("-HR6", "-l", "here", "0", "0", "echo")
    for server, address in ((four, "::1"), (six, "127.0.0.1")):
        with pytest.raises(ConnectionRefusedError):
            server.connect(address)


def can_use_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def test_a_port_has_a_name(home: str) -> None:
    """The one of smtp is taken by somebody, or may not be had: then that is what it says."""
    done = subprocess.run(
        [f"{home}/bin/qmail-listen", "192.0.2.200", "smtp", "true"],
        env={"PATH": PATH},
        capture_output=True,
        check=False,
    )
    assert done.stderr == b"qmail-listen: fatal: unable to bind: address not available\n"


def test_the_owner_of_a_connection_is_asked_of_the_clients_host(listen: Listen) -> None:
    """Port 113 of this machine belongs to root; where nobody answers there the variable is not set."""
    one = listen("-Hr", "-t", "3", "-l", "here", "127.0.0.1", "0", "sh", "-c", "echo ${TCPREMOTEINFO-unset}")
    assert one.heard() == b"unset\n"


def test_the_clients_name_is_looked_up_and_may_have_to_lead_back(listen: Listen) -> None:
    name = socket.getnameinfo(("127.0.0.1", 0), 0)[0]
    for letter in ("p", "P"):
        one = listen(f"-hR{letter}", "127.0.0.1", "0", "sh", "-c", "echo ${TCPREMOTEHOST-unset} ${TCPLOCALHOST-unset}")
        wanted = "unset unset" if name == "127.0.0.1" else f"{name} {name}"
        assert one.heard().decode() == wanted + "\n"


def test_limits_of_an_address_and_of_its_network(listen: Listen, home: str) -> None:
    write(f"{home}/control/connectionsaddress", "2\n")
    write(f"{home}/control/connectionsnetwork", "3\n")
    one = listen("-HRv", "-l", "here", "127.0.0.1", "0", "sh", "-c", "echo come; read x")
    clients = []
    for address in ("127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.1.0.1"):
        client = socket.create_connection(("127.0.0.1", one.port), 20, (address, 0))
        clients.append((client, client.recv(5)))
        if not clients[-1][1]:  # who was turned away counts until he is gone
            one.wait_for("^qmail-listen: end ", 1 + [said for _, said in clients[:-1]].count(b""))
    for client, _ in clients:
        client.close()
    assert [said for _, said in clients] == [b"come\n", b"come\n", b"", b"come\n", b"", b"come\n"]
    one.wait_for("dropping connection, 127.0.0.1 has 2 connections already")
    one.wait_for("dropping connection, the network of 127.0.0.3 has 3 connections already")
    assert len(one.wait_for("^qmail-listen: deny ", 2)) == 2


def test_the_last_places_are_for_networks_that_have_few(listen: Listen) -> None:
    one = listen("-HRv", "-l", "here", "-c", "20", "127.0.0.1", "0", "sh", "-c", "echo come; read x")
    with ExitStack() as held:
        heard = []
        for address in ("127.0.0.1",) * 16 + ("127.1.0.1",):
            client = held.enter_context(socket.create_connection(("127.0.0.1", one.port), 20, (address, 0)))
            heard.append(client.recv(5))
    assert heard == [b"come\n"] * 15 + [b"", b"come\n"]
    one.wait_for("dropping connection, the network of 127.0.0.1 has 15 connections, and few places are left")


# --- sockets that somebody else has bound ---


AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": sys.argv[2]}
os.execv(sys.argv[3], sys.argv[3:])
"""


def given_socket() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def on_given(home: str, tmp_path: Path, host: str, names: str = "") -> bytes:
    """What a client hears where the listening socket is given on descriptor 3, as systemd gives it."""
    with given_socket() as bound:
        port = bound.getsockname()[1]
        words = [
            sys.executable,
            "-c",
            AS_SYSTEMD,
            str(bound.fileno()),
            names,
            f"{home}/bin/qmail-listen",
            "-1",
            "-HR",
            "-l",
            "here",
            host,
            "0",
        ]
        words += ["sh", "-c", "echo come ${LISTEN_FDS-unset}"]
        with closing(Server(str(tmp_path / "logs"), words, {"QMAILHOME": home}, pass_fds=[bound.fileno()])) as server:
            assert server.port == port
            return server.heard()


@pytest.mark.parametrize(("host", "names"), [("systemd", ""), ("systemd:smtp", "smtp"), ("fd:3", "")])
def test_a_socket_that_is_bound_already(home: str, tmp_path: Path, host: str, names: str) -> None:
    (tmp_path / "logs").mkdir()
    said = b"come 1\n" if host == "fd:3" else b"come unset\n"
    assert on_given(home, tmp_path, host, names) == said


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("systemd", b"systemd has given us no such socket"),
        ("fd:0", b"unable to use descriptor 0"),
        ("fd:77", b"unable to use descriptor 77: "),
        ("fd:x", b"that is no descriptor"),
    ],
)
def test_a_socket_that_is_not_there(home: str, host: str, words: bytes) -> None:
    done = subprocess.run(
        [f"{home}/bin/qmail-listen", host, "0", "true"],
        env={"PATH": PATH, "LISTEN_FDS": "1", "LISTEN_PID": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 111
    assert words in done.stderr


@pytest.mark.skipif(not has_program("systemd-socket-activate"), reason="needs systemd-socket-activate")
def test_systemd_starts_it_with_the_first_connection(home: str, tmp_path: Path) -> None:
    with given_socket() as free:
        port = free.getsockname()[1]
    words = ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", "--fdname=smtp"]
    words += [f"--setenv=QMAILHOME={home}", f"{home}/bin/qmail-listen", "-HR", "-l", "here", "systemd:smtp", "0"]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen([*words, "echo", "come"], env={"PATH": PATH}, stderr=log, stdout=log)
    try:

        def heard() -> bytes:
            try:
                with socket.create_connection(("127.0.0.1", port), 20) as client:
                    return client.recv(10)
            except ConnectionRefusedError:
                return b""

        assert wait_for(heard, "a socket of systemd's") == b"come\n"
    finally:
        process.terminate()
        process.wait(20)


def test_it_loads_little(home: str) -> None:
    """A process for each connection is forked from it: neither asyncio, ssl nor socket."""
    done = subprocess.run(
        ["/usr/bin/python3", "-IS", "-X", "importtime", f"{home}/bin/qmail-listen", "nosuchhost.invalid", "0", "x"],
        env={"PATH": PATH, "QMAILHOME": home},
        capture_output=True,
        check=False,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}
    assert not loaded & {"asyncio", "ssl", "socket", "typing", "re", "subprocess", "logging", "enum"}
    assert os.path.exists(f"{CHECKOUT}/bin/qmail-listen")
