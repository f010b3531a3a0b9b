"""A client that says who it is: every mechanism, every answer, and clients that do not wait."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from qmailpy.disk.home import Home
from qmailpy.receive.auth import Authentication, Cancelled
from qmailpy.receive.logins import CONCEALING, MECHANISMS, Logins
from qmailpy.receive.refusal import Refusal
from qmailpy.rules import passwords
from qmailpy.skeletons import questions
from qmailpy.skeletons.dialog import Dialog, Silent
from qmailpy.wire import authd, netstring, sasl, sasl_server

ALL = (*MECHANISMS, b"APOP")
KEPT = passwords.keep_scram(b"secret", b"salt of this test", 4096)


class Client(Dialog):
    """A conversation in memory.  impatient: speaks while it should wait; verdict: what comes in the answer's place."""

    def __init__(self, *, impatient: bool = False, verdict: authd.Answer | OSError | bytes | None = None) -> None:
        super().__init__({b"TCPREMOTEIP": b"fe80::1%eth0", b"TCPLOCALPORT": b"587", b"TCPLOCALIP": b"192.0.2.1"}, 60.0)
        self.impatient, self.verdict = impatient, verdict
        self.asked: list[authd.Question] = []
        self.waited: list[float] = []
        self.notes: list[bytes] = []

    async def _take(self) -> bytes:
        if self.impatient:
            return b"NOOP\n"
        self.waited.append(self.patience)
        raise Silent

    async def _give(self, content: bytes) -> None:
        raise AssertionError(content)

    async def ask(self, question: bytes, request: bytes) -> bytes:
        assert question == b"authenticate"
        assert question in questions.PLACES
        asked = authd.decode_question(netstring.unpack(request)[0])
        assert asked is not None
        self.asked.append(asked)
        if isinstance(self.verdict, OSError):
            raise self.verdict
        if isinstance(self.verdict, bytes):
            return self.verdict
        return (self.verdict or self._verify(asked)).encode()

    @staticmethod
    def _verify(asked: authd.Question) -> authd.Answer:
        found = passwords.scram_of(KEPT)
        assert found is not None
        salt, iterations, stored, server = found
        data: bytes | None = b"" if asked.secret == b"secret" else None
        if asked.method == sasl_server.SCRAM_FIRST:
            data = sasl_server.salted(salt, iterations)
        elif asked.method == sasl_server.SCRAM_FINAL:
            data = sasl_server.scram_signature(stored, server, bytes.fromhex(asked.secret.decode()), asked.challenge)
        elif asked.method in (sasl_server.CRAM_MD5, sasl_server.APOP):
            data = b"" if sasl_server.digests(asked.method, b"secret", asked.challenge) == asked.secret else None
        if asked.login.lower() != b"ann" or data is None:
            return authd.Answer(authd.NO, 3)
        return authd.Answer(authd.YES, 0, authd.said(b"ann", data))

    def note(self, line: bytes) -> None:
        self.notes.append(line)

    def now(self) -> float:
        return 0.0


class Files:
    def __init__(self, logins: Logins) -> None:
        self.logins = logins


def authentication(client: Client, **words: bool) -> Authentication:
    return Authentication(client, Files(Logins(ALL, plain=words.get("plain", True))))


def answers(mechanism: bytes, password: bytes = b"secret") -> Callable[[bytes], Awaitable[bytes]]:
    """What our own client says to challenges."""
    made = {each.name: each for each in sasl.STRONGEST_FIRST}[mechanism]
    client = made(sasl.Credentials(b"Ann", password), b"abcdef")

    async def ask_client(challenge: bytes) -> bytes:
        return client.respond(challenge)

    return ask_client


async def silent(_: bytes) -> bytes:
    raise AssertionError("nothing should be asked")


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_every_mechanism_lets_in_who_knows_the_password(mechanism: bytes) -> None:
    client = Client()
    assert asyncio.run(authentication(client).run(mechanism, None, answers(mechanism))) == b"ann"
    assert {(one.remote, one.port) for one in client.asked} == {(b"fe80::1", b"587")}
    assert client.notes == []


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_wrong_password_is_refused_after_a_pause(mechanism: bytes) -> None:
    client = Client()
    refusal = asyncio.run(authentication(client).run(mechanism, None, answers(mechanism, b"wrong")))
    assert isinstance(refusal, Refusal)
    assert (refusal.reply, refusal.rule, refusal.closes) == (b"535 authentication failed (#5.7.8)", b"auth", False)
    assert client.waited == [3]
    assert b"wrong" not in b"".join(client.notes)


def test_a_client_that_does_not_wait_is_seen_off() -> None:
    refusal = asyncio.run(authentication(Client(impatient=True)).run(b"PLAIN", b"\0ann\0wrong", silent))
    assert isinstance(refusal, Refusal)
    assert refusal.closes


def test_passwords_are_not_asked_for_in_clear() -> None:
    client = Client()
    clear = authentication(client, plain=False)
    assert clear.mechanisms() == CONCEALING[:2]
    for mechanism in (b"PLAIN", b"LOGIN"):
        refusal = asyncio.run(clear.run(mechanism, b"\0ann\0secret", silent))
        assert isinstance(refusal, Refusal)
        assert refusal.reply.startswith(b"538 ")
    refusal = asyncio.run(clear.password(b"ann", b"secret"))
    assert isinstance(refusal, Refusal)
    assert client.asked == []


def test_under_tls_everything_is_offered() -> None:
    client = Client()
    client.secret = object()  # type: ignore[assignment]
    assert authentication(client, plain=False).mechanisms() == MECHANISMS


def test_only_what_can_be_verified_is_offered() -> None:
    client = Client()
    files = Files(Logins((b"PLAIN", b"EXTERNAL", b"LOGIN"), plain=True))
    assert Authentication(client, files).mechanisms() == (b"PLAIN", b"LOGIN")
    for mechanism in (b"EXTERNAL", b"CRAM-MD5", b"", b"X" * 100):
        refusal = asyncio.run(Authentication(client, files).run(mechanism, None, silent))
        assert isinstance(refusal, Refusal)
        assert refusal.reply.startswith((b"504 ", b"538 "))
    assert not Authentication(client, files).has_apop


@pytest.mark.parametrize(
    ("verdict", "note"),
    [
        (OSError(111, "Connection refused"), b"qmail-authd"),
        (b"nonsense", b"qmail-authd"),
        (b"", b""),
        (authd.Answer(authd.LATER, 0, b"it took\ntoo long"), b"it took?too long"),
    ],
)
def test_when_nobody_knows_the_client_comes_again(verdict: authd.Answer | OSError | bytes, note: bytes) -> None:
    client = Client(verdict=verdict)
    refusal = asyncio.run(authentication(client).run(b"PLAIN", b"\0ann\0secret", silent))
    assert isinstance(refusal, Refusal)
    assert refusal.reply == b"454 temporary authentication failure (#4.7.0)"
    (line,) = client.notes
    assert line.startswith(b"auth: warning: ")
    assert note in line
    assert b"secret" not in line


@pytest.mark.parametrize("initial", [b"", b"ann", b"\0ann\0", b"\0a\0n\0n", b"root\0ann\0secret", b"x" * 9000])
def test_malformed_words_are_not_asked_about(initial: bytes) -> None:
    client = Client()
    refusal = asyncio.run(authentication(client).run(b"PLAIN", initial, silent))
    assert isinstance(refusal, Refusal)
    assert refusal.reply == b"501 malformed authentication (#5.5.2)"
    assert client.asked == []


def test_a_client_may_give_up() -> None:
    async def cancelled(_: bytes) -> bytes:
        raise Cancelled

    with pytest.raises(Cancelled):
        asyncio.run(authentication(Client()).run(b"LOGIN", None, cancelled))


def test_pop3_has_two_ways_of_its_own() -> None:
    client = Client()
    one = authentication(client)
    digest = sasl_server.digests(sasl_server.APOP, b"secret", b"<1@x>")
    assert one.has_apop
    assert asyncio.run(one.password(b"ann", b"secret")) == b"ann"
    assert asyncio.run(one.apop(b"ann", digest.upper(), b"<1@x>")) == b"ann"
    for outcome in (one.password(b"ann", b"wrong"), one.apop(b"ann", digest, b"<2@x>"), one.password(b"", b"")):
        assert isinstance(asyncio.run(outcome), Refusal)


def test_every_challenge_is_another_one() -> None:
    said = []

    async def listen(challenge: bytes) -> bytes:
        said.append(challenge)
        raise Cancelled

    for _ in range(2):
        with pytest.raises(Cancelled):
            asyncio.run(authentication(Client()).run(b"CRAM-MD5", None, listen))
    assert len(set(said)) == 2
    assert all(one.startswith(b"<") and one.endswith(b"@192.0.2.1>") for one in said)


def test_who_has_no_qmail_authd_writes_the_line_himself() -> None:
    client = Client()
    files = Files(Logins((b"PLAIN",), plain=True, command=(b"checkpassword", b"true")))
    asyncio.run(Authentication(client, files).run(b"PLAIN", b"\0ann\0secret", silent))
    asyncio.run(Authentication(client, files).run(b"PLAIN", b"\0a>n\0wrong", silent))
    assert client.notes == [
        b"auth: accepted fe80::1 login=<ann> method=PLAIN port=587",
        b"auth: refused fe80::1 rule=password login=<a?n> method=PLAIN port=587",
    ]


def test_questions_have_a_place() -> None:
    with pytest.raises(OSError, match="malformed"):
        questions.answer(Home(b"/nowhere"), b"authenticate", b"")
