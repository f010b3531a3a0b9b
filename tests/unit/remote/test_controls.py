"""The control files of deliveries to other hosts, as the worker remembers them."""

import pytest

from qmailpy.remote import controls
from qmailpy.remote.controls import Controls
from tests.remote_support import Place


@pytest.fixture
def place(tmp_path: object) -> Place:
    return Place(str(tmp_path))


def test_files_are_not_looked_at_for_each_of_many_deliveries(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    now = 1000.0
    monkeypatch.setattr(controls, "FRESH", 0.05)
    monkeypatch.setattr("qmailpy.system.clock.monotonic", lambda: now)
    monkeypatch.setattr(Controls, "_look", lambda _: looks.append(now))
    found = Controls(place.home)
    for _ in range(100):
        found.settings()
    assert looks == [1000.0]
    now = 1000.06
    found.settings()
    assert looks == [1000.0, 1000.06]


def test_no_line_is_parsed_twice_and_each_decides_as_before(place: Place) -> None:
    place.control("smtproutes", "a.example:192.0.2.1:25\nb.example:\n:192.0.2.2:26\nbad.example:192.0.2.3:x\n")
    place.control("senderroutes", "@here.example:192.0.2.4:27\n")
    settings = Controls(place.home).settings()
    assert settings is not None
    first = settings.route(b"a.example", b"x@there.example")
    assert settings.route(b"A.Example", b"x@here.example") is first
    assert (first.host, first.port) == (b"192.0.2.1", 25)
    assert settings.route(b"c.example", b"x@there.example").host == b"192.0.2.2"
    assert settings.route(b"c.example", b"x@here.example").host == b"192.0.2.4"
    assert settings.route(b"b.example", b"x@there.example").kind == "MX"
    for _ in range(2):
        with pytest.raises(Exception, match="port"):
            settings.route(b"bad.example", b"x@there.example")
