"""main.cf: its language, and what of it is carried."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.install.importing import maincf, postfix, postfix_sources
from qmailpy.install.importing.plan import BECAME, LOST, NEEDLESS, WRONG, Plan, Setting
from qmailpy.rules.routes import find_route

HOST = b"box.example.net"
PASSWD = "/etc/postfix/sasl_passwd"


def translate(text: str, files: Mapping[str, str] | None = None) -> Plan:
    known = {"/etc/postfix/main.cf": text, **(files or {})}
    return postfix.translate(
        lambda path: known[path.decode()].encode() if path.decode() in known else None, b"/etc/postfix", HOST
    )


def said(plan: Plan, kind: bytes) -> list[bytes]:
    return [one.key for one in plan.said if one.kind == kind]


def parameters(text: str, **defaults: str) -> maincf.Parameters:
    found = maincf.parse(text.encode(), b"main.cf", Plan())
    return maincf.Parameters(found, {name.encode(): value.encode() for name, value in defaults.items()})


VALUES = [
    ("a = b\n", "b"),
    ("a=b # note\n", "b"),
    ("a = b#c\n", "b#c"),
    ("a = b,\n  c\n# comment\n\n\td\n", "b, c d"),
    ("a = 1\na = 2\n", "2"),
    ("x = y\na = $x.z\n", "y.z"),
    ("x = y\na = ${x}z$(x)\n", "yzy"),
    ("a = pa$$word\n", "pa$word"),
    ("a = pa$$$$\n", "pa$$"),
    ("a = 100$\n", "100$"),
    ("a = $nothing\n", ""),
    ("x = y\na = ${x?yes}${x:no}${z?yes}${z:no}\n", "yesno"),
    ("x = y\na = ${x?{yes}:{no}}${z?{yes}:{no}}\n", "yesno"),
    ("a = $default\n", "given"),
    (" a = 1\n", ""),
    ("# a = 1\n   # more\n", ""),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_the_language_of_main_cf(text: str, value: str) -> None:
    assert parameters(text, default="given").value(b"a") == value.encode()


@pytest.mark.parametrize("text", ["a = $a\n", "a = $b\nb = ${a}\n", "a = $b$b\n" + "b = $c$c\nc = $d$d\nd = $b\n"])
def test_a_value_that_refers_to_itself_is_an_error(text: str) -> None:
    with pytest.raises(maincf.BadValue):
        parameters(text).value(b"a")
    assert b"a" in said(translate(text), WRONG)


def test_a_value_that_grows_without_measure_is_an_error() -> None:
    text = "a0 = 0123456789\n" + "".join(f"a{at + 1} = $a{at}$a{at}$a{at}$a{at}\n" for at in range(15))
    with pytest.raises(maincf.BadValue):
        parameters(text).value(b"a15")


AUTH = f"smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = hash:{PASSWD}\n"
ENTRY = {PASSWD: "# logins\n[smtp.example.com]:587  joe@example.com:s3:cr#t $x\n"}
FINGERPRINT = ":".join(["AB"] * 32)
ROUTES: list[tuple[str, Mapping[str, str], bytes | None]] = [
    ("relayhost =\n", {}, None),
    ("relayhost = [smtp.example.com]\n", {}, b":smtp.example.com:25 tls=none"),
    ("relayhost = [smtp.example.com]:submission # ours\n", {}, b":smtp.example.com:587 tls=none"),
    ("relayhost = [192.0.2.1]:2525\n", {}, b":192.0.2.1:2525 tls=none"),
    ("relayhost = [2001:db8::1]\n", {}, b":[2001:db8::1]:25 tls=none"),
    ("relayhost = [ipv6:2001:db8::1]:587\n", {}, b":[2001:db8::1]:587 tls=none"),
    ("mydomain = example.com\nrelayhost = [mail.$mydomain]\n", {}, b":mail.example.com:25 tls=none"),
    ("relayhost = example.com\n", {}, b":example.com:25 tls=none"),
    ("relayhost = [a.b]\nsmtp_tls_security_level = may\n", {}, b":a.b:25 tls=may"),
    ("relayhost = [a.b]\nsmtp_tls_security_level = encrypt\n", {}, b":a.b:25 tls=encrypt"),
    ("relayhost = [a.b]\nsmtp_tls_security_level = secure\n", {}, b":a.b:25 tls=verify"),
    ("relayhost = [a.b]\nsmtp_tls_security_level = dane\n", {}, b":a.b:25 tls=may"),
    ("relayhost = [a.b]\nsmtp_use_tls = yes\n", {}, b":a.b:25 tls=may"),
    (
        f"relayhost = [a.b]\nsmtp_tls_security_level = fingerprint\nsmtp_tls_fingerprint_cert_match = {FINGERPRINT}\n",
        {},
        b":a.b:25 tls=fingerprint fingerprint=" + b"ab" * 32,
    ),
    (
        "relayhost = [a.b]:465\nsmtp_tls_wrappermode = yes\nsmtp_tls_security_level = encrypt\n",
        {},
        b":a.b:465 tls=implicit verify=no",
    ),
    (
        "relayhost = [smtp.example.com]:587\nsmtp_tls_security_level = encrypt\n" + AUTH,
        ENTRY,
        b":smtp.example.com:587 tls=encrypt verify=no auth=smarthost",
    ),
    (
        "relayhost = [smtp.example.com]:587\nsmtp_tls_security_level = verify\n" + AUTH,
        ENTRY,
        b":smtp.example.com:587 tls=verify auth=smarthost",
    ),
    (
        "relayhost = [smtp.example.com]:587\nsmtp_tls_security_level = may\n" + AUTH,
        ENTRY,
        b":smtp.example.com:587 tls=encrypt verify=no auth=smarthost",
    ),
    ("default_transport = error:outside mail is not deliverable\n", {}, b":error:outside mail is not deliverable"),
    ("default_transport = error:5.7.1 no\nrelayhost = [a]\n", {}, b":error:5.7.1 no"),
]


@pytest.mark.parametrize(("text", "files", "route"), ROUTES)
def test_the_relay_its_tls_and_its_login(text: str, files: Mapping[str, str], route: bytes | None) -> None:
    plan = translate(text, files)
    assert plan.controls.get("smtproutes") == (None if route is None else [route])
    if route is not None and b"auth=" in route:
        [login] = plan.logins
        assert (login.user, login.password) == (b"joe@example.com", b"s3:cr#t $x")
        assert plan.secrets == [PASSWD.encode()]
    else:
        assert plan.logins == []


LITERALS = [
    ("static:joe:pa$$word", b"pa$word"),
    ("static:{joe:pa word}", b"pa word"),
    ("inline:{ {[a.b] = joe:pa$$word} }", b"pa$word"),
    ("inline:{ other=x:y, [a.b]=joe:secret }", b"secret"),
    (f"hash:/etc/none, texthash:{PASSWD}", b"from file"),
]


@pytest.mark.parametrize(("maps", "password"), LITERALS)
def test_a_password_in_main_cf_itself(maps: str, password: bytes) -> None:
    text = "relayhost = [a.b]\nsmtp_tls_security_level = verify\nsmtp_sasl_auth_enable = yes\n"
    plan = translate(text + f"smtp_sasl_password_maps = {maps}\n", {PASSWD: "[a.b] joe:from file\n"})
    assert [(login.user, login.password) for login in plan.logins] == [(b"joe", password)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", [HOST, b"localhost.example.net", b"localhost"]),
        ("myhostname = m.x.y\n", [b"m.x.y", b"localhost.x.y", b"localhost"]),
        ("mydestination = $myhostname, localhost\n", [HOST, b"localhost"]),
        ("mydestination =\n", []),
        ("mydestination = localhost /etc/names hash:/etc/map\n", [b"localhost", b"a.b", b"c.d", b"e.f"]),
    ],
)
def test_mydestination_is_locals(text: str, names: list[bytes]) -> None:
    plan = translate(text, {"/etc/names": "# all\na.b\nc.d\n", "/etc/map": "e.f anything\n"})
    assert plan.controls["locals"] == names


def test_names_limits_and_boxes() -> None:
    text = (
        "myhostname = mx.example.com\nmyorigin = /etc/mailname\nhome_mailbox = Maildir/\n"
        "message_size_limit = 1000\nmaximal_queue_lifetime = 3d\nsmtp_connect_timeout = 2m\n"
        "smtp_helo_name = h.example.com\nmail_spool_directory = /var/mail/\n"
        "alias_maps = hash:/etc/aliases, hash:/etc/more\n"
        "masquerade_domains = example.com\nmasquerade_exceptions = root\n"
    )
    plan = translate(text, {"/etc/mailname": "example.com\n"})
    expected = {
        "me": [b"mx.example.com"],
        "defaultdomain": [b"example.com"],
        "defaulthost": [b"example.com"],
        "queuebytes": [b"1000"],
        "databytes": [b"1000"],
        "queuelifetime": [b"259200"],
        "timeoutconnect": [b"120"],
        "helohost": [b"h.example.com"],
        "mailspool": [b"/var/mail"],
        "aliasfile": [b"/etc/aliases", b"/etc/more"],
        "generic": [b"root@mx.example.com:root@mx.example.com", b"@mx.example.com:@example.com"],
    }
    assert {name: plan.controls[name] for name in expected} == expected
    assert b"home_mailbox" in said(plan, BECAME)


def test_generic_maps_are_control_generic() -> None:
    text = "smtp_generic_maps = hash:/etc/postfix/generic\n"
    plan = translate(text, {"/etc/postfix/generic": "joe@box.example.net joe@isp.example\n@box.example.net all@x.y\n"})
    assert plan.controls["generic"] == [b"joe@box.example.net:joe@isp.example", b"@box.example.net:all@x.y"]


MAPS = "/etc/postfix/maps"
RELAY = "relayhost = [relay.example]:587\nsmtp_tls_security_level = verify\n"
BY_SENDER = f"sender_dependent_relayhost_maps = hash:{MAPS}\n"
SENDERS: list[tuple[str, str, str, list[bytes], list[bytes]]] = [
    # main.cf, the map, the passwords, senderroutes, names of logins
    (
        RELAY + BY_SENDER,
        "# who\njoe@isp.example [smtp.isp.example]:587\n@Work.example  [mail.work.example]\nann@x.example DUNNO\n",
        "",
        [
            b"joe@isp.example:smtp.isp.example:587 tls=verify",
            b"@work.example:mail.work.example:25 tls=verify",
        ],
        [],
    ),
    (
        RELAY + BY_SENDER + AUTH,
        "joe@isp.example [smtp.isp.example]:587\n",
        "[relay.example]:587 all:s1\n[smtp.isp.example]:587 joe:s2\n",
        [b"joe@isp.example:smtp.isp.example:587 tls=verify auth=smtp.isp.example-587"],
        [b"smarthost", b"smtp.isp.example-587"],
    ),
    (
        RELAY + BY_SENDER + AUTH + "smtp_sender_dependent_authentication = yes\n",
        "@isp.example [smtp.isp.example]:587\n",
        "[relay.example]:587 all:s1\njoe@isp.example joe:s2\nann@isp.example ann:s3\nboss@x.example boss:s4\n",
        [
            b"joe@isp.example:smtp.isp.example:587 tls=verify auth=joe@isp.example",
            b"ann@isp.example:smtp.isp.example:587 tls=verify auth=ann@isp.example",
            b"boss@x.example:relay.example:587 tls=verify auth=boss@x.example",
        ],
        [b"smarthost", b"joe@isp.example", b"ann@isp.example", b"boss@x.example"],
    ),
    (BY_SENDER, "joe@isp.example [smtp.isp.example]:587\n", "", [b"joe@isp.example:smtp.isp.example:587 tls=none"], []),
]


@pytest.mark.parametrize(("text", "maps", "passwords", "routes", "logins"), SENDERS)
def test_relays_and_logins_by_sender_are_senderroutes(
    text: str, maps: str, passwords: str, routes: list[bytes], logins: list[bytes]
) -> None:
    plan = translate(text, {MAPS: maps, PASSWD: passwords})
    made = plan.controls["senderroutes"]
    assert [line for line in made if line in routes] == routes
    extra = [line for line in made if line not in routes]
    assert all(line.startswith(b"@isp.example:smtp.isp.example:587") for line in extra)
    assert sorted(login.name for login in plan.logins) == sorted(logins)
    for line in made:
        find_route(b"x.example", {}, line.partition(b":")[0], {line.partition(b":")[0]: line.partition(b":")[2]})


TRANSPORTS: list[tuple[str, list[bytes] | None, bytes]] = [
    # a line of the map, what it adds to smtproutes, what is said of it
    ("there.example smtp:[mx.there.example]:26", [b"there.example:mx.there.example:26 tls=verify"], BECAME),
    (".there.example relay:[192.0.2.1]", [b".there.example:192.0.2.1:25 tls=verify"], BECAME),
    ("there.example :[mx.there.example]", [b"there.example:mx.there.example:25 tls=verify"], BECAME),
    ("there.example smtp:there.example", [b"there.example:there.example:25 tls=verify"], LOST),
    ("there.example smtp:", [b"there.example:"], BECAME),
    ("there.example :", None, NEEDLESS),
    ("gone.example error:5.1.2 it moved", [b"gone.example:error:5.1.2 it moved"], BECAME),
    ("gone.example error:550 it moved", [b"gone.example:error:it moved"], BECAME),
    ("joe@there.example smtp:[a.b]", None, LOST),
    ("there.example lmtp:unix:/run/lmtp", None, LOST),
    ("there.example local:", None, LOST),
    ("there.example slow:", None, LOST),
    ("there.example nonsense", None, LOST),
]


@pytest.mark.parametrize(("line", "routes", "kind"), TRANSPORTS)
def test_transports_are_smtproutes_where_they_can_be(line: str, routes: list[bytes] | None, kind: bytes) -> None:
    plan = translate(RELAY + f"transport_maps = hash:{MAPS}\n", {MAPS: line + "\n"})
    assert plan.controls["smtproutes"] == [*(routes or []), b":relay.example:587 tls=verify"]
    key = b"transport_maps " + line.split(maxsplit=1)[0].encode()
    assert kind in [one.kind for one in plan.said if one.key == key]


def test_a_transport_for_everything_comes_before_relayhost() -> None:
    text = "* smtp:[all.example]\nthere.example :\n"
    plan = translate(RELAY + f"transport_maps = hash:{MAPS}\n", {MAPS: text})
    assert plan.controls["smtproutes"] == [b":all.example:25 tls=verify", b"there.example:"]
    assert b"relayhost" in said(plan, NEEDLESS)


@pytest.mark.parametrize("name", ["transport_maps", "sender_dependent_relayhost_maps"])
def test_a_map_without_a_source_is_said(name: str) -> None:
    assert name.encode() in said(translate(RELAY + f"{name} = ldap:/etc/x, hash:/none\n"), LOST)


@pytest.mark.parametrize(
    ("text", "key", "kind"),
    [
        ("mailbox_command = /usr/bin/procmail\n", b"mailbox_command", LOST),
        ("mailbox_command =\n", b"relayhost", b""),
        ("sender_dependent_relayhost_maps = hash:/x\n", b"sender_dependent_relayhost_maps", LOST),
        ("relayhost = example.com\n", b"relayhost", LOST),
        ("relayhost = [a]:xyz\n", b"relayhost", WRONG),
        ("smtp_tls_security_level = may\n", b"smtp_tls_security_level", NEEDLESS),
        ("relayhost = [a]\nsmtp_sasl_password_maps = hash:/x\n", b"smtp_sasl_password_maps", NEEDLESS),
        ("relayhost = [a]\n" + AUTH, b"smtp_sasl_password_maps", LOST),
        ("default_transport = uucp\n", b"default_transport", LOST),
    ],
)
def test_something_is_said_about_what_is_not_carried(text: str, key: bytes, kind: bytes) -> None:
    kinds = [one.kind for one in translate(text).said if one.key == key]
    assert kind in kinds or not kind


@given(st.text(alphabet="ab=$(){}?:# \t\n,relayhost[].", max_size=200))
def test_any_file_has_a_plan(text: str) -> None:
    plan = translate(text + "\nrelayhost = [a.b]\n")
    for lines in plan.controls.values():
        assert not [line for line in lines if b"\n" in line or b"\0" in line]


@given(st.binary(max_size=80))
def test_any_value_can_be_expanded(value: bytes) -> None:
    found = {b"a": Setting(b"a", value, b""), b"b": Setting(b"b", b"$a", b"")}
    try:
        assert maincf.Parameters(found, {}).value(b"b") is not None
    except maincf.BadValue:
        assert b"a" in value or b"b" in value


@given(st.text(max_size=60))
def test_any_map_can_be_read(text: str) -> None:
    for kind in (b"static", b"inline", b"hash", b"ldap"):
        postfix_sources.read_map(lambda _: text.encode(), kind, text.encode())
        postfix_sources.read_map(lambda _: text.encode(), kind, b"{" + text.encode() + b"}")


@given(st.text(alphabet="abc$#:{} ,=", min_size=1, max_size=20))
def test_no_password_is_said(secret: str) -> None:
    marked = f"Geheim{secret}Geheim"
    for maps in (f"static:joe:{marked}", f"inline:{{ {{[a.b] = joe:{marked}}} }}", f"hash:{PASSWD}"):
        text = f"relayhost = [a.b]\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = {maps}\n"
        plan = translate(text, {PASSWD: f"[a.b] joe:{marked}\n{marked}\n"})
        assert not [one for one in plan.said if b"Geheim" in one.key + one.text]
