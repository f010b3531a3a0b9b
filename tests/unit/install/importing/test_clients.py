"""nullmailer, ssmtp, msmtp, esmtp, nbsmtp: their files as people write them, and what each becomes."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.install.importing import esmtp, msmtp, nbsmtp, nullmailer, ssmtp
from qmailpy.install.importing.plan import LOST, NEEDLESS, WRONG, Plan

HOST = b"box.example.net"
FINGERPRINT = ":".join(["AB"] * 32)
Files = Mapping[str, str]
WHERE = {"nullmailer": b"/n", "ssmtp": b"/s", "msmtp": b"/m", "esmtp": b"/e", "nbsmtp": b"/b"}
MAIN = {"nullmailer": "/n/remotes", "ssmtp": "/s/ssmtp.conf", "msmtp": "/m", "esmtp": "/e", "nbsmtp": "/b"}
TRANSLATE: Mapping[str, Callable[..., Plan]] = {
    "nullmailer": nullmailer.translate,
    "ssmtp": ssmtp.translate,
    "msmtp": msmtp.translate,
    "esmtp": esmtp.translate,
    "nbsmtp": nbsmtp.translate,
}


def translate(kind: str, text: str = "", files: Files | None = None) -> Plan:
    known = {path.encode(): content.encode() for path, content in {MAIN[kind]: text, **(files or {})}.items()}
    return TRANSLATE[kind](known.get, WHERE[kind], HOST)


MSMTP = """\
# everything
defaults
auth on
tls on
tls_trust_file system
logfile ~/.msmtp.log

account base
host smtp.example.com
port 587

account gmail : base
from "joe@example.com"
user joe@example.com
password "s3 cr#t"

account other
host other.example

account default : gmail
"""
ROUTES = [
    ("nullmailer", "smtp.example.com\n", b"smtp.example.com:25 tls=none"),
    ("nullmailer", "# c\n\nsmtp.example.com smtp --port=587 --starttls\n", b"smtp.example.com:587 tls=verify"),
    ("nullmailer", "relay smtp starttls insecure\n", b"relay:25 tls=encrypt"),
    ("nullmailer", "relay smtp --ssl\n", b"relay:465 tls=implicit"),
    ("nullmailer", "relay qmqp\nother smtp\n", b"other:25 tls=none"),
    (
        "nullmailer",
        "smtp.example.com smtp --port=587 --starttls --user=joe --pass='s3 cr#t'\n",
        b"smtp.example.com:587 tls=verify auth=smarthost",
    ),
    ("ssmtp", "mailhub=mail\n", b"mail:25 tls=none"),
    ("ssmtp", "mailhub=smtp.example.com:587\nUseSTARTTLS=YES\n", b"smtp.example.com:587 tls=encrypt"),
    ("ssmtp", "mailhub=smtp.example.com\nUseTLS=Yes\n", b"smtp.example.com:465 tls=implicit verify=no"),
    ("ssmtp", "MailHub = [2001:db8::1]:587\n", b"[2001:db8::1]:587 tls=none"),
    (
        "ssmtp",
        "mailhub=smtp.example.com:587\nUseTLS=YES\nUseSTARTTLS=YES\nAuthUser=joe\nAuthPass=s3 cr#t\nAuthMethod=LOGIN\n",
        b"smtp.example.com:587 tls=encrypt verify=no auth=smarthost",
    ),
    ("msmtp", "account default\nhost mail.example\n", b"mail.example:25 tls=none"),
    ("msmtp", "account default\nhost mail.example\ntls on\ntls_starttls off\n", b"mail.example:465 tls=implicit"),
    ("msmtp", "account default\nhost mail.example\ntls\ntls_certcheck off\n", b"mail.example:25 tls=encrypt"),
    (
        "msmtp",
        f"account default\nhost mail.example\ntls on\ntls_fingerprint {FINGERPRINT}\n",
        b"mail.example:25 tls=fingerprint fingerprint=" + b"ab" * 32,
    ),
    ("msmtp", MSMTP, b"smtp.example.com:587 tls=verify auth=smarthost"),
    ("esmtp", "hostname=smtp.example.com\n", b"smtp.example.com:587 tls=none"),
    ("esmtp", "hostname = mail.example:25\nstarttls = enabled\n", b"mail.example:25 tls=may"),
    (
        "esmtp",
        'hostname mail.example:587\nusername "joe"\npassword "s3 cr#t"\nstarttls=required\nmda "/usr/bin/procmail"\n',
        b"mail.example:587 tls=encrypt verify=no auth=smarthost",
    ),
    (
        "esmtp",
        "hostname a\nidentity b@x.example\nhostname = b\nidentity c@x.example\ndefault\nhostname = c:25\n",
        b"c:25 tls=none",
    ),
    ("nbsmtp", "relayhost = mail.example\n", b"mail.example:25 tls=none"),
    (
        "nbsmtp",
        "relayhost=mail.example\nport=587\nuse_starttls=True\nauth_user=joe\nauth_pass=s3 cr#t\nauth_mech=login\n",
        b"mail.example:587 tls=encrypt verify=no auth=smarthost",
    ),
]


@pytest.mark.parametrize(("kind", "text", "route"), ROUTES)
def test_the_relay_its_tls_and_its_login(kind: str, text: str, route: bytes) -> None:
    plan = translate(kind, text)
    assert plan.controls["smtproutes"] == [b":" + route]
    assert plan.controls["locals"] == []
    if b"auth=" in route:
        [login] = plan.logins
        assert login.user in (b"joe", b"joe@example.com")
        assert login.password == b"s3 cr#t"
        assert plan.secrets
    else:
        assert plan.logins == []


def test_nullmailers_names_are_ours() -> None:
    names = {"me": "a.example", "defaultdomain": "b", "defaulthost": "c", "idhost": "d", "helohost": "e"}
    plan = translate("nullmailer", files={f"/n/{name}": f"{value}\n" for name, value in names.items()})
    assert {name: plan.controls[name] for name in names} == {name: [value.encode()] for name, value in names.items()}


def test_nullmailers_adminaddr_gets_all_mail_of_this_machine() -> None:
    plan = translate("nullmailer", files={"/n/adminaddr": "boss@example.com, second@example.com\n", "/n/me": "m.x\n"})
    assert plan.controls["virtualdomains"] == [b"m.x:alias-imported", b"localhost:alias-imported"]
    assert plan.aliases == {".qmail-imported-default": [b"&boss@example.com", b"&second@example.com"]}
    assert plan.controls["locals"] == []


def test_nullmailers_other_files() -> None:
    files = {"/n/allmailfrom": "web@example.com", "/n/queuelifetime": "86400\n", "/n/sendtimeout": "60\n"}
    plan = translate("nullmailer", "a\nb\n", files)
    assert plan.controls["masquerade"] == [b"envelope web@example.com"]
    assert plan.controls["queuelifetime"] == [b"86400"]
    assert [said.key for said in plan.said if said.kind == LOST] == [b"sendtimeout", b"remotes"]


def test_ssmtps_root_has_a_reader() -> None:
    plan = translate("ssmtp", "root=postmaster@example.com\nmailhub=mail\nrewriteDomain=example.com\nhostname=h.x\n")
    assert plan.controls["me"] == [b"h.x"]
    assert plan.controls["defaulthost"] == [b"example.com"]
    assert b"root@h.x:alias-imported" in plan.controls["virtualdomains"]
    assert plan.aliases == {".qmail-imported-root": [b"&postmaster@example.com"]}


def test_ssmtps_revaliases() -> None:
    text = "# local:outward:mailhub\nroot:joe@gmail.example:mail\njoe:joe@b.example:other:25\nbad\n"
    plan = translate("ssmtp", "mailhub=mail\n", {"/s/revaliases": text})
    assert plan.controls["generic"] == [b"root:joe@gmail.example", b"joe:joe@b.example"]
    assert [said.kind for said in plan.said if said.key.startswith(b"revaliases")] == [b"became"] * 2 + [LOST, WRONG]


def test_ssmtp_may_override_from() -> None:
    assert "masquerade" not in translate("ssmtp", "mailhub=m\nFromLineOverride=YES\n").controls
    plan = translate("ssmtp", "mailhub=m\nFromLineOverride=NO\nrewriteDomain=example.com\n")
    assert plan.controls["masquerade"] == [b"@example.com"]


def test_msmtps_accounts_that_nobody_sends_as_are_named() -> None:
    plan = translate("msmtp", MSMTP)
    assert plan.controls["masquerade"] == [b"envelope joe@example.com"]
    assert [said.key for said in plan.said if said.kind == LOST] == [b"account base", b"account other"]


ACCOUNTS = """\
defaults
auth on
tls on
port 587
account home
host smtp.home.example
from joe@home.example
user joe
password one
account work
host smtp.work.example
from *@work.example
user worker
password two
account odd one
host smtp.odd.example
from ?@odd.example
user odd
password three
account open
host smtp.open.example
auth off
from a@open.example
account default : home
"""


def test_msmtps_other_accounts_are_routes_of_their_senders() -> None:
    plan = translate("msmtp", ACCOUNTS)
    assert plan.controls["smtproutes"] == [b":smtp.home.example:587 tls=verify auth=smarthost"]
    assert plan.controls["senderroutes"] == [
        b"@work.example:smtp.work.example:587 tls=verify auth=work",
        b"a@open.example:smtp.open.example:587 tls=verify",
    ]
    assert [(login.name, login.password) for login in plan.logins] == [(b"work", b"two"), (b"smarthost", b"one")]
    # who sends from this machine without an address of his own is joe; the others stay who they are
    assert plan.controls["generic"] == [b"envelope @box.example.net:joe@home.example"]
    assert "masquerade" not in plan.controls
    assert [said.key for said in plan.said if said.kind == LOST] == [b"host"]


EVAL = "account default\nhost a\ntls on\nauth on\nuser joe\npasswordeval {}\n"


@pytest.mark.parametrize("command", ["cat /secret", "/bin/cat /secret", '"cat /secret"'])
def test_msmtps_passwordeval_that_only_reads_a_file_is_read(command: str) -> None:
    plan = translate("msmtp", EVAL.format(command), {"/secret": "s3 cr#t\nmore\n"})
    assert [(login.user, login.password) for login in plan.logins] == [(b"joe", b"s3 cr#t")]
    assert b"/secret" in plan.secrets
    assert not [said for said in plan.said if said.kind == LOST]


@pytest.mark.parametrize(
    "command",
    ["pass show x", "cat /secret | head", "cat ~/x", "cat /none", "gpg -d /secret", "cat $HOME/x", "echo Geheim"],
)
def test_any_other_passwordeval_is_said_and_its_mail_waits(command: str) -> None:
    plan = translate("msmtp", EVAL.format(command), {"/secret": "s3 cr#t\n"})
    assert plan.logins == []
    assert plan.controls["smtproutes"] == [b":a:25 tls=verify auth=smarthost"]
    told = {said.key: said.text for said in plan.said if said.kind == LOST}
    assert told[b"passwordeval"].endswith(b"run it, and write what it prints into control/smtpauth")
    assert told[b"password"].startswith(b"write a line smarthost:joe:PASSWORD into control/smtpauth")
    assert not [said for said in plan.said if b"Geheim" in said.text]


IDENTITIES = """\
hostname = smtp.home.example:587
username = joe
password = one
starttls = required
force sender = joe@home.example
identity = ann@work.example
hostname = smtp.work.example
username = ann
password = two
identity bob@home.example
identity nobody
hostname = x
"""


def test_esmtps_identities_are_routes_of_their_senders() -> None:
    plan = translate("esmtp", IDENTITIES)
    assert plan.controls["smtproutes"] == [b":smtp.home.example:587 tls=encrypt verify=no auth=smarthost"]
    assert plan.controls["senderroutes"] == [
        b"ann@work.example:smtp.work.example:587 tls=encrypt verify=no auth=ann@work.example"
    ]
    assert [login.password for login in plan.logins] == [b"two", b"one"]
    assert plan.controls["generic"] == [b"envelope @box.example.net:joe@home.example"]
    assert [said.key for said in plan.said if said.kind == NEEDLESS] == [b"identity bob@home.example"]
    assert b"identity nobody" in [said.key for said in plan.said if said.kind == LOST]


def test_a_second_remote_of_nullmailers_is_said() -> None:
    plan = translate("nullmailer", "first.example\nsecond.example smtp --port=587\n")
    assert plan.controls["smtproutes"] == [b":first.example:25 tls=none"]
    [said] = [said for said in plan.said if said.kind == LOST]
    assert (said.place, said.key) == (b"/n/remotes line 2", b"remotes")
    assert b"mail waits for the first one" in said.text


CERTIFICATES = [
    (
        "nullmailer",
        "a smtp --x509certfile=/c --x509keyfile=/k\n",
        {b"remotes: x509certfile", b"remotes: x509keyfile"},
    ),
    ("ssmtp", "mailhub=a\nUseTLSCert=YES\nTLSCert=/c\nTLSKey=/k\n", {b"UseTLSCert", b"TLSCert", b"TLSKey"}),
    (
        "msmtp",
        "account default\nhost a\ntls_cert_file /c\ntls_key_file /k\n",
        {b"tls_cert_file", b"tls_key_file"},
    ),
    ("esmtp", "hostname=a\ncertificate_passphrase=geheim\n", {b"certificate_passphrase"}),
]


@pytest.mark.parametrize(("kind", "text", "keys"), CERTIFICATES)
def test_a_certificate_of_ones_own_is_not_carried_and_said(kind: str, text: str, keys: set[bytes]) -> None:
    said = [said for said in translate(kind, text).said if said.kind == LOST]
    assert {one.key.lower() for one in said} == {key.lower() for key in keys}
    assert {one.text for one in said} == {b"a certificate of our own is not shown to the relay"}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("account default\nhost a\nauth on\nuser joe\npasswordeval pass x\n", b"passwordeval"),
        ("account default\nhost a\nauth oauthbearer\nuser joe\n", b"auth"),
        ("account default\nhost a\nprotocol lmtp\n", b"protocol"),
        ("account default\nhost a\ntls on\ntls_trust_file /etc/own.pem\n", b"tls_trust_file"),
        ("account default\nhost a\nproxy_host p\n", b"proxy_host"),
    ],
)
def test_what_msmtp_can_and_we_cannot(text: str, key: bytes) -> None:
    assert key in [said.key for said in translate("msmtp", text).said if said.kind == LOST]


def test_esmtps_force_and_identities() -> None:
    text = "hostname=a\nforce sender=joe@x.example\nforce_reverse_path = b@x.example\nidentity o@x\nhelo=h\n"
    plan = translate("esmtp", text)
    assert plan.controls["masquerade"] == [b"joe@x.example", b"envelope b@x.example"]
    assert b"helo" in [said.key for said in plan.said if said.kind == LOST]
    assert [said.key for said in plan.said if said.kind == NEEDLESS] == [b"identity o@x"]


@pytest.mark.parametrize("kind", MAIN)
@given(text=st.text(max_size=300), name=st.sampled_from(["host", "mailhub=", "hostname=", "relayhost=", "account "]))
def test_any_file_has_a_plan(kind: str, text: str, name: str) -> None:
    plan = translate(kind, f"{name}{text}\n{text}")
    for lines in plan.controls.values():
        assert not [line for line in lines if b"\n" in line or b"\0" in line]


SECRETS = {
    "nullmailer": "relay smtp --user=joe --pass={}\n",
    "ssmtp": "mailhub=relay\nAuthUser=joe\nAuthPass={}\n",
    "msmtp": "account default\nhost relay\nauth on\nuser joe\npassword {}\n",
    "esmtp": 'hostname=relay\nusername=joe\npassword="{}"\n',
    "nbsmtp": "relayhost=relay\nauth_user=joe\nauth_pass={}\n",
}


@pytest.mark.parametrize("kind", MAIN)
@given(secret=st.text(min_size=1, max_size=20).filter(lambda secret: "\n" not in secret))
def test_no_password_is_said(kind: str, secret: str) -> None:
    marked = f"Geheim{secret}Geheim"
    plan = translate(kind, SECRETS[kind].format(marked) + f"{marked}\n")
    assert not [said for said in plan.said if b"Geheim" in said.key + said.text]
    assert b"Geheim" not in b"".join(line for lines in plan.controls.values() for line in lines)
