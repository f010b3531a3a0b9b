"""The door of a queue whose disk is almost full: nobody's message is begun, and everybody hears why."""

import signal
from pathlib import Path

import pytest

from qmailpy.wire import door as wire
from tests.inject_support import run
from tests.queue_support import MESSAGE, answer, call, conversation, is_empty, new_home, open_door, queued
from tests.support import wait_for, write


@pytest.fixture
def home(tmp_path: Path) -> str:
    return new_home(tmp_path)


@pytest.mark.parametrize("name", ["queuereserve", "queuereservefiles"])
def test_no_message_is_begun_below_the_reserve(home: str, name: str) -> None:
    write(f"{home}/control/{name}", f"{1 << 60}\n")
    with open_door(home) as door:
        with call(home) as connection:
            connection.sendall(wire.greeting(wire.ONE_MESSAGE) + wire.frame(b"m", b"x"))  # it has not all come
            said = answer(connection)
        assert said is not None
        assert (said.code, b"disk is almost full" in said.text) == (53, True)
        done = run(home, "sendmail", "joe@example.org", message=MESSAGE)
        assert done.code == 75
        assert is_empty(home)
        write(f"{home}/control/{name}", "0\n")
        door.process.send_signal(signal.SIGHUP)

        def is_taken() -> bool:
            with call(home) as connection:
                connection.sendall(conversation())
                said = answer(connection)
            return said is not None and said.code == 0

        wait_for(is_taken, "the door to read its files")
    assert queued(home)[0].body == MESSAGE
