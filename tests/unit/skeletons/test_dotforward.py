"""~/.forward: which file it is, whose it must be, and that a mistake in it waits."""

import os
from pathlib import Path

import pytest

from qmailpy.skeletons import dotforward
from qmailpy.system import identity
from qmailpy.verdict import TEMP, Die


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(name: str, text: str) -> None:
    Path(name).write_text(text)
    os.chmod(name, 0o644)


def found(ext: bytes = b"", *names: bytes) -> tuple[bytes, list[bytes]] | None:
    forward = dotforward.find(list(names) or [b".forward"], ext)
    return None if forward is None else (forward.name, [value.argument for value in forward.values])


def test_the_first_file_that_exists_counts() -> None:
    put(".second", "b\n")
    assert found(b"", b".first", b".second") == (b".second", [b"b"])
    put(".first", "a\n")
    assert found(b"", b".first", b".second") == (b".first", [b"a"])
    assert found() is None


def test_an_extension_may_have_a_file_of_its_own() -> None:
    put(".forward", "a\n")
    put(".forward+x.y", "b\n")
    assert found(b"X.y") == (b".forward+x.y", [b"b"])
    assert found(b"z") == (b".forward", [b"a"])


@pytest.mark.parametrize("ext", [b"/../../etc/passwd", b"a/b", b"..", b"x" * 1000, b"\xff\n|id", b"default", b"-"])
def test_an_extension_of_a_strangers_choice_leads_nowhere_else(ext: bytes) -> None:
    put(".forward", "a\n")
    os.mkdir(".forward+a")
    put(".forward+a/b", "stranger\n")
    assert found(ext) == (b".forward", [b"a"])


@pytest.mark.parametrize("text", ["", "\n\n", "# only words\n"])
def test_a_file_that_says_nothing_is_none(text: str) -> None:
    put(".forward", text)
    assert found() is None


@pytest.mark.parametrize("text", ["a b\n", '"a\n', "<a\n", "a(\n", ":include:relative\n", "|\n", "a\0\n"])
def test_a_mistake_waits_and_names_its_line(text: str) -> None:
    put(".forward", "fine\n" + text)
    with pytest.raises(Die, match=r"\.forward line 2: ") as caught:
        found()
    assert caught.value.verdict == TEMP


def test_one_of_somebody_else_is_nobodys_word(monkeypatch: pytest.MonkeyPatch) -> None:
    put(".forward", "|id\n")
    if os.getuid() == 0:
        os.chown(".forward", 12345, 12345)
    else:
        monkeypatch.setattr(identity, "my_uid", lambda: os.getuid() + 1)
    with pytest.raises(Die, match="belongs to somebody else"):
        found()


def test_no_name_is_looked_up_and_his_own_mailbox_is_known() -> None:
    put(".forward", "\\joe, JOE@example.org, ann\n")
    forward = dotforward.find([b".forward"], b"")
    assert forward is not None
    ends = dotforward.ends_of(forward, frozenset([b"joe", b"joe@example.org"]))
    assert (ends.is_here, ends.recipients) == (True, [b"ann"])
