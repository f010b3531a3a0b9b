"""dma.conf and auth.conf as people write them, and what each becomes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.install.importing import dma
from qmailpy.install.importing.plan import BECAME, LOST, NEEDLESS, WRONG, Plan

HOST = b"box.example.net"
CONF, AUTH = b"/etc/dma/dma.conf", b"/etc/dma/auth.conf"
PRINT = "ab" * 32
OWN_MAIL = {"locals": [HOST, b"localhost"], "rcpthosts": [HOST, b"localhost"]}


def translate(conf: str, auth: str = "", **files: str) -> Plan:
    known = {CONF: conf, AUTH: auth, **{f"/etc/{name}".encode(): text for name, text in files.items()}}
    return dma.translate(lambda path: known[path].encode() if path in known else None, b"/etc/dma", HOST)


def kinds(plan: Plan) -> dict[bytes, bytes]:
    """Key -> what was said about it last."""
    return {said.key: said.kind for said in plan.said}


DEBIAN = """\
# Sample configuration file for dma
# Your smarthost (also called relayhost).  Leave blank if you don't want smarthost support.
#SMARTHOST smtp.example.org
#PORT 25
#ALIASES /etc/aliases
#SPOOLDIR /var/spool/dma
#AUTHPATH /etc/dma/auth.conf
#SECURETRANSFER
#STARTTLS
MAILNAME /etc/mailname
"""
ROUTES = [
    ("SMARTHOST smtp.example.com\n", b"smtp.example.com:25 tls=none"),
    ("SMARTHOST  smtp.example.com   # ours\n", b"smtp.example.com:25 tls=none"),
    ("SMARTHOST\t192.0.2.1\nPORT 587\n", b"192.0.2.1:587 tls=none"),
    ("SMARTHOST 2001:db8::25\n", b"[2001:db8::25]:25 tls=none"),
    ("SMARTHOST a\nSMARTHOST b.example\n", b"b.example:25 tls=none"),
    ("SMARTHOST a.example\nPORT 465\nSECURETRANSFER\n", b"a.example:465 tls=implicit verify=no"),
    ("SMARTHOST a.example\nPORT 465\nSECURETRANSFER\nVERIFYCERT\n", b"a.example:465 tls=implicit"),
    ("SMARTHOST a.example\nSECURETRANSFER\nSTARTTLS\n", b"a.example:25 tls=encrypt"),
    ("SMARTHOST a.example\nSECURETRANSFER\nSTARTTLS\nVERIFYCERT\n", b"a.example:25 tls=verify"),
    ("SMARTHOST a.example\nSECURETRANSFER\nSTARTTLS\nOPPORTUNISTIC_TLS\n", b"a.example:25 tls=may"),
    (
        f"SMARTHOST a.example\nSECURETRANSFER\nSTARTTLS\nFINGERPRINT {PRINT.upper()}\n",
        b"a.example:25 tls=fingerprint fingerprint=" + PRINT.encode(),
    ),
    (
        f"SMARTHOST a.example\nSECURETRANSFER\nFINGERPRINT {PRINT}\n",
        b"a.example:25 tls=implicit fingerprint=" + PRINT.encode(),
    ),
    ("SMARTHOST a.example\nSTARTTLS\n", b"a.example:25 tls=none"),
    ("SMARTHOST a.example\nPORT 99999\n", b"a.example:25 tls=none"),
]


@pytest.mark.parametrize(("conf", "route"), ROUTES)
def test_the_relay_and_its_tls(conf: str, route: bytes) -> None:
    plan = translate(conf)
    assert plan.controls["smtproutes"] == [b":" + route]
    assert plan.controls["me"] == [HOST]
    assert plan.controls["locals"] == OWN_MAIL["locals"]


def test_debians_own_file_is_a_system_without_relay() -> None:
    plan = translate(DEBIAN, mailname="mail.example.org\n")
    assert plan.controls == {
        "me": [b"mail.example.org"],
        "locals": [b"mail.example.org", b"localhost"],
        "rcpthosts": [b"mail.example.org", b"localhost"],
    }
    assert kinds(plan) == {b"MAILNAME": BECAME}


TLS = "SMARTHOST smtp.example.com\nPORT 587\nSECURETRANSFER\nSTARTTLS\nAUTHPATH /etc/dma/auth.conf\n"
LOGINS = [
    ("joe|smtp.example.com:secret\n", (b"joe", b"secret")),
    ("# a comment\n\njoe@x.y|smtp.example.com:a:b|c d #e\n", (b"joe@x.y", b"a:b|c d #e")),
    ("joe|smtp.example.com:old\njoe|smtp.example.com:new\n", (b"joe", b"new")),
    ("a|other.example:1\njoe|smtp.example.com secret\n", (b"joe", b"secret")),
    ("joe|smtp.example.com:secret", (b"joe", b"secret")),
    ("joe|smtp.example.com: leading\n", (b"joe", b" leading")),
]


@pytest.mark.parametrize(("auth", "login"), LOGINS)
def test_the_login_of_the_smarthost(auth: str, login: tuple[bytes, bytes]) -> None:
    plan = translate(TLS, auth)
    assert [(one.user, one.password) for one in plan.logins] == [login]
    assert plan.controls["smtproutes"] == [b":smtp.example.com:587 tls=encrypt verify=no auth=smarthost"]
    assert plan.secrets == [AUTH]


@pytest.mark.parametrize("auth", ["", "joe|SMTP.example.com:x\n", "joe:smtp.example.com:x\n", "|smtp.example.com:x\n"])
def test_no_login_of_this_host(auth: str) -> None:
    plan = translate(TLS, auth)
    assert plan.logins == []
    assert plan.controls["smtproutes"] == [b":smtp.example.com:587 tls=encrypt"]


def test_a_login_is_never_said_in_clear() -> None:
    plan = translate("SMARTHOST a.example\nINSECURE\nAUTHPATH /etc/dma/auth.conf\n", "joe|a.example:x\n")
    assert plan.controls["smtproutes"] == [b":a.example:25 tls=encrypt verify=no auth=smarthost"]
    assert kinds(plan)[b"INSECURE"] == LOST
    assert (b"SMARTHOST", LOST) in [(said.key, said.kind) for said in plan.said]


def test_a_login_in_clear_on_this_machine_is_carried() -> None:
    plan = translate("SMARTHOST 127.0.0.1\nINSECURE\nAUTHPATH /etc/dma/auth.conf\n", "joe|127.0.0.1:x\n")
    assert plan.controls["smtproutes"] == [b":127.0.0.1:25 tls=none auth=smarthost"]


def test_nullclient_delivers_nothing_here() -> None:
    plan = translate("SMARTHOST a.example\nNULLCLIENT\nALIASES /etc/aliases\n")
    assert plan.controls["locals"] == []
    assert plan.controls["smtproutes"] == [b":a.example:25 tls=none"]
    assert kinds(translate("NULLCLIENT\n"))[b"NULLCLIENT"] == BECAME
    assert WRONG in [said.kind for said in translate("NULLCLIENT\n").said]


@pytest.mark.parametrize("form", ["example.com", "joe@", "@example.com", "joe@example.com"])
def test_masquerade_is_for_the_envelope(form: str) -> None:
    plan = translate(f"MASQUERADE {form}\n")
    assert plan.controls["masquerade"] == [b"envelope " + form.encode()]


@pytest.mark.parametrize("form", ["@", "a b@c", "a@b@c", "<a@b>"])
def test_a_masquerade_that_is_none(form: str) -> None:
    plan = translate(f"MASQUERADE {form}\n")
    assert "masquerade" not in plan.controls
    assert kinds(plan)[b"MASQUERADE"] == WRONG


def test_aliases_elsewhere() -> None:
    assert translate("ALIASES /usr/local/etc/aliases\n").controls["aliasfile"] == [b"/usr/local/etc/aliases"]
    assert "aliasfile" not in translate("ALIASES /etc/aliases\n").controls


SAID = [
    ("DEFER\n", b"DEFER", LOST),
    ("FULLBOUNCE\n", b"FULLBOUNCE", NEEDLESS),
    ("SPOOLDIR /var/spool/dma\n", b"SPOOLDIR", NEEDLESS),
    ("PORT 26\n", b"PORT", NEEDLESS),
    ("SECURETRANSFER\n", b"SECURETRANSFER", NEEDLESS),
    ("VERIFYCERT\nSMARTHOST a.example\n", b"VERIFYCERT", NEEDLESS),
    ("SMARTHOST a.example\nSECURETRANSFER\nCERTFILE /etc/dma/cert.pem\n", b"CERTFILE", LOST),
    ("SMARTHOST a.example\nSECURETRANSFER\nFINGERPRINT 12:34\n", b"FINGERPRINT", WRONG),
    ("SMARTHOST bad host\n", b"SMARTHOST", WRONG),
    ("SMARTHOST\n", b"SMARTHOST", WRONG),
    ("DEFER yes\n", b"DEFER", WRONG),
    ("smarthost a\n", b"smarthost", WRONG),
    (" SMARTHOST a\n", b"SMARTHOST", WRONG),
    ("MAILNAME /etc/nothing\n", b"MAILNAME", BECAME),
    ("AUTHPATH /etc/nothing\nSMARTHOST a.example\n", b"AUTHPATH", WRONG),
    ("INSECURE\nSMARTHOST a.example\n", b"INSECURE", NEEDLESS),
]


@pytest.mark.parametrize(("conf", "key", "kind"), SAID)
def test_something_is_said_about_every_key(conf: str, key: bytes, kind: bytes) -> None:
    assert kinds(translate(conf))[key] == kind


@given(st.text(alphabet="SMARTHOSTPULN \t#\n/.:|@a1é\0", max_size=200), st.text(max_size=100))
def test_any_file_has_a_plan(conf: str, auth: str) -> None:
    plan = translate(conf + "\nSMARTHOST a.example\nAUTHPATH /etc/dma/auth.conf\n", auth)
    assert plan.controls["me"]
    for lines in plan.controls.values():
        assert not [line for line in lines if b"\n" in line or b"\0" in line]


@given(st.binary(min_size=1, max_size=30).filter(lambda secret: b"\n" not in secret and b"\0" not in secret))
def test_no_password_is_said(secret: bytes) -> None:
    marked = b"Geheim" + secret + b"Geheim"
    known = {CONF: TLS.encode(), AUTH: b"joe|smtp.example.com:" + marked + b"\n" + marked + b"\n"}
    plan = dma.translate(known.get, b"/etc/dma", HOST)
    assert not [said for said in plan.said if b"Geheim" in said.key + said.text]
    assert not [lines for lines in plan.controls.values() if b"Geheim" in b"".join(lines)]
    if b"\r" not in secret:
        assert plan.logins[0].password == marked
