import os
from pathlib import Path

import pytest

from qmailpy.disk.home import Home
from qmailpy.rules import logline
from qmailpy.send.controls import Controls
from qmailpy.verdict import Die
from tests.support import write


@pytest.fixture
def home(tmp_path: Path) -> str:
    os.mkdir(f"{tmp_path}/control")
    return str(tmp_path)


def controls(home: str, **files: str) -> Controls:
    for name, content in files.items():
        write(f"{home}/control/{name}", content)
    return Controls(Home(home.encode()))


def test_me_stands_for_what_is_absent(home: str) -> None:
    found = controls(home, me="mx.example.org\n")
    assert (found.lifetime, found.limits) == (604800, [10, 20])
    assert (found.us.user, found.us.host) == (b"MAILER-DAEMON", b"mx.example.org")
    assert found.us.double_to == b"postmaster@mx.example.org"
    assert found.domains.envnoathost == b"mx.example.org"
    assert found.domains.locals == {b"mx.example.org"}
    assert found.domains.percenthack == set()
    assert found.domains.virtual == {}


def test_without_me_the_literal_names_are_used(home: str) -> None:
    found = controls(home, locals="x.example\n")
    assert found.domains.envnoathost == b"envnoathost"
    assert (found.us.host, found.us.double_to) == (b"bouncehost", b"postmaster@doublebouncehost")


def test_every_file_is_heard(home: str) -> None:
    found = controls(
        home,
        me="me.example\n",
        queuelifetime="100 seconds\n",
        concurrencylocal="3\n",
        concurrencyremote="0\n",
        envnoathost="no.at\n",
        bouncefrom="daemon\n",
        bouncehost="b.host\n",
        doublebouncehost="d.host\n",
        doublebounceto="dump\n",
        locals="#comment\nA.example  \n\nb.example",
        percenthack="P.example\n",
        virtualdomains="V.example:who\nnothing\n:all\n",
    )
    assert (found.lifetime, found.limits) == (100, [3, 0])
    assert (found.us.user, found.us.host, found.us.double_to) == (b"daemon", b"b.host", b"dump@d.host")
    assert found.domains.envnoathost == b"no.at"
    assert found.domains.locals == {b"a.example", b"b.example"}
    assert found.domains.percenthack == {b"p.example"}
    assert found.domains.virtual == {b"v.example": b"who", b"": b"all"}


def test_an_empty_locals_is_not_me(home: str) -> None:
    assert controls(home, me="me.example\n", locals="").domains.locals == set()


def test_neither_locals_nor_me_is_a_refusal(home: str) -> None:
    with pytest.raises(Die):
        controls(home)


def test_rereading_knows_two_files(home: str) -> None:
    found = controls(home, me="me.example\n", bouncehost="b.example\n", locals="old\n", percenthack="p\n")
    for name, content in (("locals", "new\n"), ("virtualdomains", "v:x\n"), ("percenthack", "q\n"), ("me", "you\n")):
        write(f"{home}/control/{name}", content)
    assert found.reread() == b""
    assert found.domains.locals == {b"new"}
    assert found.domains.virtual == {b"v": b"x"}
    assert found.domains.percenthack == {b"p"}
    os.unlink(f"{home}/control/locals")
    assert found.reread() == b""
    assert found.domains.locals == {b"me.example"}


def test_a_home_that_is_gone_is_not_an_empty_one(home: str) -> None:
    found = controls(home, me="me.example\n", locals="old\n")
    os.rename(f"{home}/control", f"{home}/elsewhere")
    assert found.reread() == logline.REREAD_HOME
    assert found.domains.locals == {b"old"}
