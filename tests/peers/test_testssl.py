"""testssl.sh looks for everything that was ever wrong with TLS, on the real listener."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.listener_support import Server
from tests.neighbours import needs
from tests.support import PATH, bare_home, read, write
from tests.tls_support import Authority

NAME = "mx.example.org"
LONGEST = 240  # seconds, on a busy machine
HARMLESS = {"OK", "INFO", "LOW", "DEBUG", "WARN"}

pytestmark = pytest.mark.slow


@pytest.fixture(params=["starttls", "implicit"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Server]]:
    authority = Authority(str(tmp_path / "ca"))
    made = authority.server("server", f"DNS:{NAME}", days=365)
    home = bare_home(str(tmp_path / "home"))
    write(f"{home}/control/servercert.pem", read(made.certificate) + read(made.key), 0o600)
    write(f"{home}/control/rcpthosts", NAME + "\n")
    write(f"{home}/control/connectionsaddress", "0\n")
    (tmp_path / "logs").mkdir()
    server = Server(
        str(tmp_path / "logs"),
        [f"{home}/bin/qmail-listen", "-1HRl", NAME, "127.0.0.1", "0", "qmail-smtpd"],
        {"PATH": f"{home}/bin:{PATH}", "QMAILHOME": home} | ({"SMTPS": ""} if request.param == "implicit" else {}),
    )
    try:
        yield request.param, server
        assert server.end() == 0
        assert "Traceback" not in server.log()
    finally:
        server.close()


def test_testssl_finds_nothing_that_matters(server: tuple[str, Server], tmp_path: Path) -> None:
    needs("testssl")
    way, listener = server
    out = f"{tmp_path}/found.json"
    # what it looks for by STARTTLS is TLS's own, and takes three times as long: protocols and ciphers are enough there
    looks = ["-p", "-s", "-U"] if way == "implicit" else ["-t", "smtp", "-p", "-s"]
    done = subprocess.run(
        [
            *("testssl", "--quiet", "--warnings", "off", "--color", "0", "--nodns", "none", "--ip", "127.0.0.1"),
            *("--openssl-timeout", "10", "--connect-timeout", "10", "--jsonfile", out),
            *(*looks, f"{NAME}:{listener.port}"),
        ],
        stdin=subprocess.DEVNULL,
        env={"PATH": PATH, "HOME": str(tmp_path), "TERM": "dumb", "TMPDIR": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=LONGEST,
    )
    assert os.path.exists(out), done.stdout.decode()
    found = {one["id"]: (one["severity"], one["finding"]) for one in json.loads(read(out))}
    assert {name: one for name, one in found.items() if one[0] not in HARMLESS} == {}
    assert found["TLS1_2"][0] == found["TLS1_3"][0] == "OK"
    assert (found["TLS1"][1], found["TLS1_1"][1]) == ("not offered", "not offered")
    if way == "implicit":
        assert "not vulnerable" in found["secure_client_renego"][1]
        assert found["heartbleed"][0] == "OK"
