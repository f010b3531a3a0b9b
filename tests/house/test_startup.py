"""What the programs that users' mail runs by exec may load: every module costs each message a quarter of a millisecond.

One that is not in the list of its program is not forbidden, it is a decision. The standard library's own are.
"""

import subprocess
from pathlib import Path

import pytest

from tests.inject_support import HOST
from tests.support import PATH, RecordingQueue, bare_home

# The interpreter's own, started with -IS; then C modules, for who speaks to the door or asks for an account
BARE = """
_abc _codecs _frozen_importlib _frozen_importlib_external _imp _io _signal _thread _warnings _weakref abc builtins
codecs encodings encodings.aliases encodings.ascii encodings.latin_1 encodings.utf_8 io marshal posix sys time zipimport
errno _socket select fcntl pwd grp array struct _struct
"""
COMMON = """
qmailpy qmailpy.programs qmailpy.verdict qmailpy.disk qmailpy.disk.home
qmailpy.system qmailpy.system.descriptors qmailpy.system.identity
"""
INJECT = """
qmailpy.programs.qmail_inject qmailpy.inject qmailpy.inject.draft qmailpy.inject.message qmailpy.inject.settings
qmailpy.rules qmailpy.rules.complete qmailpy.rules.date qmailpy.rules.header qmailpy.rules.options qmailpy.rules.quote
qmailpy.rules.rfc822 qmailpy.disk.control qmailpy.system.clock qmailpy.system.process qmailpy.system.signals
"""
SENDMAIL = "qmailpy.programs.sendmail qmailpy.inject.faces qmailpy.inject.running qmailpy.system.launcher"
SUBMIT = """
qmailpy.skeletons qmailpy.skeletons.submit qmailpy.skeletons.queue_client qmailpy.system.door qmailpy.system.launcher
qmailpy.wire qmailpy.wire.door qmailpy.wire.envelope
"""
ALLOWED = {"sendmail": INJECT + SENDMAIL + SUBMIT, "qmail-inject": INJECT + SUBMIT}
OTHERS = ["qmail-queue", "qmail-qmqpc", "qmail-local", "qmail-getpw", "maildirmake", "mailq", "newaliases"]
OTHERS += ["qmail-aliases", "qmail-dotforward"]
FOR_DOTQMAIL = {  # words with which each does what it is for
    "forward": ["x@example.org"],
    "bouncesaying": ["no", "true"],
    "condredirect": ["x@example.org", "true"],
    "except": ["true"],
    "preline": ["true"],
    "qsmhook": ["true"],
    "qreceipt": ["joe@example.org"],
    "qbiff": [],
}


def loaded(home: str, name: str, words: list[str], environment: dict[str, str], message: bytes) -> tuple[int, set[str]]:
    """The exit code of bin/NAME, and every module that it has imported when it ends."""
    done = subprocess.run(
        ["/usr/bin/python3", "-IS", "-X", "importtime", f"{home}/bin/{name}", *words],
        input=message,
        env={"PATH": PATH, "QMAILHOME": home, "USER": "joe", **environment},
        capture_output=True,
        check=False,
    )
    lines = [line for line in done.stderr.decode().splitlines() if line.startswith("import time:")]
    return done.returncode, {line.rpartition("|")[2].strip() for line in lines} - {"imported package"}


@pytest.fixture
def home(tmp_path: Path) -> str:
    return bare_home(str(tmp_path / "home"), me=HOST)


@pytest.mark.parametrize("name", ALLOWED)
def test_a_program_that_injects_loads_only_what_it_needs(home: str, name: str, tmp_path: Path) -> None:
    queue = RecordingQueue(str(tmp_path / "queue"))
    words = ["-t"] if name == "sendmail" else []
    code, found = loaded(home, name, words, dict(queue.environment), b"To: joe\n\nx\n")
    assert (code, len(queue.messages)) == (0, 1)
    assert found - set((BARE + COMMON + ALLOWED[name]).split()) == set()


@pytest.mark.parametrize("name", OTHERS)
def test_a_program_that_mail_runs_by_exec_loads_nothing_of_the_standard_library(home: str, name: str) -> None:
    _, found = loaded(home, name, [], {}, b"")
    assert f"qmailpy.programs.{name.replace('-', '_')}" in found
    assert {module for module in found if not module.startswith("qmailpy")} - set(BARE.split()) == set()


@pytest.mark.parametrize("name", FOR_DOTQMAIL)
def test_a_program_for_dotqmail_loads_nothing_of_the_standard_library(home: str, name: str, tmp_path: Path) -> None:
    environment = dict(RecordingQueue(str(tmp_path / "queue")).environment)
    environment |= dict.fromkeys(("SENDER", "NEWSENDER", "DTLINE", "RPLINE", "UFLINE", "LOCAL", "HOST"), "x")
    message = b"Notice-Requested-Upon-Delivery-To: joe@example.org\n\n"
    code, found = loaded(home, name, FOR_DOTQMAIL[name], environment, message)
    assert code == {"bouncesaying": 100, "condredirect": 111, "except": 100}.get(
        name, 0
    )  # 111: a pipe has no beginning
    assert {module for module in found if not module.startswith("qmailpy")} - set(BARE.split()) == set()
    assert "qmailpy.rules.rfc822" not in found or name == "qreceipt"
