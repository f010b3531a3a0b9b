"""config-from by itself: what it reads, writes, leaves alone, says and never says; and that mail then gets there."""

import contextlib
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import Place, embedded
from tests.smarthost import PASSWORD, USER, smarthost
from tests.support import DOMAIN, PATH, bare_home, read, wait_for, write

DMA = """\
# comment
SMARTHOST smtp.example.com
PORT 587
AUTHPATH {folder}/auth.conf
SECURETRANSFER
STARTTLS
MAILNAME {folder}/mailname
MASQUERADE example.com
DEFER
"""
AUTH = "joe@example.com|smtp.example.com:top secret\n"


class Host:
    """A home without control files, and a directory with somebody else's configuration."""

    def __init__(self, folder: str) -> None:
        self.home, self.folder = bare_home(f"{folder}/home"), f"{folder}/dma"
        for name in ("me", "locals"):
            os.unlink(f"{self.home}/control/{name}")
        write(f"{self.folder}/dma.conf", DMA.format(folder=self.folder))
        write(f"{self.folder}/auth.conf", AUTH, 0o600)
        write(f"{self.folder}/mailname", "box.example.net\n")

    def run(self, *words: str) -> "subprocess.CompletedProcess[bytes]":
        done = subprocess.run(
            [f"{self.home}/bin/config-from", *words],
            capture_output=True,
            check=False,
            env={"PATH": PATH, "QMAILHOME": self.home, "HOME": self.folder},
        )
        assert b"top secret" not in done.stdout + done.stderr
        return done

    @property
    def control(self) -> dict[str, bytes]:
        names = sorted(os.listdir(f"{self.home}/control"))
        return {name: read(f"{self.home}/control/{name}") for name in names if name != "embedded"}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(str(tmp_path))


WRITTEN = {
    "defaultdomain": b"example.net\n",
    "locals": b"box.example.net\nlocalhost\n",
    "masquerade": b"envelope example.com\n",
    "me": b"box.example.net\n",
    "plusdomain": b"example.net\n",
    "rcpthosts": b"box.example.net\nlocalhost\n",
    "smtpauth": b"smarthost:joe@example.com:top secret\n",
    "smtproutes": b":smtp.example.com:587 tls=encrypt verify=no auth=smarthost\n",
}


def test_what_it_writes_and_says(host: Host) -> None:
    done = host.run("dma", host.folder)
    assert (done.returncode, done.stderr) == (0, b"")
    assert host.control == WRITTEN
    said = done.stdout.decode()
    assert f"{host.folder}/dma.conf line 2, SMARTHOST: became control/smtproutes: :smtp.example.com:587" in said
    assert "line 9, DEFER: NOT CARRIED" in said
    assert "control/smtpauth: written, mode 0400, qmailr's (not shown)\n" in said
    status = os.stat(f"{host.home}/control/smtpauth")
    assert stat.S_IMODE(status.st_mode) == 0o400
    assert [name for name in os.listdir(f"{host.home}/control") if "tmp" in name] == []


def test_a_dry_run_writes_nothing(host: Host) -> None:
    done = host.run("-n", "dma", host.folder)
    assert done.returncode == 0
    assert b"control/smtproutes: would be written\n" in done.stdout
    assert host.control == {}


def test_once_more_changes_nothing(host: Host) -> None:
    host.run("dma", host.folder)
    before = {name: os.stat(f"{host.home}/control/{name}").st_ino for name in host.control}
    done = host.run("dma", host.folder)
    assert done.returncode == 0
    assert b"control/smtpauth: says so already (not shown)\n" in done.stdout
    assert {name: os.stat(f"{host.home}/control/{name}").st_ino for name in host.control} == before


def test_what_is_there_and_says_otherwise_stays(host: Host) -> None:
    write(f"{host.home}/control/smtproutes", "# ours\n:old.example\n")
    write(f"{host.home}/control/smtpauth", "other:a:b\nsmarthost:me:older\n", 0o400)
    done = host.run("dma", host.folder)
    assert done.returncode == 100
    assert (
        b"control/smtproutes: says otherwise, and stays; --force writes it\n  - :old.example\n  + :smtp." in done.stdout
    )
    assert b"control/smtpauth: has another login of this name (not shown), and stays" in done.stdout
    assert b"older" not in done.stdout
    assert host.control["smtproutes"] == b"# ours\n:old.example\n"
    assert host.control["me"] == b"box.example.net\n"


def test_force_writes_it_and_leaves_other_logins_alone(host: Host) -> None:
    write(f"{host.home}/control/smtproutes", ":old.example\n")
    write(f"{host.home}/control/smtpauth", "other:a:b\nsmarthost:me:older\n", 0o400)
    assert host.run("--force", "dma", host.folder).returncode == 0
    assert host.control["smtproutes"] == WRITTEN["smtproutes"]
    assert host.control["smtpauth"] == b"other:a:b\n" + WRITTEN["smtpauth"]


def test_a_source_that_everybody_can_read_is_pointed_out(host: Host) -> None:
    os.chmod(f"{host.folder}/auth.conf", 0o644)
    assert b"warning: everybody can read" in host.run("dma", host.folder).stdout


def test_the_usual_place_of_a_users_own_file(host: Host) -> None:
    write(f"{host.folder}/.msmtprc", "account default\nhost relay.example\n", 0o600)
    assert host.run("msmtp").returncode == 0
    assert host.control["smtproutes"] == b":relay.example:25 tls=none\n"


def test_a_virtual_domain_more_is_no_conflict(host: Host) -> None:
    write(f"{host.home}/control/virtualdomains", "shop.example:alias-shop\n")
    write(f"{host.folder}/ssmtp.conf", "hostname=box.example.net\nmailhub=mail\nroot=boss@example.com\n", 0o600)
    assert host.run("ssmtp", f"{host.folder}/ssmtp.conf").returncode == 0
    assert host.control["virtualdomains"].startswith(b"shop.example:alias-shop\nroot@box.example.net:alias-imported\n")
    assert read(f"{host.home}/alias/.qmail-imported-root") == b"&boss@example.com\n"


@pytest.mark.parametrize("words", [(), ("dma", "a", "b"), ("sendmail",), ("-x", "dma"), ("--other", "dma")])
def test_usage(host: Host, words: tuple[str, ...]) -> None:
    done = host.run(*words)
    assert done.returncode == 100
    assert b"usage: config-from" in done.stderr


def test_a_configuration_that_is_not_there(host: Host) -> None:
    done = host.run("dma", "/nowhere")
    assert (done.returncode, done.stderr) == (100, b"config-from: fatal: there is no /nowhere\n")
    assert host.control == {}


# --- and mail gets there ---


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    os.chmod(tmp_path, 0o711)
    with contextlib.closing(embedded(str(tmp_path / "home"), {})) as found:
        yield found


CONFIGURATIONS = {
    "dma": {
        "dma.conf": "SMARTHOST 127.0.0.1\nPORT {port}\nAUTHPATH {folder}/auth.conf\nSECURETRANSFER\nSTARTTLS\n"
        "NULLCLIENT\nMAILNAME {domain}\nMASQUERADE joe@example.com\n",
        "auth.conf": "{user}|127.0.0.1:{password}\n",
    },
    "dma, pinned": {
        "dma.conf": "SMARTHOST 127.0.0.1\nPORT {port}\nAUTHPATH {folder}/auth.conf\nSECURETRANSFER\nSTARTTLS\n"
        "FINGERPRINT {fingerprint}\nNULLCLIENT\nMAILNAME {domain}\nMASQUERADE joe@example.com\n",
        "auth.conf": "{user}|127.0.0.1:{password}\n",
    },
    "msmtp": {
        "msmtprc": "account default\nhost 127.0.0.1\nport {port}\nauth on\nuser {user}\npassword {password}\n"
        "tls on\ntls_certcheck off\nfrom joe@example.com\n",
    },
    "postfix": {
        "main.cf": "relayhost = [127.0.0.1]:{port}\nmyhostname = {domain}\nmydestination =\n"
        "smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = hash:{folder}/sasl_passwd\n"
        "smtp_tls_security_level = encrypt # always\nsmtp_generic_maps = texthash:{folder}/generic\n",
        "sasl_passwd": "[127.0.0.1]:{port} {user}:{password}\n",
        "generic": "@{domain} joe@example.com\n",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_it_delivers_through_a_relay_with_auth_and_starttls(place: Place, tmp_path: Path, name: str) -> None:
    folder, kind = f"{tmp_path}/theirs", name.partition(",")[0]
    with smarthost(str(tmp_path)) as relay:
        words = {"port": relay.port, "folder": folder, "domain": DOMAIN, "user": USER, "password": PASSWORD}
        for file, text in CONFIGURATIONS[name].items():
            write(f"{folder}/{file}", text.format(**words, fingerprint=relay.fingerprint))
        where = f"{folder}/msmtprc" if kind == "msmtp" else folder
        done = place.run("config-from", "--force", kind, where)
        assert (done.code, done.errors) == (0, b""), done.output.decode()
        assert PASSWORD.encode() not in done.output
        place.start()
        place.send("somebody@far.example")
        wait_for(lambda: relay.envelopes, lambda: f"the relay, see\n{place.log.text()}")
        wait_for(place.queue_is_empty, "an empty queue")
        place.stop()
    [envelope] = relay.envelopes
    assert relay.logins == [(USER.encode(), PASSWORD.encode())]
    assert (envelope.mail_from, envelope.rcpt_tos) == ("joe@example.com", ["somebody@far.example"])
    assert PASSWORD not in place.log.text()
