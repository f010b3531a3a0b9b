"""A resident program is indistinguishable from an exec'ed one (DESIGN 2): one probe, both ways, compared.

The probe is a |program of the user's; it holds its qmail-local in place while root looks at that process too.
Differences that the kernel forces are listed here, each with its reason; any other difference fails.
"""

import contextlib
import os
import re
import stat
from collections.abc import Iterator

import pytest

from tests.places import FORCED, Place, add_user, classic
from tests.support import give, read, wait_for, write

pytestmark = pytest.mark.root

PROBE = """#!/bin/sh
cd "$1" || exit 111
exec 3>&- 4>&- 5>&- 6>&-
{ echo "uids $(id -u) $(id -ru)"; echo "gids $(id -g) $(id -rg) groups $(id -G)"; echo "umask $(umask)"; } > who
ulimit -a > limits
env | LC_ALL=C sort > environment
cat /proc/self/status > status
cat /proc/$PPID/status > parent-status 2> parent-status-refused
cat /proc/self/fdinfo/0 > fdinfo
ls -1 /proc/$$/fd > descriptors
cat /proc/$PPID/environ > parent-environment 2> parent-environment-refused
cat /proc/$PPID/maps > parent-maps 2> parent-maps-refused
echo $PPID > parent.new && mv parent.new parent
cat go > went
echo said by the probe
exit $(cat code 2> nothing || echo 0)
"""
# Lines of /proc/PID/status that describe privilege and signals
STATUS = (
    "Uid",
    "Gid",
    "Groups",
    "SigQ",
    "SigBlk",
    "SigIgn",
    "CapEff",
    "CapPrm",
    "CapInh",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
)
STATUS_OF_QMAIL_LOCAL = ("Name", "Umask", *(word for word in STATUS if word != "SigQ"))


class Seen:
    """What one delivery showed."""

    def __init__(self) -> None:
        self.program: dict[str, object] = {}
        self.process: dict[str, object] = {}
        self.pid = 0


@pytest.fixture(params=[{}, FORCED], ids=["resident", "exec"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    place = classic(request.param)
    yield place
    place.close()


def prepare(place: Place) -> str:
    """The probe's directory, and a .qmail that runs it."""
    folder = f"{place.user_home}/probe"
    os.mkdir(folder)
    os.mkfifo(f"{folder}/go")
    write(f"{folder}/program", PROBE, 0o755)
    give(folder, place.uid, place.gid)
    place.user_file(".qmail-probe-default", f"|exec {folder}/program {folder}\n")
    return folder


def look(place: Place, folder: str, extension: str) -> Seen:
    """One delivery, looked at from inside and from outside while it stands still."""
    before = place.log.count()
    if os.path.exists(f"{folder}/parent"):
        os.unlink(f"{folder}/parent")
    place.send(f"{place.user}-probe-{extension}", "Subject: probe\n\nText.\n", sender="from@far.example")
    wait_for(lambda: os.path.exists(f"{folder}/parent"), "the probe")
    seen = Seen()
    seen.pid = int(read(f"{folder}/parent"))
    # the probe may be quicker than its parent, which still has something to load before it waits
    wait_for(lambda: status(f"/proc/{seen.pid}/status", ("State",))["State"] == "S (sleeping)", "qmail-local to wait")
    seen.process = {
        **status(f"/proc/{seen.pid}/status", STATUS_OF_QMAIL_LOCAL),
        "descriptors": descriptors(seen.pid),
        "directory": os.readlink(f"/proc/{seen.pid}/cwd"),
        "limits": read(f"/proc/{seen.pid}/limits"),
    }
    with open(f"{folder}/go", "wb") as file:
        file.write(b"go\n")
    place.log.ends(1, after=before)
    seen.program = {
        **{name: read(f"{folder}/{name}") for name in ("who", "limits")},
        "environment": environment(read(f"{folder}/environment")),
        **status(f"{folder}/status", STATUS),
        "descriptors": read(f"{folder}/descriptors"),
        "position": re.findall(rb"^(?:pos|flags):.*$", read(f"{folder}/fdinfo"), re.MULTILINE),
        "report": re.sub(r"qp_\d+", "qp", place.log.wait("delivery", after=before).report),
    }
    seen.program.pop("SigQ")
    return seen


def status(path: str, names: tuple[str, ...]) -> dict[str, object]:
    lines = dict(line.split(":\t", 1) for line in read(path).decode().splitlines() if ":\t" in line)
    return {name: lines.get(name) for name in names}


def environment(text: bytes) -> list[bytes]:
    """Without the one variable that asks for exec, the shell's own, and the time in UFLINE."""
    kept = [
        line
        for line in text.splitlines()
        if not line.startswith((b"QMAILEXEC=", b"PWD=", b"OLDPWD=", b"_=", b"SHLVL="))
    ]
    return [re.sub(rb"\w{3} \w{3} \d\d [\d:]{8} \d{4}$", b"DATE", line) for line in kept]


def descriptors(pid: int) -> dict[int, str]:
    """What each open descriptor of a process is, and whether it reads or writes."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        link = os.readlink(f"/proc/{pid}/fd/{name}")
        kind = stat.S_IFMT(os.stat(f"/proc/{pid}/fd/{name}").st_mode)
        mode = int(re.findall(rb"flags:\s+(\d+)", read(f"/proc/{pid}/fdinfo/{name}"))[0], 8) & os.O_ACCMODE
        found[int(name)] = f"{kind:o} {mode} {'queue' if '/queue/mess/' in link else ''}"
    return found


# What may differ between the two, and why
FORCED_DIFFERENCES = {
    "descriptors": "a resident child keeps its line to qmail-lspawn, close-on-exec, beside 0, 1, 2",
}


def test_both_ways_show_the_same() -> None:
    seen: dict[str, list[Seen]] = {}
    for way, extra in (("resident", {}), ("exec", FORCED)):
        place = classic(extra) if not seen else again(extra)
        folder = prepare(place)
        try:
            place.start()
            # twice by one child: nothing of the first delivery may be left in the second
            seen[way] = [look(place, folder, "first-one"), look(place, folder, "two")]
            place.stop()
        finally:
            place.close()
        for name in os.listdir(folder):
            os.unlink(f"{folder}/{name}")
        os.rmdir(folder)
    for resident, executed in zip(seen["resident"], seen["exec"], strict=True):
        assert resident.program == executed.program
        differences = {
            key: (resident.process[key], executed.process[key])
            for key in set(executed.process) - set(FORCED_DIFFERENCES)
            if executed.process[key] != resident.process[key]
        }
        assert differences == {}
        for number in (0, 1, 2):
            assert resident.process["descriptors"][number] == executed.process["descriptors"][number]  # type: ignore[index]
        assert len(resident.process["descriptors"]) == 4  # type: ignore[arg-type]
    assert seen["exec"][0].pid != seen["exec"][1].pid


def again(extra: dict[str, str]) -> Place:
    """The same home and user, another environment."""
    uid = os.stat("/home/joe").st_uid
    return Place("/var/qmail", "joe", uid, uid, "/home/joe", extra)


def test_the_program_has_three_descriptors_one_group_and_no_way_back(place: Place) -> None:
    folder = prepare(place)
    place.start()
    seen = look(place, folder, "x")
    assert seen.program["descriptors"] == b"0\n1\n2\n" or b"10" in seen.program["descriptors"]  # type: ignore[operator]
    assert seen.program["Uid"] == "\t".join([str(place.uid)] * 4)
    assert seen.program["Gid"] == "\t".join([str(place.gid)] * 4)
    assert str(seen.program["Groups"]).split() == [str(place.gid)]
    assert seen.program["SigBlk"] == "0000000000000000"
    assert int(str(seen.program["SigIgn"]), 16) & (1 << 12) == 0  # SIGPIPE
    assert b"pos:\t0" in seen.program["position"]  # type: ignore[operator]
    place.stop()


def test_a_user_cannot_look_into_the_process_that_delivered_other_mail() -> None:
    with contextlib.closing(classic({})) as place:
        folder = prepare(place)
        place.start()
        look(place, folder, "x")
        place.stop()
    assert read(f"{folder}/parent-environment") == b""
    assert read(f"{folder}/parent-maps") == b""
    assert read(f"{folder}/parent-maps-refused") != b""


@pytest.mark.parametrize("code", [0, 99, 100, 111, 64, 75, 1])
def test_a_programs_exit_code_means_the_same(place: Place, code: int) -> None:
    place.user_file(".qmail-code", f"|echo words; exit {code}\n|echo more\n")
    place.start()
    place.send(f"{place.user}-code")
    delivery = place.log.wait("delivery")
    expected = {
        0: ("success", "words/more/did_0+0+2/"),
        99: ("success", "words/did_0+0+1/"),
        100: ("failure", "words/"),
        64: ("failure", "words/"),
    }
    assert (delivery.outcome, delivery.report) == expected.get(code, ("deferral", "words/"))
    place.stop()


def test_a_program_that_is_killed_defers(place: Place) -> None:
    place.user_file(".qmail-code", "|kill -9 $$\n")
    place.start()
    place.send(f"{place.user}-code")
    delivery = place.log.wait("delivery")
    assert (delivery.outcome, delivery.report) == ("deferral", "Aack,_child_crashed._(#4.3.0)/")
    place.stop()


def test_a_replaced_program_is_really_executed(place: Place) -> None:
    """A wrapper around qmail-local is an old and loved habit."""
    real = f"{place.home}/bin/qmail-local.real"
    os.rename(f"{place.home}/bin/qmail-local", real)
    write(f"{place.home}/bin/qmail-local", f'#!/bin/sh\necho wrapped\nexec {real} "$@"\n', 0o755)
    place.start()
    place.send(place.user)
    assert place.log.wait("delivery").report == "wrapped/did_1+0+0/"
    place.stop()


def test_root_never_gets_mail(place: Place) -> None:
    place.start()
    place.send("root")  # no .qmail-root in alias/
    assert place.log.wait("delivery").report == "Sorry,_no_mailbox_here_by_that_name._(#5.1.1)/"
    place.stop()


@pytest.mark.parametrize("program", ["kill -9 -1", "kill -9 0", "kill -9 $PPID", "kill -STOP $PPID & kill -9 -1"])
def test_a_program_that_kills_all_it_may_harms_no_other_user(place: Place, program: str) -> None:
    """Nor the daemons: another user's delivery that is under way, and the next one, succeed."""
    sue = add_user("sue", 1900)
    os.mkfifo("/home/sue/gate")
    write("/home/sue/.qmail", "|read line < gate; echo hers\n")
    give("/home/sue", sue, sue)
    place.user_file(".qmail-bad", f"|{program}\n")
    place.start()
    place.send("sue")
    starting = place.log.wait("starting", recipient=f"sue@{place.domain}")
    place.send(f"{place.user}-bad")
    bad = place.log.wait("starting", recipient=f"{place.user}-bad@{place.domain}")
    assert place.log.wait("delivery", delivery=bad.delivery).outcome == "deferral"
    with open("/home/sue/gate", "wb") as gate:
        gate.write(b"go on\n")
    hers = place.log.wait("delivery", delivery=starting.delivery)
    assert (hers.outcome, hers.report) == ("success", "hers/did_0+0+1/")
    before = place.log.count()
    place.send(place.user)
    assert place.log.wait("delivery", after=before).outcome == "success"
    place.stop()
