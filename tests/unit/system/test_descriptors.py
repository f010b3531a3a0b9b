"""Descriptors: whether there is still somebody at the other end."""

import os

from qmailpy.system import descriptors


def test_a_pipe_is_at_its_end_when_its_writers_are_gone_and_what_was_written_is_read() -> None:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    assert not descriptors.is_at_end(reader)  # nothing there yet
    os.write(writer, b"a word")
    assert not descriptors.is_at_end(reader)
    os.close(writer)
    assert descriptors.is_at_end(reader)
    os.close(reader)
    assert descriptors.is_at_end(reader)  # none at all
