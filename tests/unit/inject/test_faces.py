"""qmailpy/inject/faces.py: every option of every sendmail (spec/10-neighbours.md c2)."""

import pytest

from qmailpy.inject import faces
from qmailpy.inject.faces import Call
from qmailpy.rules.options import UsageError

SILENT = (
    "-i -m -n -v -x -G -U -Ac -Am -B8BITMIME -B_7BIT -C_file -d -d0.1 -D -Dmacro=1 -E -Ex -em -e_q -eq -h_17 -J -Jx "
    "-L_tag -O_QueueDirectory=/x -oi -oem -odq -o_db -o7 -oMa_1.2.3.4 -oMr_smtp -oMrx "
    "-or5m -or_5m -oP_/x -oX_25 -oB_5 -oAx -pESMTP -p_x:y "
    "-S -Sx -X_file -bnq -XV -XVxy -ivm -a_account --host=h --host_h --tls --tls-starttls=off "
    "--account_x --read-envelope-from -bm -b_m -bq"
)


@pytest.mark.parametrize("option", SILENT.split())
def test_an_option_is_accepted_in_silence(option: str) -> None:
    words = option.encode().replace(b"_7", b" 7").replace(b"_", b" ").split()
    call = Call([*words, b"joe"])
    assert (call.mode, call.recipients) == (faces.DELIVER, [b"joe"])
    assert call.injection() == [b"-a", b"--", b"joe"]
    assert call.environment({}) == {}


MODES = [
    (b"-bp -bpa -bpc -bpi -bpr -bpra -bpri -bpru -bpu", faces.LIST),
    (b"-bi -I", faces.ALIASES),
    (b"-bs -bS -bw", faces.SMTP),
    (b"-q -qf -qff -qqff -q30m -q1h -qIid -qRsite -qSsender -qGgroup -M", faces.FLUSH),
    (b"-bd -bdf -bl", faces.DAEMON),
    (b"-bt -bv -bvs", faces.EXPLAIN),
    (b"-bh", faces.HOSTS),
    (b"-bH", faces.PURGE),
    (b"-bP", faces.CONFIGURATION),
    (b"-be -bF -bf -brw -brt -bmalware -Mrm -Mvh", faces.ABSENT),
    (b"--help --version -bV", faces.HELP),
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


# What real programs say, and the man pages of each neighbour: all of it hands over a message to joe
COMMAND_LINES = [
    b"-t -i",  # PHP
    b"-oi -t -oem",  # Perl's usual way
    b"-FCronDaemon -i -B8BITMIME -oem joe",  # cron
    b"-i -FCronDaemon -oem -odi joe",
    b"-oem -oi -f me@h.x -- joe",  # mutt
    b"-oem -oi -N failure -R full -f me@h.x joe",  # mutt with dsn_notify
    b"-i -f me@h.x -t",  # s-nail
    b"-i joe",  # bsd-mailx, smartd through mail
    b"-i -f me@h.x joe",  # git send-email
    b"-t -f me@h.x -oi -oeq",
    # dma
    b"-A c -Ac -Am -bq -bm -Btype -B type -Cfile -C file -d0 -d -D -fme@h.x -Fname -h 1 -i -Ltag -L tag -Nnever -n joe",
    b"-O opt=1 -oi -oX -q30m -bm -r me@h.x -Rfull -t -U -Vid -v -X file joe",
    # Postfix
    b"-Am -B 7BIT -B 8BITMIME -bm -C /etc/postfix -F name -f me@h.x -G -h 17 -i -L label -m -N delay,failure joe",
    b"-oA/etc/aliases -o7 -o8 -oi -oitrue -om -o x=y -r me@h.x -R hdrs -t -U -V envid -XV -XVxy -v -v joe",
    # Exim
    b"-Ac -bm -B8BITMIME -C /f -Dmacro=x -d+all -em -ee -F name -f me@h.x -G -h 3 -i -L tag -m -n -v joe",
    b"-O x -odb -odf -odi -odq -odqs -oee -oem -oep -oeq -oew -oi -oitrue -oo -ov -om -oMa 1.2.3.4 -oMs h.x joe",
    b"-oMt ident -oMr smtp -oMi 1.2.3.5 -oMas me -oMai id -oMaa plain -oB 5 -oP /run/x -oX 25 -or 5m -os5m joe",
    b"-p esmtp:h.x -ti -U -x -X log joe",
    # msmtp
    b"--host=h.x --port 25 --user u --passwordeval cmd --tls=on --account=a --from me@h.x --aliases /f --logfile f joe",
    b"--read-envelope-from --read-recipients --keepbcc=off --dsn-notify never -a account -C file -Xlog -S joe",
    # nullmailer
    b"-bm -em -ep -eq -B x -C x -d0.1 -F name -f me@h.x -h 1 -i -L t -n -O x -o x -p x -R full -r me@h.x -t joe",
    b"-U -V x -v -X x joe",
    # OpenSMTPD
    b"-A c -B 8BITMIME -bm -d -E -e q -F name -f me@h.x -i -mo -m -N never -n -O x -o em -p x -R full -S -t -U -x joe",
    # qmail
    b"-bm -e x -p x -o x -B x -F name -f me@h.x -E -J -vimx -t joe",
]


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_a_command_line_hands_over_a_message(line: bytes) -> None:
    call = Call(line.split())
    assert (call.mode, call.recipients) == (faces.DELIVER, [b"joe"] if line.endswith(b"joe") else [])
    assert call.sender in (None, b"me@h.x")


@pytest.mark.parametrize(
    ("words", "recipients"),
    [
        (b"-oi -oMa joe fred", b"fred"),  # a word follows -oMa, whatever it looks like
        (b"-os joe", b"joe"),  # and -os only if it is a time
        (b"-oP joe", b"joe"),
        (b"-oX joe", b"joe"),
        (b"-oB 5@h.x", b"5@h.x"),
        (b"-f -oMr joe", b"joe"),  # an argument is no option
        (b"-i -- -oMa joe", b"-oMa joe"),
        (b"joe -oMa fred", b"joe -oMa fred"),
    ],
)
def test_exims_options_take_the_next_word_only_where_it_is_theirs(words: bytes, recipients: bytes) -> None:
    assert Call(words.split()).recipients == recipients.split()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([b"-N", b"failure"], b"NOTIFY=FAILURE"),
        ([b"-NFAILURE", b"-Rfull"], b"NOTIFY=FAILURE RET=FULL"),
        ([b"-N", b"success,failure,delay"], b"NOTIFY=SUCCESS,FAILURE,DELAY"),
        ([b"-Nnever"], b"NOTIFY=NEVER"),
        ([b"-N", b"never"], b"NOTIFY=NEVER"),
        ([b"-R", b"hdrs", b"-V", b"my id=1+1"], b"RET=HDRS ENVID=my+20id+3D1+2B1"),
        ([b"-Nnever", b"-N", b"delay"], b"NOTIFY=DELAY"),
        ([b"-Vid"], b"ENVID=id"),
        ([b"-V", b"x" * 100], b"ENVID=" + b"x" * 100),
        ([b"--dsn-notify=failure", b"--dsn-return", b"headers"], b"NOTIFY=FAILURE RET=HDRS"),
        ([b"-Nnever", b"-Noff", b"-Roff"], b""),
    ],
)
def test_wishes_for_notifications_are_said_to_qmail_inject(words: list[bytes], said: bytes) -> None:
    call = Call([*words, b"joe"])
    assert call.recipients == [b"joe"]
    assert call.environment({}) == {b"QMAILDSN": said}


@pytest.mark.parametrize(
    ("words", "start"),
    [
        ([b"-N", b"sometimes"], b"-N sometimes: it must be never, or some of success,failure,delay "),
        ([b"-Nnever,failure"], b"-N never,failure: it must be never"),
        ([b"-N", b"success, failure"], b"-N success, failure: "),
        ([b"-N", b""], b"-N : "),
        ([b"-R", b"half"], b"-R half: it must be full or hdrs"),
        ([b"-V", b""], b"-V : it must be 1 to 100 printable characters of ASCII"),
        ([b"-V", b"x" * 101], b"-V xxx"),
        ([b"-V", b"a\nb"], b"-V "),
        ([b"-V", b"\xc3\xb6"], b"-V "),
        ([b"--dsn-notify=x"], b"-N x: "),
        ([b"-N"], b"option requires an argument -- N"),
    ],
)
def test_a_wish_that_nobody_understands_is_a_usage_error(words: list[bytes], start: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        Call(words)
    assert caught.value.text.startswith(start)


def test_t_takes_recipients_from_header_and_arguments() -> None:
    for words in ([b"-t", b"a"], [b"-ti", b"a"], [b"-it", b"--", b"a"], [b"--read-recipients", b"a"]):
        assert Call(words).injection() == [b"-H", b"--", b"a"]


@pytest.mark.parametrize(
    "words", [[b"-fa@b"], [b"-f", b"a@b"], [b"-r", b"a@b"], [b"-f<a@b>"], [b"--from=a@b"], [b"--from", b"a@b"]]
)
def test_the_sender_is_also_the_from(words: list[bytes]) -> None:
    call = Call(words)
    assert call.injection() == [b"-a", b"-f", b"a@b", b"--"]
    assert call.environment({}) == {
        b"QMAILUSER": b"a",
        b"QMAILHOST": b"b",
        b"QMAILNAME": None,
        b"MAILNAME": None,
        b"NAME": None,
        b"MAILHOST": None,
    }


def test_a_sender_without_a_host_and_one_with_two() -> None:
    variables = Call([b"-fjoe"]).environment({})
    assert (variables[b"QMAILUSER"], variables[b"QMAILHOST"]) == (b"joe", None)
    variables = Call([b"-fa@b@c"]).environment({})
    assert (variables[b"QMAILUSER"], variables[b"QMAILHOST"]) == (b"a@b", b"c")


@pytest.mark.parametrize("sender", [b"", b"<>"])
def test_the_empty_sender_does_not_change_the_from(sender: bytes) -> None:
    call = Call([b"-f", sender])
    assert call.injection() == [b"-a", b"-f", b"", b"--"]
    assert call.environment({}) == {}


def test_with_t_somebody_must_receive_it() -> None:
    assert Call([b"-t"]).environment({b"QMAILINJECT": b"f"}) == {b"QMAILINJECT": b"fe"}
    assert Call([b"-t"]).environment({b"NULLMAILER_FLAGS": b"i"}) == {b"QMAILINJECT": b"ie"}
    assert Call([b"joe"]).environment({b"QMAILINJECT": b"f"}) == {}


def test_the_full_name_counts_before_and_after_the_sender() -> None:
    for words in ([b"-FJoe B", b"-fa@b"], [b"-fa@b", b"-F", b"Joe B"]):
        assert Call(words).environment({})[b"MAILNAME"] == b"Joe B"


def test_a_long_option_after_the_options_is_a_word() -> None:
    assert Call([b"-t", b"--", b"--host", b"x"]).recipients == [b"--host", b"x"]


@pytest.mark.parametrize(
    ("environment", "words", "variables"),
    [
        ({b"EMAIL": b"joe@isp.example"}, [b"x"], {b"QMAILUSER": b"joe", b"QMAILHOST": b"isp.example"}),
        ({b"EMAIL": b"joe@isp.example"}, [b"-f", b"", b"x"], {}),
        ({b"EMAIL": b"joe@isp.example", b"QMAILUSER": b"ann"}, [b"x"], {}),
        ({b"EMAIL": b"joe@isp.example", b"QMAILSHOST": b"h"}, [b"x"], {}),
        *[
            ({b"EMAIL": value}, [b"x"], {})
            for value in (b"", b"joe", b"@isp.example", b"joe@", b"Joe <joe@isp.example>", b"a@b\nBcc: x@y", b"a@b@c")
        ],
        ({b"EMAIL": b"j" * 1000 + b"@x"}, [b"x"], {}),
    ],
)
def test_email_in_the_environment_is_the_sender_as_in_dma(
    environment: dict[bytes, bytes], words: list[bytes], variables: dict[bytes, bytes | None]
) -> None:
    assert Call(words).environment(environment) == variables


def test_f_beats_email() -> None:
    variables = Call([b"-f", b"ann@b.c", b"x"]).environment({b"EMAIL": b"joe@isp.example"})
    assert (variables[b"QMAILUSER"], variables[b"QMAILHOST"]) == (b"ann", b"b.c")
