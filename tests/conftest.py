"""What happens around every test: root's tests in machines of their own, one place for files, nothing left behind.

The list of what was skipped and why stands at the end of every run.
"""

import contextlib
import gc
import itertools
import json
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

from tests import disk, leftovers, namespaces, ready
from tests.machines import Machine, Nursery
from tests.places import ROOMS, Place
from tests.support import wait_for

_REFUSAL = pytest.StashKey[str]()
_NURSERY = pytest.StashKey[Nursery]()
_MACHINES = pytest.StashKey[dict[str, Machine]]()
_CLAIM = pytest.StashKey[tuple[str, int]]()
_COVERED = pytest.StashKey[bool]()
UMASK = 0o022
PLACE = "/var/tmp"  # on a real file system, as a queue is; root's tests bring their own one (tests/disk.py)


# Examples are the same in every run, and so is what a red test says; `make fuzz` looks further
hypothesis.settings.register_profile("house", derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile("fuzz", deadline=None, max_examples=10000, database=None)
hypothesis.settings.load_profile("house")


def pytest_configure(config: pytest.Config) -> None:
    """All files of this session below one directory on a real file system: $TMPDIR is there too.

    And signals as a terminal gives them: under nohup, or in the background of a script, some come ignored. And the
    usual umask.
    """
    os.umask(UMASK)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    if not config.option.basetemp:
        leftovers.sweep(PLACE)
        config.stash[_CLAIM] = leftovers.claim(PLACE)
        folder = config.stash[_CLAIM][0]
        config.stash[_COVERED] = disk.cover(folder)
        config.option.basetemp = f"{folder}/t" if config.stash[_COVERED] else folder


def pytest_unconfigure(config: pytest.Config) -> None:
    """And nothing of it stays."""
    if config.stash.get(_COVERED, False):
        disk.uncover(config.stash[_CLAIM][0])
    if _CLAIM in config.stash:
        leftovers.release(*config.stash[_CLAIM])


def pytest_collection_finish() -> None:
    """What was collected stays to the end: nobody need look through it for garbage, after every fork a page copied."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """A test marked root runs in namespaces of its own; its reports are shown as if it had run here."""
    if not needs_machine(item) or namespaces.inside():
        return None
    stash = item.config.stash
    if _REFUSAL not in stash:
        stash[_REFUSAL], stash[_MACHINES] = namespaces.refusal(), {}
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    if reason := stash[_REFUSAL]:
        reports = [told(item, "skipped", (*item.location[:2], f"Skipped: {reason}"))]
    else:
        start_ahead(item, stash)
        machine = stash[_MACHINES].pop(item.nodeid)
        data, output = machine.result()
        machine.end()
        reports = [pytest.TestReport._from_json(one) for one in data]
        if not any(report.when == "teardown" for report in reports):
            reports.append(told(item, "failed", f"the test did not come to its end:\n{output}"))
    try:  # what the test before this one left set up for its module: here nothing is
        item.session._setupstate.teardown_exact(nextitem)
    except Exception as error:  # noqa: BLE001 - whatever a fixture's end raises is this test's failure
        reports.append(told(item, "failed", str(error)))
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """The next test in this process makes its files with the modes that it means."""
    yield
    os.umask(UMASK)


def needs_machine(item: pytest.Item) -> bool:
    return item.get_closest_marker("root") is not None


def start_ahead(item: pytest.Item, stash: pytest.Stash) -> None:
    """This test's machine, and already the next one's: they know nothing of each other, and there are two cores.

    Where tests are shared out among several of us, each has only its own in hand.
    """
    items, machines = item.session.items, stash[_MACHINES]
    if _NURSERY not in stash:
        stash[_NURSERY] = Nursery(sorted({str(other.path) for other in items if needs_machine(other)}))
    rest = itertools.islice(items, items.index(item), None)
    count = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
    for one in itertools.islice(filter(needs_machine, rest), count):
        if one.nodeid not in machines:
            number = items.index(one)
            scratch = os.path.join(item.config.option.basetemp, "machines", str(number))
            machines[one.nodeid] = Machine(stash[_NURSERY], number, one.nodeid, scratch)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A session that ends early ends what it began."""
    stash = session.config.stash
    for machine in stash.get(_MACHINES, {}).values():
        machine.end()
    if _NURSERY in stash:
        stash[_NURSERY].close()


def told(item: pytest.Item, outcome: Any, words: Any) -> pytest.TestReport:
    """A report about a test that did not run here."""
    return pytest.TestReport(item.nodeid, item.location, {}, outcome, words, "call" if outcome == "failed" else "setup")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Inside, every report also goes out to the session that started us."""
    if namespaces.inside():
        line = json.dumps(report._to_json()) + "\n"
        os.write(int(os.environ[namespaces.REPORTS]), line.encode())


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any) -> Iterator[None]:
    """What was skipped, and why: the last thing that make test says."""
    yield
    if namespaces.inside():
        return
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        words = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[words.removeprefix("Skipped: ")] += 1
    terminalreporter.section("what was skipped, and why")
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"{count:4} of them: {reason}")
    if not reasons:
        terminalreporter.write_line("nothing")


@pytest.fixture(scope="session", autouse=True)
def _nothing_stays_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No process of ours lives on, nothing lies in $TMPDIR (or, in a machine of its own, in /tmp)."""
    base = str(tmp_path_factory.getbasetemp())
    # the embedded homes of an ordinary user lie below it when root runs the tests
    for folder in (base, os.path.dirname(base)) if "PYTEST_XDIST_WORKER" in os.environ else (base,):
        os.chmod(folder, 0o711)
    if not namespaces.inside():  # there every test begins with nothing
        ready.Store.folder = os.path.join(base, "ready")
    temporary = os.path.join(base, "tmpdir")
    os.mkdir(temporary, 0o1777)
    os.chmod(temporary, 0o1777)
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = tempfile.tempdir = temporary
    yield
    if before is None:
        del os.environ["TMPDIR"]
    else:
        os.environ["TMPDIR"] = before
    tempfile.tempdir = None
    left = [f"{temporary}/{name}" for name in os.listdir(temporary)]
    if namespaces.inside():
        left += namespaces.strangers()
    marks = [base, *(["/var/qmail"] if namespaces.inside() else [])]
    with contextlib.suppress(AssertionError):  # what has just been told to end may take a moment
        wait_for(lambda: not leftovers.processes(marks), "the end of all processes", 5)
    left += leftovers.processes(marks)
    assert not left, "the tests left behind:\n" + "\n".join(left)


@pytest.fixture(params=ROOMS)
def place(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Place]:
    """A home with one user, each time in every way to live: embedded or classic, resident or always exec'ed."""
    with contextlib.closing(request.param.make(str(tmp_path))) as found:
        yield found
