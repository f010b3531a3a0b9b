"""Logins: the examples of the RFCs, what a server may ask, and what it may not repeat."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmailpy.wire import sasl
from qmailpy.wire.sasl import CramMd5, Credentials, Login, Mask, Plain, SaslError, ScramSha256

NONCE = b"rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
PROOF = b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="


def scram() -> ScramSha256:
    return ScramSha256(Credentials(b"user", b"pencil"), NONCE)


def test_scram_as_rfc_7677_shows_it() -> None:
    speaker = scram()
    assert speaker.say_first() == b"n,,n=user,r=" + NONCE
    assert speaker.respond(SERVER_FIRST) == b"c=biws," + SERVER_FIRST.partition(b",")[0] + b"," + PROOF
    assert not speaker.done()
    assert speaker.respond(SERVER_FINAL) == b""
    assert speaker.done()


def test_cram_md5_as_rfc_2195_shows_it() -> None:
    speaker = CramMd5(Credentials(b"tim", b"tanstaaftanstaaf"), NONCE)
    challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    assert speaker.respond(challenge) == b"tim b913a602c7eda7a495b4e6e7334d3890"
    assert speaker.done()
    with pytest.raises(SaslError):
        speaker.respond(challenge)


def test_plain_and_login_say_both_once() -> None:
    plain = Plain(Credentials(b"tim", b"a:b c"), NONCE)
    assert plain.say_first() == b"\0tim\0a:b c"
    with pytest.raises(SaslError):
        plain.respond(b"")
    login = Login(Credentials(b"tim", b"a:b c"), NONCE)
    assert not login.done()
    assert [login.respond(b"User Name"), login.respond(b"whatever")] == [b"tim", b"a:b c"]
    assert login.done()
    with pytest.raises(SaslError):
        login.respond(b"")


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"r=" + NONCE + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",  # nothing of its own
        SERVER_FIRST.replace(b"i=4096", b"i=1"),
        SERVER_FIRST.replace(b"i=4096", b"i=999999999999"),
        SERVER_FIRST.replace(b"i=4096", b"i=-4096"),
        SERVER_FIRST.replace(b"s=W", b"s=?"),
        b"m=x," + SERVER_FIRST,
    ],
)
def test_a_challenge_of_scram_that_would_weaken_it_is_refused(challenge: bytes) -> None:
    speaker = scram()
    speaker.say_first()
    with pytest.raises(SaslError):
        speaker.respond(challenge)


@pytest.mark.parametrize("final", [b"", b"e=other-error", b"v=", SERVER_FINAL[:-2] + b"5="])
def test_a_server_that_does_not_know_the_password_is_found_out(final: bytes) -> None:
    speaker = scram()
    speaker.say_first()
    speaker.respond(SERVER_FIRST)
    with pytest.raises(SaslError):
        speaker.respond(final)
    assert not speaker.done()


@pytest.mark.parametrize(
    ("offered", "password", "chosen"),
    [
        ([b"LOGIN", b"PLAIN", b"CRAM-MD5", b"SCRAM-SHA-256"], b"x", b"SCRAM-SHA-256"),
        ([b"LOGIN", b"PLAIN", b"CRAM-MD5"], b"x", b"CRAM-MD5"),
        ([b"LOGIN", b"PLAIN"], b"x", b"PLAIN"),
        ([b"LOGIN"], b"x", b"LOGIN"),
        ([b"SCRAM-SHA-256", b"PLAIN"], b"\xc3\xa4", b"PLAIN"),
        ([b"XOAUTH2", b"GSSAPI"], b"x", None),
        ([], b"x", None),
    ],
)
def test_the_strongest_that_fits_is_chosen(offered: list[bytes], password: bytes, chosen: bytes | None) -> None:
    found = sasl.choose(offered, Credentials(b"joe", password), NONCE)
    assert (found.name if found else None) == chosen


def test_nobody_prints_a_password() -> None:
    assert "geheim" not in repr(Credentials(b"joe", b"geheim"))


PASSWORD = b"Tr0ub4dor&3"


@pytest.mark.parametrize(
    "text",
    [
        b"535 no: Tr0ub4dor&3\n",
        b"535 TR0UB4DOR&3 is wrong\n",
        b"535-one\n535 no: AGpvZQBUcjB1YjRkb3ImMw==\n",
        b"535 bad command AUTH PLAIN AGpvZQBUcjB1Y\n",  # cut off
        b"535 " + PASSWORD.hex().encode() + b"\n",
        b"535 " + sasl.encoded(b"x" + PASSWORD + b"yyy") + b"\n",
        b"535 " + sasl.encoded(b"xy" + PASSWORD + b"y") + b"\n",
    ],
)
def test_a_server_that_repeats_the_password_is_not_repeated(text: bytes) -> None:
    mask = Mask(Credentials(b"joe", PASSWORD))
    mask.add(sasl.encoded(b"\0joe\0" + PASSWORD))
    assert mask.masked(text) == b"535 " + sasl.HIDDEN


def test_other_words_are_told_as_they_are() -> None:
    mask = Mask(Credentials(b"joe", PASSWORD))
    mask.add(sasl.encoded(b"\0joe\0" + PASSWORD))
    text = b"535 5.7.8 Error: authentication failed for joe: see https://example.org/\n"
    assert mask.masked(text) == text


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from([ScramSha256, CramMd5, Plain, Login]))
def test_any_challenge_is_answered_or_refused(
    challenge: bytes, kind: "type[ScramSha256 | CramMd5 | Plain | Login]"
) -> None:
    speaker = kind(Credentials(b"joe", b"x"), NONCE)
    for _ in range(4):
        try:
            assert isinstance(speaker.respond(challenge), bytes)
        except SaslError:
            return


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=40).filter(lambda word: not set(word) & set(b"\0\r\n")), st.data())
def test_no_form_of_a_password_comes_through(password: bytes, data: st.DataObject) -> None:
    mask = Mask(Credentials(b"u", password))
    form = data.draw(st.sampled_from([password, password.hex().encode(), sasl.encoded(password)]))
    told = mask.masked(b"535 " + data.draw(st.binary(max_size=9)) + form + data.draw(st.binary(max_size=9)))
    assert told == b"535 " + sasl.HIDDEN


@given(st.binary(max_size=5000))
def test_base64_is_read_or_refused(word: bytes) -> None:
    try:
        content = sasl.decoded(word)
    except SaslError:
        return
    assert sasl.decoded(sasl.encoded(content)) == content
