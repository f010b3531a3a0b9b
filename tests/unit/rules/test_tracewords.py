"""rules/tracewords: the log's / is an end of a line or a sign of its own."""

import pytest

from qmailpy.rules.tracewords import sentence


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (b"1.2.3.4_accepted_message./Remote_host_said:_250_ok/", b"accepted message. / Remote host said: 250 ok"),
        (b"Remote_host_said:_250_kept/Sent_by_TLSv1.3_x./", b"Remote host said: 250 kept / Sent by TLSv1.3 x."),
        (b"for_that_host,/it_isn't_in_my_control/locals_file/", b"for that host, / it isn't in my control/locals file"),
        (b"my_login_in_control/smtpauth_was_refused./", b"my login in control/smtpauth was refused."),
        (b"Remote_host_said:_550-one/550_two/", b"Remote host said: 550-one / 550 two"),
        (b"//", b" / "),
        (b"", b""),
    ],
)
def test_a_slash_inside_a_word_stays_there(report: bytes, words: bytes) -> None:
    assert sentence(b"delivery 1: deferral: " + report, lambda _: b"").endswith(words)
