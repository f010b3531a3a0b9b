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


def test_rereading_takes_all_of_them(home: str) -> None:
    found = controls(home, me="me.example\n", bouncehost="b.example\n", locals="old\n", percenthack="p\n")
    new = {
        "locals": "new\n",
        "virtualdomains": "v:x\n",
        "percenthack": "q\n",
        "bouncehost": "c.example\n",
        "concurrencyremote": "7\n",
        "queuelifetime": "8\n",
        "delaywarning": "9\n",
        "bouncebudget": "11\n",
        "bounceformat": "dsn\n",
        "bouncecontent": "Headers\n",
        "concurrencydomain": "slow.example:5\n",
        "holddomains": "dead.example\n",
    }
    for name, content in new.items():
        write(f"{home}/control/{name}", content)
    assert found.reread() == (b"", False)
    assert (found.domains.locals, found.domains.virtual) == (frozenset([b"new"]), {b"v": b"x"})
    assert found.domains.percenthack == {b"q"}
    assert (found.us.host, found.limits, found.lifetime) == (b"c.example", [10, 7], 8)
    assert (found.delay_warning, found.bounce_budget, found.us.is_mime, found.us.headers_only) == (9, 11, True, True)
    assert (found.shares.limit(b"slow.example"), found.shares.limit(b"dead.example")) == (5, 0)
    os.unlink(f"{home}/control/locals")
    assert found.reread() == (b"", False)
    assert found.domains.locals == {b"me.example"}


NONSENSE = [
    ("bounceformat", "mime\n", b"control/bounceformat is neither qsbmf nor dsn"),
    ("bouncecontent", "body\n", b"control/bouncecontent is neither full nor headers"),
    ("concurrencydomain", "slow.example\n", b"control/concurrencydomain has a line that is not a domain, a colon"),
    ("concurrencydomain", "slow.example:many\n", b"control/concurrencydomain has a line that is not a domain"),
    ("holddomains", "joe@slow.example\n", b"control/holddomains has a line that is no domain"),
    ("holddomains", "!slow.example\n", b"control/holddomains has exceptions only"),
]
NO_NUMBER = [
    (name, "a week\n", b"control/%s does not begin with a digit" % name.encode())
    for name in ("queuelifetime", "concurrencylocal", "concurrencyremote", "delaywarning", "bouncebudget", "localtime")
]


ODD = [
    ("virtualdomains", "a.example:b\nexample.com fred\n", b"control/virtualdomains: line 2 has no colon;"),
    ("virtualdomains", "example.com:fred\r\n", b"control/virtualdomains: line 1 ends with CR, which is part of"),
    ("percenthack", " blank.example\n", b"control/percenthack: line 1 begins with a blank, which is part of"),
    ("me", "", b"control/me is empty;"),
    ("bouncehost", "# who we are\nmx.example\n", b"control/bouncehost: line 1 begins with #, and that is the value"),
    ("doublebounceto", "\nroot\n", b"control/doublebounceto: only line 1 counts, and it is empty;"),
]


@pytest.mark.parametrize(("name", "content", "sentence"), NONSENSE + NO_NUMBER + ODD)
def test_rereading_what_makes_no_sense_keeps_all_that_was(home: str, name: str, content: str, sentence: bytes) -> None:
    found = controls(home, me="me.example\n", locals="old\n")
    write(f"{home}/control/locals", "new\n")
    write(f"{home}/control/{name}", content)
    alert, again = found.reread()
    assert alert.startswith(sentence)
    assert alert.endswith(b"; the old control files stay in use, all of them")
    assert not again
    assert found.domains.locals == {b"old"}


@pytest.mark.parametrize(("name", "content", "sentence"), NONSENSE)
def test_what_makes_no_sense_at_the_start_counts_as_missing_aloud(
    home: str, name: str, content: str, sentence: bytes
) -> None:
    [alert] = controls(home, me="me.example\n", **{name: content}).doubts
    assert alert.startswith(sentence)
    assert alert.endswith(b"; it counts as missing")


@pytest.mark.parametrize(("name", "content"), [row[:2] for row in ODD])
def test_what_is_only_odd_is_taken_at_the_start_as_in_qmail(home: str, name: str, content: str) -> None:
    assert controls(home, **{"me": "me.example\n", name: content}).doubts == []


def test_a_list_may_be_empty_and_a_number_may_have_a_unit(home: str) -> None:
    found = controls(home, me="me.example\n")
    for name, content in (("locals", ""), ("virtualdomains", "# none\n\n"), ("queuelifetime", "9 seconds\n")):
        write(f"{home}/control/{name}", content)
    assert found.reread() == (b"", False)
    assert (found.lifetime, found.domains.locals) == (9, frozenset())


def test_a_number_that_is_none_counts_as_missing_in_silence_as_in_qmail(home: str) -> None:
    found = controls(home, me="me.example\n", queuelifetime="a week\n")
    assert (found.lifetime, found.doubts) == (604800, [])


EVERY_FILE = [
    *("me", "bouncebudget", "bouncecontent", "bounceformat", "bouncefrom", "bouncehost", "concurrencydomain"),
    *("concurrencylocal", "concurrencyremote", "delaywarning", "doublebouncehost", "doublebounceto", "envnoathost"),
    *("holddomains", "locals", "localtime", "percenthack", "queuelifetime", "trace", "virtualdomains"),
]


@pytest.mark.parametrize("name", EVERY_FILE)
def test_rereading_what_cannot_be_read_keeps_all_that_was(home: str, name: str) -> None:
    found = controls(home, me="me.example\n", queuelifetime="5\n")
    write(f"{home}/control/queuelifetime", "6\n")
    path = f"{home}/control/{name}"
    if os.path.exists(path):
        os.unlink(path)
    os.mkdir(path)  # unreadable for root too
    reason = b"" if name in ("locals", "virtualdomains") else b": is a directory"
    assert found.reread() == (b"unable to reread control/" + name.encode() + reason, True)
    assert found.lifetime == 5


def test_a_home_that_is_gone_is_not_an_empty_one(home: str) -> None:
    found = controls(home, me="me.example\n", locals="old\n")
    os.rename(f"{home}/control", f"{home}/elsewhere")
    assert found.reread() == (logline.REREAD_HOME, True)
    assert found.domains.locals == {b"old"}
