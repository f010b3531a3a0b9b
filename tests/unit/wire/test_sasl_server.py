"""The server's side of SASL: against our own client, the RFCs' examples, and whoever keeps to nothing."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.wire import sasl, sasl_server
from qmailpy.wire.sasl_server import MECHANISMS, Malformed, Say, Verify

NONCE = b"<0123456789abcdef@192.0.2.1>"
SALT, ITERATIONS = b"salt of this test", 4096


class Passwords:
    """Who knows the passwords; asked: what it was asked."""

    def __init__(self, **known: str) -> None:
        self.known = {login.encode(): password.encode() for login, password in known.items()}
        self.asked: list[Verify] = []

    def answer(self, verify: Verify) -> bytes | None:
        """What the mechanism wants to know; None: no."""
        self.asked.append(verify)
        password = self.known.get(verify.login)
        if verify.method == sasl_server.SCRAM_FIRST:
            return sasl_server.salted(SALT, ITERATIONS)
        if password is None:
            return None
        if verify.method == sasl_server.PASSWORD:
            return b"" if verify.secret == password else None
        if verify.method == sasl_server.SCRAM_FINAL:
            keys = sasl_server.scram_keys(password, SALT, ITERATIONS)
            return sasl_server.scram_signature(*keys, bytes.fromhex(verify.secret.decode()), verify.challenge)
        return b"" if sasl_server.digests(verify.method, password, verify.challenge) == verify.secret else None


def talk(name: bytes, login: bytes, password: bytes, passwords: Passwords, *, early: bool) -> bool:
    """Whether a client of ours is let in.  early: it says its first word with the command."""
    client = {each.name: each for each in sasl.STRONGEST_FIRST}[name](sasl.Credentials(login, password), b"abcdef")
    server = MECHANISMS[name](NONCE)
    step: Say | Verify | None = server.begin(client.say_first() if early else None)
    while step is not None:
        if isinstance(step, Say):
            step = server.hear(client.respond(step.challenge))
            continue
        answer = passwords.answer(step)
        if answer is None:
            return False
        step = server.told(answer)
    return client.done()


CASES = [
    (b"PLAIN", False),
    (b"PLAIN", True),
    (b"LOGIN", False),
    (b"CRAM-MD5", False),
    (b"SCRAM-SHA-256", False),
    (b"SCRAM-SHA-256", True),
]


@pytest.mark.parametrize(("name", "early"), CASES)
@pytest.mark.parametrize("login", ["ann", "a,n=n", "ann@example.org", "änn"])
def test_our_own_client_is_let_in_with_the_right_password_only(name: bytes, early: bool, login: str) -> None:
    passwords = Passwords(**{login: "p w:ö,="})
    assert talk(name, login.encode(), "p w:ö,=".encode(), passwords, early=early)
    assert not talk(name, login.encode(), b"wrong", passwords, early=early)
    assert not talk(name, b"bob", "p w:ö,=".encode(), passwords, early=early)


def test_login_takes_the_name_with_the_command() -> None:
    login = MECHANISMS[b"LOGIN"](NONCE)
    step = login.begin(b"ann")
    assert isinstance(step, Say)
    assert step.challenge == b"Password:"
    asked = login.hear(b"secret")
    assert isinstance(asked, Verify)
    assert (asked.login, asked.secret) == (b"ann", b"secret")


def test_the_questions_of_login_are_those_that_clients_know() -> None:
    step = MECHANISMS[b"LOGIN"](NONCE).begin(None)
    assert isinstance(step, Say)
    assert sasl.encoded(step.challenge) == b"VXNlcm5hbWU6"


def test_the_example_of_rfc_7677() -> None:
    keys = sasl_server.scram_keys(b"pencil", sasl.decoded(b"W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    server = MECHANISMS[b"SCRAM-SHA-256"](b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    asked = server.begin(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    assert isinstance(asked, Verify)
    assert (asked.method, asked.login) == (sasl_server.SCRAM_FIRST, b"user")
    said = server.told(b"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    assert isinstance(said, Say)
    assert said.challenge == (b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    asked = server.hear(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert isinstance(asked, Verify)
    signature = sasl_server.scram_signature(*keys, bytes.fromhex(asked.secret.decode()), asked.challenge)
    assert signature is not None
    said = server.told(signature)
    assert isinstance(said, Say)
    assert said.challenge == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    assert server.hear(b"") is None


def test_the_example_of_rfc_2195() -> None:
    server = MECHANISMS[b"CRAM-MD5"](b"<1896.697170952@postoffice.reston.mci.net>")
    said = server.begin(None)
    assert isinstance(said, Say)
    assert sasl.encoded(said.challenge) == b"PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+"
    asked = server.hear(sasl.decoded(b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"))
    assert isinstance(asked, Verify)
    assert asked.login == b"tim"
    assert sasl_server.digests(sasl_server.CRAM_MD5, b"tanstaaftanstaaf", asked.challenge) == asked.secret


def test_the_example_of_rfc_1939() -> None:
    digest = sasl_server.digests(sasl_server.APOP, b"tanstaaf", b"<1896.697170952@dbc.mtview.ca.us>")
    assert digest == b"c4c9334bac560ecc979e58001b3e22fb"


@pytest.mark.parametrize(
    ("name", "word"),
    [
        (b"PLAIN", b""),
        (b"PLAIN", b"ann\0secret"),
        (b"PLAIN", b"\0ann\0"),
        (b"PLAIN", b"\0\0secret"),
        (b"PLAIN", b"\0ann\0sec\0ret"),
        (b"PLAIN", b"root\0ann\0secret"),
        (b"PLAIN", b"\0" + b"a" * 256 + b"\0secret"),
        (b"PLAIN", b"\0ann\0" + b"x" * 1021),
        (b"LOGIN", b""),
        (b"LOGIN", b"an\0n"),
        (b"CRAM-MD5", b"ann"),
        (b"CRAM-MD5", b"ann 0123"),
        (b"CRAM-MD5", b"ann " + b"g" * 32),
        (b"CRAM-MD5", b" " + b"0" * 32),
        (b"SCRAM-SHA-256", b""),
        (b"SCRAM-SHA-256", b"n=ann,r=abc"),
        (b"SCRAM-SHA-256", b"p=tls-unique,,n=ann,r=abc"),
        (b"SCRAM-SHA-256", b"n,a=root,n=ann,r=abc"),
        (b"SCRAM-SHA-256", b"n,,m=x,n=ann,r=abc"),
        (b"SCRAM-SHA-256", b"n,,n=ann,r="),
        (b"SCRAM-SHA-256", b"n,,n=,r=abc"),
        (b"SCRAM-SHA-256", b"n,,n=a=2Dn,r=abc"),
        (b"SCRAM-SHA-256", b"n,,n=a=,r=abc"),
        (b"SCRAM-SHA-256", b"n,,n=ann,r=a c"),
        (b"SCRAM-SHA-256", b"n,,n=ann,r=" + b"x" * 300),
        (b"SCRAM-SHA-256", b"n,,n=an\0n,r=abc"),
    ],
)
def test_who_does_not_keep_to_the_mechanism_is_told_so(name: bytes, word: bytes) -> None:
    server = MECHANISMS[name](NONCE)
    if name == b"CRAM-MD5":
        server.begin(None)
    with pytest.raises(Malformed):
        server.hear(word)


def test_cram_md5_is_begun_by_the_server() -> None:
    with pytest.raises(Malformed):
        MECHANISMS[b"CRAM-MD5"](NONCE).begin(b"ann " + b"0" * 32)


@pytest.mark.parametrize(
    "final",
    [
        b"",
        b"c=biws,r=abcNONCE",
        b"c=eSws,r=abcNONCE,p=AAAA",
        b"c=biws,r=other,p=AAAA",
        b"c=biws,r=abcNONCEx,p=AAAA",
        b"c=biws,r=abcNONCE,p=!!!!",
        b"c=biws,r=abcNONCE,x=\0,p=AAAA",
        b"c=biws,r=abcNONCE,x=" + b"x" * 5000 + b",p=AAAA",
    ],
)
def test_a_last_word_of_scram_that_does_not_fit_the_first_is_malformed(final: bytes) -> None:
    server = MECHANISMS[b"SCRAM-SHA-256"](b"NONCE")
    server.begin(b"n,,n=ann,r=abc")
    server.told(sasl_server.salted(SALT, ITERATIONS))
    with pytest.raises(Malformed):
        server.hear(final)


@pytest.mark.parametrize("proof", [b"", b"short", bytes(32), bytes(33)])
def test_a_proof_that_is_none_has_no_signature(proof: bytes) -> None:
    assert sasl_server.scram_signature(*sasl_server.scram_keys(b"x", SALT, 1), proof, b"signed") is None


@given(st.sampled_from(sorted(MECHANISMS)), st.lists(st.binary(max_size=60), max_size=4))
def test_no_words_are_too_strange(name: bytes, words: list[bytes]) -> None:
    server = MECHANISMS[name](NONCE)
    with contextlib.suppress(Malformed):
        step = server.begin(None)
        for word in words:
            step = server.hear(word) if isinstance(step, Say) else server.told(word) if step else None


@given(st.binary(max_size=100))
def test_base64_is_right_or_malformed(word: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert sasl.encoded(sasl_server.decoded(word)).rstrip(b"=") == word.rstrip(b"=")
