"""qmail-start in the foreground: Ctrl-C ends all of it in order, and nobody's program sees the terminal."""

import os
import pty
import signal
import subprocess

import pytest

from tests.places import ROOMS, Place, identity, members
from tests.support import PATH, read, wait_for, wait_for_exit

SLOW = "|touch begun; until test -e go; do sleep 0.05; done; touch finished\n"


def begin_a_slow_delivery(place: Place) -> str:
    """A message whose delivery lasts until the file go is there.  Result: the message's number."""
    place.user_file(".qmail", SLOW)
    place.send(place.address)
    wait_for(lambda: os.path.exists(f"{place.user_home}/begun"), "the delivery to begin")
    return place.log.wait("starting").msg


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_process_group_ends_everything_in_order(place: Place, number: int) -> None:
    """As a terminal's Ctrl-C: every process of the group gets it."""
    place.start()
    assert place.daemons is not None
    message = begin_a_slow_delivery(place)
    os.killpg(place.daemons.pid, number)
    os.killpg(place.daemons.pid, number)  # and again, as an impatient hand does
    place.user_file("go", "")
    assert wait_for_exit(place.daemons) == 0
    assert os.path.exists(f"{place.user_home}/finished")
    assert [line.kind for line in place.log.of(message)][-1] == "end"
    assert place.log.lines[-1].kind == "exiting"
    assert [line.text for line in place.log.lines if line.kind == "alert"] == []
    wait_for(lambda: not members(place.daemons.pid), "the end of all daemons")  # type: ignore[union-attr]


@pytest.mark.parametrize("place", ROOMS[:1], indirect=True)
def test_who_ignores_a_signal_goes_on_ignoring_it(place: Place) -> None:
    """A script that starts it by & gives it an ignored INT: Ctrl-C means the script."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        place.start()
    finally:
        signal.signal(signal.SIGINT, before)
    assert place.daemons is not None
    os.killpg(place.daemons.pid, signal.SIGINT)
    place.send(place.address)
    place.log.ends(1)
    assert [line for line in place.log.lines if line.kind == "exiting"] == []
    place.stop()


class Terminal:
    """qmail-start as the foreground process of a terminal; a shell's place in front of it is ours."""

    def __init__(self, place: Place) -> None:
        self._master, slave = pty.openpty()
        os.set_blocking(self._master, False)
        self._seen = b""
        name = os.ttyname(slave)
        who = identity(place.uid, place.gid) if place.embedded else {}
        if who:
            os.chown(name, place.uid, place.gid)
        # setsid, then the first terminal that a session's leader opens is its own
        self.process = subprocess.Popen(
            ["sh", "-c", 'exec <"$0" >"$0" 2>&1; exec "$@"', name, place.program("qmail-start"), "./Maildir/"],
            env={**place.environment, "PATH": f"{place.home}/bin:{PATH}"},
            start_new_session=True,
            **who,
        )
        os.close(slave)

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def text(self) -> str:
        try:
            while piece := os.read(self._master, 65536):
                self._seen += piece
        except OSError:  # nothing more now, or nobody is left at the other end
            pass
        return self._seen.decode("latin-1").replace("\r\n", "\n")

    def close(self) -> None:
        for pid in members(self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._master)


@pytest.mark.parametrize("place", ROOMS[:2], indirect=True)  # a machine of a test's own has no terminals to give
def test_on_a_terminal_users_programs_cannot_reach_it_and_ctrl_c_ends_all(place: Place) -> None:
    terminal = Terminal(place)
    try:
        wait_for(lambda: "status: local 0/" in terminal.text(), lambda: f"the start:\n{terminal.text()}")
        reach = "(exec </dev/tty) 2>/dev/null && echo reached >tty || echo none >tty"
        place.user_file(".qmail", f"|{reach}\n")
        place.send(place.address)
        wait_for(lambda: "end msg" in terminal.text(), lambda: f"the delivery:\n{terminal.text()}")
        assert read(f"{place.user_home}/tty") == b"none\n"
        terminal.type(b"\x03")
        assert wait_for_exit(terminal.process) == 0
        wait_for(lambda: "status: exiting\n" in terminal.text(), lambda: f"its last line:\n{terminal.text()}")
        assert "alert" not in terminal.text()
        wait_for(lambda: not members(terminal.process.pid), "the end of all daemons")
    finally:
        terminal.close()
