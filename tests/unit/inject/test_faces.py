"""qmailpy/inject/faces.py: every option of every sendmail (spec/10-neighbours.md c2)."""

import pytest

from qmailpy.inject import faces
from qmailpy.inject.faces import Call
from qmailpy.rules.options import UsageError

SILENT = (
    "-i -m -n -v -x -G -U -Ac -Am -B8BITMIME -B_7BIT -C_file -d -d0.1 -D -Dmacro=1 -E -Ex -em -e_q -eq -h_17 -J -Jx "
    "-L_tag -Nnever -N_success,failure -O_QueueDirectory=/x -oi -oem -odq -o_db -o7 -oMa -oMrx -pESMTP -p_x:y -Rhdrs "
    "-R_full -S -Sx -Vid -V_id -X_file -XV -XVxy -ivm -a_account --host=h --host_h --tls --tls-starttls=off "
    "--account_x --read-envelope-from -bm -b_m -bq"
)


@pytest.mark.parametrize("option", SILENT.split())
def test_an_option_is_accepted_in_silence(option: str) -> None:
    words = option.encode().replace(b"_7", b" 7").replace(b"_", b" ").split()
    call = Call([*words, b"joe"])
    assert (call.mode, call.recipients) == (faces.DELIVER, [b"joe"])
    assert call.injection() == [b"-a", b"--", b"joe"]
    assert call.environment() == {}


MODES = [
    (b"-bp -bpc -bpru", faces.LIST),
    (b"-bi -I", faces.ALIASES),
    (b"-bs", faces.SMTP),
    (b"-q -qf -q30m -qIid -qRsite", faces.FLUSH),
    (b"-bd -bdf -bl -bt -bv -bvs -bS -bh -bH -bV -bP -bmalware -Mrm -M", faces.ABSENT),
    (b"--help --version", faces.HELP),
]


@pytest.mark.parametrize(("words", "mode"), MODES)
def test_an_option_asks_for_a_mode(words: bytes, mode: int) -> None:
    for word in words.split():
        call = Call([word])
        assert call.mode == mode
        assert call.what == word


@pytest.mark.parametrize("word", [b"-y", b"-tz", b"-bz", b"-b", b"-f", b"-\xff"])
def test_what_no_sendmail_knows_is_a_usage_error(word: bytes) -> None:
    with pytest.raises(UsageError):
        Call([word])


def test_t_takes_recipients_from_header_and_arguments() -> None:
    for words in ([b"-t", b"a"], [b"-ti", b"a"], [b"-it", b"--", b"a"], [b"--read-recipients", b"a"]):
        assert Call(words).injection() == [b"-H", b"--", b"a"]


@pytest.mark.parametrize(
    "words", [[b"-fa@b"], [b"-f", b"a@b"], [b"-r", b"a@b"], [b"-f<a@b>"], [b"--from=a@b"], [b"--from", b"a@b"]]
)
def test_the_sender_is_also_the_from(words: list[bytes]) -> None:
    call = Call(words)
    assert call.injection() == [b"-a", b"-f", b"a@b", b"--"]
    assert call.environment() == {
        b"QMAILUSER": b"a",
        b"QMAILHOST": b"b",
        b"QMAILNAME": None,
        b"MAILNAME": None,
        b"NAME": None,
        b"MAILHOST": None,
    }


def test_a_sender_without_a_host_and_one_with_two() -> None:
    variables = Call([b"-fjoe"]).environment()
    assert (variables[b"QMAILUSER"], variables[b"QMAILHOST"]) == (b"joe", None)
    variables = Call([b"-fa@b@c"]).environment()
    assert (variables[b"QMAILUSER"], variables[b"QMAILHOST"]) == (b"a@b", b"c")


@pytest.mark.parametrize("sender", [b"", b"<>"])
def test_the_empty_sender_does_not_change_the_from(sender: bytes) -> None:
    call = Call([b"-f", sender])
    assert call.injection() == [b"-a", b"-f", b"", b"--"]
    assert call.environment() == {}


def test_the_full_name_counts_before_and_after_the_sender() -> None:
    for words in ([b"-FJoe B", b"-fa@b"], [b"-fa@b", b"-F", b"Joe B"]):
        assert Call(words).environment()[b"MAILNAME"] == b"Joe B"


def test_a_long_option_after_the_options_is_a_word() -> None:
    assert Call([b"-t", b"--", b"--host", b"x"]).recipients == [b"--host", b"x"]
