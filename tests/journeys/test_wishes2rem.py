"""A sender's wishes all the way: from sendmail to the next host, who tells him then, and what the log shows of it."""

import pytest

from tests.neighbours import smtp_sink
from tests.places import Place
from tests.support import free_port, wait_for


@pytest.mark.parametrize("offers_dsn", [True, False])
def test_success_is_told_by_the_next_host_if_it_can_and_else_from_here(
    place: Place, tmp_path: object, offers_dsn: bool
) -> None:
    passed_on = offers_dsn and not place.exec_forced  # which means the classic wire
    port = free_port()
    place.control("smtproutes", f"far.example:127.0.0.1:{port}\n")
    place.control("transcript", ".example\n")
    place.start()
    words = ("-N", "success", "-R", "hdrs", "-V", "job7", "liar@far.example")
    with smtp_sink(f"{tmp_path}/sink", "127.0.0.1", port, *([] if offers_dsn else ["-N"])) as sink:
        assert place.run("sendmail", *words, stdin=b"Subject: far\n\nunheard of\n").code == 0
        place.log.ends(1 if passed_on else 2)
        (far,) = sink.mail()
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()
    args = {line.partition(b": ")[0]: line.partition(b": ")[2] for line in far.split(b"\n\n")[0].split(b"\n")}
    told = [line for line in place.log.lines if line.kind == "report"]
    shown = [line.text for line in place.log.lines if " event=dialogue " in line.text]
    if passed_on:
        assert args[b"X-Mail-Args"].endswith(b"> RET=HDRS ENVID=job7")
        assert args[b"X-Rcpt-Args"].startswith(b"<liar@far.example> NOTIFY=SUCCESS")
        assert told == []
        assert place.log.wait("delivery").report.endswith("/It_was_asked_to_notify_the_sender_itself./")
    else:
        assert b"=" not in args[b"X-Mail-Args"] + args[b"X-Rcpt-Args"]
        assert len(told) == 1
    if place.exec_forced:  # nobody hears it
        assert shown == []
        return
    assert any(
        line.endswith(' said="RCPT TO:<liar@far.example>%s"' % (" NOTIFY=SUCCESS" * passed_on)) for line in shown
    )
    assert any("bytes of message" in line for line in shown)
    assert not any("unheard" in line for line in shown)
