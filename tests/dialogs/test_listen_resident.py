"""Many sessions in one process: what befalls one of them, or its worker, is nobody else's trouble."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.listener_support import Client, Server, small_service
from tests.support import PATH, RecordingQueue, bare_home, is_running, wait_for, wait_for_exit, write
from tests.unread_log import UnreadLog

Start = Callable[..., Server]


@pytest.fixture
def home(tmp_path: Path) -> str:
    found = bare_home(str(tmp_path / "home"))
    for name in ("connectionsaddress", "connectionsnetwork"):
        write(f"{found}/control/{name}", "0\n")
    return found


@pytest.fixture
def start(home: str, tmp_path: Path) -> Iterator[Start]:
    """Starts the small service with these options."""
    (tmp_path / "logs").mkdir()
    with ExitStack() as held:
        yield lambda *words, **more: held.enter_context(
            closing(small_service(home, str(tmp_path / "logs"), *words, **more))
        )


@pytest.fixture
def door(home: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = open_door(home, tmp_path)
    yield process
    process.terminate()
    process.wait()


def open_door(home: str, tmp_path: Path) -> subprocess.Popen[bytes]:
    with open(tmp_path / "door.log", "ab") as log:
        process = subprocess.Popen(
            [f"{home}/bin/qmail-queued", "service"], env={"PATH": PATH, "QMAILHOME": home}, stderr=log
        )
    wait_for(lambda: os.path.exists(f"{home}/door/socket"), "the door")
    return process


def greeted(server: Server, address: str = "127.0.0.1") -> Client:
    client = server.connect(address)
    try:
        assert client.line() == b"220 hello\r\n"
    except BaseException:
        client.close()  # or its session would live on
        raise
    return client


def messages(home: str) -> list[bytes]:
    found = []
    for folder, _, files in os.walk(f"{home}/queue/mess"):
        for name in files:
            with open(f"{folder}/{name}", "rb") as file:
                found.append(file.read())
    return found


def test_many_talk_at_the_same_time(start: Start) -> None:
    server = start("-c", "300", workers=2)
    with ExitStack() as held:
        clients = [held.enter_context(greeted(server)) for _ in range(200)]
        for number, client in enumerate(clients):
            client.socket.sendall(b"ECHO %d\r\n" % number)
        assert [client.line() for client in clients] == [b"%d\r\n" % number for number in range(200)]
        for client in clients:
            assert client.ask(b"QUIT") == b"221 bye"
            assert client.is_closed()


def test_the_environment_and_the_log_are_tcpservers(start: Start) -> None:
    server = start("-v", "-c", "7")
    with greeted(server) as client:
        for name, value in (("PROTO", "TCP"), ("TCPLOCALIP", "127.0.0.1"), ("TCPLOCALHOST", "here")):
            assert client.ask(b"ENV " + name.encode()) == value.encode()
        assert client.ask(b"ENV TCPREMOTEPORT") == b"%d" % client.port
        assert client.ask(b"ENV TCPREMOTEINFO") == b"unset"
        (worker,) = wait_for(server.workers, "a worker")
        client.ask(b"QUIT")
    server.wait_for("status: 0/7", 2)
    assert server.log().splitlines() == [
        "qmail-listen: status: 0/7",
        "qmail-listen: status: 1/7",
        f"qmail-listen: pid {worker}.1 from 127.0.0.1",
        f"qmail-listen: ok {worker}.1 here:127.0.0.1:{server.port} :127.0.0.1::{client.port}",
        f"qmail-listen: end {worker}.1 status 0",
        "qmail-listen: status: 0/7",
    ]


def test_lines_of_a_session_are_in_the_log(start: Start) -> None:
    server = start()
    with greeted(server) as client:
        client.ask(b"NOTE refused")
    server.wait_for("^small: refused$")


def test_a_log_that_nobody_reads_keeps_nobody_waiting(start: Start, tmp_path: Path) -> None:
    with UnreadLog(f"{tmp_path}/logs/1.log") as log:
        server = start("-v", workers=2)
        with greeted(server) as client:
            for number in range(500):
                assert client.ask(b"NOTE %d " % number + b"x" * 900) == b"ok"
        for _ in range(20):
            with greeted(server) as client:
                assert client.ask(b"ECHO x") == b"x"
        said = log.wait_for(b" lines are lost\n")
        assert b"small: 0 x" in said
        assert b"small: 499 x" not in said
        with greeted(server) as client:
            client.ask(b"NOTE at last")
        log.wait_for(b"small: at last\n")


def test_a_session_that_fails_is_told_of_and_takes_nobody_with_it(start: Start) -> None:
    server = start()
    with greeted(server) as other, greeted(server) as client:
        pid = other.ask(b"PID")
        client.socket.sendall(b"RAISE secret\r\n")
        assert client.is_closed()
        assert other.ask(b"PID") == pid
    (line,) = server.wait_for("^.* failed: .*$")
    assert "ValueError" in line
    assert "secret" not in line


def test_a_worker_that_dies_is_replaced_and_the_sessions_of_others_go_on(start: Start) -> None:
    server = start("-c", "100", workers=2)
    with ExitStack() as held:
        clients = {client.ask(b"PID"): client for client in (held.enter_context(greeted(server)) for _ in range(40))}
        pids = {int(pid) for pid in clients}
        victim = min(pids)
        os.kill(victim, signal.SIGKILL)
        server.wait_for(f"worker {victim} was killed by signal 9; its sessions are lost")
        for pid in pids - {victim}:
            assert clients[b"%d" % pid].ask(b"ECHO x") == b"x"
        wait_for(lambda: len(server.workers()) == 2 and victim not in server.workers(), "a new worker")
        with greeted(server) as client:
            assert client.ask(b"ECHO y") == b"y"
        wait_for(lambda: not is_running(victim), "its end")


def test_hup_brings_new_workers_and_old_sessions_go_on(start: Start) -> None:
    server = start()
    with greeted(server) as old:
        first = old.ask(b"PID")
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: pid_of_next(server) != first, "a new worker that accepts")
        assert old.ask(b"PID") == first
        assert old.ask(b"QUIT") == b"221 bye"
    wait_for(lambda: not is_running(int(first)), "the end of the old worker")
    assert server.log() == ""


def two_workers(server: Server) -> list[int]:
    return wait_for(lambda: found if len(found := server.ready_workers()) == 2 else [], "two workers")


def pid_of_next(server: Server) -> bytes:
    with greeted(server) as client:
        return client.ask(b"PID")


def test_the_control_file_of_a_limit_is_read_again_on_hup(start: Start, home: str) -> None:
    server = start()
    first = pid_of_next(server)
    write(f"{home}/control/connectionsaddress", "1\n")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: pid_of_next(server) != first, "a new worker")
    with greeted(server), server.connect() as second:
        assert second.line() == b"421 too many\r\n"


def test_a_new_certificate_brings_new_workers(start: Start, home: str) -> None:
    write(f"{home}/control/servercert.pem", "old\n")
    server = start()
    first = pid_of_next(server)
    write(f"{home}/control/servercert.pem", "newer\n")
    wait_for(lambda: pid_of_next(server) != first, "a worker with the new one")


def test_new_workers_that_cannot_start_change_nothing(start: Start, home: str) -> None:
    server = start(workers=2)
    before = two_workers(server)
    write(f"{home}/refuse", "")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("new workers cannot start .*; the old ones go on")
    wait_for(lambda: server.workers() == before, "the end of the new ones")
    os.unlink(f"{home}/refuse")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(server.workers()) == 2 and not set(server.workers()) & set(before), "other workers")
    with greeted(server) as client:
        assert client.ask(b"ECHO x") == b"x"


def test_a_service_that_cannot_start_at_all_says_so(start: Start, home: str) -> None:
    write(f"{home}/refuse", "")
    server = start()
    assert wait_for_exit(server.process) == 111
    assert "ValueError" in server.log()


def test_nobody_is_refused_or_cut_off_while_workers_change_under_load(start: Start) -> None:
    server = start("-c", "1000", "-b", "200", workers=2)
    failures: list[object] = []
    served, stop = [0], threading.Event()

    def hammer() -> None:
        while not stop.is_set():
            try:
                with greeted(server) as client:
                    if client.ask(b"ECHO x") != b"x" or client.ask(b"QUIT") != b"221 bye":
                        failures.append("a wrong answer")
                    served[0] += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what this looks for
                failures.append(error)

    threads = [threading.Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        before = two_workers(server)
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda before=before: not set(server.workers()) & set(before), "other workers")  # type: ignore[misc]
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert served[0] > 100
    assert server.log() == ""


def test_term_ends_listening_and_sessions_go_on(start: Start) -> None:
    server = start(workers=2)
    with greeted(server) as client:
        pid = int(client.ask(b"PID"))
        assert server.end() == 0
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        with socket.create_server(("127.0.0.1", server.port)):  # whoever is started next may listen there at once
            pass
        assert client.ask(b"ECHO still here") == b"still here"
    wait_for(lambda: not is_running(pid), "the end of the worker")


def test_workers_end_with_a_master_that_was_killed(start: Start) -> None:
    server = start(workers=2)
    pids = two_workers(server)
    with greeted(server) as client:
        server.process.kill()
        wait_for(lambda: len([pid for pid in pids if is_running(pid)]) == 1, "the end of the worker without a session")
        assert client.ask(b"ECHO x") == b"x"
    wait_for(lambda: not any(is_running(pid) for pid in pids), "the end of the other one")


# --- limits ---


def test_who_comes_beyond_the_limit_waits(start: Start) -> None:
    server = start("-c", "3", workers=2)
    with ExitStack() as held:
        inside = [held.enter_context(greeted(server)) for _ in range(3)]
        with server.connect() as waiting:
            waiting.socket.settimeout(0.5)
            with pytest.raises(TimeoutError):
                waiting.socket.recv(1)
            waiting.socket.settimeout(20)
            inside[0].close()
            assert waiting.socket.recv(100) == b"220 hello\r\n"


def test_an_address_and_a_network_have_limits_over_all_workers(start: Start, home: str) -> None:
    write(f"{home}/control/connectionsaddress", "4\n")
    write(f"{home}/control/connectionsnetwork", "6\n")
    server = start("-v", "-c", "100", workers=2)
    with ExitStack() as held:
        for address, count in (("127.0.0.1", 4), ("127.0.0.2", 2), ("127.0.1.1", 4)):
            for _ in range(count):
                assert said_to(server, address, held) == b"220 hello\r\n"
            assert said_to(server, address, held) == b"421 too many\r\n"
    server.wait_for("dropping connection, 127.0.0.1 has 4 connections already")
    server.wait_for("dropping connection, the network of 127.0.0.2 has 6 connections already")
    assert len(server.wait_for("^qmail-listen: deny .*$", 3)) == 3
    server.wait_for("status: 0/100", 2)
    with ExitStack() as held:  # nothing is counted that is over
        for _ in range(4):
            assert said_to(server, "127.0.0.1", held) == b"220 hello\r\n"


def test_networks_that_take_all_they_can_leave_room_for_others(start: Start, home: str) -> None:
    write(f"{home}/control/connectionsnetwork", "200\n")
    server = start("-v", "-c", "24", workers=2)
    with ExitStack() as held:
        for network in range(4):
            for _ in range(24):
                if said_to(server, f"127.0.{network}.1", held) != b"220 hello\r\n":
                    break
            else:
                pytest.fail("nobody was refused")
        assert said_to(server, "127.0.9.1", held) == b"220 hello\r\n"
        assert said_to(server, "127.0.0.2", held) == b"421 too many\r\n"
    server.wait_for(r"the network of 127.0.0.1 has \d+ connections, and few places are left")


def said_to(server: Server, address: str, held: ExitStack) -> bytes:
    client = held.enter_context(socket.create_connection(("127.0.0.1", server.port), 20, (address, 0)))
    return client.recv(100)


def test_a_dead_workers_connections_count_no_more(start: Start, home: str) -> None:
    write(f"{home}/control/connectionsaddress", "2\n")
    server = start("-c", "2")
    with greeted(server) as client, greeted(server):
        os.kill(int(client.ask(b"PID")), signal.SIGKILL)
        server.wait_for("its sessions are lost")
        with greeted(server) as another:
            assert another.ask(b"ECHO x") == b"x"


def test_rules_change_limits_refuse_and_set_variables(start: Start, tmp_path: Path) -> None:
    rules = str(tmp_path / "rules.cdb")
    compile_rules(rules, '127.0.0.1:allow,MAXCONNIP="1",COLOUR="blue"\n127.0.0.2:deny\n:allow\n')
    server = start("-v", "-x", rules)
    with greeted(server) as client, ExitStack() as held:
        assert client.ask(b"ENV COLOUR") == b"blue"
        assert said_to(server, "127.0.0.1", held) == b"421 too many\r\n"
        assert said_to(server, "127.0.0.2", held) == b""
        assert said_to(server, "127.0.0.3", held) == b"220 hello\r\n"
        compile_rules(rules, ":deny\n")
        assert said_to(server, "127.0.0.3", held) == b""
        os.unlink(rules)
        assert said_to(server, "127.0.0.3", held) == b""
    server.wait_for("unable to read .*rules.cdb: file does not exist")


def compile_rules(path: str, rules: str) -> None:
    subprocess.run(["tcprules", path, path + ".tmp"], input=rules.encode(), check=True)


def test_no_descriptors_left_is_a_pause_not_an_end(start: Start) -> None:
    server = start("-c", "1000", preexec_fn=few_files)
    with ExitStack() as held:
        clients = [held.enter_context(server.connect()) for _ in range(60)]
        server.wait_for("unable to accept: process cannot open more files")
        assert clients[0].line() == b"220 hello\r\n"
        for client in clients[:40]:
            client.close()
        for client in clients[40:]:
            assert client.line() == b"220 hello\r\n"


def few_files() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))


# --- time ---


def test_a_silent_client_ends_when_its_patience_does(start: Start) -> None:
    server = start()
    with greeted(server) as quick, greeted(server) as slow:
        slow.ask(b"PATIENCE 0.5")
        begun = time.monotonic()
        assert slow.is_closed()
        assert 0.4 < time.monotonic() - begun < 5
        assert quick.ask(b"ECHO x") == b"x"


def test_a_client_that_never_reads_ends_when_its_patience_does(start: Start) -> None:
    server = start("-v")
    with greeted(server) as client, greeted(server) as other:
        client.ask(b"PATIENCE 0.5")
        client.socket.sendall(b"FLOOD 50000000\r\n")
        server.wait_for("^qmail-listen: end .* status 256$")
        assert other.ask(b"ECHO x") == b"x"


def test_a_client_that_reads_slowly_gets_everything(start: Start) -> None:
    server = start()
    with greeted(server) as client:
        client.socket.sendall(b"FLOOD 20000000\r\nECHO x\r\n")
        assert len(client.line()) == 20000002
        assert client.line() == b"x\r\n"


def test_who_sends_without_end_leaves_room_for_others(start: Start) -> None:
    server = start()
    with greeted(server) as busy, greeted(server) as other:
        stop = threading.Event()

        def send() -> None:
            while not stop.is_set():
                busy.socket.sendall(b"ECHO\r\n" * 10000)

        def read() -> None:
            while busy.socket.recv(65536):
                pass

        threads = [threading.Thread(target=one) for one in (send, read)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            begun = time.monotonic()
            assert other.ask(b"ECHO x") == b"x"
            assert time.monotonic() - begun < 3
        stop.set()
        threads[0].join()
        busy.socket.shutdown(socket.SHUT_RDWR)
        threads[1].join()


def test_the_last_word_reaches_a_client_that_goes_on_talking(start: Start) -> None:
    server = start()
    with greeted(server) as client:
        client.socket.sendall(b"QUIT\r\n" + b"GET / HTTP/1.1\r\n" * 20000)
        assert client.line() == b"221 bye\r\n"


def test_the_half_of_a_connection_may_be_closed(start: Start) -> None:
    server = start()
    with greeted(server) as client:
        client.socket.sendall(b"ECHO x\r\nECHO y\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest() == b"x\r\ny\r\n"


# --- questions ---


def test_questions_are_answered_by_children(start: Start) -> None:
    server = start("-c", "200")
    with ExitStack() as held:
        clients = [held.enter_context(greeted(server)) for _ in range(100)]  # more than there are children
        for number, client in enumerate(clients):
            client.socket.sendall(b"ASK nothing %d\r\n" % number)
        assert [client.line() for client in clients] == [b"%d\r\n" % number for number in range(100)]
        assert clients[0].ask(b"ASK nosuch x").startswith(b"cannot be asked")
        assert clients[0].ask(b"ASK peer-name -127.0.0.1") in (b"localhost", b"")


# --- messages ---


@pytest.mark.parametrize("size", [0, 100, 200_000, 1_000_000, 5_000_000])
def test_a_message_of_any_size_reaches_the_queue(
    start: Start, home: str, door: subprocess.Popen[bytes], size: int
) -> None:
    server = start()
    with greeted(server) as client:
        for _ in range(2):
            assert client.ask(b"SEND %d" % size).startswith(b"ok ")
    assert door.poll() is None
    found = messages(home)
    assert len(found) == 2
    for message in found:  # behind the door's own Received
        assert message.partition(b"\n")[2].replace(b"x", b"").count(b"\n") == -(-size // 16384)
        assert len(message.partition(b"\n")[2]) == size


def test_many_messages_at_once(start: Start, home: str, door: subprocess.Popen[bytes]) -> None:
    server = start("-c", "100", workers=2)
    with ExitStack() as held:
        clients = [held.enter_context(greeted(server)) for _ in range(50)]
        for client in clients:
            client.socket.sendall(b"SEND 3000\r\n" * 4)
        serials = [client.line() for client in clients for _ in range(4)]
    assert len(set(serials)) == 200
    assert all(serial.startswith(b"ok ") for serial in serials)
    assert len(messages(home)) == 200
    assert door.poll() is None


def test_a_message_that_is_cut_off_leaves_nothing(start: Start, home: str, door: subprocess.Popen[bytes]) -> None:
    server = start("-v")
    with greeted(server) as client:
        client.socket.sendall(b"SEND 500000\r\nCRASH\r\n")
        assert client.is_closed()
    server.wait_for("its sessions are lost")
    assert len(messages(home)) <= 1
    assert door.poll() is None


def test_a_closed_door_is_tried_again(start: Start, home: str, tmp_path: Path) -> None:
    server = start()
    with greeted(server) as client:
        client.socket.sendall(b"SEND 100\r\n")
        with greeted(server) as other:
            assert other.ask(b"ECHO x") == b"x"
        process = open_door(home, tmp_path)
        try:
            assert client.line().startswith(b"ok ")
            process.terminate()
            process.wait()
            client.socket.sendall(b"SEND 100\r\n")  # by a line that the door has closed
            process = open_door(home, tmp_path)
            assert client.line().startswith(b"ok ")
        finally:
            process.terminate()
            process.wait()


@pytest.mark.slow
def test_a_door_that_stays_closed_is_a_temporary_failure(start: Start, home: str) -> None:
    server = start()
    with greeted(server) as client:
        assert client.ask(b"SEND 100").startswith(b"Zthe door is closed")
        assert client.ask(b"ECHO x") == b"x"
    assert os.listdir(f"{home}/drop") == ["aside"]


def test_what_the_door_refuses_is_told(start: Start, home: str, tmp_path: Path) -> None:
    write(f"{home}/control/queuebytes", "1000\n")
    with closing_door(home, tmp_path):
        server = start()
        with greeted(server) as client:
            for size in (2000, 3_000_000, 2000):
                assert client.ask(b"SEND %d" % size).startswith(b"Dmessage larger than")
            assert client.ask(b"SEND 900").startswith(b"ok ")


def closing_door(home: str, tmp_path: Path) -> ExitStack:
    process = open_door(home, tmp_path)
    held = ExitStack()
    held.callback(process.wait)
    held.callback(process.terminate)
    return held


def test_a_program_in_the_place_of_qmail_queue_gets_a_process_of_the_sessions_own(start: Start, tmp_path: Path) -> None:
    queue = RecordingQueue(str(tmp_path / "recorded"))
    rules = str(tmp_path / "rules.cdb")
    compile_rules(rules, f'127.0.0.2:allow,QMAILQUEUE="{queue.path}"\n:allow\n')
    server = start("-v", "-x", rules)
    (worker,) = wait_for(server.workers, "a worker")
    with socket.create_connection(("127.0.0.1", server.port), 20, ("127.0.0.2", 0)) as client:
        file = client.makefile("rb")
        client.sendall(b"PID\r\nSEND 70000\r\nQUIT\r\n")
        assert file.readline() == b"220 hello\r\n"
        assert int(file.readline()) != worker
        assert file.readline().startswith(b"ok ")
        assert file.readline() == b"221 bye\r\n"
        assert file.read() == b""
        file.close()
    server.wait_for("^qmail-listen: end .* status 0$")
    server.wait_for("status: 0/40", 2)
    ((message, envelope),) = queue.messages
    assert len(message) == 70000
    assert envelope == b"Fsender@example.org\0Tnobody@mx.example.org\0\0"


def test_a_replaced_qmail_queue_is_executed(start: Start, home: str, tmp_path: Path) -> None:
    queue = RecordingQueue(str(tmp_path / "recorded"))
    os.unlink(f"{home}/bin/qmail-queue")
    os.symlink(queue.path, f"{home}/bin/qmail-queue")
    server = start()
    with greeted(server) as client:
        assert client.ask(b"SEND 100").startswith(b"ok ")
    assert len(queue.messages) == 1


def test_a_worker_that_was_told_to_end_is_replaced_at_once(start: Start) -> None:
    server = start()
    with greeted(server) as client:
        first = int(client.ask(b"PID"))
        os.kill(first, signal.SIGTERM)
        wait_for(lambda: int(pid_of_next(server)) != first, "another worker")
        assert client.ask(b"ECHO x") == b"x"
    wait_for(lambda: not is_running(first), "its end")
    assert server.log() == ""


def test_a_flood_of_short_connections_is_shared_by_the_workers(start: Start) -> None:
    server = start("-c", "1000", workers=2)
    two_workers(server)
    with ExitStack() as held:
        pids = {held.enter_context(greeted(server)).ask(b"PID") for _ in range(400)}
        assert len(pids) == 2
