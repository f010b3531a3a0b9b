"""What is shown of a dialogue, and what never is."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.wire import smtp, transcript
from qmailpy.wire.lmtp import Content
from qmailpy.wire.sasl import Credentials, XOAuth2
from qmailpy.wire.smtp import Client
from qmailpy.wire.transcript import Overheard

SECRET = b"geheim-geheim-geheim"
Lines = list[tuple[str, bytes]]


def overheard(*, mechanism: bytes = b"", content: Content | None = None) -> tuple[Overheard, Lines]:
    login = smtp.Login(Credentials(b"joe", SECRET), b"nonce", anyhow=True, mechanism=mechanism) if mechanism else None
    told: Lines = []
    client = Client(b"me", b"a@b", [b"c@d"], tls=smtp.NEVER, login=login, content=content)
    return Overheard(client, lambda what, line: told.append((what, line))), told


def test_every_line_is_told_and_the_message_is_a_number() -> None:
    speaker, told = overheard()
    for reply in (b"220 hi\r\n", b"250-hello\r\n2", b"50 SIZE\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
        speaker.hear(reply)
    assert speaker.give(b"secret words\r\n", last=False) == b"secret words\r\n"
    assert speaker.give(b".\r\n", last=True) == b".\r\n"
    assert speaker.hear(b"250 taken\r\n") == smtp.QUIT
    assert told == [
        ("heard", b"220 hi"),
        ("said", b"EHLO me"),
        ("heard", b"250-hello"),
        ("heard", b"250 SIZE"),
        ("said", b"MAIL FROM:<a@b>"),
        ("heard", b"250 ok"),
        ("said", b"RCPT TO:<c@d>"),
        ("heard", b"250 ok"),
        ("said", b"DATA"),
        ("heard", b"354 go"),
        ("said", b"(17 bytes of message)"),
        ("heard", b"250 taken"),
        ("said", b"QUIT"),
    ]


def test_chunks_are_told_with_their_commands() -> None:
    speaker, told = overheard(content=Content(12, eight_bit=False))
    for reply in (b"220 hi\r\n", b"250-hello\r\n250 CHUNKING\r\n", b"250 ok\r\n", b"250 ok\r\n"):
        speaker.hear(reply)
    assert speaker.give(b"secret\r\n", last=False) == b"BDAT 12 LAST\r\nsecret\r\n"
    speaker.give(b"ab\r\n", last=True)
    speaker.hear(b"552 too secret\r\n")
    assert told[-4:] == [
        ("said", b"BDAT 12 LAST"),
        ("said", b"(12 bytes of message)"),
        ("heard", b"552 too secret"),
        ("said", b"QUIT"),
    ]


@pytest.mark.parametrize(
    ("mechanism", "questions"),
    [
        (b"plain", []),
        (b"login", [b"VXNlcm5hbWU6", b"UGFzc3dvcmQ6"]),
        (b"cram-md5", [base64.b64encode(b"<1.2@secret.example>")]),
        (b"scram-sha-256", [base64.b64encode(b"r=nonceX,s=c2FsdA==,i=4096")]),
        (XOAuth2.name.lower(), [base64.b64encode(b'{"status":"401"}')]),
    ],
)
def test_nothing_of_a_login_is_told_but_its_mechanism(mechanism: bytes, questions: list[bytes]) -> None:
    speaker, told = overheard(mechanism=mechanism)
    speaker.hear(b"220 hi\r\n")
    secrets = [speaker.hear(b"250-hello\r\n250 AUTH %s\r\n" % mechanism.upper())]
    secrets += [speaker.hear(b"334 %s\r\n" % question) for question in questions]
    echo = max((word for said in secrets for word in said.split()), key=len)
    speaker.hear(b"535-no %s\r\n535 %s\r\n" % (echo, SECRET))
    whole = b"\n".join(line for _, line in told)
    assert b"AUTH " + mechanism.upper() in whole
    for word in [SECRET, base64.b64encode(SECRET), *questions]:
        assert word not in whole
    for said in secrets:
        for word in said.split():
            assert word in (b"AUTH", mechanism.upper()) or word not in whole.replace(b"AUTH " + mechanism.upper(), b"")
    assert ("heard", b"334 ***") in told or not questions


def test_tls_is_a_note_and_a_flood_is_cut() -> None:
    told: Lines = []
    speaker = Overheard(Client(b"me", b"a@b", [b"c@d"]), lambda what, line: told.append((what, line)))
    speaker.hear(b"220 hi\r\n")
    speaker.hear(b"250-hello\r\n250 STARTTLS\r\n")
    speaker.hear(b"220 go\r\n")
    speaker.secured(b"TLSv1.3 X, certificate verified", proven=True)
    assert told[-2:] == [("note", b"TLSv1.3 X, certificate verified"), ("said", b"EHLO me")]
    for _ in range(3 * transcript.LINES):
        speaker.hear(b"250-" + b"x" * 5000 + b"\r\n")
    assert len(told) == transcript.LINES + 1
    assert told[-1] == ("note", b"(the rest is not shown)")
    assert max(len(line) for _, line in told) == transcript.LONGEST


@given(st.lists(st.binary(max_size=50)), st.booleans())
def test_whatever_is_heard_it_changes_nothing_of_the_dialogue(pieces: list[bytes], greeted: bool) -> None:
    speaker, told = overheard(mechanism=b"plain")
    alone = Client(b"me", b"a@b", [b"c@d"], tls=smtp.NEVER, login=smtp.Login(Credentials(b"joe", SECRET), b"nonce"))
    for piece in ([b"220 hi\r\n"] if greeted else []) + pieces:
        if speaker.step in (smtp.DONE, smtp.BODY, smtp.TLS):
            break
        assert speaker.hear(piece) == alone.hear(piece)
        assert speaker.step == alone.step
    assert all(SECRET not in line for _, line in told) or any(SECRET in piece for piece in pieces)


def test_what_is_not_shown_any_more_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a line repeats a secret is dear to find out, and others wait: a flood of lines, or a line without end."""
    looked: list[int] = []
    masked = Client.masked

    def count(client: Client, text: bytes) -> bytes:
        looked.append(len(text))
        return masked(client, text)

    monkeypatch.setattr(Client, "masked", count)
    speaker, told = overheard(mechanism=b"plain")
    speaker.hear(b"220-" + b"x" * 30_000 + b"\r\n" + b"220-x\r\n" * 5_000)
    speaker.hear_during_body(b"\n" * 100_000)
    assert len(told) == transcript.LINES + 1
    assert len(looked) <= transcript.LINES + 1
    assert max(looked[: transcript.LINES]) <= 2 * transcript.LONGEST
